"""The hypergeometric functions 1F1 and 2F1, with derivatives in all arguments, and the Riemann zeta function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.core.primitive import Primitive
from wengert.prims.arithmetic import add, div, mul
from wengert.prims.constructors import constant
from wengert.prims.elementwise import REALS, elementwise
from wengert.prims.formulas import as_program, in_numbers
from wengert.prims.special import hurwitz_slope, in_double

# The derivatives in the parameters have no closed form, and their series need other forms in each part of the
# plane. They are taken as differences of values in double precision: of the eighth order, so that with steps of
# 1/128 both what is left out and what rounding adds are about 1e-12 of the value.
_STEP = 1 / 128
_STENCIL = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))


def _slope(xp: Any, *args: Any, function: str, position: int) -> Any:
    evaluate = getattr(xp, function)

    def at(steps: int) -> Any:
        return evaluate(*args[:position], args[position] + steps * _STEP, *args[position + 1 :])

    return sum(weight * (at(k) - at(-k)) for k, weight in _STENCIL) / _STEP


def _no_second_slope(t: Any, out: Any, *args: Any, function: str, position: int) -> Any:
    raise ValueError(
        f"{function} is differentiable once in its parameters, but not a second time. Wrap what must not be "
        "differentiated twice in lax.stop_gradient."
    )


hypergeometric_slope_p = elementwise(
    "hypergeometric_slope",
    in_numbers(_slope),
    expand=as_program(_slope),
    accepts=REALS,
    derivatives=(_no_second_slope,) * 4,
)


def _slope_in(function: str, position: int) -> Any:
    def slope(t: Any, out: Any, *args: Any) -> Any:
        return mul(t, hypergeometric_slope_p.bind(*args, function=function, position=position))

    return slope


def _next(x: Any) -> Any:
    return add(x, constant(x, 1))


hyp1f1_p: Primitive = elementwise(
    "hyp1f1",
    in_double("hyp1f1"),
    loop="hyp1f1",
    accepts=REALS,
    derivatives=(
        _slope_in("hyp1f1", 0),
        _slope_in("hyp1f1", 1),
        # DLMF 13.3.15
        lambda t, out, a, b, x: mul(t, mul(div(a, b), hyp1f1_p.bind(_next(a), _next(b), x))),
    ),
)

hyp2f1_p: Primitive = elementwise(
    "hyp2f1",
    in_double("hyp2f1"),
    loop="hyp2f1",
    accepts=REALS,
    derivatives=(
        _slope_in("hyp2f1", 0),
        _slope_in("hyp2f1", 1),
        _slope_in("hyp2f1", 2),
        # DLMF 15.5.1
        lambda t, out, a, b, c, x: mul(
            t, mul(div(mul(a, b), c), hyp2f1_p.bind(_next(a), _next(b), _next(c), x))
        ),
    ),
)


def _riemann_slope(xp: Any, s: Any) -> Any:
    direct = hurwitz_slope(xp, xp.maximum(s, 0.5), 1 + 0 * s)
    # DLMF 25.4.1, differentiated: zeta(s) = 2 (2 pi)**(s - 1) sin(pi s / 2) gamma(1 - s) zeta(1 - s)
    other = xp.minimum(s, 0.5)
    factor = 2 * xp.power(2 * np.pi, other - 1) * xp.gamma(1 - other)
    sine, cosine = xp.sin(np.pi * other / 2), xp.cos(np.pi * other / 2)
    value, slope = xp.zeta(1 - other), hurwitz_slope(xp, 1 - other, 1 + 0 * s)
    relative = math.log(2 * math.pi) - xp.psi(1 - other)
    mirrored = factor * (value * (sine * relative + np.pi / 2 * cosine) - sine * slope)
    return xp.where(s < 0.5, mirrored, direct)


def _no_second_derivative(t: Any, out: Any, x: Any) -> Any:
    raise ValueError(
        "zeta is differentiable once in x, but not twice. Wrap x in lax.stop_gradient for one of them."
    )


riemann_zeta_slope_p = elementwise(
    "riemann_zeta_slope",
    in_numbers(_riemann_slope),
    expand=as_program(_riemann_slope),
    accepts=REALS,
    derivatives=(_no_second_derivative,),
)
riemann_zeta_p = elementwise(
    "riemann_zeta",
    in_double("zeta"),
    loop="_riemann_zeta",
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, riemann_zeta_slope_p.bind(x)),),
)
