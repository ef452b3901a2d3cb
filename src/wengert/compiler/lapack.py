"""Elimination and reflections of larger matrices: calls of LAPACK, by the addresses of its routines.

LAPACK counts columns first. So operands are packed, transposed, into memory of the call's own, where it works in
place; what it found is unpacked by a nest, which puts NaN where the routine says that it failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wengert.compiler import complexes
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

BLOCK = 64  # columns that LAPACK works on at a time, for the size of its work arrays
# What its products of reflections take beside that: triangular factors of blocks of them.
FACTORS = (BLOCK + 1) * BLOCK
_LARGEST = 20_000  # rows or columns


class Stack:
    """A call of LAPACK for each matrix of a stack, as it is made."""

    def __init__(self, block: Block, batch: Sequence[int], dtype: DType):
        self.block, self.batch, self.dtype = block, tuple(batch), dtype
        self.count = math.prod(self.batch)
        self._shared: set[Buffer] = set()
        self.complex = dtype.kind == "c"
        self.real_dtype = complexes.part_dtype(dtype) if self.complex else dtype
        self.letter = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}[dtype.name]

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

    def number(self, value: float) -> complex:
        """A number of the dtype."""
        return complex(value) if self.complex else float(value)

    def call(
        self, name: str, *args: complex | str | View, reads: Sequence[View], writes: Sequence[View]
    ) -> None:
        """Append the calls.

        Args:
          name: of the routine, without the letter of the dtype.
          args: of the routine: numbers (int32, or of the dtype), letters, and memory, of which each call gets its
            part.
          reads, writes: the memory that has to be filled before, and what the routine fills.
        """
        views = [*reads, *writes]

        def given(arg: complex | str | View) -> complex | str | Part:
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
        """The value, where all is well."""
        nan = self.block.exprs.const(
            complex(np.nan, np.nan) if value.dtype.kind == "c" else np.nan, value.dtype
        )
        return self.block.op("select", fine, value, nan)


def finite(block: Block, x: Expr) -> Expr:
    """Whether a number is finite."""
    if x.dtype.kind != "c":
        return block.op("is_finite", x)
    return block.op("and", *(block.op("is_finite", part) for part in complexes.parts(block.exprs, x)))


class Checked:
    """Matrices or vectors of which some may not be finite: on that some routines do not end.

    The matrices are packed without what isn't finite, and the results of those that had it are NaN.
    """

    def __init__(self, s: Stack, *operands: Operand):
        self.s = s
        self.packed: list[View] = []
        self._finite: list[View] = []
        for operand in operands:
            operand.view()
            if operand.aval.ndim - len(s.batch) == 2:
                self.packed.append(s.packed(operand, self.cleared))
            self._finite.append(self._check(operand))

    def cleared(self, x: Expr) -> Expr:
        """A number, or zero in the place of one that isn't finite."""
        block = self.s.block
        return block.op("select", finite(block, x), x, block.exprs.const(0, x.dtype))

    def _check(self, operand: Operand) -> View:
        """Where it is stored whether all elements of each matrix, or vector, are finite."""
        block, found = self.s.block, self.s.empty(dtype=BOOL)
        axes, index = block.domain(operand.aval.shape)
        rank = operand.aval.ndim - len(self.s.batch)
        inner = [t for i in index[len(index) - rank :] for t, _ in i.terms]
        value = finite(block, operand.at(index))
        outer, within = [x for x in axes if x not in inner], [x for x in axes if x in inner]
        where = (*found.prefix, *index[: len(index) - rank])
        true = block.exprs.const(True, BOOL)
        how = (within, "and", true) if within else ()
        block.stmts.append(Nest(found, where, outer, value, *how))
        return found

    def fine(self, info: View | None, index: Sequence[Affine]) -> Expr:
        """Whether the operands were finite, and the routine says that it has done its work."""
        s = self.s
        tests = [s.load(view, *index) for view in self._finite]
        if info is not None:
            tests.append(s.succeeded(info, index))
        fine = tests[0]
        for test in tests[1:]:
            fine = s.block.op("and", fine, test)
        return fine

    def found(self, info: View | None, index: Sequence[Affine], value: Expr) -> Expr:
        """The value, or NaN."""
        return self.s.or_nan(self.fine(info, index), value)


def has(dtype: DType, *shape: int) -> bool:
    """Whether LAPACK takes matrices of the dtype and these sizes: its work arrays have int32 sizes."""
    return (
        dtype.name in ("float32", "float64", "complex64", "complex128") and max(shape, default=0) < _LARGEST
    )


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
    one, where = block.exprs.const(1, out.dtype), (*out.prefix, *index)
    if not s.complex:
        block.stmts.append(Nest(out, where, axes, value, [along], "mul", one))
        return
    product = block.op("mul", block.exprs.load(out.buffer, where), value)
    body: list[Stmt] = [
        Store(out.buffer, where, one),
        For(along, 0, n, [Store(out.buffer, where, product)], ordered=True),
    ]
    for axis in reversed(axes):
        body = [For(axis, 0, axis.size, body)]
    block.stmts += body


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
    if s.complex and conjugate_a and not transpose_a:  # for which there is no letter
        matrix = s.empty(*a.aval.shape[-2:])
        s.store(matrix, lambda *index: block.op("conj", a.at(index)))
    s.store(out, lambda *index: b.at(index))
    n = rows if left_side else columns
    side, part = "R" if left_side else "L", "U" if lower else "L"
    transposed = "C" if conjugate_a and s.complex else "T"
    how, diagonal = transposed if transpose_a else "N", "U" if unit_diagonal else "N"
    sizes = columns, rows, s.number(1), matrix, n, out, columns
    s.call("trsm", side, part, how, diagonal, *sizes, reads=[matrix, out], writes=[out])


def _factored(
    s: Stack, a: Operand, pivoting: bool
) -> tuple[View, View, Callable[[Sequence[Affine], Expr], Expr], View | None]:
    """The QR decomposition in columns and the factors of its reflections; NaN for failures; the order of the columns.

    Only of what pivots, as that does not end otherwise, is it known to be finite.
    """
    *_, rows, columns = a.aval.shape
    taus, info = s.empty(min(rows, columns)), s.empty(dtype=I32)
    if not pivoting:
        factors, size = s.packed(a), columns * BLOCK
        work = s.work(size)
        args = rows, columns, factors, rows, taus, work, size, info
        s.call("geqrf", *args, reads=[factors], writes=[factors, taus, work, info])
        return factors, taus, lambda index, value: value, None
    checked, order = Checked(s, a), s.empty(columns, dtype=I32)
    (factors,) = checked.packed
    s.store(order, lambda *index: s.block.exprs.const(0, I32))  # all columns are free to move
    size = 2 * columns + (columns + 1) * BLOCK
    work = s.work(size)
    filled = [factors, order, taus, work, info]
    more = [s.work(2 * columns, s.real_dtype)] if s.complex else []
    s.call(
        "geqp3",
        rows,
        columns,
        factors,
        rows,
        order,
        taus,
        work,
        size,
        *more,
        info,
        reads=[factors, order],
        writes=[*filled, *more],
    )
    places = s.empty(columns, dtype=I32)
    zero, one = (s.block.exprs.const(n, I32) for n in (0, 1))

    def place(*index: Affine) -> Expr:
        found = s.block.op("sub", s.load(order, *index), one)
        return s.block.op("select", checked.fine(None, index[:-1]), found, zero)

    s.store(places, place)
    return factors, taus, lambda index, value: checked.found(None, index, value), places


def qr(block: Block, outs: Sequence[View], a: Operand, pivoting: bool) -> None:
    """Q, of as many columns as there is room for, and R; the order of the columns if they were pivoted."""
    *batch, rows, columns = a.aval.shape
    s = Stack(block, batch, outs[0].dtype)
    count, width = min(rows, columns), outs[0].shape[-1]
    factors, taus, fine, order = _factored(s, a, pivoting)
    q = s.empty(width, rows)
    zero = block.exprs.const(0, outs[0].dtype)

    def reflection(*index: Affine) -> Expr:
        """An element of the first columns; zero beyond."""
        inside = ((index[-2], 0, columns),)
        return block.piecewise([(inside, lambda: s.load(factors, *index)), ((), lambda: zero)])

    s.store(q, reflection)
    _multiply(s, rows, width, count, q, taus)
    s.store(outs[0], lambda *index: fine(index[:-2], s.at(q, index)))

    def upper(*index: Affine) -> Expr:
        i, j = (block.exprs.index(x, I32) for x in index[-2:])
        value = block.op("select", block.op("le", i, j), s.at(factors, index), zero)
        return fine(index[:-2], value)

    s.store(outs[1], upper)
    if order is not None:
        s.store(outs[2], lambda *index: s.load(order, *index))


def _multiply(s: Stack, rows: int, columns: int, count: int, q: View, taus: View) -> None:
    """Put the first columns of a product of reflections in the place of these."""
    size, info = columns * BLOCK, s.empty(dtype=I32)
    work = s.work(size)
    args = rows, columns, count, q, rows, taus, work, size, info
    s.call("ungqr" if s.complex else "orgqr", *args, reads=[q, taus], writes=[q, work, info])


def factors(block: Block, outs: Sequence[View], a: Operand, pivoting: bool) -> None:
    """R, and the vectors of the reflections below it; their factors; the order of the columns if they were pivoted."""
    s = Stack(block, a.aval.shape[:-2], outs[0].dtype)
    found, taus, fine, order = _factored(s, a, pivoting)
    s.store(outs[0], lambda *index: fine(index[:-2], s.at(found, index)))
    s.store(outs[1], lambda *index: fine(index[:-1], s.load(taus, *index)))
    if order is not None:
        s.store(outs[2], lambda *index: s.load(order, *index))


def householder_product(block: Block, out: View, a: Operand, taus: Operand) -> None:
    """The first columns of a product of reflections, in place of these."""
    *batch, rows, columns = a.aval.shape
    s = Stack(block, batch, out.dtype)
    q = s.packed(a)
    _multiply(s, rows, columns, taus.aval.shape[-1], q, taus.view())
    s.store(out, lambda *index: s.at(q, index))


def reflected(
    block: Block, out: View, a: Operand, taus: Operand, c: Operand, left: bool, transpose: bool
) -> None:
    """A product of reflections times a matrix, or a matrix times the product."""
    *batch, rows, columns = c.aval.shape
    s = Stack(block, batch, out.dtype)
    v, product, scales, info = s.packed(a), s.packed(c), taus.view(), s.empty(dtype=I32)
    size = (columns if left else rows) * BLOCK + FACTORS
    work = s.work(size)
    how = ("C" if s.complex else "T") if transpose else "N"
    args = "L" if left else "R", how, rows, columns, taus.aval.shape[-1], v, a.aval.shape[-2]
    rest = scales, product, rows, work, size, info
    name = "unmqr" if s.complex else "ormqr"
    s.call(name, *args, *rest, reads=[v, scales, product], writes=[v, product, work, info])
    s.store(out, lambda *index: s.at(product, index))


# --------------------------------------------------------------------------------------- tridiagonal systems


def tridiagonal_solve(
    block: Block, out: View, diagonals: Sequence[Operand], b: Operand, perturb_singular: bool
) -> None:
    """x for the matrices with the diagonals; NaN if one is singular, unless its pivots are moved off zero."""
    *batch, n, columns = b.aval.shape
    s = Stack(block, batch, out.dtype)
    low, middle, high = (
        _copied(s, x, first, size)
        for x, first, size in zip(diagonals, (1, 0, 0), (n - 1, n, n - 1), strict=True)
    )
    x, info = s.packed(b), s.empty(dtype=I32)
    if not perturb_singular:
        lists = [low, middle, high, x]
        s.call("gtsv", n, columns, *lists, n, info, reads=lists, writes=[*lists, info])
        s.store(out, lambda *index: s.or_nan(s.succeeded(info, index[:-2]), s.at(x, index)))
        return
    beyond, pivots = s.empty(max(n - 2, 1)), s.empty(n, dtype=I32)
    lists = [low, middle, high]
    s.call("gttrf", n, *lists, beyond, pivots, info, reads=lists, writes=[*lists, beyond, pivots, info])
    middle = _off_zero(s, middle, n)
    lists = [low, middle, high, beyond, pivots, x]
    s.call("gttrs", "N", n, columns, *lists, n, info, reads=lists, writes=[x, info])
    s.store(out, lambda *index: s.at(x, index))


def _copied(s: Stack, vector: Operand, first: int, size: int) -> View:
    """Some elements of vectors, from `first` on."""
    to = s.empty(max(size, 1))
    vector.view()
    last = vector.aval.shape[-1] - 1

    def element(*index: Affine) -> Expr:
        *batch, i = index
        return vector.at((*batch, i + first if size else Affine(last)))

    s.store(to, element)
    return to


def _off_zero(s: Stack, pivots: View, n: int) -> View:
    """Pivots, those moved off zero that are less than the precision of the largest one."""
    block, dtype = s.block, s.real_dtype
    info = np.finfo(dtype)
    largest, moved = s.empty(dtype=dtype), s.empty(n)
    axes, index = block.domain(s.batch)
    along = Axis(n, "k")
    size = block.op("abs", s.load(pivots, *index, Affine.of(along)))
    smallest = block.exprs.const(info.tiny, dtype)
    block.stmts.append(Nest(largest, (*largest.prefix, *index), axes, size, [along], "max", smallest))

    def element(*index: Affine) -> Expr:
        pivot = s.load(pivots, *index)
        least = block.op("mul", s.load(largest, *index[:-1]), block.exprs.const(info.eps, dtype))
        sign = block.op("lt", complexes.parts(block.exprs, pivot)[0], block.exprs.const(0, dtype))
        off = block.op("select", sign, block.op("neg", least), least)
        off = block.op("convert", off, dtype=s.dtype)
        return block.op("select", block.op("lt", block.op("abs", pivot), least), off, pivot)

    s.store(moved, element)
    return moved
