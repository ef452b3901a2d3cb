"""Loops over rows join the loop that makes the rows in blocks, where nothing else is read or written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import For, Loop, Stmt
from wengert.compiler.pipeline import compile_jaxpr
from wengert.demos.wave.physics import forward


def draw(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def compiled(fun: Any, *args: Any) -> Any:
    return compile_jaxpr(wengert.make_jaxpr(fun)(*args).jaxpr).program


def loops(body: list[Stmt]) -> list[For]:
    return [s for s in body if isinstance(s, For)]


def check(fun: Any, *args: Any, interpreted: bool = False) -> Any:
    """The program, which computes what the function does: compiled, and, which is slow, by the interpreter."""
    with wengert.disable_jit():
        want = np.asarray(fun(*map(jnp.asarray, args)))
    np.testing.assert_allclose(wengert.jit(fun)(*args), want, rtol=2e-4, atol=1e-4)
    program = compiled(fun, *args)
    if interpreted:
        np.testing.assert_allclose(interpret(program, list(args))[0], want, rtol=2e-4, atol=1e-4)
    return program


def test_bias_and_activation() -> None:
    program = check(
        lambda x, w, b: jnp.tanh(x @ w + b), draw(32, 128), draw(128, 64), draw(64), interpreted=True
    )
    (loop,) = loops(program.body)
    assert loop.parallel
    assert len(loop.body) == 2


def test_rows_with_reductions() -> None:
    program = check(lambda x, w: jnp.max(x @ w * 2, axis=1), draw(32, 128), draw(128, 64))
    assert len(loops(program.body)) == 1


def test_what_comes_before() -> None:
    program = check(lambda x, w: jnp.tanh(x) @ w, draw(32, 128), draw(128, 64))
    (loop,) = loops(program.body)
    assert loop.parallel


def test_the_step_of_a_loop() -> None:
    def recurrent(x: Any, w: Any, inputs: Any) -> Any:
        return lax.scan(lambda c, v: (jnp.tanh(c @ w + v), None), x, inputs)[0]

    program = check(recurrent, draw(32, 128), draw(128, 128) / 12, draw(3, 32, 128))
    (loop,) = [s for s in program.body if isinstance(s, Loop)]
    assert len(loops(loop.body)) == 1


@pytest.mark.parametrize(
    "fun",
    [
        lambda x, w: (x @ w) / jnp.sum(x @ w),  # of all
        lambda x, w: (x @ w)[::-1] + 1,  # of other rows
        lambda x, w: jnp.tanh((x @ w).T),  # columns
        lambda x, w: jnp.diff(jnp.tanh(x @ w), axis=0),  # of the next block
        lambda x, w: jnp.take(x @ w, jnp.argsort(x[:, 0]), axis=0) + 1,  # of computed rows
    ],
)
def test_what_has_to_wait(fun: Any) -> None:
    check(fun, draw(32, 128), draw(128, 64))


def test_products_in_a_row_leave_memory_free() -> None:
    program = check(lambda x, w: x @ w @ w @ w @ w, draw(64, 64), draw(64, 64) / 8)
    assert program.arena == 2 * 64 * 64 * 4


def test_loops_over_each_others_axes() -> None:
    """On a square grid a loop over columns may have as many iterations as one over rows with columns inside."""

    def misfit(velocity: Any, sources: Any) -> Any:
        def waves(source: Any) -> Any:
            density = velocity**0.25
            return forward(velocity, density, source, 2.0, 96, 96, 4, 300.0, 330.0, 0.04)

        return jnp.sum(wengert.vmap(waves)(sources) ** 2) * 1e-8

    velocity = jnp.asarray(3000 + 100 * draw(96, 96))
    sources = jnp.asarray([[20, 30], [70, 25], [40, 80], [66, 60]], jnp.int32)
    with wengert.disable_jit():
        want = np.asarray(wengert.grad(misfit)(velocity, sources))
    found = wengert.jit(wengert.grad(misfit))(velocity, sources)
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())
