"""The generalized normal distribution: its density falls as exp(-|x|**`beta`)."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy import special

__all__ = ["cdf", "logpdf", "pdf"]


def logpdf(x: ArrayLike, beta: ArrayLike) -> Any:
    """The logarithm of the density."""
    x, beta = promote_inexact("gennorm.logpdf", x, beta)
    return jnp.log(beta / 2) - special.gammaln(1 / beta) - jnp.abs(x) ** beta


def pdf(x: ArrayLike, beta: ArrayLike) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, beta))


def cdf(x: ArrayLike, beta: ArrayLike) -> Any:
    """The probability of a value up to x."""
    x, beta = promote_inexact("gennorm.cdf", x, beta)
    centre = x == 0
    tail = special.gammaincc(1 / beta, jnp.abs(jnp.where(centre, 1.0, x)) ** beta) / 2
    slope = (
        0.5 * beta / special.gamma(1 / beta)
    )  # at 0, where those of the power and of gammaincc may be infinite
    return jnp.where(centre, 0.5 + slope * x, jnp.where(x > 0, 1 - tail, tail))
