"""Small dense linear algebra as loops: decompositions of many small matrices, or of one in the body of a loop.

A kernel is written for one matrix. `over` runs it over a batch: a batch loop, whose iterations a backend runs
side by side in the lanes of vectors, each with local buffers of its own. What a kernel decides (pivots, signs) it
decides by selects, so that all lanes go the same way. Tiny matrices are written out, larger ones are loops with
bounds that move. The algorithms and their conventions are LAPACK's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from wengert.compiler import nest
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

    # ---- memory

    def array(self, dtype: DType, *shape: int) -> Buffer:
        """Memory for one matrix, which holds nothing yet."""
        return Buffer(shape, dtype, "local", "w") if self.local else self.block.shared.temp(shape, dtype)

    def at(self, buffer: Buffer, *index: Bound) -> Expr:
        """The element that is there when the expression is used."""
        return self.exprs.load(buffer, [Affine.of(i) for i in index])

    def set(self, buffer: Buffer, index: Sequence[Bound | Expr], value: Expr) -> None:
        where = [i if isinstance(i, Expr) else Affine.of(i) for i in index]
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
        """All the terms combined, from the value that changes nothing."""
        name = self.exprs.fresh_name()
        self.stmts.append(Init(name, combine, start))
        self.loop(first, end, lambda i: self.stmts.append(Accumulate(name, term(i))))
        return self.exprs.acc(name, start.dtype)

    # ---- arithmetic

    def number(self, value: Any, dtype: DType) -> Const:
        return self.exprs.const(value, dtype)

    def op(self, name: str, *args: Expr, dtype: DType | None = None) -> Expr:
        return self.exprs.op(name, *args, dtype=dtype)

    def less_product(self, x: Expr, a: Expr, b: Expr) -> Expr:
        """x - a * b."""
        return self.op("fma", self.op("neg", a), b, x)

    def inverse(self, x: Expr) -> Expr:
        return self.op("div", self.number(1, x.dtype), x)

    def is_at(self, place: Expr, i: Affine) -> Expr:
        """Whether an int32 is equal to an index."""
        return self.op("eq", place, self.exprs.index(i, I32))
