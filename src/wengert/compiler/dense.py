"""Small dense linear algebra as loops: decompositions of many small matrices, or of one in the body of a loop.

A kernel is written for one matrix. `over` runs it over a batch: a batch loop, whose iterations a backend runs
side by side in the lanes of vectors, each with local buffers of its own. What a kernel decides (pivots, signs) it
decides by selects, so that all lanes go the same way. Tiny matrices are written out, larger ones are loops with
bounds that move. The algorithms and their conventions are LAPACK's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from wengert.compiler import complexes, nest
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import (
    I32,
    Accumulate,
    Buffer,
    Const,
    DType,
    Expr,
    For,
    Init,
    Let,
    Stmt,
    Store,
    View,
)

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

LARGEST = 32  # rows and columns of matrices that are small
WRITTEN_OUT = 4  # rows and columns of matrices whose loops are written out
Bound: TypeAlias = "int | Affine"
Index: TypeAlias = "tuple[Bound, ...]"


def over(
    block: Block,
    batch: Sequence[int],
    written_out: bool,
    one: Callable[[Kernel, list[Affine]], None],
    in_lanes: bool = True,
) -> None:
    """Append what a kernel does for each index of a batch.

    Args:
      batch: the sizes of the batch axes.
      written_out: its loops become straight code.
      one: writes the kernel, given the index of the matrix.
      in_lanes: run it for several matrices at once. If not, it runs for one after the other, and its buffers, which
        may be large, are in the memory of the program.
    """
    if 0 in batch:
        return
    index, axes = [Affine()] * len(batch), []
    for n, size in enumerate(batch):
        if size != 1:
            axes.append(Axis(size, f"b{n}"))
            index[n] = Affine.of(axes[-1])
    axes = sorted(axes or [Axis(1, "b")], key=lambda a: a.size)
    kernel = Kernel(block, written_out, in_lanes)
    one(kernel, index)
    loop = For(axes[-1], 0, axes[-1].size, kernel.stmts, batch=in_lanes, ordered=not in_lanes)
    for axis in reversed(axes[:-1]):
        loop = For(axis, 0, axis.size, [loop], ordered=not in_lanes)
    block.stmts.append(nest.parallelise(loop) if in_lanes else loop)


class Kernel:
    """The statements for one matrix, as they are written."""

    def __init__(self, block: Block, written_out: bool, local: bool = True):
        self.block = block
        self.exprs = block.exprs
        self.written_out = written_out
        self.local = local
        self.stmts: list[Stmt] = []
        self._depth = 0
        self._complex: dict[
            Buffer, DType
        ] = {}  # the dtypes of arrays of complex numbers: their parts are apart

    # ---- memory

    def array(self, dtype: DType, *shape: int) -> Buffer:
        """Memory for one matrix, which holds nothing yet."""
        if dtype.kind == "c":
            parts = self.array(complexes.part_dtype(dtype), 2, *shape)
            self._complex[parts] = dtype
            return parts
        return Buffer(shape, dtype, "local", "w") if self.local else self.block.shared.temp(shape, dtype)

    def dtype(self, array: Buffer) -> DType:
        """The dtype of the elements of an array."""
        return self._complex.get(array, array.dtype)

    def at(self, buffer: Buffer, *index: Bound) -> Expr:
        """The element that is there when the expression is used."""
        where = [Affine.of(i) for i in index]
        if buffer in self._complex:
            re, im = (self.exprs.load(buffer, [Affine(n), *where]) for n in range(2))
            return complexes.join(self.exprs, re, im, self._complex[buffer])
        return self.exprs.load(buffer, where)

    def set(self, buffer: Buffer, index: Sequence[Bound | Expr], value: Expr) -> None:
        where = [i if isinstance(i, Expr) else Affine.of(i) for i in index]
        if buffer in self._complex:  # the second part may be computed from what the first one replaces
            for n, part in enumerate([self.let(p) for p in self.parts(value)]):
                self.stmts.append(Store(buffer, [Affine(n), *where], part))
            return
        self.stmts.append(Store(buffer, where, value))

    def put(self, out: View, index: Sequence[Bound | Expr], value: Expr) -> None:
        """Store an element of a result."""
        self.set(out.buffer, [*out.prefix, *index], value)

    def read(self, operand: Operand, index: Sequence[Bound]) -> Expr:
        """An element of an operand, which is computed here if it is stored nowhere."""
        where = [Affine.of(i) for i in index]
        value = self.block.try_at(operand, where)
        if value is None:
            operand.view()
            value = operand.at(where)
        return value

    def let(self, value: Expr) -> Expr:
        """The value as it is now, whatever is stored later."""
        if value.dtype.kind == "c":
            re, im = (self.let(part) for part in self.parts(value))
            return complexes.join(self.exprs, re, im, value.dtype)
        name = self.exprs.fresh_name()
        self.stmts.append(Let(name, value))
        return self.exprs.acc(name, value.dtype)

    # ---- control

    def loop(self, first: Bound, end: Bound, body: Callable[[Affine], None], ordered: bool = False) -> None:
        """Run the body for first <= index < end. In any order, unless `ordered`."""
        first, end = Affine.of(first), Affine.of(end)
        if self.written_out:
            for i in range(first.const, end.const):
                body(Affine(i))
            return
        self._for(first, end, body, ordered)

    def repeat(self, count: int, body: Callable[[Affine], None]) -> None:
        """Run the body so many times, in a loop even where others are written out."""
        self._for(Affine(), Affine(count), body, True)

    def _for(self, first: Affine, end: Affine, body: Callable[[Affine], None], ordered: bool) -> None:
        lo, hi = first.bounds({})[0], end.bounds({})[1]
        if lo >= hi:
            return
        axis = Axis(hi, "ijkl"[min(self._depth, 3)])
        outer, self.stmts = self.stmts, []
        self._depth += 1
        body(Affine.of(axis))
        self._depth -= 1
        loop = For(
            axis,
            lo,
            hi,
            self.stmts,
            ordered=ordered,
            first=None if first.is_const else first,
            end=None if end.is_const else end,
        )
        self.stmts = [*outer, loop]

    def total(
        self, combine: str, start: Const, first: Bound, end: Bound, term: Callable[[Affine], Expr]
    ) -> Expr:
        """All the terms combined, from the value that changes nothing. Complex numbers can be added."""
        if start.dtype.kind == "c":
            assert combine == "add"
            names, zeros = [self.exprs.fresh_name() for _ in range(2)], self.parts(start)
            self.stmts += [Init(name, combine, zero) for name, zero in zip(names, zeros, strict=True)]

            def both(i: Affine) -> None:
                for name, part in zip(names, self.parts(term(i)), strict=True):
                    self.stmts.append(Accumulate(name, part))

            self.loop(first, end, both)
            re, im = (self.exprs.acc(name, zero.dtype) for name, zero in zip(names, zeros, strict=True))
            return complexes.join(self.exprs, re, im, start.dtype)
        name = self.exprs.fresh_name()
        self.stmts.append(Init(name, combine, start))
        self.loop(first, end, lambda i: self.stmts.append(Accumulate(name, term(i))))
        return self.exprs.acc(name, start.dtype)

    # ---- arithmetic

    def number(self, value: Any, dtype: DType) -> Const:
        return self.exprs.const(value, dtype)

    def op(self, name: str, *args: Expr, dtype: DType | None = None) -> Expr:
        """An operation, on complex numbers too."""
        return self._fma(*args) if name == "fma" else self.block.op(name, *args, dtype=dtype)

    def _fma(self, a: Expr, b: Expr, x: Expr) -> Expr:
        """a * b + x."""
        if x.dtype.kind != "c":
            return self.exprs.op("fma", a, b, x)
        dtype = x.dtype
        (a, c), (b, d), (x, y) = (self.parts(z) for z in (a, b, x))
        re = self.less_product(self.exprs.op("fma", a, b, x), c, d)
        im = self.exprs.op("fma", c, b, self.exprs.op("fma", a, d, y))
        return complexes.join(self.exprs, re, im, dtype)

    def parts(self, x: Expr) -> tuple[Any, Any]:
        """The real and the imaginary part."""
        return complexes.parts(self.exprs, x)

    def less_product(self, x: Expr, a: Expr, b: Expr) -> Expr:
        """x - a * b."""
        return self.op("fma", self.op("neg", a), b, x)

    def inverse(self, x: Expr) -> Expr:
        return self.op("div", self.number(1, x.dtype), x)

    def is_at(self, place: Expr, i: Affine) -> Expr:
        """Whether an int32 is equal to an index."""
        return self.op("eq", place, self.exprs.index(i, I32))
