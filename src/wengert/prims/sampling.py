"""What compiled code does in the place of the samplers of `rejection`: the same draws, as programs.

They use the same keys in the same order as the functions of NumPy there. Those of the gamma distribution go on with the
elements that were refused. Here all elements try once, as vector code, and the few that were refused are drawn one by
one, from the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.prims import rng
from wengert.prims.arithmetic import abs_, ceil, floor, is_finite, max as greater
from wengert.prims.constructors import dtype_of, shape_of
from wengert.prims.control import cond, map as map_, while_loop
from wengert.prims.conversion import bitcast_convert_type, convert
from wengert.prims.formulas import staged
from wengert.prims.logic import ne
from wengert.prims.reduce import reduce_or
from wengert.prims.select import select
from wengert.prims.shape import full, full_like, reshape
from wengert.prims.special import erf_inv, lgamma
from wengert.prims.transcendental import log, log1p, sqrt

Draw: TypeAlias = Callable[..., Any]
_FEW = 16  # elements that are drawn one by one at once: vector code for them is not worth its compilation


class Source:
    """Draws with Threefry keys, as a program."""

    __slots__ = ("partitionable",)

    def __init__(self, partitionable: bool):
        self.partitionable = partitionable

    def split(self, keys: Any, count: int) -> list[Any]:
        new = rng.random_split_p.bind(keys, shape=(count,), partitionable=self.partitionable)
        return [new[..., i] for i in range(count)]

    def uniform(self, keys: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Numbers in [0, 1), of shape (*shape of the keys, *shape)."""
        info = dtypes.finfo(dtype)
        width = 8 if info.nmant < 8 else info.bits
        unsigned = np.dtype(f"uint{info.bits}")
        raw = rng.random_bits_p.bind(keys, bit_width=width, shape=shape, partitionable=self.partitionable)
        mantissa = convert(raw >> dtype_of(raw).type(width - info.nmant), unsigned)
        one = np.asarray(1.0, dtype).view(unsigned)[()]
        return bitcast_convert_type(mantissa | one, dtype) - dtype.type(1)

    def normal(self, keys: Any, dtype: np.dtype[Any]) -> Any:
        """One number for each key."""
        low = np.nextafter(dtype.type(-1), dtype.type(0), dtype=dtype)
        u = self.uniform(keys, (), dtype) * dtype.type(dtype.type(1) - low) + low
        return dtype.type(math.sqrt(2)) * erf_inv(greater(u, full_like(u, low)))


def program(draw: Draw) -> Any:
    """The rule `expand` of a sampler; `draw` as in `rejection`, with a `Source`, keys (rows,), parameters (rows, n)."""

    def expand(keys: ShapedArray, *parameters: ShapedArray, partitionable: bool, **params: Any) -> Any:
        shape = parameters[0].shape
        if keys.dtype != rng.KEY or 0 in shape:
            return None
        rows = math.prod(keys.shape)
        flat = (rows, math.prod(shape[keys.ndim :]))

        def run(words: Any, *values: Any) -> list[Any]:
            drawn = draw(
                Source(partitionable), reshape(words, (rows,)), *[reshape(v, flat) for v in values], **params
            )
            return [reshape(drawn, shape)]

        return staged(run, (keys, *parameters))

    return expand


def _by_rows(draw: Draw) -> Draw:
    """A function of one key and of vectors, applied to rows one after the other."""

    def drawn(source: Source, keys: Any, *parameters: Any, **params: Any) -> Any:
        if shape_of(keys) == (1,):
            one = draw(source, keys[0], *[p[0] for p in parameters], **params)
            return reshape(one, (1, *shape_of(one)))
        return map_(lambda row: draw(source, *row, **params), (keys, *parameters))

    return drawn


def _any(x: Any) -> Any:
    return reduce_or(x, tuple(range(len(shape_of(x)))))


# ------------------------------------------------------------------------------------------------------ gamma


def draw_gamma(source: Source, words: Any, a: Any, *, log_space: bool) -> Any:
    """Marsaglia and Tsang, 2000. Every element has a key of its own."""
    (rows, count), dtype = shape_of(a), dtype_of(a)
    keys = rng.random_split_p.bind(words, shape=(count,), partitionable=source.partitionable)
    keys, a = reshape(keys, (rows * count,)), reshape(a, (rows * count,))
    one, zero = dtype.type(1), dtype.type(0)
    boosted = a < one
    d = select(boosted, a + one, a) - dtype.type(1 / 3)
    c = full_like(a, dtype.type(1 / 3)) / sqrt(d)
    keys, last = source.split(keys, 2)
    v = _accepted(source, keys, d, c)
    u = source.uniform(last, (), dtype)
    if not log_space:
        found = d * v * select(boosted, (one - u) ** (one / a), full_like(a, one))
    else:
        logs = log1p(-u)
        found = log(d) + log(v) + select(boosted & (logs != zero), logs * (one / a), full_like(a, zero))
    return reshape(found, (rows, count))


def _accepted(source: Source, keys: Any, d: Any, c: Any) -> Any:
    """The cubes that are accepted, for each element with its key."""

    def alone(row: Any) -> Any:
        return _accepted_alone(source, *row)

    if shape_of(d)[0] <= _FEW:
        return map_(alone, (keys, d, c))
    _, x_keys, u_keys = source.split(keys, 3)
    _, now = source.split(x_keys, 2)
    x = source.normal(now, dtype_of(d))
    v = full_like(c, 1) + x * c
    cube = v * v * v
    good = (v > full_like(v, 0)) & ~_refused(source.uniform(u_keys, (), dtype_of(d)), x, cube, d)
    return map_(
        lambda row: cond(row[0], lambda row: row[1], lambda row: alone(row[2:]), row),
        (good, cube, keys, d, c),
    )


def _refused(u: Any, x: Any, cube: Any, d: Any) -> Any:
    dtype = dtype_of(d)
    one, square = dtype.type(1), x * x
    doubtful = u >= one - dtype.type(0.0331) * (square * square)
    bound = square * dtype.type(0.5) + d * ((one - cube) + log(cube))
    return doubtful & (log(u) >= bound)


def _accepted_alone(source: Source, key: Any, d: Any, c: Any) -> Any:
    """The cube of one element."""
    dtype = dtype_of(d)

    def positive(state: Any) -> Any:
        following, now = source.split(state[0], 2)
        x = source.normal(now, dtype)
        return following, x, dtype.type(1) + x * c

    def attempt(state: Any) -> Any:
        following, x_key, u_key = source.split(state[0], 3)
        start = (x_key, full((), 0, dtype), full((), -1, dtype))
        _, x, v = while_loop(lambda s: s[2] <= dtype.type(0), positive, start)
        cube = v * v * v
        return following, cube, _refused(source.uniform(u_key, (), dtype), x, cube, d)

    start = (key, full((), 0, dtype), full((), True, np.dtype(bool)))
    return while_loop(lambda s: s[2], attempt, start)[1]


# ---------------------------------------------------------------------------------------------------- Poisson


def _draw_poisson(source: Source, key: Any, lam: Any, *, dtype: np.dtype[Any]) -> Any:
    small = ne(lam, lam) | (lam < np.float32(10))
    limit = np.iinfo(dtype).max
    few = _poisson_by_products(source, key, select(small, lam, full_like(lam, 0)), dtype, limit)
    many = _poisson_by_rejection(source, key, select(small, full_like(lam, 1e5), lam), limit)
    found = select(small, few, convert(many, dtype))
    return select(lam == np.float32(0), full_like(found, 0), found)


draw_poisson = _by_rows(_draw_poisson)


def _turns(limit: float) -> Any:
    """The greatest number of turns, as the type that counts them."""
    return np.int64(min(limit, np.iinfo(np.int64).max))


def _poisson_by_products(source: Source, key: Any, lam: Any, dtype: np.dtype[Any], limit: float) -> Any:
    """D. E. Knuth, The Art of Computer Programming, volume 2, 3.4.1: multiply until exp(-lam) is passed."""
    shape, kind = shape_of(lam), dtype_of(lam)

    def turn(state: Any) -> Any:
        count, log_product, key, turns = state
        key, now = source.split(key, 2)
        count = count + convert(log_product > -lam, dtype)
        return count, log_product + log(source.uniform(now, shape, kind)), key, turns + np.int64(1)

    def unfinished(state: Any) -> Any:
        return _any(state[1] > -lam) & (state[3] < _turns(limit))

    start = (full(shape, 0, dtype), full(shape, 0, kind), key, full((), 0, np.dtype(np.int64)))
    return while_loop(unfinished, turn, start)[0] - dtype.type(1)


def _until_accepted(source: Source, key: Any, like: Any, attempt: Draw, limit: float) -> Any:
    """The values that are found for a vector: attempt(u, v) gives values, and which are good."""
    shape, dtype = shape_of(like), dtype_of(like)

    def turn(state: Any) -> Any:
        found, accepted, key, turns = state
        key, first, second = source.split(key, 3)
        u = source.uniform(first, shape, dtype) - dtype.type(0.5)
        k, good = attempt(u, source.uniform(second, shape, dtype))
        return select(good, k, found), accepted | good, key, turns + np.int64(1)

    def unfinished(state: Any) -> Any:
        return _any(~state[1]) & (state[3] < _turns(limit))

    start = (full(shape, -1, dtype), full(shape, False, np.dtype(bool)), key, full((), 0, np.dtype(np.int64)))
    return while_loop(unfinished, turn, start)[0]


def _poisson_by_rejection(source: Source, key: Any, lam: Any, limit: float) -> Any:
    """Hormann, 1993: transformed rejection with squeeze (PTRS)."""
    log_lam = log(lam)
    b = 0.931 + 2.53 * sqrt(lam)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)

    def attempt(u: Any, v: Any) -> Any:
        us = 0.5 - abs_(u)
        k = floor((2 * a / us + b) * u + lam + 0.43)
        s = log(v * inverse_alpha / (a / (us * us) + b))
        t = -lam + k * log_lam - lgamma(k + 1)
        refused = (k < 0) | ((us < 0.013) & (v > us))
        return k, ((us >= 0.07) & (v <= v_r)) | (~refused & (s <= t))

    return _until_accepted(source, key, lam, attempt, limit)


# --------------------------------------------------------------------------------------------------- binomial


def _draw_binomial(
    source: Source, key: Any, n: Any, p: Any, *, dtype: np.dtype[Any], rests: Sequence[float]
) -> Any:
    kind = dtype_of(p)
    low = p < 0.5
    q = select(low, p, kind.type(1) - p)
    senseless, wrong = ne(n, n) | (n < 0), ne(q, q) | (q < 0)
    endless = ~is_finite(n) & ~ne(n, n)
    q = select(wrong, full_like(q, 0.01), q)
    inverted = senseless | (n * q <= 10)
    n = floor(n)
    few = _binomial_by_inversion(source, key, select(inverted, n, full_like(n, 0)), q)
    n_many = select(inverted, full_like(n, 1e4), n)
    many = _binomial_by_rejection(source, key, n_many, select(inverted, full_like(q, 0.5), q), rests)
    found = convert(select(inverted, few, many), dtype)
    found = select(wrong | senseless, full_like(found, np.nan), found)
    found = select(endless & ~(wrong | senseless), full_like(found, np.inf), found)
    return select(low | senseless | ne(p, p) | endless, found, convert(n, dtype) - found)


draw_binomial = _by_rows(_draw_binomial)


def _binomial_by_inversion(source: Source, key: Any, n: Any, p: Any) -> Any:
    """The successes among n trials, by the geometric gaps between them."""
    shape, dtype = shape_of(p), dtype_of(p)
    log_q = log1p(-p)

    def turn(state: Any) -> Any:
        count, trials, key = state
        now, key = source.split(key, 2)
        count = count + convert(trials <= n, dtype)
        return count, trials + ceil(log(source.uniform(now, shape, dtype)) / log_q), key

    start = (full(shape, 0, dtype), full(shape, 0, dtype), key)
    return while_loop(lambda s: _any(s[1] <= n), turn, start)[0] - dtype.type(1)


def _binomial_by_rejection(source: Source, key: Any, n: Any, p: Any, rests: Sequence[float]) -> Any:
    """Hormann, 1993: transformed rejection with squeeze (BTRS)."""
    deviation = sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c, v_r, r = n * p + 0.5, 0.92 - 4.2 / b, p / (1 - p)
    alpha, m = (2.83 + 5.1 / b) * deviation, floor((n + 1) * p)
    at_mode = _stirling_rest(m, rests) + _stirling_rest(n - m, rests)

    def attempt(u: Any, v: Any) -> Any:
        us = 0.5 - abs_(u)
        k = floor((2 * a / us + b) * u + c)
        squeezed = (us >= 0.07) & (v <= v_r)
        v = log(v * alpha / (a / (us * us) + b))
        bound = (
            (m + 0.5) * log((m + 1) / (r * (n - m + 1)))
            + (n + 1) * log((n - m + 1) / (n - k + 1))
            + (k + 0.5) * log(r * (n - k + 1) / (k + 1))
            + at_mode
            - _stirling_rest(k, rests)
            - _stirling_rest(n - k, rests)
        )
        return k, squeezed | (((k >= 0) & (k <= n)) & (v <= bound))

    return _until_accepted(source, key, p, attempt, math.inf)


def _stirling_rest(k: Any, rests: Sequence[float]) -> Any:
    """What Stirling's formula leaves of log(k!): `rests` for k from 0 to 9, then the first three terms."""
    high = greater(k, full_like(k, 9)) + 1
    square = high * high
    found = (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / high
    for n in range(len(rests) - 1, -1, -1):
        found = select(k < n + 1, full_like(k, rests[n]), found)
    return found
