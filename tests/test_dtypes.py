"""Dtypes: the promotion lattice, the 32-bit defaults, and facts about dtypes.

The expected joins are written down here by rules of their own, not by the lattice of the package.
"""

from __future__ import annotations

import enum
import itertools
import pickle
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st

import wengert
import wengert.random
from wengert.config import enable_x64, numpy_dtype_promotion
from wengert.core import dtypes
from wengert.errors import TypePromotionError

UNSIGNED = ["uint8", "uint16", "uint32", "uint64"]
SIGNED = ["int8", "int16", "int32", "int64"]
SMALL_INTS = ["int1", "int2", "int4", "uint1", "uint2", "uint4"]
FLOATS = ["bfloat16", "float16", "float32", "float64"]
SMALL_FLOATS = [
    "float4_e2m1fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz",
    "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
]  # fmt: skip
COMPLEX = ["complex64", "complex128"]
WEAK = ["int*", "float*", "complex*"]
STRONG = ["bool", *UNSIGNED, *SIGNED, *SMALL_INTS, *FLOATS, *SMALL_FLOATS, *COMPLEX]


def level(name: str) -> int:
    """0 for bool, 1 for integers, 2 for floats, 3 for complex."""
    starts = ("bool", ("int", "uint"), ("float", "bfloat"), "complex")
    return next(i for i, start in enumerate(starts) if name.startswith(start))


def expected_join(a: str, b: str) -> str | None:
    """The join of two with x64 on, by JAX's documented rules; None where there is none. `*` is weak."""
    if a == b:
        return a
    if level(a) > level(b) or (level(a) == level(b) and b in WEAK):
        a, b = b, a
    if a == "bool":
        return b
    small = {*SMALL_INTS, *SMALL_FLOATS}
    if a in small or b in small:
        # The small types meet only what lies below them: weak numbers; small floats also integers.
        if b in SMALL_INTS:
            return b if a == "int*" else None
        if b in SMALL_FLOATS:
            return b if a in (*WEAK[:2], *UNSIGNED, *SIGNED) else None
        return None
    if a in WEAK and level(a) == level(b):
        return b
    if level(b) == 3 and a == "float64":
        return "complex128"
    if b == "complex*":
        return "complex64" if a in FLOATS else "complex*"
    if level(a) < level(b):
        return b
    return join_of_a_level(a, b)


def join_of_a_level(a: str, b: str) -> str:
    """Two different strong types, both integers, both floats or both complex."""
    for kind in (UNSIGNED, SIGNED, COMPLEX):
        if a in kind and b in kind:
            return kind[max(kind.index(a), kind.index(b))]
    if level(a) == 2:
        return "float64" if "float64" in (a, b) else "float32"
    unsigned, signed = (a, b) if a in UNSIGNED else (b, a)
    if unsigned == "uint64":
        return "float*"
    return SIGNED[max(UNSIGNED.index(unsigned) + 1, SIGNED.index(signed))]


def stand_in(name: str) -> Any:
    """Something of this dtype, as arrays, tracers and avals present themselves."""
    if name in WEAK:
        return {"int*": 1, "float*": 1.0, "complex*": 1j}[name]
    return SimpleNamespace(dtype=dtypes.as_dtype(name), weak_type=False)


def joined(*names: str) -> str | None:
    try:
        dtype, weak = dtypes.result_type(*map(stand_in, names), return_weak_type_flag=True)
    except TypePromotionError:
        return None
    return {"i": "int*", "f": "float*", "c": "complex*"}[dtype.kind] if weak else dtype.name


@pytest.mark.parametrize("a", [*STRONG, *WEAK])
def test_joins_of_two(a: str) -> None:
    with enable_x64(True):
        for b in [*STRONG, *WEAK]:
            assert joined(a, b) == expected_join(a, b), (a, b)


@pytest.mark.parametrize("a", [*STRONG, *WEAK])
def test_strict_joins_of_two(a: str) -> None:
    """In strict mode only weak numbers are promoted, and never down a level."""
    with enable_x64(True), numpy_dtype_promotion("strict"):
        for b in [*STRONG, *WEAK]:
            low, high = (a, b) if level(a) <= level(b) and a in WEAK else (b, a)
            expected = None
            if a == b:
                expected = a
            elif low in WEAK and level(low) <= level(high) and not (level(low) == 2 and high in SMALL_INTS):
                expected = high
            assert joined(a, b) == expected, (a, b)


@given(st.lists(st.sampled_from([*STRONG, *WEAK]), min_size=2, max_size=4))
def test_joins_do_not_depend_on_the_order(names: list[str]) -> None:
    with enable_x64(True):
        assert len({joined(*order) for order in itertools.permutations(names)}) == 1


def test_without_x64_everything_is_32_bit() -> None:
    with enable_x64(False):
        for a, b in itertools.product(["uint32", "int64", "float64", "complex128", "int8"], repeat=2):
            assert dtypes.result_type(np.ones(2, a), np.ones(2, b)).itemsize <= (
                8 if "complex" in a + b else 4
            )
        assert dtypes.result_type(1) == np.int32
        assert dtypes.result_type(np.float64(1)) == np.float32
        assert dtypes.result_type(np.ones(1, "uint64"), np.ones(1, "int8")) == np.int32
    with enable_x64(True):
        assert dtypes.result_type(np.float64(1)) == np.float64
        assert dtypes.result_type(1) == np.int64


def test_what_is_weak() -> None:
    assert dtypes.is_weakly_typed(1)
    assert dtypes.is_weakly_typed(1.0)
    assert dtypes.is_weakly_typed(1j)
    assert not dtypes.is_weakly_typed(True)
    assert not dtypes.is_weakly_typed(np.float64(1))
    assert not dtypes.is_weakly_typed(np.ones(2))
    assert dtypes.is_weakly_typed(SimpleNamespace(dtype=np.dtype("int32"), weak_type=True))
    assert dtypes.lattice_result_type(True, 1) == (np.int32, True)
    assert dtypes.lattice_result_type(int) == (np.int32, True)

    class Colour(enum.IntEnum):
        RED = 1

    assert dtypes.lattice_result_type(Colour.RED) == (np.int32, False)


def test_dtype_likes() -> None:
    assert dtypes.result_type("int8", np.float32) == np.float32
    assert dtypes.result_type(np.int8, int) == np.int8
    assert dtypes.promote_types("int16", "uint16") == np.int32
    assert dtypes.promote_types(np.dtype("bfloat16"), float) == ml_dtypes.bfloat16
    assert dtypes.as_dtype("float8_e5m2") == ml_dtypes.float8_e5m2
    assert dtypes.as_dtype(None) == np.float64
    assert dtypes.bfloat16 is ml_dtypes.bfloat16
    with pytest.raises(AttributeError, match="float7"):
        _ = dtypes.float7


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([1, 2], TypeError, "list.*jnp.asarray"),
        (object(), TypeError, "neither an array nor a number nor a dtype"),
        (np.ones(1, "datetime64[s]"), TypeError, "not the dtype of an array"),
        (np.longdouble(1), TypeError, "not the dtype of an array"),
        ("no_such_type", TypeError, "no_such_type"),
    ],
)
def test_what_has_no_dtype(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dtypes.result_type(value, value)
    with pytest.raises(error, match=message):
        dtypes.result_type(value, 1)


def test_errors_name_the_way_out() -> None:
    with pytest.raises(TypePromotionError, match=r"float8_e5m2.*float32.*8-bit.*astype"):
        dtypes.result_type(ml_dtypes.float8_e5m2(1), np.float32(1))
    with pytest.raises(TypePromotionError, match=r"int4 and int32.*less than 8 bits.*astype"):
        dtypes.result_type(ml_dtypes.int4(1), np.int32(1))
    with numpy_dtype_promotion("strict"), pytest.raises(TypePromotionError, match=r"'strict'.*'standard'"):
        dtypes.result_type(np.int32(1), np.float32(1))
    with pytest.raises(ValueError, match="float0"):
        dtypes.result_type(np.zeros(2, dtypes.float0), 1)
    with pytest.raises(ValueError, match="at least one"):
        dtypes.result_type()


def test_canonical_dtypes() -> None:
    assert dtypes.canonicalize_dtype("int64") == np.int32
    assert dtypes.canonicalize_dtype(complex) == np.complex64
    assert dtypes.canonicalize_dtype(None) == np.float32
    assert dtypes.canonicalize_dtype(np.dtype(">f4")) == np.dtype("f4")
    assert dtypes.canonicalize_dtype(dtypes.float0) == dtypes.float0
    assert dtypes.dtype(np.ones(1)) == np.float32
    assert dtypes.dtype(np.ones(1), canonicalize=False) == np.float64
    with enable_x64(True):
        assert dtypes.canonicalize_dtype("int64") == np.int64
        assert dtypes.python_scalar_dtype(float) == np.float64
        assert dtypes.default_uint_dtype() == np.uint64
    assert dtypes.python_scalar_dtype(float) == np.float32


def test_a_request_that_is_truncated_warns_at_the_users_line() -> None:
    with pytest.warns(UserWarning, match="float64 in zeros is not available.*jax_enable_x64") as caught:
        assert dtypes.check_and_canonicalize_user_dtype("float64", "zeros") == np.float32
    assert caught[0].filename == __file__
    dtypes.check_user_dtype_supported(
        float, "zeros"
    )  # the default of its kind: no warning, or the test fails
    with enable_x64(True):
        dtypes.check_user_dtype_supported("float64", "zeros")
    for bad in ("O", "S3", np.longdouble, "datetime64[s]"):
        with pytest.raises(TypeError, match="in zeros"):
            dtypes.check_user_dtype_supported(bad, "zeros")


def test_dtypes_of_keys_do_not_mix() -> None:
    key = wengert.random.key(0)
    assert str(key.dtype) == repr(key.dtype) == key.dtype.name == dtypes.short_name(key.dtype) == "key<fry>"
    assert key.dtype.type is dtypes.prng_key
    assert key.dtype == wengert.random.key(1).dtype == wengert.random.key_dtype()
    assert key.dtype != wengert.random.key_dtype("rbg") != wengert.random.key_dtype("unsafe_rbg")
    assert hash(key.dtype) == hash(wengert.random.key_dtype("threefry2x32"))
    assert dtypes.result_type(key) == dtypes.result_type(key, key) == key.dtype
    assert dtypes.issubdtype(key.dtype, dtypes.prng_key)
    assert dtypes.issubdtype(key.dtype, dtypes.extended)
    assert not dtypes.issubdtype(key.dtype, np.integer)
    assert not dtypes.issubdtype(np.int32, dtypes.extended)
    with pytest.raises(ValueError, match="key<fry>"):
        dtypes.result_type(key, 1)
    with pytest.raises(ValueError, match="not the dtype"):
        dtypes.canonicalize_dtype(key.dtype)
    assert dtypes.canonicalize_dtype(key.dtype, allow_extended_dtype=True) == key.dtype
    assert pickle.loads(pickle.dumps(key.dtype)) is key.dtype


def test_kinds() -> None:
    for a, b, answer in [
        ("bfloat16", np.floating, True), ("bfloat16", np.inexact, True), ("bfloat16", np.generic, True),
        ("bfloat16", np.float32, False), ("int4", np.signedinteger, True),
        ("uint4", np.unsignedinteger, True),
        ("uint4", np.signedinteger, False), ("float8_e5m2", np.floating, True), ("int32", np.integer, True),
        ("float0", np.inexact, False), ("float32", float, False), (None, float, True),
        ("complex64", np.complexfloating, True), ("bool", np.number, False),
    ]:  # fmt: skip
        spec = dtypes.float0 if a == "float0" else dtypes.as_dtype(a)
        assert dtypes.issubdtype(spec, b) is answer, (a, b)
    assert dtypes.issubdtype(ml_dtypes.bfloat16, ml_dtypes.bfloat16)
    assert dtypes.isdtype("bfloat16", "real floating")
    assert dtypes.isdtype("int4", ("bool", "integral"))
    assert not dtypes.isdtype("int4", "real floating")
    assert dtypes.isdtype("float32", np.float32)
    with pytest.raises(ValueError, match="unknown kind of dtype 'decimal'"):
        dtypes.isdtype("int8", "decimal")


@pytest.mark.parametrize(
    ("name", "short", "inexact", "complex_", "scalar", "bits"),
    [
        ("bool", "bool", "float32", "complex64", bool, 8),
        ("int8", "i8", "float32", "complex64", int, 8),
        ("uint4", "u4", "float32", "complex64", int, 4),
        ("int64", "i64", "float64", "complex128", int, 64),
        ("bfloat16", "bf16", "bfloat16", "complex64", float, 16),
        ("float8_e4m3fn", "f8_e4m3fn", "float8_e4m3fn", "complex64", float, 8),
        ("float4_e2m1fn", "f4_e2m1fn", "float4_e2m1fn", "complex64", float, 4),
        ("float64", "f64", "float64", "complex128", float, 64),
        ("complex64", "c64", "complex64", "complex64", complex, 64),
    ],
)
def test_facts(name: str, short: str, inexact: str, complex_: str, scalar: type, bits: int) -> None:
    dtype = dtypes.as_dtype(name)
    with enable_x64(True):
        assert dtypes.short_name(dtype) == short
        assert dtypes.to_inexact_dtype(dtype) == dtypes.as_dtype(inexact)
        assert dtypes.to_complex_dtype(dtype) == np.dtype(complex_)
        assert dtypes.to_numeric_dtype(dtype) == (np.dtype("int32") if name == "bool" else dtype)
        assert dtypes.scalar_type_of(dtype) is scalar
        assert dtypes.itemsize_bits(dtype) == bits


def test_limits() -> None:
    assert dtypes.finfo("float32").eps == np.finfo(np.float32).eps
    assert float(dtypes.finfo("bfloat16").eps) == 2.0**-7
    assert dtypes.iinfo("int4").max == 7
    assert dtypes.iinfo(np.uint8).max == 255
    assert dtypes.supports_inf("bfloat16")
    assert not dtypes.supports_inf("float8_e4m3fn")
    with pytest.raises(ValueError, match="f"):
        dtypes.iinfo("float32")
    assert dtypes.short_name(dtypes.float0) == "float0"
    assert dtypes.to_floating_dtype("complex64") == np.float32
