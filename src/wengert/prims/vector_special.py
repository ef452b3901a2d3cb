"""Special functions that are vector code where all operands are in the usual domain, and calls of SciPy elsewhere.

The program of each is a branch, so this file stands above the records of the functions, and gives them their `expand`.
Formulas: NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, 25.11.28 and 8.17.22.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.prims.axes import broadcast_in_dim
from wengert.prims.constructors import Rule, shape_of
from wengert.prims.control import cond, while_loop
from wengert.prims.conversion import convert
from wengert.prims.formulas import PROGRAM, staged
from wengert.prims.reduce import reduce_and, reduce_or
from wengert.prims.shape import full
from wengert.prims.special import lgamma, regularized_incomplete_beta_p, zeta_p

scipy_special = lazy_module("scipy.special")
_F64 = np.dtype(np.float64)


def _all(x: Any) -> Any:
    return reduce_and(x, tuple(range(len(shape_of(x)))))


def _branching(name: str, usual: Rule, formula: Rule, dtypes: str) -> Callable[..., ClosedJaxpr]:
    """The rule `expand`: `formula(digits, *doubles)` where `usual(*doubles)` holds everywhere, else the loop `name`.

    Of other dtypes than those named the loop computes all.
    """

    def expand(*avals: ShapedArray) -> ClosedJaxpr:
        dtype = avals[-1].dtype
        loop = getattr(PROGRAM, name)

        def run(*args: Any) -> list[Any]:
            shape = max(a.shape for a in avals)
            wide = [convert(a, _F64) for a in args]
            if dtype.name not in dtypes.split():
                return [convert(loop(*wide), dtype)]
            wide = [a if shape_of(a) == shape else broadcast_in_dim(a, shape, ()) for a in wide]
            digits = 16 if dtype == _F64 else 8
            found = cond(_all(usual(*wide)), lambda *a: formula(digits, *a), lambda *a: loop(*a), *wide)
            return [convert(found, dtype)]

        return staged(run, avals)

    return expand


# ------------------------------------------------------------------------------------------------ Hurwitz's zeta


def _usual_zeta(x: Any, q: Any) -> Any:
    # with powers (q + 10)**-x that are no denormal numbers: these count as zero
    return (x > 1) & (x < 1e4) & (q > 0) & (q < 1e8) & (x * PROGRAM.log(q + 10) < 690)


def _zeta(digits: int, x: Any, q: Any) -> Any:
    """The first terms of the sum, the integral of the rest, and terms of Bernoulli."""
    terms, corrections = (10, 11) if digits > 8 else (7, 5)

    def power(base: Any) -> Any:
        return PROGRAM.power(base, -x) if digits > 8 else PROGRAM.exp(-x * PROGRAM.log(base))

    total: Any = 0.0
    for k in range(terms):
        total = total + power(q + k)
    w = q + terms
    last = power(w)
    total = total + w * last / (x - 1) + last / 2
    bernoulli = scipy_special.bernoulli(2 * corrections)
    inverse = 1 / w
    factor, rising = last * inverse, x
    for j in range(1, corrections + 1):
        total = total + float(bernoulli[2 * j]) / math.factorial(2 * j) * rising * factor
        rising = rising * (x + (2 * j - 1)) * (x + 2 * j)
        factor = factor * (inverse * inverse)
    return total


# ---------------------------------------------------------------------------------------- incomplete beta function


def _usual_beta(a: Any, b: Any, x: Any) -> Any:
    return (a > 1e-30) & (b > 1e-30) & (a < 1e4) & (b < 1e4) & (x >= 0) & (x <= 1)


def _betainc(digits: int, a: Any, b: Any, x: Any) -> Any:
    """By the continued fraction, of x or of 1 - x: for one of them it converges quickly."""
    where, log = PROGRAM.where, PROGRAM.log
    other = x > (a + 1) / (a + b + 2)
    log_power = a * log(x) + b * PROGRAM.log1p(-x)
    front = PROGRAM.exp(log_power - (lgamma(a) + lgamma(b) - lgamma(a + b)))
    a, b = where(other, b, a), where(other, a, b)
    found = front / a * _fraction(a, b, where(other, 1 - x, x))
    return where(other, 1 - found, found)


def _fraction(a: Any, b: Any, x: Any) -> Any:
    """The continued fraction, by the algorithm of Lentz, until it stands still in ten digits everywhere."""
    shape = shape_of(x)
    where = PROGRAM.where

    def apart(value: Any) -> Any:
        """The value, kept from 0."""
        return where(PROGRAM.abs(value) < 1e-30, 1e-30, value)

    def turn(state: Any) -> Any:
        m, c, d, found, _ = state
        twice = a + 2 * m
        even = m * (b - m) * x / ((twice - 1) * twice)
        d, c = 1 / apart(1 + even * d), apart(1 + even / c)
        found = found * (d * c)
        odd = -(a + m) * (a + b + m) * x / (twice * (twice + 1))
        d, c = 1 / apart(1 + odd * d), apart(1 + odd / c)
        step = d * c
        return m + 1, c, d, found * step, PROGRAM.abs(step - 1) > 1e-10

    start = 1 / apart(1 - (a + b) * x / (a + 1))
    ones = full(shape, 1, _F64)
    state = (full((), 1, _F64), ones, start, start, full(shape, True, np.dtype(bool)))
    axes = tuple(range(len(shape)))
    return while_loop(lambda s: reduce_or(s[4], axes) & (s[0] < 10_000), turn, state)[3]


zeta_p.expand = _branching("_zeta", _usual_zeta, _zeta, "float64 float32 float16 bfloat16")
regularized_incomplete_beta_p.expand = _branching(
    "betainc", _usual_beta, _betainc, "float32 float16 bfloat16"
)
