"""Arrays as objects: printed forms, conversions, indexing against NumPy, updates in every mode, all dtypes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import wengert
import wengert.numpy as jnp
from wengert import dlpack, grad, jit, vmap

INTEGERS = ["int2", "int4", "int8", "int16", "int32", "uint2", "uint4", "uint8", "uint16", "uint32"]
FLOATS8 = [
    "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn",
]  # fmt: skip
FLOATS = ["bfloat16", "float16", "float32", *FLOATS8]
ALL = ["bool", *INTEGERS, *FLOATS, "complex64"]


# ---------------------------------------------------------------------------------------------- printed forms


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: jnp.array(2), "Array(2, dtype=int32, weak_type=True)"),
        (lambda: jnp.float32(2), "Array(2., dtype=float32)"),
        (lambda: jnp.array([1.5, jnp.nan, -jnp.inf]), "Array([ 1.5,  nan, -inf], dtype=float32)"),
        (lambda: jnp.array([]), "Array([], shape=(0,), dtype=float32)"),
        (lambda: jnp.zeros((2, 0)), "Array([], shape=(2, 0), dtype=float32)"),
        (lambda: jnp.array([True, False]), "Array([ True, False], dtype=bool)"),
        (lambda: jnp.array([1 + 2j, -1j]), "Array([ 1.+2.j, -0.-1.j], dtype=complex64)"),
        (lambda: jnp.ones(2, jnp.bfloat16), "Array([1, 1], dtype=bfloat16)"),
        (lambda: jnp.ones(2, jnp.float8_e5m2), "Array([1, 1], dtype=float8_e5m2)"),
        (lambda: jnp.array([1, -2], jnp.int4), "Array([1, -2], dtype=int4)"),
        (lambda: jnp.arange(1.0, 3).reshape(2, 1), "Array([[1.],\n       [2.]], dtype=float32)"),
        (lambda: jnp.arange(2000), "Array([   0,    1,    2, ..., 1997, 1998, 1999], dtype=int32)"),
        (
            lambda: jnp.ones(17),
            "Array([1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1.],      dtype=float32)",
        ),
        (
            lambda: jnp.full(8, 10000019),
            "Array([10000019, 10000019, 10000019, 10000019, 10000019, 10000019,\n"
            "       10000019, 10000019], dtype=int32, weak_type=True)",
        ),
    ],
)  # fmt: skip
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text


def test_str_and_format_are_numpys() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    assert str(jnp.asarray(x)) == f"{jnp.asarray(x)}" == str(x)
    assert f"{jnp.float32(2.567):.2f} {jnp.int32(7):03d} {jnp.array(3)}" == "2.57 007 3"
    with jnp.printoptions(precision=2, suppress=True):
        assert str(jnp.asarray(x)) == str(x)
        assert repr(jnp.array([1 / 3])) == "Array([0.33], dtype=float32)"


def test_tracers_print_what_they_stand_for() -> None:
    seen: list[str] = []

    def f(x: Any) -> Any:
        seen.append(f"{x}")
        return x * 2.0

    jit(f)(1.0)
    jit(f)(jnp.ones(2))
    grad(f)(1.0)
    vmap(f)(jnp.ones(3))
    wengert.jvp(f, (1.0,), (2.0,))
    assert seen == [
        "JitTracer(~float32[])",
        "JitTracer(float32[2])",
        "GradTracer(primal=1.0, typeof(tangent)=f32[])",
        "VmapTracer(aval=float32[], batched=float32[3])",
        "JVPTracer(primal=1.0, tangent=2.0)",
    ]


# ------------------------------------------------------------------------------------------------- conversions


def test_to_python_numbers() -> None:
    assert (int(jnp.float32(2.7)), float(jnp.int8(3)), complex(jnp.complex64(1j))) == (2, 3.0, 1j)
    assert ["a", "b"][jnp.int8(1)] == "b"
    assert (bool(jnp.array([2])), jnp.array([[5]]).item(), jnp.arange(4).item(2)) == (True, 5, 2)
    assert round(jnp.float32(2.5)).dtype == jnp.int32
    assert round(jnp.float32(2.567), 1) == jnp.float32(2.6)
    assert hex(jnp.int32(255)) == "0xff"
    assert jnp.arange(3).tolist() == [0, 1, 2]
    for convert in (int, float):
        with pytest.raises(TypeError):
            convert(jnp.complex64(1))
        with pytest.raises(TypeError, match="Only scalar arrays"):
            convert(jnp.ones(2))


def test_numpy_sees_the_memory_read_only() -> None:
    x = jnp.arange(100.0)
    seen = np.asarray(x)
    assert np.shares_memory(seen, np.asarray(x))
    with pytest.raises(ValueError, match="read-only"):
        seen[0] = 1
    copied = np.array(x)
    copied[0] = 7
    assert x[0] == 0
    assert isinstance(np.sin(x), np.ndarray)
    assert isinstance(np.arange(100.0) + x, wengert.Array)
    np.testing.assert_array_equal(np.asarray(x, np.int16), np.arange(100))


def test_dlpack_both_ways() -> None:
    x = jnp.arange(6.0).reshape(2, 3)
    theirs = np.from_dlpack(x)
    assert not theirs.flags.writeable
    np.testing.assert_array_equal(theirs, x)
    assert dlpack.from_dlpack(x) is x
    mine = np.arange(64, dtype=np.float32)
    shared = dlpack.from_dlpack(mine, copy=False)
    assert np.shares_memory(np.asarray(shared), mine)
    assert not np.shares_memory(np.asarray(dlpack.from_dlpack(mine, copy=True)), mine)
    np.testing.assert_array_equal(jnp.from_dlpack(mine[::2]), mine[::2])
    with pytest.raises(ValueError, match="copy=False"):
        dlpack.from_dlpack(mine[::2], copy=False)
    with pytest.raises(TypeError, match=r"must have __dlpack__.*got int"):
        dlpack.from_dlpack(3)  # type: ignore[arg-type]
    assert dlpack.is_supported_dtype("float32")
    assert not dlpack.is_supported_dtype("int4")


@pytest.mark.parametrize("dtype", ALL)
def test_copies_and_pickles(dtype: str) -> None:
    x = jnp.array([[0, 1], [1, 0]]).astype(dtype)
    for again in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.copy()):
        assert again.dtype == x.dtype
        assert again.tobytes() == x.tobytes()
    assert pickle.loads(pickle.dumps(jnp.array(1))).weak_type


def test_views_and_bytes() -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    for dtype in ("uint8", "int16", "int32", "complex64"):
        np.testing.assert_array_equal(jnp.asarray(x).view(dtype), x.view(dtype))
        np.testing.assert_array_equal(jit(lambda x, d=dtype: x.view(d))(x), x.view(dtype))
    z = jnp.array([1 + 2j, 3j])
    np.testing.assert_array_equal(z.view(jnp.float32), [1, 2, 0, 3])
    np.testing.assert_array_equal(z.byteswap().byteswap(), z)
    np.testing.assert_array_equal(jnp.asarray(x).byteswap(), x.byteswap())
    assert jnp.asarray(x).tobytes() == x.tobytes()


# -------------------------------------------------------------------------------------------------- operators

OPERATORS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a // b,
    lambda a, b: a % b, lambda a, b: a**b, lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a == b,
    lambda a, b: a != b, lambda a, b: a > b, lambda a, b: divmod(a, b)[1],
]  # fmt: skip


@pytest.mark.parametrize("other", [2, 2.5, np.float32(1.5), np.array([1.0, 2.0, 4.0], np.float32), True])
@pytest.mark.parametrize("operator", OPERATORS)
def test_operators(operator: Callable[[Any, Any], Any], other: Any) -> None:
    x = np.array([1.0, 2.0, 3.5], np.float32)
    for got, expected in (
        (operator(jnp.asarray(x), other), operator(x, other)),
        (operator(other, jnp.asarray(x)), operator(other, x)),
    ):
        assert isinstance(got, wengert.Array)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        assert got.dtype in (jnp.float32, jnp.bool_)


def test_operators_of_integers_and_refusals() -> None:
    x = jnp.array([5, 6, 7])
    np.testing.assert_array_equal(jnp.stack([x & 3, x | 8, x ^ 1, x << 1, x >> 1, ~x, -x, abs(-x)]), [
        [1, 2, 3], [13, 14, 15], [4, 7, 6], [10, 12, 14], [2, 3, 3], [-6, -7, -8], [-5, -6, -7], [5, 6, 7],
    ])  # fmt: skip
    assert (x + 1j).dtype == jnp.complex64
    for other in ([1, 2, 3], (1, 2, 3), "a", None):
        with pytest.raises(TypeError):
            x + other
        with pytest.raises(TypeError):
            other * x
    assert (x == None) is False  # noqa: E711


# --------------------------------------------------------------------------------------------------- indexing


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """An index expression for an array of this shape, of every form that NumPy has."""
    parts: list[Any] = []
    axis, with_ellipsis = 0, False
    batch = draw(st.sampled_from([(2,), (3, 1), ()]))
    while axis < len(shape):
        size = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "array", "mask", "new", "ellipsis", "stop"]))
        if kind == "int":
            parts.append(draw(st.integers(-size, size - 1)))
        elif kind == "slice":
            bound = st.none() | st.integers(-size - 1, size + 1)
            step = draw(st.sampled_from([None, 1, 2, -1, -2]))
            parts.append(slice(draw(bound), draw(bound), step))
        elif kind == "array":
            numbers = draw(st.lists(st.integers(-size, size - 1), min_size=6, max_size=6))
            count = int(np.prod(batch))
            parts.append(np.array(numbers[:count], np.int32).reshape(batch))
        elif kind == "mask":
            if any(isinstance(p, np.ndarray) for p in parts):
                continue
            parts.append(np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))))
            batch = (int(parts[-1].sum()),)
            if batch[0] > 6:
                batch = ()
        elif kind == "new":
            if len(parts) < 5:
                parts.append(None)
            continue
        elif kind == "ellipsis" and not with_ellipsis:
            parts.append(Ellipsis)
            with_ellipsis = True
            rest = draw(st.integers(0, len(shape) - axis))
            axis += rest
            continue
        else:
            break
        axis += 1
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


def expected_of(x: np.ndarray[Any, Any], index: Any) -> Any:
    try:
        return x[index]
    except IndexError:  # index arrays that don't broadcast, an ellipsis in a place that makes too many
        return None


@settings(max_examples=60)
@given(st.data())
def test_reading_by_random_indices(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(4,), (3, 5), (2, 3, 4)]))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    index = data.draw(indices(shape))
    expected = expected_of(x, index)
    if expected is None:
        return
    got = jnp.asarray(x)[index]
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@settings(max_examples=40)
@given(st.data())
def test_writing_by_random_indices(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(4,), (3, 5), (2, 3, 4)]))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    index = data.draw(indices(shape))
    read = expected_of(x, index)
    if read is None:
        return
    np.testing.assert_array_equal(_written(x, index, np.float32(7)), jnp.asarray(x).at[index].set(7))
    added = x.copy()
    np.add.at(added, index, np.float32(2))
    np.testing.assert_array_equal(added, jnp.asarray(x).at[index].add(2))


def _written(x: np.ndarray[Any, Any], index: Any, value: Any) -> np.ndarray[Any, Any]:
    result = x.copy()
    result[index] = value
    return result


MODES: list[tuple[Any, list[float], list[float]]] = [
    # what x.at[[7, -7, 1]].get and .set(9) give for x = 0, 1, 2, 3, 4
    (None, [np.nan, np.nan, 1], [0, 9, 2, 3, 4]),
    ("fill", [np.nan, np.nan, 1], [0, 9, 2, 3, 4]),
    ("drop", [np.nan, np.nan, 1], [0, 9, 2, 3, 4]),
    ("clip", [4, 0, 1], [9, 9, 2, 3, 9]),
    ("wrap", [2, 3, 1], [0, 9, 9, 9, 4]),
]


@pytest.mark.parametrize(("mode", "read", "written"), MODES)
@pytest.mark.parametrize("compiled", [False, True])
def test_modes(mode: Any, read: list[float], written: list[float], compiled: bool) -> None:
    def get(x: Any, i: Any) -> Any:
        return x.at[i].get(mode=mode, fill_value=jnp.nan if mode is None else None)

    def put(x: Any, i: Any) -> Any:
        return x.at[i].set(9.0, mode=mode)

    x, i = jnp.arange(5.0), jnp.array([7, -7, 1])
    got, changed = (jit(f)(x, i) if compiled else f(x, i) for f in (get, put))
    if mode is not None:
        np.testing.assert_array_equal(got, read)
    np.testing.assert_array_equal(changed, written)


def test_the_default_mode_of_reading_and_writing() -> None:
    x = jnp.arange(5)
    assert x[7] == x[jnp.array(7)] == 4
    assert x[-9] == 0
    np.testing.assert_array_equal(x.at[jnp.array([7, 0])].add(10), [10, 1, 2, 3, 4])
    np.testing.assert_array_equal(x.at[7].get(mode="fill"), np.iinfo(np.int32).min)
    assert x.at[7].get(mode="fill", fill_value=-1) == -1
    assert x.at[-1].get(mode="fill", wrap_negative_indices=False, fill_value=-5) == -5
    with pytest.raises(IndexError, match="size 0"):
        jnp.zeros(0)[0]


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("set", lambda old, v: v),
        ("add", lambda old, v: old + v),
        ("subtract", lambda old, v: old - v),
        ("multiply", lambda old, v: old * v),
        ("mul", lambda old, v: old * v),
        ("divide", lambda old, v: old / v),
        ("power", lambda old, v: old**v),
        ("min", np.minimum),
        ("max", np.maximum),
    ],
)
def test_updates(name: str, operation: Callable[[Any, Any], Any]) -> None:
    x = np.linspace(1, 2, 6, dtype=np.float32).reshape(2, 3)
    for index in (0, (slice(None), -1), np.array([1, 0]), (Ellipsis, slice(None, None, 2)), x > 1.5):
        expected = x.copy()
        expected[index] = operation(expected[index], np.float32(1.5))
        for update in (
            lambda x, i=index: getattr(x.at[i], name)(1.5),
            lambda x, i=index: getattr(x.at[i], name)(1.5, indices_are_sorted=False, unique_indices=True),
        ):
            np.testing.assert_allclose(update(jnp.asarray(x)), expected, rtol=1e-6)
            np.testing.assert_allclose(jit(update)(x), expected, rtol=1e-6)


def test_apply_and_sequences_in_tuples() -> None:
    x = jnp.arange(4.0)
    np.testing.assert_array_equal(x.at[1:3].apply(jnp.negative), [0, -1, -2, 3])
    np.testing.assert_array_equal(x.at[jnp.array([1, 1])].apply(lambda v: v * 2), [0, 4, 2, 3])
    m = jnp.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(m[[0, 1], 0], [0, 3])
    np.testing.assert_array_equal(m[([True, False],)], [[0, 1, 2]])
    with pytest.raises(TypeError, match="non-tuple sequence"):
        m[[0, 1]]


# ----------------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", ALL)
def test_every_dtype_computes(dtype: str) -> None:
    """Creation, conversion, arithmetic, comparison, indexing, jit: what small numbers give is exact."""
    kind = getattr(jnp, dtype)
    assert kind.dtype.name == dtype
    ones = jnp.ones(3, dtype)
    assert ones.dtype == jnp.dtype(dtype) == jnp.array([1], dtype=kind).dtype
    assert kind(1).dtype == ones.dtype
    product = jit(lambda x, y: x * y)(ones, ones)
    assert product.dtype == ones.dtype
    assert np.asarray(product).tolist() == [1, 1, 1]
    assert jnp.all(ones == product)
    assert jit(lambda x: x == x)(ones).dtype == jnp.bool_
    assert jnp.concatenate([ones, ones])[::2].shape == (3,)
    assert ones.at[0].set(1).dtype == ones.dtype
    assert jnp.where(ones == ones, ones, ones).dtype == ones.dtype
    assert f"dtype={dtype})" in repr(ones)
    if dtype not in ("bool", "complex64"):
        assert jit(lambda x: x < x)(ones).tolist() == [False] * 3
    if dtype != "bool":
        assert jit(jnp.matmul)(ones[:2], ones[:2]).item() == (-2 if dtype == "int2" else 2)


def test_limits() -> None:
    for name in INTEGERS:
        info = jnp.iinfo(name)
        bits = int(name.lstrip("uint"))
        low = 0 if name.startswith("u") else -(2 ** (bits - 1))
        assert (info.min, info.max, info.bits) == (low, low + 2**bits - 1, bits)
    for name in FLOATS:
        assert float(jnp.finfo(name).eps) == float(ml_dtypes.finfo(name).eps)
        assert jnp.issubdtype(name, jnp.floating)
    assert jnp.finfo(jnp.complex64).dtype == jnp.float32
    assert jnp.issubdtype("int4", jnp.signedinteger)
    assert not jnp.issubdtype("uint4", jnp.signedinteger)


STANDARD = [
    *[f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)], "bfloat16", "float16", "float32", "float64",
    "complex64", "complex128",
]  # fmt: skip
SMALL_INTEGERS = ["int2", "int4", "uint2", "uint4"]


def promoted(a: str, b: str) -> str | None:
    """The lattice in words, for two dtypes that differ, with 64 bits on.

    Bools go to anything. The smallest integers go nowhere else. Integers go to the smallest that holds both (a float,
    if there is none), and to every float and complex dtype. The smallest floats mix with integers only; two floats of
    16 bits meet at float32, and complex numbers are as precise as the more precise of the two.
    """
    if "bool" in (a, b):
        return b if a == "bool" else a
    if a in SMALL_INTEGERS or b in SMALL_INTEGERS:
        return None
    integers = [name for name in (a, b) if "int" in name]
    if len(integers) == 1:
        return b if a in integers else a
    if a in FLOATS8 or b in FLOATS8:
        return None
    bits = [int("".join(c for c in name if c.isdigit())) for name in (a, b)]
    if integers:
        if a[0] == b[0]:
            return f"{a.rstrip('0123456789')}{max(bits)}"
        signed, unsigned = bits if a[0] == "i" else bits[::-1]
        return "float64" if unsigned == 64 else f"int{max(signed, 2 * unsigned)}"
    if "complex" in a + b:
        wide = "float64" in (a, b) or "complex128" in (a, b)
        return "complex128" if wide else "complex64"
    return "float32" if bits == [16, 16] else f"float{max(bits)}"


@pytest.mark.parametrize("a", ["bool", *SMALL_INTEGERS, *STANDARD, *FLOATS8])
def test_promotion_of_every_pair(a: str, x64: None) -> None:
    for b in ("bool", *SMALL_INTEGERS, *STANDARD, *FLOATS8):
        expected = a if a == b else promoted(a, b)
        if expected is None:
            with pytest.raises(wengert.errors.TypePromotionError):
                jnp.promote_types(a, b)
            continue
        assert jnp.promote_types(a, b) == jnp.dtype(expected), (a, b)
        assert jnp.result_type(jnp.zeros(1, a), jnp.zeros(1, b)) == jnp.dtype(expected)


@pytest.mark.parametrize("dtype", ALL)
def test_python_numbers_give_way(dtype: str) -> None:
    x = jnp.ones(2, dtype)
    is_float, is_complex = dtype in FLOATS, dtype == "complex64"
    results: list[tuple[Any, str]] = [
        (True, dtype),
        (1, "int32" if dtype == "bool" else dtype),
        (1.0, dtype if is_float or is_complex else "float32"),
        (1j, "complex64"),
    ]
    for number, expected in results:
        if (isinstance(number, float) and dtype in SMALL_INTEGERS) or (
            number == 1j and (dtype in SMALL_INTEGERS or dtype in FLOATS8)
        ):
            with pytest.raises(wengert.errors.TypePromotionError):
                jnp.result_type(x, number)
        else:
            assert jnp.result_type(x, number) == jnp.dtype(expected), number


def test_integers_wrap_where_arrays_would() -> None:
    assert jnp.uint8(1) + 300 == 45
    assert jnp.uint8(1) + (-1) == 0
    np.testing.assert_array_equal(jnp.full(2, -1, jnp.uint8), [255, 255])
    for refused in (
        lambda: jnp.uint8(-1),
        lambda: jnp.array([300], jnp.uint8),
        lambda: jnp.arange(3) + 2**40,
    ):
        with pytest.raises(OverflowError):
            refused()


def test_strict_promotion() -> None:
    with wengert.numpy_dtype_promotion("strict"):
        assert (jnp.float32(1) + 1).dtype == jnp.float32
        with pytest.raises(wengert.errors.TypePromotionError, match="strict"):
            jnp.float32(1) + jnp.int32(1)
    assert (jnp.float32(1) + jnp.int32(1)).dtype == jnp.float32


def test_64_bits_are_a_setting() -> None:
    def dtypes() -> list[str]:
        made = (jnp.array(1.0), jnp.arange(2), jnp.zeros(1), jnp.array(1j), jnp.asarray(np.float64(1)))
        return [x.dtype.name for x in made]

    assert dtypes() == ["float32", "int32", "float32", "complex64", "float32"]
    with wengert.enable_x64(True):
        assert dtypes() == ["float64", "int64", "float64", "complex128", "float64"]
        with wengert.enable_x64(False):
            assert dtypes()[0] == "float32"
    for name in ("int64", np.int64, np.dtype("int64"), jnp.int64):
        with pytest.warns(UserWarning, match=r"int64.*truncated to dtype int32.*enable_x64"):
            assert jnp.zeros(1, name).dtype == jnp.int32
    assert jnp.promote_types("int32", "int64") == np.int64
    assert jnp.promote_types("int32", "uint32") == np.int32
