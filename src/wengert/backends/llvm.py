"""A loop program to LLVM IR text: statements, loops, calls. `frame` does the expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.backends import pacing, scalars, sorting, transposed, ufuncs, vectorise
from wengert.backends.frame import Dependencies, Frame, memory_type
from wengert.backends.irbuilder import I8, I32, I64, PTR, VOID, Module, Value
from wengert.backends.routines import Routines
from wengert.compiler.affine import Affine, Axis, Symbol
from wengert.compiler.loops import (
    Acc,
    Accumulate,
    Branch,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    Fortran,
    Gather,
    Gemm,
    If,
    Index,
    Init,
    Let,
    Load,
    Loop,
    Op,
    Part,
    Piecewise,
    Program,
    RowSort,
    Stmt,
    Store,
    Ufunc,
    View,
    is_native,
)
from wengert.compiler.nest import work
from wengert.compiler.rewrite import reads, statements, values, walk

_REGISTER_BYTES = 16  # temporaries that LLVM may keep in registers
_FUSED = ("float32", "float64")  # whose products are added to sums in one operation
_LEAST_OUTLINE = 4  # loops and operations that are worth a function
_FEWEST_LANES = 8  # of a vector with a mask, which takes several operations if it is shorter
_FETCHED_COST = 12.0  # vector additions of an iteration, from which on memory is asked for ahead
_GRAIN_COST = 20_000.0  # vector additions that are worth handing to a thread


class Code:
    """The module text of a program, and the host calls that it makes.

    The function `program(ptr args)` takes an array of addresses: arguments, results, the arena, and then one
    number for each host call, by which the runtime knows it. It returns 0, or the status that stopped it.
    """

    __slots__ = ("host_calls", "text")

    def __init__(self, text: str, host_calls: list[Call]):
        self.text = text
        self.host_calls = host_calls


def emit(program: Program, vector_bits: int) -> Code:
    """Generate code for a program."""
    return _Emitter(program, vector_bits).run()


class _Emitter:
    def __init__(self, program: Program, vector_bits: int):
        self.program = program
        self.vector_bits = vector_bits
        self.module = Module(vector_bits)
        self.deps = Dependencies()
        # without these LLVM may cut the widest vectors in two, to spare the clock of older processors
        self.attributes = (
            f'nounwind "min-legal-vector-width"="{vector_bits}" "prefer-vector-width"="{vector_bits}"'
        )
        self.routines = Routines(self.module, self.attributes, program.body)
        self.pace = pacing.Pace()
        self.host_calls: list[Call] = []
        self.kernels = 0
        self.made: dict[str, str] = {}  # the names of functions by their text
        self.outlines = [self._outline(s) for s in program.body]
        self.repeated = Counter(self.outlines)

    def run(self) -> Code:
        function = self.module.function("program", I32, [("args", PTR)], attributes=self.attributes)
        frame = Frame(function, self.deps, self.routines, {})
        b = frame.b
        self.args = function.args[0]
        listed = [*self.program.args, *self.program.results]
        for n, buffer in enumerate(listed):
            frame.pointers[buffer] = b.load(PTR, b.gep(PTR, self.args, n))
        arena = b.load(PTR, b.gep(PTR, self.args, len(listed)))
        self.first_host = len(listed) + 1
        for temp in self.program.temps:
            if temp.nbytes <= _REGISTER_BYTES and is_native(temp.dtype):
                frame.pointers[temp] = b.alloca(memory_type(temp), max(temp.size, 1), align=16)
            else:
                from_start = b.add(b.ptrtoint(arena), b.const(I64, temp.offset))
                frame.pointers[temp] = b.inttoptr(from_start) if temp.offset else arena
        for stmt, outline in zip(self.program.body, self.outlines, strict=True):
            if outline and self.repeated[outline] > 1:
                self.called(frame, stmt)
            else:
                self.body(frame, [stmt])
        b.ret(b.const(I32, 0))
        return Code(self.module.text(), self.host_calls)

    def _outline(self, stmt: Stmt) -> tuple[Any, ...]:
        """What loops have in common whose code may be the same; nothing for those that get no function of their own."""
        if not isinstance(stmt, For) or stmt.parallel or stmt.hi <= stmt.lo or self.pace.is_long(stmt):
            return ()
        found: list[Any] = []
        started = {s.name for s in statements([stmt]) if isinstance(s, Init)}
        for s in statements([stmt]):
            if isinstance(s, Accumulate) and s.name not in started:
                return ()  # the total is needed outside
            if isinstance(s, For):
                found.append((s.lo, s.hi, s.lanes))
            else:
                found += [e.name for e in walk(*values(s)) if isinstance(e, Op)]
        return tuple(found) if len(found) >= _LEAST_OUTLINE else ()

    # ---- statements

    def body(self, frame: Frame, stmts: Sequence[Stmt]) -> None:
        """Statements at the level of the program or of a sequential loop."""
        for stmt in stmts:
            frame.scopes.append({})
            self.statement(frame, stmt)
            frame.scopes.pop()

    def statement(self, frame: Frame, stmt: Stmt) -> None:
        if isinstance(stmt, For):
            if stmt.hi > stmt.lo:
                if stmt.parallel and frame.vector is None:
                    self.parallel(frame, stmt)
                else:
                    self.long_loop(frame, stmt, *self.range(frame, stmt))
        elif isinstance(stmt, Store):
            self.store(frame, stmt)
        elif isinstance(stmt, Let):
            frame.names[stmt.name] = frame.emit(stmt.value)
        elif isinstance(stmt, Init):
            frame.combiners[stmt.name] = (stmt.combine, stmt.identity)
            frame.names[stmt.name] = self.identity(frame, stmt.name, frame.lanes if frame.vector else 1)
            frame.forget([stmt.name])
        elif isinstance(stmt, Accumulate):
            self.accumulate(frame, stmt)
        elif isinstance(stmt, If):
            self.conditional(frame, stmt)
        elif isinstance(stmt, Call):
            self.call(frame, stmt)
        elif isinstance(stmt, Loop):
            self.sequential(frame, stmt)
        else:
            assert isinstance(stmt, Branch), stmt
            self.branch(frame, stmt)

    def store(self, frame: Frame, stmt: Store) -> None:
        b = frame.b
        value = frame.emit(stmt.value)
        if all(isinstance(i, Affine) for i in stmt.index):
            offset = stmt.buffer.linear([i for i in stmt.index if isinstance(i, Affine)])
            if stmt.combine:
                old = frame.load(stmt.buffer, offset)
                value = self._combined(frame, stmt, old, value)
            frame.store(stmt.buffer, offset, value)
        else:
            total = b.const(I64, 0)
            for i, stride in zip(stmt.index, stmt.buffer.strides, strict=True):
                at = frame.emit(i) if isinstance(i, Expr) else frame.linear(i.terms, i.const)
                total = b.add(total, b.mul(at, b.const(I64, stride)))
            pointer = b.gep(memory_type(stmt.buffer), frame.pointer(stmt.buffer), total)
            if stmt.combine:
                old = b.load(memory_type(stmt.buffer), pointer)
                old = scalars.from_memory(b, stmt.buffer.dtype, old)
                value = self._combined(frame, stmt, old, value)
            b.store(frame.to_memory(stmt.buffer, value), pointer)
        frame.forget([stmt.buffer])

    def _combined(self, frame: Frame, stmt: Store, old: Value, new: Value) -> Value:
        """What a store with `combine` stores."""
        dtype = stmt.buffer.dtype
        if old.type.lanes != new.type.lanes:
            new = frame.all_lanes(new, memory_type(stmt.buffer))
        if dtype.kind == "c":  # both parts are added alike
            return frame.b.fadd(old, new)
        return scalars.apply(frame.b, stmt.combine or "", [old, new], dtype, dtype)

    def conditional(self, frame: Frame, stmt: If) -> None:
        def run() -> None:
            frame.scopes.append({})
            for s in stmt.body:
                self.statement(frame, s)
            frame.scopes.pop()

        frame.b.when(frame.emit(stmt.condition), run, [])

    # ---- accumulators

    def identity(self, frame: Frame, name: str, lanes: int) -> Value:
        _, identity = frame.combiners[name]
        value = frame.b.const(scalars.llvm_type(identity.dtype), identity.value.item())
        return frame.b.splat(value, lanes)

    def accumulate(self, frame: Frame, stmt: Accumulate) -> None:
        combine, identity = frame.combiners[stmt.name]
        total, dtype, value = frame.names[stmt.name], identity.dtype, stmt.value
        if combine == "add" and isinstance(value, Op) and value.name == "mul" and dtype.name in _FUSED:
            x, y, total = frame.same_lanes([*(frame.emit(a) for a in value.args), total])
            after = frame.b.fma(x, y, total)
        else:
            total, new = frame.same_lanes([total, frame.emit(value)])
            after = scalars.apply(frame.b, combine, [total, new], dtype, dtype)
        mask = frame.lane_mask()
        if mask is not None:  # lanes beyond the end leave the total as it is
            mask, total, after = frame.same_lanes([mask, total, after])
            after = frame.b.select(mask, after, total)
        frame.names[stmt.name] = after
        frame.forget([stmt.name])

    # ---- loops over elements

    def range(self, frame: Frame, stmt: For) -> tuple[Value, Value]:
        """Where a loop starts and ends."""
        lo, hi = (
            frame.b.const(I64, given) if moved is None else frame.linear(moved.terms, moved.const)
            for given, moved in ((stmt.lo, stmt.first), (stmt.hi, stmt.end))
        )
        return lo, hi

    def long_loop(self, frame: Frame, stmt: For, lo: Value, hi: Value) -> None:
        """A loop in place. If there is much to do in short iterations, in parts, between which the user may end it."""
        part = self.pace.between(stmt, frame.lanes if frame.vector is not None else 1)
        if part <= 1 or stmt.first is not None or stmt.end is not None:
            self.loop(frame, stmt, lo, hi)
            return
        b, carried = frame.b, _carried(stmt)
        with b.loop(lo, hi, part, [frame.names[n] for n in carried]) as loop:
            frame.names.update(zip(carried, loop.carried, strict=True))
            pacing.look(b, frame.stop)
            frame.scopes.append({})
            self.loop(frame, stmt, loop.index, b.smin(b.add(loop.index, b.const(I64, part)), hi))
            frame.scopes.pop()
            loop.next(*(frame.names[n] for n in carried))
        frame.names.update(zip(carried, loop.results, strict=True))

    def loop(self, frame: Frame, stmt: For, lo: Value, hi: Value) -> None:
        """A loop in place, as vector code if that is possible and worth it."""
        inner = {s.axis for s in statements([stmt]) if isinstance(s, For)}
        changed: set[Buffer | str] = set()
        for s in statements(stmt.body):
            if isinstance(s, Store):
                changed.add(s.buffer)
            elif isinstance(s, Let | Init | Accumulate):
                changed.add(s.name)
        self._hoist(frame, stmt, inner, changed)
        carried = _carried(stmt)
        tiles = transposed.tiles_of(stmt, self.vector_bits) if frame.vector is None else None
        lanes = 1 if frame.vector is not None else vectorise.lanes_of(stmt, self.vector_bits)
        if tiles is not None:
            column = self.pace.between(tiles.inner, tiles.lanes) > 0
            transposed.run(frame, tiles, lo, hi, self._statements, look_often=column)
        elif lanes == 1:
            self._scalar_loop(frame, stmt, lo, hi, carried)
        elif not carried and stmt.first is None and stmt.end is None and vectorise.repeatable(stmt):
            self._overlapping_loop(frame, stmt, lo, hi, lanes)
        else:
            self._masked_loop(frame, stmt, lo, hi, lanes, carried)
        frame.forget(changed)

    def _statements(self, frame: Frame, loop: For) -> None:
        for s in loop.body:
            self.statement(frame, s)

    def _hoist(self, frame: Frame, stmt: For, inner: set[Axis], changed: set[Buffer | str]) -> None:
        """Compute what doesn't change in the loop, and the addresses of its rows."""

        def varies(expr: Expr) -> bool:
            return not inner.isdisjoint(expr.axes) or not changed.isdisjoint(self.deps(expr))

        every = list(statements(stmt.body))
        roots = [e for s in every for e in values(s)]
        frame.hoist(roots, varies)
        if len(inner) > 1:
            return
        offsets = [(e.buffer, e.buffer.linear(e.index)) for e in reads(*roots) if isinstance(e, Load)]
        for s in every:
            if isinstance(s, Store) and all(isinstance(i, Affine) for i in s.index):
                offsets.append((s.buffer, s.buffer.linear([i for i in s.index if isinstance(i, Affine)])))
        for buffer, offset in offsets:
            fixed = tuple(tc for tc in offset.terms if tc[0] not in inner)
            if fixed and all(isinstance(t, Axis) or not varies(t.expr) for t, _ in fixed):
                frame.row(buffer, fixed)

    def _enter(
        self, frame: Frame, axis: Axis, index: Value, lanes: int
    ) -> tuple[Axis | None, Axis | None, int]:
        saved = (frame.innermost, frame.vector, frame.lanes)
        frame.axes[axis] = index
        frame.innermost = axis
        if lanes > 1:
            frame.vector, frame.lanes = axis, lanes
        frame.scopes.append({})
        return saved

    def _leave(self, frame: Frame, saved: tuple[Axis | None, Axis | None, int]) -> None:
        frame.scopes.pop()
        frame.innermost, frame.vector, frame.lanes = saved

    def _run(self, frame: Frame, stmt: For, index: Value, lanes: int) -> None:
        saved = self._enter(frame, stmt.axis, index, lanes)
        if self.pace.between(stmt, frame.lanes if frame.vector is not None else 1) == 1:
            pacing.look(frame.b, frame.stop)
        cells, frame.cells = frame.cells, frame.cells or (stmt.batch and lanes > 1)
        for s in stmt.body:
            self.statement(frame, s)
        frame.cells = cells
        self._leave(frame, saved)

    def _stream(self, frame: Frame, stmt: For, index: Value, lanes: int) -> None:
        """An iteration of many over consecutive memory."""
        plain = not stmt.lanes and not any(isinstance(s, For) for s in stmt.body)
        frame.ahead = set() if plain and work(stmt.body) >= _FETCHED_COST else None
        self._run(frame, stmt, index, lanes)
        frame.ahead = None

    def _scalar_loop(self, frame: Frame, stmt: For, lo: Value, hi: Value, carried: list[str]) -> None:
        totals = [frame.names[n] for n in carried]
        tile = len(carried) > 1 and all(isinstance(s, Accumulate) for s in stmt.body)
        with frame.b.loop(lo, hi, 1, totals, pointers=tile) as loop:
            frame.names.update(zip(carried, loop.carried, strict=True))
            self._run(frame, stmt, loop.index, 1)
            loop.next(*(frame.names[n] for n in carried))
        frame.names.update(zip(carried, loop.results, strict=True))

    def _overlapping_loop(self, frame: Frame, stmt: For, lo: Value, hi: Value, lanes: int) -> None:
        """The last vector overlaps the one before it, so that no rest is left."""
        b = frame.b
        whole = lo.const is not None and hi.const is not None and (hi.const - lo.const) % lanes == 0
        with b.loop(lo, hi, lanes) as loop:
            index = loop.index if whole else b.smin(loop.index, b.const(I64, stmt.hi - lanes))
            self._stream(frame, stmt, index, lanes)
            loop.next()

    def _masked_loop(
        self, frame: Frame, stmt: For, lo: Value, hi: Value, lanes: int, carried: list[str]
    ) -> None:
        """Whole vectors, then one with a mask for the rest. Totals are kept in lanes, and combined at the end."""
        b = frame.b
        before = {n: frame.names[n] for n in carried}
        starts = [self.identity(frame, n, lanes) for n in carried]
        rest = (
            b.srem(b.sub(hi, lo), b.const(I64, lanes))
            if hi.const is None or lo.const is None
            else b.const(I64, (int(hi.const) - int(lo.const)) % lanes)
        )
        main = b.sub(hi, rest)
        with b.loop(lo, main, lanes, starts) as loop:
            frame.names.update(zip(carried, loop.carried, strict=True))
            self._stream(frame, stmt, loop.index, lanes)
            loop.next(*(frame.names[n] for n in carried))
        totals = loop.results
        frame.names.update(zip(carried, totals, strict=True))
        if rest.const not in (0, 1):
            fewer = lanes  # as many as are needed, with which totals go on
            if rest.const is not None and not stmt.batch:
                fewer = min(lanes, max(_FEWEST_LANES, 1 << (int(rest.const) - 1).bit_length()))
            for name in carried:
                combine, identity = frame.combiners[name]
                narrow = scalars.reduce_lanes(b, combine, identity.dtype, frame.names[name], fewer)
                frame.names[name] = narrow
            count = b.splat(b.trunc(rest, "i32"), fewer)
            saved_mask = frame.mask
            frame.mask = b.icmp("slt", b.iota(I32.vec(fewer)), count) if rest.const != fewer else None
            self._run(frame, stmt, main, fewer)
            frame.mask = saved_mask
        for name in carried:
            combine, identity = frame.combiners[name]
            total = scalars.reduce_lanes(b, combine, identity.dtype, frame.names[name])
            frame.names[name] = scalars.apply(
                b, combine, [before[name], total], identity.dtype, identity.dtype
            )
        if rest.const == 1:
            # LLVM stores all of a number that it should narrow, if the mask is a constant with one lane
            self._run(frame, stmt, main, 1)

    # ---- parallel loops

    def parallel(self, frame: Frame, stmt: For) -> None:
        """Let the worker team run a loop over parts of its range."""
        name, context = self._function(frame, stmt)
        lanes = vectorise.lanes_of(stmt, self.vector_bits)
        per_iteration = max(self.pace.work(stmt), 1.0)
        grain = max(1, int(_GRAIN_COST / per_iteration))
        grain = (grain + lanes - 1) // lanes * lanes
        pacing.share(frame.b, name, context, stmt.hi - stmt.lo, grain, frame.stop)

    def called(self, frame: Frame, stmt: Stmt) -> None:
        """Run a loop that has many like it: its code may be there already."""
        assert isinstance(stmt, For)
        name, context = self._function(frame, stmt)
        trips = frame.b.const(I64, stmt.hi - stmt.lo)
        nowhere = frame.b.inttoptr(frame.b.const(I64, 0))  # it is too short to look whether it has to stop
        frame.b.call(name, VOID, [context, frame.b.const(I64, 0), trips, nowhere])

    def _function(self, frame: Frame, stmt: For) -> tuple[str, Value]:
        """A function that runs a part of a loop, and what it is to be given: (context, start, end, where to stop).

        Loops whose code is the same share one.
        """
        b = frame.b
        buffers, axes, names = self._free(stmt)
        captured: list[tuple[object, Value]] = [(buf, frame.pointer(buf)) for buf in buffers]
        captured += [(a, frame.axes[a]) for a in axes]
        captured += [(n, frame.names[n]) for n in names]
        context = b.alloca(I64, max(len(captured), 1))
        for n, (_, value) in enumerate(captured):
            b.store(value, b.gep(I64, context, n))
        name = f"kernel{self.kernels}"
        self.kernels += 1
        function = self.module.function(
            name,
            VOID,
            [("ctx", PTR), ("lo", I64), ("hi", I64), ("stop", PTR)],
            attributes=self.attributes,
            linkage="internal",
        )
        inner = Frame(function, self.deps, self.routines, {}, function.args[3])
        for n, (key, value) in enumerate(captured):
            loaded = inner.b.load(value.type, inner.b.gep(I64, function.args[0], n))
            if isinstance(key, Buffer):
                inner.pointers[key] = loaded
            elif isinstance(key, Axis):
                inner.axes[key] = loaded
            else:
                inner.names[str(key)] = loaded
        lo = inner.b.add(function.args[1], inner.b.const(I64, stmt.lo))
        hi = inner.b.add(function.args[2], inner.b.const(I64, stmt.lo))
        self.loop(inner, stmt, lo, hi)
        inner.b.ret()
        same = self.made.setdefault(function.body_text(), name)
        if same != name:
            self.module.remove(function)
        return same, context

    def _free(self, stmt: For) -> tuple[list[Buffer], list[Axis], list[str]]:
        """What the loop uses from outside: buffers, axes, names."""
        inner = {s.axis for s in statements([stmt]) if isinstance(s, For)}
        defined = {s.name for s in statements(stmt.body) if isinstance(s, Let | Init)}
        buffers: dict[Buffer, None] = {}
        axes: dict[Axis, None] = {}
        names: dict[str, None] = {}

        def visit(exprs: Sequence[Expr]) -> None:
            for e in walk(*exprs):
                if type(e) is Op or type(e) is Const:  # as most are
                    continue
                if isinstance(e, Load | Gather):
                    buffers[e.buffer] = None
                elif isinstance(e, Acc) and e.name not in defined:
                    names[e.name] = None
                if isinstance(e, Load | Index | Piecewise):
                    visit_terms(e.axes)

        def visit_terms(terms: object) -> None:
            for t in sorted(terms, key=lambda t: t.id):  # type: ignore[call-overload]
                if isinstance(t, Symbol):
                    visit([t.expr])
                elif t not in inner:
                    axes[t] = None

        visit([expr for s in statements([stmt]) for expr in values(s)])
        for s in statements([stmt]):
            if isinstance(s, Store):
                buffers[s.buffer] = None
                for i in s.index:
                    if isinstance(i, Affine):
                        visit_terms({t for t, _ in i.terms})
        return [b for b in buffers if b.kind != "local"], list(axes), list(names)

    # ---- sequential loops and branches

    def sequential(self, frame: Frame, stmt: Loop) -> None:
        b = frame.b
        starts = [self.view(frame, v) for v in stmt.starts]
        if stmt.trips == 0:
            frame.pointers.update(zip(stmt.slots, starts, strict=True))
            return
        before = b.current
        header = b.block("turn", before)
        b.br(header)
        b.position(header)
        count = b.phi(I64, [(b.const(I64, 0), before)])
        slots = [b.phi(PTR, [(s, before)]) for s in starts]
        counter, count = count, b.hidden(count)
        frame.pointers.update(zip(stmt.slots, slots, strict=True))
        axis = b.sub(b.const(I64, (stmt.trips or 0) - 1), count) if stmt.reverse else count
        frame.axes[stmt.axis] = axis
        saved, frame.scopes = frame.scopes, [{}]
        innermost, frame.innermost = frame.innermost, None
        pacing.look(b, frame.stop)
        done = None
        if stmt.flag is not None:
            self.body(frame, stmt.condition)
            flag = b.icmp("ne", b.load(memory_type(stmt.flag), frame.pointer(stmt.flag)), 0)
            done = (b.current, header)
            run = b.block("body", b.current)
            decide = b.current
            b.position(run)
        self.body(frame, stmt.body)
        moved = [self.view(frame, v) for v in stmt.moves]
        following = b.add(count, b.const(I64, 1))
        latch = b.current
        b.phi_add(counter, following, latch)
        for slot, move in zip(slots, moved, strict=True):
            b.phi_add(slot, move, latch)
        if done is not None:
            b.br(header)
            after = b.block("done", decide)
            b.position(decide)
            b.cond_br(flag, run, after)
            b.position(after)
        else:
            more = b.icmp("slt", following, b.const(I64, stmt.trips or 0))
            after = b.block("done", latch)
            b.cond_br(more, header, after)
            b.position(after)
            frame.pointers.update(zip(stmt.slots, moved, strict=True))
        frame.scopes, frame.innermost = saved, innermost

    def branch(self, frame: Frame, stmt: Branch) -> None:
        b = frame.b
        selector = b.load(I32, self.view(frame, stmt.selector))
        here = b.current
        blocks = [b.block("case", here) for _ in stmt.branches]
        ends = []
        for block, body in zip(blocks, stmt.branches, strict=True):
            b.position(block)
            saved, frame.scopes = frame.scopes, [{}]
            self.body(frame, body)
            frame.scopes = saved
            ends.append(b.current)
        after = b.block("joined", here)
        for end in ends:
            b.position(end)
            b.br(after)
        b.position(here)
        last = len(blocks) - 1
        clamped = b.smax(b.smin(selector, b.const(I32, last)), b.const(I32, 0))
        b.switch(clamped, blocks[last], list(enumerate(blocks[:-1])))
        b.position(after)

    # ---- calls

    def view(self, frame: Frame, view: View) -> Value:
        """The address at which a view begins."""
        offset = view.offset * view.dtype.itemsize  # in bytes: there are dtypes that LLVM has no type for
        return frame.b.gep(I8, frame.pointer(view.buffer), frame.linear(offset.terms, offset.const))

    def call(self, frame: Frame, stmt: Call) -> None:
        b = frame.b
        if stmt.name == "copy":
            source, to = stmt.inputs[0], stmt.outputs[0]
            size = to.dtype.itemsize * to.buffer.size // max(_product(to.buffer.shape[: len(to.prefix)]), 1)
            b.memcpy(self.view(frame, to), self.view(frame, source), b.const(I64, size))
        elif stmt.name == "gemm":
            self.gemm(frame, stmt, stmt.payload)
        elif isinstance(stmt.payload, RowSort):
            places = [self.view(frame, v) for v in (*stmt.inputs, *stmt.outputs)]
            sorting.emit_call(b, stmt, places, self.attributes, frame.stop)
        elif isinstance(stmt.payload, Ufunc):
            places = [self.view(frame, v) for v in (*stmt.inputs, *stmt.outputs)]
            ufuncs.emit_call(b, stmt, places, self.attributes, frame.stop)
        elif isinstance(stmt.payload, Fortran):
            self.fortran(frame, stmt, stmt.payload)
        else:
            views = [*stmt.inputs, *stmt.outputs]
            addresses = b.alloca(PTR, max(len(views), 1))
            for n, view in enumerate(views):
                b.store(self.view(frame, view), b.gep(PTR, addresses, n))
            number = b.load(I64, b.gep(PTR, self.args, self.first_host + len(self.host_calls)))
            self.host_calls.append(stmt)
            pacing.leave_if(b, b.call("wengert_host_call", I32, [number, addresses]), frame.stop)

    def gemm(self, frame: Frame, stmt: Call, g: Gemm) -> None:
        """BLAS counts columns first, so it computes the transposed product of the transposed operands."""
        b = frame.b
        dtype = stmt.outputs[0].dtype
        routine = {"float32": "sgemm", "float64": "dgemm"}[dtype.name]
        kind = scalars.llvm_type(dtype)
        a, bb, c = (self.view(frame, v) for v in (*stmt.inputs, *stmt.outputs))
        a, bb = (
            b.gep(kind, p, frame.linear(o.terms, o.const)) for p, o in zip((a, bb), g.offsets, strict=True)
        )
        letters = {}
        leading = {}
        for key, strides, rows, cols in (("a", g.strides[0], g.m, g.k), ("b", g.strides[1], g.k, g.n)):
            plain = strides[2] == 1 and strides[1] >= cols
            letters[key] = self._bytes("N" if plain else "T")
            leading[key] = self._int(max(strides[1] if plain else strides[2], cols if plain else rows, 1))
        one = self.module.data(f"one_{kind.kind}", kind, [1.0])
        zero = self.module.data(f"zero_{kind.kind}", kind, [0.0])
        m, n, k = self._int(g.m), self._int(g.n), self._int(g.k)
        ldc = self._int(max(g.strides[2][1], g.n))
        args = [letters["b"], letters["a"], n, m, k, one, bb, leading["b"], a, leading["a"], zero, c, ldc]
        if g.batch == 1:
            b.call(routine, VOID, args)
            return
        with b.loop(0, g.batch, 1) as loop:
            pacing.look(b, frame.stop)
            for position, pointer, stride in (
                (6, bb, g.strides[1][0]),
                (8, a, g.strides[0][0]),
                (11, c, g.strides[2][0]),
            ):
                args[position] = b.gep(kind, pointer, b.mul(loop.index, b.const(I64, stride)))
            b.call(routine, VOID, args)
            loop.next()

    def fortran(self, frame: Frame, stmt: Call, routine: Fortran) -> None:
        b = frame.b
        pointers = [self.view(frame, v) for v in (*stmt.inputs, *stmt.outputs)]
        sizes = [v.dtype.itemsize for v in (*stmt.inputs, *stmt.outputs)]
        real = scalars.llvm_type(np.dtype(np.float32 if routine.name[0] in "sc" else np.float64))

        def address(arg: complex | str | Part, number: Value) -> Value:
            if isinstance(arg, Part):
                return b.gep(I8, pointers[arg.view], b.mul(number, b.const(I64, arg.step * sizes[arg.view])))
            if isinstance(arg, str):
                return self._bytes(arg)
            if isinstance(arg, int):
                return self._int(arg)
            if isinstance(arg, complex):
                name = f"complex_{arg.real}_{arg.imag}_{real.kind}"
                return self.module.data(name, real, [arg.real, arg.imag])
            return self.module.data(f"real_{arg}_{real.kind}", real, [arg])

        with b.loop(0, routine.count, 1) as loop:
            if routine.count > 1:
                pacing.look(b, frame.stop)
            b.call(routine.name, VOID, [address(a, loop.index) for a in routine.args])
            loop.next()

    def _int(self, n: int) -> Value:
        return self.module.data(f"int_{n}", I32, [n])

    def _bytes(self, letter: str) -> Value:
        return self.module.data(f"letter_{letter}", I8, [ord(letter)])


def _carried(loop: For) -> list[str]:
    """The accumulators that a loop has from outside."""
    started = {s.name for s in statements(loop.body) if isinstance(s, Init)}
    accumulated = dict.fromkeys(s.name for s in statements(loop.body) if isinstance(s, Accumulate))
    return [name for name in accumulated if name not in started]


def _product(shape: Sequence[int]) -> int:
    total = 1
    for d in shape:
        total *= d
    return total
