"""Expressions of the loop IR as LLVM values, inside of one native function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wengert.backends import scalars
from wengert.backends.irbuilder import I8, I32, I64, Builder, Function, Type, Value
from wengert.backends.routines import Routines
from wengert.compiler.affine import Affine, Axis, Symbol, Term
from wengert.compiler.loops import (
    BOOL,
    Acc,
    Buffer,
    Condition,
    Const,
    Expr,
    Gather,
    Index,
    Load,
    Op,
    Piecewise,
)
from wengert.compiler.rewrite import children, reads

Terms = tuple[tuple[Term, int], ...]
_FAR_BYTES = 1 << 20  # of a buffer that may not be in the caches near the processor
_AHEAD = 1024  # bytes that reading is ahead


def memory_type(buffer: Buffer) -> Type:
    """The type of an element in memory."""
    return scalars.stored_type(buffer.dtype)


class Dependencies:
    """Which names and buffers an expression reads, its symbols' expressions included."""

    def __init__(self) -> None:
        self._memo: dict[Expr, frozenset[Buffer | str]] = {}

    def __call__(self, expr: Expr) -> frozenset[Buffer | str]:
        found = self._memo.get(expr)
        if found is None:
            found = self._memo[expr] = self._compute(expr)
        return found

    def _compute(self, expr: Expr) -> frozenset[Buffer | str]:
        own: set[Buffer | str] = set()
        if isinstance(expr, Load | Gather):
            own.add(expr.buffer)
        elif isinstance(expr, Acc):
            own.add(expr.name)
        if isinstance(expr, Load | Index | Piecewise):
            own.update(*(self(t.expr) for t in expr.axes if isinstance(t, Symbol)))
        return frozenset(own).union(*(self(c) for c in children(expr)))


class Frame:
    """The state of code generation in one function: where things are, and which values are known.

    With a vector axis, expressions that depend on it have `lanes` lanes, which stand for consecutive values
    of the axis; others stay scalars until they meet a vector. A mask says in which lanes memory may be
    touched.
    """

    def __init__(
        self,
        function: Function,
        deps: Dependencies,
        routines: Routines,
        pointers: dict[Buffer, Value],
        stop: Value | None = None,
    ):
        self.b = Builder(function)
        self.stop = stop  # in the body of a parallel loop: where its status is
        self.routines = routines
        self.deps = deps
        self.pointers = pointers
        self.axes: dict[Term, Value] = {}
        self.names: dict[str, Value] = {}
        self.combiners: dict[str, tuple[str, Const]] = {}
        self.scopes: list[dict[Any, Value]] = [{}]
        self.vector: Axis | None = None
        self.lanes = 1
        self.mask: Value | None = None
        self.innermost: Axis | None = None
        self.cells = False  # each lane has local buffers of its own: an element is a vector
        self.ahead: set[Buffer] | None = None  # what is fetched ahead in this loop, if anything is to be
        self.read: set[Buffer | str] = set()  # what values in the scopes may have been read from

    # ---- what is known

    def known(self, key: Any) -> Value | None:
        for scope in reversed(self.scopes):
            found: Value | None = scope.get(key)
            if found is not None:
                return found
        return None

    def forget(self, written: Iterable[Buffer | str]) -> None:
        """Drop the values that were read from buffers or names that have changed."""
        changed = self.read.intersection(written)
        if not changed:
            return
        for scope in self.scopes:
            stale = [k for k in scope if isinstance(k, Expr) and not changed.isdisjoint(self.deps(k))]
            for key in stale:
                del scope[key]

    # ---- addresses

    def pointer(self, buffer: Buffer) -> Value:
        found = self.pointers.get(buffer)
        if found is None:
            assert buffer.kind == "local", buffer
            found = self.pointers[buffer] = self.b.alloca(self.cell(buffer), max(buffer.size, 1))
        return found

    def cell(self, buffer: Buffer) -> Type:
        """The type of an element in memory, of all lanes if each has its own."""
        kind = memory_type(buffer)
        return kind.vec(self.lanes) if self.cells and buffer.kind == "local" else kind

    def term(self, term: Term) -> Value:
        """The value of an axis (of its first lane) or of a symbol, as an i64."""
        if isinstance(term, Symbol):
            return self.emit(term.expr)
        return self.axes[term]

    def linear(self, terms: Iterable[tuple[Term, int]], const: int = 0) -> Value:
        """const + sum of coefficient * term, for the first lane, as an i64."""
        b = self.b
        total = b.const(I64, const)
        for term, c in terms:
            value = self.term(term)
            total = b.add(total, value if c == 1 else b.mul(value, b.const(I64, c)))
        return total

    def row(self, buffer: Buffer, rest: Terms) -> Value:
        """The address of a buffer plus terms that don't change in the innermost loop."""
        if not rest:
            return self.pointer(buffer)
        key = (buffer, rest)
        found = self.known(key)
        if found is None:
            found = self.b.gep(self.cell(buffer), self.pointer(buffer), self.linear(rest))
            self.scopes[-1][key] = found
        return found

    def address(self, buffer: Buffer, offset: Affine) -> Value:
        """The address of an element, for the first lane."""
        rest = tuple(tc for tc in offset.terms if tc[0] is not self.innermost)
        pointer = self.row(buffer, rest)
        kind = self.cell(buffer)
        if len(rest) != len(offset.terms):
            assert self.innermost is not None
            pointer = self.b.gep(
                kind, pointer, self.linear([(self.innermost, offset.coefficient(self.innermost))])
            )
        return self.b.gep(kind, pointer, offset.const) if offset.const else pointer

    def addresses(self, buffer: Buffer, offset: Affine, step: int) -> Value:
        """The addresses of the elements of all lanes, `step` apart."""
        b = self.b
        lanes = b.const_lanes(I64.vec(self.lanes), [step * n for n in range(self.lanes)])
        return b.gep(memory_type(buffer), self.address(buffer, offset), lanes)

    # ---- memory

    def lane_mask(self) -> Value | None:
        """The mask with one value for each lane."""
        if self.mask is None or self.mask.type.lanes == self.lanes:
            return self.mask
        return self.b.splat(self.mask, self.lanes)

    def wide(self, kind: Type) -> Type:
        """The type of all lanes of a type in memory."""
        return kind.scalar.vec(kind.lanes * self.lanes)

    def all_lanes(self, value: Value, kind: Type) -> Value:
        """A value of a type in memory in all lanes, if it is in one only. Complex ones have two for each."""
        if value.type.lanes != kind.lanes:
            return value
        if kind.lanes == 1:
            return self.b.splat(value, self.lanes)
        return self.b.shuffle(value, value, [0, 1] * self.lanes)

    def _mask_for(self, kind: Type, mask: Value) -> Value:
        """A mask for all lanes of a type in memory."""
        if kind.lanes == 1:
            return mask
        return self.b.shuffle(mask, mask, [n // 2 for n in range(2 * self.lanes)])

    def joined(self, re: Value, im: Value) -> Value:
        """Complex numbers of parts: these stand in turn."""
        n = re.type.lanes
        return self.b.shuffle(re, im, [k for i in range(n) for k in (i, n + i)])

    def part(self, value: Value, which: int) -> Value:
        """The real (0) or imaginary (1) parts of complex numbers."""
        return self.b.shuffle(value, value, range(which, value.type.lanes, 2))

    def _gather_from(self, kind: Type, pointers: Value, mask: Value | None) -> Value:
        b = self.b
        if kind.lanes == 1:
            return b.gather(self.wide(kind), pointers, mask)
        half = kind.scalar
        ends = [b.gather(half.vec(self.lanes), b.gep(half, pointers, n), mask) for n in range(2)]
        return self.joined(*ends)

    def _scatter_to(self, kind: Type, value: Value, pointers: Value, mask: Value | None) -> None:
        if kind.lanes == 1:
            self.b.scatter(value, pointers, mask)
            return
        for n in range(2):
            self.b.scatter(self.part(value, n), self.b.gep(kind.scalar, pointers, n), mask)

    def step_of(self, offset: Affine) -> int:
        return offset.coefficient(self.vector) if self.vector is not None else 0

    def load(self, buffer: Buffer, offset: Affine) -> Value:
        b, kind = self.b, memory_type(buffer)
        step = self.step_of(offset)
        if self.cells and buffer.kind == "local":
            align = min(kind.bits // 8 * self.lanes, 64)
            return self._from_memory(
                buffer, b.load(self.cell(buffer), self.address(buffer, offset), align=align)
            )
        if step == 0:
            return self._load_one(buffer, self.address(buffer, offset))
        wide, mask = self.wide(kind), self.lane_mask()
        if step == 1:
            pointer = self.address(buffer, offset)
            align = kind.bits // 8
            self._fetch_ahead(buffer, pointer)
            value = (
                b.load(wide, pointer, align=align)
                if mask is None
                else b.masked_load(wide, pointer, self._mask_for(kind, mask), align=align)
            )
        elif step == -1 and kind.lanes == 1:
            pointer = self.address(buffer, offset - (self.lanes - 1))
            align = kind.bits // 8
            if mask is None:
                value = b.load(wide, pointer, align=align)
            else:
                value = b.masked_load(wide, pointer, b.reverse(mask), align=align)
            value = b.reverse(value)
        else:
            value = self._gather_from(kind, self.addresses(buffer, offset, step), mask)
        return self._from_memory(buffer, value)

    def _fetch_ahead(self, buffer: Buffer, pointer: Value) -> None:
        """Ask for what a later iteration reads: one that computes much sees too few of those after it to do so."""
        if self.ahead is not None and buffer.nbytes >= _FAR_BYTES and buffer not in self.ahead:
            self.ahead.add(buffer)
            self.b.prefetch(self.b.gep(I8, pointer, _AHEAD))

    def _load_one(self, buffer: Buffer, pointer: Value) -> Value:
        """An element that is the same in all lanes: a scalar, as what addresses are computed from has to be."""
        b, mask = self.b, self.mask
        if mask is not None:  # where the mask holds nowhere any address does that can be read
            holds = mask if mask.type.lanes == 1 else scalars.reduce_lanes(b, "or", BOOL, mask)
            pointer = b.select(holds, pointer, self.pointer(buffer))
        return self._from_memory(buffer, b.load(memory_type(buffer), pointer))

    def _from_memory(self, buffer: Buffer, value: Value) -> Value:
        return scalars.from_memory(self.b, buffer.dtype, value)

    def to_memory(self, buffer: Buffer, value: Value) -> Value:
        return scalars.to_memory(self.b, buffer.dtype, value)

    def store(self, buffer: Buffer, offset: Affine, value: Value) -> None:
        b = self.b
        step = self.step_of(offset)
        value = self.to_memory(buffer, value)
        if self.vector is None:
            b.store(value, self.address(buffer, offset))
            return
        if self.cells and buffer.kind == "local":
            value = b.splat(value, self.lanes) if value.type.lanes != self.lanes else value
            align = min(memory_type(buffer).bits // 8 * self.lanes, 64)
            b.store(value, self.address(buffer, offset), align=align)
            return
        assert step != 0, "a store must depend on the vector axis"
        kind = memory_type(buffer)
        value = self.all_lanes(value, kind)
        mask = self.lane_mask()
        align = kind.bits // 8
        if step == -1 and mask is None and kind.lanes == 1:
            b.store(b.reverse(value), self.address(buffer, offset - (self.lanes - 1)), align=align)
        elif step != 1:
            self._scatter_to(kind, value, self.addresses(buffer, offset, step), mask)
        elif mask is None:
            b.store(value, self.address(buffer, offset), align=align)
        else:
            b.masked_store(value, self.address(buffer, offset), self._mask_for(kind, mask), align=align)

    # ---- expressions

    def emit(self, expr: Expr) -> Value:
        """The value of an expression: a scalar, or a vector with a lane for each value of the vector axis."""
        if isinstance(expr, Const):
            return self._const(expr)
        if isinstance(expr, Acc):
            self.read.add(expr.name)
            return self.names[expr.name]
        found = self.known(expr)
        if found is None:
            found = self.scopes[-1][expr] = self._op(expr) if isinstance(expr, Op) else self._compute(expr)
        return found

    def _const(self, expr: Const) -> Value:
        if expr.dtype.kind == "c":
            pair = [float(expr.value.real), float(expr.value.imag)]
            return self.b.const_lanes(scalars.stored_type(expr.dtype), pair)
        return self.b.const(scalars.llvm_type(expr.dtype), expr.value.item())

    def _op(self, expr: Op) -> Value:
        if expr.name in ("real", "imag"):
            return self.part(self.emit(expr.args[0]), int(expr.name == "imag"))
        args = self.same_lanes([self.emit(a) for a in expr.args])
        if expr.name == "complex":
            return self.joined(*args)
        return self.routines.apply(self.b, expr.name, args, expr.args[-1].dtype, expr.dtype)

    def _compute(self, expr: Expr) -> Value:
        self.read |= self.deps(expr)
        if isinstance(expr, Load):
            return self.load(expr.buffer, expr.buffer.linear(expr.index))
        if isinstance(expr, Index):
            return self._index(expr.affine, expr.dtype)
        if isinstance(expr, Gather):
            return self._gather(expr)
        assert isinstance(expr, Piecewise)
        return self._piecewise(expr)

    def same_lanes(self, values: list[Value]) -> list[Value]:
        """Scalars beside vectors are repeated."""
        lanes = {v.type.lanes for v in values}
        if len(lanes) == 1:
            return values
        most = max(lanes)
        return [v if v.type.lanes == most else self.b.splat(v, most) for v in values]

    def _index(self, affine: Affine, dtype: Any) -> Value:
        b = self.b
        kind = scalars.KINDS[scalars.name_of(dtype)]
        whole = kind if kind.startswith("i") and kind != "i1" else "i64"
        first = self.linear(affine.terms, affine.const)
        value = b.trunc(first, whole) if whole != "i64" else first
        step = self.step_of(affine)
        if step:
            lanes = [step * n for n in range(self.lanes)]
            value = b.add(b.splat(value, self.lanes), b.const_lanes(value.type.vec(self.lanes), lanes))
        return scalars.fitted(b, dtype, value if whole == kind else b.sitofp(value, kind))

    def _gather(self, expr: Gather) -> Value:
        b, kind = self.b, memory_type(expr.buffer)
        offset = b.const(I64, 0)
        for i, stride in zip(expr.index, expr.buffer.strides, strict=True):
            value = self.emit(i)
            offset, scaled = self.same_lanes([offset, b.mul(value, b.const(value.type, stride))])
            offset = b.add(offset, scaled)
        pointers = b.gep(kind, self.pointer(expr.buffer), offset)
        if offset.type.lanes == 1:
            return self._load_one(expr.buffer, pointers)
        # computed coordinates are in bounds in all lanes, but the others are not where the mask doesn't hold
        return self._from_memory(expr.buffer, self._gather_from(kind, pointers, self.lane_mask()))

    # ---- guards

    def _piecewise(self, expr: Piecewise) -> Value:
        b = self.b
        taken: list[tuple[Value, Value]] = []
        outer = self.mask
        rest = outer
        for conditions, value in expr.cases[:-1]:
            holds = self._all(conditions)
            taken.append((holds, self._guarded(self._both(outer, holds), value)))
            rest = self._both(rest, b.not_(holds))
        result = self._guarded(rest, expr.cases[-1][1])
        for holds, case in reversed(taken):
            result = b.select(*self.same_lanes([holds, case, result]))
        return result

    def _guarded(self, mask: Value | None, expr: Expr) -> Value:
        """The value of an expression whose memory may only be read where the mask holds."""
        if all(isinstance(e, Acc) for e in reads(expr)):
            return self.emit(expr)
        saved, self.mask = self.mask, mask
        self.scopes.append({})
        value = self.emit(expr)
        self.scopes.pop()
        self.mask = saved
        return value

    def _both(self, a: Value | None, b: Value) -> Value:
        if a is None:
            return b
        return self.b.and_(*self.same_lanes([a, b]))

    def _all(self, conditions: Sequence[Condition]) -> Value:
        b = self.b
        mask: Value | None = None
        for affine, lo, hi in conditions:
            value = self._small_index(affine)
            least, last = affine.bounds({})
            if least < lo:
                mask = self._both(mask, b.icmp("sge", value, lo))
            if last >= hi:
                mask = self._both(mask, b.icmp("slt", value, hi))
        assert mask is not None
        return mask

    def _small_index(self, affine: Affine) -> Value:
        """The value of an affine form in 32 bits if it fits: vectors of these are shorter."""
        least, last = affine.bounds({})
        fits = least >= -(2**31) and last < 2**31
        first = self.linear(affine.terms, affine.const)
        value = self.b.trunc(first, "i32") if fits else first
        step = self.step_of(affine)
        if not step:
            return value
        kind = (I32 if fits else I64).vec(self.lanes)
        return self.b.add(
            self.b.splat(value, self.lanes), self.b.const_lanes(kind, [step * n for n in range(self.lanes)])
        )

    # ---- hoisting

    def hoist(self, roots: Iterable[Expr], varies: Callable[[Expr], bool]) -> None:
        """Compute now what doesn't vary in the loop that comes next. Cases of Piecewise stay where they are."""
        seen: set[Expr] = set()
        stack = list(roots)
        while stack:
            expr = stack.pop()
            if expr in seen or isinstance(expr, Const | Acc):
                continue
            seen.add(expr)
            if not varies(expr):
                self.emit(expr)
            elif isinstance(expr, Op):
                stack += expr.args
            elif isinstance(expr, Gather):
                stack += expr.index
