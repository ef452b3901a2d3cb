"""Arrays of random keys, and the primitives that make keys and bits from them.

The dtype of an array of keys says which generator it belongs to. It is a structured NumPy dtype, so that everything
that moves elements about (slices, reshapes, gathers ...) works on keys as it is. `fry` keys (Threefry, 64 bits)
are values of compiled loops; those of the other generators have 128 bits, and operations on them are host calls.
Keys and bits agree with JAX's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.config import current
from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive, Rule
from wengert.prims import bitgen, threefry
from wengert.prims.arithmetic import add
from wengert.prims.axes import batch_elementwise, move_axis
from wengert.prims.constructors import as_operand, canonical_shape, dtype_of, zero_jvp
from wengert.prims.elementwise import read
from wengert.prims.threefry import U32, U64

# ------------------------------------------------------------------------------------------------- generators


class fry(np.void, dtypes.prng_key):  # type: ignore[misc]
    """The scalar type of keys of the Threefry generator."""


class rbg(np.void, dtypes.prng_key):  # type: ignore[misc]
    """The scalar type of keys of the generator rbg."""


class urbg(np.void, dtypes.prng_key):  # type: ignore[misc]
    """The scalar type of keys of the generator unsafe_rbg."""


class Generator:
    """A way to make random bits of keys. The functions take and return words: uint32 of shape (..., words).

    seed(seeds), split(words, shape, partitionable), fold_in(words, data), bits(words, width, shape,
    partitionable).
    """

    __slots__ = ("bits", "dtype", "fold_in", "name", "seed", "split", "tag", "words")

    def __init__(
        self, name: str, scalar: type, words: int, seed: Rule, split: Rule, fold_in: Rule, bits: Rule
    ):
        self.name = name
        self.tag = scalar.__name__
        self.words = words
        # The names of the fields tell the dtypes of generators apart: NumPy compares nothing else.
        fields = [(f"{self.tag}{i}", "<u4") for i in range(words)]
        self.dtype: np.dtype[Any] = np.dtype((scalar, fields))
        self.seed, self.split, self.fold_in, self.bits = seed, split, fold_in, bits

    def __repr__(self) -> str:
        return f"{self.name} ({self.words} words)"


THREEFRY = Generator(
    "threefry2x32", fry, 2, threefry.seed_words, threefry.split_words, threefry.fold_in_words,
    threefry.bits_words,
)  # fmt: skip
GENERATORS = (
    THREEFRY,
    Generator(
        "rbg", rbg, 4, bitgen.seed_rbg, bitgen.split_rbg, bitgen.fold_in_rbg, bitgen.bits_rbg,
    ),
    Generator(
        "unsafe_rbg", urbg, 4, bitgen.seed_rbg, bitgen.split_unsafe, bitgen.fold_in_unsafe, bitgen.bits_rbg,
    ),
)  # fmt: skip
_by_name = {g.name: g for g in GENERATORS}
_by_tag = {g.tag: g for g in GENERATORS}
KEY: np.dtype[Any] = THREEFRY.dtype
"""The dtype of arrays of Threefry keys."""


def generator(spec: Any) -> Generator:
    """The generator of a name ("rbg"), a dtype of keys, or the default one for None.

    Raises:
      ValueError: there is no such generator.
      TypeError: `spec` is neither a name nor a dtype of keys.
    """
    if spec is None:
        return _by_name[current().default_prng_impl]
    if isinstance(spec, Generator):
        return spec
    if isinstance(spec, str):
        found = _by_name.get(spec)
        if found is None:
            names = ", ".join(f'"{name}"' for name in _by_name)
            raise ValueError(f'unrecognized PRNG implementation "{spec}". Did you mean one of: {names}?')
        return found
    dtype = dtypes.as_dtype(spec)
    if not dtypes.issubdtype(dtype, dtypes.prng_key):
        raise TypeError(f"a PRNG implementation is a name or the dtype of keys, got {spec!r}")
    return _by_tag[np.dtype(dtype).type.__name__]


def is_key(x: Any) -> bool:
    """Whether `x` is an array of keys."""
    return dtypes.issubdtype(dtype_of(x), dtypes.prng_key)


def to_words(keys: Any) -> Any:
    """The words of a NumPy array of keys, in a new last axis."""
    keys = np.asarray(keys)
    return np.ascontiguousarray(keys).reshape((*keys.shape, 1)).view(U32)


def to_keys(words: Any, dtype: np.dtype[Any]) -> Any:
    """A NumPy array of keys from their words."""
    words = np.asarray(words, U32)
    return np.ascontiguousarray(words).reshape(words.shape).view(dtype)[..., 0]


def _of_keys(name: str, keys: ShapedArray) -> Generator:
    if not dtypes.issubdtype(keys.dtype, dtypes.prng_key):
        raise TypeError(f"{name} takes an array of keys, got {keys.str_short()}")
    return generator(keys.dtype)


# --------------------------------------------------------------------------------------- keys and their words


def _wrap_aval(x: ShapedArray, *, impl: str) -> ShapedArray:
    made = _by_tag[impl]
    if x.shape[-1:] != (made.words,):
        raise TypeError(
            f"JAX encountered invalid PRNG key data: expected key_data.shape to end with ({made.words},); got"
            f" shape={x.shape} for impl={made!r}"
        )
    if x.dtype != U32:
        raise TypeError(
            f"JAX encountered invalid PRNG key data: expected key_data.dtype = uint32; got dtype={x.dtype}"
        )
    return ShapedArray(x.shape[:-1], made.dtype)


def _wrap_pull(ctx: Any, index: Any, words: Any, *, impl: str) -> Any:
    pair = [words.at((*index, ctx.coordinate(ctx.const(k, np.int64), k, k + 1))) for k in (0, 1)]
    return threefry.key_from(ctx, pair, KEY)


def _unwrap_pull(ctx: Any, index: Any, keys: Any) -> Any:
    bits = ctx.op("bitcast", keys.at(index[:-1]), dtype=U64)
    shift = ctx.index(index[-1] * 32, U64)  # the first word comes first in memory
    return ctx.op("convert", ctx.op("shr_logical", bits, shift), dtype=U32)


def _at_front(axis: Any, args: Any, dims: Any, prim: Primitive, params: dict[str, Any]) -> Any:
    return prim.bind(move_axis(args[0], dims[0], 0), **params), 0


class _Family:
    """One primitive for the keys that loops compute with, and one of the same name for those of other
    generators, which runs by host calls."""

    __slots__ = ("host", "native")

    def __init__(self, name: str, kind: Any, pull: Rule, batch: Callable[..., Any], **rules: Any):
        self.native, self.host = (
            self._make(name, kind if rule else "library", rule, batch, rules) for rule in (pull, None)
        )

    @staticmethod
    def _make(name: str, kind: Any, pull: Rule | None, batch: Rule, rules: dict[str, Any]) -> Primitive:
        prim = Primitive(
            name,
            kind,
            jvp=zero_jvp(lambda: prim),
            batch=lambda axis, args, dims, **params: batch(axis, args, dims, prim, params),
            pull=pull,
            **rules,
        )
        return prim

    def __call__(self, keys: np.dtype[Any]) -> Primitive:
        return self.native if keys == KEY else self.host


_wrap = _Family(
    "random_wrap",
    "other",
    _wrap_pull,
    _at_front,
    abstract_eval=_wrap_aval,
    impl=lambda xp, x, *, impl: to_keys(x, _by_tag[impl].dtype),
)
_unwrap = _Family(
    "random_unwrap",
    "other",
    _unwrap_pull,
    lambda axis, args, dims, prim, params: (prim.bind(args[0]), dims[0]),
    abstract_eval=lambda keys: ShapedArray((*keys.shape, _of_keys("random_unwrap", keys).words), U32),
    impl=lambda xp, keys: to_words(keys),
)
random_wrap_p, random_unwrap_p = _wrap.native, _unwrap.native


def random_wrap(words: Any, impl: Any = None) -> Any:
    """Keys from their words: uint32 of shape (..., words) to keys of shape (...).

    Raises:
      TypeError: the dtype or the last axis does not fit.
    """
    made = generator(impl)
    return _wrap(made.dtype).bind(as_operand("random_wrap", words), impl=made.tag)


def random_unwrap(keys: Any) -> Any:
    """The words of keys: keys of shape (...) to uint32 of shape (..., words).

    Raises:
      TypeError: `keys` is no array of keys.
    """
    keys = as_operand("random_unwrap", keys)
    return _unwrap(dtype_of(keys)).bind(keys)


# ----------------------------------------------------------------------------------------- keys from integers


def _seed_aval(seeds: ShapedArray, *, impl: str) -> ShapedArray:
    if dtypes.kind_of(seeds.dtype) not in "iu":
        raise TypeError(f"PRNG key seed must be an integer; got {seeds.str_short()}")
    return ShapedArray(seeds.shape, _by_tag[impl].dtype)


def _seed_impl(xp: Any, seeds: Any, *, impl: str) -> Any:
    made = _by_tag[impl]
    return to_keys(made.seed(seeds), made.dtype)


def _seed_pull(ctx: Any, index: Any, seeds: Any, *, impl: str) -> Any:
    seed = read(index, seeds)
    high = ctx.const(0, U32)
    if seeds.aval.dtype.itemsize == 8:
        bits = ctx.op("convert", seed, dtype=U64)
        high = ctx.op("convert", ctx.op("shr_logical", bits, ctx.const(32, U64)), dtype=U32)
    return threefry.key_from(ctx, (high, ctx.op("convert", seed, dtype=U32)), KEY)


def _elementwise(axis: Any, args: Any, dims: Any, prim: Primitive, params: dict[str, Any]) -> Any:
    return batch_elementwise(prim, axis, args, dims, params)


_seed = _Family(
    "random_seed", "elementwise", _seed_pull, _elementwise, abstract_eval=_seed_aval, impl=_seed_impl
)
random_seed_p = _seed.native


def random_seed(seeds: Any, impl: Any = None) -> Any:
    """Keys from integers, of the same shape.

    Raises:
      TypeError: the seeds are not integers.
    """
    made = generator(impl)
    seeds = as_operand("random_seed", seeds)
    offset = current().random_seed_offset
    if offset:
        seeds = add(seeds, dtype_of(seeds).type(offset))
    return _seed(made.dtype).bind(seeds, impl=made.tag)


# --------------------------------------------------------------------------------- keys and bits from keys


def _leading(axis: Any, args: Any, dims: Any, prim: Primitive, params: dict[str, Any]) -> Any:
    return prim.bind(args[0], **params), dims[0]  # the axes of the keys come first in the result


def _split_impl(xp: Any, keys: Any, *, shape: Any, partitionable: bool) -> Any:
    made = generator(keys.dtype)
    return to_keys(made.split(to_words(keys), shape, partitionable), made.dtype)


def _split_pull(ctx: Any, index: Any, keys: Any, *, shape: Any, partitionable: bool) -> Any:
    n = len(index) - len(shape)
    key = keys.at(index[:n])
    return threefry.split_at(ctx, key, index[n:], KEY, shape=shape, partitionable=partitionable)


_split = _Family(
    "random_split",
    "other",
    _split_pull,
    _leading,
    abstract_eval=lambda keys, *, shape, partitionable: ShapedArray(
        (*keys.shape, *shape), _of_keys("random_split", keys).dtype
    ),
    impl=_split_impl,
    access="repeated",
    cost=120.0,
    keys="consume",
    hidden_params=("partitionable",),
)
random_split_p = _split.native


def random_split(keys: Any, shape: Any) -> Any:
    """New keys from each key: of shape (*shape of the keys, *shape)."""
    partitionable = current().threefry_partitionable
    return _split(dtype_of(keys)).bind(keys, shape=canonical_shape(shape), partitionable=partitionable)


def _fold_in_aval(keys: ShapedArray, data: ShapedArray) -> ShapedArray:
    made = _of_keys("random_fold_in", keys)
    if data.dtype != U32:
        raise TypeError(f"random_fold_in takes uint32, got {data.str_short()}")
    if keys.shape and data.shape and keys.shape != data.shape:
        raise TypeError(f"random_fold_in got incompatible shapes: {keys.shape}, {data.shape}")
    return ShapedArray(keys.shape or data.shape, made.dtype)


def _fold_in_impl(xp: Any, keys: Any, data: Any) -> Any:
    made = generator(keys.dtype)
    return to_keys(made.fold_in(to_words(keys), data), made.dtype)


def _fold_in_pull(ctx: Any, index: Any, keys: Any, data: Any) -> Any:
    words = threefry.words_at(ctx, read(index, keys))
    return threefry.key_from(ctx, threefry.hash_at(ctx, *words, ctx.const(0, U32), read(index, data)), KEY)


_fold_in = _Family(
    "random_fold_in",
    "elementwise",
    _fold_in_pull,
    _elementwise,
    abstract_eval=_fold_in_aval,
    impl=_fold_in_impl,
    cost=120.0,
    keys="make",
)
random_fold_in_p = _fold_in.native


def random_fold_in(keys: Any, data: Any) -> Any:
    """One new key from each key and an integer, uint32; the shapes are equal, or one of them is ()."""
    return _fold_in(dtype_of(keys)).bind(keys, data)


def _bits_impl(xp: Any, keys: Any, *, bit_width: int, shape: Any, partitionable: bool) -> Any:
    return generator(keys.dtype).bits(to_words(keys), bit_width, shape, partitionable)


def _bits_pull(ctx: Any, index: Any, keys: Any, *, bit_width: int, shape: Any, partitionable: bool) -> Any:
    n = len(index) - len(shape)
    key = keys.at(index[:n])
    return threefry.bits_at(
        ctx, key, index[n:], bit_width=bit_width, shape=shape, partitionable=partitionable
    )


def _bits_aval(keys: ShapedArray, *, bit_width: int, shape: Any, partitionable: bool) -> ShapedArray:
    _of_keys("random_bits", keys)
    return ShapedArray((*keys.shape, *shape), np.dtype(f"uint{bit_width}"))


_bits = _Family(
    "random_bits",
    "other",
    _bits_pull,
    _leading,
    abstract_eval=_bits_aval,
    impl=_bits_impl,
    access="repeated",
    cost=115.0,
    keys="consume",
    hidden_params=("partitionable",),
)
random_bits_p = _bits.native


def random_bits(keys: Any, bit_width: int, shape: Any) -> Any:
    """Uniform bits from each key: unsigned integers of `bit_width` bits, (*shape of keys, *shape).

    Raises:
      TypeError: the width is not 8, 16, 32 or 64.
    """
    if bit_width not in (8, 16, 32, 64):
        raise TypeError("requires 8-, 16-, 32- or 64-bit field width.")
    partitionable = current().threefry_partitionable
    return _bits(dtype_of(keys)).bind(
        keys, bit_width=bit_width, shape=canonical_shape(shape), partitionable=partitionable
    )


_clone = _Family(
    "random_clone",
    "elementwise",
    lambda ctx, index, keys: keys.at(index),
    _elementwise,
    abstract_eval=lambda keys: ShapedArray(keys.shape, _of_keys("random_clone", keys).dtype),
    impl=lambda xp, keys: keys,
    keys="make",
)
random_clone_p = _clone.native


def random_clone(keys: Any) -> Any:
    """The same keys, for use a second time on purpose."""
    keys = as_operand("random_clone", keys)
    return _clone(dtype_of(keys)).bind(keys)
