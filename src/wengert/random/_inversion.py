"""Distributions whose samples are a function of one uniform or a few normal numbers."""

from __future__ import annotations

import math
from typing import Any

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.numpy import _util
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
from wengert.random._basic import normal_of, rademacher, uniform_of


def exponential_of(key: Any, shape: Shape, dtype: NpDType) -> Any:
    """Numbers of the exponential distribution of mean 1, by inversion."""
    return lax.neg(lax.log1p(lax.neg(uniform_of(key, shape, dtype))))


def exponential(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the exponential distribution of mean 1."""
    key, dtype = one_key(key, "exponential"), float_dtype(dtype, "exponential")
    return exponential_of(key, canonical_shape(shape), dtype)


def gumbel(
    key: Any, shape: Any = (), dtype: Any = None, mode: str | None = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the standard Gumbel distribution, -log(-log(u)).

    Args:
      mode: "high" draws twice as many bits, for tails that are as long as the dtype allows; "low" by default.
    Raises:
      ValueError: there is no such mode.
    """
    key, dtype, shape = one_key(key, "gumbel"), float_dtype(dtype, "gumbel"), canonical_shape(shape)
    if mode not in (None, "low", "high"):
        raise ValueError(f"Must provide valid mode for gumbel got: {mode}")
    info = dtypes.finfo(dtype)
    if mode != "high":
        u = uniform_of(key, shape, dtype, dtype.type(info.tiny), dtype.type(1))
        return lax.neg(lax.log(lax.neg(lax.log(u))))
    high, low = jnp.unstack(uniform_of(key, (2, *shape), dtype))
    tiny = max(2.0 ** -(2 * info.nmant + 1), float(info.tiny))
    finer = high + dtype.type(2.0**-info.nmant) * low + dtype.type(tiny)
    u = jnp.where(high >= 0.5, high, finer)
    return -jnp.log(-jnp.log1p(-u))


def laplace(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard Laplace distribution."""
    key, dtype = one_key(key, "laplace"), float_dtype(dtype, "laplace")
    low = dtype.type(-1 + float(dtypes.finfo(dtype).epsneg))
    u = uniform_of(key, canonical_shape(shape), dtype, low, dtype.type(1))
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


def logistic(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard logistic distribution."""
    key, dtype = one_key(key, "logistic"), float_dtype(dtype, "logistic")
    low = dtype.type(dtypes.finfo(dtype).tiny)
    u = uniform_of(key, canonical_shape(shape), dtype, low, dtype.type(1))
    return lax.sub(lax.log(u), lax.log1p(lax.neg(u)))


def cauchy(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the standard Cauchy distribution."""
    key, dtype = one_key(key, "cauchy"), float_dtype(dtype, "cauchy")
    low = dtype.type(dtypes.finfo(dtype).eps)
    u = uniform_of(key, canonical_shape(shape), dtype, low, dtype.type(1))
    return lax.tan(lax.mul(dtype.type(math.pi), lax.sub(u, dtype.type(0.5))))


def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Pareto distribution of density b / x**(b + 1), for x > 1."""
    key, dtype = one_key(key, "pareto"), float_dtype(dtype, "pareto")
    b = param(b, dtype, "pareto")
    shape = shape_for("pareto", shape, b.shape)
    return lax.exp(lax.div(exponential_of(key, shape, dtype), spread(b, shape)))


def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Rayleigh distribution with the given scale."""
    key, dtype = one_key(key, "rayleigh"), float_dtype(dtype, "rayleigh")
    scale = param(scale, dtype, "rayleigh")
    shape = shape_for("rayleigh", shape, scale.shape)
    root = lax.sqrt(lax.mul(lax.log(uniform_of(key, shape, dtype)), dtype.type(-2)))
    return lax.mul(spread(scale, shape), root)


def weibull_min(key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Numbers of the Weibull distribution with the given scale and concentration.

    The parameters broadcast with `shape`.
    """
    key, dtype = one_key(key, "weibull_min"), float_dtype(dtype, "weibull_min")
    u = uniform_of(key, canonical_shape(shape), dtype)
    return jnp.power(-jnp.log1p(-u), 1.0 / concentration) * scale


def triangular(
    key: Any,
    left: Any,
    mode: Any,
    right: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers of the triangular distribution on [left, right] with its top at `mode`."""
    key, dtype = one_key(key, "triangular"), float_dtype(dtype, "triangular")
    left, mode, right = (param(p, dtype, "triangular") for p in (left, mode, right))
    shape = shape_for("triangular", shape, left.shape, mode.shape, right.shape)
    left, mode, right = (spread(p, shape) for p in (left, mode, right))
    u = uniform_of(key, shape, dtype)
    rising = left + lax.sqrt(u * (right - left) * (mode - left))
    falling = right - lax.sqrt((1 - u) * (right - left) * (right - mode))
    return jnp.where(u < (mode - left) / (right - left), rising, falling)


def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """The number of trials up to the first success, each of probability `p`: integers from 1.

    Raises:
      ValueError: dtype is not an integer.
    """
    key, dtype = one_key(key, "geometric"), int_dtype(dtype)
    if dtypes.kind_of(dtype) not in "iu":
        raise ValueError(f"dtype argument to `geometric` must be an int dtype, got {dtype}")
    p = _util.promote_dtypes_inexact(_util.as_array(p, "geometric"))[0]
    shape = shape_for("geometric", shape, p.shape)
    u = uniform_of(key, shape, p.dtype)
    u = jnp.where(u == 0, p.dtype.type(1), u)
    trials = lax.floor(lax.div(lax.log(u), spread(lax.log1p(lax.neg(p)), shape))) + 1
    return lax.convert_element_type(trials, dtype)


def maxwell(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Maxwell distribution: lengths of normal vectors in space."""
    key, dtype = one_key(key, "maxwell"), float_dtype(dtype, "maxwell")
    vectors = normal_of(key, (*canonical_shape(shape), 3), dtype)
    return jnp.sqrt(jnp.sum(vectors * vectors, -1))


def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Numbers loc + scale * m, where m is of the Maxwell distribution with a random sign.

    Returns:
      an array of shape (*shape, *that of the parameters); of the parameters' shape twice over, if `shape` is ().
    """
    key, dtype = one_key(key, "double_sided_maxwell"), float_dtype(dtype, "double_sided_maxwell")
    common = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(scale))
    shape = (*(canonical_shape(shape) or common), *common)
    k1, k2 = pair(key)
    return rademacher(k2, shape, dtype) * maxwell(k1, shape, dtype) * scale + loc


def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Wald (inverse Gaussian) distribution of the given mean and scale 1.

    J. R. Michael, W. R. Schucany, R. W. Haas, Generating random variates using transformations with multiple
    roots, The American Statistician 30, 1976.
    """
    key, dtype = one_key(key, "wald"), float_dtype(dtype, "wald")
    mean = param(mean, dtype, "wald")
    shape = shape_for("wald", shape, mean.shape)
    mean = spread(mean, shape)
    k1, k2 = pair(key)
    y = lax.square(normal_of(k1, shape, dtype))
    z = uniform_of(k2, shape, dtype)
    squared = lax.square(mean)
    root = lax.sqrt(4 * mean * y + squared * lax.square(y))
    x = mean + squared * y / 2 - mean / 2 * root
    return jnp.where(z <= mean / (mean + x), x, squared / x)
