"""Window functions for signal processing."""

from __future__ import annotations

import math
from typing import Any

from wengert import lax
from wengert.core import dtypes
from wengert.numpy import floatmath, ufuncs
from wengert.numpy._util import ArrayLike, as_array, convert, scalar, static_int


def _places(M: int) -> Any:
    """0, 1, ... M - 1 in floats."""
    return lax.iota(dtypes.canonicalize_dtype(float), static_int(M, "M"))


def _cosines(M: int, *weights: float) -> Any:
    """sum of weights[k] * cos(2 pi k n / (M - 1))"""
    n = _places(M)
    if M <= 1:
        return lax.full_like(n, 1)
    total = lax.full_like(n, weights[0])
    for k, weight in enumerate(weights[1:], 1):
        term = lax.cos(lax.mul(n, scalar(2 * math.pi * k / (M - 1), n.dtype)))
        total = lax.add(total, lax.mul(scalar(weight, n.dtype), term))
    return total


def bartlett(M: int) -> Any:
    """The triangular window of M points, which begins and ends with 0."""
    n = _places(M)
    if M <= 1:
        return lax.full_like(n, 1)
    return lax.sub(
        scalar(1, n.dtype), lax.abs(lax.sub(lax.mul(n, scalar(2 / (M - 1), n.dtype)), scalar(1, n.dtype)))
    )


def blackman(M: int) -> Any:
    """The Blackman window of M points."""
    return _cosines(M, 0.42, -0.5, 0.08)


def hamming(M: int) -> Any:
    """The Hamming window of M points."""
    return _cosines(M, 0.54, -0.46)


def hanning(M: int) -> Any:
    """The Hann window of M points."""
    return _cosines(M, 0.5, -0.5)


def kaiser(M: int, beta: ArrayLike) -> Any:
    """The Kaiser window of M points with the shape parameter `beta`."""
    n = _places(M)
    if M <= 1:
        return lax.full_like(n, 1)
    one = scalar(1, n.dtype)
    x = lax.sub(lax.mul(n, scalar(2 / (M - 1), n.dtype)), one)
    beta = convert(as_array(beta), n.dtype)
    root = lax.sqrt(lax.max(lax.sub(one, lax.square(x)), scalar(0, n.dtype)))
    return ufuncs.divide(floatmath.i0(ufuncs.binary_functions["multiply"](beta, root)), floatmath.i0(beta))
