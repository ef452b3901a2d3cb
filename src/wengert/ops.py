"""Reductions over segments: elements with the same number belong together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert import numpy as jnp
from wengert.core import dtypes
from wengert.core.trace import Tracer
from wengert.errors import ConcretizationTypeError
from wengert.lax import GatherScatterMode
from wengert.numpy._util import arrays, broadcast_to_shape, concrete, static_int
from wengert.numpy.updates import update

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]


def _count(name: str, ids: Any, num_segments: Any) -> int:
    if num_segments is None:
        known = concrete(ids)
        if known is None:
            raise ConcretizationTypeError(
                f"{name}() has to know `num_segments`, the size of its result, while it is traced: by default it is"
                f" the greatest of segment_ids plus 1, but segment_ids is {ids.describe()}. Pass num_segments, and make"
                " it static if it is an argument of a jitted function."
            )
        num_segments = int(np.max(np.asarray(known))) + 1
    elif isinstance(num_segments, Tracer):
        raise ConcretizationTypeError(
            f"{name}() got {num_segments.describe()} as its `num_segments` argument, which is the size of its result"
            " and has to be known while it is traced. Make it static (static_argnums or static_argnames of jit)."
        )
    count = static_int(num_segments, f"the `num_segments` argument of {name}()")
    if count < 0:
        raise ValueError("num_segments must be non-negative.")
    return count


def _reduce(
    name: str,
    operation: str,
    identity: Callable[[np.dtype[Any]], Any],
    across: Callable[..., Any],
    data: Any,
    segment_ids: Any,
    num_segments: Any,
    indices_are_sorted: bool,
    unique_indices: bool,
    bucket_size: int | None,
    mode: Any,
) -> Any:
    x, ids = arrays(name, data, segment_ids)
    if x.dtype == bool and operation in ("add", "multiply"):
        raise TypeError(
            f"{name} takes numbers, but data is an array of booleans. Convert it, e.g. with astype(int)."
        )
    count = _count(name, ids, num_segments)
    inner = x.shape[1:]
    buckets = 1 if bucket_size is None else -(-ids.size // bucket_size)
    start = identity(x.dtype)
    options = (operation, GatherScatterMode.from_any(mode), indices_are_sorted, unique_indices)
    if buckets <= 1:
        return update(jnp.full((count, *inner), start, x.dtype), ids, x, *options, wrap=False)
    assert bucket_size is not None
    which = jnp.asarray(np.arange(ids.size) // bucket_size)
    out = jnp.full((buckets, count, *inner), start, x.dtype)
    x = broadcast_to_shape(x, (*ids.shape, *inner))
    return across(update(out, (which, ids), x, *options, wrap=False), axis=0).astype(x.dtype)


def _lowest(dtype: np.dtype[Any]) -> Any:
    kind = dtypes.kind_of(dtype)
    return False if kind == "b" else -np.inf if kind == "f" else dtypes.iinfo(dtype).min


def _greatest(dtype: np.dtype[Any]) -> Any:
    kind = dtypes.kind_of(dtype)
    return True if kind == "b" else np.inf if kind == "f" else dtypes.iinfo(dtype).max


def segment_sum(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The sums of the rows of `data` that have the same number.

    Args:
      data: an array of shape (n, ...).
      segment_ids: integers of shape (n,), in any order. Rows whose number is negative, or too great, count nowhere.
      num_segments: how many sums there are; by default the greatest number plus 1. Under `jit` it must be given.
      indices_are_sorted, unique_indices: what the caller knows of `segment_ids`.
      bucket_size: sum that many rows at a time, then the sums: less rounding.
      mode: what becomes of numbers out of bounds: "drop" (the default), "clip", or "promise_in_bounds" that there
        are none.
      out_sharding: accepted for compatibility.
    Returns:
      An array of shape (num_segments, ...), zero where no row has the number.
    Raises:
      ConcretizationTypeError: `num_segments` is not known while the function is traced.
      ValueError: `num_segments` is negative, or the shapes do not fit.
    """
    return _reduce(
        "segment_sum", "add", lambda d: 0, jnp.sum,
        data, segment_ids, num_segments, indices_are_sorted, unique_indices, bucket_size, mode,
    )  # fmt: skip


def segment_prod(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The products of the rows of `data` that have the same number, 1 where there are none; see `segment_sum`."""
    return _reduce(
        "segment_prod", "multiply", lambda d: 1, jnp.prod,
        data, segment_ids, num_segments, indices_are_sorted, unique_indices, bucket_size, mode,
    )  # fmt: skip


def segment_max(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The greatest of the rows of `data` that have the same number, elementwise; see `segment_sum`.

    Where there are none it is -inf, or the least integer of the dtype.
    """
    return _reduce(
        "segment_max", "max", _lowest, jnp.max,
        data, segment_ids, num_segments, indices_are_sorted, unique_indices, bucket_size, mode,
    )  # fmt: skip


def segment_min(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The least of the rows of `data` that have the same number, elementwise; see `segment_sum`.

    Where there are none it is inf, or the greatest integer of the dtype.
    """
    return _reduce(
        "segment_min", "min", _greatest, jnp.min,
        data, segment_ids, num_segments, indices_are_sorted, unique_indices, bucket_size, mode,
    )  # fmt: skip
