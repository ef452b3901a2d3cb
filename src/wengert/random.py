"""Random numbers from explicit keys: `wengert.random`, as `jax.random`.

A key is made of a seed (`key`, or `PRNGKey` for one of the older form, a uint32 array of shape (2,)), split
into new keys, and used once. Equal keys give equal numbers, bit for bit those of JAX where it documents
them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.numpy import _util
from wengert.prims import rng

__all__ = [
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "cauchy",
    "choice",
    "clone",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "key_data",
    "key_impl",
    "laplace",
    "logistic",
    "lognormal",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "rayleigh",
    "split",
    "truncated_normal",
    "uniform",
    "weibull_min",
    "wrap_key_data",
]

Shape = int | Sequence[int]
_IMPLS = ("threefry2x32", "fry")

# ----------------------------------------------------------------------------------------------------- keys


def _check_impl(impl: Any) -> None:
    if impl is not None and str(impl) not in _IMPLS:
        raise ValueError(f"unrecognized PRNG implementation {impl!r}; the generator is threefry2x32")


def _seed(seed: Any, function: str) -> Any:
    """A seed as an integer operand: Python integers wrap around at 32 bits, or 64 under x64."""
    if isinstance(seed, bool | float | list | tuple):
        raise TypeError(f"PRNG key seed must be an integer; {function} got {seed!r}")
    if isinstance(seed, int):
        dtype = dtypes.canonicalize_dtype(np.dtype(np.int64))
        width = dtype.itemsize * 8
        if not -(2**63) <= seed < 2**64:
            raise OverflowError(f"{function} got the seed {seed}, which does not fit into 64 bits")
        return dtype.type((seed + 2 ** (width - 1)) % 2**width - 2 ** (width - 1))
    return _util.as_array(seed, function)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """A key from an integer seed: a scalar array of dtype key<fry>.

    Args:
      seed: an integer, or an array of integers, for an array of keys.
      impl: the generator; "threefry2x32" is the one there is.
    Raises:
      TypeError: the seed is not an integer.
    """
    _check_impl(impl)
    return rng.random_seed(_seed(seed, "random.key"))


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """A key of the older form, from an integer seed: a uint32 array of shape (2,)."""
    _check_impl(impl)
    return rng.seed_words(_seed(seed, "random.PRNGKey"))


def _words(key: Any, function: str, scalar: bool = True) -> tuple[Any, bool]:
    """The words of a key, and whether it is of the typed form."""
    if not isinstance(key, ArrayBase | np.ndarray):
        raise TypeError(
            f"unexpected PRNG key type {type(key)}: {function} takes a key made by random.key or PRNGKey"
        )
    typed = rng.is_key(key)
    words = rng.random_unwrap(key) if typed else _util.as_array(key, function)
    if words.dtype != np.uint32 or words.ndim < 1 or words.shape[-1] != 2:
        raise TypeError(
            f"{function} takes a key, of dtype key<fry> or uint32 with a last axis of size 2, got "
            f"{words.aval.str_short()}; make one with random.key(seed)"
        )
    if scalar and words.ndim > 1:
        raise ValueError(
            f"random.{function} accepts a single key, but was given a key array of shape {words.shape[:-1]} != (). "
            "Use vmap for batching."
        )
    return words, typed


def _shape(shape: Any, function: str) -> tuple[int, ...]:
    if shape is None:
        return ()
    if isinstance(shape, int | np.integer):
        return (int(shape),)
    try:
        return tuple(int(d) for d in shape)
    except TypeError:
        raise TypeError(f"{function} takes a shape of integers, got {shape!r}") from None


def key_data(keys: Any) -> Any:
    """The words of keys: uint32 of shape (*keys.shape, 2)."""
    return _words(keys, "key_data", scalar=False)[0]


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """Typed keys from their words: uint32 of shape (..., 2) to keys of shape (...)."""
    _check_impl(impl)
    return rng.random_wrap(_util.as_array(key_bits_array, "wrap_key_data"))


def key_impl(keys: Any) -> str:
    """The name of the generator that keys belong to."""
    _words(keys, "key_impl", scalar=False)
    return "fry" if rng.is_key(keys) else "threefry2x32"


def clone(key: Any) -> Any:
    """The same key again, to be used on purpose."""
    return key


def split(key: Any, num: int | tuple[int, ...] = 2) -> Any:
    """New, independent keys from a key.

    Args:
      key: one key.
      num: how many, or the shape of the array of keys.
    Returns:
      Keys of shape (num,), or uint32 of shape (num, 2) for keys of the older form.
    """
    words, typed = _words(key, "split")
    new = rng.split_words(words, _shape(num, "split"))
    return rng.random_wrap(new) if typed else new


def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and an integer of 32 bits."""
    words, typed = _words(key, "fold_in")
    if isinstance(data, int):
        data = np.uint32(data % 2**32)
    data = lax.convert_element_type(_util.as_array(data, "fold_in"), np.uint32)
    if data.ndim:
        raise TypeError(
            "fold_in accepts a scalar, but was given an array of shape {data.shape}. Use vmap for batching."
        )
    new = rng.fold_in_words(words, data)
    return rng.random_wrap(new) if typed else new


def bits(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Uniformly distributed bits, as an array of unsigned integers (uint32, or uint64 under x64).

    Raises:
      ValueError: dtype is not unsigned.
    """
    words, _ = _words(key, "bits")
    dtype = dtypes.default_uint_dtype() if dtype is None else dtypes.canonicalize_dtype(np.dtype(dtype))
    if dtype.kind != "u":
        raise ValueError(f"dtype argument to `bits` must be an unsigned int dtype, got {dtype}")
    return rng.bits_of_words(words, dtype.itemsize * 8, _shape(shape, "bits"))


# -------------------------------------------------------------------------------------------- distributions


def _float_dtype(dtype: Any, function: str, *params: Any) -> np.dtype[Any]:
    """The float dtype asked for, or that of the parameters, or the default one."""
    if dtype is None:
        found = dtypes.result_type(*params) if params else dtypes.default_float_dtype()
        dtype = _util.inexact_dtype(found)
    canonical: np.dtype[Any] = dtypes.canonicalize_dtype(dtypes.as_dtype(dtype))
    if not dtypes.issubdtype(canonical, np.floating):
        raise ValueError(f"dtype argument to `{function}` must be a float dtype, got {canonical}")
    return canonical


def _param(x: Any, dtype: np.dtype[Any], shape: tuple[int, ...], function: str) -> Any:
    """A parameter of a distribution, in its dtype; broadcast to the shape unless it is a scalar."""
    x = _util.convert(_util.as_array(x, function), dtype)
    if x.shape in ((), shape):
        return x
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{function} got parameters of shape {x.shape}, which does not broadcast to shape {shape}"
        )
    return lax.broadcast_in_dim(x, shape, range(len(shape) - x.ndim, len(shape)))


def _result_shape(shape: Any, function: str, *params: Any) -> tuple[int, ...]:
    """The shape asked for, or the common one of the parameters."""
    if shape is None:
        return np.broadcast_shapes(
            *(np.shape(p) if not isinstance(p, ArrayBase) else p.shape for p in params)
        )
    return _shape(shape, function)


def _uniform(words: Any, shape: tuple[int, ...], dtype: np.dtype[Any], minval: Any, maxval: Any) -> Any:
    """Random bits become the mantissas of numbers in [1, 2)."""
    info = dtypes.finfo(dtype)
    width, mantissa = info.bits, info.nmant
    if width not in (16, 32, 64):
        raise TypeError(f"uniform only accepts 16-, 32-, or 64-bit dtypes, got {dtype}")
    unsigned = np.dtype(f"uint{width}")
    random_width = 8 if mantissa < 8 else width
    raw = rng.bits_of_words(words, random_width, shape)
    drawn = lax.shift_right_logical(raw, raw.dtype.type(random_width - mantissa))
    one = np.asarray(1.0, dtype).view(unsigned)[()]
    ones = lax.bitwise_or(lax.convert_element_type(drawn, unsigned), one)
    floats = lax.sub(lax.bitcast_convert_type(ones, dtype), dtype.type(1))
    if minval is None:
        return floats
    scaled = lax.add(lax.mul(floats, lax.sub(maxval, minval)), minval)
    return lax.max(minval, scaled)


def _numbers(dtype: np.dtype[Any], *values: float) -> list[Any]:
    return [_util.scalar(v, dtype) for v in values]


def uniform(
    key: Any,
    shape: Shape = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers that are uniformly distributed in [minval, maxval).

    Args:
      key: a key.
      shape: the shape of the result.
      dtype: a float dtype; the default one if None.
      minval, maxval: the bounds; numbers or arrays that broadcast to the shape.
    Raises:
      ValueError: dtype is not a float.
    """
    words, _ = _words(key, "uniform")
    dtype, shape = _float_dtype(dtype, "uniform"), _shape(shape, "uniform")
    if isinstance(minval, float | int) and isinstance(maxval, float | int) and (minval, maxval) == (0, 1):
        return _uniform(words, shape, dtype, None, None)
    low, high = (_param(p, dtype, shape, "uniform") for p in (minval, maxval))
    return _uniform(words, shape, dtype, low, high)


def normal(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard normal distribution; real and imaginary part of variance 1/2 for a complex dtype.

    Raises:
      ValueError: dtype is neither float nor complex.
    """
    words, _ = _words(key, "normal")
    shape = _shape(shape, "normal")
    if dtype is not None and dtypes.issubdtype(dtypes.as_dtype(dtype), np.complexfloating):
        part = np.finfo(dtypes.canonicalize_dtype(dtypes.as_dtype(dtype))).dtype
        pair = rng.split_words(words, (2,))
        first, second = (lax.index_in_dim(pair, i, 0, keepdims=False) for i in (0, 1))
        half = part.type(math.sqrt(0.5))
        return lax.complex(
            lax.mul(_normal(first, shape, part), half), lax.mul(_normal(second, shape, part), half)
        )
    return _normal(words, shape, _float_dtype(dtype, "normal"))


def _normal(words: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    low = np.nextafter(dtype.type(-1), dtype.type(0), dtype=dtype)
    u = _uniform(words, shape, dtype, low, dtype.type(1))
    return lax.mul(dtype.type(math.sqrt(2)), lax.erf_inv(u))


def truncated_normal(
    key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the standard normal distribution in (lower, upper)."""
    words, _ = _words(key, "truncated_normal")
    dtype, shape = (
        _float_dtype(dtype, "truncated_normal"),
        _result_shape(shape, "truncated_normal", lower, upper),
    )
    low, high = (_param(p, dtype, shape, "truncated_normal") for p in (lower, upper))
    root = dtype.type(math.sqrt(2))
    u = _uniform(words, shape, dtype, lax.erf(lax.div(low, root)), lax.erf(lax.div(high, root)))
    infinity = dtype.type(math.inf)
    out = lax.mul(root, lax.erf_inv(u))
    return lax.clamp(lax.nextafter(low, infinity), out, lax.nextafter(high, lax.neg(infinity)))


def randint(
    key: Any, shape: Shape, minval: Any, maxval: Any, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Integers that are uniformly distributed in [minval, maxval).

    Args:
      minval, maxval: integers, or arrays of them that broadcast to the shape.
      dtype: an integer dtype; int32, or int64 under x64, if None.
    Raises:
      TypeError: dtype is not an integer.
    """
    words, _ = _words(key, "randint")
    shape = _shape(shape, "randint")
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_dtype(dtypes.as_dtype(dtype))
    if dtype.kind not in "iu":
        raise TypeError(f"randint only accepts integer dtypes, got {dtype}")
    for bound in (minval, maxval):
        if dtypes.kind_of(_util.dtype_of(_util.operand("randint", bound))) not in "iu":
            raise TypeError(f"randint takes integers as minval and maxval, got {bound!r}")
    info = np.iinfo(dtype)
    if dtype.itemsize < 4:  # at least 32 bits are drawn, for a bias that nobody notices
        low, high = (_clipped(p, info.min, info.max + 1) for p in (minval, maxval))
        return lax.convert_element_type(randint(key, shape, low, high, np.int32), dtype)
    above = isinstance(maxval, int | np.integer) and maxval > info.max
    low, high = (_param(_clipped(p, info.min, info.max), dtype, shape, "randint") for p in (minval, maxval))
    width = dtype.itemsize * 8
    unsigned = np.dtype(f"uint{width}")
    pair = rng.split_words(words, (2,))
    upper, lower = (
        rng.bits_of_words(lax.index_in_dim(pair, i, 0, keepdims=False), width, shape) for i in (0, 1)
    )
    span = lax.convert_element_type(lax.sub(high, low), unsigned)
    if above:
        span = lax.add(span, unsigned.type(1))
    empty = lax.le(high, low)
    span = lax.select_n(empty, span, lax.full_like(span, 1))
    half = lax.rem(lax.full_like(span, 2 ** (width // 2)), span)
    factor = lax.rem(lax.mul(half, half), span)
    span, factor = (_spread(x, shape) for x in (span, factor))
    offset = lax.add(lax.mul(lax.rem(upper, span), factor), lax.rem(lower, span))
    return lax.add(_spread(low, shape), lax.convert_element_type(lax.rem(offset, span), dtype))


def _clipped(bound: Any, low: int, high: int) -> Any:
    return min(max(int(bound), low), high) if isinstance(bound, int | np.integer) else bound


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else lax.broadcast(x, shape)


def bernoulli(
    key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low", *, out_sharding: Any = None
) -> Any:
    """Booleans that are True with probability `p`."""
    if mode not in ("low", "high"):
        raise ValueError(f"got {mode=}, expected 'high' or 'low'")
    dtype = _float_dtype(None, "bernoulli", p)
    shape = _result_shape(shape, "bernoulli", p)
    words, _ = _words(key, "bernoulli")
    p = _param(p, dtype, shape, "bernoulli")
    if mode == "low":
        return lax.lt(_uniform(words, shape, dtype, None, None), p)
    pair = rng.split_words(words, (2,))
    fine, coarse = (
        _uniform(lax.index_in_dim(pair, i, 0, keepdims=False), shape, dtype, None, None) for i in (0, 1)
    )
    step = dtype.type(2.0 ** -dtypes.finfo(dtype).nmant)
    return lax.lt(coarse, lax.sub(p, lax.mul(fine, step)))


def rademacher(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers that are 1 or -1 with equal probability; int32 by default."""
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_dtype(dtypes.as_dtype(dtype))
    signs = lax.convert_element_type(bernoulli(key, shape=_shape(shape, "rademacher")), dtype)
    return lax.sub(lax.mul(dtype.type(2), signs), dtype.type(1))


def exponential(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the exponential distribution of mean 1."""
    words, _ = _words(key, "exponential")
    dtype = _float_dtype(dtype, "exponential")
    u = _uniform(words, _shape(shape, "exponential"), dtype, None, None)
    return lax.neg(lax.log1p(lax.neg(u)))


def gumbel(
    key: Any, shape: Shape = (), dtype: Any = None, mode: str | None = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the standard Gumbel distribution, -log(-log(u))."""
    if mode not in (None, "low", "high"):
        raise ValueError("Must provide valid mode for gumbel got: {mode}")
    words, _ = _words(key, "gumbel")
    dtype, shape = _float_dtype(dtype, "gumbel"), _shape(shape, "gumbel")
    tiny = dtypes.finfo(dtype).tiny
    u = _uniform(words, shape, dtype, dtype.type(tiny), dtype.type(1))
    return lax.neg(lax.log(lax.neg(lax.log(u))))


def laplace(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard Laplace distribution."""
    words, _ = _words(key, "laplace")
    dtype, shape = _float_dtype(dtype, "laplace"), _shape(shape, "laplace")
    low = dtype.type(-1 + float(dtypes.finfo(dtype).epsneg))
    u = _uniform(words, shape, dtype, low, dtype.type(1))
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


def logistic(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard logistic distribution."""
    words, _ = _words(key, "logistic")
    dtype, shape = _float_dtype(dtype, "logistic"), _shape(shape, "logistic")
    u = _uniform(words, shape, dtype, dtype.type(dtypes.finfo(dtype).tiny), dtype.type(1))
    return lax.log(lax.div(u, lax.sub(dtype.type(1), u)))


def cauchy(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard Cauchy distribution."""
    words, _ = _words(key, "cauchy")
    dtype, shape = _float_dtype(dtype, "cauchy"), _shape(shape, "cauchy")
    u = _uniform(words, shape, dtype, dtype.type(dtypes.finfo(dtype).eps), dtype.type(1))
    return lax.tan(lax.mul(dtype.type(math.pi), lax.sub(u, dtype.type(0.5))))


def lognormal(
    key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers whose logarithm is normally distributed with standard deviation `sigma` and mean 0."""
    dtype, shape = _float_dtype(dtype, "lognormal"), _result_shape(shape, "lognormal", sigma)
    scale = _param(sigma, dtype, shape, "lognormal")
    return lax.exp(lax.mul(normal(key, shape, dtype), scale))


def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Rayleigh distribution with the given scale."""
    words, _ = _words(key, "rayleigh")
    dtype, shape = _float_dtype(dtype, "rayleigh"), _result_shape(shape, "rayleigh", scale)
    root = lax.sqrt(lax.mul(lax.log(_uniform(words, shape, dtype, None, None)), dtype.type(-2)))
    return lax.mul(_param(scale, dtype, shape, "rayleigh"), root)


def weibull_min(key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Numbers of the Weibull distribution with the given scale and concentration."""
    words, _ = _words(key, "weibull_min")
    dtype, shape = _float_dtype(dtype, "weibull_min"), _shape(shape, "weibull_min")
    power = lax.div(dtype.type(1), _param(concentration, dtype, shape, "weibull_min"))
    u = _uniform(words, shape, dtype, None, None)
    drawn = lax.pow(lax.neg(lax.log1p(lax.neg(u))), _spread(power, shape))
    return lax.mul(drawn, _param(scale, dtype, shape, "weibull_min"))


# -------------------------------------------------------------------------------------- choosing and
# shuffling


def _shuffle(words: Any, x: Any, axis: int) -> Any:
    """Sort by random keys, often enough that equal keys do not matter."""
    rounds = math.ceil(3 * math.log(max(1, x.size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        pair = rng.split_words(words, (2,))
        words, now = (lax.index_in_dim(pair, i, 0, keepdims=False) for i in (0, 1))
        _, x = lax.sort_key_val(rng.bits_of_words(now, 32, x.shape), x, axis)
    return x


def permutation(
    key: Any, x: Any, axis: int = 0, independent: bool = False, *, out_sharding: Any = None
) -> Any:
    """The elements of `x` along an axis in random order; for an integer n, those of arange(n).

    Args:
      independent: shuffle each line along the axis on its own, instead of whole slices.
    """
    words, _ = _words(key, "permutation")
    if isinstance(x, int | np.integer):
        x = lax.iota(dtypes.default_int_dtype(), int(x))
        return _shuffle(words, x, 0)
    x = _util.as_array(x, "permutation")
    if x.ndim == 0:
        return _shuffle(words, lax.iota(dtypes.default_int_dtype(), int(x)), 0)
    axis = axis % x.ndim
    if independent or x.ndim == 1:
        return _shuffle(words, x, axis)
    order = _shuffle(words, lax.iota(dtypes.default_int_dtype(), x.shape[axis]), 0)
    return _take(x, order, axis)


def _take(x: Any, index: Any, axis: int) -> Any:
    """Slices of x along an axis, for indices of any shape that are in bounds."""
    sizes = [1 if d == axis else n for d, n in enumerate(x.shape)]
    dims = lax.GatherDimensionNumbers(
        offset_dims=tuple(d if d < axis else d + index.ndim - 1 for d in range(x.ndim) if d != axis),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
    )
    return lax.gather(x, lax.expand_dims(index, (index.ndim,)), dims, tuple(sizes))


def choice(
    key: Any,
    a: Any,
    shape: Shape = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Any:
    """Elements drawn at random from `a`, or from arange(a) for an integer.

    Args:
      replace: whether an element may be drawn more than once.
      p: probabilities of the elements along the axis; equal ones if None.
    Raises:
      ValueError: there are too few elements, or `p` has another shape.
    """
    words, _ = _words(key, "choice")
    shape = _shape(shape, "choice")
    draws = math.prod(shape)
    whole = isinstance(a, int | np.integer)
    array: Any = None if whole else _util.as_array(a, "choice")
    n = int(a) if whole else array.shape[axis]
    if n <= 0 and draws:
        raise ValueError("a must be greater than 0 unless no samples are taken")
    if not replace and draws > n:
        raise ValueError(
            f"Cannot take a larger sample (size {draws}) than population (size {n}) when 'replace=False'"
        )
    default = dtypes.default_int_dtype()
    if p is None and replace:
        index = randint(key, shape, 0, n, default)
    elif p is None:
        index = lax.reshape(lax.slice_in_dim(_shuffle(words, lax.iota(default, n), 0), 0, draws), shape)
    else:
        p = _util.as_array(p, "choice")
        p = _util.convert(p, _util.inexact_dtype(p.dtype))
        if p.shape != (n,):
            raise ValueError(
                "p must be None or a 1D vector with the same size as a.shape[axis]."
                f" p has shape {p.shape} and a.shape[axis] is {n}."
            )
        index = _weighted(words, p, shape, draws, replace)
    return index if array is None else _take(array, index, axis % array.ndim)


def _weighted(words: Any, p: Any, shape: tuple[int, ...], draws: int, replace: bool) -> Any:
    """Indices drawn with probabilities in proportion to p."""
    default = dtypes.default_int_dtype()
    if not replace:
        g = lax.add(gumbel(words, p.shape, p.dtype), lax.log(p))
        return lax.reshape(lax.convert_element_type(lax.top_k(g, draws)[1], default), shape)
    total = lax.cumsum(p, 0)
    last = lax.index_in_dim(total, -1, 0, keepdims=False)
    r = lax.mul(last, lax.sub(p.dtype.type(1), _uniform(words, (draws,), p.dtype, None, None)))
    below = lax.lt(
        lax.broadcast_in_dim(total, (draws, p.size), (1,)), lax.broadcast_in_dim(r, (draws, p.size), (0,))
    )
    index = lax.reduce_sum(lax.convert_element_type(below, default), (1,))
    return lax.reshape(index, shape)


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
    """
    logits = _util.as_array(logits, "categorical")
    logits = _util.convert(logits, _util.inexact_dtype(logits.dtype))
    axis = axis % logits.ndim
    batch = tuple(d for n, d in enumerate(logits.shape) if n != axis)
    shape = batch if shape is None else _shape(shape, "categorical")
    if shape[len(shape) - len(batch) :] != batch:
        raise ValueError(f"categorical: shape {shape} does not end in the batch shape {batch} of the logits")
    prefix = shape[: len(shape) - len(batch)]
    default = dtypes.default_int_dtype()
    if not replace and prefix:
        g = lax.add(gumbel(key, logits.shape, logits.dtype), logits)
        order = [n for n in range(logits.ndim) if n != axis] + [axis]
        picked = lax.top_k(lax.transpose(g, order), math.prod(prefix))[1]
        moved = lax.transpose(picked, [logits.ndim - 1, *range(logits.ndim - 1)])
        return lax.convert_element_type(lax.reshape(moved, shape), default)
    drawn = gumbel(key, (*prefix, *logits.shape), logits.dtype)
    total = lax.add(drawn, lax.broadcast(logits, prefix))
    return lax.argmax(total, len(prefix) + axis, default)
