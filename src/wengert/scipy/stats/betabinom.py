"""The beta-binomial distribution: successes among `n` trials of a probability that has a beta distribution."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import shifted

__all__ = ["logpmf", "pmf"]


def logpmf(k: ArrayLike, n: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The logarithm of the probability of k."""
    y, n, a, b = shifted("betabinom.logpmf", jnp.floor(k), n, a, b, loc=loc)
    outside = (y < 0) | (y > n)
    y = jnp.where(outside, 0.0, y)
    n_choose_y = -jnp.log1p(n) - special.betaln(n - y + 1, y + 1)
    found = n_choose_y + special.betaln(y + a, n - y + b) - special.betaln(a, b)
    return jnp.where((n >= 0) & (a > 0) & (b > 0), jnp.where(outside, -jnp.inf, found), jnp.nan)


def pmf(k: ArrayLike, n: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The probability of k."""
    return jnp.exp(logpmf(k, n, a, b, loc))
