"""Trends in signals, and what is left without them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import numpy as jnp
from wengert.core.source import user_context
from wengert.typing import ArrayLike


def _without_line(x: Any) -> Any:
    """x, along its last axis, without its projection on the lines."""
    n = x.shape[-1]
    lines = np.stack([np.ones(n), np.arange(n) - (n - 1) / 2], -1)  # orthogonal
    basis = jnp.asarray(lines / np.maximum(np.linalg.norm(lines, axis=0), 1e-300), x.dtype)
    return x - (x @ basis) @ basis.T


def detrend(
    data: ArrayLike,
    axis: int = -1,
    type: str = "linear",
    bp: int | Sequence[int] | np.ndarray[Any, Any] = 0,
    overwrite_data: None = None,
) -> Any:
    """The data without their mean, or without the line that fits them best, along an axis.

    Args:
      data: an array; integers are taken as floats.
      axis: along which to fit.
      type: "linear" or "constant".
      bp: where lines end and new ones begin, for "linear".
      overwrite_data: must be None: arrays are immutable.
    Raises:
      ValueError: there is no such axis or type; a break is beyond the data.
    """
    if overwrite_data is not None:
        raise user_context(
            NotImplementedError("overwrite_data argument not implemented: arrays are immutable.")
        )
    if type not in ("constant", "linear"):
        raise user_context(ValueError(f"Trend type must be 'linear' or 'constant', got {type!r}."))
    x: Any = jnp.asarray(data)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        x = x.astype(jnp.result_type(x.dtype, float))
    if not -x.ndim <= axis < x.ndim:
        raise user_context(ValueError(f"axis {axis} is out of bounds for array of dimension {x.ndim}"))
    if type == "constant":
        return x - jnp.mean(x, axis, keepdims=True)
    n = x.shape[axis]
    breaks = np.unique([0, *np.atleast_1d(bp).tolist(), n])
    if breaks[0] < 0 or breaks[-1] > n:
        raise user_context(
            ValueError("Breakpoints must be non-negative and less than length of data along given axis.")
        )
    moved = jnp.moveaxis(x, axis, -1)
    parts = [_without_line(moved[..., a:b]) for a, b in itertools.pairwise(breaks.tolist())]
    return jnp.moveaxis(jnp.concatenate(parts, -1), -1, axis) if parts else x
