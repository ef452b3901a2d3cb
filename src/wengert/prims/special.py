"""Elementwise special functions, computed by SciPy.

Sources of the derivatives: NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, chapters 5
to 8, 10 and 25.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.prims import bessel
from wengert.prims.arithmetic import abs_, add, div, mul, neg, sign, square, sub
from wengert.prims.axes import accumulator
from wengert.prims.constructors import Rule, constant, dtype_of, same_dtype
from wengert.prims.elementwise import REALS, elementwise, unary
from wengert.prims.formulas import PROGRAM, as_program, in_numbers
from wengert.prims.logic import lt
from wengert.prims.select import select
from wengert.prims.transcendental import exp, log, log1p

scipy_special = lazy_module("scipy.special")


def _scipy(name: str) -> Callable[..., Any]:
    """A function of scipy.special, in the dtype of its operands."""

    def impl(xp: Any, *args: Any) -> Any:
        arrays = [np.asarray(a) for a in args]
        dtype = arrays[0].dtype
        found = getattr(scipy_special, name)(*[a.astype(accumulator(dtype), copy=False) for a in arrays])
        return np.asarray(found).astype(dtype, copy=False)

    return impl


def in_double(name: str) -> Callable[..., Any]:
    """A function of scipy.special, computed in double precision and rounded once."""

    def impl(xp: Any, *args: Any, **params: Any) -> Any:
        dtype = np.asarray(args[-1]).dtype
        work = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
        found = getattr(scipy_special, name)(*params.values(), *[np.asarray(a).astype(work) for a in args])
        with np.errstate(over="ignore"):
            return np.asarray(found).astype(dtype)

    return impl


# -------------------------------------------------------------------------------------------- error functions

erf_p = elementwise(
    "erf",
    _scipy("erf"),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(constant(x, 2 / math.sqrt(math.pi)), mul(t, exp(neg(square(x))))),),
    scalar="erf",
)
erf = unary(erf_p, "The error function of x.")

erfc_p = elementwise(
    "erfc",
    _scipy("erfc"),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(constant(x, -2 / math.sqrt(math.pi)), mul(t, exp(neg(square(x))))),),
    scalar="erfc",
)
erfc = unary(erfc_p, "1 - erf(x), accurate for large x.")

erf_inv_p = elementwise(
    "erf_inv",
    _scipy("erfinv"),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(constant(x, math.sqrt(math.pi) / 2), mul(t, exp(square(out)))),),
    scalar="erf_inv",
)
erf_inv = unary(erf_inv_p, "The number whose error function is x.")

# -------------------------------------------------------------------------------------------- gamma functions

lgamma_p = elementwise(
    "lgamma",
    _scipy("gammaln"),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, digamma(x)),),
    scalar="lgamma",
)
lgamma = unary(lgamma_p, "The logarithm of the absolute value of the gamma function of x.")

digamma_p = elementwise(
    "digamma",
    _scipy("psi"),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, polygamma(constant(x, 1), x)),),
    scalar="digamma",
)
digamma: Rule = unary(digamma_p, "The derivative of `lgamma`.")


def _polygamma(xp: Any, m: Any, x: Any) -> Any:
    # DLMF 5.15.1, 25.11.1
    series = xp.power(-1.0, m + 1) * xp.gamma(m + 1) * xp.zeta(m + 1, x)
    found = xp.where(m == 0, xp.psi(x), series)
    return xp.where((m < 0) | (m != xp.floor(m)), np.nan, found)


def _no_slope_in_order(t: Any, out: Any, m: Any, x: Any) -> Any:
    raise ValueError("polygamma is differentiable in x, but not in its order m. Wrap m in lax.stop_gradient.")


polygamma_p = elementwise(
    "polygamma",
    in_numbers(_polygamma),
    expand=as_program(_polygamma),
    accepts=REALS,
    derivatives=(_no_slope_in_order, lambda t, out, m, x: mul(t, polygamma(add(m, constant(m, 1)), x))),
)


def polygamma(m: Any, x: Any) -> Any:
    """The m-th derivative of `digamma` at x, for m = 0, 1, 2 ... as floats; NaN for other m."""
    return polygamma_p.bind(*same_dtype("polygamma", m, x))


def hurwitz_slope(xp: Any, x: Any, q: Any) -> Any:
    """The derivative of zeta(x, q) in x, of doubles with x > 0 and q > 0, by Euler and Maclaurin.

    DLMF 25.11.7, differentiated: the sum of 12 terms, the integral of the rest, and 8 terms of Bernoulli.
    """
    total = sum(-xp.log(q + k) * xp.power(q + k, -x) for k in range(12))
    w = q + 12
    log_w, power = xp.log(w), xp.power(w, -x)
    total = total - w * power * (log_w / (x - 1) + 1 / ((x - 1) * (x - 1))) - log_w * power / 2
    rising, slope = x, 1 / x  # x (x + 1) ... (x + 2j - 2), and the derivative of its logarithm
    scale = power / w
    bernoulli = scipy_special.bernoulli(16)
    for j in range(1, 9):
        term = float(bernoulli[2 * j]) / math.factorial(2 * j) * rising * scale
        total = total + term * (slope - log_w)
        for i in (2 * j - 1, 2 * j):
            rising, slope = rising * (x + i), slope + 1 / (x + i)
        scale = scale / (w * w)
    return total


def _zeta_slope(xp: Any, x: Any, q: Any) -> Any:
    return xp.where((x > 1) & (q > 0), hurwitz_slope(xp, x, q), np.nan)


def _no_second_slope(t: Any, out: Any, x: Any, q: Any) -> Any:
    raise ValueError(
        "zeta is differentiable once in x, but not twice. Wrap x in lax.stop_gradient for one of them."
    )


def _zeta_mixed_slope(t: Any, out: Any, x: Any, q: Any) -> Any:
    above = add(x, constant(x, 1))
    return mul(neg(t), add(zeta(above, q), mul(x, zeta_slope_p.bind(above, q))))


zeta_slope_p = elementwise(
    "zeta_slope",
    in_numbers(_zeta_slope),
    expand=as_program(_zeta_slope),
    accepts=REALS,
    derivatives=(_no_second_slope, _zeta_mixed_slope),
)
zeta_p = elementwise(
    "zeta",
    in_double("zeta"),
    loop="_zeta",
    accepts=REALS,
    derivatives=(
        lambda t, out, x, q: mul(t, zeta_slope_p.bind(x, q)),
        lambda t, out, x, q: mul(t, mul(neg(x), zeta(add(x, constant(x, 1)), q))),
    ),
)


PROGRAM.psi, PROGRAM.gammaln, PROGRAM.hurwitz_zeta = digamma, lgamma, zeta_p.bind


def zeta(x: Any, q: Any) -> Any:
    """The Hurwitz zeta function: the sum of (k + q)**-x over k = 0, 1, 2 ..., for x > 1."""
    return zeta_p.bind(*same_dtype("zeta", x, q))


# ----------------------------------------------------------------------------------- incomplete beta function


def _betainc_slope(t: Any, out: Any, a: Any, b: Any, x: Any) -> Any:
    one = constant(x, 1)
    log_beta = sub(add(lgamma(a), lgamma(b)), lgamma(add(a, b)))
    density = exp(sub(add(mul(sub(b, one), log1p(neg(x))), mul(sub(a, one), log(x))), log_beta))
    return mul(t, density)


def _no_slope(t: Any, out: Any, a: Any, b: Any, x: Any) -> Any:
    raise ValueError("betainc is differentiable in x, but not in a and b. Wrap these in lax.stop_gradient.")


regularized_incomplete_beta_p = elementwise(
    "regularized_incomplete_beta",
    in_double("betainc"),
    loop="betainc",
    accepts=REALS,
    derivatives=(_no_slope, _no_slope, _betainc_slope),
)


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularized incomplete beta function I_x(a, b), for x from 0 to 1."""
    return regularized_incomplete_beta_p.bind(*same_dtype("betainc", a, b, x))


# ------------------------------------------------------------------------------------------- Bessel functions

bessel_i0e_p = elementwise(
    "bessel_i0e",
    in_double("i0e"),
    expand=bessel.program(0),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, sub(bessel_i1e(x), mul(sign(x), out))),),
)
bessel_i0e = unary(bessel_i0e_p, "exp(-|x|) times the modified Bessel function of order 0.")


def _i1e_slope(t: Any, out: Any, x: Any) -> Any:
    tiny = lt(abs_(x), constant(x, dtypes.finfo(dtype_of(x)).eps))
    safe = select(tiny, constant(x, 1), x)
    slope = sub(bessel_i0e(safe), mul(out, add(sign(safe), div(constant(x, 1), safe))))
    return mul(t, select(tiny, constant(x, 0.5), slope))


bessel_i1e_p = elementwise(
    "bessel_i1e", in_double("i1e"), expand=bessel.program(1), accepts=REALS, derivatives=(_i1e_slope,)
)
bessel_i1e: Rule = unary(bessel_i1e_p, "exp(-|x|) times the modified Bessel function of order 1.")
