"""What was compiled, for people: the kernels of a program, what is in them, and what they cost.

A kernel is what runs without a pause: a nest of loops, or adjacent ones that compute the parts of one value, or a call
of a library. Sequential loops and branches hold kernels of their own. Numbers are those of the loop program:
bytes are of all elements that a kernel touches, each counted once, as if caches were perfect.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from wengert.compiler.affine import Affine, Axis, Symbol, Term
from wengert.compiler.loops import (
    Acc,
    Accumulate,
    Branch,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    Fortran,
    Gather,
    Gemm,
    If,
    Index,
    Init,
    Let,
    Load,
    Loop,
    Op,
    Program,
    RowSort,
    Stmt,
    Store,
    Ufunc,
    View,
)
from wengert.compiler.pipeline import Compilation
from wengert.compiler.plan import is_loop_code, is_pulled, plan
from wengert.compiler.pretty import buffer_names
from wengert.compiler.rewrite import bodies, statements, values, walk
from wengert.core.jaxpr import Eqn, Jaxpr, Var, subjaxprs
from wengert.core.source import SourceLine

Box: TypeAlias = dict[Term, tuple[int, int]]


class Line:
    """A line of the user's, and the primitives of it that a kernel computes; views only change where it reads."""

    __slots__ = ("names", "source", "views")

    def __init__(self, source: SourceLine | None):
        self.source = source
        self.names: Counter[str] = Counter()
        self.views: Counter[str] = Counter()

    def add(self, eqn: Eqn) -> None:
        names = self.views if eqn.primitive.kind == "view" else self.names
        names[eqn.primitive.name] += 1

    def primitives(self) -> str:
        """`mul x2, add`; views only where there is nothing else."""
        names = self.names or self.views
        text = ", ".join(f"{n} x{c}" if c > 1 else n for n, c in names.items())
        return text if self.names else f"({text})"


class Kernel:
    """What a kernel does. Numbers are for one run of it; `inner` are the kernels of a sequential loop or a branch."""

    def __init__(self, kind: str, stmts: Sequence[Stmt] = ()):
        self.kind = kind  # "loops", "gemm", "host", "copy", "sort", "argsort", "scan", "while", "cond"
        self.stmts = list(stmts)
        self.title = kind
        self.notes: list[str] = []
        self.loops: list[str] = []
        self.lines: list[Line] = []
        self.reads: dict[Buffer, int] = {}
        self.writes: dict[Buffer, int] = {}
        self.operations: Counter[str] = Counter()
        self.rows: list[Buffer] = []
        self.inner: list[list[Kernel]] = []
        self.turns: int | None = 1
        self.seconds: float | None = None
        """Of all its runs in one call of the program, if it was measured."""
        self.runs = 1
        self.limit: tuple[float, str] | None = None
        """The least time of these runs at this machine's rates, and what sets it: "memory" or "operations"."""

    @property
    def bytes_read(self) -> int:
        return sum(self.reads.values())

    @property
    def bytes_written(self) -> int:
        return sum(self.writes.values())


class Totals:
    """Sums over all kernels, with the turns of sequential loops; of branches, the dearest is taken."""

    __slots__ = ("kernels", "operations", "read", "unknown", "written")

    def __init__(self) -> None:
        self.kernels = self.operations = self.read = self.written = 0
        self.unknown = False  # a while loop: counted as one turn

    def add(self, kernels: Sequence[Kernel], turns: int = 1) -> None:
        for kernel in kernels:
            if kernel.kind == "cond":
                cases = []
                for body in kernel.inner:
                    case = Totals()
                    case.add(body, turns)
                    cases.append(case)
                self.kernels += sum(c.kernels for c in cases)
                self.unknown |= any(c.unknown for c in cases)
                dearest = max(cases, key=lambda c: c.operations + c.read + c.written)
                self.operations += dearest.operations
                self.read += dearest.read
                self.written += dearest.written
                continue
            for body in kernel.inner:
                self.add(body, turns * (1 if kernel.turns is None else kernel.turns))
            self.unknown |= kernel.turns is None
            if not kernel.inner:
                self.kernels += 1
                self.operations += turns * kernel.operations.total()
                self.read += turns * kernel.bytes_read
                self.written += turns * kernel.bytes_written


def kernels_of(compilation: Compilation, lanes_of: Callable[[For], int]) -> list[Kernel]:
    """The kernels of a program, in order. `lanes_of` says how many lanes of a vector a loop gets."""
    return _Analysis(compilation, lanes_of).body(compilation.program.body, {})


# -------------------------------------------------------------------------------------------------- analysis


class _Analysis:
    def __init__(self, compilation: Compilation, lanes_of: Callable[[For], int]):
        self.lanes_of = lanes_of
        every = statements(compilation.program.body)
        self.combiners = {s.name: s.combine for s in every if isinstance(s, Init)}
        self.in_place = compilation.in_place
        self.producer: dict[Var, Eqn] = {}
        self.number: dict[int, int] = {}
        self.stored: set[Var] = set()
        self.why: dict[Var, str] = {}
        self._index(compilation.jaxpr)

    def _index(self, jaxpr: Jaxpr) -> None:
        stored = plan(jaxpr)[0]
        self.stored |= stored
        self.why.update(reasons(jaxpr, stored))
        for eqn in jaxpr.eqns:
            self.number[id(eqn)] = len(self.number)
            self.producer.update(dict.fromkeys(eqn.outvars, eqn))
            for sub in subjaxprs(eqn.params):
                self._index(sub.jaxpr)

    # ---- statements to kernels

    def body(self, stmts: Sequence[Stmt], box: Box) -> list[Kernel]:
        """The kernels of statements: loops that compute parts of the same values are one."""
        kernels: list[Kernel] = []
        group: list[Stmt] = []

        def flush() -> None:
            if group:
                kernels.append(self.nest(group, box))
                group.clear()

        for stmt in stmts:
            if isinstance(stmt, Call | Loop | Branch):
                flush()
                kernels.append(self.call(stmt) if isinstance(stmt, Call) else self.control(stmt, box))
                continue
            if isinstance(stmt, Init):
                continue
            scalars = not any(isinstance(s, For) for s in (*group, stmt))
            if group and not scalars and not self.roots(group) & self.roots([stmt]):
                flush()
            group.append(stmt)
        flush()
        return kernels

    def roots(self, stmts: Sequence[Stmt]) -> set[int]:
        """The equations whose results the statements store."""
        return {id(s.source) for s in statements(stmts) if isinstance(s, Store | Accumulate | Let)}

    def nest(self, stmts: Sequence[Stmt], box: Box) -> Kernel:
        kernel = Kernel("loops", stmts)
        loops = [s for s in stmts if isinstance(s, For)]
        kernel.title = "loop nest" if loops else "scalars"
        if any(s.parallel for s in loops):
            kernel.title = "parallel loop nest"
        for loop in loops:
            self.describe_loop(loop, 0, False, kernel.loops)
        kernel.rows = list(dict.fromkeys(b for s in statements(stmts) for b in _locals(s)))
        _Traffic(kernel, box).visit(stmts)
        _Work(kernel, self.combiners).visit(stmts, ())
        sources = {id(s.source): s.source for s in statements(stmts) if s.source is not None}
        if not kernel.operations and any(e.primitive.kind == "control" for e in sources.values()):
            kernel.title = "copy of a carry"
        else:
            kernel.lines = self.lines(sources.values())
            kernel.notes += self.cuts(sources.values())
        if not self.in_place.isdisjoint(sources):
            kernel.notes.append("in place: takes the memory of an operand that is needed no more")
        return kernel

    def cuts(self, eqns: Iterable[Eqn]) -> list[str]:
        """Why what these equations give is stored, and not computed where it is used."""
        found: dict[str, dict[str, None]] = {}
        for eqn in eqns:
            for v in eqn.outvars:
                if v in self.why:
                    found.setdefault(self.why[v], {})[eqn.primitive.name] = None
        return [f"{', '.join(names)} stored: {why}" for why, names in found.items()]

    def describe_loop(self, loop: For, depth: int, in_vector: bool, out: list[str]) -> None:
        """Append a line for a loop and for each one in it: its range; a tab; lanes, and what it adds up."""
        lanes = 1 if in_vector else self.lanes_of(loop)
        marks = [f"{lanes} lanes"] if lanes > 1 else []
        marks += dict.fromkeys(self.combiners[s.name] for s in loop.body if isinstance(s, Accumulate))
        if loop.ordered:
            marks.append("in order")
        how = "parallel for" if loop.parallel else "for"
        lo = loop.lo if loop.first is None else loop.first
        hi = loop.hi if loop.end is None else loop.end
        out.append(f"{'  ' * depth}{how} {loop.axis!r} in {lo!r}:{hi!r}\t{', '.join(marks)}")
        for stmt in loop.body:
            if isinstance(stmt, For):
                self.describe_loop(stmt, depth + 1, in_vector or lanes > 1, out)

    def call(self, stmt: Call) -> Kernel:
        kernel = Kernel(stmt.name, [stmt])
        kernel.lines = self.lines([stmt.source] if stmt.source is not None and stmt.name != "copy" else [])
        for view in stmt.inputs:
            kernel.reads[view.buffer] = kernel.reads.get(view.buffer, 0) + _view_bytes(view)
        for view in stmt.outputs:
            kernel.writes[view.buffer] = kernel.writes.get(view.buffer, 0) + _view_bytes(view)
        if isinstance(stmt.payload, Gemm):
            g = stmt.payload
            batch = f"{g.batch} products of " if g.batch > 1 else ""
            kernel.title = f"matrix product by BLAS: {batch}{g.m}x{g.k} times {g.k}x{g.n}"
            kernel.operations.update(dict.fromkeys(("mul", "add"), g.batch * g.m * g.n * g.k))
        elif isinstance(stmt.payload, Ufunc):
            kernel.title = f"loop of {stmt.payload!r}"
        elif isinstance(stmt.payload, Fortran):
            kernel.title = f"LAPACK: {stmt.payload!r}"
        elif stmt.name == "host":
            name = stmt.source.primitive.name if stmt.source is not None else "constant"
            kernel.title = f"{name} in NumPy: a call out of the compiled program"
        elif isinstance(stmt.payload, RowSort):
            kernel.title = f"{stmt.name} of {stmt.payload.count} rows of {stmt.payload.n}"
        else:
            kernel.title = "copy"
        return kernel

    def control(self, stmt: Loop | Branch, box: Box) -> Kernel:
        if isinstance(stmt, Branch):
            kernel = Kernel("cond", [stmt])
            kernel.title = f"cond: one of {len(stmt.branches)} branches"
            kernel.inner = [self.body(b, box) for b in stmt.branches]
            kernel.lines = self.lines([stmt.source] if stmt.source is not None else [])
            return kernel
        kernel = Kernel("scan" if stmt.trips is not None else "while", [stmt])
        kernel.turns = stmt.trips
        backwards = ", backwards" if stmt.reverse else ""
        kernel.title = "while loop" if stmt.trips is None else f"scan of {stmt.trips} steps{backwards}"
        inner: Box = {**box, stmt.axis: (0, 1)}
        kernel.inner = [self.body([*stmt.condition, *stmt.body], inner)]
        moved = sum(v.buffer is not s for s, v in zip(stmt.slots, stmt.moves, strict=True))
        if moved:
            kernel.notes.append(f"carries are {plural(moved, 'pointer')}; after each step the pointers move")
        if any(isinstance(s, Store) and _follows(s, stmt.axis) for s in statements(stmt.body)):
            kernel.notes.append("stacked outputs are written in place")
        kernel.lines = self.lines([stmt.source] if stmt.source is not None else [])
        return kernel

    # ---- what was fused

    def lines(self, roots: Iterable[Eqn]) -> list[Line]:
        """The user's lines behind equations and all that was computed where it is used, in order."""
        found: dict[int, Eqn] = {}
        stack = list(roots)
        while stack:
            eqn = stack.pop()
            if id(eqn) in found:
                continue
            found[id(eqn)] = eqn
            if eqn.primitive.kind == "control":
                continue
            for atom in eqn.invars:
                if isinstance(atom, Var) and atom in self.producer and atom not in self.stored:
                    stack.append(self.producer[atom])
        lines: dict[object, Line] = {}
        for eqn in sorted(found.values(), key=lambda e: self.number.get(id(e), 0)):
            source = eqn.source
            key = (source.filename, source.lineno) if source is not None else None
            lines.setdefault(key, Line(source)).add(eqn)
        return list(lines.values())


def _follows(stmt: Store, axis: Axis) -> bool:
    return any(isinstance(i, Affine) and i.coefficient(axis) for i in stmt.index)


def _locals(stmt: Stmt) -> Iterator[Buffer]:
    for expr in walk(*values(stmt)):
        if isinstance(expr, Load | Gather) and expr.buffer.kind == "local":
            yield expr.buffer


def _view_bytes(view: View) -> int:
    return math.prod(view.shape) * view.dtype.itemsize


class _Traffic:
    """Which parts of buffers a kernel reads and writes: for each, the smallest box around all accesses."""

    def __init__(self, kernel: Kernel, box: Box):
        self.kernel = kernel
        self.box = dict(box)
        self.read: dict[Buffer, list[tuple[int, int]]] = {}
        self.written: dict[Buffer, list[tuple[int, int]]] = {}

    def visit(self, stmts: Sequence[Stmt]) -> None:
        self._visit(stmts)
        for parts, totals in ((self.read, self.kernel.reads), (self.written, self.kernel.writes)):
            for buffer, extents in parts.items():
                elements = min(math.prod(hi - lo + 1 for lo, hi in extents), buffer.size)
                totals[buffer] = elements * buffer.dtype.itemsize

    def _visit(self, stmts: Sequence[Stmt]) -> None:
        for stmt in stmts:
            if isinstance(stmt, For):
                self.box[stmt.axis] = (stmt.lo, stmt.hi)
            for expr in walk(*values(stmt)):
                if isinstance(expr, Load | Gather):
                    self._touch(self.read, expr.buffer, expr.index)
            if isinstance(stmt, Store):
                self._touch(self.written, stmt.buffer, stmt.index)
                if stmt.combine:
                    self._touch(self.read, stmt.buffer, stmt.index)
            for body in bodies(stmt):
                self._visit(body)

    def _touch(
        self, parts: dict[Buffer, list[tuple[int, int]]], buffer: Buffer, index: Sequence[Affine | Expr]
    ) -> None:
        if buffer.kind == "local" or buffer.size == 0:
            return
        if len(index) != len(buffer.shape):
            extents = [(0, buffer.size - 1)]
        else:
            extents = [self._extent(i, size) for i, size in zip(index, buffer.shape, strict=True)]
        known = parts.get(buffer)
        if known is not None and len(known) == len(extents):
            extents = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(known, extents, strict=True)]
        parts[buffer] = extents

    def _extent(self, index: Affine | Expr, size: int) -> tuple[int, int]:
        if isinstance(index, Index):
            index = index.affine
        if isinstance(index, Const):
            return int(index.value), int(index.value)
        if not isinstance(index, Affine):
            return 0, size - 1
        fixed: Box = {t: (t.lo, t.lo + 1) for t, _ in index.terms if isinstance(t, Symbol)}
        lo, hi = index.bounds({**self.box, **fixed})
        return max(lo, 0), max(min(hi, size - 1), max(lo, 0))


class _Work:
    """How often each operation runs. What doesn't change in a loop is computed outside of it."""

    def __init__(self, kernel: Kernel, combiners: dict[str, str]):
        self.operations = kernel.operations
        self.combiners = combiners
        self.homes: dict[str, frozenset[Axis]] = {}  # the loops around what binds a name

    def visit(self, stmts: Sequence[Stmt], loops: tuple[For, ...]) -> None:
        around = frozenset(f.axis for f in loops)
        for stmt in stmts:
            if isinstance(stmt, For):
                self.visit(stmt.body, (*loops, stmt))
                continue
            if isinstance(stmt, Let | Init):
                self.homes[stmt.name] = around
            for expr in walk(*values(stmt)):
                if isinstance(expr, Op) and expr.name not in ("convert", "copy", "bitcast"):
                    axes = self.axes(expr)
                    self.operations[expr.name] += round(math.prod(f.trips for f in loops if f.axis in axes))
            if isinstance(stmt, Accumulate):
                self.operations[self.combiners[stmt.name]] += round(math.prod(f.trips for f in loops))
            if isinstance(stmt, If):
                self.visit(stmt.body, loops)

    def axes(self, root: Expr) -> set[Term]:
        found: set[Term] = set(root.axes)
        for expr in walk(root):
            if isinstance(expr, Acc):
                found |= self.homes.get(expr.name, frozenset())
        return found


def reasons(jaxpr: Jaxpr, stored: Iterable[Var]) -> dict[Var, str]:
    """Why variables are stored in memory rather than computed where they are used; not for results."""
    results = {v for v in jaxpr.outvars if isinstance(v, Var)}
    users: dict[Var, list[tuple[Eqn, str]]] = {}
    for eqn in jaxpr.eqns:
        for access, atom in zip(eqn.primitive.accesses(len(eqn.invars), eqn.params), eqn.invars, strict=True):
            if isinstance(atom, Var):
                users.setdefault(atom, []).append((eqn, access))
    producer = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    found: dict[Var, str] = {}
    for v in stored:
        made_by = producer.get(v)
        if v in results or made_by is None or v not in users:
            continue
        takers = [e.primitive.name for e, access in users[v] if access == "stored" or not is_loop_code(e)]
        if not is_pulled(made_by):
            found[v] = f"{', '.join(dict.fromkeys(e.primitive.name for e, _ in users[v]))} needs all of it"
        elif takers:
            found[v] = f"{', '.join(dict.fromkeys(takers))} reads it from memory"
        elif len(users[v]) > 1:
            found[v] = f"used in {len(users[v])} places: to load it is cheaper than to compute it again"
        else:
            found[v] = "one use reads it many times: to load it is cheaper than to compute it again"
    return found


# ------------------------------------------------------------------------------------------------------ text


class Report:
    """Writes the explanation of a program, in lines of at most `width` letters.

    `names` says what to call the buffers of the user's; the others have the names of the loop program.
    """

    def __init__(self, program: Program, names: dict[Buffer, str], width: int):
        kinds = {"temp": "temporary ", "slot": "carry "}
        self.names = {
            b: f"{kinds.get(b.kind, '')}{name}" for b, name in buffer_names(program).items()
        } | names
        self.width = width
        self.out: list[str] = []

    def kernels(self, kernels: Sequence[Kernel], number: str = "", indent: str = "") -> None:
        for n, kernel in enumerate(kernels, 1):
            self.kernel(kernel, f"{number}{n}", indent)

    def kernel(self, kernel: Kernel, number: str, indent: str) -> None:
        inside = indent + "   "
        if kernel.title.startswith("copy"):
            reads = ", ".join(dict.fromkeys(map(self.name, kernel.reads)))
            writes = ", ".join(dict.fromkeys(map(self.name, kernel.writes)))
            self.out += ["", f"{indent}{number}. copy of {reads} to {writes}, {size(kernel.bytes_written)}"]
            return
        self.out += ["", f"{indent}{number}. {kernel.title}"]
        self.out += [f"{inside}{text}" for text in _aligned(kernel.loops)]
        self.labelled(inside, "lines", self.lines(kernel, self.width - len(inside) - _LABEL))
        self.labelled(inside, "notes", kernel.notes)
        if kernel.kind in ("loops", "gemm", "fortran", "ufunc", "host", "sort", "argsort"):
            self.wrapped(inside, "memory", self.traffic(kernel))
            if kernel.operations:
                self.wrapped(inside, "work", _work(kernel))
            if kernel.seconds is not None:
                self.wrapped(inside, "time", _time(kernel))
        for n, body in enumerate(kernel.inner):
            if kernel.kind == "cond":
                self.out += ["", f"{inside}branch {n}{'' if body else ': nothing to do'}"]
            self.kernels(body, f"{number}.{n}." if kernel.kind == "cond" else f"{number}.", inside)

    def labelled(self, indent: str, label: str, texts: Sequence[str]) -> None:
        for text in texts:
            self.out.append(f"{indent}{label:<{_LABEL}}{text}")
            label = ""

    def wrapped(self, indent: str, label: str, text: str) -> None:
        texts = textwrap.wrap(text, self.width - len(indent) - _LABEL)
        self.labelled(indent, label, [t.replace(_UNBROKEN, " ") for t in texts])

    def lines(self, kernel: Kernel, width: int) -> list[str]:
        """The user's lines, with the primitives of each."""
        if not kernel.lines:
            return []
        where = [
            ""
            if s is None
            else f"{os.path.basename(s.filename)}:{s.lineno}" + (f" {s.name_stack}" if s.scopes else "")
            for s in (line.source for line in kernel.lines)
        ]
        code = ["" if line.source is None else line.source.text() for line in kernel.lines]
        primitives = [line.primitives() for line in kernel.lines]
        first = max(map(len, where))
        room = max(width - first - min(max(map(len, primitives)), 50) - 4, 24)
        second = min(max(map(len, code)), room)
        return [
            _cut(f"{w:<{first}}  {_cut(c, second):<{second}}  {p}".rstrip(), width)
            for w, c, p in zip(where, code, primitives, strict=True)
        ]

    def facts(self, kernel: Kernel) -> list[str]:
        """What there is to say of its memory, work and time."""
        if kernel.inner:
            return []
        found = [self.traffic(kernel)]
        found += [_work(kernel)] if kernel.operations else []
        found += [_time(kernel)] if kernel.seconds is not None else []
        return [text.replace(_UNBROKEN, " ") for text in found]

    def traffic(self, kernel: Kernel) -> str:
        parts = [f"reads {self.buffers(kernel.reads)}", f"writes {self.buffers(kernel.writes)}"]
        if kernel.rows:
            total = sum(b.nbytes for b in kernel.rows)
            parts.append(f"keeps {plural(len(kernel.rows), 'row')} of {size(total)} in the cache")
        return "; ".join(parts)

    def buffers(self, found: dict[Buffer, int]) -> str:
        """`50.4 kB (u 33.6 kB, c2 16.8 kB)`, the largest first."""
        if not found:
            return "nothing"
        merged: Counter[str] = Counter()
        for buffer in sorted(found, key=lambda b: b.id):
            merged[self.name(buffer)] += found[buffer]
        total = size(merged.total())
        if len(merged) == 1:
            return f"{total} ({next(iter(merged))})"
        shown = [f"{n} {size(b)}".replace(" ", _UNBROKEN) for n, b in merged.most_common(_MOST_BUFFERS)]
        if len(merged) > _MOST_BUFFERS:
            shown.append(f"{len(merged) - _MOST_BUFFERS} more")
        return f"{total} ({', '.join(shown)})"

    def name(self, buffer: Buffer) -> str:
        return self.names[buffer]


_LABEL = 8
_UNBROKEN = "\xa0"  # a space at which no line ends
_MOST_BUFFERS = 4
_MOST_OPERATIONS = 6


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _aligned(texts: Sequence[str]) -> list[str]:
    """Texts with a tab in each, with what follows it in one column."""
    pairs = [t.split("\t") for t in texts]
    width = max((len(head) for head, _ in pairs), default=0)
    return [f"{head:<{width}}   {rest}".rstrip() for head, rest in pairs]


def _work(kernel: Kernel) -> str:
    kinds = [f"{count(n)} {name}" for name, n in kernel.operations.most_common(_MOST_OPERATIONS)]
    if len(kernel.operations) > _MOST_OPERATIONS:
        kinds.append("...")
    moved = kernel.bytes_read + kernel.bytes_written
    return f"{', '.join(kinds)}: {ratio(kernel.operations.total(), moved)}"


def _time(kernel: Kernel) -> str:
    """`1.2 ms in 5 runs, 21 GB/s; at least 0.4 ms (memory)`."""
    seconds = kernel.seconds or 0.0
    text = f"{duration(seconds)}{f' in {kernel.runs} runs' if kernel.runs != 1 else ''}"
    if seconds:
        moved = kernel.runs * (kernel.bytes_read + kernel.bytes_written)
        text += f", {moved / seconds / 1e9:.3g} GB/s"
        if kernel.operations:
            text += f", {kernel.runs * kernel.operations.total() / seconds / 1e9:.3g} G operations/s"
    if kernel.limit is not None:
        text += f"; at least {duration(kernel.limit[0])} on this machine ({kernel.limit[1]})"
    return text


def duration(seconds: float) -> str:
    """`1.20 ms`."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def ratio(operations: float, moved: float) -> str:
    """Arithmetic intensity."""
    if not moved:
        return "no memory is touched"
    value = operations / moved
    return f"{value:.{0 if value >= 10 else 1 if value >= 1 else 2}f} operations a byte"


def _scaled(n: float, units: Sequence[str]) -> tuple[str, str]:
    for unit in units[:-1]:
        if n < 999.5:
            return f"{n:.0f}" if unit == units[0] or n >= 99.95 else f"{n:.1f}", unit
        n /= 1000
    return f"{n:.1f}", units[-1]


def size(nbytes: float) -> str:
    """`25.6 kB`."""
    return " ".join(_scaled(nbytes, ("B", "kB", "MB", "GB")))


def count(n: float) -> str:
    """`6.4k`."""
    return "".join(_scaled(n, ("", "k", "M", "G")))


def plural(n: float, what: str) -> str:
    """`1 kernel`, `6.4k operations`."""
    return f"{count(n)} {what}{'' if n == 1 else 's'}"
