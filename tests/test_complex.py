"""Complex numbers in compiled programs: errors against mpmath, special values, and that nothing calls NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax

DTYPES = ["complex64", "complex128"]


@pytest.fixture(autouse=True)
def wide() -> Any:
    with wengert.enable_x64(True), np.errstate(all="ignore"):
        yield


def stays_inside(fun: Callable[..., Any], *args: Any) -> None:
    """Fail if the compiled program calls out of itself."""
    assert "host" not in wengert.jit(fun).lower(*args).as_text("loops")


# ------------------------------------------------------------------------------------------------------- errors

# The greatest error of a result, as a complex number, in units in the last place of its size.
ERRORS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "exp": (mpmath.exp, 3),
    "exp2": (lambda z: mpmath.exp(z * mpmath.log(2)), 3),
    "expm1": (lambda z: mpmath.exp(z) - 1, 4.5),
    "log": (mpmath.log, 3),
    "log2": (lambda z: mpmath.log(z) / mpmath.log(2), 3),
    "log1p": (lambda z: mpmath.log(1 + z), 4),
    "logistic": (lambda z: 1 / (1 + mpmath.exp(-z)), 6),
    "sqrt": (mpmath.sqrt, 2),
    "rsqrt": (lambda z: 1 / mpmath.sqrt(z), 3.5),
    "sin": (mpmath.sin, 3),
    "cos": (mpmath.cos, 3),
    "tan": (mpmath.tan, 5),
    "sinh": (mpmath.sinh, 3),
    "cosh": (mpmath.cosh, 3),
    "tanh": (mpmath.tanh, 5),
    "asin": (mpmath.asin, 4),
    "acos": (mpmath.acos, 4),
    "atan": (mpmath.atan, 4),
    "asinh": (mpmath.asinh, 4),
    "acosh": (mpmath.acosh, 4),
    "atanh": (mpmath.atanh, 4),
    "sign": (lambda z: z / abs(z), 4),
}


def arguments(dtype: np.dtype[Any]) -> Any:
    """Numbers of moderate and of extreme sizes, and close to where something cancels: 1, -1, i, the unit circle."""
    rng = np.random.default_rng(0)
    most = float(np.finfo(dtype).maxexp) * 0.9
    n = 8

    def mixed() -> Any:
        one = rng.choice([1.0, -1.0], n)
        sizes = [
            rng.standard_normal(n) * 3,
            one * (1 + rng.standard_normal(n) * 1e-4),
            one * 2.0 ** rng.uniform(-most, most, n),
        ]
        return rng.permutation(
            np.concatenate([*sizes, rng.standard_normal(n) * 1e-5, rng.standard_normal(n) * 30])
        )

    z = mixed() + 1j * mixed()
    circle = np.exp(1j * rng.uniform(-3, 3, n)) * (1 + rng.standard_normal(n) * 1e-7)
    return np.concatenate([z, circle]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, dtype: str) -> None:
    exact, bound = ERRORS[name]
    z = arguments(np.dtype(dtype))
    info = np.finfo(dtype)
    if name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "exp2", "expm1", "logistic"):
        z = z[np.maximum(abs(z.real), abs(z.imag)) < 1e3]
    found = np.asarray(wengert.jit(getattr(lax, name))(z))
    worst = 0.0
    with mpmath.workprec(1300):
        for x, y in zip(z.tolist(), found.tolist(), strict=True):
            wanted = mpmath.mpc(exact(mpmath.mpc(x)))
            size = abs(wanted)
            if not float(info.tiny) * 1e3 < size < float(info.max):
                continue
            last = mpmath.mpf(2) ** mpmath.floor(mpmath.log(size, 2)) * float(info.eps)
            error = float(abs(wanted - mpmath.mpc(y)) / last)
            assert error == error, (x, y)
            worst = max(worst, error)
    print(f"{name} of {dtype}: {worst:.2f} ulp")
    assert 0 < worst <= bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_size_near_one_is_exact_in_its_logarithm(dtype: str) -> None:
    z = np.exp(1j * np.linspace(0.1, 6, 200)).astype(dtype)
    found = np.asarray(wengert.jit(lax.log)(z)).real
    with mpmath.workprec(300):
        wanted = np.array([float(mpmath.log(abs(mpmath.mpc(x)))) for x in z.tolist()])
    np.testing.assert_allclose(found, wanted, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_intermediate_results_that_are_out_of_range(dtype: str) -> None:
    info = np.finfo(dtype)
    far = float(np.log(info.max))
    tiny = np.float64(info.tiny) * 1e6
    z = np.array(
        [
            complex(far + 20, 1e-12),
            complex(1e-12, far + 20),
            complex(info.max, info.max) / 4,
            complex(tiny, tiny),
        ]
    )
    for name in ("exp", "sin", "cosh", "sqrt", "log", "asin", "atan"):
        x = z.astype(dtype)
        found = np.asarray(wengert.jit(getattr(lax, name))(x))
        with mpmath.workprec(3000):
            for a, b in zip(x.tolist(), found.tolist(), strict=True):
                if max(abs(a.real), abs(a.imag)) > 2 * far and name in ("exp", "sin", "cosh"):
                    continue
                wanted = ERRORS[name][0](mpmath.mpc(a)) if name != "cosh" else mpmath.cosh(mpmath.mpc(a))
                for p, q in ((wanted.real, b.real), (wanted.imag, b.imag)):
                    if float(info.tiny) < abs(p) < float(info.max):
                        assert abs(p - q) <= 1e-5 * abs(p), (name, a, b)


# ----------------------------------------------------------------------------------------------- special values

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 30.0, 1000.0, -1000.0, np.inf, -np.inf, np.nan]
# Where C99 says nothing, or leaves the sign open.
ARCS = ("asin", "acos", "atan", "asinh", "acosh", "atanh")
OPEN = {"sinh", "cosh", "tanh", "sin", "cos", "tan", "exp"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name",
    [*("exp", "log", "log2", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"), *ARCS, "abs"],
)
def test_special_values_are_those_of_the_c_library(name: str, dtype: str) -> None:
    z = np.array([complex(a, b) for a in SPECIAL for b in SPECIAL], dtype)
    found = np.asarray(wengert.jit(getattr(lax, name))(z))
    wanted = np.asarray(getattr(lax, name)(jnp.asarray(z)))
    infinite = ~np.isfinite(z.real) | ~np.isfinite(z.imag)
    scale = np.maximum(abs(wanted.real), abs(wanted.imag))
    for a, b in ((found.real, wanted.real), (found.imag, wanted.imag)):
        loose = infinite if name in OPEN else np.zeros_like(infinite)
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        size = np.where(np.isinf(b), np.inf, abs(b))
        np.testing.assert_array_equal(np.isinf(a), np.isinf(size))
        finite = np.isfinite(b) & np.isfinite(scale)
        np.testing.assert_allclose(
            abs(a)[finite] / scale.clip(1e-30)[finite], size[finite] / scale.clip(1e-30)[finite], atol=1e-5
        )
        tight = (
            ~np.isnan(b) & ~loose & (abs(b) > 1e-4 * np.where(np.isfinite(scale), scale, 0))
            | (b == 0) & ~loose
        )
        np.testing.assert_array_equal(np.signbit(a[tight]), np.signbit(b[tight]))


def test_branch_cuts_follow_the_sign_of_zero() -> None:
    above, below = (
        np.array([complex(-2, 0.0), complex(2, 0.0)]),
        np.array([complex(-2, -0.0), complex(2, -0.0)]),
    )
    for name in ("sqrt", "log", "asin", "acos", "acosh", "atanh", "log1p"):
        fun = wengert.jit(getattr(lax, name))
        np.testing.assert_allclose(np.conj(fun(above)), fun(below), rtol=1e-15)
        np.testing.assert_allclose(fun(above), getattr(lax, name)(jnp.asarray(above)), rtol=1e-14)


# ---------------------------------------------------------------------------------------------- nothing is left


def numbers(*shape: int) -> Any:
    rng = np.random.default_rng(0)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


NATIVE: list[Callable[[Any, Any], Any]] = [
    lambda x, y: [getattr(lax, name)(x) for name in ERRORS],
    lambda x, y: (lax.pow(x, y), x**2.5, lax.max(x, y), lax.min(x, y), jnp.angle(x), jnp.log10(x), jnp.sinc(x)),
    lambda x, y: (jnp.prod(x), jnp.prod(x, 0), jnp.prod(x, 1), jnp.prod(jnp.sin(x[:, :30]), 1), jnp.cumprod(x, 1)),
    lambda x, y: (x @ y.T, x[0] @ y[1], x[:2, :2] @ y[:2], jnp.vdot(x, y), x.T @ y, jnp.einsum("ij,kj->ijk", x, y)),
    lambda x, y: (lax.sort(x), lax.sort((x, y), num_keys=2)[1], jnp.argsort(x, 0), lax.sort((x.imag, y), num_keys=2)),
    lambda x, y: (x.at[jnp.array([1, 1, 4])].multiply(y[:3]), x.at[:, jnp.array([1, 2])].max(y[:, :2])),
    lambda x, y: x.at[jnp.array([3, 3, 1]), jnp.array([2, 2, 0])].min(y[0, :3]),
    lambda x, y: lax.iota(x.dtype, 7) * 2,
    lambda x, y: wengert.grad(lambda z: jnp.sum(jnp.abs(jnp.log(z) * jnp.sqrt(z))))(x),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", range(len(NATIVE)))
def test_nothing_calls_numpy_and_all_equals_impl(dtype: str, number: int) -> None:
    fun = NATIVE[number]
    x, y = numbers(6, 70).astype(dtype), numbers(6, 70)[::-1].astype(dtype)
    stays_inside(fun, x, y)
    expected = wengert.tree.leaves(fun(jnp.asarray(x), jnp.asarray(y)))
    for found, wanted in zip(wengert.tree.leaves(wengert.jit(fun)(x, y)), expected, strict=True):
        assert found.dtype == wanted.dtype
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=scale * (1e-4 if dtype == "complex64" else 1e-12)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [10, 400])
def test_sort_keys_with_nan_infinities_and_zeros(dtype: str, n: int) -> None:
    values = np.random.default_rng(1).choice([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf], (2, 3, n))
    z = (np.zeros((3, n)) + 0j).astype(dtype)
    z.real, z.imag = values
    place = np.broadcast_to(np.arange(n), (3, n))
    wanted = np.argsort(z, 1, kind="stable")
    found, order = wengert.jit(lambda z, i: lax.sort((z, i), dimension=1))(z, place)
    np.testing.assert_array_equal(order, wanted)
    alone = np.asarray(wengert.jit(lambda z: lax.sort(z, 1))(z))
    assert np.asarray(found).tobytes() == np.take_along_axis(z, wanted, 1).tobytes() == alone.tobytes()


@pytest.mark.parametrize("size", [17, 40000, 65537])
def test_products_of_many(size: int) -> None:
    z = np.exp(1j * np.random.default_rng(2).uniform(-3, 3, size))
    found = complex(wengert.jit(jnp.prod)(z))
    assert abs(found - np.exp(1j * np.angle(z).sum())) < 1e-16 * size * 4


# ------------------------------------------------------------------------------------------- sums of products


@pytest.mark.parametrize(
    "name", ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
)
def test_products_of_integer_matrices(name: str) -> None:
    rng = np.random.default_rng(3)
    dtype = np.dtype(name)
    for a, b in (((5, 3), (3, 4)), ((40, 50), (50, 33)), ((3, 16, 20), (3, 20, 9))):
        info = (0, 1) if name == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        x, y = (
            rng.integers(*info, s, dtype=dtype if name != "bool" else np.int8, endpoint=True).astype(dtype)
            for s in (a, b)
        )
        for element in (None, np.int32, np.uint16, np.int64):

            def fun(x: Any, y: Any, element: Any = element) -> Any:
                return jnp.matmul(x, y, preferred_element_type=element)

            stays_inside(fun, x, y)
            out = dtype if element is None else np.dtype(element)
            np.testing.assert_array_equal(wengert.jit(fun)(x, y), np.matmul(x.astype(out), y.astype(out)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "formula", ["ij,kj->ijk", "aij,jak->aik", "ijk,jkl->il", "ik,jk->ij", "zi,zj->zij", "i,j->ij"]
)
@pytest.mark.parametrize("size", [3, 40])
def test_all_ways_to_contract(formula: str, dtype: str, size: int) -> None:
    first, second = formula.split("->")[0].split(",")
    sizes = dict(zip("azijkl", (3, 5, size, size + 1, 9, size + 2), strict=True))
    x, y = (numbers(*(sizes[c] for c in letters)).astype(dtype) for letters in (first, second))

    def fun(x: Any, y: Any) -> Any:
        return jnp.einsum(formula, x, y * 2)

    stays_inside(fun, x, y)
    wanted = np.einsum(formula, x, y * 2)
    bound = 100 * np.finfo(dtype).eps * np.abs(wanted).max()
    np.testing.assert_allclose(wengert.jit(fun)(x, y), wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_real_factors_of_complex_products(dtype: str) -> None:
    x, y = numbers(12, 30).real.astype(np.float32), numbers(30, 20).real.astype(np.float32)
    for a, b in ((x, y), (x[:2, :2], y[:2, :2])):

        def fun(a: Any, b: Any) -> Any:
            return jnp.matmul(a, b, preferred_element_type=dtype)

        stays_inside(fun, a, b)
        found = np.asarray(wengert.jit(fun)(a, b))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, a @ b, rtol=1e-4, atol=1e-4)
