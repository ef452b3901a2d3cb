"""Makes loops of nests and merges loops over the same axis.

Two loops over one axis become one if each iteration only meets what the same iteration of the other one
writes. The inner loops are then merged in the same way, so that a row's reductions and their consumers,
such as a softmax, end up in one loop over the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from wengert.compiler import invariant
from wengert.compiler.affine import Affine, Axis, Symbol, Term
from wengert.compiler.loops import (
    Accumulate,
    Branch,
    Buffer,
    Expr,
    Exprs,
    For,
    Gather,
    If,
    Init,
    Let,
    Load,
    Loop,
    Nest,
    Op,
    Stmt,
    Store,
)
from wengert.compiler.rewrite import Substitute, reads, statements, values, walk
from wengert.compiler.split import split
from wengert.core.costs import OPS

# Work, in vector additions, from which a loop is shared among threads; a barrier costs about a microsecond.
PARALLEL_COST = 100_000
_LOOK_BACK = 16  # statements that a loop may move over to be merged with an earlier one
_LEAF_INTO_OUTER = 32  # iterations of inner loops that hide scalar work in the outer one

# The index is None where it is computed; the box holds the ranges of the loops around the access.
Access: TypeAlias = "tuple[tuple[Affine, ...] | None, dict[Term, tuple[int, int]]]"


class Footprint:
    """What a statement reads and writes: buffers at indices, and names."""

    __slots__ = ("reads", "writes")

    def __init__(self, stmt: Stmt):
        self.reads: dict[Buffer | str, list[Access]] = {}
        self.writes: dict[Buffer | str, list[Access]] = {}
        self._visit(stmt, {})

    def _visit(self, stmt: Stmt, box: dict[Term, tuple[int, int]]) -> None:
        if isinstance(stmt, For):
            inner = {**box, stmt.axis: (stmt.lo, stmt.hi)}
            for s in stmt.body:
                self._visit(s, inner)
            return
        for expr in values(stmt):
            self._visit_expr(expr, box)
        if isinstance(stmt, If):
            for s in stmt.body:
                self._visit(s, box)
        elif isinstance(stmt, Store):
            plain = tuple(i for i in stmt.index if isinstance(i, Affine))
            index = plain if len(plain) == len(stmt.index) else None
            self.writes.setdefault(stmt.buffer, []).append((index, box))
            self._visit_affines(plain, box)
            if stmt.combine:
                self.reads.setdefault(stmt.buffer, []).append((index, box))
        elif isinstance(stmt, Let | Init | Accumulate):
            self.writes.setdefault(stmt.name, []).append((None, box))

    def _visit_expr(self, root: Expr, box: dict[Term, tuple[int, int]]) -> None:
        for expr in reads(root):
            if isinstance(expr, Load):
                self.reads.setdefault(expr.buffer, []).append((expr.index, box))
            elif isinstance(expr, Gather):
                self.reads.setdefault(expr.buffer, []).append((None, box))
            else:
                self.reads.setdefault(expr.name, []).append((None, box))
        for term in root.axes:
            if isinstance(term, Symbol):
                self._visit_expr(term.expr, {})

    def _visit_affines(self, index: Sequence[Affine], box: dict[Term, tuple[int, int]]) -> None:
        for affine in index:
            for term, _ in affine.terms:
                if isinstance(term, Symbol):
                    self._visit_expr(term.expr, {})

    def absorb(self, other: Footprint) -> None:
        """Add what another statement reads and writes."""
        for mine, theirs in ((self.reads, other.reads), (self.writes, other.writes)):
            for key, accesses in theirs.items():
                mine.setdefault(key, []).extend(accesses)

    def conflicts(self, other: Footprint) -> list[tuple[Access, Access]]:
        """Pairs of accesses to the same memory of which at least one writes."""
        pairs: list[tuple[Access, Access]] = []
        for mine, theirs in (
            (self.writes, other.reads),
            (self.writes, other.writes),
            (self.reads, other.writes),
        ):
            for key in mine.keys() & theirs.keys():
                pairs += [(a, b) for a in mine[key] for b in theirs[key]]
        return pairs


def _disjoint(a: Access, b: Access) -> bool:
    """Whether two accesses to a buffer never meet."""
    if a[0] is None or b[0] is None or len(a[0]) != len(b[0]):
        return False
    for i, j in zip(a[0], b[0], strict=True):
        lo_i, hi_i = i.bounds(a[1])
        lo_j, hi_j = j.bounds(b[1])
        if hi_i < lo_j or hi_j < lo_i:
            return True
    return False


def _same_iteration(a: Access, b: Access, axis: Axis) -> bool:
    """Whether two accesses that meet do so in the same iteration of the loop over the axis."""
    if a[0] is None or b[0] is None or len(a[0]) != len(b[0]):
        return False
    return any(
        i == j and len(i.terms) == 1 and i.terms[0][0] is axis for i, j in zip(a[0], b[0], strict=True)
    )


def nest(stmts: Sequence[Stmt], exprs: Exprs) -> list[Stmt]:
    """Replace all nests by loops, here and in the bodies of sequential loops and branches."""
    out: list[Stmt] = []
    run: list[Stmt] = []

    def flush() -> None:
        for stmt in fuse(run):
            out.append(parallelise(stmt))
        run.clear()

    for stmt in stmts:
        if isinstance(stmt, Nest):
            for piece in split(stmt, exprs):
                run += tree(piece, exprs)
            continue
        flush()
        if isinstance(stmt, Loop):
            stmt.condition = nest(stmt.condition, exprs)
            stmt.body = nest(stmt.body, exprs)
            out += invariant.leave(stmt)
        elif isinstance(stmt, Branch):
            stmt.branches = [nest(b, exprs) for b in stmt.branches]
        out.append(stmt)
    flush()
    return out


def tree(nest: Nest, exprs: Exprs) -> list[Stmt]:
    """The loops of one nest; a reduction's accumulator is started just around its inner loops."""
    if any(nest.box[a][0] >= nest.box[a][1] for a in nest.axes):
        return []
    fixed: dict[Term, Affine] = {a: Affine(lo) for a, (lo, hi) in nest.box.items() if hi - lo == 1}
    value, index = nest.value, nest.index
    if fixed:
        value = Substitute(exprs, fixed)(value)
        index = tuple(i.substitute(fixed) for i in index)
    body: list[Stmt]
    if nest.combine:
        name = exprs.fresh_name()
        assert nest.identity is not None
        inner: list[Stmt] = [Accumulate(name, value)]
        inner = _loops(inner, [a for a in nest.reduce_axes if a not in fixed], nest)
        acc: Expr = exprs.acc(name, value.dtype)
        if value.dtype != nest.view.dtype:
            acc = exprs.op("convert", acc, dtype=nest.view.dtype)
        body = [Init(name, nest.combine, nest.identity), *inner, Store(nest.view.buffer, index, acc)]
    else:
        body = [Store(nest.view.buffer, index, value)]
    body = _loops(body, [a for a in nest.axes if a not in fixed], nest)
    for stmt in statements(body):
        stmt.source = nest.source
    return body


def _loops(body: list[Stmt], axes: Sequence[Axis], nest: Nest) -> list[Stmt]:
    for axis in reversed(axes):
        lo, hi = nest.box[axis]
        body = [For(axis, lo, hi, body)]
    return body


def fuse(stmts: Sequence[Stmt]) -> list[Stmt]:
    """Merge loops over the same axis and range where the order of effects stays the same."""
    ordered = [s for s in stmts if isinstance(s, Init)] + [s for s in stmts if not isinstance(s, Init)]
    out: list[Stmt] = []
    prints: list[Footprint] = []
    for stmt in ordered:
        mine = Footprint(stmt)
        home = _home(stmt, mine, out, prints) if isinstance(stmt, For) else None
        if home is None:
            out.append(stmt)
            prints.append(mine)
            continue
        host = out[home]
        assert isinstance(host, For)
        assert isinstance(stmt, For)
        merged = For(host.axis, host.lo, host.hi, [*host.body, *stmt.body])
        merged.source = host.source
        out[home] = merged
        prints[home].absorb(mine)
    for stmt in out:
        if isinstance(stmt, For):
            stmt.body = fuse(stmt.body)
    return out


def _home(stmt: For, mine: Footprint, out: list[Stmt], prints: list[Footprint]) -> int | None:
    """The earlier loop that `stmt` can be merged into, moving over all that stands between."""
    for k in range(len(out) - 1, max(-1, len(out) - 1 - _LOOK_BACK), -1):
        host = out[k]
        pairs = prints[k].conflicts(mine)
        if (
            isinstance(host, For)
            and host.axis is stmt.axis
            and not host.ordered
            and (host.lo, host.hi) == (stmt.lo, stmt.hi)
            and all(_same_iteration(a, b, stmt.axis) or _disjoint(a, b) for a, b in pairs)
            and _worthwhile(host, stmt)
        ):
            return k
        if not all(_disjoint(a, b) for a, b in pairs):
            return None
    return None


def _worthwhile(a: For, b: For) -> bool:
    """A loop that is vectorised itself should not become scalar work around short inner loops."""
    inner_a = [s for s in a.body if isinstance(s, For)]
    inner_b = [s for s in b.body if isinstance(s, For)]
    if bool(inner_a) == bool(inner_b):
        return True
    return all(s.hi - s.lo >= _LEAF_INTO_OUTER for s in (*inner_a, *inner_b))


def parallelise(stmt: Stmt) -> Stmt:
    """Mark an outermost loop whose iterations are independent and that has enough work."""
    if (
        isinstance(stmt, For)
        and not stmt.ordered
        and not _carries_accumulator(stmt)
        and work([stmt]) >= PARALLEL_COST
    ):
        stmt.parallel = stmt.hi - stmt.lo > 1
    return stmt


def _carries_accumulator(stmt: For) -> bool:
    """Whether the loop accumulates into a name from outside of it."""
    inner = {s.name for s in statements(stmt.body) if isinstance(s, Init)}
    return any(isinstance(s, Accumulate) and s.name not in inner for s in statements(stmt.body)) or any(
        isinstance(s, Store) and s.combine for s in statements(stmt.body)
    )


def work(stmts: Sequence[Stmt]) -> float:
    """The work of statements, in vector additions of one element."""
    total = 0.0
    for stmt in stmts:
        if isinstance(stmt, For):
            total += stmt.trips * work(stmt.body)
        elif isinstance(stmt, If):
            total += 1.0 + work(stmt.body)
        else:
            total += 1.0 + sum(map(expr_cost, walk(*values(stmt))))
    return total


def expr_cost(expr: Expr) -> float:
    """The cost of one node, without its operands."""
    if isinstance(expr, Op):
        return OPS[expr.name]
    if isinstance(expr, Gather):
        return 4.0
    return 1.0 if isinstance(expr, Load) else 0.0
