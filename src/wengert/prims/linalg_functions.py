"""Functions of matrices: exponential, square root, polar factor, and Sylvester's equation.

Sources: N. J. Higham, Functions of Matrices, SIAM, 2008 (derivatives; chapter 3 has the block matrices by which the
derivative of any of them is one of its own values); Y. Nakatsukasa, Z. Bai, F. Gygi, Optimizing Halley's iteration
for computing the matrix polar decomposition, SIAM J. Matrix Anal. Appl. 31, 2010 (the polar factor).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, add_cotangents, instantiate, is_undefined, is_zero
from wengert.prims.arithmetic import add, sub
from wengert.prims.constructors import as_operand, constant, dtype_of, same_dtype, shape_of
from wengert.prims.conversion import convert
from wengert.prims.linalg_common import (
    adjoint,
    avals_of,
    block,
    check_matrices,
    check_ranks,
    each,
    filled,
    finite,
    library,
    matmul,
    no_derivative,
    not_finite,
    scipy_linalg,
    swap,
)
from wengert.prims.linalg_lu import solve
from wengert.prims.logic import lt
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota
from wengert.prims.slicing import concatenate

# -------------------------------------------------------------------------------------------------- sylvester


def _sylvester_aval(a: ShapedArray, b: ShapedArray, c: ShapedArray, *, tol: float) -> ShapedArray:
    check_matrices("solve_sylvester", a)
    check_matrices("solve_sylvester", b)
    check_ranks("solve_sylvester", (2, 2, 2), (a, b, c))
    if c.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ValueError(
            f"Incompatible shapes for Sylvester equation a @ x + x @ b = c: a {a.shape}, b {b.shape}, c {c.shape}; "
            f"c must have the rows of a and the columns of b"
        )
    return c


def _sylvester_impl(xp: Any, a: Any, b: Any, c: Any, *, tol: float) -> Any:
    def one(a: Any, b: Any, c: Any) -> list[Any]:
        if not finite(a, b, c):
            raise not_finite()
        if not c.size:
            return [c]
        output = "complex" if a.dtype.kind == "c" else "real"
        (r, u), (s, v) = (scipy_linalg.schur(x, output=output, check_finite=False) for x in (a, b))
        if np.abs(_eigenvalues(r)[:, None] + _eigenvalues(s)).min() < tol:
            raise np.linalg.LinAlgError("an eigenvalue of a is minus one of b")
        y, scale = _one_triangular(r, s, u.conj().T @ c @ v)
        return [u @ (y / scale) @ v.conj().T]

    return each(one, (2, 2, 2), avals_of(c), a, b, c)[0]


def _one_triangular(r: Any, s: Any, c: Any) -> Any:
    if not finite(r, s, c):
        raise not_finite()
    (trsyl,) = scipy_linalg.get_lapack_funcs(("trsyl",), (r, s, c))
    return trsyl(r, s, c)[:2]


def _triangular_avals(a: ShapedArray, b: ShapedArray, c: ShapedArray) -> list[ShapedArray]:
    return [c, ShapedArray(c.shape[:-2], dtypes.to_floating_dtype(c.dtype))]


# The y and the scale with a @ y + y @ b = scale * c, for Schur's forms a and b: a step of compiled code.
triangular_sylvester_p: Primitive = library(
    "triangular_sylvester",
    abstract_eval=_triangular_avals,
    impl=lambda xp, a, b, c: each(_one_triangular, (2, 2, 2), _triangular_avals(*avals_of(a, b, c)), a, b, c),
    jvp=no_derivative(lambda: triangular_sylvester_p, "differentiate solve_sylvester"),
    native="triangular_sylvester",
)


def _eigenvalues(t: Any) -> Any:
    """Of Schur's form: its diagonal, but for the pairs of complex ones of a real matrix."""
    return np.diagonal(t) if t.dtype.kind == "c" or not np.diagonal(t, -1).any() else np.linalg.eigvals(t)


def _sylvester_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, tol: float) -> Any:
    (a, b, c), (da, db, dc) = primals, tangents
    out = sylvester_p.bind(a, b, c, tol=tol)
    if all(is_zero(t) for t in tangents):
        return out, Zero.of(out)
    change = instantiate(dc)
    if not is_zero(da):
        change = sub(change, matmul(da, out))
    if not is_zero(db):
        change = sub(change, matmul(out, db))
    return out, sylvester_p.bind(a, b, change, tol=tol)


def _sylvester_transpose(ct: Any, a: Any, b: Any, c: Any, *, tol: float) -> Any:
    if is_zero(ct) or not is_undefined(c):
        return [None, None, None]
    return [None, None, sylvester_p.bind(swap(a), swap(b), ct, tol=tol)]


sylvester_p: Primitive = library(
    "sylvester",
    abstract_eval=_sylvester_aval,
    impl=_sylvester_impl,
    jvp=_sylvester_jvp,
    transpose=_sylvester_transpose,
    multiple_results=False,
    native="sylvester",
)


def solve_sylvester(a: Any, b: Any, c: Any, tol: float = 0.0) -> Any:
    """The x with a @ x + x @ b = c.

    Args:
      a, b, c: (..., m, m), (..., n, n), (..., m, n).
      tol: if the sum of an eigenvalue of a and one of b is less, the result is NaN.
    """
    return sylvester_p.bind(*same_dtype("solve_sylvester", a, b, c), tol=float(tol))


# ------------------------------------------------------------------------------------------------ exponential


def _expm_aval(x: ShapedArray) -> ShapedArray:
    check_matrices("expm", x)
    return x


# Of the diagonal approximant of Pade: its coefficients, and up to which norm it is exact to the last place
# (N. J. Higham, The scaling and squaring method for the matrix exponential revisited, 2005, table 2.3).
_SINGLE = ((17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1), 3.925724783138660)
_DOUBLE = (
    (
        64764752532480000,
        32382376266240000,
        7771770303897600,
        1187353796428800,
        129060195264000,
        10559470521600,
        670442572800,
        33522128640,
        1323241920,
        40840800,
        960960,
        16380,
        182,
        1,
    ),
    5.371920351148152,
)
MOST_SQUARINGS = 64


def approximant(dtype: np.dtype[Any]) -> tuple[tuple[int, ...], float]:
    """The coefficients of the approximant, and up to which norm it is exact."""
    return _SINGLE if np.finfo(dtype).bits == 32 else _DOUBLE


def _expm_impl(xp: Any, x: Any) -> Any:
    """The matrix is scaled until the approximant is exact, and the result squared as often."""
    if not x.size:
        return x
    real = x.real.dtype.type
    coefficients, exact = approximant(x.dtype)
    norm = xp.abs(x).sum(-2).max(-1)
    squarings = xp.ceil(xp.log2(xp.maximum(norm / real(exact), 1)))
    known = xp.isfinite(norm) & (squarings <= MOST_SQUARINGS)
    squarings = xp.where(known, squarings, 0)[..., None, None]
    x = xp.where(known[..., None, None], x, 0) / (2**squarings).astype(real)
    square = x @ x
    eye = xp.eye(x.shape[-1], dtype=x.dtype)
    odd, even = real(coefficients[-1]) * eye, real(coefficients[-2]) * eye
    for k in range(len(coefficients) - 3, 0, -2):
        odd = square @ odd + real(coefficients[k]) * eye
        even = square @ even + real(coefficients[k - 1]) * eye
    odd = x @ odd
    found = xp.linalg.solve(even - odd, even + odd)
    for k in range(int(squarings.max())):
        found = xp.where(k < squarings, found @ found, found)
    missing = complex(np.nan, np.nan) if x.dtype.kind == "c" else np.nan
    return xp.where(known[..., None, None], found, x.dtype.type(missing))


def _expm_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (x,), (t,) = primals, tangents
    out = expm_p.bind(x)
    return out, Zero.of(out) if is_zero(t) else expm_frechet_p.bind(x, t)


expm_p: Primitive = library(
    "expm",
    abstract_eval=_expm_aval,
    impl=_expm_impl,
    jvp=_expm_jvp,
    multiple_results=False,
    native="expm",
)


def _frechet_aval(x: ShapedArray, t: ShapedArray) -> ShapedArray:
    check_matrices("expm_frechet", x)
    check_ranks("expm_frechet", (2, 2), (x, t))
    if x.shape != t.shape:
        raise ValueError(f"expm_frechet takes matrices of one shape, got {x.shape} and {t.shape}")
    return t


def _frechet_impl(xp: Any, x: Any, t: Any) -> Any:
    """The derivative is a block of the exponential of a matrix of blocks."""
    n = x.shape[-1]
    if not x.size:
        return t
    # As it is linear in t, t gets about the norm of x: a greater one would cost precision.
    size, wanted = (xp.abs(y).sum(-2).max(-1)[..., None, None] for y in (t, x))
    scale = xp.where(size == 0, 1, size) / xp.maximum(wanted, x.real.dtype.type(0.1))
    above = xp.concatenate([x, t / scale], -1)
    below = xp.concatenate([xp.zeros_like(x), x], -1)
    return _expm_impl(xp, xp.concatenate([above, below], -2))[..., :n, n:] * scale


def _frechet_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (x, t), (dx, dt) = primals, tangents
    out = expm_frechet_p.bind(x, t)
    total = None if is_zero(dt) else expm_frechet_p.bind(x, dt)
    if not is_zero(dx):
        n = shape_of(x)[-1]
        zero = filled(t, 0)
        whole = _blocks(x, t, zero)
        change = expm_frechet_p.bind(whole, _blocks(dx, zero, zero))
        total = add_cotangents(total, block(change, (0, n), (n, 2 * n)))
    return out, Zero.of(out) if total is None else total


def _blocks(diagonal: Any, above: Any, below: Any) -> Any:
    """[[diagonal, above], [below, diagonal]]."""
    axis = len(shape_of(diagonal)) - 1
    rows = [concatenate(pair, axis) for pair in ([diagonal, above], [below, diagonal])]
    return concatenate(rows, axis - 1)


def _frechet_transpose(ct: Any, x: Any, t: Any) -> Any:
    if is_zero(ct) or not is_undefined(t):
        return [None, None]
    return [None, expm_frechet_p.bind(swap(x), ct)]


expm_frechet_p: Primitive = library(
    "expm_frechet",
    abstract_eval=_frechet_aval,
    impl=_frechet_impl,
    jvp=_frechet_jvp,
    transpose=_frechet_transpose,
    multiple_results=False,
    native="expm_frechet",
)


def expm(x: Any) -> Any:
    """The exponential of square matrices (..., n, n)."""
    return expm_p.bind(as_operand("expm", x))


def expm_frechet(x: Any, t: Any) -> Any:
    """The derivative of the exponential at x in the direction t."""
    return expm_frechet_p.bind(*same_dtype("expm_frechet", x, t))


# ------------------------------------------------------------------------------------------------ square root


def _sqrtm_aval(x: ShapedArray) -> ShapedArray:
    check_matrices("sqrtm", x)
    if x.dtype.kind != "c":
        raise TypeError(f"sqrtm takes complex matrices, got {x.dtype}")
    return x


def _one_sqrtm(x: Any) -> list[Any]:
    """By Schur's form."""
    if not finite(x):
        raise not_finite()
    if not x.size:
        return [x]
    t, z = scipy_linalg.schur(x, output="complex", check_finite=False)
    return [z @ _one_root(t, np.sqrt(np.diagonal(t)))[0] @ z.conj().T]


def _one_root(t: Any, values: Any) -> list[Any]:
    """The root of a triangular matrix, whose diagonal is given: column by column, upwards."""
    n = len(t)
    root = np.zeros_like(t)
    np.fill_diagonal(root, values)
    for j in range(1, n):
        for i in range(j - 1, -1, -1):
            rest = t[i, j] - root[i, i + 1 : j] @ root[i + 1 : j, j]
            # 0 / 0 is of a matrix with several roots, or a singular one that has one; 0 is in one of these
            root[i, j] = rest / (values[i] + values[j]) if rest else 0
    return [root]


# The root of triangular matrices: a step of compiled code.
triangular_root_p: Primitive = library(
    "triangular_root",
    abstract_eval=lambda t, values: t,
    impl=lambda xp, t, values: each(_one_root, (2, 1), avals_of(t), t, values)[0],
    jvp=no_derivative(lambda: triangular_root_p, "differentiate sqrtm"),
    multiple_results=False,
    native="triangular_root",
)


def _sqrtm_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (x,), (t,) = primals, tangents
    out = sqrtm_p.bind(x)
    return out, Zero.of(out) if is_zero(t) else sylvester_p.bind(out, out, t, tol=0.0)


sqrtm_p: Primitive = library(
    "sqrtm",
    abstract_eval=_sqrtm_aval,
    impl=lambda xp, x: each(_one_sqrtm, (2,), avals_of(x), x)[0],
    jvp=_sqrtm_jvp,
    multiple_results=False,
    native="sqrtm",
)


def sqrtm(x: Any) -> Any:
    """The principal square root of square matrices (..., n, n). Complex."""
    x = as_operand("sqrtm", x)
    check_matrices("sqrtm", ShapedArray(shape_of(x), dtype_of(x)))
    return sqrtm_p.bind(convert(x, dtypes.to_complex_dtype(dtype_of(x))))


# -------------------------------------------------------------------------------------------------- polar form


def _polar_avals(x: ShapedArray, *, max_iterations: int, eps: float | None) -> list[ShapedArray]:
    check_matrices("qdwh", x, square_only=False)
    *batch, m, n = x.shape
    if m < n:
        raise ValueError(f"qdwh takes matrices with at least as many rows as columns, got shape {x.shape}")
    counts, done = ShapedArray(batch, np.dtype(np.int32)), ShapedArray(batch, np.dtype(np.bool_))
    return [x, ShapedArray((*batch, n, n), x.dtype), counts, done]


def halley_weights(least: float) -> tuple[tuple[float, float, float], float]:
    """The weights a, b, c of a step that suit the least singular value, and what this is after the step."""
    square = least * least
    d = (4.0 * (1.0 - square) / (square * square)) ** (1.0 / 3.0) if square < 1.0 else 0.0
    root = math.sqrt(1.0 + d)
    a = root + 0.5 * math.sqrt(8.0 - 4.0 * d + 8.0 * (2.0 - square) / (square * root))
    b = (a - 1.0) ** 2 / 4.0
    c = a + b - 1.0
    return (a, b, c), min(least * (a + b * square) / (1.0 + c * square), 1.0)


def _halley_step(x: Any, least: float) -> tuple[Any, float]:
    """One step of the weighted iteration, and the least singular value after it."""
    (a, b, c), after = halley_weights(least)
    m, n = x.shape
    real = x.real.dtype.type
    if c > 100.0:  # by QR, which keeps the precision
        stacked = np.concatenate([real(math.sqrt(c)) * x, np.eye(n, dtype=x.dtype)])
        q = np.linalg.qr(stacked)[0]
        moved = real((a - b / c) / math.sqrt(c)) * (q[:m] @ q[m:].conj().T)
    else:
        z = np.eye(n, dtype=x.dtype) + real(c) * (x.conj().T @ x)
        moved = real(a - b / c) * np.linalg.solve(z, x.conj().T).conj().T
    return real(b / c) * x + moved, after


def _one_polar(x: Any, max_iterations: int, eps: float | None) -> list[Any]:
    if not finite(x):
        raise not_finite()
    n = x.shape[1]
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    size = float(np.sqrt(np.abs(x).sum(0).max(initial=0) * np.abs(x).sum(1).max(initial=0)))
    if not size:
        return [np.eye(*x.shape, dtype=x.dtype), np.zeros((n, n), x.dtype), 0, True]
    u = x / x.real.dtype.type(size)
    least, count, done = eps, 0, False
    while count < max_iterations and not done:
        new, least = _halley_step(u, least)
        change = float(np.linalg.norm(new - u))
        u, count = new, count + 1
        # The iteration converges cubically: if the last change is small, the next one vanishes.
        done = change <= (10.0 * eps) ** (1.0 / 3.0) and abs(1.0 - least) <= 10.0 * eps
    u = 1.5 * u - 0.5 * u @ (u.conj().T @ u)  # a step of Newton and Schulz against rounding
    h = u.conj().T @ x
    return [u.astype(x.dtype), (h + h.conj().T) / 2, count, done]


def _polar_impl(xp: Any, x: Any, *, max_iterations: int, eps: float | None) -> list[Any]:
    outs = _polar_avals(ShapedArray(x.shape, x.dtype), max_iterations=max_iterations, eps=eps)
    return each(lambda x: _one_polar(x, max_iterations, eps), (2,), outs, x)


def _polar_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (x,), (t,) = primals, tangents
    u, h, *rest = outs = polar_p.bind(x, **params)
    zeros = [Zero.of(o) for o in rest]
    if is_zero(t) or not shape_of(x)[-1]:
        return outs, [Zero.of(u), Zero.of(h), *zeros]
    inner = matmul(adjoint(u), t)
    turn = sylvester_p.bind(h, h, sub(inner, adjoint(inner)), tol=0.0)
    du = matmul(u, turn)
    if shape_of(x)[-2] > shape_of(x)[-1]:
        beside = sub(t, matmul(u, inner))
        du = add(du, adjoint(solve(h, adjoint(beside))))
    return outs, [du, sub(inner, matmul(turn, h)), *zeros]


polar_p: Primitive = library(
    "qdwh", abstract_eval=_polar_avals, impl=_polar_impl, jvp=_polar_jvp, native="polar"
)


def qdwh(
    x: Any,
    *,
    is_hermitian: bool = False,
    max_iterations: int | None = None,
    eps: float | None = None,
    dynamic_shape: tuple[int, int] | None = None,
) -> tuple[Any, Any, Any, Any]:
    """The polar decomposition x = u @ h by the dynamically weighted iteration of Halley.

    Args:
      x: (..., m, n) with m >= n. Its derivatives need a rank of n.
      is_hermitian: whether x is; has no effect.
      max_iterations: 10 if None.
      eps: what counts as converged; the precision of the dtype if None.
      dynamic_shape: the rows and columns of x that count, all if None; the others are taken as zeros.
    Returns:
      u (..., m, n) with orthonormal columns; h (..., n, n), Hermitian and positive semidefinite; the number of
      iterations; whether it converged.
    """
    x = as_operand("qdwh", x)
    if dynamic_shape is not None:
        x = _within(x, dynamic_shape)
    limit = 10 if max_iterations is None else int(max_iterations)
    found = polar_p.bind(x, max_iterations=limit, eps=None if eps is None else float(eps))
    if dynamic_shape is not None:
        found = [_within(found[0], dynamic_shape), *found[1:]]
    return found[0], found[1], found[2], found[3]


def _within(x: Any, shape: tuple[Any, Any]) -> Any:
    """x with zeros beyond the first rows and columns."""
    for k, size in zip((2, 1), shape):
        places = broadcasted_iota(np.int32, shape_of(x), len(shape_of(x)) - k)
        x = select(lt(places, convert(as_operand("qdwh", size), np.dtype(np.int32))), x, constant(x, 0))
    return x
