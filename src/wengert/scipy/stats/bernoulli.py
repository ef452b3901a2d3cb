"""The Bernoulli distribution: 1 with probability `p`, otherwise 0."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy import special
from wengert.scipy.stats._support import shifted, within

__all__ = ["cdf", "logpmf", "pmf", "ppf"]


def logpmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The logarithm of the probability of k."""
    x, p = shifted("bernoulli.logpmf", k, p, loc=loc)
    found = special.xlogy(x, p) + special.xlog1py(1 - x, -p)
    return jnp.where((x < 0) | (x > 1), -jnp.inf, found)


def pmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The probability of k."""
    return jnp.exp(logpmf(k, p, loc))


def cdf(k: ArrayLike, p: ArrayLike) -> Any:
    """The probability of a value up to k."""
    k, p = promote_inexact("bernoulli.cdf", k, p)
    found = jnp.where(k < 0, 0.0, jnp.where(k < 1, 1 - p, 1.0))
    return jnp.where(jnp.isnan(k), jnp.nan, within(p, found))


def ppf(q: ArrayLike, p: ArrayLike) -> Any:
    """The value below which the probability is q."""
    q, p = promote_inexact("bernoulli.ppf", q, p)
    return within(p, within(q, jnp.where(q <= 1 - p, 0.0, 1.0)))
