"""Walks and rewrites of expressions and statements that several passes need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from wengert.compiler.affine import Affine, Box, Term
from wengert.compiler.loops import (
    Acc,
    Accumulate,
    Branch,
    Condition,
    Const,
    Expr,
    Exprs,
    For,
    Gather,
    If,
    Index,
    Let,
    Load,
    Loop,
    Op,
    Piecewise,
    Stmt,
    Store,
)


def children(expr: Expr) -> Iterable[Expr]:
    """The operands of an expression."""
    if isinstance(expr, Op):
        return expr.args
    if isinstance(expr, Piecewise):
        return [e for _, e in expr.cases]
    if isinstance(expr, Gather):
        return expr.index
    return ()


def walk(*roots: Expr) -> Iterable[Expr]:
    """The roots and every expression below them, each once. Symbols' expressions are not entered."""
    if len(roots) == 1:
        return _below(roots[0])[0]
    found: dict[Expr, None] = {}
    for root in roots:
        found.update(_below(root)[0])
    return found


def reads(*roots: Expr) -> Iterable[Load | Gather | Acc]:
    """Those of `walk` that read memory or a name."""
    if len(roots) == 1:
        return _below(roots[0])[1]
    return dict.fromkeys(expr for root in roots for expr in _below(root)[1])


def _below(root: Expr) -> tuple[dict[Expr, None], list[Load | Gather | Acc]]:
    """Remembered with the root, since expressions never change and each pass asks again."""
    try:
        return root.below
    except AttributeError:
        every: dict[Expr, None] = {}
        reading: list[Load | Gather | Acc] = []
    stack = [root]
    while stack:
        expr = stack.pop()
        if expr not in every:
            every[expr] = None
            if type(expr) is Op:  # as most are
                stack += expr.args
            elif type(expr) is not Const:
                stack += children(expr)
                if isinstance(expr, Load | Gather | Acc):
                    reading.append(expr)
    root.below = every, reading
    return root.below


def bodies(stmt: Stmt) -> list[list[Stmt]]:
    """The statement lists inside of a statement."""
    if isinstance(stmt, For | If):
        return [stmt.body]
    if isinstance(stmt, Loop):
        return [stmt.condition, stmt.body]
    if isinstance(stmt, Branch):
        return stmt.branches
    return []


def statements(body: Iterable[Stmt]) -> Iterator[Stmt]:
    """Every statement of a body, outer ones first."""
    for stmt in body:
        yield stmt
        for inner in bodies(stmt):
            yield from statements(inner)


def values(stmt: Stmt) -> list[Expr]:
    """The expressions that a statement itself evaluates."""
    if isinstance(stmt, Store):
        return [stmt.value, *(i for i in stmt.index if isinstance(i, Expr))]
    if isinstance(stmt, Let | Accumulate):
        return [stmt.value]
    return [stmt.condition] if isinstance(stmt, If) else []


class Rewriter:
    """Rebuilds expressions bottom up; subclasses say what becomes of a node."""

    def __init__(self, exprs: Exprs):
        self.exprs = exprs
        self._memo: dict[Expr, Expr] = {}

    def __call__(self, expr: Expr) -> Expr:
        found = self._memo.get(expr)
        if found is None:
            found = self._memo[expr] = self.visit(expr)
        return found

    def affine(self, affine: Affine) -> Affine:
        return affine

    def load(self, expr: Load) -> Expr:
        return self.exprs.load(expr.buffer, [self.affine(i) for i in expr.index])

    def conditions(self, conditions: tuple[Condition, ...]) -> tuple[Condition, ...] | None:
        """The conditions after the rewrite, without those that hold; None if they can't hold."""
        return tuple((self.affine(a), lo, hi) for a, lo, hi in conditions)

    def visit(self, expr: Expr) -> Expr:
        if isinstance(expr, Op):
            args = tuple([self(a) for a in expr.args])
            return expr if args == expr.args else self.exprs.op(expr.name, *args, dtype=expr.dtype)
        if isinstance(expr, Const | Acc):
            return expr
        if isinstance(expr, Load):
            return self.load(expr)
        if isinstance(expr, Gather):
            return self.exprs.gather(expr.buffer, [self(i) for i in expr.index])
        if isinstance(expr, Index):
            return self.exprs.index(self.affine(expr.affine), expr.dtype)
        assert isinstance(expr, Piecewise)
        cases = []
        for conditions, value in expr.cases:
            kept = self.conditions(conditions)
            if kept is None:
                continue
            cases.append((kept, self(value)))
            if not kept:
                break
        return self.exprs.piecewise(cases)


class Restrict(Rewriter):
    """Drops the cases and conditions that are decided over a box."""

    def __init__(self, exprs: Exprs, box: Box):
        super().__init__(exprs)
        self.box = box

    def visit(self, expr: Expr) -> Expr:
        # only Piecewise nodes change, so what has none below stays the same object
        return super().visit(expr) if isinstance(expr, Op | Piecewise | Gather) else expr

    def conditions(self, conditions: tuple[Condition, ...]) -> tuple[Condition, ...] | None:
        kept = []
        for affine, lo, hi in conditions:
            least, last = affine.bounds(self.box)
            if last < lo or least >= hi:
                return None
            if least < lo or last >= hi:
                kept.append((affine, lo, hi))
        return tuple(kept)


class Substitute(Rewriter):
    """Replaces axes by affine forms, and optionally loads by other expressions."""

    def __init__(
        self,
        exprs: Exprs,
        axes: Mapping[Term, Affine],
        load: Callable[[Load], Expr | None] = lambda _: None,
    ):
        super().__init__(exprs)
        self.axes = axes
        self.replace_load = load

    def affine(self, affine: Affine) -> Affine:
        return affine.substitute(self.axes)

    def load(self, expr: Load) -> Expr:
        return self.replace_load(expr) or super().load(expr)


def rewrite_values(stmt: Stmt, rewrite: Rewriter) -> None:
    """Rewrite, in place, the expressions and indices that a statement itself has."""
    if isinstance(stmt, Store):
        stmt.index = tuple([rewrite.affine(i) if isinstance(i, Affine) else rewrite(i) for i in stmt.index])
    if isinstance(stmt, Store | Let | Accumulate):
        stmt.value = rewrite(stmt.value)
    elif isinstance(stmt, If):
        stmt.condition = rewrite(stmt.condition)
