"""Integrals of sampled functions, under the names of `jax.scipy.integrate`."""

from __future__ import annotations

from wengert.numpy import trapezoid

__all__ = ["trapezoid"]
