"""Shuffling and choosing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.numpy import _util
from wengert.prims import rng
from wengert.prims.constructors import canonical_axis, canonical_shape
from wengert.random._arguments import one_key, pair, shape_for
from wengert.random._basic import randint, uniform_of
from wengert.random._inversion import gumbel


def _shuffle(key: Any, x: Any, axis: int) -> Any:
    """Sort by random numbers, often enough that equal ones do not matter."""
    rounds = math.ceil(3 * math.log(max(1, x.size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        key, now = pair(key)
        _, x = lax.sort_key_val(rng.random_bits(now, 32, x.shape), x, axis)
    return x


def _whole(x: Any) -> int | None:
    """The number that stands for arange(number), or None for an array."""
    if isinstance(x, int | np.integer) and not isinstance(x, bool):
        return int(x)
    found: Any = x if isinstance(x, ArrayBase | np.ndarray) and x.ndim == 0 else None
    return None if found is None or not dtypes.issubdtype(found.dtype, np.integer) else int(found)


def permutation(
    key: Any, x: Any, axis: int = 0, independent: bool = False, *, out_sharding: Any = None
) -> Any:
    """The elements of `x` along an axis in random order; for an integer n, those of arange(n).

    Args:
      independent: shuffle each line along the axis on its own, instead of whole slices.
    Raises:
      TypeError: `x` is a scalar that is no integer.
    """
    key = one_key(key, "permutation")
    count = _whole(x)
    if count is not None:
        canonical_axis(axis, 1, "permutation")
        return _shuffle(key, lax.iota(dtypes.default_int_dtype(), count), 0)
    x = _util.as_array(x, "permutation")
    if x.ndim == 0:
        raise TypeError("x must be an integer or at least 1-dimensional")
    axis = canonical_axis(axis, x.ndim, "permutation")
    if independent or x.ndim == 1:
        return _shuffle(key, x, axis)
    order = _shuffle(key, lax.iota(dtypes.default_int_dtype(), x.shape[axis]), 0)
    return jnp.take(x, order, axis, unique_indices=True)


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Any:
    """Elements drawn at random from `a`, or from arange(a) for an integer.

    Args:
      replace: whether an element may be drawn more than once.
      p: probabilities of the elements along the axis; equal ones if None.
      mode: as for `gumbel`; for draws without replacement with probabilities.
    Raises:
      TypeError: `shape` is no sequence.
      ValueError: there are too few elements, or `p` has another shape.
    """
    key = one_key(key, "choice")
    if not isinstance(shape, Sequence):
        raise TypeError(f"shape argument of jax.random.choice must be a sequence, got {shape}")
    shape = canonical_shape(shape)
    draws, count = math.prod(shape), _whole(a)
    array: Any = None if count is not None else _util.as_array(a, "choice")
    if array is not None:
        axis = canonical_axis(axis, array.ndim, "choice")
        count = int(array.shape[axis])
    assert count is not None
    if draws == 0:
        return jnp.zeros(shape, dtypes.default_int_dtype() if array is None else array.dtype)
    if count <= 0:
        raise ValueError("a must be greater than 0 unless no samples are taken")
    if not replace and draws > count:
        raise ValueError(
            f"Cannot take a larger sample (size {draws}) than population (size {count}) when 'replace=False'"
        )
    if p is None:
        index = _evenly(key, count, shape, draws, replace)
    else:
        index = _weighted(key, p, count, shape, draws, replace, mode)
    return index if array is None else jnp.take(array, index, axis)


def _evenly(key: Any, count: int, shape: tuple[int, ...], draws: int, replace: bool) -> Any:
    default = dtypes.default_int_dtype()
    if replace:
        return randint(key, shape, 0, count, default)
    return lax.reshape(lax.slice_in_dim(_shuffle(key, lax.iota(default, count), 0), 0, draws), shape)


def _weighted(
    key: Any, p: Any, count: int, shape: tuple[int, ...], draws: int, replace: bool, mode: str | None
) -> Any:
    """Indices drawn with probabilities in proportion to p."""
    default = dtypes.default_int_dtype()
    p = _util.promote_dtypes_inexact(_util.as_array(p, "choice"))[0]
    if p.shape != (count,):
        raise ValueError(
            "p must be None or a 1D vector with the same size as a.shape[axis]. p has shape"
            f" {p.shape} and a.shape[axis] is {count}."
        )
    if not replace:
        g = lax.add(gumbel(key, p.shape, p.dtype, mode=mode), lax.log(p))
        return lax.reshape(lax.convert_element_type(lax.top_k(g, draws)[1], default), shape)
    total = lax.cumsum(p, 0)
    last = lax.index_in_dim(total, -1, 0, keepdims=False)
    r = lax.mul(last, lax.sub(p.dtype.type(1), uniform_of(key, shape, p.dtype)))
    return lax.convert_element_type(jnp.searchsorted(total, r), default)


def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Any = None,
    replace: bool = True,
    mode: str | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Indices drawn with probabilities in proportion to exp(logits), by the Gumbel trick.

    Args:
      logits: unnormalised log probabilities; the distribution is along `axis`.
      shape: the shape of the result, which ends in the shape of the other axes of `logits`; that by default.
      replace: without it, draws along the leading axes are of different indices.
      mode: as for `gumbel`.
    Raises:
      ValueError: the shapes don't fit; too many draws without replacement.
    """
    key = one_key(key, "categorical")
    logits = _util.as_array(logits, "categorical")
    logits = _util.convert(logits, _util.inexact_dtype(logits.dtype))
    axis = canonical_axis(axis, logits.ndim, "categorical")
    batch = tuple(n for d, n in enumerate(logits.shape) if d != axis)
    shape = shape_for("categorical", shape, batch)
    prefix, own = shape[: len(shape) - len(batch)], list(shape[len(shape) - len(batch) :])
    if replace:
        own.insert(axis, logits.shape[axis])
        drawn = gumbel(key, (*prefix, *own), logits.dtype, mode=mode)
        total = jnp.add(drawn, lax.expand_dims(logits, range(len(prefix))))
        return lax.argmax(total, len(prefix) + axis, dtypes.default_int_dtype())
    g = lax.add(gumbel(key, logits.shape, logits.dtype, mode=mode), logits)
    draws = math.prod(prefix)
    if draws > logits.shape[axis]:
        raise ValueError(
            f"Number of samples without replacement ({draws}) cannot exceed number of categories"
            f" ({logits.shape[axis]})."
        )
    picked = lax.top_k(jnp.moveaxis(g, axis, -1), draws)[1]
    return lax.reshape(jnp.moveaxis(picked, -1, 0), shape)
