"""The scalar operations of the loop IR as LLVM instructions, on any number of lanes.

The semantics are XLA's where C and LLVM leave them open: division by zero, shifts past the width, float to
integer out of range, NaN in max and min.

Floats of 16 bits and less are so in memory only. Values of them are computed with as single floats, and rounded after
each operation that may give others. Integers of less than 8 bits are bytes, in which each operation wraps around.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from wengert.backends import smallfloats, vecmath
from wengert.backends.irbuilder import Builder, Type, Value, scalar_type

KINDS: dict[str, str] = {
    "bool": "i1",
    **{f"{u}int{n}": f"i{n}" for u in ("", "u") for n in (8, 16, 32, 64)},
    "float16": "f32",
    "bfloat16": "f32",
    "float32": "f32",
    "float64": "f64",
    "fry64": "i64",  # random keys
    **dict.fromkeys(smallfloats.FORMATS, "f32"),
    **dict.fromkeys(("int2", "uint2", "int4", "uint4"), "i8"),
}


# Types in memory, where they are others.
_STORED: dict[str, str] = {
    "bool": "i8",
    "float16": "f16",
    "bfloat16": "i16",
    **dict.fromkeys(smallfloats.FORMATS, "i8"),
}
_HALVES = frozenset(("float16", "bfloat16"))
_NARROW = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4}  # how many bits of a byte count
_KEPT = frozenset(("select", "max", "min", "copy", "bitcast", "convert"))  # whose results need no rounding
# Operations that give numbers of the operands' dtype whenever they get them.
_ROUNDING = ("floor", "ceil", "trunc", "round", "round_even")
_EXACT = frozenset(
    (
        "select",
        "max",
        "min",
        "neg",
        "abs",
        "sign",
        "copy",
        "bitcast",
        "convert",
        "rem",
        "nextafter",
        *_ROUNDING,
    )
)


@cache
def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a dtype, which NumPy composes anew each time, in microseconds."""
    return dtype.name


@cache
def stored_type(dtype: np.dtype[Any]) -> Type:
    """The type of an element in memory; complex numbers are pairs."""
    if dtype.kind == "c":
        return scalar_type("f32" if dtype.itemsize == 8 else "f64").vec(2)
    return scalar_type(_STORED.get(name_of(dtype)) or KINDS[name_of(dtype)])


def from_memory(b: Builder, dtype: np.dtype[Any], value: Value) -> Value:
    """A value of the type that is computed with, from one of the type in memory."""
    if name_of(dtype) == "bool":
        return b.icmp("ne", value, 0)
    if name_of(dtype) == "float16":
        return b.fpext(value, "f32")
    if name_of(dtype) == "bfloat16":
        return b.bitcast(b.shl(b.zext(value, "i32"), 16), "f32")
    if dtype.itemsize == 1:
        if name_of(dtype) in smallfloats.FORMATS:
            return smallfloats.decode(b, smallfloats.FORMATS[name_of(dtype)], value)
        if name_of(dtype) in _NARROW:
            return fitted(b, dtype, value)
    return value


def to_memory(b: Builder, dtype: np.dtype[Any], value: Value) -> Value:
    """The opposite of `from_memory`."""
    if name_of(dtype) == "bool":
        return b.zext(value, "i8")
    if name_of(dtype) == "float16":
        return b.fptrunc(value, "f16")
    if name_of(dtype) == "bfloat16":
        return b.trunc(b.lshr(b.bitcast(value, "i32"), 16), "i16")
    if dtype.itemsize == 1:
        if name_of(dtype) in smallfloats.FORMATS:
            return smallfloats.encode(b, smallfloats.FORMATS[name_of(dtype)], value)
        if name_of(dtype) in _NARROW:
            return b.and_(value, (1 << _NARROW[name_of(dtype)]) - 1)
    return value


def fitted(b: Builder, dtype: np.dtype[Any], value: Value) -> Value:
    """The number of a dtype for a value of the type that is computed with: rounded, or wrapped around."""
    if name_of(dtype) in _NARROW:
        bits = _NARROW[name_of(dtype)]
        if name_of(dtype).startswith("u"):
            return b.and_(value, (1 << bits) - 1)
        return b.ashr(b.shl(value, 8 - bits), 8 - bits)
    if name_of(dtype) in smallfloats.FORMATS:
        return smallfloats.rounded(b, smallfloats.FORMATS[name_of(dtype)], value)
    return _rounded(b, dtype, value) if name_of(dtype) in _HALVES else value


def _rounded(b: Builder, dtype: np.dtype[Any], value: Value) -> Value:
    """The nearest number of a 16-bit float's dtype, of two the even one."""
    if name_of(dtype) == "float16":
        return b.fpext(b.fptrunc(value, "f16"), "f32")
    bits = b.bitcast(value, "i32")
    odd = b.and_(b.lshr(bits, 16), 1)
    up = b.and_(b.add(b.add(bits, odd), 0x7FFF), -0x10000)
    return b.bitcast(b.select(b.fcmp("uno", value, value), b.const(bits.type, 0x7FC00000), up), "f32")


@cache
def llvm_type(dtype: np.dtype[Any], lanes: int = 1) -> Type:
    """The type of values of a dtype."""
    return scalar_type(KINDS[name_of(dtype)]).vec(lanes)


@cache
def _is_float(dtype: np.dtype[Any]) -> bool:
    return KINDS[name_of(dtype)] in ("f32", "f64")


def _unsigned(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "ub"


def apply(
    b: Builder, name: str, args: Sequence[Value], in_dtype: np.dtype[Any], out_dtype: np.dtype[Any]
) -> Value:
    """Apply an operation to values of the same number of lanes. `in_dtype` is that of the last operand."""
    found = _apply(b, name, args, in_dtype, out_dtype)
    if out_dtype.itemsize == 2:
        return found if name in _EXACT or name_of(out_dtype) not in _HALVES else _rounded(b, out_dtype, found)
    return fitted(b, out_dtype, found) if out_dtype.itemsize == 1 and name not in _KEPT else found


def _apply(
    b: Builder, name: str, args: Sequence[Value], in_dtype: np.dtype[Any], out_dtype: np.dtype[Any]
) -> Value:
    rule = _RULES.get(name)
    if rule is not None:
        return rule(b, in_dtype, out_dtype, *args)
    if _is_float(in_dtype):
        return vecmath.emit(b, _MATH_NAMES.get(name, name), *args)
    raise KeyError(f"no code for operation {name} on {in_dtype}")


_MATH_NAMES = {"round_even": "round_half_even", "round": "round_half_away"}
Rule = Callable[..., Value]


def _pick(float_op: str, int_op: str, unsigned_op: str | None = None) -> Rule:
    def rule(b: Builder, d: np.dtype[Any], _: Any, *args: Value) -> Value:
        op = float_op if _is_float(d) else unsigned_op if unsigned_op and _unsigned(d) else int_op
        return getattr(b, op)(*args)  # type: ignore[no-any-return]

    return rule


def _compare(float_predicate: str, signed: str, unsigned: str) -> Rule:
    def rule(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value) -> Value:
        if _is_float(d):
            return b.fcmp(float_predicate, x, y)
        return b.icmp(unsigned if _unsigned(d) else signed, x, y)

    return rule


def _extremum(larger: bool) -> Rule:
    """max or min; NaN wins."""

    def rule(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value) -> Value:
        if _is_float(d):
            if x.const is not None:
                x, y = y, x
            if y.const is not None and y.const == y.const and y.const != 0:
                # one comparison: if x is NaN it is unordered, and x is taken
                return b.select(b.fcmp("ugt" if larger else "ult", x, y), x, y)
            return b.maximum(x, y) if larger else b.minimum(x, y)
        if KINDS[name_of(d)] == "i1":
            return b.or_(x, y) if larger else b.and_(x, y)
        op = ("umax" if larger else "umin") if _unsigned(d) else ("smax" if larger else "smin")
        return getattr(b, op)(x, y)  # type: ignore[no-any-return]

    return rule


def _div(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value) -> Value:
    """Integers: towards zero; x / 0 is -1 (all bits set), the least number / -1 is itself."""
    if _is_float(d):
        return b.fdiv(x, y)
    if y.const is not None and y.const not in (0, -1):
        return b.udiv(x, y) if _unsigned(d) else b.sdiv(x, y)
    zero = b.icmp("eq", y, 0)
    if _unsigned(d):
        return b.select(zero, b.const(x.type, -1), b.udiv(x, b.select(zero, b.const(y.type, 1), y)))
    minus = b.icmp("eq", y, -1)
    safe = b.select(b.or_(zero, minus), b.const(y.type, 1), y)
    return b.select(zero, b.const(x.type, -1), b.select(minus, b.neg(x), b.sdiv(x, safe)))


def _rem(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value) -> Value:
    """The sign is the dividend's; integers: x rem 0 is x."""
    if _is_float(d):
        return vecmath.emit(b, "fmod", x, y)
    if y.const is not None and y.const not in (0, -1):
        return b.urem(x, y) if _unsigned(d) else b.srem(x, y)
    zero = b.icmp("eq", y, 0)
    one = b.const(y.type, 1)
    if _unsigned(d):
        return b.select(zero, x, b.urem(x, b.select(zero, one, y)))
    minus = b.icmp("eq", y, -1)
    rest = b.srem(x, b.select(b.or_(zero, minus), one, y))
    return b.select(zero, x, rest)


def _sign(b: Builder, d: np.dtype[Any], _: Any, x: Value) -> Value:
    zero, one = b.const(x.type, 0), b.const(x.type, 1)
    if _is_float(d):
        # zeros keep their sign, NaN stays
        signed = b.copysign(one, x)
        return b.select(b.fcmp("une", x, x), x, b.select(b.fcmp("oeq", x, zero), x, signed))
    if _unsigned(d):
        return b.select(b.icmp("eq", x, zero), zero, one)
    return b.select(b.icmp("eq", x, zero), zero, b.or_(b.ashr(x, x.type.bits - 1), one))


def _shift(op: str) -> Rule:
    """Shifts past the width give zero, or the sign."""

    def rule(b: Builder, d: np.dtype[Any], _: Any, x: Value, n: Value) -> Value:
        bits = _NARROW.get(name_of(d), x.type.bits)
        inside = b.icmp("ult", n, bits)
        if op == "ashr":
            if name_of(d) in _NARROW:
                x = b.ashr(b.shl(x, 8 - bits), 8 - bits)
            return b.ashr(x, b.select(inside, n, b.const(n.type, bits - 1)))
        x = to_memory(b, d, x)
        shifted = getattr(b, op)(x, b.select(inside, n, b.const(n.type, 0)))
        return b.select(inside, shifted, b.const(x.type, 0))

    return rule


def _convert(b: Builder, d: np.dtype[Any], out: np.dtype[Any], x: Value) -> Value:
    """Floats to integers saturate, NaN becomes 0; integers wrap around."""
    kind, to = KINDS[name_of(d)], KINDS[name_of(out)]
    if out.itemsize == 1 and d != out and (name_of(out) in smallfloats.FORMATS or name_of(out) in _NARROW):
        return _to_small(b, d, out, x)
    if name_of(out) in _HALVES and d != out and kind != "i1":
        if kind == "f64":
            # bfloat16 is rounded twice in the reference, too
            x = _odd(b, x) if name_of(out) == "float16" else b.fptrunc(x, to)
        elif kind != "f32":
            x = b.uitofp(x, to) if _unsigned(d) else b.sitofp(x, to)
        return _rounded(b, out, x)
    if kind == to:
        return x
    if to == "i1":
        return b.fcmp("une", x, 0.0) if _is_float(d) else b.icmp("ne", x, 0)
    if _is_float(d):
        if _is_float(out):
            return _between_floats(b, x, to)
        return b.fptoui(x, to) if _unsigned(out) else b.fptosi(x, to)
    if _is_float(out):
        if kind == "i1":
            return b.select(x, b.const(x.type.like(to), 1.0), b.const(x.type.like(to), 0.0))
        return b.uitofp(x, to) if _unsigned(d) else b.sitofp(x, to)
    width = scalar_type(to).bits
    if x.type.bits > width:
        return b.trunc(x, to)
    return b.zext(x, to) if _unsigned(d) else b.sext(x, to)


def _to_small(b: Builder, d: np.dtype[Any], out: np.dtype[Any], x: Value) -> Value:
    kind, narrow = KINDS[name_of(d)], name_of(out) in _NARROW
    if kind == "i1":
        return _convert(b, d, np.dtype(np.int8 if narrow else np.float32), x)
    if not narrow:
        x = (
            b.fptrunc(x, "f32")
            if kind == "f64"
            else x
            if kind == "f32"
            else _convert(b, d, np.dtype(np.float32), x)
        )
    elif _is_float(d):
        bits, signed = _NARROW[name_of(out)], name_of(out).startswith("i")
        most = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
        x = b.fptosi(x, "i8")
        return b.smax(b.smin(x, b.const(x.type, most)), b.const(x.type, -most - 1 if signed else 0))
    elif x.type.bits > 8:
        x = b.trunc(x, "i8")
    return fitted(b, out, x)


def _between_floats(b: Builder, x: Value, to: str) -> Value:
    if x.type.bits < scalar_type(to).bits:
        return b.fpext(x, to)
    return b.fptrunc(x, to)


def _odd(b: Builder, x: Value) -> Value:
    """A double as a single float, towards zero, its last bit set if it is not exact: to be rounded again."""
    near = b.fptrunc(x, "f32")
    back = b.fpext(near, "f64")
    bits = b.bitcast(near, "i32")
    beyond = b.fcmp("ogt", b.fabs(back), b.fabs(x))
    down = b.select(beyond, b.sub(bits, 1), bits)
    return b.bitcast(b.select(b.fcmp("one", back, x), b.or_(down, 1), bits), "f32")


def _bitcast(b: Builder, d: np.dtype[Any], out: np.dtype[Any], x: Value) -> Value:
    bits = to_memory(b, d, x) if name_of(d) in _HALVES or d.itemsize == 1 else x
    if name_of(out) in _HALVES or out.itemsize == 1:
        return from_memory(b, out, b.bitcast(bits, _STORED.get(name_of(out)) or KINDS[name_of(out)]))
    return b.bitcast(bits, KINDS[name_of(out)])


def _select(b: Builder, d: np.dtype[Any], _: Any, mask: Value, x: Value, y: Value) -> Value:
    return b.select(mask, x, y)


def _square(b: Builder, d: np.dtype[Any], _: Any, x: Value) -> Value:
    return b.fmul(x, x) if _is_float(d) else b.mul(x, x)


def _abs(b: Builder, d: np.dtype[Any], _: Any, x: Value) -> Value:
    return b.fabs(x) if _is_float(d) else x if _unsigned(d) else b.abs_(x)


def _is_finite(b: Builder, d: np.dtype[Any], _: Any, x: Value) -> Value:
    return b.fcmp("one", b.fabs(x), float("inf")) if _is_float(d) else b.const(x.type.like("i1"), 1)


def _nextafter(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value) -> Value:
    small = d.itemsize == 1
    if name_of(d) not in _HALVES and not small:
        return vecmath.emit(b, "nextafter", x, y)
    whole = "i8" if small else "i16"
    bits = b.bitcast(to_memory(b, d, x), whole)
    away = b.icmp("eq", b.fcmp("ogt", y, x), b.fcmp("ogt", x, 0.0))
    moved = b.add(bits, b.select(away, b.const(bits.type, 1), b.const(bits.type, -1)))
    if small:
        sign = 1 << smallfloats.FORMATS[name_of(d)].width
        least = b.select(b.fcmp("olt", y, 0.0), b.const(bits.type, sign | 1), b.const(bits.type, 1))
        if smallfloats.FORMATS[name_of(d)].kind == "fnuz":  # which has no -0
            moved = b.select(b.icmp("eq", moved, sign), b.const(bits.type, 0), moved)
    else:
        least = b.or_(b.bitcast(to_memory(b, d, b.copysign(b.const(x.type, 0.0), y)), whole), 1)
    moved = b.select(b.fcmp("oeq", x, 0.0), least, moved)
    found = from_memory(b, d, b.bitcast(moved, _STORED[name_of(d)]))
    return b.select(b.fcmp("uno", x, y), b.fadd(x, y), b.select(b.fcmp("oeq", x, y), y, found))


def _mulhi(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value) -> Value:
    bits = x.type.bits
    if name_of(d) in _NARROW:
        return b.trunc(b.ashr(b.mul(b.sext(x, "i16"), b.sext(y, "i16")), _NARROW[name_of(d)]), "i8")
    if bits == 64 and x.type.lanes > 1:
        return _mulhi_of_halves(b, _unsigned(d), x, y)
    wide = f"i{2 * bits}"
    if _unsigned(d):
        return b.trunc(b.lshr(b.mul(b.zext(x, wide), b.zext(y, wide)), bits), f"i{bits}")
    return b.trunc(b.ashr(b.mul(b.sext(x, wide), b.sext(y, wide)), bits), f"i{bits}")


def _mulhi_of_halves(b: Builder, unsigned: bool, x: Value, y: Value) -> Value:
    """By products of 32 bits, of which processors have vectors."""
    (x0, x1), (y0, y1) = ((b.and_(v, 0xFFFFFFFF), b.lshr(v, 32)) for v in (x, y))
    middle = b.add(b.mul(x1, y0), b.lshr(b.mul(x0, y0), 32))
    other = b.add(b.mul(x0, y1), b.and_(middle, 0xFFFFFFFF))
    upper = b.add(b.add(b.mul(x1, y1), b.lshr(middle, 32)), b.lshr(other, 32))
    if unsigned:
        return upper
    upper = b.sub(upper, b.and_(b.ashr(x, 63), y))
    return b.sub(upper, b.and_(b.ashr(y, 63), x))


def _pow(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value) -> Value:
    return vecmath.emit(b, "pow", x, y)


def _fma(b: Builder, d: np.dtype[Any], _: Any, x: Value, y: Value, z: Value) -> Value:
    return b.fma(x, y, z)


_RULES: dict[str, Rule] = {
    "add": _pick("fadd", "add"),
    "sub": _pick("fsub", "sub"),
    "mul": _pick("fmul", "mul"),
    "neg": _pick("fneg", "neg"),
    "and": _pick("and_", "and_"),
    "or": _pick("or_", "or_"),
    "xor": _pick("xor", "xor"),
    "not": _pick("not_", "not_"),
    "max": _extremum(larger=True),
    "min": _extremum(larger=False),
    "eq": _compare("oeq", "eq", "eq"),
    "ne": _compare("une", "ne", "ne"),
    "lt": _compare("olt", "slt", "ult"),
    "le": _compare("ole", "sle", "ule"),
    "gt": _compare("ogt", "sgt", "ugt"),
    "ge": _compare("oge", "sge", "uge"),
    "div": _div,
    "rem": _rem,
    "sign": _sign,
    "abs": _abs,
    "square": _square,
    "select": _select,
    "convert": _convert,
    "bitcast": _bitcast,
    "copy": lambda b, d, out, x: x,
    "is_finite": _is_finite,
    "shl": _shift("shl"),
    "shr_logical": _shift("lshr"),
    "shr_arithmetic": _shift("ashr"),
    "population_count": lambda b, d, out, x: b.ctpop(to_memory(b, d, x)),
    "clz": lambda b, d, out, x: b.sub(
        b.ctlz(to_memory(b, d, x)), x.type.bits - _NARROW.get(name_of(d), x.type.bits)
    ),
    "nextafter": _nextafter,
    "mulhi": _mulhi,
    "pow": _pow,
    "fma": _fma,
}

# How the lanes of an accumulator are combined at the end: float, signed, unsigned.
_REDUCTIONS: dict[str, tuple[str, str, str]] = {
    "add": ("fadd", "add", "add"),
    "mul": ("fmul", "mul", "mul"),
    "max": ("fmaximum", "smax", "umax"),
    "min": ("fminimum", "smin", "umin"),
    "and": ("", "and", "and"),
    "or": ("", "or", "or"),
    "xor": ("", "xor", "xor"),
}
_METHODS = {"fmaximum": "maximum", "fminimum": "minimum", "and": "and_", "or": "or_"}


def reduce_lanes(b: Builder, combine: str, dtype: np.dtype[Any], value: Value, to: int = 1) -> Value:
    """Combine the lanes of a vector, of which there is a power of two, to so many, by default to one scalar."""
    on_floats, signed, unsigned = _REDUCTIONS[combine]
    op = on_floats if _is_float(dtype) else unsigned if _unsigned(dtype) else signed
    if to == 1 and value.type.bits == 1:
        return b.reduce(op, value)
    # halves are operations that LLVM has for every width; its own reductions take it twice the time
    apply = getattr(b, _METHODS.get(op, op))
    count = value.type.lanes
    while count > to:
        count //= 2
        value = apply(b.slice_lanes(value, 0, count), b.slice_lanes(value, count, count))
    return value
