"""The NumPy API: values against NumPy's in double precision, dtypes and weak types by JAX's rules, errors by message.

`CASES` has one row per call; each is run eagerly and compiled.
"""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert.errors import ConcretizationTypeError

F = np.array([[-2.5, 0.5, 1.0, 3.0], [0.0, -0.5, 2.25, -7.0], [1.5, 4.0, -1.0, 0.25]])
G = np.array([[1.0, -2.0, 0.5, 3.0], [2.0, -0.5, -2.25, 7.0], [-1.5, 4.0, 1.0, 0.75]])
V = np.array([0.5, -1.5, 2.0, 3.5, -0.25, 1.0, 1.0])
P = np.abs(F) + 0.125
U = np.tanh(F / 4)
I = np.array([[3, -1, 2, 7], [0, 5, -8, 1]])  # noqa: E741
J = np.array([[2, 3, -4, 5], [1, -2, 3, 7]])
B = F > 0
C = F + 1j * G
S = np.sort(V)

# name, arguments, options of the row: static (argument numbers that are not traced), and keyword arguments
CASES: list[tuple[Any, ...]] = []


def rows(
    names: str, *args: Any, static: tuple[int, ...] = (), eager_only: bool = False, **kwargs: Any
) -> None:
    for name in names.split():
        CASES.append((name, args, static, eager_only, kwargs))


rows(
    "sin cos tan sinh cosh tanh arctan arcsinh exp exp2 expm1 cbrt sinc deg2rad rad2deg reciprocal square fabs",
    G,
)
rows(
    "sign absolute negative positive floor ceil trunc rint isnan isinf isfinite signbit isposinf isneginf", F
)
rows("arcsin arccos arctanh log1p", U)
rows("log log2 log10 sqrt", P)
rows("arccosh", P + 1)
rows("i0", G)
rows("sin exp sqrt log square absolute sign negative conj real imag angle reciprocal tanh", C)
rows("sin sqrt exp absolute sign negative square floor conj real imag", J)
rows(
    "add subtract multiply divide maximum minimum fmax fmin arctan2 hypot copysign heaviside nextafter logaddexp",
    F,
    G,
)
rows(
    "floor_divide remainder fmod divmod equal not_equal less less_equal greater greater_equal logaddexp2",
    F,
    G,
)
rows(
    "add subtract multiply divide maximum minimum floor_divide remainder fmod divmod gcd lcm power",
    np.abs(I),
    np.abs(J),
)
rows("floor_divide remainder fmod divmod bitwise_and bitwise_or bitwise_xor gcd lcm", I, J)
rows("left_shift right_shift", I, np.abs(J))
rows("invert bitwise_count", I)
rows("logical_and logical_or logical_xor", F, B)
rows("logical_not", F)
rows("add multiply maximum minimum bitwise_and logical_or", B, B[::-1])
rows("power float_power", P, G)
rows("ldexp", F, np.array([1, -2, 3, 0]))
rows("frexp modf", F)
rows("add multiply subtract divide equal power", C, G)
rows("add subtract multiply maximum less", F, G[0])
rows("add", F[:, :1], G[:1])
rows("isclose allclose array_equal array_equiv", F, G)
rows("isclose", F, F + 1e-6)
rows("nan_to_num", np.where(B, np.inf, np.nan), posinf=7.0)
rows("round around", F * 100, 1, static=(1,))
rows("round", I, -1, static=(1,))
rows("where", B, F, G)
rows("where", B, F[0], 0.0)
rows("clip", F, -1.0, 2.0)
rows("select", [F > 1, F < 0], [F, G], 9.0)

rows("sum prod max min mean var std any all argmax argmin ptp median count_nonzero cumsum cumprod", F)
rows("sum prod max min mean var std any all median ptp count_nonzero", F, axis=0)
rows("sum max mean std any median", F, axis=(0, 1), keepdims=True)
rows("argmax argmin cumsum cumprod", F, axis=-1)
rows("argmax", F, axis=1, keepdims=True)
rows("sum mean prod", F, where=B)
rows("max min", F, where=B, initial=0.5)
rows("sum prod", I)
rows("sum cumsum any mean", B)
rows("sum", np.array([100, 100], np.int8))
rows("var std", F, ddof=1)
rows("var mean sum prod std", C)
rows("average", F, axis=1, weights=P)
rows("average", F, axis=0, weights=np.array([1.0, 2.0, 0.5]))
rows("quantile", F, 0.3)
rows("quantile percentile", F, np.array([0.1, 0.5, 0.9]), axis=1)
rows(
    "nansum nanmean nanmax nanmin nanprod nanstd nanvar nanmedian nancumsum nanargmax", np.where(B, F, np.nan)
)
rows("nansum nanmean nanmax nanmedian", np.where(B, F, np.nan), axis=1)
rows("cov corrcoef", F)
rows("cov", F, G, rowvar=False)
rows("diff", F, axis=0)
rows("diff", V, n=2, prepend=0.0)
rows("ediff1d gradient trapezoid unwrap", V)
rows("gradient", F, axis=1)
rows("trapezoid", F, np.array([0.0, 1.0, 3.0, 3.5]))
rows("interp", F, S, np.cos(S))
rows("convolve correlate", V, V[:3], mode="full")
rows("convolve correlate", V, V[:3], mode="same")
rows("convolve correlate", V, V[:3], mode="valid")

rows("reshape", F, (2, -1), static=(1,))
rows("reshape", F, (4, 3), static=(1,), order="F")
rows(
    "ravel transpose flip fliplr flipud rot90 squeeze atleast_1d atleast_2d atleast_3d tril triu trace diag diagonal",
    F,
)
rows("diag diagflat atleast_2d atleast_3d", V)
rows("diag", V, 2, static=(1,))
rows("trace diagonal", F, 1, static=(1,))
rows("swapaxes moveaxis", F, 0, 1, static=(1, 2))
rows("expand_dims", F, (0, 2), static=(1,))
rows("roll", F, 2, static=(1,))
rows("roll", F, (1, -2), (0, 1), static=(1, 2))
rows("roll", F, 1, axis=1)
rows("concatenate stack hstack vstack dstack column_stack", [F, G])
rows("concatenate", [V, I.ravel()])
rows("block", [[F, G], [G, F]])
rows("append", F, G, axis=0)
rows("split array_split", F, 2, axis=1, static=(1,))
rows("array_split", V, 3, static=(1,))
rows("split", V, [2, 5], static=(1,))
rows("tile", F, (2, 1, 2), static=(1,))
rows("repeat", F, 3, axis=1, static=(1,))
rows("repeat", V, np.array([0, 1, 2, 0, 3, 1, 1]), static=(1,))
rows("broadcast_to", V, (2, 7), static=(1,))
rows("resize", V, (3, 4), static=(1,))
rows("broadcast_arrays", F, G[0])
rows("meshgrid", V, S)
rows("meshgrid", V, S[:2], indexing="ij", sparse=True)
for mode in ("edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "mean", "median", "minimum"):
    rows("pad", F, ((2, 3), (1, 0)), mode, static=(1, 2))
rows("pad", F, 2, "constant", static=(1, 2), constant_values=1.5)
rows("pad", F, ((1, 2), (0, 3)), "constant", static=(1, 2), constant_values=((1.0, 2.0), (3.0, 4.0)))
rows("pad", V, 9, "reflect", static=(1, 2), reflect_type="odd")
rows("pad", V, 3, "mean", static=(1, 2), stat_length=2)

rows("take", F, np.array([[0, 2], [3, 1]]), axis=1)
rows("take", F, np.array([0, -1, 11]))
rows("take", F, np.array([5, -6]), axis=0, mode="wrap")
rows("take_along_axis", F, np.argsort(F, axis=1), axis=1)
rows("sort argsort", F)
rows("sort argsort", F, axis=0)
rows("sort sort_complex", C.ravel())
rows("lexsort", (I[0], I[1]))
rows("searchsorted", S, F)
rows("searchsorted", S, V, side="right")
rows("digitize", F, S)
rows("digitize", F, S[::-1], right=True)
rows("choose", np.array([0, 1, 1, 0]), [V[:4], S[:4]], mode="clip")
rows("compress", np.array([True, False, True]), F, axis=0, static=(0,))
rows("insert", V, 2, 9.0, static=(1,))
rows("insert", F, np.array([0, 2]), 9.0, axis=1, static=(1,))
rows("delete", F, np.array([0, 2]), axis=1, static=(1,))
rows("nonzero argwhere flatnonzero unique", I, eager_only=True)
rows("union1d intersect1d setdiff1d setxor1d isin", I, J, eager_only=True)
rows("bincount", np.abs(I.ravel()), eager_only=True)
rows("histogram", F, 5, static=(1,), density=True)
rows("histogram", F, np.array([-8.0, 0.0, 1.0, 5.0]), weights=P)
rows("histogram2d", F.ravel(), G.ravel(), 3, static=(2,), density=True)
rows("packbits", B)
rows("unpackbits", np.array([[3], [200]], np.uint8), axis=1)
rows("unravel_index", np.array([0, 5, 11]), (3, 4), static=(1,))
rows("ravel_multi_index", (np.array([0, 2]), np.array([3, 1])), (3, 4), static=(1,), mode="clip")

rows("dot matmul vdot outer kron", F, F.T)
rows("inner tensordot", F, G)
rows("dot matmul inner outer vdot", V, S)
rows("matmul", np.stack([F, G]), F.T)
rows("matmul", np.stack([F, G])[:, None], np.stack([F.T, G.T, F.T]))
rows("matmul", V[:4], np.stack([F.T, G.T]))
rows("dot", np.stack([F, G]), np.stack([F.T, G.T]))
rows("tensordot", np.stack([F, G]), F, axes=((2, 1), (1, 0)))
rows("cross", F[:, :3], G[:, :3])
for subscripts, operands in (
    ("ij,kj->ik", (F, G)),
    ("ij,ij->ij", (F, G)),
    ("ij->ji", (F,)),
    ("ij->", (F,)),
    ("ii->i", (F[:, :3],)),
    ("ii", (F[:, :3],)),
    ("i,j->ij", (V, S)),
    ("bij,bjk->bik", (np.stack([F, G]), np.stack([F.T, G.T]))),
    ("...ij,jk->...ik", (np.stack([F, G]), F.T)),
    ("ij,jk,kl->il", (F, G.T, F)),
    ("ij,jk,kl", (F, G.T, F)),
    ("i,ij,j", (F[:, 0], F, F[0])),
):
    rows("einsum", subscripts, *operands, static=(0,))

rows("polyval", V[:4], F)
rows("polyadd polysub polymul", V, S[1:4])
rows("polyder polyint", V)
rows("poly", V[:3])
rows("vander", V)
rows("apply_over_axes", np.sum, F, (0,), static=(0, 2), eager_only=True)
for name in ("bartlett", "blackman", "hamming", "hanning"):
    rows(name, 7, static=(0,))
rows("kaiser", 7, 3.0, static=(0,))
rows("zeros ones", (2, 3), static=(0,))
rows("full", (2, 3), 1.5, static=(0,))
rows("eye tri", 4, 3, 1, static=(0, 1, 2))
rows("arange", 7, static=(0,))
rows("arange", 2, 11, 3, static=(0, 1, 2))
rows("arange", 0.0, 1.0, 0.25, static=(0, 1, 2))
rows("linspace", 0.0, 5.0, 11, static=(2,))
rows("linspace", -1.0, V[0], 5, static=(2,), endpoint=False)
rows("logspace geomspace", 1.0, 3.0, 5, static=(2,))
rows("indices", (2, 3), static=(0,))
rows("identity", 3, static=(0,))
rows("zeros_like ones_like", I)
rows("full_like", F, 7.0)


def narrow(x: Any) -> Any:
    """NumPy's 64-bit results as the 32-bit ones that are expected here."""
    if isinstance(x, tuple | list):
        return [narrow(v) for v in x]
    x = np.asarray(x)
    kind = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}
    return x.astype(kind.get(x.dtype.name, x.dtype))


def as_input(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return jnp.asarray(narrow(x))
    if isinstance(x, list | tuple):
        return type(x)(as_input(v) for v in x)
    return x


def check(actual: Any, expected: Any) -> None:
    expected = narrow(expected)
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            check(a, e)
        return
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)


def case_id(row: tuple[Any, ...]) -> str:
    name, args, _, _, kwargs = row
    kinds = ",".join(str(getattr(a, "dtype", a))[:20].replace("\n", "") for a in args)
    return f"{name}({kinds}{','.join([''] + [f'{k}={str(v)[:12]}' for k, v in kwargs.items()])})".replace(
        "\n", ""
    )


@pytest.mark.parametrize("row", CASES, ids=[f"{i}-{case_id(row)}" for i, row in enumerate(CASES)])
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_values_and_dtypes(row: tuple[Any, ...]) -> None:
    name, args, static, eager_only, kwargs = row
    expected = getattr(np, name)(*args, **kwargs)
    inputs = [a if i in static else as_input(a) for i, a in enumerate(args)]
    function = getattr(jnp, name)
    options = {k: as_input(v) for k, v in kwargs.items()}
    check(function(*inputs, **options), expected)
    if eager_only:
        return
    traced = [a for i, a in enumerate(inputs) if i not in static]

    def call(*values: Any) -> Any:
        given = iter(values)
        return function(*[a if i in static else next(given) for i, a in enumerate(inputs)], **options)

    check(wengert.jit(call)(*traced), expected)


# Dtypes and weak types


@pytest.mark.parametrize(
    ("make", "dtype", "weak"),
    [
        (lambda: jnp.array(1), "int32", True),
        (lambda: jnp.array([1, 2]), "int32", False),
        (lambda: jnp.array([1, 2.5]), "float32", False),
        (lambda: jnp.array(np.float64(1)), "float32", False),
        (lambda: jnp.array([np.int8(1), 2]), "int8", False),
        (lambda: jnp.float16(1), "float16", False),
        (lambda: jnp.sqrt(2), "float32", True),
        (lambda: jnp.asarray(1.0) + 1, "float32", True),
        (lambda: jnp.arange(3) + 1.5, "float32", True),
        (lambda: jnp.arange(3) / 2, "float32", False),
        (lambda: jnp.ones(2, "float16") * 2.5, "float16", False),
        (lambda: jnp.ones(2, "bfloat16") + jnp.ones(2, "float16"), "float32", False),
        (lambda: jnp.ones(2, "int8") + jnp.ones(2, "uint8"), "int16", False),
        (lambda: jnp.arange(3) + jnp.ones(3, "float16"), "float16", False),
        (lambda: jnp.where(True, 1, 2.0), "float32", True),
        (lambda: jnp.sum(jnp.ones(3, "float16")), "float16", False),
        (lambda: jnp.mean(jnp.arange(3)), "float32", False),
        (lambda: jnp.sum(jnp.asarray(1.0)), "float32", False),
        (lambda: jnp.full(3, 2), "int32", True),
        (lambda: jnp.stack([1.0, 2.0]), "float32", True),
        (lambda: jnp.arange(5, dtype="float16").cumsum(), "float16", False),
        (lambda: jnp.sin(jnp.arange(3, dtype="int8")), "float32", False),
        (lambda: jnp.array(True) + jnp.array(True), "bool", False),
        (lambda: jnp.array([True]) * 2, "int32", True),
    ],
)
def test_promotion(make: Callable[[], Any], dtype: str, weak: bool) -> None:
    result = make()
    assert result.dtype.name == dtype
    assert result.weak_type is weak


def test_64_bit_defaults(x64: None) -> None:
    assert jnp.arange(3).dtype == np.int64
    assert jnp.ones(3).dtype == np.float64
    assert jnp.sin(jnp.arange(3)).dtype == np.float64
    assert jnp.sin(jnp.arange(3, dtype="int16")).dtype == np.float32
    assert jnp.sum(jnp.ones(3, "int8")).dtype == np.int64
    assert jnp.float64(1) + jnp.float32(1) == 2.0
    assert (jnp.linspace(0, 1, 3) + 1j).dtype == np.complex128


def test_scalar_types_name_dtypes_and_make_arrays() -> None:
    assert jnp.float32 == np.float32
    assert np.dtype(jnp.float32) == np.dtype("float32")
    assert jnp.zeros(2, jnp.bfloat16).dtype == jnp.dtype(jnp.bfloat16)
    assert jnp.int8(300 - 256).dtype == np.int8
    assert jnp.issubdtype(jnp.bfloat16, jnp.floating)
    assert not jnp.issubdtype(jnp.int4, jnp.floating)
    assert jnp.finfo(jnp.bfloat16).bits == 16
    assert jnp.iinfo("int8").max == 127
    assert jnp.result_type(jnp.int8, 1.5) == np.float32
    assert jnp.promote_types("int32", "float16") == np.float16
    assert jnp.isdtype(jnp.float16, "real floating")
    assert jnp.isdtype("int8", ("bool", "integral"))
    assert jnp.can_cast("int8", "float32")


def test_a_64_bit_dtype_is_truncated_with_a_warning() -> None:
    with pytest.warns(
        UserWarning, match="float64 in zeros is not available, and will be truncated to dtype float32"
    ):
        assert jnp.zeros(3, "float64").dtype == np.float32


def test_rank_promotion_can_be_refused() -> None:
    a, b = jnp.ones((2, 3)), jnp.ones(3)
    with wengert.numpy_rank_promotion("raise"):
        with pytest.raises(
            ValueError, match=r"add on shapes \(2, 3\) \(3,\) while numpy_rank_promotion is 'raise'"
        ):
            a + b
        assert (a + 1.0).shape == (a + b[None]).shape == (2, 3)
    with (
        wengert.numpy_rank_promotion("warn"),
        pytest.warns(UserWarning, match="automatic rank promotion for add"),
    ):
        a + b


# XLA's meaning where NumPy has another


def test_integer_division_by_zero() -> None:
    x, zero = jnp.array([7, -7, 0]), jnp.array([0, 0, 0])
    np.testing.assert_array_equal(x % zero, [0, 0, 0])
    np.testing.assert_array_equal(jnp.fmod(x, zero), x)
    assert jnp.floor_divide(1, 0) == -2
    np.testing.assert_array_equal(jnp.array([2, 3]) ** jnp.array([-1, 2]), [0, 9])


def test_integer_powers_are_products() -> None:
    x = jnp.array([-3.0, 0.0, 2.0])
    np.testing.assert_array_equal(x**3, [-27, 0, 8])
    assert wengert.grad(lambda x: x**2)(0.0) == 0.0
    with pytest.raises(TypeError, match="Integers cannot be raised to negative powers"):
        jnp.array(2) ** -1


# What is traced


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x + 1, "add a 1.0"),
        (lambda x: 1 - x, "sub 1.0 a"),
        (lambda x: x**2, "integer_pow[y=2] a"),
        (lambda x: x**2.0, "pow a 2.0"),
        (lambda x: jnp.sum(x), "reduce_sum[axes=(0,)"),
        (lambda x: jnp.maximum(x, 0), "max a 0.0"),
        (lambda x: jnp.argmax(x), "argmax[axes=(0,) index_dtype=int32] a"),
        (lambda x: x @ x, "dimension_numbers=(([0], [0]), ([], []))"),
        (lambda x: jnp.concatenate([x, x]), "concatenate[dimension=0] a a"),
        (lambda x: x.astype(int), "convert_element_type[new_dtype=int32 weak_type=False] a"),
    ],
)
def test_one_equation(function: Callable[[Any], Any], text: str) -> None:
    jaxpr = wengert.make_jaxpr(function)(jnp.ones(3))
    assert len(jaxpr.eqns) == 1
    assert text in str(jaxpr)


def test_padding_and_rolling_are_views() -> None:
    views = {"slice", "rev", "concatenate", "broadcast_in_dim", "pad"}
    for function in (
        lambda x: jnp.pad(x, 1),
        lambda x: jnp.pad(x, ((0, 1), (2, 0)), mode="edge"),
        lambda x: jnp.pad(x, 2, mode="reflect"),
        lambda x: jnp.pad(x, 7, mode="wrap"),
        lambda x: jnp.roll(x, (1, 2), (0, 1)),
    ):
        found = {eqn.primitive.name for eqn in wengert.make_jaxpr(function)(jnp.ones((3, 4))).eqns}
        assert found <= views
    assert not wengert.make_jaxpr(lambda x: x + 0.0)(jnp.ones(3)).consts


# Arrays as Python objects


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: jnp.array([0.0, 0.5]), "Array([0. , 0.5], dtype=float32)"),
        (lambda: jnp.asarray(1.0), "Array(1., dtype=float32, weak_type=True)"),
        (lambda: jnp.zeros((0, 3)), "Array([], shape=(0, 3), dtype=float32)"),
        (lambda: jnp.ones(2, "bfloat16"), "Array([1, 1], dtype=bfloat16)"),
        (lambda: jnp.arange(2000), "Array([   0,    1,    2, ..., 1997, 1998, 1999], dtype=int32)"),
        (lambda: jnp.ones((2, 2)), "Array([[1., 1.],\n       [1., 1.]], dtype=float32)"),
        (
            lambda: jnp.linspace(0, 5, 11),
            "Array([0. , 0.5, 1. , 1.5, 2. , 2.5, 3. , 3.5, 4. , 4.5, 5. ], dtype=float32)",
        ),
        (
            lambda: jnp.linspace(0, 1, 9),
            "Array([0.   , 0.125, 0.25 , 0.375, 0.5  , 0.625, 0.75 , 0.875, 1.   ],      dtype=float32)",
        ),
    ],
)
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text


def test_str_and_format() -> None:
    assert str(jnp.arange(3)) == "[0 1 2]"
    assert f"{jnp.float32(2.5):.2f} {jnp.arange(2)}" == "2.50 [0 1]"


def test_conversions() -> None:
    x = jnp.float32(2.5)
    assert (float(x), int(x), bool(x), complex(x), x.item()) == (2.5, 2, True, 2.5 + 0j, 2.5)
    assert [10, 20, 30][jnp.array(1)] == 20
    assert jnp.arange(4).reshape(2, 2).tolist() == [[0, 1], [2, 3]]
    assert np.asarray(jnp.arange(3)).flags.writeable is False
    assert np.array(jnp.arange(3)).flags.writeable is True
    assert (np.arange(3.0) + jnp.ones(3)).dtype == np.float32
    assert isinstance(np.arange(3.0) + jnp.ones(3), jnp.ndarray)
    assert len(jnp.zeros((4, 2))) == 4
    assert [float(v) for v in jnp.arange(3.0)] == [0, 1, 2]
    assert 2.0 in jnp.arange(3.0)
    assert np.from_dlpack(jnp.arange(3)).tolist() == [0, 1, 2]
    assert jnp.from_dlpack(np.arange(3.0)).dtype == np.float32


def test_copies() -> None:
    x = jnp.asarray(1.5) * jnp.ones(3)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x), x.copy(), jnp.array(x)):
        assert y is not x
        assert y.weak_type == x.weak_type
        np.testing.assert_array_equal(y, x)
    a = np.arange(3.0, dtype=np.float32)
    b = jnp.asarray(a)
    a[0] = 7
    assert b[0] == 0


METHODS = [
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "conj",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "flatten",
    "max",
    "mean",
    "min",
    "prod",
    "ptp",
    "ravel",
    "round",
    "sort",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "trace",
    "transpose",
    "var",
    "nonzero",
    "T",
    "mT",
    "real",
    "imag",
]


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_numpys(name: str) -> None:
    args = (0, 1) if name == "swapaxes" else ()

    def get(x: Any) -> Any:
        if name == "mT":
            return x.T
        if name == "nonzero":
            return np.nonzero(np.asarray(x)) if isinstance(x, np.ndarray) else x.nonzero()
        if name in ("sort", "ptp") and isinstance(x, np.ndarray):
            return getattr(np, name)(x)
        member = getattr(x, name)
        return member(*args) if callable(member) else member

    check(get(jnp.asarray(narrow(F))), get(F))


def test_scalars_are_arrays_too() -> None:
    for x in (jnp.ones(()), jnp.zeros(()), jnp.full((), 2), jnp.sum(jnp.ones(3)), jnp.arange(3)[0]):
        assert isinstance(x, jnp.ndarray)


def test_reflected_operators() -> None:
    x = jnp.asarray(narrow(P))
    for op in ("__radd__", "__rsub__", "__rmul__", "__rtruediv__", "__rfloordiv__", "__rmod__", "__rpow__"):
        check(getattr(x, op)(2.0), getattr(P, op)(2.0))
    check(divmod(7.5, x), divmod(7.5, P))
    check(np.ones((2, 3)) @ jnp.asarray(narrow(F)), np.ones((2, 3)) @ F)


# ufunc objects


def test_ufunc_methods() -> None:
    f, i = jnp.asarray(narrow(F)), jnp.asarray(narrow(I))
    check(jnp.add.reduce(f), np.add.reduce(F))
    check(jnp.multiply.reduce(f, axis=None), np.multiply.reduce(F, axis=None))
    check(jnp.maximum.reduce(f, axis=1, keepdims=True), np.maximum.reduce(F, axis=1, keepdims=True))
    check(jnp.bitwise_xor.reduce(i, axis=1), np.bitwise_xor.reduce(I, axis=1))
    check(jnp.logical_or.reduce(f), np.logical_or.reduce(F))
    check(jnp.subtract.reduce(f), np.subtract.reduce(F))
    check(jnp.add.accumulate(f, 1), np.add.accumulate(F, 1))
    check(jnp.maximum.accumulate(f), np.maximum.accumulate(F))
    check(jnp.multiply.outer(f[0], f[1]), np.multiply.outer(F[0], F[1]))
    check(jnp.add.reduceat(f[0], np.array([0, 2, 1])), np.add.reduceat(F[0], [0, 2, 1]))
    check(jnp.add.at(f, 0, 1.0, inplace=False)[0], F[0] + 1)
    own = jnp.frompyfunc(lambda a, b: a * b + 1, 2, 1)
    check(own(f, f[0]), F * F[0] + 1)


def test_vectorize() -> None:
    outer = jnp.vectorize(lambda a, b: a[:, None] * b, signature="(m),(n)->(m,n)")
    check(outer(narrow(F)[:, None], narrow(G)), F[:, None, :, None] * G[None, :, None, :])
    check(jnp.vectorize(lambda x, p: x**p, excluded={1})(narrow(F), 2), F**2)
    with pytest.raises(ValueError, match="inconsistent size for core dimension 'n'"):
        jnp.vectorize(jnp.dot, signature="(n),(n)->()")(jnp.ones(3), jnp.ones(4))


def test_polydiv_inverts_polymul() -> None:
    u, v = jnp.asarray(narrow(V)), jnp.asarray(narrow(S[1:4]))
    quotient, remainder = jnp.polydiv(u, v)
    check(jnp.polyadd(jnp.polymul(quotient, v), remainder), V)
    assert jnp.polydiv(u, v, trim_leading_zeros=True)[1].size == 2


def test_apply_along_axis() -> None:
    check(jnp.apply_along_axis(jnp.sort, 0, narrow(F)), np.apply_along_axis(np.sort, 0, F))
    outer = lambda v: v[:, None] * v  # noqa: E731
    check(jnp.apply_along_axis(outer, 1, narrow(F)), np.apply_along_axis(outer, 1, F))


def test_grids() -> None:
    check(jnp.mgrid[0:3, 1:5:2], np.mgrid[0:3, 1:5:2])
    check(jnp.ogrid[0:1:5j, :2], np.ogrid[0:1:5j, :2])
    check(jnp.r_[1:4, 0, jnp.arange(2)], np.r_[1:4, 0, np.arange(2)])
    check(jnp.c_[jnp.arange(3), jnp.arange(3)], np.c_[np.arange(3), np.arange(3)])
    check(jnp.ix_(jnp.array([0, 2]), jnp.array([1])), np.ix_([0, 2], [1]))


def test_a_size_makes_shapes_static() -> None:
    x = jnp.array([3, 0, 2, 0, 3])
    f = wengert.jit(lambda x: (jnp.nonzero(x, size=4, fill_value=9)[0], jnp.unique(x, size=4, fill_value=-1)))
    nonzero, unique = f(x)
    assert nonzero.tolist() == [0, 2, 4, 9]
    assert unique.tolist() == [0, 2, 3, -1]
    assert wengert.jit(lambda x: jnp.bincount(x, length=3))(x).tolist() == [2, 0, 1]
    result = wengert.jit(lambda x, r: jnp.repeat(x, r, total_repeat_length=6))(x, jnp.array([1, 0, 2, 0, 1]))
    assert result.tolist() == [3, 2, 2, 3, 3, 3]
    values, index, inverse, counts = jnp.unique(x, True, True, True)
    np.testing.assert_array_equal(values[inverse], x)
    assert (index.tolist(), counts.tolist()) == ([1, 2, 0], [2, 1, 2])


# Derivatives of what is composed here


@pytest.mark.parametrize(
    ("function", "at"),
    [
        (jnp.hypot, (3.0, 4.0)),
        (jnp.logaddexp, (1.0, 1.0)),
        (jnp.sinc, (0.0,)),
        (jnp.sinc, (0.7,)),
        (jnp.sinc, (2.0,)),
        (lambda x: jnp.var(jnp.stack([x, 2 * x, x**2])), (1.5,)),
        (lambda x: jnp.median(jnp.stack([x, 2 * x, x**2])), (1.5,)),
        (lambda x: jnp.interp(x, jnp.array([0.0, 1.0, 3.0]), jnp.array([0.0, 2.0, -1.0])), (1.5,)),
        (lambda x: jnp.prod(jnp.stack([x, x - 1.0, x + 2.0])), (1.0,)),
        (lambda x: jnp.pad(jnp.stack([x, x**2, 1.0]), 2, mode="reflect").sum(), (0.5,)),
        (lambda x: jnp.clip(x, 0.0, 1.0), (0.5,)),
    ],
)
def test_gradients(function: Callable[..., Any], at: tuple[float, ...]) -> None:
    with wengert.enable_x64(True):
        point = [jnp.float64(v) for v in at]
        for i in range(len(at)):
            step = 1e-5
            moved = [[p + s * (k == i) for k, p in enumerate(point)] for s in (-step, step)]
            expected = (function(*moved[1]) - function(*moved[0])) / (2 * step)
            np.testing.assert_allclose(
                wengert.grad(function, argnums=i)(*point), expected, rtol=1e-6, atol=1e-7
            )


def test_gradients_at_infinities_are_finite() -> None:
    gradient = wengert.grad(lambda x: jnp.logaddexp(x, -math.inf))(1.0)
    assert gradient == 1.0
    assert not np.isnan(wengert.grad(lambda x: jnp.logaddexp(x, -math.inf))(-math.inf))


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: jnp.add([1, 2], 3),
            TypeError,
            "add requires ndarray or scalar arguments, got <class 'list'> at position 0",
        ),
        (lambda: jnp.sum([1, 2]), TypeError, "sum requires ndarray or scalar arguments, got <class 'list'>"),
        (lambda: jnp.ones(3) + None, TypeError, "unsupported operand"),
        (lambda: operator.add(jnp.ones(3), [1, 2, 3]), TypeError, "unsupported operand"),
        (
            lambda: jnp.ones((3, 4)) + jnp.ones((2, 4)),
            TypeError,
            r"incompatible shapes for broadcasting: \(3, 4\), \(2, 4\)",
        ),
        (
            lambda: jnp.sum(jnp.ones(3), axis=2),
            ValueError,
            "axis 2 is out of bounds for array of dimension 1",
        ),
        (lambda: jnp.sum(jnp.ones((2, 2)), axis=(0, 0)), ValueError, "duplicate value in 'axis'"),
        (
            lambda: jnp.sum(jnp.ones(3), out=1),
            NotImplementedError,
            "'out' argument to jnp.sum is not supported",
        ),
        (
            lambda: jnp.max(jnp.ones(0)),
            ValueError,
            "zero-size array to reduction operation max which has no identity",
        ),
        (lambda: jnp.max(jnp.ones(3), where=jnp.ones(3) > 0), ValueError, "has to specify 'initial'"),
        (lambda: jnp.argmin(jnp.ones(0)), ValueError, "argmin of an empty sequence"),
        (lambda: hash(jnp.ones(3)), TypeError, "unhashable type: 'Array'"),
        (
            lambda: bool(jnp.ones(3)),
            ValueError,
            "truth value of an array with more than one element is ambiguous",
        ),
        (lambda: int(jnp.ones(3)), TypeError, "Only scalar arrays can be converted to Python scalars"),
        (
            lambda: range(jnp.ones(())),
            TypeError,
            "Only integer scalar arrays can be converted to a scalar index",
        ),
        (lambda: len(jnp.array(1)), TypeError, r"len\(\) of unsized object"),
        (
            lambda: jnp.ones(3).reshape(2, 2),
            TypeError,
            r"cannot reshape array of shape \(3,\) \(size 3\) into shape \(2, 2\)",
        ),
        (lambda: jnp.arange(3) + 2**40, OverflowError, "too large|out of bounds"),
        (
            lambda: jnp.dot(jnp.ones(3), jnp.ones(4)),
            TypeError,
            r"contracting dimensions to have the same shape, got \(3,\) and \(4,\)",
        ),
        (lambda: jnp.matmul(jnp.ones(3), 2.0), ValueError, "operand 1 must have ndim at least 1"),
        (
            lambda: jnp.stack([jnp.ones(3), jnp.ones(4)]),
            ValueError,
            r"must have the same shape. Got \(3,\), \(4,\)",
        ),
        (lambda: jnp.concatenate([]), ValueError, "Need at least one array to concatenate"),
        (
            lambda: jnp.concatenate([jnp.ones(3), jnp.ones((3, 1))]),
            TypeError,
            "different numbers of dimensions",
        ),
        (lambda: jnp.zeros(1.5), TypeError, "Shapes must be 1D sequences of concrete values of integer type"),
        (lambda: jnp.zeros(3, "foo"), TypeError, "foo"),
        (lambda: jnp.array([1, [2, 3]]), ValueError, "inhomogeneous shape"),
        (lambda: jnp.array("abc"), TypeError, "not a valid array type"),
        (lambda: jnp.array(None), ValueError, "None is not a valid value"),
        (lambda: jnp.squeeze(jnp.ones((2, 1)), 0), ValueError, "size not equal to one"),
        (lambda: jnp.split(jnp.ones(5), 2), ValueError, "equal division: 5 elements into 2 sections"),
        (lambda: jnp.broadcast_to(jnp.ones(3), (3, 2)), ValueError, r"\(3,\) and requested shape \(3, 2\)"),
        (lambda: jnp.pad(jnp.ones(3), 1, mode="foo"), NotImplementedError, "padding mode 'foo'"),
        (lambda: jnp.pad(jnp.ones(3), 1.5), TypeError, "pad_width` must be of integral type"),
        (
            lambda: jnp.pad(jnp.ones(3), 1, "edge", constant_values=1),
            ValueError,
            "unsupported keyword arguments for mode 'edge'",
        ),
        (lambda: jnp.where(jnp.ones(3) > 0, 1.0), TypeError, "both x and y"),
        (
            lambda: jnp.einsum("ij,jk", jnp.ones((2, 3)), jnp.ones((2, 3))),
            ValueError,
            "axis 'j' has the sizes 3 and 2",
        ),
        (
            lambda: jnp.sort(jnp.ones(3), kind="quicksort"),
            TypeError,
            "'kind' argument to sort is not supported",
        ),
        (lambda: jnp.bitwise_and(jnp.ones(3), 1), TypeError, "float32"),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda n: jnp.zeros(n), TypeError, "static_argnums"),
        (
            lambda n: jnp.nonzero(n.reshape(1)),
            ConcretizationTypeError,
            "size argument of jnp.nonzero must be statically",
        ),
        (lambda n: jnp.unique(n), ConcretizationTypeError, "size argument of jnp.unique must be statically"),
        (lambda n: jnp.bincount(n.reshape(1)), ConcretizationTypeError, "'length' argument of jnp.bincount"),
        (lambda n: n.tolist(), ConcretizationTypeError, r"The tolist\(\) method was called"),
        (lambda n: jnp.repeat(jnp.ones(3), n.reshape(1)), TypeError, "__index__"),
    ],
)
def test_errors_when_traced(function: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        wengert.jit(function)(jnp.array(3))
