"""Where long loops look whether the user has pressed Ctrl-C: seldom enough to cost nothing, often enough to end soon.

A look is a load and a branch. A loop with much work gets one in each iteration, if that takes long enough, else the
loop is cut into parts with one for each. Inner loops with much work of their own get theirs. Between the pieces of
parallel loops the worker team looks itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wengert.backends.irbuilder import I32, I64, PTR, VOID, Builder, Value
from wengert.compiler.loops import For, If, Stmt
from wengert.compiler.nest import work

# Work in vector additions of one element, as `nest.work` counts.
_LONG = 2e7  # of a loop, from which it looks: a few milliseconds
_OFTEN = 5e5  # between two looks at least
_PARTS = 256  # a part is a multiple of so many iterations, and so of the lanes of vectors


class Pace:
    """How often the loops of one program look."""

    __slots__ = ("_bodies",)

    def __init__(self) -> None:
        self._bodies: dict[int, float] = {}

    def work(self, loop: For) -> float:
        """The work of one iteration."""
        found = self._bodies.get(id(loop))
        if found is None:
            found = self._bodies[id(loop)] = self._sum(loop.body)
        return found

    def _sum(self, stmts: Sequence[Stmt]) -> float:
        total = 0.0
        for stmt in stmts:
            if isinstance(stmt, For):
                total += stmt.trips * self.work(stmt)
            else:
                total += 1.0 + self._sum(stmt.body) if isinstance(stmt, If) else work([stmt])
        return total

    def is_long(self, loop: For) -> bool:
        """Whether it, or a loop inside of it, looks."""
        return self.work(loop) * loop.trips >= _LONG

    def between(self, loop: For, lanes: int) -> int:
        """How many iterations there are between two looks, if each stands for so many lanes; 0: it need not look."""
        if not self.is_long(loop):
            return 0
        each = self.work(loop) * lanes
        return 1 if each >= _OFTEN else math.ceil(_OFTEN / each / _PARTS) * _PARTS


def look(b: Builder, stop: Value | None) -> None:
    """Return from the function if its program is to end.

    A program's own function (`stop` is None) returns the status. The body of a parallel loop returns nothing: the
    status is where its last argument, `stop`, points to.
    """
    name = "wengert_interrupted"
    b.module._declared.setdefault(name, f"@{name} = external global i32")
    flag = b.raw(I32, f"load atomic i32, ptr @{name} monotonic, align 4")

    def ask() -> None:
        if stop is None:
            leave_if(b, b.call("wengert_interrupt_check", I32, []), None)
        else:
            leave_if(b, b.call("wengert_interrupt_look", I32, [stop]), stop)

    b.when(b.icmp("ne", flag, 0), ask, [], unlikely=True)


def leave_if(b: Builder, status: Value, stop: Value | None) -> None:
    """Return from the function if a status is not 0."""
    here = b.current
    end, go_on = b.block("stop", here), b.block("on", here)
    b.cond_br(b.icmp("ne", status, 0), end, go_on)
    b.position(end)
    if stop is None:
        b.ret(status)
    else:
        b.raw(VOID, f"store atomic i32 {status.name}, ptr {stop.name} monotonic, align 4")
        b.ret()
    b.position(go_on)


def share(b: Builder, body: str, context: Value, count: int, grain: int, stop: Value | None) -> None:
    """Run the function `body` over [0, count) on the worker team, and leave if it was told to stop."""
    args = [Value(f"@{body}", PTR), context, b.const(I64, count), b.const(I64, grain)]
    leave_if(b, b.call("wengert_parallel", I32, args), stop)
