"""Random programs: compiled, they compute what the implementations of their primitives do, and what the loop program
says. A batch of programs gives what they give one by one; derivatives forwards and backwards agree.

The number of programs follows the profile of Hypothesis (HYPOTHESIS_PROFILE=search runs many).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, note, settings, strategies as st

import wengert
from tests.random_programs import Derivative, Program, derivatives, equations, programs
from tests.random_surroundings import surrounded_rows
from tests.random_values import eps_of, kind_of
from wengert import config
from wengert.backends import cpu, llvm
from wengert.compiler import contract, nest, plan, split
from wengert.compiler.interpret import interpret
from wengert.compiler.pipeline import Compilation, compile_jaxpr
from wengert.compiler.pretty import format_program
from wengert.core import pretty as _pretty  # noqa: F401  (prints jaxprs)
from wengert.core.array import Array, from_numpy, wrap
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import check_jaxpr
from wengert.core.reference import run_jaxpr
from wengert.runtime.dispatch import DonatedExecutable, Executable, GuardedExecutable

# Thresholds of the compiler, the usual value first. At the others, small programs take the ways of large ones.
KNOBS: list[tuple[Any, str, tuple[Any, ...]]] = [
    (nest, "PARALLEL_COST", (100_000, 40)),
    (llvm, "_GRAIN_COST", (20_000.0, 10.0)),
    (contract, "_SMALL", (8192, 4)),
    (split, "_THIN", (4, 0)),
    (plan, "STORE", (8.0, 0.0, 1e9)),
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


def somewhere(value: Any, odd: bool) -> Array:
    """An array in memory of its own, or, if `odd`, behind one other element."""
    if not odd:
        return from_numpy(value)
    place = np.empty(value.size + 1, value.dtype)[1:].reshape(value.shape)
    np.copyto(place, value)
    return wrap(place, ShapedArray(value.shape, value.dtype))


def executed(compilation: Compilation, args: Sequence[Any], odd: bool = False) -> list[Any]:
    kind = GuardedExecutable if config.current().check_memory else Executable
    if any(b.kind == "given" for b in compilation.program.args):
        kind = DonatedExecutable
    return [out._np for out in kind(compilation)([somewhere(a, odd) for a in args])]


def interpreted(compilation: Compilation, args: Sequence[Any]) -> list[Any]:
    args = [np.array(a) for a in args]  # those that are given away are written to
    results = interpret(compilation.program, args)
    return [results[n] if n >= 0 else args[-1 - n] for n in compilation.outputs]


def close(a: Any, b: Any, error: float) -> Any:
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        return (np.abs(a - b) <= 4 * error) | (a == b) | (np.isnan(a) & np.isnan(b))


def assert_same(how: str, got: Sequence[Any], wanted: Sequence[Any], errors: Sequence[float]) -> None:
    for n, (a, b, error) in enumerate(zip(got, wanted, errors, strict=True)):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if kind_of(a.dtype) in "fc":
            nan = np.isnan(a) & np.isnan(b)
            near = nan | (close(a.real, b.real, error) & close(a.imag, b.imag, error))
        else:
            near = a == b
        assert near.all(), f"{how}: result {n} is\n{a}\nand should be\n{b}\nwithin {4 * error}"


def check(program: Program, values: Sequence[Any], donated: Sequence[bool] = (), odd: bool = False) -> None:
    """`donated`: the arguments whose memory the program may take; `odd`: arguments are not at the start of lines."""
    closed, args, errors = program.closed, program.args, program.errors
    note(str(closed))
    note(f"arguments {args}, errors {errors}, donated {donated}, odd {odd}, settings {values}")
    wanted = run_jaxpr(np, closed, args)
    if program.examples:
        one_by_one = [run_jaxpr(np, one.closed, one.args) for one in program.examples]
        assert_same("batched", wanted, [np.stack(rows) for rows in zip(*one_by_one)], errors)
    if config.current().check_memory:
        donated = ()
    with settings_of_compiler(values):
        compilation = compile_jaxpr(closed.jaxpr, given=donated)
        check_jaxpr(compilation.jaxpr)
        note(str(compilation.jaxpr))
        note(format_program(compilation.program))
        assert_same("interpreted", interpreted(compilation, args), wanted, errors)
        assert_same("compiled", executed(compilation, args, odd), wanted, errors)


@given(st.data(), st.booleans(), knobs())
def test_compiled_programs_compute_what_their_primitives_do(
    data: st.DataObject, odd: bool, values: Sequence[Any]
) -> None:
    with wengert.enable_x64(True), np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        program = data.draw(programs())
        bits = data.draw(st.sampled_from(VECTOR_BITS))
        if bits:
            patch.setattr(cpu.target(), "vector_bits", bits)
        donated = [data.draw(st.booleans()) for _ in program.args]
        for eqn in equations(program.closed.jaxpr):
            event(eqn.primitive.name)
        check(program, values, donated, odd)


@settings(max_examples=settings().max_examples // 3)  # each takes longer
@given(st.data(), knobs())
def test_derivatives_of_programs(data: st.DataObject, values: Sequence[Any]) -> None:
    with wengert.enable_x64(True), np.errstate(all="ignore"):
        found: Derivative | None = data.draw(derivatives())
        if found is None:
            return
        program, dx, dy = found
        wanted = run_jaxpr(np, program.closed, program.args)
        scale = max([1.0, *(float(np.abs(a).max(initial=0.0)) for a in wanted)])
        if scale > 1e9 or not all(np.isfinite(a).all() for a in wanted):  # too steep to say how exact it is
            return
        for eqn in equations(program.closed.jaxpr):
            event(eqn.primitive.name)
        n = len(dy)
        tangents, cotangents = wanted[n : 2 * n], wanted[2 * n :]
        check(Program(program.closed, program.args, [1e-8 * scale] * len(wanted)), values)
        if cotangents:
            forwards, backwards = paired(dy, tangents), paired(cotangents, dx)
            size = sum(a.size for a in (*dx, *dy))
            assert abs(forwards - backwards) <= 1e-7 * scale * size, "the derivatives differ"


def paired(cotangents: Sequence[Any], tangents: Sequence[Any]) -> float:
    return sum(float(np.sum(c * t).real) for c, t in zip(cotangents, tangents, strict=True))


@given(st.data(), st.booleans(), knobs())
def test_every_primitive_in_random_surroundings(
    data: st.DataObject, wide: bool, values: Sequence[Any]
) -> None:
    with wengert.enable_x64(wide), np.errstate(all="ignore"):
        program = data.draw(surrounded_rows(wide))
        closed, args = program.closed()
        wanted = run_jaxpr(np, closed, args)
        check(Program(closed, args, [allowed(a, program.ulps) for a in wanted]), values)


def allowed(expected: Any, ulps: float) -> float:
    """The error that so many units in the last place of the largest element are; a quarter of what is allowed."""
    if kind_of(expected.dtype) not in "fc":
        return 0.0
    with np.errstate(all="ignore"):
        sizes = np.abs(expected).astype(np.float64)
    return ulps * eps_of(expected.dtype) * float(sizes[np.isfinite(sizes)].max(initial=1e-30)) / 4
