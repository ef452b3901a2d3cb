"""Random bits: the Threefry hash, and arrays of keys.

A key is 64 bits: two 32-bit words, high then low. Arrays of keys have a structured NumPy dtype, `KEY`, so
that everything that moves elements about (slices, reshapes, gathers ...) works on them as it is. All
randomness comes from one function, Threefry-2x32 with 20 rounds: J. K. Salmon, M. A. Moraes, R. O. Dror, D.
E. Shaw, Parallel random
numbers: as easy as 1, 2, 3, SC11, 2011. Keys and bits agree with JAX's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.config import current
from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive, same_shape_aval
from wengert.core.zeros import Zero
from wengert.prims.arithmetic import add, mul
from wengert.prims.axes import batch_elementwise, broadcast_in_dim, move_axis
from wengert.prims.constructors import (
    Shape,
    as_operand,
    canonical_shape,
    dtype_of,
    shape_of,
    zero_jvp,
)
from wengert.prims.conversion import convert
from wengert.prims.elementwise import read
from wengert.prims.logic import bitwise_and, bitwise_or, bitwise_xor, shift_left, shift_right_logical
from wengert.prims.shape import broadcasted_iota, expand_dims, full, reshape
from wengert.prims.slicing import concatenate, index_in_dim, slice_in_dim, stack

U32 = np.dtype(np.uint32)
U64 = np.dtype(np.uint64)


class fry(np.void, dtypes.prng_key):  # type: ignore[misc]
    """The scalar type of keys of the Threefry generator."""


KEY: np.dtype[Any] = np.dtype((fry, [("high", "<u4"), ("low", "<u4")]))
"""The dtype of arrays of keys."""


def is_key(x: Any) -> bool:
    """Whether `x` is an array of keys."""
    return dtypes.issubdtype(dtype_of(x), dtypes.prng_key)


# --------------------------------------------------------------------------------------- keys and their words


def _wrap_aval(x: ShapedArray, *, impl: str) -> ShapedArray:
    if x.dtype != U32 or x.shape[-1:] != (2,):
        raise TypeError(f"random_wrap takes uint32 words with a last axis of size 2, got {x.str_short()}")
    return ShapedArray(x.shape[:-1], KEY)


def _wrap_impl(xp: Any, x: Any, *, impl: str) -> Any:
    x = xp.asarray(x)
    return np.ascontiguousarray(x).reshape(x.shape).view(KEY)[..., 0]


def _unwrap_aval(keys: ShapedArray) -> ShapedArray:
    if keys.dtype != KEY:
        raise TypeError(f"random_unwrap takes an array of keys, got {keys.str_short()}")
    return ShapedArray((*keys.shape, 2), U32)


def _unwrap_impl(xp: Any, keys: Any) -> Any:
    keys = xp.asarray(keys)
    return np.ascontiguousarray(keys).reshape((*keys.shape, 1)).view(U32)


def _wrap_pull(ctx: Any, index: Any, words: Any, *, impl: str) -> Any:
    high, low = [
        ctx.op("convert", words.at((*index, ctx.coordinate(ctx.const(k, np.int64), k, k + 1))), dtype=U64)
        for k in (0, 1)
    ]
    return ctx.op("bitcast", ctx.op("or", high, ctx.op("shl", low, ctx.const(32, U64))), dtype=KEY)


def _unwrap_pull(ctx: Any, index: Any, keys: Any) -> Any:
    bits = ctx.op("bitcast", keys.at(index[:-1]), dtype=U64)
    shift = ctx.index(index[-1] * 32, U64)  # the high word comes first in memory
    return ctx.op("convert", ctx.op("shr_logical", bits, shift), dtype=U32)


random_wrap_p: Primitive = Primitive(
    "random_wrap",
    "other",
    abstract_eval=_wrap_aval,
    impl=_wrap_impl,
    jvp=zero_jvp(lambda: random_wrap_p),
    batch=lambda axis, args, dims, *, impl: (
        random_wrap_p.bind(move_axis(args[0], dims[0], 0), impl=impl),
        0,
    ),
    pull=_wrap_pull,
)
random_unwrap_p: Primitive = Primitive(
    "random_unwrap",
    "other",
    abstract_eval=_unwrap_aval,
    impl=_unwrap_impl,
    jvp=zero_jvp(lambda: random_unwrap_p),
    batch=lambda axis, args, dims: (random_unwrap_p.bind(args[0]), dims[0]),
    pull=_unwrap_pull,
)


def random_wrap(words: Any, impl: str = "fry") -> Any:
    """Keys from their words: uint32 of shape (..., 2) to keys of shape (...).

    Raises:
      TypeError: the dtype or the last axis does not fit.
    """
    return random_wrap_p.bind(as_operand("random_wrap", words), impl=impl)


def random_unwrap(keys: Any) -> Any:
    """The words of keys: keys of shape (...) to uint32 of shape (..., 2).

    Raises:
      TypeError: `keys` is no array of keys.
    """
    return random_unwrap_p.bind(as_operand("random_unwrap", keys))


# --------------------------------------------------------------------------------------------------- the hash

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _threefry_aval(*words: ShapedArray) -> list[ShapedArray]:
    for i, aval in enumerate(words):
        if aval.dtype != U32:
            raise TypeError(f"threefry2x32 takes uint32, got {aval.dtype} at position {i}")
    shape, _ = same_shape_aval("threefry2x32", words)
    return [ShapedArray(shape, U32)] * 2


def _threefry_impl(xp: Any, k1: Any, k2: Any, x1: Any, x2: Any) -> list[Any]:
    k1, k2, x1, x2 = (xp.asarray(w) for w in (k1, k2, x1, x2))
    keys = (k1, k2, k1 ^ k2 ^ U32.type(_PARITY))
    shape = np.broadcast_shapes(k1.shape, k2.shape, x1.shape, x2.shape)
    a, b = xp.empty(shape, U32), xp.empty(shape, U32)
    xp.add(x1, k1, out=a)
    xp.add(x2, k2, out=b)
    high = xp.empty(shape, U32)
    for group in range(5):
        for r in _ROTATIONS[group % 2]:
            xp.add(a, b, out=a)
            xp.left_shift(b, U32.type(r), out=high)
            xp.right_shift(b, U32.type(32 - r), out=b)
            xp.bitwise_or(high, b, out=b)
            xp.bitwise_xor(a, b, out=b)
        xp.add(a, keys[(group + 1) % 3], out=a)
        xp.add(b, keys[(group + 2) % 3] + U32.type(group + 1), out=b)
    return [a, b]


def _threefry_pull(ctx: Any, index: Any, *words: Any) -> Any:
    k1, k2, a, b = [read(index, w) for w in words]
    keys = (k1, k2, ctx.op("xor", ctx.op("xor", k1, k2), ctx.const(_PARITY, U32)))
    a, b = ctx.op("add", a, k1), ctx.op("add", b, k2)
    for group in range(5):
        for r in _ROTATIONS[group % 2]:
            a = ctx.op("add", a, b)
            rotated = ctx.op(
                "or", ctx.op("shl", b, ctx.const(r, U32)), ctx.op("shr_logical", b, ctx.const(32 - r, U32))
            )
            b = ctx.op("xor", a, rotated)
        a = ctx.op("add", a, keys[(group + 1) % 3])
        b = ctx.op("add", b, ctx.op("add", keys[(group + 2) % 3], ctx.const(group + 1, U32)))
    return a if ctx.output == 0 else b


def _threefry_batch(axis: Any, args: Any, dims: Any) -> Any:
    outs, dim = batch_elementwise(threefry2x32_p, axis, args, dims, {})
    return outs, [dim, dim]


def _threefry_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    outs = threefry2x32_p.bind(*primals)
    return outs, [Zero.of(o) for o in outs]


threefry2x32_p = Primitive(
    "threefry2x32",
    "elementwise",
    abstract_eval=_threefry_aval,
    impl=_threefry_impl,
    jvp=_threefry_jvp,
    batch=_threefry_batch,
    pull=_threefry_pull,
    cost=110.0,
    multiple_results=True,
)


def threefry2x32(k1: Any, k2: Any, x1: Any, x2: Any) -> tuple[Any, Any]:
    """The hash of the blocks (x1, x2) under the keys (k1, k2): uint32 arrays of one shape, or scalars.

    Raises:
      TypeError: a dtype is not uint32, or shapes do not fit.
    """
    found = threefry2x32_p.bind(*[as_operand("threefry2x32", w, i) for i, w in enumerate((k1, k2, x1, x2))])
    return found[0], found[1]


# --------------------------------------------- what is made of it, on words of keys: uint32 of shape (..., 2)


def _counts(shape: Shape) -> tuple[Any, Any]:
    """The number of each element in C order, as high and low words."""
    low = full(shape, 0, U32)
    step = 1
    for axis in reversed(range(len(shape))):
        if shape[axis] > 1:
            along = broadcasted_iota(U32, shape, axis)
            low = along if step == 1 else add(low, mul(along, U32.type(step & 0xFFFFFFFF)))
        step *= shape[axis]
    if step <= 1 << 32:
        return U32.type(0), low
    linear = reshape(broadcasted_iota(U64, (step,), 0), shape)
    return (
        convert(shift_right_logical(linear, U64.type(32)), U32),
        convert(bitwise_and(linear, U64.type(0xFFFFFFFF)), U32),
    )


def _words(keys: Any, rank: int) -> tuple[Any, Any]:
    """The two words of each key, with `rank` new last axes of size 1; scalars if there is one key."""
    shape = shape_of(keys)[:-1]
    pair = [index_in_dim(keys, i, len(shape), keepdims=False) for i in (0, 1)]
    if shape:
        pair = [expand_dims(w, range(len(shape), len(shape) + rank)) for w in pair]
    return pair[0], pair[1]


def hash_counts(keys: Any, shape: Shape) -> tuple[Any, Any]:
    """For each key the hashes of 0, 1, 2 ..., in arrays of shape (*shape of the keys, *shape)."""
    batch = shape_of(keys)[:-1]
    k1, k2 = _words(keys, len(shape))
    high, low = _counts(shape)
    if batch:
        full_shape = (*batch, *shape)
        inner = range(len(batch), len(full_shape))
        k1, k2 = [broadcast_in_dim(w, full_shape, range(len(full_shape))) for w in (k1, k2)]
        high, low = [broadcast_in_dim(w, full_shape, inner) if shape_of(w) else w for w in (high, low)]
    return threefry2x32(k1, k2, high, low)


def _hash_in_halves(keys: Any, count: int) -> Any:
    """For one key, hashes of 0 .. count - 1, of which the first half makes blocks with the second."""
    half = -(-count // 2)
    numbers = broadcasted_iota(U32, (2 * half,), 0)
    first, second = slice_in_dim(numbers, 0, half), slice_in_dim(numbers, half, 2 * half)
    if count % 2:
        second = concatenate([slice_in_dim(numbers, half, count), full((1,), 0, U32)], 0)
    k1, k2 = _words(keys, 0)
    return slice_in_dim(concatenate(threefry2x32(k1, k2, first, second), 0), 0, count)


def seed_words(seeds: Any) -> Any:
    """The words of the keys that integers make: of shape (*shape of the seeds, 2)."""
    seeds = as_operand("random_seed", seeds)
    if dtypes.kind_of(dtype_of(seeds)) not in "iu":
        raise TypeError(f"PRNG key seed must be an integer; got {seeds!r}")
    if dtype_of(seeds).itemsize < 8:
        high = full(shape_of(seeds), 0, U32)
        return stack([high, convert(seeds, U32)], len(shape_of(seeds)))
    wide = convert(seeds, U64)
    high = convert(shift_right_logical(wide, U64.type(32)), U32)
    return stack([high, convert(bitwise_and(wide, U64.type(0xFFFFFFFF)), U32)], len(shape_of(seeds)))


def split_words(keys: Any, shape: Any) -> Any:
    """New keys from each key: words of shape (*shape of the keys, *shape, 2)."""
    shape = canonical_shape(shape)
    if current().threefry_partitionable or shape_of(keys) != (2,):
        high, low = hash_counts(keys, shape)
        return stack([high, low], len(shape_of(high)))
    return reshape(_hash_in_halves(keys, 2 * math.prod(shape)), (*shape, 2))


def fold_in_words(keys: Any, data: Any) -> Any:
    """One new key from each key and an integer; the shapes are equal, or one of them is ()."""
    shape = shape_of(keys)[:-1]
    block = seed_words(data)
    if dtype_of(block) != U32:
        raise TypeError("fold_in takes 32-bit integers")
    k1, k2 = _words(keys, 0)
    x1, x2 = _words(block, 0)
    high, low = threefry2x32(k1, k2, x1, x2)
    return stack([high, low], max(len(shape), len(shape_of(block)) - 1))


def bits_of_words(keys: Any, bit_width: int, shape: Any) -> Any:
    """Uniform bits from each key: unsigned integers of `bit_width` bits, (*shape of keys, *shape)."""
    shape = canonical_shape(shape)
    if bit_width not in (8, 16, 32, 64):
        raise TypeError("requires 8-, 16-, 32- or 64-bit field width.")
    dtype = np.dtype(f"uint{bit_width}")
    if not current().threefry_partitionable and shape_of(keys) == (2,):
        return _bits_in_halves(keys, bit_width, shape, dtype)
    high, low = hash_counts(keys, shape)
    if bit_width == 64:
        return bitwise_or(shift_left(convert(high, U64), U64.type(32)), convert(low, U64))
    return convert(bitwise_xor(high, low), dtype)


def _bits_in_halves(keys: Any, bit_width: int, shape: Shape, dtype: np.dtype[Any]) -> Any:
    size = math.prod(shape)
    if bit_width == 64:
        words = convert(_hash_in_halves(keys, 2 * size), U64)
        high, low = slice_in_dim(words, 0, size), slice_in_dim(words, size, 2 * size)
        return reshape(bitwise_or(shift_left(high, U64.type(32)), low), shape)
    count = -(-size * bit_width // 32)
    words = _hash_in_halves(keys, count)
    if bit_width < 32:
        parts = 32 // bit_width
        wide = (count, parts)  # the lowest bits of a word come first
        shifts = mul(broadcasted_iota(U32, wide, 1), U32.type(bit_width))
        fields = shift_right_logical(broadcast_in_dim(words, wide, (0,)), shifts)
        fields = convert(bitwise_and(fields, U32.type((1 << bit_width) - 1)), dtype)
        words = slice_in_dim(reshape(fields, (parts * count,)), 0, size)
    return reshape(words, shape)


# ------------------------------------------------------------------------------------- the same on typed keys


def random_seed(seeds: Any, impl: str = "fry") -> Any:
    """Keys from integers, of the same shape."""
    return random_wrap(seed_words(seeds), impl)
