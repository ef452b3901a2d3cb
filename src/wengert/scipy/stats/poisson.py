"""The Poisson distribution of mean `mu`, shifted by `loc`."""

from __future__ import annotations

import math
from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.scipy import special
from wengert.scipy.stats._support import shifted

__all__ = ["cdf", "entropy", "logpmf", "pmf"]


def logpmf(k: ArrayLike, mu: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The logarithm of the probability of k."""
    x, mu = shifted("poisson.logpmf", k, mu, loc=loc)
    outside = (x < 0) | (jnp.abs(jnp.round(x) - x) > 0)
    x = jnp.where(outside, 0.0, x)
    return jnp.where(outside, -jnp.inf, special.xlogy(x, mu) - special.gammaln(x + 1) - mu)


def pmf(k: ArrayLike, mu: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The probability of k."""
    return jnp.exp(logpmf(k, mu, loc))


def cdf(k: ArrayLike, mu: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The probability of a value up to k."""
    x, mu = shifted("poisson.cdf", k, mu, loc=loc)
    return jnp.where(x < 0, 0.0, special.gammaincc(jnp.floor(jnp.maximum(x, 0)) + 1, mu))


def entropy(mu: ArrayLike, loc: ArrayLike = 0) -> Any:
    """The entropy, in nats: a sum for a mean below 100, the asymptotic series from there on."""
    mu, loc = promote_inexact("poisson.entropy", mu, loc)
    large = mu >= 100
    small = jnp.where(large | (mu == 0), 1.0, mu)
    log_p = logpmf(jnp.arange(250, dtype=mu.dtype), small[..., None])
    near = -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)
    y = 1 / jnp.where(large, mu, 100.0)
    far = 0.5 * jnp.log(2 * math.pi * math.e / y) - y * (1 / 12 + y * (1 / 24 + y * 19 / 360))
    found = jnp.where(large, far, jnp.where(mu == 0, 0.0, near))
    return jnp.broadcast_to(found, jnp.broadcast_shapes(mu.shape, loc.shape))
