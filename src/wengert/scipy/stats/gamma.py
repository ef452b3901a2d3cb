"""The gamma distribution of shape `a`, shifted by `loc` and stretched by `scale`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, a, scale = standard("gamma.logpdf", x, a, loc=loc, scale=scale)
    below = z < 0
    y = jnp.where(below, 1.0, z)
    found = special.xlogy(a - 1, y) - y - special.gammaln(a) - jnp.log(scale)
    return jnp.where(below, -jnp.inf, found)


def pdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, a, loc, scale))


def cdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    z, a, _ = standard("gamma.cdf", x, a, loc=loc, scale=scale)
    below = z <= 0
    return jnp.where(below, 0.0, special.gammainc(a, jnp.where(below, 1.0, z)))


def logcdf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    return jnp.log(cdf(x, a, loc, scale))


def sf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    z, a, _ = standard("gamma.sf", x, a, loc=loc, scale=scale)
    below = z <= 0
    return jnp.where(below, 1.0, special.gammaincc(a, jnp.where(below, 1.0, z)))


def logsf(x: ArrayLike, a: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    return jnp.log(sf(x, a, loc, scale))
