"""Comparisons, and operations on bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.prims.elementwise import BITS, BOOL, INTS, binary, elementwise, unary

# ------------------------------------------------------------------------------------------------ comparisons


def _comparison(name: str, compare: str, accepts: str) -> Any:
    return elementwise(
        name,
        lambda xp, x, y: getattr(xp, compare)(x, y),
        accepts=accepts,
        result=lambda dtype: BOOL,
        scalar=name,
    )


def _equality(name: str, compare: str, combine: str) -> Any:
    """A comparison that random keys have, too: word by word."""

    def impl(xp: Any, x: Any, y: Any) -> Any:
        x, y = xp.asarray(x), xp.asarray(y)
        if x.dtype.kind != "V" or dtypes.kind_of(x.dtype) != "V":
            return getattr(xp, compare)(x, y)
        x, y = (np.ascontiguousarray(k).reshape((*k.shape, 1)).view(np.uint32) for k in (x, y))
        return getattr(xp, combine)(getattr(xp, compare)(x, y), axis=-1)

    return elementwise(name, impl, accepts="iubfcV", result=lambda dtype: BOOL, scalar=name)


eq_p = _equality("eq", "equal", "all")
ne_p = _equality("ne", "not_equal", "any")
lt_p = _comparison("lt", "less", "iubf")
le_p = _comparison("le", "less_equal", "iubf")
gt_p = _comparison("gt", "greater", "iubf")
ge_p = _comparison("ge", "greater_equal", "iubf")

eq = binary(eq_p, "Whether x == y.")
ne = binary(ne_p, "Whether x != y.")
lt = binary(lt_p, "Whether x < y.")
le = binary(le_p, "Whether x <= y.")
gt = binary(gt_p, "Whether x > y.")
ge = binary(ge_p, "Whether x >= y.")

# ------------------------------------------------------------------------------------------------------- bits

not_p = elementwise("not", lambda xp, x: xp.invert(x), accepts=BITS, scalar="not")
bitwise_not = unary(not_p, "Every bit of x flipped; of bool, whether x is false.", "bitwise_not")

and_p = elementwise("and", lambda xp, x, y: xp.bitwise_and(x, y), accepts=BITS, scalar="and")
bitwise_and = binary(and_p, "The bits that are set in both x and y.", "bitwise_and")

or_p = elementwise("or", lambda xp, x, y: xp.bitwise_or(x, y), accepts=BITS, scalar="or")
bitwise_or = binary(or_p, "The bits that are set in x, in y, or in both.", "bitwise_or")

xor_p = elementwise("xor", lambda xp, x, y: xp.bitwise_xor(x, y), accepts=BITS, scalar="xor")
bitwise_xor = binary(xor_p, "The bits that are set in one of x and y but not in both.", "bitwise_xor")


def _unsigned(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    return x.view(xp.dtype(f"u{x.dtype.itemsize}"))


def _shift(xp: Any, x: Any, y: Any, shift: Callable[[Any, Any], Any], beyond: Any) -> Any:
    """Shift by y, read as unsigned; where y is not less than the width, the result is `beyond`."""
    x, count = xp.asarray(x), _unsigned(xp, y)
    width = x.dtype.itemsize * 8
    inside = count < width
    return xp.where(inside, shift(x, xp.where(inside, count, count.dtype.type(0)).astype(x.dtype)), beyond)


def _shift_left_impl(xp: Any, x: Any, y: Any) -> Any:
    return _shift(xp, x, y, xp.left_shift, xp.asarray(x).dtype.type(0))


def _shift_right_logical_impl(xp: Any, x: Any, y: Any) -> Any:
    bits = _unsigned(xp, x)
    return _shift(xp, bits, y, xp.right_shift, bits.dtype.type(0)).view(xp.asarray(x).dtype)


def _shift_right_arithmetic_impl(xp: Any, x: Any, y: Any) -> Any:
    x = xp.asarray(x)
    signed = x.view(xp.dtype(f"i{x.dtype.itemsize}"))
    spare = 8 * x.dtype.itemsize - dtypes.itemsize_bits(x.dtype)
    if spare:  # less than a byte: with the sign in its place
        signed = (signed << spare) >> spare
        filled = signed >> xp.minimum(_unsigned(xp, y), 7).astype(xp.int8)
        return (filled & ((1 << dtypes.itemsize_bits(x.dtype)) - 1)).astype(xp.int8).view(x.dtype)
    return _shift(xp, signed, y, xp.right_shift, xp.where(signed < 0, -1, 0).astype(signed.dtype)).view(
        x.dtype
    )


shift_left_p = elementwise("shift_left", _shift_left_impl, accepts=INTS, scalar="shl")
shift_left = binary(shift_left_p, "The bits of x moved up by y, 0 if y is not within the width.")

shift_right_logical_p = elementwise(
    "shift_right_logical", _shift_right_logical_impl, accepts=INTS, scalar="shr_logical"
)
shift_right_logical = binary(
    shift_right_logical_p, "The bits of x moved down by y, filled with zeros; 0 if y is not within the width."
)

shift_right_arithmetic_p = elementwise(
    "shift_right_arithmetic", _shift_right_arithmetic_impl, accepts=INTS, scalar="shr_arithmetic"
)
shift_right_arithmetic = binary(
    shift_right_arithmetic_p, "The bits of x moved down by y, filled with copies of the sign bit."
)


def _population_count_impl(xp: Any, x: Any) -> Any:
    bits = _unsigned(xp, x)
    return xp.bitwise_count(bits).astype(xp.asarray(x).dtype)


population_count_p = elementwise(
    "population_count", _population_count_impl, accepts=INTS, scalar="population_count"
)
population_count = unary(population_count_p, "The number of bits of x that are set.")


def _clz_impl(xp: Any, x: Any) -> Any:
    bits = _unsigned(xp, x)
    width = dtypes.itemsize_bits(xp.asarray(x).dtype)
    for shift in (1, 2, 4, 8, 16, 32):
        if shift < width:
            bits = bits | (bits >> bits.dtype.type(shift))
    return (width - xp.bitwise_count(bits)).astype(xp.asarray(x).dtype)


clz_p = elementwise("clz", _clz_impl, accepts=INTS, scalar="clz")
clz = unary(clz_p, "The number of zero bits above the highest bit that is set.")
