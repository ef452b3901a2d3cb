"""Decompositions of matrices. `overwrite_*`, `check_finite`, `lwork` and the like have no effect."""

from __future__ import annotations

from typing import Any

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy._util import ArrayLike, convert
from wengert.prims import linalg_eigen, linalg_functions
from wengert.scipy.linalg.arguments import (
    adjoint,
    batched,
    check_matrix,
    inexact,
    matrix,
    one_of,
    product,
)

__all__ = [
    "cho_factor",
    "cholesky",
    "eigh",
    "eigh_tridiagonal",
    "hessenberg",
    "lu",
    "lu_factor",
    "polar",
    "qr",
    "qr_multiply",
    "rsf2csf",
    "schur",
    "svd",
]


def cholesky(a: ArrayLike, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The factor of Hermitian positive definite matrices (..., n, n); NaN if they aren't positive definite.

    Args:
      lower: the L with a = L @ adjoint(L), from the lower triangle of a, if true; else its adjoint, from the upper
        triangle.
    """
    a = matrix("cholesky", a)
    factor = lax.linalg.cholesky(a if lower else adjoint(a), symmetrize_input=False)
    return factor if lower else adjoint(factor)


def cho_factor(
    a: ArrayLike, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """What `cho_solve` takes: the factor of `cholesky`, and `lower`."""
    return cholesky(a, lower=lower), lower


def lu_factor(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """What `lu_solve` takes: L and U in one matrix (..., m, n), and the swaps of rows (..., min(m, n))."""
    factors, pivots, _ = lax.linalg.lu(matrix("lu_factor", a, square=False, fewer=TypeError))
    return factors, pivots


def lu(
    a: ArrayLike, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, ...]:
    """The decomposition a = P @ L @ U of matrices (..., m, n), with partial pivoting.

    Returns:
      P (..., m, m), real; L (..., m, min(m, n)) with ones on the diagonal; U (..., min(m, n), n). If `permute_l`,
      P @ L and U.
    """
    a = matrix("lu", a, square=False)
    factors, _, permutation = lax.linalg.lu(a)
    m, n = a.shape[-2:]
    k = min(m, n)
    left = jnp.tril(factors, -1)[..., :k] + jnp.eye(m, k, dtype=a.dtype)
    right = jnp.triu(factors)[..., :k, :]
    moved = permutation[..., None, :] == jnp.arange(m, dtype=permutation.dtype)[:, None]
    p = moved.astype(dtypes.to_floating_dtype(a.dtype))
    return (product(p.astype(a.dtype), left), right) if permute_l else (p, left, right)


def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """The singular value decomposition a = U @ diag(s) @ Vh of matrices (..., m, n).

    Args:
      full_matrices: U and Vh are square.
      compute_uv: return (U, s, Vh), else s alone.
    """
    a = matrix("svd", a, square=False, fewer=TypeError)
    return lax.linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv)


def qr(
    a: ArrayLike,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Any, ...]:
    """The decomposition a = Q @ R of matrices (..., m, n).

    Args:
      mode: "full" (Q is square), "economic" (Q has min(m, n) columns), or "r" (no Q is returned).
      pivoting: take first the column that is farthest from the ones taken before, so that a[:, p] = Q @ R.
    Returns:
      (Q, R), or (R,); then p, if pivoting.
    """
    one_of("qr", "mode", mode, ("full", "r", "economic"))
    a = matrix("qr", a, square=False, fewer=TypeError)
    q, *rest = lax.linalg.qr(a, pivoting=pivoting, full_matrices=mode != "economic")
    return tuple(rest) if mode == "r" else (q, *rest)


def qr_multiply(
    a: ArrayLike,
    c: ArrayLike,
    mode: str = "right",
    pivoting: bool = False,
    conjugate: bool = False,
    overwrite_a: bool = False,
    overwrite_c: bool = False,
) -> tuple[Any, ...]:
    """The product of Q, of the economic decomposition a = Q @ R of matrices (..., m, n), and matrices c.

    Args:
      c: (..., k, min(m, n)) or (..., m, k), or a vector.
      mode: "left" for Q @ c, "right" for c @ Q.
      pivoting: as `qr` has it.
      conjugate: take the conjugate of Q.
    Returns:
      the product, R, and the permutation if pivoting.
    """
    one_of("qr_multiply", "mode", mode, ("right", "left"))
    a, c = inexact("qr_multiply", a, c)
    check_matrix("qr_multiply", a, square=False)
    m, n = a.shape[-2:]
    left = mode == "left"
    vector = c.ndim == 1
    if c.ndim == 0:
        raise user_context(
            ValueError("scipy.linalg.qr_multiply: c must be a vector or matrices, got a number")
        )
    if vector:
        c = c[:, None] if left else c[None, :]
    found, wanted = c.shape[-2 if left else -1], min(m, n) if left else m
    if found != wanted:
        raise user_context(
            ValueError(
                f"Array shapes are not compatible for {'Q @ c' if left else 'c @ Q'} operation: a has shape "
                f"{a.shape}, so c must have {wanted} {'rows' if left else 'columns'}, got {found}"
            )
        )
    a, c = batched("qr_multiply", a, c)
    q, *rest = lax.linalg.qr(a, pivoting=pivoting, full_matrices=False)
    q = jnp.conj(q) if conjugate else q
    result = product(q, c) if left else product(c, q)
    return (result.ravel() if vector and result.ndim == 2 else result, *rest)


# ------------------------------------------------------------------------------------------------ eigenvalues


def eigh(
    a: ArrayLike,
    b: ArrayLike | None = None,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    turbo: bool = True,
    eigvals: None = None,
    type: int = 1,
    check_finite: bool = True,
) -> Any:
    """Ascending eigenvalues, and eigenvectors as columns, of Hermitian matrices (..., n, n).

    Args:
      b: positive definite matrices of a generalised problem, which `type` says: 1: a @ v = w * b @ v;
        2: a @ b @ v = w * v; 3: b @ a @ v = w * v.
      lower: has no effect: the mean of a and its adjoint is taken.
      eigvals_only: return no eigenvectors.
      eigvals: must be None. Take a part of the result instead.
    """
    one_of("eigh", "type", type, (1, 2, 3))
    if eigvals is not None:
        raise user_context(
            ValueError(
                "scipy.linalg.eigh: eigvals must be None; take a slice of the result, or the subset_by_index of "
                "lax.linalg.eigh"
            )
        )
    if b is None:
        v, w = lax.linalg.eigh(matrix("eigh", a), lower=lower)
        return w if eigvals_only else (w, v)
    a, b = inexact("eigh", a, b)
    check_matrix("eigh", a)
    check_matrix("eigh", b, "b")
    if a.shape[-1] != b.shape[-1]:
        raise user_context(ValueError(f"scipy.linalg.eigh: a {a.shape} and b {b.shape} must have one size"))
    a, b = batched("eigh", a, b)
    factor = lax.linalg.cholesky(b)
    back: dict[str, bool] = {"lower": True, "transpose_a": True, "conjugate_a": True}
    if type == 1:
        inner = lax.linalg.triangular_solve(factor, (a + adjoint(a)) / 2, left_side=True, lower=True)
        inner = lax.linalg.triangular_solve(factor, inner, left_side=False, **back)
    else:
        inner = product(adjoint(factor), (a + adjoint(a)) / 2, factor)
    v, w = lax.linalg.eigh(inner)
    if eigvals_only:
        return w
    if type == 3:
        return w, product(factor, v)
    return w, lax.linalg.triangular_solve(factor, v, left_side=True, **back)


def eigh_tridiagonal(
    d: ArrayLike,
    e: ArrayLike,
    *,
    eigvals_only: bool = False,
    select: str = "a",
    select_range: tuple[float, float] | None = None,
    tol: float | None = None,
    key: Any = None,
) -> Any:
    """Ascending eigenvalues, and eigenvectors as columns, of a Hermitian tridiagonal matrix.

    Args:
      d: the diagonal (n,). Of complex numbers, the real parts count.
      e: what is above it (n - 1,).
      eigvals_only: return no eigenvectors.
      select: "a": all; "i": those with numbers from select_range[0] to select_range[1], both included; "v": those
        greater than select_range[0], but not than select_range[1], which is not possible under jit, as their
        number depends on their values.
      tol, key: have no effect.
    """
    d, e = jnp.asarray(d), jnp.asarray(e)
    one_of("eigh_tridiagonal", "select", select, ("a", "i", "v"))
    if d.dtype != e.dtype:
        raise user_context(
            TypeError(f"diagonal and off-diagonal values must have same dtype, got {d.dtype} and {e.dtype}")
        )
    if d.dtype.kind not in "fc" or d.dtype.itemsize < 4:
        raise user_context(
            TypeError(
                "Only float32 and float64 inputs are supported as inputs to scipy.linalg.eigh_tridiagonal, got "
                f"{d.dtype}; convert them with astype"
            )
        )
    if d.ndim != 1 or e.shape != (max(d.shape[0] - 1, 0),):
        raise user_context(
            TypeError(
                "scipy.linalg.eigh_tridiagonal: d must have a shape (n,), and e the shape (n - 1,); got "
                f"{d.shape} and {e.shape}"
            )
        )
    if not d.shape[0]:
        return jnp.real(d) if eigvals_only else (jnp.real(d), jnp.zeros((0, 0), d.dtype))
    is_complex = d.dtype.kind == "c"
    w, v = linalg_eigen.eigh_tridiagonal(jnp.real(d), jnp.abs(e) if is_complex else e)
    if is_complex:  # a diagonal matrix of phases turns it into the real one
        size = jnp.abs(e)
        turns = jnp.where(size == 0, 1, jnp.conj(e) / jnp.where(size == 0, 1, size))
        phases = jnp.cumprod(jnp.concatenate([jnp.ones((1,), d.dtype), turns.astype(d.dtype)]))
        v = phases[:, None] * v
    wanted = _wanted(w, select, select_range)
    return w[wanted] if eigvals_only else (w[wanted], v[:, wanted])


def _wanted(w: Any, select: str, bounds: tuple[float, float] | None) -> Any:
    """The eigenvalues that were asked for, as an index."""
    if select == "a":
        return slice(None)
    if bounds is None:
        raise user_context(ValueError(f"for select='{select}', select_range must be specified."))
    if bounds[0] > bounds[1]:
        raise user_context(ValueError("Got empty index range in select_range."))
    if select == "v":
        return (w > bounds[0]) & (w <= bounds[1])
    if not 0 <= bounds[0] <= bounds[1] < w.shape[0]:
        raise user_context(ValueError(f"select_range={bounds} is not within 0 and {w.shape[0] - 1}"))
    return slice(int(bounds[0]), int(bounds[1]) + 1)


def hessenberg(
    a: ArrayLike, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """The H with a = Q @ H @ adjoint(Q) for unitary Q, and zeros below its first subdiagonal; (H, Q) if `calc_q`.

    Args:
      a: (..., n, n).
    """
    a = matrix("hessenberg", a, fewer=TypeError)
    n = a.shape[-1]
    if n == 0:
        return (a, a) if calc_q else a
    packed, taus = lax.linalg.hessenberg(a)
    h = jnp.triu(packed, -1)
    if not calc_q:
        return h
    inner = lax.linalg.householder_product(packed[..., 1:, :-1], taus)
    zeros = [(0, 0)] * (a.ndim - 2)
    corner = jnp.zeros((n, n), a.dtype).at[0, 0].set(1)
    return h, jnp.pad(inner, [*zeros, (1, 0), (1, 0)]) + corner


def schur(a: ArrayLike, output: str = "real") -> tuple[Any, Any]:
    """The decomposition a = Z @ T @ adjoint(Z) of square matrices (..., n, n), with unitary Z.

    Args:
      output: "complex": T is upper triangular; "real": T is real if a is, and has 2 x 2 blocks on the diagonal for
        pairs of complex eigenvalues.
    Returns:
      T and Z.
    """
    one_of("schur", "output", output, ("real", "complex"))
    a = matrix("schur", a, fewer=TypeError)
    t, z = lax.linalg.schur(convert(a, dtypes.to_complex_dtype(a.dtype)) if output == "complex" else a)
    return t, z


def rsf2csf(T: ArrayLike, Z: ArrayLike, check_finite: bool = True) -> tuple[Any, Any]:
    """The complex form of Schur from the real one.

    Args:
      T, Z: (..., n, n), as `schur` returns them.
    """
    t, z = inexact("rsf2csf", T, Z)
    check_matrix("rsf2csf", t, "T")
    check_matrix("rsf2csf", z, "Z")
    if t.shape[-1] != z.shape[-1]:
        raise user_context(ValueError(f"Input array shapes must match: Z: {z.shape} vs. T: {t.shape}"))
    dtype = dtypes.to_complex_dtype(t.dtype)
    t, z = batched("rsf2csf", convert(t, dtype), convert(z, dtype))
    if t.shape[-1] < 2:
        return t, z
    t, z = jnp.vectorize(_complex_form, signature="(n,n),(n,n)->(n,n),(n,n)")(t, z)
    return t, z


def _complex_form(t: Any, z: Any) -> tuple[Any, Any]:
    """Rotations, from the last row up, that take what is below the diagonal away."""
    n = t.shape[0]
    places = jnp.arange(n)
    eps = float(jnp.finfo(t.dtype).eps)

    def turn(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        t, z = carry
        m = n - i
        below = t[m, m - 1]
        first, last = t[m - 1, m - 1], t[m, m]
        half = (first - last) / 2
        size = jnp.abs(first) + jnp.abs(last)
        large = jnp.abs(below) > eps * size
        # an eigenvalue of the block, less its last element
        root = half + jnp.sqrt(jnp.where(large, half * half + t[m - 1, m] * below, 1))
        length = jnp.sqrt(jnp.abs(root) ** 2 + jnp.abs(below) ** 2)
        c, s = root / length, below / length
        turned = jnp.array([[jnp.conj(c), s], [-s, c]])
        g = jnp.where(large, turned, jnp.eye(2, dtype=t.dtype))
        rows = lax.dynamic_slice_in_dim(t, m - 1, 2, 0)
        rows = jnp.where(places >= m - 1, product(g, rows), rows)
        t = lax.dynamic_update_slice_in_dim(t, rows, m - 1, 0)
        columns = lax.dynamic_slice_in_dim(t, m - 1, 2, 1)
        columns = jnp.where(places[:, None] <= m, product(columns, adjoint(g)), columns)
        t = lax.dynamic_update_slice_in_dim(t, columns, m - 1, 1).at[m, m - 1].set(0)
        turned_z = product(lax.dynamic_slice_in_dim(z, m - 1, 2, 1), adjoint(g))
        return t, lax.dynamic_update_slice_in_dim(z, turned_z, m - 1, 1)

    t, z = lax.fori_loop(1, n, turn, (t, z))
    return t, z


def polar(
    a: ArrayLike,
    side: str = "right",
    *,
    method: str = "qdwh",
    eps: float | None = None,
    max_iterations: int | None = None,
) -> tuple[Any, Any]:
    """The polar decomposition of matrices (..., m, n), which have derivatives where their rank is full.

    Args:
      side: "right" for a = u @ p, "left" for a = p @ u.
      method: "qdwh", an iteration, or "svd".
      eps, max_iterations: of the iteration; see `lax.linalg.qdwh`.
    Returns:
      u (..., m, n), with orthonormal columns or rows; p, Hermitian and positive semidefinite, (..., n, n) or
      (..., m, m).
    """
    one_of("polar", "side", side, ("right", "left"))
    one_of("polar", "method", method, ("qdwh", "svd"))
    a = matrix("polar", a, square=False)
    if method == "svd":
        left, s, right = lax.linalg.svd(a, full_matrices=False)
        u = product(left, right)
        size = s[..., None, :].astype(a.dtype)
        p = product(adjoint(right) * size, right) if side == "right" else product(left * size, adjoint(left))
        return u, p
    wide = a.shape[-2] < a.shape[-1]
    limit = 10 if max_iterations is None else max_iterations
    u, p, *_ = linalg_functions.qdwh(adjoint(a) if wide else a, max_iterations=limit, eps=eps)
    u = adjoint(u) if wide else u
    if (side == "left") != wide:
        p = product(a, adjoint(u)) if side == "left" else product(adjoint(u), a)
        p = (p + adjoint(p)) / 2
    return u, p
