"""Views: reshape, rev, squeeze, expand_dims; arrays made from nothing: iota, full."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.array import ArrayBase, from_numpy
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.prims.axes import broadcast_in_dim, move_axis, transpose
from wengert.prims.constructors import (
    Shape,
    as_operand,
    canonical_axes,
    canonical_axis,
    canonical_shape,
    check_dtype,
    dtype_of,
    origin,
    shape_of,
    view,
    zero_jvp,
)
from wengert.prims.conversion import convert_element_type, convert_with_weak_type

# ---------------------------------------------------------------------------------------------------- reshape


def _reshape_aval(x: ShapedArray, *, new_sizes: Shape, dimensions: Shape | None) -> ShapedArray:
    if math.prod(new_sizes) != x.size:
        raise TypeError(
            f"reshape total size must be unchanged, got new_sizes {new_sizes} for shape {x.shape}: "
            f"{math.prod(new_sizes)} elements instead of {x.size}."
        )
    return ShapedArray(new_sizes, x.dtype, x.weak_type)


def _reshape_batch(axis: Any, x: Any, dim: int, *, new_sizes: Shape, dimensions: Shape | None) -> Any:
    moved = move_axis(x, dim, 0)
    return reshape_p.bind(moved, new_sizes=(axis.size, *new_sizes), dimensions=None), 0


def matching_axes(old: Shape, new: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """Runs of axes of two shapes that hold the same elements, each run as short as can be.

    For sizes that are not zero. Axes of size 1 are in none of the runs.
    """
    i = j = 0
    while i < len(old) or j < len(new):
        a: list[int] = []
        b: list[int] = []
        size_a = size_b = 1
        while not a or size_a != size_b:
            if size_a <= size_b and i < len(old):
                if old[i] != 1:
                    a.append(i)
                    size_a *= old[i]
                i += 1
            elif j < len(new):
                if new[j] != 1:
                    b.append(j)
                    size_b *= new[j]
                j += 1
            else:
                return
        yield a, b


def reshaped_index(ctx: Any, index: Any, old: Shape, new: Shape) -> tuple[Any, ...]:
    """Where the element at `index` of the shape `new` stands in the shape `old`."""
    found: list[Any] = [origin(ctx)] * len(old)
    if 0 in old:
        return tuple(found)
    for before, after in matching_axes(old, new):
        linear = index[after[0]]
        for j in after[1:]:
            linear = linear * new[j] + index[j]
        for i in reversed(before[1:]):
            found[i] = ctx.mod(linear, old[i])
            linear = ctx.floordiv(linear, old[i])
        found[before[0]] = linear
    return tuple(found)


def _reshape_pull(ctx: Any, index: Any, x: Any, *, new_sizes: Shape, dimensions: Any) -> Any:
    offset: Any = 0
    for i, size in zip(index, new_sizes, strict=True):
        offset = offset * size + i
    # what is in memory is read at the same offset, whatever its shape
    stored = x.at_offset(offset) if index else None
    return stored if stored is not None else x.at(reshaped_index(ctx, index, x.aval.shape, new_sizes))


reshape_p = view(
    "reshape",
    abstract_eval=_reshape_aval,
    impl=lambda xp, x, *, new_sizes, dimensions: xp.reshape(x, new_sizes),
    transpose=lambda ct, x, *, new_sizes, dimensions: reshape(ct, x.shape),
    batch=_reshape_batch,
    pull=_reshape_pull,
)


def reshape(operand: Any, new_sizes: Any, dimensions: Any = None, *, out_sharding: Any = None) -> Any:
    """`operand` with the shape `new_sizes`, its elements in the same (C) order.

    Args:
      dimensions: the order in which the axes of the operand are read; all in order by default.
    Raises:
      TypeError: the number of elements would change.
    """
    operand = as_operand("reshape", operand)
    new_sizes = canonical_shape(new_sizes)
    if dimensions is not None:
        operand = transpose(operand, dimensions)
    if isinstance(operand, ArrayBase) and new_sizes == operand.aval.shape:
        return operand
    return reshape_p.bind(operand, new_sizes=new_sizes, dimensions=None)


# -------------------------------------------------------------------------------------------------------- rev


def _rev_aval(x: ShapedArray, *, dimensions: Shape) -> ShapedArray:
    if len(set(dimensions)) != len(dimensions):
        raise TypeError(f"rev dimensions must be unique, got {dimensions}.")
    if not all(0 <= d < x.ndim for d in dimensions):
        raise TypeError(
            f"rev dimensions must all be less than operand ndim, got dimensions {dimensions} for operand "
            "ndim "
            f"{x.ndim}."
        )
    return x


def _rev_impl(xp: Any, x: Any, *, dimensions: Shape) -> Any:
    x = xp.asarray(x)
    step = [slice(None)] * x.ndim
    for d in dimensions:
        step[d] = slice(None, None, -1)
    return x[tuple(step)]


def _rev_batch(axis: Any, x: Any, dim: int, *, dimensions: Shape) -> Any:
    return rev_p.bind(x, dimensions=tuple([d + (d >= dim) for d in dimensions])), dim


def _rev_pull(ctx: Any, index: Any, x: Any, *, dimensions: Shape) -> Any:
    return x.at(
        tuple(
            [i * -1 + (d - 1) if k in dimensions else i for k, (i, d) in enumerate(zip(index, x.aval.shape))]
        )
    )


rev_p: Primitive = view(
    "rev",
    abstract_eval=_rev_aval,
    impl=_rev_impl,
    transpose=lambda ct, x, *, dimensions: rev_p.bind(ct, dimensions=dimensions),
    batch=_rev_batch,
    pull=_rev_pull,
)


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """`operand` with the order of its elements reversed along the axes `dimensions`.

    Raises:
      TypeError: an axis is out of bounds or stands twice.
    """
    operand = as_operand("rev", operand)
    dimensions = tuple(map(int, dimensions))
    return rev_p.bind(operand, dimensions=dimensions) if dimensions else operand


# --------------------------------------------------------------------------------------- squeeze, expand_dims


def _squeeze_aval(x: ShapedArray, *, dimensions: Shape) -> ShapedArray:
    if any(x.shape[d] != 1 for d in dimensions):
        raise ValueError(
            "cannot select an axis to squeeze out which has size not equal to one, got "
            f"shape={x.shape} and dimensions={dimensions}"
        )
    return ShapedArray([d for i, d in enumerate(x.shape) if i not in dimensions], x.dtype, x.weak_type)


def _squeeze_batch(axis: Any, x: Any, dim: int, *, dimensions: Shape) -> Any:
    moved = tuple([d + (d >= dim) for d in dimensions])
    return squeeze_p.bind(x, dimensions=moved), dim - sum(d < dim for d in moved)


def _squeeze_pull(ctx: Any, index: Any, x: Any, *, dimensions: Shape) -> Any:
    rest = iter(index)
    zero = origin(ctx)
    return x.at(tuple([zero if i in dimensions else next(rest) for i in range(x.aval.ndim)]))


squeeze_p = view(
    "squeeze",
    abstract_eval=_squeeze_aval,
    impl=lambda xp, x, *, dimensions: xp.squeeze(x, dimensions),
    transpose=lambda ct, x, *, dimensions: expand_dims(ct, dimensions),
    batch=_squeeze_batch,
    pull=_squeeze_pull,
)


def squeeze(array: Any, dimensions: Sequence[int]) -> Any:
    """`array` without the axes `dimensions`, which have size 1.

    Raises:
      ValueError: the size of an axis is not 1, or an axis is out of bounds or stands twice.
    """
    array = as_operand("squeeze", array)
    found = canonical_axes(dimensions, len(shape_of(array)), "squeeze")
    if len(set(found)) != len(found):
        raise ValueError(f"dimensions are not unique: {tuple(dimensions)}")
    return squeeze_p.bind(array, dimensions=tuple(sorted(found))) if found else array


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """`array` with new axes of size 1 at the positions `dimensions` of the result.

    Raises:
      ValueError: a position is out of bounds or stands twice.
    """
    array = as_operand("expand_dims", array)
    shape = shape_of(array)
    new = set(canonical_axes(dimensions, len(shape) + len(dimensions), "expand_dims"))
    if len(new) != len(dimensions):
        raise ValueError(f"repeated axis in lax.expand_dims: {tuple(dimensions)}")
    if not new:
        return array
    kept = [i for i in range(len(shape) + len(new)) if i not in new]
    sizes = iter(shape)
    return broadcast_in_dim(
        array, [1 if i in new else next(sizes) for i in range(len(shape) + len(new))], kept
    )


# --------------------------------------------------------------------------------------- broadcasts, collapse


def broadcast(operand: Any, sizes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """`operand` repeated along new leading axes of the given sizes."""
    operand = as_operand("broadcast", operand)
    sizes, shape = canonical_shape(sizes), shape_of(operand)
    return broadcast_in_dim(operand, (*sizes, *shape), range(len(sizes), len(sizes) + len(shape)))


def broadcast_shapes(*shapes: Any) -> Shape:
    """The shape that arrays of the given shapes broadcast to, by NumPy's rules.

    Raises:
      ValueError: the shapes do not broadcast.
    """
    try:
        return np.broadcast_shapes(*[canonical_shape(s) for s in shapes])
    except ValueError:
        raise ValueError(f"Incompatible shapes for broadcasting: shapes={list(map(tuple, shapes))}") from None


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """`x` with leading axes of size 1 added, up to `rank` axes."""
    missing = rank - len(shape_of(x))
    if missing < 0:
        raise ValueError(f"broadcast_to_rank: x of rank {rank - missing} has more than {rank} axes")
    return expand_dims(x, range(missing))


def broadcast_like(arr: Any, like_arr: Any) -> Any:
    """`arr` broadcast to the shape of `like_arr`, by NumPy's rules."""
    shape, target = shape_of(arr), shape_of(like_arr)
    return broadcast_in_dim(arr, target, range(len(target) - len(shape), len(target)))


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """`operand` with the axes from `start_dimension` up to, not with, `stop_dimension` made one.

    Raises:
      ValueError: the axes are out of bounds or out of order.
    """
    shape = shape_of(operand)
    lo, hi, _ = slice(start_dimension, stop_dimension).indices(len(shape))
    if hi < lo:
        raise ValueError(
            f"Invalid dimension range passed to collapse: {shape}[{start_dimension}:{stop_dimension}]"
        )
    return reshape(operand, (*shape[:lo], math.prod(shape[lo:hi]), *shape[hi:]))


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """`operand` repeated `reps[i]` times along axis i.

    Raises:
      ValueError: there is not one number for each axis.
    """
    shape = shape_of(operand)
    reps = canonical_shape(reps, "reps")
    if len(reps) != len(shape):
        raise ValueError(f"lax.tile takes one repetition for each axis, got reps {reps} for shape {shape}")
    pairs = [n for pair in zip(reps, shape) for n in pair]
    repeated = broadcast_in_dim(operand, pairs, range(1, 2 * len(shape), 2))
    return reshape(repeated, [r * d for r, d in zip(reps, shape)])


# ------------------------------------------------------------------------------------------------- iota, full


def _iota_aval(*, dtype: Any, shape: Shape, dimension: int) -> ShapedArray:
    aval = ShapedArray(shape, dtype)
    check_dtype("iota", "iufc", aval)
    if not 0 <= dimension < len(shape):
        raise ValueError(
            f"iota dimension must be between 0 and len(shape), got {dimension} for shape {shape}"
        )
    return aval


def _iota_impl(xp: Any, *, dtype: Any, shape: Shape, dimension: int) -> Any:
    values = xp.arange(shape[dimension]).astype(dtype)
    return xp.broadcast_to(values.reshape([-1] + [1] * (len(shape) - dimension - 1)), shape)


iota_p: Primitive = Primitive(
    "iota",
    "view",
    abstract_eval=_iota_aval,
    impl=_iota_impl,
    jvp=zero_jvp(lambda: iota_p),
    pull=lambda ctx, index, *, dtype, shape, dimension: ctx.index(index[dimension], dtype),
)


def broadcasted_iota(dtype: Any, shape: Any, dimension: int, *, out_sharding: Any = None) -> Any:
    """The numbers 0, 1, 2 ... along one axis, repeated along the others.

    Raises:
      TypeError: the dtype is bool.
      ValueError: the axis is out of bounds.
    """
    shape = canonical_shape(shape)
    dtype = dtypes.canonicalize_dtype(dtype)
    return iota_p.bind(dtype=dtype, shape=shape, dimension=canonical_axis(dimension, len(shape), "iota"))


def iota(dtype: Any, size: int) -> Any:
    """The numbers 0, 1, ..., size - 1."""
    return broadcasted_iota(dtype, (size,), 0)


def full(shape: Any, fill_value: Any, dtype: Any = None, *, sharding: Any = None) -> Any:
    """An array with every element equal to the scalar `fill_value`.

    Args:
      dtype: that of `fill_value` by default, weakly typed if it is a Python number.
    Raises:
      TypeError: `fill_value` is no scalar, or `shape` no sequence of integers.
    """
    fill_value = as_operand("full", fill_value, 1)
    if shape_of(fill_value):
        raise TypeError(
            f"full must be called with scalar fill_value, got fill_value.shape {shape_of(fill_value)}."
        )
    shape = canonical_shape(shape)
    if dtype is not None:
        dtype = dtypes.canonicalize_dtype(dtype, allow_extended_dtype=True)
        scalar = isinstance(fill_value, ArrayBase)
        fill_value = (
            convert_element_type(fill_value, dtype) if scalar else np.asarray(fill_value).astype(dtype)[()]
        )
        if dtype.kind == "V" and not scalar:
            fill_value = from_numpy(np.asarray(fill_value))  # words of random keys
    out = broadcast_in_dim(fill_value, shape, ())
    return out if isinstance(out, ArrayBase) else from_numpy(np.asarray(out))  # a NumPy scalar, of shape ()


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None, sharding: Any = None) -> Any:
    """An array like `x` in shape and dtype, with every element equal to the scalar `fill_value`."""
    aval_dtype = dtype_of(x) if not hasattr(x, "dtype") or isinstance(x, ArrayBase | np.ndarray) else x.dtype
    weak = dtype is None and dtypes.is_weakly_typed(x)
    out = full(
        x.shape if shape is None and hasattr(x, "shape") else shape or (), fill_value, dtype or aval_dtype
    )
    return convert_with_weak_type(out, out.dtype, True) if weak else out
