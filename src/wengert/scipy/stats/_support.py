"""What the distributions share."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact


def standard(name: str, x: ArrayLike, *shapes: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> list[Any]:
    """(x - loc) / scale, the shape parameters, and the scale: floats of one dtype and shape, or scalars."""
    x, *rest, loc, scale = promote_inexact(name, x, *shapes, loc, scale)
    return [(x - loc) / scale, *rest, scale]


def shifted(name: str, k: ArrayLike, *shapes: ArrayLike, loc: ArrayLike) -> list[Any]:
    """k - loc and the shape parameters: floats of one dtype and shape, or scalars."""
    k, *rest, loc = promote_inexact(name, k, *shapes, loc)
    return [k - loc, *rest]


def within(q: Any, found: Any) -> Any:
    """A quantile: NaN unless q is a probability."""
    return jnp.where((q >= 0) & (q <= 1), found, jnp.nan)
