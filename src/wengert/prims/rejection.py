"""Samplers by rejection: gamma, Poisson and binomial, each a primitive of keys and parameters.

Each key draws for its own slice of the parameters, whatever the other keys do: keys have the leading axes of the
parameters. The draws follow JAX's order of keys, so that equal keys give equal samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.config import current
from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, is_zero
from wengert.prims.arithmetic import div, mul
from wengert.prims.axes import accumulator, batch_to
from wengert.prims.constructors import constant
from wengert.prims.conversion import float_to_int
from wengert.prims.gamma import random_gamma_grad
from wengert.prims.logic import eq
from wengert.prims.rng import Generator, generator, to_words
from wengert.prims.sampling import draw_binomial, draw_gamma, draw_poisson, program
from wengert.prims.select import select
from wengert.prims.shape import full_like
from wengert.prims.transcendental import exp

scipy_special = lazy_module("scipy.special")


class _Source:
    """Draws in NumPy, as the functions of `wengert.random` do. Keys are words in the last axis."""

    __slots__ = ("generator", "partitionable")

    def __init__(self, generator: Generator, partitionable: bool):
        self.generator = generator
        self.partitionable = partitionable

    def split(self, words: Any, count: int) -> list[Any]:
        new = self.generator.split(words, (count,), self.partitionable)
        return [new[..., i, :] for i in range(count)]

    def uniform(self, words: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Numbers in [0, 1), of shape (*shape of the keys, *shape)."""
        info = dtypes.finfo(dtype)
        width = 8 if info.nmant < 8 else info.bits
        unsigned = np.dtype(f"uint{info.bits}")
        raw = self.generator.bits(words, width, shape, self.partitionable)
        mantissa = (raw >> raw.dtype.type(width - info.nmant)).astype(unsigned)
        return (mantissa | np.asarray(1.0, dtype).view(unsigned)).view(dtype) - dtype.type(1)

    def normal(self, words: Any, dtype: np.dtype[Any]) -> Any:
        """One number for each key."""
        low = np.nextafter(dtype.type(-1), dtype.type(0), dtype=dtype)
        u = self.uniform(words, (), dtype)
        u = np.maximum(low, u * (dtype.type(1) - low) + low)
        drawn = scipy_special.erfinv(u.astype(accumulator(dtype), copy=False)).astype(dtype)
        return dtype.type(math.sqrt(2)) * drawn


def _sampler(
    name: str,
    draw: Callable[..., Any],
    result: Callable[..., np.dtype[Any]],
    jvp: Callable[..., Any] | None = None,
    *,
    as_program: Callable[..., Any],
) -> Primitive:
    """A primitive of keys and parameters of one shape, which begins with that of the keys.

    draw(source, words, *parameters, **params) samples for keys of shape (rows,), parameters of shape (rows, n). So
    does `as_program` in compiled code.
    """

    def abstract_eval(keys: ShapedArray, *parameters: ShapedArray, **params: Any) -> ShapedArray:
        return ShapedArray(parameters[0].shape, result(parameters[0].dtype, **params))

    def impl(xp: Any, keys: Any, *parameters: Any, partitionable: bool, **params: Any) -> Any:
        source = _Source(generator(keys.dtype), partitionable)
        words = to_words(keys)
        shape, rows = np.shape(parameters[0]), math.prod(words.shape[:-1])
        words = words.reshape(rows, words.shape[-1])
        flat = [np.asarray(p).reshape(rows, math.prod(shape[np.ndim(keys) :])) for p in parameters]
        return np.asarray(draw(source, words, *flat, **params)).reshape(shape)

    def batch(axis: Any, args: Any, dims: Any, **params: Any) -> Any:
        return prim.bind(*[batch_to(a, d, axis.size, 0) for a, d in zip(args, dims)], **params), 0

    def constant_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = prim.bind(*primals, **params)
        return out, Zero.of(out)

    prim = Primitive(
        name,
        "library",
        abstract_eval=abstract_eval,
        impl=impl,
        jvp=jvp or constant_jvp,
        batch=batch,
        expand=program(as_program),
        keys="consume",
        hidden_params=("partitionable",),
    )
    return prim


def _settings() -> dict[str, bool]:
    return {"partitionable": current().threefry_partitionable}


# ------------------------------------------------------------------------------------------------------ gamma


def _draw_gamma(source: _Source, words: Any, a: Any, *, log_space: bool) -> Any:
    """Marsaglia and Tsang, 2000. Every element has a key of its own."""
    rows, count = a.shape
    keys = source.generator.split(words, (count,), source.partitionable).reshape(rows * count, -1)
    a = a.reshape(-1)
    dtype, one = a.dtype, a.dtype.type(1)
    boosted = a < one  # Gamma(a) is Gamma(a + 1) times a power of a uniform number
    d = np.where(boosted, a + one, a) - dtype.type(1 / 3)
    keys, last = source.split(keys, 2)
    v = _accepted(source, keys, d, dtype.type(1 / 3) / np.sqrt(d))
    u = source.uniform(last, (), dtype)
    if not log_space:
        return d * v * np.where(boosted, (one - u) ** (one / a), one)
    logs = np.log1p(-u)
    return np.log(d) + np.log(v) + np.where(boosted & (logs != 0), logs * (one / a), dtype.type(0))


def _accepted(source: _Source, keys: Any, d: Any, c: Any) -> Any:
    """The cubes that are accepted, for each element with its key."""
    found = np.empty_like(d)
    dtype, one = d.dtype, d.dtype.type(1)
    left = np.arange(d.size)
    while left.size:
        keys, x_keys, u_keys = source.split(keys, 3)
        x, v = _positive(source, x_keys, c[left])
        square, cube = x * x, v * v * v
        u = source.uniform(u_keys, (), dtype)
        found[left] = cube
        doubtful = u >= one - dtype.type(0.0331) * (square * square)
        bound = square * dtype.type(0.5) + d[left] * ((one - cube) + np.log(cube))
        refused = doubtful & (np.log(u) >= bound)
        left, keys = left[refused], keys[refused]
    return found


def _positive(source: _Source, keys: Any, c: Any) -> tuple[Any, Any]:
    """Normal numbers x for which 1 + c x is positive, and this."""
    x, v = np.empty_like(c), np.empty_like(c)
    left = np.arange(c.size)
    while left.size:
        keys, now = source.split(keys, 2)
        x[left] = source.normal(now, c.dtype)
        v[left] = c.dtype.type(1) + x[left] * c[left]
        refused = v[left] <= 0
        left, keys = left[refused], keys[refused]
    return x, v


def _gamma_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, log_space: bool, **params: Any) -> Any:
    """M. Figurnov, S. Mohamed, A. Mnih, Implicit reparameterization gradients, NeurIPS 2018."""
    a, t = primals[1], tangents[1]
    out = random_gamma_p.bind(*primals, log_space=log_space, **params)
    if is_zero(t):
        return out, Zero.of(out)
    if not log_space:
        return out, mul(t, random_gamma_grad(a, out))
    sample = exp(out)
    tiny = full_like(sample, dtypes.finfo(sample.dtype).tiny)
    sample = select(eq(sample, constant(sample, 0)), tiny, sample)
    return out, mul(t, div(random_gamma_grad(a, sample), sample))


random_gamma_p: Primitive = _sampler(
    "random_gamma", _draw_gamma, lambda dtype, **_: dtype, _gamma_jvp, as_program=draw_gamma
)


def random_gamma(keys: Any, a: Any, log_space: bool = False) -> Any:
    """Numbers of the gamma distribution, or their logarithms, for arrays of keys and parameters."""
    return random_gamma_p.bind(keys, a, log_space=log_space, **_settings())


# ---------------------------------------------------------------------------------------------------- Poisson


def _rounds(
    words: Any, unfinished: Callable[[Any], Any], turn: Callable[[Any, Any], Any], limit: float
) -> None:
    """Let turn(rows, keys) -> new keys work on the rows that unfinished(rows) finds, until there are none.

    An element that is done may change while others of its row are not: the rounds of a row are one loop.
    """
    rows = np.arange(len(words))
    rows = rows[unfinished(rows)]
    keys = words[rows]
    turns = 0
    while rows.size and turns < limit:
        keys = turn(rows, keys)
        going = unfinished(rows)
        rows, keys = rows[going], keys[going]
        turns += 1


def _draw_poisson(source: _Source, words: Any, lam: Any, *, dtype: np.dtype[Any]) -> Any:
    small = np.isnan(lam) | (lam < 10)
    limit = np.iinfo(dtype).max
    few = _poisson_by_products(source, words, np.where(small, lam, np.float32(0)), dtype, limit)
    many = _poisson_by_rejection(source, words, np.where(small, np.float32(1e5), lam), limit)
    return np.where(lam == 0, dtype.type(0), np.where(small, few, float_to_int(np, many, dtype)))


def _poisson_by_products(source: _Source, words: Any, lam: Any, dtype: np.dtype[Any], limit: float) -> Any:
    """D. E. Knuth, The Art of Computer Programming, volume 2, 3.4.1: multiply until exp(-lam) is passed."""
    count, log_product = np.zeros(lam.shape, dtype), np.zeros(lam.shape, np.float32)

    def turn(rows: Any, keys: Any) -> Any:
        keys, now = source.split(keys, 2)
        count[rows] += log_product[rows] > -lam[rows]
        log_product[rows] += np.log(source.uniform(now, lam.shape[1:], log_product.dtype))
        return keys

    _rounds(words, lambda rows: (log_product[rows] > -lam[rows]).any(1), turn, limit)
    return (count - dtype.type(1)).astype(dtype)


def _poisson_by_rejection(source: _Source, words: Any, lam: Any, limit: float) -> Any:
    """Hormann, 1993: transformed rejection with squeeze (PTRS)."""
    log_lam = np.log(lam)
    b = 0.931 + 2.53 * np.sqrt(lam)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    found, accepted = np.full_like(lam, -1), np.zeros(lam.shape, bool)

    def turn(rows: Any, keys: Any) -> Any:
        keys, first, second = source.split(keys, 3)
        u = source.uniform(first, lam.shape[1:], lam.dtype) - lam.dtype.type(0.5)
        v = source.uniform(second, lam.shape[1:], lam.dtype)
        us = 0.5 - np.abs(u)
        k = np.floor((2 * a[rows] / us + b[rows]) * u + lam[rows] + 0.43)
        s = np.log(v * inverse_alpha[rows] / (a[rows] / (us * us) + b[rows]))
        t = -lam[rows] + k * log_lam[rows] - _lgamma(k + 1)
        refused = (k < 0) | ((us < 0.013) & (v > us))
        good = ((us >= 0.07) & (v <= v_r[rows])) | (~refused & (s <= t))
        found[rows] = np.where(good, k, found[rows])
        accepted[rows] |= good
        return keys

    _rounds(words, lambda rows: ~accepted[rows].all(1), turn, limit)
    return found


def _lgamma(x: Any) -> Any:
    return scipy_special.gammaln(x.astype(np.float64)).astype(x.dtype)


random_poisson_p = _sampler(
    "random_poisson", _draw_poisson, lambda lam, *, dtype, **_: dtype, as_program=draw_poisson
)


def random_poisson(keys: Any, lam: Any, dtype: np.dtype[Any]) -> Any:
    """Integers of the Poisson distribution, for arrays of keys and means (float32)."""
    return random_poisson_p.bind(keys, lam, dtype=dtype, **_settings())


# --------------------------------------------------------------------------------------------------- binomial


def _draw_binomial(source: _Source, words: Any, n: Any, p: Any, *, dtype: np.dtype[Any]) -> Any:
    kind = p.dtype
    low = p < 0.5
    q = np.where(low, p, kind.type(1) - p)
    senseless, wrong = np.isnan(n) | (n < 0), np.isnan(q) | (q < 0)
    endless = np.isinf(n)
    q = np.where(wrong, kind.type(0.01), q)
    inverted = senseless | (n * q <= 10)
    n = np.floor(n)
    few = _binomial_by_inversion(source, words, np.where(inverted, n, kind.type(0)), q)
    n_many, q_many = np.where(inverted, kind.type(1e4), n), np.where(inverted, kind.type(0.5), q)
    many = _binomial_by_rejection(source, words, n_many, q_many)
    found = np.where(inverted, few, many).astype(dtype)
    found = np.where(wrong | senseless, dtype.type(np.nan), found)
    found = np.where(endless & ~(wrong | senseless), dtype.type(np.inf), found)
    return np.where(low | senseless | np.isnan(p) | endless, found, n.astype(dtype) - found)


def _binomial_by_inversion(source: _Source, words: Any, n: Any, p: Any) -> Any:
    """The successes among n trials, by the geometric gaps between them."""
    log_q = np.log1p(-p)
    count, trials = np.zeros_like(p), np.zeros_like(p)

    def turn(rows: Any, keys: Any) -> Any:
        now, keys = source.split(keys, 2)
        count[rows] += trials[rows] <= n[rows]
        trials[rows] += np.ceil(np.log(source.uniform(now, p.shape[1:], p.dtype)) / log_q[rows])
        return keys

    _rounds(words, lambda rows: (trials[rows] <= n[rows]).any(1), turn, math.inf)
    return count - p.dtype.type(1)


def _binomial_by_rejection(source: _Source, words: Any, n: Any, p: Any) -> Any:
    """Hormann, 1993: transformed rejection with squeeze (BTRS)."""
    deviation = np.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c, v_r, r = n * p + 0.5, 0.92 - 4.2 / b, p / (1 - p)
    alpha, m = (2.83 + 5.1 / b) * deviation, np.floor((n + 1) * p)
    found, accepted = np.full_like(p, -1), np.zeros(p.shape, bool)
    at_mode = _stirling_rest(m) + _stirling_rest(n - m)

    def turn(rows: Any, keys: Any) -> Any:
        keys, first, second = source.split(keys, 3)
        u = source.uniform(first, p.shape[1:], p.dtype) - p.dtype.type(0.5)
        v = source.uniform(second, p.shape[1:], p.dtype)
        nn, mm, rr, us = n[rows], m[rows], r[rows], 0.5 - np.abs(u)
        k = np.floor((2 * a[rows] / us + b[rows]) * u + c[rows])
        squeezed = (us >= 0.07) & (v <= v_r[rows])
        v = np.log(v * alpha[rows] / (a[rows] / (us * us) + b[rows]))
        bound = (
            (mm + 0.5) * np.log((mm + 1) / (rr * (nn - mm + 1)))
            + (nn + 1) * np.log((nn - mm + 1) / (nn - k + 1))
            + (k + 0.5) * np.log(rr * (nn - k + 1) / (k + 1))
            + at_mode[rows]
            - _stirling_rest(k)
            - _stirling_rest(nn - k)
        )
        good = squeezed | (((k >= 0) & (k <= nn)) & (v <= bound))
        found[rows] = np.where(good, k, found[rows])
        accepted[rows] |= good
        return keys

    _rounds(words, lambda rows: ~accepted[rows].all(1), turn, math.inf)
    return found


@functools.cache
def _small_rests() -> Any:
    """log(k!) minus Stirling's formula for (k + 1)!, at k = 0 to 9."""
    k = np.arange(10.0)
    stirling = 0.5 * math.log(2 * math.pi) + (k + 0.5) * np.log(k + 1) - (k + 1)
    return scipy_special.gammaln(k + 1) - stirling


def _stirling_rest(k: Any) -> Any:
    """What Stirling's formula leaves of log(k!): 1 / (12 (k + 1)) - ..., the first three terms from k = 10 on."""
    table = _small_rests().astype(k.dtype)
    near = np.clip(np.nan_to_num(k), 0, 9)
    square = np.square(np.maximum(k, 9) + 1)
    series = (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (np.maximum(k, 9) + 1)
    return np.where(k <= 9, table[np.floor(near).astype(np.int32)], series.astype(k.dtype))


random_binomial_p = _sampler(
    "random_binomial",
    _draw_binomial,
    lambda n, *, dtype, **_: dtype,
    as_program=lambda *args, **params: draw_binomial(*args, rests=_small_rests().tolist(), **params),
)


def random_binomial(keys: Any, n: Any, p: Any, dtype: np.dtype[Any]) -> Any:
    """Whole numbers of the binomial distribution, for arrays of keys and parameters of one floating dtype."""
    return random_binomial_p.bind(keys, n, p, dtype=dtype, **_settings())
