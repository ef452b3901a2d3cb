"""Polynomials as vectors of coefficients, the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert import lax
from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy import ufuncs
from wengert.numpy._util import (
    ArrayLike,
    as_array,
    broadcast_operands,
    concrete,
    convert,
    needs_value,
    promote_dtypes,
    promote_dtypes_inexact,
    scalar,
    static_int,
)
from wengert.numpy.calculus import convolve
from wengert.numpy.manipulation import atleast_1d, concatenate

linalg = lazy_module("wengert.numpy.linalg")

_multiply = ufuncs.binary_functions["multiply"]


def polyval(p: ArrayLike, x: ArrayLike, *, unroll: int = 16) -> Any:
    """The value of the polynomial `p` at each element of `x`, by Horner's scheme."""
    p, x = promote_dtypes(as_array(p, "polyval"), as_array(x, "polyval"))
    result = lax.full_like(x, 0)
    for i in range(p.shape[0]):
        coefficient = lax.squeeze(lax.slice_in_dim(p, i, i + 1), (0,))
        result = ufuncs.binary_functions["add"](_multiply(result, x), coefficient)
    return result


def polyadd(a1: ArrayLike, a2: ArrayLike) -> Any:
    """The sum of two polynomials."""
    return _combined("polyadd", a1, a2, lax.add)


def polysub(a1: ArrayLike, a2: ArrayLike) -> Any:
    """The difference of two polynomials."""
    return _combined("polysub", a1, a2, lax.sub)


def _combined(name: str, a1: Any, a2: Any, function: Any) -> Any:
    a, b = promote_dtypes(as_array(a1, name), as_array(a2, name))
    n = max(a.shape[0], b.shape[0])
    padded = [lax.pad(v, scalar(0, v.dtype), [(n - v.shape[0], 0, 0)]) for v in (a, b)]
    return function(*padded)


def polymul(a1: ArrayLike, a2: ArrayLike, *, trim_leading_zeros: bool = False) -> Any:
    """The product of two polynomials. Leading zeros are only trimmed on demand: the size must be known under jit."""
    a, b = promote_dtypes_inexact(as_array(a1, "polymul"), as_array(a2, "polymul"))
    if trim_leading_zeros:
        a, b = _trimmed(a), _trimmed(b)
    if a.size == 0 or b.size == 0:
        return lax.full((max(1, a.size + b.size - 1),), 0, a.dtype)
    return convolve(a, b)


def _trimmed(p: Any) -> Any:
    used = np.flatnonzero(np.asarray(p))
    return p[int(used[0]) :] if used.size else p[:0]


def polydiv(u: ArrayLike, v: ArrayLike, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """(quotient, remainder) of two polynomials."""
    a, b = promote_dtypes_inexact(as_array(u, "polydiv"), as_array(v, "polydiv"))
    if a.ndim != 1 or b.ndim != 1:
        raise user_context(
            ValueError(f"polydiv takes vectors of coefficients, got shapes {a.shape} and {b.shape}")
        )
    m, n = a.shape[0], b.shape[0]
    if n > m:
        return lax.full((1,), 0, a.dtype), a
    leading = lax.squeeze(lax.slice_in_dim(b, 0, 1), (0,))
    quotient = []
    rest = a
    for k in range(m - n + 1):
        factor = lax.div(lax.squeeze(lax.slice_in_dim(rest, k, k + 1), (0,)), leading)
        quotient.append(lax.expand_dims(factor, (0,)))
        part = lax.sub(lax.slice_in_dim(rest, k, k + n), _multiply(factor, b))
        rest = concatenate([lax.slice_in_dim(rest, 0, k), part, lax.slice_in_dim(rest, k + n, m)])
    remainder = _trimmed(rest) if trim_leading_zeros else rest
    return concatenate(quotient), remainder


def polyder(p: ArrayLike, m: int = 1) -> Any:
    """The m-th derivative of a polynomial."""
    (p,) = promote_dtypes_inexact(as_array(p, "polyder"))
    m = static_int(m, "m")
    if m < 0:
        raise user_context(ValueError("Order of derivative must be positive"))
    n = p.shape[0]
    if m == 0:
        return p
    if m >= n:
        return lax.full((0,), 0, p.dtype)
    powers = np.arange(n - 1, m - 1, -1)
    factors = np.prod([powers - i for i in range(m)], axis=0, dtype=float)
    return lax.mul(lax.slice_in_dim(p, 0, n - m), as_array(factors.astype(p.dtype)))


def polyint(p: ArrayLike, m: int = 1, k: Any = None) -> Any:
    """The m-th integral of a polynomial, with the constants of integration `k` (0)."""
    m = static_int(m, "m")
    constants = atleast_1d(
        as_array(0 if k is None else (np.asarray(k) if isinstance(k, list | tuple) else k))
    )
    p, constants = promote_dtypes_inexact(as_array(p, "polyint"), constants)
    if m < 0:
        raise user_context(ValueError("Order of integral must be positive"))
    if m == 0:
        return p
    if constants.shape == (1,):
        constants = lax.broadcast_in_dim(constants, (m,), (0,))
    if constants.shape != (m,):
        raise user_context(ValueError("k must be a scalar or a rank-1 array of length 1 or m."))
    for i in range(m):
        n = p.shape[0]
        divisors = as_array(np.arange(n, 0, -1).astype(p.dtype))
        p = concatenate([lax.div(p, divisors), lax.slice_in_dim(constants, i, i + 1)])
    return p


def poly(seq_of_zeros: ArrayLike) -> Any:
    """The monic polynomial with the given roots; the coefficients are real if the roots are."""
    (roots,) = promote_dtypes_inexact(as_array(seq_of_zeros, "poly"))
    if roots.ndim != 1:
        raise user_context(
            ValueError(
                "input must be a vector of roots; the characteristic polynomial of a matrix is not supported"
            )
        )
    result = lax.full((1,), 1, roots.dtype)
    for i in range(roots.shape[0]):
        root = lax.slice_in_dim(roots, i, i + 1)
        factor = concatenate([lax.full((1,), 1, roots.dtype), lax.neg(root)])
        result = convolve(result, factor)
    return result


def roots(p: ArrayLike, *, strip_zeros: bool = True) -> Any:
    """The complex roots of the polynomial with the coefficients `p`, the highest power first.

    Args:
      p: a vector of numbers.
      strip_zeros: leave out zeros at both ends first; those at the end are roots 0. It needs to know the values, so
        under jit it must be False, and then the first coefficient must not be 0, else the roots are NaN.
    Returns:
      The eigenvalues of the companion matrix, in no particular order, and the roots 0 behind them.
    Raises:
      ValueError: `p` is no vector.
      ConcretizationTypeError: `p` is traced, and `strip_zeros` is true.
    """
    (p,) = promote_dtypes_inexact(as_array(p, "roots"))
    if p.ndim != 1:
        raise user_context(ValueError(f"Input must be a rank-1 array, got shape {p.shape}."))
    zeros = 0
    if strip_zeros:
        known = concrete(p)
        if known is None:
            raise needs_value(p, "roots: p, whose zeros are left out,", "Pass strip_zeros=False.")
        used = np.flatnonzero(np.asarray(known))
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
        zeros = p.size - last if used.size else 0
        p = p[first:last]
    dtype = dtypes.to_complex_dtype(p.dtype)
    n = p.size - 1
    parts = [lax.full((zeros,), 0, dtype)]
    if n > 0:
        top = lax.expand_dims(lax.neg(p[1:] / p[0]), (0,))
        shifted = as_array(np.eye(n - 1, n, dtype=p.dtype))
        parts.insert(0, linalg.eigvals(concatenate([top, shifted])))
    return concatenate(parts)


def polyfit(
    x: ArrayLike,
    y: ArrayLike,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: ArrayLike | None = None,
    cov: bool | str = False,
) -> Any:
    """The polynomial of degree `deg` that fits the points (x, y) best, by least squares.

    Args:
      x: a vector of n numbers.
      y: n numbers, or a matrix (n, k) for k fits at once.
      deg: the degree.
      rcond: singular values of the scaled Vandermonde matrix below rcond times the largest one count as zero; n
        times the precision, if None.
      full: return (p, residuals, rank, singular values, rcond).
      w: n weights of the residuals before they are squared.
      cov: return (p, the covariance of p), scaled by the residuals unless it is "unscaled".
    Returns:
      Coefficients (deg + 1,) or (deg + 1, k), the highest power first, and what `full` or `cov` ask for.
    Raises:
      ValueError: `deg` is negative; too few points for a covariance.
      TypeError: shapes do not fit.
    """
    order = static_int(deg, "deg") + 1
    x, y = promote_dtypes_inexact(as_array(x, "polyfit"), as_array(y, "polyfit"))
    _check_points(x, y, order)
    real = dtypes.to_floating_dtype(x.dtype)
    if rcond is None:
        rcond = x.size * float(dtypes.finfo(real).eps)
    matrix, values = vander(x, order), y
    if w is not None:
        (weights,) = promote_dtypes_inexact(as_array(w, "polyfit"))
        if weights.ndim != 1:
            raise user_context(TypeError(f"expected a 1-d array for weights, got shape {weights.shape}"))
        if weights.shape[0] != y.shape[0]:
            raise user_context(
                TypeError(
                    f"expected w and y to have the same length, got {weights.shape[0]} and {y.shape[0]}"
                )
            )
        matrix = matrix * convert(weights, x.dtype)[:, None]
        values = (values.T * convert(weights, x.dtype)).T
    scale = ufuncs.sqrt((ufuncs.abs(matrix) ** 2).sum(axis=0))
    matrix = matrix / scale
    found, residuals, rank, singular = linalg.lstsq(matrix, values, rcond)
    found = (found.T / scale).T
    if full:
        return found, residuals, rank, singular, scalar(rcond, real)
    if not cov:
        return found
    base = linalg.inv(ufuncs.conj(matrix.T) @ matrix) / (scale[:, None] * scale)
    base = base[:, :, None]
    if cov != "unscaled":
        if x.size <= order:
            raise user_context(
                ValueError(
                    "the number of data points must exceed order to scale the covariance matrix: "
                    f"{x.size} points for {order} coefficients; pass cov='unscaled'"
                )
            )
        base = base * (residuals / (x.size - order))
    return found, base[:, :, 0] if y.ndim == 1 else base


def _check_points(x: Any, y: Any, order: int) -> None:
    """Whether `polyfit` can fit these points."""
    if order < 1:
        raise user_context(ValueError(f"expected deg >= 0, got {order - 1}"))
    if x.ndim != 1:
        raise user_context(TypeError(f"expected 1D vector for x, got shape {x.shape}"))
    if x.size == 0:
        raise user_context(TypeError("expected non-empty vector for x"))
    if y.ndim not in (1, 2):
        raise user_context(TypeError(f"expected 1D or 2D array for y, got shape {y.shape}"))
    if x.shape[0] != y.shape[0]:
        raise user_context(
            TypeError(f"expected x and y to have same length, got {x.shape[0]} and {y.shape[0]}")
        )


def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix whose columns are the powers N - 1, ... 1, 0 of `x`, in the other order if `increasing`."""
    x = as_array(x, "vander")
    if x.ndim != 1:
        raise user_context(ValueError("x must be a one-dimensional array"))
    n = x.shape[0] if N is None else static_int(N, "N")
    if n < 0:
        raise user_context(ValueError("N must be nonnegative"))
    powers = lax.iota(x.dtype, n)
    if not increasing:
        powers = lax.sub(scalar(n - 1, x.dtype), powers)
    base, powers = broadcast_operands(
        "vander", (lax.expand_dims(x, (1,)), lax.expand_dims(powers, (0,))), keep_scalars=False
    )
    return ufuncs.power(base, powers)
