"""More functions that work element by element, composed of those in `ufuncs`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy import ufuncs
from wengert.numpy._util import (
    ArrayLike,
    as_array,
    bool_dtype,
    broadcast_operands,
    broadcast_shapes,
    broadcast_to_shape,
    convert,
    numeric,
    promote,
    promote_dtypes,
    promote_inexact,
    refuse_out,
    scalar,
)


def select(condition: Any, x: Any, y: Any) -> Any:
    """Elementwise x where `condition` holds, y elsewhere; x and y are arrays of one dtype."""
    condition, x, y = broadcast_operands("where", (condition, x, y), keep_scalars=False)
    return lax.select(condition, x, y)


def constant_like(x: Any, value: Any) -> Any:
    """The number `value` in the dtype of x."""
    return scalar(value, x.dtype, x.weak_type)


def hypot(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """sqrt(x1**2 + x2**2) without overflow or underflow on the way, elementwise."""
    x, y = promote_inexact("hypot", x1, x2)
    if x.dtype.kind == "c":
        raise user_context(ValueError("jnp.hypot does not support complex-valued inputs"))
    x, y = lax.abs(x), lax.abs(y)
    large, small = lax.max(x, y), lax.min(x, y)
    degenerate = lax.bitwise_or(lax.eq(large, constant_like(large, 0)), ufuncs.isinf(large))
    ratio = lax.div(small, select(degenerate, lax.full_like(large, 1), large))
    one = constant_like(ratio, 1)
    return select(degenerate, large, lax.mul(large, lax.sqrt(lax.add(one, lax.square(ratio)))))


def logaddexp(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """log(exp(x1) + exp(x2)), without overflow, elementwise."""
    x, y = promote_inexact("logaddexp", x1, x2)
    if x.dtype.kind == "c":
        larger = select(ufuncs.greater(x, y), x, y)
        smaller = select(ufuncs.greater(x, y), y, x)
        return lax.add(larger, lax.log1p(lax.exp(lax.sub(smaller, larger))))
    delta = lax.sub(x, y)
    same_infinity = lax.ne(delta, delta)  # inf - inf, or a NaN: their sum is the answer
    delta = select(same_infinity, lax.full_like(delta, 0), delta)
    smooth = lax.add(lax.max(x, y), lax.log1p(lax.exp(lax.neg(lax.abs(delta)))))
    return select(same_infinity, lax.add(x, y), smooth)


def logaddexp2(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """log2(2**x1 + 2**x2), without overflow, elementwise."""
    x, y = promote_inexact("logaddexp2", x1, x2)
    ln2 = constant_like(x, math.log(2))
    return lax.div(logaddexp(lax.mul(x, ln2), lax.mul(y, ln2)), ln2)


def heaviside(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """0 where x1 < 0, x2 where x1 == 0, 1 where x1 > 0, elementwise."""
    x, y = promote_inexact("heaviside", x1, x2)
    zero, one = lax.full_like(x, 0), lax.full_like(x, 1)
    at_zero = select(lax.ne(x, x), x, y)
    return select(lax.lt(x, zero), zero, select(lax.gt(x, zero), one, at_zero))


def copysign(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """|x1| with the sign of x2, elementwise."""
    x, y = promote_inexact("copysign", x1, x2)
    x = lax.abs(x)
    return select(ufuncs.signbit(y), lax.neg(x), x)


def fmax(x1: ArrayLike, x2: ArrayLike) -> Any:
    """The larger of both, elementwise; of a number and a NaN the number."""
    x, y = promote("fmax", x1, x2)
    return select(lax.bitwise_or(lax.gt(x, y), lax.ne(y, y)), x, y)


def fmin(x1: ArrayLike, x2: ArrayLike) -> Any:
    """The smaller of both, elementwise; of a number and a NaN the number."""
    x, y = promote("fmin", x1, x2)
    return select(lax.bitwise_or(lax.lt(x, y), lax.ne(y, y)), x, y)


def nextafter(x: ArrayLike, y: ArrayLike, /) -> Any:
    """The floating point number next to x in the direction of y, elementwise."""
    return lax.nextafter(*promote_inexact("nextafter", x, y))


def spacing(x: ArrayLike, /) -> Any:
    """The distance from x to the next floating point number away from zero, elementwise."""
    (x,) = promote_inexact("spacing", x)
    tiny = constant_like(x, dtypes.finfo(x.dtype).smallest_subnormal)
    step = lax.sub(lax.nextafter(x, copysign(constant_like(x, math.inf), x)), x)
    return select(lax.eq(step, constant_like(x, 0)), copysign(tiny, x), step)


def modf(x: ArrayLike, /, out: None = None) -> tuple[Any, Any]:
    """(fraction, integral part) of x, both with the sign of x, elementwise."""
    refuse_out("modf", out)
    (x,) = promote_inexact("modf", x)
    whole = ufuncs.trunc(x)
    return lax.sub(x, whole), whole


def ldexp(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """x1 * 2**x2 for integers x2, elementwise, in two steps so that the power alone may overflow."""
    if as_array(x2).dtype.kind not in "biu":
        raise user_context(ValueError(f"ldexp needs an integer x2, got {as_array(x2).dtype}"))
    (x,) = promote_inexact("ldexp", x1)
    x, n = broadcast_operands("ldexp", (x, numeric(as_array(x2))))
    half = lax.shift_right_arithmetic(n, scalar(1, n.dtype))
    first, second = (lax.exp2(convert(v, x.dtype)) for v in (half, lax.sub(n, half)))
    return lax.mul(lax.mul(x, first), second)


def frexp(x: ArrayLike, /) -> tuple[Any, Any]:
    """(m, n) with x == m * 2**n, 0.5 <= |m| < 1 and n of dtype int32, elementwise."""
    (x,) = promote_inexact("frexp", x)
    if x.dtype.kind == "c":
        raise user_context(TypeError("frexp does not support complex-valued inputs; use abs and angle"))
    dtype = x.dtype
    bits = {
        np.dtype(np.float32): (32, 23),
        np.dtype(np.float64): (64, 52),
        np.dtype(np.float16): (16, 10),
    }.get(dtype)
    if bits is None:
        mantissa, exponent = frexp(convert(x, np.dtype(np.float32)))
        return convert(mantissa, dtype), exponent
    width, fraction = bits
    integer = np.dtype(f"int{width}")
    exponent_bits = width - 1 - fraction
    bias = (1 << (exponent_bits - 1)) - 2
    tiny = constant_like(x, float(dtypes.finfo(dtype).tiny))
    subnormal = lax.lt(lax.abs(x), tiny)
    scaled = select(subnormal, lax.mul(x, constant_like(x, 2.0**fraction)), x)
    raw = lax.bitcast_convert_type(scaled, integer)
    mask = (1 << exponent_bits) - 1
    shifted = lax.shift_right_logical(raw, scalar(fraction, integer))
    exponent = lax.sub(lax.bitwise_and(shifted, scalar(mask, integer)), scalar(bias, integer))
    exponent = select(subnormal, lax.sub(exponent, scalar(fraction, integer)), exponent)
    kept = lax.bitwise_and(raw, scalar(~(mask << fraction), integer))
    mantissa = lax.bitcast_convert_type(lax.bitwise_or(kept, scalar(bias << fraction, integer)), dtype)
    special = lax.bitwise_or(lax.eq(x, constant_like(x, 0)), lax.bitwise_not(lax.is_finite(x)))
    zero = lax.full_like(exponent, 0)
    return select(special, x, mantissa), convert(select(special, zero, exponent), np.dtype(np.int32))


def sinc(x: ArrayLike, /) -> Any:
    """sin(pi*x) / (pi*x), and 1 at 0, elementwise."""
    (x,) = promote_inexact("sinc", x)
    one = constant_like(x, 1)
    pi_x = lax.mul(x, constant_like(x, math.pi))
    # Near 0 the derivatives of the quotient cancel badly; the Taylor series is exact to rounding there.
    squared, series = lax.square(pi_x), one
    for factor in (110, 72, 42, 20, 6):
        series = lax.sub(one, lax.mul(lax.div(squared, constant_like(x, factor)), series))
    near = lax.lt(lax.abs(x), scalar(0.1, lax.abs(x).dtype))
    safe = select(near, lax.full_like(pi_x, 1), pi_x)
    return select(near, series, lax.div(_sin_pi(x), safe))


def _sin_pi(x: Any) -> Any:
    """sin(pi*x), exactly zero at whole numbers, and at infinity as if it were one."""
    if x.dtype.kind == "c":
        return lax.sin(lax.mul(x, constant_like(x, math.pi)))
    nearest = lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)
    infinite = lax.eq(lax.abs(x), constant_like(x, math.inf))
    rest = select(infinite, lax.full_like(x, 0), lax.sub(x, nearest))
    sine = lax.sin(lax.mul(rest, constant_like(x, math.pi)))
    half = lax.mul(nearest, constant_like(x, 0.5))
    odd = lax.ne(half, lax.floor(half))
    return select(odd, lax.neg(sine), sine)


def i0(x: ArrayLike) -> Any:
    """The modified Bessel function of the first kind, of order 0, elementwise."""
    (x,) = promote_inexact("i0", x)
    if x.dtype.kind == "c":
        raise user_context(ValueError(f"i0 does not support complex-valued inputs, got {x.dtype}"))
    x = lax.abs(x)
    return lax.mul(lax.exp(x), lax.bessel_i0e(x))


def gcd(x1: ArrayLike, x2: ArrayLike) -> Any:
    """The greatest common divisor of integers, elementwise; never negative."""
    x, y = promote_dtypes(as_array(x1), as_array(x2))
    if x.dtype.kind not in "iu":
        raise user_context(ValueError(f"Arguments to jax.numpy.gcd must be integers, got {x.dtype}"))
    shape = broadcast_shapes("gcd", (x.shape, y.shape))
    zero = lax.full(shape, 0, x.dtype)
    start = (broadcast_to_shape(x, shape), broadcast_to_shape(y, shape))

    def unfinished(pair: tuple[Any, Any]) -> Any:
        return lax.reduce_or(lax.ne(pair[1], zero), axes=tuple(range(len(shape))))

    def step(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        a, b = pair
        done = lax.eq(b, zero)
        rest = lax.rem(a, select(done, lax.full_like(b, 1), b))
        return select(done, a, b), select(done, zero, rest)

    return ufuncs.absolute(lax.while_loop(unfinished, step, start)[0])


def lcm(x1: ArrayLike, x2: ArrayLike) -> Any:
    """The least common multiple of integers, elementwise; never negative."""
    x, y = promote_dtypes(as_array(x1), as_array(x2))
    divisor = gcd(x, y)
    x, y, divisor = broadcast_operands(
        "lcm", (ufuncs.absolute(x), ufuncs.absolute(y), divisor), keep_scalars=False
    )
    zero = lax.full_like(divisor, 0)
    none = lax.eq(divisor, zero)
    return select(none, zero, lax.mul(x, lax.div(y, select(none, lax.full_like(divisor, 1), divisor))))


def nan_to_num(
    x: ArrayLike,
    copy: bool = True,
    nan: ArrayLike = 0.0,
    posinf: ArrayLike | None = None,
    neginf: ArrayLike | None = None,
) -> Any:
    """Replace NaN by `nan`, infinities by `posinf` and `neginf` (the largest and lowest finite numbers)."""
    x = as_array(x, "nan_to_num")
    if x.dtype.kind == "c":
        real, imag = (nan_to_num(v, copy, nan, posinf, neginf) for v in (lax.real(x), lax.imag(x)))
        return lax.complex(real, imag)
    if x.dtype.kind in "biu":
        return x
    limits = dtypes.finfo(x.dtype)
    largest = limits.max if posinf is None else posinf
    lowest = limits.min if neginf is None else neginf
    nan, largest, lowest = (convert(as_array(v), x.dtype) for v in (nan, largest, lowest))
    result = select(lax.ne(x, x), nan, x)
    result = select(lax.eq(x, constant_like(x, math.inf)), largest, result)
    return select(lax.eq(x, constant_like(x, -math.inf)), lowest, result)


def isclose(
    a: ArrayLike, b: ArrayLike, rtol: ArrayLike = 1e-05, atol: ArrayLike = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether |a - b| <= atol + rtol*|b|, elementwise; equal infinities are close, NaNs only if `equal_nan`."""
    x, y = promote("isclose", a, b)
    if x.dtype.kind in "biu":
        x, y = promote_inexact("isclose", x, y)
    real = lax.abs(x)
    rtol, atol = (convert(as_array(v), real.dtype) for v in (rtol, atol))
    bound = ufuncs.binary_functions["add"](atol, lax.mul(rtol, lax.abs(y)))
    near = ufuncs.less_equal(lax.abs(lax.sub(x, y)), bound)
    close = lax.bitwise_or(lax.eq(x, y), lax.bitwise_and(ufuncs.isfinite(y), near))
    if equal_nan:
        close = lax.bitwise_or(close, lax.bitwise_and(lax.ne(x, x), lax.ne(y, y)))
    return close


def allclose(
    a: ArrayLike, b: ArrayLike, rtol: ArrayLike = 1e-05, atol: ArrayLike = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether all elements are close; see `isclose`."""
    return _all(isclose(a, b, rtol, atol, equal_nan))


def _all(x: Any) -> Any:
    return lax.reduce_and(x, axes=tuple(range(x.ndim))) if x.ndim else x


def array_equal(a1: ArrayLike, a2: ArrayLike, equal_nan: bool = False) -> Any:
    """Whether both have the same shape and elements."""
    x, y = as_array(a1), as_array(a2)
    if x.shape != y.shape:
        return scalar(False, bool_dtype)
    same = ufuncs.equal(x, y)
    if equal_nan:
        same = lax.bitwise_or(same, lax.bitwise_and(ufuncs.isnan(x), ufuncs.isnan(y)))
    return _all(same)


def array_equiv(a1: ArrayLike, a2: ArrayLike) -> Any:
    """Whether both are equal after broadcasting to a common shape."""
    x, y = as_array(a1), as_array(a2)
    try:
        broadcast_shapes("array_equiv", (x.shape, y.shape))
    except TypeError:
        return scalar(False, bool_dtype)
    return _all(ufuncs.equal(x, y))


def iscomplex(x: ArrayLike) -> Any:
    """Whether the imaginary part is not zero, elementwise."""
    imaginary = ufuncs.imag(x)
    return lax.ne(imaginary, scalar(0, imaginary.dtype))


def isreal(x: ArrayLike) -> Any:
    """Whether the imaginary part is zero, elementwise."""
    imaginary = ufuncs.imag(x)
    return lax.eq(imaginary, scalar(0, imaginary.dtype))
