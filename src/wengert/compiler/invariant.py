"""Moves out of sequential loops what every iteration would store again: the packed form of a constant, say."""

from __future__ import annotations

from collections import Counter

from wengert.compiler.affine import Affine, Axis, Symbol
from wengert.compiler.loops import Branch, Buffer, Call, Expr, For, Loop, Stmt, Store
from wengert.compiler.memory import accessed
from wengert.compiler.rewrite import statements, values, walk


def leave(loop: Loop) -> list[Stmt]:
    """Take the statements out of a loop that store the same in each iteration; returns them, in order.

    These are loops over elements that store to temporaries which nothing else in the loop writes to.
    """
    writers = Counter(b for s in (*loop.condition, *loop.body) for b in written(s))
    changing = {*writers, *loop.slots, *(v.buffer for v in loop.starts)}
    moved: list[Stmt] = []
    for stmt in loop.body:
        stores = written(stmt)
        reads = {b for s in statements([stmt]) for b in accessed(s)} - stores
        if (
            isinstance(stmt, For)
            and stores
            and all(b.kind == "temp" and writers[b] == 1 for b in stores)
            and not any(isinstance(s, Store) and s.combine for s in statements([stmt]))
            and changing.isdisjoint(reads)
            and not _reads_own(stmt, stores)
            and loop.axis not in _axes(stmt)
        ):
            moved.append(stmt)
            changing -= stores
    if moved:
        gone = {id(s) for s in moved}
        loop.body = [s for s in loop.body if id(s) not in gone]
    return moved


def written(stmt: Stmt) -> set[Buffer]:
    """The buffers that a statement, or one inside of it, writes to; pointers that an inner loop moves included."""
    found: set[Buffer] = set()
    for s in statements([stmt]):
        if isinstance(s, Store):
            found.add(s.buffer)
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


def _axes(stmt: Stmt) -> set[Axis]:
    """The axes of loops that a statement depends on."""
    found: set[Axis] = set()
    pending: list[Expr] = []
    for s in statements([stmt]):
        pending += values(s)
        affines = [i for i in s.index if isinstance(i, Affine)] if isinstance(s, Store) else []
        if isinstance(s, For):
            affines += [a for a in (s.first, s.end) if a is not None]
        for affine in affines:
            for term, _ in affine.terms:
                if isinstance(term, Symbol):
                    pending.append(term.expr)
                else:
                    found.add(term)
    while pending:
        for term in pending.pop().axes:
            if isinstance(term, Symbol):
                pending.append(term.expr)
            else:
                found.add(term)
    return found
