"""Moves out of sequential loops what every iteration would store again: the packed form of a constant, say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from wengert.compiler.affine import Affine, Axis, Symbol
from wengert.compiler.loops import (
    Acc,
    Accumulate,
    Branch,
    Buffer,
    Call,
    Expr,
    For,
    Init,
    Let,
    Loop,
    Stmt,
    Store,
)
from wengert.compiler.memory import accessed
from wengert.compiler.rewrite import statements, values, walk


def leave(loop: Loop) -> list[Stmt]:
    """Take the statements out of a loop that store the same in each iteration; returns them, in order.

    These are loops over elements that store to temporaries which nothing else in the loop writes to. The start of an
    accumulator goes with the only one that uses it.
    """
    writers = Counter(b for s in (*loop.condition, *loop.body) for b in written(s))
    changing = {*writers, *loop.slots, *(v.buffer for v in loop.starts)}
    users = Counter(n for s in (*loop.condition, *loop.body) for n in _names(s))
    starts = {s.name: s for s in loop.body if isinstance(s, Init)}
    moved: list[Stmt] = []
    for stmt in loop.body:
        stores = written(stmt)
        names = sorted(n for n, is_bound in _names(stmt).items() if not is_bound)
        reads = {b for s in statements([stmt]) for b in accessed(s)} - stores
        if (
            isinstance(stmt, For)
            and stores
            and all(b.kind == "temp" and writers[b] == 1 for b in stores)
            and not any(isinstance(s, Store) and s.combine for s in statements([stmt]))
            and changing.isdisjoint(reads)
            and not _reads_own(stmt, stores)
            and loop.axis not in _axes(stmt)
            and all(n in starts and users[n] == 2 for n in names)
        ):
            moved += [*(starts[n] for n in names), stmt]
            changing -= stores
    if moved:
        gone = {id(s) for s in moved}
        loop.body = [s for s in loop.body if id(s) not in gone]
    return moved


def written(stmt: Stmt) -> set[Buffer]:
    """The buffers that a statement, or one inside of it, writes to; pointers that an inner loop moves included, and
    not what is local, and gone when the statement ends."""
    found: set[Buffer] = set()
    for s in statements([stmt]):
        if isinstance(s, Store):
            found.update([s.buffer] if s.buffer.kind != "local" else [])
        elif isinstance(s, Call):
            found.update(v.buffer for v in s.outputs)
        elif isinstance(s, Loop):
            found.update(s.slots, (v.buffer for v in s.starts))
            if s.flag is not None:
                found.add(s.flag)
    return found


def _reads_own(stmt: Stmt, stores: set[Buffer]) -> bool:
    """Whether what is stored is also read: the first iteration might find something else there."""
    for s in statements([stmt]):
        if isinstance(s, Loop | Branch | Call):
            return True
        read = accessed(s) - ({s.buffer} if isinstance(s, Store) else set())
        own = {e.buffer for e in walk(*values(s)) if hasattr(e, "buffer")}
        if not stores.isdisjoint(read | own):
            return True
    return False


def _expressions(stmt: Stmt) -> Iterator[Expr]:
    """Those that a statement evaluates, inside of it and in its indices too."""
    pending: list[Expr] = []
    for s in statements([stmt]):
        pending += values(s)
        pending += [t.expr for a in _indices(s) for t, _ in a.terms if isinstance(t, Symbol)]
    while pending:
        expr = pending.pop()
        yield expr
        pending += [t.expr for t in expr.axes if isinstance(t, Symbol)]


def _indices(stmt: Stmt) -> list[Affine]:
    """The indices of a store, or the bounds of a loop that move."""
    if isinstance(stmt, Store):
        return [i for i in stmt.index if isinstance(i, Affine)]
    return [a for a in (stmt.first, stmt.end) if a is not None] if isinstance(stmt, For) else []


def _axes(stmt: Stmt) -> set[Axis]:
    """The axes of loops that a statement depends on."""
    terms = {t for s in statements([stmt]) for a in _indices(s) for t, _ in a.terms}
    terms.update(t for e in _expressions(stmt) for t in e.axes)
    return {t for t in terms if isinstance(t, Axis)}


def _names(stmt: Stmt) -> dict[str, bool]:
    """The names in a statement, and whether it binds them."""
    found = {e.name: False for root in _expressions(stmt) for e in walk(root) if isinstance(e, Acc)}
    found.update((s.name, False) for s in statements([stmt]) if isinstance(s, Accumulate))
    found.update((s.name, True) for s in statements([stmt]) if isinstance(s, Init | Let))
    return found
