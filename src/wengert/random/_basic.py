"""Bits, and what is made of them in one step: uniform floats and integers, normal numbers, coin tosses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.numpy import _util
from wengert.prims import rng
from wengert.prims.constructors import canonical_shape
from wengert.random._arguments import (
    NpDType,
    Shape,
    float_dtype,
    int_dtype,
    one_key,
    pair,
    param,
    shape_for,
    spread,
)


def bits(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Uniformly distributed bits, as an array of unsigned integers (uint32, or uint64 under x64).

    Raises:
      ValueError: dtype is not unsigned.
    """
    key = one_key(key, "bits")
    found = dtypes.default_uint_dtype() if dtype is None else dtypes.check_and_canonicalize_user_dtype(dtype)
    if not dtypes.issubdtype(found, np.unsignedinteger):
        raise ValueError(f"dtype argument to `bits` must be an unsigned int dtype, got {found}")
    return rng.random_bits(key, found.itemsize * 8, canonical_shape(shape))


def uniform_of(key: Any, shape: Shape, dtype: NpDType, minval: Any = None, maxval: Any = None) -> Any:
    """Uniform numbers in [minval, maxval), by default [0, 1): random bits are the mantissas of numbers in [1, 2)."""
    info = dtypes.finfo(dtype)
    width, mantissa = info.bits, info.nmant
    unsigned = np.dtype(f"uint{width}")
    drawn_width = 8 if mantissa < 8 else width
    raw = rng.random_bits(key, drawn_width, shape)
    drawn = lax.shift_right_logical(raw, raw.dtype.type(drawn_width - mantissa))
    one = np.asarray(1.0, dtype).view(unsigned)[()]
    ones = lax.bitwise_or(lax.convert_element_type(drawn, unsigned), one)
    floats = lax.sub(lax.bitcast_convert_type(ones, dtype), dtype.type(1))
    if minval is None:
        return floats
    scaled = lax.add(lax.mul(floats, lax.sub(maxval, minval)), minval)
    return lax.max(minval, scaled)


def uniform(
    key: Any,
    shape: Any = (),
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
      ValueError: dtype is not a float; the bounds don't broadcast to the shape.
    """
    key, dtype, shape = one_key(key, "uniform"), float_dtype(dtype, "uniform"), canonical_shape(shape)
    if isinstance(minval, float | int) and isinstance(maxval, float | int) and (minval, maxval) == (0, 1):
        return uniform_of(key, shape, dtype)
    low, high = (_util.convert(_util.as_array(p, "uniform"), dtype) for p in (minval, maxval))
    shape_for("uniform", shape, low.shape, high.shape)
    low, high = (p if not p.ndim else spread(p, shape) for p in (low, high))
    return uniform_of(key, shape, dtype, low, high)


def randint(
    key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Integers that are uniformly distributed in [minval, maxval).

    Args:
      minval, maxval: integers, or arrays of them that broadcast to the shape; floats are rounded towards 0.
      dtype: an integer dtype; int32, or int64 under x64, if None.
    Raises:
      TypeError: dtype is not an integer.
    """
    key, shape, dtype = one_key(key, "randint"), canonical_shape(shape), int_dtype(dtype)
    if not dtypes.issubdtype(dtype, np.integer):
        raise TypeError(f"randint only accepts integer dtypes, got {dtype}")
    info = dtypes.iinfo(dtype)
    if info.bits < 32:  # at least 32 bits are drawn, for a bias that nobody notices
        low, high = (_clipped(p, info.min, info.max + 1) for p in (minval, maxval))
        return lax.convert_element_type(randint(key, shape, low, high, np.int32), dtype)
    low, high = (_clipped(p, info.min, info.max) for p in (minval, maxval))
    low, high = (lax.convert_element_type(p, dtype) for p in (low, high))
    above = _above(maxval, info.max)
    shape_for("randint", shape, low.shape, high.shape)
    k1, k2 = pair(key)
    upper, lower = (rng.random_bits(k, info.bits, shape) for k in (k1, k2))
    unsigned = np.dtype(f"uint{info.bits}")
    empty = jnp.less_equal(high, low)
    span = lax.convert_element_type(jnp.subtract(high, low), unsigned)
    span = jnp.where(empty, unsigned.type(1), span)
    span = jnp.where(jnp.logical_and(above, ~empty), span + unsigned.type(1), span)
    half = lax.rem(lax.full_like(span, 2 ** (info.bits // 2)), span)
    factor = lax.rem(lax.mul(half, half), span)
    span, factor = (spread(x, shape) for x in (span, factor))
    offset = lax.add(lax.mul(lax.rem(upper, span), factor), lax.rem(lower, span))
    return lax.add(spread(low, shape), lax.convert_element_type(lax.rem(offset, span), dtype))


def _clipped(bound: Any, low: int, high: int) -> Any:
    """A bound as an array of integers from low to high."""
    if isinstance(bound, int | np.integer) and not isinstance(bound, bool):
        return _util.as_array(
            np.asarray(min(max(int(bound), low), high), np.int64 if high >> 31 else np.int32)
        )
    bound = _util.as_array(bound, "randint")
    if not dtypes.issubdtype(bound.dtype, np.integer):
        bound = lax.convert_element_type(bound, dtypes.default_int_dtype())
    info = dtypes.iinfo(bound.dtype)
    return jnp.clip(bound, max(low, int(info.min)), min(high, int(info.max)))


def _above(bound: Any, top: int) -> Any:
    """Whether a bound is larger than all numbers of the dtype: the last one may then be drawn, too."""
    if isinstance(bound, int | np.integer):
        return np.bool_(int(bound) > top)
    bound = _util.as_array(bound, "randint")
    if not dtypes.issubdtype(bound.dtype, np.integer) or int(dtypes.iinfo(bound.dtype).max) <= top:
        return np.bool_(False)
    return jnp.greater(bound, bound.dtype.type(top))


def normal(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard normal distribution; real and imaginary part of variance 1/2 for a complex dtype.

    Raises:
      ValueError: dtype is neither float nor complex.
    """
    key, shape = one_key(key, "normal"), canonical_shape(shape)
    dtype = float_dtype(dtype, "normal", complex_too=True)
    if dtype.kind == "c":
        part = np.finfo(dtype).dtype
        re, im = (normal_of(k, shape, part) for k in pair(key))
        return lax.div(lax.complex(re, im), dtype.type(math.sqrt(2)))
    return normal_of(key, shape, dtype)


def normal_of(key: Any, shape: Shape, dtype: NpDType) -> Any:
    """Numbers of the standard normal distribution, by inversion."""
    low = np.nextafter(dtype.type(-1), dtype.type(0), dtype=dtype)
    u = uniform_of(key, shape, dtype, low, dtype.type(1))
    return lax.mul(dtype.type(math.sqrt(2)), lax.erf_inv(u))


def bernoulli(
    key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low", *, out_sharding: Any = None
) -> Any:
    """Booleans that are True with probability `p`.

    Args:
      mode: "high" draws twice as many bits, for probabilities that are small.
    Raises:
      TypeError: `p` is not floating.
      ValueError: there is no such mode.
    """
    if mode not in ("low", "high"):
        raise ValueError(f"got {mode=}, expected 'high' or 'low'")
    key = one_key(key, "bernoulli")
    p = _util.as_array(p, "bernoulli")
    if not dtypes.issubdtype(p.dtype, np.floating):
        raise TypeError(f"bernoulli probability `p` must have a floating dtype, got {p.dtype}.")
    shape = shape_for("bernoulli", shape, p.shape)
    p = spread(_util.convert(p, p.dtype), shape)
    if mode == "low":
        return lax.lt(uniform_of(key, shape, p.dtype), p)
    coarse, fine = jnp.unstack(uniform_of(key, (2, *shape), p.dtype))
    step = p.dtype.type(2.0 ** -dtypes.finfo(p.dtype).nmant)
    return lax.lt(lax.mul(fine, step), lax.sub(p, coarse))


def rademacher(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers that are 1 or -1 with equal probability; int32 by default."""
    dtype = int_dtype(dtype)
    signs = lax.convert_element_type(bernoulli(key, shape=canonical_shape(shape)), dtype)
    return lax.sub(lax.mul(dtype.type(2), signs), dtype.type(1))


def truncated_normal(
    key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the standard normal distribution in (lower, upper)."""
    key, dtype = one_key(key, "truncated_normal"), float_dtype(dtype, "truncated_normal")
    low, high = (_util.convert(_util.as_array(p, "truncated_normal"), dtype) for p in (lower, upper))
    shape = shape_for("truncated_normal", shape, low.shape, high.shape)
    low, high = (p if not p.ndim else spread(p, shape) for p in (low, high))
    root = dtype.type(math.sqrt(2))
    u = uniform_of(key, shape, dtype, lax.erf(lax.div(low, root)), lax.erf(lax.div(high, root)))
    out = lax.mul(root, lax.erf_inv(u))
    inner = lax.nextafter(lax.stop_gradient(low), dtype.type(math.inf))
    outer = lax.nextafter(lax.stop_gradient(high), dtype.type(-math.inf))
    return lax.clamp(inner, out, outer)


def lognormal(
    key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers whose logarithm is normally distributed with standard deviation `sigma` and mean 0."""
    key, dtype = one_key(key, "lognormal"), float_dtype(dtype, "lognormal", complex_too=True)
    sigma = param(sigma, dtype, "lognormal")
    shape = shape_for("lognormal", shape, sigma.shape)
    return lax.exp(lax.mul(normal(key, shape, dtype), spread(sigma, shape)))
