"""Products that are transposed are formed in the other order, where nothing else reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.compiler.simplify import simplify


def names(fun: Any, *args: Any) -> list[str]:
    """The primitives of the simplified program."""
    return [e.primitive.name for e in simplify(wengert.make_jaxpr(fun)(*args).jaxpr).eqns]


def draw(*shape: int) -> Any:
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape), jnp.float32)


CASES = {
    "matrices": (lambda x, y: (x @ y).T, (3, 4), (4, 5)),
    "batch": (lambda x, y: jnp.swapaxes(x @ y, 1, 2), (2, 3, 4), (2, 4, 5)),
    "axes": (lambda x, y: jnp.transpose(jnp.tensordot(x, y, 1), (2, 0, 1)), (2, 3, 4), (4, 5)),
    "outer": (lambda x, y: jnp.tensordot(x, y, 0).T, (3,), (4,)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_turned_product(case: str) -> None:
    fun, *shapes = CASES[case]
    args = [draw(*s) for s in shapes]  # type: ignore[misc]
    assert names(fun, *args) == ["dot_general"]
    np.testing.assert_allclose(wengert.jit(fun)(*args), fun(*args), rtol=1e-5, atol=1e-6)


def test_other_orders_and_other_readers_keep_the_transpose() -> None:
    def mixed(x: Any, y: Any) -> Any:
        return jnp.transpose(jnp.tensordot(x, y, 1), (1, 0, 2))

    def read_twice(x: Any, y: Any) -> Any:
        z = x @ y
        return z.T, z + 1

    def returned(x: Any, y: Any) -> Any:
        z = x @ y
        return z.T, z

    for fun, args in (
        (mixed, (draw(2, 3, 4), draw(4, 5))),
        (read_twice, (draw(3, 4), draw(4, 3))),
        (returned, (draw(3, 4), draw(4, 3))),
    ):
        assert "transpose" in names(fun, *args)
        for a, b in zip(
            wengert.tree.leaves(wengert.jit(fun)(*args)), wengert.tree.leaves(fun(*args)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_factor_in_a_loop() -> None:
    steps = draw(5, 2, 4)

    def loss(w: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            c = jnp.tanh(c @ w.T + row)
            return c, c @ w

        return jnp.sum(lax.scan(step, jnp.ones((2, 4), jnp.float32), steps)[1])

    w = draw(4, 4)
    result = wengert.jit(wengert.grad(loss))(w)
    np.testing.assert_allclose(result, wengert.grad(loss)(w), rtol=1e-4, atol=1e-5)
    assert "transpose" not in names(wengert.grad(lambda w: jnp.sum(jnp.tanh(steps @ w))), w)
