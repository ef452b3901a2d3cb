"""Lowering of dot products: a nest where they are small or thin, BLAS where they are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from wengert.compiler import complex_products, complexes, gemm
from wengert.compiler.affine import Affine, Axis, Symbol
from wengert.compiler.loops import Buffer, Call, DType, Expr, Gemm, Nest, View, accumulator
from wengert.compiler.tile import Dim, Place, merged
from wengert.core.avals import ShapedArray

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_LARGE = 1 << 31  # multiplications from which a library, which cuts all three axes for the caches, is faster
_FEW, _LANES = 1024, 8  # multiplications, and columns of the result, from which blocks in registers pay
_SMALL = 8192  # multiplications up to which a nest beats the call of a library
# Of complex numbers: multiplications, and rows or columns, up to which copies of the parts cost more than they gain
_COMPLEX, _THIN = 4096, 4
_BLAS = ("float32", "float64")
Axes: TypeAlias = tuple[Sequence[int], Sequence[int]]


def lower_dot(
    block: Block,
    out: View,
    lhs: Operand,
    rhs: Operand,
    contracting: tuple[Sequence[int], Sequence[int]],
    batch: tuple[Sequence[int], Sequence[int]],
) -> None:
    """Append what computes a dot_general into `out`, whose axes are batch axes, free axes of lhs, those of rhs."""
    free_l = [d for d in range(lhs.aval.ndim) if d not in contracting[0] and d not in batch[0]]
    free_r = [d for d in range(rhs.aval.ndim) if d not in contracting[1] and d not in batch[1]]
    m, n = _size(lhs, free_l), _size(rhs, free_r)
    k, b = _size(lhs, contracting[0]), _size(lhs, batch[0])
    if out.dtype.kind == "c" and min(m, n) > _THIN and m * n * k > _COMPLEX:
        _complex(block, out, lhs, rhs, contracting, batch, free_l, free_r)
        return
    same = lhs.aval.dtype == rhs.aval.dtype == out.dtype
    whole = out.dtype.kind in "iu" and out.dtype.itemsize > 1
    blas = same and out.dtype.name in _BLAS
    registers = whole or accumulator(out.dtype).name in _BLAS
    if registers and not (blas or (same and whole)) and min(m, n) > 1 and m * n * k > _SMALL:
        _widened(block, out, lhs, rhs, contracting, batch)
        return
    products = b * m * n * k
    tiled = min(m, k) > 1 and n >= _LANES and products > _FEW
    if tiled and ((blas and products < _LARGE) or (same and whole)):
        _tiles(block, out, lhs, rhs, contracting, batch, free_l, free_r)
        return
    if not blas or min(m, n) == 1 or m * n * k <= _SMALL or products == 0:
        _nest(block, out, lhs, rhs, contracting, batch, free_l, free_r)
        return
    a, a_offset, a_strides = _matrix(block, lhs, batch[0], free_l, contracting[0])
    b_, b_offset, b_strides = _matrix(block, rhs, batch[1], contracting[1], free_r)
    call = Gemm(b, m, n, k, (a_offset, b_offset), (a_strides, b_strides, (m * n, n, 1)))
    block.stmts.append(Call("gemm", [View(a), View(b_)], [out], call))


def _tiles(
    block: Block,
    out: View,
    lhs: Operand,
    rhs: Operand,
    contracting: Axes,
    batch: Axes,
    free_l: Sequence[int],
    free_r: Sequence[int],
) -> None:
    """Blocks of results in registers."""
    a, batch_a, (row_a, col_a) = _regular(block, lhs, batch[0], free_l, contracting[0])
    b, batch_b, (row_b, col_b) = _regular(block, rhs, batch[1], contracting[1], free_r)
    m, n, k = _size(lhs, free_l), _size(rhs, free_r), _size(lhs, contracting[0])
    sizes = [lhs.aval.shape[d] for d in batch[0]]
    dims = []
    step = m * n * math.prod(sizes)
    for size, step_a, step_b in zip(sizes, batch_a, batch_b, strict=True):
        step //= size
        dims.append(Dim(size, step_a, step_b, step))
    place = Place(out.buffer, out.offset)
    gemm.lower(block, gemm.Product(place, a, b, merged(dims), (m, row_a, n), (n, col_b), (k, col_a, row_b)))


def _regular(
    block: Block, operand: Operand, batch: Sequence[int], rows: Sequence[int], cols: Sequence[int]
) -> tuple[Place, list[int], tuple[int, int]]:
    """The operand as matrices in memory: where, steps of the batch axes, of rows and columns; copied if irregular."""
    order = [*batch, *rows, *cols]
    for attempt in range(2):
        _, index = block.domain(operand.aval.shape)
        found = block.strides(operand, index)
        if found is not None:
            buffer, offset = found
            mine = {t: d for d, i in enumerate(index) for t, _ in i.terms}
            steps = [0] * len(index)
            for term, c in offset.terms:
                if term in mine:
                    steps[mine[term]] = c
            merged_rows, merged_cols = _merged(operand, rows, steps), _merged(operand, cols, steps)
            if merged_rows is not None and merged_cols is not None:
                outer = tuple(tc for tc in offset.terms if tc[0] not in mine)
                place = Place(buffer, Affine(offset.const, outer))
                return place, [steps[d] for d in batch], (merged_rows, merged_cols)
        if attempt == 0 and found is None:
            operand.view()
    packed = block.shared.temp([operand.aval.shape[d] for d in order], operand.aval.dtype)
    axes, index = block.domain(packed.shape)
    block.stmts.append(
        Nest(View(packed), index, axes, operand.at([index[order.index(d)] for d in range(len(order))]))
    )
    strides = packed.strides
    n_cols = _size(operand, cols)
    return Place(packed, Affine()), list(strides[: len(batch)]), (n_cols, 1)


class _Converted:
    """An operand in memory, in another dtype."""

    def __init__(self, block: Block, operand: Operand, dtype: DType):
        self.block = block
        self.aval = ShapedArray(operand.aval.shape, dtype)
        self.stored = View(block.shared.temp(operand.aval.shape, dtype))
        axes, index = block.domain(operand.aval.shape)
        value = block.try_at(operand, index)
        if value is None:
            operand.view()
            value = operand.at(index)
        block.stmts.append(Nest(self.stored, index, axes, block.op("convert", value, dtype=dtype)))

    def at(self, index: Sequence[Affine]) -> Expr:
        return self.block.exprs.load(self.stored.buffer, index)

    def view(self) -> View:
        return self.stored


def _widened(block: Block, out: View, lhs: Operand, rhs: Operand, contracting: Axes, batch: Axes) -> None:
    """The product in the dtype in which the library computes, of copies of the operands."""
    wide = accumulator(out.dtype)
    a, b = (o if o.aval.dtype == wide else _Converted(block, o, wide) for o in (lhs, rhs))
    total = out if out.dtype == wide else View(block.shared.temp(out.shape, wide))
    lower_dot(block, total, a, b, contracting, batch)  # type: ignore[arg-type]
    if total is not out:
        axes, index = block.domain(out.shape)
        value = block.op("convert", block.exprs.load(total.buffer, index), dtype=out.dtype)
        block.stmts.append(Nest(out, (*out.prefix, *index), axes, value))


def _complex(
    block: Block,
    out: View,
    lhs: Operand,
    rhs: Operand,
    contracting: Axes,
    batch: Axes,
    free_l: Sequence[int],
    free_r: Sequence[int],
) -> None:
    """The product of complex matrices, as one of real matrices: see `complex_products`."""
    b, k, m = len(batch[0]), len(contracting[0]), len(free_l)
    larger_l = math.prod(lhs.aval.shape) >= math.prod(rhs.aval.shape)
    left = complex_products.planes(
        block,
        lhs,
        out.dtype,
        [*batch[0], *free_l, *contracting[0]],
        b + m,
        None if larger_l else b,
        right=False,
    )
    right = complex_products.planes(
        block,
        rhs,
        out.dtype,
        [*batch[1], *contracting[1], *free_r],
        b,
        b + k if larger_l else None,
        right=True,
    )
    # behind the batch axes: those of the free ones, with the parts of the result in front of one group
    where = b + m if larger_l else b
    shape = [*out.shape[:where], 2, *out.shape[where:]]
    total = View(block.shared.temp(shape, left.aval.dtype))
    first = b + m + (0 if larger_l else 1)
    summed = tuple(range(first, first + k + 1)), tuple(range(b, b + k + 1))
    each = tuple(range(b))
    lower_dot(block, total, left, right, summed, (each, each))  # type: ignore[arg-type]
    axes, index = block.domain(out.shape)
    re, im = (block.exprs.load(total.buffer, (*index[:where], Affine(p), *index[where:])) for p in range(2))
    value = complexes.join(block.exprs, re, im, out.dtype)
    block.stmts.append(Nest(out, (*out.prefix, *index), axes, value))


def _size(operand: Operand, axes: Sequence[int]) -> int:
    return math.prod(operand.aval.shape[d] for d in axes)


def _nest(
    block: Block,
    out: View,
    lhs: Operand,
    rhs: Operand,
    contracting: tuple[Sequence[int], Sequence[int]],
    batch: tuple[Sequence[int], Sequence[int]],
    free_l: Sequence[int],
    free_r: Sequence[int],
) -> None:
    """A nest that adds up the products."""
    axes, index = block.domain(out.shape)
    inner = [Axis(lhs.aval.shape[d], f"k{n}" if n else "k") for n, d in enumerate(contracting[0])]
    n_batch = len(batch[0])
    index_l: list[Affine] = [Affine()] * lhs.aval.ndim
    index_r: list[Affine] = [Affine()] * rhs.aval.ndim
    for n in range(n_batch):
        index_l[batch[0][n]] = index_r[batch[1][n]] = index[n]
    for n, d in enumerate(free_l):
        index_l[d] = index[n_batch + n]
    for n, d in enumerate(free_r):
        index_r[d] = index[n_batch + len(free_l) + n]
    for n, axis in enumerate(inner):
        value = Affine.of(axis) if axis.size != 1 else Affine()
        index_l[contracting[0][n]] = index_r[contracting[1][n]] = value
    used = [a for a in inner if a.size != 1]
    wide = accumulator(out.dtype)
    a = block.op("convert", _factor(block, lhs, index_l, _size(rhs, free_r)), dtype=wide)
    b = block.op("convert", _factor(block, rhs, index_r, _size(lhs, free_l)), dtype=wide)
    times, plus = ("and", "or") if out.dtype.kind == "b" else ("mul", "add")
    product = block.op(times, a, b)
    if used and out.dtype.kind == "c":
        complexes.add_up(block, out, index, axes, product, used)
        return
    zero = block.exprs.const(0, wide)
    if used:
        block.stmts.append(Nest(out, (*out.prefix, *index), axes, product, used, plus, zero))
    else:
        product = block.op("convert", product, dtype=out.dtype)
        block.stmts.append(Nest(out, (*out.prefix, *index), axes, product))


def _factor(block: Block, operand: Operand, index: Sequence[Affine], times: int) -> Expr:
    """The operand's value at an index. One that is computed, and would be many times, is stored first."""
    if times == 1 or block.strides(operand, index) is not None:
        value = block.try_at(operand, index)
        if value is not None:
            return value
    operand.view()
    return operand.at(index)


def _matrix(
    block: Block, operand: Operand, batch: Sequence[int], rows: Sequence[int], cols: Sequence[int]
) -> tuple[Buffer, Affine, tuple[int, int, int]]:
    """The operand as a batch of matrices in memory: buffer, offset, strides. It is copied if they are irregular."""
    _, index = block.domain(operand.aval.shape)
    found = block.strides(operand, index)
    if found is None:
        operand.view()
        found = block.strides(operand, index)
    assert found is not None
    buffer, offset = found
    mine = {t: d for d, i in enumerate(index) for t, _ in i.terms}
    steps = [0] * len(index)
    outer = []
    for term, c in offset.terms:
        if term in mine:
            steps[mine[term]] = c
        else:
            outer.append((term, c))
    strides = [_merged(operand, group, steps) for group in (batch, rows, cols)]
    if (
        None not in strides
        and _fits(strides[1] or 0, strides[2] or 0, _size(operand, rows), _size(operand, cols))
        and not any(isinstance(t, Symbol) for t, _ in outer)
    ):
        return buffer, Affine(offset.const, tuple(outer)), tuple(strides)  # type: ignore[return-value]
    order = [*batch, *rows, *cols]
    packed = block.shared.temp([operand.aval.shape[d] for d in order], operand.aval.dtype)
    axes, index = block.domain(packed.shape)
    position = [index[order.index(d)] for d in range(len(order))]
    block.stmts.append(Nest(View(packed), index, axes, operand.at(position)))
    n_cols = _size(operand, cols)
    return packed, Affine(), (_size(operand, rows) * n_cols, n_cols, 1)


def _merged(operand: Operand, group: Sequence[int], strides: Sequence[int]) -> int | None:
    """The stride of the axes of a group taken as one; None if there is none."""
    sized = [(operand.aval.shape[d], strides[d]) for d in group if operand.aval.shape[d] != 1]
    if not sized:
        return 1
    for (_, outer), (size, inner) in pairwise(sized):
        if outer != size * inner:
            return None
    return sized[-1][1]


def _fits(row_stride: int, col_stride: int, rows: int, cols: int) -> bool:
    """Whether BLAS takes a matrix with these strides: one is 1, the other at least the length of a line."""
    return (col_stride == 1 and row_stride >= cols) or (row_stride == 1 and col_stride >= rows)
