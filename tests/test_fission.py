"""Work that leaves loops: products of all steps at once, and what each iteration would store again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import Loop, Store
from wengert.compiler.pipeline import compile_jaxpr
from wengert.compiler.rewrite import statements
from wengert.compiler.simplify import simplify
from wengert.core.jaxpr import Jaxpr
from wengert.core.reference import run_jaxpr

RNG = np.random.default_rng(3)
STEPS, BATCH, N = 6, 4, 16
W, R = RNG.standard_normal((2, N, N)) / N
XS = RNG.standard_normal((STEPS, BATCH, N))


def simplified(f: Callable[..., Any], *args: Any) -> Jaxpr:
    """The simplified jaxpr of a function, which computes the same, compiled and not."""
    closed = wengert.make_jaxpr(f)(*args)
    simple = simplify(closed.jaxpr)
    wanted = run_jaxpr(np, closed, args)
    got = run_jaxpr(np, type(closed)(simple, closed.consts), args)
    compilation = compile_jaxpr(closed.jaxpr)
    results = interpret(compilation.program, args)
    for a, n, b in zip(got, compilation.outputs, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(results[n], b, rtol=1e-10, atol=1e-12)
    return simple


def products(jaxpr: Jaxpr) -> tuple[int, list[int]]:
    """How many products a jaxpr has, and how many each of its scans has in its body."""
    inside = [
        sum(i.primitive.name == "dot_general" for i in e.params["jaxpr"].jaxpr.eqns)
        for e in jaxpr.eqns
        if e.primitive.name == "scan"
    ]
    return sum(e.primitive.name == "dot_general" for e in jaxpr.eqns), inside


def recurrent(w: Any, r: Any, xs: Any) -> Any:
    def step(state: Any, x: Any) -> Any:
        return jnp.tanh(x @ w + state @ r), None

    return jnp.sum(lax.scan(step, jnp.zeros((BATCH, N), xs.dtype), xs)[0] ** 2)


@pytest.fixture(autouse=True)
def doubles() -> Any:
    manager: Any = wengert.enable_x64(True)
    with manager:
        yield


def test_products_with_what_is_read_come_before_the_loop() -> None:
    assert products(simplified(recurrent, W, R, XS)) == (1, [1])
    vectors = simplified(
        lambda w, xs: lax.scan(lambda c, x: (c + w @ x, None), xs[0] * 0, xs)[0], W * 1.0, XS[:, 0]
    )
    assert products(vectors) == (0, [1]) or products(vectors) == (1, [0])


def test_gradients_of_weights_are_one_product_after_the_loop() -> None:
    jaxpr = simplified(wengert.grad(recurrent, (0, 1)), W, R, XS)
    assert products(jaxpr) == (3, [1, 1])
    scans = [e for e in jaxpr.eqns if e.primitive.name == "scan"]
    assert scans[1].params["num_carry"] == 1  # the sums are no longer part of the state


def test_sums_that_the_loop_reads_stay_in_it() -> None:
    def f(w: Any, xs: Any) -> Any:
        def step(total: Any, x: Any) -> Any:
            return total + x.T @ x, jnp.sum(total)

        return lax.scan(step, w, xs)

    assert products(simplified(f, W, XS)) == (0, [1])


def test_large_factors_are_not_stacked() -> None:
    def f(w: Any, xs: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            total, state = carry
            state = jnp.tanh(state * x[0, 0])
            return (total + state.T @ state, state), None

        return lax.scan(step, (w[:2, :2] * 0, jnp.ones((500, 2))), xs[:, :1, :1])[0][0]

    assert products(simplified(f, W, XS)) == (0, [1])


def test_products_in_reverse_and_of_batches() -> None:
    def f(w: Any, xs: Any) -> Any:
        def step(total: Any, x: Any) -> Any:
            each = x.reshape(2, 2, N)
            return total + jnp.einsum("bik,bjk->bij", each, each + 1), x @ w

        return lax.scan(step, jnp.zeros((2, 2, 2)), xs, reverse=True)

    simplified(f, W, XS)


def test_what_every_iteration_stores_again_is_stored_before_the_loop() -> None:
    def f(w: Any, x: Any) -> Any:
        return lax.fori_loop(0, 4, lambda i, y: jnp.cumsum(w, axis=1) @ y + jnp.flip(w)[i], x)

    closed = wengert.make_jaxpr(f)(W, W[0])
    compilation = compile_jaxpr(closed.jaxpr)
    results = interpret(compilation.program, [W, W[0]])
    np.testing.assert_allclose(results[0], run_jaxpr(np, closed, [W, W[0]])[0], rtol=1e-10)
    loop = next(s for s in compilation.program.body if isinstance(s, Loop))
    stored = {s.buffer.shape for s in statements(loop.body) if isinstance(s, Store)}
    assert (N, N) not in stored
