"""Products of complex numbers: of the elements along axes, and of matrices.

The parts of a product depend on both parts of its factors, so that such a reduction is no combination of numbers on
their own. Along a long axis, many products are formed side by side, and these are multiplied in the end.
A product of complex matrices is one of real matrices, twice as long in two of its axes: the parts of one factor beside
those of the other, [[re, -im], [im, re]].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wengert.compiler import complexes, nest
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import Buffer, DType, Expr, For, Nest, Stmt, Store, View
from wengert.core.avals import ShapedArray

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_TREE = 16  # factors whose product is one expression
_LANES = 32  # products that are formed side by side
_ROW = 8  # elements beside each other for which this is done with them
_LONG, _PARTS = 1 << 15, 32  # factors from which threads share them, and in how many parts

# The value at an index
Source = Callable[[Sequence[Affine]], Expr]


# -------------------------------------------------------------------------------------- products along an axis


def lower_product(block: Block, out: View, operand: Operand, axes: Sequence[int]) -> None:
    """Append what multiplies all elements along some axes."""
    shape = list(operand.aval.shape)
    _, index = block.domain(shape)
    if block.try_at(operand, index) is None:
        operand.view()
    source: Source = operand.at
    # the last one first: what is left of it is small
    for n, axis in enumerate(sorted(axes, reverse=True)):
        rest = [*shape[:axis], *shape[axis + 1 :]]
        target = out if n == len(axes) - 1 else View(block.shared.temp(rest, out.dtype))
        _along(block, target, source, shape, axis)
        shape, source = rest, _stored(block, target)
    if not axes:
        loops, index = block.domain(shape)
        block.stmts.append(Nest(out, (*out.prefix, *index), loops, source(index)))


def _stored(block: Block, view: View) -> Source:
    return lambda index: block.exprs.load(view.buffer, (*view.prefix, *index))


def _along(block: Block, out: View, source: Source, shape: Sequence[int], axis: int) -> None:
    """Append what multiplies the elements along one axis."""
    size = shape[axis]
    rest = [*shape[:axis], *shape[axis + 1 :]]
    axes, index = block.domain(rest)

    def at(k: Affine) -> Expr:
        return source([*index[:axis], k, *index[axis:]])

    if size <= _TREE:
        value = _tree(block, [at(Affine(k)) for k in range(size)], out.dtype)
        block.stmts.append(Nest(out, (*out.prefix, *index), axes, value))
    elif axis < len(shape) - 1 and shape[-1] >= _ROW:
        _beside(block, out, axes, index, size, at)
    elif size >= _LONG and all(d == 1 for d in rest):
        step = size // _PARTS
        parts = View(block.shared.temp((_PARTS + size % _PARTS,), out.dtype))
        where = [Affine()] * len(rest)

        def part(i: Sequence[Affine]) -> Expr:
            return source([*where[:axis], i[0] * step + i[1], *where[axis:]])

        first = View(block.shared.temp((_PARTS,), out.dtype))
        _along(block, first, part, (_PARTS, step), 1)
        loops, (k,) = block.domain((_PARTS,))
        block.stmts.append(Nest(parts, (k,), loops, block.exprs.load(first.buffer, (k,))))
        for n in range(size % _PARTS):
            value = source([*where[:axis], Affine(_PARTS * step + n), *where[axis:]])
            block.stmts.append(Nest(parts, (Affine(_PARTS + n),), [], value))
        _along(
            block,
            out,
            lambda i: block.exprs.load(parts.buffer, (i[axis],)),
            _with_axis(parts, rest, axis),
            axis,
        )
    else:
        _in_lanes(block, out, rest, axes, index, size, at)


def _with_axis(parts: View, rest: Sequence[int], axis: int) -> list[int]:
    return [*rest[:axis], parts.shape[0], *rest[axis:]]


def _tree(block: Block, factors: list[Expr], dtype: DType) -> Expr:
    if not factors:
        return block.const(1, dtype)
    while len(factors) > 1:
        pairs = [block.op("mul", *factors[i : i + 2]) for i in range(0, len(factors) - 1, 2)]
        factors = [*pairs, *factors[len(pairs) * 2 :]]
    return factors[0]


def _beside(
    block: Block,
    out: View,
    axes: list[Axis],
    index: Sequence[Affine],
    size: int,
    at: Callable[[Affine], Expr],
) -> None:
    """Products for all elements of a row, one factor of each after the other."""
    *outer, row = axes
    place = (*out.prefix, *index)
    k = Axis(size, "p")
    before = block.exprs.load(out.buffer, place)
    body: list[Stmt] = [For(row, 0, row.size, [Store(out.buffer, place, at(Affine()))])]
    step = Store(out.buffer, place, block.op("mul", before, at(Affine.of(k))))
    body.append(For(k, 1, size, [For(row, 0, row.size, [step])], ordered=True))
    for axis in reversed(outer):
        body = [For(axis, 0, axis.size, body)]
    block.stmts += [nest.parallelise(s) for s in body]


def _in_lanes(
    block: Block,
    out: View,
    rest: Sequence[int],
    axes: list[Axis],
    index: Sequence[Affine],
    size: int,
    at: Callable[[Affine], Expr],
) -> None:
    """Products of every so many elements, side by side, and the product of these."""
    lanes = min(_LANES, 1 << (size.bit_length() - 2))
    whole, left = divmod(size, lanes)
    temp = block.shared.temp((*rest, lanes), out.dtype)
    lane, k = Axis(lanes, "q"), Axis(whole, "p")
    place = (*index, Affine.of(lane))
    before = block.exprs.load(temp, place)

    def times(start: Affine, count: int) -> Stmt:
        value = at(start + Affine.of(lane))
        if start.terms or start.const:
            value = block.op("mul", before, value)
        return For(lane, 0, count, [Store(temp, place, value)])

    body = [times(Affine(), lanes)]
    body.append(For(k, 1, whole, [times(Affine.of(k) * lanes, lanes)], ordered=True))
    if left:
        body.append(times(Affine(whole * lanes), left))
    while lanes > 1:
        lanes //= 2
        value = block.op("mul", before, block.exprs.load(temp, (*index, Affine.of(lane) + lanes)))
        body.append(For(lane, 0, lanes, [Store(temp, place, value)]))
    result = block.exprs.load(temp, (*index, Affine()))
    body.append(Store(out.buffer, (*out.prefix, *index), result))
    for axis in reversed(axes):
        body = [For(axis, 0, axis.size, body)]
    block.stmts += [nest.parallelise(s) for s in body]


# ----------------------------------------------------------------------------------------- products of matrices


class Planes:
    """An operand as a real array in memory, its parts beside each other: what dot products take for an operand."""

    def __init__(self, block: Block, buffer: Buffer):
        self.block, self.stored = block, View(buffer)
        self.aval = ShapedArray(buffer.shape, buffer.dtype)

    def at(self, index: Sequence[Affine]) -> Expr:
        return self.block.exprs.load(self.stored.buffer, index)

    def view(self) -> View:
        return self.stored


def planes(
    block: Block,
    operand: Operand,
    dtype: DType,
    order: Sequence[int],
    summed: int,
    doubled: int | None,
    *,
    right: bool,
) -> Planes:
    """Append what brings an operand, as numbers of a complex dtype, to an array with the axes in an order.

    A new axis in front of axis `summed` of these counts the parts. With `doubled` it is [[re, -im], [im, re]], and
    another axis, in front of axis `doubled`, counts the rows of that: if both are in front of one axis, as the second
    of them in the right operand, and the first in the left one.
    """
    shape = [operand.aval.shape[d] for d in order]
    axes, index = block.domain(shape)
    position = [index[list(order).index(d)] for d in range(len(order))]
    value = block.try_at(operand, position)
    if value is None:
        operand.view()
        value = operand.at(position)
    re, im = complexes.parts(block.exprs, block.op("convert", value, dtype=dtype))
    table = [[re, block.op("neg", im)], [im, re]] if doubled is not None else [[re, im]]

    def placed(around: Sequence[Any], row: Any, part: Any) -> list[Any]:
        found = []
        for n in range(len(shape) + 1):
            new = [row] * (n == doubled), [part] * (n == summed)
            found += [*new[right], *new[not right]]
            found += [around[n]] if n < len(shape) else []
        return found

    buffer = block.shared.temp(placed(shape, 2, 2), re.dtype)
    for row, parts in enumerate(table):
        for part, value in enumerate(parts):
            where = placed(index, Affine(row), Affine(part))
            block.stmts.append(Nest(View(buffer), where, axes, value))
    return Planes(block, buffer)
