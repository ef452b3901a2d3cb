"""Functions with a rule of their own for vmap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
from wengert import numpy as jnp
from wengert.custom_batching import custom_vmap, sequential_vmap

X = np.arange(3, dtype=np.float32)


def make(log: list[Any]) -> Any:
    """sin(x) y; its rule computes cos(x) y, so that one sees where it is used."""

    @custom_vmap
    def f(x: Any, y: Any) -> Any:
        return jnp.sin(x) * y

    @f.def_vmap
    def rule(axis_size: int, in_batched: Any, x: Any, y: Any) -> Any:
        log.append((axis_size, in_batched, x.shape, y.shape))
        return jnp.cos(x) * y, True

    return f


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_rule_is_used_under_vmap_alone() -> None:
    log: list[Any] = []
    f = make(log)
    close(f(X, y=2.0), np.sin(X) * 2)
    close(wengert.jit(f)(X, X), np.sin(X) * X)
    close(wengert.grad(f)(1.0, 2.0), np.cos(1) * 2)
    assert log == []
    close(wengert.vmap(f, (0, None))(X, 2.0), np.cos(X) * 2)
    close(wengert.jit(wengert.vmap(f))(X, X), np.cos(X) * X)
    assert log == [(3, [True, False], (3,), ()), (3, [True, True], (3,), (3,))]
    matrix = np.ones((2, 3), np.float32)
    close(wengert.vmap(f, (1, 1))(matrix, matrix), np.full((3, 2), np.cos(1)))


def test_derivatives_of_the_rule() -> None:
    f = make([])
    slope = -np.sin(X) * X + np.cos(X)
    close(wengert.grad(lambda x: wengert.vmap(f)(x, x).sum())(X), slope)
    ones = np.ones(3, np.float32)
    close(wengert.jvp(wengert.vmap(f), (X, X), (ones, ones))[1], slope)
    pair = wengert.vmap(lambda x, t: wengert.jvp(f, (x, x), (t, t)))(X, ones)
    close(pair, (np.cos(X) * X, slope))
    # only the tangent is mapped
    pair = wengert.vmap(lambda x, t: wengert.jvp(f, (x, x), (t, t)), (None, 0))(1.0, X)
    close(pair[1], (np.cos(1) - np.sin(1)) * X)
    # the way back knows no rule
    close(wengert.vmap(wengert.grad(f))(X, X), np.cos(X) * X)
    close(wengert.grad(wengert.grad(f))(1.0, 2.0), -np.sin(1) * 2)


def test_pytrees_and_unbatched_results() -> None:
    @custom_vmap
    def f(tree: Any, n: Any) -> Any:
        return {"sum": tree["a"] + tree["b"], "n": n}

    @f.def_vmap
    def rule(axis_size: int, in_batched: Any, tree: Any, n: Any) -> Any:
        assert in_batched == [{"a": True, "b": False}, False]
        return {"sum": tree["a"] + 10 * tree["b"], "n": n}, {"sum": True, "n": False}

    out = wengert.vmap(f, ({"a": 0, "b": None}, None), {"sum": 0, "n": None})({"a": X, "b": 1.0}, 7)
    close(out["sum"], X + 10)
    assert out["n"] == 7


def test_sequential_vmap() -> None:
    seen: list[Any] = []

    @sequential_vmap
    def f(x: Any, y: Any) -> Any:
        seen.append(x["a"].shape)
        return x["a"] @ y, 2 * y

    matrices, v = np.arange(12, dtype=np.float32).reshape(3, 2, 2), X[:2]
    products, doubled = wengert.vmap(f, ({"a": 0}, None))({"a": matrices}, v)
    close(products, matrices @ v)
    close(doubled, np.tile(2 * v, (3, 1)))
    assert set(seen) == {(2, 2)}
    close(wengert.jacfwd(lambda y: f({"a": matrices[0]}, y)[0])(v), matrices[0])
    close(
        wengert.grad(lambda y: wengert.vmap(f, ({"a": 0}, None))({"a": matrices}, y)[0].sum())(v),
        [18 + 12, 36],
    )
    twice = wengert.vmap(wengert.vmap(f, ({"a": 0}, None)), (None, 0))({"a": matrices}, np.stack([v, 2 * v]))[
        0
    ]
    close(twice, np.stack([matrices @ v, 2 * (matrices @ v)]))


def test_rules_are_checked() -> None:
    def with_rule(rule: Any) -> Any:
        f = custom_vmap(lambda x, y: x)
        f.def_vmap(rule)
        return wengert.vmap(f)(X, X)

    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda n, b, x, y: (x, (True, True)), ValueError, "batching specification"),
        (lambda n, b, x, y: ((x,), (True,)), ValueError, "does not match that of original"),
        (lambda n, b, x, y: x, TypeError, "must return a pair"),
        (lambda n, b, x, y: (x[0], True), ValueError, "that it says is batched over 3 elements"),
    ]
    for rule, error, message in cases:
        with pytest.raises(error, match=message):
            with_rule(rule)
    with pytest.raises(AttributeError, match="No batching rule defined for custom_vmap function plain"):
        custom_vmap(plain)(X)
    with pytest.raises(TypeError, match="could not be resolved to positional-only"):
        make([])(X, z=1)

    def over_closed_over(x: Any) -> Any:
        f = custom_vmap(lambda y: x * y)
        f.def_vmap(lambda n, b, y: (y, True))
        return f(1.0)

    with pytest.raises(ValueError, match="closes over"):
        wengert.vmap(over_closed_over)(X)


def plain(x: Any) -> Any:
    return x
