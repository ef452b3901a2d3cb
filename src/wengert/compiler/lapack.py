"""Decompositions of larger matrices: calls of LAPACK, through addresses of its routines, without a way to Python.

LAPACK counts columns first. So operands are packed, transposed, into memory of the call's own, where it works in
place; what it found is unpacked by a nest, which puts NaN where the routine says that it failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import (
    BOOL,
    I32,
    I64,
    Buffer,
    Call,
    DType,
    Expr,
    For,
    Fortran,
    Let,
    Nest,
    Part,
    Stmt,
    Store,
    View,
)

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_BLOCK = 64  # columns that LAPACK works on at a time, for the size of its work arrays


class Stack:
    """A call of LAPACK for each matrix of a stack, as it is made."""

    def __init__(self, block: Block, batch: Sequence[int], dtype: DType):
        self.block, self.batch, self.dtype = block, tuple(batch), dtype
        self.count = math.prod(self.batch)
        self._shared: set[Buffer] = set()
        self.letter = {"float32": "s", "float64": "d"}[dtype.name]

    # ---- memory

    def empty(self, *shape: int, dtype: DType | None = None) -> View:
        """Memory for an array for each matrix; matrices have the shape (columns, rows)."""
        return View(self.block.shared.temp((*self.batch, *shape), dtype or self.dtype))

    def work(self, size: int, dtype: DType | None = None) -> View:
        """Memory that the calls use one after the other."""
        buffer = self.block.shared.temp((max(size, 1),), dtype or self.dtype)
        self._shared.add(buffer)
        return View(buffer)

    def packed(self, operand: Operand, change: Callable[[Expr], Expr] = lambda x: x) -> View:
        """A copy of the matrices, column by column."""
        *_, rows, columns = operand.aval.shape
        to = self.empty(columns, rows)
        axes, index = self.block.domain(operand.aval.shape)
        value = self.block.try_at(operand, index)
        if value is None:
            operand.view()
            value = operand.at(index)
        *at, i, j = index
        self.block.stmts.append(Nest(to, (*to.prefix, *at, j, i), axes, change(value)))
        return to

    def store(self, out: View, element: Callable[..., Expr]) -> None:
        """Append a nest that stores the value of a function of the index."""
        axes, index = self.block.domain(out.shape)
        self.block.stmts.append(Nest(out, (*out.prefix, *index), axes, element(*index)))

    def load(self, view: View, *index: Affine) -> Expr:
        return self.block.exprs.load(view.buffer, (*view.prefix, *index))

    def at(self, view: View, index: Sequence[Affine]) -> Expr:
        """The element of matrices that are in columns, at batch indices, row and column."""
        *batch, i, j = index
        return self.load(view, *batch, j, i)

    # ---- calls

    def call(
        self, name: str, *args: float | str | View, reads: Sequence[View], writes: Sequence[View]
    ) -> None:
        """Append the calls.

        Args:
          args: of the routine: numbers (int32, or of the dtype), letters, and memory, of which each call gets its
            part.
          reads, writes: the memory that has to be filled before, and what the routine fills.
        """
        views = [*reads, *writes]

        def given(arg: float | str | View) -> float | str | Part:
            if not isinstance(arg, View):
                return arg
            shared = not self.batch or arg.buffer in self._shared
            return Part(views.index(arg), 0 if shared else math.prod(arg.shape[len(self.batch) :]))

        routine = Fortran(self.letter + name, self.count, tuple(given(a) for a in args))
        self.block.stmts.append(Call("fortran", reads, writes, routine))

    def succeeded(self, info: View, index: Sequence[Affine]) -> Expr:
        """Whether a routine found what it was to find."""
        exprs = self.block.exprs
        return exprs.op("eq", self.load(info, *index), exprs.const(0, I32))

    def or_nan(self, fine: Expr, value: Expr) -> Expr:
        nan = self.block.exprs.const(np.nan, value.dtype)
        return self.block.exprs.op("select", fine, value, nan)


def has(dtype: DType, *sizes: int) -> bool:
    """Whether there is native code for matrices of the dtype: for real ones that aren't empty."""
    return dtype.name in ("float32", "float64") and 0 not in sizes


def solve(block: Block, out: View, a: Operand, b: Operand) -> None:
    """x with a @ x = b; NaN if a is singular."""
    *batch, n, columns = b.aval.shape
    s = Stack(block, batch, out.dtype)
    factors, x = s.packed(a), s.packed(b)
    pivots, info = s.empty(n, dtype=I32), s.empty(dtype=I32)
    s.call(
        "gesv",
        n,
        columns,
        factors,
        n,
        pivots,
        x,
        n,
        info,
        reads=[factors, x],
        writes=[factors, pivots, x, info],
    )
    s.store(out, lambda *index: s.or_nan(s.succeeded(info, index[:-2]), s.at(x, index)))


def factors_of(s: Stack, a: Operand) -> tuple[View, View]:
    """The LU decomposition in columns, and the pivots, counted from 1."""
    *_, rows, columns = a.aval.shape
    factors = s.packed(a)
    pivots, info = s.empty(min(rows, columns), dtype=I32), s.empty(dtype=I32)
    s.call(
        "getrf", rows, columns, factors, rows, pivots, info, reads=[factors], writes=[factors, pivots, info]
    )
    return factors, pivots


def lu(block: Block, outs: Sequence[View], a: Operand) -> None:
    """The factors, the pivots and the permutation."""
    s = Stack(block, a.aval.shape[:-2], outs[0].dtype)
    factors, pivots = factors_of(s, a)
    one = block.exprs.const(1, I32)
    s.store(outs[0], lambda *index: s.at(factors, index))
    s.store(outs[1], lambda *index: block.op("sub", s.load(pivots, *index), one))
    permutation(block, outs[2], lambda *index: s.load(outs[1], *index), outs[1].shape[-1])


def permutation(block: Block, out: View, pivots: Callable[..., Expr], count: int) -> None:
    """The permutation that `count` swaps make, one after the other."""
    *batch, size = out.shape
    exprs, last = block.exprs, block.exprs.const(size - 1, I64)
    axes, index = block.domain(out.shape)
    block.stmts.append(Nest(out, (*out.prefix, *index), axes, exprs.index(index[-1], I32)))
    outer, at = block.domain(batch)
    axis = Axis(count, "s")
    here = Affine.of(axis)
    place = exprs.op("min", exprs.op("convert", pivots(*at, here), dtype=I64), last)
    place = exprs.op("max", place, exprs.const(0, I64))
    there = [exprs.index(i) for i in (*out.prefix, *at)]
    names = [exprs.fresh_name() for _ in range(3)]
    first, second = exprs.acc(names[1], I32), exprs.acc(names[2], I32)
    place_now = exprs.acc(names[0], I64)
    body: list[Stmt] = [
        Let(names[0], place),
        Let(names[1], exprs.load(out.buffer, (*out.prefix, *at, here))),
        Let(names[2], exprs.gather(out.buffer, (*there, place_now))),
        Store(out.buffer, (*out.prefix, *at, here), second),
        Store(out.buffer, (*there, place_now), first),
    ]
    if count:
        loop = For(axis, 0, count, body, ordered=True)
        for a in reversed(outer):
            loop = For(a, 0, a.size, [loop])
        block.stmts.append(loop)


def inverse_permutation(block: Block, out: View, operand: Operand) -> None:
    """Where each number is in a permutation."""
    axes, index = block.domain(out.shape)
    last = block.exprs.const(out.shape[-1] - 1, I64)
    place = block.op("convert", operand.at(index), dtype=I64)
    place = block.op("max", block.op("min", place, last), block.exprs.const(0, I64))
    there = [block.exprs.index(i) for i in (*out.prefix, *index[:-1])]
    body: list[Stmt] = [Store(out.buffer, (*there, place), block.exprs.index(index[-1], I32))]
    for axis in reversed(axes):
        body = [For(axis, 0, axis.size, body, ordered=True)]
    block.stmts += body


def determinant(block: Block, out: View, a: Operand) -> None:
    """The product of the pivots; each swap of rows turns the sign."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, out.dtype)
    factors, pivots = factors_of(s, a)
    axes, index = block.domain(out.shape)
    along = Axis(n, "k")
    i = Affine.of(along)
    pivot = s.at(factors, [*index, i, i])
    stays = block.op("eq", s.load(pivots, *index, i), block.exprs.index(i + 1, I32))
    value = block.op("select", stays, pivot, block.op("neg", pivot))
    one = block.exprs.const(1, out.dtype)
    block.stmts.append(Nest(out, (*out.prefix, *index), axes, value, [along], "mul", one))


def cholesky(block: Block, out: View, a: Operand) -> None:
    """The lower triangular factor, zeros above it; NaN if a is not positive definite."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, out.dtype)
    factor, info = s.packed(a), s.empty(dtype=I32)
    s.call("potrf", "L", n, factor, n, info, reads=[factor], writes=[factor, info])
    zero = block.exprs.const(0, out.dtype)

    def element(*index: Affine) -> Expr:
        i, j = (block.exprs.index(x, I32) for x in index[-2:])
        value = block.op("select", block.op("ge", i, j), s.at(factor, index), zero)
        return s.or_nan(s.succeeded(info, index[:-2]), value)

    s.store(out, element)


def triangular_solve(
    block: Block,
    out: View,
    a: Operand,
    b: Operand,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> None:
    """x with op(a) @ x = b, or x @ op(a) = b. Nothing is packed: it solves the transposed system in place."""
    *batch, rows, columns = b.aval.shape
    s = Stack(block, batch, out.dtype)
    matrix = a.view()
    s.store(out, lambda *index: b.at(index))
    n = rows if left_side else columns
    side, part = "R" if left_side else "L", "U" if lower else "L"
    how, diagonal = "T" if transpose_a else "N", "U" if unit_diagonal else "N"
    sizes = columns, rows, 1.0, matrix, n, out, columns
    s.call("trsm", side, part, how, diagonal, *sizes, reads=[matrix, out], writes=[out])


def qr(block: Block, outs: Sequence[View], a: Operand) -> None:
    """Q, of as many columns as there is room for, and R."""
    *batch, rows, columns = a.aval.shape
    s = Stack(block, batch, outs[0].dtype)
    count, width = min(rows, columns), outs[0].shape[-1]
    factors, taus, info = s.packed(a), s.empty(count), s.empty(dtype=I32)
    size = max(columns, width) * _BLOCK
    work = s.work(size)
    first = rows, columns, factors, rows, taus, work, size, info
    s.call("geqrf", *first, reads=[factors], writes=[factors, taus, work, info])
    q = s.empty(width, rows)
    zero = block.exprs.const(0, outs[0].dtype)

    def reflection(*index: Affine) -> Expr:
        """An element of the first columns; zero beyond."""
        inside = ((index[-2], 0, columns),)
        return block.piecewise([(inside, lambda: s.load(factors, *index)), ((), lambda: zero)])

    s.store(q, reflection)
    second = rows, width, count, q, rows, taus, work, size, info
    s.call("orgqr", *second, reads=[q, taus], writes=[q, work, info])
    s.store(outs[0], lambda *index: s.at(q, index))

    def upper(*index: Affine) -> Expr:
        i, j = (block.exprs.index(x, I32) for x in index[-2:])
        return block.op("select", block.op("le", i, j), s.at(factors, index), zero)

    s.store(outs[1], upper)


def householder_product(block: Block, out: View, a: Operand, taus: Operand) -> None:
    """The first columns of a product of reflections, in place of these."""
    *batch, rows, columns = a.aval.shape
    s = Stack(block, batch, out.dtype)
    q, scales, info = s.packed(a), taus.view(), s.empty(dtype=I32)
    size = columns * _BLOCK
    work = s.work(size)
    args = rows, columns, taus.aval.shape[-1], q, rows, scales, work, size, info
    s.call("orgqr", *args, reads=[q, scales], writes=[q, work, info])
    s.store(out, lambda *index: s.at(q, index))


class _Checked:
    """Matrices that are packed without what isn't finite: some routines do not end on that."""

    def __init__(self, s: Stack, a: Operand):
        block = s.block
        zero = block.exprs.const(0, s.dtype)
        self.s = s
        a.view()
        self.packed = s.packed(a, lambda x: block.op("select", block.op("is_finite", x), x, zero))
        self.finite = s.empty(dtype=BOOL)
        axes, index = block.domain(a.aval.shape)
        inner = [t for i in index[-2:] for t, _ in i.terms]
        value = block.op("is_finite", a.at(index))
        outer = [x for x in axes if x not in inner]
        true = block.exprs.const(True, BOOL)
        where = (*self.finite.prefix, *index[:-2])
        within = [x for x in axes if x in inner]
        if within:
            block.stmts.append(Nest(self.finite, where, outer, value, within, "and", true))
        else:
            block.stmts.append(Nest(self.finite, where, outer, value))

    def found(self, info: View, index: Sequence[Affine], value: Expr) -> Expr:
        """The value, or NaN if the matrix was not finite or the routine did not converge."""
        fine = self.s.block.op("and", self.s.load(self.finite, *index), self.s.succeeded(info, index))
        return self.s.or_nan(fine, value)


def eigh(block: Block, outs: Sequence[View], a: Operand, lower: bool) -> None:
    """Eigenvectors and eigenvalues of symmetric matrices."""
    *batch, n, _ = a.aval.shape
    s = Stack(block, batch, outs[0].dtype)
    checked = _Checked(s, a)
    v, w, info = checked.packed, s.empty(n), s.empty(dtype=I32)
    size, integers = 1 + 6 * n + 2 * n * n + n * _BLOCK, 3 + 5 * n
    work, more = s.work(size), s.work(integers, I32)
    args = "V", "L" if lower else "U", n, v, n, w, work, size, more, integers, info
    s.call("syevd", *args, reads=[v], writes=[v, w, work, more, info])
    s.store(outs[0], lambda *index: checked.found(info, index[:-2], s.at(v, index)))
    s.store(outs[1], lambda *index: checked.found(info, index[:-1], s.load(w, *index)))


def svd(block: Block, outs: Sequence[View], a: Operand, full_matrices: bool, compute_uv: bool) -> None:
    """Singular values, and vectors if wanted, by divide and conquer."""
    *batch, rows, columns = a.aval.shape
    s = Stack(block, batch, outs[0].dtype)
    checked = _Checked(s, a)
    least, most = min(rows, columns), max(rows, columns)
    values, info = s.empty(least), s.empty(dtype=I32)
    size = 7 * least + most + _BLOCK * (least + most) + (4 * least * least if compute_uv else 0)
    work, integers = s.work(size), s.work(8 * least, I32)
    filled = [values, work, integers, info]
    u = vh = values  # which is not read, if there are to be none
    if compute_uv:
        u = s.empty(rows if full_matrices else least, rows)
        vh = s.empty(columns, columns if full_matrices else least)
        filled += [u, vh]
    how = "N" if not compute_uv else "A" if full_matrices else "S"
    matrices = checked.packed, rows, values, u, rows, vh, vh.shape[-1]
    rest = work, size, integers, info
    s.call(
        "gesdd",
        how,
        rows,
        columns,
        *matrices,
        *rest,
        reads=[checked.packed],
        writes=[*filled, checked.packed],
    )
    s.store(outs[0], lambda *index: checked.found(info, index[:-1], s.load(values, *index)))
    for out, view in zip(outs[1:], (u, vh)):
        s.store(out, lambda *index, v=view: checked.found(info, index[:-2], s.at(v, index)))
