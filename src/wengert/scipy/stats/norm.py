"""The normal distribution with mean `loc` and standard deviation `scale`."""

from __future__ import annotations

import math
from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy import special
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, scale = standard("norm.logpdf", x, loc=loc, scale=scale)
    return -0.5 * (z * z) - jnp.log(scale) - 0.5 * math.log(2 * math.pi)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    return special.ndtr(standard("norm.cdf", x, loc=loc, scale=scale)[0])


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    return special.log_ndtr(standard("norm.logcdf", x, loc=loc, scale=scale)[0])


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    return special.ndtr(-standard("norm.sf", x, loc=loc, scale=scale)[0])


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    return special.log_ndtr(-standard("norm.logsf", x, loc=loc, scale=scale)[0])


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value below which the probability is q."""
    q, loc, scale = promote_inexact("norm.ppf", q, loc, scale)
    return loc + scale * special.ndtri(q)


def isf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value above which the probability is q."""
    q, loc, scale = promote_inexact("norm.isf", q, loc, scale)
    return loc - scale * special.ndtri(q)
