"""Reductions that leave NaNs out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from wengert import lax
from wengert.core import dtypes
from wengert.numpy import reductions, ufuncs
from wengert.numpy._util import (
    ArrayLike,
    Axis,
    DTypeLike,
    as_array,
    axis_tuple,
    broadcast_to_shape,
    convert,
    inexact_dtype,
    refuse_out,
    scalar,
    user_dtype,
)


def without_nans(a: Any, fill: Any) -> Any:
    """`a` with its NaNs replaced by `fill`."""
    if dtypes.kind_of(a.dtype) not in "fc":
        return a
    return lax.select(lax.ne(a, a), lax.full_like(a, fill), a)


def nansum(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """`sum` of the elements that are not NaN."""
    refuse_out("nansum", out)
    return reductions.sum(without_nans(as_array(a, "nansum"), 0), axis, dtype, None, keepdims, initial, where)


def nanprod(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """`prod` of the elements that are not NaN."""
    refuse_out("nanprod", out)
    return reductions.prod(
        without_nans(as_array(a, "nanprod"), 1), axis, dtype, None, keepdims, initial, where
    )


def nanmax(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """`max` of the elements that are not NaN; NaN where there are none."""
    refuse_out("nanmax", out)
    return _extremum("nanmax", a, axis, keepdims, initial, where, reductions.max, reductions.least)


def nanmin(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """`min` of the elements that are not NaN; NaN where there are none."""
    refuse_out("nanmin", out)
    return _extremum("nanmin", a, axis, keepdims, initial, where, reductions.min, reductions.greatest)


def _extremum(
    name: str,
    a: Any,
    axis: Axis,
    keepdims: bool,
    initial: Any,
    where: Any,
    function: Callable[..., Any],
    identity: Callable[[Any], Any],
) -> Any:
    a = as_array(a, name)
    result = function(without_nans(a, identity(a.dtype)), axis, None, keepdims, initial, where)
    if dtypes.kind_of(a.dtype) not in "fc" or initial is not None:
        return result
    nothing = reductions.all(lax.ne(a, a), axis, keepdims=keepdims)
    return lax.select(nothing, lax.full_like(result, math.nan), result)


def _counts(a: Any, axis: Axis, where: Any, dtype: Any) -> Any:
    """How many elements are not NaN, with kept axes."""
    return reductions.sum(ufuncs.logical_not(ufuncs.isnan(a)), axis, dtype, keepdims=True, where=where)


def nanmean(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    where: ArrayLike | None = None,
) -> Any:
    """`mean` of the elements that are not NaN; NaN where there are none."""
    refuse_out("nanmean", out)
    a = as_array(a, "nanmean")
    if a.dtype.kind in "biu":
        return reductions.mean(a, axis, dtype, None, keepdims, where=where)
    result_dtype = inexact_dtype(a.dtype) if dtype is None else user_dtype(dtype, "nanmean")
    work = inexact_dtype(result_dtype)
    total = nansum(a, axis, work, None, True, None, where)
    result = convert(lax.div(total, _counts(a, axis, where, work)), result_dtype)
    return result if keepdims else lax.squeeze(result, axis_tuple(axis, a.ndim))


def nanvar(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: ArrayLike | None = None,
    mean: ArrayLike | None = None,
) -> Any:
    """`var` of the elements that are not NaN; NaN where n - ddof is not positive."""
    refuse_out("nanvar", out)
    a = as_array(a, "nanvar")
    chosen = inexact_dtype(a.dtype if dtype is None else user_dtype(dtype, "nanvar"))
    a = convert(a, chosen)
    centre = nanmean(a, axis, chosen, None, True, where) if mean is None else convert(as_array(mean), chosen)
    missing = lax.ne(a, a)
    centred = lax.sub(a, broadcast_to_shape(centre, a.shape))
    centred = lax.select(missing, lax.full_like(a, 0), centred)
    if chosen.kind == "c":
        squares = lax.add(lax.square(lax.real(centred)), lax.square(lax.imag(centred)))
    else:
        squares = lax.square(centred)
    real = squares.dtype
    divisor = lax.sub(_counts(a, axis, where, real), scalar(ddof, real))
    total = reductions.sum(squares, axis, real, keepdims=True, where=where)
    bad = lax.le(divisor, scalar(0, real))
    result = lax.select(bad, lax.full_like(total, math.nan), lax.div(total, divisor))
    return result if keepdims else lax.squeeze(result, axis_tuple(axis, a.ndim))


def nanstd(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: ArrayLike | None = None,
    mean: ArrayLike | None = None,
) -> Any:
    """The square root of `nanvar`, whose arguments it takes."""
    refuse_out("nanstd", out)
    return lax.sqrt(nanvar(a, axis, dtype, None, ddof, keepdims, where, mean))


def nancumsum(a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None) -> Any:
    """`cumsum` with NaNs as zeros."""
    refuse_out("nancumsum", out)
    return reductions.cumsum(without_nans(as_array(a, "nancumsum"), 0), axis, dtype)


def nancumprod(
    a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Any:
    """`cumprod` with NaNs as ones."""
    refuse_out("nancumprod", out)
    return reductions.cumprod(without_nans(as_array(a, "nancumprod"), 1), axis, dtype)


def nanargmax(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """`argmax` of the elements that are not NaN; -1 where there are none."""
    return _nanarg("nanargmax", a, axis, out, keepdims, reductions.argmax, reductions.least)


def nanargmin(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """`argmin` of the elements that are not NaN; -1 where there are none."""
    return _nanarg("nanargmin", a, axis, out, keepdims, reductions.argmin, reductions.greatest)


def _nanarg(
    name: str,
    a: Any,
    axis: int | None,
    out: None,
    keepdims: bool | None,
    function: Callable[..., Any],
    identity: Callable[[Any], Any],
) -> Any:
    refuse_out(name, out)
    a = as_array(a, name)
    if dtypes.kind_of(a.dtype) not in "fc":
        return function(a, axis, None, keepdims)
    result = function(without_nans(a, identity(a.dtype)), axis, None, keepdims)
    nothing = reductions.all(lax.ne(a, a), axis, keepdims=bool(keepdims))
    return lax.select(nothing, lax.full_like(result, -1), result)
