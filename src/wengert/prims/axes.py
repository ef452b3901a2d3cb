"""The operations that the rules of all others need: adding, moving and summing axes, and adding tangents."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive, same_shape_aval
from wengert.core.zeros import is_undefined, is_zero, set_operations
from wengert.prims.constructors import (
    Shape,
    as_operand,
    canonical_shape,
    linear_jvp,
    origin,
    reduction,
    shape_of,
    view,
)

# ------------------------------------------------------------------------------------------- broadcast_in_dim


def _broadcast_aval(x: ShapedArray, *, shape: Shape, broadcast_dimensions: Shape) -> ShapedArray:
    dims = broadcast_dimensions
    if len(dims) != x.ndim:
        raise TypeError(
            "broadcast_in_dim broadcast_dimensions must have length equal to operand ndim; got "
            f"broadcast_dimensions {dims} for operand ndim {x.ndim}."
        )
    if not all(0 <= d < len(shape) for d in dims):
        raise TypeError(
            "broadcast_in_dim broadcast_dimensions must be a subset of output dimensions, got "
            f"{dims} for operand ndim {x.ndim} and shape {shape}."
        )
    if any(a >= b for a, b in itertools.pairwise(dims)):
        raise TypeError(f"broadcast_in_dim broadcast_dimensions must be strictly increasing; got {dims}.")
    if not all(d in (1, shape[i]) for d, i in zip(x.shape, dims)):
        raise TypeError(
            "broadcast_in_dim operand dimension sizes must either be 1, or be equal to their corresponding "
            f"dimensions in the target broadcast shape; got operand of shape {x.shape}, target broadcast "
            "shape "
            f"{shape}, broadcast_dimensions {dims}"
        )
    return ShapedArray(shape, x.dtype, x.weak_type)


def _broadcast_impl(xp: Any, x: Any, *, shape: Shape, broadcast_dimensions: Shape) -> Any:
    x = xp.asarray(x)
    if len(broadcast_dimensions) < len(shape):
        expanded = [1] * len(shape)
        for d, i in zip(x.shape, broadcast_dimensions):
            expanded[i] = d
        x = x.reshape(expanded)
    return xp.broadcast_to(x, shape)


def _broadcast_transpose(ct: Any, x: ShapedArray, *, shape: Shape, broadcast_dimensions: Shape) -> Any:
    kept = {i: d for d, i in zip(x.shape, broadcast_dimensions)}
    summed = tuple([i for i, d in enumerate(shape) if i not in kept or kept[i] != d])
    out = reduce_sum(ct, summed) if summed else ct
    stretched = [i for i in broadcast_dimensions if i in summed]
    if stretched:
        dims = tuple([k for k, i in enumerate(broadcast_dimensions) if i not in summed])
        out = broadcast_in_dim(out, x.shape, dims)
    return out


def _broadcast_batch(axis: Any, x: Any, dim: int, *, shape: Shape, broadcast_dimensions: Shape) -> Any:
    moved = move_axis(x, dim, 0)
    dims = (0, *[d + 1 for d in broadcast_dimensions])
    return broadcast_in_dim_p.bind(moved, shape=(axis.size, *shape), broadcast_dimensions=dims), 0


def _broadcast_pull(ctx: Any, index: Any, x: Any, *, shape: Shape, broadcast_dimensions: Shape) -> Any:
    zero = origin(ctx)
    return x.at(
        tuple([index[i] if d == shape[i] else zero for d, i in zip(x.aval.shape, broadcast_dimensions)])
    )


broadcast_in_dim_p = view(
    "broadcast_in_dim",
    abstract_eval=_broadcast_aval,
    impl=_broadcast_impl,
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    pull=_broadcast_pull,
    access="repeated",
)


def broadcast_in_dim(
    operand: Any, shape: Any, broadcast_dimensions: Sequence[int], *, out_sharding: Any = None
) -> Any:
    """Repeat `operand` along new axes, and along those of size 1.

    Args:
      operand: an array of shape (d0, d1, ...).
      shape: of the result.
      broadcast_dimensions: for each axis of the operand the axis of the result that it becomes, increasing.
      out_sharding: accepted for compatibility; arrays live on one device.
    Raises:
      TypeError: the shapes do not fit.
    """
    operand = as_operand("broadcast_in_dim", operand)
    shape, dims = canonical_shape(shape), tuple(map(int, broadcast_dimensions))
    if (
        shape == shape_of(operand)
        and dims == tuple(range(len(shape)))
        and not isinstance(operand, int | float | complex)
    ):
        return operand
    return broadcast_in_dim_p.bind(operand, shape=shape, broadcast_dimensions=dims)


# -------------------------------------------------------------------------------------------------- transpose


def _transpose_aval(x: ShapedArray, *, permutation: Shape) -> ShapedArray:
    if sorted(permutation) != list(range(x.ndim)):
        raise TypeError(
            "transpose permutation isn't a permutation of operand dimensions, got permutation "
            f"{permutation} for operand shape {x.shape}."
        )
    return ShapedArray([x.shape[i] for i in permutation], x.dtype, x.weak_type)


def inverse_permutation(permutation: Sequence[int]) -> Shape:
    inverse = [0] * len(permutation)
    for i, p in enumerate(permutation):
        inverse[p] = i
    return tuple(inverse)


def _transpose_transpose(ct: Any, x: ShapedArray, *, permutation: Shape) -> Any:
    return transpose_p.bind(ct, permutation=inverse_permutation(permutation))


def _transpose_batch(axis: Any, x: Any, dim: int, *, permutation: Shape) -> Any:
    permutation = (dim, *[p + (p >= dim) for p in permutation])
    if permutation == tuple(range(len(permutation))):
        return x, 0
    return transpose_p.bind(x, permutation=permutation), 0


def _transpose_pull(ctx: Any, index: Any, x: Any, *, permutation: Shape) -> Any:
    return x.at(tuple([index[i] for i in inverse_permutation(permutation)]))


transpose_p = view(
    "transpose",
    abstract_eval=_transpose_aval,
    impl=lambda xp, x, *, permutation: xp.transpose(x, permutation),
    transpose=_transpose_transpose,
    batch=_transpose_batch,
    pull=_transpose_pull,
)


def transpose(operand: Any, permutation: Any) -> Any:
    """The axes of `operand` in another order: axis i of the result is axis `permutation[i]` of the operand.

    Raises:
      TypeError: `permutation` is no permutation of the axes.
    """
    operand = as_operand("transpose", operand)
    permutation = tuple([int(p) for p in permutation])
    if permutation == tuple(range(len(shape_of(operand)))):
        return operand
    return transpose_p.bind(operand, permutation=permutation)


def move_axis(x: Any, source: int, destination: int) -> Any:
    """`x` with one axis moved, the others in order."""
    if source == destination:
        return x
    order = [i for i in range(len(shape_of(x))) if i != source]
    order.insert(destination, source)
    return transpose(x, order)


def insert_axis(x: Any, size: int, dim: int) -> Any:
    """`x` repeated along a new axis."""
    shape = shape_of(x)
    dims = [i + (i >= dim) for i in range(len(shape))]
    return broadcast_in_dim(x, (*shape[:dim], size, *shape[dim:]), dims)


def batch_to(x: Any, dim: int | None, size: int, to: int) -> Any:
    """`x` with its batch axis at `to`; it gets one if it has none."""
    return insert_axis(x, size, to) if dim is None else move_axis(x, dim, to)


# ------------------------------------------------------------------------------------------------- reduce_sum


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which sums are formed: half precision sums are formed in single precision."""
    if dtypes.kind_of(dtype) == "f" and dtype.itemsize < 4:
        return np.dtype(np.float32)
    return dtype


def _sum_impl(xp: Any, x: Any, *, axes: Shape) -> Any:
    x = xp.asarray(x)
    return xp.add.reduce(x, axis=axes, dtype=accumulator(x.dtype)).astype(x.dtype, copy=False)


def _sum_transpose(ct: Any, x: Any, *, axes: Shape) -> Any:
    if not is_undefined(x) or is_zero(ct):
        return [ct if is_undefined(x) and not axes else None]
    kept = [i for i in range(x.aval.ndim) if i not in axes]
    return [broadcast_in_dim(ct, x.aval.shape, kept)]


reduce_sum_p: Primitive = reduction(
    "reduce_sum",
    accepts="iufc",
    impl=_sum_impl,
    combine="add",
    identity=lambda dtype: dtype.type(0),
    jvp=linear_jvp(lambda: reduce_sum_p),
    transpose=_sum_transpose,
)


def reduce_sum(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """The sum over `axes`, which count from 0; they leave the shape.

    Raises:
      ValueError: an axis is out of bounds or stands twice.
      TypeError: the dtype is bool.
    """
    return reduce_sum_p.bind(as_operand("reduce_sum", operand), axes=tuple(map(int, axes)))


# ---------------------------------------------------------------------------------------------------- add_any


def _add_any_aval(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    shape, weak = same_shape_aval("add_any", (x, y))
    return ShapedArray(shape, x.dtype, weak)


def unbroadcast(ct: Any, aval: ShapedArray) -> Any:
    """The cotangent of an operand that is a scalar beside arrays: the sum."""
    shape = shape_of(ct)
    return reduce_sum(ct, range(len(shape))) if shape and not aval.shape else ct


def broadcast_scalar(x: Any, shape: Shape) -> Any:
    """A scalar in the given shape; anything else as it is."""
    return broadcast_in_dim(x, shape, ()) if shape and not shape_of(x) else x


def _add_any_transpose(ct: Any, x: Any, y: Any) -> Any:
    return [unbroadcast(ct, a.aval) if is_undefined(a) and not is_zero(ct) else None for a in (x, y)]


def batch_elementwise(
    prim: Primitive, axis: Any, args: Sequence[Any], dims: Sequence[Any], params: Any
) -> Any:
    """The batch rule of elementwise operations. Scalars without a batch axis stay scalars."""
    shapes = [shape_of(a) for a in args]
    ranks = [len(s) - (d is not None) for s, d in zip(shapes, dims)]
    rank = max(ranks)
    full = [i for i, r in enumerate(ranks) if r == rank]
    to = next((dims[i] for i in full if dims[i] is not None), 0)
    first, d = shapes[full[0]], dims[full[0]]
    inner = [n for i, n in enumerate(first) if i != d]
    shape = (*inner[:to], axis.size, *inner[to:])
    moved = []
    for x, r, dim in zip(args, ranks, dims):
        if r < rank and dim is not None:
            x = broadcast_in_dim(x, shape, (to,))
        elif dim is not None:
            x = move_axis(x, dim, to)
        elif r:
            x = insert_axis(x, axis.size, to)
        moved.append(x)
    return prim.bind(*moved, **params), to


def _add_any_impl(xp: Any, x: Any, y: Any) -> Any:
    return xp.add(x, y)


add_any_p: Primitive = Primitive(
    "add_any",
    "elementwise",
    abstract_eval=_add_any_aval,
    impl=_add_any_impl,
    jvp=linear_jvp(lambda: add_any_p),
    transpose=_add_any_transpose,
    batch=lambda axis, args, dims: batch_elementwise(add_any_p, axis, args, dims, {}),
    pull=lambda ctx, index, x, y: ctx.op("add", *[a.at(index if a.aval.shape else ()) for a in (x, y)]),
    scalar="add",
)


def zeros_of(aval: ShapedArray) -> Any:
    """An array of zeros of the given type."""
    return full_of(aval, 0)


def full_of(aval: ShapedArray, value: Any) -> Any:
    """An array of the given type, filled with one number."""
    scalar = aval.dtype.type(value)
    if aval.weak_type:  # a Python number makes a weakly typed array, of the dtype that is the default for it
        number = dtypes.scalar_type_of(aval.dtype)(value)
        scalar = number if dtypes.python_scalar_dtype(type(number)) == aval.dtype else scalar
    return broadcast_in_dim(scalar, aval.shape, ())


set_operations(zeros_of, add_any_p.bind)
