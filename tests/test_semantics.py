"""What operations mean at the edges: overflow, division by zero, NaN, signed zeros, indices out of bounds.

The expected values are what XLA documents and what JAX computes on CPUs; eager and compiled calls must both
give them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import wengert as wg
from wengert import lax

INF, NAN = np.inf, np.nan
LEAST = np.iinfo(np.int32).min


def i32(*values: int) -> Any:
    return np.array(values, np.int32)


def u32(*values: int) -> Any:
    return np.array(values, np.uint32)


def f32(*values: float) -> Any:
    return np.array(values, np.float32)


def to(dtype: Any) -> Callable[[Any], Any]:
    return lambda x: lax.convert_element_type(x, dtype)


def rounded_even(x: Any) -> Any:
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


ROWS = lax.GatherDimensionNumbers((), (0,), (0,))


def gathered(mode: str) -> Callable[..., Any]:
    return lambda x, i: lax.gather(x, lax.expand_dims(i, (1,)), ROWS, (1,), mode=mode)


SEMANTICS: dict[str, tuple[Callable[..., Any], list[Any], Any]] = {
    "int division rounds towards zero": (lax.div, [i32(7, -7, 7, -7), i32(2, 2, -2, -2)], i32(3, -3, -3, 3)),
    "int division by zero": (lax.div, [i32(5, -5, 0), i32(0, 0, 0)], i32(-1, -1, -1)),
    "unsigned division by zero": (lax.div, [u32(5), u32(0)], u32(2**32 - 1)),
    "int division overflows": (lax.div, [i32(LEAST), i32(-1)], i32(LEAST)),
    "int remainder has the sign of x": (lax.rem, [i32(7, -7, 7, -7), i32(4, 4, -4, -4)], i32(3, -3, 3, -3)),
    "int remainder by zero": (lax.rem, [i32(5, -5), i32(0, 0)], i32(5, -5)),
    "int remainder overflows": (lax.rem, [i32(LEAST), i32(-1)], i32(0)),
    "float remainder": (lax.rem, [f32(5.5, -5.5, 1, INF), f32(2, 2, 0, 2)], f32(1.5, -1.5, NAN, NAN)),
    "abs of the least integer": (lax.abs, [i32(LEAST)], i32(LEAST)),
    "negative of unsigned": (lax.neg, [u32(1, 0)], u32(2**32 - 1, 0)),
    "sign": (lax.sign, [f32(-0.0, 0.0, NAN, -INF)], f32(-0.0, 0.0, NAN, -1)),
    "shift left past the width": (
        lax.shift_left,
        [i32(1, 1, 1, 1), i32(31, 32, -1, 99)],
        i32(LEAST, 0, 0, 0),
    ),
    "arithmetic shift past the width": (
        lax.shift_right_arithmetic,
        [i32(-8, -8, -8, 8), i32(1, 32, -1, 40)],
        i32(-4, -1, -1, 0),
    ),
    "logical shift": (lax.shift_right_logical, [i32(-8, -8, -8), i32(1, 32, -1)], i32(2147483644, 0, 0)),
    "float to int saturates": (
        to("int32"),
        [f32(1e10, -1e10, NAN, INF, -INF, 1.9, -1.9)],
        i32(2**31 - 1, LEAST, 0, 2**31 - 1, LEAST, 1, -1),
    ),
    "float to int8 saturates": (to("int8"), [f32(300, -300, NAN, 1.5)], np.array([127, -128, 0, 1], np.int8)),
    "float to unsigned saturates": (
        to("uint8"),
        [f32(300, -1, NAN, 255.9)],
        np.array([255, 0, 0, 255], np.uint8),
    ),
    "int to int wraps": (to("uint8"), [i32(300, -1)], np.array([44, 255], np.uint8)),
    "float to bool": (to("bool"), [f32(0, -0.0, 0.5, NAN)], np.array([False, False, True, True])),
    "int to bool": (to("bool"), [i32(0, 256, -1)], np.array([False, True, True])),
    "bool to float": (to("float32"), [np.array([True, False])], f32(1, 0)),
    "max propagates NaN": (lax.max, [f32(NAN, 1, NAN), f32(1, NAN, NAN)], f32(NAN, NAN, NAN)),
    "min propagates NaN": (lax.min, [f32(NAN, 1, NAN), f32(1, NAN, NAN)], f32(NAN, NAN, NAN)),
    "reduce_max propagates NaN": (lambda x: lax.reduce_max(x, (0,)), [f32(1, NAN, 3)], np.float32(NAN)),
    "reduce_min propagates NaN": (lambda x: lax.reduce_min(x, (0,)), [f32(1, NAN, 3)], np.float32(NAN)),
    "reduce_max of nothing": (lambda x: lax.reduce_max(x, (0,)), [f32()], np.float32(-INF)),
    "reduce_min of nothing": (lambda x: lax.reduce_min(x, (0,)), [i32()], np.int32(2**31 - 1)),
    "reduce_sum of nothing": (lambda x: lax.reduce_sum(x, (0,)), [f32()], np.float32(0)),
    "reduce_prod of nothing": (lambda x: lax.reduce_prod(x, (0,)), [f32()], np.float32(1)),
    "reduce_and of integers": (lambda x: lax.reduce_and(x, (0,)), [i32(6, 3)], np.int32(2)),
    "argmax finds the first NaN": (lambda x: lax.argmax(x, 0, np.int32), [f32(1, NAN, 3, NAN)], np.int32(1)),
    "argmin finds the first NaN": (lambda x: lax.argmin(x, 0, np.int32), [f32(1, NAN, -3)], np.int32(1)),
    "argmax finds the first of equals": (lambda x: lax.argmax(x, 0, np.int32), [f32(1, 3, 3)], np.int32(1)),
    "cummax propagates NaN": (lax.cummax, [f32(1, NAN, 3)], f32(1, NAN, NAN)),
    "comparisons with NaN": (lax.ne, [f32(NAN, 1), f32(NAN, 1)], np.array([True, False])),
    "less than NaN": (lax.lt, [f32(NAN, 1), f32(1, NAN)], np.array([False, False])),
    "zeros are equal": (lax.eq, [f32(0.0), f32(-0.0)], np.array([True])),
    "clamp propagates NaN": (lax.clamp, [np.float32(0), f32(NAN, -1, 2), np.float32(1)], f32(NAN, 0, 1)),
    "round away from zero": (lax.round, [f32(0.5, -0.5, 2.5, 0.49999997, -0.2)], f32(1, -1, 3, 0, -0.0)),
    "round to even": (rounded_even, [f32(0.5, -0.5, 1.5, 2.5)], f32(0, -0.0, 2, 2)),
    "integer_pow of zero": (lambda x: lax.integer_pow(x, -1), [f32(0.0, -0.0)], f32(INF, -INF)),
    "integer_pow wraps": (lambda x: lax.integer_pow(x, 2), [i32(2**16)], i32(0)),
    "pow": (lax.pow, [f32(0, 0, -8, INF), f32(0, -1, 1 / 3, 0)], f32(1, INF, NAN, 1)),
    "log": (lax.log, [f32(0, -0.0, -1, INF)], f32(-INF, -INF, NAN, INF)),
    "sqrt": (lax.sqrt, [f32(-0.0, -1, INF)], f32(-0.0, NAN, INF)),
    "exp": (lax.exp, [f32(-INF, INF, 100, -200, NAN)], f32(0, INF, INF, 0, NAN)),
    "logistic": (lax.logistic, [f32(-INF, INF, -200, NAN)], f32(0, 1, 0, NAN)),
    "tanh": (lax.tanh, [f32(-INF, INF, -0.0, NAN)], f32(-1, 1, -0.0, NAN)),
    "atan2": (lax.atan2, [f32(0.0, -0.0, 0.0), f32(-1, -1, 1)], f32(np.pi, -np.pi, 0)),
    "select_n clamps its index": (
        lax.select_n,
        [i32(-1, 0, 5), f32(1, 1, 1), f32(2, 2, 2), f32(3, 3, 3)],
        f32(1, 1, 3),
    ),
    "sort puts NaN last": (lax.sort, [f32(NAN, 1, -INF, INF, -NAN)], f32(-INF, 1, INF, NAN, NAN)),
    "sort keeps the order of zeros": (lax.sort, [f32(1, 0.0, -0.0, -1)], f32(-1, 0.0, -0.0, 1)),
    "gather clips": (gathered("clip"), [f32(1, 2, 3), i32(-5, 1, 7)], f32(1, 2, 3)),
    "gather fills": (gathered("fill"), [f32(1, 2, 3), i32(-5, 1, 7)], f32(NAN, 2, NAN)),
    "gather fills integers": (gathered("fill"), [i32(1, 2, 3), i32(-5, 1)], i32(LEAST, 2)),
    "gather promised in bounds": (gathered("promise_in_bounds"), [f32(1, 2, 3), i32(9)], f32(3)),
    "dynamic_slice moves inside": (
        lambda x, i: lax.dynamic_slice(x, (i,), (2,)),
        [f32(1, 2, 3), np.int32(7)],
        f32(2, 3),
    ),
    "clz": (lax.clz, [i32(0, 1, -1)], i32(32, 31, 0)),
    "population_count": (lax.population_count, [i32(-1, 0, 5)], i32(32, 0, 2)),
    "float16 sums are formed in single precision": (
        lambda x: lax.reduce_sum(x, (0,)),
        [np.full(4096, 1, np.float16)],
        np.float16(4096),
    ),
    "bfloat16 product": (
        lax.mul,
        [np.array([1.5], ml_dtypes.bfloat16), np.array([2], ml_dtypes.bfloat16)],
        np.array([3], ml_dtypes.bfloat16),
    ),
    "float8 from float": (
        to(ml_dtypes.float8_e4m3fn),
        [f32(1.0, -2.0)],
        np.array([1, -2], ml_dtypes.float8_e4m3fn),
    ),
}


@pytest.mark.parametrize("way", ["eager", "compiled"])
@pytest.mark.parametrize("name", SEMANTICS)
def test_semantics(name: str, way: str) -> None:
    fun, args, expected = SEMANTICS[name]
    found = np.asarray((wg.jit(fun) if way == "compiled" else fun)(*args))
    assert found.dtype == expected.dtype
    assert found.shape == np.shape(expected)
    if found.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=3e-7)
        np.testing.assert_array_equal(np.signbit(found[expected == 0]), np.signbit(expected[expected == 0]))
    else:
        np.testing.assert_array_equal(found, expected)
