"""Lowering of sorting, of the greatest elements, and of the places of extrema.

Keys become integers in the order of the keys. Those of up to 32 bits share a 64-bit integer with their place in
the row: such integers are all different, so that any sort of them is a stable one, and the place says where the
other operands are. Wider keys are sorted through an array of places. Complex numbers are in the order of their real
parts, then of their imaginary ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wengert.compiler import complexes
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import (
    BOOL,
    I32,
    I64,
    Branch,
    Buffer,
    Call,
    DType,
    Expr,
    Nest,
    RowSort,
    View,
    is_native,
)

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_SHORT = 128  # elements of a row up to which places are sorted with the keys, whatever there is to sort
_MOST = 2**31  # elements of a row whose places are 32-bit integers


def sort_key(block: Block, x: Expr) -> Expr:
    """An integer of 32 or 64 bits for a number, in the same order: NaN is last, zeros of both signs are equal."""
    dtype = x.dtype
    if dtype.name == "uint64":
        return block.op("xor", block.op("bitcast", x, dtype=I64), block.const(-(2**63), I64))
    if dtype.kind in "iub":
        wide = dtype.itemsize == 8 or dtype.name == "uint32"
        return block.op("convert", x, dtype=I64 if wide else I32)
    if dtype.itemsize < 4:
        x = block.op("convert", x, dtype=np.float32)
    whole, infinity = (I32, 0x7F800000) if x.dtype.itemsize == 4 else (I64, 0x7FF << 52)
    bits = block.op("bitcast", x, dtype=whole)
    high = block.const(np.iinfo(whole).max, whole)
    # compared as integers, since the processor may take denormal numbers for zero
    nan = block.op("gt", block.op("and", bits, high), block.const(infinity, whole))
    bits = block.op("select", nan, high, bits)
    bits = block.op(
        "select",
        block.op("eq", bits, block.const(np.iinfo(whole).min, whole)),
        block.const(0, whole),
        bits,
    )
    sign = block.op("shr_arithmetic", bits, block.const(8 * whole.itemsize - 1, whole))
    return block.op("xor", bits, block.op("and", sign, high))


def _sort_keys(block: Block, x: Expr) -> list[Expr]:
    """Integers of 64 bits in the order of a number, the first of them first; several of complex numbers.

    Those without NaN are first, then those with one as imaginary part, as real part, and as both.
    """
    if x.dtype.kind != "c":
        return [block.op("convert", sort_key(block, x), dtype=I64)]
    re, im = complexes.parts(block.exprs, x)
    first, second = sort_key(block, re), sort_key(block, im)
    whole = first.dtype
    most = int(np.iinfo(whole).max)  # the key of NaN
    both, none = block.op("ne", re, re), block.op("eq", im, im)
    behind = block.op("select", none, block.const(most - 1, whole), block.const(most, whole))
    primary = block.op("select", both, behind, block.op("select", none, first, block.const(most - 2, whole)))
    secondary = block.op("select", none, second, block.op("select", both, block.const(0, whole), first))
    if whole == I64:
        return [primary, secondary]
    low = block.op("add", block.op("convert", secondary, dtype=I64), block.const(2**31, I64))
    return [_packed(block, primary, low)]


def _number(block: Block, key: Expr, dtype: DType) -> Expr:
    """The number of a key of a float32 or float64."""
    whole = key.dtype
    sign = block.op("shr_arithmetic", key, block.const(8 * whole.itemsize - 1, whole))
    bits = block.op("xor", key, block.op("and", sign, block.const(np.iinfo(whole).max, whole)))
    return block.op("bitcast", bits, dtype=dtype)


def _bits(dtype: DType) -> int:
    """The bits of the order of a dtype."""
    return 8 * dtype.itemsize


class _Rows:
    """The rows along one axis of a shape: an array of them has this axis last."""

    def __init__(self, block: Block, shape: Sequence[int], axis: int):
        self.block = block
        self.axis = axis
        self.n = shape[axis]
        self.outer = [d for i, d in enumerate(shape) if i != axis]
        self.count = int(np.prod(self.outer, dtype=np.int64))

    def temp(self, dtype: DType) -> Buffer:
        return self.block.shared.temp((*self.outer, self.n), dtype)

    def index(self, kept: int | None = None) -> tuple[list[Axis], list[Affine], list[Affine]]:
        """Loop axes for the rows or their first `kept` elements, the index of the rows and of the operands."""
        axes, rows = self.block.domain((*self.outer, self.n if kept is None else kept))
        return axes, rows, [*rows[: self.axis], rows[-1], *rows[self.axis : -1]]

    def fill(self, buffer: Buffer, value: Expr, axes: list[Axis], rows: list[Affine]) -> None:
        self.block.stmts.append(Nest(View(buffer), rows, axes, value))

    def sort(self, buffer: Buffer | View, least: int | None = None) -> None:
        view = buffer if isinstance(buffer, View) else View(buffer)
        job = RowSort(self.count, self.n, least)
        self.block.stmts.append(Call("sort", [view], [view], job))

    def argsort(self, keys: Buffer, order: Buffer, again: bool = False) -> None:
        inputs = [View(keys), View(order)] if again else [View(keys)]
        self.block.stmts.append(
            Call("argsort", inputs, [View(order)], RowSort(self.count, self.n, again=again))
        )

    def place(self, kept: int, at: Expr) -> Expr:
        return self.block.op("convert", at, dtype=I64)


def _packed(block: Block, key: Expr, place: Expr) -> Expr:
    """A key of 32 bits, above the place."""
    high = block.op("shl", block.op("convert", key, dtype=I64), block.const(32, I64))
    return block.op("or", high, place)


def _place(block: Block, packed: Expr) -> Expr:
    return block.op("and", packed, block.const(0xFFFFFFFF, I64))


def _fits(dtype: DType) -> bool:
    """Whether keys of the dtype have 32 bits, once they are signed ones."""
    return _bits(dtype) <= 32 if dtype.kind != "f" else dtype.itemsize <= 4


def _small_key(block: Block, x: Expr) -> Expr:
    """The key as a 32-bit integer in the order of signed ones."""
    key = sort_key(block, x)
    if key.dtype == I64:  # of a uint32
        key = block.op("sub", key, block.const(2**31, I64))
    return key


def can_sort(operands: Sequence[Operand], dimension: int, num_keys: int) -> bool:
    """Whether there is native code for a sort."""
    dtypes = [o.aval.dtype for o in operands]
    if not all(map(is_native, dtypes)) or any(d.kind not in "biufc" for d in dtypes[:num_keys]):
        return False
    if any(d.kind == "f" and d.itemsize == 1 for d in dtypes[:num_keys]):
        return False
    return operands[0].aval.shape[dimension] < _MOST


def lower_sort(
    block: Block, outs: Sequence[View], operands: Sequence[Operand], dimension: int, num_keys: int
) -> None:
    """Append a stable sort of several operands along one axis, by the first `num_keys` of them."""
    shape = operands[0].aval.shape
    if 0 in shape or shape[dimension] == 1:
        for out, x in zip(outs, operands, strict=True):
            block.assign(out, x.view())
        return
    rows = _Rows(block, shape, dimension)
    if len(operands) == 1:
        _sort_alone(rows, outs[0], operands[0])
        return
    _sort_together(rows, outs, operands, num_keys)


def _sort_together(rows: _Rows, outs: Sequence[View], operands: Sequence[Operand], num_keys: int) -> None:
    block = rows.block
    axes, at, index = rows.index()
    place = block.index(at[-1])
    order = rows.temp(I64)
    if num_keys == 1 and _fits(operands[0].aval.dtype):
        key = _small_key(block, operands[0].at(index))
        rows.fill(order, _packed(block, key, place), axes, at)
        rows.sort(order)
        found = _place(block, block.exprs.load(order, at))
    else:
        every = [key for x in operands[:num_keys] for key in _sort_keys(block, x.at(index))]
        if len(every) > 1:
            rows.fill(order, place, axes, at)
        for key in reversed(every):
            keys = rows.temp(I64)
            rows.fill(keys, key, axes, at)
            rows.argsort(keys, order, again=len(every) > 1)
        found = block.exprs.load(order, at)
    _take(rows, outs, operands, axes, index, found)


def _take(
    rows: _Rows,
    outs: Sequence[View],
    operands: Sequence[Operand],
    axes: list[Axis],
    index: list[Affine],
    place: Expr,
) -> None:
    """Append nests that store the elements at places of the rows."""
    block = rows.block
    where = block.coordinate(place, 0, rows.n)
    moved = [where if i == rows.axis else c for i, c in enumerate(index)]
    for out, x in zip(outs, operands, strict=True):
        x.view()
        block.stmts.append(Nest(out, (*out.prefix, *index), axes, x.at(moved)))


def _sort_alone(rows: _Rows, out: View, x: Operand) -> None:
    """Append a sort of one operand, whose elements are its keys."""
    dtype = x.aval.dtype
    if dtype.kind in "biu":
        _sort_whole(rows, out, x)
    elif rows.n <= _SHORT or dtype.kind == "c":
        _sort_together(rows, [out], [x], 1)
    else:
        # equal zeros keep their order, which only matters where there are negative ones
        block = rows.block
        flag, selector = (block.shared.temp((), d) for d in (BOOL, I32))
        x.view()
        axes, _, index = rows.index()
        value = x.at(index)
        zero = block.op("eq", value, block.const(0, dtype))
        whole = np.dtype(f"int{8 * dtype.itemsize}")
        negative = block.op("lt", block.op("bitcast", value, dtype=whole), block.const(0, whole))
        found = block.op("and", zero, negative)
        false = block.exprs.const(False, BOOL)
        block.stmts.append(Nest(View(flag), (), [], found, axes, "or", false))
        block.stmts.append(
            Nest(View(selector), (), [], block.op("convert", block.exprs.load(flag, ()), dtype=I32))
        )
        before, block.stmts = block.stmts, []
        _sort_numbers(rows, out, x)
        without, block.stmts = block.stmts, []
        _sort_together(rows, [out], [x], 1)
        with_zeros, block.stmts = block.stmts, before
        block.stmts.append(Branch(View(selector), [without, with_zeros]))


def _sort_whole(rows: _Rows, out: View, x: Operand) -> None:
    """Integers and bools: in the result's own memory, if their rows are consecutive there."""
    block = rows.block
    axes, at, index = rows.index()
    if rows.axis == len(x.aval.shape) - 1:
        block.stmts.append(Nest(out, (*out.prefix, *index), axes, x.at(index)))
        rows.sort(out)
        return
    temp = rows.temp(x.aval.dtype)
    rows.fill(temp, x.at(index), axes, at)
    rows.sort(temp)
    block.stmts.append(Nest(out, (*out.prefix, *index), axes, block.exprs.load(temp, at)))


def _sort_numbers(rows: _Rows, out: View, x: Operand) -> None:
    """Floats without negative zeros, as integers."""
    block = rows.block
    dtype = x.aval.dtype
    axes, at, index = rows.index()
    wide = np.dtype(np.float32) if dtype.itemsize < 4 else dtype
    keys = rows.temp(np.dtype(f"int{8 * wide.itemsize}"))
    rows.fill(keys, sort_key(block, x.at(index)), axes, at)
    rows.sort(keys)
    value = block.op("convert", _number(block, block.exprs.load(keys, at), wide), dtype=dtype)
    block.stmts.append(Nest(out, (*out.prefix, *index), axes, value))


def lower_top_k(block: Block, outs: Sequence[View], x: Operand, k: int, axis: int) -> None:
    """Append the k greatest elements along an axis, the greatest first, and their places."""
    if 0 in outs[0].shape:
        return
    rows = _Rows(block, x.aval.shape, axis)
    axes, at, index = rows.index()
    place = block.index(at[-1])
    order = rows.temp(I64)
    if _fits(x.aval.dtype):
        key = block.op("not", _small_key(block, x.at(index)))
        rows.fill(order, _packed(block, key, place), axes, at)
        rows.sort(order, least=k)
    else:
        keys = rows.temp(I64)
        rows.fill(keys, block.op("not", sort_key(block, x.at(index))), axes, at)
        rows.argsort(keys, order)
    axes, at, index = rows.index(k)
    found: Expr = block.exprs.load(order, at)
    if _fits(x.aval.dtype):
        found = _place(block, found)
    _take(rows, outs[:1], [x], axes, index, found)
    out = outs[1]
    block.stmts.append(Nest(out, (*out.prefix, *index), axes, block.op("convert", found, dtype=out.dtype)))


def lower_place_of_extremum(
    block: Block, out: View, x: Operand, axis: int, combine: str, start: object
) -> None:
    """Append the index of the first extremum along an axis; of the first NaN, if there is one."""
    shape, dtype = x.aval.shape, x.aval.dtype
    kept = [d for i, d in enumerate(shape) if i != axis]
    x.view()
    axes, at = block.domain((*kept, shape[axis]))
    index = [*at[:axis], at[-1], *at[axis:-1]]
    value = x.at(index)
    inner = [t for t in axes if any(t is term for term, _ in at[-1].terms)]
    outer = [t for t in axes if t not in inner]
    count = I32 if shape[axis] < _MOST else I64
    best, place = block.shared.temp(kept, dtype), block.shared.temp(kept, count)
    block.stmts.append(
        Nest(View(best), at[:-1], outer, value, inner, combine, block.exprs.const(start, dtype))
    )
    hit = block.op("eq", value, block.exprs.load(best, at[:-1]))
    if dtype.kind not in "biu":
        hit = block.op("or", hit, block.op("ne", value, value))
    last = block.exprs.const(shape[axis], count)
    where = block.op("select", hit, block.index(at[-1], count), last)
    block.stmts.append(Nest(View(place), at[:-1], outer, where, inner, "min", last))
    found = block.op("convert", block.exprs.load(place, at[:-1]), dtype=out.dtype)
    block.stmts.append(Nest(out, (*out.prefix, *at[:-1]), outer, found))
