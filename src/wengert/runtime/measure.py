"""How long each kernel of a program takes: the program with a clock between its kernels.

The clock is a call of the host, a few microseconds, whose own time is measured and taken away. So the time of a kernel
of less than that is uncertain, and the sum is a little more than the time of a plain run, which is measured too.
"""

from __future__ import annotations

import copy
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from wengert.compiler.explain import Kernel
from wengert.compiler.loops import Branch, Call, Loop, Program, Stmt
from wengert.compiler.pipeline import Compilation
from wengert.core.array import Array
from wengert.runtime.dispatch import Executable

_SECONDS: Final = 0.3  # for all rounds
_ROUNDS: Final = 30
_IDLE, _EMPTY = -1, -2  # what a clock counts beside the kernels


class _Clock:
    """Adds the time since it was last looked at to the kernel that has run meanwhile."""

    def __init__(self) -> None:
        self.last = 0
        self.spent: Counter[int] = Counter()
        self.runs: Counter[int] = Counter()

    def tick(self, number: int) -> Call:
        """The statement that does so."""

        def look(inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
            self.spent[number] += time.perf_counter_ns() - self.last
            self.runs[number] += 1
            self.last = time.perf_counter_ns()

        return Call("host", [], [], look)


def _leaves(kernels: Sequence[Kernel]) -> Iterator[Kernel]:
    for kernel in kernels:
        if kernel.inner:
            for body in kernel.inner:
                yield from _leaves(body)
        elif kernel.stmts:
            yield kernel


def _timed(stmts: Sequence[Stmt], clock: _Clock, numbers: dict[int, int]) -> list[Stmt]:
    """The statements, with a look at the clock behind each kernel."""
    out: list[Stmt] = []
    for stmt in stmts:
        inner = stmt
        if isinstance(stmt, Loop):
            inner = copy.copy(stmt)
            inner.body = [clock.tick(_IDLE), *_timed(stmt.body, clock, numbers)]
            inner.condition = _timed(stmt.condition, clock, numbers)
        elif isinstance(stmt, Branch):
            branches = [[clock.tick(_IDLE), *_timed(b, clock, numbers)] for b in stmt.branches]
            inner = Branch(stmt.selector, branches)
        out.append(inner)
        number = numbers.get(id(stmt))
        if number is not None:
            out.append(clock.tick(number))
    return out


def measure(plain: Executable, kernels: Sequence[Kernel], args: Sequence[Array]) -> float:
    """Run a program on these arguments, many times; fill in `seconds` and `runs` of its kernels.

    The best round of each kernel counts. Returns the seconds of the best plain run.
    """
    compilation = plain.compilation
    leaves = list(_leaves(kernels))
    clock = _Clock()
    numbers = {id(kernel.stmts[-1]): n for n, kernel in enumerate(leaves)}
    before = compilation.program
    program = Program(before.name, before.args, before.results, before.temps, [])
    program.arena = before.arena
    program.body = [clock.tick(_IDLE), clock.tick(_EMPTY), *_timed(before.body, clock, numbers)]
    timed = Executable(Compilation(program, compilation.outputs, compilation.jaxpr, compilation.in_place))
    best = _best(lambda: plain(args))
    least: dict[int, int] = {}
    runs: Counter[int] = Counter()

    def round_() -> None:
        nonlocal runs
        clock.spent.clear()
        clock.runs.clear()
        clock.last = time.perf_counter_ns()
        timed(args)
        for n, spent in clock.spent.items():
            least[n] = min(least.get(n, spent), spent)
        runs = clock.runs.copy()

    _best(round_)
    for n, kernel in enumerate(leaves):
        kernel.runs = runs[n]
        # a clock's own time is the best of all rounds: in the first it may be longer than a kernel
        kernel.seconds = max(least[n] - runs[n] * least[_EMPTY], 0) * 1e-9 if runs[n] else None
    return best


def _best(run: Callable[[], object]) -> float:
    run()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            break
    return best


class Rates:
    """What this machine can do in a second: bytes moved in its caches and in its memory, operations."""

    __slots__ = ("far", "near", "operations")

    def __init__(self, near: float, far: float, operations: float):
        self.near, self.far, self.operations = near, far, operations

    def limit(self, moved: float, operations: float) -> tuple[float, str]:
        """The least time for so many bytes and operations, and which of the two sets it."""
        memory = moved / (self.far if moved > _FAR else self.near)
        work = operations / self.operations
        return (memory, "memory") if memory >= work else (work, "operations")


_NEAR, _FAR = 1 << 20, 1 << 25
_PATIENCE: Final = 0.05  # seconds for each rate


@functools.cache
def rates() -> Rates:
    """The rates of this machine, measured by NumPy: of copies of 1 and 32 MB, and of a product of matrices."""
    moved = []
    for nbytes in (_NEAR, _FAR):
        source = np.ones(nbytes // 8, np.float64)
        target = np.empty_like(source)
        moved.append(2 * nbytes / _quickest(functools.partial(np.copyto, target, source)))
    n = 512
    a = np.ones((n, n), np.float32)
    out = np.empty_like(a)
    return Rates(moved[0], moved[1], 2 * n**3 / _quickest(functools.partial(np.matmul, a, a, out)))


def _quickest(run: Callable[[], object]) -> float:
    best, end = float("inf"), time.perf_counter() + _PATIENCE
    while (start := time.perf_counter()) < end:
        run()
        best = min(best, time.perf_counter() - start)
    return best
