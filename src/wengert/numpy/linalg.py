"""Linear algebra on stacks of matrices: `wengert.numpy.linalg`, as `jax.numpy.linalg`.

Matrices are the last two axes; the others are batch axes. Integers are computed with as floats.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy import (
    creation,
    linear,
    manipulation,
    reductions,
    scalar_types,
    selection,
    sorting,
    summation,
    ufuncs,
)
from wengert.numpy._util import ArrayLike, convert, inexact_dtype, promote_dtypes_inexact
from wengert.prims import linalg_lu, linalg_qr
from wengert.prims.linalg_eigen import check_subset
from wengert.transforms.custom_rules import custom_jvp


class EigResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    sign: Any
    logabsdet: Any


class SVDResult(NamedTuple):
    U: Any
    S: Any
    Vh: Any


def _matrices(name: str, a: ArrayLike, square: bool = False, fewer: type[Exception] = ValueError) -> Any:
    """The argument as an array of floats with at least two axes.

    Raises:
      ValueError: its matrices aren't square though they must be.
      fewer: it has fewer axes.
    """
    a = creation.asarray(a)
    if a.ndim < 2:
        kind = "[..., n, n]" if square else "[..., m, n]"
        raise user_context(
            fewer(f"Argument to {name} must have shape {kind}, matrices on the last two axes; got {a.shape}")
        )
    if square and a.shape[-1] != a.shape[-2]:
        raise user_context(
            ValueError(
                f"Argument to {name} must have shape [..., n, n], got {a.shape}; the matrices must be square"
            )
        )
    return convert(a, inexact_dtype(a.dtype))


def _adjoint(x: Any) -> Any:
    return ufuncs.conj(manipulation.matrix_transpose(x))


# ------------------------------------------------------------------------------------ systems and determinants


def solve(a: ArrayLike, b: ArrayLike) -> Any:
    """The x with a @ x = b.

    Args:
      a: square matrices, (..., n, n).
      b: a vector (n,), or matrices (..., n, k).
    Raises:
      ValueError: shapes do not fit.
    """
    a = _matrices("solve", a, square=True)
    b = creation.asarray(b)
    vector = b.ndim == 1
    n = a.shape[-1]
    if b.ndim == 0 or b.shape[0 if vector else -2] != n:
        raise user_context(
            ValueError(
                f"solve: a has shape {a.shape}, so b must have {n} rows, that is the shape ({n},) or [..., {n}, k]; "
                f"got shape {b.shape}"
            )
        )
    dtype = dtypes.result_type(a, convert(b, inexact_dtype(b.dtype)))
    a, b = convert(a, dtype), convert(b[:, None] if vector else b, dtype)
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise user_context(
            ValueError(
                f"solve: the batch axes of a {a.shape} and b {b.shape}, before the last two, don't broadcast"
            )
        ) from None
    a = creation.broadcast_to(a, (*batch, *a.shape[-2:]))
    b = creation.broadcast_to(b, (*batch, *b.shape[-2:]))
    x = linalg_lu.solve(a, b)
    return x[..., 0] if vector else x


def inv(a: ArrayLike) -> Any:
    """The inverse of square matrices (..., n, n)."""
    a = _matrices("inv", a, square=True)
    return solve(a, creation.broadcast_to(creation.eye(a.shape[-1], dtype=a.dtype), a.shape))


def det(a: ArrayLike) -> Any:
    """The determinant of square matrices (..., n, n). It has derivatives at singular matrices too."""
    a = _matrices("det", a, square=True)
    if a.dtype.itemsize < 4 and a.shape[-1] <= 3:  # as elsewhere these are computed without a decomposition
        return linalg_lu.det(convert(a, np.dtype(np.float32))).astype(a.dtype)
    return linalg_lu.det(a)


def slogdet(a: ArrayLike, *, method: str | None = None) -> SlogdetResult:
    """Sign and logarithm of the absolute value of the determinant of square matrices (..., n, n).

    Args:
      method: "lu" (if None) or "qr": the decomposition by which it is computed.
    """
    a = _matrices("slogdet", a, square=True)
    if method not in (None, "lu", "qr"):
        raise user_context(
            ValueError(f"Unknown slogdet method '{method}'. Supported methods are 'lu' (`None`), and 'qr'.")
        )
    sign, diagonal = _turned_diagonal(a) if method == "qr" else _signed_diagonal(a)
    size = ufuncs.abs(diagonal)
    zero = reductions.any(size == 0, axis=-1)
    turn = reductions.prod(diagonal / selection.where(size == 0, 1, size).astype(a.dtype), axis=-1)
    return SlogdetResult(
        selection.where(zero, creation.zeros((), a.dtype), sign * turn),
        selection.where(zero, -np.inf, reductions.sum(ufuncs.log(size), axis=-1)),
    )


def _turned_diagonal(a: Any) -> tuple[Any, Any]:
    """The determinant of Q of the QR decomposition, and the diagonal of R."""
    q, r = lax.linalg.qr(a)
    return linalg_lu.det(q), manipulation.diagonal(r, axis1=-2, axis2=-1)


def _signed_diagonal(a: Any) -> tuple[Any, Any]:
    """The sign of the permutation of the LU decomposition, and the diagonal of U."""
    factors, pivots, _ = lax.linalg.lu(a)
    moved = reductions.sum(pivots != creation.arange(a.shape[-1], dtype=pivots.dtype), axis=-1)
    sign = selection.where(moved % 2 == 0, 1, -1).astype(a.dtype)
    return sign, manipulation.diagonal(factors, axis1=-2, axis2=-1)


def lstsq(
    a: ArrayLike, b: ArrayLike, rcond: float | None = None, *, numpy_resid: bool = False
) -> tuple[Any, Any, Any, Any]:
    """The x that minimises the norm of a @ x - b, with residuals, rank and singular values of a.

    Args:
      a: a matrix (m, n).
      b: a vector (m,) or matrix (m, k).
      rcond: singular values below rcond times the largest one count as zero; the precision times max(m, n) if None,
        the precision if negative.
      numpy_resid: return no residuals where NumPy returns none, which is not possible under jit.
    """
    a, b = creation.asarray(a), creation.asarray(b)
    vector = b.ndim == 1
    if a.ndim != 2 or b.ndim not in (1, 2):
        raise user_context(
            TypeError(f"lstsq takes a matrix a, and a vector or matrix b; got shapes {a.shape} and {b.shape}")
        )
    if b.shape[0] != a.shape[0]:
        raise user_context(
            ValueError(
                f"Leading dimensions of input arrays must match: a has shape {a.shape}, so b must have {a.shape[0]} "
                f"rows; got shape {b.shape}"
            )
        )
    a, b = promote_dtypes_inexact(a, b)
    b = b[:, None] if vector else b
    m, n = a.shape
    eps = float(scalar_types.finfo(a.dtype).eps)
    cutoff = eps * max(m, n) if rcond is None else selection.where(creation.asarray(rcond) < 0, eps, rcond)
    x, rank, s = _least_squares(a, b, cutoff)
    residuals = reductions.sum(ufuncs.abs(b - a @ x) ** 2, axis=0)
    if numpy_resid and (m <= n or not bool(rank == n)):
        residuals = creation.zeros((0,), residuals.dtype)
    return x[:, 0] if vector else x, residuals, rank, s


@custom_jvp
def _least_squares(a: Any, b: Any, rcond: Any) -> tuple[Any, Any, Any]:
    u, s, vh = svd(a, full_matrices=False)
    kept = (s > 0) & (s >= rcond * s[:1])
    inverse = selection.where(kept, 1 / selection.where(kept, s, 1), 0)
    x = _adjoint(vh) @ (inverse[:, None].astype(a.dtype) * (_adjoint(u) @ b))
    return x, reductions.sum(kept), s


@_least_squares.defjvp
def _least_squares_jvp(primals: Any, tangents: Any) -> Any:
    """G. H. Golub and V. Pereyra, The differentiation of pseudo-inverses, 1973; for matrices of constant rank."""
    (a, b, rcond), (da, db, _) = primals, tangents
    x, rank, s = _least_squares(a, b, rcond)
    inverse = _inverted(a, rcond, False)
    turned = _adjoint(inverse)
    dx = inverse @ (db - da @ x + turned @ (_adjoint(da) @ (b - a @ x)))
    beside = _adjoint(da) @ (turned @ x)
    dx = dx + beside - inverse @ (a @ beside)
    u, _, vh = svd(a, full_matrices=False)
    ds = ufuncs.real(reductions.sum(ufuncs.conj(u) * (da @ _adjoint(vh)), axis=0))
    return (x, rank, s), (dx, np.zeros((), dtypes.float0), ds)


def pinv(
    a: ArrayLike, rtol: ArrayLike | None = None, hermitian: bool = False, *, rcond: ArrayLike | None = None
) -> Any:
    """The Moore-Penrose inverse of matrices (..., m, n).

    Its derivative is that along matrices of the same rank.

    Args:
      rtol: singular values below rtol times the largest one count as zero; 10 * max(m, n) * precision if None.
      hermitian: the matrices are Hermitian.
      rcond: the older name of rtol.
    """
    a = _matrices("pinv", a)
    if rcond is not None:
        if rtol is not None:
            raise user_context(ValueError("pinv: only one of rtol and rcond may be specified."))
        rtol = rcond
    if rtol is None:
        rtol = 10.0 * max(a.shape[-2:]) * float(scalar_types.finfo(a.dtype).eps)
    return _inverted(a, creation.asarray(rtol), hermitian)


@functools.partial(custom_jvp, nondiff_argnums=(2,))
def _inverted(a: Any, rtol: Any, hermitian: bool) -> Any:
    u, s, vh = svd(a, full_matrices=False, hermitian=hermitian)
    kept = s > creation.asarray(rtol)[..., None] * s[..., :1]
    inverse = selection.where(kept, 1 / selection.where(kept, s, 1), 0).astype(a.dtype)
    # A matrix that is not finite has no inverse: its singular values are NaN, which are greater than nothing.
    inverse = selection.where(ufuncs.isnan(s), s, inverse.real).astype(a.dtype)
    return _adjoint(vh) @ (inverse[..., :, None] * _adjoint(u))


@_inverted.defjvp
def _inverted_jvp(hermitian: bool, primals: Any, tangents: Any) -> Any:
    """G. H. Golub and V. Pereyra, The differentiation of pseudo-inverses, 1973."""
    (a, rtol), (da, _) = primals, tangents
    p = _inverted(a, rtol, hermitian)
    if hermitian:  # the mean of a and its adjoint is what was decomposed
        a, da = (a + _adjoint(a)) / 2, (da + _adjoint(da)) / 2
    turned, change = _adjoint(p), _adjoint(da)
    left = p @ turned @ change
    right = change @ turned @ p
    return p, left - left @ a @ p + right - p @ (a @ right) - p @ da @ p


# ----------------------------------------------------------------------------------------------- decompositions


def cholesky(a: ArrayLike, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L @ adjoint(L) = a; its adjoint if `upper`. NaN if a is not positive definite."""
    a = _matrices("cholesky", a, square=True)
    factor = lax.linalg.cholesky(_adjoint(a) if upper else a, symmetrize_input=symmetrize_input)
    return _adjoint(factor) if upper else factor


def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:
    """The singular value decomposition a = U @ diag(S) @ Vh of matrices (..., m, n).

    Args:
      full_matrices: U and Vh are square.
      compute_uv: return (U, S, Vh), else S alone.
      hermitian: the matrices are Hermitian, and the decomposition is made of their eigenvectors.
      subset_by_index: a range of singular values, by number, to return.
    """
    a = _matrices("svd", a, hermitian, TypeError)
    if hermitian:
        first, last = check_subset("svd", subset_by_index, a.shape[-1])
        w, v = eigh(a)
        order = sorting.argsort(-ufuncs.abs(w), axis=-1)[..., first:last]
        w = selection.take_along_axis(w, order, axis=-1)
        if not compute_uv:
            return ufuncs.abs(w)
        v = selection.take_along_axis(v, order[..., None, :], axis=-1)
        sign = selection.where(w < 0, -1, 1).astype(v.dtype)
        return SVDResult(v, ufuncs.abs(w), _adjoint(v * sign[..., None, :]))
    found = lax.linalg.svd(
        a, full_matrices=full_matrices, compute_uv=compute_uv, subset_by_index=subset_by_index
    )
    return SVDResult(*found) if compute_uv else found


def svdvals(x: ArrayLike, /) -> Any:
    """The singular values of matrices (..., m, n), the largest first."""
    return svd(x, full_matrices=False, compute_uv=False)


def eig(a: ArrayLike) -> EigResult:
    """Eigenvalues, and eigenvectors as columns, of square matrices (..., n, n). Complex."""
    a = _matrices("eig", a, True, TypeError)
    return EigResult(*lax.linalg.eig(a, compute_left_eigenvectors=False))


def eigvals(a: ArrayLike) -> Any:
    """The eigenvalues of square matrices (..., n, n). Complex."""
    a = _matrices("eigvals", a, True, TypeError)
    return lax.linalg.eig(a, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]


def eigh(a: ArrayLike, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """Ascending eigenvalues, and eigenvectors as columns, of Hermitian matrices (..., n, n).

    Args:
      UPLO: "L" or "U": which triangle is read, unless `symmetrize_input` takes the mean of a and its adjoint first.
    """
    a = _matrices("eigh", a, square=True)
    if UPLO not in (None, "L", "U"):
        raise user_context(ValueError(f"UPLO must be one of None, 'L', or 'U', got {UPLO}"))
    vectors, values = lax.linalg.eigh(a, lower=UPLO != "U", symmetrize_input=symmetrize_input)
    return EighResult(values, vectors)


def eigvalsh(a: ArrayLike, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Any:
    """The ascending eigenvalues of Hermitian matrices (..., n, n)."""
    return eigh(a, UPLO, symmetrize_input).eigenvalues


def qr(a: ArrayLike, mode: str = "reduced") -> Any:
    """The decomposition a = Q @ R of matrices (..., m, n), with orthonormal columns of Q and upper triangular R.

    Args:
      mode: "reduced" or "full" (Q has min(m, n) columns), "complete" (Q is square), "r" (R alone), or "raw" (the
        transpose of what LAPACK has: R, and reflections beside it; and the factors of these).
    """
    a = _matrices("qr", a, fewer=TypeError)
    if mode not in ("reduced", "complete", "full", "r", "raw"):
        raise user_context(
            ValueError(
                f"Unsupported QR decomposition mode '{mode}'; there are 'reduced', 'complete', 'r' and 'raw'"
            )
        )
    if mode == "raw":
        packed, taus = linalg_qr.geqrf(a)
        return QRResult(manipulation.matrix_transpose(packed), taus)
    q, r = lax.linalg.qr(a, full_matrices=mode == "complete")
    return r if mode == "r" else QRResult(q, r)


# -------------------------------------------------------------------------------------- norms, ranks, products


def norm(
    x: ArrayLike,
    ord: int | float | str | None = None,
    axis: tuple[int, ...] | int | None = None,
    keepdims: bool = False,
) -> Any:
    """The norm of vectors or matrices.

    Args:
      ord: which norm, as in NumPy; that of Frobenius (2 for vectors) if None.
      axis: one axis for vectors, two for matrices; all of them if None.
    """
    x = creation.asarray(x)
    x = convert(x, inexact_dtype(x.dtype))
    if axis is None:
        if ord is None:
            return ufuncs.sqrt(reductions.sum(ufuncs.real(x * ufuncs.conj(x)), keepdims=keepdims))
        axis = tuple(range(x.ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if len(axes) == 1:
        return vector_norm(x, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) == 2:
        return _matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    raise user_context(
        ValueError(
            f"Improper number of axes for norm: {axis=}. Pass one axis to compute a vector-norm, or two."
        )
    )


def vector_norm(
    x: ArrayLike,
    /,
    *,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    ord: int | float | str = 2,
) -> Any:
    """(sum(abs(x)**ord))**(1/ord) along axes; the largest or smallest absolute value for +-inf, a count for 0."""
    x = creation.asarray(x)
    x = convert(x, inexact_dtype(x.dtype))
    if isinstance(ord, str):
        raise user_context(ValueError(f"Invalid order {ord!r} for vector norm."))
    size = ufuncs.abs(x)
    if ord == np.inf:
        return reductions.max(size, axis=axis, keepdims=keepdims, initial=0)
    if ord == -np.inf:
        return reductions.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return reductions.sum((x != 0).astype(size.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(size, axis=axis, keepdims=keepdims)
    if ord == 2:
        return ufuncs.sqrt(reductions.sum(ufuncs.real(x * ufuncs.conj(x)), axis=axis, keepdims=keepdims))
    return reductions.sum(size**ord, axis=axis, keepdims=keepdims) ** (1.0 / ord)


def _matrix_norm(x: Any, ord: int | float | str, axes: tuple[int, ...], keepdims: bool) -> Any:
    row, column = (a % x.ndim for a in axes)
    size = ufuncs.abs(x)
    if ord == "fro":
        return ufuncs.sqrt(
            reductions.sum(ufuncs.real(x * ufuncs.conj(x)), axis=(row, column), keepdims=keepdims)
        )
    if ord in (1, -1, np.inf, -np.inf):
        assert not isinstance(ord, str)
        summed, other = (row, column) if abs(ord) == 1 else (column, row)
        sums = reductions.sum(size, axis=summed, keepdims=True)
        found = (reductions.max if ord > 0 else reductions.min)(sums, axis=other, keepdims=True)
        return found if keepdims else manipulation.squeeze(found, (row, column))
    if ord in (2, -2, "nuc"):
        s = svdvals(manipulation.moveaxis(x, (row, column), (-2, -1)))
        value = reductions.sum(s, -1) if ord == "nuc" else s[..., 0] if ord == 2 else s[..., -1]
        return manipulation.expand_dims(value, sorted((row, column))) if keepdims else value
    raise user_context(ValueError(f"Invalid order '{ord}' for matrix norm."))


def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: int | float | str = "fro") -> Any:
    """The norm of matrices (..., m, n)."""
    return _matrix_norm(_matrices("matrix_norm", x), ord, (-2, -1), keepdims)


def cond(x: ArrayLike, p: Any = None) -> Any:
    """The condition number of matrices, norm(x) * norm(inv(x)); by singular values if p is None, 2 or -2."""
    x = _matrices("cond", x, square=p not in (None, 2, -2))
    if 0 in x.shape[-2:]:
        raise user_context(ValueError(f"jnp.linalg.cond: input array must not be empty; got shape {x.shape}"))
    if p in (None, 2, -2):
        s = svdvals(x)
        ratio = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    else:
        ratio = matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)
    bad = ufuncs.isnan(ratio) & ~reductions.any(ufuncs.isnan(x), axis=(-2, -1))
    return selection.where(bad, np.inf, ratio)


def matrix_rank(
    M: ArrayLike,
    rtol: ArrayLike | None = None,
    *,
    hermitian: bool = False,
    tol: ArrayLike | None = None,
) -> Any:
    """The number of singular values above rtol times the largest one (max(m, n) * precision if None).

    Args:
      M: (..., m, n); of a vector, or a number, the rank is 1 if it is not zero.
      tol: the older name of rtol.
    """
    if tol is not None:
        if rtol is not None:
            raise user_context(ValueError("matrix_rank: only one of tol or rtol may be specified."))
        rtol = tol
    x = creation.asarray(M)
    if x.ndim < 2:
        return reductions.any(x != 0).astype(np.int32)
    x = _matrices("matrix_rank", x)
    s = svd(x, full_matrices=False, compute_uv=False, hermitian=hermitian)
    if rtol is None:
        rtol = max(x.shape[-2:]) * float(scalar_types.finfo(s.dtype).eps)
    return reductions.sum(s > creation.asarray(rtol)[..., None] * s[..., :1], axis=-1)


def matrix_power(a: ArrayLike, n: int) -> Any:
    """Square matrices (..., k, k) to an integer power, by repeated squaring; inverses for a negative one."""
    a = creation.asarray(a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise user_context(ValueError(f"matrix_power takes square matrices [..., n, n], got shape {a.shape}"))
    if not isinstance(n, int | np.integer):
        raise user_context(TypeError(f"matrix_power takes an integer exponent, got {n!r}"))
    if n == 0:
        return creation.broadcast_to(creation.eye(a.shape[-1], dtype=a.dtype), a.shape)
    if n < 0:
        a, n = inv(a), -n
    result = None
    while True:
        if n % 2:
            result = a if result is None else result @ a
        n //= 2
        if n == 0:
            return result
        a = a @ a


def multi_dot(arrays: Sequence[ArrayLike], *, precision: Any = None) -> Any:
    """The product of matrices, multiplied in the order that takes the fewest operations; the ends may be vectors."""
    if len(arrays) < 2:
        raise user_context(ValueError("multi_dot requires at least two arrays"))
    found = [creation.asarray(a) for a in arrays]
    letters = "abcdefghijklmnopqrstuvwxyz"
    terms, at = [], 0
    for n, a in enumerate(found):
        if a.ndim == 1 and n in (0, len(found) - 1):
            terms.append(letters[at])
            continue
        if a.ndim != 2:
            raise user_context(
                ValueError(f"multi_dot: array {n} of {len(found)} must be a matrix, got shape {a.shape}")
            )
        terms.append(letters[at : at + 2])
        at += 1
    ends = ("" if found[0].ndim == 1 else terms[0][0]) + ("" if found[-1].ndim == 1 else terms[-1][-1])
    return summation.einsum(f"{','.join(terms)}->{ends}", *found, optimize="auto", precision=precision)


def tensorinv(a: ArrayLike, ind: int = 2) -> Any:
    """The inverse of a as a map from its last axes to its first `ind` ones."""
    a = creation.asarray(a)
    if ind <= 0:
        raise user_context(ValueError(f"ind must be a positive integer; got {ind=}"))
    rows, columns = a.shape[:ind], a.shape[ind:]
    size = functools.reduce(lambda x, y: x * y, columns, 1)
    return inv(a.reshape(-1, size)).reshape(*columns, *rows)


def tensorsolve(a: ArrayLike, b: ArrayLike, axes: tuple[int, ...] | None = None) -> Any:
    """The x with tensordot(a, x, x.ndim) = b."""
    a, b = creation.asarray(a), creation.asarray(b)
    if axes is not None:
        a = manipulation.moveaxis(a, axes, tuple(range(a.ndim - len(axes), a.ndim)))
    shape = a.shape[b.ndim :]
    return solve(a.reshape(b.size, -1), b.ravel()).reshape(shape)


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """The products of all pairs of elements of two vectors."""
    x1, x2 = creation.asarray(x1), creation.asarray(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise user_context(ValueError(f"outer takes vectors, got shapes {x1.shape} and {x2.shape}"))
    return linear.outer(x1, x2)


def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of three elements along an axis."""
    x1, x2 = creation.asarray(x1), creation.asarray(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise user_context(
            ValueError(
                f"Both input arrays must be (arrays of) 3-dimensional vectors, but they have {x1.shape[axis]=} and "
                f"{x2.shape[axis]=}"
            )
        )
    return linear.cross(x1, x2, axis=axis)


def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Any:
    """The diagonals of matrices (..., m, n)."""
    return manipulation.diagonal(x, offset=offset, axis1=-2, axis2=-1)


def trace(x: ArrayLike, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of the diagonals of matrices (..., m, n)."""
    return manipulation.trace(x, offset=offset, axis1=-2, axis2=-1, dtype=dtype)


def matmul(
    x1: ArrayLike, x2: ArrayLike, /, *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The products of matrices."""
    return linear.matmul(x1, x2, precision=precision, preferred_element_type=preferred_element_type)


def matrix_transpose(x: ArrayLike, /) -> Any:
    """Matrices with their last two axes exchanged."""
    return manipulation.matrix_transpose(x)


def vecdot(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The products of vectors along an axis, the first conjugated."""
    return linear.vecdot(
        x1, x2, axis=axis, precision=precision, preferred_element_type=preferred_element_type
    )


def tensordot(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    axes: Any = 2,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The products of arrays, summed over pairs of axes."""
    return linear.tensordot(
        x1, x2, axes=axes, precision=precision, preferred_element_type=preferred_element_type
    )
