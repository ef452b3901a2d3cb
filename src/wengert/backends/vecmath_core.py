"""What the vector elementary functions share: the layout of a float format, and polynomials.

Everything is written for values of any number of lanes, without branches, so that it vectorises on every
target. It needs a fused multiply-add and round-to-nearest, and no fast-math flags (`vecmath.emit` turns them
off).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wengert.backends.irbuilder import Builder, Type, Value


class Format:
    """The layout of a binary float format and the constants that follow from it."""

    __slots__ = (
        "bias",
        "int_kind",
        "kind",
        "magic",
        "magic_bits",
        "mantissa",
        "one_bits",
        "root_half_bits",
        "sign_bit",
        "tiny",
        "width",
    )

    def __init__(self, kind: str, int_kind: str, mantissa: int, width: int, root_half_bits: int) -> None:
        self.kind = kind
        self.int_kind = int_kind
        self.mantissa = mantissa
        self.width = width
        self.bias = (1 << (width - mantissa - 2)) - 1
        self.one_bits = self.bias << mantissa
        self.root_half_bits = root_half_bits  # of sqrt(1/2)
        self.sign_bit = 1 << (width - 1)
        self.tiny = 2.0 ** (1 - self.bias)  # the smallest normal number
        # Adding 1.5 * 2**mantissa rounds to an integer and leaves it in the low bits; subtracting it gives
        # the float.
        self.magic = 1.5 * 2.0**mantissa
        self.magic_bits = ((self.bias + mantissa) << mantissa) | (1 << (mantissa - 1))


F32_FORMAT = Format("f32", "i32", 23, 32, 0x3F3504F3)
F64_FORMAT = Format("f64", "i64", 52, 64, 0x3FE6A09E667F3BCD)
_FORMATS = {"f32": F32_FORMAT, "f64": F64_FORMAT}


def format_of(x: Value | Type) -> Format:
    """The format of a float32 or float64 value."""
    return _FORMATS[x.type.kind if isinstance(x, Value) else x.kind]


def poly(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial with these coefficients, lowest power first.

    Long ones are split into even and odd powers: two chains half as long run side by side, for one product
    more.
    """
    if len(coefficients) < 7:
        return horner(b, x, coefficients)
    square = b.fmul(x, x)
    return b.fma(horner(b, square, coefficients[1::2]), x, horner(b, square, coefficients[::2]))


def horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """The same in one chain, which rounds off less."""
    total = b.const(x.type, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = b.fma(total, x, c)
    return total


def poly_pair(b: Builder, x: Value, coefficients: Sequence[float], low: float) -> tuple[Value, Value]:
    """The same as a sum of two floats, which holds what the last step rounds off; `low` adds to the first."""
    q = poly(b, x, coefficients[1:])
    total = b.fma(q, x, coefficients[0])
    return total, b.fadd(b.fma(q, x, b.fsub(coefficients[0], total)), low)


def odd_poly(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """x + x**3 p(x**2); zeros keep their sign."""
    z = b.fmul(x, x)
    y = b.fma(b.fmul(x, z), poly(b, z, coefficients), x)
    return b.select(b.fcmp("oeq", x, 0.0), x, y)


def bits(b: Builder, x: Value) -> Value:
    """The float's bits as an integer of its width."""
    return b.bitcast(x, format_of(x).int_kind)


def floats(b: Builder, i: Value) -> Value:
    """The float that has these bits."""
    return b.bitcast(i, "f32" if i.type.bits == 32 else "f64")


def nearest_integer(b: Builder, x: Value, factor: float, shift: float = 0.0) -> tuple[Value, Value]:
    """x * factor + shift rounded to an integer: as float, and as an integer that is right in its low bits.

    The product must be below 2**(mantissa - 1). NaN gives NaN and some integer.
    """
    fmt = format_of(x)
    if shift:
        t = b.fadd(b.fma(x, factor, shift), fmt.magic)
    else:
        t = b.fma(x, factor, fmt.magic)
    return b.fsub(t, fmt.magic), bits(b, t)


def power_of_two(b: Builder, i: Value, fmt: Format, offset: int = 0) -> Value:
    """2**(k + offset) for the integer k in the low bits of i, in the range of normal numbers."""
    return floats(b, b.add(b.shl(i, fmt.mantissa), (fmt.bias + offset) << fmt.mantissa))


def at_least(b: Builder, x: Value, low: float) -> Value:
    """max(x, low); NaN stays."""
    return b.select(b.fcmp("olt", x, low), low, x)


def at_most(b: Builder, x: Value, high: float) -> Value:
    """min(x, high); NaN stays."""
    return b.select(b.fcmp("ogt", x, high), high, x)


def in_double(b: Builder, x: Value) -> Value:
    """A float32 as float64."""
    return b.fpext(x, "f64")


INF = math.inf
NAN = math.nan
