"""Student's t distribution of `df` degrees of freedom, about `loc` and stretched by `scale`."""

from __future__ import annotations

import math
from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.scipy import special
from wengert.scipy.stats._support import standard

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The logarithm of the density."""
    z, df, scale = standard("t.logpdf", x, df, loc=loc, scale=scale)
    above = (df + 1) / 2
    factor = special.gammaln(above) - special.gammaln(df / 2) - 0.5 * jnp.log(math.pi * df) - jnp.log(scale)
    return factor - above * jnp.log1p(z * z / df)


def pdf(x: ArrayLike, df: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, df, loc, scale))
