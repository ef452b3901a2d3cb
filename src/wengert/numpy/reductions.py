"""Reductions along axes, and cumulative operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy import ufuncs
from wengert.numpy._util import (
    ArrayLike,
    Axis,
    DTypeLike,
    NpDType,
    as_array,
    axis_index,
    axis_tuple,
    bool_dtype,
    broadcast_operands,
    broadcast_shapes,
    broadcast_to_shape,
    convert,
    inexact_dtype,
    numeric,
    operand,
    refuse_out,
    scalar,
    size_of,
    user_dtype,
)

_FLOAT32 = np.dtype(np.float32)


def least(dtype: NpDType) -> Any:
    """The lowest value of the dtype: the identity of max."""
    kind = dtypes.kind_of(dtype)
    return False if kind == "b" else -math.inf if kind in "fc" else int(dtypes.iinfo(dtype).min)


def greatest(dtype: NpDType) -> Any:
    """The highest value of the dtype: the identity of min."""
    kind = dtypes.kind_of(dtype)
    return True if kind == "b" else math.inf if kind in "fc" else int(dtypes.iinfo(dtype).max)


def _keep(result: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return lax.expand_dims(result, tuple(sorted(axes))) if keepdims and axes else result


def masked(a: Any, where: Any, fill: Any) -> Any:
    """`a` where the mask holds, `fill` elsewhere."""
    where = ufuncs.as_bool(as_array(where, "where"))
    where, a, fill = broadcast_operands("where", (where, a, scalar(fill, a.dtype)), keep_scalars=False)
    return lax.select(where, a, fill)


def _with_initial(result: Any, initial: Any, combine: Callable[[Any, Any], Any]) -> Any:
    if initial is None:
        return result
    value = convert(operand("reduction", initial), result.dtype)
    if value.shape:
        raise user_context(ValueError(f"initial value must be a scalar. Got array of shape {value.shape}"))
    return combine(value, result)


def _widened_integer(dtype: NpDType) -> NpDType:
    """Sums of small integers are made in the default integer type of their signedness."""
    default = dtypes.canonicalize_dtype(np.uint64 if dtype.kind == "u" else np.int64)
    return cast(NpDType, default if dtype.itemsize < default.itemsize else dtype)


def _split_names(axis: Any) -> tuple[tuple[str, ...], Any]:
    """The names of mapped axes among the axes of a reduction, and the axes of the array itself."""
    if axis is None or isinstance(axis, int):
        return (), axis
    members = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    names = tuple([m for m in members if isinstance(m, str)])
    return names, tuple([m for m in members if not isinstance(m, str)]) if names else axis


def _arithmetic(
    name: str,
    a: Any,
    axis: Axis,
    dtype: DTypeLike,
    keepdims: bool,
    initial: Any,
    where: Any,
    promote_integers: bool,
    reduce: Callable[..., Any],
    combine: Callable[[Any, Any], Any],
    identity: int,
) -> Any:
    """sum and prod: small integers are widened, 16-bit floats are accumulated in float32."""
    a = numeric(as_array(a, name))
    names, axis = _split_names(axis)
    if names and name != "sum":
        raise user_context(NotImplementedError(f"Named reductions not implemented for jnp.{name}()"))
    axes = axis_tuple(axis, a.ndim)
    if dtype is not None:
        result_dtype = work = user_dtype(dtype, name)
    else:
        result_dtype = work = a.dtype
        if work.kind in "iu" and promote_integers:
            result_dtype = work = _widened_integer(work)
        elif dtypes.kind_of(work) == "f" and work.itemsize < 4:
            work = _FLOAT32
    a = convert(a, work)
    if work == bool_dtype:  # in booleans the sum is "or", the product "and"
        reduce, combine = _LOGICAL_FORMS[name]
    if where is not None:
        a = masked(a, where, identity)
    result = reduce(a, axes=axes) if axes else a
    result = lax.psum(result, names) if names else result
    result = _with_initial(result, initial, combine)
    return convert(_keep(result, axes, keepdims), result_dtype)


_LOGICAL_FORMS: dict[str, tuple[Callable[..., Any], Callable[[Any, Any], Any]]] = {
    "sum": (lax.reduce_or, lax.bitwise_or),
    "prod": (lax.reduce_and, lax.bitwise_and),
}


def sum(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Any:
    """The sum over `axis` (one, several, or all for None; a string is the name of a mapped axis).

    `where` chooses the elements that count; `initial` is added. Booleans and small integers are summed as
    int32 (int64 under x64), or as uint32, unless `dtype` is given or `promote_integers` is False. 16-bit
    floats are accumulated in float32.
    """
    refuse_out("sum", out)
    return _arithmetic(
        "sum", a, axis, dtype, keepdims, initial, where, promote_integers, lax.reduce_sum, lax.add, 0
    )


def prod(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Any:
    """The product over `axis`; the arguments are those of `sum`."""
    refuse_out("prod", out)
    return _arithmetic(
        "prod", a, axis, dtype, keepdims, initial, where, promote_integers, lax.reduce_prod, lax.mul, 1
    )


def _extremum(
    name: str,
    a: Any,
    axis: Axis,
    keepdims: bool,
    initial: Any,
    where: Any,
    reduce: Callable[..., Any],
    identity: Callable[[NpDType], Any],
) -> Any:
    a = as_array(a, name)
    names, axis = _split_names(axis)
    axes = axis_tuple(axis, a.ndim)
    if initial is None:
        if 0 in (a.shape[i] for i in axes):
            raise user_context(
                ValueError(f"zero-size array to reduction operation {name} which has no identity")
            )
        if where is not None:
            raise user_context(
                ValueError(
                    f"reduction operation {name} does not have an identity, so to use a where mask one has to "
                    "specify 'initial'"
                )
            )
    a = convert(a, a.dtype)
    if where is not None:
        a = masked(a, where, identity(a.dtype))
    if _is_complex(a):
        result = (
            _complex_extremum(a, axes, name == "max")
            if a.size
            else lax.full(_dropped(a.shape, axes), 0, a.dtype)
        )
    else:
        result = reduce(a, axes=axes) if axes else a
    if names:
        result = (lax.pmax if name == "max" else lax.pmin)(result, names)
    function = ufuncs.binary_functions["maximum" if name == "max" else "minimum"]
    return _keep(_with_initial(result, initial, function), axes, keepdims)


def _is_complex(a: Any) -> bool:
    return bool(a.dtype.kind == "c")


def _dropped(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def _complex_extremum(a: Any, axes: tuple[int, ...], largest: bool) -> Any:
    """By the real part, then by the imaginary part among those that have the extreme real part."""
    reduce = lax.reduce_max if largest else lax.reduce_min
    real, imag = lax.real(a), lax.imag(a)
    best = reduce(real, axes=axes)
    is_best = lax.eq(real, broadcast_to_shape(lax.expand_dims(best, axes), a.shape))
    fill = lax.full_like(imag, (least if largest else greatest)(imag.dtype))
    return lax.complex(best, reduce(lax.select(is_best, imag, fill), axes=axes))


def max(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """The largest element over `axis`; NaN if there is one. `initial` is a lower bound, needed with `where`."""
    refuse_out("max", out)
    return _extremum("max", a, axis, keepdims, initial, where, lax.reduce_max, least)


def min(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """The smallest element over `axis`; NaN if there is one. `initial` is an upper bound, needed with `where`."""
    refuse_out("min", out)
    return _extremum("min", a, axis, keepdims, initial, where, lax.reduce_min, greatest)


amax = max
amin = min


def all(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Any:
    """Whether all elements over `axis` are true (not zero)."""
    refuse_out("all", out)
    return _logical("all", a, axis, keepdims, where, lax.reduce_and, True)


def any(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Any:
    """Whether any element over `axis` is true (not zero)."""
    refuse_out("any", out)
    return _logical("any", a, axis, keepdims, where, lax.reduce_or, False)


def _logical(
    name: str, a: Any, axis: Axis, keepdims: bool, where: Any, reduce: Callable[..., Any], identity: bool
) -> Any:
    a = ufuncs.as_bool(as_array(a, name))
    if where is not None:
        a = masked(a, where, identity)
    axes = axis_tuple(axis, a.ndim)
    return _keep(reduce(a, axes=axes) if axes else a, axes, keepdims)


def count_nonzero(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Any:
    """How many elements over `axis` are not zero."""
    nonzero = ufuncs.as_bool(as_array(a, "count_nonzero"))
    return sum(nonzero, axis, dtypes.canonicalize_dtype(int), keepdims=keepdims)


def ptp(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    """The distance between the largest and the smallest element over `axis`."""
    refuse_out("ptp", out)
    return lax.sub(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def _float_types(name: str, a: Any, dtype: DTypeLike) -> tuple[NpDType, NpDType]:
    """The dtype of a mean or variance, and the dtype to compute it in."""
    if dtype is not None:
        result = user_dtype(dtype, name)
        return result, inexact_dtype(result)
    result = inexact_dtype(a.dtype)
    small = dtypes.kind_of(result) == "f" and result.itemsize < 4
    return result, _FLOAT32 if small else result


def _count(shape: tuple[int, ...], axes: tuple[int, ...], where: Any, dtype: NpDType) -> Any:
    """How many elements are averaged: a number, or an array if a mask chooses them."""
    if where is None:
        return size_of([shape[i] for i in axes])
    mask = ufuncs.as_bool(as_array(where, "where"))
    mask = broadcast_to_shape(mask, broadcast_shapes("where", (shape, mask.shape)))
    return lax.reduce_sum(convert(mask, dtype), axes=axes)


def _divide_by(x: Any, count: Any) -> Any:
    return lax.div(x, scalar(count, x.dtype) if isinstance(count, int | float) else convert(count, x.dtype))


def mean(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Any:
    """The mean over `axis`, of the elements that `where` chooses; a float for integers."""
    refuse_out("mean", out)
    a = as_array(a, "mean")
    names, axis = _split_names(axis)
    axes = axis_tuple(axis, a.ndim)
    result_dtype, work = _float_types("mean", a, dtype)
    total = sum(convert(a, work), axes, work, where=where)
    count = _count(a.shape, axes, where, _real_dtype(work))
    if names:
        total, count = lax.psum(total, names), lax.psum(count, names)
    result = _divide_by(total, count)
    return convert(_keep(result, axes, keepdims), result_dtype)


def _real_dtype(dtype: NpDType) -> NpDType:
    return cast(NpDType, dtypes.finfo(dtype).dtype)


def var(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    correction: int | float | None = None,
) -> Any:
    """The variance over `axis`: the mean squared distance from the mean (which may be given, with kept axes).

    The sum of squares is divided by n - ddof (`correction` is another name for `ddof`); NaN if that is not
    positive. Of complex numbers the squared modulus is taken, and the result is real.
    """
    refuse_out("var", out)
    if correction is not None:
        if ddof:
            raise user_context(ValueError("ddof and correction can't be provided simultaneously."))
        ddof = correction  # type: ignore[assignment]
    a = as_array(a, "var")
    names, axis = _split_names(axis)
    axes = axis_tuple(axis, a.ndim)
    result_dtype, work = _float_types("var", a, dtype)
    result_dtype = _real_dtype(result_dtype) if dtype is None else result_dtype
    a = convert(a, work)
    centre = (
        _mean(a, (*axes, *names), dtype=work, keepdims=True, where=where)  # type: ignore[arg-type]
        if mean is None
        else convert(as_array(mean), work)
    )
    centred = lax.sub(*broadcast_operands("var", (a, centre), keep_scalars=False))
    if _is_complex(centred):
        squares = lax.add(lax.square(lax.real(centred)), lax.square(lax.imag(centred)))
    else:
        squares = lax.square(centred)
    real = squares.dtype
    total = sum(squares, axes, real, where=where)
    count = _count(a.shape, axes, where, real)
    if names:
        total, count = lax.psum(total, names), lax.psum(count, names)
    if isinstance(count, int):
        result = _divide_by(total, count - ddof) if count > ddof else lax.full_like(total, math.nan)
    else:
        count = lax.sub(count, convert(operand("var", ddof), real))
        positive = broadcast_to_shape(lax.gt(count, scalar(0, real)), total.shape)
        result = lax.select(positive, lax.div(total, count), lax.full_like(total, math.nan))
    return convert(_keep(result, axes, keepdims), result_dtype)


_mean = mean


def std(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    correction: int | float | None = None,
) -> Any:
    """The standard deviation over `axis`: the square root of `var`, whose arguments it takes."""
    refuse_out("std", out)
    if dtype is not None and not dtypes.issubdtype(user_dtype(dtype, "std"), np.inexact):
        raise user_context(ValueError(f"dtype argument to jnp.std must be inexact; got {dtype}"))
    return lax.sqrt(var(a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction))


def average(
    a: ArrayLike,
    axis: Axis = None,
    weights: ArrayLike | None = None,
    returned: bool = False,
    keepdims: bool = False,
) -> Any:
    """The mean over `axis` with `weights`, an array of the shape of `a`, or a vector for one axis.

    Returns the average; with `returned` also the sum of the weights.
    """
    a = as_array(a, "average")
    axes = axis_tuple(axis, a.ndim)
    if weights is None:
        result = mean(a, axes, keepdims=keepdims)
        total = lax.full_like(result, size_of([a.shape[i] for i in axes]))
        return (result, total) if returned else result
    w = as_array(weights, "average")
    dtype = inexact_dtype(dtypes.result_type(a.dtype, w.dtype))
    a, w = convert(a, dtype), convert(w, dtype)
    if w.shape != a.shape:
        if axis is None:
            raise user_context(ValueError("Axis must be specified when shapes of a and weights differ."))
        if w.ndim != len(axes) or w.shape != tuple(a.shape[i] for i in axes):
            raise user_context(
                ValueError("Shape of weights must be consistent with shape of a along specified axis.")
            )
        w = (
            lax.broadcast_in_dim(w, a.shape, axes)
            if list(axes) == sorted(axes)
            else _placed(w, a.shape, axes)
        )
    total = sum(w, axes, keepdims=keepdims)
    result = lax.div(sum(lax.mul(a, w), axes, keepdims=keepdims), total)
    return (result, total) if returned else result


def _placed(w: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Weights whose axes are the axes `axes` of an array, which are in any order."""
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    return lax.broadcast_in_dim(lax.transpose(w, tuple(order)), shape, tuple(sorted(axes)))


# Positions of extreme elements


def argmax(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the first largest element along `axis`, or in the flattened array; of the first NaN if any."""
    return _arg("argmax", a, axis, out, keepdims, lax.argmax)


def argmin(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the first smallest element along `axis`, or in the flattened array; of the first NaN if any."""
    return _arg("argmin", a, axis, out, keepdims, lax.argmin)


def _arg(
    name: str, a: Any, axis: int | None, out: None, keepdims: bool | None, function: Callable[..., Any]
) -> Any:
    refuse_out(name, out)
    a = as_array(a, name)
    shape = a.shape
    if axis is None:
        a, place = lax.reshape(a, (a.size,)), 0
    else:
        place = axis_index(axis, a.ndim)
    if a.shape[place] == 0:
        raise user_context(ValueError(f"attempt to get {name} of an empty sequence"))
    result = function(a, place, dtypes.canonicalize_dtype(int))
    if not keepdims:
        return result
    return lax.reshape(result, (1,) * len(shape)) if axis is None else lax.expand_dims(result, (place,))


# Cumulative operations


def _cumulative(
    name: str, a: Any, axis: Any, dtype: DTypeLike, out: None, function: Callable[..., Any]
) -> Any:
    refuse_out(name, out)
    a = as_array(a, name)
    if axis is None:
        a, axis = lax.reshape(a, (a.size,)), 0
    axis = axis_index(axis, a.ndim)
    chosen = None if dtype is None else user_dtype(dtype, name)
    if chosen == bool_dtype:
        return ufuncs.as_bool(function(numeric(convert(a, bool_dtype)), axis))
    a = numeric(a)
    return function(convert(a, a.dtype if chosen is None else chosen), axis)


def cumsum(a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None) -> Any:
    """The sums of all elements up to each one, along `axis` or of the flattened array."""
    return _cumulative("cumsum", a, axis, dtype, out, lax.cumsum)


def cumprod(a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None) -> Any:
    """The products of all elements up to each one, along `axis` or of the flattened array."""
    return _cumulative("cumprod", a, axis, dtype, out, lax.cumprod)


def _cumulative_2(
    name: str, x: Any, axis: int | None, dtype: Any, initial: bool, function: Any, start: int
) -> Any:
    x = as_array(x, name)
    if x.ndim == 0:
        raise user_context(ValueError(f"The input must be non-scalar to take {name}, got {x}"))
    if axis is None:
        if x.ndim > 1:
            raise user_context(
                ValueError(
                    f"The input array has rank {x.ndim}, however axis was not set to an explicit value."
                )
            )
        axis = 0
    axis = axis_index(axis, x.ndim)
    chosen = None if dtype is None else user_dtype(dtype, name)
    if chosen is None and x.dtype.kind in "biu" and name == "cumulative_sum":
        chosen = _widened_integer(numeric(x).dtype)
    result = function(x, axis, chosen)
    if initial:
        first = lax.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), start, result.dtype)
        result = lax.concatenate([first, result], axis)
    return result


def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Any:
    """The sums of all elements up to each one along `axis`, after a zero if `include_initial`."""
    return _cumulative_2("cumulative_sum", x, axis, dtype, include_initial, cumsum, 0)


def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Any:
    """The products of all elements up to each one along `axis`, after a one if `include_initial`."""
    return _cumulative_2("cumulative_prod", x, axis, dtype, include_initial, cumprod, 1)
