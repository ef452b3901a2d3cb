"""Reductions with any associative operation, over axes or over windows that move along axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert.prims import arithmetic, logic
from wengert.prims.axes import broadcast_scalar, reduce_sum, transpose
from wengert.prims.constructors import Shape, as_operand, canonical_axes, dtype_of, reduced_shape, shape_of
from wengert.prims.conv import dilated, padtype_to_pads, window_count
from wengert.prims.conversion import convert
from wengert.prims.logic import bitwise_or, gt, ne
from wengert.prims.reduce import reduce_and, reduce_max, reduce_min, reduce_or, reduce_prod, reduce_xor
from wengert.prims.select import select
from wengert.prims.shape import reshape
from wengert.prims.slicing import concatenate, pad, slice_in_dim

_REDUCERS: dict[Any, Callable[..., Any]] = {
    arithmetic.add: reduce_sum,
    arithmetic.mul: reduce_prod,
    arithmetic.max: reduce_max,
    arithmetic.min: reduce_min,
    logic.bitwise_and: reduce_and,
    logic.bitwise_or: reduce_or,
    logic.bitwise_xor: reduce_xor,
}
Combine = Callable[[list[Any], list[Any]], list[Any]]


def _flat(
    operands: Any, init_values: Any, computation: Callable[..., Any]
) -> tuple[list[Any], list[Any], Any, Combine]:
    """Operands, initial values, the tree that they make, and the computation on flat lists."""
    leaves, structure = tree.flatten(operands)
    inits, init_structure = tree.flatten(init_values)
    if init_structure != structure:
        raise ValueError(
            f"Operands must have the same tree structure as init_values: {structure} vs. {init_structure}"
        )
    leaves = [as_operand("reduce", x, i) for i, x in enumerate(leaves)]
    if len({shape_of(x) for x in leaves}) > 1:
        raise ValueError(
            f"Operands must have equal shapes, got {', '.join(str(shape_of(x)) for x in leaves)}"
        )
    inits = [
        dtype_of(x).type(v)
        if isinstance(v, int | float | complex)
        else convert(as_operand("reduce", v, i), dtype_of(x))
        for i, (v, x) in enumerate(zip(inits, leaves))
    ]

    def combine(a: list[Any], b: list[Any]) -> list[Any]:
        found = computation(tree.unflatten(structure, a), tree.unflatten(structure, b))
        return [as_operand("reduce", x, i) for i, x in enumerate(tree.leaves(found))]

    return leaves, inits, structure, combine


def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
    out_sharding: Any = None,
) -> Any:
    """The combination of all elements along `dimensions` by an associative operation.

    Args:
      operands: an array, or a tree of arrays of one shape.
      init_values: scalars, one for each array, with which the combination starts.
      computation: takes two trees like `operands` and combines them elementwise.
    Raises:
      ValueError: the trees or the shapes differ, or an axis is out of bounds.
    """
    leaves, inits, structure, combine = _flat(operands, init_values, computation)
    shape = shape_of(leaves[0])
    axes = canonical_axes(dimensions, len(shape), "reduce")
    if not axes:
        return tree.unflatten(structure, leaves)
    if 0 in [shape[a] for a in axes]:
        return tree.unflatten(structure, [broadcast_scalar(v, reduced_shape(shape, axes)) for v in inits])
    known = _REDUCERS.get(computation) if _is_hashable(computation) else None
    if known is not None and len(leaves) == 1:
        outs = [known(leaves[0], axes)]
    else:
        outs = _fold(leaves, axes, combine)
    outs = combine([broadcast_scalar(v, shape_of(o)) for v, o in zip(inits, outs)], outs)
    return tree.unflatten(structure, outs)


def _is_hashable(x: Any) -> bool:
    return getattr(x, "__hash__", None) is not None


def _fold(leaves: list[Any], axes: Shape, combine: Combine) -> list[Any]:
    """Halves are combined until one element is left; of an odd number the last one waits."""
    shape = shape_of(leaves[0])
    kept = [i for i in range(len(shape)) if i not in axes]
    rest, size = reduced_shape(shape, axes), math.prod([shape[a] for a in axes])
    xs = [reshape(transpose(x, [*axes, *kept]), (size, *rest)) for x in leaves]
    while size > 1:
        half = size // 2
        both = combine([slice_in_dim(x, 0, half) for x in xs], [slice_in_dim(x, half, 2 * half) for x in xs])
        last = [slice_in_dim(x, 2 * half, size) for x in xs]
        xs = [concatenate([a, b], 0) for a, b in zip(both, last)] if size % 2 else both
        size -= half
    return [reshape(x, rest) for x in xs]


# ---------------------------------------------------------------------------------------------------- windows


def _first_max(a: list[Any], b: list[Any]) -> list[Any]:
    """The greater one; the first of equal ones, so that it gets all of the derivative."""
    return [select(bitwise_or(gt(b[0], a[0]), ne(b[0], b[0])), b[0], a[0])]


def _first_min(a: list[Any], b: list[Any]) -> list[Any]:
    return [select(bitwise_or(gt(a[0], b[0]), ne(b[0], b[0])), b[0], a[0])]


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[..., Any],
    window_dimensions: Any,
    window_strides: Any = None,
    padding: Any = "VALID",
    base_dilation: Any = None,
    window_dilation: Any = None,
) -> Any:
    """The combination of all elements in each window, as windows move along all axes.

    Args:
      operand: an array, or a tree of arrays of one shape.
      init_value: scalars, one for each array: what stands in the padding, and is combined with each window.
      computation: an associative operation on two trees like `operand`, elementwise.
      window_dimensions: the size of the window along each axis.
      window_strides: by how much it moves; 1 by default.
      padding: "SAME", "SAME_LOWER", "VALID", or for each axis a pair (before, after).
      base_dilation, window_dilation: distances between elements of the operand and of the window.
    Raises:
      TypeError: the numbers do not fit the shape.
    """
    leaves, inits, structure, combine = _flat(operand, init_value, computation)
    shape = shape_of(leaves[0])
    ones = (1,) * len(shape)
    window, strides = tuple(window_dimensions), tuple(window_strides or ones)
    base, holes = tuple(base_dilation or ones), tuple(window_dilation or ones)
    if not len(window) == len(strides) == len(base) == len(holes) == len(shape):
        raise TypeError(
            f"reduce_window takes one number for each axis of the operand, of shape {shape}; got "
            "window_dimensions "
            f"{window}, window_strides {strides}, base_dilation {base}, window_dilation {holes}"
        )
    if min((*window, *strides, *base, *holes), default=1) < 1:
        raise TypeError(
            f"reduce_window takes positive numbers, got window_dimensions {window}, window_strides {strides},"
            f" base_dilation {base}, window_dilation {holes}"
        )
    pads = _pads(shape, window, strides, padding, base, holes)
    counts = [window_count(*numbers) for numbers in zip(shape, window, strides, pads, base, holes)]
    config = [(lo, hi, d - 1) for (lo, hi), d in zip(pads, base)]
    xs = [pad(x, v, config) for x, v in zip(leaves, inits)]
    pick = {arithmetic.max: _first_max, arithmetic.min: _first_min}
    fold = pick.get(computation, combine) if _is_hashable(computation) and len(xs) == 1 else combine
    for axis in reversed(range(len(shape))):
        xs = _along(xs, axis, window[axis], strides[axis], holes[axis], counts[axis], fold)
    outs = combine([broadcast_scalar(v, shape_of(x)) for v, x in zip(inits, xs)], xs)
    return tree.unflatten(structure, outs)


def _pads(
    shape: Shape, window: Shape, strides: Shape, padding: Any, base: Shape, holes: Shape
) -> list[tuple[int, int]]:
    if not isinstance(padding, str):
        return [(int(lo), int(hi)) for lo, hi in padding]
    extent = [dilated(d, b) for d, b in zip(shape, base)]
    return padtype_to_pads(extent, [dilated(n, h) for n, h in zip(window, holes)], strides, padding)


def _along(
    xs: list[Any], axis: int, window: int, stride: int, hole: int, count: int, fold: Combine
) -> list[Any]:
    """Windows along one axis: the elements at one place in all the windows make a strided slice."""
    if window == 1 and stride == 1:
        return xs
    total: list[Any] | None = None
    for k in range(window):
        start = k * hole if count else 0  # no window fits: a slice of nothing
        stop = start + (count - 1) * stride + 1 if count else 0
        piece = [slice_in_dim(x, start, stop, stride, axis) for x in xs]
        total = piece if total is None else fold(total, piece)
    assert total is not None, "a window has at least one element"
    return total


def reduce_window_shape_tuple(
    operand_shape: Any,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
    base_dilation: Any = None,
    window_dilation: Any = None,
) -> Shape:
    """The shape of the result of `reduce_window`."""
    ones = (1,) * len(operand_shape)
    base, holes = base_dilation or ones, window_dilation or ones
    pads = _pads(operand_shape, window_dimensions, window_strides, padding, base, holes)
    numbers = zip(operand_shape, window_dimensions, window_strides, pads, base, holes)
    return tuple([window_count(*n) for n in numbers])
