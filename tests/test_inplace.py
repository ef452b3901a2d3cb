"""Updates in place: a loop program that changes a part of a dead value stores that part, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import Call, For, Loop, Program, Stmt, Store
from wengert.compiler.pipeline import Compilation, compile_jaxpr
from wengert.compiler.rewrite import bodies, statements
from wengert.core.avals import ShapedArray
from wengert.core.reference import run_jaxpr
from wengert.core.staging import stage
from wengert.prims.scan import scan_p

N = 400


def compiled(
    f: Callable[..., Any], *args: Any, given: tuple[bool, ...] = ()
) -> tuple[Compilation, list[Any]]:
    """The compiled form of a function, and what its interpretation gives; it is what the primitives give."""
    closed = wengert.make_jaxpr(f)(*args)
    compilation = compile_jaxpr(closed.jaxpr, given=given)
    arrays = [np.array(a, v.aval.dtype) for a, v in zip(args, closed.jaxpr.invars, strict=True)]
    wanted = [np.array(w) for w in run_jaxpr(np, closed, arrays)]
    results = interpret(compilation.program, arrays)
    got = [results[n] if n >= 0 else arrays[-1 - n] for n in compilation.outputs]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    return compilation, got


def stored(body: list[Stmt], turns: int = 1) -> int:
    """Elements that statements store or copy, with all iterations of the loops around them."""
    total = 0
    for stmt in body:
        if isinstance(stmt, Store):
            total += turns
        elif isinstance(stmt, Call):
            total += turns * sum(int(np.prod(v.shape)) for v in stmt.outputs)
        for inner in bodies(stmt):
            around = stmt.hi - stmt.lo if isinstance(stmt, For) else 1
            total += stored(inner, turns * around)
    return total


def turn(program: Program) -> list[Stmt]:
    """The body of the innermost sequential loop."""
    return [s for s in statements(program.body) if isinstance(s, Loop)][-1].body


def set_one(i: Any, x: Any) -> Any:
    return x.at[i].set(2.0)


def add_some(i: Any, x: Any) -> Any:
    return x.at[jnp.arange(2) * 2 + i].add(x[i])


def set_first(i: Any, x: Any) -> Any:
    return x.at[0].set(x[5] + i)


def set_slice(i: Any, x: Any) -> Any:
    return lax.dynamic_update_slice(x, 2 * lax.dynamic_slice(x, (i + 1,), (4,)), (i,))


def twice(i: Any, x: Any) -> Any:
    return x.at[i].mul(3).at[i + 1].set(0)


def in_branch(i: Any, x: Any) -> Any:
    return lax.cond(i % 2 == 0, lambda x: x.at[i].set(1), lambda x: x, x)


def in_loop(i: Any, x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda j, x: x.at[i + j].add(j), x)


def in_search(i: Any, x: Any) -> Any:
    return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1].at[s[0] + i].add(1)), (0, x))[1]


UPDATES = [set_one, add_some, set_first, set_slice, twice, in_branch, in_loop, in_search]


@pytest.mark.parametrize("update", UPDATES, ids=lambda u: u.__name__)
def test_updates_of_a_carry_copy_nothing(update: Callable[..., Any]) -> None:
    compilation, _ = compiled(lambda x: lax.fori_loop(0, 5, update, x), np.arange(N, dtype=np.float32))
    program = compilation.program
    assert stored(turn(program)) <= 30
    assert program.arena < 4 * N + 500  # the state is in the result from the beginning
    loop = next(s for s in statements(program.body) if isinstance(s, Loop))
    assert [v.buffer.kind for v in loop.starts] == ["result"]


@pytest.mark.parametrize("update", UPDATES, ids=lambda u: u.__name__)
def test_updates_of_a_dead_value_copy_nothing(update: Callable[..., Any]) -> None:
    def f(x: Any, i: Any) -> Any:
        y = jnp.cumsum(x)
        return update(i, update(i + 1, y))

    compilation, _ = compiled(f, np.arange(N, dtype=np.float32), 2)
    assert compilation.program.arena < 4 * N + 500
    assert stored(compilation.program.body) < N + 60


def test_values_that_are_needed_again_are_copied() -> None:
    def f(x: Any, i: Any) -> Any:
        y = jnp.cumsum(x)
        z = y.at[i].set(0)
        return z, y[i] + 1, jnp.sum(y)

    compiled(f, np.arange(N, dtype=np.float32), 2)
    compiled(lambda x: (x.at[3].set(0), x.at[4].set(1)), np.arange(N, dtype=np.float32))
    compiled(lambda x, i: (x.at[i].set(0), x), np.arange(N, dtype=np.float32), 3)


def test_old_values_that_a_step_keeps_are_not_overwritten() -> None:
    def step(carry: Any, i: Any) -> Any:
        now, before = carry
        return (now.at[i].add(before[i + 1]), now), now[i]

    compiled(lambda a, b: lax.scan(step, (a, b), jnp.arange(5)), np.ones(N), np.arange(N) * 1.0)
    compiled(lambda a: lax.scan(step, (a, a), jnp.arange(5)), np.arange(N) * 1.0)


def test_a_carry_that_is_kept_in_every_step_is_not_overwritten() -> None:
    def step(x: Any, i: Any) -> Any:
        y = x.at[i].add(1)
        return y, y

    compiled(lambda x: lax.scan(step, x, jnp.arange(5)), np.arange(N) * 1.0)
    compiled(lambda x: lax.scan(lambda c, i: (c, c.at[i].set(9)), x, jnp.arange(5))[1], np.arange(N) * 1.0)


def test_a_constant_of_the_loop_is_not_its_carry() -> None:
    def f(x: Any) -> Any:
        y = jnp.cumsum(x)
        return lax.fori_loop(0, 5, lambda i, z: z.at[i].add(y[i + 1]), y)

    compiled(f, np.arange(N) * 1.0)


def test_results_of_loops_may_be_updated() -> None:
    def f(x: Any, xs: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            return v * 2, c

        last, kept = lax.scan(step, x, xs)
        return last.at[3].set(0), kept.at[0, 1].add(7), kept[2]

    compiled(f, np.arange(8) * 1.0, np.arange(48).reshape(6, 8) * 1.0)


def swap(x: Any, steps: int) -> Any:
    return lax.fori_loop(0, steps, lambda i, u: jnp.roll(u, 1) + u, x)


@pytest.mark.parametrize("steps", [4, 5])
def test_a_state_that_is_computed_anew_has_one_spare_place(steps: int) -> None:
    compilation, _ = compiled(lambda x: swap(x, steps), np.arange(N, dtype=np.float32))
    program = compilation.program
    assert 4 * N <= program.arena < 4 * N + 500
    assert not any(isinstance(s, Call) for s in statements(program.body))


def test_a_long_scan_takes_its_carry_and_its_outputs() -> None:
    def f(x: Any) -> Any:
        def step(c: Any, i: Any) -> Any:
            c = (c * 0.5).at[i].add(1)
            return c, c[:3] + 1

        return lax.scan(step, x, jnp.arange(300))

    compilation, _ = compiled(f, np.arange(N, dtype=np.float32))
    assert compilation.program.arena < 300 * 4 + 700  # the indices, and scalars


def test_given_arguments_hold_results() -> None:
    def f(x: Any, y: Any) -> Any:
        return x.at[3].set(1), y * 2 + x[0]

    xs = np.arange(N, dtype=np.float32), np.ones(N, np.float32)
    compilation, _ = compiled(f, *xs, given=(True, True))
    assert compilation.outputs == [0, -2]  # x is read after its update would be
    assert [b.kind for b in compilation.program.args] == ["arg", "given"]
    compilation, _ = compiled(lambda x, y: lax.fori_loop(0, 5, set_one, x), *xs, given=(True, False))
    assert compilation.outputs == [-1]
    assert stored(compilation.program.body) < 20
    compiled(lambda x, y: (x + y, x - y), *xs, given=(True, True))
    compiled(lambda x, y: jnp.flip(x) + y, *xs, given=(True, True))
    compiled(lambda x, y: (y, x), *xs, given=(True, True))


def test_explain_tells_of_updates_in_place() -> None:
    text = str(wengert.explain(lambda x: lax.fori_loop(0, 5, set_one, x), jnp.ones(N)))
    assert "in place: takes the memory of an operand that is needed no more" in text


def fresh(value: float = 1.0) -> Any:
    return wengert.jit(lambda: jnp.zeros(100_000) + value)()


def test_donated_memory_becomes_the_result() -> None:
    f = wengert.jit(lambda x, i: x.at[i].set(2), donate_argnums=0)
    x = fresh()
    address = x.unsafe_buffer_pointer()
    y = f(x, 3)
    assert y.unsafe_buffer_pointer() == address
    assert x.is_deleted()
    assert float(y.sum()) == 100_001
    compiled_f = f.lower(y, 3).compile()
    assert compiled_f(y, 3).unsafe_buffer_pointer() == address


def test_donated_memory_that_others_see_is_copied() -> None:
    f = wengert.jit(lambda x, i: x.at[i].set(2), donate_argnums=0)
    x = fresh()
    seen = np.asarray(x)
    y = f(x, 3)
    assert seen[3] == 1
    assert y[3] == 2
    both = wengert.jit(lambda x: (x, x + 1))(fresh())
    kept = both[0]
    out = wengert.jit(lambda x: x * 2, donate_argnums=0)(both[1])
    assert float(kept[0]) == 1
    assert float(out[0]) == 4


def test_donated_state_of_a_loop() -> None:
    f = wengert.jit(lambda x: lax.fori_loop(0, 4, lambda i, c: jnp.roll(c, 1) + c, x), donate_argnums=0)
    np.testing.assert_array_equal(f(fresh())[:3], [16, 16, 16])
    tree = {"a": fresh(), "b": fresh(3)}
    addresses = {k: v.unsafe_buffer_pointer() for k, v in tree.items()}
    step = wengert.jit(lambda p: wengert.tree.map(lambda v: v - 0.5 * v, p), donate_argnums=0)
    out = step(tree)
    assert {k: v.unsafe_buffer_pointer() for k, v in out.items()} == addresses
    assert float(out["b"][7]) == 1.5


def test_a_carry_that_an_update_reads_later() -> None:
    """The new state is computed before the record is written, which still needs the old one."""

    def step(carry: Any, i: Any) -> Any:
        state, record = carry
        new = jnp.sin(state) + 1
        kept = jnp.where(i % 2 == 0, state, lax.dynamic_index_in_dim(record, i, keepdims=False))
        return (new, lax.dynamic_update_index_in_dim(record, kept, i, 0)), None

    def run(x: Any) -> Any:
        return lax.scan(step, (x + 0.5, jnp.zeros((5, *x.shape))), jnp.arange(5))[0]

    x = np.array([0.0, 1.0, 2.0], np.float32)
    state, record = x + np.float32(0.5), np.zeros((5, 3), np.float32)
    for i in range(5):
        if i % 2 == 0:
            record[i] = state
        state = np.sin(state) + 1
    found = wengert.jit(run)(x)
    np.testing.assert_allclose(found[0], state, rtol=1e-6)
    np.testing.assert_allclose(found[1], record, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_two_carries_that_become_one(length: int) -> None:
    """Each needs memory of its own, though the second one stays as it is."""

    aval = ShapedArray((2,), np.dtype(np.float32))
    body = stage(lambda a, b: [b, b], [aval, aval])
    params = {"jaxpr": body, "length": length, "num_consts": 0, "num_carry": 2, "linear": (False, False)}

    def run(x: Any) -> Any:
        minus = -jnp.sin(x)
        # `lax.scan` would make a constant of the second carry
        return scan_p.bind(-minus, minus, reverse=False, unroll=1, _split_transpose=False, **params)

    x = np.array([1.5, 0.5], np.float32)
    for found in wengert.jit(run)(x):
        np.testing.assert_allclose(found, -np.sin(x), rtol=1e-6)
