"""Where temporaries live: in registers, in rows that stay in the cache, or at an offset of one arena."""

from __future__ import annotations

from collections.abc import Sequence

from wengert.compiler.affine import Affine, Axis, Symbol, Term
from wengert.compiler.loops import (
    Acc,
    Branch,
    Buffer,
    Call,
    Expr,
    Exprs,
    For,
    Gather,
    Let,
    Load,
    Loop,
    Program,
    Stmt,
    Store,
)
from wengert.compiler.rewrite import Substitute, bodies, reads, rewrite_values, statements, values

_ALIGN = 64
_LOCAL_BYTES = 16 << 10  # the longest row that is kept on the stack


def accessed(stmt: Stmt) -> set[Buffer]:
    """The buffers that a statement itself reads or writes, without those of its bodies."""
    found: set[Buffer] = set()
    found.update(e.buffer for e in reads(*values(stmt)) if not isinstance(e, Acc))
    if isinstance(stmt, Store):
        found.add(stmt.buffer)
    elif isinstance(stmt, Call):
        found.update(view.buffer for view in (*stmt.inputs, *stmt.outputs))
    elif isinstance(stmt, Loop):
        found.update(stmt.slots, (v.buffer for v in (*stmt.starts, *stmt.moves)))
        if stmt.flag is not None:
            found.add(stmt.flag)
    elif isinstance(stmt, Branch):
        found.add(stmt.selector.buffer)
    return found | _read_by_symbols(stmt)


def _read_by_symbols(stmt: Stmt) -> set[Buffer]:
    """The buffers that the symbols in the indices of a statement are read from."""
    terms: set[Term] = set().union(*(root.axes for root in values(stmt)))
    if isinstance(stmt, Store):
        terms.update(t for i in stmt.index if isinstance(i, Affine) for t, _ in i.terms)
    elif isinstance(stmt, Call):
        terms.update(t for view in (*stmt.inputs, *stmt.outputs) for i in view.prefix for t, _ in i.terms)
    exprs = [t.expr for t in terms if isinstance(t, Symbol)]
    return {e.buffer for e in reads(*exprs) if not isinstance(e, Acc)}


# -------------------------------------------------------------------- registers and rows


class _Access:
    """One access to a buffer in a loop: the loops around it, when it comes, and where it goes (None: computed)."""

    __slots__ = ("index", "is_store", "path", "time")

    def __init__(self, path: tuple[For, ...], time: int, index: tuple[Affine, ...] | None, is_store: bool):
        self.path, self.time, self.index, self.is_store = path, time, index, is_store


def contract(program: Program, exprs: Exprs) -> None:
    """Keep temporaries that live within one iteration of a loop in registers, or in a row private to it."""
    segments = _segments(program.body)
    users: dict[Buffer, int] = {}
    accesses: list[dict[Buffer, list[_Access]]] = []
    for segment in segments:
        found: dict[Buffer, list[_Access]] = {}
        if isinstance(segment, For):
            _collect(segment, (), found)
        else:
            found = {b: [] for b in accessed(segment)}
        accesses.append(found)
        for buffer in found:
            users[buffer] = users.get(buffer, 0) + 1
    for segment, found in zip(segments, accesses, strict=True):
        if isinstance(segment, For):
            private = [b for b in found if b.kind == "temp" and users[b] == 1]
            _contract_loop(segment, {b: found[b] for b in private}, exprs)


def _segments(body: Sequence[Stmt]) -> list[Stmt]:
    """Every statement that isn't inside of a `For`."""
    found: list[Stmt] = []
    for stmt in body:
        found.append(stmt)
        if not isinstance(stmt, For):
            for inner in bodies(stmt):
                found += _segments(inner)
    return found


def _collect(stmt: Stmt, path: tuple[For, ...], found: dict[Buffer, list[_Access]], time: int = 0) -> int:
    """Find all accesses below a statement, in order; returns the time after it."""
    time += 1

    def note(buffer: Buffer, index: tuple[Affine, ...] | None, is_store: bool = False) -> None:
        found.setdefault(buffer, []).append(_Access(path, time, index, is_store))

    for expr in reads(*values(stmt)):
        if isinstance(expr, Load):
            note(expr.buffer, expr.index)
        elif isinstance(expr, Gather):
            note(expr.buffer, None)
    if isinstance(stmt, Store):
        plain = tuple(i for i in stmt.index if isinstance(i, Affine))
        note(stmt.buffer, plain if len(plain) == len(stmt.index) and not stmt.combine else None, True)
    for buffer in _read_by_symbols(stmt):
        note(buffer, None)
    inner = (*path, stmt) if isinstance(stmt, For) else path
    for body in bodies(stmt):
        for s in body:
            time = _collect(s, inner, found, time)
    return time


def _contract_loop(loop: For, private: dict[Buffer, list[_Access]], exprs: Exprs) -> None:
    registers: dict[Buffer, Acc] = {}
    rows: dict[Buffer, tuple[Buffer, list[int]]] = {}
    for buffer, accesses in private.items():
        dropped, common = _dropped(loop, buffer, accesses)
        if len(dropped) == len(buffer.shape) and _is_let(accesses, common):
            axes = frozenset(f.axis for f in common)
            registers[buffer] = exprs.acc(f"v{buffer.id}", buffer.dtype, axes)
        elif any(buffer.shape[d] != 1 for d in dropped):
            kept = [d for d in range(len(buffer.shape)) if d not in dropped]
            row = Buffer([buffer.shape[d] for d in kept], buffer.dtype, "local", buffer.name)
            if row.nbytes <= _LOCAL_BYTES:
                rows[buffer] = row, kept
    if not registers and not rows:
        return

    def renamed(load: Load) -> Expr | None:
        if load.buffer in registers:
            return registers[load.buffer]
        if load.buffer in rows:
            row, kept = rows[load.buffer]
            return exprs.load(row, [load.index[d] for d in kept])
        return None

    rename = Substitute(exprs, {}, renamed)
    for stmt in statements([loop]):
        rewrite_values(stmt, rename)
        if isinstance(stmt, Store) and stmt.buffer in rows:
            row, kept = rows[stmt.buffer]
            stmt.buffer, stmt.index = row, tuple(stmt.index[d] for d in kept)
    _bind_registers(loop, registers)


def _dropped(loop: For, buffer: Buffer, accesses: list[_Access]) -> tuple[set[int], tuple[For, ...]]:
    """The dimensions that follow the loops around all accesses, which needn't be stored; and these loops."""
    if any(a.index is None or len(a.index) != len(buffer.shape) for a in accesses):
        return set(), ()
    common = accesses[0].path
    for a in accesses:
        n = 0
        while n < min(len(common), len(a.path)) and common[n] is a.path[n]:
            n += 1
        common = common[:n]
    indices = [a.index for a in accesses if a.index is not None]
    dropped = {d for d, size in enumerate(buffer.shape) if size == 1}
    followed: set[Axis] = set()
    for d, first in enumerate(indices[0]):
        if len(first.terms) == 1 and all(i[d] == first for i in indices):
            axis = first.terms[0][0]
            if any(f.axis is axis for f in common) and isinstance(axis, Axis):
                dropped.add(d)
                followed.add(axis)
    if loop.parallel and loop.axis not in followed:
        return set(), ()  # the memory is shared by all iterations
    return dropped, common


def _is_let(accesses: list[_Access], common: tuple[For, ...]) -> bool:
    """Whether the buffer is stored once, right in the body of the innermost common loop, before it is read."""
    stores = [a for a in accesses if a.is_store]
    if len(stores) != 1 or stores[0].path != common:
        return False
    return all(a.is_store or a.time > stores[0].time for a in accesses)


def _bind_registers(loop: For, registers: dict[Buffer, Acc]) -> None:
    """Replace the stores to buffers that have become registers."""
    for n, stmt in enumerate(loop.body):
        if isinstance(stmt, For):
            _bind_registers(stmt, registers)
        elif isinstance(stmt, Store) and stmt.buffer in registers:
            let = Let(registers[stmt.buffer].name, stmt.value)
            let.source = stmt.source
            loop.body[n] = let


# -------------------------------------------------------------------- the arena


def place(program: Program) -> None:
    """Give each temporary an offset in the arena such that those that live at the same time don't overlap."""
    intervals = _lifetimes(program)
    temps = sorted((b for b in intervals if b.kind == "temp"), key=lambda b: (intervals[b][0], b.id))
    placed: list[Buffer] = []
    for buffer in temps:
        start, _ = intervals[buffer]
        # sorted by first use, so a lifetime that has ended before this one starts never matters again
        placed = [b for b in placed if intervals[b][1] >= start]
        offset = 0
        for other in sorted(placed, key=lambda b: b.offset):
            if offset + buffer.nbytes <= other.offset:
                break
            offset = max(offset, _round_up(other.offset + other.nbytes))
        buffer.offset = offset
        placed.append(buffer)
        program.arena = max(program.arena, _round_up(offset + buffer.nbytes))
    program.temps = temps


def _round_up(n: int) -> int:
    return (n + _ALIGN - 1) // _ALIGN * _ALIGN


class _Clock:
    """Numbers the statements; remembers where each buffer is used, and in which sequential loops."""

    def __init__(self) -> None:
        self.now = 0
        self.uses: dict[Buffer, list[tuple[int, tuple[Loop, ...]]]] = {}
        self.spans: dict[Loop, tuple[int, int]] = {}
        self.origins: dict[Buffer, set[Buffer]] = {}

    def visit(self, body: Sequence[Stmt], loops: tuple[Loop, ...]) -> None:
        for stmt in body:
            self.now += 1
            if isinstance(stmt, Loop):
                self._memory_of_slots(stmt)
            self._use(stmt, loops)
            if isinstance(stmt, For):
                # an iteration's first statement comes after the last one of the iteration before
                for inside in statements(stmt.body):
                    self._use(inside, loops)
                continue
            start = self.now
            inner = (*loops, stmt) if isinstance(stmt, Loop) else loops
            for b in bodies(stmt):
                self.visit(b, inner)
            if isinstance(stmt, Loop):
                self.now += 1
                self.spans[stmt] = (start, self.now)
                self._use(stmt, loops)

    def _memory_of_slots(self, loop: Loop) -> None:
        """All slots of a loop may point to any of the memory that one of them starts at."""
        memory: set[Buffer] = set()
        for view in (*loop.starts, *loop.moves):
            memory |= self.origins.get(view.buffer, {view.buffer} if view.buffer.kind != "slot" else set())
        for slot in loop.slots:
            self.origins[slot] = memory

    def _use(self, stmt: Stmt, loops: tuple[Loop, ...]) -> None:
        for buffer in accessed(stmt):
            for real in self.origins.get(buffer, {buffer}):
                self.uses.setdefault(real, []).append((self.now, loops))


def _lifetimes(program: Program) -> dict[Buffer, tuple[int, int]]:
    clock = _Clock()
    clock.visit(program.body, ())
    lifetimes: dict[Buffer, tuple[int, int]] = {}
    for buffer, uses in clock.uses.items():
        common = uses[0][1]
        for _, loops in uses:
            n = 0
            while n < min(len(common), len(loops)) and common[n] is loops[n]:
                n += 1
            common = common[:n]
        first, last = uses[0][0], uses[0][0]
        for when, loops in uses:
            a, b = (when, when)
            if len(loops) > len(common):
                # used in a loop that not all uses are in: needed for all of its iterations
                a, b = clock.spans[loops[len(common)]]
            first, last = min(first, a), max(last, b)
        lifetimes[buffer] = (first, last)
    return lifetimes
