"""Minimization, under the names of `jax.scipy.optimize`."""

from __future__ import annotations

from wengert.scipy.optimize._minimize import OptimizeResults, minimize

__all__ = ["OptimizeResults", "minimize"]
