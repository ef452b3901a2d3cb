"""Ragged and scaled products, convolutions with a kernel for each place, named functions, and options of lax."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import wengert
from wengert import lax, nn, numpy as jnp
from wengert.test_util import check_grads

rng = np.random.default_rng(3)


def normal(*shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


def close(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-5)


# ---------------------------------------------------------------------------------------------- ragged products

Numbers = lax.RaggedDotDimensionNumbers
SIZES = np.array([2, 0, 2])


def by_groups(lhs: Any, rhs: Any, sizes: Any) -> Any:
    out, start = np.zeros((lhs.shape[0], rhs.shape[2]), np.float64), 0
    for matrix, size in zip(rhs, sizes, strict=True):
        out[start : start + size] = lhs[start : start + size] @ matrix
        start += size
    return out


def test_ragged_dot() -> None:
    lhs, rhs = normal(5, 3), normal(3, 3, 2)
    close(lax.ragged_dot(lhs, rhs, SIZES), by_groups(lhs, rhs, SIZES))
    close(wengert.jit(lax.ragged_dot)(lhs, rhs, np.array([1, 4, 0])), by_groups(lhs, rhs, [1, 4, 0]))
    found = wengert.vmap(lax.ragged_dot, (None, None, 0))(lhs, rhs, np.stack([SIZES, SIZES[::-1]]))
    close(found[1], by_groups(lhs, rhs, SIZES[::-1]))
    half = lax.ragged_dot(lhs, rhs, SIZES, precision="highest", preferred_element_type=jnp.bfloat16)
    assert half.dtype == ml_dtypes.bfloat16
    some = lax.ragged_dot(lhs, rhs[:2], np.array([1, 2, 2]), group_offset=1)
    close(some, by_groups(lhs, np.concatenate([np.zeros((1, 3, 2)), rhs[:2]]), [1, 2, 2]))
    with wengert.enable_x64(True):
        wide = lhs.astype(np.float64), rhs.astype(np.float64)
        check_grads(lambda a, b: lax.ragged_dot(a, b, SIZES), wide, order=2, modes=["rev"])


def test_ragged_dot_general_with_batches_and_lists_of_sizes() -> None:
    lhs, rhs = normal(4, 5, 3), normal(3, 4, 3, 2)
    sizes = np.array([[2, 1, 1], [0, 1, 4], [5, 0, 0], [1, 1, 1]])
    found = lax.ragged_dot_general(lhs, rhs, sizes, Numbers((((2,), (2,)), ((0,), (1,))), [1], [0]))
    close(found, [by_groups(x, rhs[:, i], s) for i, (x, s) in enumerate(zip(lhs, sizes, strict=True))])


def test_ragged_dot_general_over_the_contracted_axis() -> None:
    lhs, rhs = normal(6, 4), normal(6, 2)
    found = lax.ragged_dot_general(lhs, rhs, np.array([1, 3]), Numbers((((0,), (0,)), ((), ())), [0], []))
    close(found, [lhs[:1].T @ rhs[:1], lhs[1:4].T @ rhs[1:4]])
    batched = lax.ragged_dot_general(
        lhs[None], rhs[None], np.array([1, 3]), Numbers((((1,), (1,)), ((0,), (0,))), [1], [])
    )
    close(batched[:, 0], found)


def test_ragged_dot_general_over_a_batch_axis() -> None:
    lhs, rhs = normal(4, 5, 3), normal(4, 3, 2)
    numbers = Numbers((((2,), (1,)), ((0,), (0,))), [0], [])
    close(lax.ragged_dot_general(lhs, rhs, np.array([1, 2]), numbers), lhs @ rhs)
    assert numbers == Numbers((((2,), (1,)), ((0,), (0,))), (0,), ())
    assert "lhs_ragged_dimensions=(0,)" in repr(numbers)


def test_ragged_dot_says_what_is_wrong() -> None:
    lhs, rhs = normal(5, 3), normal(3, 3, 2)
    basic = ((1,), (1,)), ((), ())
    cases: list[tuple[Any, str]] = [
        (lambda: lax.ragged_dot(lhs, rhs, SIZES.astype(np.float32)), "subtype of np.integer"),
        (lambda: lax.ragged_dot(lhs, rhs, SIZES[:2]), "expected rhs group dimension size to be 2, got 3"),
        (
            lambda: lax.ragged_dot_general(lhs, rhs, SIZES, Numbers(basic, [0, 1], [0])),
            "exactly one lhs ragged",
        ),
        (lambda: lax.ragged_dot_general(lhs, rhs, SIZES, Numbers(basic, [0], [])), "exactly one rhs group"),
        (
            lambda: lax.ragged_dot_general(lhs, rhs[0], SIZES, Numbers(basic, [1], [0])),
            "zero group dimensions",
        ),
        (lambda: lax.ragged_dot(lhs, rhs, np.stack([SIZES] * 2)), "expected group_sizes to have shape"),
    ]
    for call, message in cases:
        with pytest.raises(TypeError, match=message):
            call()


# ---------------------------------------------------------------------------------------------- scaled products


def test_scaled_dot() -> None:
    lhs, rhs = normal(2, 4, 8), normal(2, 8, 3)
    scale = np.exp2(rng.integers(-2, 3, (2, 4, 2))).astype(np.float32)  # powers of two are exact
    halves = [x.astype(ml_dtypes.bfloat16).astype(np.float32) for x in (lhs, rhs)]
    found = lax.scaled_dot(lhs, rhs, lhs_scale=scale, preferred_element_type=np.float32)
    close(found, (halves[0] * np.repeat(scale, 4, axis=2)) @ halves[1])
    assert lax.scaled_dot(lhs, rhs).dtype == ml_dtypes.bfloat16
    with pytest.raises(TypeError, match="lhs_scale of shape"):
        lax.scaled_dot(lhs, rhs, lhs_scale=scale[:, :2])
    with pytest.raises(TypeError, match="1-rank"):
        lax.scaled_dot(lhs[0, 0], rhs[0])


def test_scaled_matmul() -> None:
    a, b, s, t = normal(2, 3, 64), normal(2, 5, 64), normal(2, 3, 4), normal(2, 5, 4)
    expected = np.einsum("bmk,bnk->bmn", a * np.repeat(s, 16, -1), b * np.repeat(t, 16, -1))
    close(nn.scaled_matmul(a, b, s, t), expected, 1e-4)
    for bad, message in (
        ((a[0], b, s, t), "3-dimensional"),
        ((a, b[..., :32], s, t), "inputs a and b"),
        ((a, b, s, t[..., :2]), "scales to have matching"),
        ((a, b, t, s), "non-contract"),
    ):
        with pytest.raises(ValueError, match=message):
            nn.scaled_matmul(*bad)


@pytest.mark.parametrize(("mode", "bits"), [("mxfp8", 3), ("mxfp4", 1), ("nvfp4", 1)])
def test_scaled_dot_general(mode: str, bits: int) -> None:
    """The product of operands that have lost all but some bits of their fractions."""
    config = nn.get_scaled_dot_general_config(mode)
    x, y = normal(2, 32, 64), normal(2, 64, 32)
    dims = (((2,), (1,)), ((0,), (0,)))

    def product(x: Any, y: Any) -> Any:
        return nn.scaled_dot_general(x, y, dims, configs=[config] * 3)

    found, exact = product(x, y), x @ y
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert 2.0 ** -(bits + 4) < error < 2.0 ** -(bits + 0.5)
    ct = normal(2, 32, 32)
    slopes = wengert.vjp(product, x, y)[1](ct)
    for slope, expected in zip(slopes, (ct @ y.swapaxes(1, 2), x.swapaxes(1, 2) @ ct), strict=True):
        assert np.linalg.norm(slope - expected) <= 2.0 ** -(bits + 0.5) * np.linalg.norm(expected)
    # small integers times one power of two for each block are exact
    small = rng.integers(-2, 3, (1, 32, 64)).astype(np.float32)
    small[..., ::16] = 6.0 if mode != "mxfp8" else 448.0
    close(
        nn.scaled_dot_general(small, small, (((2,), (2,)), ((0,), (0,))), configs=[config] * 3),
        small @ small.swapaxes(1, 2),
    )
    zeros = nn.scaled_dot_general(np.zeros_like(x), y, dims, configs=[config] * 3)
    np.testing.assert_array_equal(zeros, np.zeros((2, 32, 32)))


def test_scaled_dot_general_options() -> None:
    x, y = normal(64, 32), normal(32, 64)
    dims = (((0,), (1,)), ((), ()))
    close(nn.scaled_dot_general(x, y, dims), x.T @ y.T, 1e-4)
    config = nn.get_scaled_dot_general_config("mxfp8")
    half = nn.scaled_dot_general(x, y, dims, np.float16, [config] * 3)
    assert (half.dtype, half.shape) == (np.float16, (32, 32))
    scaled = nn.get_scaled_dot_general_config("nvfp4", jnp.full(1, 0.5))
    assert (scaled.block_size, scaled.data_type.name, scaled.scale_type.name) == (
        16,
        "float4_e2m1fn",
        "float8_e4m3fn",
    )
    with pytest.raises(ValueError, match="Unsupported mode: fp4"):
        nn.get_scaled_dot_general_config("fp4")
    with pytest.raises(ValueError, match="does not use a global_scale"):
        nn.get_scaled_dot_general_config("mxfp4", jnp.ones(1))
    with pytest.raises(ValueError, match="blocks of 32 elements, but there are 20"):
        nn.scaled_dot_general(x[:20], y[:, :20], dims, configs=[config] * 3)
    with pytest.raises(TypeError, match="preferred_element_type"):
        nn.scaled_dot_general(x, y, dims, np.float64, [config] * 3)


# ------------------------------------------------------------------------------------------------- convolutions


def test_conv_general_dilated_local() -> None:
    x, kernels = normal(2, 3, 7, 6), normal(4, 3 * 6, 3, 3)
    found = lax.conv_general_dilated_local(x, kernels, (2, 2), "VALID", (3, 2))
    assert found.shape == (2, 4, 3, 3)
    for i in range(3):
        for j in range(3):
            window = x[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 2].reshape(2, -1)
            close(found[:, :, i, j], window @ kernels[:, :, i, j].T)
    letters = ("NHWC", "HWIO", "NHWC")
    moved = lax.conv_general_dilated_local(
        x.transpose(0, 2, 3, 1),
        kernels.transpose(2, 3, 1, 0),
        (2, 2),
        "VALID",
        (3, 2),
        dimension_numbers=letters,
    )
    close(moved, found.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("padding", ["SAME", "VALID", [(1, 1), (0, 2)]])
def test_conv_transpose_shape_tuple(padding: Any) -> None:
    letters = ("NHWC", "HWIO", "NHWC")
    out = lax.conv_transpose(
        normal(2, 5, 6, 3), normal(3, 2, 3, 4), (2, 3), padding, dimension_numbers=letters
    )
    assert lax.conv_transpose_shape_tuple((2, 5, 6, 3), (3, 2, 3, 4), (2, 3), padding, letters) == out.shape
    swapped = lax.conv_transpose_shape_tuple(
        (2, 5, 6, 3), (3, 2, 3, 4), (2, 3), padding, ("NHWC", "HWIO", "NCHW")
    )
    assert swapped == (out.shape[0], out.shape[3], *out.shape[1:3])


# ------------------------------------------------------------------------------ named functions, platforms, traces


def test_composite() -> None:
    scaled = lax.composite(lambda x, *, by=1.0, of=None: (jnp.sin(x) * by, x), "test.scaled", 2)
    text = str(wengert.make_jaxpr(lambda x: scaled(x, by=3.0, of=None))(1.0))
    assert "composite[" in text
    assert "name=test.scaled" in text
    assert "version=2" in text
    assert "attributes=(('by', 3.0),)" in text
    close(wengert.jit(lambda x: scaled(x, by=3.0)[0])(0.5), 3 * np.sin(0.5))
    assert wengert.grad(lambda x: scaled(x, by=3.0)[0])(0.5) == pytest.approx(3 * np.cos(0.5), rel=1e-6)
    close(wengert.vmap(lambda x: scaled(x)[0])(np.ones(2)), np.full(2, np.sin(1)))
    outer = jnp.float32(2)
    close(lax.composite(lambda x: x * outer, "test.outer")(3.0), 6)


def test_platform_dependent() -> None:
    double, negative = (lambda x: 2 * x), (lambda x: -x)
    assert lax.platform_dependent(3.0, cpu=double, default=negative) == 6
    assert wengert.jit(lambda x: lax.platform_dependent(x, cuda=double, default=negative))(3.0) == -3
    with pytest.raises(NotImplementedError, match=r"functions for cuda, but the platform is cpu.*cpu=\.\.\."):
        lax.platform_dependent(3.0, cuda=double)
    with pytest.raises(TypeError, match=r"(outputs must have)|(output types)"):
        lax.platform_dependent(3.0, cpu=double, default=lambda x: jnp.ones(2))


def test_dce_sink() -> None:
    def f(x: Any) -> Any:
        lax.dce_sink({"twice": 2 * x})
        return x

    assert "dce_sink" in str(wengert.make_jaxpr(f)(1.0))
    assert "mul" in str(wengert.make_jaxpr(wengert.jit(f))(1.0))
    assert wengert.jit(f)(1.0) == f(1.0) == wengert.grad(f)(1.0) == 1
    close(wengert.vmap(f)(np.ones(2)), np.ones(2))


def test_small_functions() -> None:
    assert lax.empty((2, 3), np.int32).shape == (2, 3)
    np.testing.assert_array_equal(lax.shape_as_value((2, 3)), [2, 3])
    assert lax.shape_as_value(()).shape == (0,)
    assert isinstance(lax.stage(1.0), wengert.Array)
    assert lax.dtype(1.0) == lax.dtype(np.float64) == lax.dtype("float64") == np.float32
    assert lax.dtype(np.arange(3)) == np.int32
    assert lax.Tolerance(1e-3) == lax.Tolerance(atol=1e-3)
    assert lax.exp(1.0, accuracy=lax.Tolerance(rtol=1e-5)) == lax.exp(1.0, accuracy=lax.AccuracyMode.HIGHEST)
    with pytest.raises(ValueError, match="non-negative"):
        lax.Tolerance(-1.0)


def test_precisions() -> None:
    x = normal(3, 3)
    algorithm = lax.DotAlgorithm(np.float32, np.float32, np.float32)
    assert algorithm.num_primitive_operations == 1
    assert lax.DotAlgorithmPreset.BF16_BF16_F32_X3.accumulation_type == np.float32
    assert lax.DotAlgorithmPreset.ANY_F8_ANY_F8_ANY.accumulation_type is None
    assert lax.Precision("tensorfloat32") is lax.Precision.HIGH
    for precision in ("highest", ("high", None), "F32_F32_F32", lax.DotAlgorithmPreset.DEFAULT, algorithm):
        close(lax.dot(x, x, precision=precision), x @ x)
    for wrong in ("exact", 3, ("high",), ("high", "exact")):
        with pytest.raises(ValueError, match="Precision argument must be one of"):
            lax.dot(x, x, precision=wrong)


# ------------------------------------------------------------------------------------------------------ options


def test_cond_by_keywords_and_in_its_older_form() -> None:
    assert lax.cond(pred=False, true_fun=lambda x: x, false_fun=lambda x: -x, operand=3.0) == -3
    assert lax.cond(True, 1.0, lambda x: x + 1, 2.0, lambda x: x - 1) == 2
    assert lax.cond(False, 1.0, lambda x: x + 1, 2.0, lambda x: x - 1) == 1


def test_reduce_uses_the_initial_value_once() -> None:
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    close(lax.reduce(x, np.float32(3), lambda a, b: a + b, (0,)), x.sum(0) + 3)
    close(lax.reduce(x[:0], np.float32(2), lambda a, b: a + b, (0,)), [2, 2, 2])
    close(lax.reduce(x, np.float32(3), lax.add, ()), x)

    def argmax(a: Any, b: Any) -> Any:
        return jnp.maximum(a[0], b[0]), jnp.where(a[0] >= b[0], a[1], b[1])

    indices = np.broadcast_to(np.arange(3), (5, 3))
    inits = np.float32(-np.inf), np.int32(-1)
    values, places = lax.reduce((np.sin(x), indices), inits, argmax, (1,))
    close(values, np.sin(x).max(1))
    np.testing.assert_array_equal(places, np.sin(x).argmax(1))

    def sum_and_max(a: Any, b: Any) -> Any:
        return a[0] + b[0], jnp.maximum(a[1], b[1])

    both = lax.reduce_window(
        (x, -x), (np.float32(0), np.float32(-np.inf)), sum_and_max, (2, 3), (1, 1), "VALID"
    )
    close(both[0][:, 0], x[:-1].sum(1) + x[1:].sum(1))
    close(both[1][:, 0], -x[:-1, 0])


def test_products_of_different_dtypes() -> None:
    x, n = normal(3, 4), rng.integers(0, 4, (3, 4)).astype(np.int32)
    dims = (((1,), (1,)), ((), ()))
    found = lax.dot_general(x, n, dims)
    assert found.dtype == np.float32
    close(found, x @ n.T)
    truncated = lax.dot_general(x, x, dims, preferred_element_type=np.int32)
    np.testing.assert_array_equal(truncated, np.trunc(x @ x.T))


def test_options_that_are_refused() -> None:
    x = normal(3, 4)
    image, kernel = normal(1, 2, 5, 6), normal(3, 2, 3, 3)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: lax.cumsum(x, axis=-1), ValueError, "no negative axes"),
        (lambda: lax.argmax(x, -1, np.int32), ValueError, "Invalid axis -1"),
        (lambda: lax.scan(lambda c, a: (c, a), 0, x, unroll=-1), ValueError, "unroll"),
        (lambda: lax.approx_max_k(np.arange(3), 2), ValueError, "must be a floating type"),
        (lambda: lax.conv_general_dilated(image, kernel, (1, 1), "FULL"), RuntimeError, "padding type"),
        (lambda: lax.conv_general_dilated(image, kernel, (1,), "SAME"), ValueError, "window_strides"),
        (
            lambda: lax.conv_general_dilated(image, kernel, (1, 1), "SAME", lhs_dilation=(2, 1)),
            ValueError,
            "conv_transpose",
        ),
        (
            lambda: lax.reduce_window(x, 0.0, lax.add, (2,), (1, 1), "SAME"),
            TypeError,
            "one number for each axis",
        ),
        (lambda: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 0), "SAME"), TypeError, "positive numbers"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def test_options_of_loops_and_of_the_greatest() -> None:
    x = normal(3, 4)
    close(lax.map(lambda r: r.sum(), x, batch_size=0), x.sum(1))
    values, places = lax.approx_max_k(x, 2, aggregate_to_topk=False)
    close(values, -np.sort(-x, axis=1))
    np.testing.assert_array_equal(np.take_along_axis(x, np.asarray(places), 1), values)
    indices = np.array([[0], [7]])
    numbers = lax.GatherDimensionNumbers((1,), (0,), (0,))
    close(lax.gather(x, indices, numbers, (1, 4)), x[[0, 2]])  # promised to be in bounds: clipped
    assert np.isnan(lax.gather(x, indices, numbers, (1, 4), mode="fill")[1]).all()


def test_no_window_fits() -> None:
    x = np.ones((3, 3), np.float32)
    found = lax.reduce_window(x, np.float32(0), lax.add, (2, 3), (1, 1), "VALID", window_dilation=(1, 2))
    assert found.shape == (2, 0)
