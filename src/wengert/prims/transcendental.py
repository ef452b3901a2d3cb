"""Elementwise transcendental functions.

Sources of the derivatives: NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, chapters 4
  to 8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.avals import ShapedArray
from wengert.prims.arithmetic import (
    add,
    div,
    integer_pow,
    mul,
    neg,
    square,
    sub,
)
from wengert.prims.constructors import Rule, as_operand, check_dtype, constant, dtype_of, same_dtype
from wengert.prims.conversion import convert
from wengert.prims.elementwise import (
    FLOATS,
    NUMBERS,
    REALS,
    accurate,
    binary,
    elementwise,
    operand_aval,
    read,
    unary,
)
from wengert.prims.logic import eq
from wengert.prims.select import select

special = lazy_module("scipy.special")


def _one(x: Any) -> Any:
    return constant(x, 1)


# ----------------------------------------------------------------------------------- exponentials, logarithms

exp_p = elementwise(
    "exp",
    lambda xp, x: xp.exp(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, out),),
    scalar="exp",
)
exp = accurate(exp_p, "The exponential e**x.")

exp2_p = elementwise(
    "exp2",
    lambda xp, x: xp.exp2(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(constant(x, math.log(2)), mul(t, out)),),
    scalar="exp2",
)
exp2 = accurate(exp2_p, "The power 2**x.")

log_p = elementwise(
    "log",
    lambda xp, x: xp.log(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: div(t, x),),
    scalar="log",
)
log = accurate(log_p, "The natural logarithm of x.")

log2_p = elementwise(
    "log2",
    lambda xp, x: xp.log2(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: div(mul(t, constant(x, 1 / math.log(2))), x),),
    scalar="log2",
)
log2 = accurate(log2_p, "The logarithm of x to base 2.")

expm1_p = elementwise(
    "expm1",
    lambda xp, x: xp.expm1(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, add(out, _one(out))),),
    scalar="expm1",
)
expm1 = accurate(expm1_p, "e**x - 1, accurate for small x.")


def _from_parts(xp: Any, re: Any, im: Any, dtype: Any) -> Any:
    out = xp.empty(xp.shape(re), dtype)
    out.real, out.imag = re, im
    return out[()]


def _log1p_impl(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    if x.dtype.kind != "c":
        return xp.log1p(x)
    # NumPy's loses what is small beside 1
    half = x.real.dtype.type(0.5)
    square = x.real * (x.real + 2) + x.imag * x.imag  # |1 + x|**2 - 1
    near = xp.abs(square) < half
    far = xp.log(xp.hypot(x.real + 1, x.imag))
    re = xp.where(near, xp.log1p(xp.where(near, square, 0)) * half, far)
    return _from_parts(xp, re, xp.arctan2(x.imag, x.real + 1), x.dtype)


log1p_p = elementwise(
    "log1p",
    _log1p_impl,
    accepts=FLOATS,
    derivatives=(lambda t, out, x: div(t, add(x, _one(x))),),
    scalar="log1p",
)
log1p = accurate(log1p_p, "log(1 + x), accurate for small x.")


def _logistic_impl(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    if x.dtype.kind == "c":  # by exp(-|re x|), so that nothing overflows
        less, t, angle = xp.expm1(-abs(x.real)), xp.exp(-abs(x.real)), x.imag / 2
        s, c = xp.sin(angle), xp.cos(angle)
        rise = 2 * c * c
        size = less * less + 2 * t * rise
        re = xp.where(x.real < 0, t * (rise + less), t * rise - less) / size
        return _from_parts(xp, re, 2 * t * s * c / size, x.dtype)
    half = dtypes.kind_of(x.dtype) == "f" and x.dtype.itemsize < 4
    wide = x.astype(np.float32) if half else x  # where exp(-x) is beyond a half's range the quotient is not
    one = wide.dtype.type(1)
    return (one / (one + xp.exp(-wide))).astype(x.dtype, copy=False)


logistic_p = elementwise(
    "logistic",
    _logistic_impl,
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, mul(out, sub(_one(out), out))),),
    scalar="logistic",
)
logistic = accurate(logistic_p, "The logistic function 1 / (1 + exp(-x)).")

# ------------------------------------------------------------------------------------------------------ roots

sqrt_p = elementwise(
    "sqrt",
    lambda xp, x: xp.sqrt(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, div(constant(x, 0.5), out)),),
    scalar="sqrt",
)
sqrt = accurate(sqrt_p, "The square root of x.")


def _rsqrt_impl(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    if x.dtype.itemsize < 4:  # rounded once
        return (1 / xp.sqrt(x.astype(xp.float32))).astype(x.dtype)
    return x.dtype.type(1) / xp.sqrt(x)


rsqrt_p = elementwise(
    "rsqrt",
    _rsqrt_impl,
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, mul(constant(x, -0.5), div(out, x))),),
    scalar="rsqrt",
)
rsqrt = accurate(rsqrt_p, "1 / sqrt(x).")

cbrt_p = elementwise(
    "cbrt",
    lambda xp, x: xp.cbrt(x),
    accepts=REALS,
    derivatives=(lambda t, out, x: mul(t, mul(constant(x, 1 / 3), div(out, x))),),
    scalar="cbrt",
)
cbrt = accurate(cbrt_p, "The real cube root of x.")

# ----------------------------------------------------------------------------------------------------- powers


def _pow_aval(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    check_dtype("pow", FLOATS, x, 0)
    check_dtype("pow", NUMBERS, y, 1)
    if dtypes.kind_of(y.dtype) in "iu":
        y = ShapedArray(y.shape, x.dtype, y.weak_type)
    return operand_aval("pow", FLOATS, (x, y))


def _pow_derivative_x(t: Any, out: Any, x: Any, y: Any) -> Any:
    y = convert(y, dtype_of(x))
    exponent = select(eq(y, constant(y, 0)), constant(y, 1), sub(y, constant(y, 1)))
    return mul(t, mul(y, pow_p.bind(x, exponent)))


def _pow_derivative_y(t: Any, out: Any, x: Any, y: Any) -> Any:
    nonzero = select(eq(x, constant(x, 0)), constant(x, 1), x)
    return mul(mul(log(nonzero), out), t)


def _pow_impl(xp: Any, x: Any, y: Any) -> Any:
    x = xp.asarray(x)
    y = xp.asarray(y).astype(x.dtype)
    # NumPy takes the square root for one exponent of 0.5, which is another thing for -inf and -0.0
    return xp.power(x, y if y.shape else xp.full(x.shape, y))


def _pow_pull(ctx: Any, index: Any, x: Any, y: Any) -> Any:
    dtype = x.aval.dtype
    exponent = read(index, y)
    if y.aval.dtype != dtype:
        exponent = ctx.op("convert", exponent, dtype=dtype)
    return ctx.op("pow", read(index, x), exponent)


pow_p = elementwise(
    "pow",
    _pow_impl,
    accepts=FLOATS,
    abstract_eval=_pow_aval,
    derivatives=(_pow_derivative_x, _pow_derivative_y),
    pull=_pow_pull,
)


def pow(x: Any, y: Any) -> Any:
    """x**y, for x of a floating or complex dtype and y of the same, or of an integer one."""
    if type(y) is int:
        return integer_pow(x, y)
    if isinstance(y, ArrayBase | np.generic | np.ndarray) and dtypes.kind_of(dtype_of(y)) in "iu":
        return pow_p.bind(as_operand("pow", x), as_operand("pow", y, 1))
    if isinstance(x, ArrayBase):
        check_dtype("pow", FLOATS, x.aval, 0)
    return pow_p.bind(*same_dtype("pow", x, y))


# ----------------------------------------------------------------------------------------------- trigonometry

sin_p = elementwise(
    "sin",
    lambda xp, x: xp.sin(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, cos(x)),),
    scalar="sin",
)
sin = accurate(sin_p, "The sine of x, in radians.")

cos_p = elementwise(
    "cos",
    lambda xp, x: xp.cos(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: neg(mul(t, sin(x))),),
    scalar="cos",
)
cos: Rule = accurate(cos_p, "The cosine of x, in radians.")

tan_p = elementwise(
    "tan",
    lambda xp, x: xp.tan(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, add(_one(x), square(out))),),
    scalar="tan",
)
tan = accurate(tan_p, "The tangent of x, in radians.")

asin_p = elementwise(
    "asin",
    lambda xp, x: xp.arcsin(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, rsqrt(sub(_one(x), square(x)))),),
    scalar="asin",
)
asin = unary(asin_p, "The angle, in radians, whose sine is x.")

acos_p = elementwise(
    "acos",
    lambda xp, x: xp.arccos(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: neg(mul(t, rsqrt(sub(_one(x), square(x))))),),
    scalar="acos",
)
acos = unary(acos_p, "The angle, in radians, whose cosine is x.")

atan_p = elementwise(
    "atan",
    lambda xp, x: xp.arctan(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: div(t, add(square(x), _one(x))),),
    scalar="atan",
)
atan = unary(atan_p, "The angle, in radians, whose tangent is x.")

atan2_p = elementwise(
    "atan2",
    lambda xp, x, y: xp.arctan2(x, y),
    accepts=REALS,
    derivatives=(
        lambda t, out, x, y: mul(t, div(y, add(square(x), square(y)))),
        lambda t, out, x, y: mul(t, div(neg(x), add(square(x), square(y)))),
    ),
    scalar="atan2",
)
atan2 = binary(atan2_p, "The angle of the point (y, x), in radians, from -pi to pi.")

# --------------------------------------------------------------------------------------- hyperbolic functions

sinh_p = elementwise(
    "sinh",
    lambda xp, x: xp.sinh(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, cosh(x)),),
    scalar="sinh",
)
sinh = unary(sinh_p, "The hyperbolic sine of x.")

cosh_p = elementwise(
    "cosh",
    lambda xp, x: xp.cosh(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, sinh(x)),),
    scalar="cosh",
)
cosh: Rule = unary(cosh_p, "The hyperbolic cosine of x.")

tanh_p = elementwise(
    "tanh",
    lambda xp, x: xp.tanh(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, sub(_one(out), square(out))),),
    scalar="tanh",
)
tanh = accurate(tanh_p, "The hyperbolic tangent of x.")

asinh_p = elementwise(
    "asinh",
    lambda xp, x: xp.arcsinh(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, rsqrt(add(square(x), _one(x)))),),
    scalar="asinh",
)
asinh = unary(asinh_p, "The number whose hyperbolic sine is x.")

acosh_p = elementwise(
    "acosh",
    lambda xp, x: xp.arccosh(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, mul(rsqrt(sub(x, _one(x))), rsqrt(add(x, _one(x))))),),
    scalar="acosh",
)
acosh = unary(acosh_p, "The number whose hyperbolic cosine is x.")

atanh_p = elementwise(
    "atanh",
    lambda xp, x: xp.arctanh(x),
    accepts=FLOATS,
    derivatives=(lambda t, out, x: div(div(t, add(_one(x), x)), sub(_one(x), x)),),
    scalar="atanh",
)
atanh = unary(atanh_p, "The number whose hyperbolic tangent is x.")
