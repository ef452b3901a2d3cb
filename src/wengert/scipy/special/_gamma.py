"""Gamma, beta and zeta functions, and what counts subsets."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert._lazy import lazy_module
from wengert.numpy._util import ArrayLike, concrete, promote_inexact
from wengert.prims.gamma import beta_p, betaln_p, binom_p, gamma_p, loggamma_p, poch_p
from wengert.prims.hypergeometric import riemann_zeta_p
from wengert.scipy.special._operands import reals

scipy_special = lazy_module("scipy.special")


def gammaln(x: ArrayLike) -> Any:
    """The logarithm of the absolute value of the gamma function of real numbers."""
    return lax.lgamma(*promote_inexact("gammaln", x))


def gammasgn(x: ArrayLike) -> Any:
    """The sign of the gamma function: 1 or -1; NaN at negative integers, where it has no sign."""
    (x,) = reals("gammasgn", x)
    floor: Any = jnp.floor(x)
    odd = (x < 0) & (floor % 2 != 0)
    sign = jnp.where(odd | ((x == 0) & jnp.signbit(x)), -1.0, 1.0)
    return jnp.where(((x < 0) & (x == floor)) | jnp.isnan(x), jnp.nan, sign).astype(x.dtype)


def loggamma(x: ArrayLike) -> Any:
    """The principal branch of the logarithm of the gamma function; NaN for real x <= 0."""
    (x,) = promote_inexact("loggamma", x)
    if x.dtype.kind == "c":
        return loggamma_p.bind(x)
    return jnp.where(x > 0, lax.lgamma(x), jnp.nan)


def gamma(x: ArrayLike) -> Any:
    """The gamma function of real or complex numbers."""
    return gamma_p.bind(*promote_inexact("gamma", x))


def betaln(a: ArrayLike, b: ArrayLike) -> Any:
    """The logarithm of the absolute value of the beta function."""
    return betaln_p.bind(*reals("betaln", a, b))


def beta(a: ArrayLike, b: ArrayLike) -> Any:
    """gamma(a) gamma(b) / gamma(a + b)."""
    return beta_p.bind(*reals("beta", a, b))


def factorial(n: ArrayLike, exact: bool = False) -> Any:
    """gamma(n + 1); 0 for negative n.

    Args:
      n: real numbers; integers that are known while tracing, if `exact`.
      exact: whether the result is made of integers.
    Raises:
      ValueError: `exact`, and n is no integer, or traced, or its factorial does not fit into the dtype.
    """
    if exact:
        return _exact_factorial(n)
    (n,) = promote_inexact("factorial", n)
    return jnp.where(n < 0, 0.0, gamma(jnp.where(n < 0, 0.0, n) + 1))


def _exact_factorial(n: Any) -> Any:
    array: Any = jnp.asarray(n)
    known = concrete(array)
    if known is None or array.dtype.kind not in "iu":
        raise ValueError(
            "factorial with exact=True takes integers that are known while tracing. Leave exact away for an array "
            "of floats."
        )
    numbers = np.asarray(known)
    # Results have the default integer dtype, or that of n if it is wider.
    dtype = jnp.result_type(array.dtype, jnp.asarray(0).dtype)
    greatest = int(numbers.max(initial=0))
    if math.factorial(greatest) > np.iinfo(dtype).max:
        raise ValueError(
            f"The factorial of {greatest} does not fit into {dtype}. Enable 64-bit numbers (up to 20), use "
            "math.factorial, or leave exact away."
        )
    found = [math.factorial(k) if k >= 0 else 0 for k in numbers.ravel().tolist()]
    return jnp.asarray(np.array(found, dtype).reshape(numbers.shape))


def comb(N: ArrayLike, k: ArrayLike, *, repetition: bool = False) -> Any:
    """How many ways there are to choose k of N things, with or without repetition; 0 where there are none."""
    (N, k) = promote_inexact("comb", N, k)
    if repetition:
        return jnp.where((k == 0) & (N >= 0), 1.0, comb(N + k - 1, k))
    possible = (k <= N) & (N >= 0) & (k >= 0)
    zero = jnp.zeros((), N.dtype)
    n, subset = jnp.where(possible, N, zero), jnp.where(possible, k, zero)
    return jnp.where(possible, binom_p.bind(n, subset), zero)


def poch(z: ArrayLike, m: ArrayLike) -> Any:
    """The Pochhammer symbol: gamma(z + m) / gamma(z)."""
    return poch_p.bind(*reals("poch", z, m))


def digamma(x: ArrayLike) -> Any:
    """The derivative of the logarithm of the gamma function."""
    return lax.digamma(*promote_inexact("digamma", x))


def polygamma(n: ArrayLike, x: ArrayLike) -> Any:
    """The n-th derivative of `digamma` at x.

    Raises:
      ValueError: the dtype of n is no integer one, or x is complex.
    """
    dtype = jnp.result_type(n)
    if not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(
            f"Argument `n` to polygamma must be of integer type. Got dtype {dtype}. Convert it with n.astype(int)."
        )
    return lax.polygamma(*reals("polygamma", n, x))


def gammainc(a: ArrayLike, x: ArrayLike) -> Any:
    """The regularized lower incomplete gamma function: the integral of the density of shape a from 0 to x."""
    return lax.igamma(*promote_inexact("gammainc", a, x))


def gammaincc(a: ArrayLike, x: ArrayLike) -> Any:
    """1 - gammainc(a, x), exact where that is small."""
    return lax.igammac(*promote_inexact("gammaincc", a, x))


def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Any:
    """The regularized incomplete beta function; differentiable in x."""
    return lax.betainc(*reals("betainc", a, b, x))


def multigammaln(a: ArrayLike, d: ArrayLike) -> Any:
    """The logarithm of the multivariate gamma function of dimension d, for a > (d - 1) / 2.

    Args:
      d: an integer, known while tracing.
    """
    size = operator.index(d) if not isinstance(d, float) else int(d)
    (a,) = promote_inexact("multigammaln", a)
    steps = jnp.asarray(np.arange(size) / 2, a.dtype)
    constant = size * (size - 1) / 4 * math.log(math.pi)
    return jnp.sum(gammaln(a[..., None] - steps), axis=-1) + constant


def zeta(x: ArrayLike, q: ArrayLike | None = None) -> Any:
    """The Hurwitz zeta function, the sum of (k + q)**-x over k = 0, 1, 2 ..., for x > 1; Riemann's without q."""
    if q is None:
        return riemann_zeta_p.bind(*reals("zeta", x))
    return lax.zeta(*reals("zeta", x, q))


def bernoulli(n: int) -> Any:
    """The Bernoulli numbers B0 to Bn, with B1 = -1/2: floats of shape (n + 1,).

    Raises:
      TypeError: n is no integer, or traced.
      ValueError: n is negative.
    """
    last = operator.index(n)
    if last < 0:
        raise ValueError(f"n must be a non-negative integer, got {last}.")
    return jnp.asarray(scipy_special.bernoulli(last))
