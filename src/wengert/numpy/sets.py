"""Sets of elements. Their sizes depend on values: under jit, `size` must be given."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.errors import ConcretizationTypeError
from wengert.numpy import reductions
from wengert.numpy._util import (
    ArrayLike,
    as_array,
    axis_index,
    broadcast_to_shape,
    concrete,
    convert,
    promote_dtypes,
    scalar,
    static_int,
)
from wengert.numpy.indexing import take_index
from wengert.numpy.manipulation import concatenate, flip, moveaxis, ravel, reshape
from wengert.numpy.selection import nonzero, where
from wengert.numpy.sorting import lexsort
from wengert.numpy.updates import update

_INT32 = np.dtype(np.int32)


class _UniqueAll(NamedTuple):
    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class _UniqueCounts(NamedTuple):
    values: Any
    counts: Any


class _UniqueInverse(NamedTuple):
    values: Any
    inverse_indices: Any


def unique(
    ar: ArrayLike,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: ArrayLike | None = None,
    sorted: bool = True,
) -> Any:
    """The distinct elements in ascending order; along `axis` the distinct slices.

    Returns the values, then as asked for the index of the first occurrence of each, the index of each
    element's value, and how often each occurs. With `size` there are that many values, cut off or filled up
    with `fill_value` (the smallest value).

    Raises:
      ConcretizationTypeError: `ar` is traced and `size` is not given.
    """
    a = as_array(ar, "unique")
    shape = a.shape
    rows = reshape(a, (a.size, 1)) if axis is None else moveaxis(a, axis_index(axis, a.ndim), 0)
    kept_shape = rows.shape[1:] if axis is not None else ()
    n = rows.shape[0]
    rows = reshape(rows, (n, int(np.prod(rows.shape[1:], dtype=int))))
    order, starts = _grouped(rows, equal_nan)
    if size is None and concrete(a) is None:
        raise user_context(
            ConcretizationTypeError(
                f"Abstract tracer value encountered where concrete value is expected: {a.aval.str_short()}.\nThe size "
                "argument of jnp.unique must be statically specified to use jnp.unique within JAX transformations: "
                "the number of distinct elements is the shape of the result."
            )
        )
    count = int(np.asarray(starts).sum()) if size is None else static_int(size, "size")
    if n == 0 and count and fill_value is None:
        raise user_context(
            ValueError(
                "jnp.unique: for zero-sized input with nonzero size argument, fill_value must be specified"
            )
        )
    edges = nonzero(starts, size=count + 1, fill_value=n)[0] if n else lax.full((count + 1,), 0, _INT32)
    first = lax.slice_in_dim(edges, 0, count)
    found = reductions.sum(starts, dtype=_INT32)
    missing = lax.ge(lax.iota(_INT32, count), broadcast_to_shape(found, (count,)))
    index = take_index(order, where(missing, 0, first)) if n else first
    values = take_index(rows, index) if n else lax.full((count, rows.shape[1]), 0, rows.dtype)
    if fill_value is not None and size is not None:
        fill = broadcast_to_shape(convert(as_array(fill_value), rows.dtype), values.shape)
        values = where(lax.expand_dims(missing, (1,)), fill, values)
    values = reshape(values, (count, *kept_shape))
    results = [moveaxis(values, 0, axis) if axis is not None else values]
    if return_index:
        results.append(index)
    if return_inverse:
        group = (
            lax.sub(lax.cumsum(convert(starts, _INT32), 0), scalar(1, _INT32))
            if n
            else lax.full((0,), 0, _INT32)
        )
        inverse = update(lax.full((n,), 0, _INT32), order, group, "set", unique_indices=True)
        results.append(reshape(inverse, shape) if axis is None else inverse)
    if return_counts:
        results.append(lax.sub(lax.slice_in_dim(edges, 1, count + 1), first))
    return results[0] if len(results) == 1 else tuple(results)


def _differ(x: Any, y: Any, equal_nan: bool = True) -> Any:
    """Where the elements differ; NaNs are equal to each other if `equal_nan`."""
    differs = lax.ne(x, y)
    if equal_nan and dtypes.kind_of(x.dtype) in "fc":
        differs = lax.bitwise_and(differs, lax.bitwise_not(lax.bitwise_and(lax.ne(x, x), lax.ne(y, y))))
    return differs


def _starts(values: Any) -> Any:
    """Where a new value begins in a sorted vector."""
    first = lax.full((min(1, values.size),), True, np.dtype(bool))
    return concatenate([first, _differ(values[1:], values[:-1])])


def _grouped(rows: Any, equal_nan: bool) -> tuple[Any, Any]:
    """The stable order in which equal rows are neighbours, and where in that order a new row begins."""
    n, width = rows.shape
    if n == 0 or width == 0:
        return lax.iota(_INT32, n), lax.eq(lax.iota(_INT32, n), lax.full((n,), 0, _INT32))
    order = convert(lexsort([rows[:, j] for j in reversed(range(width))]), _INT32)
    ordered = take_index(rows, order)
    differs = _differ(ordered[1:], ordered[:-1], equal_nan)
    new = lax.reduce_or(differs, axes=(1,))
    return order, concatenate([lax.full((1,), True, np.dtype(bool)), new])


def unique_values(x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None) -> Any:
    """The distinct elements; NaNs are distinct."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


def unique_counts(
    x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None
) -> _UniqueCounts:
    """The distinct elements, and how often each occurs; NaNs are distinct."""
    return _UniqueCounts(*unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value))


def unique_inverse(
    x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None
) -> _UniqueInverse:
    """The distinct elements, and for each element the index of its value; NaNs are distinct."""
    return _UniqueInverse(*unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value))


def unique_all(
    x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None
) -> _UniqueAll:
    """The distinct elements, first indices, inverse indices and counts; NaNs are distinct."""
    return _UniqueAll(*unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value))


def isin(
    element: ArrayLike,
    test_elements: ArrayLike,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Any:
    """Whether each element is among `test_elements` (is not, with `invert`)."""
    if method not in ("auto", "compare_all", "binary_search", "sort"):
        raise user_context(
            ValueError(f"isin: got {method=}; expected 'auto', 'compare_all', 'binary_search' or 'sort'")
        )
    x, tests = promote_dtypes(as_array(element, "isin"), ravel(as_array(test_elements, "isin")))
    if tests.size == 0:
        return lax.full(x.shape, invert, np.dtype(bool))
    shape = (*x.shape, tests.size)
    same = lax.eq(
        lax.broadcast_in_dim(x, shape, tuple(range(x.ndim))), lax.broadcast_in_dim(tests, shape, (x.ndim,))
    )
    found = lax.reduce_or(same, axes=(x.ndim,))
    return lax.bitwise_not(found) if invert else found


def union1d(
    ar1: ArrayLike, ar2: ArrayLike, *, size: int | None = None, fill_value: ArrayLike | None = None
) -> Any:
    """The distinct elements of both arrays."""
    return unique(concatenate([ravel(ar1), ravel(ar2)]), size=size, fill_value=fill_value)


def setdiff1d(
    ar1: ArrayLike,
    ar2: ArrayLike,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: ArrayLike | None = None,
) -> Any:
    """The distinct elements of `ar1` that are not in `ar2`."""
    a = ravel(ar1)
    values = a if assume_unique else unique(a, size=None if size is None else a.size)
    keep = isin(values, ar2, invert=True)
    if size is None:
        return values[keep]
    if not assume_unique:  # what filled up the distinct values repeats the smallest one
        (ascending,) = nonzero(_starts(lax.sort(a)), size=a.size, fill_value=a.size)
        keep = lax.bitwise_and(keep, lax.lt(ascending, lax.full_like(ascending, a.size)))
    return _selected(values, keep, size, 0 if fill_value is None else fill_value)


def _selected(values: Any, keep: Any, size: int, fill: Any) -> Any:
    (index,) = nonzero(keep, size=size, fill_value=values.size)
    return take_index(values, index, "fill", fill)


def intersect1d(
    ar1: ArrayLike,
    ar2: ArrayLike,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: ArrayLike | None = None,
) -> Any:
    """The distinct elements that both arrays have; with `return_indices` also where they first are in each."""
    a, b = promote_dtypes(ravel(ar1), ravel(ar2))
    if size is None and (concrete(a) is None or concrete(b) is None):
        raise user_context(
            ConcretizationTypeError(
                "The size argument of jnp.intersect1d must be statically specified to use it in JAX transformations."
            )
        )
    # In a stable sort of both, an element of b follows the first equal element of a.
    both = concatenate([a, b])
    origin = lax.iota(_INT32, both.size)
    side = convert(lax.ge(origin, scalar(a.size, _INT32)), _INT32)
    values, side, origin = lax.sort((both, side, origin), dimension=0, num_keys=3)
    if both.size < 2:
        return (values[:0], origin[:0], origin[:0]) if return_indices else values[:0]
    start = _starts(values)
    group = lax.sub(lax.cumsum(convert(start, _INT32), 0), scalar(1, _INT32))
    first_b = lax.bitwise_and(
        lax.eq(side[1:], scalar(1, _INT32)),
        lax.bitwise_and(lax.eq(side[:-1], scalar(0, _INT32)), lax.bitwise_not(start[1:])),
    )
    count = int(np.asarray(first_b).sum()) if size is None else size
    (hit,) = nonzero(first_b, size=count, fill_value=0)
    found = reductions.sum(first_b, dtype=_INT32)
    missing = lax.ge(lax.iota(_INT32, count), broadcast_to_shape(found, (count,)))
    (starts,) = nonzero(start, size=both.size, fill_value=0)
    result = take_index(values, hit)
    if size is not None:
        result = where(missing, result[0] if fill_value is None and count else (fill_value or 0), result)
    if not return_indices:
        return result
    index_a = take_index(origin, take_index(starts, take_index(group, hit)))
    index_b = lax.sub(take_index(origin, lax.add(hit, scalar(1, hit.dtype))), scalar(a.size, _INT32))
    if size is not None:
        index_a, index_b = where(missing, a.size, index_a), where(missing, b.size, index_b)
    return result, index_a, index_b


def setxor1d(
    ar1: ArrayLike,
    ar2: ArrayLike,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: ArrayLike | None = None,
) -> Any:
    """The distinct elements that only one of the arrays has."""
    a, b = promote_dtypes(ravel(ar1), ravel(ar2))
    both = concatenate([a, b])
    if both.size == 0:
        return (
            both if size is None else lax.full((size,), 0 if fill_value is None else fill_value, both.dtype)
        )
    side = convert(lax.ge(lax.iota(_INT32, both.size), scalar(a.size, _INT32)), _INT32)
    values, side = lax.sort((both, side), dimension=0, num_keys=2)
    start = _starts(values)
    stop = concatenate([start[1:], lax.full((1,), True, np.dtype(bool))])
    # sides ascend within a group: it is on one side only if its first and last element are on the same
    last = take_index(side, _last_of_group(stop))
    keep = lax.bitwise_and(start, lax.eq(side, last))
    if size is None:
        return values[keep]
    return _selected(values, keep, size, 0 if fill_value is None else fill_value)


def _last_of_group(stop: Any) -> Any:
    """For each place the next place at which a group ends."""
    n = stop.size
    place = where(stop, lax.iota(_INT32, n), n)
    return flip(lax.cummin(flip(place), 0))
