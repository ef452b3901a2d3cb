"""Statistics of samples: the most frequent value, ranks, the standard error of the mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wengert import lax, numpy as jnp
from wengert.numpy._util import ArrayLike, arrays, axis_index, concrete, promote_inexact

_POLICIES = ("propagate", "omit", "raise")


class ModeResult(NamedTuple):
    """The most frequent values, and how often they come."""

    mode: Any
    count: Any


def _check_policy(name: str, x: Any, nan_policy: str) -> None:
    if nan_policy not in _POLICIES:
        raise ValueError(f"Illegal nan_policy value {nan_policy!r}; expected one of {set(_POLICIES)}")
    if nan_policy == "raise":
        known = concrete(x)
        if known is None:
            raise ValueError(
                f"{name} with nan_policy='raise' has to look at the values, and they are not known while tracing. "
                "Check for NaN outside of jit, or use 'propagate' or 'omit'."
            )
        if np.isnan(np.asarray(known)).any():
            raise ValueError("The input contains nan values. Pass nan_policy='omit' to leave them out.")


def _is_nan(x: Any) -> Any:
    return jnp.isnan(x) if x.dtype.kind in "fVc" else jnp.zeros(x.shape, bool)


def _runs(ordered: Any) -> tuple[Any, Any]:
    """For each element of sorted last axes: whether it starts a run of equal ones, and where its run starts."""
    index = lax.broadcasted_iota(np.int32, ordered.shape, ordered.ndim - 1)
    before, after = ordered[..., :-1], ordered[..., 1:]
    changed = (before != after) & ~(_is_nan(before) & _is_nan(after))
    starts = jnp.concatenate([jnp.ones((*ordered.shape[:-1], 1), bool), changed], axis=-1)
    return starts, lax.cummax(jnp.where(starts, index, 0), axis=ordered.ndim - 1)


def mode(
    a: ArrayLike, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False
) -> ModeResult:
    """The most frequent value along an axis, the least of several, and how often it comes.

    Args:
      axis: the axis; None for all values.
      nan_policy: "propagate" counts NaN as a value, "omit" does not, "raise" is an error if there is one.
    """
    x = jnp.atleast_1d(*arrays("mode", a))
    _check_policy("mode", x, nan_policy)
    at = None if axis is None else axis_index(axis, x.ndim)
    shape = [1 if at in (None, i) else size for i, size in enumerate(x.shape)]
    x = x.reshape(-1) if at is None else jnp.moveaxis(x, at, -1)
    if x.shape[-1] == 0:
        found, count = jnp.full(x.shape[:-1], jnp.nan), jnp.zeros(x.shape[:-1])
    else:
        ordered = jnp.sort(x, axis=-1)
        _, start = _runs(ordered)
        length = lax.broadcasted_iota(np.int32, x.shape, x.ndim - 1) - start + 1
        if nan_policy == "omit":
            length = jnp.where(_is_nan(ordered), 0, length)
        best = jnp.argmax(length, axis=-1, keepdims=True)
        found, count = (jnp.take_along_axis(y, best, axis=-1)[..., 0] for y in (ordered, length))
    if keepdims:
        found, count = found.reshape(shape), count.reshape(shape)
    return ModeResult(found, count)


def rankdata(
    a: ArrayLike, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate"
) -> Any:
    """The ranks of the values, from 1 on, as floats.

    Args:
      method: what equal values get: the "average", "min" or "max" of their ranks; "dense" as "min", but without
        gaps behind; "ordinal" different ranks in their order.
      axis: the axis along which values are ranked; None ranks all, and the result has one axis.
      nan_policy: "propagate" makes all ranks NaN that are ranked with a NaN, "omit" ranks the others, "raise" is
        an error if there is a NaN.
    Raises:
      ValueError: an unknown method or policy.
    """
    (x,) = arrays("rankdata", a)
    _check_policy("rankdata", x, nan_policy)
    if method not in ("average", "min", "max", "dense", "ordinal"):
        raise ValueError(f"unknown method {method!r}: average, min, max, dense or ordinal")
    at = 0 if axis is None else axis_index(axis, x.ndim)
    x = x.reshape(-1) if axis is None else jnp.moveaxis(x, at, -1)
    last = x.ndim - 1
    index = lax.broadcasted_iota(np.int32, x.shape, last)
    ordered, order = lax.sort_key_val(x, index, dimension=last)
    starts, first = _runs(ordered)
    ends = jnp.concatenate([starts[..., 1:], jnp.ones((*x.shape[:-1], min(1, x.shape[-1])), bool)], axis=-1)
    final = lax.cummin(jnp.where(ends, index, x.shape[-1]), axis=last, reverse=True)
    wanted = {
        "ordinal": lambda: index + 1,
        "dense": lambda: jnp.cumsum(starts, axis=-1),
        "min": lambda: first + 1,
        "max": lambda: final + 1,
        "average": lambda: (first + final) * 0.5 + 1,
    }[method]()
    dtype = jnp.asarray(0.0).dtype
    ranks = jnp.take_along_axis(wanted.astype(dtype), jnp.argsort(order, axis=-1), axis=-1)
    missing = _is_nan(x)
    if nan_policy == "propagate":
        missing = jnp.any(missing, axis=-1, keepdims=True)
    return jnp.moveaxis(jnp.where(missing, jnp.nan, ranks), -1, at)


def sem(
    a: ArrayLike,
    axis: int | None = 0,
    ddof: int = 1,
    nan_policy: str = "propagate",
    *,
    keepdims: bool = False,
) -> Any:
    """The standard error of the mean: the standard deviation over the square root of the number of values.

    Args:
      ddof: what is taken off the number of values in the variance.
      nan_policy: "propagate" or "omit".
    Raises:
      ValueError: another policy.
    """
    (x,) = promote_inexact("sem", a)
    if nan_policy == "propagate":
        size = x.size if axis is None else x.shape[axis]
        return jnp.std(x, axis, ddof=ddof, keepdims=keepdims) / np.sqrt(size).item()
    if nan_policy == "omit":
        count = jnp.sum(~jnp.isnan(x), axis, keepdims=keepdims)
        return jnp.nanstd(x, axis, ddof=ddof, keepdims=keepdims) / jnp.sqrt(count.astype(x.dtype))
    raise ValueError(f"{nan_policy} is not supported: nan_policy is propagate or omit")
