"""The error function and its relatives."""

from __future__ import annotations

import math
from typing import Any

from wengert import lax, numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact
from wengert.prims.integrals import dawsn_p, erfcx_p, fresnel_c_p, fresnel_s_p, ndtri_p, owens_t_p, wofz_p
from wengert.scipy.special._operands import reals


def erf(x: ArrayLike) -> Any:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    return lax.erf(*promote_inexact("erf", x))


def erfc(x: ArrayLike) -> Any:
    """1 - erf(x), exact where that is small."""
    return lax.erfc(*promote_inexact("erfc", x))


def erfinv(x: ArrayLike) -> Any:
    """The inverse of erf, on -1 to 1."""
    return lax.erf_inv(*promote_inexact("erfinv", x))


def wofz(z: ArrayLike) -> Any:
    """The Faddeeva function, exp(-z**2) erfc(-i z), of complex numbers."""
    (z,) = promote_inexact("wofz", z)
    return wofz_p.bind(z if z.dtype.kind == "c" else lax.complex(z, jnp.zeros_like(z)))


def erfcx(x: ArrayLike) -> Any:
    """exp(x**2) erfc(x), of real or complex numbers."""
    (x,) = promote_inexact("erfcx", x)
    return wofz(x * 1j) if x.dtype.kind == "c" else erfcx_p.bind(x)


def dawsn(x: ArrayLike) -> Any:
    """Dawson's integral: exp(-x**2) times the integral of exp(t**2) from 0 to x."""
    return dawsn_p.bind(*reals("dawsn", x))


def fresnel(x: ArrayLike) -> tuple[Any, Any]:
    """The integrals of sin(pi t**2 / 2) and of cos(pi t**2 / 2) from 0 to x."""
    (x,) = reals("fresnel", x)
    return fresnel_s_p.bind(x), fresnel_c_p.bind(x)


def owens_t(h: ArrayLike, a: ArrayLike) -> Any:
    """Owen's T: the probability of X > h and 0 < Y < a X, where X and Y are independent standard normal."""
    return owens_t_p.bind(*reals("owens_t", h, a))


def ndtr(x: ArrayLike) -> Any:
    """The area under the normal density from minus infinity to x."""
    (x,) = reals("ndtr", x)
    return 0.5 * lax.erfc(x * -math.sqrt(0.5))


def ndtri(p: ArrayLike) -> Any:
    """The inverse of ndtr, on 0 to 1."""
    return ndtri_p.bind(*reals("ndtri", p))


def log_ndtr(x: ArrayLike, series_order: int = 3) -> Any:
    """log(ndtr(x)), exact in both tails.

    Far below 0, where ndtr would be 0, it is the first `series_order` terms of Abramowitz and Stegun 26.2.12.

    Raises:
      TypeError: `series_order` is no integer.
      ValueError: it is negative, or greater than 30.
    """
    if not isinstance(series_order, int):
        raise TypeError(f"series_order must be a Python integer, got {series_order!r}.")
    if not 0 <= series_order <= 30:
        raise ValueError(f"series_order must be from 0 to 30, got {series_order}.")
    (z,) = reals("log_ndtr", x)
    far = -20.0 if z.dtype == jnp.float64 else -10.0
    # Each branch sees a harmless number where it is not taken, so that its derivative there is 0 and not NaN.
    tail = jnp.where(z < far, z, far)
    near = jnp.where((z < 0) & (z >= far), z, -1.0)
    upper = jnp.where(z >= 0, z, 0.0)
    in_tail = -0.5 * tail * tail - jnp.log(-tail) - 0.5 * math.log(2 * math.pi)
    in_tail += jnp.log(_tail_series(tail, series_order))
    found = jnp.where(z < far, in_tail, jnp.where(z < 0, jnp.log(ndtr(near)), jnp.log1p(-ndtr(-upper))))
    return jnp.where(jnp.isnan(z), z, found)


def _tail_series(x: Any, order: int) -> Any:
    """1 - 1/x**2 + 3/x**4 - 15/x**6 ..., with `order` terms after the 1."""
    total, term = 1.0, 1.0
    for n in range(1, order + 1):
        term = term * -(2 * n - 1) / (x * x)
        total = total + term
    return total
