"""Matrix decompositions and triangular systems, by LAPACK, for stacks of matrices.

Sources of the derivatives: M. B. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation, 2008; I. Murray, Differentiation of the Cholesky decomposition,
arXiv:1602.07527; of QR, S. F. Walter and L. Lehmann, arXiv:1001.1654.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, add_cotangents, is_undefined, is_zero
from wengert.prims.arithmetic import add, complex, conj, div, imag, mul, neg, real, square, sub
from wengert.prims.axes import batch_to, broadcast_in_dim, reduce_sum, transpose
from wengert.prims.constructors import (
    Shape,
    as_operand,
    check_dtype,
    constant,
    dtype_of,
    same_dtype,
    shape_of,
)
from wengert.prims.conversion import convert
from wengert.prims.dot import dot_general
from wengert.prims.logic import eq, ge
from wengert.prims.reduce import argmax
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota, expand_dims, full, squeeze
from wengert.prims.slicing import pad, slice
from wengert.prims.sort import take_along

scipy_linalg = lazy_module("scipy.linalg")

# ----------------------------------------------------------------------------------------- matrices in stacks


def swap(x: Any) -> Any:
    """The transposes of the matrices."""
    n = len(shape_of(x))
    return transpose(x, [*range(n - 2), n - 1, n - 2])


def adjoint(x: Any) -> Any:
    """The conjugate transposes of the matrices."""
    return swap(conj(x) if dtype_of(x).kind == "c" else x)


def matmul(x: Any, y: Any) -> Any:
    """The products of the matrices."""
    n = len(shape_of(x))
    batch = tuple(range(n - 2))
    return dot_general(x, y, (((n - 1,), (n - 2,)), (batch, batch)))


def _from_diagonal(shape: Shape, offset: int) -> Any:
    """Where column <= row + offset, for matrices of the shape."""
    rows, columns = (broadcasted_iota(np.int32, shape, len(shape) - k) for k in (2, 1))
    return ge(add(rows, np.int32(offset)), columns)


def lower_part(x: Any, offset: int = 0) -> Any:
    """The matrices with zeros above a diagonal."""
    return select(_from_diagonal(shape_of(x), offset), x, constant(x, 0))


def upper_part(x: Any, offset: int = 0) -> Any:
    """The matrices with zeros below a diagonal."""
    return select(_from_diagonal(shape_of(x), offset - 1), constant(x, 0), x)


def identity_like(x: Any) -> Any:
    """Identity matrices in the shape of square ones."""
    shape = shape_of(x)
    rows, columns = (broadcasted_iota(np.int32, shape, len(shape) - k) for k in (2, 1))
    return convert(eq(rows, columns), dtype_of(x))


def diagonal(x: Any) -> Any:
    """The diagonals of square matrices."""
    n = len(shape_of(x))
    return reduce_sum(mul(x, identity_like(x)), (n - 1,))


def as_rows(v: Any, rows: int) -> Any:
    """Each vector as all the rows of a matrix."""
    shape = shape_of(v)
    n = len(shape)
    return broadcast_in_dim(v, (*shape[:-1], rows, shape[-1]), [*range(n - 1), n])


def as_columns(v: Any, columns: int) -> Any:
    """Each vector as all the columns of a matrix."""
    shape = shape_of(v)
    return broadcast_in_dim(v, (*shape, columns), range(len(shape)))


def _check_matrices(name: str, x: ShapedArray, square_only: bool = True) -> None:
    check_dtype(name, "fc", x)
    if x.dtype.itemsize < 4:
        raise TypeError(
            f"{name} takes float32, float64 or complex matrices, got {x.dtype}; convert with astype"
        )
    if x.ndim < 2 or (square_only and x.shape[-1] != x.shape[-2]):
        kind = "square matrices" if square_only else "matrices"
        raise ValueError(f"Argument to {name} must have shape [..., n, n], {kind}, got shape {x.shape}.")


def _each(fun: Callable[..., Any], *stacks: Any) -> list[Any]:
    """Apply a function of matrices, which returns several arrays, to each of a stack."""
    batch = stacks[0].shape[:-2]
    flat = [s.reshape((-1, *s.shape[-2:])) for s in stacks]
    found = [fun(*matrices) for matrices in zip(*flat)]
    return [np.stack(parts).reshape((*batch, *parts[0].shape)) for parts in zip(*found)]


def _library(
    name: str,
    *,
    abstract_eval: Callable[..., Any],
    impl: Callable[..., Any],
    jvp: Callable[..., Any],
    transpose: Callable[..., Any] | None = None,
    multiple_results: bool = True,
) -> Primitive:
    """A primitive on stacks of matrices: a batch axis is one more axis of the stack."""

    def batch(axis: Any, args: Any, dims: Any, **params: Any) -> Any:
        outs = prim.bind(*[batch_to(x, d, axis.size, 0) for x, d in zip(args, dims)], **params)
        return (outs, [0] * len(outs)) if multiple_results else (outs, 0)

    prim = Primitive(
        name,
        "library",
        abstract_eval=abstract_eval,
        impl=impl,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        multiple_results=multiple_results,
        access="stored",
    )
    return prim


# --------------------------------------------------------------------------------------------------- cholesky


def _cholesky_aval(x: ShapedArray) -> ShapedArray:
    _check_matrices("cholesky", x)
    return x


def _cholesky_impl(xp: Any, x: Any) -> Any:
    x = xp.tril(x)
    try:
        return xp.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        return _each(_one_cholesky, x)[0] if x.ndim > 2 else _one_cholesky(x)[0]


def _one_cholesky(x: Any) -> list[Any]:
    try:
        return [np.linalg.cholesky(x)]
    except np.linalg.LinAlgError:  # not positive definite
        return [np.full_like(x, np.nan)]


def _cholesky_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    out, t = cholesky_p.bind(primals[0]), tangents[0]
    if is_zero(t):
        return out, Zero.of(out)
    half = triangular_solve(out, t, left_side=False, lower=True, transpose_a=True, conjugate_a=True)
    both = triangular_solve(out, half, left_side=True, lower=True)
    scale = sub(full(shape_of(both), 1, dtype_of(both)), mul(identity_like(both), constant(both, 0.5)))
    return out, matmul(out, mul(lower_part(both), scale))


cholesky_p: Primitive = _library(
    "cholesky", abstract_eval=_cholesky_aval, impl=_cholesky_impl, jvp=_cholesky_jvp, multiple_results=False
)


def symmetrize(x: Any) -> Any:
    """(x + adjoint of x) / 2."""
    return mul(add(x, adjoint(x)), constant(x, 0.5))


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L @ adjoint(L) = x, for Hermitian positive definite x; NaN if it is not
    definite.

    Args:
      x: of shape (..., n, n).
      symmetrize_input: take the mean of x and its adjoint first; else only the lower triangle is read.
    """
    x = as_operand("cholesky", x)
    _check_matrices("cholesky", ShapedArray(shape_of(x), dtype_of(x)))
    return lower_part(cholesky_p.bind(symmetrize(x) if symmetrize_input else x))


# ------------------------------------------------------------------------------------------- triangular_solve


def _solve_aval(a: ShapedArray, b: ShapedArray, *, left_side: bool, **params: Any) -> ShapedArray:
    _check_matrices("triangular_solve", a)
    _check_matrices("triangular_solve", b, square_only=False)
    if a.dtype != b.dtype:
        raise TypeError(f"triangular_solve takes matrices of one dtype, got {a.dtype} and {b.dtype}")
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2 if left_side else -1]:
        raise TypeError(
            f"triangular_solve: shapes {a.shape} and {b.shape} do not fit, with left_side={left_side}"
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

    return _each(solve, a, b)[0]


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
            ta = conj(ta) if dtype_of(ta).kind == "c" else ta
        change = matmul(ta, out) if params["left_side"] else matmul(out, ta)
        total = add_cotangents(total, triangular_solve_p.bind(a, change, **params))
    return out, Zero.of(out) if total is None else total


def _solve_transpose(ct: Any, a: Any, b: Any, **params: Any) -> Any:
    if is_zero(ct) or not is_undefined(b):
        return [None, None]
    return [None, triangular_solve_p.bind(a, ct, **{**params, "transpose_a": not params["transpose_a"]})]


triangular_solve_p: Primitive = _library(
    "triangular_solve",
    abstract_eval=_solve_aval,
    impl=_solve_impl,
    jvp=_solve_jvp,
    transpose=_solve_transpose,
    multiple_results=False,
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


# --------------------------------------------------------------------------------------------------------- lu


def _lu_avals(x: ShapedArray) -> list[ShapedArray]:
    _check_matrices("lu", x, square_only=False)
    *batch, m, n = x.shape
    return [x, ShapedArray((*batch, min(m, n)), np.int32), ShapedArray((*batch, m), np.int32)]


def _one_lu(x: Any) -> list[Any]:
    (getrf,) = scipy_linalg.get_lapack_funcs(("getrf",), (x,))
    lu, pivots, _ = getrf(x)
    permutation = np.arange(x.shape[0], dtype=np.int32)
    for i, p in enumerate(pivots):
        permutation[[i, p]] = permutation[[p, i]]
    return [lu, pivots.astype(np.int32), permutation]


def _lu_impl(xp: Any, x: Any) -> list[Any]:
    if x.size:
        return _each(_one_lu, x)
    *batch, m, n = x.shape
    rows = xp.broadcast_to(xp.arange(m, dtype=np.int32), (*batch, m))
    return [x, xp.zeros((*batch, min(m, n)), np.int32), rows]


def _lu_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    outs, t = lu_p.bind(*primals), tangents[0]
    lu_, pivots, permutation = outs
    rest = [Zero.of(pivots), Zero.of(permutation)]
    if is_zero(t):
        return outs, [Zero.of(lu_), *rest]
    *batch, m, n = shape_of(lu_)
    k = min(m, n)
    ndim = len(batch) + 2
    moved = take_along(t, as_columns(permutation, n), ndim - 2)

    def grown(x: Any, rows: int, columns: int) -> Any:
        return pad(x, constant(x, 0), [(0, 0, 0)] * (ndim - 2) + [(0, rows, 0), (0, columns, 0)])

    def corner(rows: int, columns: int) -> Any:
        return slice(lu_, [0] * ndim, [*batch, rows, columns])

    low = lower_part(corner(m, k), -1)
    low = grown(low, 0, m - k)
    low = add(low, identity_like(low))
    up = grown(upper_part(corner(k, n)), n - k, 0)
    places = broadcasted_iota(np.int32, (*batch, n, n), ndim - 1)
    beyond = mul(identity_like(up), convert(ge(places, np.int32(k)), dtype_of(up)))
    up = add(up, beyond)
    inner = triangular_solve(low, moved, left_side=True, lower=True, unit_diagonal=True)
    inner = triangular_solve(up, inner, left_side=False, lower=False)
    change = add(matmul(low, lower_part(inner, -1)), matmul(upper_part(inner), up))
    return outs, [change, *rest]


lu_p: Primitive = _library("lu", abstract_eval=_lu_avals, impl=_lu_impl, jvp=_lu_jvp)


def lu(x: Any) -> tuple[Any, Any, Any]:
    """The decomposition P @ x = L @ U with partial pivoting.

    Returns:
      L below and U on and above the diagonal of one matrix; the pivots; the permutation of the rows.
    """
    found = lu_p.bind(as_operand("lu", x))
    return found[0], found[1], found[2]


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """The permutation of `permutation_size` rows that the swaps `pivots`, of shape (..., k), make."""
    pivots = as_operand("lu_pivots_to_permutation", pivots)
    return lu_pivots_to_permutation_p.bind(pivots, permutation_size=int(permutation_size))


def _permutation_aval(pivots: ShapedArray, *, permutation_size: int) -> ShapedArray:
    check_dtype("lu_pivots_to_permutation", "iu", pivots)
    if not pivots.ndim or pivots.shape[-1] > permutation_size:
        raise ValueError(
            f"lu_pivots_to_permutation: {pivots.str_short()} are no swaps of {permutation_size} rows"
        )
    return ShapedArray((*pivots.shape[:-1], permutation_size), np.int32)


def _permutation_impl(xp: Any, pivots: Any, *, permutation_size: int) -> Any:
    batch = pivots.shape[:-1]
    flat = pivots.reshape((-1, pivots.shape[-1]))
    found = xp.tile(xp.arange(permutation_size, dtype=np.int32), (flat.shape[0], 1))
    lanes = xp.arange(flat.shape[0])
    for i in range(flat.shape[1]):
        swapped = found[lanes, flat[:, i]].copy()
        found[lanes, flat[:, i]] = found[:, i]
        found[:, i] = swapped
    return found.reshape((*batch, permutation_size))


def _permutation_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    out = lu_pivots_to_permutation_p.bind(*primals, **params)
    return out, Zero.of(out)


lu_pivots_to_permutation_p: Primitive = _library(
    "lu_pivots_to_permutation",
    abstract_eval=_permutation_aval,
    impl=_permutation_impl,
    jvp=_permutation_jvp,
    multiple_results=False,
)

# --------------------------------------------------------------------------------------------------------- qr


def _qr_avals(x: ShapedArray, *, full_matrices: bool) -> list[ShapedArray]:
    _check_matrices("qr", x, square_only=False)
    *batch, m, n = x.shape
    k = m if full_matrices else min(m, n)
    return [ShapedArray((*batch, m, k), x.dtype), ShapedArray((*batch, k, n), x.dtype)]


def _qr_impl(xp: Any, x: Any, *, full_matrices: bool) -> list[Any]:
    return list(xp.linalg.qr(x, mode="complete" if full_matrices else "reduced"))


def _qr_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, full_matrices: bool) -> Any:
    outs, t = qr_p.bind(*primals, full_matrices=full_matrices), tangents[0]
    q, r = outs
    if is_zero(t):
        return outs, [Zero.of(q), Zero.of(r)]
    *_, m, n = shape_of(primals[0])
    if m < n or (full_matrices and m != n):
        raise NotImplementedError(
            "The derivative of qr is known for square matrices, and for tall ones with full_matrices=False; "
            "got "
            f"matrices of shape {(m, n)} with full_matrices={full_matrices}"
        )
    scaled = triangular_solve(r, t)
    inner = matmul(adjoint(q), scaled)
    low = lower_part(inner, -1)
    turn = sub(low, adjoint(low))
    if dtype_of(q).kind == "c":
        on_diagonal = mul(identity_like(inner), inner)
        turn = add(turn, sub(on_diagonal, convert(real(on_diagonal), dtype_of(inner))))
    return outs, [add(matmul(q, sub(turn, inner)), scaled), matmul(sub(inner, turn), r)]


qr_p: Primitive = _library("qr", abstract_eval=_qr_avals, impl=_qr_impl, jvp=_qr_jvp)


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Any, ...]:
    """The decomposition x = Q @ R, with orthonormal columns of Q and upper triangular R.

    Args:
      x: of shape (..., m, n).
      pivoting: not offered: columns are taken in their order.
      full_matrices: Q is (..., m, m) if true, else (..., m, min(m, n)).
    """
    if pivoting:
        raise ValueError(
            "qr takes the columns in their order; for pivoting use scipy.linalg.qr on NumPy arrays"
        )
    return tuple(qr_p.bind(as_operand("qr", x), full_matrices=bool(full_matrices)))


# ------------------------------------------------------------------------------------------------------- eigh


def _eigh_avals(x: ShapedArray, *, lower: bool, sort_eigenvalues: bool) -> list[ShapedArray]:
    _check_matrices("eigh", x)
    return [x, ShapedArray(x.shape[:-1], dtypes.to_floating_dtype(x.dtype))]


def _eigh_impl(xp: Any, x: Any, *, lower: bool, sort_eigenvalues: bool) -> list[Any]:
    try:
        w, v = xp.linalg.eigh(x, "L" if lower else "U")
    except np.linalg.LinAlgError:  # not converged: there is a NaN in it
        real_dtype = dtypes.to_floating_dtype(x.dtype)
        return [np.full_like(x, np.nan), np.full(x.shape[:-1], np.nan, real_dtype)]
    return [v, w]


def _inverse_gaps(w: Any, like: Any) -> Any:
    """1 / (w_j - w_i) off the diagonal, 0 on it."""
    n = shape_of(w)[-1]
    eye = identity_like(like)
    gaps = convert(sub(as_rows(w, n), as_columns(w, n)), dtype_of(like))
    return sub(div(constant(like, 1), add(gaps, eye)), eye)


def _eigh_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    outs, t = eigh_p.bind(*primals, **params), tangents[0]
    v, w = outs
    if is_zero(t):
        return outs, [Zero.of(v), Zero.of(w)]
    inner = matmul(adjoint(v), matmul(t, v))
    change = diagonal(inner)
    return outs, [
        matmul(v, mul(_inverse_gaps(w, inner), inner)),
        real(change) if dtype_of(change).kind == "c" else change,
    ]


eigh_p: Primitive = _library("eigh", abstract_eval=_eigh_avals, impl=_eigh_impl, jvp=_eigh_jvp)


def eigh(
    x: Any,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: Any = None,
) -> tuple[Any, Any]:
    """Eigenvectors, as columns, and ascending eigenvalues of Hermitian matrices (..., n, n).

    Args:
      lower: which triangle is read, unless `symmetrize_input` takes the mean of x and its adjoint first.
      subset_by_index: a range of eigenvalues, by number, to return.
    """
    x = as_operand("eigh", x)
    _check_matrices("eigh", ShapedArray(shape_of(x), dtype_of(x)))
    x = symmetrize(x) if symmetrize_input else x
    v, w = eigh_p.bind(x, lower=bool(lower), sort_eigenvalues=bool(sort_eigenvalues))
    if subset_by_index is None:
        return v, w
    first, last = subset_by_index
    *batch, n = shape_of(w)
    low = [0] * len(batch)
    return slice(v, [*low, 0, first], [*batch, n, last]), slice(w, [*low, first], [*batch, last])


# -------------------------------------------------------------------------------------------------------- svd


def _svd_avals(x: ShapedArray, *, full_matrices: bool, compute_uv: bool) -> list[ShapedArray]:
    _check_matrices("svd", x, square_only=False)
    *batch, m, n = x.shape
    k = min(m, n)
    s = ShapedArray((*batch, k), dtypes.to_floating_dtype(x.dtype))
    if not compute_uv:
        return [s]
    rows, columns = (m, n) if full_matrices else (k, k)
    return [s, ShapedArray((*batch, m, rows), x.dtype), ShapedArray((*batch, columns, n), x.dtype)]


def _svd_impl(xp: Any, x: Any, *, full_matrices: bool, compute_uv: bool) -> list[Any]:
    try:
        found = xp.linalg.svd(x, full_matrices=full_matrices, compute_uv=compute_uv)
    except np.linalg.LinAlgError:  # not converged: there is a NaN in it
        avals = _svd_avals(ShapedArray(x.shape, x.dtype), full_matrices=full_matrices, compute_uv=compute_uv)
        return [np.full(a.shape, np.nan, a.dtype) for a in avals]
    if not compute_uv:
        return [found]
    u, s, vt = found
    return [s, u, vt]


def _svd_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, full_matrices: bool, compute_uv: bool
) -> Any:
    x, t = primals[0], tangents[0]
    if is_zero(t):
        outs = svd_p.bind(x, full_matrices=full_matrices, compute_uv=compute_uv)
        return outs, [Zero.of(o) for o in outs]
    *_, m, n = shape_of(x)
    if compute_uv and full_matrices and m != n:
        raise NotImplementedError("Singular value decomposition JVP not implemented for full matrices")
    s, u, vt = svd_p.bind(x, full_matrices=False, compute_uv=True)
    v = adjoint(vt)
    inner = matmul(matmul(adjoint(u), t), v)
    change = diagonal(inner)
    ds = real(change) if dtype_of(change).kind == "c" else change
    if not compute_uv:
        return [s], [ds]
    k = shape_of(s)[-1]
    wide = convert(s, dtype_of(inner))
    gaps = _inverse_gaps(square(s), inner)
    by_columns, by_rows = mul(inner, as_rows(wide, k)), mul(as_columns(wide, k), inner)
    du = matmul(u, mul(gaps, add(by_columns, adjoint(by_columns))))
    dv = matmul(v, mul(gaps, add(by_rows, adjoint(by_rows))))
    zero = eq(s, constant(s, 0))
    inverse = convert(
        select(zero, constant(s, 0), div(constant(s, 1), select(zero, constant(s, 1), s))), dtype_of(inner)
    )
    if dtype_of(x).kind == "c":
        skew = mul(mul(sub(inner, adjoint(inner)), identity_like(inner)), constant(inner, 0.5))
        du = add(du, matmul(u, mul(skew, as_columns(inverse, k))))
    if m > n:
        along = matmul(t, v)
        rest = sub(along, matmul(u, matmul(adjoint(u), along)))
        du = add(du, mul(rest, as_rows(inverse, m)))
    if n > m:
        along = matmul(adjoint(t), u)
        rest = sub(along, matmul(v, matmul(adjoint(v), along)))
        dv = add(dv, mul(rest, as_rows(inverse, n)))
    return [s, u, vt], [ds, du, adjoint(dv)]


svd_p: Primitive = _library("svd", abstract_eval=_svd_avals, impl=_svd_impl, jvp=_svd_jvp)


def svd(
    x: Any,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: Any = None,
) -> Any:
    """The singular value decomposition x = U @ diag(s) @ Vh of matrices (..., m, n).

    Args:
      full_matrices: U and Vh are square if true, else have min(m, n) columns and rows.
      compute_uv: return (U, s, Vh), else s alone.
      subset_by_index: a range of singular values, by number, to return.
    """
    found = svd_p.bind(as_operand("svd", x), full_matrices=bool(full_matrices), compute_uv=bool(compute_uv))
    if subset_by_index is not None:
        if full_matrices and compute_uv:
            raise ValueError("full_matrices and subset_by_index cannot both be set")
        found = _svd_subset(found, *subset_by_index)
    return (found[1], found[0], found[2]) if compute_uv else found[0]


def _svd_subset(found: Sequence[Any], first: int, last: int) -> list[Any]:
    *batch, _ = shape_of(found[0])
    low = [0] * len(batch)
    outs = [slice(found[0], [*low, first], [*batch, last])]
    if len(found) > 1:
        m, n = shape_of(found[1])[-2], shape_of(found[2])[-1]
        outs.append(slice(found[1], [*low, 0, first], [*batch, m, last]))
        outs.append(slice(found[2], [*low, first, 0], [*batch, last, n]))
    return outs


# -------------------------------------------------------------------------------------------------------- eig


def _eig_avals(
    x: ShapedArray, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool
) -> list[ShapedArray]:
    _check_matrices("eig", x)
    dtype = dtypes.to_complex_dtype(x.dtype)
    vectors = ShapedArray(x.shape, dtype)
    wanted = compute_left_eigenvectors + compute_right_eigenvectors
    return [ShapedArray(x.shape[:-1], dtype), *[vectors] * wanted]


def _eig_impl(
    xp: Any, x: Any, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool
) -> list[Any]:
    left, right = compute_left_eigenvectors, compute_right_eigenvectors
    dtype = dtypes.to_complex_dtype(x.dtype)

    def one(x: Any) -> list[Any]:
        if not np.isfinite(x).all():
            return [np.full(x.shape[0], np.nan, dtype)] + [np.full(x.shape, np.nan, dtype)] * (left + right)
        found = scipy_linalg.eig(x, left=left, right=right, check_finite=False)
        return [np.asarray(f, dtype) for f in (found if left or right else [found])]

    return _each(one, x)


def _eig_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    outs, t = eig_p.bind(*primals, **params), tangents[0]
    if is_zero(t):
        return outs, [Zero.of(o) for o in outs]
    if params["compute_left_eigenvectors"]:
        raise NotImplementedError(
            "Left eigenvectors can't be differentiated. Take eigenvalues and right eigenvectors only: "
            "eig(x, compute_left_eigenvectors=False)"
        )
    w, v = eig_p.bind(*primals, compute_left_eigenvectors=False, compute_right_eigenvectors=True)
    inner = solve(v, matmul(convert(t, dtype_of(v)), v))
    if not params["compute_right_eigenvectors"]:
        return outs, [diagonal(inner)]
    return outs, [diagonal(inner), _eigenvector_tangent(w, v, inner)]


def _eigenvector_tangent(w: Any, v: Any, inner: Any) -> Any:
    """The change of eigenvectors that keep the norm 1, and their largest element real."""
    change = matmul(v, mul(_inverse_gaps(w, inner), inner))
    ndim = len(shape_of(v))
    rows = shape_of(v)[-1]
    growth = real(reduce_sum(mul(conj(v), change), (ndim - 2,)))
    sizes = add(square(real(v)), square(imag(v)))
    largest = expand_dims(argmax(sizes, ndim - 2, np.int32), (ndim - 2,))
    ratio = div(take_along(change, largest, ndim - 2), take_along(v, largest, ndim - 2))
    turn = imag(squeeze(ratio, (ndim - 2,)))
    return sub(change, mul(v, as_rows(complex(growth, turn), rows)))


def solve(a: Any, b: Any) -> Any:
    """a**-1 @ b for stacks of square matrices."""
    lu_, _, permutation = lu(a)
    ndim = len(shape_of(b))
    moved = take_along(b, as_columns(permutation, shape_of(b)[-1]), ndim - 2)
    inner = triangular_solve(lu_, moved, left_side=True, lower=True, unit_diagonal=True)
    return triangular_solve(lu_, inner, left_side=True)


eig_p: Primitive = _library("eig", abstract_eval=_eig_avals, impl=_eig_impl, jvp=_eig_jvp)


def eig(
    x: Any,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
    implementation: Any = None,
    use_magma: bool | None = None,
) -> list[Any]:
    """Eigenvalues of square matrices (..., n, n), then their left and right eigenvectors, as columns. Complex."""
    left, right = bool(compute_left_eigenvectors), bool(compute_right_eigenvectors)
    return list(
        eig_p.bind(as_operand("eig", x), compute_left_eigenvectors=left, compute_right_eigenvectors=right)
    )
