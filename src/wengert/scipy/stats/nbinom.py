"""The negative binomial distribution: failures before the `n`-th success, of probability `p`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import shifted

__all__ = ["logpmf", "pmf"]


def logpmf(k: ArrayLike, n: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The logarithm of the probability of k."""
    y, n, p = shifted("nbinom.logpmf", k, n, p, loc=loc)
    below = y < 0
    y = jnp.where(below, 0.0, y)
    ways = special.gammaln(y + n) - special.gammaln(n) - special.gammaln(y + 1)
    return jnp.where(below, -jnp.inf, ways + special.xlogy(n, p) + special.xlog1py(y, -p))


def pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The probability of k."""
    return jnp.exp(logpmf(k, n, p, loc))
