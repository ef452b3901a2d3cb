"""Keys: made from seeds, split, folded, taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert import lax
from wengert.config import current
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.numpy import _util
from wengert.prims import rng
from wengert.prims.constructors import canonical_shape
from wengert.random._arguments import typed_key


def _seed(seed: Any, function: str) -> Any:
    """A seed as an integer operand: Python integers wrap around at 32 bits, or 64 under x64."""
    if isinstance(seed, bool | float | complex | list | tuple | str) or seed is None:
        raise TypeError(f"PRNG key seed must be an integer; random.{function} got {seed!r}")
    if isinstance(seed, int):
        dtype = dtypes.default_int_dtype()
        width = dtype.itemsize * 8
        if not -(2**63) <= seed < 2**64:
            raise OverflowError(f"random.{function} got the seed {seed}, which does not fit into 64 bits")
        return dtype.type((seed + 2 ** (width - 1)) % 2**width - 2 ** (width - 1))
    seed = _util.as_array(seed, function)
    if seed.ndim:
        raise TypeError(
            f"{function} accepts a scalar seed, but was given an array of shape {seed.shape} != (). Use jax.vmap"
            " for batching"
        )
    return seed


def _generator(impl: Any, dtype: Any, function: str) -> rng.Generator:
    if impl is not None and dtype is not None:
        raise ValueError(f"Cannot specify both `impl` and `dtype` arguments to jax.random.{function}")
    return rng.generator(dtype if impl is None else impl)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """A key from an integer seed: a scalar array of dtype key<fry>.

    Args:
      seed: an integer, Python's or a scalar array.
      impl: the generator: "threefry2x32" (the default), "rbg" or "unsafe_rbg".
      dtype: the same choice, as the dtype of keys: see `key_dtype`.
    Raises:
      TypeError: the seed is not an integer, or not a scalar.
      ValueError: there is no such generator.
    """
    return rng.random_seed(_seed(seed, "key"), _generator(impl, dtype, "key"))


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """A key of the older form, from an integer seed: a uint32 array of shape (2,), or (4,) for rbg keys."""
    made = rng.random_seed(_seed(seed, "PRNGKey"), rng.generator(impl))
    return made if current().enable_custom_prng else rng.random_unwrap(made)


def key_data(keys: Any) -> Any:
    """The words of keys: uint32 of shape (*keys.shape, 2), or (*keys.shape, 4) for rbg keys."""
    return rng.random_unwrap(typed_key(keys, "key_data", batched=True)[0])


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """Typed keys from their words: uint32 of shape (..., 2) to keys of shape (...).

    Raises:
      TypeError: the dtype or the last axis of the words does not fit the generator.
    """
    made = _generator(impl, dtype, "wrap_key_data")
    return rng.random_wrap(_util.as_array(key_bits_array, "wrap_key_data"), made)


def key_impl(keys: Any) -> str:
    """The name of the generator that keys belong to."""
    return rng.generator(typed_key(keys, "key_impl", batched=True)[0].aval.dtype).name


def key_dtype(impl_spec: Any = None) -> Any:
    """The dtype of the keys of a generator, by default of the default one.

    Raises:
      ValueError: there is no such generator.
    """
    return dtypes.key_type(rng.generator(impl_spec).dtype)


def clone(key: Any) -> Any:
    """The same key again, to be used a second time on purpose.

    Raises:
      TypeError: `key` is no key of the typed form.
    """
    return rng.random_clone(key)


def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """New, independent keys from a key.

    Args:
      key: one key.
      num: how many, or the shape of the array of keys.
    Returns:
      Keys of shape (num,), or uint32 of shape (num, 2) for keys of the older form.
    """
    key, raw = typed_key(key, "split")
    return _same_form(rng.random_split(key, canonical_shape(num)), raw)


def _same_form(keys: Any, raw: bool) -> Any:
    return rng.random_unwrap(keys) if raw and not current().enable_custom_prng else keys


def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and an integer of 32 bits.

    Raises:
      OverflowError: a Python integer that does not fit into uint32.
      TypeError: `data` is not a scalar.
    """
    key, raw = typed_key(key, "fold_in")
    if isinstance(data, int) and not 0 <= data < 2**32:
        raise OverflowError(f"Python integer {data} out of bounds for uint32, in random.fold_in")
    if not isinstance(data, ArrayBase):
        data = _util.as_array(np.uint32(data) if isinstance(data, int | float) else data, "fold_in")
    if data.ndim:
        raise TypeError(
            f"fold_in accepts a scalar, but was given an array of shape {data.shape} != (). Use jax.vmap for"
            " batching."
        )
    return _same_form(rng.random_fold_in(key, lax.convert_element_type(data, np.uint32)), raw)
