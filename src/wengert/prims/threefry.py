"""The Threefry-2x32 hash with 20 rounds, and what random keys make of it.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as 1, 2, 3, SC11, 2011.

The functions named `*_words` work in NumPy on the words of keys, uint32 of shape (..., 2), and serve as
reference. Those named `*_at` say the same of one element, for the compiler. There are two ways to number the
blocks that are hashed. The partitionable one hashes for each element its own number, as 64 bits; the other one
makes blocks of the first half of the numbers with the second half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive, same_shape_aval
from wengert.core.zeros import Zero
from wengert.prims.axes import batch_elementwise
from wengert.prims.constructors import Shape, as_operand
from wengert.prims.elementwise import read

U32 = np.dtype(np.uint32)
U64 = np.dtype(np.uint64)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


# -------------------------------------------------------------------------------------------------- in NumPy


def hash_blocks(k1: Any, k2: Any, x1: Any, x2: Any) -> tuple[Any, Any]:
    """The hash of the blocks (x1, x2) under the keys (k1, k2): uint32 arrays that broadcast."""
    k1, k2, x1, x2 = (np.asarray(w) for w in (k1, k2, x1, x2))
    keys = (k1, k2, k1 ^ k2 ^ U32.type(_PARITY))
    shape = np.broadcast_shapes(k1.shape, k2.shape, x1.shape, x2.shape)
    a, b, high = np.empty(shape, U32), np.empty(shape, U32), np.empty(shape, U32)
    np.add(x1, k1, out=a)
    np.add(x2, k2, out=b)
    for group in range(5):
        for r in _ROTATIONS[group % 2]:
            np.add(a, b, out=a)
            np.left_shift(b, U32.type(r), out=high)
            np.right_shift(b, U32.type(32 - r), out=b)
            np.bitwise_or(high, b, out=b)
            np.bitwise_xor(a, b, out=b)
        np.add(a, keys[(group + 1) % 3], out=a)
        np.add(b, keys[(group + 2) % 3] + U32.type(group + 1), out=b)
    return a, b


def _split_words_of(words: Any, rank: int) -> tuple[Any, Any]:
    """The two words of each key, with `rank` new last axes of size 1."""
    shape = (*words.shape[:-1], *(1,) * rank)
    return words[..., 0].reshape(shape), words[..., 1].reshape(shape)


def _hash_numbers(words: Any, shape: Shape) -> tuple[Any, Any]:
    """For each key the hashes of 0, 1, 2 ... in C order: two arrays of shape (*shape of the keys, *shape)."""
    size = math.prod(shape)
    number: Any = np.arange(size, dtype=U64 if size > 1 << 32 else U32).reshape(shape)
    high = U32.type(0) if size <= 1 << 32 else (number >> U64.type(32)).astype(U32)
    return hash_blocks(*_split_words_of(words, len(shape)), high, number.astype(U32))


def _hash_halves(words: Any, count: int) -> Any:
    """For each key the hashes of the blocks (0, half), (1, half + 1) ...: first words, then second ones."""
    half = -(-count // 2)
    number = np.arange(2 * half, dtype=U32)
    number[count:] = 0
    pair = hash_blocks(*_split_words_of(words, 1), number[:half], number[half:])
    return np.concatenate(pair, -1)[..., :count]


def seed_words(seeds: Any) -> Any:
    """The words of the keys that integers make: uint32 of shape (*shape of the seeds, 2)."""
    seeds = np.asarray(seeds)
    wide = seeds.astype(U64)
    high = (wide >> U64.type(32)).astype(U32) if seeds.dtype.itemsize == 8 else np.zeros(seeds.shape, U32)
    return np.stack([high, wide.astype(U32)], -1)


def split_words(words: Any, shape: Shape, partitionable: bool) -> Any:
    """New keys from each key: words of shape (*shape of the keys, *shape, 2)."""
    if partitionable:
        return np.stack(_hash_numbers(words, shape), -1)
    return _hash_halves(words, 2 * math.prod(shape)).reshape(*words.shape[:-1], *shape, 2)


def fold_in_words(words: Any, data: Any) -> Any:
    """A key from each key and an integer of 32 bits; the shapes broadcast."""
    return np.stack(hash_blocks(words[..., 0], words[..., 1], U32.type(0), np.asarray(data).astype(U32)), -1)


def bits_words(words: Any, width: int, shape: Shape, partitionable: bool) -> Any:
    """Uniform bits from each key: unsigned integers of `width` bits, (*shape of the keys, *shape)."""
    dtype = np.dtype(f"uint{width}")
    if partitionable:
        high, low = _hash_numbers(words, shape)
        if width == 64:
            return (high.astype(U64) << U64.type(32)) | low
        return (high ^ low).astype(dtype, copy=False)
    size = math.prod(shape)
    if width == 64:
        pair = _hash_halves(words, 2 * size).astype(U64)
        found = (pair[..., :size] << U64.type(32)) | pair[..., size:]
    else:
        parts = 32 // width  # the lowest bits of a word come first
        drawn = _hash_halves(words, -(-size // parts))
        shifts = np.arange(parts, dtype=U32) * U32.type(width)
        found = (drawn[..., None] >> shifts).astype(dtype).reshape(*drawn.shape[:-1], -1)[..., :size]
    return found.reshape(*words.shape[:-1], *shape)


# ------------------------------------------------------------------------------------------- for the compiler


def hash_at(ctx: Any, k1: Any, k2: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """The hash of one block, as expressions."""
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
    return a, b


def key_from(ctx: Any, words: Sequence[Any], dtype: Any) -> Any:
    """A key, from the expressions of its two words."""
    high, low = [ctx.op("convert", w, dtype=U64) for w in words]
    return ctx.op("bitcast", ctx.op("or", high, ctx.op("shl", low, ctx.const(32, U64))), dtype=dtype)


def words_at(ctx: Any, key: Any) -> tuple[Any, Any]:
    """The words of the expression of a key: the first one comes first in memory."""
    bits = ctx.op("bitcast", key, dtype=U64)
    upper = ctx.op("shr_logical", bits, ctx.const(32, U64))
    return ctx.op("convert", bits, dtype=U32), ctx.op("convert", upper, dtype=U32)


def _number_at(ctx: Any, index: Sequence[Any], shape: Shape, dtype: Any) -> Any:
    """The number in C order of the element at an index."""
    total, step = ctx.const(0, dtype), 1
    for axis in reversed(range(len(shape))):
        if shape[axis] > 1:
            along = ctx.index(index[axis], dtype)
            total = ctx.op("add", total, ctx.op("mul", along, ctx.const(step, dtype)) if step > 1 else along)
        step *= shape[axis]
    return total


def _numbered_hash_at(ctx: Any, key: Any, index: Sequence[Any], shape: Shape) -> tuple[Any, Any]:
    k1, k2 = words_at(ctx, key)
    if math.prod(shape) <= 1 << 32:
        return hash_at(ctx, k1, k2, ctx.const(0, U32), _number_at(ctx, index, shape, U32))
    number = _number_at(ctx, index, shape, U64)
    high = ctx.op("convert", ctx.op("shr_logical", number, ctx.const(32, U64)), dtype=U32)
    return hash_at(ctx, k1, k2, high, ctx.op("convert", number, dtype=U32))


def _halved_hash_at(ctx: Any, key: Any, number: Any, count: int) -> Any:
    """Element `number` (a uint32 expression) of `_hash_halves`."""
    half = ctx.const(-(-count // 2), U32)
    is_first = ctx.op("lt", number, half)
    x1 = ctx.op("select", is_first, number, ctx.op("sub", number, half))
    x2 = ctx.op("add", x1, half)
    if count % 2:
        x2 = ctx.op("select", ctx.op("lt", x2, ctx.const(count, U32)), x2, ctx.const(0, U32))
    a, b = hash_at(ctx, *words_at(ctx, key), x1, x2)
    return ctx.op("select", is_first, a, b)


def split_at(
    ctx: Any, key: Any, index: Sequence[Any], dtype: Any, *, shape: Shape, partitionable: bool
) -> Any:
    """`split_words` at an index: a key."""
    if partitionable:
        return key_from(ctx, _numbered_hash_at(ctx, key, index, shape), dtype)
    count = 2 * math.prod(shape)
    first = ctx.op("mul", _number_at(ctx, index, shape, U32), ctx.const(2, U32))
    second = ctx.op("add", first, ctx.const(1, U32))
    return key_from(ctx, [_halved_hash_at(ctx, key, n, count) for n in (first, second)], dtype)


def bits_at(
    ctx: Any, key: Any, index: Sequence[Any], *, bit_width: int, shape: Shape, partitionable: bool
) -> Any:
    """`bits_words` at an index."""
    dtype = np.dtype(f"uint{bit_width}")
    if partitionable:
        high, low = _numbered_hash_at(ctx, key, index, shape)
        if bit_width == 64:
            return _joined(ctx, high, low)
        return ctx.op("convert", ctx.op("xor", high, low), dtype=dtype)
    size = math.prod(shape)
    number = _number_at(ctx, index, shape, U32)
    if bit_width == 64:
        high = _halved_hash_at(ctx, key, number, 2 * size)
        return _joined(
            ctx, high, _halved_hash_at(ctx, key, ctx.op("add", number, ctx.const(size, U32)), 2 * size)
        )
    parts = ctx.const(32 // bit_width, U32)
    word = _halved_hash_at(ctx, key, ctx.op("div", number, parts), -(-size * bit_width // 32))
    shift = ctx.op("mul", ctx.op("rem", number, parts), ctx.const(bit_width, U32))
    return ctx.op("convert", ctx.op("shr_logical", word, shift), dtype=dtype)


def _joined(ctx: Any, high: Any, low: Any) -> Any:
    upper = ctx.op("shl", ctx.op("convert", high, dtype=U64), ctx.const(32, U64))
    return ctx.op("or", upper, ctx.op("convert", low, dtype=U64))


# --------------------------------------------------------------------------------------- the hash on its own


def _threefry_aval(*words: ShapedArray) -> list[ShapedArray]:
    for i, aval in enumerate(words):
        if aval.dtype != U32:
            raise TypeError(f"threefry2x32 takes uint32, got {aval.dtype} at position {i}")
    shape, _ = same_shape_aval("threefry2x32", words)
    return [ShapedArray(shape, U32)] * 2


def _threefry_pull(ctx: Any, index: Any, *words: Any) -> Any:
    return hash_at(ctx, *[read(index, w) for w in words])[ctx.output]


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
    impl=lambda xp, *words: list(hash_blocks(*words)),
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
