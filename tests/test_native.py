"""What has code of its own in compiled programs: sorting, scatters, half floats, complex numbers, against `impl`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax

HALVES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
SORTED = ["bool", "int8", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


@pytest.fixture(autouse=True)
def wide() -> Any:
    # some of the NaNs among all half floats are signalling ones
    with wengert.enable_x64(True), np.errstate(invalid="ignore"):
        yield


def stays_inside(fun: Callable[..., Any], *args: Any) -> None:
    """Fail if the compiled program calls out of itself."""
    assert "host" not in wengert.jit(fun).lower(*args).as_text("loops")


def same(found: Any, expected: Any) -> None:
    """Equal bit for bit, but for the bits of NaN."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    bits = [
        np.where(np.isnan(x), x.dtype.type(np.nan), x).tobytes() if x.dtype.kind in "fV" else x.tobytes()
        for x in (found, expected)
    ]
    assert bits[0] == bits[1]


def numbers(rng: np.random.Generator, shape: tuple[int, ...], name: str) -> Any:
    """Numbers of any size, many of them equal; NaN, infinities and zeros of both signs among floats."""
    dtype = np.dtype(name)
    if dtype.kind in "biu":
        small = rng.integers(0, 2 if dtype.kind == "b" else 5, shape).astype(dtype)
        if dtype.kind == "b":
            return small
        info = np.iinfo(dtype)
        any_ = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        return np.where(rng.random(shape) < 0.4, small, any_)
    values = np.where(rng.random(shape) < 0.3, rng.integers(-1, 2, shape), rng.standard_normal(shape))
    special = rng.choice([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], shape)
    return np.where(rng.random(shape) < 0.15, special, values).astype(dtype)


# ------------------------------------------------------------------------------------------------- sorting


@pytest.mark.parametrize("name", SORTED)
@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 300), 1), ((200, 3), 0), ((2, 40, 3), 1), ((0, 4), 1), ((1,), 0)]
)
def test_sort_equals_impl(name: str, shape: tuple[int, ...], axis: int) -> None:
    rng = np.random.default_rng(7)
    x, y, z = numbers(rng, shape, name), numbers(rng, shape, "float32"), numbers(rng, shape, "int64")
    for operands, keys in (((x,), 1), ((x, y), 1), ((z, x, y), 2)):
        params = {"dimension": axis, "is_stable": True, "num_keys": keys}
        fun = functools.partial(lambda params, *xs: lax.sort_p.bind(*xs, **params), params)
        stays_inside(fun, *operands)
        for found, expected in zip(
            wengert.jit(fun)(*operands), lax.sort_p.impl(np, *operands, **params), strict=True
        ):
            same(found, expected)


@pytest.mark.parametrize("name", SORTED)
def test_top_k_and_places_of_extrema_equal_impl(name: str) -> None:
    rng = np.random.default_rng(8)
    x = numbers(rng, (3, 700, 2), name)
    for k in (0, 1, 5, 150, 700):
        fun = functools.partial(lambda k, x: lax.top_k(x, k, axis=1), k)
        stays_inside(fun, x)
        for found, expected in zip(
            wengert.jit(fun)(x), lax.top_k_p.impl(np, x, k=k, axis=1, is_stable=True), strict=True
        ):
            same(found, expected)
    for prim, fun in ((lax.argmax_p, lax.argmax), (lax.argmin_p, lax.argmin)):
        for axis in range(3):
            place = functools.partial(lambda fun, axis, x: fun(x, axis, np.int32), fun, axis)
            stays_inside(place, x)
            same(wengert.jit(place)(x), prim.impl(np, x, axes=(axis,), index_dtype=np.dtype(np.int32)))


def test_sorts_in_loops_stay_inside() -> None:
    def fun(x: Any) -> Any:
        return lax.scan(lambda c, row: (jnp.sort(c + row), jnp.argmax(row)), x[0], x)

    x = np.random.default_rng(1).standard_normal((50, 9)).astype(np.float32)
    stays_inside(fun, x)
    last, places = wengert.jit(fun)(x)
    expected = x[0]
    for row in x:
        expected = np.sort(expected + row)
    np.testing.assert_allclose(last, expected, rtol=1e-5)
    np.testing.assert_array_equal(places, np.argmax(x, 1))


def test_the_least_are_found_in_any_order_of_the_rest() -> None:
    n = 5000
    rising = np.arange(n, dtype=np.float32)
    for x in (rising, rising[::-1], np.zeros(n, np.float32), np.tile(rising[:50], 100)):
        values, index = wengert.jit(lambda x: lax.top_k(x, 20))(x)
        order = np.argsort(-x, kind="stable")[:20]
        np.testing.assert_array_equal(index, order)
        np.testing.assert_array_equal(values, x[order])


# ------------------------------------------------------------------------------------------------ scatters


@pytest.mark.parametrize("mode", ["drop", "clip"])
@pytest.mark.parametrize("way", ["add", "max", "min", "multiply", "set"])
def test_scatters_equal_impl(mode: str, way: str) -> None:
    rng = np.random.default_rng(9)

    def put(x: Any, i: Any, u: Any) -> Any:
        return getattr(x.at[i], way)(u, mode=mode)

    near_one = (1 + rng.standard_normal((33_001,)) * 1e-4).astype(np.float32)
    cases = [  # updates in parts, windows in parts, single windows, and one number for all
        (near_one[:100], rng.integers(-3, 103, 33_001), near_one),
        (near_one[:7000].reshape(7, 1000), rng.integers(-1, 9, 33), near_one[:33_000].reshape(33, 1000)),
        (near_one[:20].reshape(4, 5), rng.integers(-1, 5, 3), near_one[:15].reshape(3, 5)),
        (near_one[:20].reshape(4, 5), rng.integers(-1, 5, 3), np.float32(1.5)),
    ]
    for x, i, u in cases:
        i = i.astype(np.int32)
        stays_inside(put, x, i, u)
        np.testing.assert_allclose(
            wengert.jit(put)(x, i, u), put(jnp.asarray(x), jnp.asarray(i), jnp.asarray(u)), rtol=1e-5
        )


def test_many_updates_give_the_same_with_any_number_of_threads() -> None:
    rng = np.random.default_rng(10)
    i, u = rng.integers(0, 50, 40_000), rng.standard_normal(40_000).astype(np.float32)
    add = wengert.jit(lambda i, u: jnp.zeros(50, jnp.float32).at[i].add(u))
    before = wengert.config.num_threads
    found = []
    for threads in (1, 2):
        wengert.config.update("num_threads", threads)
        found.append(np.asarray(add(i, u)))
    wengert.config.update("num_threads", before)
    np.testing.assert_array_equal(*found)


# --------------------------------------------------------------------------------------------- half floats


def distance(found: Any, expected: Any) -> Any:
    """How many numbers of the dtype lie between; none between NaNs, or numbers that flush to zero."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    places = [
        np.where(x.view(np.int16) < 0, -(x.view(np.int16) & 0x7FFF).astype(int), x.view(np.int16))
        for x in (found, expected)
    ]
    wide = [x.astype(np.float64) for x in (found, expected)]
    alike = np.isnan(wide[0]) & np.isnan(wide[1])
    tiny = (abs(wide[0]) < 1.2e-38) & (abs(wide[1]) < 1.2e-38)
    return np.where(alike | tiny, 0, abs(places[0] - places[1]))


def all_halves(dtype: np.dtype[Any]) -> Any:
    """All numbers of a dtype of 16 bits but those that compiled code flushes to zero."""
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    wide = x.astype(np.float32)
    return x[(abs(wide) >= 1.2e-38) | (wide == 0) | np.isnan(wide)]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_every_half_float(dtype: np.dtype[Any]) -> None:
    x = all_halves(dtype)
    y = np.random.default_rng(3).permutation(x)
    exact = [lax.neg, lax.abs, lax.sign, lax.floor, lax.ceil, lax.round, lax.sqrt, lax.square]
    close = [lax.exp, lax.log, lax.tanh, lax.sin, lax.logistic, lax.cbrt]
    pairs = [lax.add, lax.sub, lax.mul, lax.div, lax.max, lax.min, lax.nextafter]
    for most, functions, args in ((0, exact, (x,)), (1, close, (x,)), (0, pairs, (x, y))):
        for fun in functions:
            stays_inside(fun, *args)
            assert distance(wengert.jit(fun)(*args), fun(*map(jnp.asarray, args))).max() <= most, fun
    stays_inside(lambda x: lax.bitcast_convert_type(x, np.int16), x)
    same(wengert.jit(lambda x: lax.bitcast_convert_type(x, np.int16))(x), x.view(np.int16))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("other", ["bool", "int8", "uint8", "int32", "int64", "uint64", "float32", "float64"])
def test_conversions_of_half_floats(dtype: np.dtype[Any], other: str) -> None:
    rng = np.random.default_rng(4)
    x = all_halves(dtype)
    y = numbers(rng, (2000,), other)
    if y.dtype.kind == "f":
        y = np.concatenate([y, 10.0 ** rng.uniform(-9, 6, 2000) * rng.standard_normal(2000)]).astype(other)
    for value, to in ((x, np.dtype(other)), (y, dtype)):
        fun = functools.partial(lambda to, x: lax.convert_element_type(x, to), to)
        stays_inside(fun, value)
        same(wengert.jit(fun)(value), fun(jnp.asarray(value)))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_sums_of_half_floats_are_those_of_single_ones(dtype: np.dtype[Any]) -> None:
    x = np.random.default_rng(5).standard_normal((40, 50)).astype(dtype)
    y = np.random.default_rng(6).standard_normal((50, 60)).astype(dtype)
    for fun in (
        lambda x, y: jnp.sum(x, 1),
        lambda x, y: jnp.cumsum(x, 0),
        lambda x, y: lax.cumlogsumexp(x, 1),
        lambda x, y: x @ y,
        lambda x, y: x[:3, :4] @ y[:4, :3],
    ):
        stays_inside(fun, x, y)
        assert distance(wengert.jit(fun)(x, y), fun(jnp.asarray(x), jnp.asarray(y))).max() <= 1


# ----------------------------------------------------------------------------------------- complex numbers


def complexes(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


COMPLEX: list[Callable[[Any, Any], Any]] = [
    lambda x, y: (x + y, x - y, x * y, x / y, -x, x == y, x != y),
    lambda x, y: (jnp.exp(x), abs(x), x.real, x.imag, x.conj(), jnp.square(x), lax.integer_pow(y, -3)),
    lambda x, y: (lax.complex(x.imag, y.real), x.real.astype(y.dtype) + 1, x.astype(bool)),
    lambda x, y: (jnp.where(x.real > 0, x, y) * 2j, jnp.exp(1j * abs(x)) * y),
    lambda x, y: (jnp.sum(x), jnp.sum(x * y, 0), jnp.mean(x, 1)),
    lambda x, y: (x[::-1] * 2, x.T + 1, jnp.pad(x, 1), jnp.concatenate([x, y]), x[1::2], jnp.roll(x, 1, 0) - y),
    lambda x, y: (jnp.cumsum(x, 0), jnp.cumsum(y, 1), lax.cumprod(x, 1, reverse=True)),
    lambda x, y: (x[jnp.array([1, 5, 1])], x[:, jnp.array([2, 0])], x.at[30].get(mode="fill", fill_value=1j)),
    lambda x, y: (x.at[jnp.array([1, 5, 1])].add(y[:3]), x.at[jnp.array([1, 5])].set(1j)),
    lambda x, y: lax.scan(lambda c, r: (c * 0.5 + r * 1j, jnp.sum(c)), x[0], y),
    lambda x, y: lax.while_loop(lambda c: abs(c) < 100, lambda c: c * 2, x[0, 0]),
    lambda x, y: lax.cond(True, jnp.conj, jnp.exp, x),
    lambda x, y: (lax.dynamic_slice(x, (2, 3), (5, 6)), lax.dynamic_update_slice(x, y[:3, :2] * 2, (2, 3))),
    lambda x, y: lax.sort((x.real, y), num_keys=1)[1],
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("number", range(len(COMPLEX)))
def test_complex_numbers_equal_impl(dtype: str, number: int) -> None:
    fun = COMPLEX[number]
    x, y = complexes((20, 33), dtype), complexes((20, 33), dtype, 1)
    stays_inside(fun, x, y)
    tolerance = 2e-5 if dtype == "complex64" else 1e-13
    expected = wengert.tree.leaves(fun(jnp.asarray(x), jnp.asarray(y)))
    for found, wanted in zip(wengert.tree.leaves(wengert.jit(fun)(x, y)), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_beyond_the_range(dtype: str) -> None:
    values = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e30, 700.0, 90.0]
    x = np.array([complex(a, b) for a in values for b in values], dtype)
    y = np.random.default_rng(0).permutation(x)
    for fun in (lax.add, lax.sub, lax.mul, lax.div):
        np.testing.assert_allclose(wengert.jit(fun)(x, y), fun(jnp.asarray(x), jnp.asarray(y)), rtol=1e-5)
    for fun in (lax.exp, lax.abs, lax.neg):
        np.testing.assert_allclose(wengert.jit(fun)(x), fun(jnp.asarray(x)), rtol=1e-4)


# ------------------------------------------------------------------------------- quotients by powers of two


@pytest.mark.parametrize("name", ["int8", "int32", "int64", "uint8"])
@pytest.mark.parametrize("divisor", [1, 2, 3, 8, 64, 100, -4])
def test_floored_quotients_and_remainders(name: str, divisor: int) -> None:
    divisor = abs(divisor) if name == "uint8" else divisor
    info = np.iinfo(name)
    x = np.array([*range(max(-128, info.min), 128), info.min, info.max], name)
    np.testing.assert_array_equal(wengert.jit(lambda x: x // divisor)(x), x // np.array(divisor, name))
    np.testing.assert_array_equal(wengert.jit(lambda x: x % divisor)(x), x % np.array(divisor, name))


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64"])
def test_remainders_by_neighbours_of_powers_of_two(name: str) -> None:
    info = np.iinfo(name)
    rng = np.random.default_rng(0)
    for k in range(info.bits // 2 - 1, info.bits - 1):
        for divisor in (2**k - 1, 2**k + 1):
            drawn = rng.integers(info.min, info.max, 50, name, endpoint=True)
            multiples = [m * divisor + off for m in range(-3, 4) for off in (-1, 0, 1)]
            kept = [m for m in multiples if info.min <= m <= info.max]
            x = np.array([*drawn, *kept, info.min, info.max], name)
            with wengert.enable_x64():
                result = wengert.jit(lambda x: x % np.array(divisor, x.dtype))(x)  # noqa: B023
            np.testing.assert_array_equal(result, x % np.array(divisor, name), err_msg=str(divisor))


def test_memory_is_asked_for_ahead_where_much_is_computed() -> None:
    large, small = jnp.ones(1 << 20), jnp.ones(1 << 10)
    assert "llvm.prefetch" in wengert.jit(jnp.tanh).lower(large).as_text("llvm")
    assert "llvm.prefetch" not in wengert.jit(jnp.tanh).lower(small).as_text("llvm")
    assert "llvm.prefetch" not in wengert.jit(jnp.negative).lower(large).as_text("llvm")


@pytest.mark.parametrize("size", [64, 200])  # in one thread, in many
def test_equal_loops_share_their_code(size: int) -> None:
    def network(x: Any, weights: Any) -> Any:
        for w in weights:
            x = jnp.tanh(x @ jnp.cos(w)) * 0.5
        return x

    x = jnp.ones((size, size)) / size
    weights = [x * n for n in range(8)]

    def functions(depth: int) -> int:
        return wengert.jit(network).lower(x, weights[:depth]).as_text("llvm").count("void @kernel")

    assert functions(8) <= functions(4)
    with wengert.disable_jit():
        want = network(x, weights)
    np.testing.assert_allclose(wengert.jit(network)(x, weights), want, rtol=1e-4)
