"""Rows of the table of primitives: random keys and bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Arg, S, row

from wengert import lax
from wengert.prims import bitgen, rejection, rng, threefry

U32 = np.dtype(np.uint32)
MASK = 0xFFFFFFFF
WORD = Arg((), 0, 2**31, U32)
WORDS = Arg((3, 2), 0, 2**31, U32)


def hashed(k1: Any, k2: Any, x1: Any, x2: Any) -> tuple[int, int]:
    """Threefry as it was published, on Python integers."""
    keys = (int(k1), int(k2), int(k1) ^ int(k2) ^ 0x1BD11BDA)
    a, b = (int(x1) + keys[0]) & MASK, (int(x2) + keys[1]) & MASK
    for i in range(20):
        r = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        a = (a + b) & MASK
        b = ((b << r | b >> (32 - r)) & MASK) ^ a
        if i % 4 == 3:
            n = i // 4 + 1
            a, b = (a + keys[n % 3]) & MASK, (b + keys[(n + 1) % 3] + n) & MASK
    return a, b


def _threefry(k1: Any, k2: Any, x1: Any, x2: Any) -> Any:
    pairs = [hashed(k1, k2, a, b) for a, b in zip(x1.ravel(), x2.ravel(), strict=True)]
    return tuple(np.array(column, np.uint32).reshape(x1.shape) for column in zip(*pairs, strict=True))


def halves(key: Any, count: int) -> list[int]:
    """The hashes of blocks of the first half of the numbers and the second half."""
    half = -(-count // 2)
    second = [n if n < count else 0 for n in range(half, 2 * half)]
    pairs = [hashed(*key, n, m) for n, m in zip(range(half), second, strict=True)]
    return [*(a for a, _ in pairs), *(b for _, b in pairs)][:count]


def _bits(key: Any, width: int, count: int, partitionable: bool) -> list[int]:
    if partitionable:
        pairs = [hashed(*key, 0, n) for n in range(count)]
        return [a << 32 | b if width == 64 else (a ^ b) & ((1 << width) - 1) for a, b in pairs]
    if width == 64:
        words = halves(key, 2 * count)
        return [words[n] << 32 | words[n + count] for n in range(count)]
    parts = 32 // width
    words = halves(key, -(-count // parts))
    return [words[n // parts] >> width * (n % parts) & ((1 << width) - 1) for n in range(count)]


def bits_row(width: int, shape: tuple[int, ...], partitionable: bool) -> None:
    dtype, count = np.dtype(f"uint{width}"), math.prod(shape)
    params = {"bit_width": width, "shape": shape, "partitionable": partitionable}
    row(
        f"random_bits, {width}, {shape}{'' if partitionable else ', in halves'}",
        lambda w: rng.random_bits_p.bind(rng.random_wrap(w), **params),
        lambda w: np.array([_bits(key, width, count, partitionable) for key in w], dtype).reshape(-1, *shape),
        [WORDS],
        "uint32",
    )


def _split(key: Any, partitionable: bool) -> list[Any]:
    if partitionable:
        return [hashed(*key, 0, n) for n in range(6)]
    words = halves(key, 12)
    return [words[2 * n : 2 * n + 2] for n in range(6)]


row(
    "threefry2x32",
    threefry.threefry2x32,
    _threefry,
    [WORD, WORD, Arg(S, 0, 2**31, U32), Arg(S, 0, 2**31, U32)],
    "uint32",
)
row(
    "random_wrap, random_unwrap",
    lambda w: rng.random_unwrap(lax.rev(rng.random_wrap(w), (0,))),
    lambda w: w[::-1],
    [WORDS],
    "uint32",
)
row(
    "random_clone, equality of keys",
    lambda w: lax.eq(rng.random_clone(rng.random_wrap(w)), lax.rev(rng.random_wrap(w), (0,))),
    lambda w: (w == w[::-1]).all(-1),
    [WORDS],
    "uint32",
)
row(
    "random_seed, random_fold_in",
    lambda s, d: rng.random_unwrap(rng.random_fold_in(rng.random_seed(s), d)),
    lambda s, d: np.array([hashed(0, a, 0, b) for a, b in zip(s, d, strict=True)], U32),
    [Arg((3,), 0, 2**31, U32), Arg((3,), 0, 2**31, U32)],
    "uint32",
)
for flag in (True, False):
    for size, form in ((32, (2, 3)), (8, (7,))):
        bits_row(size, form, flag)
    row(
        f"random_split{'' if flag else ', in halves'}",
        lambda w, f=flag: rng.random_unwrap(
            rng.random_split_p.bind(rng.random_wrap(w), shape=(2, 3), partitionable=f)
        ),
        lambda w, f=flag: np.array([_split(key, f) for key in w], U32).reshape(-1, 2, 3, 2),
        [WORDS],
        "uint32",
    )


def philox(state: Any, count: int) -> list[int]:
    """Philox-4x32 with 10 rounds as it was published, on Python integers."""
    out: list[int] = []
    k0, k1, low, high = (int(w) for w in state)
    for block in range(-(-count // 4)):
        counter = ((high << 32 | low) + block) & (2**64 - 1)
        c, key = [counter & MASK, counter >> 32, k0, k1], [k0, k1]
        for _ in range(10):
            a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(b >> 32) ^ c[1] ^ key[0], b & MASK, (a >> 32) ^ c[3] ^ key[1], a & MASK]
            key = [(key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK]
        out += c
    return out[:count]


def _philox_reference(state: Any) -> Any:
    after = state.copy()
    after[2] += 2
    return after, np.array(philox(state, 5), U32)


row(
    "rng_bit_generator",
    lambda s: bitgen.rng_bit_generator(s, (5,)),
    _philox_reference,
    [Arg((4,), 0, 2**31, U32)],
    "uint32",
)


def _threefry_reference(state: Any) -> Any:
    pairs = [hashed(*state[:2], int(state[2]) + n, state[3]) for n in range(3)]
    after = state.copy()
    after[2] += 3
    return after, np.array(pairs, U32).T


row(
    "rng_bit_generator, threefry",
    lambda s: bitgen.rng_bit_generator(s, (2, 3), algorithm=bitgen.RandomAlgorithm.RNG_THREE_FRY),
    _threefry_reference,
    [Arg((4,), 0, 2**31, U32)],
    "uint32",
)


def sampler_row(name: str, draw: Callable[..., Any], *parameters: Any) -> None:
    """A sampler: compiled and mapped over, it gives what each key gives on its own, which tests of the
    distributions check."""

    def reference(w: Any) -> Any:
        drawn = [draw(rng.random_wrap(key), *[p[i] for p in parameters]) for i, key in enumerate(w)]
        return np.stack([np.asarray(d) for d in drawn])

    row(name, lambda w: draw(rng.random_wrap(w), *parameters), reference, [WORDS], "uint32")


MEANS = np.linspace(0.5, 40, 12).astype(np.float32).reshape(3, 4)
sampler_row("random_gamma", rejection.random_gamma, MEANS)
sampler_row("random_gamma, logarithm", lambda k, a: rejection.random_gamma(k, a, True), MEANS)
sampler_row("random_poisson", lambda k, a: rejection.random_poisson(k, a, np.dtype(np.int32)), MEANS)
sampler_row(
    "random_binomial",
    lambda k, n, p: rejection.random_binomial(k, n, p, np.dtype(np.float32)),
    np.round(10 * MEANS),
    np.full((3, 4), 0.3, np.float32),
)
