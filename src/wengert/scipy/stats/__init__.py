"""Probability distributions, each a module, under the names of `jax.scipy.stats`."""

from __future__ import annotations

from wengert.scipy.stats import norm

__all__ = ["norm"]
