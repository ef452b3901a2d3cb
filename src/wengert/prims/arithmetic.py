"""Elementwise arithmetic: sums, products, quotients, powers, extrema, rounding, parts of complex numbers."""

from __future__ import annotations

import enum
import operator
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero
from wengert.prims.constructors import Rule, as_operand, check_dtype, constant, dtype_of, same_dtype
from wengert.prims.conversion import convert
from wengert.prims.elementwise import (
    BOOL,
    FLOATS,
    NUMBERS,
    REALS,
    binary,
    complex_to_real,
    elementwise,
    operand_aval,
    unary,
)
from wengert.prims.logic import eq
from wengert.prims.select import select

_CT = lambda ct, *args: ct  # noqa: E731


def _integral(x: Any) -> bool:
    return dtypes.kind_of(x.dtype if isinstance(x, np.ndarray | np.generic) else dtype_of(x)) in "iu"


# -------------------------------------------------------------------------------------------- sum, difference

add_p = elementwise(
    "add",
    lambda xp, x, y: xp.add(x, y),
    accepts=NUMBERS,
    derivatives=(lambda t, out, x, y: t, lambda t, out, x, y: t),
    transposes=(_CT, _CT),
    scalar="add",
)
add = binary(add_p, "The sum x + y. Both have one dtype, and one shape or none.")

sub_p = elementwise(
    "sub",
    lambda xp, x, y: xp.subtract(x, y),
    accepts=NUMBERS,
    derivatives=(lambda t, out, x, y: t, lambda t, out, x, y: neg(t)),
    transposes=(_CT, lambda ct, x, y: neg(ct)),
    scalar="sub",
)
sub = binary(sub_p, "The difference x - y.")

neg_p = elementwise(
    "neg",
    lambda xp, x: xp.negative(x),
    accepts=NUMBERS,
    derivatives=(lambda t, out, x: neg(t),),
    transposes=(lambda ct, x: neg(ct),),
    scalar="neg",
)
neg: Rule = unary(neg_p, "The negative -x; of unsigned integers, modulo 2**bits.")

# ------------------------------------------------------------------------------------------ product, quotient

mul_p = elementwise(
    "mul",
    lambda xp, x, y: xp.multiply(x, y),
    accepts=NUMBERS,
    derivatives=(lambda t, out, x, y: mul(t, y), lambda t, out, x, y: mul(x, t)),
    transposes=(lambda ct, x, y: mul(ct, y), lambda ct, x, y: mul(x, ct)),
    scalar="mul",
)
_mul = binary(mul_p, "The product x * y.")


def mul(x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    """The product x * y, of one dtype, and one shape or none; `out_dtype` is the dtype to compute it in."""
    if out_dtype is None:
        return _mul(x, y)
    return _mul(convert(x, out_dtype), convert(y, out_dtype))


def _div_impl(xp: Any, x: Any, y: Any) -> Any:
    if not _integral(x):
        return xp.true_divide(x, y)
    x, y = xp.asarray(x), xp.asarray(y)
    divisor = xp.where(y == 0, y.dtype.type(1), y)
    quotient = xp.floor_divide(x, divisor)
    inexact = xp.not_equal(xp.multiply(quotient, divisor), x) & ((x < 0) != (divisor < 0))
    quotient = xp.add(quotient, inexact.astype(quotient.dtype))  # towards zero
    return xp.where(y == 0, xp.invert(xp.zeros_like(y)), quotient).astype(x.dtype, copy=False)


div_p = elementwise(
    "div",
    _div_impl,
    accepts=NUMBERS,
    derivatives=(
        lambda t, out, x, y: div(t, y),
        lambda t, out, x, y: mul(mul(neg(t), out), integer_pow(y, -1)),
    ),
    transposes=(lambda ct, x, y: div(ct, y), None),
    scalar="div",
)
div: Rule = binary(
    div_p,
    "The quotient x / y. Of integers it is rounded towards zero; a division by zero gives -1 (all bits set).",
)


def _rem_impl(xp: Any, x: Any, y: Any) -> Any:
    if not _integral(x):
        return xp.fmod(x, y)
    x, y = xp.asarray(x), xp.asarray(y)
    return xp.where(y == 0, x, xp.fmod(x, xp.where(y == 0, y.dtype.type(1), y)))


rem_p = elementwise(
    "rem",
    _rem_impl,
    accepts="iuf",
    derivatives=(
        lambda t, out, x, y: t,
        lambda t, out, x, y: mul(neg(t), mul(sign(div(x, y)), floor(abs_(div(x, y))))),
    ),
    scalar="rem",
)
rem = binary(rem_p, "The remainder of x / y, with the sign of x. Of an integer by zero it is x.")


def _mulhi_impl(xp: Any, x: Any, y: Any) -> Any:
    x, y = xp.asarray(x), xp.asarray(y)
    bits = dtypes.itemsize_bits(x.dtype)
    if bits < 8:
        return (
            ((x.astype(xp.int8).astype(xp.int16) * y.astype(xp.int8)) >> bits).astype(xp.int8).astype(x.dtype)
        )
    if bits < 64:
        wide = xp.dtype(f"{x.dtype.kind}{2 * x.dtype.itemsize}")
        return ((x.astype(wide) * y.astype(wide)) >> bits).astype(x.dtype)
    return _mulhi64(xp, x, y)


def _mulhi64(xp: Any, x: Any, y: Any) -> Any:
    a, b = x.astype(xp.uint64), y.astype(xp.uint64)
    mask, half = xp.uint64(0xFFFFFFFF), xp.uint64(32)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    upper = a1 * b1 + (middle >> half) + ((a0 * b1 + (middle & mask)) >> half)
    if x.dtype.kind == "i":
        zero = xp.uint64(0)
        upper = upper - xp.where(x < 0, b, zero) - xp.where(y < 0, a, zero)
    return upper.astype(x.dtype)


mulhi_p = elementwise("mulhi", _mulhi_impl, accepts="iu", scalar="mulhi")


def mulhi(x: Any, y: Any, /) -> Any:
    """The upper half of the product of two integers."""
    return mulhi_p.bind(*same_dtype("mulhi", x, y))


# ----------------------------------------------------------------------------------------------------- powers


def power_by_squaring(multiply: Any, x: Any, y: int) -> Any:
    """x**y for y > 0 by few products; impl and compiled code do it in the same order."""
    result = None
    while y:
        if y & 1:
            result = x if result is None else multiply(result, x)
        y >>= 1
        if y:
            x = multiply(x, x)
    return result


def _integer_pow_aval(x: ShapedArray, *, y: int) -> ShapedArray:
    check_dtype("integer_pow", NUMBERS, x)
    if y < 0 and dtypes.kind_of(x.dtype) in "iu":
        raise TypeError(
            f"Integers cannot be raised to negative powers, got integer_pow({x.str_short()}, {y})"
        )
    return x


def _integer_pow_impl(xp: Any, x: Any, *, y: int) -> Any:
    x = xp.asarray(x)
    if y == 0:
        return xp.ones_like(x)
    result = power_by_squaring(xp.multiply, x, abs(y))
    return xp.true_divide(x.dtype.type(1), result) if y < 0 else result


def _integer_pow_pull(ctx: Any, index: Any, x: Any, *, y: int) -> Any:
    dtype = x.aval.dtype
    if y == 0:
        return ctx.const(1, dtype)
    result = power_by_squaring(lambda a, b: ctx.op("mul", a, b), x.at(index), abs(y))
    return ctx.op("div", ctx.const(1, dtype), result) if y < 0 else result


def _integer_pow_derivative(t: Any, out: Any, x: Any, *, y: int) -> Any:
    if y == 0:
        return Zero(t.aval)
    # x**1 is written out as well: it costs compiled code nothing, and y * x**(y - 1) is how the rule reads.
    return t if y == 1 else mul(t, mul(constant(x, y), integer_pow(x, y - 1)))


integer_pow_p = elementwise(
    "integer_pow",
    _integer_pow_impl,
    accepts=NUMBERS,
    abstract_eval=_integer_pow_aval,
    derivatives=(_integer_pow_derivative,),
    pull=_integer_pow_pull,
)


def integer_pow(x: Any, y: int) -> Any:
    """x**y for a fixed integer y, which may be negative unless x holds integers."""
    y = operator.index(int(y) if isinstance(y, float) and y == int(y) else y)
    return integer_pow_p.bind(as_operand("integer_pow", x), y=y)


square_p = elementwise(
    "square",
    lambda xp, x: xp.square(x),
    accepts=NUMBERS,
    derivatives=(lambda t, out, x: mul(t, mul(constant(x, 2), x)),),
    scalar="square",
)
square = unary(square_p, "The square x * x.")


def reciprocal(x: Any) -> Any:
    """1 / x."""
    return integer_pow(x, -1)


# ------------------------------------------------------------------------------------------ absolute, extrema


def _sign_impl(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    found = xp.sign(x)
    return xp.where(x == 0, x, found) if dtypes.kind_of(x.dtype) == "f" else found


sign_p = elementwise("sign", _sign_impl, accepts=NUMBERS, scalar="sign")
sign: Rule = unary(
    sign_p, "-1, 0 or 1 as x is negative, zero or positive; x / |x| of complex x. NaN and -0 stay."
)


def _abs_derivative(t: Any, out: Any, x: Any) -> Any:
    if dtype_of(x).kind == "c":
        # sign(x) = x / |x| would do, but for second derivatives: sign is taken as constant there
        size = select(eq(out, constant(out, 0)), constant(out, 1), out)
        return div(real(mul(t, conj(x))), size)
    return mul(t, sign(x))


abs_p = elementwise(
    "abs",
    lambda xp, x: xp.absolute(x),
    accepts=NUMBERS,
    result=complex_to_real,
    derivatives=(_abs_derivative,),
    scalar="abs",
)
abs_: Rule = unary(abs_p, "The absolute value |x|, real for complex x.", "abs")


def _balanced(out: Any, x: Any, y: Any) -> Any:
    """1 where x alone is the extremum `out`, 1/2 where y is too, else 0."""
    one, half, zero = constant(out, 1), constant(out, 0.5), constant(out, 0)
    return select(eq(x, out), select(eq(y, out), half, one), zero)


_EXTREMUM = (
    lambda t, out, x, y: mul(t, _balanced(out, x, y)),
    lambda t, out, x, y: mul(t, _balanced(out, y, x)),
)

max_p = elementwise(
    "max", lambda xp, x, y: xp.maximum(x, y), accepts="iufcb", derivatives=_EXTREMUM, scalar="max"
)
max = binary(
    max_p, "The greater of x and y; NaN where either is. Where they are equal, each has half of the slope."
)

min_p = elementwise(
    "min", lambda xp, x, y: xp.minimum(x, y), accepts="iufcb", derivatives=_EXTREMUM, scalar="min"
)
min = binary(
    min_p, "The smaller of x and y; NaN where either is. Where they are equal, each has half of the slope."
)

# --------------------------------------------------------------------------------------------------- rounding

floor_p = elementwise("floor", lambda xp, x: xp.floor(x), accepts=REALS, scalar="floor")
floor: Rule = unary(floor_p, "The greatest integer that is at most x, as a float.")

ceil_p = elementwise("ceil", lambda xp, x: xp.ceil(x), accepts=REALS, scalar="ceil")
ceil = unary(ceil_p, "The least integer that is at least x, as a float.")


class RoundingMethod(enum.IntEnum):
    """What `round` does with numbers halfway between two integers."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def _round_impl(xp: Any, x: Any, *, rounding_method: int) -> Any:
    x = xp.asarray(x)
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return xp.rint(x)
    whole = xp.trunc(x)
    up = xp.abs(x - whole) >= x.dtype.type(0.5)
    return xp.where(up, whole + xp.copysign(x.dtype.type(1), x), whole)


def _round_pull(ctx: Any, index: Any, x: Any, *, rounding_method: int) -> Any:
    even = rounding_method == RoundingMethod.TO_NEAREST_EVEN
    return ctx.op("round_even" if even else "round", x.at(index))


round_p = elementwise("round", _round_impl, accepts=REALS, pull=_round_pull)


def round(x: Any, rounding_method: Any = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """The integer nearest to x, as a float; `rounding_method` says which of two that are equally near."""
    method = int(RoundingMethod(rounding_method))
    return round_p.bind(as_operand("round", x), rounding_method=method)


is_finite_p = elementwise(
    "is_finite",
    lambda xp, x: xp.isfinite(x),
    accepts=REALS,
    result=lambda dtype: BOOL,
    scalar="is_finite",
)
is_finite = unary(is_finite_p, "Whether x is neither infinite nor NaN.")

nextafter_p = elementwise("nextafter", lambda xp, x, y: xp.nextafter(x, y), accepts=REALS, scalar="nextafter")
_nextafter = binary(nextafter_p, "")


def nextafter(x1: Any, x2: Any) -> Any:
    """The next number after x1 in the direction of x2."""
    return _nextafter(x1, x2)


# -------------------------------------------------------------------------------------------- complex numbers

real_p = elementwise(
    "real",
    lambda xp, x: xp.real(x),
    accepts="c",
    result=complex_to_real,
    scalar="real",
    derivatives=(lambda t, out, x: real(t),),
    transposes=(lambda ct, x: complex(ct, constant(ct, 0)),),
)
real: Rule = unary(real_p, "The real part of a complex x.")

imag_p = elementwise(
    "imag",
    lambda xp, x: xp.imag(x),
    accepts="c",
    result=complex_to_real,
    scalar="imag",
    derivatives=(lambda t, out, x: imag(t),),
    transposes=(lambda ct, x: complex(constant(ct, 0), neg(ct)),),
)
imag: Rule = unary(imag_p, "The imaginary part of a complex x.")


def _complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    found: np.dtype[Any] = dtypes.to_complex_dtype(dtype)
    return found


def _complex_aval(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    aval = operand_aval("complex", REALS, (x, y))
    if aval.dtype.itemsize < 4:
        raise TypeError(f"complex takes float32 or float64, got {aval.dtype}: there is no such complex dtype")
    return ShapedArray(aval.shape, _complex_dtype(aval.dtype), aval.weak_type)


def _complex_impl(xp: Any, x: Any, y: Any) -> Any:
    x, y = xp.broadcast_arrays(x, y)
    out = xp.empty(x.shape, _complex_dtype(x.dtype))
    out.real, out.imag = x, y
    return out


complex_p = elementwise(
    "complex",
    _complex_impl,
    accepts=REALS,
    abstract_eval=_complex_aval,
    result=_complex_dtype,
    scalar="complex",
    derivatives=(
        lambda t, out, x, y: complex(t, constant(t, 0)),
        lambda t, out, x, y: complex(constant(t, 0), t),
    ),
    transposes=(lambda ct, x, y: real(ct), lambda ct, x, y: imag(neg(ct))),
)
complex: Rule = binary(complex_p, "The complex number x + iy.")


def _conj_aval(x: ShapedArray, *, input_dtype: Any) -> ShapedArray:
    check_dtype("conj", FLOATS, x)
    return ShapedArray(x.shape, _complex_dtype(x.dtype), x.weak_type)


def _conj_impl(xp: Any, x: Any, *, input_dtype: Any) -> Any:
    x = xp.asarray(x)
    return xp.conj(x.astype(_complex_dtype(x.dtype), copy=False))


def _conj_transpose(ct: Any, x: Any, *, input_dtype: Any) -> Any:
    conjugate = conj(ct)
    return conjugate if input_dtype.kind == "c" else real(conjugate)


conj_p = elementwise(
    "conj",
    _conj_impl,
    accepts=FLOATS,
    abstract_eval=_conj_aval,
    result=_complex_dtype,
    scalar="conj",
    derivatives=(lambda t, out, x, *, input_dtype: conj(t),),
    transposes=(_conj_transpose,),
)


def conj(x: Any) -> Any:
    """The complex conjugate of x, complex also for real x."""
    x = as_operand("conj", x)
    return conj_p.bind(x, input_dtype=dtype_of(x))


# ------------------------------------------------------------------------------------------------------- copy

copy_p: Primitive = elementwise(
    "copy",
    lambda xp, x: xp.array(x, copy=True),
    accepts="biufcV",
    derivatives=(lambda t, out, x: copy_p.bind(t),),
    transposes=(_CT,),
    scalar="copy",
)
