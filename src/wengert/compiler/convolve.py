"""Lowering of convolutions: sums of products over tiles, in the layout where vectors are easiest to fill.

A convolution with holes in its left operand falls into phases: results that are `lhs_dilation` apart see the same
part of the kernel, and no products with the zeros in the holes are formed. Padding is written into a copy, so that
the loops have no conditions; the copy can have another order of axes, or have elements that are a stride apart
side by side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wengert.compiler import nest, tile, winograd
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import F32, Buffer, For, Nest, Stmt, Store, View
from wengert.compiler.tile import Dim, Place, Plan, Sum
from wengert.prims.conv import Space, phases

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_COPY, _REORDER = 0.5, 4.0  # cycles for an element that is copied, and copied to another order
_CROWDED, _GAP = 1024, 64  # bytes: strides that are multiples are avoided, by gaps
_TURN = 1.1  # what it costs to add to sums in memory
_NOWHERE = Buffer((), F32, "temp", "nowhere")  # of operands that are yet to be copied
_MARGIN = 1.1  # by how much fewer multiplications have to be cheaper
_WRITTEN_OUT = 16  # taps of a kernel axis whose windows move by more than 1


class Layout(NamedTuple):
    """Where elements of an operand are: strides of its axes in the order of the specification.

    The last spatial axis may be cut: elements that are `cut` apart are then neighbours, and there are `rows` of
    them for each remainder. `low` is the position of the first element of each spatial axis.

    A kernel may be in panels, one after the other, of `panel` results each; `far` is the step from one to the next.
    """

    place: Place
    strides: tuple[int, ...]
    low: tuple[int, ...]
    cut: int = 1
    rows: int = 0
    panel: int = 0
    far: int = 0


class Sizes(NamedTuple):
    """Numbers of groups, and per group of images, results, inputs; and which operand groups cut."""

    groups: int
    batch: int
    outputs: int
    inputs: int
    by_batch: bool


def lower_conv(
    block: Block,
    out: View,
    x: Operand,
    k: Operand,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: Any,
    feature_group_count: int,
    batch_group_count: int,
    plain: bool,
) -> None:
    """Append what computes a convolution into `out`; if `plain`, as sums of products. Operands are not empty."""
    lhs, rhs, spec = dimension_numbers
    xs, ks = x.aval.shape, k.aval.shape
    groups = feature_group_count * batch_group_count
    sizes = Sizes(
        groups, xs[lhs[0]] // batch_group_count, ks[rhs[0]] // groups, ks[rhs[1]], batch_group_count > 1
    )
    spaces = [
        phases(ks[rhs[n]], out.shape[spec[n]], s, lo, b, h)
        for n, s, (lo, _), b, h in zip(
            range(2, len(lhs)), window_strides, padding, lhs_dilation, rhs_dilation, strict=True
        )
    ]
    _Lowering(block, out, x, k, (tuple(lhs), tuple(rhs), tuple(spec)), sizes).run(spaces, plain)


class _Turns(NamedTuple):
    """A plan that runs several times, and adds up."""

    turns: int
    plan: Plan
    cycles: float


class _Lowering:
    def __init__(
        self,
        block: Block,
        out: View,
        x: Operand,
        k: Operand,
        specs: tuple[tuple[int, ...], ...],
        sizes: Sizes,
    ):
        self.block, self.out, self.sizes = block, out, sizes
        self.x, self.k = x, k
        self.lhs, self.rhs, self.spec = specs
        self.space = len(self.lhs) - 2

    def run(self, spaces: Sequence[Sequence[Space]], plain: bool) -> None:
        every = list(itertools.product(*spaces))
        full = [p for p in every if all(s.taps for s in p)]
        if not full:
            self.zero()
            return
        bounds = []
        for n in range(self.space):
            lows = [p[n].start for p in full]
            highs = [
                s.start + s.stride * (s.windows - 1) + s.hole * (s.taps - 1) for s in (p[n] for p in full)
            ]
            bounds.append((min(lows), max(highs) + 1))
        natural_x, natural_k = self.natural(self.x, self.lhs), self.natural(self.k, self.rhs)
        inside = all(
            lo >= 0 and hi <= self.x.aval.shape[d] for (lo, hi), d in zip(bounds, self.lhs[2:], strict=True)
        )
        apart = plain or len(every) > 1
        if not apart and self.minimal(every[0], bounds, self.least(every[0])):
            return
        best: tuple[float, Any, Any] | None = None
        for make_x, make_k in self.layouts(full, bounds):
            x, cost_x = make_x(natural_x if inside else None)
            k, cost_k = make_k(natural_k)
            cost = cost_x + cost_k
            cost += sum(self.plan_of(self.sum(x, k, phase)).cycles for phase in full)
            if best is None or cost < best[0]:
                best = cost, x, k
        assert best is not None
        if not apart and self.minimal(every[0], bounds, best[0]):
            return
        x, k = self.placed(best[1], self.x, self.lhs, bounds), self.placed(best[2], self.k, self.rhs, None)
        sums = [self.sum(x, k, phase) for phase in full]
        plans = [self.plan_of(total) for total in sums]
        # some results see nothing but holes, or sums are added to what is there
        if len(full) < len(every) or any(p.turns > 1 for p in plans):
            self.zero()
        for total, plan in zip(sums, plans, strict=True):
            self.block.stmts += self.in_turns(total, plan)

    def least(self, phase: Sequence[Space]) -> float:
        """Cycles for the products of the plain sum alone."""
        s, lanes = self.sizes, tile.VECTOR_BYTES // self.out.dtype.itemsize
        products = s.groups * s.batch * s.outputs * s.inputs * math.prod(p.windows * p.taps for p in phase)
        return products / lanes / 2

    def minimal(self, phase: Sequence[Space], bounds: Sequence[tuple[int, int]], cycles: float) -> bool:
        """Append the convolution by minimal filtering, if that takes fewer cycles."""
        s, dtype = self.sizes, self.out.dtype
        if s.groups > 1 or dtype.kind != "f" or any(p.hole != 1 and p.taps > 1 for p in phase):
            return False
        problem = winograd.Problem(
            s.batch,
            s.inputs,
            s.outputs,
            tuple(p.windows for p in phase),
            tuple(p.taps for p in phase),
            tuple(p.stride for p in phase),
            dtype.itemsize,
        )
        plan = winograd.choose(problem)
        if plan is None or plan.cycles * _MARGIN > cycles:
            return False
        bounds = [(lo, lo + n) for (lo, _), n in zip(bounds, problem.extents(plan.filters), strict=True)]
        shapes = self.x.aval.shape, self.k.aval.shape
        inside = all(lo >= 0 and hi <= shapes[0][d] for (lo, hi), d in zip(bounds, self.lhs[2:], strict=True))
        x, k = self.natural(self.x, self.lhs) if inside else None, self.natural(self.k, self.rhs)
        if x is None or x.strides[1] != 1:
            sizes = [shapes[0][d] for d in self.lhs[:2]] + [hi - lo for lo, hi in bounds]
            strides = _strides(sizes, self.lhs, 1, dtype.itemsize)
            x = Layout(Place(_NOWHERE, Affine()), strides, tuple(lo for lo, _ in bounds))
        if k is None or k.strides[0] != 1:
            strides = _strides([shapes[1][d] for d in self.rhs], self.rhs, 0)
            k = Layout(Place(_NOWHERE, Affine()), strides, (0,) * self.space)
        x, k = self.placed(x, self.x, self.lhs, bounds), self.placed(k, self.k, self.rhs, None)
        start = sum(
            ((lo - low) * st for (lo, _), low, st in zip(bounds, x.low, x.strides[2:], strict=True)), 0
        )
        steps = self.out.buffer.strides[len(self.out.prefix) :]
        winograd.lower(
            self.block,
            problem,
            plan,
            winograd.Data(Place(self.out.buffer, self.out.offset), tuple(steps[d] for d in self.spec)),
            winograd.Data(x.place._replace(offset=x.place.offset + start), x.strides),
            winograd.Data(k.place, k.strides),
        )
        return True

    def zero(self) -> None:
        axes, index = self.block.domain(self.out.shape)
        value = self.block.exprs.const(0, self.out.dtype)
        self.block.stmts.append(Nest(self.out, (*self.out.prefix, *index), axes, value))

    def plan_of(self, total: Sum) -> _Turns:
        """How a sum is computed: at once, or turn by turn over its first axis, so that what is read stays near."""
        plan = tile.plan_of(total)
        found = _Turns(1, plan or Plan(-1, 1, (), 0.0), plan.cycles if plan is not None else math.inf)
        first = total.reduced[0] if len(total.reduced) > 1 else None
        if first is not None and first.a and first.b:
            plan = tile.plan_of(total._replace(reduced=total.reduced[1:]))
            if plan is not None and plan.cycles * first.size * _TURN < found.cycles:
                found = _Turns(first.size, plan, plan.cycles * first.size)
        return found

    def in_turns(self, total: Sum, turns: _Turns) -> list[Stmt]:
        """The loops of a sum."""
        if turns.turns == 1:
            return [nest.parallelise(s) for s in tile.loops(self.block, total, turns.plan)]
        first, axis = total.reduced[0], Axis(turns.turns, "n")
        moved = total._replace(
            a=total.a._replace(offset=total.a.offset + Affine.of(axis) * first.a),
            b=total.b._replace(offset=total.b.offset + Affine.of(axis) * first.b),
            reduced=total.reduced[1:],
        )
        body = [nest.parallelise(s) for s in tile.loops(self.block, moved, turns.plan, add=True)]
        return [For(axis, 0, axis.size, body, ordered=True, lanes=1)]

    # ---- layouts

    def natural(self, operand: Operand, spec: Sequence[int]) -> Layout | None:
        """The layout that an operand has, if its elements are at regular places in memory and of the result's dtype."""
        if operand.aval.dtype != self.out.dtype:
            return None
        _, index = self.block.domain(operand.aval.shape)
        found = self.block.strides(operand, index)
        if found is None:
            return None
        buffer, offset = found
        mine = {t: d for d, i in enumerate(index) for t, _ in i.terms}
        steps = [0] * len(index)
        outer = []
        for term, c in offset.terms:
            if term in mine:
                steps[mine[term]] = c
            else:
                outer.append((term, c))
        place = Place(buffer, Affine(offset.const, tuple(outer)))
        return Layout(place, tuple(steps[d] for d in spec), (0,) * self.space)

    def layouts(self, full: Sequence[Sequence[Space]], bounds: Sequence[tuple[int, int]]) -> list[Any]:
        """Pairs of functions that give a layout of the operands, and what it costs to bring them there."""
        nothing = Place(_NOWHERE, Affine())
        extent = [hi - lo for lo, hi in bounds]
        low = tuple(lo for lo, _ in bounds)
        x_shape, k_shape = self.x.aval.shape, self.k.aval.shape
        lanes = tile.VECTOR_BYTES // self.out.dtype.itemsize

        def x_with(minor: int | None, cut: int = 1) -> Any:
            def make(natural: Layout | None) -> tuple[Layout, float]:
                last = _minor(self.x.aval.shape, self.lhs)
                if natural is not None and cut == 1 and (minor is None or natural.strides[minor] == 1):
                    return natural, 0.0
                sizes = [x_shape[self.lhs[0]], x_shape[self.lhs[1]], *extent]
                rows = 0
                if cut > 1:
                    rows = -(-sizes[-1] // cut)
                    sizes[-1] = rows * cut
                strides = _strides(sizes, self.lhs, minor, self.out.dtype.itemsize)
                cost = (_COPY if minor in (None, last) and cut == 1 else _REORDER) * math.prod(sizes)
                return Layout(nothing, strides, low, cut, rows), cost

            return make

        def k_with(minor: int | None) -> Any:
            def make(natural: Layout | None) -> tuple[Layout, float]:
                if natural is not None and (minor is None or natural.strides[minor] == 1):
                    return natural, 0.0
                sizes = [k_shape[d] for d in self.rhs]
                cost = (_COPY if minor is None else _REORDER) * math.prod(sizes)
                return Layout(nothing, _strides(sizes, self.rhs, minor), (0,) * self.space), cost

            return make

        def k_in_panels(width: int) -> Any:
            def make(natural: Layout | None) -> tuple[Layout, float]:
                sizes = [width, *(k_shape[d] for d in self.rhs[1:])]
                cost = (_COPY if natural is not None and natural.strides[0] == 1 else _REORDER) * math.prod(
                    k_shape
                )
                layout = Layout(nothing, _strides(sizes, self.rhs, 0), (0,) * self.space)
                return layout._replace(panel=width, far=math.prod(sizes)), cost

            return make

        found = [(x_with(None), k_with(0)), (x_with(1), k_with(1))]
        for width in (lanes * 2, lanes * 4):
            if self.sizes.outputs > width and self.sizes.outputs % width == 0:
                found.append((x_with(None), k_in_panels(width)))
        last = self.space + 1
        if self.space:
            strides = {p[-1].stride for p in full}
            holes = {p[-1].hole for p in full}
            taps = {p[-1].taps for p in full}
            if len(strides) == 1:
                cut = strides.pop()
                whole = (
                    holes == {1}
                    and not any(n % cut for n in taps)
                    and all(p[-1].start % cut == low[-1] % cut for p in full)
                )
                if cut == 1 or max(taps) <= _WRITTEN_OUT or whole:
                    found.append((x_with(last, cut), k_with(None)))
            if holes == {1} and all(p[-1].step == 1 for p in full):
                found.append((x_with(last), k_with(last)))
        if self.sizes.groups > 1 and self.sizes.inputs == 1:
            found.append((x_with(1), k_with(0)))
        return found

    def placed(
        self, layout: Layout, operand: Operand, spec: Sequence[int], bounds: Sequence[tuple[int, int]] | None
    ) -> Layout:
        """The layout with the operand in it; it is copied there unless it is there."""
        if layout.place.buffer is not _NOWHERE:
            return layout
        shape = operand.aval.shape
        ranges = [(0, shape[d]) for d in spec[:2]]
        ranges += bounds if bounds is not None else [(0, shape[d]) for d in spec[2:]]
        sizes = [hi - lo for lo, hi in ranges]
        if layout.cut > 1:
            sizes[-1] = layout.rows * layout.cut
        total = max(math.prod(sizes), max(a * b for a, b in zip(sizes, layout.strides, strict=True)))
        buffer = self.block.shared.temp([total], self.out.dtype)
        found = layout._replace(place=Place(buffer, Affine()))
        _Copy(self.block, operand, spec, ranges, found).run()
        return found

    # ---- sums

    def sum(self, x: Layout, k: Layout, phase: Sequence[Space]) -> Sum:
        """The sum of products that gives the results of one phase."""
        s = self.sizes
        strides = self.out.buffer.strides[len(self.out.prefix) :]
        o = [strides[d] for d in self.spec]
        group = Dim(
            s.groups,
            s.batch * x.strides[0] if s.by_batch else s.inputs * x.strides[1],
            s.outputs // k.panel * k.far if k.panel else s.outputs * k.strides[0],
            s.outputs * o[1],
        )
        outputs = [Dim(s.outputs, 0, k.strides[0], o[1])]
        if k.panel:
            outputs = [
                Dim(s.outputs // k.panel, 0, k.far, k.panel * o[1]),
                Dim(k.panel, 0, k.strides[0], o[1]),
            ]
        axes = [group, *outputs, Dim(s.batch, x.strides[0], 0, o[0])]
        reduced = [Dim(s.inputs, x.strides[1], k.strides[1], 0)]
        taps = [(0, 0)]
        at_x = at_k = at_out = 0
        for n, space in enumerate(phase):
            dx, dk, do = x.strides[n + 2], k.strides[n + 2], o[n + 2]
            from_low = space.start - x.low[n]
            at_k += space.first * dk
            at_out += space.phase * do
            if n == self.space - 1 and x.cut > 1:
                axes.append(Dim(space.windows, 1, 0, space.every * do))
                if space.taps <= _WRITTEN_OUT:
                    where = [from_low + space.hole * u for u in range(space.taps)]
                    taps = [
                        (p % x.cut * x.rows + p // x.cut, u * space.step * dk) for u, p in enumerate(where)
                    ]
                    continue
                # whole turns through the remainders
                assert from_low % x.cut == 0, "phases have one start if taps are not written out"
                at_x += from_low // x.cut
                reduced += [
                    Dim(space.taps // x.cut, 1, x.cut * space.step * dk, 0),
                    Dim(x.cut, x.rows, space.step * dk, 0),
                ]
                continue
            axes.append(Dim(space.windows, space.stride * dx, 0, space.every * do))
            reduced.append(Dim(space.taps, space.hole * dx, space.step * dk, 0))
            at_x += from_low * dx
        return Sum(
            Place(self.out.buffer, self.out.offset + at_out),
            Place(x.place.buffer, x.place.offset + at_x),
            Place(k.place.buffer, k.place.offset + at_k),
            tile.merged(axes),
            tile.merged(reduced),
            tuple(taps),
        )


def _minor(shape: Sequence[int], spec: Sequence[int]) -> int:
    """Which axis of a specification is the innermost one in memory."""
    return spec.index(len(shape) - 1)


def _strides(
    sizes: Sequence[int], spec: Sequence[int], minor: int | None, itemsize: int = 0
) -> tuple[int, ...]:
    """Strides for axes of these sizes, in the order that they have in `spec`, but that `minor` is the innermost.

    With an itemsize, there is a gap where strides would be such that many elements share a place in the caches.
    """
    order = sorted(range(len(sizes)), key=lambda n: (n == minor, spec[n]))
    strides, step = [0] * len(sizes), 1
    for n in reversed(order):
        strides[n] = step
        step *= sizes[n]
        if itemsize and sizes[n] > 1 and step * itemsize % _CROWDED == 0:
            step += _GAP // itemsize
    return tuple(strides)


class _Copy:
    """Writes the loops that bring an operand to a layout, with zeros around it."""

    def __init__(
        self,
        block: Block,
        operand: Operand,
        spec: Sequence[int],
        ranges: list[tuple[int, int]],
        layout: Layout,
    ):
        self.block, self.operand, self.spec, self.ranges, self.layout = block, operand, spec, ranges, layout
        self.order = sorted(range(len(spec)), key=lambda n: -layout.strides[n])
        self.buffer = layout.place.buffer
        self.base = Affine()  # of the first axis

    def run(self) -> None:
        where: list[Affine] = [Affine()] * len(self.spec)
        if self.layout.panel:
            axis = Axis(self.ranges[0][1] // self.layout.panel, "p")
            self.base = Affine.of(axis) * self.layout.panel
            self.ranges[0] = (0, self.layout.panel)
            body = self.level(0, where, Affine.of(axis) * self.layout.far)
            self.block.stmts.append(nest.parallelise(For(axis, 0, axis.size, body)))
            return
        self.block.stmts += [nest.parallelise(s) for s in self.level(0, where, Affine())]

    def level(self, depth: int, where: list[Affine], offset: Affine) -> list[Stmt]:
        """The loops from the axis of number `depth` inwards; `where` is the index in the operand so far."""
        if depth == len(self.order):
            return [self.element(where, offset)]
        n = self.order[depth]
        (lo, hi), step = self.ranges[n], self.layout.strides[n]
        size = self.operand.aval.shape[self.spec[n]]
        if n == len(self.spec) - 1 and self.layout.cut > 1:
            found = []
            for rest in range(self.layout.cut):
                # positions lo + rest + cut * q
                cut, rows = self.layout.cut, self.layout.rows
                first = min(rows, max(0, -((lo + rest) // cut)))
                end = max(first, min(rows, -((lo + rest - size) // cut)))
                found += self.run_of(
                    depth, where, offset + rest * rows * step, (rows, first, end), step, (lo + rest, cut)
                )
            return found
        first = min(hi, max(lo, 0)) - lo
        end = max(first, min(hi, size) - lo)
        return self.run_of(depth, where, offset, (hi - lo, first, end), step, (lo, 1))

    def run_of(
        self,
        depth: int,
        where: list[Affine],
        offset: Affine,
        limits: tuple[int, int, int],
        step: int,
        source: tuple[int, int],
    ) -> list[Stmt]:
        """Along one axis: zeros up to `first`, elements up to `end`, zeros up to `size`."""
        size, first, end = limits
        n = self.order[depth]
        found = self.zeros(offset, first * step)
        if end - first == 1:
            at = [*where]
            at[n] = Affine(source[0] + source[1] * first)
            found += self.level(depth + 1, at, offset + first * step)
        elif end > first:
            axis = Axis(end - first, "ijklmn"[depth] if depth < 6 else f"i{depth}")
            place = Affine.of(axis) + first
            at = [*where]
            at[n] = place * source[1] + source[0]
            body = self.level(depth + 1, at, offset + place * step)
            found.append(For(axis, 0, axis.size, body))
        return found + self.zeros(offset + end * step, (size - end) * step)

    def zeros(self, offset: Affine, count: int) -> list[Stmt]:
        zero = self.block.exprs.const(0, self.buffer.dtype)
        if count == 0:
            return []
        if count == 1:
            return [Store(self.buffer, (offset,), zero)]
        axis = Axis(count, "z")
        return [For(axis, 0, count, [Store(self.buffer, (offset + Affine.of(axis),), zero)])]

    def element(self, where: list[Affine], offset: Affine) -> Stmt:
        index = [Affine()] * len(self.spec)
        for n, d in enumerate(self.spec):
            index[d] = where[n] + self.base if n == 0 else where[n]
        value = self.block.try_at(self.operand, index)
        if value is None:
            self.operand.view()
            value = self.operand.at(index)
        return Store(self.buffer, (offset,), self.block.op("convert", value, dtype=self.buffer.dtype))
