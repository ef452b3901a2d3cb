"""The singular value decomposition.

Source of the derivatives: M. B. Giles, Collected matrix derivative results for forward and reverse mode algorithmic
differentiation, 2008.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Eqn
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, is_zero
from wengert.prims.arithmetic import add, div, mul, real, square, sub
from wengert.prims.constructors import as_operand, constant, dtype_of, shape_of
from wengert.prims.conversion import convert
from wengert.prims.linalg_common import (
    adjoint,
    as_columns,
    as_rows,
    block,
    check_matrices,
    diagonal,
    each,
    finite,
    identity_like,
    inverse_gaps,
    library,
    matmul,
    not_finite,
)
from wengert.prims.linalg_eigen import check_implementation, check_subset
from wengert.prims.logic import eq
from wengert.prims.select import select
from wengert.prims.slicing import slice


class SvdAlgorithm(enum.Enum):
    """How singular values can be computed. Here LAPACK does it, by divide and conquer, whatever is asked for."""

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "polar"
    DIVIDE_AND_CONQUER = "divide_and_conquer"


def _svd_avals(x: ShapedArray, *, full_matrices: bool, compute_uv: bool) -> list[ShapedArray]:
    check_matrices("svd", x, square_only=False)
    *batch, m, n = x.shape
    k = min(m, n)
    s = ShapedArray((*batch, k), dtypes.to_floating_dtype(x.dtype))
    if not compute_uv:
        return [s]
    rows, columns = (m, n) if full_matrices else (k, k)
    return [s, ShapedArray((*batch, m, rows), x.dtype), ShapedArray((*batch, columns, n), x.dtype)]


def _svd_impl(xp: Any, x: Any, *, full_matrices: bool, compute_uv: bool) -> list[Any]:
    def one(x: Any) -> list[Any]:
        if not finite(x):
            raise not_finite()
        found = xp.linalg.svd(x, full_matrices=full_matrices, compute_uv=compute_uv)
        return [found[1], found[0], found[2]] if compute_uv else [found]

    if finite(x):
        try:
            return one(x)
        except np.linalg.LinAlgError:  # one did not converge: it alone gets NaN
            pass
    outs = _svd_avals(ShapedArray(x.shape, x.dtype), full_matrices=full_matrices, compute_uv=compute_uv)
    return each(one, (2,), outs, x)


def _vector_tangents(s: Any, u: Any, v: Any, t: Any, inner: Any) -> tuple[Any, Any]:
    """The changes of the singular vectors. There are min(m, n) of both; inner is adjoint(u) @ t @ v."""
    k, m, n = shape_of(s)[-1], shape_of(u)[-2], shape_of(v)[-2]
    wide = convert(s, dtype_of(inner))
    gaps = inverse_gaps(square(s), inner)
    by_columns, by_rows = mul(inner, as_rows(wide, k)), mul(as_columns(wide, k), inner)
    du = matmul(u, mul(gaps, add(by_columns, adjoint(by_columns))))
    dv = matmul(v, mul(gaps, add(by_rows, adjoint(by_rows))))
    if dtype_of(inner).kind == "c":
        # The phase of a pair of vectors is free; it turns u alone. Beside a value of zero there is no pair.
        zero = eq(s, constant(s, 0))
        safe = convert(div(constant(s, 1), select(zero, constant(s, 1), s)), dtype_of(inner))
        skew = mul(mul(sub(inner, adjoint(inner)), identity_like(inner)), constant(inner, 0.5))
        du = add(du, matmul(u, mul(skew, as_columns(safe, k))))
    if m > n:
        along = matmul(t, v)
        du = add(du, div(sub(along, matmul(u, matmul(adjoint(u), along))), as_rows(wide, m)))
    if n > m:
        along = matmul(adjoint(t), u)
        dv = add(dv, div(sub(along, matmul(v, matmul(adjoint(v), along))), as_rows(wide, n)))
    return du, dv


def _svd_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, full_matrices: bool, compute_uv: bool
) -> Any:
    (x,), (t,) = primals, tangents
    *_, m, n = shape_of(x)
    if is_zero(t) or not min(m, n):
        outs = svd_p.bind(x, full_matrices=full_matrices, compute_uv=compute_uv)
        return outs, [Zero.of(o) for o in outs]
    if compute_uv and full_matrices and m != n:
        raise NotImplementedError(
            "Singular value decomposition JVP not implemented for full matrices: the vectors beyond the first "
            f"min(m, n) of matrices of shape {(m, n)} are any basis of what is left, and jump as the matrix "
            "changes. Pass full_matrices=False; for singular values alone also compute_uv=False."
        )
    s, u, vt = svd_p.bind(x, full_matrices=False, compute_uv=True)
    v = adjoint(vt)
    inner = matmul(matmul(adjoint(u), t), v)
    change = diagonal(inner)
    ds = real(change) if dtype_of(change).kind == "c" else change
    if not compute_uv:
        return [s], [ds]
    du, dv = _vector_tangents(s, u, v, t, inner)
    return [s, u, vt], [ds, du, adjoint(dv)]


def _svd_dce(used: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    """Where only the values are wanted, no vectors are computed."""
    if eqn.params["compute_uv"] and not any(used[1:]):
        eqn = eqn.replace(params={**eqn.params, "compute_uv": False}, outvars=eqn.outvars[:1])
    return [True], eqn


svd_p: Primitive = library(
    "svd", abstract_eval=_svd_avals, impl=_svd_impl, jvp=_svd_jvp, native="svd", dce=_svd_dce
)


def svd(
    x: Any,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: SvdAlgorithm | None = None,
) -> Any:
    """The singular value decomposition x = U @ diag(s) @ Vh of matrices (..., m, n).

    Derivatives of U and Vh are infinite or NaN where singular values are equal, or zero if m != n. There are none
    of the further columns that U or Vh has if `full_matrices` is true and m != n.

    Args:
      full_matrices: U and Vh are square if true, else have min(m, n) columns and rows.
      compute_uv: return (U, s, Vh), else s alone.
      subset_by_index: a range of singular values, by number, to return.
      algorithm: has no effect.
    """
    check_implementation("svd", algorithm, SvdAlgorithm, "algorithm")
    if subset_by_index is not None and full_matrices and compute_uv:
        raise ValueError("full_matrices and subset_by_index cannot both be set")
    found = svd_p.bind(as_operand("svd", x), full_matrices=bool(full_matrices), compute_uv=bool(compute_uv))
    if subset_by_index is not None:
        found = _svd_subset(found, *check_subset("svd", subset_by_index, shape_of(found[0])[-1]))
    return (found[1], found[0], found[2]) if compute_uv else found[0]


def _svd_subset(found: Sequence[Any], first: int, last: int) -> list[Any]:
    *batch, _ = shape_of(found[0])
    s = slice(found[0], [*[0] * len(batch), first], [*batch, last])
    if len(found) == 1:
        return [s]
    rows, columns = shape_of(found[1])[-2], shape_of(found[2])[-1]
    return [s, block(found[1], (0, rows), (first, last)), block(found[2], (first, last), (0, columns))]
