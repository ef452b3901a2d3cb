"""The normal distribution about `loc` of deviation `scale`, cut at `a` and `b` deviations from there."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.nn import log1mexp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats import norm
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, a, b, scale = standard("truncnorm.logpdf", x, a, b, loc=loc, scale=scale)
    found = norm.logpdf(z) - jnp.log(scale) - _log_mass(a, b)
    return jnp.where(a < b, jnp.where((z < a) | (z > b), -jnp.inf, found), jnp.nan)


def pdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, a, b, loc, scale))


def logcdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    z, a, b, _ = standard("truncnorm.logcdf", x, a, b, loc=loc, scale=scale)
    return _log_share(z, a, b)


def cdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    return jnp.exp(logcdf(x, a, b, loc, scale))


def logsf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    z, a, b, _ = standard("truncnorm.logsf", x, a, b, loc=loc, scale=scale)
    return _log_share(-z, -b, -a)


def sf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    return jnp.exp(logsf(x, a, b, loc, scale))


def _log_mass(a: Any, b: Any) -> Any:
    """log(ndtr(b) - ndtr(a)) for a < b, from the tail in which both are small; or from both, if 0 is between."""
    central = (a <= 0) & (b > 0)
    lower, upper = jnp.where(a > 0, -b, a), jnp.where(a > 0, -a, b)
    lower, upper = jnp.where(central, -2.0, lower), jnp.where(central, -1.0, upper)
    top = special.log_ndtr(upper)
    gap = top - special.log_ndtr(lower)
    in_tail = top + log1mexp(gap)
    between = jnp.log1p(
        -special.ndtr(jnp.where(central, a, -1.0)) - special.ndtr(jnp.where(central, -b, -1.0))
    )
    return jnp.where(central, between, in_tail)


def _log_share(z: Any, a: Any, b: Any) -> Any:
    """The logarithm of the share of the mass between a and b that is below z; near 0 from the rest of the mass."""
    inside = (z > a) & (z < b)
    y = jnp.where(inside, z, jnp.where(a > -jnp.inf, a + 0.5 * jnp.where(b < jnp.inf, b - a, 1.0), b - 0.5))
    y = jnp.where(jnp.isfinite(y), y, 0.0)
    mass = _log_mass(a, b)
    share = _log_mass(a, y) - mass
    most = share > -0.1
    rest = log1mexp(mass - jnp.where(most, _log_mass(y, b), mass - 1))
    found = jnp.where(inside, jnp.where(most, rest, share), jnp.where(z <= a, -jnp.inf, 0.0))
    return jnp.where((a < b) & ~jnp.isnan(z), found, jnp.nan)
