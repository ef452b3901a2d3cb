"""Bessel functions and spherical harmonics."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert.numpy._util import ArrayLike, as_array, concrete, convert, promote_inexact
from wengert.prims.integrals import bessel_j_p
from wengert.scipy.special._operands import reals
from wengert.transforms.vjp import jvp


def i0e(x: ArrayLike) -> Any:
    """exp(-|x|) times the modified Bessel function of order 0."""
    return lax.bessel_i0e(*promote_inexact("i0e", x))


def i0(x: ArrayLike) -> Any:
    """The modified Bessel function of order 0."""
    (x,) = reals("i0", x)
    return lax.exp(lax.abs(x)) * lax.bessel_i0e(x)


def i1e(x: ArrayLike) -> Any:
    """exp(-|x|) times the modified Bessel function of order 1."""
    return lax.bessel_i1e(*promote_inexact("i1e", x))


def i1(x: ArrayLike) -> Any:
    """The modified Bessel function of order 1."""
    (x,) = reals("i1", x)
    return lax.exp(lax.abs(x)) * lax.bessel_i1e(x)


def bessel_jn(z: ArrayLike, *, v: int, n_iter: int = 50) -> Any:
    """The Bessel functions of the first kind of orders 0 to v, of real numbers: an array of shape (v + 1, *z.shape).

    Args:
      v: the highest order, known while tracing.
      n_iter: accepted for compatibility; the results are exact to rounding whatever it is.
    Raises:
      ValueError: z is complex, or v negative.
    """
    (z,) = reals("bessel_jn", z)
    highest = operator.index(v)
    operator.index(n_iter)
    if highest < 0:
        raise ValueError(f"bessel_jn computes orders 0 to v, so v must not be negative, got {highest}.")
    return jnp.stack([bessel_j_p.bind(z, order=n) for n in range(highest + 1)])


def _legendre(n: Any, m: Any, x: Any, y: Any, n_max: int, normalized: bool = True) -> Any:
    """The associated Legendre functions of x, for 0 <= m; 0 where n < m. y is sqrt(1 - x**2).

    By the recurrence in the degree (DLMF 14.10.3), from that of degree and order m; with the phase of Condon and
    Shortley.
    """
    order = m.astype(x.dtype)
    start = math.sqrt(0.25 / math.pi) if normalized else 1.0
    first = jnp.full(jnp.broadcast_shapes(n.shape, m.shape, x.shape), start, x.dtype)

    def raise_both(k: Any, p: Any) -> Any:
        number = k.astype(x.dtype)
        factor = jnp.sqrt((2 * number + 1) / (2 * number)) if normalized else 2 * number - 1
        return jnp.where(k <= m, -factor * y * p, p)

    def raise_degree(k: Any, state: Any) -> Any:
        before, p, found = state
        active = k > m
        degree, lower = k.astype(x.dtype), jnp.where(active, order, 0.0)
        if normalized:
            wide, narrow = 4 * degree * degree - 1, 4 * (degree - 1) ** 2 - 1
            last = jnp.sqrt(((degree - 1) ** 2 - lower * lower) / narrow)
            ahead = jnp.sqrt(wide / (degree * degree - lower * lower)) * (x * p - last * before)
        else:
            ahead = ((2 * degree - 1) * x * p - (degree + lower - 1) * before) / (degree - lower)
        before, p = jnp.where(active, p, before), jnp.where(active, ahead, p)
        return before, p, jnp.where(active & (n == k), p, found)

    diagonal = lax.fori_loop(1, n_max + 1, raise_both, first)
    zero = jnp.zeros_like(first)
    state = (zero, diagonal, jnp.where(n == m, diagonal, zero))
    return lax.fori_loop(1, n_max + 1, raise_degree, state)[2]


def _harmonic(n: Any, m: Any, theta: Any, phi: Any, n_max: int) -> Any:
    size = jnp.abs(m)
    radius = _legendre(n, size, jnp.cos(theta), jnp.abs(jnp.sin(theta)), n_max)
    radius = jnp.where((m < 0) & (size % 2 == 1), -radius, radius)
    angle = m * phi
    return lax.complex(*jnp.broadcast_arrays(radius * jnp.cos(angle), radius * jnp.sin(angle)))


def sph_harm_y(
    n: Any, m: Any, theta: Any, phi: Any, diff_n: int | None = None, n_max: int | None = None
) -> Any:
    """Spherical harmonics of degree n and order m, complex; the arguments are broadcast against each other.

    Args:
      n, m: integers, |m| <= n (elsewhere the result is 0).
      theta: the polar angle, in radians, from 0 to pi.
      phi: the azimuth, in radians.
      diff_n: 1 for the derivatives in theta and phi too, 2 for the second ones too: then the result is a tuple, in
        which these have one, or two, more axes of size 2.
      n_max: the greatest degree, known while tracing; greater n count as this. That of n, if missing.
    Raises:
      ValueError: `diff_n` is not 0, 1 or 2; n is traced and there is no `n_max`.
    """
    n, m = as_array(n), as_array(m)
    theta, phi = (convert(a, a.dtype) for a in promote_inexact("sph_harm_y", theta, phi))
    if n_max is None:
        known = concrete(n)
        if known is None:
            raise ValueError(
                "sph_harm_y has to know the greatest degree while tracing. Pass n_max, an integer, or make n static."
            )
        n_max = int(np.max(np.asarray(known), initial=0))
    highest = operator.index(n_max)
    n = jnp.minimum(n, highest)

    def value(a: Any, b: Any) -> Any:
        return _harmonic(n, m, a, b, highest)

    if diff_n is None or diff_n == 0:
        return value(theta, phi)
    if diff_n not in (1, 2):
        raise ValueError(f"diff_n says which derivatives sph_harm_y computes: 0, 1 or 2, not {diff_n!r}.")
    first = _gradient(value)
    found = value(theta, phi), first(theta, phi)
    return found if diff_n == 1 else (*found, _gradient(first)(theta, phi))


def _gradient(function: Any) -> Any:
    """The derivatives of an elementwise function of two arguments, along a new last axis."""

    def gradient(a: Any, b: Any) -> Any:
        one, zero = (jnp.ones_like(a), jnp.ones_like(b)), (jnp.zeros_like(a), jnp.zeros_like(b))
        along_a = jvp(function, (a, b), (one[0], zero[1]))[1]
        along_b = jvp(function, (a, b), (zero[0], one[1]))[1]
        return jnp.stack([along_a, along_b], axis=-1)

    return gradient


def lpmn_values(m: int, n: int, z: Any, is_normalized: bool) -> Any:
    """The associated Legendre functions of all degrees up to n and orders up to m: shape (m + 1, n + 1, len(z)).

    Args:
      m, n: known while tracing.
      z: numbers from -1 to 1, of one axis.
      is_normalized: whether they are multiplied by sqrt((2n + 1) / (4 pi) (n - m)! / (n + m)!), as in spherical
        harmonics.
    Raises:
      ValueError: z has another number of axes; m or n is negative.
    """
    highest_order, highest = operator.index(m), operator.index(n)
    (x,) = reals("lpmn_values", z)
    if x.ndim != 1:
        raise ValueError(f"z must be a 1D array, but has the shape {x.shape}. Use z.ravel(), or vmap.")
    if min(highest_order, highest) < 0:
        raise ValueError(f"m and n are the greatest order and degree, not negative; got {m} and {n}.")
    order, degree = np.ogrid[: highest_order + 1, : highest + 1]
    y = jnp.sqrt((1 - x) * (1 + x))
    degrees, orders = jnp.asarray(degree[..., None]), jnp.asarray(order[..., None])
    return _legendre(degrees, orders, x, y, highest, bool(is_normalized))


def lpmn(m: int, n: int, z: Any) -> tuple[Any, Any]:
    """The associated Legendre functions of all degrees up to n and orders up to m, and their derivatives.

    Both of shape (m + 1, n + 1, len(z)), without normalization; see `lpmn_values`.
    """
    (x,) = reals("lpmn", z)
    found = lpmn_values(m, n, x, False)
    at_end = jnp.abs(x) == 1
    inside = jnp.where(at_end, 0.0, x)
    slope = jvp(lambda at: lpmn_values(m, n, at, False), (inside,), (jnp.ones_like(x),))[1]
    return found, jnp.where(at_end, _slopes_at_the_ends(m, n, x), slope)


def _slopes_at_the_ends(m: int, n: int, x: Any) -> Any:
    """The derivatives at 1 and -1: finite but for order 1, 0 from order 3 on (DLMF 14.8.1, differentiated)."""
    order, degree = np.ogrid[: m + 1, : n + 1]
    at_one = np.zeros((m + 1, n + 1))
    at_one = np.where(order == 0, degree * (degree + 1) / 2, at_one)
    at_one = np.where((order == 1) & (degree > 0), np.inf, at_one)
    at_one = np.where(order == 2, -(degree + 2) * (degree + 1) * degree * (degree - 1) / 4, at_one)
    odd = np.where((degree + (order != 1)) % 2 == 1, -1.0, 1.0)
    sides = [jnp.asarray(side, x.dtype)[..., None] for side in (at_one, at_one * odd)]
    return jnp.where(x > 0, *sides)
