"""Convolutions by kernels of 2 or 3 taps with fewer multiplications: minimal filtering.

m results of a kernel of r taps are values of a product of polynomials, which m + r - 1 multiplications give (Toom and
Cook; Winograd, "Arithmetic Complexity of Computations"; Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks"): the results are R ((K k) * (D d)), for m + r - 1 data d and three small matrices. Over several axes the
matrices act along each of them. The products of all tiles with all kernels are then, point by point, products of
matrices over the channels.

Of a block of tiles all this is done while it is in the cache: data to points, products, points to results.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wengert.compiler import gemm, nest, tile
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import Buffer, Expr, For, Stmt, Store
from wengert.compiler.tile import Place

if TYPE_CHECKING:
    from wengert.compiler.lower import Block

# Of filters for taps and strides, by the number of results: by how much their rounding errors, the root of their mean
# square, exceed those of the plain sum. Measured; those of several axes multiply. (4 results of 2 taps have 2.1.)
_ERRORS = {(2, 1): {2: 1.05}, (3, 1): {2: 0.8, 4: 1.7}, (3, 2): {2: 0.8, 4: 1.4}}
_ERROR = 2.0  # what is accepted
_CHANNELS = 24  # of inputs and of results, from which filters are worth their code
# Where polynomials are evaluated, besides at infinity. Their powers are exact, and as small as can be.
_WRITTEN_OUT = 2  # axes, up to which all is written out for a tile
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
_BLOCK_BYTES = 1 << 19  # of what is computed of a block of tiles
_FEWEST = 24  # tiles in a block: each reads all kernels
_PARTS = 16  # that threads share; each has memory of its own
_RATE = 0.65  # cycles for a product of vectors
_MATRICES = 2.3  # times that the matrices of filters take longer than their operations and accesses
_STREAM = 0.05  # cycles for a byte from beyond the second cache
_COPY = 1.0  # cycles for an element that is copied
_SECOND = 1 << 20


class Filter(NamedTuple):
    """Minimal filtering along one axis: `data`, `kernel` and `result` are the matrices D, K and R."""

    results: int
    points: int
    data: Any
    kernel: Any
    result: Any


@functools.cache
def minimal(results: int, taps: int, stride: int = 1) -> Filter:
    """The filter for so many results, from the values of polynomials at points.

    With a stride of 2 and 3 taps, the outer taps see every other element: they are a filter of 2 taps. The inner one
    sees the elements between.
    """
    if stride == 2:
        even = minimal(results, 2)
        data = np.zeros((even.points + results, 2 * results + 1))
        data[: even.points, ::2] = even.data
        data[even.points :, 1::2] = np.eye(results)
        kernel = np.zeros((even.points + results, 3))
        kernel[: even.points, ::2] = even.kernel
        kernel[even.points :, 1] = 1
        result = np.concatenate([even.result, np.eye(results)], 1)
        return Filter(results, even.points + results, data, kernel, result)
    points = results + taps - 1
    p = np.array(_POINTS[: points - 1])
    others = [np.delete(p, j) for j in range(points - 1)]
    scale = np.array([np.prod(p[j] - q) for j, q in enumerate(others)])
    powers = p[:, None] ** np.arange(points)
    last = np.eye(points)[-1]
    data = np.array([*(np.append(np.poly(q)[::-1], 0) for q in others), np.poly(p)[::-1]])
    kernel = np.concatenate([powers[:, :taps] / scale[:, None], last[None, -taps:]])
    result = np.concatenate([powers[:, :results], last[None, -results:]]).T
    return Filter(results, points, data, kernel, result)


@functools.cache
def untouched() -> Filter:
    """What is done along an axis whose kernel has one tap: nothing."""
    one = np.ones((1, 1))
    return Filter(1, 1, one, one, one)


class Problem(NamedTuple):
    """A convolution: numbers of images, inputs and results for each, and windows, taps and strides of the axes."""

    batch: int
    inputs: int
    outputs: int
    windows: tuple[int, ...]
    taps: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int

    def extents(self, filters: Sequence[Filter]) -> list[int]:
        """How many elements whole tiles read along each axis."""
        return [
            s * (f.results * (-(-w // f.results)) - 1) + t
            for s, t, w, f in zip(self.strides, self.taps, self.windows, filters, strict=True)
        ]


class Plan(NamedTuple):
    """Filters for the spatial axes, and what the convolution costs then, in cycles."""

    filters: tuple[Filter, ...]
    cycles: float


@functools.lru_cache(256)
def choose(problem: Problem) -> Plan | None:
    """The cheapest filters whose errors are accepted; None if there are none for such a convolution."""
    p = problem
    kinds = list(zip(p.taps, p.strides, strict=True))
    short = [n for n, t in enumerate(p.taps) if t > 1]
    if min(p.inputs, p.outputs) < _CHANNELS or not short or any(kinds[n] not in _ERRORS for n in short):
        return None
    best: Plan | None = None
    for pick in itertools.product(*(_ERRORS[kinds[n]] for n in short)):
        if math.prod(_ERRORS[kinds[n]][results] for n, results in zip(short, pick, strict=True)) > _ERROR:
            continue
        filters = [untouched()] * len(p.taps)
        for n, results in zip(short, pick, strict=True):
            filters[n] = minimal(results, *kinds[n])
        cycles = _cycles(p, filters)
        if best is None or cycles < best.cycles:
            best = Plan(tuple(filters), cycles)
    return best


def _cycles(p: Problem, filters: Sequence[Filter]) -> float:
    """What a convolution with these filters costs."""
    lanes = tile.VECTOR_BYTES // p.itemsize
    counts = _counts(p, filters)
    tiles, points = math.prod(counts), math.prod(f.points for f in filters)
    inputs, outputs = -(-p.inputs // lanes), -(-p.outputs // lanes)
    results = math.prod(f.results for f in filters)
    level, size = _blocks(p, filters)
    whole = math.prod(counts[level + 1 :]) * size
    kernels = points * p.inputs * p.outputs * p.itemsize
    values = points * (p.inputs + p.outputs) * p.itemsize
    moved = kernels * -(-tiles // whole) if kernels > _SECOND else 0.0
    if values * whole > _SECOND:
        moved += 2.0 * values * tiles
    total = _RATE * tiles * points * p.inputs * outputs + _STREAM * moved
    small = tiles * inputs * (_operations([f.data for f in filters]) / 2 + 2 * points)
    small += tiles * outputs * (_operations([f.result for f in filters]) / 2 + points + results)
    small += p.inputs * outputs * (_operations([f.kernel for f in filters]) / 2 + 2 * points)
    return total + _MATRICES * small + _COPY * p.batch * p.inputs * math.prod(p.extents(filters))


def _counts(p: Problem, filters: Sequence[Filter]) -> list[int]:
    """Images, and tiles along each axis."""
    return [p.batch, *(-(-w // f.results) for w, f in zip(p.windows, filters, strict=True))]


def _operations(matrices: Sequence[Any]) -> int:
    """How many additions and multiplications it takes to apply matrices along axes, one after the other."""
    sizes = [m.shape[1] for m in matrices]
    total = 0
    for n, m in enumerate(matrices):
        rest = math.prod(s for i, s in enumerate(sizes) if i != n)
        total += rest * (int(np.count_nonzero(m)) - m.shape[0])
        sizes[n] = m.shape[0]
    return total


def _blocks(p: Problem, filters: Sequence[Filter]) -> tuple[int, int]:
    """Into which blocks tiles fall: so many along one axis, and all along the axes after it."""
    counts = _counts(p, filters)
    values = math.prod(f.points for f in filters) * (p.inputs + p.outputs) * p.itemsize
    least = max(_FEWEST, min(math.prod(counts), p.inputs * p.outputs * p.itemsize >> 12))
    most = max(_BLOCK_BYTES // values, least)
    level, inner = 0, math.prod(counts[1:])
    # results that are cut off have code of their own, which only the axes inside of a block may need
    while (
        level + 1 < len(counts)
        and inner > most
        and (level == 0 or p.windows[level - 1] % filters[level - 1].results == 0)
    ):
        level += 1
        inner //= counts[level]
    fits = min(max(1, most // inner), counts[level])
    return level, -(-counts[level] // -(-counts[level] // fits))


class Data(NamedTuple):
    """Where an operand or the result is: strides of images or kernels, channels, spatial axes."""

    place: Place
    strides: tuple[int, ...]


class Grid(NamedTuple):
    """Vectors at regular places: how far apart they are along each spatial axis."""

    place: Place
    steps: tuple[int, ...]


def lower(block: Block, problem: Problem, plan: Plan, out: Data, x: Data, k: Data) -> None:
    """Append a convolution. Channels of x, and results in k, are neighbours in memory."""
    _Lowering(block, problem, plan, out, x, k).run()


class _Lowering:
    def __init__(self, block: Block, problem: Problem, plan: Plan, out: Data, x: Data, k: Data):
        self.block, self.exprs, self.p, self.filters = block, block.exprs, problem, plan.filters
        self.out, self.x, self.k = out, x, k
        self.dtype = out.place.buffer.dtype
        self.counts = _counts(problem, plan.filters)
        self.level, self.size = _blocks(problem, plan.filters)
        self.points = math.prod(f.points for f in plan.filters)
        self.direct = out.strides[1] == 1
        whole = math.prod(self.counts[self.level + 1 :]) * self.size
        self.width = gemm.width_of(whole, problem.outputs, self.dtype)
        pixels = 0 if self.direct else math.prod(f.results for f in plan.filters)
        # of a block: data at points, products, results
        self.parts = [
            whole * self.points * problem.inputs,
            whole * self.points * problem.outputs,
            whole * pixels * problem.outputs,
        ]
        self.staged = sum(f.points > 1 for f in plan.filters) > _WRITTEN_OUT
        if self.staged:  # and what is between the axes
            rooms = (
                (_between([f.data for f in plan.filters]), problem.inputs),
                (_between([f.result for f in plan.filters]), problem.outputs),
            )
            self.parts.append(max(values * self.piece(width) for values, width in rooms))

    def run(self) -> None:
        self.kernels = self.kernel_points()
        whole, left = divmod(self.counts[self.level], self.size)
        if left == 0 and self.level and self.p.windows[self.level - 1] % self.filters[self.level - 1].results:
            whole, left = whole - 1, self.size  # the last tiles have code of their own
        outer = [*self.counts[: self.level], whole]
        splits = [(Affine(), outer)] if whole else []
        if left:
            splits.append((Affine(whole * self.size), [*self.counts[: self.level], 1]))
        slabs = max(min(_PARTS, next((s for s in sizes if s > 1), 1)) for _, sizes in splits)
        self.memory = self.block.shared.temp([slabs * sum(self.parts)], self.dtype)
        for (start, sizes), count in zip(splits, [self.size] * bool(whole) + [left], strict=False):
            self.blocks(start, sizes, count)

    def piece(self, width: int) -> int:
        """How many of so many channels go through the axes at a time: what is between stays in the first cache."""
        lanes = tile.VECTOR_BYTES // self.dtype.itemsize
        return next((n for n in (2 * lanes, lanes) if width % n == 0), width)

    # ---- kernels

    def kernel_points(self) -> Place:
        """Kernels at points, as panels of each point's matrix. One axis after the other: that is little code, and
        kernels are few."""
        p = self.p
        buffer = self.block.shared.temp([self.points * p.inputs * p.outputs], self.dtype)
        matrices = [f.kernel for f in self.filters]
        room = Place(Buffer([_between(matrices) * self.width], self.dtype, "local", "w"), Affine())
        steps = tuple(_steps([f.points for f in self.filters], p.inputs * p.outputs))

        def panel(number: Affine, width: int) -> list[Stmt]:
            row = Axis(p.inputs, "c")
            first = number * self.width
            at = self.k.place.offset + first + Affine.of(row) * self.k.strides[1]
            source = Grid(self.k.place._replace(offset=at), self.k.strides[2:])
            to = Grid(Place(buffer, first * p.inputs + Affine.of(row) * width), steps)
            return [For(row, 0, p.inputs, self.stages(matrices, source, to, room, width), lanes=1)]

        self.block.stmts += [nest.parallelise(s) for s in gemm.parts(p.outputs, self.width, "p", panel)]
        return Place(buffer, Affine())

    def stages(self, matrices: Sequence[Any], source: Grid, to: Grid, room: Place, width: int) -> list[Stmt]:
        """Loops that apply matrices along the axes of a grid, one after the other, with what is between in `room`."""
        sizes = [m.shape[1] for m in matrices]
        order = [n for n in _order(matrices) if matrices[n].size > 1]
        found: list[Stmt] = []
        for n in order:
            sizes[n] = len(matrices[n])
            target = to
            if n != order[-1]:
                target = Grid(room, tuple(_steps(sizes, width)))
                room = room._replace(offset=room.offset + math.prod(sizes) * width)
            axes = [Axis(size, f"s{i}") if i != n and size > 1 else None for i, size in enumerate(sizes)]
            lane = Axis(width, "k")
            moves = [(axis, i) for i, axis in enumerate(axes) if axis is not None]
            at, place = (
                sum((Affine.of(axis) * g.steps[i] for axis, i in moves), g.place.offset + Affine.of(lane))
                for g in (source, target)
            )
            line = [
                self.exprs.load(source.place.buffer, (at + i * source.steps[n],))
                for i in range(matrices[n].shape[1])
            ]
            stores: list[Stmt] = [
                Store(target.place.buffer, (place + i * target.steps[n],), self.combined(row, line))
                for i, row in enumerate(matrices[n])
            ]
            body: list[Stmt] = [For(lane, 0, width, stores)]
            for axis in reversed(axes):
                if axis is not None:
                    body = [For(axis, 0, axis.size, body, lanes=1)]
            found += body
            source = target
        return found

    # ---- blocks

    def blocks(self, start: Affine, sizes: Sequence[int], count: int) -> None:
        """All blocks of `count` tiles along the axis that is cut, from tile `start` on."""
        axes = [Axis(s, f"b{n}") if s > 1 else None for n, s in enumerate(sizes)]
        where = [Affine.of(a) if a is not None else Affine() for a in axes]
        shared = next((n for n, a in enumerate(axes) if a is not None), None)
        if shared is None:
            where[-1] = start
            self.block.stmts += [nest.parallelise(s) for s in self.one(where, count, Affine())]
            return
        for first, parts, turns in _shares(sizes[shared]):
            part, turn = Axis(parts, "p"), Axis(turns, "q")
            at = [*where]
            at[shared] = Affine.of(part) * turns + (Affine.of(turn) if turns > 1 else Affine()) + first
            at[-1] = at[-1] * self.size + start
            body = self.one(at, count, Affine.of(part) * sum(self.parts))
            for axis in reversed(axes[shared + 1 :]):
                if axis is not None:
                    body = [For(axis, 0, axis.size, body, ordered=True, lanes=1)]
            if turns > 1:
                body = [For(turn, 0, turns, body, ordered=True, lanes=1)]
            loop = For(part, 0, parts, body, lanes=1)
            self.block.stmts.append(nest.parallelise(loop) if parts > 1 else loop)

    def one(self, first: list[Affine], count: int, slab: Affine) -> list[Stmt]:
        """What computes one block; `first` is the place of its first tile, in memory at `slab`."""
        n = self.level
        sizes = [1] * n + [count, *self.counts[n + 1 :]]
        first = first[: n + 1] + [Affine()] * (len(sizes) - n - 1)
        tiles, p = math.prod(sizes), self.p
        values, products = slab, slab + self.parts[0]
        found = self.data_points(first, sizes, values)
        point = Axis(self.points, "f")
        at = Affine.of(point)
        product = gemm.Product(
            Place(self.memory, products + at * (tiles * p.outputs)),
            Place(self.memory, values + at * (tiles * p.inputs)),
            self.kernels._replace(offset=at * (p.inputs * p.outputs)),
            (),
            (tiles, p.inputs, p.outputs),
            (p.outputs, 1),
            (p.inputs, 1, 0),
        )
        found.append(For(point, 0, self.points, gemm.in_panels(self.block, product, self.width), lanes=1))
        if self.direct:
            place = self.out.place
            return found + self.results(first, sizes, products, Data(place, self.out.strides), first)
        pixels = [s * f.results for s, f in zip(sizes[1:], self.filters, strict=True)]
        steps = [math.prod(pixels[i:]) * p.outputs for i in range(len(pixels) + 1)]
        place = Place(self.memory, products + self.parts[1])
        inner = Data(place, (steps[0], 1, *steps[1:]))
        found += self.results(first, sizes, products, inner, [Affine()] * len(first))
        return found + self.moved(first, sizes, inner)

    def data_points(self, first: list[Affine], sizes: list[int], to: Affine) -> list[Stmt]:
        """The data of a block at points."""
        p, tiles = self.p, math.prod(sizes)
        axes, where, number = _over(sizes)
        at = self.x.place.offset
        steps = [1, *(f.results * s for f, s in zip(self.filters, p.strides, strict=True))]
        strides = [self.x.strides[0], *self.x.strides[2:]]
        for begin, i, step, stride in zip(first, where, steps, strides, strict=True):
            at = at + (begin + i) * (step * stride)
        source = Grid(self.x.place._replace(offset=at), self.x.strides[2:])
        points = _steps([f.points for f in self.filters], tiles * p.inputs)
        target = Grid(Place(self.memory, to + number * p.inputs), tuple(points))
        room = Place(self.memory, to + sum(self.parts[:3]))
        return self.transformed(axes, [f.data for f in self.filters], source, target, room, p.inputs)

    def transformed(
        self,
        axes: Sequence[Axis],
        matrices: Sequence[Any],
        source: Grid,
        to: Grid,
        room: Place,
        width: int,
    ) -> list[Stmt]:
        """Loops over tiles that apply matrices: written out for a tile, or axis by axis if that is too much code."""
        if self.staged:
            part = self.piece(width)
            piece = Axis(width // part, "n")
            source, to = (
                g._replace(place=g.place._replace(offset=g.place.offset + Affine.of(piece) * part))
                for g in (source, to)
            )
            body = self.stages(matrices, source, to, room, part)
            for axis in reversed([*axes, piece]):
                body = [For(axis, 0, axis.size, body, ordered=True, lanes=1)]
            return body
        channel = Axis(width, "c")
        at, place = source.place.offset + Affine.of(channel), to.place.offset + Affine.of(channel)
        values = self.loads(source, at, [m.shape[1] for m in matrices])
        stores: list[Stmt] = []
        for index, value in np.ndenumerate(self.applied(matrices, values)):
            shift = sum(i * s for i, s in zip(index, to.steps, strict=True))
            stores.append(Store(to.place.buffer, (place + shift,), value))
        return _around(axes, [For(channel, 0, width, stores)])

    def results(
        self, first: list[Affine], sizes: list[int], products: Affine, out: Data, origin: list[Affine]
    ) -> list[Stmt]:
        """The results of a block, from its products; `origin` is the place of the first tile in `out`."""
        p, tiles = self.p, math.prod(sizes)
        matrices = [f.result for f in self.filters]
        points = tuple(_steps([f.points for f in self.filters], tiles * p.outputs))
        room = Place(self.memory, products + sum(self.parts[1:3]))
        found: list[Stmt] = []
        for kept, ranges in self.cuts(first, sizes):
            axes, where, number = _over(sizes, ranges)
            to = out.place.offset
            steps = [1, *(f.results for f in self.filters)]
            for begin, i, step, stride in zip(
                origin, where, steps, (out.strides[0], *out.strides[2:]), strict=True
            ):
                to = to + (begin + i) * (step * stride)
            cut = [m[:n] for m, n in zip(matrices, kept, strict=True)]
            source = Grid(Place(self.memory, products + number * p.outputs), points)
            target = Grid(out.place._replace(offset=to), out.strides[2:])
            found += self.transformed(axes, cut, source, target, room, p.outputs)
        return found

    def cuts(
        self, first: list[Affine], sizes: list[int]
    ) -> Iterator[tuple[tuple[int, ...], list[tuple[int, int]]]]:
        """Parts of a block whose tiles have as many results, the last ones fewer: how many, and which tiles."""
        choices = []
        for n, (f, windows) in enumerate(zip(self.filters, self.p.windows, strict=True), 1):
            rest = windows % f.results
            ends = first[n].is_const and first[n].const + sizes[n] == self.counts[n]
            if rest and ends:
                choices.append([(f.results, (0, sizes[n] - 1)), (rest, (sizes[n] - 1, sizes[n]))])
            else:
                choices.append([(f.results, (0, sizes[n]))])
        for picked in itertools.product(*choices):
            ranges = [(0, sizes[0]), *(r for _, r in picked)]
            if all(lo < hi for lo, hi in ranges):
                yield tuple(n for n, _ in picked), ranges

    def moved(self, first: list[Affine], sizes: list[int], inner: Data) -> list[Stmt]:
        """Copy the results of a block to where their order is another one."""
        extents = [sizes[0]]
        origin = [first[0]]
        for n, (f, windows) in enumerate(zip(self.filters, self.p.windows, strict=True), 1):
            pixels = sizes[n] * f.results
            extents.append(min(pixels, windows - first[n].const * f.results) if first[n].is_const else pixels)
            origin.append(first[n] * f.results)
        to_strides = (self.out.strides[0], *self.out.strides[2:], self.out.strides[1])
        from_strides = (inner.strides[0], *inner.strides[2:], inner.strides[1])
        extents.append(self.p.outputs)
        origin.append(Affine())
        # channels just outside of what lies side by side in the result
        order = sorted(range(len(extents)), key=lambda n: -to_strides[n])
        order.remove(len(extents) - 1)
        order.insert(max(len(order) - 1, 0), len(extents) - 1)
        axes = [Axis(e, f"{'ijklmn'[n] if n < 6 else f'i{n}'}") for n, e in enumerate(extents)]
        source, to = inner.place.offset, self.out.place.offset
        for axis, begin, a, b in zip(axes, origin, from_strides, to_strides, strict=True):
            source = source + Affine.of(axis) * a
            to = to + (Affine.of(axis) + begin) * b
        value = self.exprs.load(inner.place.buffer, (source,))
        return _around([axes[n] for n in order], [Store(self.out.place.buffer, (to,), value)])

    # ---- matrices

    def loads(self, grid: Grid, at: Affine, sizes: Sequence[int]) -> Any:
        """The elements around an offset, so many along each spatial axis."""
        found = np.empty(sizes, object)
        for index in np.ndindex(*sizes):
            shift = sum(i * s for i, s in zip(index, grid.steps, strict=True))
            found[index] = self.exprs.load(grid.place.buffer, (at + shift,))
        return found

    def applied(self, matrices: Sequence[Any], values: Any) -> Any:
        """Apply matrices along the axes of an array of expressions, those first that leave the fewest."""
        for n in _order(matrices):
            lines = np.moveaxis(values, n, 0)
            found = np.empty((len(matrices[n]), *lines.shape[1:]), object)
            for place in np.ndindex(*lines.shape[1:]):
                line = [lines[(i, *place)] for i in range(lines.shape[0])]
                for i, row in enumerate(matrices[n]):
                    found[(i, *place)] = self.combined(row, line)
            values = np.moveaxis(found, 0, n)
        return values

    def combined(self, row: Any, line: Sequence[Expr]) -> Expr:
        """The sum of values times numbers."""
        terms = sorted(
            ((float(c), v) for c, v in zip(row, line, strict=True) if c), key=lambda t: -(t[0] == 1)
        )
        total: Expr | None = None
        for c, value in terms:
            number = self.exprs.const(c, self.dtype)
            if total is None:
                total = self.exprs.op("mul", value, number)
            elif abs(c) == 1:
                total = self.exprs.op("add" if c > 0 else "sub", total, value)
            else:
                total = self.exprs.op("fma", value, number, total)
        assert total is not None
        return total


def _order(matrices: Sequence[Any]) -> list[int]:
    """In which order matrices are applied along axes: those first that leave the fewest values."""
    return sorted(range(len(matrices)), key=lambda n: matrices[n].shape[0] / matrices[n].shape[1])


def _between(matrices: Sequence[Any]) -> int:
    """How many values there are between the first and the last of the matrices."""
    sizes = [m.shape[1] for m in matrices]
    total = 0
    for n in [n for n in _order(matrices) if matrices[n].size > 1][:-1]:
        sizes[n] = len(matrices[n])
        total += math.prod(sizes)
    return total


def _steps(sizes: Sequence[int], step: int) -> list[int]:
    """How far apart neighbours are along each axis of a grid, if they are `step` along the last one."""
    return [math.prod(sizes[n + 1 :]) * step for n in range(len(sizes))]


def _shares(size: int) -> list[tuple[int, int, int]]:
    """An axis as parts that run side by side, each of some turns: pairs of both, and where they start."""
    turns = -(-size // _PARTS)
    parts = size // turns
    found = [(0, parts, turns)]
    if size > parts * turns:
        found.append((parts * turns, 1, size - parts * turns))
    return found


def _over(
    sizes: Sequence[int], ranges: Sequence[tuple[int, int]] | None = None
) -> tuple[list[Axis], list[Affine], Affine]:
    """Axes over the tiles of a block, or a part of them; the place of a tile, and its number in the block."""
    axes: list[Axis] = []
    where: list[Affine] = []
    number = Affine()
    for n, size in enumerate(sizes):
        lo, hi = (0, size) if ranges is None else ranges[n]
        if hi - lo > 1:
            axes.append(Axis(hi - lo, f"t{n}"))
            where.append(Affine.of(axes[-1]) + lo)
        else:
            where.append(Affine(lo))
        number = number * size + where[-1]
    return axes, where, number


def _around(axes: Sequence[Axis], body: list[Stmt]) -> list[Stmt]:
    for axis in reversed(axes):
        body = [For(axis, 0, axis.size, body)]
    return body
