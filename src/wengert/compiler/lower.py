"""A jaxpr to nests: from each root, pull the value at an index.

Broadcasts, transposes, slices, reversals, padding and concatenation become index arithmetic and `Piecewise`
expressions; nothing is copied for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wengert._lazy import lazy_module
from wengert.compiler import complexes, nest
from wengert.compiler.affine import Affine, Axis, Symbol, Term
from wengert.compiler.inplace import Plan, Planner
from wengert.compiler.loops import (
    I64,
    Accumulate,
    Buffer,
    Call,
    Const,
    DType,
    Expr,
    Exprs,
    For,
    Init,
    Load,
    Nest,
    Stmt,
    Store,
    View,
    accumulator,
    is_native,
)
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Atom, Eqn, Jaxpr, Literal, Var

# What most programs have none of is imported when it is met: a first call waits for the compiler's own files too.
if TYPE_CHECKING:
    from wengert.compiler import (
        complex_products,
        contract,
        control,
        convolve,
        fourier,
        matrices,
        scattering,
        sorting,
        ufuncs,
    )
else:
    complex_products, contract, control, convolve, fourier, matrices, scattering, sorting, ufuncs = (
        lazy_module(f"wengert.compiler.{name}")
        for name in (
            "complex_products",
            "contract",
            "control",
            "convolve",
            "fourier",
            "matrices",
            "scattering",
            "sorting",
            "ufuncs",
        )
    )


class SplitAxis(Exception):
    """An index is not affine in `axis`, but would be if the axis were split into (size // inner, inner)."""

    def __init__(self, axis: Axis, inner: int):
        super().__init__(axis, inner)
        self.axis = axis
        self.inner = inner


class Dynamic:
    """A coordinate that is computed: an integer expression whose value is in [lo, hi)."""

    __slots__ = ("block", "expr", "hi", "lo")

    def __init__(self, block: Block, expr: Expr, lo: int, hi: int):
        self.block, self.expr, self.lo, self.hi = block, expr, lo, hi

    def __add__(self, other: Coordinate | int) -> Dynamic:
        a, lo, hi = self.block.parts(other)
        return Dynamic(self.block, self.block.exprs.op("add", self.expr, a), self.lo + lo, self.hi + hi - 1)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Dynamic:
        expr = self.block.exprs.op("mul", self.expr, self.block.exprs.const(factor, I64))
        ends = (self.lo * factor, (self.hi - 1) * factor)
        return Dynamic(self.block, expr, min(ends), max(ends) + 1)

    __rmul__ = __mul__

    def __neg__(self) -> Dynamic:
        return self * -1

    def __sub__(self, other: Coordinate | int) -> Dynamic:
        return self + (-other)

    def __rsub__(self, other: Coordinate | int) -> Dynamic:
        return -self + other


Coordinate: TypeAlias = Affine | Dynamic
# A condition of `Block.piecewise`: lo <= coordinate < hi.
Range: TypeAlias = tuple[Coordinate, int, int]
Case: TypeAlias = tuple[tuple[Range, ...], Callable[[], Expr]]


class Operand:
    """What a `pull` or `emit` rule sees of an operand."""

    __slots__ = ("atom", "aval", "block")

    def __init__(self, block: Block, atom: Atom):
        self.block = block
        self.atom = atom
        self.aval: ShapedArray = atom.aval

    def at(self, index: Sequence[Coordinate]) -> Expr:
        """The value at an index with one coordinate per axis."""
        return self.block.value_at(self.atom, tuple(index))

    def at_offset(self, offset: Coordinate) -> Expr | None:
        """The value at an offset into the operand in C order, if the operand is stored; else None."""
        view = self.block.env.get(self.atom) if isinstance(self.atom, Var) else None
        if view is None or not isinstance(offset, Affine) or not view.shape:
            return None
        return self.block.exprs.load(view.buffer, (view.offset + offset,))

    @property
    def stored_view(self) -> View | None:
        """Where the operand is stored, if it is."""
        return self.block.env.get(self.atom) if isinstance(self.atom, Var) else None

    def view(self) -> View:
        """Where the operand is stored; for operands with access "stored"."""
        return self.block.stored(self.atom)


class Shared:
    """What all blocks of a program share."""

    def __init__(self) -> None:
        self.exprs = Exprs()
        self.temps: list[Buffer] = []
        self.symbols: dict[Expr, Symbol] = {}
        self.planner = Planner()
        self.in_place: list[Eqn] = []  # those that write to memory of an operand

    def temp(self, shape: Sequence[int], dtype: DType, name: str = "") -> Buffer:
        buffer = Buffer(shape, dtype, "temp", name or f"t{len(self.temps)}")
        self.temps.append(buffer)
        return buffer


class Block:
    """Lowers one jaxpr to a list of statements. Rules of primitives get it as `ctx`."""

    def __init__(
        self,
        shared: Shared,
        jaxpr: Jaxpr,
        env: dict[Var, View],
        outer: frozenset[Term] = frozenset(),
        plan: Plan | None = None,
    ):
        self.shared = shared
        self.exprs = shared.exprs
        self.jaxpr = jaxpr
        self.env = env
        self.plan = plan or shared.planner.plan(jaxpr, {})
        self.outer = outer  # axes of the sequential loops around the block
        self.deferred: dict[Var, tuple[Block, Atom]] = {}  # arguments that a block around this one computes
        self.stmts: list[Stmt] = []
        self.output = 0
        self.eqn: Eqn | None = None
        self._producer: dict[Var, tuple[Eqn, int]] = {}
        self._memo: dict[tuple[Var, tuple[Coordinate, ...]], Expr] = {}
        self._axes: dict[tuple[int, int], Axis] = {}
        self._homes: dict[Atom, View] = {}  # of variables that share their memory, by the first

    # ---------------------------------------------------------------- the driver

    def lower(self, targets: Sequence[View | None]) -> list[Stmt]:
        """The statements that compute the results into `targets` (None: not wanted there)."""
        place: dict[Var, View] = {}
        for atom, target in zip(self.jaxpr.outvars, targets, strict=True):
            if target is None or isinstance(atom, Literal) or atom in self.env or atom in self.deferred:
                continue
            if place.setdefault(atom, target) is target:
                self._homes.setdefault(self.plan.origin(atom), target)
        for atom in set(self.plan.taken.values()):
            if atom in self.env:
                self._homes[atom] = self.env[atom]
        for eqn in self.jaxpr.eqns:
            self._lower_eqn(eqn, place)
        for atom, target in zip(self.jaxpr.outvars, targets, strict=True):
            if target is not None and not (isinstance(atom, Var) and place.get(atom) is target):
                self.put(Operand(self, atom), target)
        return self.stmts

    def _lower_eqn(self, eqn: Eqn, place: dict[Var, View]) -> None:
        first = len(self.stmts)
        if self.plan.taken and any(v in self.plan.taken for v in eqn.outvars):
            self.shared.in_place.append(eqn)
        self.eqn = eqn
        loop_code = id(eqn) in self.plan.loop_code
        if loop_code and eqn.primitive.pulled and id(eqn) not in self.plan.updates:
            for n, v in enumerate(eqn.outvars):
                self._producer[v] = (eqn, n)
            for v in eqn.outvars:
                if v in self.plan.roots:
                    view = self._home(v)
                    self.store(v, view)
                    self.env[v] = view
        else:
            wanted = [self._home(v) for v in eqn.outvars]
            views = self._emit(eqn, wanted, loop_code and eqn.primitive.reducer is not None)
            self.env.update(zip(eqn.outvars, views, strict=True))
            for v, view in zip(eqn.outvars, views, strict=True):
                if v in place and not view.is_at(place[v]):
                    self.store(v, place[v])
        for stmt in self.stmts[first:]:
            if stmt.source is None:
                stmt.source = eqn

    def _home(self, v: Var) -> View:
        """Where a variable is to be stored: with those that share its memory."""
        first = self.plan.origin(v)
        found = self._homes.get(first)
        if found is None:
            found = self._homes[first] = View(self.shared.temp(v.aval.shape, v.aval.dtype))
        return found

    def _emit(self, eqn: Eqn, wanted: list[View], reduction: bool) -> Sequence[View]:
        """Append what computes an equation that isn't pulled; returns where its results are."""
        operands = [Operand(self, a) for a in eqn.invars]
        if reduction:
            self.reduce(wanted[0], operands[0], eqn)
            return wanted
        found: Sequence[View] | None = None
        if eqn.primitive.emit is not None:
            found = eqn.primitive.emit(self, wanted, *operands, **eqn.params)
        if found is None:
            self.host_call(eqn, wanted)
            return wanted
        return found

    def store(self, atom: Atom, view: View) -> None:
        """Append the nest that stores a value in `view`."""
        if not is_native(atom.aval.dtype):
            if isinstance(atom, Literal):
                self.stmts.append(Call("host", [], [view], HostFill(atom.val)))
            else:
                self.stmts.append(Call("copy", [self.stored(atom)], [view]))
            return
        axes, index = self.domain(atom.aval.shape)
        while True:
            try:
                value = self.value_at(atom, tuple(index))
                break
            except SplitAxis as split:
                axes, index = _split(axes, index, split)
        self.stmts.append(Nest(view, (*view.prefix, *index), axes, value))

    def assign(self, to: View, source: View) -> None:
        """Append the nest that copies one view to another."""
        axes, index = self.domain(to.shape)
        value = self.exprs.load(source.buffer, (*source.prefix, *index))
        self.stmts.append(Nest(to, (*to.prefix, *index), axes, value))

    def assign_any(self, to: View, source: View) -> None:
        """The same for any dtype."""
        if is_native(to.dtype):
            self.assign(to, source)
        else:
            self.stmts.append(Call("copy", [source], [to]))

    def wants(self, n: int) -> bool:
        """Whether result n of the equation that is being lowered is used."""
        return self.eqn is None or self.plan.is_read(self.eqn.outvars[n])

    def put(self, operand: Operand, view: View) -> None:
        """Append what brings an operand's value to a view, if it is not there."""
        stored = operand.stored_view
        if stored is None or not stored.is_at(view):
            self.store(operand.atom, view)

    def domain(self, shape: Sequence[int]) -> tuple[list[Axis], list[Affine]]:
        """Loop axes for a shape, the same for each shape, and the index that they make; none for sizes of 1."""
        axes: list[Axis] = []
        index: list[Affine] = []
        for n, size in enumerate(shape):
            if size == 1:
                index.append(Affine())
                continue
            axis = self._axes.get((n, size))
            if axis is None:
                axis = self._axes[(n, size)] = Axis(size, f"{'ijklmn'[n] if n < 6 else f'i{n}'}")
            axes.append(axis)
            index.append(Affine.of(axis))
        return axes, index

    def reduce(self, view: View, operand: Operand, eqn: Eqn) -> None:
        """Append the nest of a reduction over the axes given by the parameter `axes`."""
        assert eqn.primitive.reducer is not None
        combine, start = eqn.primitive.reducer(operand.aval.dtype)
        reduced = {a % operand.aval.ndim for a in eqn.params["axes"]} if operand.aval.ndim else set()
        if view.dtype.kind == "c" and combine == "mul":
            complex_products.lower_product(self, view, operand, sorted(reduced))
            return
        axes, index = self.domain(operand.aval.shape)
        kept = [i for n, i in enumerate(index) if n not in reduced]
        wide = accumulator(view.dtype)
        identity = self.exprs.const(start, wide)
        while True:
            try:
                value = self.op("convert", operand.at(index), dtype=wide)
                break
            except SplitAxis as split:
                axes, index = _split(axes, index, split)
                kept = [i for n, i in enumerate(index) if n not in reduced]
        inner = {t for n in reduced for t, _ in index[n].terms}
        rest, over = [a for a in axes if a not in inner], [a for a in axes if a in inner]
        if view.dtype.kind != "c":
            self.stmts.append(Nest(view, (*view.prefix, *kept), rest, value, over, combine, identity))
            return
        complexes.add_up(self, view, kept, rest, value, over)

    def scatter(
        self,
        out: View,
        operand: Operand,
        updates: Operand,
        place: Callable[[Sequence[Affine]], tuple[Sequence[Coordinate], Expr | None]],
        window: Sequence[int],
        combine: str | None,
    ) -> None:
        """Append loops that store each update at its place in the operand, or in a copy of it, in order.

        `place` gives the coordinates for an index of the updates, and whether the update counts. The axes `window`
        of the updates run within windows. With `combine` the update is combined with what is there.
        """
        scattering.lower_scatter(self, out, operand, updates, place, window, combine)

    def add_at(
        self, out: View, operand: Operand, pieces: Sequence[Operand], starts: Any, strides: Any
    ) -> None:
        """Append what adds pieces to the operand, or to a copy of it, each at a start and with strides."""
        self.put(operand, out)
        for piece, start, stride in zip(pieces, starts, strides, strict=True):
            axes, index = self.domain(piece.aval.shape)
            piece.view()
            place = [i * s + lo for i, s, lo in zip(index, stride, start, strict=True)]
            value = self.op("add", self.exprs.load(out.buffer, (*out.prefix, *place)), piece.at(index))
            self.stmts.append(Nest(out, (*out.prefix, *place), axes, value))

    def update(self, out: View, operand: Operand, update: Operand, begin: Sequence[Coordinate]) -> None:
        """Append what stores a window of the operand, or of a copy of it, that begins at an index."""
        self.put(operand, out)
        axes, index = self.domain(update.aval.shape)
        while True:
            try:
                value = update.at(index)
                break
            except SplitAxis as split:
                axes, index = _split(axes, index, split)
        place = [i + b for i, b in zip(index, begin, strict=True)]
        assert all(isinstance(i, Affine) for i in place)
        self.stmts.append(Nest(out, (*out.prefix, *place), axes, value))  # type: ignore[arg-type]

    def cumulate(
        self, out: View, operand: Operand, axis: int, reverse: bool, combine: str, identity: Any
    ) -> None:
        """Append loops that store the combination of all elements up to and with each one along an axis."""
        axes, index = self.domain(out.shape)
        running = index[axis].terms[0][0] if index[axis].terms else None
        if running is not None and reverse:
            index[axis] = -index[axis] + (out.shape[axis] - 1)
        name, wide = f"c{out.buffer.id}", accumulator(out.dtype)
        start = Init(name, combine, self.exprs.const(identity, wide))
        total = self.op("convert", self.exprs.acc(name, wide), dtype=out.dtype)
        body: list[Stmt] = [
            Accumulate(name, self.op("convert", operand.at(index), dtype=wide)),
            Store(out.buffer, (*out.prefix, *index), total),
        ]
        if isinstance(running, Axis):
            body = [For(running, 0, running.size, body, ordered=True)]
        body = [start, *body]
        for outer in reversed([a for a in axes if a is not running]):
            body = [For(outer, 0, outer.size, body)]
        self.stmts += [nest.parallelise(s) for s in body]

    def cumulate_by(
        self, out: View, operand: Operand, axis: int, reverse: bool, combine: Callable[[Expr, Expr], Expr]
    ) -> None:
        """The same for an operation that is a function of two expressions: each result is read for the next one."""
        wide = accumulator(out.dtype)
        axes, index = self.domain(out.shape)
        target = out if wide == out.dtype else View(self.shared.temp(out.shape, wide))
        size = out.shape[axis]

        def store(at: Affine) -> Store:
            place = [at if d == axis else i for d, i in enumerate(index)]
            before = [at + (1 if reverse else -1) if d == axis else i for d, i in enumerate(index)]
            value = self.op("convert", operand.at(place), dtype=wide)
            if not at.is_const:
                last = self.exprs.load(target.buffer, (*target.prefix, *before))
                value = combine(last, value)
            return Store(target.buffer, (*target.prefix, *place), value)

        body: list[Stmt] = [store(Affine(size - 1 if reverse else 0))]
        running = index[axis].terms[0][0] if index[axis].terms else None
        if isinstance(running, Axis):
            at = -index[axis] + (size - 1) if reverse else index[axis]
            body.append(For(running, 1, size, [store(at)], ordered=True))
        for outer in reversed([a for a in axes if a is not running]):
            body = [For(outer, 0, outer.size, body)]
        self.stmts += [nest.parallelise(s) for s in body]
        if target is not out:
            value = self.op("convert", self.exprs.load(target.buffer, index), dtype=out.dtype)
            self.stmts.append(Nest(out, (*out.prefix, *index), axes, value))

    def host_call(self, eqn: Eqn, views: Sequence[View]) -> None:
        """Append a call of the primitive's `impl`."""
        inputs = [self.stored(a) for a in eqn.invars]
        self.stmts.append(Call("host", inputs, list(views), HostImpl(eqn)))

    def stored(self, atom: Atom) -> View:
        """Where a value is stored; constants and values that were not planned to be are stored now."""
        if isinstance(atom, Var) and atom in self.env:
            return self.env[atom]
        if isinstance(atom, Var) and atom in self.deferred:
            block, outer = self.deferred[atom]
            return block.stored(outer)  # before the loop that this block is the body of
        view = View(self.shared.temp(atom.aval.shape, atom.aval.dtype))
        self.store(atom, view)
        if isinstance(atom, Var):
            self.env[atom] = view
        return view

    def child(self, jaxpr: Jaxpr, env: dict[Var, View], *axes: Axis, plan: Plan | None = None) -> Block:
        """A block for the body of a loop over `axes`, or of a branch."""
        return Block(self.shared, jaxpr, env, self.outer | set(axes), plan)

    def scan(self, outs: Sequence[View], operands: Sequence[Operand], **params: Any) -> list[View]:
        """Append a scan; for the `emit` rule of the primitive."""
        return control.lower_scan(self, outs, operands, **params)

    def dot(self, out: View, lhs: Operand, rhs: Operand, contracting: Any, batch: Any) -> None:
        """Append a dot product; for the `emit` rule of dot_general."""
        contract.lower_dot(self, out, lhs, rhs, contracting, batch)

    def sort(self, outs: Sequence[View], operands: Sequence[Operand], dimension: int, num_keys: int) -> bool:
        """Append a stable sort, for the `emit` rule of the primitive; False if there is no native code for it."""
        if not sorting.can_sort(operands, dimension, num_keys):
            return False
        sorting.lower_sort(self, outs, operands, dimension, num_keys)
        return True

    def top_k(self, outs: Sequence[View], operand: Operand, k: int, axis: int) -> bool:
        """Append the greatest elements and their places; False if there is no native code for them."""
        if not sorting.can_sort([operand], axis, 1):
            return False
        sorting.lower_top_k(self, outs, operand, k, axis)
        return True

    def place_of_extremum(self, out: View, operand: Operand, axis: int, combine: str, start: Any) -> None:
        """Append the places of the first extrema along an axis."""
        sorting.lower_place_of_extremum(self, out, operand, axis, combine, start)

    def conv(self, out: View, lhs: Operand, rhs: Operand, **params: Any) -> None:
        """Append a convolution; for the `emit` rule of conv_general_dilated."""
        convolve.lower_conv(self, out, lhs, rhs, **params)

    def special(
        self, out: View, operands: Sequence[Operand], name: str, constants: Sequence[float], *part: int
    ) -> bool:
        """Append a special function of SciPy's; False if there is no native code for its dtypes."""
        return ufuncs.lower_special(self, out, operands, name, constants, *part)

    def fft(
        self, out: View, x: Operand, kind: str, axes: Sequence[int], fill: Callable[[Any, Any], None]
    ) -> None:
        """Append a Fourier transform; `fill(out, x)` is the library's, of NumPy arrays."""
        fourier.lower_fft(self, out, x, kind, axes, fill)

    def while_loop(self, outs: Sequence[View], operands: Sequence[Operand], **params: Any) -> list[View]:
        """Append a while loop; for the `emit` rule of the primitive."""
        return control.lower_while(self, outs, operands, **params)

    def cond(self, outs: Sequence[View], operands: Sequence[Operand], **params: Any) -> list[View]:
        """Append a branch; for the `emit` rule of the primitive."""
        return control.lower_cond(self, outs, [o.view() for o in operands], **params)

    @property
    def matrices(self) -> matrices.Matrices:
        """What appends decompositions of matrices; for the `emit` rules of these primitives."""
        return matrices.Matrices(self)

    # ---------------------------------------------------------------- what rules use

    def value_at(self, atom: Atom, index: tuple[Coordinate, ...]) -> Expr:
        """The value of a variable or literal at an index."""
        if isinstance(atom, Literal):
            return self.const(atom.val, atom.aval.dtype)
        view = self.env.get(atom)
        if view is not None:
            return self._load(view, index)
        if atom in self.deferred:
            block, outer = self.deferred[atom]
            return block.value_at(outer, index)
        key = (atom, index)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self._pull(*self._producer[atom], index)
        return found

    def _pull(self, eqn: Eqn, n: int, index: tuple[Coordinate, ...]) -> Expr:
        """Result n of an equation at an index."""
        prim = eqn.primitive
        if prim.scalar is not None:
            args = [self.value_at(a, index if a.aval.shape else ()) for a in eqn.invars]
            return self.op(prim.scalar, *args, dtype=eqn.outvars[0].aval.dtype)
        assert prim.pull is not None
        saved, self.output = self.output, n
        found: Expr = prim.pull(self, index, *(Operand(self, a) for a in eqn.invars), **eqn.params)
        self.output = saved
        return found

    def _load(self, view: View, index: tuple[Coordinate, ...]) -> Expr:
        if all(isinstance(i, Affine) for i in index):
            return self.exprs.load(view.buffer, (*view.prefix, *index))  # type: ignore[arg-type]
        coordinates = [self.index(p) for p in view.prefix]
        for i, size in zip(index, view.shape, strict=True):
            coordinates.append(self._within(i, size))
        return self.exprs.gather(view.buffer, coordinates)

    def _within(self, coordinate: Coordinate, size: int) -> Expr:
        """The coordinate as an expression; a computed one is clamped unless it is known to be in bounds."""
        if isinstance(coordinate, Affine):
            lo, last = coordinate.bounds({})
            hi = last + 1
            expr = self.exprs.index(coordinate)
        else:
            lo, hi, expr = coordinate.lo, coordinate.hi, coordinate.expr
        if lo < 0:
            expr = self.exprs.op("max", expr, self.exprs.const(0, I64))
        if hi > size:
            expr = self.exprs.op("min", expr, self.exprs.const(size - 1, I64))
        return expr

    @staticmethod
    def is_native(dtype: DType) -> bool:
        """Whether loops compute with a dtype."""
        return is_native(dtype)

    def op(self, name: str, *args: Expr, dtype: Any = None) -> Expr:
        """Apply a scalar operation of the loop IR."""
        dtype = None if dtype is None else np.dtype(dtype)
        if name == "convert" and args[0].dtype == dtype:
            return args[0]
        if args[-1].dtype.kind == "c" or (dtype is not None and dtype.kind == "c"):
            return complexes.apply(self, name, args, args[-1].dtype if dtype is None else dtype)
        return self.exprs.op(name, *args, dtype=dtype)

    def const(self, value: Any, dtype: Any) -> Expr:
        """A number."""
        dtype = np.dtype(dtype)
        return self.exprs.key(value, dtype) if dtype.names else self.exprs.const(value, dtype)

    def index(self, coordinate: Coordinate, dtype: Any = I64) -> Expr:
        """The value of a coordinate as an integer expression."""
        if isinstance(coordinate, Affine):
            if np.dtype(dtype).kind == "c":
                return self.op("convert", self.exprs.index(coordinate), dtype=dtype)
            return self.exprs.index(coordinate, np.dtype(dtype))
        return self.op("convert", coordinate.expr, dtype=dtype)

    def coordinate(self, expr: Expr, lo: int, hi: int) -> Coordinate:
        """A coordinate from an integer expression that is known to be in [lo, hi)."""
        expr = self.op("convert", expr, dtype=I64)
        if isinstance(expr, Const):
            return Affine(int(expr.value))
        if hi - lo == 1:
            return Affine(lo)
        if expr.axes <= self.outer:
            symbol = self.shared.symbols.get(expr)
            if symbol is None:
                symbol = self.shared.symbols[expr] = Symbol(expr, lo, hi)
            return Affine.of(symbol)
        return Dynamic(self, expr, lo, hi)

    def parts(self, coordinate: Coordinate | int) -> tuple[Expr, int, int]:
        """The expression of a coordinate, and its bounds lo <= value < hi."""
        if isinstance(coordinate, Dynamic):
            return coordinate.expr, coordinate.lo, coordinate.hi
        affine = Affine.of(coordinate)
        lo, last = affine.bounds({})
        return self.exprs.index(affine), lo, last + 1

    def floordiv(self, coordinate: Coordinate, k: int) -> Coordinate:
        """coordinate // k, for k > 0."""
        return self._divide(coordinate, k)[0]

    def mod(self, coordinate: Coordinate, k: int) -> Coordinate:
        """coordinate % k, for k > 0."""
        return self._divide(coordinate, k)[1]

    def _divide(self, coordinate: Coordinate, k: int) -> tuple[Coordinate, Coordinate]:
        if isinstance(coordinate, Affine):
            parts = coordinate.divided(k, {})
            if parts is not None:
                return parts
            for axis, c in coordinate.terms:
                # c * axis crosses multiples of k: cut the axis where it does
                if (
                    isinstance(axis, Axis)
                    and c > 0
                    and k % c == 0
                    and axis.size % (k // c) == 0
                    and axis.size > k // c > 1
                ):
                    raise SplitAxis(axis, k // c)
        expr, lo, hi = self.parts(coordinate)
        # operands are made positive: rem and div of the loop IR truncate
        shift = -(lo // k) if lo < 0 else 0
        positive = expr if not shift else self.op("add", expr, self.const(shift * k, I64))
        divisor = self.const(k, I64)
        quotient = Dynamic(
            self, self.op("div", positive, divisor), lo // k + shift, (hi - 1) // k + shift + 1
        )
        return quotient - shift, Dynamic(
            self, self.op("rem", positive, divisor), 0, min(k, hi) if lo >= 0 else k
        )

    def piecewise(self, cases: Sequence[Case]) -> Expr:
        """The value of the first case whose conditions all hold; the last case has none."""
        built: list[tuple[tuple[tuple[Affine, int, int], ...], Expr]] = []
        for number, (conditions, thunk) in enumerate(cases):
            open_: list[tuple[Affine, int, int]] = []
            computed: list[Range] = []
            for coordinate, lo, hi in conditions:
                _, least, end = (
                    self.parts(coordinate) if isinstance(coordinate, Dynamic) else (None, *_ends(coordinate))
                )
                if hi <= lo or end <= lo or least >= hi:
                    break
                if least >= lo and end <= hi:
                    continue
                if isinstance(coordinate, Affine):
                    open_.append((coordinate, lo, hi))
                else:
                    computed.append((coordinate, lo, hi))
            else:
                # under the conditions on affine coordinates, which guard what the value loads, the computed
                # ones
                value = self._select(computed, thunk(), cases[number + 1 :]) if computed else thunk()
                built.append((tuple(open_), value))
                if not open_:
                    break
        return complexes.stored(self.exprs, self.exprs.piecewise(built))

    def _select(self, computed: list[Range], value: Expr, rest: Sequence[Case]) -> Expr:
        """A choice by conditions on computed coordinates; both outcomes are computed."""
        tests: list[Expr] = []
        for coordinate, lo, hi in computed:
            expr, least, end = self.parts(coordinate)
            if least < lo:
                tests.append(self.op("ge", expr, self.const(lo, I64)))
            if end > hi:
                tests.append(self.op("lt", expr, self.const(hi, I64)))
        mask = tests[0]
        for test in tests[1:]:
            mask = self.op("and", mask, test)
        return self.op("select", mask, value, self.piecewise(rest))

    def try_at(self, operand: Operand, index: Sequence[Affine]) -> Expr | None:
        """The operand's value, or None if the axes would have to be split for it."""
        try:
            return operand.at(index)
        except SplitAxis:
            return None

    def strides(self, operand: Operand, index: Sequence[Affine]) -> tuple[Buffer, Affine] | None:
        """If the operand at `index` is a plain load: the buffer, and the offset in elements."""
        value = self.try_at(operand, index)
        if not isinstance(value, Load):
            return None
        return value.buffer, value.buffer.linear(value.index)


def _ends(coordinate: Affine) -> tuple[int, int]:
    lo, last = coordinate.bounds({})
    return lo, last + 1


def _split(axes: list[Axis], index: list[Affine], split: SplitAxis) -> tuple[list[Axis], list[Affine]]:
    outer = Axis(split.axis.size // split.inner, f"{split.axis!r}o")
    inner = Axis(split.inner, f"{split.axis!r}i")
    value: dict[Term, Affine] = {split.axis: Affine.of(outer) * split.inner + Affine.of(inner)}
    where = axes.index(split.axis)
    return [*axes[:where], outer, inner, *axes[where + 1 :]], [i.substitute(value) for i in index]


class HostImpl:
    """Runs the `impl` of an equation on NumPy views."""

    __slots__ = ("eqn",)

    def __init__(self, eqn: Eqn):
        self.eqn = eqn

    def __repr__(self) -> str:
        return self.eqn.primitive.name

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        eqn = self.eqn
        with np.errstate(all="ignore"):
            results = eqn.primitive.impl(np, *inputs, **eqn.params)
        if not eqn.primitive.multiple_results:
            results = [results]
        for out, result in zip(outputs, results, strict=True):
            np.copyto(out, result, casting="unsafe")


class HostFill:
    """Fills a NumPy view with a number of a dtype that loops don't compute with."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        outputs[0][...] = self.value
