"""Contractions with groups of different sizes, and of numbers that come with separate scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from wengert.core import dtypes
from wengert.prims.arithmetic import mul, sub
from wengert.prims.axes import broadcast_in_dim, transpose
from wengert.prims.constructors import Shape, as_operand, dtype_of, shape_of
from wengert.prims.conversion import convert
from wengert.prims.cumulative import cumsum
from wengert.prims.dot import dot_general, free_axes
from wengert.prims.dynamic import dynamic_slice_in_dim
from wengert.prims.logic import bitwise_and, ge, lt
from wengert.prims.precision import DotDimensionNumbers, RaggedDotDimensionNumbers
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota, full_like, reshape

_BASIC = RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))


def ragged_dot(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Products of groups of rows, each with a matrix of its own.

    Args:
      lhs: of shape (m, k): the rows of the first group, then those of the second one, and so on.
      rhs: of shape (g, k, n), a matrix for each group.
      group_sizes: integers of shape (g,). Rows after the last group give zeros.
      precision, preferred_element_type: as of `dot_general`.
      group_offset: an integer: the number of the group that the first matrix of `rhs` is for; `group_sizes` then has
        the sizes of all groups, and the rows of groups without a matrix give zeros.
      out_sharding: accepted for compatibility.
    Returns:
      An array of shape (m, n).
    Raises:
      TypeError: shapes or dtypes do not fit.
    """
    return ragged_dot_general(
        lhs, rhs, group_sizes, _BASIC, precision, preferred_element_type, group_offset, out_sharding
    )


def ragged_dot_general(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    precision: Any = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The sum of products over pairs of axes, where one axis of `lhs` falls into groups.

    Let (b ...) be the batch axes, (m ...) and (n ...) the free ones, (k ...) the contracted ones.

    - The ragged axis is free: `rhs` has a part for each group. (b, m, k), (g, b, k, n) -> (b, m, n).
    - It is contracted: the result has a part for each group. (b, m, k), (b, k, n) -> (g, b, m, n).
    - It is a batch axis: groups make no difference. (b, m, k), (b, k, n) -> (b, m, n).

    Args:
      group_sizes: integers of shape (g,), or one such list for each index of the batch axes and of the axes of the
        ragged one's kind before it.
      ragged_dot_dimension_numbers: which axes these are.
      precision, preferred_element_type, group_offset, out_sharding: see `ragged_dot`.
    Raises:
      TypeError: shapes, dtypes or dimension numbers do not fit.
    """
    lhs, rhs, sizes = (as_operand("ragged_dot_general", x, i) for i, x in enumerate((lhs, rhs, group_sizes)))
    numbers = ragged_dot_dimension_numbers
    (cx, cy), (bx, by) = numbers.dot_dimension_numbers
    ragged = _ragged_axis(numbers, dtype_of(sizes), shape_of(lhs))
    x, y = shape_of(lhs), shape_of(rhs)
    if ragged in bx:
        return dot_general(lhs, rhs, ((cx, cy), (bx, by)), precision, preferred_element_type)
    if ragged in cx:
        outer = [*bx, *(a for a in cx[: cx.index(ragged)])]
        grouped = _grouped(lhs, sizes, ragged, outer, None, shape_of(sizes)[-1])
        dims = (tuple(a + 1 for a in cx), cy), (tuple(a + 1 for a in bx), by)
        out = dot_general(grouped, rhs, dims, precision, preferred_element_type)
        # the groups come after the batch axes; they are the first of the result
        n = len(bx)
        return transpose(out, [n, *range(n), *range(n + 1, len(shape_of(out)))])
    (group,) = numbers.rhs_group_dimensions
    if group_offset is None and y[group] != shape_of(sizes)[-1]:
        raise TypeError(f"expected rhs group dimension size to be {shape_of(sizes)[-1]}, got {y[group]}.")
    free = free_axes(len(x), cx, bx)
    outer = [*bx, *free[: free.index(ragged)]]
    grouped = _grouped(lhs, sizes, ragged, outer, group_offset, y[group])
    dims = ((*(a + 1 for a in cx), 0), (*cy, group)), (tuple(a + 1 for a in bx), by)
    return dot_general(grouped, rhs, dims, precision, preferred_element_type)


def _ragged_axis(numbers: RaggedDotDimensionNumbers, dtype: np.dtype[Any], shape: Shape) -> int:
    """The ragged axis, after checks."""
    if dtypes.kind_of(dtype) not in "iu":
        raise TypeError("ragged_dot_general requires that group_sizes.dtype is subtype of np.integer.")
    if len(numbers.lhs_ragged_dimensions) != 1:
        raise TypeError("ragged_dot_general expects exactly one lhs ragged dimension.")
    (ragged,) = numbers.lhs_ragged_dimensions
    if not 0 <= ragged < len(shape):
        raise TypeError(f"ragged_dot_general: lhs has no ragged dimension {ragged}, its shape is {shape}.")
    (cx, _), (bx, _) = numbers.dot_dimension_numbers
    groups = len(numbers.rhs_group_dimensions)
    if ragged in cx or ragged in bx:
        if groups:
            raise TypeError(
                "ragged_dot_general requires zero group dimensions in the rhs when lhs ragged dimension is contracting"
                " or batch."
            )
    elif groups != 1:
        raise TypeError(
            "ragged_dot_general requires exactly one rhs group dimension when lhs ragged dimension is noncontracting."
        )
    return ragged


def _grouped(x: Any, sizes: Any, ragged: int, outer: Sequence[int], offset: Any, count: int) -> Any:
    """`x` once for each of `count` groups, along a new first axis, with zeros for what is not in the group."""
    shape = shape_of(x)
    lists = shape_of(sizes)[:-1]
    if lists and lists != tuple(shape[a] for a in outer):
        raise TypeError(
            f"expected group_sizes to have shape (groups,) or {tuple(shape[a] for a in outer)} + (groups,), got"
            f" {shape_of(sizes)}."
        )
    ends = cumsum(sizes, axis=len(lists))
    starts = sub(ends, sizes)
    if offset is not None:
        starts, ends = (dynamic_slice_in_dim(e, offset, count, len(lists)) for e in (starts, ends))
    full = (count, *shape)
    places = [*(a + 1 for a in outer), 0] if lists else [0]
    order = sorted(range(len(places)), key=places.__getitem__)
    onto = tuple(places[i] for i in order)
    starts, ends = (broadcast_in_dim(transpose(e, order), full, onto) for e in (starts, ends))
    row = broadcasted_iota(dtype_of(sizes), full, ragged + 1)
    inside = bitwise_and(ge(row, starts), lt(row, ends))
    repeated = broadcast_in_dim(x, full, tuple(range(1, len(full))))
    return select(inside, repeated, full_like(repeated, 0))


# --------------------------------------------------------------------------------------------- separate scales


def scaled_dot(
    lhs: Any,
    rhs: Any,
    *,
    lhs_scale: Any = None,
    rhs_scale: Any = None,
    dimension_numbers: DotDimensionNumbers | None = None,
    preferred_element_type: Any = None,
) -> Any:
    """The contraction of `lhs * lhs_scale` with `rhs * rhs_scale`, for narrow floats with a scale for each block.

    Args:
      lhs, rhs: arrays of two or more axes.
      lhs_scale, rhs_scale: arrays of as many axes. Along the contracted ones each element is for a block of those of
        the operand; None for no scale.
      dimension_numbers: as of `dot_general`; by default a matrix product over the last two axes.
      preferred_element_type: the dtype of the result; by default bfloat16. The scaled operands are bfloat16.
    Raises:
      TypeError: shapes do not fit.
    """
    lhs, rhs = as_operand("scaled_dot", lhs, 0), as_operand("scaled_dot", rhs, 1)
    if dimension_numbers is None:
        n = len(shape_of(lhs))
        if n < 2:
            raise TypeError("scaled_dot does not support 0-rank and 1-rank operands.")
        batch = tuple(range(n - 2))
        dimension_numbers = ((n - 1,), (n - 2,)), (batch, batch)
    (cx, cy), _ = dimension_numbers
    x = _scaled("lhs", lhs, lhs_scale, cx)
    y = _scaled("rhs", rhs, rhs_scale, cy)
    return dot_general(
        x, y, dimension_numbers, preferred_element_type=preferred_element_type or ml_dtypes.bfloat16
    )


def _scaled(name: str, x: Any, scale: Any, contracted: Sequence[int]) -> Any:
    half = np.dtype(ml_dtypes.bfloat16)
    x = convert(x, half)
    if scale is None:
        return x
    scale = convert(as_operand("scaled_dot", scale), half)
    shape, blocks = shape_of(x), shape_of(scale)
    fits = len(shape) == len(blocks)
    for axis, (size, count) in enumerate(zip(shape, blocks)):
        fits = fits and (size == count or (axis in contracted and count > 0 and size % count == 0))
    if not fits:
        raise TypeError(
            f"scaled_dot: {name}_scale of shape {blocks} does not fit {name} of shape {shape}: sizes must be equal, and"
            f" divide those of the contracted axes {tuple(contracted)}"
        )
    spread = [n for size, count in zip(shape, blocks) for n in (count, size // max(count, 1))]
    scale = broadcast_in_dim(scale, spread, tuple(range(0, len(spread), 2)))
    return mul(x, reshape(scale, shape))
