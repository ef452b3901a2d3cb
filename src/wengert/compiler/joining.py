"""Loops over blocks of rows, and the loops before and after them over these rows: one loop.

A product of matrices is formed in blocks of rows. What follows it, a bias and an activation, say, reads each row once;
done block by block it finds them in the cache, and in a parallel loop it is the thread that has made them which reads
them. So the loop over rows is cut into blocks and goes to the end of each iteration of the loop before it; or, if it
makes what the blocks are computed from, to the beginning.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from wengert.compiler.affine import Affine, Axis, Term
from wengert.compiler.loops import (
    Accumulate,
    Branch,
    Buffer,
    Exprs,
    For,
    Gather,
    If,
    Init,
    Let,
    Load,
    Loop,
    Stmt,
    Store,
)
from wengert.compiler.nest import work
from wengert.compiler.rewrite import Substitute, rewrite_values, statements, values, walk

_LIGHT = 4.0  # times less work in the loop that joins: others are better shared by their own, finer parts, and memory
# that both loops need is not free in between
_LONG = 64  # iterations of a loop without loops inside, from which it may be vector code


def join(stmts: Sequence[Stmt], exprs: Exprs) -> list[Stmt]:
    """Statements with loops joined, here and in the bodies of sequential loops and branches."""
    out: list[Stmt] = []
    for stmt in stmts:
        if isinstance(stmt, Loop):
            stmt.condition = join(stmt.condition, exprs)
            stmt.body = join(stmt.body, exprs)
        elif isinstance(stmt, Branch):
            stmt.branches = [join(b, exprs) for b in stmt.branches]
        joined = _joined(out[-1], stmt, exprs) if out else None
        if joined is None:
            out.append(stmt)
        else:
            out[-1] = joined
    return out


def _joined(first: Stmt, then: Stmt, exprs: Exprs) -> For | None:
    """Two loops as one; None if that is not possible, or not worth it."""
    if not (isinstance(first, For) and isinstance(then, For) and _is_plain(first) and _is_plain(then)):
        return None
    blocks, rows = (first, then) if work([first]) > work([then]) else (then, first)
    if not blocks.parallel or rows.hi % blocks.hi or work([rows]) * _LIGHT > work([blocks]):
        return None
    size = rows.hi // blocks.hi
    inside = {s.axis for s in statements(rows.body) if isinstance(s, For)}
    if (not inside and size < _LONG) or blocks.axis in inside:
        return None
    if not (_by_blocks(blocks, rows, size) and _any_order(rows)):
        return None
    inner = Axis(size)
    place = Affine.of(blocks.axis) * size + (Affine.of(inner) if size > 1 else 0)
    moved = [_moved(s, Substitute(exprs, {rows.axis: place})) for s in rows.body]
    if size > 1:
        moved = [For(inner, 0, size, moved)]
    whole = copy.copy(blocks)
    whole.body = [*blocks.body, *moved] if blocks is first else [*moved, *blocks.body]
    return whole


def _is_plain(loop: For) -> bool:
    """Whether a loop starts at 0, its iterations may come in any order, and it is complete in itself."""
    if loop.lo or loop.lanes > 1 or loop.ordered or not loop.body:
        return False
    started: set[str] = set()
    for s in statements([loop]):
        if isinstance(s, For):
            if s.batch or s.first is not None or s.end is not None:
                return False
        elif isinstance(s, Init | Let):
            started.add(s.name)
        elif not isinstance(s, Store | If) and not (isinstance(s, Accumulate) and s.name in started):
            return False
    return True


class _Access:
    """Where an iteration touches a buffer: from `start` to `end` (included), `step` elements on from the one before;
    `outer` are terms that do not change in the loop."""

    __slots__ = ("end", "outer", "start", "step")

    def __init__(self, offset: Affine, loop: For, box: dict[Term, tuple[int, int]]):
        self.step = offset.coefficient(loop.axis)
        self.outer = tuple([tc for tc in offset.terms if tc[0] not in box and tc[0] is not loop.axis])
        rest = Affine(offset.const, tuple([tc for tc in offset.terms if tc[0] in box]))
        self.start, self.end = rest.bounds(box)


def _by_blocks(blocks: For, rows: For, size: int) -> bool:
    """Whether iteration r of one loop, and iterations size * r and on of the other, have to do with the same memory,
    and no others have; and whether there is such memory."""
    made, used = _accesses(blocks), _accesses(rows)
    shared = False
    for buffer, (written, accesses) in made.items():
        if buffer not in used or not (written or used[buffer][0]):
            continue
        shared = True
        before, after = accesses, used[buffer][1]
        if None in before or None in after:
            return False
        known = [a for a in before if a is not None], [a for a in after if a is not None]
        step = known[1][0].step
        same = {a.outer for side in known for a in side}
        if step <= 0 or len(same) > 1 or any(a.step != step for a in known[1]):
            return False
        if any(a.step != step * size for a in known[0]):
            return False
        start = min(a.start for side in known for a in side)
        end = max(*(a.end for a in known[0]), *(a.end + (size - 1) * step for a in known[1]))
        if end - start >= step * size:
            return False
    return shared


def _any_order(loop: For) -> bool:
    """Whether iterations have nothing to do with what others write."""
    if loop.parallel:
        return True
    for written, accesses in _accesses(loop).values():
        known = [a for a in accesses if a is not None]
        if written and len(known) < len(accesses):
            return False
        if written and (
            len({(a.step, a.outer) for a in known}) > 1
            or max(a.end for a in known) - min(a.start for a in known) >= known[0].step
        ):
            return False
    return True


def _accesses(loop: For) -> dict[Buffer, tuple[bool, list[_Access | None]]]:
    """For each buffer, whether the loop writes to it, and where it touches it; None for computed places."""
    box: dict[Term, tuple[int, int]] = {
        s.axis: (s.lo, s.hi) for s in statements(loop.body) if isinstance(s, For)
    }
    found: dict[Buffer, tuple[bool, list[_Access | None]]] = {}
    for buffer, offset, written in _places(loop):
        before, accesses = found.get(buffer, (False, []))
        accesses.append(None if offset is None else _Access(offset, loop, box))
        found[buffer] = before or written, accesses
    return found


def _places(loop: For) -> Iterator[tuple[Buffer, Affine | None, bool]]:
    for s in statements(loop.body):
        for expr in walk(*values(s)):
            if isinstance(expr, Load):
                yield expr.buffer, expr.buffer.linear(expr.index), False
            elif isinstance(expr, Gather):
                yield expr.buffer, None, False
        if isinstance(s, Store):
            index = [i for i in s.index if isinstance(i, Affine)]
            yield s.buffer, s.buffer.linear(index) if len(index) == len(s.index) else None, True


def _moved(stmt: Stmt, to: Substitute) -> Stmt:
    """A copy of a statement, at other places."""
    moved = copy.copy(stmt)
    if isinstance(moved, For | If):
        moved.body = [_moved(s, to) for s in moved.body]
    rewrite_values(moved, to)
    return moved
