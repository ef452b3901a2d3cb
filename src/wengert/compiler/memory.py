"""Where temporaries live: in registers, in rows that stay in the cache, or at an offset of one arena."""

from __future__ import annotations

from collections.abc import Sequence

from wengert.compiler.affine import Affine, Symbol
from wengert.compiler.loops import (
    Accumulate,
    Branch,
    Buffer,
    Call,
    Expr,
    Exprs,
    For,
    Gather,
    If,
    Let,
    Load,
    Loop,
    Program,
    Stmt,
    Store,
)
from wengert.compiler.rewrite import Substitute, bodies, statements, values, walk

_ALIGN = 64
_LOCAL_BYTES = 16 << 10  # the longest row that is kept on the stack


def accessed(stmt: Stmt) -> set[Buffer]:
    """The buffers that a statement itself reads or writes, without those of its bodies."""
    found: set[Buffer] = set()
    for expr in walk(*values(stmt)):
        if isinstance(expr, Load | Gather):
            found.add(expr.buffer)
        if isinstance(expr, Load):
            _add_symbols(expr.index, found)
    if isinstance(stmt, Store):
        found.add(stmt.buffer)
        _add_symbols([i for i in stmt.index if isinstance(i, Affine)], found)
    elif isinstance(stmt, Call):
        for view in (*stmt.inputs, *stmt.outputs):
            found.add(view.buffer)
            _add_symbols(view.prefix, found)
    elif isinstance(stmt, Loop):
        found.update(stmt.slots, (v.buffer for v in (*stmt.starts, *stmt.moves)))
        if stmt.flag is not None:
            found.add(stmt.flag)
    elif isinstance(stmt, Branch):
        found.add(stmt.selector.buffer)
    return found


def _add_symbols(index: Sequence[Affine], found: set[Buffer]) -> None:
    for affine in index:
        for term, _ in affine.terms:
            if isinstance(term, Symbol):
                found.update(e.buffer for e in walk(term.expr) if isinstance(e, Load | Gather))


# -------------------------------------------------------------------- registers and rows


def contract(program: Program, exprs: Exprs) -> None:
    """Keep temporaries that live within one iteration of a loop in registers, or in a row private to it."""
    users: dict[Buffer, set[int]] = {}
    tops = list(_outermost_loops(program.body))
    for number, stmt in enumerate(_segments(program.body)):
        for s in statements([stmt]) if isinstance(stmt, For) else [stmt]:
            for buffer in accessed(s):
                users.setdefault(buffer, set()).add(number)
    for loop in tops:
        private = {
            b
            for s in statements([loop])
            for b in accessed(s)
            if b.kind == "temp" and len(users[b]) == 1
        }
        for buffer in sorted(private, key=lambda b: b.id):
            _contract_buffer(loop, buffer, exprs)


def _segments(body: Sequence[Stmt]) -> list[Stmt]:
    """Every statement that isn't inside of a `For`."""
    found: list[Stmt] = []
    for stmt in body:
        found.append(stmt)
        if not isinstance(stmt, For):
            for inner in bodies(stmt):
                found += _segments(inner)
    return found


def _outermost_loops(body: Sequence[Stmt]) -> list[For]:
    return [s for s in _segments(body) if isinstance(s, For)]


def _accesses(stmts: Sequence[Stmt], buffer: Buffer) -> list[tuple[Affine, ...]] | None:
    """All indices at which the statements access a buffer; None if one is computed or an offset."""
    found: list[tuple[Affine, ...]] = []
    for stmt in statements(stmts):
        for expr in walk(*values(stmt)):
            if isinstance(expr, Gather) and expr.buffer is buffer:
                return None
            if isinstance(expr, Load):
                if expr.buffer is buffer:
                    found.append(expr.index)
                elif any(isinstance(t, Symbol) and _symbol_reads(t, buffer) for t in expr.axes):
                    return None
        if isinstance(stmt, Store) and stmt.buffer is buffer:
            index = tuple(i for i in stmt.index if isinstance(i, Affine))
            if stmt.combine or len(index) != len(stmt.index):
                return None
            found.append(index)
    return None if any(len(i) != len(buffer.shape) for i in found) else found


def _symbol_reads(symbol: Symbol, buffer: Buffer) -> bool:
    return any(isinstance(e, Load | Gather) and e.buffer is buffer for e in walk(symbol.expr))


def _contract_buffer(loop: For, buffer: Buffer, exprs: Exprs) -> None:
    """Drop the dimensions of a buffer that follow the loops around all of its accesses."""
    accesses = _accesses([loop], buffer)
    if not accesses:
        return
    dropped = {d for d, size in enumerate(buffer.shape) if size == 1}
    scope: For = loop
    while True:
        for d in range(len(buffer.shape)):
            first = accesses[0][d]
            if all(i[d] == first for i in accesses) and [t for t, _ in first.terms] == [scope.axis]:
                dropped.add(d)
                break
        else:
            if loop.parallel and scope is loop:
                return  # the memory would be shared by all iterations
        inner = [s for s in scope.body if any(buffer in accessed(x) for x in statements([s]))]
        if len(inner) != 1 or not isinstance(inner[0], For):
            break
        scope = inner[0]
    if len(dropped) == len(buffer.shape):
        _to_register(scope, buffer, exprs)
    elif dropped - {d for d, size in enumerate(buffer.shape) if size == 1}:
        _to_row(loop, buffer, dropped, exprs)


def _to_register(scope: For, buffer: Buffer, exprs: Exprs) -> None:
    """Replace the one store to the buffer by a `Let`, if it comes before all loads of the same body."""
    stores = [n for n, s in enumerate(scope.body) if isinstance(s, Store) and s.buffer is buffer]
    deep = sum(isinstance(s, Store) and s.buffer is buffer for s in statements(scope.body))
    if len(stores) != 1 or deep != 1:
        return
    at = stores[0]
    if any(buffer in accessed(x) for s in scope.body[:at] for x in statements([s])):
        return
    store = scope.body[at]
    assert isinstance(store, Store)
    name = f"v{buffer.id}"
    axes = store.value.axes | {scope.axis}
    acc = exprs.acc(name, buffer.dtype, axes)
    let = Let(name, store.value)
    let.source = store.source
    scope.body[at] = let
    rename = Substitute(exprs, {}, lambda load: acc if load.buffer is buffer else None)
    _rewrite(scope.body[at + 1 :], rename)


def _to_row(loop: For, buffer: Buffer, dropped: set[int], exprs: Exprs) -> None:
    shape = [size for d, size in enumerate(buffer.shape) if d not in dropped]
    row = Buffer(shape, buffer.dtype, "local", buffer.name)
    if row.nbytes > _LOCAL_BYTES:
        return

    def kept(index: Sequence[Affine]) -> list[Affine]:
        return [i for d, i in enumerate(index) if d not in dropped]

    rename = Substitute(
        exprs, {}, lambda load: exprs.load(row, kept(load.index)) if load.buffer is buffer else None
    )
    _rewrite([loop], rename)
    for stmt in statements([loop]):
        if isinstance(stmt, Store) and stmt.buffer is buffer:
            stmt.buffer = row
            stmt.index = tuple(i for d, i in enumerate(stmt.index) if d not in dropped)


def _rewrite(stmts: Sequence[Stmt], rename: Substitute) -> None:
    """Rewrite the expressions of statements in place."""
    for stmt in statements(stmts):
        if isinstance(stmt, Store):
            stmt.value = rename(stmt.value)
            stmt.index = tuple(rename(i) if isinstance(i, Expr) else i for i in stmt.index)
        elif isinstance(stmt, Let | Accumulate):
            stmt.value = rename(stmt.value)
        elif isinstance(stmt, If):
            stmt.condition = rename(stmt.condition)

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


