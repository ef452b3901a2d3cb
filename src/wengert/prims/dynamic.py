"""Slices at positions that are known at run time."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.array import Array, ArrayBase
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, instantiate, is_undefined, is_zero
from wengert.prims.arithmetic import add
from wengert.prims.axes import batch_to, broadcast_in_dim, zeros_of
from wengert.prims.constructors import (
    Shape,
    as_operand,
    canonical_axes,
    canonical_axis,
    canonical_shape,
    dtype_of,
    linear_jvp,
    mismatch,
    same_dtype,
    shape_of,
)
from wengert.prims.conversion import convert
from wengert.prims.gather import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    gather_batch,
    gather_p,
    scatter_batch,
    scatter_p,
)
from wengert.prims.logic import lt
from wengert.prims.select import select
from wengert.prims.shape import expand_dims, squeeze
from wengert.prims.slicing import PlacedCotangent, concatenate, index_in_dim

# -------------------------------------------------------------------------------------------------- positions


def _check_starts(name: str, x: ShapedArray, starts: Sequence[ShapedArray], sizes: Shape) -> None:
    if len(starts) != x.ndim or len(sizes) != x.ndim:
        raise TypeError(
            f"{name}: there must be one start index and one size for each axis of the operand, of shape "
            f"{x.shape}; got "
            f"{len(starts)} indices and sizes {sizes}."
        )
    if any(n < 0 or n > d for n, d in zip(sizes, x.shape)):
        raise TypeError(
            f"{name} slice_sizes must be less than or equal to operand shape, got slice_sizes {sizes} for "
            "operand "
            f"shape {x.shape}."
        )
    if any(dtypes.kind_of(s.dtype) not in "iu" or s.shape for s in starts):
        found = ", ".join(s.str_short() for s in starts)
        raise TypeError(
            f"index arguments to {name} must be integers of the same type, and scalars, got: {found}"
        )


def _clamped(xp: Any, starts: Sequence[Any], shape: Shape, sizes: Shape) -> list[int]:
    return [max(0, min(int(s), d - n)) for s, d, n in zip(starts, shape, sizes)]


def _coordinates(ctx: Any, starts: Sequence[Any], shape: Shape, sizes: Shape) -> list[Any]:
    """The start indices as coordinates, clamped so that the slice is inside."""
    found = []
    zero = ctx.const(0, np.int64)
    for start, d, n in zip(starts, shape, sizes):
        value = ctx.op("convert", start.at(()), dtype=np.int64)
        value = ctx.op("min", ctx.op("max", value, zero), ctx.const(d - n, np.int64))
        found.append(ctx.coordinate(zero if d == n else value, 0, d - n + 1))
    return found


def _stacked_starts(axis: Any, starts: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Batched start indices as the rows of one array."""
    columns = [batch_to(convert(s, np.dtype(np.int32)), d, axis.size, 0) for s, d in zip(starts, dims)]
    return concatenate([expand_dims(c, (1,)) for c in columns], 1)


def start_indices_of(
    operand: Any, start_indices: Any, allow_negative_indices: bool | Sequence[bool]
) -> list[Any]:
    """Start indices as scalars of one integer dtype; those that count from the end, from the front."""
    shape = shape_of(operand)
    if isinstance(start_indices, ArrayBase | np.ndarray) and start_indices.ndim == 1:
        found = [index_in_dim(start_indices, i, keepdims=False) for i in range(start_indices.shape[0])]
    else:
        found = [as_operand("dynamic_slice", s, 1 + i) for i, s in enumerate(start_indices)]
    if len(found) != len(shape):
        raise ValueError(
            f"Length of slice indices must match number of operand dimensions ({len(found)} vs {shape})"
        )
    dtype = _index_dtype(found)
    allowed = (
        [allow_negative_indices] * len(shape)
        if isinstance(allow_negative_indices, bool)
        else allow_negative_indices
    )
    return [_from_front(s, d, dtype, wrap) for s, d, wrap in zip(found, shape, allowed)]


def _index_dtype(starts: Sequence[Any]) -> np.dtype[Any]:
    given = [dtype_of(s) for s in starts if not isinstance(s, int)]
    if any(dtypes.kind_of(d) not in "iu" for d in given):
        raise TypeError(
            "index arguments to dynamic_slice must be integers of the same type, got: "
            f"{', '.join(map(str, given))}"
        )
    if not given:
        return np.dtype(np.int32)
    found: np.dtype[Any] = dtypes.result_type(*given)
    return found if dtypes.kind_of(found) in "iu" else np.dtype(np.int64)


def _from_front(start: Any, size: int, dtype: np.dtype[Any], wrap: bool) -> Any:
    if isinstance(start, int | np.integer) or (type(start) is Array and start.aval.shape == ()):
        value = int(start) if not isinstance(start, Array) else int(start._np)
        value = value + size if wrap and value < 0 else value
        info = np.iinfo(dtype)
        return dtype.type(max(info.min, min(value, info.max)))
    start = convert(start, dtype)
    if not wrap or dtype.kind == "u":
        return start
    return select(lt(start, 0), add(start, min(size, int(np.iinfo(dtype).max))), start)


# ---------------------------------------------------------------------------------------------- dynamic_slice


def _slice_aval(x: ShapedArray, *starts: ShapedArray, slice_sizes: Shape) -> ShapedArray:
    _check_starts("dynamic_slice", x, starts, slice_sizes)
    return ShapedArray(slice_sizes, x.dtype, x.weak_type)


def _slice_impl(xp: Any, x: Any, *starts: Any, slice_sizes: Shape) -> Any:
    x = xp.asarray(x)
    begin = _clamped(xp, starts, x.shape, slice_sizes)
    return x[tuple([slice(b, b + n) for b, n in zip(begin, slice_sizes)])]


def _slice_transpose(ct: Any, x: Any, *starts: Any, slice_sizes: Shape) -> Any:
    rest = [None] * len(starts)
    if is_zero(ct) or not is_undefined(x):
        return [None, *rest]

    def update(dense: Any) -> Any:
        old = dynamic_slice_p.bind(dense, *starts, slice_sizes=slice_sizes)
        return dynamic_update_slice_p.bind(dense, add(old, ct), *starts)

    return [PlacedCotangent(x.aval, updates=(update,)), *rest]


def _slice_batch(axis: Any, args: Any, dims: Any, *, slice_sizes: Shape) -> Any:
    (x, *starts), (dim, *start_dims) = args, dims
    if all(d is None for d in start_dims):
        starts.insert(dim, np.zeros((), dtype_of(starts[0]) if starts else np.int32)[()])
        sizes = (*slice_sizes[:dim], axis.size, *slice_sizes[dim:])
        return dynamic_slice_p.bind(x, *starts, slice_sizes=sizes), dim
    n = tuple(range(len(starts)))
    return gather_batch(
        axis,
        [x, _stacked_starts(axis, starts, start_dims)],
        [dim, 0],
        dimension_numbers=GatherDimensionNumbers(n, (), n),
        slice_sizes=slice_sizes,
        fill_value=None,
        indices_are_sorted=True,
        unique_indices=True,
        mode=GatherScatterMode.CLIP,
    )


def _slice_pull(ctx: Any, index: Any, x: Any, *starts: Any, slice_sizes: Shape) -> Any:
    begin = _coordinates(ctx, starts, x.aval.shape, slice_sizes)
    return x.at(tuple([i + b for i, b in zip(index, begin)]))


dynamic_slice_p: Primitive = Primitive(
    "dynamic_slice",
    "view",
    abstract_eval=_slice_aval,
    impl=_slice_impl,
    jvp=linear_jvp(lambda: dynamic_slice_p, 0),
    transpose=_slice_transpose,
    batch=_slice_batch,
    pull=_slice_pull,
    access="view",
)


def dynamic_slice(
    operand: Any,
    start_indices: Any,
    slice_sizes: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """The slice of shape `slice_sizes` that begins at `start_indices`, moved inside if it is not.

    Args:
      start_indices: one integer, which may be traced, for each axis.
      allow_negative_indices: whether negative indices count from the end; one for all axes, or one for each.
    Raises:
      TypeError: the slice is larger than the operand, or an index is no integer.
      ValueError: there is not one index for each axis.
    """
    operand = as_operand("dynamic_slice", operand)
    starts = start_indices_of(operand, start_indices, allow_negative_indices)
    return dynamic_slice_p.bind(operand, *starts, slice_sizes=canonical_shape(slice_sizes, "slice_sizes"))


def dynamic_slice_in_dim(
    operand: Any, start_index: Any, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Any:
    """The `slice_size` elements from `start_index` on along one axis, moved inside if they are not."""
    shape = shape_of(operand)
    axis = canonical_axis(axis, len(shape), "dynamic_slice_in_dim")
    starts, sizes = [0] * len(shape), list(shape)
    starts[axis], sizes[axis] = start_index, operator.index(slice_size)
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


def dynamic_index_in_dim(
    operand: Any, index: Any, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Any:
    """The elements at one index along one axis, which stays with size 1 if `keepdims`."""
    axis = canonical_axis(axis, len(shape_of(operand)), "dynamic_index_in_dim")
    found = dynamic_slice_in_dim(operand, index, 1, axis, allow_negative_indices=allow_negative_indices)
    return found if keepdims else squeeze(found, (axis,))


# --------------------------------------------------------------------------------------- dynamic_update_slice


def _update_aval(x: ShapedArray, update: ShapedArray, *starts: ShapedArray) -> ShapedArray:
    if update.ndim != x.ndim:
        raise TypeError(
            "dynamic_update_slice update must have the same number of axes as operand, got update shape "
            f"{update.shape} "
            f"for operand shape {x.shape}."
        )
    _check_starts("dynamic_update_slice", x, starts, update.shape)
    if x.dtype != update.dtype:
        raise mismatch("dynamic_update_slice", [x.dtype, update.dtype])
    return ShapedArray(x.shape, x.dtype, x.weak_type)


def _update_impl(xp: Any, x: Any, update: Any, *starts: Any) -> Any:
    out, update = xp.array(x), xp.asarray(update)
    begin = _clamped(xp, starts, out.shape, update.shape)
    out[tuple([slice(b, b + n) for b, n in zip(begin, update.shape)])] = update
    return out


def _update_jvp(primals: Any, tangents: Any) -> Any:
    out = dynamic_update_slice_p.bind(*primals)
    tx, tu, *_ = tangents
    if is_zero(tx) and is_zero(tu):
        return out, Zero.of(out)
    return out, dynamic_update_slice_p.bind(instantiate(tx), instantiate(tu), *primals[2:])


def _update_transpose(ct: Any, x: Any, update: Any, *starts: Any) -> Any:
    rest = [None] * len(starts)
    if is_zero(ct):
        return [None, None, *rest]
    shape = update.aval.shape if is_undefined(update) else shape_of(update)
    ct_x = ct_update = None
    if is_undefined(x):
        aval = ShapedArray(shape, dtype_of(ct))
        ct_x = dynamic_update_slice_p.bind(ct, zeros_of(aval), *starts)
    if is_undefined(update):
        ct_update = dynamic_slice_p.bind(ct, *starts, slice_sizes=shape)
    return [ct_x, ct_update, *rest]


def _update_batch(axis: Any, args: Any, dims: Any) -> Any:
    (x, update, *starts), (dx, du, *start_dims) = args, dims
    if all(d is None for d in start_dims):
        x, update = batch_to(x, dx, axis.size, 0), batch_to(update, du, axis.size, 0)
        first = np.zeros((), dtype_of(starts[0]) if starts else np.int32)[()]
        return dynamic_update_slice_p.bind(x, update, first, *starts), 0
    n = tuple(range(len(starts)))
    return scatter_batch(lambda: scatter_p)(
        axis,
        [x, _stacked_starts(axis, starts, start_dims), update],
        [dx, 0, du],
        dimension_numbers=ScatterDimensionNumbers(n, (), n),
        indices_are_sorted=True,
        unique_indices=True,
        mode=GatherScatterMode.CLIP,
    )


def _update_pull(ctx: Any, index: Any, x: Any, update: Any, *starts: Any) -> Any:
    begin = _coordinates(ctx, starts, x.aval.shape, update.aval.shape)
    place = tuple([i - b for i, b in zip(index, begin)])
    inside = tuple([(p, 0, n) for p, n in zip(place, update.aval.shape)])
    return ctx.piecewise([(inside, lambda: update.at(place)), ((), lambda: x.at(index))])


def _update_emit(ctx: Any, outs: Any, x: Any, update: Any, *starts: Any) -> Any:
    if not ctx.is_native(x.aval.dtype):
        return None
    begin = _coordinates(ctx, starts, x.aval.shape, update.aval.shape)
    ctx.update(outs[0], x, update, begin)
    return outs


dynamic_update_slice_p = Primitive(
    "dynamic_update_slice",
    "view",
    abstract_eval=_update_aval,
    impl=_update_impl,
    jvp=_update_jvp,
    transpose=_update_transpose,
    batch=_update_batch,
    pull=_update_pull,
    emit=_update_emit,
    over=0,
    access="view",
)


def dynamic_update_slice(
    operand: Any,
    update: Any,
    start_indices: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """`operand` with the slice that begins at `start_indices`, moved inside if it is not, replaced by
    `update`.

    Args:
      start_indices: one integer, which may be traced, for each axis.
      allow_negative_indices: whether negative indices count from the end; one for all axes, or one for each.
    Raises:
      TypeError: `update` is larger than the operand or of another dtype, or an index is no integer.
      ValueError: there is not one index for each axis.
    """
    operand, update = same_dtype("dynamic_update_slice", operand, update)
    starts = start_indices_of(operand, start_indices, allow_negative_indices)
    return dynamic_update_slice_p.bind(operand, update, *starts)


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """`operand` with the elements from `start_index` on along one axis replaced by `update`."""
    axis = canonical_axis(axis, len(shape_of(operand)), "dynamic_update_slice_in_dim")
    starts: list[Any] = [0] * len(shape_of(operand))
    starts[axis] = start_index
    return dynamic_update_slice(operand, update, starts, allow_negative_indices=allow_negative_indices)


def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """`operand` with the elements at one index along an axis replaced by `update`."""
    ndim = len(shape_of(operand))
    axis = canonical_axis(axis, ndim, "dynamic_update_index_in_dim")
    if len(shape_of(update)) != ndim:
        update = expand_dims(update, (axis,))
    return dynamic_update_slice_in_dim(
        operand, update, index, axis, allow_negative_indices=allow_negative_indices
    )


def index_take(src: Any, idxs: Any, axes: Sequence[int]) -> Any:
    """The elements of `src` at the indices `idxs`, one array of shape (n,) for each of `axes`.

    The axis along the indices comes first; what lies out of bounds is moved inside.
    """
    columns = [expand_dims(convert(as_operand("index_take", i), np.dtype(np.int32)), (1,)) for i in idxs]
    shape = shape_of(src)
    found = canonical_axes(axes, len(shape))
    starts = concatenate(columns, 1)
    sizes = np.asarray([shape[a] for a in found], np.int32)
    wrapped = select(lt(starts, 0), add(starts, broadcast_in_dim(sizes, shape_of(starts), (1,))), starts)
    numbers = GatherDimensionNumbers(tuple(range(1, len(shape) - len(found) + 1)), found, found)
    return gather_p.bind(
        src,
        wrapped,
        dimension_numbers=numbers,
        slice_sizes=tuple([1 if i in found else d for i, d in enumerate(shape)]),
        fill_value=None,
        indices_are_sorted=False,
        unique_indices=False,
        mode=GatherScatterMode.CLIP,
    )
