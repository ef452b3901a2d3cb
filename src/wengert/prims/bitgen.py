"""Generators of bits with a state: `rng_bit_generator`, as XLA documents it, and `rng_uniform`.

The state is 128 bits, a key of 64 and a counter of 64: four uint32 words, or two uint64, the low half first. The
counter is advanced by the number of blocks that were made.

Philox-4x32 with 10 rounds and Threefry-2x32 are those of J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw,
Parallel random numbers: as easy as 1, 2, 3, SC11, 2011.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero
from wengert.prims.axes import batch_to, broadcast_in_dim, transpose
from wengert.prims.constructors import Shape, as_operand, canonical_shape, same_dtype, shape_of, zero_jvp
from wengert.prims.conversion import bitcast_convert_type, convert
from wengert.prims.formulas import staged
from wengert.prims.shape import broadcasted_iota, reshape
from wengert.prims.slicing import concatenate, slice as slice_, stack
from wengert.prims.threefry import U32, U64, fold_in_words, hash_blocks, seed_words, split_words, threefry2x32

_LOW = U64.type(0xFFFFFFFF)
_SHIFT = U64.type(32)


class RandomAlgorithm(enum.IntEnum):
    """The algorithms of `rng_bit_generator`; the default one is Philox."""

    RNG_DEFAULT = 0
    RNG_THREE_FRY = 1
    RNG_PHILOX = 2

    def __str__(self) -> str:
        return f"RandomAlgorithm.{self.name}"


# ------------------------------------------------------------------------------------------------- the blocks


def _counters(states: Any, blocks: int) -> tuple[Any, Any, Any]:
    """The counter of each block as low and high words, and the states after them; states is (..., 4)."""
    start = states[..., 2].astype(U64) | (states[..., 3].astype(U64) << _SHIFT)
    count = start[..., None] + np.arange(blocks, dtype=U64)
    after = start + U64.type(blocks)
    end = np.stack([states[..., 0], states[..., 1], after & _LOW, after >> _SHIFT], -1).astype(U32)
    return count & _LOW, count >> _SHIFT, end


def philox_words(states: Any, count: int) -> tuple[Any, Any]:
    """`count` words from each state, and the states after them."""
    low, high, after = _counters(states, -(-count // 4))
    k0, k1 = states[..., 0, None].astype(U64), states[..., 1, None].astype(U64)
    a, b, c, d = low, high, k0, k1
    for _ in range(10):
        left, right = a * U64.type(0xD2511F53), c * U64.type(0xCD9E8D57)
        a, b = (right >> _SHIFT) ^ b ^ k0, right & _LOW
        c, d = (left >> _SHIFT) ^ d ^ k1, left & _LOW
        k0, k1 = (k0 + U64.type(0x9E3779B9)) & _LOW, (k1 + U64.type(0xBB67AE85)) & _LOW
    words = np.stack(np.broadcast_arrays(a, b, c, d), -1).astype(U32)
    return words.reshape(*states.shape[:-1], -1)[..., :count], after


def _threefry_pairs(states: Any, blocks: int) -> tuple[Any, Any]:
    """Two words from each block, in a last axis of size 2, and the states after them."""
    low, high, after = _counters(states, blocks)
    pair = hash_blocks(states[..., 0, None], states[..., 1, None], low.astype(U32), high.astype(U32))
    return np.stack(pair, -1), after


def _threefry_array(state: Any, shape: Shape) -> tuple[Any, Any]:
    """Words of a shape from one state: the two of a block are neighbours along the first axis of even size, or
    the largest one."""
    if not shape:
        pairs, after = _threefry_pairs(state, 1)
        return pairs[0, 0], after
    even = [d for d, n in enumerate(shape) if n % 2 == 0]
    axis = even[0] if even else shape.index(max(shape))
    halved = [-(-n // 2) if d == axis else n for d, n in enumerate(shape)]
    pairs, after = _threefry_pairs(state, math.prod(halved))
    spread = np.moveaxis(pairs.reshape(*halved, 2), -1, axis + 1)
    merged = spread.reshape(*[2 * n if d == axis else n for d, n in enumerate(halved)])
    return merged[tuple(slice(n) for n in shape)], after


def _pairs_to_u64(words: Any) -> Any:
    return words[..., 0].astype(U64) | (words[..., 1].astype(U64) << _SHIFT)


def _generate(state: Any, shape: Shape, dtype: Any, algorithm: RandomAlgorithm) -> tuple[Any, Any]:
    """The bits from one state of four words, and the state after them."""
    size, wide = math.prod(shape), dtype.itemsize == 8
    if algorithm is RandomAlgorithm.RNG_THREE_FRY:
        if wide:
            pairs, after = _threefry_pairs(state, size)
            return _pairs_to_u64(pairs).reshape(shape), after
        found, after = _threefry_array(state, shape)
        return np.asarray(found).astype(dtype), after
    words, after = philox_words(state, 2 * size if wide else size)
    found = _pairs_to_u64(words.reshape(size, 2)) if wide else words.astype(dtype)
    return found.reshape(shape), after


# --------------------------------------------------------------------------------------------- the primitives


def _generator_aval(state: ShapedArray, *, shape: Shape, dtype: Any, algorithm: Any) -> list[ShapedArray]:
    words = {U32: 4, U64: 2}.get(state.dtype)
    if words is None:
        raise TypeError(
            f"rng_bit_generator takes a state of dtype uint32 or uint64, got {state.str_short()}; make one with"
            " jnp.array([k0, k1, c0, c1], 'uint32')"
        )
    if state.shape[-1:] != (words,):
        raise ValueError(
            f"rng_bit_generator takes a state of 128 bits, {words} words of {state.dtype}, got"
            f" {state.str_short()}"
        )
    return [state, ShapedArray((*state.shape[:-1], *shape), dtype)]


def _generator_impl(xp: Any, states: Any, *, shape: Shape, dtype: Any, algorithm: Any) -> list[Any]:
    states = np.ascontiguousarray(states)
    rows = states.view(U32).reshape(-1, 4)  # of a uint64, the low half comes first
    drawn = [_generate(row, shape, dtype, algorithm) for row in rows]
    after = np.array([end for _, end in drawn], U32).reshape(-1, 4).view(states.dtype).reshape(states.shape)
    bits = np.array([bits for bits, _ in drawn], dtype).reshape((*states.shape[:-1], *shape))
    return [after, bits]


def _generator_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    outs = rng_bit_generator_p.bind(*primals, **params)
    return outs, [Zero.of(o) for o in outs]


def _generator_batch(axis: Any, args: Any, dims: Any, **params: Any) -> Any:
    return rng_bit_generator_p.bind(batch_to(args[0], dims[0], axis.size, 0), **params), [0, 0]


# --------------------------------------------------------------------------- the same as a program of the compiler


def _word(x: Any) -> Any:
    return convert(x, U32)


def _wide(x: Any) -> Any:
    return convert(x, U64)


def _spread(x: Any, shape: Shape) -> Any:
    """A column for each state, of shape (states, 1), in all columns."""
    return broadcast_in_dim(x, shape, (0, 1))


def _start(words: Any, blocks: int) -> tuple[Any, Any, Any]:
    """The counter of each block as low and high words, (states, blocks), and the states after them, (states, 4)."""
    start = _wide(words[:, 2:3]) | (_wide(words[:, 3:4]) << _SHIFT)
    shape = (shape_of(words)[0], blocks)
    count = _spread(start, shape) + broadcasted_iota(U64, shape, 1)
    after = start + U64.type(blocks)
    end = concatenate([words[:, :2], _word(after), _word(after >> _SHIFT)], 1)
    return _word(count), _word(count >> _SHIFT), end


def _philox_program(words: Any, blocks: int) -> tuple[Any, Any]:
    """The four words of each block, (states, blocks, 4), and the states after them."""
    low, high, after = _start(words, blocks)
    shape = shape_of(low)
    k0, k1 = words[:, 0:1], words[:, 1:2]
    a, b, c, d = low, high, _spread(k0, shape), _spread(k1, shape)
    for _ in range(10):
        left, right = _wide(a) * U64.type(0xD2511F53), _wide(c) * U64.type(0xCD9E8D57)
        a, b = _word(right >> _SHIFT) ^ b ^ _spread(k0, shape), _word(right)
        c, d = _word(left >> _SHIFT) ^ d ^ _spread(k1, shape), _word(left)
        k0, k1 = k0 + U32.type(0x9E3779B9), k1 + U32.type(0xBB67AE85)
    return stack([a, b, c, d], 2), after


def _threefry_program(words: Any, blocks: int) -> tuple[Any, Any]:
    """The two words of each block, (states, blocks, 2), and the states after them."""
    low, high, after = _start(words, blocks)
    first, second = (_spread(words[:, n : n + 1], shape_of(low)) for n in (0, 1))
    return stack(threefry2x32(first, second, low, high), 2), after


def _joined(words: Any, rows: int, size: int) -> Any:
    """The first `size` numbers of 64 bits that pairs of words make, for each state."""
    pairs = reshape(words, (rows, math.prod(shape_of(words)[1:]) // 2, 2))[:, :size]
    return _wide(pairs[..., 0]) | (_wide(pairs[..., 1]) << _SHIFT)


def _generate_program(words: Any, shape: Shape, dtype: Any, algorithm: RandomAlgorithm) -> tuple[Any, Any]:
    """The bits (states, *shape) from states of four words, and the states after them."""
    rows, size, wide = shape_of(words)[0], math.prod(shape), dtype.itemsize == 8
    if algorithm is not RandomAlgorithm.RNG_THREE_FRY:
        found, after = _philox_program(words, -(-(2 * size if wide else size) // 4))
    elif wide:
        found, after = _threefry_program(words, size)
    elif not shape:
        found, after = _threefry_program(words, 1)
    else:
        even = [d for d, n in enumerate(shape) if n % 2 == 0]
        axis = even[0] if even else shape.index(max(shape))
        halved = [-(-n // 2) if d == axis else n for d, n in enumerate(shape)]
        pairs, after = _threefry_program(words, math.prod(halved))
        spread = reshape(pairs, (rows, *halved, 2))
        order = (*range(axis + 2), len(halved) + 1, *range(axis + 2, len(halved) + 1))
        merged = [2 * n if d == axis else n for d, n in enumerate(halved)]
        merged_array = reshape(transpose(spread, order), (rows, *merged))
        return convert(slice_(merged_array, (0,) * (len(shape) + 1), (rows, *shape)), dtype), after
    if wide:
        return reshape(_joined(found, rows, size), (rows, *shape)), after
    flat = reshape(found, (rows, math.prod(shape_of(found)[1:])))
    return reshape(convert(flat[:, :size], dtype), (rows, *shape)), after


def _generator_program(state: ShapedArray, *, shape: Shape, dtype: Any, algorithm: Any) -> ClosedJaxpr | None:
    if 0 in (*state.shape, *shape):
        return None
    rows = math.prod(state.shape[:-1])

    def run(states: Any) -> list[Any]:
        words = states if state.dtype == U32 else bitcast_convert_type(states, U32)
        after, bits = _generate_program(reshape(words, (rows, 4)), shape, dtype, algorithm)[::-1]
        if state.dtype != U32:
            after = bitcast_convert_type(reshape(after, (rows, 2, 2)), U64)
        return [reshape(after, state.shape), reshape(bits, (*state.shape[:-1], *shape))]

    return staged(run, [state])


rng_bit_generator_p: Primitive = Primitive(
    "rng_bit_generator",
    "library",
    abstract_eval=_generator_aval,
    impl=_generator_impl,
    expand=_generator_program,
    jvp=_generator_jvp,
    batch=_generator_batch,
    multiple_results=True,
)


def rng_bit_generator(
    key: Any,
    shape: Any,
    dtype: Any = np.uint32,
    algorithm: RandomAlgorithm = RandomAlgorithm.RNG_DEFAULT,
    *,
    out_sharding: Any = None,
) -> tuple[Any, Any]:
    """Random bits of a shape, and the state from which to go on.

    Args:
      key: the state: uint32 of shape (4,) or uint64 of shape (2,): a key and a counter of 64 bits each.
      dtype: of the bits: uint8, uint16, uint32 or uint64.
    Returns:
      (new state, bits).
    Raises:
      TypeError: the dtype of the state or of the bits is another one.
      ValueError: the state has another size.
    """
    found = dtypes.canonicalize_dtype(dtypes.as_dtype(dtype))
    if found.kind != "u" or found.itemsize > 8:
        raise TypeError(f"unsupported dtype for rng_bit_generator: {found}; it makes unsigned integers")
    state, bits = rng_bit_generator_p.bind(
        as_operand("rng_bit_generator", key),
        shape=canonical_shape(shape),
        dtype=found,
        algorithm=RandomAlgorithm(int(algorithm)),
    )
    return state, bits


def _uniform_aval(a: ShapedArray, b: ShapedArray, *, shape: Shape) -> ShapedArray:
    if a.dtype != b.dtype:
        raise ValueError(f"rng_uniform's arguments must have the same dtype, got {a.dtype} and {b.dtype}")
    if a.shape or b.shape:
        raise ValueError(f"rng_uniform's arguments must be scalars, got shapes {a.shape} and {b.shape}")
    if dtypes.kind_of(a.dtype) not in "fiu":
        raise TypeError(f"rng_uniform takes floats or integers, got {a.dtype}")
    return ShapedArray(shape, a.dtype, a.weak_type and b.weak_type)


@functools.cache
def _stateful() -> np.random.Generator:
    """The one generator with a state of its own: XLA's operation takes no key."""
    return np.random.default_rng(0)


def _uniform_impl(xp: Any, a: Any, b: Any, *, shape: Shape) -> Any:
    dtype = np.asarray(a).dtype
    if dtype.kind in "iu":
        return _stateful().integers(int(a), int(b), shape, dtype=dtype)
    return (float(a) + (float(b) - float(a)) * _stateful().random(shape)).astype(dtype)


rng_uniform_p: Primitive = Primitive(
    "rng_uniform",
    "library",
    abstract_eval=_uniform_aval,
    impl=_uniform_impl,
    jvp=zero_jvp(lambda: rng_uniform_p),
    effects=lambda **params: frozenset(("random",)),
)


def rng_uniform(a: Any, b: Any, shape: Any) -> Any:
    """Numbers in [a, b) from a generator that has a state of its own: each call gives others.

    Only for experiments. `wengert.random` is reproducible and works under every transformation.

    Args:
      a, b: scalars of one dtype.
    """
    return rng_uniform_p.bind(*same_dtype("rng_uniform", a, b), shape=canonical_shape(shape))


# ------------------------------------------------------------ keys of 128 bits, for the generators rbg, unsafe_rbg


def seed_rbg(seeds: Any) -> Any:
    """The words of the keys that integers make: a Threefry key, twice."""
    words = seed_words(seeds)
    return np.concatenate([words, words], -1)


def split_rbg(words: Any, shape: Shape, partitionable: bool) -> Any:
    """New keys: the halves are split as Threefry keys."""
    halves = [split_words(words[..., s], shape, partitionable) for s in (slice(2), slice(2, 4))]
    return np.concatenate(halves, -1)


def fold_in_rbg(words: Any, data: Any) -> Any:
    """A key from each key and an integer: both halves as Threefry keys."""
    return np.concatenate([fold_in_words(words[..., s], data) for s in (slice(2), slice(2, 4))], -1)


def split_unsafe(words: Any, shape: Shape, partitionable: bool) -> Any:
    """New keys: every tenth block that Philox makes from the key."""
    count = math.prod(shape)
    blocks = philox_words(words, 40 * count)[0].reshape(*words.shape[:-1], count, 10, 4)
    return blocks[..., 0, :].reshape(*words.shape[:-1], *shape, 4)


def fold_in_unsafe(words: Any, data: Any) -> Any:
    """A key from each key and an integer: the tenth block that the integer seeds, xor the key."""
    blocks = philox_words(seed_rbg(np.asarray(data).astype(U32)), 40)[0]
    return words ^ blocks[..., 36:]


def bits_rbg(words: Any, width: int, shape: Shape, partitionable: bool) -> Any:
    """Bits that Philox makes with the key as its state."""
    size, wide = math.prod(shape), width == 64
    drawn = philox_words(words, 2 * size if wide else size)[0]
    if wide:
        found = _pairs_to_u64(drawn.reshape(*words.shape[:-1], size, 2))
    else:
        found = drawn.astype(np.dtype(f"uint{width}"))
    return found.reshape(*words.shape[:-1], *shape)
