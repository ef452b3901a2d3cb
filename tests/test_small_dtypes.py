"""Floats and integers of 8 bits and less in compiled code: all of their numbers, bit for bit as in ml_dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from wengert import jit, lax, numpy as jnp

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
FLOATS = {
    "float4_e2m1fn": 4, "float6_e2m3fn": 6, "float6_e3m2fn": 6, "float8_e3m4": 8, "float8_e4m3": 8,
    "float8_e4m3b11fnuz": 8, "float8_e4m3fn": 8, "float8_e4m3fnuz": 8, "float8_e5m2": 8, "float8_e5m2fnuz": 8,
}  # fmt: skip
INTEGERS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4}


def numbers(name: str) -> Any:
    codes = np.arange(1 << {**FLOATS, **INTEGERS}[name], dtype=np.uint8)
    return codes.view(getattr(ml_dtypes, name))


def pairs(name: str) -> list[Any]:
    x = numbers(name)
    return [p.ravel().copy() for p in np.meshgrid(x, x)]


def native(fun: Callable[..., Any], *args: Any) -> Any:
    """The result of compiled code, which calls nothing in Python."""
    assert " host " not in jit(fun).lower(*args).as_text("loops")
    return np.asarray(jit(fun)(*args))


def same(found: Any, wanted: Any) -> bool:
    """Equal bits; a NaN is a NaN."""
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    bits = f"u{found.dtype.itemsize}"
    equal = found.view(bits) == wanted.view(bits)
    if wanted.dtype.name not in INTEGERS and wanted.dtype.kind not in "biu":
        equal |= np.isnan(found.astype(np.float64)) & np.isnan(wanted.astype(np.float64))
    return bool(equal.all())


def many() -> Any:
    random = np.random.default_rng(0)
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    any_bits = random.integers(0, 1 << 32, 50_000, dtype=np.uint32).view(np.float32)
    usual = random.standard_normal(50_000) * np.exp(random.uniform(-15, 15, 50_000))
    return np.concatenate([halves, any_bits, usual.astype(np.float32)])


@pytest.mark.parametrize("name", FLOATS)
def test_conversions_of_floats(name: str) -> None:
    dtype, x = getattr(ml_dtypes, name), numbers(name)
    assert same(native(lambda x: x.astype(jnp.float32), x), x.astype(np.float32))
    singles = many()
    assert same(native(lambda x: x.astype(dtype), singles), singles.astype(dtype))
    for other in ("float8_e5m2", "float8_e4m3fnuz", "float4_e2m1fn"):
        wanted = x.astype(getattr(ml_dtypes, other))
        assert same(native(lambda x, to=other: x.astype(getattr(ml_dtypes, to)), x), wanted), other
    whole = np.arange(-1000, 1000, dtype=np.int32)
    assert same(native(lambda x: x.astype(dtype), whole), whole.astype(np.float32).astype(dtype))


@pytest.mark.parametrize("name", FLOATS)
def test_arithmetic_of_floats(name: str) -> None:
    x, y = pairs(name)
    for fun, reference in (
        (lax.add, np.add),
        (lax.sub, np.subtract),
        (lax.mul, np.multiply),
        (lax.div, np.divide),
    ):
        wanted = reference(x, y)
        found = native(fun, x, y)
        if name.startswith(
            ("float4", "float6")
        ):  # without a NaN 0 / 0 is a zero, whose sign is the processor's
            found, wanted = (np.where(np.asarray(y) == 0, 0, v.astype(np.float32)) for v in (found, wanted))
        assert same(found, wanted), fun
    for compare in (lax.lt, lax.eq, lax.ge):
        assert np.array_equal(native(compare, x, y), np.asarray(compare(jnp.asarray(x), jnp.asarray(y))))
    z = numbers(name)
    for fun in (lax.neg, lax.floor, lax.sqrt, lax.rsqrt, lax.exp, lambda x: lax.nextafter(x, x[::-1])):
        keep = z if fun is lax.neg else z[z.astype(np.float32) >= 0]
        assert same(native(fun, keep), np.asarray(fun(jnp.asarray(keep)))), fun


@pytest.mark.parametrize("name", FLOATS)
def test_floats_move_and_are_added_up(name: str) -> None:
    x = numbers(name)[:8].reshape(2, 4)
    total = native(lambda x: jnp.sum(x, axis=0), x)
    assert same(total, x.astype(np.float32).sum(axis=0).astype(x.dtype))
    product = native(lambda x: lax.dot(x, x.T), x)
    wide = x.astype(np.float32)
    assert same(product, (wide @ wide.T).astype(x.dtype))
    moved = native(lambda x: jnp.where(x > 1, x, jnp.pad(x[:, ::-1], 1)[1:-1, 1:-1]), x)
    assert same(moved, np.where(wide > 1, x, x[:, ::-1]))
    assert same(native(lambda x: x.at[:, 1].set(x[0, 3]), x)[:, 1], x[[0, 0], [3, 3]])


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_wrap_around(name: str) -> None:
    x, y = pairs(name)
    bits = INTEGERS[name]
    a, b = x.astype(np.int64), y.astype(np.int64)

    def wrapped(n: Any) -> Any:
        return n.astype(np.int8).astype(x.dtype)

    for fun, exact in (
        (lax.add, a + b), (lax.sub, a - b), (lax.mul, a * b), (lax.mulhi, a * b >> bits), (lax.max, np.maximum(a, b)),
        (lax.bitwise_and, a & b), (lax.bitwise_xor, a ^ b), (lambda x, y: lax.neg(x), -a),
    ):  # fmt: skip
        assert same(native(fun, x, y), wrapped(exact)), fun
    for fun in (lax.div, lax.rem, lax.shift_left, lax.shift_right_logical, lax.shift_right_arithmetic):
        assert same(native(fun, x, y), np.asarray(fun(jnp.asarray(x), jnp.asarray(y)))), fun
    for fun in (lax.clz, lax.population_count, lax.bitwise_not, lax.sign, lax.abs):
        assert same(native(fun, x), np.asarray(fun(jnp.asarray(x)))), fun
    many = np.linspace(-20, 20, 201, dtype=np.float32)
    limits = ml_dtypes.iinfo(x.dtype)
    clipped = np.clip(np.trunc(many), int(limits.min), int(limits.max)).astype(np.int8).astype(x.dtype)
    assert same(native(lambda v: v.astype(x.dtype), many), clipped)
    assert same(native(lambda v: v.astype(jnp.int32), x), x.astype(np.int32))
    assert same(native(lambda v: jnp.sum(v), x), wrapped(a.sum()))


@pytest.mark.parametrize("name", ["int4", "uint4", "float4_e2m1fn", "int2"])
def test_bits_of_less_than_a_byte(name: str) -> None:
    whole = np.arange(256, dtype=np.uint8)
    dtype = getattr(ml_dtypes, name)
    split = native(lambda x: lax.bitcast_convert_type(x, dtype), whole)
    assert split.shape == (256, 8 // {**FLOATS, **INTEGERS}[name])
    assert same(split, np.asarray(lax.bitcast_convert_type(jnp.asarray(whole), dtype)))
    assert np.array_equal(native(lambda x: lax.bitcast_convert_type(x, jnp.uint8), split), whole)
    assert np.array_equal(lax.bitcast_convert_type(jnp.asarray(split), jnp.uint8), whole)


@pytest.mark.parametrize("name", ["int8", "uint16", "int32", "uint32"])
def test_upper_halves_of_products(name: str) -> None:
    limits = np.iinfo(name)
    x = np.random.default_rng(1).integers(limits.min, limits.max, 300, dtype=name, endpoint=True)
    x[:2] = limits.min, limits.max
    y = np.roll(x, 7)
    wanted = [(int(a) * int(b)) >> limits.bits for a, b in zip(x, y, strict=True)]
    assert native(lax.mulhi, x, y).tolist() == wanted


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("bits", [(5, 10), (8, 7), (4, 3), (2, 5), (1, 0), (6, 60)])
def test_reduced_precision(dtype: str, bits: tuple[int, int]) -> None:
    x = many().astype(jnp.dtype(dtype))
    x = x[~(np.abs(x.astype(np.float32)) < 1.2e-38)]  # denormal numbers count as zero in compiled code
    found = native(lambda x: lax.reduce_precision(x, *bits), x)
    assert same(found, np.asarray(lax.reduce_precision(jnp.asarray(x), *bits)))


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS, "bfloat16"])
def test_sorts(name: str) -> None:
    codes = np.random.default_rng(0).integers(0, 1 << {**FLOATS, **INTEGERS, "bfloat16": 16}[name], (5, 40))
    x = codes.astype(np.uint16 if name == "bfloat16" else np.uint8).view(getattr(ml_dtypes, name))
    x = np.where(x == x, x, x.dtype.type(0))  # a NaN's sign and bits are nobody's business
    order = np.argsort(x.astype(np.float32), axis=1, kind="stable")
    assert same(native(lambda x: jnp.sort(x, axis=1), x), np.take_along_axis(x, order, 1))
    np.testing.assert_array_equal(native(lambda x: jnp.argsort(x, axis=1), x), order)
    assert same(native(lambda x: lax.top_k(x, 3)[0], x), np.take_along_axis(x, order[:, :-4:-1], 1))
