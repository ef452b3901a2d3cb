"""The wrapped Cauchy distribution of an angle from 0 to 2 pi, with `c` between 0 and 1."""

from __future__ import annotations

import math
from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, c: ArrayLike) -> Any:
    """The logarithm of the density."""
    x, c = promote_inexact("wrapcauchy.logpdf", x, c)
    inside = (x >= 0) & (x <= 2 * math.pi)
    possible = (c > 0) & (c < 1)
    c = jnp.where(possible, c, 0.5)
    found = jnp.log1p(-c * c) - math.log(2 * math.pi) - jnp.log(1 + c * c - 2 * c * jnp.cos(x))
    return jnp.where(possible, jnp.where(inside, found, -jnp.inf), jnp.nan)


def pdf(x: ArrayLike, c: ArrayLike) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, c))
