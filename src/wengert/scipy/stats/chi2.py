"""The chi-squared distribution of `df` degrees of freedom, shifted by `loc` and stretched by `scale`."""

from __future__ import annotations

import math
from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, df, scale = standard("chi2.logpdf", x, df, loc=loc, scale=scale)
    below, half = z < 0, df / 2
    y = jnp.where(below, 1.0, z)
    found = special.xlogy(half - 1, y) - y / 2 - special.gammaln(half) - half * math.log(2) - jnp.log(scale)
    return jnp.where(below, -jnp.inf, found)


def pdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, df, loc, scale))


def cdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    z, df, _ = standard("chi2.cdf", x, df, loc=loc, scale=scale)
    below = z <= 0
    return jnp.where(below, 0.0, special.gammainc(df / 2, jnp.where(below, 1.0, z / 2)))


def logcdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    return jnp.log(cdf(x, df, loc, scale))


def sf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    z, df, _ = standard("chi2.sf", x, df, loc=loc, scale=scale)
    below = z <= 0
    return jnp.where(below, 1.0, special.gammaincc(df / 2, jnp.where(below, 1.0, z / 2)))


def logsf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    return jnp.log(sf(x, df, loc, scale))
