"""Counting: histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.errors import ConcretizationTypeError
from wengert.numpy import reductions, ufuncs
from wengert.numpy._util import (
    ArrayLike,
    as_array,
    concrete,
    convert,
    inexact_dtype,
    promote_dtypes_inexact,
    scalar,
    static_int,
)
from wengert.numpy.calculus import diff
from wengert.numpy.creation import linspace
from wengert.numpy.manipulation import ravel, reshape
from wengert.numpy.selection import clip, where
from wengert.numpy.sorting import searchsorted
from wengert.numpy.updates import update


def bincount(
    x: ArrayLike,
    weights: ArrayLike | None = None,
    minlength: int = 0,
    *,
    length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """How often each of 0, 1, 2 ... occurs in `x`, or the sum of the weights of its occurrences.

    The length follows from the largest element; under jit it must be given as `length`. Negative numbers
    count as 0, and those beyond the length are left out.
    """
    x = as_array(x, "bincount")
    if x.dtype.kind not in "iu":
        raise user_context(TypeError(f"x argument to bincount must have an integer type; got {x.dtype}"))
    if x.ndim != 1:
        raise user_context(ValueError(f"only 1-dimensional input supported; got shape {x.shape}"))
    minlength = static_int(minlength, "minlength")
    if length is None:
        known = concrete(x)
        if known is None:
            raise user_context(
                ConcretizationTypeError(
                    f"Abstract tracer value encountered where concrete value is expected: {x.aval.str_short()}.\nThe "
                    "'length' argument of jnp.bincount must be given to use it within JAX transformations."
                )
            )
        length = max(minlength, int(known._np.max()) + 1 if known.size else 0)
    length = static_int(length, "length")
    if weights is None:
        amounts = scalar(1, dtypes.canonicalize_dtype(int))
    else:
        amounts = as_array(weights, "bincount")
        if amounts.shape != x.shape:
            raise user_context(ValueError("shape of weights must match shape of x."))
    return update(lax.full((length,), 0, amounts.dtype), clip(x, 0), amounts, "add", "drop")


def histogram_bin_edges(
    a: ArrayLike, bins: Any = 10, range: Any = None, weights: ArrayLike | None = None
) -> Any:
    """The edges of `bins` equal bins over `range` (a pair; from the smallest to the largest element), or `bins`
    itself."""
    a = as_array(a, "histogram_bin_edges")
    dtype = inexact_dtype(a.dtype)
    if isinstance(bins, str):
        raise user_context(
            NotImplementedError(
                "string values for `bins` are not supported; give their number or their edges"
            )
        )
    if np.ndim(bins) == 1:
        return convert(as_array(np.asarray(bins) if isinstance(bins, list | tuple) else bins), dtype)
    values = convert(ravel(a), dtype)
    if range is None:
        low, high = (
            (reductions.min(values), reductions.max(values))
            if values.size
            else (scalar(0, dtype), scalar(1, dtype))
        )
    else:
        low, high = (convert(as_array(v), dtype) for v in range)
    flat = ufuncs.equal(low, high)
    low, high = (
        where(flat, ufuncs.binary_functions["subtract"](low, 0.5), low),
        where(flat, ufuncs.binary_functions["add"](high, 0.5), high),
    )
    return linspace(low, high, static_int(bins, "bins") + 1, dtype=dtype)


def histogram(
    a: ArrayLike,
    bins: Any = 10,
    range: Any = None,
    weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Any, Any]:
    """How many elements (or the sum of their weights) are in each bin; the last bin contains its right edge.

    bins, range: as in `histogram_bin_edges`. density: divide so that the integral is 1.
    Returns the counts (floats) and the edges of the bins.
    """
    a = ravel(as_array(a, "histogram"))
    if weights is None:
        (a,) = promote_dtypes_inexact(a)
        amounts = lax.full(a.shape, 1, a.dtype)
    else:
        amounts = ravel(as_array(weights, "histogram"))
        if amounts.size != a.size:
            raise user_context(ValueError("weights should have the same shape as a."))
        a, amounts = promote_dtypes_inexact(a, amounts)
    edges = histogram_bin_edges(a, bins, range, weights)
    n = edges.size - 1
    counts = update(lax.full((n,), 0, amounts.dtype), _bin(a, edges), amounts, "add", "drop")
    if density:
        counts = lax.div(
            counts, lax.mul(convert(diff(edges), counts.dtype), _spread(reductions.sum(counts), n))
        )
    return counts, edges


def _spread(x: Any, n: int) -> Any:
    return lax.broadcast_in_dim(x, (n,), ())


def _bin(x: Any, edges: Any) -> Any:
    """The bin of each element; a number beyond the last bin if there is none."""
    n = edges.size - 1
    place = searchsorted(edges, x, side="right")
    place = lax.sub(place, scalar(1, place.dtype))
    place = where(ufuncs.equal(x, edges[n]), n - 1, place)
    return where(lax.lt(place, lax.full_like(place, 0)), n, place)


def histogram2d(
    x: ArrayLike,
    y: ArrayLike,
    bins: Any = 10,
    range: Any = None,
    weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Any, Any, Any]:
    """The histogram of points in the plane: counts, and the edges of the bins along x and y; see `histogramdd`."""
    sample = [ravel(as_array(v, "histogram2d")) for v in (x, y)]
    if sample[0].size != sample[1].size:
        raise user_context(ValueError("x and y must have the same length"))
    if not isinstance(bins, int) and len(bins) != 2:
        edges = as_array(bins if hasattr(bins, "shape") else np.asarray(bins))
        bins = [edges, edges]
    counts, all_edges = _histogram_of(sample, bins, range, weights, density)
    return counts, all_edges[0], all_edges[1]


def histogramdd(
    sample: ArrayLike,
    bins: Any = 10,
    range: Sequence[Any] | None = None,
    weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Any, list[Any]]:
    """The histogram of points, the rows of `sample`: counts, and a list of the edges of the bins along each axis.

    bins: their number, or one number or array of edges for each axis. range: a pair for each axis.
    """
    points = as_array(sample, "histogramdd")
    if points.ndim == 1:
        points = reshape(points, (-1, 1))
    return _histogram_of(
        [points[:, i] for i in np.arange(points.shape[1]).tolist()], bins, range, weights, density
    )


def _histogram_of(
    sample: list[Any], bins: Any, range: Any, weights: Any, density: bool | None
) -> tuple[Any, list[Any]]:
    sample = promote_dtypes_inexact(*sample)
    count = len(sample)
    if range is not None and len(range) != count:
        raise user_context(
            ValueError(f"For sample.shape=(N, {count}), expected {count} ranges, but got {len(range)}")
        )
    if isinstance(bins, int):
        bins = [bins] * count
    if len(bins) != count:
        raise user_context(ValueError("should be a bin for each dimension."))
    edges = [
        histogram_bin_edges(x, b, None if range is None else range[i])
        for i, (x, b) in enumerate(zip(sample, bins, strict=True))
    ]
    shape = tuple(e.size - 1 for e in edges)
    places = tuple(_bin(x, e) for x, e in zip(sample, edges, strict=True))
    amounts = scalar(1, dtypes.canonicalize_dtype(int)) if weights is None else ravel(as_array(weights))
    counts = update(lax.full(shape, 0, amounts.dtype), places, amounts, "add", "drop")
    if density:
        counts = ufuncs.divide(counts, reductions.sum(counts))
        for i, e in enumerate(edges):
            widths = lax.broadcast_in_dim(convert(diff(e), counts.dtype), counts.shape, (i,))
            counts = lax.div(counts, widths)
    return counts, edges
