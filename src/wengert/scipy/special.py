"""Special functions, under the names of `jax.scipy.special`: elementwise, or along the axes that they say.

Arguments may have any real dtype; integers become floats.
"""

from __future__ import annotations

import math
from typing import Any

from wengert import lax, nn, numpy as jnp
from wengert.typing import ArrayLike

__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "expit",
    "gammaln",
    "kl_div",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "ndtr",
    "rel_entr",
    "softmax",
    "xlog1py",
    "xlogy",
]

logsumexp = nn.logsumexp
log_softmax = nn.log_softmax
softmax = nn.softmax


def _float(x: ArrayLike) -> Any:
    """The argument as an array of floats."""
    array: Any = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.inexact) else array * 1.0


def digamma(x: ArrayLike) -> Any:
    """The derivative of the logarithm of the gamma function."""
    return lax.digamma(_float(x))


def erf(x: ArrayLike) -> Any:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    return lax.erf(_float(x))


def erfc(x: ArrayLike) -> Any:
    """1 - erf(x), exact where that is small."""
    return lax.erfc(_float(x))


def erfinv(x: ArrayLike) -> Any:
    """The inverse of erf, on -1 to 1."""
    return lax.erf_inv(_float(x))


def expit(x: ArrayLike) -> Any:
    """1 / (1 + exp(-x))."""
    return lax.logistic(_float(x))


def logit(x: ArrayLike) -> Any:
    """log(x / (1 - x)), the inverse of expit."""
    p = _float(x)
    return lax.log(p) - lax.log1p(-p)


def gammaln(x: ArrayLike) -> Any:
    """The logarithm of the absolute value of the gamma function."""
    return lax.lgamma(_float(x))


def xlogy(x: ArrayLike, y: ArrayLike) -> Any:
    """x log(y), and 0 where x is 0."""
    factor, number = _float(x), _float(y)
    zero = factor == 0
    return jnp.where(zero, 0.0, factor * jnp.log(jnp.where(zero, 1.0, number)))


def xlog1py(x: ArrayLike, y: ArrayLike) -> Any:
    """x log(1 + y), and 0 where x is 0."""
    factor, number = _float(x), _float(y)
    zero = factor == 0
    return jnp.where(zero, 0.0, factor * jnp.log1p(jnp.where(zero, 0.0, number)))


def entr(x: ArrayLike) -> Any:
    """-x log(x); 0 at 0 and -inf below."""
    p = _float(x)
    inside = jnp.where(p < 0, 1.0, p)
    return jnp.where(p < 0, -jnp.inf, -xlogy(inside, inside))


def rel_entr(p: ArrayLike, q: ArrayLike) -> Any:
    """p log(p / q) where both are positive, 0 where p is 0 and q is not negative, and inf elsewhere."""
    some, other = _float(p), _float(q)
    both = (some > 0) & (other > 0)
    ratio = jnp.where(both, some, 1.0) / jnp.where(both, other, 1.0)
    outside = jnp.where((some == 0) & (other >= 0), 0.0, jnp.inf)
    return jnp.where(both, some * jnp.log(ratio), outside)


def kl_div(p: ArrayLike, q: ArrayLike) -> Any:
    """p log(p / q) - p + q, with the special cases of rel_entr."""
    return rel_entr(p, q) - _float(p) + _float(q)


def ndtr(x: ArrayLike) -> Any:
    """The area under the normal density from minus infinity to x."""
    return 0.5 * lax.erfc(_float(x) * -math.sqrt(0.5))


def log_ndtr(x: ArrayLike, series_order: int = 3) -> Any:
    """log(ndtr(x)), exact in both tails.

    Far below 0, where ndtr would be 0, it is the first `series_order` terms of Abramowitz and Stegun 26.2.12.
    """
    z = _float(x)
    far = -20.0 if z.dtype == jnp.float64 else -10.0
    # Each branch sees a harmless number where it is not taken, so that its derivative there is 0 and not NaN.
    tail = jnp.where(z < far, z, far)
    near = jnp.where((z < 0) & (z >= far), z, -1.0)
    upper = jnp.where(z >= 0, z, 0.0)
    in_tail = -0.5 * tail * tail - jnp.log(-tail) - 0.5 * math.log(2 * math.pi)
    in_tail += jnp.log(_tail_series(tail, series_order))
    return jnp.where(z < far, in_tail, jnp.where(z < 0, jnp.log(ndtr(near)), jnp.log1p(-ndtr(-upper))))


def _tail_series(x: Any, order: int) -> Any:
    """1 - 1/x**2 + 3/x**4 - 15/x**6 ..., with `order` terms after the 1."""
    total, term = 1.0, 1.0
    for n in range(1, order + 1):
        term = term * -(2 * n - 1) / (x * x)
        total = total + term
    return total
