"""Lowering of scatters: loops that bring updates to computed places, in order.

The elements of one window go to different places: they are vector code, and shared among threads if there are many.
Many single updates of few places are combined in several copies of these, one for each part of the updates, and the
copies are combined in the end. How many parts there are depends on the sizes alone, so that results are the same
for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wengert.compiler.affine import Affine, Axis, Term
from wengert.compiler.loops import Const, DType, Expr, For, If, Nest, Stmt, Store, View, accumulator

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_MANY = 1 << 15  # updates from which they are divided
_PARTS = 8
_WIDE = 512  # elements of a window that are worth dividing

# The coordinates of an index of the updates, and whether the update counts.
Place: TypeAlias = "Callable[[Sequence[Affine]], tuple[Sequence[Any], Expr | None]]"


def lower_scatter(
    block: Block,
    out: View,
    operand: Operand,
    updates: Operand,
    place: Place,
    window: Sequence[int],
    combine: str | None,
) -> None:
    """Append what scatters updates, whose axes `window` run within windows."""
    axes, index = block.domain(updates.aval.shape)
    inner = {t for d in window for t, _ in index[d].terms}
    batch = [a for a in axes if a not in inner]
    within = [a for a in axes if a in inner]
    total = updates.aval.size
    dtype = out.dtype
    if (
        combine in ("add", "max", "min", "mul")
        and accumulator(dtype) == dtype
        and dtype.kind != "c"
        and total >= _MANY
        and _PARTS * math.prod(out.shape) <= total
        and not within
    ):
        _in_parts(block, out, operand, updates, place, combine, batch, index)
        return
    block.put(operand, out)
    job = _Job(block, updates, place, combine)
    block.stmts += job.loops(out, (), batch, within, index)


class _Job:
    def __init__(self, block: Block, updates: Operand, place: Place, combine: str | None):
        self.block, self.updates, self.place, self.combine = block, updates, place, combine

    def loops(
        self,
        out: View,
        first: Sequence[Affine],
        batch: Sequence[Axis],
        within: Sequence[Axis],
        index: Sequence[Affine],
    ) -> list[Stmt]:
        """Loops over the updates at `index`, into `out` at the coordinates `first` and those of the place."""
        block = self.block
        outer: list[For] = []
        wide = within[-1] if within else None
        if wide is not None and wide.size >= _WIDE and math.prod(self.updates.aval.shape) >= _MANY:
            parts = next((p for p in range(_PARTS, 1, -1) if wide.size % p == 0), 1)
            if parts > 1:  # threads take parts of all windows
                part, step = Axis(parts, "p"), Axis(wide.size // parts, wide.name)
                value: dict[Term, Affine] = {wide: Affine.of(part) * step.size + Affine.of(step)}
                index = [i.substitute(value) for i in index]
                within = [*within[:-1], step]
                outer = [For(part, 0, parts, [], parallel=True)]
        inside = self.place(index)[1]
        # the place of a window is the same for its elements
        saved, block.outer = block.outer, block.outer | set(batch)
        coordinates = self.place(index)[0] if within else None
        block.outer = saved
        if coordinates is None or not all(isinstance(c, Affine) for c in coordinates):
            coordinates = self.place(index)[0]
        where = [c if isinstance(c, Affine) else c.expr for c in coordinates]
        body: list[Stmt] = [self.store(out, (*out.prefix, *first, *where), self.updates.at(index))]
        for axis in reversed(within):
            body = [For(axis, 0, axis.size, body)]
        if inside is not None:
            body = [If(inside, body)]
        for axis in reversed(batch):
            body = [For(axis, 0, axis.size, body, ordered=True)]
        for loop in outer:
            loop.body = body
            body = [loop]
        return body

    def store(self, out: View, where: Sequence[Affine | Expr], value: Expr) -> Store:
        """The update of one element. Of complex numbers only sums are combined part by part."""
        if out.dtype.kind != "c" or self.combine in (None, "add"):
            return Store(out.buffer, where, value, self.combine)
        exprs = self.block.exprs
        known = [i for i in where if isinstance(i, Affine)]
        if len(known) == len(where):
            old: Expr = exprs.load(out.buffer, known)
        else:
            at = [exprs.index(i) if isinstance(i, Affine) else i for i in where]
            old = exprs.gather(out.buffer, at)
        assert self.combine is not None
        return Store(out.buffer, where, self.block.op(self.combine, old, value))


def _in_parts(
    block: Block,
    out: View,
    operand: Operand,
    updates: Operand,
    place: Place,
    combine: str,
    batch: list[Axis],
    index: list[Affine],
) -> None:
    """Append what combines the updates part by part."""
    dtype = out.dtype
    identity = _identity(block, combine, dtype)
    copies = block.shared.temp((_PARTS, *out.shape), dtype)
    axes, at = block.domain(copies.shape)
    block.stmts.append(Nest(View(copies), at, axes, identity))
    long = max(batch, key=lambda a: a.size)
    job = _Job(block, updates, place, combine)
    rest = long.size % _PARTS
    part, step = Axis(_PARTS, "p"), Axis(long.size // _PARTS, long.name)
    value: dict[Term, Affine] = {long: Affine.of(part) * step.size + Affine.of(step)}
    inner = [step if a is long else a for a in batch]
    body = job.loops(View(copies), (Affine.of(part),), inner, (), [i.substitute(value) for i in index])
    block.stmts.append(For(part, 0, _PARTS, body, parallel=True))
    if rest:
        last = Axis(rest, long.name)
        value = {long: Affine.of(last) + (long.size - rest)}
        inner = [last if a is long else a for a in batch]
        moved = [i.substitute(value) for i in index]
        block.stmts += job.loops(View(copies), (Affine(_PARTS - 1),), inner, (), moved)
    total = block.shared.temp(out.shape, dtype)
    axes, at = block.domain(out.shape)
    copy = block.exprs.load(copies, (Affine.of(part), *at))
    block.stmts.append(Nest(View(total), at, axes, copy, [part], combine, identity))
    both = block.op(combine, operand.at(at), block.exprs.load(total, at))
    block.stmts.append(Nest(out, (*out.prefix, *at), axes, both))


def _identity(block: Block, combine: str, dtype: DType) -> Const:
    if combine in ("add", "or", "mul", "and"):
        return block.exprs.const(combine in ("mul", "and"), dtype)
    if dtype.kind in "fV":  # bfloat16 is none of NumPy's own
        return block.exprs.const(-np.inf if combine == "max" else np.inf, dtype)
    info = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return block.exprs.const(info[combine == "min"], dtype)
