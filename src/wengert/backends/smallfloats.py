"""Floats of 4, 6 and 8 bits, one in a byte: they are computed with as single floats, and rounded after each operation.

Rounding is to nearest, of two to the even one. What is too large becomes infinity, or NaN in formats without
infinities, or the greatest number in those that have neither; there NaN becomes zero. All this is as in ml_dtypes.
"""

from __future__ import annotations

from typing import Final

from wengert.backends.irbuilder import Builder, Value
from wengert.backends.irtypes import constant

_INFINITY, _NAN, _SIGN = 0x7F800000, 0x7FC00000, -0x80000000


class Format:
    """Bits of exponent and mantissa, and the exponent's bias.

    kind: "ieee"; "fn": all ones are NaN, there is no infinity; "fnuz": so is minus zero instead; "finite": neither.
    """

    __slots__ = ("bias", "exponent", "kind", "mantissa")

    def __init__(self, exponent: int, mantissa: int, bias: int, kind: str):
        self.exponent, self.mantissa, self.bias, self.kind = exponent, mantissa, bias, kind

    @property
    def width(self) -> int:
        """Bits without the sign."""
        return self.exponent + self.mantissa

    @property
    def top(self) -> int:
        """The code of the greatest finite number."""
        last = (1 << self.width) - 1
        return last - {"ieee": 1 << self.mantissa, "fn": 1}.get(self.kind, 0)

    @property
    def normal(self) -> int:
        """The bits of the least normal number as a single float."""
        return (128 - self.bias) << 23

    @property
    def greatest(self) -> int:
        """The bits of the greatest number as a single float."""
        return (self.top << (23 - self.mantissa)) + ((127 - self.bias) << 23)

    @property
    def shifter(self) -> float:
        """A number whose last bit is worth the least number of the format."""
        return float(2.0 ** (24 - self.bias - self.mantissa))


FORMATS: Final[dict[str, Format]] = {
    "float4_e2m1fn": Format(2, 1, 1, "finite"),
    "float6_e2m3fn": Format(2, 3, 1, "finite"),
    "float6_e3m2fn": Format(3, 2, 3, "finite"),
    "float8_e3m4": Format(3, 4, 3, "ieee"),
    "float8_e4m3": Format(4, 3, 7, "ieee"),
    "float8_e4m3b11fnuz": Format(4, 3, 11, "fnuz"),
    "float8_e4m3fn": Format(4, 3, 7, "fn"),
    "float8_e4m3fnuz": Format(4, 3, 8, "fnuz"),
    "float8_e5m2": Format(5, 2, 15, "ieee"),
    "float8_e5m2fnuz": Format(5, 2, 16, "fnuz"),
}


def _shifted(b: Builder, f: Format, size: Value) -> Value:
    """The bits of a number below the normal ones, whose last place is moved to the end."""
    with b.flags(""):
        return b.bitcast(b.fadd(b.bitcast(size, "f32"), f.shifter), "i32")


def decode(b: Builder, f: Format, code: Value) -> Value:
    """Codes, as bytes, as single floats."""
    word = b.zext(code, "i32")
    size = b.and_(word, (1 << f.width) - 1)
    bits = b.add(b.shl(size, 23 - f.mantissa), (127 - f.bias) << 23)
    with b.flags(""):
        small = b.bitcast(b.fsub(b.bitcast(b.add(bits, 1 << 23), "f32"), 2.0 ** (1 - f.bias)), "i32")
    bits = b.select(b.icmp("ult", size, 1 << f.mantissa), small, bits)
    nan = constant(bits.type, _NAN)
    if f.kind == "ieee":
        bits = b.select(b.icmp("ugt", size, f.top), constant(bits.type, _INFINITY), bits)
        bits = b.select(b.icmp("ugt", size, f.top + 1), nan, bits)
    elif f.kind == "fn":
        bits = b.select(b.icmp("ugt", size, f.top), nan, bits)
    sign = b.and_(b.shl(word, 31 - f.width), _SIGN)
    bits = b.or_(bits, sign)
    if f.kind == "fnuz":
        minus_nan = constant(bits.type, _NAN - (1 << 31))
        bits = b.select(b.icmp("eq", b.and_(word, (2 << f.width) - 1), 1 << f.width), minus_nan, bits)
    return b.bitcast(bits, "f32")


def rounded(b: Builder, f: Format, x: Value) -> Value:
    """The nearest number of the format, as a single float."""
    bits = b.bitcast(x, "i32")
    sign, size = b.and_(bits, _SIGN), b.and_(bits, 0x7FFFFFFF)
    cut = 23 - f.mantissa
    odd = b.and_(b.lshr(size, cut), 1)
    near = b.and_(b.add(b.add(size, (1 << (cut - 1)) - 1), odd), -(1 << cut))
    with b.flags(""):
        low = b.bitcast(b.fsub(b.bitcast(_shifted(b, f, size), "f32"), f.shifter), "i32")
    near = b.select(b.icmp("ult", size, f.normal), low, near)
    nan = b.icmp("ugt", size, _INFINITY)
    beyond = {"ieee": _INFINITY, "finite": f.greatest}.get(f.kind, _NAN)
    near = b.select(b.icmp("ugt", near, f.greatest), constant(near.type, beyond), near)
    if f.kind == "finite":
        near = b.select(nan, constant(near.type, 0), near)
        sign = b.select(nan, b.xor(sign, _SIGN), sign)
    else:
        near = b.select(nan, constant(near.type, _NAN), near)
    if f.kind == "fnuz":
        sign = b.select(b.icmp("eq", near, 0), constant(near.type, 0), sign)
    return b.bitcast(b.or_(near, sign), "f32")


def encode(b: Builder, f: Format, x: Value) -> Value:
    """Codes, as bytes, of single floats that are numbers of the format."""
    bits = b.bitcast(x, "i32")
    size = b.and_(bits, 0x7FFFFFFF)
    normal = b.sub(b.lshr(size, 23 - f.mantissa), (127 - f.bias) << f.mantissa)
    low = b.sub(_shifted(b, f, size), (151 - f.bias - f.mantissa) << 23)
    code = b.select(b.icmp("ult", size, f.normal), low, normal)
    sign = b.and_(b.lshr(bits, 31 - f.width), 1 << f.width)
    if f.kind == "ieee":
        infinity, nan = f.top + 1, f.top + 1 + (1 << (f.mantissa - 1))
        code = b.select(b.icmp("uge", size, _INFINITY), constant(code.type, infinity), code)
        code = b.select(b.icmp("ugt", size, _INFINITY), constant(code.type, nan), code)
    elif f.kind == "fn":
        code = b.select(b.icmp("uge", size, _INFINITY), constant(code.type, f.top + 1), code)
    code = b.or_(code, sign)
    if f.kind == "fnuz":
        code = b.select(b.icmp("uge", size, _INFINITY), constant(code.type, 1 << f.width), code)
        code = b.select(b.icmp("eq", size, 0), constant(code.type, 0), code)
    return b.trunc(code, "i8")
