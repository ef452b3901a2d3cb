"""The binomial distribution: successes among `n` trials of probability `p`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import shifted

__all__ = ["logpmf", "pmf"]


def logpmf(k: ArrayLike, n: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The logarithm of the probability of k."""
    y, n, p = shifted("binom.logpmf", k, n, p, loc=loc)
    outside = (y < 0) | (y > n)
    y = jnp.where(outside, 0.0, y)
    n_choose_y = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    found = n_choose_y + special.xlogy(y, p) + special.xlog1py(n - y, -p)
    return jnp.where(outside, -jnp.inf, found)


def pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The probability of k."""
    return jnp.exp(logpmf(k, n, p, loc))
