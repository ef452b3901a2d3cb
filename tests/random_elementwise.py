"""Elementwise operations of random programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.random_values import (
    DTYPES,
    LARGEST_HALF,
    OTHER_DTYPES,
    Builder,
    Constant,
    Value,
    joined,
    kind_of,
    literal,
    product,
    rounding,
    scaled,
    summed,
)
from wengert import lax


def _within(x: Value, bound: float) -> Any:
    return lax.clamp(literal(x.dtype, -bound), x.x, literal(x.dtype, bound))


def _from_one(x: Value, most: float = 0) -> Any:
    """Numbers from 1 on: 1 + |x|, with |x| up to `most`."""
    size = lax.abs(x.x)
    return lax.add(lax.min(size, literal(x.dtype, most)) if most else size, literal(x.dtype, 1))


_SMOOTH: list[Callable[[Value], Value]] = [
    lambda x: scaled(lax.sin(x.x), x, 1),
    lambda x: scaled(lax.tanh(x.x), x, 1),
    lambda x: scaled(lax.cos(x.x), x, 1),
    lambda x: scaled(lax.logistic(x.x), x, 1),
    lambda x: scaled(lax.atan(x.x), x, 1.6),
    lambda x: scaled(lax.exp(lax.min(x.x, literal(x.dtype, 2))), x, 8, 8),
    lambda x: scaled(lax.expm1(lax.min(x.x, literal(x.dtype, 1))), x, 3, 3),
    lambda x: scaled(lax.sqrt(_from_one(x)), x, 1 + x.bound),
    lambda x: scaled(lax.rsqrt(_from_one(x)), x, 1),
    lambda x: scaled(lax.log1p(lax.abs(x.x)), x, x.bound),
    lambda x: scaled(lax.log(_from_one(x)), x, x.bound),
    lambda x: scaled(lax.integer_pow(_from_one(x), -2), x, 1, 2),
    lambda x: scaled(lax.tan(_within(x, 1)), x, 1.6, 3.5),
    lambda x: scaled(lax.asin(_within(x, 0.75)), x, 1, 1.6),
    lambda x: scaled(lax.acos(_within(x, 0.75)), x, 2.5, 1.6),
    lambda x: scaled(lax.atanh(_within(x, 0.75)), x, 1, 2.4),
    lambda x: scaled(lax.erf_inv(_within(x, 0.75)), x, 1, 2),
    lambda x: scaled(lax.sinh(_within(x, 2)), x, 3.8, 3.8),
    lambda x: scaled(lax.cosh(_within(x, 2)), x, 3.8, 3.8),
    lambda x: scaled(lax.exp2(_within(x, 2)), x, 4, 2.8),
    lambda x: scaled(lax.asinh(x.x), x, x.bound),
    lambda x: scaled(lax.acosh(lax.add(_from_one(x), literal(x.dtype, 1))), x, x.bound + 2),
    lambda x: scaled(lax.erf(x.x), x, 1, 1.2),
    lambda x: scaled(lax.erfc(x.x), x, 2, 1.2),
    lambda x: scaled(lax.log2(_from_one(x)), x, 1.5 * x.bound, 1.5),
    lambda x: scaled(lax.cbrt(_from_one(x)), x, 1 + x.bound),
    lambda x: scaled(lax.lgamma(_from_one(x, 4)), x, 3.2, 1.6),
    lambda x: scaled(lax.digamma(_from_one(x, 4)), x, 1.6, 1.7),
    lambda x: scaled(lax.bessel_i0e(x.x), x, 1),
    lambda x: scaled(lax.bessel_i1e(x.x), x, 1),
]

_STEPS: list[Callable[[Value], Value]] = [
    lambda x: Value(lax.floor(x.x), x.bound + 1, 1.0),
    lambda x: Value(lax.sign(x.x), 1, 1.0),
    lambda x: Value(lax.ceil(x.x), x.bound + 1, 1.0),
    lambda x: Value(lax.round(x.x), x.bound + 1, 1.0),
    lambda x: Value(lax.round(x.x, lax.RoundingMethod.TO_NEAREST_EVEN), x.bound + 1, 1.0),
]

# The derivative of a rounding is rounded too: it isn't linear.
_ROUNDED: list[Callable[[Value], Value]] = [
    lambda x: scaled(lax.reduce_precision(x.x, 8, 3), x, 1.1 * x.bound),
]

_FLOAT: list[Callable[[Value], Value]] = [
    lambda x: x.like(lax.neg(x.x)),
    lambda x: x.like(lax.abs(x.x)),
    lambda x: product(lax.square(x.x), x, x),
    lambda x: product(lax.integer_pow(x.x, 2), x, x),
    lambda x: Value(lax.is_finite(x.x)),
    lambda x: x.like(lax.stop_gradient(x.x)),
    lambda x: x.like(lax.optimization_barrier(x.x)),
]

_INT: list[Callable[[Any], Any]] = [
    lax.neg, lax.abs, lax.sign, lax.bitwise_not, lax.square, lax.population_count, lax.clz,
    lambda x: lax.integer_pow(x, 3),
]  # fmt: skip


def unary(b: Builder) -> Value | None:
    x = b.pick()
    if x is None:
        return None
    if x.kind == "f":
        return b.choose(
            [*_FLOAT, *(_STEPS if x.exact else ()), *(_ROUNDED if x.exact and not b.derivable else ())]
        )(x)  # type: ignore[no-any-return]
    if x.kind in "iu":
        return Value(b.choose(_INT)(x.x))
    return Value(lax.bitwise_not(x.x)) if x.kind == "b" else b.choose(_COMPLEX)(x)


_COMPLEX: list[Callable[[Value], Value]] = [
    lambda x: x.like(lax.neg(x.x)),
    lambda x: x.like(lax.conj(x.x)),
    lambda x: x.like(lax.real(x.x)),
    lambda x: x.like(lax.imag(x.x)),
    lambda x: scaled(lax.abs(x.x), x, x.bound),
    lambda x: product(lax.square(x.x), x, x) if x.bound**2 < LARGEST_HALF else x.like(lax.neg(x.x)),
    lambda x: scaled(lax.exp(_boxed(x)), x, 3, 3),
    lambda x: scaled(lax.expm1(_boxed(x)), x, 4, 3),
    lambda x: scaled(lax.sin(_boxed(x)), x, 2, 2),
    lambda x: scaled(lax.cos(_boxed(x)), x, 2, 2),
    lambda x: scaled(lax.tanh(_boxed(x)), x, 2, 4),
    lambda x: scaled(lax.sinh(_boxed(x)), x, 2, 2),
    lambda x: scaled(lax.cosh(_boxed(x)), x, 2, 2),
    lambda x: scaled(lax.sqrt(_right(x)), x, 1 + x.bound),
    lambda x: scaled(lax.rsqrt(_right(x)), x, 1),
    lambda x: scaled(lax.log(_right(x)), x, 2 + x.bound),
    lambda x: scaled(lax.log1p(_right(x)), x, 2 + x.bound),
]


def _boxed(x: Value) -> Any:
    """Numbers whose parts are of up to 1."""
    lo, hi = -np.ones((), real_of(x)), np.ones((), real_of(x))
    return lax.complex(lax.clamp(lo, lax.real(x.x), hi), lax.clamp(lo, lax.imag(x.x), hi))


def _right(x: Value) -> Any:
    """Numbers whose real parts are at least 1."""
    one = np.ones((), real_of(x))
    return lax.complex(lax.add(lax.abs(lax.real(x.x)), one), lax.imag(x.x))


def real_of(x: Value) -> np.dtype[Any]:
    return np.dtype(np.float32 if x.dtype.itemsize == 8 else np.float64)


def smooth(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.kind == "f")
    return None if x is None else b.choose(_SMOOTH)(x)


def _ratio(x: Value, y: Value) -> Value:
    below = lax.add(lax.abs(y.x), literal(x.dtype, 1))
    out = lax.div(x.x, below)
    return Value(out, x.bound, 0.0, x.error + x.bound * y.error + rounding(out, 2 * x.bound))


def _power(x: Value, y: Value) -> Value:
    out = lax.pow(_from_one(x, 3), _within(y, 2))
    return Value(out, 16, 0.0, 8 * x.error + 23 * y.error + rounding(out, 256))


def _angle(x: Value, y: Value) -> Value:
    out = lax.atan2(x.x, _from_one(y))
    return Value(out, 1.6, 0.0, x.error + y.error + rounding(out, 16))


def _neighbour(x: Value, y: Value) -> Value:
    out = lax.nextafter(x.x, y.x)
    return Value(out, 1.01 * x.bound, 0.0, rounding(out, x.bound))


def _remainder(x: Value, y: Value) -> Value:
    return joined(lax.rem(x.x, y.x), x, y)


def _complex_ratio(x: Value, y: Value) -> Value:
    out = lax.div(x.x, _right(y))
    return Value(out, x.bound, 0.0, x.error + x.bound * y.error + rounding(out, 4 * x.bound))


_FLOAT2: list[Callable[[Value, Value], Value]] = [
    lambda x, y: summed(lax.add(x.x, y.x), x, y),
    lambda x, y: product(lax.mul(x.x, y.x), x, y),
    lambda x, y: summed(lax.sub(x.x, y.x), x, y),
    lambda x, y: joined(lax.max(x.x, y.x), x, y),
    lambda x, y: joined(lax.min(x.x, y.x), x, y),
    _ratio,
    _power,
    _angle,
]
_EXACT2 = [_neighbour, _remainder]
_INT2 = [
    lax.add, lax.mul, lax.sub, lax.max, lax.min, lax.div, lax.rem, lax.bitwise_and, lax.bitwise_or, lax.bitwise_xor,
    lax.shift_left, lax.shift_right_logical, lax.shift_right_arithmetic, lax.mulhi,
]  # fmt: skip
_BOOL2 = [lax.bitwise_and, lax.bitwise_or, lax.bitwise_xor, lax.max, lax.min]


def binary(b: Builder) -> Value | None:
    x = b.pick()
    if x is None:
        return None
    y = b.partner(x)
    if b.flag() and not isinstance(y, Constant):
        x, y = y, x
    if x.kind == "f":
        options = [*_FLOAT2, *(_EXACT2 if x.quantum and y.quantum else ())]
        return b.choose(options)(x, y)  # type: ignore[no-any-return]
    if x.kind == "c":
        if x.bound * y.bound < LARGEST_HALF and b.flag():
            return product(lax.mul(x.x, y.x), x, y)
        if b.integer(0, 2) == 2:
            return _complex_ratio(x, y)
        return summed(b.choose([lax.add, lax.sub])(x.x, y.x), x, y)
    return Value(b.choose(_INT2 if x.kind in "iu" else _BOOL2)(x.x, y.x))


_COMPARISONS = [lax.lt, lax.eq, lax.ne, lax.le, lax.gt, lax.ge]


def comparison(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.exact)
    if x is None:
        return None
    compare = b.choose(_COMPARISONS if x.kind != "c" else _COMPARISONS[1:3])
    return Value(compare(x.x, b.partner(x, lambda v: v.exact).x))


def selection(b: Builder) -> Value | None:
    which = b.pick(lambda v: v.kind in "bi" and v.dtype.itemsize in (1, 4))
    if which is None:
        return None
    x = b.pick(lambda v: v.shape == which.shape or not which.shape)
    if x is None:
        return None
    same = [v for v in reversed(b.values) if v.dtype == x.dtype and v.shape == x.shape]
    cases = [x, *(b.choose(same) for _ in range(1 if which.kind == "b" else b.integer(1, 3)))]
    return joined(lax.select_n(which.x, *(c.x for c in cases)), *cases)


def clamping(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.kind in "fiu")
    if x is None:
        return None
    lo, hi = b.partner(x), b.partner(x)
    return joined(lax.clamp(lo.x, x.x, hi.x), lo, x, hi)


def conversion(b: Builder) -> Value | None:
    to = b.dtype((*DTYPES, *OTHER_DTYPES))
    x = b.pick(lambda v: (v.exact or kind_of(to) in "fc") and v.kind != "c" and v.dtype != to)
    if x is None:
        return None
    out = lax.convert_element_type(x.x, to)
    if kind_of(to) not in "fc":
        return Value(out)
    if x.kind in "fb":
        bound, quantum = (x.bound, x.quantum) if x.kind == "f" else (1.0, 1.0)
        return Value(out, bound, quantum, x.error + (0.0 if quantum else rounding(out, bound)))
    # integers of any size: what is not small is brought to a bound
    if to.kind == "c":
        return None
    return Value(lax.clamp(literal(to, -8), out, literal(to, 8)), 8, 1.0)
