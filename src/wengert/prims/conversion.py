"""Changing the dtype: by value, by bits, and by precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.source import warn_user
from wengert.core.trace import get_aval
from wengert.core.zeros import Zero, is_undefined, is_zero
from wengert.prims.axes import move_axis
from wengert.prims.constructors import as_operand, check_dtype, dtype_of, zero_jvp
from wengert.prims.elementwise import REALS, elementwise

# --------------------------------------------------------------------------------------------------- by value


def float_to_int(xp: Any, x: Any, dtype: np.dtype[Any]) -> Any:
    """Towards zero; what is out of range becomes the nearest integer of the dtype, NaN becomes 0."""
    info = dtypes.iinfo(dtype)
    if x.dtype.itemsize < 4:
        x = x.astype(np.float32)
    whole = xp.trunc(x)
    above, below = whole >= float(info.max) + 1.0 * (float(info.max) == info.max), whole <= float(info.min)
    inside = ~(above | below | xp.isnan(x))
    out = xp.where(inside, whole, x.dtype.type(0)).astype(dtype)
    out = xp.where(above, dtype.type(info.max), out)
    return xp.where(below, dtype.type(info.min), out)


def convert_values(xp: Any, x: Any, dtype: np.dtype[Any]) -> Any:
    """`x` in another dtype, as XLA converts."""
    x = xp.asarray(x)
    if x.dtype == dtype:
        return x
    old, new = dtypes.kind_of(x.dtype), dtypes.kind_of(dtype)
    if new == "b":
        return x != x.dtype.type(0)
    if old == "c" and new != "c":
        x, old = x.real, "f"
    if old == "f" and new in "iu":
        return float_to_int(xp, x, dtype)
    if old in "iu" and dtypes.itemsize_bits(x.dtype) < 8:  # ml_dtypes has no way from these to some floats
        x = x.astype(np.int8)
    if new in "iu" and old in "iu" and dtypes.itemsize_bits(dtype) < 8:
        x = x.astype(np.int8)
    return x.astype(dtype)


def _convert_aval(x: ShapedArray, *, new_dtype: Any, weak_type: bool) -> ShapedArray:
    if x.dtype == dtypes.float0 or dtypes.kind_of(x.dtype) == "V":
        raise TypeError(
            f"{dtypes.short_name(x.dtype)} can't be converted to {dtypes.short_name(new_dtype)}: its values "
            "are "
            "no numbers"
        )
    return ShapedArray(x.shape, new_dtype, weak_type)


def _convert_jvp(primals: Any, tangents: Any, *, new_dtype: Any, weak_type: bool) -> Any:
    out = convert_element_type_p.bind(primals[0], new_dtype=new_dtype, weak_type=weak_type)
    t = tangents[0]
    if is_zero(t) or dtypes.kind_of(new_dtype) not in "fc":
        return out, Zero.of(out)
    return out, convert_element_type_p.bind(t, new_dtype=new_dtype, weak_type=weak_type)


def _convert_transpose(ct: Any, x: Any, *, new_dtype: Any, weak_type: bool) -> Any:
    return convert_element_type_p.bind(ct, new_dtype=x.aval.dtype, weak_type=x.aval.weak_type)


def _convert_pull(ctx: Any, index: Any, x: Any, *, new_dtype: Any, weak_type: bool) -> Any:
    return x.at(index) if x.aval.dtype == new_dtype else ctx.op("convert", x.at(index), dtype=new_dtype)


convert_element_type_p = elementwise(
    "convert_element_type",
    lambda xp, x, *, new_dtype, weak_type: convert_values(xp, x, new_dtype),
    accepts="biufc",
    abstract_eval=_convert_aval,
    jvp=_convert_jvp,
    transposes=(_convert_transpose,),
    pull=_convert_pull,
)


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """`operand` in another dtype.

    Floats become integers by rounding towards zero; what is out of range becomes the greatest or the least
    integer, NaN becomes 0. Of complex numbers the real part is taken, with a warning. Anything but zero is
    True.
    """
    if isinstance(new_dtype, type) and new_dtype in (int, float, complex):
        return convert_with_weak_type(operand, dtypes.canonicalize_dtype(new_dtype), True)
    return convert_with_weak_type(
        operand, dtypes.canonicalize_dtype(new_dtype, allow_extended_dtype=True), False
    )


def convert_with_weak_type(operand: Any, new_dtype: np.dtype[Any], weak_type: bool) -> Any:
    """`operand` in a canonical dtype, weakly typed or not; as it is, if it is so already."""
    operand = as_operand("convert_element_type", operand)
    aval = get_aval(operand)
    if aval.dtype == new_dtype and aval.weak_type == weak_type and isinstance(operand, ArrayBase):
        return operand
    if aval.dtype.kind == "c" and dtypes.kind_of(new_dtype) not in "cb":
        warn_user("Casting complex values to real discards the imaginary part", np.exceptions.ComplexWarning)
    return convert_element_type_p.bind(operand, new_dtype=new_dtype, weak_type=weak_type)


def convert(x: Any, dtype: Any) -> Any:
    """`x` in the given dtype; for rules, which are sure of what they do."""
    return x if dtype_of(x) == dtype else convert_element_type_p.bind(x, new_dtype=dtype, weak_type=False)


# ---------------------------------------------------------------------------------------------------- by bits


def _bitcast_aval(x: ShapedArray, *, new_dtype: Any) -> ShapedArray:
    old, new = dtypes.itemsize_bits(x.dtype), dtypes.itemsize_bits(new_dtype)
    if (x.dtype.kind == "c") != (new_dtype.kind == "c") or (
        "b" in (x.dtype.kind, new_dtype.kind) and old != new
    ):
        raise TypeError(
            f"lax.bitcast_convert_type does not convert {x.dtype} to {new_dtype}: complex numbers and bools "
            "have "
            "no bits in common with other dtypes. Take lax.real and lax.imag, or convert the values by "
            "astype."
        )
    if old == new:
        return ShapedArray(x.shape, new_dtype)
    if old > new:
        return ShapedArray((*x.shape, old // new), new_dtype)
    if not x.shape or x.shape[-1] != new // old:
        raise ValueError(
            f"lax.bitcast_convert_type from {x.dtype} to {new_dtype} takes a last axis of size "
            f"{new // old}, whose "
            f"elements become one; got shape {x.shape}."
        )
    return ShapedArray(x.shape[:-1], new_dtype)


def _bitcast_impl(xp: Any, x: Any, *, new_dtype: Any) -> Any:
    x = xp.ascontiguousarray(x).reshape(xp.shape(x))
    old, new = x.dtype.itemsize, new_dtype.itemsize
    wide, narrow = dtypes.itemsize_bits(x.dtype), dtypes.itemsize_bits(new_dtype)
    if wide != narrow and min(wide, narrow) < 8:
        return _bitcast_in_parts(xp, x, new_dtype)
    if old == new:
        return x.view(new_dtype)
    if old > new:
        return x.reshape((*x.shape, 1)).view(new_dtype)
    return x.view(new_dtype).reshape(x.shape[:-1])


def _bitcast_in_parts(xp: Any, x: Any, new_dtype: np.dtype[Any]) -> Any:
    """The same from or to what takes less than a byte, and has one."""
    old, new = dtypes.itemsize_bits(x.dtype), dtypes.itemsize_bits(new_dtype)
    codes = x.view(_unsigned(x.dtype))
    if old > new:
        places = new * xp.arange(old // new, dtype=codes.dtype)
        return (
            (codes[..., None] >> places & codes.dtype.type((1 << new) - 1)).astype(np.uint8).view(new_dtype)
        )
    whole = _unsigned(new_dtype)
    codes = (codes & codes.dtype.type((1 << old) - 1)).astype(whole)
    places = old * xp.arange(new // old, dtype=whole)
    return xp.bitwise_or.reduce(codes << places, axis=-1).astype(whole).view(new_dtype)


def _bitcast_batch(axis: Any, args: Any, dims: Any, *, new_dtype: Any) -> Any:
    return bitcast_convert_type_p.bind(move_axis(args[0], dims[0], 0), new_dtype=new_dtype), 0


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


def _recast(ctx: Any, value: Any, old: np.dtype[Any], new: np.dtype[Any]) -> Any:
    """The bits of a value, read as a dtype of the same width."""
    if old == new:
        return value
    return ctx.op("convert" if "b" in (old.kind, new.kind) else "bitcast", value, dtype=new)


def _bitcast_pull(ctx: Any, index: Any, x: Any, *, new_dtype: Any) -> Any:
    old, new = x.aval.dtype, new_dtype
    old_bits, new_bits = dtypes.itemsize_bits(old), dtypes.itemsize_bits(new)
    if old_bits == new_bits:
        return _recast(ctx, x.at(index), old, new)
    whole, part = _unsigned(old), _unsigned(new)
    if old_bits > new_bits:
        bits = _recast(ctx, x.at(index[:-1]), old, whole)
        shift = ctx.index(index[-1] * new_bits, whole)
        piece = ctx.op("convert", ctx.op("shr_logical", bits, shift), dtype=part)
        return _recast(ctx, piece, part, new)
    total = ctx.const(0, part)
    for k in range(new_bits // old_bits):
        column = ctx.coordinate(ctx.const(k, np.int64), k, k + 1)
        piece = ctx.op("convert", _recast(ctx, x.at((*index, column)), old, whole), dtype=part)
        total = ctx.op("or", total, ctx.op("shl", piece, ctx.const(old_bits * k, part)))
    return _recast(ctx, total, part, new)


bitcast_convert_type_p: Primitive = Primitive(
    "bitcast_convert_type",
    "other",
    abstract_eval=_bitcast_aval,
    impl=_bitcast_impl,
    jvp=zero_jvp(lambda: bitcast_convert_type_p),
    batch=_bitcast_batch,
    pull=_bitcast_pull,
    real_code=True,
)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The bits of `operand`, read as another dtype.

    From a wide dtype to a narrower one, the result has one more axis, the last, lowest bits first; the other
    way round, the last axis is consumed.

    Raises:
      ValueError: the last axis has not the size that makes one element of the wider dtype.
      TypeError: one of the dtypes is complex and the other is not.
    """
    operand = as_operand("bitcast_convert_type", operand)
    new_dtype = dtypes.canonicalize_dtype(new_dtype)
    if dtype_of(operand) == new_dtype:
        return operand
    return bitcast_convert_type_p.bind(operand, new_dtype=new_dtype)


# ----------------------------------------------------------------------------------------------- by precision


def _reduce_precision_aval(x: ShapedArray, *, exponent_bits: int, mantissa_bits: int) -> ShapedArray:
    check_dtype("reduce_precision", REALS, x)
    if exponent_bits < 1 or mantissa_bits < 0:
        raise ValueError(
            f"reduce_precision takes exponent_bits >= 1 and mantissa_bits >= 0, got {exponent_bits}, "
            f"{mantissa_bits}"
        )
    return x


def _reduce_precision_impl(xp: Any, x: Any, *, exponent_bits: int, mantissa_bits: int) -> Any:
    x = xp.asarray(x)
    wide = x.astype(np.float64)
    bias = (1 << (exponent_bits - 1)) - 1
    fraction, exponent = xp.frexp(wide)  # |fraction| in [1/2, 1)
    rounded = xp.ldexp(xp.rint(xp.ldexp(fraction, mantissa_bits + 1)), exponent - mantissa_bits - 1)
    _, exponent = xp.frexp(rounded)
    exponent = xp.where(xp.isinf(rounded), bias + 2, exponent)  # rounded up beyond the greatest number
    rounded = xp.where(exponent - 1 > bias, xp.copysign(np.inf, wide), rounded)
    rounded = xp.where(exponent - 1 < 1 - bias, xp.copysign(0.0, wide), rounded)
    return xp.where(xp.isfinite(wide) & (wide != 0), rounded, wide).astype(x.dtype)


def _reduce_precision_pull(ctx: Any, index: Any, x: Any, *, exponent_bits: int, mantissa_bits: int) -> Any:
    dtype = x.aval.dtype
    wide = dtype if dtype.itemsize == 8 else np.dtype(np.float32)
    mantissa, bias = (52, 1023) if dtype.itemsize == 8 else (23, 127)
    bits = _unsigned(wide)
    value = ctx.op("convert", x.at(index), dtype=wide)
    whole = ctx.op("bitcast", value, dtype=bits)
    sign = ctx.const(1 << (8 * wide.itemsize - 1), bits)
    size = rounded = ctx.op("and", whole, ctx.op("not", sign))
    cut = mantissa - mantissa_bits
    if (
        cut > 0
    ):  # to the nearest, of two to the even one; without a mantissa the last bit is the hidden one, 1
        last = ctx.op("and", ctx.op("shr_logical", size, ctx.const(cut, bits)), ctx.const(1, bits))
        odd = last if mantissa_bits else ctx.const(1, bits)
        up = ctx.op("add", ctx.op("add", size, ctx.const((1 << (cut - 1)) - 1, bits)), odd)
        rounded = ctx.op("and", up, ctx.op("not", ctx.const((1 << cut) - 1, bits)))
    limit = min((1 << (exponent_bits - 1)) - 1, bias)
    infinity = ctx.const((2 * bias + 1) << mantissa, bits)
    beyond = ctx.op("ge", rounded, ctx.const((bias + limit + 1) << mantissa, bits))
    below = ctx.op("lt", rounded, ctx.const((bias + 1 - limit) << mantissa, bits))
    rounded = ctx.op("select", beyond, infinity, rounded)
    rounded = ctx.op("select", below, ctx.const(0, bits), rounded)
    signed = ctx.op("or", rounded, ctx.op("and", whole, sign))
    kept = ctx.op("select", ctx.op("ge", size, infinity), whole, signed)
    return ctx.op("convert", ctx.op("bitcast", kept, dtype=wide), dtype=dtype)


def _reduce_precision_jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    out = reduce_precision_p.bind(*primals, **params)
    t = tangents[0]
    return out, Zero.of(out) if is_zero(t) else reduce_precision_p.bind(t, **params)


def _reduce_precision_transpose(ct: Any, x: Any, **params: Any) -> Any:
    return reduce_precision_p.bind(ct, **params) if is_undefined(x) else None


reduce_precision_p = elementwise(
    "reduce_precision",
    _reduce_precision_impl,
    accepts=REALS,
    abstract_eval=_reduce_precision_aval,
    jvp=_reduce_precision_jvp,
    transposes=(_reduce_precision_transpose,),
    pull=_reduce_precision_pull,
)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """`operand`, rounded to what a float of these bits can hold; too small becomes 0, too large inf."""
    return reduce_precision_p.bind(
        as_operand("reduce_precision", operand),
        exponent_bits=int(exponent_bits),
        mantissa_bits=int(mantissa_bits),
    )
