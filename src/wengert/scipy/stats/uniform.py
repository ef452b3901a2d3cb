"""The uniform distribution on `loc` to `loc + scale`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy.stats._support import standard, within

__all__ = ["cdf", "logpdf", "pdf", "ppf"]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, scale = standard("uniform.logpdf", x, loc=loc, scale=scale)
    found = jnp.where((z < 0) | (z > 1), -jnp.inf, -jnp.log(scale))
    return jnp.where(jnp.isnan(z), jnp.nan, found)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    return jnp.clip(standard("uniform.cdf", x, loc=loc, scale=scale)[0], 0, 1)


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value below which the probability is q."""
    q, loc, scale = promote_inexact("uniform.ppf", q, loc, scale)
    return within(q, loc + scale * q)
