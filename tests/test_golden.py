"""Loop programs of a fixed set of functions, as they are meant to be.

Each is compared with its text in `golden/`, so that a change to the compiler shows what it changes. With the
environment variable WENGERT_UPDATE_GOLDEN=1 the texts are written anew; read the difference before committing it.
The properties that matter are asserted besides, by structure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.compiler import tile
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import Call, For, Init, Loop, Piecewise, Program, Store
from wengert.compiler.pipeline import Compilation, compile_jaxpr
from wengert.compiler.pretty import format_program
from wengert.compiler.rewrite import statements, values, walk

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("WENGERT_UPDATE_GOLDEN") == "1"


def f32(*shape: int) -> Any:
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32))


def i32(*numbers: int) -> Any:
    return jnp.asarray(np.asarray(numbers, np.int32))


# ------------------------------------------------------------------------------------------------- functions


def elementwise(x: Any, y: Any) -> Any:
    return jnp.where(x > 0, x, jnp.exp(y) - 1) * 1.5 + x * y


def softmax(x: Any) -> Any:
    e = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
    return e / jnp.sum(e, axis=-1, keepdims=True)


def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift


def column_sum(x: Any) -> Any:
    return jnp.sum(x, axis=0)


def laplacian(u: Any) -> Any:
    p = jnp.pad(u, 1)
    return p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * u


def wave(u: Any, before: Any, c2: Any) -> Any:
    def step(carry: Any, _: Any) -> Any:
        now, last = carry
        return (2 * now - last + c2 * laplacian(now), now), None

    return lax.scan(step, (u, before), None, length=10)[0]


def wave_recorded(u: Any, before: Any, c2: Any) -> Any:
    def step(carry: Any, _: Any) -> Any:
        now, last = carry
        new = 2 * now - last + c2 * laplacian(now)
        return (new, now), new

    return lax.scan(step, (u, before), None, length=10)[1]


def running_sum(xs: Any) -> Any:
    def step(total: Any, x: Any) -> Any:
        total = total + x
        return total, total * 2

    return lax.scan(step, jnp.zeros(xs.shape[1:]), xs)


def concatenation(x: Any, y: Any) -> Any:
    return jnp.concatenate([x, 2 * y, x]) + 1


def transposed(x: Any, y: Any) -> Any:
    return x.T + y


def dense(x: Any, w: Any, b: Any) -> Any:
    return jnp.maximum(x @ w + b, 0)


def newton(a: Any) -> Any:
    def unfinished(x: Any) -> Any:
        return jnp.abs(x * x - a) > 1e-3

    return lax.while_loop(unfinished, lambda x: 0.5 * (x + a / x), a)


def branch(which: Any, x: Any) -> Any:
    return lax.cond(which > 0, lambda x: x * 2, lambda x: jnp.sin(x), x)


def rows(x: Any, index: Any) -> Any:
    return x[index] * 2


def merge(x: Any) -> Any:
    return x.reshape(-1) + 1


def cut(x: Any) -> Any:
    return jnp.sum(x.reshape(8, 32), axis=1)


def rolled(x: Any) -> Any:
    return x + jnp.roll(x, 3)


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "elementwise": (elementwise, (f32(1000), f32(1000))),
    "softmax": (softmax, (f32(64, 100),)),
    "layer_norm": (layer_norm, (f32(64, 100), f32(100), f32(100))),
    "column_sum": (column_sum, (f32(64, 100),)),
    "laplacian": (laplacian, (f32(60, 70),)),
    "wave": (wave, (f32(60, 70), f32(60, 70), f32(60, 70))),
    "wave_recorded": (wave_recorded, (f32(60, 70), f32(60, 70), f32(60, 70))),
    "running_sum": (running_sum, (f32(20, 30),)),
    "concatenation": (concatenation, (f32(50, 4), f32(7, 4))),
    "transposed": (transposed, (f32(40, 30), f32(30, 40))),
    "dense_small": (dense, (f32(4, 8), f32(8, 16), f32(16))),
    "dense_large": (dense, (f32(64, 128), f32(128, 32), f32(32))),
    "newton": (newton, (jnp.float32(2),)),
    "branch": (branch, (jnp.int32(1), f32(50))),
    "rows": (rows, (f32(20, 8), i32(3, -1, 19))),
    "merge": (merge, (f32(20, 8),)),
    "cut": (cut, (f32(256),)),
    "rolled": (rolled, (f32(100),)),
}


def compiled(name: str) -> tuple[Compilation, list[Any]]:
    function, args = CASES[name]
    entry, flat = wengert.jit(function).prepare(args, {})
    return compile_jaxpr(entry.jaxpr.jaxpr), [*entry.consts, *flat]


def program(name: str) -> Program:
    return compiled(name)[0].program


@pytest.fixture(autouse=True)
def _one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of products have the shape that suits the processor: here it is the same on all of them."""
    monkeypatch.setattr(tile, "VECTOR_BYTES", 64)
    monkeypatch.setattr(tile, "REGISTERS", 32)


@pytest.mark.parametrize("name", CASES)
def test_loop_program_is_as_before(name: str) -> None:
    text = format_program(program(name)) + "\n"
    path = GOLDEN / f"{name}.txt"
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "see the head of this file"


@pytest.mark.parametrize("name", CASES)
def test_loop_program_computes_what_the_function_does(name: str) -> None:
    function, args = CASES[name]
    compilation, flat = compiled(name)
    results = interpret(compilation.program, [np.asarray(a) for a in flat])
    with wengert.disable_jit():
        wanted = wengert.tree.leaves(function(*args))
    for n, w in zip(compilation.outputs, wanted, strict=True):
        np.testing.assert_allclose(results[n], w, rtol=1e-4, atol=1e-5)


def test_every_text_belongs_to_a_function() -> None:
    assert {p.stem for p in GOLDEN.glob("*.txt")} == set(CASES)


# ------------------------------------------------------------------------------------------------- structure


def loops(stmts: Any) -> list[For]:
    return [s for s in statements(stmts) if isinstance(s, For)]


def has_condition(loop: For) -> bool:
    return any(isinstance(e, Piecewise) for s in statements(loop.body) for e in walk(*values(s)))


def iterations(loop: For) -> int:
    """Of the innermost loops in it, all together."""
    inner = [s for s in loop.body if isinstance(s, For)]
    return (loop.hi - loop.lo) * (sum(map(iterations, inner)) if inner else 1)


@pytest.mark.parametrize("name", ["laplacian", "wave", "wave_recorded", "concatenation", "rolled"])
def test_interiors_carry_no_condition(name: str) -> None:
    every = loops(program(name).body)
    free = [s for s in every if not has_condition(s)]
    assert max(map(iterations, free)) == max(map(iterations, every))
    assert sum(map(iterations, free)) >= 0.9 * sum(map(iterations, every))


@pytest.mark.parametrize("name", ["wave", "wave_recorded", "running_sum"])
def test_carries_move_and_are_not_copied(name: str) -> None:
    (scan,) = [s for s in program(name).body if isinstance(s, Loop)]
    assert not [s for s in statements(scan.body) if isinstance(s, Call)]
    copies = [s for s in statements(scan.body) if isinstance(s, Store) and type(s.value).__name__ == "Load"]
    assert not copies


def test_stacked_outputs_are_written_in_place_and_carried_as_pointers() -> None:
    wave = program("wave_recorded")
    (scan,) = [s for s in wave.body if isinstance(s, Loop)]
    written = {s.buffer for s in statements(scan.body) if isinstance(s, Store)}
    assert written == set(wave.results)
    assert wave.results[0] in {v.buffer for v in scan.moves}


@pytest.mark.parametrize(("name", "inner"), [("softmax", 3), ("layer_norm", 3)])
def test_row_reductions_and_their_consumers_share_one_loop(name: str, inner: int) -> None:
    p = program(name)
    (row,) = p.body
    assert isinstance(row, For)
    assert row.parallel
    assert len([s for s in row.body if isinstance(s, For)]) == inner
    assert not p.temps


def test_products_are_loops_over_blocks_and_very_large_ones_are_calls() -> None:
    for name in ("dense_large", "dense_small"):
        assert not [s for s in statements(program(name).body) if isinstance(s, Call)]
    inner = [s for s in statements(program("dense_large").body) if isinstance(s, For) and s.lanes > 1]
    assert all(len([t for t in s.body if isinstance(t, Init)]) >= 8 for s in inner)
    closed = wengert.make_jaxpr(lambda x, y: x @ y)(*[wengert.ShapeDtypeStruct((2048, 2048), np.float32)] * 2)
    assert [s.name for s in compile_jaxpr(closed.jaxpr).program.body if isinstance(s, Call)] == ["gemm"]


@pytest.mark.parametrize("name", ["merge", "cut", "transposed", "rows", "elementwise"])
def test_views_are_one_loop_nest_without_temporaries(name: str) -> None:
    p = program(name)
    assert len(p.body) == 1
    assert not p.temps
