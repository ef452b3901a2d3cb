"""Sums of products as loops over tiles: a block of results stays in vector registers while the sum is formed.

A product of two loads whose offsets are affine is summed over some axes: dot products and convolutions are of
this kind. One cost function chooses the axis that runs along the lanes of vectors, and by how much other axes
are unrolled, such that what is loaded is used several times.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from wengert._lazy import lazy_module
from wengert.compiler.affine import Affine, Axis, Term
from wengert.compiler.loops import Accumulate, Buffer, Expr, For, Init, Stmt, Store

if TYPE_CHECKING:
    from wengert.compiler.lower import Block

_umath = lazy_module("numpy._core._multiarray_umath")


def _vectors() -> tuple[int, int]:
    """Bytes of a vector register of this processor, and how many there are, as NumPy has found them out."""
    features: dict[str, bool] = getattr(_umath, "__cpu_features__", {})
    if features.get("AVX512_SKX") or features.get("X86_V4"):
        return 64, 32
    if features.get("AVX2") or features.get("X86_V3"):
        return 32, 16
    return 16, 32 if features.get("ASIMD") else 16


VECTOR_BYTES, REGISTERS = _vectors()
_UNROLLED = 50  # products in the body of the innermost loop
_COUNTS = (1, 2, 3, 4, 6, 7, 8, 12, 16)  # by how much an axis is unrolled
_CHAIN = 4.0  # cycles until the next product can be added to the same sum
_VECTOR_LOAD = (
    2.0  # loads that a vector counts for: most cross the end of a cache line, and come from farther away
)
_LINE_BYTES, _NEAR_LINES, _SECOND = (
    64,
    600,
    1 << 20,
)  # of the caches: a line, lines of the first, bytes of the second
_LINE, _FAR_LINE = 1.5, 6.0  # cycles for a line from the second cache, and from farther away
_FETCHED, _STRAY = (
    256,
    2.5,
)  # bytes in a row from which the processor fetches ahead; what lines cost otherwise
_REST = 1.03  # for blocks of another size, where one does not divide the axis: they take time to compile
_SHARED = 0.1  # the part of what could be done at the same time that takes time nevertheless
_SCATTER = 1.0  # cycles for an element that is stored apart from its neighbours


class Dim(NamedTuple):
    """An axis: its size, and by how many elements it moves the two factors and the result (0 if it is summed over)."""

    size: int
    a: int
    b: int
    out: int


class Place(NamedTuple):
    """Where a factor or the result is when all axes are 0."""

    buffer: Buffer
    offset: Affine


class Plan(NamedTuple):
    """How a sum of products is computed.

    `vector` is the number of the axis along the lanes, counting the axes that are summed over after the others,
    or -1; `blocks` are pairs of the number of an axis and by how much it is unrolled. `cycles` is the estimate.
    """

    vector: int
    lanes: int
    blocks: tuple[tuple[int, int], ...]
    cycles: float


class Sum(NamedTuple):
    """out[axes] = sum over `reduced` axes, and over `taps`, of a * b. Taps are further offsets into a and b."""

    out: Place
    a: Place
    b: Place
    axes: tuple[Dim, ...]
    reduced: tuple[Dim, ...]
    taps: tuple[tuple[int, int], ...] = ((0, 0),)


def merged(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """The same axes, where two that follow each other in all arrays have become one; those of size 1 are dropped."""
    found: list[Dim] = []
    for dim in dims:
        if dim.size == 1:
            continue
        last = found[-1] if found else None
        if last is not None and all(c == dim.size * d for c, d in zip(last[1:], dim[1:], strict=True)):
            found[-1] = Dim(last.size * dim.size, *dim[1:])
        else:
            found.append(dim)
    return tuple(found)


# ------------------------------------------------------------------------------------------------ the choice


@functools.lru_cache(512)
def choose(axes: tuple[Dim, ...], reduced: tuple[Dim, ...], taps: int, itemsize: int) -> Plan | None:
    """The cheapest way to compute a sum; None if no axis can run along vectors."""
    best: Plan | None = None
    for vector, dim in enumerate((*axes, *reduced)):
        inward = vector >= len(axes)
        if dim.a not in (0, 1) or dim.b not in (0, 1) or (inward and not dim.a * dim.b) or not dim.a + dim.b:
            continue
        for registers in (1,) if inward else (1, 2, 4, 8):
            width = VECTOR_BYTES // itemsize * registers
            lanes = min(width, 1 << (dim.size.bit_length() - 1))
            if lanes < 2 or (registers > 1 and lanes < width):
                continue
            most = best.cycles if best is not None else math.inf
            model = Model(axes, reduced, taps, itemsize, vector, lanes, registers)
            for blocks in model.candidates() if model.least < most else ():
                cycles = model.cycles(blocks, most)
                if cycles < most:
                    best, most = Plan(vector, lanes, blocks, cycles), cycles
    return best


class Model:
    """What tiles cost, with the lanes given."""

    def __init__(
        self,
        axes: tuple[Dim, ...],
        reduced: tuple[Dim, ...],
        taps: int,
        itemsize: int,
        vector: int,
        lanes: int,
        registers: int,
    ):
        dim = (*axes, *reduced)[vector]
        self.axes, self.lanes, self.registers = axes, lanes, registers
        self.inward = inward = vector >= len(axes)
        self.scattered = not inward and dim.out != 1
        self.others = [n for n, d in enumerate(axes) if n != vector and d.size > 1]
        turns = -(-dim.size // lanes)
        self.steps = taps * math.prod(d.size for d in reduced)
        self.tiles = math.prod(axes[n].size for n in self.others)
        if inward:
            self.steps = self.steps // dim.size * turns
        else:
            self.tiles *= turns
        self.least = self.tiles * self.steps * registers / 2  # cycles for the products alone
        self.factors = [_Factor(axes, reduced, dim, place, lanes, registers, itemsize) for place in (1, 2)]
        larger_a = self.factors[0].total >= self.factors[1].total
        self.outer, self.inner = self.factors if larger_a else self.factors[::-1]
        # tiles that meet the same part of the outer factor
        self.again = math.prod(axes[n].size for n in self.others if not self.outer.steps[n])
        if not inward and not self.outer.registers:
            self.again *= turns

    def candidates(self) -> list[tuple[tuple[int, int], ...]]:
        """By how much axes may be unrolled, such that sums and what is loaded for them nearly fill the registers."""
        most = REGISTERS * 3 // 4 // self.registers
        counts = {n: _counts(self.axes[n].size) for n in self.others}
        every: list[tuple[tuple[int, int], ...]] = [()]
        every += [((p, c),) for p in self.others for c in counts[p]]
        every += [
            ((p, c), (q, d))
            for p, q in itertools.combinations(self.others, 2)
            for c in counts[p]
            for d in counts[q]
            if c * d <= most
        ]
        a, b = self.factors
        found: list[tuple[int, tuple[tuple[int, int], ...]]] = []
        for blocks in every:
            block, held_a, held_b = 1, max(a.registers, 1), max(b.registers, 1)
            for n, c in blocks:
                block *= c
                held_a *= c if a.steps[n] else 1
                held_b *= c if b.steps[n] else 1
            if block <= most and self.registers * block + min(held_a, held_b) < REGISTERS:
                found.append((block, blocks))
        largest = max(block for block, _ in found)
        return [blocks for block, blocks in found if 2 * block >= largest]

    def cycles(self, blocks: tuple[tuple[int, int], ...], most: float = math.inf) -> float:
        """The estimate for all tiles; if it is at least `most`, anything that is."""
        block = self.registers
        for _, count in blocks:
            block *= count
        issued = 0.0
        for factor in self.factors:
            count = 1
            for n, c in blocks:
                count *= c if factor.steps[n] else 1
            issued += count * factor.registers * _VECTOR_LOAD if factor.registers else count
        whole, same = float(self.tiles), float(self.again)
        for n, count in blocks:
            left = -(-self.axes[n].size // count) / self.axes[n].size
            whole *= left if self.axes[n].size % count == 0 else left * _REST
            same *= 1.0 if self.outer.steps[n] else left
        # half a cycle for each product, in a loop that takes a cycle itself; two loads at once
        work = self.steps * (max(block / 2, issued / 2, _CHAIN) + min(block, issued) * _SHARED + 0.5) + 10.0
        work += block * (10.0 if self.inward else 1.0)
        if self.scattered:
            work += block / self.registers * self.lanes * _SCATTER
        if whole * work >= most:
            return whole * work
        far, near = self.outer.lines(blocks), self.inner.lines(blocks)
        if far + near <= _NEAR_LINES:
            far /= max(same, 1.0)
        moved = far * self.outer.line + near * self.inner.line
        return whole * (max(work, moved) + min(work, moved) * _SHARED)


def _counts(size: int) -> list[int]:
    """By how much an axis may be unrolled: numbers that leave little over."""
    return sorted({-(-size // -(-size // c)) for c in _COUNTS if c <= size} - {1})


class _Factor:
    """What a tile reads of a factor."""

    __slots__ = ("extents", "itemsize", "line", "registers", "steps", "total")

    def __init__(
        self,
        axes: tuple[Dim, ...],
        reduced: tuple[Dim, ...],
        vector: Dim,
        place: int,
        lanes: int,
        registers: int,
        itemsize: int,
    ):
        self.itemsize = itemsize
        self.steps = [abs(d[place]) for d in axes]
        self.registers = registers if vector[place] else 0
        self.total = itemsize * math.prod(d.size for d in (*axes, *reduced) if d[place])
        self.line = _LINE if self.total <= _SECOND else _FAR_LINE
        # windows overlap: axes that move by the same step share an extent
        self.extents: dict[int, int] = {}
        for d in reduced:
            if d[place] and d is not vector:
                self.add(self.extents, abs(d[place]), d.size)
        if vector[place]:
            self.add(self.extents, 1, lanes if vector not in reduced else vector.size)

    @staticmethod
    def add(extents: dict[int, int], step: int, count: int) -> None:
        extents[step] = extents.get(step, 1) + count - 1

    def lines(self, blocks: tuple[tuple[int, int], ...]) -> float:
        """How many cache lines a tile meets."""
        extents = dict(self.extents)
        for n, count in blocks:
            if self.steps[n]:
                self.add(extents, self.steps[n], count)
        row = extents.pop(1, 1)
        for step in sorted(extents):
            if step <= row:  # one row of memory
                row += step * (extents.pop(step) - 1)
        lines = 0.5 + row * self.itemsize / _LINE_BYTES
        if row * self.itemsize < _FETCHED and extents and max(extents) * self.itemsize > _FETCHED:
            lines *= _STRAY
        for step, count in extents.items():
            lines *= min(count, 1 + count * step * self.itemsize / _LINE_BYTES)
        return lines


# ------------------------------------------------------------------------------------------------ the loops


def plan_of(total: Sum) -> Plan | None:
    """The cheapest plan for a sum."""
    return choose(total.axes, total.reduced, len(total.taps), total.out.buffer.dtype.itemsize)


def loops(block: Block, total: Sum, plan: Plan, add: bool = False) -> list[Stmt]:
    """The loops that a plan stands for. With `add`, sums are added to what is there."""
    writer = _Writer(block, total, plan, add)
    return writer.around(writer.order(), {}, {})


class _Writer:
    """Writes the loops of one plan."""

    def __init__(self, block: Block, total: Sum, plan: Plan, add: bool):
        self.exprs = block.exprs
        self.total, self.plan, self.add = total, plan, add
        self.counts = dict(plan.blocks)
        self.vector = plan.vector if plan.vector < len(total.axes) else -1
        self.dtype = total.out.buffer.dtype

    def order(self) -> list[int]:
        """The axes, outermost first: those of both factors, then those of the larger one, which is read once."""
        axes = self.total.axes
        larger_a = self.extent("a") >= self.extent("b")

        def rank(n: int) -> int:
            dim = axes[n]
            if dim.a and dim.b:
                return 0
            return 1 if bool(dim.a) == larger_a else 2

        return sorted(range(len(axes)), key=rank)

    def extent(self, which: str) -> int:
        size = 1
        for dim in (*self.total.axes, *self.total.reduced):
            size *= dim.size if getattr(dim, which) else 1
        return size

    def around(self, order: list[int], where: dict[int, Affine], counts: dict[int, int]) -> list[Stmt]:
        """The loops over the axes of `order`; `where` and `counts` say where a block is and how long it is."""
        if not order:
            return self.tile(where, counts)
        n, rest = order[0], order[1:]
        size, count = self.total.axes[n].size, self.counts.get(n, 1)
        found: list[Stmt] = []
        whole, left = divmod(size, count)
        if whole > 1:
            axis = Axis(whole, f"{'ijklmn'[n] if n < 6 else f'i{n}'}")
            body = self.around(rest, {**where, n: Affine.of(axis) * count}, {**counts, n: count})
            found.append(For(axis, 0, whole, body, lanes=self.plan.lanes if n == self.vector else 1))
        else:
            found += self.around(rest, {**where, n: Affine()}, {**counts, n: count})
        if left:
            found += self.around(rest, {**where, n: Affine(whole * count)}, {**counts, n: left})
        return found

    def tile(self, where: dict[int, Affine], counts: dict[int, int]) -> list[Stmt]:
        """The sums of one block: started, formed, stored."""
        total = self.total
        blocked = [n for n in counts if counts[n] > 1]
        cells = list(itertools.product(*(range(counts[n]) for n in blocked)))
        names = [self.exprs.fresh_name() for _ in cells]
        zero = self.exprs.const(0, self.dtype)
        here = [{**where, **{n: where[n] + d for n, d in zip(blocked, cell, strict=True)}} for cell in cells]
        body: list[Stmt] = [Init(name, "add", zero) for name in names]
        body += self.sums(here, names)
        for cell, name in zip(here, names, strict=True):
            offset = total.out.offset
            for n, value in cell.items():
                offset = offset + value * total.axes[n].out
            result: Expr = self.exprs.acc(name, self.dtype)
            if self.add:
                result = self.exprs.op("add", self.exprs.load(total.out.buffer, (offset,)), result)
            body.append(Store(total.out.buffer, (offset,), result))
        return body

    def sums(self, here: list[dict[int, Affine]], names: list[str]) -> list[Stmt]:
        """The loops over the axes that are summed over; the innermost ones are written out where that is short."""
        total, exprs = self.total, self.exprs
        reduced = list(enumerate(total.reduced))
        inward = self.plan.vector - len(total.axes)
        taps = list(total.taps)
        block = math.prod(self.counts.values())  # what is left beside whole blocks has loops like theirs
        while reduced and reduced[-1][0] != inward:
            dim = reduced[-1][1]
            if len(taps) * dim.size * block > _UNROLLED:
                break
            reduced.pop()
            taps = [(a + k * dim.a, b + k * dim.b) for k in range(dim.size) for a, b in taps]
        axes = {n: Axis(dim.size, f"k{n}" if n else "k") for n, dim in reduced}
        body: list[Stmt] = []
        for tap_a, tap_b in taps:
            for cell, name in zip(here, names, strict=True):
                values = []
                for place, which, tap in ((total.a, "a", tap_a), (total.b, "b", tap_b)):
                    parts: list[tuple[Term, int]] = list(place.offset.terms)
                    const = place.offset.const + tap
                    for n, value in cell.items():
                        step: int = getattr(total.axes[n], which)
                        const += value.const * step
                        parts += [(t, c * step) for t, c in value.terms]
                    parts += [(axes[n], getattr(dim, which)) for n, dim in reduced]
                    values.append(exprs.load(place.buffer, (Affine.sum(const, parts),)))
                body.append(Accumulate(name, exprs.op("mul", *values)))
        for n, dim in reversed(reduced):
            if n != inward:
                body = [For(axes[n], 0, dim.size, body, lanes=1)]
        if inward >= 0:
            body = [For(axes[inward], 0, total.reduced[inward].size, body, lanes=self.plan.lanes)]
        return body
