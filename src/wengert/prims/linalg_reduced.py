"""Unitary reductions of matrices to simpler forms: Hessenberg's, tridiagonal, and Schur's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.prims.constructors import as_operand
from wengert.prims.linalg_common import (
    check_matrices,
    each,
    finite,
    library,
    no_derivative,
    not_finite,
    scipy_linalg,
)


def _less(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], max(shape[-1] - 1, 0))


# ------------------------------------------------------------------------------------------------- hessenberg


def _hessenberg_avals(x: ShapedArray) -> list[ShapedArray]:
    check_matrices("hessenberg", x)
    return [x, ShapedArray(_less(x.shape), x.dtype)]


def _hessenberg_impl(xp: Any, x: Any) -> list[Any]:
    def one(x: Any) -> list[Any]:
        if not finite(x):
            raise not_finite()
        if x.shape[0] < 2:
            return [x, x[:0, 0]] if x.size else []
        (gehrd,) = scipy_linalg.get_lapack_funcs(("gehrd",), (x,))
        return list(gehrd(x, lo=0, hi=x.shape[0] - 1)[:2])

    return each(one, (2,), _hessenberg_avals(ShapedArray(x.shape, x.dtype)), x)


hessenberg_p: Primitive = library(
    "hessenberg",
    abstract_eval=_hessenberg_avals,
    impl=_hessenberg_impl,
    jvp=no_derivative(
        lambda: hessenberg_p,
        "what is computed of the form (eigenvalues, solutions, determinants) has a derivative; take that of the "
        "matrix itself, by eig, solve or slogdet",
    ),
    native="hessenberg",
)


def hessenberg(a: Any) -> tuple[Any, Any]:
    """The reduction a = Q @ H @ adjoint(Q), for H with zeros below the first subdiagonal.

    Args:
      a: (..., n, n).
    Returns:
      a matrix with H on and above the first subdiagonal, and the reflections of Q below; their factors (..., n - 1).
      `householder_product(matrix[1:, :-1], factors)` is Q without its first row and column, which are those of I.
    """
    found = hessenberg_p.bind(as_operand("hessenberg", a))
    return found[0], found[1]


# ------------------------------------------------------------------------------------------------ tridiagonal


def _tridiagonal_avals(x: ShapedArray, *, lower: bool) -> list[ShapedArray]:
    check_matrices("tridiagonal", x)
    if not x.shape[-1]:
        raise ValueError(f"Argument to tridiagonal must not be empty, got shape {x.shape}")
    real = dtypes.to_floating_dtype(x.dtype)
    less = _less(x.shape)
    return [x, ShapedArray(x.shape[:-1], real), ShapedArray(less, real), ShapedArray(less, x.dtype)]


def _tridiagonal_impl(xp: Any, x: Any, *, lower: bool) -> list[Any]:
    def one(x: Any) -> Any:
        if not finite(x):
            raise not_finite()
        name = "hetrd" if x.dtype.kind == "c" else "sytrd"
        (sytrd,) = scipy_linalg.get_lapack_funcs((name,), (x,))
        return sytrd(x, lower=int(lower))[:4]

    return each(one, (2,), _tridiagonal_avals(ShapedArray(x.shape, x.dtype), lower=lower), x)


tridiagonal_p: Primitive = library(
    "tridiagonal",
    abstract_eval=_tridiagonal_avals,
    impl=_tridiagonal_impl,
    jvp=no_derivative(lambda: tridiagonal_p, "for eigenvalues and their derivatives use eigh"),
    native="tridiagonal",
)


def tridiagonal(a: Any, *, lower: bool = True) -> tuple[Any, Any, Any, Any]:
    """The reduction a = Q @ T @ adjoint(Q) of Hermitian matrices (..., n, n), for real symmetric tridiagonal T.

    Args:
      lower: which triangle is read.
    Returns:
      a matrix with the reflections of Q in that triangle; the diagonal of T (..., n); what is beside it
      (..., n - 1); the factors of the reflections (..., n - 1).
    """
    found = tridiagonal_p.bind(as_operand("tridiagonal", a), lower=bool(lower))
    return found[0], found[1], found[2], found[3]


# ------------------------------------------------------------------------------------------------------ schur


def _schur_avals(x: ShapedArray, *, compute_schur_vectors: bool, select_callable: Any) -> list[ShapedArray]:
    check_matrices("schur", x)
    return [x, x] if compute_schur_vectors else [x]


def _of_complex(select: Callable[[Any], Any]) -> Callable[[Any], bool]:
    return lambda value: bool(select(np.complex128(value)))


def _of_parts(select: Callable[[Any], Any]) -> Callable[[Any, Any], bool]:
    """What LAPACK asks about the eigenvalues of real matrices: SciPy passes as many numbers as are wanted."""
    return lambda real, imag: bool(select(np.complex128(complex(real, imag))))


def _schur_impl(
    xp: Any, x: Any, *, compute_schur_vectors: bool, select_callable: Callable[[Any], Any] | None
) -> list[Any]:
    chosen: Callable[..., bool] | None = None
    if select_callable is not None and x.dtype.kind == "c":
        chosen = _of_complex(select_callable)
    elif select_callable is not None:
        chosen = _of_parts(select_callable)

    def one(x: Any) -> Any:
        if not finite(x):
            raise not_finite()
        if not x.size:
            return []
        output = "complex" if x.dtype.kind == "c" else "real"
        return scipy_linalg.schur(x, output=output, sort=chosen, check_finite=False)

    outs = _schur_avals(
        ShapedArray(x.shape, x.dtype),
        compute_schur_vectors=compute_schur_vectors,
        select_callable=select_callable,
    )
    return each(one, (2,), outs, x)


schur_p: Primitive = library(
    "schur",
    abstract_eval=_schur_avals,
    impl=_schur_impl,
    jvp=no_derivative(
        lambda: schur_p,
        "its vectors are not determined by the matrix, and its order jumps. What is computed by it often has a "
        "derivative: eig, scipy.linalg.sqrtm, expm, funm and solve_sylvester have",
    ),
    native="schur",
)


def schur(
    x: Any,
    *,
    compute_schur_vectors: bool = True,
    sort_eig_vals: bool = False,
    select_callable: Callable[..., Any] | None = None,
) -> Any:
    """The decomposition x = Z @ T @ adjoint(Z) of square matrices (..., n, n), with unitary Z.

    T is upper triangular; of real matrices it has 2 x 2 blocks on the diagonal for pairs of complex eigenvalues.

    Args:
      compute_schur_vectors: return (T, Z), else (T,).
      sort_eig_vals: put the eigenvalues first for which `select_callable` is true.
      select_callable: a function of one complex number.
    """
    if sort_eig_vals and select_callable is None:
        raise ValueError("schur: sort_eig_vals=True needs a select_callable, which says what comes first")
    chosen = select_callable if sort_eig_vals else None
    return tuple(
        schur_p.bind(
            as_operand("schur", x),
            compute_schur_vectors=bool(compute_schur_vectors),
            select_callable=chosen,
        )
    )
