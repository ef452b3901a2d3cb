"""The LU decomposition, linear systems and determinants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, add_cotangents, is_undefined, is_zero
from wengert.prims.arithmetic import add, mul, neg, sub
from wengert.prims.axes import reduce_sum
from wengert.prims.constructors import as_operand, check_dtype, shape_of, zero_jvp
from wengert.prims.linalg_common import (
    as_columns,
    as_rows,
    avals_of,
    block,
    check_matrices,
    check_ranks,
    diagonal,
    each,
    identity_like,
    library,
    lower_part,
    matmul,
    padded,
    scipy_linalg,
    swap,
    upper_part,
)
from wengert.prims.linalg_triangular import triangular_solve
from wengert.prims.logic import ge
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota
from wengert.prims.sort import take_along

# --------------------------------------------------------------------------------------------------------- lu


def _lu_avals(x: ShapedArray) -> list[ShapedArray]:
    check_matrices("lu", x, square_only=False)
    *batch, m, n = x.shape
    rows, swaps = (ShapedArray((*batch, k), np.dtype(np.int32)) for k in (m, min(m, n)))
    return [x, swaps, rows]


def _one_lu(x: Any) -> list[Any]:
    (getrf,) = scipy_linalg.get_lapack_funcs(("getrf",), (x,))
    lu, pivots, _ = getrf(x)
    return [lu, pivots, _permutation(pivots, x.shape[0])]


def _permutation(pivots: Any, size: int) -> Any:
    rows = list(range(size))
    for i, p in enumerate(pivots.tolist()):
        rows[i], rows[p] = rows[p], rows[i]
    return rows


def _lu_impl(xp: Any, x: Any) -> list[Any]:
    outs = _lu_avals(ShapedArray(x.shape, x.dtype))
    if x.size:
        return each(_one_lu, (2,), outs, x)
    rows = xp.arange(x.shape[-2], dtype=np.int32)
    return [x, xp.zeros(outs[1].shape, np.int32), xp.broadcast_to(rows, outs[2].shape)]


def _lu_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    outs, t = lu_p.bind(*primals), tangents[0]
    lu_, pivots, permutation = outs
    rest = [Zero.of(pivots), Zero.of(permutation)]
    *batch, m, n = shape_of(lu_)
    if is_zero(t) or not min(m, n):
        return outs, [Zero.of(lu_), *rest]
    k = min(m, n)
    moved = take_along(t, as_columns(permutation, n), len(batch))
    # Square factors: ones on the diagonal stand for the rows and columns that are not there.
    low = padded(lower_part(block(lu_, (0, m), (0, k)), -1), (0, 0), (0, m - k))
    low = add(low, identity_like(low))
    up = padded(upper_part(block(lu_, (0, k), (0, n))), (0, n - k), (0, 0))
    eye = identity_like(up)
    beyond = ge(broadcasted_iota(np.int32, shape_of(up), len(batch)), np.int32(k))
    up = select(beyond, eye, up)
    inner = triangular_solve(low, moved, left_side=True, lower=True, unit_diagonal=True)
    inner = triangular_solve(up, inner, left_side=False, lower=False)
    change = add(matmul(low, lower_part(inner, -1)), matmul(upper_part(inner), up))
    return outs, [change, *rest]


lu_p: Primitive = library("lu", abstract_eval=_lu_avals, impl=_lu_impl, jvp=_lu_jvp, native="lu")


def lu(x: Any) -> tuple[Any, Any, Any]:
    """The decomposition P @ x = L @ U with partial pivoting.

    Returns:
      L below and U on and above the diagonal of one matrix; the pivots; the permutation of the rows.
    """
    found = lu_p.bind(as_operand("lu", x))
    return found[0], found[1], found[2]


def _permutation_aval(pivots: ShapedArray, *, permutation_size: int) -> ShapedArray:
    check_dtype("lu_pivots_to_permutation", "iu", pivots)
    if not pivots.ndim or pivots.shape[-1] > permutation_size:
        raise ValueError(
            f"lu_pivots_to_permutation: {pivots.str_short()} are no swaps of {permutation_size} rows"
        )
    return ShapedArray((*pivots.shape[:-1], permutation_size), np.dtype(np.int32))


def _permutation_impl(xp: Any, pivots: Any, *, permutation_size: int) -> Any:
    outs = [ShapedArray((*pivots.shape[:-1], permutation_size), np.dtype(np.int32))]
    return each(lambda p: [_permutation(p, permutation_size)], (1,), outs, pivots)[0]


lu_pivots_to_permutation_p: Primitive = library(
    "lu_pivots_to_permutation",
    abstract_eval=_permutation_aval,
    impl=_permutation_impl,
    jvp=zero_jvp(lambda: lu_pivots_to_permutation_p),
    multiple_results=False,
    native="permutation",
)


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """The permutation of `permutation_size` rows that the swaps `pivots`, of shape (..., k), make."""
    pivots = as_operand("lu_pivots_to_permutation", pivots)
    return lu_pivots_to_permutation_p.bind(pivots, permutation_size=int(permutation_size))


# ----------------------------------------------------------------------------------------------------- systems


def solve_permuted(lu_: Any, permutation: Any, b: Any, trans: int = 0) -> Any:
    """The x with op(a) @ x = b for square matrices a by their decomposition.

    Args:
      trans: what op does: 0 nothing, 1 transposes, 2 transposes and conjugates.
    """
    axis = len(shape_of(b)) - 2
    columns = shape_of(b)[-1]
    if 0 in shape_of(b):
        return b
    if trans == 0:
        moved = take_along(b, as_columns(permutation, columns), axis)
        inner = triangular_solve(lu_, moved, left_side=True, lower=True, unit_diagonal=True)
        return triangular_solve(lu_, inner, left_side=True)
    how = {"left_side": True, "transpose_a": True, "conjugate_a": trans == 2}
    inner = triangular_solve(lu_, b, **how)
    inner = triangular_solve(lu_, inner, lower=True, unit_diagonal=True, **how)
    return take_along(inner, as_columns(inverse_permutations(permutation), columns), axis)


def inverse_permutations(permutation: Any) -> Any:
    """The permutations that undo these, of shape (..., n)."""
    return _inverse_p.bind(permutation)


_inverse_p: Primitive = library(
    "inverse_permutation",
    abstract_eval=lambda p: p,
    impl=lambda xp, p: xp.argsort(p, axis=-1).astype(p.dtype),
    jvp=zero_jvp(lambda: _inverse_p),
    multiple_results=False,
    native="inverse_permutation",
)


def _solve_aval(a: ShapedArray, b: ShapedArray) -> ShapedArray:
    check_matrices("solve", a)
    check_ranks("solve", (2, 2), (a, b))
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"solve: b must have {a.shape[-1]} rows, as a of shape {a.shape} has; got {b.shape}")
    return b


def _solve_impl(xp: Any, a: Any, b: Any) -> Any:
    try:
        return xp.linalg.solve(a, b)
    except np.linalg.LinAlgError:  # one of them is singular: it alone gets NaN
        return each(lambda a, b: [np.linalg.solve(a, b)], (2, 2), avals_of(b), a, b)[0]


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (a, b), (ta, tb) = primals, tangents
    out = solve_p.bind(a, b)
    change = tb if is_zero(ta) else add_cotangents(neg(matmul(ta, out)), tb)
    return out, Zero.of(out) if is_zero(change) else solve_p.bind(a, change)


def _solve_transpose(ct: Any, a: Any, b: Any) -> Any:
    if is_zero(ct) or not is_undefined(b):
        return [None, None]
    return [None, solve_p.bind(swap(a), ct)]


solve_p: Primitive = library(
    "linear_solve",
    abstract_eval=_solve_aval,
    impl=_solve_impl,
    jvp=_solve_jvp,
    transpose=_solve_transpose,
    multiple_results=False,
    systems=True,
    native="solve",
)


def solve(a: Any, b: Any) -> Any:
    """The x with a @ x = b for square matrices a (..., n, n) and matrices b (..., n, k). NaN if a is singular."""
    return solve_p.bind(a, b)


# ------------------------------------------------------------------------------------------------ determinants
#
# The derivative of a determinant is the product with the adjugate. Both are polynomials, so that they have
# derivatives at singular matrices too: there they are computed by the singular value decomposition.


def _det_aval(x: ShapedArray) -> ShapedArray:
    check_matrices("det", x)
    return ShapedArray(x.shape[:-2], x.dtype)


def _det_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (x,), (t,) = primals, tangents
    out = det_p.bind(x)
    if is_zero(t):
        return out, Zero.of(out)
    n = len(shape_of(x))
    return out, reduce_sum(mul(swap(adjugate_p.bind(x)), t), (n - 2, n - 1))


det_p: Primitive = library(
    "det",
    abstract_eval=_det_aval,
    impl=lambda xp, x: xp.asarray(xp.linalg.det(x)),
    jvp=_det_jvp,
    multiple_results=False,
    native="determinant",
)


def _adjugate_aval(x: ShapedArray) -> ShapedArray:
    check_matrices("adjugate", x)
    return x


def _well_inverted(x: Any) -> Any:
    """The inverse of a matrix far enough from being singular, or None."""
    try:
        inverse = np.linalg.inv(x)
    except np.linalg.LinAlgError:
        return None
    condition = np.abs(x).sum(0).max(initial=0) * np.abs(inverse).sum(0).max(initial=0)
    return inverse if condition < np.finfo(x.dtype).eps ** -0.4 else None


def _products_without(s: Any) -> Any:
    """For each pair i, j the product of the elements but for those at i and j."""
    n = len(s)
    rows = np.where(np.eye(n, dtype=bool), 1, np.broadcast_to(s, (n, n)))
    found = np.ones((n, n), s.dtype)
    for j in range(n):
        rest = rows.copy()
        rest[:, j] = 1
        found[:, j] = rest.prod(1)
    return found


def _by_values(x: Any) -> tuple[Any, Any, Any, Any]:
    """The singular value decomposition u, s, vh, and the determinant of its unitary factors."""
    if not np.isfinite(x).all():
        raise np.linalg.LinAlgError
    u, s, vh = np.linalg.svd(x)
    return u, s, vh, np.linalg.det(u) * np.linalg.det(vh)


def _adjugate(x: Any) -> list[Any]:
    inverse = _well_inverted(x)
    if inverse is not None:
        return [inverse * np.linalg.det(x)]
    u, s, vh, turn = _by_values(x)
    found = np.diagonal(_products_without(s))
    return [turn * (vh.conj().T * found) @ u.conj().T]


def _adjugate_change(x: Any, t: Any) -> list[Any]:
    inverse = _well_inverted(x)
    if inverse is not None:
        inner = inverse @ t
        return [np.linalg.det(x) * (np.trace(inner) * inverse - inner @ inverse)]
    u, s, vh, turn = _by_values(x)
    inner = u.conj().T @ t @ vh.conj().T
    products = _products_without(s)
    np.fill_diagonal(products, 0)
    found = np.diag(products @ np.diagonal(inner)) - products * inner
    return [turn * vh.conj().T @ found @ u.conj().T]


def _adjugate_impl(xp: Any, x: Any) -> Any:
    return each(_adjugate, (2,), avals_of(x), x)[0]


def _adjugate_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (x,), (t,) = primals, tangents
    out = adjugate_p.bind(x)
    return out, Zero.of(out) if is_zero(t) else adjugate_change_p.bind(x, t)


adjugate_p: Primitive = library(
    "adjugate",
    abstract_eval=_adjugate_aval,
    impl=_adjugate_impl,
    jvp=_adjugate_jvp,
    multiple_results=False,
    native="adjugate",
)


def _change_aval(x: ShapedArray, t: ShapedArray) -> ShapedArray:
    check_ranks("adjugate_change", (2, 2), (x, t))
    return t


def _change_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The third derivative of determinants; infinite or NaN at singular matrices."""
    (x, t), (dx, dt) = primals, tangents
    out = adjugate_change_p.bind(x, t)
    total = None if is_zero(dt) else adjugate_change_p.bind(x, dt)
    if not is_zero(dx):
        p, q = solve(x, t), solve(x, dx)
        inner = sub(_trace_times(p, _trace_times(q, identity_like(p))), _trace_times(p, q))
        inner = sub(sub(inner, _trace_times(q, p)), _trace_times(matmul(p, q), identity_like(p)))
        inner = add(inner, add(matmul(p, q), matmul(q, p)))
        total = add_cotangents(total, matmul(inner, adjugate_p.bind(x)))
    return out, Zero.of(out) if total is None else total


def _trace_times(x: Any, y: Any) -> Any:
    n = shape_of(x)[-1]
    return mul(as_rows(as_columns(reduce_sum(diagonal(x), (len(shape_of(x)) - 2,)), n), n), y)


def _change_transpose(ct: Any, x: Any, t: Any) -> Any:
    if is_zero(ct) or not is_undefined(t):
        return [None, None]
    return [None, adjugate_change_p.bind(swap(x), ct)]


adjugate_change_p: Primitive = library(
    "adjugate_change",
    abstract_eval=_change_aval,
    impl=lambda xp, x, t: each(_adjugate_change, (2, 2), avals_of(t), x, t)[0],
    jvp=_change_jvp,
    transpose=_change_transpose,
    multiple_results=False,
    native="adjugate_change",
)


def det(x: Any) -> Any:
    """The determinants of square matrices (..., n, n), which have derivatives at singular matrices too."""
    return det_p.bind(as_operand("det", x))
