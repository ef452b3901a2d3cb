"""Order statistics, and functions that map others along axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy import reductions, ufuncs
from wengert.numpy._util import (
    ArrayLike,
    Axis,
    as_array,
    axis_index,
    axis_tuple,
    broadcast_to_shape,
    concrete,
    convert,
    inexact_dtype,
    promote_dtypes,
    refuse_out,
    scalar,
    size_of,
)
from wengert.numpy.manipulation import reshape, take_rows
from wengert.transforms.vmap import vmap

_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def median(
    a: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """The middle element over `axis`, or the mean of the two middle ones; NaN if there is a NaN."""
    refuse_out("median", out)
    return quantile(a, 0.5, axis, None, overwrite_input, "midpoint", keepdims)


def nanmedian(
    a: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """`median` of the elements that are not NaN."""
    refuse_out("nanmedian", out)
    return nanquantile(a, 0.5, axis, None, overwrite_input, "midpoint", keepdims)


def percentile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: ArrayLike | None = None,
    out_sharding: Any = None,
) -> Any:
    """`quantile` with q in percent, from 0 to 100."""
    return quantile(a, _from_percent(q), axis, out, overwrite_input, method, keepdims, weights=weights)


def nanpercentile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: ArrayLike | None = None,
) -> Any:
    """`percentile` of the elements that are not NaN."""
    return nanquantile(a, _from_percent(q), axis, out, overwrite_input, method, keepdims, weights=weights)


def _from_percent(q: Any) -> Any:
    return ufuncs.divide(as_array(q), 100)


def quantile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: ArrayLike | None = None,
) -> Any:
    """The value below which the fraction `q` (from 0 to 1) of the elements over `axis` lies; NaN if there is a NaN.

    method: between two elements "linear" interpolates, "lower", "higher", "nearest" and "midpoint" do what
    they say. An axis of several `q` comes first in the result.
    """
    refuse_out("quantile", out)
    return _quantile("quantile", a, q, axis, method, keepdims, False, weights)


def nanquantile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: ArrayLike | None = None,
) -> Any:
    """`quantile` of the elements that are not NaN."""
    refuse_out("nanquantile", out)
    return _quantile("nanquantile", a, q, axis, method, keepdims, True, weights)


def _quantile(
    name: str, a: Any, q: Any, axis: Axis, method: str, keepdims: bool, skip_nans: bool, weights: Any
) -> Any:
    if method not in _METHODS:
        raise user_context(
            ValueError(
                f"method can only be 'linear', 'lower', 'higher', 'midpoint', or 'nearest', got {method!r}"
            )
        )
    if weights is not None:
        raise user_context(NotImplementedError(f"jnp.{name}: weights are not supported"))
    a, q = as_array(a, name), as_array(q, name)
    if a.dtype.kind == "c":
        raise user_context(
            ValueError(f"{name} does not support complex input, as the operation is poorly defined.")
        )
    if q.ndim > 1:
        raise user_context(ValueError(f"q must have rank <= 1, got shape {q.shape}"))
    a, q = (convert(v, inexact_dtype(v.dtype), v.weak_type) for v in (a, q))
    result_dtype = a.dtype
    a, q = promote_dtypes(a, q)
    axes = axis_tuple(axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    kept_shape = tuple(a.shape[i] for i in kept)
    n = size_of([a.shape[i] for i in axes])
    rows = reshape(lax.transpose(a, (*axes, *kept)), (n, *kept_shape))
    result = convert(_along_first(rows, q, method, skip_nans), result_dtype)
    if keepdims:
        result = lax.expand_dims(result, tuple(q.ndim + i for i in sorted(axes)))
    return result


def _along_first(rows: Any, q: Any, method: str, skip_nans: bool) -> Any:
    """Quantiles over the first axis; the shape is q.shape + the other axes."""
    n, *rest = rows.shape
    dtype = rows.dtype
    if n == 0:
        return lax.full((*q.shape, *rest), math.nan, dtype)
    missing = lax.ne(rows, rows)
    if skip_nans:
        counts = lax.reduce_sum(convert(lax.bitwise_not(missing), dtype), axes=(0,))
    else:
        any_missing = broadcast_to_shape(lax.expand_dims(lax.reduce_or(missing, axes=(0,)), (0,)), rows.shape)
        rows = lax.select(any_missing, lax.full_like(rows, math.nan), rows)
        counts = lax.full(tuple(rest), n, dtype)
    ordered = lax.sort(rows, dimension=0)
    shape = (*q.shape, *rest)
    fraction = lax.broadcast_in_dim(q, shape, tuple(range(q.ndim)))
    last = lax.sub(broadcast_to_shape(counts, shape), scalar(1, dtype))
    place = lax.mul(fraction, last)
    low, high = lax.floor(place), lax.ceil(place)
    weight = lax.sub(place, low)
    values = [_at(ordered, lax.clamp(lax.full_like(last, 0), i, last), q, skip_nans) for i in (low, high)]
    result = _between(values[0], values[1], weight, method)
    if skip_nans:
        nothing = broadcast_to_shape(lax.eq(counts, scalar(0, dtype)), shape)
        result = lax.select(nothing, lax.full_like(result, math.nan), result)
    return result


def _at(ordered: Any, place: Any, q: Any, varies: bool) -> Any:
    """The elements at whole places along the first axis. Unless these vary, one place for each q is enough."""
    index = convert(place, np.dtype(np.int32))
    known = concrete(q)
    if not varies:
        index = (
            index.reshape(*q.shape, -1)[..., 0]
            if size_of(index.shape)
            else lax.full(q.shape, 0, np.dtype(np.int32))
        )
        if known is not None and q.ndim == 0 and concrete(index) is not None:
            i = int(index)
            return lax.squeeze(lax.slice_in_dim(ordered, i, i + 1), (0,))
        rows = take_rows(ordered, reshape(index, (-1,)), 0)
        return rows if q.ndim else lax.squeeze(rows, (0,))
    grid = [
        lax.broadcasted_iota(np.dtype(np.int32), index.shape, q.ndim + i) for i in range(ordered.ndim - 1)
    ]
    return ordered[(index, *grid)]


def _between(low: Any, high: Any, weight: Any, method: str) -> Any:
    if method == "lower":
        return low
    if method == "higher":
        return high
    if method == "midpoint":
        return lax.mul(lax.add(low, high), scalar(0.5, low.dtype))
    if method == "nearest":
        return lax.select(lax.le(weight, lax.full_like(weight, 0.5)), low, high)
    one = lax.full_like(weight, 1)
    return lax.add(lax.mul(low, lax.sub(one, weight)), lax.mul(high, weight))


# Mapping along axes


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: ArrayLike, *args: Any, **kwargs: Any) -> Any:
    """`func1d(vector, *args, **kwargs)` of each vector along `axis`; the axes of its result take that axis' place."""
    arr = as_array(arr, "apply_along_axis")
    axis = axis_index(axis, arr.ndim)
    mapped: Callable[..., Any] = lambda vector: func1d(vector, *args, **kwargs)  # noqa: E731
    for _ in range(arr.ndim - axis - 1):
        mapped = vmap(mapped, in_axes=1, out_axes=-1)
    for _ in range(axis):
        mapped = vmap(mapped, in_axes=0, out_axes=0)
    return mapped(arr)


def apply_over_axes(func: Callable[[Any, int], Any], a: ArrayLike, axes: int | Sequence[int]) -> Any:
    """`func(a, axis)` for one axis after the other; an axis that it takes away is kept with size 1."""
    result = as_array(a, "apply_over_axes")
    for axis in axis_tuple(axes, result.ndim):
        new = func(result, axis)
        if new.ndim == result.ndim - 1:
            new = lax.expand_dims(new, (axis,))
        if new.ndim != result.ndim:
            raise user_context(ValueError("function is not returning an array of the correct shape"))
        result = new
    return result


# Spread of several variables


def cov(
    m: ArrayLike,
    y: ArrayLike | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: ArrayLike | None = None,
    aweights: ArrayLike | None = None,
    dtype: Any = None,
) -> Any:
    """The covariance matrix of variables, which are the rows of `m` (and of `y`), columns if not `rowvar`.

    fweights: how often each observation counts; aweights: its weight. The sums are divided by n - ddof, where
    `ddof` is 1 unless `bias` is set.
    """
    x = as_array(m, "cov")
    x = convert(x, inexact_dtype(x.dtype) if dtype is None else dtypes.canonicalize_dtype(dtype))
    if x.ndim > 2:
        raise user_context(ValueError("m has more than 2 dimensions"))
    if y is not None:
        second = convert(as_array(y, "cov"), x.dtype)
        if second.ndim > 2:
            raise user_context(ValueError("y has more than 2 dimensions"))
        x = lax.concatenate([_as_rows(v, rowvar) for v in (x, second)], 0)
    else:
        x = _as_rows(x, rowvar)
    if ddof is None:
        ddof = 0 if bias else 1
    weights = None
    for given, name in ((fweights, "fweights"), (aweights, "aweights")):
        if given is not None:
            w = convert(
                as_array(given, name), np.dtype(x.dtype.char.lower()) if x.dtype.kind == "c" else x.dtype
            )
            if w.ndim != 1 or w.shape[0] != x.shape[1]:
                raise user_context(
                    ValueError(
                        f"{name} must be a vector with one element for each observation, got {w.shape}"
                    )
                )
            weights = w if weights is None else lax.mul(weights, w)
    count: Any = x.shape[1] - ddof
    if weights is None:
        centred = lax.sub(x, broadcast_to_shape(reductions.mean(x, 1, keepdims=True), x.shape))
        weighted = centred
    else:
        total = reductions.sum(weights)
        mean = reductions.average(x, 1, convert(weights, x.dtype), keepdims=True)
        centred = lax.sub(x, broadcast_to_shape(mean, x.shape))
        weighted = lax.mul(centred, broadcast_to_shape(convert(weights, x.dtype), x.shape))
        if aweights is None or ddof == 0:
            count = total - ddof
        else:
            count = total - ddof * reductions.sum(weights * as_array(aweights)) / total
    product = lax.dot_general(weighted, ufuncs.conj(centred), (((1,), (1,)), ((), ())))
    return _scalar_if_single(ufuncs.divide(product, count))


def _as_rows(x: Any, rowvar: bool) -> Any:
    if x.ndim < 2:
        return reshape(x, (1, -1))
    return x if rowvar or (x.shape[0] == 1 and x.ndim == 1) else lax.transpose(x, (1, 0))


def _scalar_if_single(matrix: Any) -> Any:
    """A 1 x 1 matrix as a scalar."""
    return reshape(matrix, ()) if matrix.shape == (1, 1) else matrix


def corrcoef(x: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True, dtype: Any = None) -> Any:
    """The matrix of Pearson's correlation coefficients of variables; see `cov`."""
    matrix = cov(x, y, rowvar, dtype=dtype)
    if matrix.ndim == 0:
        return ufuncs.divide(matrix, matrix)
    variances = ufuncs.real(matrix.diagonal())
    deviations = lax.sqrt(variances)
    scale = convert(deviations[:, None] * deviations[None, :], matrix.dtype)
    result = lax.div(matrix, scale)
    if result.dtype.kind == "c":
        parts = [
            lax.clamp(lax.full_like(p, -1), p, lax.full_like(p, 1))
            for p in (lax.real(result), lax.imag(result))
        ]
        return lax.complex(*parts)
    return lax.clamp(lax.full_like(result, -1), result, lax.full_like(result, 1))
