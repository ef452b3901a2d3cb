"""Cuts the domain of a nest at the edges that padding and concatenation make.

What remains is an interior without conditions, and rims. A rim that is only a few iterations thin keeps its
conditions: it isn't worth code of its own.
"""

from __future__ import annotations

from itertools import pairwise

from wengert.compiler.affine import Axis, Term
from wengert.compiler.loops import Exprs, Nest, Piecewise
from wengert.compiler.rewrite import Restrict, walk

_THIN = 4  # iterations; of an axis that is at least 8 times longer
_MAX_CUTS = 256


def split(nest: Nest, exprs: Exprs) -> list[Nest]:
    """The nest as a list of nests over disjoint boxes."""
    if not any(isinstance(e, Piecewise) for e in walk(nest.value)):
        return [nest]
    return _split_axes(nest, 0, exprs)


def _split_axes(nest: Nest, first: int, exprs: Exprs) -> list[Nest]:
    """Cut along nest.axes[first:], the outermost first."""
    for n in range(first, len(nest.axes)):
        axis = nest.axes[n]
        cuts = _cuts(nest, axis)
        if not cuts or len(cuts) > _MAX_CUTS:
            continue
        lo, hi = nest.box[axis]
        edges = [lo, *cuts, hi]
        pieces: list[Nest] = []
        for a, b in pairwise(edges):
            piece = _over(nest, {**nest.box, axis: (a, b)}, exprs)
            thin = b - a <= _THIN and hi - lo >= 8 * _THIN and _elements(nest) > 64 * (b - a)
            pieces += [piece] if thin and n + 1 < len(nest.axes) else _split_axes(piece, n + 1, exprs)
        return pieces
    return [nest]


def _elements(nest: Nest) -> int:
    total = 1
    for lo, hi in nest.box.values():
        total *= hi - lo
    return total


def _cuts(nest: Nest, axis: Axis) -> list[int]:
    """Where along the axis a condition that depends on this axis alone changes, inside of the box."""
    lo, hi = nest.box[axis]
    found: set[int] = set()
    for expr in walk(nest.value):
        if not isinstance(expr, Piecewise):
            continue
        for conditions, _ in expr.cases:
            for affine, least, end in conditions:
                if len(affine.terms) != 1 or affine.terms[0][0] is not axis:
                    continue
                c = affine.terms[0][1]
                for bound in (least, end):
                    # the smallest x with c * x + const >= bound, for c > 0; the mirror image otherwise
                    x = -((affine.const - bound) // c) if c > 0 else (bound - affine.const) // c + 1
                    if lo < x < hi:
                        found.add(x)
    return sorted(found)


def _over(nest: Nest, box: dict[Term, tuple[int, int]], exprs: Exprs) -> Nest:
    piece = Nest(
        nest.view,
        nest.index,
        nest.axes,
        Restrict(exprs, box)(nest.value),
        nest.reduce_axes,
        nest.combine,
        nest.identity,
    )
    piece.box = box
    piece.source = nest.source
    return piece
