"""Slices, padding, concatenation, and the sums that their cotangents make."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import (
    PendingCotangent,
    Zero,
    add_cotangents,
    compute,
    instantiate,
    is_undefined,
    is_zero,
)
from wengert.prims.arithmetic import sub
from wengert.prims.axes import batch_to, broadcast_in_dim, reduce_sum, zeros_of
from wengert.prims.constructors import (
    Shape,
    as_operand,
    canonical_axis,
    constant,
    linear_jvp,
    mismatch,
    same_dtype,
    shape_of,
    view,
)
from wengert.prims.select import select
from wengert.prims.shape import expand_dims, full, squeeze

# ------------------------------------------------------------------------------------------------------ slice


def _slice_aval(
    x: ShapedArray, *, start_indices: Shape, limit_indices: Shape, strides: Shape | None
) -> ShapedArray:
    if not len(start_indices) == len(limit_indices) == x.ndim:
        raise TypeError(
            f"slice start_indices {start_indices} and limit_indices {limit_indices} must have one entry for "
            "each "
            f"axis of the operand, of shape {x.shape}."
        )
    steps = strides or (1,) * x.ndim
    for lo, hi, d, s in zip(start_indices, limit_indices, x.shape, steps):
        if not (0 <= lo <= hi <= d) or s < 1:
            raise TypeError(
                "slice limit_indices must be less than or equal to operand shape, start_indices not "
                "negative and "
                "not greater than limit_indices, strides positive; got "
                f"start_indices {start_indices}, limit_indices {limit_indices}, strides {strides} for "
                "operand shape "
                f"{x.shape}."
            )
    shape = [-(-(hi - lo) // s) for lo, hi, s in zip(start_indices, limit_indices, steps)]
    return ShapedArray(shape, x.dtype, x.weak_type)


def _slice_impl(xp: Any, x: Any, *, start_indices: Shape, limit_indices: Shape, strides: Any) -> Any:
    steps = strides or (1,) * len(start_indices)
    return xp.asarray(x)[tuple(map(builtins.slice, start_indices, limit_indices, steps))]


def _slice_transpose(
    ct: Any, x: ShapedArray, *, start_indices: Shape, limit_indices: Shape, strides: Any
) -> Any:
    return PlacedCotangent(x, ((ct, start_indices, strides or (1,) * x.ndim),))


def _slice_batch(
    axis: Any, x: Any, dim: int, *, start_indices: Shape, limit_indices: Shape, strides: Any
) -> Any:
    def insert(values: Shape, value: int) -> Shape:
        return (*values[:dim], value, *values[dim:])

    starts, limits = insert(start_indices, 0), insert(limit_indices, axis.size)
    strides = strides and insert(strides, 1)
    return slice_p.bind(x, start_indices=starts, limit_indices=limits, strides=strides), dim


def _slice_pull(
    ctx: Any, index: Any, x: Any, *, start_indices: Shape, limit_indices: Any, strides: Any
) -> Any:
    steps = strides or (1,) * len(start_indices)
    return x.at(tuple([i * s + lo for i, lo, s in zip(index, start_indices, steps)]))


slice_p = view(
    "slice",
    abstract_eval=_slice_aval,
    impl=_slice_impl,
    transpose=_slice_transpose,
    batch=_slice_batch,
    pull=_slice_pull,
)


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """The elements from `start_indices` up to, not with, `limit_indices`, every `strides`-th, along each
    axis.

    Raises:
      TypeError: the indices are out of bounds, or not one for each axis.
    """
    operand = as_operand("slice", operand)
    starts, limits = tuple(map(int, start_indices)), tuple(map(int, limit_indices))
    steps = None if strides is None else tuple(map(int, strides))
    if steps is not None and all(s == 1 for s in steps):
        steps = None
    if steps is None and limits == shape_of(operand) and not any(starts) and len(starts) == len(limits):
        return operand
    return slice_p.bind(operand, start_indices=starts, limit_indices=limits, strides=steps)


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Any:
    """The elements `start_index:limit_index:stride` along one axis; indices may count from the end.

    Raises:
      ValueError: the axis is out of bounds.
    """
    shape = shape_of(operand)
    axis = canonical_axis(axis, len(shape), "slice_in_dim")
    starts, limits, steps = [0] * len(shape), list(shape), [1] * len(shape)
    size = shape[axis]

    def absolute(i: int) -> int:
        return i + size if i < 0 else i

    starts[axis] = 0 if start_index is None else absolute(int(start_index))
    limits[axis] = size if limit_index is None else absolute(int(limit_index))
    steps[axis] = int(stride)
    return slice(operand, starts, limits, steps)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """The elements at one index along one axis, which stays with size 1 if `keepdims`.

    Raises:
      IndexError: the index is out of bounds.
    """
    shape = shape_of(operand)
    axis = canonical_axis(axis, len(shape), "index_in_dim")
    size, wrapped = shape[axis], int(index) + (shape[axis] if index < 0 else 0)
    if not 0 <= wrapped < size:
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
    result = slice_in_dim(operand, wrapped, wrapped + 1, 1, axis)
    return result if keepdims else squeeze(result, (axis,))


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """`operand` cut along one axis into pieces of the given sizes.

    Raises:
      ValueError: the sizes do not sum to the size of the axis.
    """
    shape = shape_of(operand)
    axis = canonical_axis(axis, len(shape), "split")
    if sum(sizes) != shape[axis] or any(n < 0 for n in sizes):
        raise ValueError(
            f"split sizes {tuple(sizes)} must not be negative and sum to the size of axis {axis}: "
            f"{shape[axis]}"
        )
    edges = np.cumsum([0, *sizes]).tolist()
    return [slice_in_dim(operand, lo, hi, axis=axis) for lo, hi in itertools.pairwise(edges)]


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The arrays that `x` consists of along one axis."""
    axis = canonical_axis(axis, len(shape_of(x)), "unstack")
    return tuple([index_in_dim(x, i, axis, keepdims=False) for i in range(shape_of(x)[axis])])


# ---------------------------------------------------------------------------------------------- add_at_slices


def _add_at_aval(x: ShapedArray, *pieces: ShapedArray, starts: Any, strides: Any) -> ShapedArray:
    for piece, start, stride in zip(pieces, starts, strides, strict=True):
        last = [lo + (d - 1) * s for lo, d, s in zip(start, piece.shape, stride)]
        if any(i >= d and n for i, d, n in zip(last, x.shape, piece.shape)):
            raise TypeError(
                f"add_at_slices: a piece of shape {piece.shape} at {start} leaves the shape {x.shape}"
            )
    return x


def _add_at_impl(xp: Any, x: Any, *pieces: Any, starts: Any, strides: Any) -> Any:
    out = xp.array(x)
    for piece, start, stride in zip(pieces, starts, strides):
        out[_places(piece.shape, start, stride)] += piece
    return out


def _places(shape: Shape, start: Shape, stride: Shape) -> tuple[builtins.slice, ...]:
    return tuple([builtins.slice(lo, lo + d * s, s) for d, lo, s in zip(shape, start, stride)])


def _add_at_transpose(ct: Any, x: Any, *pieces: Any, starts: Any, strides: Any) -> Any:
    if is_zero(ct):
        return [None] * (1 + len(pieces))
    cts = [ct if is_undefined(x) else None]
    for piece, start, stride in zip(pieces, starts, strides):
        if is_undefined(piece):
            limits = [lo + (d - 1) * s + 1 for d, lo, s in zip(piece.aval.shape, start, stride)]
            cts.append(slice(ct, start, limits, stride))
        else:
            cts.append(None)
    return cts


def _add_at_batch(axis: Any, args: Any, dims: Any, *, starts: Any, strides: Any) -> Any:
    args = [batch_to(x, d, axis.size, 0) for x, d in zip(args, dims)]
    starts, strides = tuple((0, *s) for s in starts), tuple((1, *s) for s in strides)
    return add_at_slices_p.bind(*args, starts=starts, strides=strides), 0


def _add_at_emit(ctx: Any, outs: Any, x: Any, *pieces: Any, starts: Any, strides: Any) -> Any:
    if not ctx.is_native(x.aval.dtype):
        return None
    ctx.add_at(outs[0], x, pieces, starts, strides)
    return outs


add_at_slices_p: Primitive = Primitive(
    "add_at_slices",
    "indexing",
    abstract_eval=_add_at_aval,
    impl=_add_at_impl,
    jvp=linear_jvp(lambda: add_at_slices_p),
    transpose=_add_at_transpose,
    batch=_add_at_batch,
    emit=_add_at_emit,
    access="stored",
)

# Up to so many slices, the sum of their paddings fuses into one loop; so do more of them, if they are large.
_FEW = 4
_MANY = 32


class PlacedCotangent(PendingCotangent):
    """The sum of an array (or nothing) and of pieces, each at its place in zeros.

    `slices` are pieces at places that are known: (piece, start, strides). `updates` are functions that add a
    piece at a place that is computed to an array.
    """

    __slots__ = ("dense", "slices", "updates")

    def __init__(
        self,
        aval: ShapedArray,
        slices: tuple[tuple[Any, Shape, Shape], ...] = (),
        updates: tuple[Callable[[Any], Any], ...] = (),
        dense: Any = None,
    ):
        self.aval = aval
        self.slices = slices
        self.updates = updates
        self.dense = dense

    def plus(self, other: Any) -> Any:
        if isinstance(other, PlacedCotangent):
            dense = add_cotangents(self.dense, other.dense)
            slices, updates = (*self.slices, *other.slices), (*self.updates, *other.updates)
            return PlacedCotangent(self.aval, slices, updates, dense)
        return PlacedCotangent(
            self.aval, self.slices, self.updates, add_cotangents(self.dense, compute(other))
        )

    def compute(self) -> Any:
        total = _add_slices(self.aval, self.dense, self.slices) if self.slices else self.dense
        if self.updates and total is None:
            total = zeros_of(self.aval)
        for update in self.updates:
            total = update(total)
        return total


def _add_slices(aval: ShapedArray, total: Any, slices: Sequence[tuple[Any, Shape, Shape]]) -> Any:
    large = sum(2 * _size(piece) >= aval.size for piece, _, _ in slices)
    if len(slices) <= _FEW or (large == len(slices) and large <= _MANY):
        for piece, start, stride in slices:
            total = add_cotangents(total, place(piece, aval.shape, start, stride))
        return total
    pieces, starts, strides = zip(*slices)
    dense = zeros_of(aval) if total is None else total
    return add_at_slices_p.bind(dense, *pieces, starts=starts, strides=strides)


def _size(x: Any) -> int:
    return int(np.prod(shape_of(x), dtype=int))


def place(piece: Any, shape: Shape, start: Shape, stride: Shape) -> Any:
    """`piece` inside of zeros: what a slice undoes."""
    config = []
    for d, n, lo, s in zip(shape, shape_of(piece), start, stride):
        span = (n - 1) * s + 1 if n else 0
        config.append((lo, d - lo - span, s - 1))
    return pad(piece, constant(piece, 0), config)


# -------------------------------------------------------------------------------------------------------- pad

PaddingConfig = tuple[tuple[int, int, int], ...]


def _pad_aval(x: ShapedArray, value: ShapedArray, *, padding_config: PaddingConfig) -> ShapedArray:
    if x.dtype != value.dtype:
        raise TypeError(f"pad operand and padding_value must be same dtype: got {x.dtype} and {value.dtype}.")
    if value.shape:
        raise TypeError(f"pad padding_value must be a scalar; got shape {value.shape}")
    if len(padding_config) != x.ndim:
        raise TypeError(
            "length of padding_config must equal the number of axes of operand, got "
            f"padding_config {padding_config} for operand shape {x.shape}"
        )
    if any(k < 0 for _, _, k in padding_config):
        raise TypeError(
            f"interior padding in padding_config must be nonnegative, got padding_config {padding_config}"
        )
    shape = [lo + hi + d + (k * (d - 1) if d else 0) for (lo, hi, k), d in zip(padding_config, x.shape)]
    if any(d < 0 for d in shape):
        raise ValueError(
            "Dimension size after padding is not at least 0, got result shape "
            f"{tuple(shape)}, for padding_config {padding_config} and operand shape {x.shape}"
        )
    return ShapedArray(shape, x.dtype, x.weak_type and value.weak_type)


def _pad_impl(xp: Any, x: Any, value: Any, *, padding_config: PaddingConfig) -> Any:
    x = xp.asarray(x)
    shape = [lo + hi + d + (k * (d - 1) if d else 0) for (lo, hi, k), d in zip(padding_config, x.shape)]
    out = xp.full(shape, value, dtype=x.dtype)
    source, target = [], []
    for (lo, _, k), d, size in zip(padding_config, x.shape, shape):
        step = k + 1
        first = max(0, -(lo // step))  # the first element of the operand that is not cropped
        last = min(d, -((lo - size) // step))  # elements i with lo + i * step < size
        source.append(builtins.slice(first, max(first, last)))
        begin = lo + first * step
        target.append(builtins.slice(begin, begin + max(last - first, 0) * step, step))
    out[tuple(target)] = x[tuple(source)]
    return out


def _pad_transpose(ct: Any, x: Any, value: Any, *, padding_config: PaddingConfig) -> Any:
    if is_zero(ct):
        return [None, None]
    uncropped = pad(ct, constant(ct, 0), [(-lo, -hi, 0) for lo, hi, _ in padding_config])
    inner = slice(
        uncropped, [0] * len(padding_config), shape_of(uncropped), [k + 1 for _, _, k in padding_config]
    )
    ct_value = None
    if is_undefined(value):
        axes = range(len(padding_config))
        ct_value = sub(reduce_sum(ct, axes), reduce_sum(inner, axes))
    return [inner if is_undefined(x) else None, ct_value]


def _pad_batch(axis: Any, args: Any, dims: Any, *, padding_config: PaddingConfig) -> Any:
    (x, value), (dim, value_dim) = args, dims
    if value_dim is None:
        config = (*padding_config[:dim], (0, 0, 0), *padding_config[dim:])
        return pad_p.bind(x, value, padding_config=config), dim
    x = batch_to(x, dim, axis.size, 0)
    config = ((0, 0, 0), *padding_config)
    padded = pad_p.bind(x, constant(x, 0), padding_config=config)
    inside = pad_p.bind(full(shape_of(x), True), np.False_, padding_config=config)
    return select(inside, padded, broadcast_in_dim(value, shape_of(padded), (0,))), 0


def _pad_pull(ctx: Any, index: Any, x: Any, value: Any, *, padding_config: PaddingConfig) -> Any:
    place, conditions = [], []
    for i, (lo, hi, k), d in zip(index, padding_config, x.aval.shape):
        i = i + -lo
        if k and d > 1:
            step = k + 1
            turns = max(0, -(-lo // step))  # so that what is divided is not negative
            shifted = i + turns * step
            conditions.append((ctx.mod(shifted, step), 0, 1))
            i = ctx.floordiv(shifted, step) + -turns
        if lo > 0 or hi > 0:
            conditions.append((i, 0, d))
        place.append(i)
    if not conditions:
        return x.at(tuple(place))
    return ctx.piecewise([(tuple(conditions), lambda: x.at(tuple(place))), ((), lambda: value.at(()))])


pad_p: Primitive = Primitive(
    "pad",
    "view",
    abstract_eval=_pad_aval,
    impl=_pad_impl,
    jvp=linear_jvp(lambda: pad_p),
    transpose=_pad_transpose,
    batch=_pad_batch,
    pull=_pad_pull,
    access="view",
)


def pad(operand: Any, padding_value: Any, padding_config: Any) -> Any:
    """`operand` with `padding_value` around and between its elements.

    Args:
      padding_value: a scalar of the operand's dtype.
      padding_config: for each axis (before, after, between); before and after may be negative, to crop.
    Raises:
      TypeError: the dtypes differ, or there is not one entry for each axis.
      ValueError: more would be cropped than there is.
    """
    operand, padding_value = same_dtype("pad", operand, padding_value)
    config = tuple([(int(lo), int(hi), int(k)) for lo, hi, k in padding_config])
    if not any(n for entry in config for n in entry) and len(config) == len(shape_of(operand)):
        return operand
    return pad_p.bind(operand, padding_value, padding_config=config)


# ------------------------------------------------------------------------------------------------ concatenate


def _concatenate_aval(*xs: ShapedArray, dimension: int) -> ShapedArray:
    first = xs[0]
    shapes = ", ".join(str(x.shape) for x in xs)
    if any(x.ndim != first.ndim for x in xs):
        raise TypeError(f"Cannot concatenate arrays with different numbers of dimensions: got {shapes}.")
    if not 0 <= dimension < first.ndim:
        raise TypeError(f"concatenate dimension out of bounds: dimension {dimension} for shapes {shapes}.")
    others = [[d for i, d in enumerate(x.shape) if i != dimension] for x in xs]
    if any(o != others[0] for o in others):
        raise TypeError(
            "Cannot concatenate arrays with shapes that differ in dimensions other than the one being "
            "concatenated: "
            f"concatenating along dimension {dimension} for shapes {shapes}."
        )
    if any(x.dtype != first.dtype for x in xs):
        raise mismatch("concatenate", [x.dtype for x in xs])
    shape = list(first.shape)
    shape[dimension] = sum(x.shape[dimension] for x in xs)
    return ShapedArray(shape, first.dtype, all(x.weak_type for x in xs))


def _concatenate_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, dimension: int) -> Any:
    out = concatenate_p.bind(*primals, dimension=dimension)
    if all(is_zero(t) for t in tangents):
        return out, Zero.of(out)
    return out, concatenate_p.bind(*[instantiate(t) for t in tangents], dimension=dimension)


def _concatenate_transpose(ct: Any, *xs: Any, dimension: int) -> Any:
    if is_zero(ct):
        return [None] * len(xs)
    cts, begin = [], 0
    for x in xs:
        size = (x.aval.shape if is_undefined(x) else shape_of(x))[dimension]
        cts.append(slice_in_dim(ct, begin, begin + size, axis=dimension) if is_undefined(x) else None)
        begin += size
    return cts


def _concatenate_batch(axis: Any, args: Any, dims: Any, *, dimension: int) -> Any:
    to = next(d for d in dims if d is not None)
    args = [batch_to(x, d, axis.size, to) for x, d in zip(args, dims)]
    return concatenate_p.bind(*args, dimension=dimension + (dimension >= to)), to


def _concatenate_pull(ctx: Any, index: Any, *xs: Any, dimension: int) -> Any:
    cases: list[Any] = []
    begin = 0
    for x in xs:
        size = x.aval.shape[dimension]
        if size:
            place = (*index[:dimension], index[dimension] + -begin, *index[dimension + 1 :])
            cases.append((((index[dimension], begin, begin + size),), lambda x=x, place=place: x.at(place)))
        begin += size
    if not cases:  # there are no elements
        return ctx.const(0, xs[0].aval.dtype)
    cases[-1] = ((), cases[-1][1])
    return ctx.piecewise(cases)


concatenate_p = Primitive(
    "concatenate",
    "view",
    abstract_eval=_concatenate_aval,
    impl=lambda xp, *xs, dimension: xp.concatenate(xs, axis=dimension),
    jvp=_concatenate_jvp,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    pull=_concatenate_pull,
    access="view",
)


def concatenate(operands: Any, dimension: int) -> Any:
    """The operands one after the other along an axis.

    Args:
      operands: arrays of one dtype whose shapes agree in the other axes.
    Raises:
      TypeError: shapes or dtypes do not agree.
      ValueError: there are no operands.
    """
    operands = list(operands)
    if not operands:
        raise ValueError("concatenate requires a non-empty sequences of arrays")
    operands = same_dtype("concatenate", *operands)
    if len(operands) == 1 and shape_of(operands[0]):
        return operands[0]
    return concatenate_p.bind(*operands, dimension=int(dimension))


def stack(operands: Sequence[Any], axis: int = 0) -> Any:
    """The operands, of one shape and dtype, along a new axis.

    Raises:
      ValueError: there are no operands, or their shapes differ.
    """
    shapes = [shape_of(x) for x in operands]
    if not shapes:
        raise ValueError("stack requires a non-empty sequence of arrays")
    if any(s != shapes[0] for s in shapes):
        raise ValueError(f"stack takes arrays of one shape, got {', '.join(map(str, shapes))}")
    axis = canonical_axis(axis, len(shapes[0]) + 1, "stack")
    return concatenate([expand_dims(x, (axis,)) for x in operands], axis)
