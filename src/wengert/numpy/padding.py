"""`pad`, in all its modes.

The modes that repeat what the array contains (edge, reflect, symmetric, wrap) are described by NumPy
itself: it pads the vector of indices, and each run of that vector becomes a slice, a reversed slice, or a
repeated element. So padding is a concatenation of views, of whatever width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert import lax
from wengert.core.source import user_context
from wengert.numpy import reductions, statistics, ufuncs
from wengert.numpy._util import ArrayLike, as_array, axis_index, convert, scalar
from wengert.numpy.creation import broadcast_to, linspace
from wengert.numpy.manipulation import flip

_KEYWORDS: dict[str, tuple[str, ...]] = {
    "constant": ("constant_values",),
    "edge": (),
    "empty": (),
    "linear_ramp": ("end_values",),
    "maximum": ("stat_length",),
    "mean": ("stat_length",),
    "median": ("stat_length",),
    "minimum": ("stat_length",),
    "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
    "wrap": (),
}
Widths = list[tuple[int, int]]


def pad(array: ArrayLike, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """`array` with elements added at the ends of its axes.

    Args:
      pad_width: how many, before and after, for each axis: ((before, after), ...), one pair for all axes, one
        number for all, or a dict of some axes.
      mode: what they are: "constant" (`constant_values`, 0), "edge" (the last element), "linear_ramp" (on the way
        to `end_values`, 0), "maximum", "mean", "median", "minimum" (of the `stat_length` elements at that end, or
        all), "reflect" and "symmetric" (mirrored, without and with the edge itself; `reflect_type` "even" or
        "odd"), "wrap" (from the other end), "empty" (zeros), or a function like those that numpy.pad takes,
        which returns the padded vector.
    Raises:
      NotImplementedError: no such mode.
      ValueError: an argument that the mode doesn't have.
      TypeError: widths that are not integers known while tracing.
    """
    array = as_array(array, "pad")
    widths = _widths(pad_width, array.ndim)
    if callable(mode):
        return _pad_by_function(array, widths, mode, kwargs)
    if mode not in _KEYWORDS:
        raise user_context(NotImplementedError(f"Unimplemented padding mode '{mode}' for np.pad."))
    unknown = set(kwargs) - set(_KEYWORDS[mode])
    if unknown:
        raise user_context(ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}"))
    if mode == "constant":
        return _pad_constant(array, widths, kwargs.get("constant_values", 0))
    if mode == "empty":
        return _pad_constant(array, widths, 0)
    if mode == "linear_ramp":
        return _by_axis(array, widths, _ramps(kwargs.get("end_values", 0), array.ndim))
    if mode in _STATISTICS:
        return _by_axis(array, widths, _statistics(mode, kwargs.get("stat_length"), array.ndim))
    if kwargs.get("reflect_type", "even") == "odd":
        return _by_axis(array, widths, lambda x, axis, before, after: _odd(x, axis, before, after, mode))
    if any(d == 0 and (b or a) for d, (b, a) in zip(array.shape, widths, strict=True)):
        raise user_context(ValueError(f"Cannot apply '{mode}' padding to empty axis"))
    return _by_axis(array, widths, lambda x, axis, before, after: _mapped(x, axis, before, after, mode))


def _widths(pad_width: Any, ndim: int) -> Widths:
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            widths[axis_index(axis, ndim)] = (width, width) if np.ndim(width) == 0 else tuple(width)
        pad_width = widths if ndim else np.zeros((0, 2), int)
    given = np.asarray(pad_width)
    if given.dtype.kind not in "iu" and given.size:
        raise user_context(TypeError(f"`pad_width` must be of integral type, got {pad_width!r}"))
    if (given < 0).any():
        raise user_context(ValueError("index can't contain negative values"))
    try:
        pairs = np.broadcast_to(given, (ndim, 2))
    except ValueError:
        raise user_context(
            ValueError(
                f"jnp.pad: pad_width with nd={ndim} has unsupported shape {given.shape}. Valid shapes are ({ndim}, 2), "
                "(1, 2), (2,), (1,), or ()."
            )
        ) from None
    return [(int(b), int(a)) for b, a in pairs]


def _pair_values(x: Any, ndim: int, dtype: Any) -> list[tuple[Any, Any]]:
    """A value before and after each axis, from what broadcasts to that."""
    values = broadcast_to(convert(as_array(_as_nested(x)), dtype), (ndim, 2))
    return [(values[i, 0], values[i, 1]) for i in range(ndim)]


def _as_nested(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, list | tuple) and not _has_arrays(x) else x


def _has_arrays(x: Any) -> bool:
    return any(_has_arrays(v) if isinstance(v, list | tuple) else hasattr(v, "aval") for v in x)


def _pad_constant(array: Any, widths: Widths, values: Any) -> Any:
    if isinstance(values, int | float | complex) or (
        np.ndim(values) == 0 and not isinstance(values, list | tuple)
    ):
        value = (
            convert(as_array(values), array.dtype)
            if hasattr(values, "shape")
            else scalar(values, array.dtype)
        )
        return lax.pad(array, value, [(b, a, 0) for b, a in widths])
    from_ends = _pair_values(values, array.ndim, array.dtype)
    for axis, ((before, after), (low, high)) in enumerate(zip(widths, from_ends, strict=True)):
        for value, width in ((low, (before, 0, 0)), (high, (0, after, 0))):
            array = lax.pad(array, value, [width if i == axis else (0, 0, 0) for i in range(array.ndim)])
    return array


def _by_axis(array: Any, widths: Widths, ends: Callable[[Any, int, int, int], tuple[Any, Any]]) -> Any:
    """Put what `ends(array, axis, before, after)` gives at both ends of each axis in turn."""
    for axis, (before, after) in enumerate(widths):
        if before or after:
            low, high = ends(array, axis, before, after)
            parts = [p for p, width in ((low, before), (array, 1), (high, after)) if width]
            array = lax.concatenate(parts, axis)
    return array


def _mapped(x: Any, axis: int, before: int, after: int, mode: str) -> tuple[Any, Any]:
    size = x.shape[axis]
    source = np.pad(np.arange(size), (before, after), mode=mode)  # type: ignore[call-overload]
    return _runs(x, axis, source[:before]), _runs(x, axis, source[before + size :])


def _runs(x: Any, axis: int, source: np.ndarray[Any, Any]) -> Any:
    """The elements of `x` at the indices `source`, as a concatenation of views."""
    parts = []
    while source.size:
        step = int(source[1] - source[0]) if source.size > 1 else 1
        step = step if step in (-1, 0, 1) else 1
        length = 1
        while length < source.size and source[length] - source[length - 1] == step:
            length += 1
        low, high = int(source[:length].min()), int(source[:length].max())
        part = lax.slice_in_dim(x, low, high + 1, axis=axis)
        if step == 0:
            shape = tuple(length if i == axis else d for i, d in enumerate(part.shape))
            part = lax.broadcast_in_dim(part, shape, tuple(range(x.ndim)))
        elif step < 0 and length > 1:
            part = lax.rev(part, (axis,))
        parts.append(part)
        source = source[length:]
    return parts[0] if len(parts) == 1 else lax.concatenate(parts, axis) if parts else None


def _odd(x: Any, axis: int, before: int, after: int, mode: str) -> tuple[Any, Any]:
    """Mirrored at the end point itself: twice the edge minus the mirrored elements, as often as is needed."""
    size = x.shape[axis]
    skip = 1 if mode == "reflect" else 0
    if size <= skip:
        return _mapped(x, axis, before, after, "edge")
    whole = x
    added = [0, 0]
    while added[0] < before or added[1] < after:
        n = whole.shape[axis] - skip
        low_width, high_width = min(n, before - added[0]), min(n, after - added[1])
        parts = [whole]
        if low_width:
            edge = lax.slice_in_dim(whole, 0, 1, axis=axis)
            mirrored = lax.rev(lax.slice_in_dim(whole, skip, skip + low_width, axis=axis), (axis,))
            parts.insert(0, _twice_minus(edge, mirrored))
        if high_width:
            end = whole.shape[axis]
            edge = lax.slice_in_dim(whole, end - 1, end, axis=axis)
            mirrored = lax.rev(
                lax.slice_in_dim(whole, end - skip - high_width, end - skip, axis=axis), (axis,)
            )
            parts.append(_twice_minus(edge, mirrored))
        whole = lax.concatenate(parts, axis)
        added = [added[0] + low_width, added[1] + high_width]
    end = whole.shape[axis]
    return lax.slice_in_dim(whole, 0, before, axis=axis), lax.slice_in_dim(whole, end - after, end, axis=axis)


def _twice_minus(edge: Any, mirrored: Any) -> Any:
    edge = lax.broadcast_in_dim(edge, mirrored.shape, tuple(range(edge.ndim)))
    return lax.sub(lax.mul(scalar(2, edge.dtype), edge), mirrored)


def _ramps(end_values: Any, ndim: int) -> Callable[[Any, int, int, int], tuple[Any, Any]]:
    def ends(x: Any, axis: int, before: int, after: int) -> tuple[Any, Any]:
        low, high = _pair_values(end_values, ndim, x.dtype)[axis]
        first = lax.squeeze(lax.slice_in_dim(x, 0, 1, axis=axis), (axis,))
        last = lax.squeeze(lax.slice_in_dim(x, x.shape[axis] - 1, x.shape[axis], axis=axis), (axis,))
        rising = linspace(low, first, before, endpoint=False, dtype=x.dtype, axis=axis)
        falling = flip(linspace(high, last, after, endpoint=False, dtype=x.dtype, axis=axis), axis)
        return rising, falling

    return ends


_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": reductions.max,
    "minimum": reductions.min,
    "mean": reductions.mean,
    "median": statistics.median,
}


def _statistics(mode: str, stat_length: Any, ndim: int) -> Callable[[Any, int, int, int], tuple[Any, Any]]:
    lengths = None if stat_length is None else np.broadcast_to(np.asarray(stat_length), (ndim, 2))
    if lengths is not None and (lengths < 1).any():
        raise user_context(ValueError("stat_length of 0 yields no value for padding"))

    def ends(x: Any, axis: int, before: int, after: int) -> tuple[Any, Any]:
        size = x.shape[axis]
        low, high = (size, size) if lengths is None else (min(int(n), size) for n in lengths[axis])
        parts = []
        for start, stop, width in ((0, low, before), (size - high, size, after)):
            value = _STATISTICS[mode](lax.slice_in_dim(x, start, stop, axis=axis), axis=axis, keepdims=True)
            if x.dtype.kind in "iu" and mode in ("mean", "median"):
                value = ufuncs.round(value)
            shape = tuple(width if i == axis else d for i, d in enumerate(value.shape))
            parts.append(lax.broadcast_in_dim(convert(value, x.dtype), shape, tuple(range(x.ndim))))
        return parts[0], parts[1]

    return ends


def _pad_by_function(array: Any, widths: Widths, function: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    padded = _pad_constant(array, widths, 0)
    for axis, width in enumerate(widths):
        padded = statistics.apply_along_axis(function, axis, padded, width, axis, kwargs)
    return padded
