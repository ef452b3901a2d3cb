"""Prints loop programs, for people and for the golden tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from wengert.compiler.affine import Affine, Axis, Symbol
from wengert.compiler.loops import (
    Acc,
    Accumulate,
    Branch,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    Gather,
    Gemm,
    If,
    Index,
    Init,
    Let,
    Load,
    Loop,
    Nest,
    Op,
    Piecewise,
    Program,
    Stmt,
    Store,
    View,
)
from wengert.compiler.rewrite import children, values

_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "and": "&",
    "or": "|",
    "xor": "^",
}


def format_program(program: Program) -> str:
    """The program as text. Names depend on its structure only."""
    return _Printer(program).text()


def buffer_names(program: Program) -> dict[Buffer, str]:
    """What `format_program` calls the buffers."""
    printer = _Printer(program)
    printer.text()
    return printer.buffers


class _Printer:
    def __init__(self, program: Program):
        self.program = program
        self.buffers: dict[Buffer, str] = {}
        self.axes: dict[Any, str] = {}
        self.names: dict[str, str] = {}
        self.shared: dict[Expr, str] = {}
        self.lines: list[str] = []
        for n, b in enumerate(program.args):
            self.buffers[b] = f"x{n}"
        for n, b in enumerate(program.results):
            self.buffers[b] = f"y{n}"

    def text(self) -> str:
        p = self.program
        args = ", ".join(self.declare(b) for b in p.args)
        results = ", ".join(self.declare(b) for b in p.results)
        self.block(p.body, 1)
        temps = [f"  {self.declare(b)} at {b.offset}" for b in p.temps if b in self.buffers]
        head = [f"program {p.name}({args}) -> ({results})"]
        if temps:
            head += [f"  arena of {p.arena} bytes:", *("  " + t for t in temps)]
        return "\n".join([*head, *self.lines])

    def declare(self, buffer: Buffer) -> str:
        return f"{self.buffer(buffer)}: {buffer.dtype.name}{list(buffer.shape)}"

    def buffer(self, buffer: Buffer) -> str:
        if buffer not in self.buffers:
            letter = {"temp": "t", "slot": "p", "local": "row"}.get(buffer.kind, "b")
            self.buffers[buffer] = f"{letter}{sum(n.startswith(letter) for n in self.buffers.values())}"
        return self.buffers[buffer]

    def axis(self, axis: Axis) -> str:
        if axis not in self.axes:
            base = axis.name or "i"
            taken = set(self.axes.values())
            name = (
                base
                if base not in taken
                else next(f"{base}{n}" for n in range(1, 10**6) if f"{base}{n}" not in taken)
            )
            self.axes[axis] = name
        return self.axes[axis]

    def name(self, name: str) -> str:
        return self.names.setdefault(name, f"{name.rstrip('0123456789')}{len(self.names)}")

    def put(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)

    # ---- statements

    def block(self, stmts: Sequence[Stmt], depth: int) -> None:
        for stmt in stmts:
            self.stmt(stmt, depth)

    def stmt(self, stmt: Stmt, depth: int) -> None:
        if isinstance(stmt, For):
            mark = "ordered for" if stmt.ordered else "for"
            mark = f"{'parallel ' if stmt.parallel else ''}{'batch ' if stmt.batch else ''}{mark}"
            lo = stmt.lo if stmt.first is None else self.affine(stmt.first)
            hi = stmt.hi if stmt.end is None else self.affine(stmt.end)
            self.put(depth, f"{mark} {self.axis(stmt.axis)} in {lo}:{hi}")
            self.block(stmt.body, depth + 1)
        elif isinstance(stmt, Store):
            value = self.value(stmt, depth)
            target = f"{self.buffer(stmt.buffer)}[{self.index(stmt.index)}]"
            self.put(depth, f"{target} {stmt.combine or ''}= {value}")
        elif isinstance(stmt, Let):
            value = self.value(stmt, depth)
            self.put(depth, f"{self.name(stmt.name)} = {value}")
        elif isinstance(stmt, Init):
            self.put(depth, f"{self.name(stmt.name)} := {stmt.identity.value} ({stmt.combine})")
        elif isinstance(stmt, Accumulate):
            value = self.value(stmt, depth)
            self.put(depth, f"{self.name(stmt.name)} <- {value}")
        elif isinstance(stmt, Nest):
            value = self.value(stmt, depth)
            axes = ", ".join(
                f"{self.axis(a)} in {lo}:{hi}" for a, (lo, hi) in stmt.box.items() if isinstance(a, Axis)
            )
            combine = (
                f"{stmt.combine} over {', '.join(self.axis(a) for a in stmt.reduce_axes)} of "
                if stmt.combine
                else ""
            )
            self.put(
                depth,
                f"nest [{axes}] {self.buffer(stmt.view.buffer)}[{self.index(stmt.index)}] = {combine}{value}",
            )
        elif isinstance(stmt, If):
            self.put(depth, f"if {self.value(stmt, depth)}")
            self.block(stmt.body, depth + 1)
        elif isinstance(stmt, Call):
            self.put(depth, self.call(stmt))
        elif isinstance(stmt, Loop):
            self.loop(stmt, depth)
        elif isinstance(stmt, Branch):
            self.put(depth, f"branch {self.view(stmt.selector)}")
            for n, branch in enumerate(stmt.branches):
                self.put(depth, f"case {n}")
                self.block(branch, depth + 1)

    def loop(self, stmt: Loop, depth: int) -> None:
        slots = ", ".join(
            f"{self.buffer(s)} = {self.view(v)}" for s, v in zip(stmt.slots, stmt.starts, strict=True)
        )
        trips = (
            "while"
            if stmt.trips is None
            else f"{'reverse ' if stmt.reverse else ''}loop {self.axis(stmt.axis)} in 0:{stmt.trips}"
        )
        self.put(depth, f"{trips} with {slots}" if slots else trips)
        if stmt.flag is not None:
            self.put(depth, "condition")
            self.block(stmt.condition, depth + 1)
            self.put(depth, f"continue if {self.buffer(stmt.flag)}")
        self.block(stmt.body, depth + 1)
        moves = [
            f"{self.buffer(s)} = {self.view(v)}"
            for s, v in zip(stmt.slots, stmt.moves, strict=True)
            if v.buffer is not s
        ]
        if moves:
            self.put(depth + 1, f"move {', '.join(moves)}")

    def call(self, stmt: Call) -> str:
        ins = ", ".join(self.view(v) for v in stmt.inputs)
        outs = ", ".join(self.view(v) for v in stmt.outputs)
        payload = stmt.payload
        if isinstance(payload, Gemm):
            return f"{outs} = gemm({ins}) batch={payload.batch} m={payload.m} n={payload.n} k={payload.k}"
        what = f" {payload}" if payload is not None else ""
        return f"{outs} = {stmt.name}{what}({ins})"

    # ---- expressions

    def value(self, stmt: Stmt, depth: int) -> str:
        """The value of a statement; expressions that it uses several times get a line of their own."""
        roots = values(stmt)[:1]
        counts: Counter[Expr] = Counter()
        order: list[Expr] = []
        self._count(roots[0], counts, order)
        saved = dict(self.shared)
        for expr in order:
            if counts[expr] > 1 and isinstance(expr, Op | Piecewise) and expr is not roots[0]:
                text = self.expr(expr)
                name = f"e{len(self.shared) - len(saved)}"
                self.put(depth, f"{name} = {text}")
                self.shared[expr] = name
        text = self.expr(roots[0])
        self.shared = saved
        return text

    def _count(self, expr: Expr, counts: Counter[Expr], order: list[Expr]) -> None:
        counts[expr] += 1
        if counts[expr] == 1:
            for c in children(expr):
                self._count(c, counts, order)
            order.append(expr)

    def index(self, index: Sequence[Affine | Expr]) -> str:
        return ", ".join(self.affine(i) if isinstance(i, Affine) else self.expr(i) for i in index)

    def affine(self, affine: Affine) -> str:
        parts = []
        for term, c in affine.terms:
            name = self.expr(term.expr) if isinstance(term, Symbol) else self.axis(term)
            parts.append(name if c == 1 else f"-{name}" if c == -1 else f"{c}*{name}")
        if affine.const or not parts:
            parts.append(str(affine.const))
        return "+".join(parts).replace("+-", "-")

    def view(self, view: View) -> str:
        return (
            f"{self.buffer(view.buffer)}[{self.index(view.prefix)}]"
            if view.prefix
            else self.buffer(view.buffer)
        )

    def expr(self, expr: Expr) -> str:
        if expr in self.shared:
            return self.shared[expr]
        if isinstance(expr, Const):
            return str(expr.value)
        if isinstance(expr, Load):
            return f"{self.buffer(expr.buffer)}[{self.index(expr.index)}]"
        if isinstance(expr, Gather):
            return f"{self.buffer(expr.buffer)}[{', '.join(self.expr(i) for i in expr.index)}]"
        if isinstance(expr, Index):
            return f"({self.affine(expr.affine)})"
        if isinstance(expr, Acc):
            return self.name(expr.name)
        if isinstance(expr, Piecewise):
            return f"{{{'; '.join(self._case(c, e) for c, e in expr.cases)}}}"
        assert isinstance(expr, Op)
        args = [self.expr(a) for a in expr.args]
        if expr.name in _INFIX and len(args) == 2:
            return f"({args[0]} {_INFIX[expr.name]} {args[1]})"
        name = expr.dtype.name if expr.name == "convert" else expr.name
        return f"{name}({', '.join(args)})"

    def _case(self, conditions: Sequence[tuple[Affine, int, int]], expr: Expr) -> str:
        where = " and ".join(f"{lo} <= {self.affine(a)} < {hi}" for a, lo, hi in conditions)
        return f"{self.expr(expr)} if {where}" if where else f"else {self.expr(expr)}"
