"""Reductions over segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
from wengert import numpy as jnp, ops
from wengert.errors import ConcretizationTypeError
from wengert.test_util import check_grads

DATA = np.arange(1.0, 11).reshape(5, 2).astype(np.float32)
IDS = np.array([2, 0, 2, 3, 0])
CASES = [
    ("sum", np.add, 0),
    ("prod", np.multiply, 1),
    ("max", np.maximum, -np.inf),
    ("min", np.minimum, np.inf),
]


def expected(ufunc: Any, start: float, ids: Any, count: int) -> Any:
    out = np.full((count, 2), start, np.float32)
    for i, row in zip(ids, DATA, strict=True):
        if 0 <= i < count:
            out[i] = ufunc(out[i], row)
    return out


@pytest.mark.parametrize(("name", "ufunc", "start"), CASES)
def test_segments(name: str, ufunc: Any, start: float) -> None:
    function = getattr(ops, f"segment_{name}")
    np.testing.assert_array_equal(function(DATA, IDS), expected(ufunc, start, IDS, 4))
    np.testing.assert_array_equal(function(DATA, IDS, 6), expected(ufunc, start, IDS, 6))
    np.testing.assert_array_equal(function(DATA, IDS, bucket_size=2), expected(ufunc, start, IDS, 4))
    jitted = wengert.jit(function, static_argnums=2)
    np.testing.assert_array_equal(jitted(DATA, IDS, 5), expected(ufunc, start, IDS, 5))
    beyond = np.array([0, -1, 7, 1, 1])
    np.testing.assert_array_equal(function(DATA, beyond, 3), expected(ufunc, start, beyond, 3))
    clipped = np.clip(beyond, 0, 2)
    np.testing.assert_array_equal(function(DATA, beyond, 3, mode="clip"), expected(ufunc, start, clipped, 3))
    ordered = np.sort(IDS)
    np.testing.assert_array_equal(
        function(DATA, ordered, indices_are_sorted=True), expected(ufunc, start, ordered, 4)
    )
    many = wengert.vmap(lambda d: function(d, IDS, 4))(np.stack([DATA, DATA]))
    np.testing.assert_array_equal(many[1], expected(ufunc, start, IDS, 4))
    once = np.array([3, 1, 0, 4, 2])
    np.testing.assert_array_equal(function(DATA, once, unique_indices=True), DATA[[2, 1, 4, 0, 3]])


def test_segments_of_integers_and_of_nothing() -> None:
    numbers, ids = np.arange(3), np.array([0, 0, 2])
    info = np.iinfo(np.int32)
    np.testing.assert_array_equal(ops.segment_max(numbers, ids, 4), [1, info.min, 2, info.min])
    np.testing.assert_array_equal(ops.segment_min(numbers, ids, 4), [0, info.max, 2, info.max])
    np.testing.assert_array_equal(ops.segment_max(numbers > 0, ids, 3), [True, False, True])
    np.testing.assert_array_equal(ops.segment_sum(jnp.zeros((0, 2)), jnp.zeros(0, int), 2), np.zeros((2, 2)))


@pytest.mark.usefixtures("x64")
def test_derivatives_of_segments() -> None:
    wide = DATA.astype(np.float64)
    for function in (ops.segment_sum, ops.segment_max, ops.segment_min):
        check_grads(lambda d, f=function: f(d, IDS, 4)[np.array([0, 2, 3])], (wide,), order=1)


def test_segments_say_what_is_wrong() -> None:
    with pytest.raises(ConcretizationTypeError, match="num_segments"):
        wengert.jit(ops.segment_sum)(DATA, IDS)
    with pytest.raises(ConcretizationTypeError, match="static"):
        wengert.jit(ops.segment_sum)(DATA, IDS, 4)
    with pytest.raises(ValueError, match="non-negative"):
        ops.segment_sum(DATA, IDS, -1)
    with pytest.raises(ValueError, match="Unknown gather mode"):
        ops.segment_sum(DATA, IDS, 4, mode="wrap")
    with pytest.raises(TypeError, match="booleans"):
        ops.segment_sum(DATA > 0, IDS, 4)
    with pytest.raises(ValueError, match="shape"):
        ops.segment_sum(DATA, IDS[:3], 4)
