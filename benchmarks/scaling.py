"""`python -m benchmarks --scaling`: what each step of compiling costs for an equation, in programs of growing length.

Where a step is linear in the number of equations, its line stays level.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import wengert
import wengert.numpy as jnp
from wengert.backends import cpu, llvm
from wengert.compiler import fingerprint, pipeline, simplify
from wengert.core.collector import collecting_seldom
from wengert.core.staging import hoist_consts
from wengert.runtime import threads as _threads  # noqa: F401  (provides wengert_parallel)

SIZES = (100, 1_000, 10_000)
Program = Callable[[int], Callable[[Any], Any]]


def chain(n: int) -> Callable[[Any], Any]:
    """n operations one after the other."""

    def run(x: Any) -> Any:
        for i in range(n // 2):
            x = (x + i) * 0.5
        return x

    return run


def sines(n: int) -> Callable[[Any], Any]:
    """The same with an elementary function in each pair."""

    def run(x: Any) -> Any:
        for i in range(n // 2):
            x = jnp.sin(x + i)
        return x

    return run


def mixed(n: int) -> Callable[[Any], Any]:
    """Operations, reductions, slices and values that are used again."""

    def run(x: Any) -> Any:
        kept = x
        for i in range(n // 8):
            y = x * 0.5 + kept
            kept = jnp.where(y > 0, y, kept - 1) if i % 4 else y / (1 + jnp.sum(y))
            x = jnp.concatenate([kept[1:], kept[:1]])
        return x

    return run


PROGRAMS: dict[str, Program] = {"chain": chain, "sines": sines, "mixed": mixed}


class Steps:
    """Microseconds of each step, with the number of equations that it is for."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    def time(self, name: str, run: Callable[[], Any]) -> Any:
        best, rounds = float("inf"), 0
        end = time.perf_counter() + 0.2
        while rounds < 1 or (time.perf_counter() < end and rounds < 5):
            start = time.process_time()
            with collecting_seldom:
                result = run()
            best = min(best, time.process_time() - start)
            rounds += 1
        self.times[name] = best * 1e6
        return result


def steps_of(function: Callable[[Any], Any]) -> tuple[int, dict[str, float]]:
    """The number of equations of a function, and the microseconds of each step."""
    steps = Steps()
    x = jnp.ones(100)
    traced = steps.time("trace", lambda: wengert.make_jaxpr(function)(x))
    steps.time("grad", lambda: wengert.make_jaxpr(wengert.grad(lambda x: function(x).sum()))(x))
    batch = jnp.ones((3, 100))
    steps.time("vmap", lambda: wengert.make_jaxpr(wengert.vmap(function))(batch))
    jaxpr = hoist_consts(traced).jaxpr
    simple = steps.time("simplify", lambda: simplify.simplify(jaxpr))
    steps.time("fingerprint", lambda: fingerprint.fingerprint(simple))
    marks: dict[str, float] = {}

    def compiled() -> pipeline.Compilation:
        last = time.process_time()

        def watch(name: str, _: Any) -> None:
            nonlocal last
            now = time.process_time()
            marks[name] = min(marks.get(name, float("inf")), now - last)
            last = now

        return pipeline.compile_jaxpr(jaxpr, watch, simple=simple)

    compilation = steps.time("passes", compiled)
    del steps.times["passes"]
    steps.times.update({name: seconds * 1e6 for name, seconds in marks.items()})
    code = steps.time("LLVM text", lambda: llvm.emit(compilation.program, cpu.target().vector_bits))
    steps.time("LLVM", lambda: cpu.load(code.text))
    return len(jaxpr.eqns), steps.times


def main() -> None:
    """Print the table."""
    cpu.warm_up()
    print("microseconds for each equation")
    for name, program in PROGRAMS.items():
        columns = [steps_of(program(n)) for n in SIZES]
        print(f"\n{name:<12}" + "".join([f"{count:>10,}" for count, _ in columns]))
        for step in columns[0][1]:
            print(f"  {step:<10}" + "".join([f"{times[step] / count:>10.1f}" for count, times in columns]))
        print(f"  {'in all':<10}" + "".join([f"{sum(t.values()) / count:>10.1f}" for count, t in columns]))
