"""The beta distribution on `loc` to `loc + scale`, with the shapes `a` and `b`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, a, b, scale = standard("beta.logpdf", x, a, b, loc=loc, scale=scale)
    inside = (z >= 0) & (z <= 1)
    y = jnp.where(inside, z, 0.5)
    found = special.xlogy(a - 1, y) + special.xlog1py(b - 1, -y) - special.betaln(a, b) - jnp.log(scale)
    found = jnp.where(inside | jnp.isnan(z), found + 0 * z, -jnp.inf)
    return jnp.where((a > 0) & (b > 0) & (scale > 0), found, jnp.nan)


def pdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, a, b, loc, scale))


def cdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    z, a, b, _ = standard("beta.cdf", x, a, b, loc=loc, scale=scale)
    inside = (z > 0) & (z < 1)
    found = special.betainc(a, b, jnp.where(inside, z, 0.5))
    return jnp.where(inside, found, jnp.where(z <= 0, 0.0, jnp.where(z >= 1, 1.0, z)))


def logcdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value up to x."""
    return jnp.log(cdf(x, a, b, loc, scale))


def sf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    z, a, b, _ = standard("beta.sf", x, a, b, loc=loc, scale=scale)
    inside = (z > 0) & (z < 1)
    found = special.betainc(b, a, 1 - jnp.where(inside, z, 0.5))
    return jnp.where(inside, found, jnp.where(z <= 0, 1.0, jnp.where(z >= 1, 0.0, z)))


def logsf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the probability of a value above x."""
    return jnp.log(sf(x, a, b, loc, scale))
