"""Reductions to one number in two levels, so that they can be shared among threads.

The parts are as many on every machine, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wengert.compiler import nest
from wengert.compiler.affine import Affine, Axis, Term
from wengert.compiler.loops import Nest, Stmt, View
from wengert.compiler.rewrite import Substitute, bodies, walk

if TYPE_CHECKING:
    from wengert.compiler.lower import Shared

_PARTS = 32
_MORE_OR_LESS = 8  # parts, if then nothing is left over


def spread(stmts: Sequence[Stmt], shared: Shared) -> list[Stmt]:
    """The statements, with large reductions to one number cut into parts."""
    axes: dict[Axis, tuple[Axis, Axis]] = {}
    out: list[Stmt] = []
    for stmt in stmts:
        for body in bodies(stmt):
            body[:] = spread(body, shared)
        out += _cut(stmt, shared, axes) if isinstance(stmt, Nest) and _is_large(stmt) else [stmt]
    return out


def _is_large(stmt: Nest) -> bool:
    if not stmt.combine or not stmt.reduce_axes or any(a.size != 1 for a in stmt.axes):
        return False
    size = 1.0
    for axis in stmt.reduce_axes:
        size *= axis.size
    longest = max(a.size for a in stmt.reduce_axes)
    each = 1.0 + sum(nest.expr_cost(e) for e in walk(stmt.value))
    return longest >= 2 * _PARTS and size * each >= nest.PARALLEL_COST


def _cut(stmt: Nest, shared: Shared, axes: dict[Axis, tuple[Axis, Axis]]) -> list[Stmt]:
    """A nest for the parts, one for what is left over, and one that combines their results."""
    assert stmt.identity is not None
    axis = next(a for a in stmt.reduce_axes if a.size >= 2 * _PARTS)
    near = range(_PARTS - _MORE_OR_LESS, _PARTS + 2 * _MORE_OR_LESS + 1)
    whole = [p for p in near if axis.size % p == 0]
    parts = min(whole, key=lambda p: abs(p - _PARTS), default=_PARTS)
    length = axis.size // parts
    left = axis.size - length * parts
    # reductions over the same axis get the same loops, which are then merged
    part, inside = axes.setdefault(axis, (Axis(parts, "part"), Axis(length, axis.name)))
    place: dict[Term, Affine] = {axis: Affine.of(part) * length + Affine.of(inside)}
    totals = shared.temp([parts + bool(left)], stmt.identity.dtype)
    value = Substitute(shared.exprs, place)(stmt.value)
    inner = [inside if a is axis else a for a in stmt.reduce_axes]
    made = [Nest(View(totals), [Affine.of(part)], [part], value, inner, stmt.combine, stmt.identity)]
    if left:
        rest = Nest(
            View(totals), [Affine(parts)], [], stmt.value, stmt.reduce_axes, stmt.combine, stmt.identity
        )
        rest.box[axis] = (axis.size - left, axis.size)
        made.append(rest)
    which = Axis(parts + bool(left), "part")
    total = shared.exprs.load(totals, [Affine.of(which)])
    made.append(Nest(stmt.view, stmt.index, stmt.axes, total, [which], stmt.combine, stmt.identity))
    for each in made:
        each.source = stmt.source
    return list(made)
