"""The QR decomposition and Householder's reflections.

Sources of the derivatives: S. F. Walter and L. Lehmann, arXiv:1001.1654, of the thin decomposition; of products of
reflections, the compact form of R. Schreiber and C. Van Loan, A storage-efficient WY representation for products
of Householder transformations, 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, add_cotangents, instantiate, is_undefined, is_zero
from wengert.prims.arithmetic import add, mul, neg, real, sub
from wengert.prims.constructors import as_operand, dtype_of, same_dtype, shape_of
from wengert.prims.conversion import convert
from wengert.prims.linalg_common import (
    adjoint,
    as_rows,
    avals_of,
    block,
    check_matrices,
    check_matrix_dtype,
    check_ranks,
    conjugate,
    each,
    finite,
    identity_like,
    library,
    lower_part,
    matmul,
    no_derivative,
    not_finite,
    padded,
    scipy_linalg,
    upper_part,
)
from wengert.prims.linalg_lu import solve
from wengert.prims.linalg_triangular import triangular_solve
from wengert.prims.slicing import concatenate
from wengert.prims.sort import take_along

# --------------------------------------------------------------------------------------------------------- qr


def _qr_avals(x: ShapedArray, *, pivoting: bool, full_matrices: bool) -> list[ShapedArray]:
    check_matrices("qr", x, square_only=False)
    *batch, m, n = x.shape
    k = m if full_matrices else min(m, n)
    outs = [ShapedArray((*batch, m, k), x.dtype), ShapedArray((*batch, k, n), x.dtype)]
    return [*outs, ShapedArray((*batch, n), np.dtype(np.int32))] if pivoting else outs


def _qr_impl(xp: Any, x: Any, *, pivoting: bool, full_matrices: bool) -> list[Any]:
    *_, m, n = x.shape
    if not pivoting and x.size:
        return list(xp.linalg.qr(x, mode="complete" if full_matrices else "reduced"))
    outs = _qr_avals(ShapedArray(x.shape, x.dtype), pivoting=pivoting, full_matrices=full_matrices)
    if not x.size:
        q = xp.broadcast_to(xp.eye(m, outs[0].shape[-1], dtype=x.dtype), outs[0].shape)
        order = xp.broadcast_to(xp.arange(n, dtype=np.int32), (*x.shape[:-2], n))
        return [q, xp.zeros(outs[1].shape, x.dtype), order][: len(outs)]

    def one(x: Any) -> Any:
        if not finite(x):
            raise not_finite()
        mode = "full" if full_matrices else "economic"
        return scipy_linalg.qr(x, mode=mode, pivoting=True, check_finite=False)

    return each(one, (2,), outs, x)


def _thin_tangents(q: Any, r: Any, t: Any) -> tuple[Any, Any]:
    """The changes of Q and R, for as many columns of Q as R has."""
    scaled = triangular_solve(r, t)
    inner = matmul(adjoint(q), scaled)
    low = lower_part(inner, -1)
    turn = sub(low, adjoint(low))
    if dtype_of(q).kind == "c":
        on_diagonal = mul(identity_like(inner), inner)
        turn = add(turn, sub(on_diagonal, convert(real(on_diagonal), dtype_of(inner))))
    return add(matmul(q, sub(turn, inner)), scaled), matmul(sub(inner, turn), r)


def _wide_tangents(q: Any, r: Any, x: Any, t: Any) -> tuple[Any, Any]:
    """The first columns are a square matrix, whose decomposition gives Q; R changes with the others by Q."""
    *_, m, n = shape_of(x)
    dq, first = _thin_tangents(q, block(r, (0, m), (0, m)), block(t, (0, m), (0, m)))
    x, t = (block(y, (0, m), (m, n)) for y in (x, t))
    rest = add(matmul(adjoint(dq), x), matmul(adjoint(q), t))
    return dq, concatenate([first, rest], len(shape_of(q)) - 1)


def _complete_tangents(q: Any, r: Any, t: Any) -> tuple[Any, Any]:
    """Of square Q for tall matrices.

    Q is a product of reflections, I - V T adjoint(V) with V of n columns. So its first n columns C determine the
    others: those are the last columns of I, plus (C - I) adjoint(W), where W = C_below inverse(C_above - I).
    """
    *_, m, n = shape_of(t)
    thin = block(q, (0, m), (0, n))
    dq, dr = _thin_tangents(thin, block(r, (0, n), (0, n)), t)
    shifted = sub(thin, identity_like(thin))
    above, below = (adjoint(block(shifted, rows, (0, n))) for rows in ((0, n), (n, m)))
    d_above, d_below = (adjoint(block(dq, rows, (0, n))) for rows in ((0, n), (n, m)))
    ratio = solve(above, below)
    d_ratio = solve(above, sub(d_below, matmul(d_above, ratio)))
    rest = add(matmul(dq, ratio), matmul(shifted, d_ratio))
    return concatenate([dq, rest], len(shape_of(q)) - 1), padded(dr, (0, m - n), (0, 0))


def _qr_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (x,), (t,) = primals, tangents
    outs = qr_p.bind(x, **params)
    q, r = outs[:2]
    rest = [Zero.of(o) for o in outs[2:]]
    *_, m, n = shape_of(x)
    if is_zero(t) or not min(m, n):
        return outs, [Zero.of(q), Zero.of(r), *rest]
    if params["pivoting"]:
        x, t = (take_along(y, as_rows(outs[2], m), len(shape_of(y)) - 1) for y in (x, t))
    if m < n:
        tangent = _wide_tangents(q, r, x, t)
    elif m > n and params["full_matrices"]:
        tangent = _complete_tangents(q, r, t)
    else:
        tangent = _thin_tangents(q, r, t)
    return outs, [*tangent, *rest]


qr_p: Primitive = library("qr", abstract_eval=_qr_avals, impl=_qr_impl, jvp=_qr_jvp, native="qr")


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Any, ...]:
    """The decomposition x = Q @ R, with orthonormal columns of Q and upper triangular R.

    Args:
      x: of shape (..., m, n).
      pivoting: take first the column that is farthest from the ones taken before, so that x[:, p] = Q @ R for the
        permutation p, which is a third result.
      full_matrices: Q is (..., m, m) if true, else (..., m, min(m, n)).
      use_magma: for another library than the one that there is; has no effect.
    """
    x = as_operand("qr", x)
    return tuple(qr_p.bind(x, pivoting=bool(pivoting), full_matrices=bool(full_matrices)))


# ------------------------------------------------------------------------------------------------ reflections


def _geqrf_avals(x: ShapedArray, *, pivoting: bool) -> list[ShapedArray]:
    check_matrices("geqrf", x, square_only=False)
    *batch, m, n = x.shape
    outs = [x, ShapedArray((*batch, min(m, n)), x.dtype)]
    return [*outs, ShapedArray((*batch, n), np.dtype(np.int32))] if pivoting else outs


def _geqrf_impl(xp: Any, x: Any, *, pivoting: bool) -> list[Any]:
    outs = _geqrf_avals(ShapedArray(x.shape, x.dtype), pivoting=pivoting)

    def one(x: Any) -> list[Any]:
        if not finite(x):
            raise not_finite()
        if not x.size:
            return [x, x.reshape(-1), np.arange(x.shape[1])][: len(outs)]
        geqrf, geqp3 = scipy_linalg.get_lapack_funcs(("geqrf", "geqp3"), (x,))
        if not pivoting:
            return list(geqrf(x)[:2])
        factors, order, taus = geqp3(x)[:3]
        return [factors, taus, order - 1]

    return each(one, (2,), outs, x)


geqrf_p: Primitive = library(
    "geqrf",
    abstract_eval=_geqrf_avals,
    impl=_geqrf_impl,
    jvp=no_derivative(lambda: geqrf_p, "differentiate qr, which gives Q itself and not its reflections"),
    native="geqrf",
)


def geqrf(x: Any, *, pivoting: bool = False) -> list[Any]:
    """The QR decomposition as LAPACK has it: R on and above the diagonal, the reflections of Q below it.

    Returns:
      the matrix; the factors of the reflections (..., min(m, n)); if pivoting, the permutation of the columns.
    """
    return list(geqrf_p.bind(as_operand("geqrf", x), pivoting=bool(pivoting)))


def _factors(a: Any, taus: Any) -> tuple[Any, Any, tuple[Any, Any]]:
    """V, T, and (S, diag(taus)), with the product of the reflections I - V @ T @ V.H.

    T is diag(taus) inverse(I + S diag(taus)), where S is the strict upper part of V.H @ V.
    """
    m, k = shape_of(a)[-2], shape_of(taus)[-1]
    v = lower_part(block(a, (0, m), (0, k)), -1)
    v = add(v, identity_like(v))
    strict = upper_part(matmul(adjoint(v), v), 1)
    scales = mul(identity_like(strict), as_rows(taus, k))
    t = triangular_solve(add(identity_like(strict), matmul(strict, scales)), scales, unit_diagonal=True)
    return v, t, (strict, scales)


def _reflected(a: Any, taus: Any, da: Any, dtaus: Any, c: Any, adjoined: bool) -> Any:
    """The change of the product of the reflections (of its adjoint, if `adjoined`) as a, taus change, times c."""
    m, k = shape_of(a)[-2], shape_of(taus)[-1]
    v, t, (strict, scales) = _factors(a, taus)
    dv = lower_part(block(da, (0, m), (0, k)), -1)
    dscales = mul(identity_like(strict), as_rows(dtaus, k))
    cross = matmul(adjoint(v), dv)
    dstrict = upper_part(add(cross, adjoint(cross)), 1)
    right = sub(dscales, matmul(t, add(matmul(dstrict, scales), matmul(strict, dscales))))
    dt = triangular_solve(add(identity_like(strict), matmul(strict, scales)), right, unit_diagonal=True)
    if adjoined:
        t, dt = adjoint(t), adjoint(dt)
    inner, dinner = matmul(adjoint(v), c), matmul(adjoint(dv), c)
    along = add(matmul(dt, inner), matmul(t, dinner))
    return neg(add(matmul(dv, matmul(t, inner)), matmul(v, along)))


def _householder_aval(a: ShapedArray, taus: ShapedArray) -> ShapedArray:
    check_matrix_dtype("householder_product", a)
    check_ranks("householder_product", (2, 1), (a, taus))
    *_, m, n = a.shape
    if m < n:
        raise ValueError(
            "The first argument to householder_product must have at least as many rows as columns, got shape "
            f"{a.shape}"
        )
    if taus.shape[-1] > n:
        raise ValueError(
            "The second argument to householder_product must not have more elements than the first has columns, "
            f"got shapes {taus.shape} and {a.shape}"
        )
    return a


def _householder_impl(xp: Any, a: Any, taus: Any) -> Any:
    def one(a: Any, taus: Any) -> list[Any]:
        if not a.size or not taus.size:
            return [np.eye(*a.shape, dtype=a.dtype)]
        name = "ungqr" if a.dtype.kind == "c" else "orgqr"
        (orgqr,) = scipy_linalg.get_lapack_funcs((name,), (a,))
        return [orgqr(a, taus)[0]]

    return each(one, (2, 1), avals_of(a), a, taus)[0]


def _householder_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    a, taus = primals
    out = householder_product_p.bind(a, taus)
    if not shape_of(taus)[-1]:
        return out, Zero.of(out)
    da, dtaus = map(instantiate, tangents)
    return out, _reflected(a, taus, da, dtaus, identity_like(a), False)


householder_product_p: Primitive = library(
    "householder_product",
    abstract_eval=_householder_aval,
    impl=_householder_impl,
    jvp=_householder_jvp,
    multiple_results=False,
    native="householder_product",
)


def householder_product(a: Any, taus: Any) -> Any:
    """The first n columns of the product of the reflections I - taus[i] * outer(v_i, conj(v_i)).

    Args:
      a: (..., m, n) with m >= n; v_i is column i from below the diagonal, with a one on it and zeros above.
      taus: (..., k) with k <= n.
    """
    return householder_product_p.bind(*same_dtype("householder_product", a, taus))


def _ormqr_aval(
    a: ShapedArray, taus: ShapedArray, c: ShapedArray, *, left: bool, transpose: bool
) -> ShapedArray:
    check_matrix_dtype("ormqr", a)
    check_ranks("ormqr", (2, 1, 2), (a, taus, c))
    m = a.shape[-2]
    if c.shape[-2 if left else -1] != m:
        raise ValueError(
            f"ormqr with left={left} takes a c with {m} {'rows' if left else 'columns'}, as many as a has rows; "
            f"got shapes a: {a.shape} and c: {c.shape}"
        )
    if taus.shape[-1] > min(a.shape[-2:]):
        raise ValueError(f"ormqr: {taus.shape[-1]} taus are too many for reflections of shape {a.shape}")
    return c


def _ormqr_impl(xp: Any, a: Any, taus: Any, c: Any, *, left: bool, transpose: bool) -> Any:
    def one(a: Any, taus: Any, c: Any) -> list[Any]:
        if not c.size or not taus.size:
            return [c]
        is_complex = a.dtype.kind == "c"
        (ormqr,) = scipy_linalg.get_lapack_funcs(("unmqr" if is_complex else "ormqr",), (a, c))
        how = ("C" if is_complex else "T") if transpose else "N"
        reflections = a[:, : len(taus)]
        side = "L" if left else "R"
        work = ormqr(side, how, reflections, taus, c, -1)[1]
        return [ormqr(side, how, reflections, taus, c, int(work[0].real))[0]]

    return each(one, (2, 1, 2), avals_of(c), a, taus, c)[0]


def _ormqr_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, left: bool, transpose: bool) -> Any:
    (a, taus, c), (da, dtaus, dc) = primals, tangents
    params = {"left": left, "transpose": transpose}
    out = ormqr_p.bind(a, taus, c, **params)
    total = None if is_zero(dc) else ormqr_p.bind(a, taus, dc, **params)
    if not (is_zero(da) and is_zero(dtaus)) and shape_of(taus)[-1]:
        da, dtaus = instantiate(da), instantiate(dtaus)
        if left:
            change = _reflected(a, taus, da, dtaus, c, transpose)
        else:
            change = adjoint(_reflected(a, taus, da, dtaus, adjoint(c), not transpose))
        total = add_cotangents(total, change)
    return out, Zero.of(out) if total is None else total


def _ormqr_transpose(ct: Any, a: Any, taus: Any, c: Any, *, left: bool, transpose: bool) -> Any:
    if is_zero(ct) or not is_undefined(c):
        return [None, None, None]
    back = ormqr_p.bind(a, taus, conjugate(ct), left=left, transpose=not transpose)
    return [None, None, conjugate(back)]


ormqr_p: Primitive = library(
    "ormqr",
    abstract_eval=_ormqr_aval,
    impl=_ormqr_impl,
    jvp=_ormqr_jvp,
    transpose=_ormqr_transpose,
    multiple_results=False,
    native="ormqr",
)


def ormqr(a: Any, taus: Any, c: Any, *, left: bool = True, transpose: bool = False) -> Any:
    """Q @ c, where Q (..., m, m) is a product of reflections, without making Q.

    Args:
      a, taus: as `householder_product` has them, of shapes (..., m, n) and (..., k).
      c: matrices that fit.
      left: Q @ c if true, else c @ Q.
      transpose: take the adjoint of Q.
    """
    operands = same_dtype("ormqr", a, taus, c)
    return ormqr_p.bind(*operands, left=bool(left), transpose=bool(transpose))
