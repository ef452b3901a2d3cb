"""Waves through real terrain: simulate, time, and recover the terrain from the recorded waves."""

from wengert.demos.wave.physics import forward, gardner_density, largest_stable_step, ricker

__all__ = ["forward", "gardner_density", "largest_stable_step", "ricker"]
