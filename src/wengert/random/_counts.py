"""Distributions of counts."""

from __future__ import annotations

from typing import Any

from wengert import lax, numpy as jnp
from wengert.numpy import _util
from wengert.prims import rejection, rng
from wengert.random._arguments import float_dtype, int_dtype, one_key, shape_for, spread


def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers of the Poisson distribution of mean `lam`: integers from 0.

    By Knuth's multiplication for small means; by W. Hormann, The transformed rejection method for generating
    Poisson random variables, Insurance: Mathematics and Economics 12, 1993, for others.

    Raises:
      ValueError: `lam` does not broadcast to `shape`.
    """
    key, dtype = one_key(key, "poisson"), int_dtype(dtype)
    lam = _util.convert(_util.as_array(lam, "poisson"), _FLOAT32)
    shape = shape_for("poisson", shape, lam.shape)
    return rejection.random_poisson(key, spread(lam, shape), dtype)


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """How many of `n` trials succeed, each with probability `p`: whole numbers in a floating dtype.

    By inversion for small means; by W. Hormann, The generation of binomial random variates, Journal of
    Statistical Computation and Simulation 46, 1993 (algorithm BTRS) for others. NaN where there is no such
    distribution.

    Raises:
      ValueError: dtype is not floating; the parameters don't broadcast to `shape`.
    """
    key, dtype = one_key(key, "binomial"), float_dtype(dtype, "binomial")
    n, p = _util.as_array(n, "binomial"), _util.promote_dtypes_inexact(_util.as_array(p, "binomial"))[0]
    shape = shape_for("binomial", shape, n.shape, p.shape)
    n = _util.convert(n, p.dtype)
    return rejection.random_binomial(key, spread(n, shape), spread(p, shape), dtype)


def multinomial(
    key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: int | bool = 1
) -> Any:
    """How many of `n` trials have each outcome, where the outcomes have probabilities in proportion to `p`.

    Args:
      n: the numbers of trials; broadcasts to `shape`.
      p: in the last axis, a number for each outcome; the other axes broadcast to `shape`.
      unroll: as for `lax.scan`, which draws outcome by outcome.
    Returns:
      an array of shape (*shape, p.shape[-1]).
    """
    key = one_key(key, "multinomial")
    n, p = _util.promote_dtypes_inexact(_util.as_array(n, "multinomial"), _util.as_array(p, "multinomial"))
    shape = shape_for("multinomial", shape, n.shape, p.shape[:-1])
    n, p = spread(n, shape), jnp.moveaxis(spread(p, (*shape, p.shape[-1])), -1, 0)
    left = lax.cumsum(p, 0, reverse=True)
    shares = jnp.clip(p / jnp.where(left == 0, left.dtype.type(1), left), 0, 1)

    def draw(remaining: Any, x: Any) -> Any:
        share, one = x
        count = binomial(one, remaining, share, dtype=remaining.dtype)
        return remaining - count, count

    keys = rng.random_split(key, (p.shape[0],))
    counts = lax.scan(draw, n, (shares, keys), unroll=unroll)[1]
    found = jnp.moveaxis(counts, 0, -1)
    return found.astype(float if dtype is None else dtype)


_FLOAT32 = jnp.float32.dtype
