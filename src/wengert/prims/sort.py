"""Sorting, and the greatest elements."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.staging import stage
from wengert.core.zeros import Zero, is_zero
from wengert.prims.arithmetic import neg
from wengert.prims.axes import batch_to
from wengert.prims.constructors import as_operand, canonical_axis, check_dtype, dtype_of, shape_of
from wengert.prims.conversion import convert
from wengert.prims.gather import GatherDimensionNumbers, GatherScatterMode, gather_p
from wengert.prims.shape import broadcasted_iota, expand_dims


def take_along(x: Any, index: Any, axis: int) -> Any:
    """x[..., index, ...]: for each lane along the axis, the elements at the lane's indices, all in bounds."""
    shape = shape_of(x)
    ndim = len(shape)
    others = tuple([i for i in range(ndim) if i != axis])
    return gather_p.bind(
        x,
        expand_dims(index, (ndim,)),
        dimension_numbers=GatherDimensionNumbers((), (axis,), (axis,), others, others),
        slice_sizes=tuple([min(d, 1) for d in shape]),
        fill_value=None,
        indices_are_sorted=False,
        unique_indices=False,
        mode=GatherScatterMode.PROMISE_IN_BOUNDS,
    )


# ------------------------------------------------------------------------------------------------------- sort


def _sort_aval(*xs: ShapedArray, dimension: int, is_stable: bool, num_keys: int) -> list[ShapedArray]:
    if any(x.shape != xs[0].shape for x in xs):
        raise TypeError(
            f"Arguments to sort must have equal shapes, got: {', '.join(str(x.shape) for x in xs)}"
        )
    if not 1 <= num_keys <= len(xs):
        raise ValueError(f"num_keys={num_keys} must be between 1 and the number of operands, {len(xs)}")
    for i in range(num_keys):
        check_dtype("sort", "biufc", xs[i], i)
    return list(xs)


def sortable(x: Any) -> Any:
    """Keys that NumPy sorts as they should be: half precision floats as single ones."""
    return x.astype(np.float32) if dtypes.kind_of(x.dtype) == "f" and x.dtype.itemsize < 4 else x


def _sort_impl(xp: Any, *xs: Any, dimension: int, is_stable: bool, num_keys: int) -> list[Any]:
    xs = tuple([xp.asarray(x) for x in xs])
    keys = [sortable(x) for x in xs[:num_keys]]
    if len(xs) == 1:
        # zeros of both signs are equal; NumPy's fastest sort may exchange them, or make one of the other
        signs = keys[0].dtype.kind == "c" or (
            keys[0].dtype.kind == "f" and ((keys[0] == 0) & xp.signbit(keys[0])).any()
        )
        found = xp.sort(keys[0], axis=dimension, kind="stable" if signs else None)
        return [found.astype(xs[0].dtype, copy=False)]
    if num_keys == 1:
        order = xp.argsort(keys[0], axis=dimension, kind="stable")
    else:
        order = xp.lexsort(keys[::-1], axis=dimension)
    return [xp.take_along_axis(x, order, dimension) for x in xs]


def _sort_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    if all(is_zero(t) for t in tangents):
        outs = sort_p.bind(*primals, **params)
        return outs, [Zero.of(o) for o in outs]
    axis = params["dimension"]
    number = broadcasted_iota(np.int32, shape_of(primals[0]), axis)
    *outs, order = sort_p.bind(*primals, number, **params)
    moved = [Zero.of(o) if is_zero(t) else take_along(t, order, axis) for o, t in zip(outs, tangents)]
    return outs, moved


def _sort_batch(axis: Any, args: Any, dims: Any, *, dimension: int, is_stable: bool, num_keys: int) -> Any:
    args = [batch_to(x, d, axis.size, 0) for x, d in zip(args, dims)]
    outs = sort_p.bind(*args, dimension=dimension + 1, is_stable=is_stable, num_keys=num_keys)
    return outs, [0] * len(outs)


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """A dtype of NumPy's that orders the numbers of a small one as it does; None for those that are NumPy's."""
    if dtype.kind != "V" and (dtype.kind != "f" or dtype.itemsize > 1):
        return None
    return np.dtype({"f": np.float32, "i": np.int8, "u": np.uint8}[dtypes.kind_of(dtype)])


def _sort_expand(*xs: ShapedArray, **params: Any) -> Any:
    n = params["num_keys"]
    wide = [_wide(x.dtype) for x in xs[:n]]
    if not any(wide):
        return None

    def run(*xs: Any) -> list[Any]:
        keys = [x if w is None else convert(x, w) for x, w in zip(xs, wide)]
        outs = sort_p.bind(*keys, *xs[n:], **params)
        return [convert(out, dtype_of(x)) for out, x in zip(outs, xs, strict=True)]

    return stage(run, xs, "sort")


def _sort_emit(ctx: Any, outs: Any, *xs: Any, dimension: int, is_stable: bool, num_keys: int) -> Any:
    return outs if ctx.sort(outs, xs, dimension, num_keys) else None


sort_p = Primitive(
    "sort",
    "library",
    abstract_eval=_sort_aval,
    impl=_sort_impl,
    jvp=_sort_jvp,
    batch=_sort_batch,
    emit=_sort_emit,
    expand=_sort_expand,
    access="stored",
    multiple_results=True,
)


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """The elements along an axis in ascending order, NaN last.

    Args:
      operand: an array, or several of one shape: these are ordered by the first `num_keys` of them.
      is_stable: whether equal elements keep their order.
    Returns:
      An array, or a tuple of arrays if a sequence was given.
    Raises:
      TypeError: the shapes differ.
      ValueError: the axis or `num_keys` is out of bounds.
    """
    several = isinstance(operand, list | tuple)
    operands = [as_operand("sort", x, i) for i, x in enumerate(operand if several else [operand])]
    if not operands:
        raise TypeError("Sort requires at least one operand")
    axis = canonical_axis(dimension, len(shape_of(operands[0])))
    outs = sort_p.bind(*operands, dimension=axis, is_stable=bool(is_stable), num_keys=int(num_keys))
    return tuple(outs) if several else outs[0]


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """`keys` in ascending order, and `values` in the same order."""
    found = sort((keys, values), dimension, is_stable)
    return found[0], found[1]


# ------------------------------------------------------------------------------------------------------ top_k


def _top_k_aval(x: ShapedArray, *, k: int, axis: int, is_stable: bool) -> list[ShapedArray]:
    check_dtype("top_k", "biuf", x)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(
            f"k argument to top_k must be no larger than size along axis; got {k=} with shape {x.shape}"
        )
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return [ShapedArray(shape, x.dtype, x.weak_type), ShapedArray(shape, np.int32)]


def _top_k_impl(xp: Any, x: Any, *, k: int, axis: int, is_stable: bool) -> list[Any]:
    x = xp.asarray(x)
    n = x.shape[axis]
    order = xp.argsort(sortable(xp.flip(x, axis)), axis=axis, kind="stable")  # equal ones: the last first
    order = xp.flip(xp.take(order, range(n - k, n), axis=axis), axis)
    index = n - 1 - order
    return [xp.take_along_axis(x, index, axis), index.astype(np.int32)]


def _top_k_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    values, index = top_k_p.bind(*primals, **params)
    t = tangents[0]
    tangent = Zero.of(values) if is_zero(t) else take_along(t, index, params["axis"])
    return [values, index], [tangent, Zero.of(index)]


def _top_k_batch(axis_: Any, args: Any, dims: Any, *, k: int, axis: int, is_stable: bool) -> Any:
    outs = top_k_p.bind(args[0], k=k, axis=axis + (axis >= dims[0]), is_stable=is_stable)
    return outs, [dims[0]] * 2


def _top_k_expand(x: ShapedArray, **params: Any) -> Any:
    wide = _wide(x.dtype)
    if wide is None:
        return None

    def run(x: Any) -> list[Any]:
        values, index = top_k_p.bind(convert(x, wide), **params)
        return [convert(values, dtype_of(x)), index]

    return stage(run, [x], "top_k")


def _top_k_emit(ctx: Any, outs: Any, x: Any, *, k: int, axis: int, is_stable: bool) -> Any:
    return outs if ctx.top_k(outs, x, k, axis) else None


top_k_p = Primitive(
    "top_k",
    "library",
    abstract_eval=_top_k_aval,
    impl=_top_k_impl,
    jvp=_top_k_jvp,
    batch=_top_k_batch,
    emit=_top_k_emit,
    expand=_top_k_expand,
    access="stored",
    multiple_results=True,
)


def top_k(operand: Any, k: int, *, axis: int = -1) -> list[Any]:
    """The k greatest elements along an axis, the greatest first, and their indices. NaN counts as greatest.

    Raises:
      ValueError: k is negative or greater than the size of the axis.
    """
    operand = as_operand("top_k", operand)
    axis = canonical_axis(axis, len(shape_of(operand)), "top_k")
    return list(top_k_p.bind(operand, k=operator.index(k), axis=axis, is_stable=True))


def _signed_top_k(operand: Any, k: int, axis: int, aggregate: bool, negate: bool) -> list[Any]:
    operand = as_operand("approx_top_k", operand)
    if dtypes.kind_of(dtype_of(operand)) != "f":
        raise ValueError(f"operand must be a floating type, got {dtype_of(operand)}")
    if not aggregate:  # all candidates, which here are all elements
        k = shape_of(operand)[axis]
    values, index = top_k(neg(operand) if negate else operand, k, axis=axis)
    return [neg(values) if negate else values, index]


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> list[Any]:
    """The k greatest elements along an axis and their indices; exact, whatever `recall_target` says.

    Without `aggregate_to_topk` all elements that are candidates come back, in order.

    Raises:
      ValueError: the elements are no floats.
    """
    return _signed_top_k(operand, k, reduction_dimension, aggregate_to_topk, False)


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> list[Any]:
    """The k least elements along an axis and their indices; exact, whatever `recall_target` says.

    Without `aggregate_to_topk` all elements that are candidates come back, in order.

    Raises:
      ValueError: the elements are no floats.
    """
    return _signed_top_k(operand, k, reduction_dimension, aggregate_to_topk, True)
