"""The right-skewed Gumbel distribution about `loc`, stretched by `scale`: of the greatest of many values."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.nn import log1mexp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, scale = standard("gumbel_r.logpdf", x, loc=loc, scale=scale)
    return jnp.where(scale > 0, -z - jnp.exp(-z) - jnp.log(scale), jnp.nan)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    return jnp.exp(logcdf(x, loc, scale))


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    z, scale = standard("gumbel_r.logcdf", x, loc=loc, scale=scale)
    return jnp.where(scale > 0, -jnp.exp(-z), jnp.nan)


def ppf(p: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value below which the probability is p."""
    p, loc, scale = promote_inexact("gumbel_r.ppf", p, loc, scale)
    return jnp.where((p > 0) & (p < 1), loc - scale * jnp.log(-jnp.log(p)), jnp.nan)


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    z, scale = standard("gumbel_r.sf", x, loc=loc, scale=scale)
    return jnp.where(scale > 0, -jnp.expm1(-jnp.exp(-z)), jnp.nan)


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    z, scale = standard("gumbel_r.logsf", x, loc=loc, scale=scale)
    return jnp.where(scale > 0, log1mexp(jnp.exp(-z)), jnp.nan)
