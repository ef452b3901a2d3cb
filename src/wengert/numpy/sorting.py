"""Sorting, ranks and searching."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy import ufuncs
from wengert.numpy._util import (
    ArrayLike,
    DTypeLike,
    as_array,
    axis_index,
    broadcast_to_shape,
    convert,
    promote_dtypes,
    scalar,
)
from wengert.numpy.manipulation import flip, ravel
from wengert.numpy.selection import take


def _check_kind(name: str, kind: None, order: None) -> None:
    if kind is not None:
        raise user_context(
            TypeError(f"'kind' argument to {name} is not supported: sorts are stable unless stable=False")
        )
    if order is not None:
        raise user_context(ValueError(f"'order' argument to {name} is not supported: arrays have no fields"))


def _prepared(name: str, a: Any, axis: int | None) -> tuple[Any, int]:
    a = as_array(a, name)
    if axis is None:
        return ravel(a), 0
    return a, axis_index(axis, a.ndim)


def sort(
    a: ArrayLike,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """The elements in ascending order along `axis` (of the flattened array if None). NaNs come last."""
    _check_kind("sort", kind, order)
    a, place = _prepared("sort", a, axis)
    result = lax.sort(a, dimension=place, is_stable=stable)
    return flip(result, place) if descending else result


def argsort(
    a: ArrayLike,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
    dtype: DTypeLike | None = None,
) -> Any:
    """The indices that sort the array along `axis` (the flattened array if None)."""
    _check_kind("argsort", kind, order)
    a, place = _prepared("argsort", a, axis)
    index_dtype = dtypes.canonicalize_dtype(int if dtype is None else dtype)
    numbers = lax.broadcasted_iota(index_dtype, a.shape, place)
    if not descending:
        return lax.sort((a, numbers), dimension=place, is_stable=stable, num_keys=1)[1]
    # Equal elements keep their order in a stable sort: sort the reversed array, and reverse again.
    backwards = (flip(a, place), flip(numbers, place))
    return flip(lax.sort(backwards, dimension=place, is_stable=stable, num_keys=1)[1], place)


def lexsort(keys: Any, axis: int = -1) -> Any:
    """The indices that sort by several keys, the last one being the most important."""
    arrays = [as_array(k, "lexsort") for k in keys]
    if not arrays:
        raise user_context(TypeError("need sequence of keys with len > 0 in lexsort"))
    if len({k.shape for k in arrays}) > 1:
        raise user_context(ValueError("all keys need to be the same shape"))
    if arrays[0].ndim == 0:
        return scalar(0, dtypes.canonicalize_dtype(int))
    place = axis_index(axis, arrays[0].ndim)
    numbers = lax.broadcasted_iota(dtypes.canonicalize_dtype(int), arrays[0].shape, place)
    return lax.sort((*reversed(arrays), numbers), dimension=place, num_keys=len(arrays))[-1]


def sort_complex(a: ArrayLike) -> Any:
    """The elements as complex numbers, sorted by real part, then by imaginary part, along the last axis."""
    a = sort(a)
    if a.dtype.kind == "c":
        return a
    return convert(
        a, np.result_type(a.dtype, np.complex64) if a.dtype.kind == "f" else np.dtype(np.complex64)
    )


def partition(a: ArrayLike, kth: int, axis: int = -1) -> Any:
    """The array with the element that would be at `kth` in sorted order there, smaller ones before, others after."""
    a = as_array(a, "partition")
    _check_kth(a, kth, axis)
    return sort(a, axis)


def argpartition(a: ArrayLike, kth: int, axis: int = -1) -> Any:
    """The indices that partition the array; see `partition`."""
    a = as_array(a, "argpartition")
    _check_kth(a, kth, axis)
    return argsort(a, axis)


def _check_kth(a: Any, kth: int, axis: int) -> None:
    size = a.shape[axis_index(axis, a.ndim)]
    if not -size <= kth < size:
        raise user_context(ValueError(f"kth(={kth}) out of bounds ({size})"))
    if a.dtype.kind == "c":
        raise user_context(NotImplementedError("partition and argpartition do not support complex numbers"))


def searchsorted(
    a: ArrayLike, v: ArrayLike, side: str = "left", sorter: ArrayLike | None = None, *, method: str = "scan"
) -> Any:
    """Where the values `v` would have to be inserted into the sorted vector `a` to keep it sorted.

    side: before ("left") or after ("right") equal elements. sorter: indices that sort `a`. method: "scan",
    "scan_unrolled", "sort" or "compare_all"; the result is the same, only the last one works differently: it
    compares with all elements, which may be faster for short vectors.
    """
    if side not in ("left", "right"):
        raise user_context(
            ValueError(f"{side!r} is an invalid value for keyword 'side'. Expected one of ['left', 'right'].")
        )
    if method not in ("scan", "scan_unrolled", "sort", "compare_all"):
        raise user_context(
            ValueError(
                f"{method!r} is an invalid value for keyword 'method'. Expected one of "
                "('sort', 'scan', 'scan_unrolled', 'compare_all')."
            )
        )
    a, v = as_array(a, "searchsorted"), as_array(v, "searchsorted")
    if a.ndim != 1:
        raise user_context(ValueError(f"a should be 1-dimensional, got shape {a.shape}"))
    if sorter is not None:
        a = take(a, sorter, 0)
    a, v = promote_dtypes(a, v)
    n = a.shape[0]
    index_dtype = np.dtype(np.int32 if n < 2**31 else np.int64)
    if n == 0:
        return lax.full(v.shape, 0, index_dtype)
    if method == "compare_all":
        shape = (n, *v.shape)
        rows = lax.broadcast_in_dim(a, shape, (0,))
        below = _goes_after(rows, lax.broadcast_in_dim(v, shape, tuple(range(1, v.ndim + 1))), side)
        return lax.reduce_sum(convert(below, index_dtype), axes=(0,))
    return _binary_search(a, v, side, index_dtype)


def _goes_after(element: Any, value: Any, side: str) -> Any:
    """Whether the value has to stand behind the element. NaNs are larger than numbers and equal to each other."""
    if element.dtype.kind == "c":
        return (ufuncs.less if side == "left" else ufuncs.less_equal)(element, value)
    if side == "left":
        plain = lax.lt(element, value)
        if dtypes.kind_of(element.dtype) != "f":
            return plain
        return lax.bitwise_or(plain, lax.bitwise_and(lax.ne(value, value), lax.eq(element, element)))
    plain = lax.le(element, value)
    return plain if dtypes.kind_of(element.dtype) != "f" else lax.bitwise_or(plain, lax.ne(value, value))


def _binary_search(a: Any, v: Any, side: str, index_dtype: Any) -> Any:
    """All values at once. The number of steps is known, so the loop is unrolled and can be fused."""
    n = a.shape[0]
    low, high = lax.full(v.shape, 0, index_dtype), lax.full(v.shape, n, index_dtype)
    one = scalar(1, index_dtype)
    for _ in range(n.bit_length()):
        middle = lax.shift_right_logical(lax.add(low, high), one)
        element = take(a, middle, 0, mode="clip")
        after = lax.bitwise_and(_goes_after(element, v, side), lax.lt(low, high))
        high = lax.select(after, high, lax.select(lax.lt(low, high), middle, high))
        low = lax.select(after, lax.add(middle, one), low)
    return low


def digitize(x: ArrayLike, bins: ArrayLike, right: bool = False, *, method: str | None = None) -> Any:
    """The index of the bin of each element: i where bins[i-1] <= x < bins[i] (< and <= with `right`).

    Descending bins count from the other end.
    """
    x, bins = as_array(x, "digitize"), as_array(bins, "digitize")
    if bins.ndim != 1:
        raise user_context(ValueError(f"digitize: bins must be a 1-dimensional array; got {bins.shape}"))
    if bins.size == 0:
        return lax.full(x.shape, 0, dtypes.canonicalize_dtype(int))
    side = "right" if not right else "left"
    rising = searchsorted(bins, x, side, method=method or "scan")
    falling = ufuncs.binary_functions["subtract"](
        bins.size, searchsorted(flip(bins), x, side, method=method or "scan")
    )
    first, last = (lax.squeeze(lax.slice_in_dim(bins, i, i + 1), (0,)) for i in (0, bins.size - 1))
    return lax.select(broadcast_to_shape(lax.ge(last, first), x.shape), rising, falling)
