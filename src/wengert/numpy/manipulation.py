"""Functions that rearrange arrays: shapes, axes, joining, splitting, repeating."""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core.array import ArrayBase
from wengert.core.source import user_context
from wengert.core.trace import Tracer
from wengert.numpy import reductions, ufuncs
from wengert.numpy._util import (
    ArrayLike,
    Axis,
    DTypeLike,
    as_array,
    axis_index,
    axis_tuple,
    broadcast_operands,
    broadcast_shapes as _broadcast_shapes,
    convert,
    needs_value,
    operand,
    refuse_out,
    result_type_and_weakness,
    scalar,
    shape_tuple,
    static_int,
    user_dtype,
)

# Shapes


def reshape(
    a: ArrayLike, shape: Any, order: str = "C", *, copy: bool | None = None, out_sharding: Any = None
) -> Any:
    """The same elements, in row-major order (column-major if order is "F"), in another shape.

    One size may be -1 and follows from the others.

    Raises:
      TypeError: the sizes don't match, or are not known while tracing.
    """
    a = as_array(a, "reshape")
    target = _reshaped(a.shape, a.size, shape_tuple(shape))
    if order == "C":
        return a if target == a.shape else lax.reshape(a, target)
    if order == "F":
        result = lax.reshape(transpose(a), target[::-1])
        return transpose(result)
    if order == "A":
        raise user_context(
            NotImplementedError(
                "reshape with order='A' is not implemented: arrays have no memory order; use 'C'"
            )
        )
    raise user_context(ValueError(f"Unexpected value for 'order' argument: {order!r}; it must be 'C' or 'F'"))


def _reshaped(old: tuple[int, ...], size: int, new: tuple[int, ...]) -> tuple[int, ...]:
    if -1 in new:
        if new.count(-1) > 1:
            raise user_context(
                TypeError(f"cannot reshape array of shape {old} into shape {new}: only one size may be -1")
            )
        known = -math.prod(new)
        if known == 0 or size % known:
            raise user_context(
                TypeError(
                    f"cannot reshape array of shape {old} (size {size}) into shape {new} (size not a multiple)"
                )
            )
        new = tuple(size // known if d == -1 else d for d in new)
    if math.prod(new) != size:
        raise user_context(
            TypeError(
                f"cannot reshape array of shape {old} (size {size}) into shape {new} (size {math.prod(new)})"
            )
        )
    return new


def ravel(a: ArrayLike, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements in one axis, in row-major order (column-major if order is "F")."""
    if order == "K":
        raise user_context(NotImplementedError("Ravel not implemented for order='K'; use 'C' or 'F'"))
    return (
        reshape(a, (-1,), "C" if order == "A" else order)
        if as_array(a).size
        else lax.reshape(as_array(a), (0,))
    )


def resize(a: ArrayLike, new_shape: Any) -> Any:
    """The elements repeated from the start as often as is needed to fill `new_shape`."""
    shape = shape_tuple(new_shape)
    if builtins.any(d < 0 for d in shape):
        raise user_context(ValueError(f"all elements of new_shape must be non-negative, got {shape}"))
    flat = ravel(a)
    size = math.prod(shape)
    if flat.size == 0 or size == 0:
        return lax.full(shape, 0, flat.dtype)
    flat = tile(flat, -(-size // flat.size)) if flat.size < size else flat
    return reshape(lax.slice_in_dim(flat, 0, size), shape)


def expand_dims(a: ArrayLike, axis: int | Sequence[int]) -> Any:
    """New axes of size 1 at the places `axis` of the result."""
    a = as_array(a, "expand_dims")
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    return lax.expand_dims(a, axis_tuple(axes, a.ndim + len(axes)))


def squeeze(a: ArrayLike, axis: Axis = None) -> Any:
    """Without the axes of size 1, or only those of `axis`; ValueError if one of these has another size."""
    a = as_array(a, "squeeze")
    if axis is None:
        axes = tuple(i for i, d in enumerate(a.shape) if d == 1)
    else:
        axes = axis_tuple(axis, a.ndim)
        if any(a.shape[i] != 1 for i in axes):
            raise user_context(
                ValueError(
                    f"cannot select an axis to squeeze out which has size not equal to one, got shape={a.shape}"
                    f" and dimensions={axes}"
                )
            )
    return lax.squeeze(a, axes) if axes else a


def atleast_1d(*arys: ArrayLike) -> Any:
    """Each argument with at least one axis; a tuple if there are several arguments."""
    return _at_least(arys, lambda a: lax.expand_dims(a, (0,)) if a.ndim == 0 else a)


def atleast_2d(*arys: ArrayLike) -> Any:
    """Each argument with at least two axes, new ones first; a tuple if there are several arguments."""
    return _at_least(arys, lambda a: lax.expand_dims(a, tuple(range(2 - a.ndim))) if a.ndim < 2 else a)


def atleast_3d(*arys: ArrayLike) -> Any:
    """Each argument with at least three axes; a vector becomes (1, n, 1), a matrix (m, n, 1)."""
    new_axes: dict[int, tuple[int, ...]] = {0: (0, 1, 2), 1: (0, 2), 2: (2,)}
    return _at_least(arys, lambda a: lax.expand_dims(a, new_axes[a.ndim]) if a.ndim < 3 else a)


def _at_least(arys: Sequence[Any], function: Any) -> Any:
    results = [function(as_array(a, "atleast_nd")) for a in arys]
    return results[0] if len(results) == 1 else tuple(results)


# Axes


def transpose(a: ArrayLike, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order: axis i of the result is axis axes[i] of `a`; reversed for None."""
    a = as_array(a, "transpose")
    order = tuple(range(a.ndim))[::-1] if axes is None else tuple([axis_index(axis, a.ndim) for axis in axes])
    if sorted(order) != list(range(a.ndim)):
        error = TypeError(
            f"transpose permutation isn't a permutation of operand dimensions, got permutation {tuple(axes or ())} for "
            f"operand shape {a.shape}: each of its {a.ndim} axes must come once"
        )
        raise user_context(error)
    return a if order == tuple(range(a.ndim)) else lax.transpose(a, order)


def permute_dims(a: ArrayLike, /, axes: Sequence[int]) -> Any:
    """The axes in the order `axes`; see `transpose`."""
    return transpose(a, axes)


def matrix_transpose(x: ArrayLike, /) -> Any:
    """The last two axes exchanged."""
    x = as_array(x, "matrix_transpose")
    if x.ndim < 2:
        raise user_context(
            ValueError(f"x must be at least two-dimensional for matrix_transpose; got ndim={x.ndim}")
        )
    return swapaxes(x, -1, -2)


def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    a = as_array(a, "swapaxes")
    order = list(range(a.ndim))
    first, second = axis_index(axis1, a.ndim), axis_index(axis2, a.ndim)
    order[first], order[second] = second, first
    return transpose(a, order)


def moveaxis(a: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """The axes `source` moved to the places `destination`; the others keep their order."""
    a = as_array(a, "moveaxis")
    sources, places = axis_tuple(source, a.ndim), axis_tuple(destination, a.ndim)
    if len(sources) != len(places):
        raise user_context(ValueError(f"Inconsistent number of elements: {len(sources)} vs {len(places)}"))
    order = [i for i in range(a.ndim) if i not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return transpose(a, order)


def rollaxis(a: ArrayLike, axis: int, start: int = 0) -> Any:
    """The axis `axis` moved before the axis `start`."""
    a = as_array(a, "rollaxis")
    axis = axis_index(axis, a.ndim)
    start = axis_index(start, a.ndim + 1) if start >= 0 else start + a.ndim
    return moveaxis(a, axis, start - 1 if axis < start else start)


def flip(m: ArrayLike, axis: int | Sequence[int] | None = None) -> Any:
    """The elements in reverse order along `axis`, or along all axes."""
    m = as_array(m, "flip")
    return lax.rev(m, axis_tuple(axis, m.ndim))


def flipud(m: ArrayLike) -> Any:
    """The rows (axis 0) in reverse order."""
    return flip(m, 0)


def fliplr(m: ArrayLike) -> Any:
    """The columns (axis 1) in reverse order."""
    return flip(m, 1)


def rot90(m: ArrayLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Turned by k quarters, from the first of `axes` towards the second."""
    m = as_array(m, "rot90")
    first, second = axis_tuple(tuple(axes), m.ndim)
    quarters = k % 4
    if quarters == 0:
        return m
    if quarters == 2:
        return flip(m, (first, second))
    if quarters == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second)


def roll(a: ArrayLike, shift: ArrayLike, axis: Axis = None) -> Any:
    """The elements moved by `shift` places towards the end, those that leave come back at the start.

    `shift` may be traced. Several shifts and axes are paired.
    """
    a = as_array(a, "roll")
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(axis_index(i, a.ndim) for i in axes)
    if isinstance(shift, Tracer) or (
        isinstance(shift, tuple | list) and any(isinstance(s, Tracer) for s in shift)
    ):
        return _roll_dynamic(a, shift, axes)
    shifts = np.broadcast_to(np.asarray(shift), np.broadcast_shapes(np.shape(shift), (len(axes),)))
    if shifts.dtype.kind not in "biu":
        raise user_context(TypeError(f"roll: the shift must be an integer, got {shift!r}"))
    for amount, i in zip(shifts.tolist(), np.broadcast_to(axes, shifts.shape).tolist(), strict=True):
        size = a.shape[i]
        cut = (size - amount) % size if size else 0
        if cut:
            a = lax.concatenate(
                [lax.slice_in_dim(a, cut, size, axis=i), lax.slice_in_dim(a, 0, cut, axis=i)], i
            )
    return a


def _roll_dynamic(a: Any, shift: Any, axes: tuple[int, ...]) -> Any:
    shifts = stack([as_array(s) for s in shift]) if isinstance(shift, tuple | list) else as_array(shift)
    shifts = lax.broadcast_in_dim(shifts, (len(axes),), tuple(range(shifts.ndim)))
    for k, i in enumerate(axes):
        size = a.shape[i]
        if size:
            amount = lax.squeeze(lax.slice_in_dim(shifts, k, k + 1), (0,))
            start = ufuncs.remainder(lax.neg(amount), size)
            a = lax.dynamic_slice_in_dim(lax.concatenate([a, a], i), start, size, i)
    return a


# Joining


def concatenate(arrays: Any, axis: int | None = 0, dtype: DTypeLike | None = None) -> Any:
    """Arrays one after the other along an axis that they have; flattened first if `axis` is None.

    Raises:
      TypeError: the other sizes differ.
      ValueError: no arrays.
    """
    parts = _array_list("concatenate", arrays)
    if not parts:
        raise user_context(ValueError("Need at least one array to concatenate."))
    if axis is None:
        parts, axis = [ravel(p) for p in parts], 0
    if parts[0].ndim == 0:
        raise user_context(ValueError("Zero-dimensional arrays cannot be concatenated; use stack."))
    axis = axis_index(axis, parts[0].ndim)
    chosen, weak = (
        result_type_and_weakness(*parts) if dtype is None else (user_dtype(dtype, "concatenate"), False)
    )
    parts = [convert(p, chosen, weak) for p in parts]
    return parts[0] if len(parts) == 1 else lax.concatenate(parts, axis)


def _array_list(name: str, arrays: Any) -> list[Any]:
    if isinstance(arrays, np.ndarray | ArrayBase):
        arrays = list(as_array(arrays)) if arrays.ndim else [arrays]
    if not isinstance(arrays, Sequence):
        raise user_context(TypeError(f"{name} takes a sequence of arrays, got {type(arrays).__name__}"))
    return [as_array(a, name) for a in arrays]


def concat(arrays: Sequence[ArrayLike], /, *, axis: int | None = 0) -> Any:
    """Arrays one after the other along an axis that they have; see `concatenate`."""
    return concatenate(arrays, axis)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: DTypeLike | None = None) -> Any:
    """Arrays of one shape along a new axis."""
    refuse_out("stack", out)
    parts = _array_list("stack", arrays)
    if not parts:
        raise user_context(ValueError("Need at least one array to stack."))
    shapes = [p.shape for p in parts]
    if len(set(shapes)) > 1:
        raise user_context(
            ValueError(f"All input arrays must have the same shape. Got {', '.join(map(str, shapes))}.")
        )
    axis = axis_index(axis, parts[0].ndim + 1)
    return concatenate([lax.expand_dims(p, (axis,)) for p in parts], axis, dtype)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of the array along `axis`, without that axis."""
    x = as_array(x, "unstack")
    if x.ndim == 0:
        raise user_context(
            ValueError("Unstack requires arrays with rank > 0, however a scalar array was passed.")
        )
    axis = axis_index(axis, x.ndim)
    return tuple(lax.squeeze(lax.slice_in_dim(x, i, i + 1, axis=axis), (axis,)) for i in range(x.shape[axis]))


def _as_list(x: Any) -> list[Any]:
    return list(x) if isinstance(x, tuple) else [x]


def hstack(tup: Any, dtype: DTypeLike | None = None) -> Any:
    """Arrays side by side: along axis 1, vectors along axis 0."""
    parts = _as_list(atleast_1d(*_array_list("hstack", tup)))
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype)


def vstack(tup: Any, dtype: DTypeLike | None = None) -> Any:
    """Arrays one below the other: along axis 0, vectors as rows."""
    return concatenate(_as_list(atleast_2d(*_array_list("vstack", tup))), 0, dtype)


def dstack(tup: Any, dtype: DTypeLike | None = None) -> Any:
    """Arrays one behind the other, along axis 2."""
    return concatenate(_as_list(atleast_3d(*_array_list("dstack", tup))), 2, dtype)


def column_stack(tup: Any) -> Any:
    """Vectors as the columns of a matrix; matrices side by side."""
    parts = [
        lax.expand_dims(atleast_1d(a), (1,)) if a.ndim < 2 else a for a in _array_list("column_stack", tup)
    ]
    return concatenate(parts, 1)


def block(arrays: Any) -> Any:
    """An array of nested lists of blocks: the innermost lists are joined along the last axis, and so on outwards."""
    result, _ = _block(arrays)
    return result


def _block(arrays: Any) -> tuple[Any, int]:
    if isinstance(arrays, tuple):
        raise user_context(
            ValueError("jax.numpy.block does not allow tuples, got them in the nested lists; use lists")
        )
    if not isinstance(arrays, list):
        return as_array(arrays, "block"), 1
    if not arrays:
        raise user_context(ValueError("jax.numpy.block does not allow empty list arguments"))
    parts, depths = zip(*[_block(a) for a in arrays], strict=True)
    if len(set(depths)) > 1:
        raise user_context(ValueError("Mismatched list depths in jax.numpy.block"))
    depth = depths[0]
    rank = builtins.max(depth, *(p.ndim for p in parts))
    parts = tuple(lax.expand_dims(p, tuple(range(rank - p.ndim))) if p.ndim < rank else p for p in parts)
    return concatenate(parts, -depth), depth + 1


def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Any:
    """`values` after `arr` along `axis`; both flattened if it is None."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)], 0)
    return concatenate([arr, values], axis)


# Splitting


def split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """The array cut along `axis`: into that many equal parts, or before the given indices.

    Raises:
      ValueError: no equal parts.
    """
    return _split("split", ary, indices_or_sections, axis)


def array_split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """`split`; where no equal parts exist the first ones are longer by one."""
    return _split("array_split", ary, indices_or_sections, axis)


def _split(name: str, ary: Any, indices_or_sections: Any, axis: int) -> list[Any]:
    ary = as_array(ary, name)
    axis = axis_index(axis, ary.ndim)
    size = ary.shape[axis]
    if isinstance(indices_or_sections, tuple | list) or np.ndim(indices_or_sections) > 0:
        cuts = [static_int(i, f"{name}: an index") for i in indices_or_sections]
        inner = [builtins.min(builtins.max(i + size if i < 0 else i, 0), size) for i in cuts]
        edges = [0, *inner, size]
    else:
        n = static_int(indices_or_sections, f"{name}: the number of sections")
        if n <= 0:
            raise user_context(ValueError(f"number of sections must be larger than 0, got {n}"))
        if name != "array_split" and size % n:
            raise user_context(
                ValueError(
                    f"array split does not result in an equal division: {size} elements into {n} sections"
                )
            )
        part, longer = divmod(size, n)
        edges = [i * part + builtins.min(i, longer) for i in range(n + 1)]
    return [lax.slice_in_dim(ary, a, builtins.max(a, b), axis=axis) for a, b in itertools.pairwise(edges)]


def vsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 0."""
    return _split("vsplit", ary, indices_or_sections, 0)


def hsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 1, of vectors along axis 0."""
    ary = as_array(ary, "hsplit")
    return _split("hsplit", ary, indices_or_sections, 0 if ary.ndim == 1 else 1)


def dsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Any]:
    """`split` along axis 2."""
    return _split("dsplit", ary, indices_or_sections, 2)


# Repeating


def tile(A: ArrayLike, reps: Any) -> Any:
    """The whole array repeated along each axis, new axes first."""
    a = as_array(A, "tile")
    counts = (reps,) if np.ndim(reps) == 0 else tuple(reps)
    counts = tuple(operator.index(r) for r in counts)
    rank = builtins.max(a.ndim, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - a.ndim) + a.shape
    if all(r == 1 for r in counts):
        return reshape(a, shape)
    interleaved = tuple(d for pair in zip(counts, shape, strict=True) for d in pair)
    places = tuple(2 * i + 1 for i in range(rank - a.ndim, rank))
    result = lax.broadcast_in_dim(a, interleaved, places)
    return reshape(result, tuple(r * d for r, d in zip(counts, shape, strict=True)))


def repeat(
    a: ArrayLike,
    repeats: ArrayLike,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """Each element repeated along `axis` (of the flattened array if None).

    `repeats` is a number, or has one number for each element along the axis. If it is traced,
    `total_repeat_length` must give the size of the result; too few elements are filled up with the last one.
    """
    a = as_array(a, "repeat")
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_index(axis, a.ndim)
    size = a.shape[axis]
    if isinstance(repeats, Tracer):
        if total_repeat_length is None:
            raise needs_value(
                repeats,
                "repeats of jnp.repeat",
                "Give the number of elements of the result as total_repeat_length.",
            )
        return _repeat_dynamic(a, repeats, axis, operator.index(total_repeat_length))
    counts = np.asarray(operand("repeat", repeats, 1))
    if counts.dtype.kind not in "biu":
        raise user_context(TypeError(f"repeats must be integers, got dtype {counts.dtype}"))
    if counts.size == 1 and total_repeat_length is None:
        times = int(counts.reshape(()))
        spread = (*a.shape[: axis + 1], times, *a.shape[axis + 1 :])
        places = (*range(axis + 1), *range(axis + 2, a.ndim + 1))
        return reshape(
            lax.broadcast_in_dim(a, spread, places), (*a.shape[:axis], size * times, *a.shape[axis + 1 :])
        )
    if counts.ndim > 1 or counts.size not in (1, size):
        raise user_context(
            ValueError(
                f"repeat: {counts.shape} repeats for an axis of size {size}; one or one for each is needed"
            )
        )
    source = np.repeat(np.arange(size), np.broadcast_to(counts.reshape(-1), (size,)))
    if total_repeat_length is not None and size:
        n = operator.index(total_repeat_length)
        last = source[-1] if source.size else size - 1
        source = np.concatenate([source[:n], np.full(builtins.max(0, n - source.size), last, source.dtype)])
    return _take_static(a, source, axis)


def _take_static(a: Any, source: np.ndarray[Any, Any], axis: int) -> Any:
    """Elements along `axis` at known indices within the bounds."""
    return take_rows(a, as_array(source.astype(np.int32)), axis)


def take_rows(a: Any, index: Any, axis: int) -> Any:
    """a[..., index, ...] for a vector of indices within the bounds, by one gather."""
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(i for i in range(a.ndim) if i != axis),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
    )
    sizes = tuple(1 if i == axis else d for i, d in enumerate(a.shape))
    return lax.gather(
        a,
        lax.expand_dims(index, (1,)),
        numbers,
        sizes,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )


def _repeat_dynamic(a: Any, repeats: Any, axis: int, total: int) -> Any:
    size = a.shape[axis]
    counts = lax.broadcast_in_dim(ravel(repeats), (size,), (0,))
    ends = lax.cumsum(counts, 0)
    place = lax.iota(ends.dtype, total)
    # the element at a place is the number of elements whose repetitions end before it
    before = lax.le(
        lax.broadcast_in_dim(ends, (total, size), (1,)), lax.broadcast_in_dim(place, (total, size), (0,))
    )
    source = lax.reduce_sum(convert(before, np.dtype(np.int32)), axes=(1,))
    return take_rows(a, lax.min(source, scalar(size - 1, source.dtype)), axis)


# Broadcasting


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that arrays of these shapes are broadcast to; ValueError if they don't fit."""
    sizes = [shape_tuple(s) for s in shapes]
    try:
        return _broadcast_shapes("broadcast_shapes", sizes) if sizes else ()
    except TypeError as error:
        raise user_context(ValueError(str(error))) from None


def broadcast_arrays(*args: ArrayLike) -> list[Any]:
    """The arrays, each in the shape that all have in common."""
    arrays = [as_array(a, "broadcast_arrays") for a in args]
    return broadcast_operands("broadcast_arrays", arrays, keep_scalars=False) if arrays else []


# Diagonals


def diagonal(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the matrices in two axes, as the last axis; `offset` > 0 is above the main one."""
    a = as_array(a, "diagonal")
    if a.ndim < 2:
        raise user_context(ValueError("diagonal requires an array of at least two dimensions."))
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    offset = static_int(offset, "offset")
    rows, columns = a.shape[-2:]
    first_row, first_column = builtins.max(0, -offset), builtins.max(0, offset)
    size = builtins.max(0, builtins.min(rows - first_row, columns - first_column))
    # Row by row, the elements of a diagonal are columns + 1 apart: a strided slice, no gather.
    flat = reshape(a, (*a.shape[:-2], rows * columns))
    if size == 0:
        return lax.slice_in_dim(flat, 0, 0, axis=-1)
    start = first_row * columns + first_column
    return lax.slice_in_dim(
        flat, start, start + (size - 1) * (columns + 1) + 1, columns + 1, axis=flat.ndim - 1
    )


def diag(v: ArrayLike, k: int = 0) -> Any:
    """The matrix with the vector `v` on its diagonal `k`, or the diagonal `k` of the matrix `v`."""
    v = as_array(v, "diag")
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise user_context(ValueError("diag input must be 1d or 2d"))
    n = v.shape[0] + builtins.abs(k)
    if k:
        v = lax.pad(v, scalar(0, v.dtype), [(builtins.max(0, k), builtins.max(0, -k), 0)])
    # element (i, j) is v[j] where i + k == j
    row, column = (lax.broadcasted_iota(np.dtype(np.int32), (n, n), axis) for axis in (0, 1))
    on = lax.eq(lax.add(row, scalar(k, row.dtype)), column)
    return lax.select(on, lax.broadcast_in_dim(v, (n, n), (1,)), lax.full((n, n), 0, v.dtype))


def diagflat(v: ArrayLike, k: int = 0) -> Any:
    """The matrix with the elements of `v`, flattened, on its diagonal `k`."""
    return diag(ravel(v), k)


def trace(
    a: ArrayLike,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: DTypeLike | None = None,
    out: None = None,
) -> Any:
    """The sum of the diagonal of the matrices in two axes."""
    refuse_out("trace", out)
    return reductions.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


def fill_diagonal(a: ArrayLike, val: ArrayLike, wrap: bool = False, *, inplace: bool = True) -> Any:
    """A copy of `a` with `val` on the main diagonal; `inplace=False` must be given, since arrays are immutable."""
    if inplace:
        raise user_context(
            NotImplementedError(
                "jnp.fill_diagonal cannot update arrays in place; pass inplace=False and use the result"
            )
        )
    if wrap:
        raise user_context(NotImplementedError("wrap=True is not supported; repeat the values instead"))
    a = as_array(a, "fill_diagonal")
    if a.ndim < 2:
        raise user_context(ValueError("array must be at least 2-d"))
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise user_context(ValueError("All dimensions of input must be of equal length"))
    n = builtins.min(a.shape)
    index = [lax.broadcasted_iota(np.dtype(np.int32), a.shape, i) for i in range(a.ndim)]
    on = lax.eq(index[0], index[1])
    for i in index[2:]:
        on = lax.bitwise_and(on, lax.eq(index[0], i))
    values = convert(as_array(val), a.dtype)
    if values.ndim:
        values = resize(values, (n,))
        values = lax.pad(values, scalar(0, a.dtype), [(0, a.shape[0] - n, 0)])
        values = lax.broadcast_in_dim(values, a.shape, (0,))
    else:
        values = lax.broadcast_in_dim(values, a.shape, ())
    return lax.select(on, values, a)
