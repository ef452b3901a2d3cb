"""Rows of the table of primitives: decompositions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from cases import FLOATS, I32, Arg, row

from wengert import lax
from wengert.prims import linalg_eigen, linalg_functions, linalg_lu, linalg_qr


def definite(x: Any) -> Any:
    """A symmetric positive definite matrix from any."""
    return lax.add(lax.dot_general(x, x, (((1,), (1,)), ((), ()))), np.eye(x.shape[0], dtype=x.dtype))


def definite_reference(x: Any) -> Any:
    return x @ x.T + np.eye(x.shape[0])


def definite_complex(x: Any, y: Any) -> Any:
    z = lax.complex(x, y)
    square = lax.dot_general(z, lax.conj(z), (((1,), (1,)), ((), ())))
    return lax.add(square, np.eye(3, dtype=z.dtype))


def _spectrum(x: Any) -> Any:
    return np.sort(np.linalg.eigvals(x).real)


A, B = Arg((3, 3)), Arg((3, 2))
LINALG = {"dtypes": FLOATS, "ulps": 500}
BOTH = {"dtypes": "float32 float64 complex64", "ulps": 500}
row(
    "cholesky",
    lambda x: lax.linalg.cholesky(definite(x)),
    lambda x: np.linalg.cholesky(definite_reference(x)),
    [A],
    smooth=(0,),
    **LINALG,
)
row(
    "cholesky of complex matrices",
    lambda x, y: lax.real(lax.linalg.cholesky(definite_complex(x, y))),
    lambda x, y: np.linalg.cholesky((x + 1j * y) @ (x - 1j * y).T + np.eye(3)).real,
    [A, A],
    smooth=(0, 1),
    **LINALG,
)
for left in (True, False):
    for lower in (True, False):
        for transposed in (True, False):
            row(
                f"triangular_solve, left {left}, lower {lower}, transposed {transposed}",
                lambda a, b, f=left, w=lower, t=transposed: lax.linalg.triangular_solve(
                    lax.add(a, 4 * np.eye(3, dtype=a.dtype)),
                    b if f else lax.transpose(b, (1, 0)),
                    left_side=f,
                    lower=w,
                    transpose_a=t,
                ),
                lambda a, b, f=left, w=lower, t=transposed: _solved(a + 4 * np.eye(3), b, f, w, t),
                [A, B],
                smooth=(0, 1),
                linear=(1,),
                **BOTH,
            )
for transposed in (True, False):
    row(
        f"triangular_solve, conjugated, transposed {transposed}",
        lambda a, b, t=transposed: lax.linalg.triangular_solve(
            lax.add(a, 4 * np.eye(3, dtype=a.dtype)), b, left_side=True, transpose_a=t, conjugate_a=True
        ),
        lambda a, b, t=transposed: _solved((a + 4 * np.eye(3)).conj(), b, True, False, t),
        [A, B],
        dtypes="complex64 complex128",
        ulps=500,
    )
row(
    "triangular_solve, unit diagonal",
    lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, unit_diagonal=True),
    lambda a, b: np.linalg.solve(np.triu(a, 1) + np.eye(3), b),
    [A, B],
    smooth=(0, 1),
    linear=(1,),
    **LINALG,
)
row(
    "triangular_solve, vectors",
    lambda a, b: lax.linalg.triangular_solve(lax.add(a, 4 * np.eye(3, dtype=a.dtype)), b, left_side=True),
    lambda a, b: np.linalg.solve(np.triu(a) + 4 * np.eye(3), b),
    [A, Arg((3,))],
    smooth=(0, 1),
    linear=(1,),
    **LINALG,
)
for shape in ((3, 3), (4, 3), (3, 4)):
    row(f"lu {shape}", lambda x: lax.linalg.lu(x), lambda x: _lu(x), [Arg(shape)], smooth=(0,), **BOTH)
row(
    "lu_pivots_to_permutation",
    lambda p: lax.linalg.lu_pivots_to_permutation(p, 4),
    lambda p: _permuted(p),
    [Arg((3,), 0, 4, I32)],
    "int32",
)
for shape in ((4, 3), (3, 3), (3, 4)):
    for complete in (False, True) if shape != (3, 3) else (False,):
        row(
            f"qr {shape}, {'complete' if complete else 'reduced'}",
            lambda x, c=complete: lax.linalg.qr(x, full_matrices=c),
            lambda x, c=complete: np.linalg.qr(x, "complete" if c else "reduced"),
            [Arg(shape)],
            smooth=(0,),
            **LINALG,
        )
    row(
        f"qr {shape}, pivoting",
        lambda x: lax.linalg.qr(x, pivoting=True),
        lambda x: scipy.linalg.qr(x, pivoting=True),
        [Arg(shape)],
        smooth=(0,),
        **LINALG,
    )
row(
    "qr of complex matrices",
    lambda x, y: parts(lax.linalg.qr(lax.complex(x, y))),
    lambda x, y: split(np.linalg.qr(x + 1j * y, "complete")),
    [Arg((4, 2)), Arg((4, 2))],
    smooth=(0, 1),
    **LINALG,
)
row(
    "eigh",
    lambda x: lax.linalg.eigh(x),
    lambda x: np.linalg.eigh((x + x.T) / 2)[::-1],
    [A],
    smooth=(0,),
    **LINALG,
)
for shape in ((3, 3), (4, 3), (3, 4)):
    row(
        f"svd {shape}",
        lambda x: lax.linalg.svd(x, full_matrices=False),
        lambda x: np.linalg.svd(x, full_matrices=False),
        [Arg(shape)],
        smooth=(0,),
        **LINALG,
    )
row(
    "svd, values",
    lambda x: lax.linalg.svd(x, compute_uv=False),
    lambda x: np.linalg.svd(x, compute_uv=False),
    [Arg((4, 3))],
    smooth=(0,),
    **BOTH,
)
row(
    "eigh of complex matrices",
    lambda x: _of_eigenvectors(*lax.linalg.eigh(x)),
    lambda x: [np.linalg.eigvalsh(hermitian_reference(x)), hermitian_reference(x)],
    [A],
    dtypes="complex64 complex128",
    ulps=500,
)
row(
    "eig",
    lambda x: lax.sort(
        lax.real(
            lax.linalg.eig(definite(x), compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]
        )
    ),
    lambda x: _spectrum(definite_reference(x)),
    [A],
    smooth=(0,),
    **LINALG,
)


row(
    "eig, vectors",
    lambda x: [lax.abs(lax.real(o)) for o in lax.linalg.eig(definite(x), compute_left_eigenvectors=False)],
    lambda x: [np.abs(o.real) for o in np.linalg.eig(definite_reference(x))],
    [A],
    smooth=(0,),
    **LINALG,
)


# ----------------------------------------------------------------------------------------- beside decompositions

row(
    "cholesky_update",
    lambda x, w: lax.linalg.cholesky_update(lax.transpose(lax.linalg.cholesky(definite(x)), (1, 0)), w),
    lambda x, w: np.linalg.cholesky(definite_reference(x) + np.outer(w, w)).T,
    [A, Arg((3,))],
    smooth=(0, 1),
    **LINALG,
)
row(
    "symmetric_product",
    lambda a, c: lax.linalg.symmetric_product(a, c, alpha=2, beta=3, symmetrize_output=True),
    lambda a, c: 2 * a @ a.T + 3 * (np.tril(c) + np.tril(c, -1).T),
    [B, A],
    smooth=(0, 1),
    **LINALG,
)
row(
    "tridiagonal_solve",
    lambda dl, d, du, b: lax.linalg.tridiagonal_solve(dl, lax.add(d, d.dtype.type(4)), du, b),
    lambda dl, d, du, b: np.linalg.solve(np.diag(d + 4) + np.diag(dl[1:], -1) + np.diag(du[:-1], 1), b),
    [*[Arg((4,), -1, 1)] * 3, Arg((4, 2))],
    smooth=(0, 1, 2, 3),
    linear=(3,),
    dtypes="float32 float64 complex64",
    ulps=500,
)
row(
    "tridiagonal_solve, one row",
    lambda dl, d, du, b: lax.linalg.tridiagonal_solve(dl, lax.add(d, d.dtype.type(4)), du, b),
    lambda dl, d, du, b: b / (d + 4)[:, None],
    [*[Arg((1,), -1, 1)] * 3, Arg((1, 2))],
    smooth=(0, 1, 2, 3),
    linear=(3,),
    **LINALG,
)
for count in (2, 1):
    row(
        f"householder_product, {count}",
        lax.linalg.householder_product,
        lambda a, taus: _reflections(a, taus)[:, : a.shape[1]],
        [Arg((4, 2)), Arg((count,))],
        smooth=(0, 1),
        dtypes="float32 float64 complex64",
        ulps=500,
    )
for left in (True, False):
    for transposed in (True, False):
        row(
            f"ormqr, left {left}, transposed {transposed}",
            lambda a, taus, c, f=left, t=transposed: lax.linalg.ormqr(a, taus, c, left=f, transpose=t),
            lambda a, taus, c, f=left, t=transposed: _multiplied(_reflections(a, taus), c, f, t),
            [Arg((4, 2)), Arg((2,)), Arg((4, 4))],
            smooth=(0, 1, 2) if left != transposed else (),
            linear=(2,),
            dtypes="float32 float64 complex64",
            ulps=500,
        )
for linalg_dtypes in ("float32 float64", "complex64 complex128"):
    row(
        f"hessenberg, {linalg_dtypes}",
        lax.linalg.hessenberg,
        lambda x: _packed_hessenberg(x),
        [Arg((4, 4))],
        dtypes=linalg_dtypes,
        ulps=500,
    )
    row(
        f"tridiagonal, {linalg_dtypes}",
        lambda x: _assembled(*lax.linalg.tridiagonal(hermitian(x))),
        lambda x: _spectrum((x + x.conj().T) / 2),
        [Arg((4, 4))],
        dtypes=linalg_dtypes,
        ulps=500,
    )
    row(
        f"schur, {linalg_dtypes}",
        lambda x: _put_together(*lax.linalg.schur(x)),
        lambda x: [x, np.eye(4), np.zeros((4, 4))],
        [Arg((4, 4))],
        dtypes=linalg_dtypes,
        ulps=500,
    )
row(
    "qdwh",
    lambda x: lax.linalg.qdwh(x)[:2],
    lambda x: scipy.linalg.polar(x),
    [Arg((4, 3))],
    smooth=(0,),
    **BOTH,
)
row(
    "det",
    linalg_lu.det,
    np.linalg.det,
    [Arg((4, 4))],
    smooth=(0,),
    dtypes="float32 float64 complex64",
    ulps=500,
)
row(
    "adjugate",
    lambda x: linalg_lu.adjugate_p.bind(x),
    lambda x: np.linalg.inv(x) * np.linalg.det(x),
    [Arg((4, 4))],
    smooth=(0,),
    **BOTH,
)
row(
    "solve",
    linalg_lu.solve,
    np.linalg.solve,
    [A, B],
    smooth=(0, 1),
    linear=(1,),
    dtypes="float32 float64 complex64",
    ulps=500,
)
row(
    "solve, transposed",
    lambda a, b: linalg_lu.solve_permuted(*lax.linalg.lu(a)[::2], b, trans=1),
    lambda a, b: np.linalg.solve(a.T, b),
    [A, B],
    smooth=(0, 1),
    **LINALG,
)
row(
    "geqrf",
    lambda x: linalg_qr.geqrf(x, pivoting=True),
    lambda x: _raw_qr(x),
    [Arg((4, 3))],
    **BOTH,
)
row(
    "sylvester",
    lambda a, b, c: linalg_functions.solve_sylvester(definite(a), b, c),
    lambda a, b, c: scipy.linalg.solve_sylvester(definite_reference(a), b, c),
    [A, Arg((2, 2), 0.1, 0.9), B],
    smooth=(0, 1, 2),
    linear=(2,),
    **LINALG,
)
row(
    "expm",
    linalg_functions.expm,
    scipy.linalg.expm,
    [A],
    smooth=(0,),
    dtypes="float32 float64 complex64",
    ulps=500,
)
row(
    "expm_frechet",
    linalg_functions.expm_frechet,
    lambda x, t: scipy.linalg.expm_frechet(x, t, compute_expm=False),
    [A, A],
    smooth=(0, 1),
    linear=(1,),
    **LINALG,
)
row(
    "sqrtm",
    lambda x: lax.real(linalg_functions.sqrtm(definite(x))),
    lambda x: scipy.linalg.sqrtm(definite_reference(x)).real,
    [A],
    smooth=(0,),
    **LINALG,
)
row(
    "eigh_tridiagonal",
    linalg_eigen.eigh_tridiagonal,
    lambda d, e: scipy.linalg.eigh_tridiagonal(d, e),
    [Arg((4,)), Arg((3,))],
    smooth=(0, 1),
    **LINALG,
)


def _solved(a: Any, b: Any, left: bool, lower: bool, transposed: bool) -> Any:
    a = np.tril(a) if lower else np.triu(a)
    a = a.T if transposed else a
    return np.linalg.solve(a, b) if left else np.linalg.solve(a.T, b).T


def _lu(x: Any) -> Any:
    """Gaussian elimination with partial pivoting, as in textbooks."""
    m, n = x.shape
    x, pivots, rows = x.copy(), [], list(range(m))
    for k in range(min(m, n)):
        p = k + int(np.argmax(np.abs(x[k:, k].real) + np.abs(x[k:, k].imag)))
        pivots.append(p)
        x[[k, p]] = x[[p, k]]
        rows[k], rows[p] = rows[p], rows[k]
        x[k + 1 :, k] /= x[k, k]
        x[k + 1 :, k + 1 :] -= np.outer(x[k + 1 :, k], x[k, k + 1 :])
    return x, np.array(pivots, np.int32), np.array(rows, np.int32)


def _permuted(pivots: Any) -> Any:
    rows = np.arange(4, dtype=np.int32)
    for k, p in enumerate(pivots):
        rows[[k, p]] = rows[[p, k]]
    return rows


def parts(arrays: Any) -> list[Any]:
    return [f(a) for a in arrays for f in (lax.real, lax.imag)]


def split(arrays: Any) -> list[Any]:
    return [p for a in arrays for p in (a.real, a.imag)]


def hermitian_reference(x: Any) -> Any:
    return (x + x.conj().T) / 2


def _of_eigenvectors(v: Any, w: Any) -> list[Any]:
    """The eigenvalues, and the matrix put together again."""
    scaled = lax.mul(v, lax.broadcast_in_dim(lax.convert_element_type(w, v.dtype), v.shape, (1,)))
    return [w, lax.dot(scaled, lax.transpose(lax.conj(v), (1, 0)))]


def hermitian(x: Any) -> Any:
    other = lax.transpose(lax.conj(x) if x.dtype.kind == "c" else x, (1, 0))
    return lax.mul(lax.add(x, other), x.dtype.type(0.5))


def _assembled(a: Any, d: Any, e: Any, taus: Any) -> Any:
    """The eigenvalues of the tridiagonal matrix."""
    return linalg_eigen.eigh_tridiagonal(d, e)[0]


def _put_together(t: Any, z: Any) -> list[Any]:
    """The matrix, what is the identity if z is unitary, and what of t should be zero."""
    inverse = lax.transpose(lax.conj(z) if z.dtype.kind == "c" else z, (1, 0))
    below = np.tri(4, 4, -1 if z.dtype.kind == "c" else -2)
    return [lax.dot(lax.dot(z, t), inverse), lax.dot(z, inverse), lax.mul(t, below.astype(t.dtype))]


def _packed_hessenberg(x: Any) -> Any:
    found, taus, _ = scipy.linalg.lapack.get_lapack_funcs(("gehrd",), (x,))[0](x)
    return found, taus


def _reflections(a: Any, taus: Any) -> Any:
    """The product of Householder's reflections, one by one."""
    m = len(a)
    q = np.eye(m, dtype=a.dtype)
    for i, tau in enumerate(taus):
        v = np.concatenate([np.zeros(i), [1], a[i + 1 :, i]])
        q = q @ (np.eye(m) - tau * np.outer(v, v.conj()))
    return q


def _multiplied(q: Any, c: Any, left: bool, transposed: bool) -> Any:
    q = q.conj().T if transposed else q
    return q @ c if left else c @ q


def _raw_qr(x: Any) -> Any:
    (factors, taus), _, order = scipy.linalg.qr(x, mode="raw", pivoting=True)
    return factors, taus, order
