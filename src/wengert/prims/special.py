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
from wengert.prims.arithmetic import abs_, add, div, mul, neg, sign, square, sub
from wengert.prims.axes import accumulator
from wengert.prims.constructors import Rule, constant, same_dtype
from wengert.prims.elementwise import REALS, binary, elementwise, unary
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


def _polygamma_impl(xp: Any, m: Any, x: Any) -> Any:
    x = np.asarray(x)
    work = accumulator(x.dtype)
    order = np.asarray(m).astype(work)
    wide = x.astype(work, copy=False)
    # DLMF 5.15.1, 25.11.1
    series = np.power(-1.0, order + 1) * scipy_special.gamma(order + 1) * scipy_special.zeta(order + 1, wide)
    found = np.where(order == 0, scipy_special.psi(wide), series)
    return np.where((order < 0) | (order != np.floor(order)), np.nan, found).astype(x.dtype)


polygamma_p = elementwise(
    "polygamma",
    _polygamma_impl,
    accepts=REALS,
    derivatives=(None, lambda t, out, m, x: mul(t, polygamma(add(m, constant(m, 1)), x))),
)
polygamma: Rule = binary(polygamma_p, "The m-th derivative of `digamma` at x.")


def _zeta_slope(t: Any, out: Any, x: Any, q: Any) -> Any:
    return mul(t, mul(neg(x), zeta(add(x, constant(x, 1)), q)))


zeta_p = elementwise("zeta", _scipy("zeta"), accepts=REALS, derivatives=(None, _zeta_slope))
zeta = binary(zeta_p, "The Hurwitz zeta function: the sum of (k + q)**-x over k = 0, 1, 2 ...")

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
    _scipy("betainc"),
    accepts=REALS,
    derivatives=(_no_slope, _no_slope, _betainc_slope),
)


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularized incomplete beta function I_x(a, b), for x from 0 to 1."""
    return regularized_incomplete_beta_p.bind(*same_dtype("betainc", a, b, x))


# ------------------------------------------------------------------------------------------- Bessel functions

bessel_i0e_p = elementwise(
    "bessel_i0e",
    _scipy("i0e"),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, sub(bessel_i1e(x), mul(sign(x), out))),),
)
bessel_i0e = unary(bessel_i0e_p, "exp(-|x|) times the modified Bessel function of order 0.")


def _i1e_slope(t: Any, out: Any, x: Any) -> Any:
    tiny = lt(abs_(x), constant(x, np.finfo(np.float32).eps))
    safe = select(tiny, constant(x, 1), x)
    slope = sub(bessel_i0e(safe), mul(out, add(sign(safe), div(constant(x, 1), safe))))
    return mul(t, select(tiny, constant(x, 0.5), slope))


bessel_i1e_p = elementwise("bessel_i1e", _scipy("i1e"), accepts=REALS, derivatives=(_i1e_slope,))
bessel_i1e: Rule = unary(bessel_i1e_p, "exp(-|x|) times the modified Bessel function of order 1.")
