"""The multinomial distribution: how often each outcome comes in `n` trials (last axis)."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special

__all__ = ["logpmf", "pmf"]


def logpmf(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """The logarithm of the probability of the counts x, integers along the last axis.

    Raises:
      ValueError: x or n are no integers.
    """
    counts: Any = jnp.asarray(x)
    trials: Any = jnp.asarray(n)
    if counts.dtype.kind not in "iu" or trials.dtype.kind not in "iu":
        raise ValueError(
            f"x and n must be of integer type; got x.dtype={counts.dtype}, n.dtype={trials.dtype}. "
            "Convert them with astype(int)."
        )
    chances: Any = jnp.asarray(p) * 1.0
    whole = jnp.sum(counts, axis=-1) == trials
    k, total = counts.astype(chances.dtype), trials.astype(chances.dtype)
    found = special.gammaln(total + 1) + jnp.sum(special.xlogy(k, chances) - special.gammaln(k + 1), axis=-1)
    return jnp.where(whole, found, -jnp.inf)


def pmf(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """The probability of k."""
    return jnp.exp(logpmf(x, n, p))
