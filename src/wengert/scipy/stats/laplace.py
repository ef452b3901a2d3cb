"""The Laplace distribution about `loc`, with the mean deviation `scale`."""

from __future__ import annotations

import math
from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "logpdf", "pdf"]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, scale = standard("laplace.logpdf", x, loc=loc, scale=scale)
    return -jnp.abs(z) - jnp.log(scale) - math.log(2)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    z, _ = standard("laplace.cdf", x, loc=loc, scale=scale)
    below = z < 0
    tail = jnp.exp(jnp.where(below, z, -z)) / 2
    return jnp.where(below, tail, 1 - tail)
