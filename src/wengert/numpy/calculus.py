"""Differences, integrals, interpolation and convolution along axes."""

from __future__ import annotations

import math
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
    convert,
    inexact_dtype,
    promote_dtypes_inexact,
    scalar,
    static_int,
)
from wengert.numpy.creation import broadcast_to
from wengert.numpy.manipulation import concatenate, flip, moveaxis, ravel, reshape
from wengert.numpy.selection import clip, take, where
from wengert.numpy.sorting import searchsorted

_add, _subtract = ufuncs.binary_functions["add"], ufuncs.binary_functions["subtract"]
_multiply = ufuncs.binary_functions["multiply"]


def _part(x: Any, start: int, stop: int | None, axis: int) -> Any:
    return lax.slice_in_dim(
        x, start, x.shape[axis] + stop if stop is not None and stop <= 0 else stop, axis=axis
    )


def diff(
    a: ArrayLike,
    n: int = 1,
    axis: int = -1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Any:
    """The differences of neighbours along `axis`, taken `n` times; of booleans whether they differ."""
    a = as_array(a, "diff")
    n = static_int(n, "n")
    if n == 0:
        return a
    if n < 0:
        raise user_context(ValueError(f"order must be non-negative but got {n}"))
    if a.ndim == 0:
        raise user_context(ValueError("diff requires input that is at least one dimensional"))
    axis = axis_index(axis, a.ndim)
    ends = []
    for extra in (prepend, append):
        part = None if extra is None else as_array(extra, "diff")
        if part is not None and part.ndim == 0:
            part = broadcast_to(part, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))
        ends.append(part)
    parts = [p for p in (ends[0], a, ends[1]) if p is not None]
    a = concatenate(parts, axis) if len(parts) > 1 else a
    for _ in range(n):
        upper, lower = lax.slice_in_dim(a, 1, a.shape[axis], axis=axis), _part(a, 0, -1, axis)
        a = lax.ne(upper, lower) if a.dtype == bool else lax.sub(upper, lower)
    return a


def ediff1d(ary: ArrayLike, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None) -> Any:
    """The differences of neighbours in the flattened array, between `to_begin` and `to_end`."""
    ary = ravel(ary)
    parts = [
        _subtract(lax.slice_in_dim(ary, 1, max(1, ary.size)), lax.slice_in_dim(ary, 0, max(0, ary.size - 1)))
    ]
    if to_begin is not None:
        parts.insert(0, ravel(to_begin))
    if to_end is not None:
        parts.append(ravel(to_end))
    return concatenate([convert(p, ary.dtype) for p in parts])


def gradient(f: ArrayLike, *varargs: ArrayLike, axis: Axis = None, edge_order: int | None = None) -> Any:
    """The derivative along each axis (or those of `axis`) by central differences, one-sided at the ends.

    varargs: the distance of the points, one for all axes or one for each; or their coordinates.
    Returns an array, or a list of one for each axis.
    """
    f = as_array(f, "gradient")
    f = convert(f, inexact_dtype(f.dtype))
    if edge_order not in (None, 1):
        raise user_context(
            NotImplementedError("The 'edge_order' argument to jnp.gradient is not supported, but for 1.")
        )
    axes = axis_tuple(axis, f.ndim)
    if any(f.shape[i] < 2 for i in axes):
        raise user_context(
            ValueError(
                "Shape of array too small to calculate a numerical gradient, at least 2 elements are required."
            )
        )
    spacings: list[Any] = list(varargs) if varargs else [1.0]
    if len(spacings) == 1:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise user_context(TypeError(f"Invalid number of spacing arguments {len(spacings)} for axes={axes}"))
    results = [_gradient_along(f, as_array(h), i) for h, i in zip(spacings, axes, strict=True)]
    return results[0] if len(axes) == 1 else results


def _gradient_along(f: Any, h: Any, axis: int) -> Any:
    n = f.shape[axis]
    h = convert(h, f.dtype)
    if h.ndim == 0:
        first = _subtract(_part(f, 1, 2, axis), _part(f, 0, 1, axis))
        last = _subtract(_part(f, n - 1, n, axis), _part(f, n - 2, n - 1, axis))
        middle = _multiply(_subtract(_part(f, 2, n, axis), _part(f, 0, n - 2, axis)), scalar(0.5, f.dtype))
        return ufuncs.divide(lax.concatenate([first, middle, last], axis), h)
    if h.ndim != 1 or h.shape[0] != n:
        raise user_context(
            ValueError("when 1d, distances must match the length of the corresponding dimension")
        )
    shape = tuple(n - 1 if i == axis else 1 for i in range(f.ndim))
    steps = broadcast_to_shape(
        reshape(diff(h), shape), tuple(n - 1 if i == axis else d for i, d in enumerate(f.shape))
    )
    slopes = lax.div(diff(f, axis=axis), steps)
    before, after = _part(steps, 0, -1, axis), _part(steps, 1, None, axis)
    left, right = _part(slopes, 0, -1, axis), _part(slopes, 1, None, axis)
    middle = lax.div(lax.add(lax.mul(after, left), lax.mul(before, right)), lax.add(before, after))
    return lax.concatenate([_part(slopes, 0, 1, axis), middle, _part(slopes, n - 2, n - 1, axis)], axis)


def trapezoid(y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1) -> Any:
    """The integral along `axis` by the trapezoidal rule, of points at `x`, or `dx` apart."""
    if x is None:
        (values,) = promote_dtypes_inexact(as_array(y, "trapezoid"))
        axis = axis_index(axis, values.ndim)
        values = moveaxis(values, axis, -1)
        n = values.shape[-1]
        if n < 2:
            return lax.full(values.shape[:-1], 0, values.dtype)
        last = values.ndim - 1
        ends = lax.add(_part(values, 0, 1, last), _part(values, n - 1, n, last))
        total = lax.sub(
            reductions.sum(values, -1), lax.mul(scalar(0.5, values.dtype), lax.squeeze(ends, (last,)))
        )
        return _multiply(convert(as_array(dx), values.dtype), total)
    values, points = promote_dtypes_inexact(as_array(y, "trapezoid"), as_array(x, "trapezoid"))
    axis = axis_index(axis, values.ndim)
    values = moveaxis(values, axis, -1)
    points = moveaxis(points, axis, -1) if points.ndim > 1 else points
    last = values.ndim - 1
    heights = lax.add(_part(values, 1, None, last), _part(values, 0, -1, last))
    return reductions.sum(_multiply(_multiply(scalar(0.5, values.dtype), diff(points)), heights), -1)


def unwrap(
    p: ArrayLike, discont: ArrayLike | None = None, axis: int = -1, period: ArrayLike = 2 * math.pi
) -> Any:
    """`p` with jumps of more than half a period (or `discont`) along `axis` mended by adding multiples of it."""
    p = as_array(p, "unwrap")
    axis = axis_index(axis, p.ndim)
    work = p if p.dtype.kind in "iu" and isinstance(period, int) else convert(p, inexact_dtype(p.dtype))
    period = convert(as_array(period), work.dtype)
    half = lax.div(period, scalar(2, work.dtype))
    limit = half if discont is None else convert(as_array(discont), work.dtype)
    step = diff(work, axis=axis)
    low = lax.neg(half)
    wrapped = _add(ufuncs.remainder(_subtract(step, low), period), low)
    at_half = lax.bitwise_and(ufuncs.equal(wrapped, low), lax.gt(step, scalar(0, work.dtype)))
    wrapped = where(at_half, half, wrapped)
    correction = where(ufuncs.less(lax.abs(step), limit), scalar(0, work.dtype), lax.sub(wrapped, step))
    mended = lax.add(
        lax.slice_in_dim(work, 1, work.shape[axis], axis=axis), reductions.cumsum(correction, axis)
    )
    return lax.concatenate([lax.slice_in_dim(work, 0, 1, axis=axis), mended], axis)


def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: Any = None,
    right: Any = None,
    period: ArrayLike | None = None,
) -> Any:
    """Values at `x` of the piecewise linear function through the points (xp, fp), where `xp` ascends.

    Beyond the points it is `left` and `right` (the first and last value; "extrapolate" goes on in a
    straight line), or it repeats with the given period.
    """
    points, values = as_array(xp, "interp"), as_array(fp, "interp")
    if points.shape != values.shape or points.ndim != 1:
        raise user_context(ValueError("xp and fp must be one-dimensional arrays of equal size"))
    x, points = promote_dtypes_inexact(as_array(x, "interp"), points)
    (values,) = promote_dtypes_inexact(values)
    if period is not None:
        period = lax.abs(convert(as_array(period), x.dtype))
        x, points = ufuncs.remainder(x, period), ufuncs.remainder(points, period)
        points, values = lax.sort((points, values), dimension=0, num_keys=1)
        points = concatenate([_subtract(points[-1:], period), points, _add(points[:1], period)])
        values = concatenate([values[-1:], values, values[:1]])
    n = points.shape[0]
    i = clip(searchsorted(points, x, side="right"), 1, max(1, n - 1))
    lower = _subtract(i, 1)
    x0, x1, f0, f1 = (
        take(v, k, mode="clip") for v, k in ((points, lower), (points, i), (values, lower), (values, i))
    )
    dx = lax.sub(x1, x0)
    smallest = scalar(np.spacing(np.finfo(dx.dtype).eps), dx.dtype)
    flat = lax.le(lax.abs(dx), broadcast_to_shape(smallest, dx.shape))
    fraction = lax.div(lax.sub(x, x0), where(flat, 1, dx))
    f = where(flat, f0, _add(f0, _multiply(convert(fraction, inexact_dtype(values.dtype)), lax.sub(f1, f0))))
    if period is not None:
        return f
    f = _beyond(f, lax.lt(x, broadcast_to_shape(points[0], x.shape)), values[0], left, "left")
    return _beyond(f, lax.gt(x, broadcast_to_shape(points[n - 1], x.shape)), values[n - 1], right, "right")


def _beyond(f: Any, outside: Any, edge: Any, given: Any, name: str) -> Any:
    if isinstance(given, str):
        if given != "extrapolate":
            raise user_context(
                ValueError(f"the only valid string value of `{name}` is 'extrapolate', but got: {given!r}")
            )
        return f
    return where(outside, edge if given is None else given, f)


def convolve(
    a: ArrayLike,
    v: ArrayLike,
    mode: str = "full",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The convolution of two vectors: "full", "same" (of the longer one's size) or "valid" (complete overlaps)."""
    return _convolved("convolve", a, v, mode, preferred_element_type)


def correlate(
    a: ArrayLike,
    v: ArrayLike,
    mode: str = "valid",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The correlation of two vectors, the second one conjugated; the modes are those of `convolve`."""
    return _convolved("correlate", a, v, mode, preferred_element_type)


def _convolved(name: str, a: Any, v: Any, mode: str, preferred: Any) -> Any:
    x, y = as_array(a, name), as_array(v, name)
    if x.ndim != 1 or y.ndim != 1:
        raise user_context(ValueError(f"{name}() only support 1-dimensional inputs."))
    if x.size == 0 or y.size == 0:
        raise user_context(ValueError(f"{name}: inputs cannot be empty, got shapes {x.shape} and {y.shape}."))
    if mode not in ("full", "same", "valid"):
        raise user_context(ValueError("mode must be one of ['full', 'same', 'valid']"))
    x, y = promote_dtypes_inexact(x, y)
    dtype = x.dtype if preferred is None else dtypes.canonicalize_dtype(preferred)
    turned = False
    if name == "correlate":
        y = flip(ufuncs.conj(y))
    if x.size < y.size:
        x, y, turned = y, x, name == "correlate" and mode == "same"
    n, m = x.size, y.size
    # Each output is a product of the kernel with a window; windows of a vector are shifted slices of it.
    before, after = {"full": (m - 1, m - 1), "valid": (0, 0), "same": (m // 2, m - 1 - m // 2)}[mode]
    if turned:
        before, after = after, before
    kernel = flip(y)
    if m > 16:
        found = lax.conv_general_dilated(
            x[None, None], kernel[None, None], (1,), [(before, after)], preferred_element_type=dtype
        )
        return lax.squeeze(found, (0, 1))
    padded = lax.pad(x, scalar(0, x.dtype), [(before, after, 0)])
    size = n + before + after - m + 1
    total = None
    for k in range(m):
        term = lax.mul(lax.slice_in_dim(padded, k, k + size), broadcast_to_shape(kernel[k], (size,)))
        total = term if total is None else lax.add(total, term)
    return convert(total, dtype)
