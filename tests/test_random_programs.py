"""Random programs: compiled, they compute what the implementations of their primitives do, and what the loop program
says. The number of programs follows the profile of Hypothesis (HYPOTHESIS_PROFILE=long runs many)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, note, strategies as st

import wengert
from tests.random_programs import eps_of, kind_of, programs
from tests.random_surroundings import surrounded_rows
from wengert import config
from wengert.backends import cpu, llvm
from wengert.compiler import contract, nest, plan, split
from wengert.compiler.interpret import interpret
from wengert.compiler.pipeline import Compilation, compile_jaxpr
from wengert.compiler.pretty import format_program
from wengert.core import pretty as _pretty  # noqa: F401  (prints jaxprs)
from wengert.core.array import from_numpy
from wengert.core.jaxpr import ClosedJaxpr, check_jaxpr
from wengert.core.reference import run_jaxpr
from wengert.runtime.dispatch import Executable, GuardedExecutable

# Thresholds of the compiler, the usual value first. At the others, small programs take the ways of large ones.
KNOBS: list[tuple[Any, str, tuple[Any, ...]]] = [
    (nest, "PARALLEL_COST", (100_000, 40)),
    (llvm, "_GRAIN_COST", (20_000.0, 10.0)),
    (contract, "_SMALL", (8192, 4)),
    (split, "_THIN", (4, 0)),
    (plan, "_STORE", (3.0, 0.0, 1e9)),
    (plan, "_MAX_DEPTH", (60, 2)),
]
VECTOR_BITS = (0, 128, 256, 512)  # 0: those of this machine


@contextmanager
def settings_of_compiler(values: Sequence[Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for (module, name, _), value in zip(KNOBS, values, strict=True):
            patch.setattr(module, name, value)
        yield


def knobs() -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(*(st.sampled_from(options) for _, _, options in KNOBS))


def executed(compilation: Compilation, args: Sequence[Any]) -> list[Any]:
    kind = GuardedExecutable if config.current().check_memory else Executable
    return [out._np for out in kind(compilation)([from_numpy(a) for a in args])]


def interpreted(compilation: Compilation, args: Sequence[Any]) -> list[Any]:
    results = interpret(compilation.program, args)
    return [results[n] if n >= 0 else args[-1 - n] for n in compilation.outputs]


def assert_same(how: str, got: Sequence[Any], wanted: Sequence[Any], errors: Sequence[float]) -> None:
    for n, (a, b, error) in enumerate(zip(got, wanted, errors, strict=True)):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if kind_of(a.dtype) in "fc":
            wide = np.complex128 if a.dtype.kind == "c" else np.float64
            a, b = a.astype(wide), b.astype(wide)
            with np.errstate(all="ignore"):
                near = np.abs(a - b) <= 4 * error
            near |= (a == b) | (np.isnan(a) & np.isnan(b))
        else:
            near = a == b
        assert near.all(), f"{how}: result {n} is\n{a}\nand should be\n{b}\nwithin {4 * error}"


def check(closed: ClosedJaxpr, args: Sequence[Any], errors: Sequence[float], values: Sequence[Any]) -> None:
    note(str(closed))
    wanted = run_jaxpr(np, closed, args)
    with settings_of_compiler(values):
        compilation = compile_jaxpr(closed.jaxpr)
        check_jaxpr(compilation.jaxpr)
        note(str(compilation.jaxpr))
        note(format_program(compilation.program))
        assert_same("interpreted", interpreted(compilation, args), wanted, errors)
        assert_same("compiled", executed(compilation, args), wanted, errors)


@given(st.data())
def test_compiled_programs_compute_what_their_primitives_do(data: st.DataObject) -> None:
    with wengert.enable_x64(True), np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        closed, args, errors = data.draw(programs())
        values = data.draw(knobs())
        bits = data.draw(st.sampled_from(VECTOR_BITS))
        if bits:
            patch.setattr(cpu.target(), "vector_bits", bits)
        for eqn in closed.jaxpr.eqns:
            event(eqn.primitive.name)
        check(closed, args, errors, values)


@given(st.data(), st.booleans(), knobs())
def test_every_primitive_in_random_surroundings(
    data: st.DataObject, wide: bool, values: Sequence[Any]
) -> None:
    with wengert.enable_x64(wide), np.errstate(all="ignore"):
        program = data.draw(surrounded_rows(wide))
        closed, args = program.closed()
        wanted = run_jaxpr(np, closed, args)
        check(closed, args, [allowed(a, program.ulps) for a in wanted], values)


def allowed(expected: Any, ulps: float) -> float:
    """The error that so many units in the last place of the largest element are; a quarter of what is allowed."""
    if kind_of(expected.dtype) not in "fc":
        return 0.0
    with np.errstate(all="ignore"):
        sizes = np.abs(expected).astype(np.float64)
    return ulps * eps_of(expected.dtype) * float(sizes[np.isfinite(sizes)].max(initial=1e-30)) / 4
