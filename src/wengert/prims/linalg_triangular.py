"""Cholesky's decomposition, and systems with triangular and tridiagonal matrices.

Sources of the derivatives: M. B. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation, 2008; I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, add_cotangents, instantiate, is_undefined, is_zero
from wengert.prims.arithmetic import add, mul, neg, sub
from wengert.prims.axes import broadcast_in_dim, reduce_sum
from wengert.prims.constructors import as_operand, constant, dtype_of, same_dtype, shape_of
from wengert.prims.conversion import convert
from wengert.prims.linalg_common import (
    adjoint,
    as_columns,
    avals_of,
    block,
    check_matrices,
    check_matrix_dtype,
    check_ranks,
    conjugate,
    each,
    filled,
    identity_like,
    library,
    lower_part,
    matmul,
    padded,
    scipy_linalg,
    swap,
    upper_part,
)
from wengert.prims.shape import reshape

# --------------------------------------------------------------------------------------------------- cholesky


def _cholesky_aval(x: ShapedArray) -> ShapedArray:
    check_matrices("cholesky", x)
    return x


def _cholesky_impl(xp: Any, x: Any) -> Any:
    x = xp.tril(x)
    try:
        return xp.linalg.cholesky(x)
    except np.linalg.LinAlgError:  # one of them is not positive definite: it alone gets NaN
        return each(lambda x: [np.linalg.cholesky(x)], (2,), avals_of(x), x)[0]


def _cholesky_tangent(factor: Any, t: Any) -> Any:
    """The change of the lower triangular factor of a matrix that changes by the Hermitian t."""
    half = triangular_solve(factor, t, left_side=False, lower=True, transpose_a=True, conjugate_a=True)
    both = triangular_solve(factor, half, left_side=True, lower=True)
    scale = sub(filled(both, 1), mul(identity_like(both), constant(both, 0.5)))
    return matmul(factor, mul(lower_part(both), scale))


def _cholesky_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    out, t = cholesky_p.bind(primals[0]), tangents[0]
    return out, Zero.of(out) if is_zero(t) else _cholesky_tangent(out, t)


cholesky_p: Primitive = library(
    "cholesky",
    abstract_eval=_cholesky_aval,
    impl=_cholesky_impl,
    jvp=_cholesky_jvp,
    multiple_results=False,
    native="cholesky",
)


def symmetrize(x: Any) -> Any:
    """(x + adjoint of x) / 2; of floats if x is of integers."""
    if dtype_of(x).kind in "biu":
        x = convert(x, dtypes.default_float_dtype())
    return mul(add(x, adjoint(x)), constant(x, 0.5))


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L @ adjoint(L) = x, for Hermitian positive definite x; NaN if it is not
    definite.

    Args:
      x: of shape (..., n, n).
      symmetrize_input: take the mean of x and its adjoint first; else only the lower triangle is read.
    """
    x = checked_square("cholesky", x, symmetrize_input)
    return lower_part(cholesky_p.bind(x))


def checked_square(name: str, x: Any, symmetrized: bool) -> Any:
    """Square matrices, or the means of them and their adjoints. ValueError if they aren't square."""
    x = as_operand(name, x)
    shape = shape_of(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(
            f"Argument to {name} must have shape [..., n, n], square matrices, got shape {shape}."
        )
    return symmetrize(x) if symmetrized else x


def _update_aval(r: ShapedArray, w: ShapedArray) -> ShapedArray:
    for i, x in enumerate((r, w)):
        check_matrix_dtype("cholesky_update", x, i, real_only=True)
    check_ranks("cholesky_update", (2, 1), (r, w))
    if r.shape[-1] != r.shape[-2] or r.shape[-1] != w.shape[-1]:
        raise ValueError(
            "cholesky_update takes a square matrix and a vector of the same size, got shapes "
            f"{r.shape} and {w.shape}."
        )
    return r


def _update_impl(xp: Any, r: Any, w: Any) -> Any:
    """By a Givens rotation for each row, which moves an element of w into the diagonal."""
    r, w = r.copy(), w.copy()
    for k in range(w.shape[-1]):
        x, y = r[..., k, k], w[..., k]
        size = xp.hypot(x, y)
        moved = y != 0
        c, s = xp.where(moved, x / size, 1), xp.where(moved, y / size, 0)
        row, rest, c, s = r[..., k, k:].copy(), w[..., k:], c[..., None], s[..., None]
        r[..., k, k:] = c * row + s * rest
        w[..., k:] = c * rest - s * row
    return r


def _update_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    r, w = primals
    dr, dw = map(instantiate, tangents)
    out = cholesky_update_p.bind(r, w)
    half = add(matmul(swap(r), dr), matmul(as_columns(w, 1), swap(as_columns(dw, 1))))
    return out, swap(_cholesky_tangent(swap(out), add(half, swap(half))))


cholesky_update_p: Primitive = library(
    "cholesky_update",
    abstract_eval=_update_aval,
    impl=_update_impl,
    jvp=_update_jvp,
    multiple_results=False,
    native="cholesky_update",
)


def cholesky_update(r_matrix: Any, w_vector: Any) -> Any:
    """The upper triangular R1 with R1.T @ R1 = R.T @ R + outer(w, w), in O(n**2).

    Args:
      r_matrix: upper triangular, with a positive diagonal, (n, n), real; what is below is not read.
      w_vector: (n,).
    """
    r, w = same_dtype("cholesky_update", r_matrix, w_vector)
    _update_aval(*[ShapedArray(shape_of(x), dtype_of(x)) for x in (r, w)])
    return cholesky_update_p.bind(upper_part(r), w)


# ------------------------------------------------------------------------------------------- triangular_solve


def _solve_aval(a: ShapedArray, b: ShapedArray, *, left_side: bool, **params: Any) -> ShapedArray:
    check_matrices("triangular_solve", a)
    check_matrices("triangular_solve", b, square_only=False)
    if a.dtype != b.dtype:
        raise TypeError(f"triangular_solve takes matrices of one dtype, got {a.dtype} and {b.dtype}")
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2 if left_side else -1]:
        raise ValueError(
            f"triangular_solve: shapes {a.shape} and {b.shape} do not fit, with left_side={left_side}: b must "
            f"have {a.shape[-1]} {'rows' if left_side else 'columns'}, and the batch axes of a"
        )
    return b


def _solve_impl(
    xp: Any,
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    if b.size == 0:
        return xp.zeros_like(b)
    if conjugate_a and not transpose_a:
        a = xp.conj(a)
    (trsm,) = scipy_linalg.get_blas_funcs(("trsm",), (a, b))
    trans = (2 if conjugate_a else 1) if transpose_a else 0

    def solve(a: Any, b: Any) -> list[Any]:
        return [
            trsm(1.0, a, b, side=int(not left_side), lower=int(lower), trans_a=trans, diag=int(unit_diagonal))
        ]

    return each(solve, (2, 2), avals_of(b), a, b)[0]


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (a, b), (ta, tb) = primals, tangents
    out = triangular_solve_p.bind(a, b, **params)
    total = None if is_zero(tb) else triangular_solve_p.bind(a, tb, **params)
    if not is_zero(ta):
        lower, unit = params["lower"], int(params["unit_diagonal"])
        ta = neg(lower_part(ta, -unit) if lower else upper_part(ta, unit))
        if params["transpose_a"]:
            ta = swap(ta)
        if params["conjugate_a"]:
            ta = conjugate(ta)
        change = matmul(ta, out) if params["left_side"] else matmul(out, ta)
        total = add_cotangents(total, triangular_solve_p.bind(a, change, **params))
    return out, Zero.of(out) if total is None else total


def _solve_transpose(ct: Any, a: Any, b: Any, **params: Any) -> Any:
    if is_zero(ct) or not is_undefined(b):
        return [None, None]
    return [None, triangular_solve_p.bind(a, ct, **{**params, "transpose_a": not params["transpose_a"]})]


triangular_solve_p: Primitive = library(
    "triangular_solve",
    abstract_eval=_solve_aval,
    impl=_solve_impl,
    jvp=_solve_jvp,
    transpose=_solve_transpose,
    multiple_results=False,
    systems=True,
    native="triangular_solve",
)


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """The x with op(a) @ x = b if `left_side`, else x @ op(a) = b, for triangular a.

    Args:
      a: of shape (..., n, n); only the triangle that `lower` says is read.
      b: matrices that fit, or vectors of shape (..., n).
      transpose_a, conjugate_a: what op does.
      unit_diagonal: the diagonal of a counts as ones, and is not read.
    """
    conjugate_a = conjugate_a and dtype_of(a).kind == "c"
    a, b = same_dtype("triangular_solve", a, b)
    vectors = len(shape_of(b)) == len(shape_of(a)) - 1
    if vectors:
        shape = shape_of(b)
        b = broadcast_in_dim(
            b,
            (*shape, 1) if left_side else (*shape[:-1], 1, shape[-1]),
            [*range(len(shape))] if left_side else [*range(len(shape) - 1), len(shape)],
        )
    found = triangular_solve_p.bind(
        a,
        b,
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        conjugate_a=bool(conjugate_a),
        unit_diagonal=bool(unit_diagonal),
    )
    n = len(shape_of(found))
    return reduce_sum(found, (n - 1 if left_side else n - 2,)) if vectors else found


# ------------------------------------------------------------------------------------------ tridiagonal_solve


def _tridiagonal_aval(
    dl: ShapedArray, d: ShapedArray, du: ShapedArray, b: ShapedArray, *, perturb_singular: bool
) -> ShapedArray:
    for i, x in enumerate((dl, d, du, b)):
        check_matrix_dtype("tridiagonal_solve", x, i)
    check_ranks("tridiagonal_solve", (1, 1, 1, 2), (dl, d, du, b))
    if not dl.shape == d.shape == du.shape == b.shape[:-1]:
        raise TypeError(
            "tridiagonal_solve takes three diagonals of shape [..., n] and a matrix of shape [..., n, k], got "
            f"shapes {dl.shape}, {d.shape}, {du.shape} and {b.shape}; dl[0] and du[n - 1] are there but not read"
        )
    return b


def _tridiagonal_impl(xp: Any, dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool) -> Any:
    if b.size == 0:
        return xp.zeros_like(b)
    gttrf, gttrs = scipy_linalg.get_lapack_funcs(("gttrf", "gttrs"), (d, b))

    n = d.shape[-1]

    def one(dl: Any, d: Any, du: Any, b: Any) -> list[Any]:
        low, high, more = dl[1:], du[:-1], max(3 - n, 0)
        if more:  # SciPy takes three rows at least; further ones do not change the size of the largest pivot
            low, high, b = (
                np.concatenate([x, np.zeros((more, *x.shape[1:]), x.dtype)]) for x in (low, high, b)
            )
            d = np.concatenate([d, np.full(more, d[0] if perturb_singular else 1, d.dtype)])
        low, middle, high, beyond, pivots, info = gttrf(low, d, high)
        if info and not perturb_singular:
            raise np.linalg.LinAlgError("the matrix is singular")
        if perturb_singular:
            middle = _off_zero(middle)
        return [gttrs(low, middle, high, beyond, pivots, b)[0][:n]]

    return each(one, (1, 1, 1, 2), avals_of(b), dl, d, du, b)[0]


def _off_zero(pivots: Any) -> Any:
    """Pivots, those moved off zero that are less than the precision of the largest one."""
    size = np.abs(pivots)
    least = np.finfo(pivots.dtype).eps * np.maximum(size.max(-1, keepdims=True), np.finfo(pivots.dtype).tiny)
    return np.where(size < least, np.where(pivots.real < 0, -least, least), pivots).astype(pivots.dtype)


def _tridiagonal_product(dl: Any, d: Any, du: Any, x: Any) -> Any:
    *_, n, k = shape_of(x)
    above = padded(block(x, (0, n - 1), (0, k)), (1, 0), (0, 0))
    below = padded(block(x, (1, n), (0, k)), (0, 1), (0, 0))
    terms = [mul(as_columns(a, k), y) for a, y in ((d, x), (dl, above), (du, below))]
    return add(add(terms[0], terms[1]), terms[2])


def _tridiagonal_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    *diagonals, b = primals
    out = tridiagonal_solve_p.bind(*diagonals, b, **params)
    change = tangents[3]
    if not all(is_zero(t) for t in tangents[:3]):
        dl, d, du = map(instantiate, tangents[:3])
        product = _tridiagonal_product(dl, d, du, out)
        change = add_cotangents(change, neg(product))
    if is_zero(change) or not shape_of(b)[-2]:
        return out, Zero.of(out)
    return out, tridiagonal_solve_p.bind(*diagonals, change, **params)


def _shifted(v: Any, by: int) -> Any:
    """The elements of vectors moved one place on or back, and a zero."""
    n = shape_of(v)[-1]
    column = as_columns(v, 1)
    rows, pad = ((0, n - 1), (1, 0)) if by > 0 else ((1, n), (0, 1))
    return reshape(padded(block(column, rows, (0, 1)), pad, (0, 0)), shape_of(v))


def _tridiagonal_transpose(ct: Any, dl: Any, d: Any, du: Any, b: Any, **params: Any) -> Any:
    if is_zero(ct) or not is_undefined(b):
        return [None] * 4
    back = tridiagonal_solve_p.bind(_shifted(du, 1), d, _shifted(dl, -1), ct, **params)
    return [None, None, None, back]


tridiagonal_solve_p: Primitive = library(
    "tridiagonal_solve",
    abstract_eval=_tridiagonal_aval,
    impl=_tridiagonal_impl,
    jvp=_tridiagonal_jvp,
    transpose=_tridiagonal_transpose,
    multiple_results=False,
    systems=True,
    native="tridiagonal_solve",
)


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool = False) -> Any:
    """The x with A @ x = b, for the A with the diagonals dl (below), d and du (above).

    Args:
      dl, d, du: of shape (..., n). Row i of A has dl[i], d[i], du[i]; dl[0] and du[n - 1] are not read.
      b: of shape (..., n, k).
      perturb_singular: move pivots that are zero a little off zero, as inverse iteration wants it. Without it
        the result for a singular A is NaN.
    """
    operands = same_dtype("tridiagonal_solve", dl, d, du, b)
    return tridiagonal_solve_p.bind(*operands, perturb_singular=bool(perturb_singular))


# ------------------------------------------------------------------------------------------ symmetric_product


def _product_aval(a: ShapedArray, c: ShapedArray, *, alpha: float, beta: float) -> ShapedArray:
    for i, x in enumerate((a, c)):
        check_matrix_dtype("symmetric_product", x, i, real_only=True)
    check_ranks("symmetric_product", (2, 2), (a, c))
    if not a.shape[-2] == c.shape[-1] == c.shape[-2]:
        raise ValueError(
            "symmetric_product takes a matrix of shape (n, m) and a square one of shape (n, n), got shapes "
            f"{a.shape} and {c.shape}."
        )
    return c


def _product_impl(xp: Any, a: Any, c: Any, *, alpha: float, beta: float) -> Any:
    product = xp.matmul(a, xp.swapaxes(a, -1, -2)) * a.dtype.type(alpha)
    return product + a.dtype.type(beta) * c if beta else product


def _product_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, alpha: float, beta: float) -> Any:
    (a, c), (ta, tc) = primals, tangents
    out = symmetric_product_p.bind(a, c, alpha=alpha, beta=beta)
    total = None
    if not is_zero(ta):
        half = mul(matmul(a, swap(ta)), constant(a, alpha))
        total = add(half, swap(half))
    if beta and not is_zero(tc):
        total = add_cotangents(total, mul(tc, constant(tc, beta)))
    return out, Zero.of(out) if total is None else total


symmetric_product_p: Primitive = library(
    "symmetric_product",
    abstract_eval=_product_aval,
    impl=_product_impl,
    jvp=_product_jvp,
    multiple_results=False,
    native="symmetric_product",
)


def symmetric_product(
    a_matrix: Any, c_matrix: Any, *, alpha: float = 1.0, beta: float = 0.0, symmetrize_output: bool = False
) -> Any:
    """alpha * A @ A.T + beta * C.

    Args:
      a_matrix: (..., n, m), real.
      c_matrix: symmetric, (..., n, n).
      symmetrize_output: make the result symmetric, from its lower triangle, though C is not.
    """
    a, c = same_dtype("symmetric_product", a_matrix, c_matrix)
    found = symmetric_product_p.bind(a, c, alpha=float(alpha), beta=float(beta))
    return add(lower_part(found), swap(lower_part(found, -1))) if symmetrize_output else found
