"""The gamma distribution, and those that are made of it."""

from __future__ import annotations

from typing import Any

from wengert import lax, numpy as jnp
from wengert.numpy import _util
from wengert.prims import rejection
from wengert.prims.constructors import canonical_shape
from wengert.random._arguments import NpDType, Shape, float_dtype, one_key, pair, param, shape_for, spread
from wengert.random._basic import normal_of, rademacher
from wengert.random._inversion import exponential_of


def _gamma(key: Any, a: Any, shape: Any, dtype: Any, function: str, log_space: bool) -> Any:
    key, dtype = one_key(key, function), float_dtype(dtype, function)
    a = _util.convert(_util.as_array(a, function), dtype)
    shape = shape_for(function, shape, a.shape)
    return _gamma_of(key, a, shape, log_space)


def _gamma_of(key: Any, a: Any, shape: Shape, log_space: bool) -> Any:
    return rejection.random_gamma(key, spread(a, shape), log_space)


def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the gamma distribution of density x**(a - 1) exp(-x) / Gamma(a).

    G. Marsaglia, W. W. Tsang, A simple method for generating gamma variables, ACM Transactions on Mathematical
    Software 26, 2000. Differentiable in `a`.

    Args:
      a: the shape parameter, positive; broadcasts to `shape`.
    """
    return _gamma(key, a, shape, dtype, "gamma", False)


def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Logarithms of numbers of the gamma distribution: exact for small `a`, where the numbers are too small."""
    return _gamma(key, a, shape, dtype, "loggamma", True)


def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the beta distribution of density x**(a - 1) (1 - x)**(b - 1) / B(a, b)."""
    key, dtype = one_key(key, "beta"), float_dtype(dtype, "beta")
    a, b = param(a, dtype, "beta"), param(b, dtype, "beta")
    shape = shape_for("beta", shape, a.shape, b.shape)
    k1, k2 = pair(key)
    log_a, log_b = _gamma_of(k1, a, shape, True), _gamma_of(k2, b, shape, True)
    top = lax.max(log_a, log_b)
    x, y = lax.exp(log_a - top), lax.exp(log_b - top)
    return x / (x + y)


def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Vectors of the Dirichlet distribution: positive numbers that add up to 1.

    Args:
      alpha: concentrations, positive, in the last axis; its other axes broadcast to `shape`.
    Returns:
      an array of shape (*shape, alpha.shape[-1]).
    """
    key, dtype = one_key(key, "dirichlet"), float_dtype(dtype, "dirichlet")
    alpha = _util.convert(_util.as_array(alpha, "dirichlet"), dtype)
    if alpha.ndim < 1:
        raise ValueError(f"dirichlet requires alpha.ndim >= 1, got alpha.ndim == {alpha.ndim}")
    shape = shape_for("dirichlet", shape, alpha.shape[:-1])
    logs = _gamma_of(key, alpha, (*shape, alpha.shape[-1]), True)
    parts = lax.exp(logs - lax.stop_gradient(jnp.max(logs, -1, keepdims=True)))
    return parts / jnp.sum(parts, -1, keepdims=True)


def _chisquare_of(key: Any, df: Any, shape: Shape, dtype: NpDType) -> Any:
    return lax.exp(_gamma_of(key, df / 2, shape, True)) * dtype.type(2)


def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the chi-squared distribution with `df` degrees of freedom."""
    key, dtype = one_key(key, "chisquare"), float_dtype(dtype, "chisquare")
    df = param(df, dtype, "chisquare")
    return _chisquare_of(key, df, shape_for("chisquare", shape, df.shape), dtype)


def f(
    key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of the F distribution with `dfnum` and `dfden` degrees of freedom."""
    key, dtype = one_key(key, "f"), float_dtype(dtype, "f")
    dfnum, dfden = param(dfnum, dtype, "f"), param(dfden, dtype, "f")
    shape = shape_for("f", shape, dfnum.shape, dfden.shape)
    below, above = pair(key)
    return (_chisquare_of(above, dfnum, shape, dtype) / dfnum) / (
        _chisquare_of(below, dfden, shape, dtype) / dfden
    )


def t(key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of Student's t distribution with `df` degrees of freedom."""
    key, dtype = one_key(key, "t"), float_dtype(dtype, "t")
    df = param(df, dtype, "t")
    shape = shape_for("t", shape, df.shape)
    k1, k2 = pair(key)
    half = df / 2
    return normal_of(k1, shape, dtype) * lax.sqrt(half / _gamma_of(k2, half, shape, False))


def generalized_normal(
    key: Any, p: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers of density proportional to exp(-|x|**p)."""
    shape, key = canonical_shape(shape), one_key(key, "generalized_normal")
    dtype = float_dtype(dtype, "generalized_normal")
    k1, k2 = pair(key)
    return rademacher(k2, shape, dtype) * gamma(k1, 1 / p, shape, dtype) ** (1 / p)


def ball(
    key: Any, d: int, p: Any = 2, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Points that are uniformly distributed in the unit ball of the norm l_p in d dimensions.

    F. Barthe, O. Guedon, S. Mendelson, A. Naor, A probabilistic approach to the geometry of the l_p^n-ball,
    Annals of Probability 33, 2005.

    Returns:
      an array of shape (*shape, d).
    """
    shape, key, dtype = canonical_shape(shape), one_key(key, "ball"), float_dtype(dtype, "ball")
    k1, k2 = pair(key)
    (size,) = canonical_shape((d,), "d of random.ball")
    g = generalized_normal(k1, p, (*shape, size), dtype)
    e = exponential_of(k2, shape, dtype)
    return g / ((jnp.sum(jnp.abs(g) ** p, -1) + e) ** (1 / p))[..., None]
