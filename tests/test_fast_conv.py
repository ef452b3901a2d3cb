"""Convolutions with fewer multiplications: errors are within those of sums, and each method serves where it should."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import signal

import wengert
from wengert import lax
from wengert.compiler import convolve, winograd
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import Call, Loop, Stmt, Store
from wengert.compiler.memory import accessed
from wengert.compiler.pipeline import compile_jaxpr
from wengert.compiler.rewrite import statements
from wengert.config import current
from wengert.prims import fast_convolution
from wengert.test_util import check_grads

jnp = wengert.numpy
Params = dict[str, Any]


def normal(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def exact(x: Any, k: Any, params: Params) -> Any:
    """By the definition, with numbers of twice the length."""
    wide = [a.astype({"f": np.float64, "c": np.complex128}.get(a.dtype.kind, np.float64)) for a in (x, k)]
    with wengert.enable_x64(True):
        return np.asarray(lax.conv_general_dilated(*wide, **params))


def compiled(x: Any, k: Any, params: Params) -> Any:
    return np.asarray(wengert.jit(lambda x, k: lax.conv_general_dilated(x, k, **params))(x, k))


def terms_of(k: Any, params: Params) -> int:
    """How many products are summed up for one result."""
    numbers = params.get("dimension_numbers") or ("NCHW", "OIHW", "NCHW")
    return k.size // k.shape[numbers[1].index("O")]


def check(x: Any, k: Any, params: Params, plain_errors: float = 2.0) -> None:
    """The error is at most so many times that of a sum in order, whose root mean square is known for normal numbers.

    After i of n terms a sum is about sqrt(i) large, and rounded by up to eps / 2 of the next power of two: evenly
    spread, that is an error of 0.21 eps sqrt(i) or so. These add up to 0.15 eps n.
    """
    error = compiled(x, k, params).astype(np.float64) - exact(x, k, params)
    n = terms_of(k, params)
    limit = plain_errors * 0.15 * np.finfo(x.dtype).eps * n
    assert np.sqrt((error**2).mean()) < limit
    assert np.abs(error).max() < 10 * limit


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[winograd.Plan]]:
    """Minimal filtering wherever it can be used; the plans."""
    plans: list[winograd.Plan] = []
    choose = winograd.choose

    def free(problem: winograd.Problem) -> winograd.Plan | None:
        found = choose(problem)
        if found is not None:
            plans.append(found._replace(cycles=0.0))
            return plans[-1]
        return None

    monkeypatch.setattr(convolve.winograd, "choose", free)
    monkeypatch.setattr(winograd, "_BLOCK_BYTES", 1 << 14)  # so that there are several blocks
    monkeypatch.setattr(winograd, "_FEWEST", 2)
    monkeypatch.setattr(winograd, "_CHANNELS", 1)
    choose.cache_clear()
    before = current().compilation_cache
    wengert.config.update("compilation_cache", False)
    yield plans
    wengert.config.update("compilation_cache", before)
    choose.cache_clear()


# ---------------------------------------------------------------------------------------- minimal filtering


@pytest.mark.parametrize(("taps", "stride"), [(2, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("results", [2, 4])
def test_filters_are_convolutions(results: int, taps: int, stride: int) -> None:
    f = winograd.minimal(results, taps, stride)
    rng = np.random.default_rng(0)
    data, kernel = rng.integers(-9, 10, f.data.shape[1]), rng.integers(-9, 10, taps)
    found = f.result @ ((f.kernel @ kernel) * (f.data @ data))
    assert f.points < results * taps
    np.testing.assert_allclose(found, np.correlate(data, kernel, "valid")[::stride], rtol=0, atol=1e-12)


LAST = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize(
    ("images", "kernels", "params"),
    [
        ((8, 32, 32, 64), (3, 3, 64, 64), {"dimension_numbers": LAST}),
        ((2, 64, 29, 31), (48, 64, 3, 3), {}),
        ((3, 14, 14, 128), (3, 3, 128, 128), {"dimension_numbers": LAST, "padding": "VALID"}),
        ((4, 500, 64), (3, 64, 64), {"dimension_numbers": ("NWC", "WIO", "NWC")}),
        ((8, 56, 56, 64), (3, 3, 64, 128), {"dimension_numbers": LAST, "window_strides": (2, 2)}),
        ((2, 32, 32, 64), (2, 2, 64, 64), {"dimension_numbers": LAST}),
    ],
)
def test_layers_of_networks(images: Any, kernels: Any, params: Params) -> None:
    params = {"window_strides": (1,) * (len(images) - 2), "padding": "SAME", **params}
    x, k = normal(images), normal(kernels, seed=1)
    check(x, k, params)
    jaxpr = wengert.make_jaxpr(lambda x, k: lax.conv_general_dilated(x, k, **params))(x, k)
    products = math.prod((*jaxpr.out_avals[0].shape, terms_of(k, params)))
    assert multiplications(compile_jaxpr(jaxpr.jaxpr).program.body) < 0.75 * products


def multiplications(body: list[Stmt], times: float = 1.0) -> float:
    """How many products are added up."""
    total = 0.0
    for stmt in body:
        if hasattr(stmt, "axis"):
            total += multiplications(stmt.body, times * (stmt.hi - stmt.lo))
        elif type(stmt).__name__ == "Accumulate":
            total += times
    return total


def random_problem(seed: int) -> tuple[tuple[int, ...], tuple[int, ...], Params]:
    rng = np.random.default_rng(seed)
    space = int(rng.choice([1, 2, 2, 2, 3]))
    letters = "DHW"[3 - space :]
    window = [int(rng.choice([2, 3])), *(int(rng.choice([1, 2, 3, 3])) for _ in range(space - 1))]
    rng.shuffle(window)
    sizes = [int(rng.integers(3, 14 if space < 3 else 8)) for _ in range(space)]
    padding = [(int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in range(space)]
    specs = [pair + letters for pair in ("NC", "OI", "NC")]
    if rng.random() < 0.4:
        specs = ["N" + letters + "C", letters + "IO", "N" + letters + "C"]
    elif rng.random() < 0.4:
        specs = ["".join(rng.permutation(list(s))) for s in specs]
    n, c, o = (int(rng.integers(1, most)) for most in ((20, 40, 70) if space < 3 else (4, 9, 20)))
    where = dict(zip(letters, range(space), strict=True))
    lhs = {"N": n, "C": c} | {a: sizes[i] for a, i in where.items()}
    rhs = {"O": o, "I": c} | {a: window[i] for a, i in where.items()}
    order = [where[a] for a in specs[1] if a in where]
    strides = [1 if window[i] == 2 else int(rng.choice([1, 2])) for i in order]
    params = {"window_strides": strides, "padding": padding, "dimension_numbers": tuple(specs)}
    return tuple(lhs[a] for a in specs[0]), tuple(rhs[a] for a in specs[1]), params


@pytest.mark.parametrize("seed", range(12))
def test_any_tiles(seed: int, always: list[winograd.Plan]) -> None:
    """Odd sizes, paddings, orders of axes, mixed kernels: tiles that are cut off, blocks that are left over."""
    images, kernels, params = random_problem(seed)
    dtype = [np.float32, np.float64][seed % 2]
    with wengert.enable_x64(dtype == np.float64):
        x, k = normal(images, dtype), normal(kernels, dtype, 1)
        found = compiled(x, k, params)
    assert always
    # few terms: what the matrices themselves round counts as well
    limit = 4 * np.finfo(dtype).eps * (terms_of(k, params) + 20)
    np.testing.assert_allclose(found, exact(x, k, params), rtol=0, atol=limit)


@pytest.mark.parametrize("seed", range(30, 32))
def test_interpreted(seed: int, always: list[winograd.Plan]) -> None:
    images, kernels, params = random_problem(seed)
    x, k = normal(images)[:3], normal(kernels, seed=1)
    if x.size * k.size > 2e5 or params["dimension_numbers"][0][0] != "N":
        x, k = normal((3, 2, 5, 7)), normal((5, 2, 3, 3), seed=1)
        params = {"window_strides": (1, 1), "padding": "SAME"}
    closed = wengert.make_jaxpr(lambda x, k: lax.conv_general_dilated(x, k, **params))(x, k)
    program = compile_jaxpr(closed.jaxpr).program
    assert always
    (found,) = interpret(program, [x, k])
    limit = 4 * np.finfo(np.float32).eps * (terms_of(k, params) + 20)
    np.testing.assert_allclose(found, exact(x, k, params), rtol=0, atol=limit)


def test_derivatives_and_batches(always: list[winograd.Plan]) -> None:
    x, k = normal((2, 7, 6, 5)), normal((3, 3, 5, 4), seed=1)
    params = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": LAST}

    def f(x: Any, k: Any) -> Any:
        return lax.conv_general_dilated(x, k, **params)

    check_grads(wengert.jit(f), (x, k), order=1, atol=2e-2, rtol=2e-2)
    before = len(always)
    back = wengert.jit(lambda ct, k: wengert.vjp(f, x, k)[1](ct)[0])(normal((2, 7, 6, 4), seed=2), k)
    assert len(always) > before, "the gradient with respect to the images is such a convolution too"
    with wengert.enable_x64(True):
        wide = [a.astype(np.float64) for a in (x, k, normal((2, 7, 6, 4), seed=2))]
        expected = wengert.vjp(f, wide[0], wide[1])[1](wide[2])[0]
    np.testing.assert_allclose(back, expected, rtol=0, atol=1e-4)
    many = normal((3, 2, 7, 6, 5), seed=3)
    found = wengert.jit(wengert.vmap(f, (0, None)))(many, k)
    for one, images in zip(found, many, strict=True):
        np.testing.assert_allclose(one, exact(images, k, params), rtol=0, atol=1e-4)


def test_kernels_are_prepared_before_a_scan(always: list[winograd.Plan]) -> None:
    x, k = normal((1, 4, 8, 8)), normal((4, 4, 3, 3), seed=1) / 6

    def layers(x: Any, k: Any) -> Any:
        def step(x: Any, _: Any) -> Any:
            return lax.conv_general_dilated(x, k, (1, 1), "SAME"), None

        return lax.scan(step, x, None, length=5)[0]

    closed = wengert.make_jaxpr(layers)(x, k)
    program = compile_jaxpr(closed.jaxpr).program
    assert always
    loop = next(s for s in program.body if type(s).__name__ == "Loop")
    inside = {s.buffer for s in statements(loop.body) if isinstance(s, Store)}
    outside = {
        s.buffer for s in statements([s for s in program.body if s is not loop]) if isinstance(s, Store)
    }
    assert any(b not in inside and b.size >= 16 * k.size / 9 for b in outside)
    expected = x.astype(np.float64)
    for _ in range(5):
        expected = exact(expected, k.astype(np.float64), {"window_strides": (1, 1), "padding": "SAME"})
    np.testing.assert_allclose(wengert.jit(layers)(x, k), expected, rtol=0, atol=1e-4)


def test_plain_sums_on_demand() -> None:
    """With the highest precision what is infinite reaches only the results that see it."""
    x, k = normal((1, 64, 16, 16)), normal((64, 64, 3, 3), seed=1)
    x[0, 0, 4, 4] = np.inf
    params = {"window_strides": (1, 1), "padding": "SAME", "precision": "highest"}
    infinite = ~np.isfinite(compiled(x, k, params))
    assert infinite.sum() == 9 * 64
    np.testing.assert_array_equal(infinite, ~np.isfinite(exact(x, k, params)))


# ------------------------------------------------------------------------------------------ Fourier transforms


def transforms(params: Params, x: Any, k: Any) -> list[str]:
    """The transforms that a convolution is compiled to."""
    closed = wengert.make_jaxpr(lambda x, k: lax.conv_general_dilated(x, k, **params))(x, k)
    jaxpr = compile_jaxpr(closed.jaxpr).jaxpr
    return [e.params["fft_type"].name for e in jaxpr.eqns if e.primitive.name == "fft"]


FOURIER: list[tuple[tuple[int, ...], tuple[int, ...], Params]] = [
    ((1, 1, 30_000), (1, 1, 2_001), {}),  # in parts
    ((1, 1, 4_000), (1, 1, 3_000), {"padding": [(2_999, 2_999)]}),  # whole
    ((2, 2, 8_000), (3, 2, 1_000), {"padding": "VALID"}),
    ((1, 1, 140, 130), (1, 1, 45, 45), {}),
    ((2, 4, 6_001), (8, 1, 1_501), {"feature_group_count": 4}),
    ((1, 1, 60_000), (1, 1, 3_000), {"window_strides": (2,)}),
    ((1, 1, 20_000), (1, 1, 4_000), {"rhs_dilation": (2,), "padding": [(-7, 5_011)]}),
    ((1, 20_000, 2), (1_500, 2, 2), {"dimension_numbers": ("NWC", "WIO", "CNW")}),
]


@pytest.mark.parametrize(("images", "kernels", "params"), FOURIER)
def test_large_kernels(images: Any, kernels: Any, params: Params) -> None:
    params = {"window_strides": (1,) * (len(images) - 2), "padding": "SAME", **params}
    x, k = normal(images), normal(kernels, seed=1)
    assert transforms(params, x, k) == ["RFFT", "RFFT", "IRFFT"]
    closed = wengert.make_jaxpr(lambda x, k: lax.conv_general_dilated(x, k, **params))(x, k)
    with wengert.enable_x64(True):
        wide = [a.astype(np.float64) for a in (x, k)]
        expected = np.asarray(lax.conv_general_dilated(*wide, **params))
        doubles = compiled(*wide, params)
    n = terms_of(k, {"dimension_numbers": (None, "OIHW", None), **params})
    found = compiled(x, k, params)
    assert found.shape == closed.out_avals[0].shape
    # errors of transforms are eps times some levels of the size of the results, sqrt(n)
    levels, eps = 2 * math.log2(4 * max(images)) * math.sqrt(n), np.finfo(np.float64).eps
    assert np.abs(found - expected).max() < np.finfo(np.float32).eps * levels
    assert np.abs(doubles - expected).max() < eps * (levels + 1.5 * n)  # the sum is not exact either


@pytest.mark.parametrize(
    ("images", "kernels", "params", "dtype"),
    [
        ((1, 1, 100_000), (1, 1, 101), {}, np.float32),
        ((8, 16, 32, 32), (16, 16, 5, 5), {}, np.float32),
        ((1, 1, 30_000), (1, 1, 2_001), {}, np.int32),
        ((1, 1, 30_000), (1, 1, 2_001), {"precision": lax.Precision.HIGHEST}, np.float32),
    ],
)
def test_where_sums_stay(images: Any, kernels: Any, params: Params, dtype: Any) -> None:
    params = {"window_strides": (1,) * (len(images) - 2), "padding": "SAME", **params}
    assert transforms(params, np.zeros(images, dtype), np.zeros(kernels, dtype)) == []


def test_long_signals() -> None:
    """convolve and its derivative, which has the signal for a kernel."""
    a, b = normal((20_000,)), normal((3_000,), seed=1)
    expected = signal.fftconvolve(a.astype(np.float64), b.astype(np.float64))
    found = wengert.jit(jnp.convolve)(a, b)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7 * 16 * math.sqrt(3_000))
    weights = normal(expected.shape, seed=2)
    gradient = wengert.jit(wengert.grad(lambda b: (jnp.convolve(a, b) * weights).sum()))(b)
    expected = signal.correlate(weights.astype(np.float64), a.astype(np.float64), "valid")
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-7 * 16 * math.sqrt(20_000))


# ---------------------------------------------------------------------------------------------- other numbers


@pytest.mark.parametrize(
    "dtype", ["complex64", "complex128", "bfloat16", "float16", "int8", "uint16", "int64"]
)
def test_other_numbers(dtype: str) -> None:
    """Compiled without a call of `impl`, and equal to it, for small whole numbers exactly."""
    params = {"window_strides": (2, 1), "padding": "SAME", "rhs_dilation": (1, 2)}
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> Any:
        real, imaginary = rng.integers(0 if dtype[0] == "u" else -2, 3, (2, *shape))
        return jnp.asarray(real + 1j * imaginary if dtype[0] == "c" else real).astype(dtype)

    with wengert.enable_x64(dtype in ("complex128", "int64")):
        x, k = numbers(2, 3, 9, 8), numbers(4, 3, 3, 2)
        closed = wengert.make_jaxpr(lambda x, k: lax.conv_general_dilated(x, k, **params))(x, k)
        body = compile_jaxpr(closed.jaxpr).program.body
        assert not any(isinstance(s, Call) for s in statements(body))
        expected = lax.conv_general_dilated(x, k, **params)
        found = wengert.jit(lambda x, k: lax.conv_general_dilated(x, k, **params))(x, k)
        assert found.dtype == expected.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_sixteen_bits_are_summed_in_single() -> None:
    """One rounding, of the result: 500 ones and halves of ulps do not get lost."""
    x, k = jnp.ones((1, 64, 8, 8), jnp.bfloat16), jnp.full((32, 64, 3, 3), 1.0078125, jnp.bfloat16)
    found = wengert.jit(lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "VALID"))(x, k)
    assert (
        np.asarray(found).astype(np.float32) == np.asarray(jnp.asarray(576 * 1.0078125, jnp.bfloat16))
    ).all()


def test_small_parts_of_complex_numbers() -> None:
    """Each part is as exact as its own terms: four real sums, not three."""
    x = normal((1, 1, 200)) + 1j * np.float32(1e-20) * normal((1, 1, 200), seed=1)
    k = normal((1, 1, 20), seed=2).astype(np.complex64)
    found = compiled(x.astype(np.complex64), k, {"window_strides": (1,), "padding": "VALID"})
    for part in ("real", "imag"):
        expected = np.correlate(
            getattr(x[0, 0], part).astype(np.float64), k[0, 0].real.astype(np.float64), "valid"
        )
        scale = np.abs(getattr(x, part)).max()
        np.testing.assert_allclose(getattr(found[0, 0], part), expected, rtol=0, atol=2e-5 * scale)


def test_lengths_of_transforms() -> None:
    for n in range(1, 400):
        found = fast_convolution._smooth(n)
        rest = found
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        assert rest == 1, n
        assert n <= found <= 2 * n


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 40), (48, 33), (64, 64)])
def test_filters_along_three_axes_go_axis_by_axis(inputs: int, outputs: int) -> None:
    x, k = normal((2, 5, 6, 7, inputs)), normal((3, 3, 3, inputs, outputs), seed=1)
    layout = ("NDHWC", "DHWIO", "NDHWC")
    found, exact = (
        np.asarray(
            wengert.jit(
                lambda x, k, p=precision: lax.conv_general_dilated(
                    x, k, (1, 1, 1), "SAME", dimension_numbers=layout, precision=p
                )
            )(x, k)
        )
        for precision in (None, lax.Precision.HIGHEST)
    )
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(found, exact, atol=2e-6 * np.abs(exact).max())


def test_kernels_at_points_leave_a_loop_that_does_not_change_them() -> None:
    def run(x: Any, k: Any) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")

        def step(c: Any, _: Any) -> Any:
            return lax.conv_general_dilated(c, k, (1, 1), "SAME", dimension_numbers=layout), None

        return lax.scan(step, x, None, length=3)[0]

    x, k = normal((1, 8, 8, 64)), normal((3, 3, 64, 64))
    program = compile_jaxpr(wengert.jit(run).trace(x, k).jaxpr.jaxpr).program
    (kernels,) = [buffer for buffer in program.args if buffer.shape == k.shape]
    loop = next(s for s in program.body if isinstance(s, Loop))
    assert kernels in {b for s in statements(program.body) for b in accessed(s)}
    assert kernels not in {b for s in statements(loop.body) for b in accessed(s)}
