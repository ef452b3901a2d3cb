"""The Pareto distribution from `loc + scale` on, with the exponent `b` of its tail."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.nn import log1mexp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy.stats._support import standard, within

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    log_z, below, b, scale = _logarithm("pareto.logpdf", x, b, loc, scale)
    return jnp.where(below, -jnp.inf, jnp.log(b) - (b + 1) * log_z - jnp.log(scale))


def pdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, b, loc, scale))


def cdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    log_z, below, b, _ = _logarithm("pareto.cdf", x, b, loc, scale)
    return jnp.where(below, 0.0, -jnp.expm1(-b * log_z))


def logcdf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    log_z, below, b, _ = _logarithm("pareto.logcdf", x, b, loc, scale)
    return jnp.where(below, -jnp.inf, log1mexp(b * log_z))


def sf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    return jnp.exp(logsf(x, b, loc, scale))


def logsf(x: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    log_z, below, b, _ = _logarithm("pareto.logsf", x, b, loc, scale)
    return jnp.where(below, 0.0, -b * log_z)


def ppf(q: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value below which the probability is q."""
    q, b, loc, scale = promote_inexact("pareto.ppf", q, b, loc, scale)
    return within(q, loc + scale * (1 - q) ** (-1 / b))


def _logarithm(name: str, x: ArrayLike, b: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> tuple[Any, ...]:
    """log((x - loc) / scale), where that is below 0 (there it is replaced), b and scale."""
    z, b, scale = standard(name, x, b, loc=loc, scale=scale)
    below = z < 1
    return jnp.log(jnp.where(below, 2.0, z)), below, b, scale
