"""Matrices of a known form. Those of arrays take stacks of vectors, along the last axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert import numpy as jnp
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy._util import ArrayLike, DTypeLike, convert, static_int, user_dtype
from wengert.scipy.linalg.arguments import inexact, one_of

__all__ = [
    "block_diag",
    "circulant",
    "companion",
    "convolution_matrix",
    "dft",
    "fiedler",
    "fiedler_companion",
    "hadamard",
    "hankel",
    "helmert",
    "hilbert",
    "invhilbert",
    "invpascal",
    "leslie",
    "pascal",
    "toeplitz",
]

# -------------------------------------------------------------------------------------------------- of vectors


def _vectors(name: str, x: Any, argument: str, least: int = 0) -> Any:
    """The argument as an array with at least one axis, of at least so many elements."""
    x = jnp.atleast_1d(jnp.asarray(x))
    if x.shape[-1] < least:
        raise user_context(
            ValueError(
                f"scipy.linalg.{name}: {argument} must have at least {least} elements along its last axis, got shape "
                f"{x.shape}"
            )
        )
    return x


def _joined(x: Any, y: Any) -> Any:
    """Vectors behind each other, their batch axes broadcast."""
    dtype = dtypes.promote_types(x.dtype, y.dtype)
    batch = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    pair = [jnp.broadcast_to(convert(z, dtype), (*batch, z.shape[-1])) for z in (x, y)]
    return jnp.concatenate(pair, axis=-1)


def block_diag(*arrs: ArrayLike) -> Any:
    """A matrix with these matrices along its diagonal. Vectors count as rows, numbers as 1 x 1 matrices."""
    found = [jnp.asarray(a) for a in arrs] or [jnp.zeros((1, 0))]
    for i, a in enumerate(found):
        if a.ndim > 2:
            raise user_context(
                ValueError(
                    "Arguments to scipy.linalg.block_diag must have at most 2 dimensions, got shape "
                    f"{a.shape} at argument {i}; use vmap for stacks"
                )
            )
    dtype = dtypes.result_type(*found)
    blocks = [convert(jnp.atleast_2d(a), dtype) for a in found]
    total = sum(b.shape[1] for b in blocks)
    rows, at = [], 0
    for b in blocks:
        rows.append(jnp.pad(b, ((0, 0), (at, total - at - b.shape[1]))))
        at += b.shape[1]
    return jnp.concatenate(rows, axis=0)


def toeplitz(c: ArrayLike, r: ArrayLike | None = None) -> Any:
    """The matrices with equal elements along each diagonal.

    Args:
      c: their first columns (..., m).
      r: their first rows (..., n), of which the first elements are not read; the conjugate of c if None.
    """
    c = _vectors("toeplitz", c, "c")
    r = jnp.conj(c) if r is None else _vectors("toeplitz", r, "r")
    m, n = c.shape[-1], r.shape[-1]
    if not m or not n:
        batch = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
        return jnp.zeros((*batch, m, n), dtypes.promote_types(c.dtype, r.dtype))
    values = _joined(c[..., ::-1], r[..., 1:])
    return values[..., np.arange(m)[::-1, None] + np.arange(n)]


def hankel(c: ArrayLike, r: ArrayLike | None = None) -> Any:
    """The matrices with equal elements along each antidiagonal.

    Args:
      c: their first columns (..., m).
      r: their last rows (..., n), of which the first elements are not read; zeros if None.
    """
    c = jnp.asarray(c)
    r = jnp.zeros_like(c) if r is None else jnp.asarray(r)
    for argument, x in (("c", c), ("r", r)):
        if x.ndim == 0:
            raise user_context(
                ValueError(f"hankel: {argument} must be at least 1-dimensional, got a scalar.")
            )
    m, n = c.shape[-1], r.shape[-1]
    if not m or not n:
        batch = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
        return jnp.zeros((*batch, m, n), dtypes.promote_types(c.dtype, r.dtype))
    return _joined(c, r[..., 1:])[..., np.arange(m)[:, None] + np.arange(n)]


def circulant(c: ArrayLike) -> Any:
    """The matrices whose columns are the first one, c (..., n), moved on in a circle."""
    c = _vectors("circulant", c, "c")
    n = c.shape[-1]
    return c[..., (np.arange(n)[:, None] - np.arange(n)) % max(n, 1)]


def convolution_matrix(a: ArrayLike, n: int, mode: str = "full") -> Any:
    """The matrices by which `convolve(a, x, mode)` multiplies an x of n elements.

    Args:
      a: (..., m).
      mode: "full", "same" or "valid".
    """
    n = static_int(n, "the argument n of convolution_matrix")
    if n <= 0:
        raise user_context(ValueError(f"n must be a positive integer; got {n}."))
    a = jnp.asarray(a)
    if a.ndim == 0 or a.shape[-1] < 1:
        raise user_context(ValueError(f"convolution_matrix: len(a) must be at least 1; got shape {a.shape}."))
    one_of("convolution_matrix", "mode", mode, ("full", "valid", "same"))
    m = a.shape[-1]
    shorter = min(n, m) - 1
    before = {"full": 0, "same": shorter // 2, "valid": shorter}[mode]
    after = {"full": 0, "same": shorter - shorter // 2, "valid": shorter}[mode]
    place = np.arange(before, m + n - 1 - after)[:, None] - np.arange(n)
    inside = (place >= 0) & (place < m)
    return jnp.where(inside, a[..., np.where(inside, place, 0)], jnp.zeros((), a.dtype))


def leslie(f: ArrayLike, s: ArrayLike) -> Any:
    """Leslie's matrices of population growth.

    Args:
      f: the fecundities (..., n), n >= 2: the first rows.
      s: the survival rates (..., n - 1): below the diagonals.
    """
    f, s = _vectors("leslie", f, "f", 2), _vectors("leslie", s, "s")
    n = f.shape[-1]
    if s.shape[-1] != n - 1:
        raise user_context(
            ValueError(
                "Incorrect lengths for f and s. The length of s along the last axis must be one less than the length "
                f"of f; got f shape {f.shape} and s shape {s.shape}."
            )
        )
    values = _joined(f, s)
    place = np.zeros((n, n), np.intp)
    place[0] = np.arange(n)
    place[np.arange(1, n), np.arange(n - 1)] = np.arange(n, 2 * n - 1)
    used = place > 0
    used[0, 0] = True
    return jnp.where(used, values[..., place], jnp.zeros((), values.dtype))


def companion(a: ArrayLike) -> Any:
    """The companion matrices of polynomials with the coefficients a (..., n), n >= 2, the highest power first."""
    (a,) = inexact("companion", _vectors("companion", a, "a", 2))
    n = a.shape[-1] - 1
    first = -a[..., 1:] / a[..., :1]
    rest = jnp.broadcast_to(jnp.eye(n - 1, n, dtype=a.dtype), (*a.shape[:-1], n - 1, n))
    return jnp.concatenate([first[..., None, :], rest], axis=-2)


def fiedler(a: ArrayLike) -> Any:
    """The matrices of the distances abs(a[i] - a[j]), for a (..., n)."""
    a = _vectors("fiedler", a, "a")
    return jnp.abs(a[..., :, None] - a[..., None, :])


def fiedler_companion(a: ArrayLike) -> Any:
    """Pentadiagonal matrices with the eigenvalues that the companion matrices of a (..., n) have."""
    (a,) = inexact("fiedler_companion", _vectors("fiedler_companion", a, "a", 1))
    n = a.shape[-1] - 1
    if n == 0:
        return jnp.zeros((*a.shape[:-1], 0, 0), a.dtype)
    values = -a / a[..., :1]
    place, ones = np.zeros((n, n), np.intp), np.zeros((n, n), bool)
    place[0, 0] = 1
    for i in range(0, n, 2):
        if i + 1 < n:
            place[i, i + 1] = i + 2
        if i + 2 < n:
            ones[i, i + 2] = True
        if i:
            place[i, i - 1] = i + 1
    for i in range(1, n, 2):
        ones[i, max(i - 2, 0)] = True
    found = jnp.where(place > 0, values[..., place], jnp.zeros((), a.dtype))
    return jnp.where(ones, jnp.ones((), a.dtype), found)


# -------------------------------------------------------------------------------------------------- of numbers


def _size(name: str, n: Any, least: int = 0) -> int:
    size = static_int(n, f"the argument n of {name}")
    if size < least:
        raise user_context(ValueError(f"scipy.linalg.{name}: n must be at least {least}, got {size}"))
    return size


def _floats(rows: Any, n: int) -> Any:
    """Exact numbers as an array of floats."""
    return jnp.asarray(np.array(rows, np.float64).reshape(n, n), dtypes.default_float_dtype())


def hilbert(n: int) -> Any:
    """Hilbert's matrix 1 / (i + j + 1)."""
    n = _size("hilbert", n)
    return _floats([[1 / (i + j + 1) for j in range(n)] for i in range(n)], n)


def invhilbert(n: int) -> Any:
    """The inverse of Hilbert's matrix, of integers."""
    n = _size("invhilbert", n)
    comb = math.comb
    return _floats(
        [
            [
                (-1) ** (i + j)
                * (i + j + 1)
                * comb(n + i, n - j - 1)
                * comb(n + j, n - i - 1)
                * comb(i + j, i) ** 2
                for j in range(n)
            ]
            for i in range(n)
        ],
        n,
    )


def _pascal(name: str, n: int, kind: str | None, sign: int) -> Any:
    """Pascal's triangle, with signs as a chessboard has colours if sign is -1, as a matrix of the kind."""
    kind = "symmetric" if kind is None else kind
    one_of(name, "kind", kind, ("symmetric", "lower", "upper"))
    n = _size(name, n)
    low = [[math.comb(i, j) * sign ** (i - j) if i >= j else 0 for j in range(n)] for i in range(n)]
    matrix = np.array(low, object).reshape(n, n)
    if kind == "upper":
        matrix = matrix.T
    if kind == "symmetric":
        matrix = matrix @ matrix.T if sign > 0 else matrix.T @ matrix
    return _floats(matrix, n)


def pascal(n: int, kind: str | None = None) -> Any:
    """Pascal's matrix of binomial coefficients: "lower" or "upper" triangular, or "symmetric", their product."""
    return _pascal("pascal", n, kind, 1)


def invpascal(n: int, kind: str | None = None) -> Any:
    """The inverse of Pascal's matrix, of integers; `kind` as there."""
    return _pascal("invpascal", n, kind, -1)


def helmert(n: int, full: bool = False) -> Any:
    """Helmert's orthogonal matrix (n, n) if `full`, else without its first row."""
    n = _size("helmert", n, 1)
    k = np.arange(1, n)[:, None]
    places = np.arange(n)
    rows = np.where(places < k, 1.0, np.where(places == k, -k, 0.0)) / np.sqrt(k * (k + 1))
    if full:
        rows = np.concatenate([np.full((1, n), 1 / np.sqrt(n)), rows])
    return jnp.asarray(rows, dtypes.default_float_dtype())


def hadamard(n: int, dtype: DTypeLike = int) -> Any:
    """Hadamard's matrix of 1 and -1, for n a power of 2."""
    n = static_int(n, "the argument n of hadamard")
    if n < 1 or n & (n - 1):
        raise user_context(ValueError(f"n must be a positive power of 2; got {n}."))
    found = np.ones((1, 1), np.int8)
    while len(found) < n:
        found = np.block([[found, found], [found, -found]])
    return jnp.asarray(found).astype(user_dtype(dtype, "hadamard"))


def dft(n: int, scale: str | None = None, *, dtype: DTypeLike | None = None) -> Any:
    """The matrix of the discrete Fourier transform of n elements.

    Args:
      scale: None, or what the matrix is divided by: "sqrtn" or "n".
      dtype: a complex one; the default one if None.
    """
    n = _size("dft", n)
    one_of("dft", "scale", scale, (None, "sqrtn", "n"))
    chosen = dtypes.default_complex_dtype() if dtype is None else user_dtype(dtype, "dft")
    if chosen.kind != "c":
        raise user_context(ValueError(f"dtype must be a complex floating-point type; got {chosen}."))
    # the angle within one turn, so that it keeps the precision
    steps = np.outer(np.arange(n), np.arange(n)) % max(n, 1)
    found = np.exp(-2j * np.pi * steps / max(n, 1))
    divisor = {None: 1.0, "sqrtn": math.sqrt(max(n, 1)), "n": max(n, 1)}[scale]
    return jnp.asarray(found / divisor, chosen)
