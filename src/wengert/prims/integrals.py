"""Special functions that are integrals: exponential, trigonometric, Gaussian ones; and Bessel functions.

Computed by SciPy, in double precision. Sources of the derivatives: NIST Digital Library of Mathematical
Functions, https://dlmf.nist.gov, chapters 6, 7, 8, 10 and 25; of owens_t, D. B. Owen, Tables for computing
bivariate normal probabilities (1956).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core.primitive import Primitive
from wengert.prims.arithmetic import abs_, add, div, mul, neg, square, sub
from wengert.prims.constructors import constant
from wengert.prims.elementwise import REALS, elementwise
from wengert.prims.formulas import as_program, in_numbers
from wengert.prims.logic import eq, gt
from wengert.prims.select import select
from wengert.prims.special import erf, in_double
from wengert.prims.transcendental import cos, exp, log, sin

scipy_special = lazy_module("scipy.special")


def _number(which: int, name: str) -> Callable[..., Any]:
    """One of the results of a function of scipy.special."""

    def impl(xp: Any, x: Any) -> Any:
        dtype = np.asarray(x).dtype
        return np.asarray(getattr(scipy_special, name)(np.asarray(x, np.float64))[which]).astype(dtype)

    return impl


# ------------------------------------------------------------------- exponential and trigonometric integrals

expi_p = elementwise(
    "expi",
    in_double("expi"),
    loop="expi",
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, div(exp(x), x)),),
)


def _expn(xp: Any, n: Any, x: Any) -> Any:
    order = xp.trunc(n)
    # DLMF 8.19.1: orders below 1 come from derivatives
    low = xp.gamma(1 - order) * xp.gammaincc(1 - order, x) * xp.power(x, order - 1)
    return xp.where(order < 1, low, xp.expn(xp.maximum(order, 1.0), x))


expn_p: Primitive = elementwise(
    "expn",
    in_numbers(_expn),
    expand=as_program(_expn),
    accepts=REALS,
    derivatives=(None, lambda t, out, n, x: mul(neg(t), expn_p.bind(sub(n, constant(n, 1)), x))),
)


def _over_x(t: Any, wave: Any, x: Any) -> Any:
    """t wave(x) / x, and t at 0, where the slope of the sine integral is 1."""
    at_zero = eq(x, constant(x, 0))
    safe = select(at_zero, constant(x, 1), x)
    return mul(t, select(at_zero, constant(x, 1), div(wave(safe), safe)))


sine_integral_p = elementwise(
    "sine_integral",
    _number(0, "sici"),
    loop="sici",
    part=(0, 2),
    accepts=REALS,
    derivatives=(lambda t, out, x: _over_x(t, sin, x),),
)
cosine_integral_p = elementwise(
    "cosine_integral",
    _number(1, "sici"),
    loop="sici",
    part=(1, 2),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, div(cos(x), x)),),
)


def _quarter_turns(x: Any) -> Any:
    return mul(constant(x, math.pi / 2), square(x))


fresnel_s_p = elementwise(
    "fresnel_s",
    _number(0, "fresnel"),
    loop="fresnel",
    part=(0, 2),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, sin(_quarter_turns(x))),),
)
fresnel_c_p = elementwise(
    "fresnel_c",
    _number(1, "fresnel"),
    loop="fresnel",
    part=(1, 2),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, cos(_quarter_turns(x))),),
)


def _spence_slope(t: Any, out: Any, x: Any) -> Any:
    at_one = eq(x, constant(x, 1))
    safe = select(at_one, constant(x, 0.5), x)
    return mul(t, select(at_one, constant(x, -1), div(log(safe), sub(constant(x, 1), safe))))


spence_p = elementwise(
    "spence", in_double("spence"), loop="spence", accepts=REALS, derivatives=(_spence_slope,)
)

# -------------------------------------------------------------------------------------------- Gaussian integrals


def _remainder(x: Any, sign: float) -> Any:
    """1 - 2 x dawsn(x) for sign 1, 1 - sqrt(pi) x erfcx(x) for -1, where |x| > 10: their asymptotic series.

    There the two terms are nearly equal, and their difference would have no digits left.
    """
    y = div(constant(x, sign / 2), square(x))
    total: Any = constant(x, 0)
    for k in range(10, 0, -1):
        total = mul(y, mul(constant(x, 2 * k - 1), add(constant(x, 1), total)))
    return neg(total)


def _dawsn_slope(t: Any, out: Any, x: Any) -> Any:
    near = sub(constant(x, 1), mul(constant(x, 2), mul(x, out)))
    far = gt(abs_(x), constant(x, 10))
    return mul(t, select(far, _remainder(select(far, x, constant(x, 10)), 1.0), near))


def _erfcx_slope(t: Any, out: Any, x: Any) -> Any:
    scale = constant(x, -2 / math.sqrt(math.pi))
    far = gt(x, constant(x, 10))
    # 2 x erfcx(x) - 2 / sqrt(pi)
    near = add(mul(constant(x, 2), mul(x, out)), scale)
    distant = mul(scale, _remainder(select(far, x, constant(x, 10)), -1.0))
    return mul(t, select(far, distant, near))


def _wofz_slope(t: Any, out: Any, z: Any) -> Any:
    return mul(t, sub(constant(z, 2j / math.sqrt(math.pi)), mul(constant(z, 2), mul(z, out))))


dawsn_p = elementwise("dawsn", in_double("dawsn"), loop="dawsn", accepts=REALS, derivatives=(_dawsn_slope,))
erfcx_p = elementwise("erfcx", in_double("erfcx"), loop="erfcx", accepts=REALS, derivatives=(_erfcx_slope,))
wofz_p = elementwise("wofz", in_double("wofz"), loop="wofz", accepts="c", derivatives=(_wofz_slope,))


def _ndtri_slope(t: Any, out: Any, p: Any) -> Any:
    return mul(t, mul(constant(p, math.sqrt(2 * math.pi)), exp(mul(constant(p, 0.5), square(out)))))


ndtri_p = elementwise("ndtri", in_double("ndtri"), loop="ndtri", accepts=REALS, derivatives=(_ndtri_slope,))


def _owens_slope_in_h(t: Any, out: Any, h: Any, a: Any) -> Any:
    bell = exp(mul(constant(h, -0.5), square(h)))
    half = erf(mul(constant(h, math.sqrt(0.5)), mul(a, h)))
    return mul(t, mul(constant(h, -0.5 / math.sqrt(2 * math.pi)), mul(bell, half)))


def _owens_slope_in_a(t: Any, out: Any, h: Any, a: Any) -> Any:
    spread = add(constant(a, 1), square(a))
    bell = exp(mul(constant(h, -0.5), mul(square(h), spread)))
    return mul(t, div(mul(constant(h, 0.5 / math.pi), bell), spread))


owens_t_p = elementwise(
    "owens_t",
    in_double("owens_t"),
    loop="owens_t",
    accepts=REALS,
    derivatives=(_owens_slope_in_h, _owens_slope_in_a),
)

# ---------------------------------------------------------------------------------------------- Bessel functions


def _bessel_slope(t: Any, out: Any, z: Any, *, order: int) -> Any:
    if order == 0:
        return neg(mul(t, bessel_j_p.bind(z, order=1)))
    below, above = (bessel_j_p.bind(z, order=order + k) for k in (-1, 1))
    return mul(t, mul(constant(z, 0.5), sub(below, above)))  # DLMF 10.6.1


bessel_j_p: Primitive = elementwise(
    "bessel_j", in_double("jv"), loop="jv", accepts=REALS, derivatives=(_bessel_slope,)
)
