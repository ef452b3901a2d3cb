"""The types, values and constants of the LLVM text builder (`irbuilder` says how they are used)."""

from __future__ import annotations

import math
import struct

_FLOAT_TEXT = {"f16": "half", "bf16": "bfloat", "f32": "float", "f64": "double"}
_BITS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64, "ptr": 64, "void": 0}
_BITS |= {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "i128": 128}


class Type:
    """A first-class LLVM type: a kind and a number of lanes. `scalar_type` and `vec` make and intern it."""

    __slots__ = ("bits", "is_float", "kind", "lanes", "mangled", "scalar", "text")

    def __init__(self, kind: str, lanes: int, scalar: Type | None) -> None:
        self.kind = kind
        self.lanes = lanes
        self.bits = _BITS[kind]
        self.is_float = kind in _FLOAT_TEXT
        self.scalar: Type = self if scalar is None else scalar
        base = _FLOAT_TEXT.get(kind, kind)
        code = "p0" if kind == "ptr" else kind
        self.text = base if lanes == 1 else f"<{lanes} x {base}>"
        self.mangled = code if lanes == 1 else f"v{lanes}{code}"

    def vec(self, lanes: int) -> Type:
        """The type of `lanes` elements of this type's kind; one lane is the scalar type."""
        return _type(self.kind, lanes)

    def like(self, kind: str) -> Type:
        """The type with as many lanes as this one, of another kind."""
        return _type(kind, self.lanes)

    def __repr__(self) -> str:
        return self.text


_TYPES: dict[tuple[str, int], Type] = {}


def _type(kind: str, lanes: int) -> Type:
    found = _TYPES.get((kind, lanes))
    if found is None:
        found = Type(kind, lanes, None if lanes == 1 else _type(kind, 1))
        _TYPES[kind, lanes] = found
    return found


F16, BF16, F32, F64 = _type("f16", 1), _type("bf16", 1), _type("f32", 1), _type("f64", 1)
I1, I8, I16 = _type("i1", 1), _type("i8", 1), _type("i16", 1)
I32, I64, I128 = _type("i32", 1), _type("i64", 1), _type("i128", 1)
PTR, VOID = _type("ptr", 1), _type("void", 1)


def scalar_type(kind: str) -> Type:
    """The scalar type of a kind such as "f32" or "i64"."""
    return _type(kind, 1)


class Value:
    """An SSA name or a constant, with its type; `const` holds the number if every lane is that constant."""

    __slots__ = ("const", "name", "type")

    def __init__(self, name: str, type: Type, const: float | int | None = None) -> None:
        self.name = name
        self.type = type
        self.const = const

    def __repr__(self) -> str:
        return f"{self.type.text} {self.name}"


Operand = Value | float | int


def round_float(kind: str, x: float) -> float:
    """The value of `x` after rounding to a float kind (to nearest even; overflow gives infinity)."""
    if kind == "f64" or x != x or x in (math.inf, -math.inf):
        return x
    if kind == "bf16":
        bits: int = struct.unpack("<I", struct.pack("<f", round_float("f32", x)))[0]
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return float(struct.unpack("<f", struct.pack("<I", bits))[0])
    code = "<f" if kind == "f32" else "<e"
    try:
        return float(struct.unpack(code, struct.pack(code, x))[0])
    except OverflowError:
        return math.copysign(math.inf, x)


def float_text(kind: str, x: float) -> str:
    """A float constant of its kind as LLVM reads it without loss: the bits, of the double for f32 and f64."""
    if kind == "f64" or kind == "f32":
        return f"0x{struct.pack('>d', x).hex().upper()}"
    if kind == "f16":
        return f"0xH{struct.unpack('<H', struct.pack('<e', round_float(kind, x)))[0]:04X}"
    return f"0xR{struct.unpack('<I', struct.pack('<f', round_float(kind, x)))[0] >> 16:04X}"


def wrap_int(bits: int, n: int) -> int:
    """`n` modulo 2**bits as a signed number; one bit stays 0 or 1."""
    n &= (1 << bits) - 1
    return n - (1 << bits) if bits > 1 and n >> (bits - 1) else n


_CONSTANTS: dict[tuple[Type, float | int | str], Value] = {}


def constant(type: Type, number: float | int) -> Value:
    """A constant, the same in every lane. Floats are rounded to the type, integers wrap around."""
    key = (type, number or str(number))  # the text tells 0.0 from -0.0, which compare equal
    found = _CONSTANTS.get(key)
    if found is not None:
        return found
    value: float | int
    if type.lanes > 1:
        lane = constant(type.scalar, number)
        assert lane.const is not None
        value, text = lane.const, f"splat ({type.scalar.text} {lane.name})"
    elif type.is_float:
        value = round_float(type.kind, float(number))
        text = float_text(type.kind, value)
    elif type.kind == "ptr":
        value, text = int(number), "null" if number == 0 else f"inttoptr (i64 {int(number)} to ptr)"
    else:
        value = wrap_int(type.bits, int(number))
        text = str(value) if type.bits > 1 else ("true" if value else "false")
    found = Value(text, type, value)
    if len(_CONSTANTS) < 4096:
        _CONSTANTS[key] = found
    return found
