"""Eigenvalues and eigenvectors, of Hermitian, tridiagonal and general matrices.

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
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, instantiate, is_zero
from wengert.prims.arithmetic import add, complex, conj, div, imag, mul, real, square, sub
from wengert.prims.axes import reduce_sum
from wengert.prims.constructors import as_operand, dtype_of, same_dtype, shape_of
from wengert.prims.conversion import convert
from wengert.prims.linalg_common import (
    adjoint,
    as_columns,
    as_rows,
    block,
    check_matrices,
    check_matrix_dtype,
    check_ranks,
    diagonal,
    each,
    finite,
    inverse_gaps,
    library,
    matmul,
    not_finite,
    padded,
    scipy_linalg,
    swap,
)
from wengert.prims.linalg_lu import solve
from wengert.prims.linalg_triangular import checked_square
from wengert.prims.reduce import argmax
from wengert.prims.shape import expand_dims, squeeze
from wengert.prims.slicing import slice
from wengert.prims.sort import take_along


class EighImplementation(enum.Enum):
    """How eigenvalues of Hermitian matrices can be computed. Here LAPACK does it, whatever is asked for."""

    QR = "qr"
    JACOBI = "jacobi"
    QDWH = "qdwh"


class EigImplementation(enum.Enum):
    """How eigenvalues of general matrices can be computed. Here LAPACK does it, whatever is asked for."""

    CUSOLVER = "cusolver"
    MAGMA = "magma"
    LAPACK = "lapack"


def check_implementation(name: str, value: Any, kind: type[enum.Enum], argument: str) -> None:
    """Raise ValueError unless the value is None or a member of the enumeration."""
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{name}: {argument} must be None or a member of {kind.__name__}, got {value!r}")


def check_subset(name: str, subset: tuple[int, int] | None, n: int) -> tuple[int, int]:
    """A range of numbers below n: all, if it is None. ValueError if it isn't one."""
    if subset is None:
        return 0, n
    first, last = (int(i) for i in subset)
    if not 0 <= first <= last <= n:
        raise ValueError(f"{name}: subset_by_index={subset} is no range (first, end) within 0 and {n}")
    return first, last


# ------------------------------------------------------------------------------------------------------- eigh


def _eigh_avals(x: ShapedArray, *, lower: bool, sort_eigenvalues: bool) -> list[ShapedArray]:
    check_matrices("eigh", x)
    return [x, ShapedArray(x.shape[:-1], dtypes.to_floating_dtype(x.dtype))]


def _eigh_impl(xp: Any, x: Any, *, lower: bool, sort_eigenvalues: bool) -> list[Any]:
    part = "L" if lower else "U"
    if finite(x):
        try:
            return list(xp.linalg.eigh(x, part))[::-1]
        except np.linalg.LinAlgError:  # one did not converge: it alone gets NaN
            pass

    def one(x: Any) -> list[Any]:
        if not finite(x):
            raise not_finite()
        return list(xp.linalg.eigh(x, part))[::-1]

    outs = _eigh_avals(ShapedArray(x.shape, x.dtype), lower=lower, sort_eigenvalues=sort_eigenvalues)
    return each(one, (2,), outs, x)


def _hermitian_tangents(v: Any, w: Any, inner: Any) -> list[Any]:
    """The changes of eigenvectors v and eigenvalues w of a matrix that changes by v @ inner @ adjoint(v)."""
    change = diagonal(inner)
    return [
        matmul(v, mul(inverse_gaps(w, inner), inner)),
        real(change) if dtype_of(change).kind == "c" else change,
    ]


def _eigh_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    outs, t = eigh_p.bind(*primals, **params), tangents[0]
    v, w = outs
    if is_zero(t):
        return outs, [Zero.of(v), Zero.of(w)]
    return outs, _hermitian_tangents(v, w, matmul(adjoint(v), matmul(t, v)))


eigh_p: Primitive = library("eigh", abstract_eval=_eigh_avals, impl=_eigh_impl, jvp=_eigh_jvp, native="eigh")


def eigh(
    x: Any,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: EighImplementation | None = None,
) -> tuple[Any, Any]:
    """Eigenvectors, as columns, and ascending eigenvalues of Hermitian matrices (..., n, n).

    The signs of eigenvectors are free: those of many small matrices that compiled code decomposes together may be
    others than those of each alone.

    Derivatives of eigenvectors are NaN where eigenvalues are equal: there the eigenvectors jump. Derivatives of
    eigenvalues are finite there, and so are those of their sums and other symmetric functions right.

    Args:
      lower: which triangle is read, unless `symmetrize_input` takes the mean of x and its adjoint first.
      sort_eigenvalues: they are sorted anyway.
      subset_by_index: a range of eigenvalues, by number, to return.
      implementation: has no effect.
    """
    check_implementation("eigh", implementation, EighImplementation, "implementation")
    x = checked_square("eigh", x, symmetrize_input)
    v, w = eigh_p.bind(x, lower=bool(lower), sort_eigenvalues=bool(sort_eigenvalues))
    if subset_by_index is None:
        return v, w
    *batch, n = shape_of(w)
    first, last = check_subset("eigh", subset_by_index, n)
    return block(v, (0, n), (first, last)), slice(w, [*[0] * len(batch), first], [*batch, last])


# ------------------------------------------------------------------------------------------------ tridiagonal


def _tridiagonal_avals(d: ShapedArray, e: ShapedArray) -> list[ShapedArray]:
    for i, x in enumerate((d, e)):
        check_matrix_dtype("eigh_tridiagonal", x, i, real_only=True)
    check_ranks("eigh_tridiagonal", (1, 1), (d, e))
    n = d.shape[-1]
    if not n or e.shape[-1] != n - 1:
        raise ValueError(
            f"eigh_tridiagonal takes a diagonal of n >= 1 elements and n - 1 beside it, got shapes {d.shape} and "
            f"{e.shape}"
        )
    return [d, ShapedArray((*d.shape, n), d.dtype)]


def _tridiagonal_impl(xp: Any, d: Any, e: Any) -> list[Any]:
    def one(d: Any, e: Any) -> Any:
        if not finite(d, e):
            raise not_finite()
        return scipy_linalg.eigh_tridiagonal(d, e, check_finite=False)

    return each(one, (1, 1), _tridiagonal_avals(*[ShapedArray(x.shape, x.dtype) for x in (d, e)]), d, e)


def _tridiagonal_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    d, e = primals
    dd, de = map(instantiate, tangents)
    w, v = outs = eigh_tridiagonal_p.bind(d, e)
    n = shape_of(d)[-1]
    product = mul(as_columns(dd, n), v)
    if n > 1:
        sides = as_columns(de, n)
        above = padded(mul(sides, block(v, (0, n - 1), (0, n))), (1, 0), (0, 0))
        below = padded(mul(sides, block(v, (1, n), (0, n))), (0, 1), (0, 0))
        product = add(product, add(above, below))
    return outs, _hermitian_tangents(v, w, matmul(swap(v), product))[::-1]


eigh_tridiagonal_p: Primitive = library(
    "eigh_tridiagonal",
    abstract_eval=_tridiagonal_avals,
    impl=_tridiagonal_impl,
    jvp=_tridiagonal_jvp,
    native="eigh_tridiagonal",
)


def eigh_tridiagonal(d: Any, e: Any) -> tuple[Any, Any]:
    """Ascending eigenvalues (..., n) and eigenvectors (..., n, n) of real symmetric tridiagonal matrices.

    Args:
      d: the diagonals (..., n).
      e: the elements beside them (..., n - 1).
    """
    w, v = eigh_tridiagonal_p.bind(*same_dtype("eigh_tridiagonal", d, e))
    return w, v


# -------------------------------------------------------------------------------------------------------- eig


def _eig_avals(
    x: ShapedArray, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool
) -> list[ShapedArray]:
    check_matrices("eig", x)
    dtype = dtypes.to_complex_dtype(x.dtype)
    vectors = ShapedArray(x.shape, dtype)
    wanted = compute_left_eigenvectors + compute_right_eigenvectors
    return [ShapedArray(x.shape[:-1], dtype), *[vectors] * wanted]


def _eig_impl(xp: Any, x: Any, **params: bool) -> list[Any]:
    left, right = params["compute_left_eigenvectors"], params["compute_right_eigenvectors"]

    def one(x: Any) -> Any:
        if not finite(x):
            raise not_finite()
        if not x.size:
            return []
        found = scipy_linalg.eig(x, left=left, right=right, check_finite=False)
        return found if left or right else [found]

    outs = _eig_avals(ShapedArray(x.shape, x.dtype), **params)
    if not left and finite(x):
        try:  # NumPy takes the whole stack at once, but has no left eigenvectors
            found = xp.linalg.eig(x) if right else [xp.linalg.eigvals(x)]
            return [f.astype(o.dtype) for f, o in zip(found, outs)]
        except np.linalg.LinAlgError:  # one did not converge: it alone gets NaN
            pass
    return each(one, (2,), outs, x)


def _eig_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (x,), (t,) = primals, tangents
    outs = eig_p.bind(x, **params)
    if is_zero(t) or not shape_of(x)[-1]:
        return outs, [Zero.of(o) for o in outs]
    left, right = params["compute_left_eigenvectors"], params["compute_right_eigenvectors"]
    w, *vectors = outs
    v = vectors[-1] if right else eig_p.bind(x, **{**params, "compute_right_eigenvectors": True})[-1]
    t = convert(t, dtype_of(v))
    inner = solve(v, matmul(t, v))
    changes = [diagonal(inner)]
    if left:
        u = vectors[0]
        changes.append(_eigenvector_tangent(conj(w), u, solve(u, matmul(adjoint(t), u))))
    if right:
        changes.append(_eigenvector_tangent(w, v, inner))
    return outs, changes


def _eigenvector_tangent(w: Any, v: Any, inner: Any) -> Any:
    """The change of eigenvectors that keep the norm 1, and their largest element real."""
    change = matmul(v, mul(inverse_gaps(w, inner), inner))
    axis = len(shape_of(v)) - 2
    rows = shape_of(v)[-1]
    growth = real(reduce_sum(mul(conj(v), change), (axis,)))
    sizes = add(square(real(v)), square(imag(v)))
    largest = expand_dims(argmax(sizes, axis, np.int32), (axis,))
    ratio = div(take_along(change, largest, axis), take_along(v, largest, axis))
    turn = imag(squeeze(ratio, (axis,)))
    return sub(change, mul(v, as_rows(complex(growth, turn), rows)))


eig_p: Primitive = library("eig", abstract_eval=_eig_avals, impl=_eig_impl, jvp=_eig_jvp, native="eig")


def eig(
    x: Any,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
    implementation: EigImplementation | None = None,
    use_magma: bool | None = None,
) -> list[Any]:
    """Eigenvalues of square matrices (..., n, n), then their left and right eigenvectors, as columns. Complex.

    Eigenvectors have the norm 1, and their largest element is real. With this they have derivatives where the
    eigenvalues are distinct; where some are equal, derivatives are infinite or NaN.

    Args:
      enable_eigvec_derivs, implementation, use_magma: have no effect: derivatives are there anyway.
    """
    check_implementation("eig", implementation, EigImplementation, "implementation")
    left, right = bool(compute_left_eigenvectors), bool(compute_right_eigenvectors)
    return list(
        eig_p.bind(as_operand("eig", x), compute_left_eigenvectors=left, compute_right_eigenvectors=right)
    )
