"""The geometric distribution: how many trials of probability `p` the first success takes."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import shifted

__all__ = ["logpmf", "pmf"]


def logpmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The logarithm of the probability of k."""
    x, p = shifted("geom.logpmf", k, p, loc=loc)
    return jnp.where(x <= 0, -jnp.inf, special.xlog1py(x - 1, -p) + jnp.log(p))


def pmf(k: ArrayLike, p: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The probability of k."""
    return jnp.exp(logpmf(k, p, loc))
