"""The Cauchy distribution about `loc`, with the half width `scale`."""

from __future__ import annotations

import math
from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy.stats._support import standard, within

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, scale = standard("cauchy.logpdf", x, loc=loc, scale=scale)
    return -jnp.log(math.pi * scale) - jnp.log1p(z * z)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    z, _ = standard("cauchy.cdf", x, loc=loc, scale=scale)
    return jnp.arctan2(1.0, -z) / math.pi  # exact in the lower tail too


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    return jnp.log(cdf(x, loc, scale))


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    z, _ = standard("cauchy.sf", x, loc=loc, scale=scale)
    return jnp.arctan2(1.0, z) / math.pi


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    return jnp.log(sf(x, loc, scale))


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value below which the probability is q."""
    q, loc, scale = promote_inexact("cauchy.ppf", q, loc, scale)
    return within(q, loc + scale * _quantile(q))


def isf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value above which the probability is q."""
    q, loc, scale = promote_inexact("cauchy.isf", q, loc, scale)
    return within(q, loc - scale * _quantile(q))


def _quantile(q: Any) -> Any:
    """-1 / tan(pi q), by the nearest of 0, 1/2 and 1, so that it is exact in the middle and in both tails."""
    upper, middle = q > 0.5, jnp.abs(q - 0.5) < 0.25
    tangent = jnp.tan(math.pi * jnp.where(middle, 0.25, jnp.where(upper, 1 - q, q)))
    centre = jnp.tan(math.pi * (jnp.where(middle, q, 0.5) - 0.5))
    return jnp.where(middle, centre, jnp.where(upper, 1.0, -1.0) / tangent)
