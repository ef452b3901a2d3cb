"""Functions of SciPy that can be differentiated, vectorised and compiled, under the names of `jax.scipy`."""

from __future__ import annotations

from wengert.scipy import special, stats

__all__ = ["special", "stats"]
