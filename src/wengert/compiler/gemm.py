"""Products of matrices as loops: one factor in panels that stay in the cache, a block of results in registers.

All of it runs on the worker team, so that nothing waits for threads of a library, and the loops around a product
can be its loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from wengert.compiler import nest, tile
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import DType, For, Stmt, Store
from wengert.compiler.tile import Dim, Place, Plan, Sum

if TYPE_CHECKING:
    from wengert.compiler.lower import Block

_DEPTH = 256  # of a panel: with the lanes it takes half of the first cache
_PASSES = 4  # times that a factor is read, from which it is worth putting in panels
_NEAR_BYTES = 48 << 10  # of a factor that stays in the first cache anyhow
_MANY = 8  # panels from which threads share these rather than blocks of rows


class Product(NamedTuple):
    """out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n].

    `batch` are axes as in `tile`. Of m, n and k there are sizes, and steps in the arrays that they belong to: m in a
    and out, n in b, k in a and b. Results that are neighbours along n are neighbours in memory.
    """

    out: Place
    a: Place
    b: Place
    batch: tuple[Dim, ...]
    m: tuple[int, int, int]
    n: tuple[int, int]
    k: tuple[int, int, int]


def lower(block: Block, product: Product) -> None:
    """Append the loops of a product."""
    _Lowering(block, product).run()


def in_panels(block: Block, product: Product, width: int) -> list[Stmt]:
    """The loops of a product of two matrices, of which b is in panels already, of all k and so many columns."""
    return _Lowering(block, product, width).of_panels()


def width_of(m: int, n: int, dtype: DType) -> int:
    """How many columns of n the panels have for products with m rows."""
    lanes = tile.VECTOR_BYTES // dtype.itemsize
    # two vectors along a row, unless there are too few rows, or columns, for a block of that shape
    most = tile.REGISTERS * 3 // 4
    shapes = (v for v in (8, 4, 2) if v == 2 or (m * v <= most and n >= v * lanes))
    return lanes * (1 if n <= lanes else next(shapes))


class _Lowering:
    def __init__(self, block: Block, product: Product, width: int = 0):
        self.block, self.product = block, product
        dtype, m, n = product.out.buffer.dtype, product.m[0], product.n[0]
        self.width = width or width_of(m, n, dtype)
        vectors = self.width * dtype.itemsize // tile.VECTOR_BYTES
        self.rows = _part(m, tile.REGISTERS * 3 // 4 // vectors)
        self.lanes = min(self.width, 1 << (n.bit_length() - 1))
        # step from panel to panel, and from row to row in them
        self.steps = (self.width * product.n[1], product.k[2])
        self.b, self.batch = product.b, product.batch

    def of_panels(self) -> list[Stmt]:
        p = self.product
        self.steps = (self.width * p.k[0], 0)
        return self.matrices(p.out, p.a, p.b)

    def run(self) -> None:
        p = self.product
        far = p.n[0] * p.k[0] * p.out.buffer.dtype.itemsize > _NEAR_BYTES
        if p.n[1] != 1 or (far and p.m[0] > _PASSES * self.rows):
            self.pack()
        axes = [Axis(d.size, f"b{n}") for n, d in enumerate(self.batch)]
        places = []
        for place, which in ((self.product.out, "out"), (self.product.a, "a"), (self.b, "b")):
            offset = place.offset
            for axis, d in zip(axes, self.batch, strict=True):
                offset = offset + Affine.of(axis) * getattr(d, which)
            places.append(place._replace(offset=offset))
        body = self.matrices(*places)
        for axis in reversed(axes):
            body = [For(axis, 0, axis.size, body, lanes=1)]
        self.block.stmts += [nest.parallelise(s) for s in body]

    # ---- panels

    def pack(self) -> None:
        """Bring b into panels: all of k, a few columns."""
        p = self.product
        (n, step), k = p.n, p.k[0]
        # a dimension that only moves a does not repeat panels
        sizes = [d.size if d.b else 1 for d in p.batch]
        strides, total = [0] * len(sizes), n * k
        for i in reversed(range(len(sizes))):
            strides[i] = total if sizes[i] > 1 else 0
            total *= sizes[i]
        buffer = self.block.shared.temp([total], p.out.buffer.dtype)
        axes = {i: Axis(size, f"b{i}") for i, size in enumerate(sizes) if size > 1}
        source, to = p.b.offset, Affine()
        for i, axis in axes.items():
            source, to = source + Affine.of(axis) * p.batch[i].b, to + Affine.of(axis) * strides[i]

        def panel(number: Affine, width: int) -> list[Stmt]:
            row, lane = Axis(k, "k"), Axis(width, "j")
            at = source + number * (self.width * step) + Affine.of(row) * p.k[2] + Affine.of(lane) * step
            place = to + number * (self.width * k) + Affine.of(row) * width + Affine.of(lane)
            store = Store(buffer, (place,), self.block.exprs.load(p.b.buffer, (at,)))
            return [For(row, 0, k, [For(lane, 0, width, [store])], lanes=1)]

        body = self.panels(panel)
        for axis in reversed(axes.values()):
            body = [For(axis, 0, axis.size, body, lanes=1)]
        self.block.stmts += [nest.parallelise(s) for s in body]
        self.b = Place(buffer, Affine())
        self.batch = tuple(d._replace(b=s) for d, s in zip(p.batch, strides, strict=True))
        self.steps = (self.width * k, 0)

    def panels(self, body: Callable[[Affine, int], list[Stmt]]) -> list[Stmt]:
        """Loops over whole panels, and what is left."""
        return parts(self.product.n[0], self.width, "p", body)

    # ---- the product

    def matrices(self, out: Place, a: Place, b: Place) -> list[Stmt]:
        """The product of two matrices: panels and blocks of rows, of which threads share the more numerous."""
        p = self.product

        def one(panel: Affine, width: int, rows: Affine, count: int) -> list[Stmt]:
            moved_out = out.offset + panel * self.width + rows * (p.m[2] * self.rows)
            moved_a = a.offset + rows * (p.m[1] * self.rows)
            moved_b = b.offset + panel * self.steps[0]
            return self.deep(
                out._replace(offset=moved_out),
                a._replace(offset=moved_a),
                b._replace(offset=moved_b),
                width,
                count,
            )

        def blocks(body: Callable[[Affine, int], list[Stmt]]) -> list[Stmt]:
            return parts(p.m[0], self.rows, "r", body)

        panels = p.n[0] // self.width
        if panels >= _MANY or panels > p.m[0] // self.rows:
            return self.panels(lambda j, width: blocks(lambda i, count: one(j, width, i, count)))
        return blocks(lambda i, count: self.panels(lambda j, width: one(j, width, i, count)))

    def deep(self, out: Place, a: Place, b: Place, width: int, rows: int) -> list[Stmt]:
        """A block of results, summed up in parts of k that stay in the first cache."""
        p = self.product
        depth = p.k[0]
        step = self.steps[1] or width
        part = _part(depth, _DEPTH) if depth > _DEPTH * 3 // 2 else depth

        def sums(start: Affine, size: int) -> list[Stmt]:
            total = Sum(
                out,
                a._replace(offset=a.offset + start * p.k[1]),
                b._replace(offset=b.offset + start * step),
                (Dim(width, 0, 1, 1), Dim(rows, p.m[1], 0, p.m[2])),
                (Dim(size, p.k[1], step, 0),),
            )
            lanes = min(self.lanes, 1 << (width.bit_length() - 1))
            return tile.loops(self.block, total, Plan(0, lanes, ((1, rows),), 0.0), add=part < depth)

        whole, left = divmod(depth, part)
        if part == depth:
            return sums(Affine(), part)
        # parts are added to zeros, so that there is one piece of code for all of them
        row, lane, axis = Axis(rows, "i"), Axis(width, "j"), Axis(whole, "d")
        where = out.offset + Affine.of(row) * p.m[2] + Affine.of(lane)
        zero = Store(out.buffer, (where,), self.block.exprs.const(0, out.buffer.dtype))
        found: list[Stmt] = [For(row, 0, rows, [For(lane, 0, width, [zero])], lanes=1)]
        found.append(For(axis, 0, whole, sums(Affine.of(axis) * part, part), ordered=True, lanes=1))
        return found + (sums(Affine(whole * part), left) if left else [])


def _part(size: int, most: int) -> int:
    """Into parts of which size an axis is cut: equal ones if that is possible without many more of them."""
    count = -(-size // most)
    equal = next((n for n in range(count, count * 3 // 2 + 1) if size % n == 0), count)
    return -(-size // equal)


def parts(size: int, part: int, name: str, body: Callable[[Affine, int], list[Stmt]]) -> list[Stmt]:
    """A loop over whole parts of an axis, and what is left. `body` is given the number of a part and its size."""
    whole, left = divmod(size, part)
    found: list[Stmt] = []
    if whole > 1:
        axis = Axis(whole, name)
        found.append(For(axis, 0, whole, body(Affine.of(axis), part), lanes=1))
    elif whole:
        found += body(Affine(), part)
    if left:
        found += body(Affine(whole), left)
    return found
