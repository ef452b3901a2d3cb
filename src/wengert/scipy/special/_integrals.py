"""Exponential and trigonometric integrals, the dilogarithm, hypergeometric functions."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike
from wengert.prims.hypergeometric import hyp1f1_p, hyp2f1_p
from wengert.prims.integrals import cosine_integral_p, expi_p, expn_p, sine_integral_p, spence_p
from wengert.scipy.special._operands import reals


def expi(x: ArrayLike) -> Any:
    """The exponential integral Ei: the integral of exp(t) / t from minus infinity to x."""
    return expi_p.bind(*reals("expi", x))


def expn(n: ArrayLike, x: ArrayLike) -> Any:
    """The generalized exponential integral: the integral of exp(-x t) / t**n from 1 to infinity.

    NaN for negative n or x; of a fraction n the integer part counts. Differentiable in x.
    """
    n, x = reals("expn", n, x)
    inside = (n >= 0) & (x >= 0)
    return jnp.where(inside, expn_p.bind(n, x), jnp.nan)


def exp1(x: ArrayLike) -> Any:
    """The exponential integral E1: the integral of exp(-t) / t from x to infinity. NaN for negative x."""
    (x,) = reals("exp1", x)
    return expn(1, x)


def sici(x: ArrayLike) -> tuple[Any, Any]:
    """The integral of sin(t) / t from 0 to x, and minus that of cos(t) / t from |x| to infinity."""
    (x,) = reals("sici", x)
    return sine_integral_p.bind(x), cosine_integral_p.bind(x)


def spence(x: Any) -> Any:
    """Spence's function: the integral of log(t) / (1 - t) from 1 to x. NaN for negative x."""
    return spence_p.bind(*reals("spence", x))


def hyp1f1(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Any:
    """Kummer's confluent hypergeometric function M(a, b, x); differentiable in all arguments."""
    return hyp1f1_p.bind(*reals("hyp1f1", a, b, x))


def hyp2f1(a: ArrayLike, b: ArrayLike, c: ArrayLike, x: ArrayLike) -> Any:
    """Gauss's hypergeometric function F(a, b; c; x), for x <= 1; differentiable in all arguments."""
    return hyp2f1_p.bind(*reals("hyp2f1", a, b, c, x))
