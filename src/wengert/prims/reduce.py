"""Reductions along axes, and the places of extrema. `reduce_sum` is in `axes`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, is_zero
from wengert.prims.arithmetic import add, div, mul
from wengert.prims.axes import accumulator, broadcast_in_dim, reduce_sum, transpose
from wengert.prims.constructors import (
    Shape,
    as_operand,
    batched_axes,
    canonical_axis,
    constant,
    dtype_of,
    reduced_shape,
    reduction,
    reduction_aval,
    shape_of,
    zero_jvp,
)
from wengert.prims.conversion import convert
from wengert.prims.logic import eq
from wengert.prims.shape import reshape
from wengert.prims.slicing import pad, slice_in_dim

# --------------------------------------------------------------------------------------------------- products


def _prod_impl(xp: Any, x: Any, *, axes: Shape) -> Any:
    x = xp.asarray(x)
    return xp.multiply.reduce(x, axis=axes, dtype=accumulator(x.dtype)).astype(x.dtype, copy=False)


def _flatten_axes(x: Any, axes: Shape) -> Any:
    """`x` with the given axes merged into the first one."""
    shape = shape_of(x)
    kept = [i for i in range(len(shape)) if i not in axes]
    size = math.prod([shape[a] for a in axes])
    return reshape(transpose(x, [*axes, *kept]), (size, *reduced_shape(shape, axes)))


def _prod_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: Shape) -> Any:
    x, t = primals[0], tangents[0]
    out = reduce_prod_p.bind(x, axes=axes)
    if is_zero(t):
        return out, Zero.of(out)
    if not axes:
        return out, t
    # pairwise products, so that zeros among the factors do no harm
    x, t = _flatten_axes(x, axes), _flatten_axes(t, axes)
    size = shape_of(x)[0]
    if size == 0:
        return out, Zero.of(out)
    while size > 1:
        if size % 2:
            config = [(0, 1, 0)] + [(0, 0, 0)] * (len(shape_of(x)) - 1)
            x, t, size = pad(x, constant(x, 1), config), pad(t, constant(t, 0), config), size + 1
        half = size // 2
        (x1, x2), (t1, t2) = [(slice_in_dim(y, 0, half), slice_in_dim(y, half, size)) for y in (x, t)]
        x, t, size = mul(x1, x2), add(mul(t1, x2), mul(x1, t2)), half
    return out, reshape(t, shape_of(t)[1:])


reduce_prod_p = reduction(
    "reduce_prod",
    accepts="iufc",
    impl=_prod_impl,
    combine="mul",
    identity=lambda dtype: dtype.type(1),
    jvp=_prod_jvp,
)

# ---------------------------------------------------------------------------------------------------- extrema


def least(dtype: np.dtype[Any]) -> Any:
    """The least value of a dtype: -inf, the least integer, False."""
    kind = dtypes.kind_of(dtype)
    if kind == "b":
        return np.False_
    if kind in "iu":
        return dtype.type(dtypes.iinfo(dtype).min)
    return dtype.type(-np.inf if dtypes.supports_inf(dtype) else dtypes.finfo(dtype).min)


def greatest(dtype: np.dtype[Any]) -> Any:
    """The greatest value of a dtype: inf, the greatest integer, True."""
    kind = dtypes.kind_of(dtype)
    if kind == "b":
        return np.True_
    if kind in "iu":
        return dtype.type(dtypes.iinfo(dtype).max)
    return dtype.type(np.inf if dtypes.supports_inf(dtype) else dtypes.finfo(dtype).max)


def _extremum_jvp(prim: Callable[[], Primitive]) -> Any:
    """The mean of the tangents at all the places where the extremum is."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: Shape) -> Any:
        x, t = primals[0], tangents[0]
        out = prim().bind(x, axes=axes)
        if is_zero(t):
            return out, Zero.of(out)
        shape = shape_of(x)
        kept = [i for i in range(len(shape)) if i not in axes]
        place = convert(eq(x, broadcast_in_dim(out, shape, kept)), dtype_of(t))
        return out, div(reduce_sum(mul(t, place), axes), reduce_sum(place, axes))

    return jvp


def _extremum(name: str, impl: Any, combine: str, identity: Any) -> Primitive:
    prim = reduction(
        name,
        accepts="biuf",
        impl=impl,
        combine=combine,
        identity=identity,
        jvp=_extremum_jvp(lambda: prim),
    )
    return prim


def _max_impl(xp: Any, x: Any, *, axes: Shape) -> Any:
    x = xp.asarray(x)
    return xp.maximum.reduce(x, axis=axes, initial=None if _nonempty(x, axes) else least(x.dtype))


def _min_impl(xp: Any, x: Any, *, axes: Shape) -> Any:
    x = xp.asarray(x)
    return xp.minimum.reduce(x, axis=axes, initial=None if _nonempty(x, axes) else greatest(x.dtype))


def _nonempty(x: Any, axes: Shape) -> bool:
    return all(x.shape[a] for a in axes)


reduce_max_p = _extremum("reduce_max", _max_impl, "max", least)
reduce_min_p = _extremum("reduce_min", _min_impl, "min", greatest)

# ------------------------------------------------------------------------------------------------------- bits


def _bitwise(name: str, ufunc: str, combine: str, identity: Callable[[Any], Any]) -> Primitive:
    def impl(xp: Any, x: Any, *, axes: Shape) -> Any:
        x = xp.asarray(x)
        return getattr(xp, ufunc).reduce(x, axis=axes, initial=identity(x.dtype), dtype=x.dtype)

    return reduction(name, accepts="biu", impl=impl, combine=combine, identity=identity)


def _all_bits(dtype: np.dtype[Any]) -> Any:
    return np.invert(np.zeros((), dtype))[()]


def _no_bits(dtype: np.dtype[Any]) -> Any:
    return dtype.type(0)


reduce_and_p = _bitwise("reduce_and", "bitwise_and", "and", _all_bits)
reduce_or_p = _bitwise("reduce_or", "bitwise_or", "or", _no_bits)
reduce_xor_p = _bitwise("reduce_xor", "bitwise_xor", "xor", _no_bits)


def _binder(prim: Primitive, doc: str) -> Callable[..., Any]:
    def function(operand: Any, axes: Sequence[int]) -> Any:
        return prim.bind(as_operand(prim.name, operand), axes=tuple(map(int, axes)))

    function.__name__ = function.__qualname__ = prim.name
    function.__doc__ = f"{doc} over `axes`, which count from 0; they leave the shape."
    function.__module__ = "wengert.lax"
    return function


reduce_prod = _binder(reduce_prod_p, "The product")
reduce_max = _binder(reduce_max_p, "The greatest value")
reduce_min = _binder(reduce_min_p, "The least value")
reduce_and = _binder(reduce_and_p, "The bits that are set in all elements")
reduce_or = _binder(reduce_or_p, "The bits that are set in any element")
reduce_xor = _binder(reduce_xor_p, "The bits that are set in an odd number of elements")

# --------------------------------------------------------------------------------------------- argmax, argmin


def _arg_aval(name: str, x: ShapedArray, axes: Shape, index_dtype: Any) -> ShapedArray:
    if len(axes) != 1:
        raise TypeError(f"{name} takes one axis, got {axes}")
    aval = reduction_aval(name, "biuf", x, axes)
    if x.shape[axes[0]] == 0:
        raise ValueError(
            f"attempt to get {name} of an empty sequence: axis {axes[0]} of shape {x.shape} has size 0"
        )
    if dtypes.kind_of(index_dtype) not in "iu":
        raise TypeError(f"index_dtype must be an integer type, but got {index_dtype}")
    return ShapedArray(aval.shape, index_dtype)


def _arg_extremum(name: str) -> Primitive:
    def impl(xp: Any, x: Any, *, axes: Shape, index_dtype: Any) -> Any:
        return getattr(xp, name)(x, axis=axes[0]).astype(index_dtype)

    def batch(axis: Any, args: Any, dims: Any, *, axes: Shape, index_dtype: Any) -> Any:
        axes, dim = batched_axes(axes, dims[0])
        return prim.bind(args[0], axes=axes, index_dtype=index_dtype), dim

    def emit(ctx: Any, outs: Any, x: Any, *, axes: Shape, index_dtype: Any) -> Any:
        if not ctx.is_native(x.aval.dtype) or not ctx.is_native(outs[0].dtype):
            return None
        combine, start = ("max", least) if name == "argmax" else ("min", greatest)
        ctx.place_of_extremum(outs[0], x, axes[0], combine, start(x.aval.dtype))
        return outs

    prim = Primitive(
        name,
        "other",
        abstract_eval=lambda x, *, axes, index_dtype: _arg_aval(name, x, axes, index_dtype),
        impl=impl,
        jvp=zero_jvp(lambda: prim),
        batch=batch,
        emit=emit,
        access="stored",
    )
    return prim


argmax_p = _arg_extremum("argmax")
argmin_p = _arg_extremum("argmin")


def _bind_arg(prim: Primitive, operand: Any, axis: int, index_dtype: Any) -> Any:
    operand = as_operand(prim.name, operand)
    if axis < 0:
        raise ValueError(
            f"Invalid axis {axis} for operand shape {shape_of(operand)}; jnp.{prim.name} takes it."
        )
    axis = canonical_axis(axis, len(shape_of(operand)), prim.name)
    return prim.bind(operand, axes=(axis,), index_dtype=dtypes.canonicalize_dtype(index_dtype))


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first greatest element along an axis, or of the first NaN if there is one."""
    return _bind_arg(argmax_p, operand, axis, index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first least element along an axis, or of the first NaN if there is one."""
    return _bind_arg(argmin_p, operand, axis, index_dtype)
