"""Checks loop programs: every axis and name is bound where it is used, and every access is in bounds.

Runs after each pass if `WENGERT_ENABLE_CHECKS` is set or `config.enable_checks` is on, as in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from wengert.compiler.affine import Affine, Axis, Symbol, Term
from wengert.compiler.loops import (
    Acc,
    Accumulate,
    Branch,
    Buffer,
    Call,
    Expr,
    For,
    Gather,
    If,
    Index,
    Init,
    Let,
    Load,
    Loop,
    Piecewise,
    Program,
    Stmt,
    Store,
    View,
)
from wengert.compiler.rewrite import children
from wengert.config import current
from wengert.errors import CompileError


def enabled() -> bool:
    """Whether programs are to be checked."""
    return current().enable_checks


def verify(program: Program, placed: bool = True) -> None:
    """Raise CompileError, which names the statement, if the program is malformed.

    `placed` says whether its temporaries have been given their places in the arena.
    """
    known = {*program.args, *program.results, *program.temps}
    _Checker(known).body(program.body, {}, set())
    for buffer in program.temps if placed else ():
        if buffer.offset < 0 or buffer.offset + buffer.nbytes > program.arena:
            raise CompileError(
                f"{buffer} of {buffer.nbytes} bytes at {buffer.offset} is outside of the arena"
            )


class _Checker:
    def __init__(self, known: set[Buffer]):
        self.known = known

    def body(self, stmts: Sequence[Stmt], box: dict[Term, tuple[int, int]], names: set[str]) -> None:
        names = set(names)
        for stmt in stmts:
            self.statement(stmt, box, names)

    def statement(self, stmt: Stmt, box: dict[Term, tuple[int, int]], names: set[str]) -> None:
        if isinstance(stmt, For):
            if stmt.axis in box:
                raise CompileError(f"a loop over {stmt.axis} is inside of a loop over it")
            for bound in (stmt.first, stmt.end):
                if bound is not None:
                    self.terms([t for t, _ in bound.terms], box, names)
            if stmt.hi > stmt.lo:
                self.body(stmt.body, {**box, stmt.axis: (stmt.lo, stmt.hi)}, names)
        elif isinstance(stmt, Store):
            self.expr(stmt.value, box, names)
            self.writable(stmt.buffer)
            if stmt.value.dtype != stmt.buffer.dtype:
                raise CompileError(f"{stmt.buffer} of {stmt.buffer.dtype} gets a {stmt.value.dtype}")
            affines = [i for i in stmt.index if isinstance(i, Affine)]
            if len(affines) == len(stmt.index):
                self.access(stmt.buffer, affines, box, names)
            for i in stmt.index:
                if isinstance(i, Expr):
                    self.expr(i, box, names)
        elif isinstance(stmt, Let | Accumulate):
            self.expr(stmt.value, box, names)
            if isinstance(stmt, Accumulate) and stmt.name not in names:
                raise CompileError(f"accumulator {stmt.name} is not started")
            names.add(stmt.name)
        elif isinstance(stmt, Init):
            names.add(stmt.name)
        elif isinstance(stmt, If):
            self.expr(stmt.condition, box, names)
            self.body(stmt.body, box, names)
        elif isinstance(stmt, Call):
            for view in (*stmt.inputs, *stmt.outputs):
                self.view(view, box, names)
            for view in stmt.outputs:
                self.writable(view.buffer)
        elif isinstance(stmt, Loop):
            for view in stmt.starts:
                self.view(view, box, names)
            self.known.update(stmt.slots)
            trips = stmt.trips if stmt.trips is not None else stmt.axis.size
            inner = {**box, stmt.axis: (0, max(trips, 1))}
            self.body(stmt.condition, inner, names)
            self.body(stmt.body, inner, names)
            for view in stmt.moves:
                self.view(view, inner, names)
        elif isinstance(stmt, Branch):
            self.view(stmt.selector, box, names)
            for branch in stmt.branches:
                self.body(branch, box, names)
        else:
            raise CompileError(f"a {type(stmt).__name__} is left in the program")

    def writable(self, buffer: Buffer) -> None:
        if buffer.kind == "arg":
            raise CompileError(f"{buffer} is an argument that is not given away, and is written to")

    def view(self, view: View, box: dict[Term, tuple[int, int]], names: set[str]) -> None:
        index = [*view.prefix, *(Affine() for _ in view.shape)]
        self.access(view.buffer, index, box, names, check=bool(view.prefix) and 0 not in view.shape)

    def access(
        self,
        buffer: Buffer,
        index: Sequence[Affine],
        box: dict[Term, tuple[int, int]],
        names: set[str],
        check: bool = True,
    ) -> None:
        if buffer not in self.known and buffer.kind != "local":
            raise CompileError(f"{buffer} of kind {buffer.kind} is not declared")
        for affine in index:
            self.terms([t for t, _ in affine.terms], box, names)
        if not check:
            return
        sizes = buffer.shape if len(index) == len(buffer.shape) else (buffer.size,)
        for affine, size in zip(index, sizes, strict=True):
            lo, hi = affine.bounds(box)
            if lo < 0 or hi >= size:
                raise CompileError(
                    f"{buffer}{list(buffer.shape)} is accessed at {affine}, which is in [{lo}, {hi}]"
                )

    def terms(self, terms: Sequence[Term], box: dict[Term, tuple[int, int]], names: set[str]) -> None:
        for term in terms:
            if isinstance(term, Axis) and term not in box:
                raise CompileError(f"axis {term} is used outside of its loop")
            if isinstance(term, Symbol):
                self.expr(term.expr, box, names)

    def expr(
        self, expr: Expr, box: dict[Term, tuple[int, int]], names: set[str], guarded: bool = False
    ) -> None:
        stack = [(expr, guarded)]
        seen: set[tuple[Expr, bool]] = set()
        while stack:
            item = stack.pop()
            if item in seen:
                continue
            seen.add(item)
            e, under = item
            if isinstance(e, Load):
                self.access(e.buffer, e.index, box, names, check=not under)
            elif isinstance(e, Acc) and e.name not in names:
                raise CompileError(f"{e.name} is used before it is bound")
            elif isinstance(e, Index):
                self.terms([t for t, _ in e.affine.terms], box, names)
            elif isinstance(e, Gather) and e.buffer not in self.known:
                raise CompileError(f"{e.buffer} is not declared")
            stack.extend((c, under or isinstance(e, Piecewise)) for c in children(e))
