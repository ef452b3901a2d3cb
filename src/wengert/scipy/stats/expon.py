"""The exponential distribution from `loc` on, with mean `loc + scale`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.nn import log1mexp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy.stats._support import standard, within

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, scale = standard("expon.logpdf", x, loc=loc, scale=scale)
    return jnp.where(z < 0, -jnp.inf, -z - jnp.log(scale))


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    z, _ = standard("expon.cdf", x, loc=loc, scale=scale)
    return jnp.where(z < 0, 0.0, -jnp.expm1(-z))


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    z, _ = standard("expon.logcdf", x, loc=loc, scale=scale)
    return jnp.where(z < 0, -jnp.inf, log1mexp(jnp.where(z < 0, 1.0, z)))


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    return jnp.exp(logsf(x, loc, scale))


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    z, _ = standard("expon.logsf", x, loc=loc, scale=scale)
    return jnp.where(z < 0, 0.0, -z)


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value below which the probability is q."""
    q, loc, scale = promote_inexact("expon.ppf", q, loc, scale)
    return within(q, loc - scale * jnp.log1p(-q))
