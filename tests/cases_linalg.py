"""Rows of the table of primitives: decompositions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import FLOATS, I32, Arg, row

from wengert import lax


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
                **LINALG,
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
    row(f"lu {shape}", lambda x: lax.linalg.lu(x), lambda x: _lu(x), [Arg(shape)], smooth=(0,), **LINALG)
row(
    "lu_pivots_to_permutation",
    lambda p: lax.linalg.lu_pivots_to_permutation(p, 4),
    lambda p: _permuted(p),
    [Arg((3,), 0, 4, I32)],
    "int32",
)
row(
    "qr",
    lambda x: lax.linalg.qr(x, full_matrices=False),
    lambda x: np.linalg.qr(x),
    [Arg((4, 3))],
    smooth=(0,),
    **LINALG,
)
row(
    "qr, complete", lambda x: lax.linalg.qr(x), lambda x: np.linalg.qr(x, "complete"), [Arg((4, 3))], **LINALG
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
    **LINALG,
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


def _solved(a: Any, b: Any, left: bool, lower: bool, transposed: bool) -> Any:
    a = np.tril(a) if lower else np.triu(a)
    a = a.T if transposed else a
    return np.linalg.solve(a, b) if left else np.linalg.solve(a.T, b).T


def _lu(x: Any) -> Any:
    """Gaussian elimination with partial pivoting, as in textbooks."""
    m, n = x.shape
    x, pivots, rows = x.copy(), [], list(range(m))
    for k in range(min(m, n)):
        p = k + int(np.argmax(np.abs(x[k:, k])))
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
