"""The logistic distribution about `loc`, stretched by `scale`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy import special
from wengert.scipy.stats._support import standard

__all__ = ["cdf", "isf", "logpdf", "pdf", "ppf", "sf"]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, scale = standard("logistic.logpdf", x, loc=loc, scale=scale)
    size = jnp.abs(z)
    return -size - 2 * jnp.log1p(jnp.exp(-size)) - jnp.log(scale)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, loc, scale))


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value up to x."""
    z, _ = standard("logistic.cdf", x, loc=loc, scale=scale)
    return special.expit(z)


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The probability of a value above x."""
    z, _ = standard("logistic.sf", x, loc=loc, scale=scale)
    return special.expit(-z)


def ppf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value below which the probability is x."""
    q, loc, scale = promote_inexact("logistic.ppf", x, loc, scale)
    return loc + scale * special.logit(q)


def isf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The value above which the probability is x."""
    q, loc, scale = promote_inexact("logistic.isf", x, loc, scale)
    return loc - scale * special.logit(q)
