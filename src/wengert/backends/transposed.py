"""Loops that read down the columns of what they should read along its rows, as transposes do.

Such a pair of loops runs over square tiles: rows are loaded, transposed in registers, and used column by column,
so that memory is read and written in whole lines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wengert.backends import pacing
from wengert.backends.frame import Frame, memory_type
from wengert.backends.irbuilder import I64, Builder, Value
from wengert.compiler.affine import Affine, Symbol
from wengert.compiler.loops import Acc, Expr, For, Gather, Load, Piecewise, Store
from wengert.compiler.rewrite import values, walk

if TYPE_CHECKING:
    from wengert.compiler.affine import Axis

_MOST_NODES = 40  # of the expressions, whose code is repeated for each column of a tile
_MOST_TILES = 2  # that are in registers at a time
_BESIDE = 2  # tiles beside each other that come in turn: memory is fetched by pairs of cache lines


class Tiles:
    """A loop and the one inside of it, the loads that are to be transposed, and the size of a tile."""

    __slots__ = ("inner", "lanes", "loads", "outer")

    def __init__(self, outer: For, inner: For, loads: list[Load], lanes: int):
        self.outer, self.inner, self.loads, self.lanes = outer, inner, loads, lanes


def tiles_of(outer: For, vector_bits: int) -> Tiles | None:
    """How a loop is to be tiled; None if it is to be run as it stands."""
    inner = outer.body[0]
    if len(outer.body) != 1 or not isinstance(inner, For) or not (_plain(outer) and _plain(inner)):
        return None
    found: dict[Load, None] = {}
    nodes = 0
    for stmt in inner.body:
        if not isinstance(stmt, Store) or stmt.combine or not _stored_along(stmt, inner.axis):
            return None
        for expr in walk(*values(stmt)):
            nodes += 1
            if nodes > _MOST_NODES or not _may_repeat(expr):
                return None
            if isinstance(expr, Load):
                offset = expr.buffer.linear(expr.index)
                if offset.coefficient(inner.axis) not in (0, 1):
                    if offset.coefficient(outer.axis) != 1:
                        return None
                    found[expr] = None
    written = {s.buffer for s in inner.body if isinstance(s, Store)}
    sizes = {b.dtype.itemsize for b in (*written, *(e.buffer for e in found))}
    if not found or len(found) > _MOST_TILES or len(sizes) != 1:
        return None
    read = {e.buffer for s in inner.body for e in walk(*values(s)) if isinstance(e, Load)}
    lanes = vector_bits // (8 * sizes.pop())
    fits = lanes in (4, 8, 16) and all(s.hi - s.lo >= lanes for s in (outer, inner))
    numbers = all(b.dtype.kind in "fiu" and b.dtype.itemsize >= 4 for b in (*written, *read))
    return Tiles(outer, inner, list(found), lanes) if fits and numbers and written.isdisjoint(read) else None


def _plain(loop: For) -> bool:
    """Whether the iterations are as many everywhere, and may come in any order."""
    return loop.first is None and loop.end is None and not loop.ordered and not loop.batch


def _stored_along(stmt: Store, axis: Axis) -> bool:
    """Whether a store is to consecutive elements, in a buffer of the program."""
    plain = [i for i in stmt.index if isinstance(i, Affine)]
    if len(plain) != len(stmt.index) or stmt.buffer.kind == "local":
        return False
    offset = stmt.buffer.linear(plain)
    return offset.coefficient(axis) == 1 and not any(isinstance(t, Symbol) for t, _ in offset.terms)


def _may_repeat(expr: Expr) -> bool:
    """Whether an expression may be computed in tiles."""
    if isinstance(expr, Gather | Piecewise | Acc):
        return False
    return not isinstance(expr, Load) or not any(isinstance(t, Symbol) for t in expr.axes)


def run(
    frame: Frame,
    tiles: Tiles,
    lo: Value,
    hi: Value,
    column: Callable[[Frame, For], None],
    look_often: bool,
) -> None:
    """Emit the two loops; `column` emits the statements of the inner one. The last tiles overlap those before.

    With `look_often` a row of tiles takes long.
    """
    b, lanes = frame.b, tiles.lanes
    outer, inner = tiles.outer, tiles.inner
    saved = frame.innermost, frame.vector, frame.lanes
    with b.loop(lo, hi, _BESIDE * lanes) as rows:
        end = b.smin(b.add(rows.index, b.const(I64, _BESIDE * lanes)), hi)
        with b.loop(inner.lo, inner.hi, lanes) as columns:
            with b.loop(rows.index, end, lanes) as beside:
                if look_often:
                    pacing.look(b, frame.stop)
                first = b.smin(beside.index, b.const(I64, outer.hi - lanes))
                frame.innermost, frame.vector, frame.lanes = None, None, 1
                frame.axes[outer.axis] = first
                frame.axes[inner.axis] = b.smin(columns.index, b.const(I64, inner.hi - lanes))
                frame.scopes.append({})
                squares = [_transposed(b, _rows(frame, load, inner.axis, lanes)) for load in tiles.loads]
                frame.scopes.pop()
                frame.innermost, frame.vector, frame.lanes = inner.axis, inner.axis, lanes
                for m in range(lanes):
                    frame.axes[outer.axis] = b.add(first, b.const(I64, m))
                    frame.scopes.append({e: s[m] for e, s in zip(tiles.loads, squares, strict=True)})
                    column(frame, inner)
                    frame.scopes.pop()
                beside.next()
            columns.next()
        rows.next()
    frame.innermost, frame.vector, frame.lanes = saved


def _rows(frame: Frame, load: Load, axis: Axis, lanes: int) -> list[Value]:
    """The rows of a tile: consecutive elements of the buffer."""
    b, kind = frame.b, memory_type(load.buffer)
    offset = load.buffer.linear(load.index)
    start, step = frame.address(load.buffer, offset), offset.coefficient(axis)
    wide, align = kind.vec(lanes), kind.bits // 8
    return [b.load(wide, b.gep(kind, start, step * k), align=align) for k in range(lanes)]


def _transposed(b: Builder, rows: list[Value]) -> list[Value]:
    """The columns of a square: in each step, blocks off the diagonal change places with each other."""
    n = len(rows)
    rows = list(rows)
    d = n // 2
    while d:
        upper = [x if not x & d else n + x - d for x in range(n)]
        lower = [x + d if not x & d else n + x for x in range(n)]
        for r in range(n):
            if not r & d:
                x, y = rows[r], rows[r + d]
                rows[r], rows[r + d] = b.shuffle(x, y, upper), b.shuffle(x, y, lower)
        d //= 2
    return rows
