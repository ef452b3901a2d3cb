"""Calls of jitted functions: which are compiled anew, and what they take and give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.core.array import Array


def counting() -> tuple[Any, list[Any]]:
    traced: list[Any] = []

    def fun(x: Any, y: Any = 1.0) -> Any:
        traced.append(x)
        return x * 2 + y

    return wengert.jit(fun), traced


def test_traces_once_for_each_type() -> None:
    f, traced = counting()
    x = jnp.arange(3.0)
    for _ in range(3):
        assert f(x).tolist() == [1.0, 3.0, 5.0]
    assert len(traced) == 1
    f(jnp.arange(4.0))
    f(jnp.arange(3))
    assert len(traced) == 3


def test_numbers_are_weakly_typed_arguments() -> None:
    f, traced = counting()
    x = jnp.arange(3.0)
    assert f(x, 2.0).tolist() == [2.0, 4.0, 6.0]
    assert f(x, 3.0).tolist() == [3.0, 5.0, 7.0]
    assert len(traced) == 1
    f(x, 3)  # an int is another type
    f(x, True)
    assert len(traced) == 3
    assert f(1.0, 2.0).weak_type


def test_numpy_arguments_are_not_aliased() -> None:
    x = np.arange(3.0, dtype=np.float32)
    same = wengert.jit(lambda x: x)(x)
    x[0] = 9
    assert same.tolist() == [0.0, 1.0, 2.0]


def test_passing_arguments_through() -> None:
    x, y = jnp.arange(3.0), jnp.arange(2)
    a, b, c = wengert.jit(lambda x, y: (y, x, x))(x, y)
    assert a.tolist() == [0, 1]
    assert b.tolist() == c.tolist() == [0.0, 1.0, 2.0]


def test_results_that_are_constants() -> None:
    one, two = wengert.jit(lambda: (jnp.float32(1.5), jnp.arange(3)))()
    assert one == 1.5
    assert two.tolist() == [0, 1, 2]


def test_closed_over_arrays_are_arguments_of_the_program() -> None:
    table = jnp.arange(1000.0)
    f = wengert.jit(lambda i: table[i])
    assert f(7) == 7.0
    assert "1000" in f.lower(7).as_text()


def test_empty_arrays() -> None:
    empty = jnp.zeros((0, 3))
    assert wengert.jit(lambda x: x + 1)(empty).shape == (0, 3)
    assert wengert.jit(lambda x: x.sum(0))(empty).tolist() == [0.0, 0.0, 0.0]


def test_results_outlive_the_call_that_made_them() -> None:
    f = wengert.jit(lambda x: x + 1)
    kept = [f(jnp.full(1000, float(n))) for n in range(50)]
    assert [k[0].item() for k in kept] == [n + 1.0 for n in range(50)]


def test_primitives_without_code_of_their_own_run_in_place() -> None:
    f = wengert.jit(lambda x: lax.sort(x * 2) + 1)
    assert "sort" in f.lower(jnp.arange(2.0)).as_text("loops")
    assert f(jnp.array([2.0, 1.0])).tolist() == [3.0, 5.0]


def test_settings_make_another_program() -> None:
    f = wengert.jit(lambda x: x + 1)
    x = jnp.arange(3)
    assert f(x).dtype == jnp.int32
    with wengert.enable_x64(True):
        assert f(jnp.arange(3)).dtype == np.int64
    assert f(x).dtype == jnp.int32


def test_disable_jit_runs_the_function_itself() -> None:
    f, called = counting()
    with wengert.disable_jit():
        f(jnp.arange(3.0))
        f(jnp.arange(3.0))
    assert [type(x) for x in called] == [Array, Array]


def test_methods_can_be_jitted() -> None:
    class Model:
        scale = 3.0

        @wengert.jit
        def square(x: Any) -> Any:
            return x * x

    assert Model.square(jnp.arange(3.0)).tolist() == [0.0, 1.0, 4.0]


def test_cleared_caches_trace_again() -> None:
    f, traced = counting()
    f(jnp.arange(3.0))
    wengert.clear_caches()
    f(jnp.arange(3.0))
    assert len(traced) == 2


def test_text_of_stages() -> None:
    lowered = wengert.jit(lambda x: jnp.exp(x)).lower(jnp.arange(3.0))
    assert "exp" in lowered.as_text()
    assert "for i in 0:3" in lowered.as_text("loops")
    assert "define i32 @program" in lowered.as_text("llvm")
    assert "program:" in lowered.as_text("assembly")
    with pytest.raises(ValueError, match="no dialect 'stablehlo'"):
        lowered.as_text("stablehlo")
