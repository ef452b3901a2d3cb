"""The arguments that samplers share: keys, shapes, dtypes, parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert.config import current
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.source import warn_user
from wengert.errors import TypePromotionError
from wengert.numpy import _util
from wengert.prims import rng
from wengert.prims.constructors import canonical_shape

NpDType = np.dtype[Any]
Shape = tuple[int, ...]


def typed_key(key: Any, function: str, batched: bool = False) -> tuple[Any, bool]:
    """A key as an array of dtype key<...>, and whether it was one of the older form, an array of uint32.

    Raises:
      TypeError: it is no key.
      ValueError: it is an array of several keys, and `batched` is False.
    """
    if not isinstance(key, ArrayBase | np.ndarray):
        raise TypeError(
            f"unexpected PRNG key type {type(key)}: {function} takes a key, made by random.key(seed) or"
            " random.split"
        )
    raw, shape = not rng.is_key(key), key.shape
    if raw:
        _check_raw_key()
        key = rng.random_wrap(_util.as_array(key, function))
    if key.ndim and not batched:
        raise ValueError(
            f"{function} accepts a single key, but was given a key array of shape {shape} != (). Use"
            " jax.vmap for batching."
        )
    return key, raw


def _check_raw_key() -> None:
    """What the settings say to a key of the older form."""
    settings = current()
    if settings.legacy_prng_key == "error":
        raise ValueError(
            "Legacy uint32 key array passed as key to jax.random function. Please create keys using"
            ' jax.random.key(). If use of a raw key array was intended, set jax_legacy_prng_key="allow".'
        )
    if settings.legacy_prng_key == "warn":
        warn_user(
            "Legacy uint32 key array passed as key to jax.random function. Please create keys using"
            ' jax.random.key(). If use of a raw key array was intended, set jax_legacy_prng_key="allow".'
        )
    elif settings.enable_custom_prng:
        warn_user(
            "Raw arrays as random keys to jax.random functions are deprecated; make keys by random.key(seed)",
            FutureWarning,
        )


def one_key(key: Any, function: str) -> Any:
    """A single key of the typed form."""
    return typed_key(key, function)[0]


def pair(key: Any) -> tuple[Any, Any]:
    """Two new keys from a typed key."""
    keys = rng.random_split(key, (2,))
    return lax.index_in_dim(keys, 0, 0, keepdims=False), lax.index_in_dim(keys, 1, 0, keepdims=False)


def float_dtype(dtype: Any, function: str, complex_too: bool = False) -> NpDType:
    """The floating dtype that was asked for, or the default one.

    Raises:
      ValueError: it is not floating.
    """
    found: NpDType = dtypes.check_and_canonicalize_user_dtype(float if dtype is None else dtype)
    if not dtypes.issubdtype(found, np.inexact if complex_too else np.floating):
        kinds = "float or complex" if complex_too else "float"
        raise ValueError(f"dtype argument to `{function}` must be a {kinds} dtype, got {found}")
    return found


def int_dtype(dtype: Any) -> NpDType:
    """The dtype that was asked for, or the default integer."""
    found: NpDType = dtypes.check_and_canonicalize_user_dtype(int if dtype is None else dtype)
    return found


def shape_for(function: str, shape: Any, *shapes: Shape) -> Shape:
    """The shape of a result: the one asked for, or that of the parameters if it is None.

    Raises:
      ValueError: parameters don't broadcast to the shape.
    """
    if shape is None:
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ValueError(
                f"Incompatible shapes for broadcasting: {function} got parameters of shapes"
                f" {', '.join(map(str, shapes))}"
            ) from None
    found = canonical_shape(shape)
    try:
        common = np.broadcast_shapes(found, *shapes)
    except ValueError:
        common = None
    if common != found:
        result = "none" if common is None else common
        raise ValueError(
            f"{function} parameter shapes must be broadcast-compatible with shape argument, and the result of"
            f" broadcasting the shapes must equal the shape argument, but got result {result} for shape"
            f" argument {found}: the parameters have shapes {', '.join(map(str, shapes))}."
        )
    return found


def param(x: Any, dtype: NpDType, function: str) -> Any:
    """A parameter in the dtype of the result.

    Raises:
      TypePromotionError: its values don't fit, as those of float64 in float32.
    """
    x = _util.as_array(x, function)
    try:
        fits = dtypes.result_type(x, dtype) == dtype
    except TypePromotionError:
        fits = False
    if not fits:
        raise TypePromotionError(
            f"In arguments to {function}, cannot safely cast argument of type {x.dtype} to {dtype}. Convert it"
            f" with x.astype('{dtype}'), or ask for dtype='{x.dtype}'."
        )
    return _util.convert(x, dtype)


def spread(x: Any, shape: Shape) -> Any:
    """`x` broadcast to a shape."""
    return x if x.shape == shape else jnp.broadcast_to(x, shape)
