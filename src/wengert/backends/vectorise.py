"""Which loop becomes vector code, and how many lanes it gets."""

from __future__ import annotations

from collections.abc import Iterator

from wengert.backends.smallfloats import FORMATS
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import I64, Acc, Accumulate, DType, Expr, For, Gather, If, Load, Op, Stmt, Store
from wengert.compiler.nest import work
from wengert.compiler.rewrite import reads, statements, values, walk

_FEW = 4  # iterations of a batch that are worth running in lanes
_LONG = 4  # vectors that a reduction works on at a time, to hide the latency of its additions
_MUCH = 12.0  # vector additions for each of them, from which on half as many do


def lanes_of(loop: For, vector_bits: int) -> int:
    """How many lanes the loop gets, when it comes to its turn; 1 means that it stays scalar."""
    if loop.lanes:
        return loop.lanes
    trips = loop.hi - loop.lo
    if trips < 2 or loop.ordered or not _can_be_vector(loop):
        return 1
    if loop.batch:
        lanes = vector_bits // (8 * _widest(loop))
        return min(lanes, 1 << (trips.bit_length() - 1)) if trips >= _FEW else 1
    inner = [s for s in loop.body if isinstance(s, For)]
    if inner and (any(s.batch for s in _loops(loop)) or not _better_outside(loop)):
        return 1
    lanes = vector_bits // (8 * _widest(loop))
    if inner or any(isinstance(s, Accumulate) for s in loop.body):
        much = work([s for s in statements(loop.body) if not isinstance(s, For)]) >= _MUCH
        lanes *= _LONG // 2 if much else _LONG
    return min(lanes, 1 << (trips.bit_length() - 1))


def _can_be_vector(loop: For) -> bool:
    """Whether the iterations may run side by side, in lanes."""
    for stmt in statements(loop.body):
        if isinstance(stmt, If):
            return False
        if isinstance(stmt, Store):
            if any(isinstance(i, Expr) for i in stmt.index):
                return False
            offset = stmt.buffer.linear([i for i in stmt.index if isinstance(i, Affine)])
            if offset.coefficient(loop.axis) == 0 and not (loop.batch and stmt.buffer.kind == "local"):
                return False
    return True


def _loops(loop: For) -> Iterator[For]:
    return (s for s in statements(loop.body) if isinstance(s, For))


def _widest(loop: For) -> int:
    """Bytes of the widest type that the loop computes with; integers for indices don't count."""
    every = list(statements(loop.body))
    roots = [expr for stmt in every for expr in values(stmt)]
    used = {expr.dtype for expr in walk(*roots) if isinstance(expr, Load | Op | Gather)} - {I64}
    used.update(stmt.buffer.dtype for stmt in every if isinstance(stmt, Store))
    return max(map(_width, used), default=1)


def _width(dtype: DType) -> int:
    return 4 if dtype.itemsize == 1 and dtype.name in FORMATS else dtype.itemsize


def _better_outside(loop: For) -> bool:
    """Whether a loop around loops should be the vector one: if memory is consecutive along its axis, or if the
    inner loops are too short."""
    outside = inside = 0.0
    for inner in _leaves(loop):
        trips = inner.hi - inner.lo
        for offset in _offsets(inner):
            outside += _smoothness(offset, loop.axis)
            inside += _smoothness(offset, inner.axis) if trips >= 8 else -1.0
    return outside > inside


def _leaves(loop: For) -> Iterator[For]:
    for stmt in statements(loop.body):
        if isinstance(stmt, For) and not any(isinstance(s, For) for s in stmt.body):
            yield stmt


def _offsets(loop: For) -> Iterator[Affine]:
    for stmt in loop.body:
        for expr in reads(*values(stmt)):
            if isinstance(expr, Load):
                yield expr.buffer.linear(expr.index)
        if isinstance(stmt, Store):
            yield stmt.buffer.linear([i for i in stmt.index if isinstance(i, Affine)])


def _smoothness(offset: Affine, axis: Axis) -> float:
    step = offset.coefficient(axis)
    return 1.0 if step == 1 else 0.5 if step == 0 else 0.0 if step == -1 else -1.0


def repeatable(loop: For) -> bool:
    """Whether running an iteration twice does no harm: nothing that is written is read or accumulated."""
    return _unread(loop.body, "local") if loop.batch else _repeatable(loop.body)


def _repeatable(stmts: list[Stmt]) -> bool:
    written = {s.buffer for s in stmts if isinstance(s, Store)}
    for stmt in stmts:
        if isinstance(stmt, Store) and stmt.combine:
            return False
        if isinstance(stmt, Accumulate | For):
            return not isinstance(stmt, Accumulate) and _unread(stmts)
        for expr in reads(*values(stmt)):
            if not isinstance(expr, Acc) and expr.buffer in written:
                return False
    return True


def _unread(stmts: list[Stmt], own: str = "") -> bool:
    """The same for bodies with loops, whose accumulators are all started inside, as are buffers of the kind `own`."""
    every = list(statements(stmts))
    if any(isinstance(s, Store) and s.combine for s in every):
        return False
    written = {s.buffer for s in every if isinstance(s, Store) and s.buffer.kind != own}
    read = {e.buffer for s in every for e in reads(*values(s)) if not isinstance(e, Acc)}
    return written.isdisjoint(read)
