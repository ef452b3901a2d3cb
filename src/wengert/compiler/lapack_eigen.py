"""Eigenvalues, singular values, and reductions to simpler forms: calls of LAPACK, by the addresses of its routines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.compiler import complexes
from wengert.compiler.affine import Affine
from wengert.compiler.lapack import BLOCK, FACTORS, Checked, Stack
from wengert.compiler.loops import I32, Expr, View

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand


# ---------------------------------------------------------------------------------------- Hermitian matrices


def eigh(block: Block, outs: Sequence[View], a: Operand, lower: bool) -> None:
    """Eigenvectors and eigenvalues of Hermitian matrices."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, outs[0].dtype)
    checked = Checked(s, a)
    (v,) = checked.packed
    w, info = s.empty(n, dtype=s.real_dtype), s.empty(dtype=I32)
    real_size, integers = 1 + 6 * n + 2 * n * n, 3 + 5 * n
    size = (2 * n + n * n if s.complex else real_size) + n * BLOCK
    work, whole = s.work(size), s.work(integers, I32)
    real_work = [s.work(real_size, s.real_dtype)] if s.complex else []
    args: list[complex | str | View] = ["V", "L" if lower else "U", n, v, n, w, work, size]
    if s.complex:
        args += [real_work[0], real_size]
    args += [whole, integers, info]
    name = "heevd" if s.complex else "syevd"
    s.call(name, *args, reads=[v], writes=[v, w, work, *real_work, whole, info])
    s.store(outs[0], lambda *index: checked.found(info, index[:-2], s.at(v, index)))
    s.store(outs[1], lambda *index: checked.found(info, index[:-1], s.load(w, *index)))


def eigh_tridiagonal(block: Block, outs: Sequence[View], d: Operand, e: Operand) -> None:
    """Eigenvalues and eigenvectors of real symmetric tridiagonal matrices, by divide and conquer."""
    *batch, n = d.aval.shape
    s = Stack(block, batch, outs[0].dtype)
    checked = Checked(s, d, e) if n > 1 else Checked(s, d)
    w, beside, v, info = s.empty(n), s.empty(max(n - 1, 1)), s.empty(n, n), s.empty(dtype=I32)
    s.store(w, lambda *index: checked.cleared(d.at(index)))
    if n > 1:
        s.store(beside, lambda *index: checked.cleared(e.at(index)))
    else:
        s.store(beside, lambda *index: block.exprs.const(0, s.dtype))
    size, integers = 1 + 4 * n + n * n, 3 + 5 * n
    work, whole = s.work(size), s.work(integers, I32)
    args = n, w, beside, v, n, work, size, whole, integers, info
    s.call("stevd", "V", *args, reads=[w, beside], writes=[w, beside, v, work, whole, info])
    s.store(outs[0], lambda *index: checked.found(info, index[:-1], s.load(w, *index)))
    s.store(outs[1], lambda *index: checked.found(info, index[:-2], s.at(v, index)))


def tridiagonal(block: Block, outs: Sequence[View], a: Operand, lower: bool) -> None:
    """The reduction of Hermitian matrices: reflections, the diagonal, what is beside it, factors of reflections."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, outs[0].dtype)
    checked = Checked(s, a)
    (found,) = checked.packed
    less, info, size = max(n - 1, 1), s.empty(dtype=I32), n * BLOCK
    d, e = s.empty(n, dtype=s.real_dtype), s.empty(less, dtype=s.real_dtype)
    taus, work = s.empty(less), s.work(size)
    args = "L" if lower else "U", n, found, n, d, e, taus, work, size, info
    name = "hetrd" if s.complex else "sytrd"
    s.call(name, *args, reads=[found], writes=[found, d, e, taus, work, info])
    s.store(outs[0], lambda *index: checked.found(info, index[:-2], s.at(found, index)))
    for out, view in zip(outs[1:], (d, e, taus), strict=True):
        s.store(out, lambda *index, v=view: checked.found(info, index[:-1], s.load(v, *index)))


# ------------------------------------------------------------------------------------------ general matrices


def svd(block: Block, outs: Sequence[View], a: Operand, full_matrices: bool, compute_uv: bool) -> None:
    """Singular values, and vectors if wanted, by divide and conquer."""
    *batch, rows, columns = a.aval.shape
    s = Stack(block, batch, a.aval.dtype)
    checked = Checked(s, a)
    (matrix,) = checked.packed
    least, most = min(rows, columns), max(rows, columns)
    values, info = s.empty(least, dtype=s.real_dtype), s.empty(dtype=I32)
    size = 7 * least + most + BLOCK * (least + most) + (4 * least * least if compute_uv else 0)
    work, integers = s.work(size), s.work(8 * least, I32)
    filled = [values, work, integers, info]
    real_work = []
    if s.complex:
        vectors = max(5 * least * least + 5 * least, 2 * least * (most + least) + least)
        real_work = [s.work(vectors if compute_uv else 7 * least, s.real_dtype)]
    u = vh = matrix  # which is not written as such, if there are to be none
    if compute_uv:
        u = s.empty(rows if full_matrices else least, rows)
        vh = s.empty(columns, columns if full_matrices else least)
        filled += [u, vh]
    how = "N" if not compute_uv else "A" if full_matrices else "S"
    sizes = vh.shape[-1] if compute_uv else columns
    args = how, rows, columns, matrix, rows, values, u, rows, vh, sizes, work, size
    s.call("gesdd", *args, *real_work, integers, info, reads=[matrix], writes=[*filled, *real_work, matrix])
    s.store(outs[0], lambda *index: checked.found(info, index[:-1], s.load(values, *index)))
    for out, view in zip(outs[1:], (u, vh), strict=False):
        s.store(out, lambda *index, v=view: checked.found(info, index[:-2], s.at(v, index)))


def eig(block: Block, outs: Sequence[View], a: Operand, left: bool, right: bool) -> None:
    """Eigenvalues and, if wanted, left and right eigenvectors: complex ones, also of real matrices."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, a.aval.dtype)
    checked = Checked(s, a)
    (matrix,) = checked.packed
    info, size = s.empty(dtype=I32), n * (2 * BLOCK + 6) + FACTORS
    work, values = s.work(size), [s.empty(n) for _ in range(1 if s.complex else 2)]
    vectors = [s.empty(n, n) if wanted else matrix for wanted in (left, right)]
    real_work = [s.work(2 * n, s.real_dtype)] if s.complex else []
    letters = ["V" if wanted else "N" for wanted in (left, right)]
    args: list[complex | str | View] = [*letters, n, matrix, n, *values]
    args += [vectors[0], n, vectors[1], n, work, size]
    made = [v for v, wanted in zip(vectors, (left, right), strict=True) if wanted]
    filled = [matrix, *values, *made, work, *real_work, info]
    s.call("geev", *args, *real_work, info, reads=[matrix], writes=filled)
    s.store(outs[0], lambda *index: checked.found(info, index[:-1], _joined(s, values, index)))
    for out, view in zip(outs[1:], made, strict=True):

        def element(*index: Affine, v: View = view) -> Expr:
            if s.complex:
                return checked.found(info, index[:-2], s.at(v, index))
            return checked.found(info, index[:-2], _of_pair(s, v, values[1], index))

        s.store(out, element)


def _joined(s: Stack, parts: Sequence[View], index: Sequence[Affine]) -> Expr:
    """A complex number that is stored as such, or as its two parts."""
    values = [s.load(v, *index) for v in parts]
    if s.complex:
        return values[0]
    return complexes.join(s.block.exprs, values[0], values[1], _complex(s))


def _complex(s: Stack) -> np.dtype[Any]:
    return np.dtype(np.complex64 if s.dtype.itemsize == 4 else np.complex128)


def _of_pair(s: Stack, vectors: View, imaginary: View, index: Sequence[Affine]) -> Expr:
    """An element of an eigenvector of a real matrix.

    Of a pair of complex eigenvalues, of which the first one has the positive imaginary part, LAPACK gives the real
    part of the first one's vector and then the imaginary part.
    """
    block, n = s.block, vectors.shape[-1]
    *batch, i, j = index
    zero = block.exprs.const(0, s.dtype)

    def beside(step: int) -> Expr:
        inside = ((j + step, 0, n),)
        return block.piecewise([(inside, lambda: s.at(vectors, (*batch, i, j + step))), ((), lambda: zero)])

    here, turn = s.at(vectors, index), s.load(imaginary, *batch, j)
    first, second = block.op("gt", turn, zero), block.op("lt", turn, zero)
    re = block.op("select", second, beside(-1), here)
    im = block.op("select", first, beside(1), block.op("select", second, block.op("neg", here), zero))
    return complexes.join(block.exprs, re, im, _complex(s))


def schur(block: Block, outs: Sequence[View], a: Operand) -> None:
    """Schur's form, and the vectors if there is a second result."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, a.aval.dtype)
    checked = Checked(s, a)
    (form,) = checked.packed
    vectors = s.empty(n, n) if len(outs) > 1 else form
    info, found, size = s.empty(dtype=I32), s.empty(dtype=I32), n * (BLOCK + 4) + FACTORS
    work, values = s.work(size), [s.work(n) for _ in range(1 if s.complex else 2)]
    unread = s.work(n, I32)  # nothing is selected
    args = "V" if len(outs) > 1 else "N", "N", unread, n, form, n, found, *values, vectors, n, work, size
    real_work = [s.work(n, s.real_dtype)] if s.complex else []
    filled = [form, found, *values, work, *real_work, unread, info, *[vectors] * (len(outs) > 1)]
    s.call("gees", *args, *real_work, unread, info, reads=[form], writes=filled)
    for out, view in zip(outs, (form, vectors), strict=False):
        s.store(out, lambda *index, v=view: checked.found(info, index[:-2], s.at(v, index)))


def hessenberg(block: Block, outs: Sequence[View], a: Operand) -> None:
    """The reduction to Hessenberg's form: with the vectors of the reflections below it; their factors."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, a.aval.dtype)
    checked = Checked(s, a)
    (form,) = checked.packed
    taus, info, size = s.empty(max(n - 1, 1)), s.empty(dtype=I32), n * BLOCK + FACTORS
    work = s.work(size)
    args = n, 1, n, form, n, taus, work, size, info
    s.call("gehrd", *args, reads=[form], writes=[form, taus, work, info])
    s.store(outs[0], lambda *index: checked.found(info, index[:-2], s.at(form, index)))
    s.store(outs[1], lambda *index: checked.found(info, index[:-1], s.load(taus, *index)))


def triangular_sylvester(block: Block, outs: Sequence[View], a: Operand, b: Operand, c: Operand) -> None:
    """x with a @ x + x @ b = c times a scale, for Schur's forms a and b; and the scale."""
    *batch, rows, columns = c.aval.shape
    s = Stack(block, batch, c.aval.dtype)
    checked = Checked(s, a, b, c)
    left, right, x = checked.packed
    scale, info = s.empty(dtype=s.real_dtype), s.empty(dtype=I32)
    args = "N", "N", 1, rows, columns, left, rows, right, columns, x, rows, scale, info
    s.call("trsyl", *args, reads=[left, right, x], writes=[x, scale, info])
    # it says if eigenvalues were too close and have been moved, which is no failure
    s.store(outs[0], lambda *index: checked.found(None, index[:-2], s.at(x, index)))
    s.store(outs[1], lambda *index: checked.found(None, index, s.load(scale, *index)))
