"""Resampling of images against sums written out, SciPy and values that JAX gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

import wengert
from wengert import image
from wengert.image import ResizeMethod
from wengert.test_util import check_grads

RNG = np.random.default_rng(3)
SQUARES = np.arange(6, dtype=np.float32) ** 2
METHODS = ["linear", "cubic", "lanczos3", "lanczos5"]


def sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def kernel(method: str, x: float) -> float:
    x = abs(x)
    if method == "linear":
        return max(0.0, 1 - x)
    if method == "cubic":
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
    radius = int(method[-1])
    return sinc(x) * sinc(x / radius) if x < radius else 0.0


def resampled(x: Any, m: int, scale: float, translation: float, method: str, antialias: bool) -> Any:
    """One element of the result after the other, along the first axis."""
    n = x.shape[0]
    found = np.zeros((m, *x.shape[1:]))
    for i in range(m):
        place = (i + 0.5 - translation) / scale - 0.5
        if -0.5 <= place <= n - 0.5:
            width = max(1.0, 1 / scale) if antialias else 1.0
            weights = [kernel(method, (place - j) / width) for j in range(n)]
            found[i] = sum(w * x[j] for j, w in enumerate(weights)) / sum(weights)
    return found


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_resize(method: str, antialias: bool) -> None:
    x = RNG.normal(size=(6, 5, 2))
    for shape in ((3, 5, 2), (13, 2, 2), (1, 9, 2), (6, 5, 2)):
        expected = resampled(x, shape[0], shape[0] / 6, 0.0, method, antialias)
        expected = resampled(expected.swapaxes(0, 1), shape[1], shape[1] / 5, 0.0, method, antialias)
        expected = expected.swapaxes(0, 1)
        found = image.resize(x.astype(np.float32), shape, method, antialias)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-6)
        with wengert.enable_x64(True):
            found = wengert.jit(lambda v, s=shape: image.resize(v, s, method, antialias))(x)
            np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_scale_and_translate(method: str, antialias: bool) -> None:
    x = RNG.normal(size=(6, 4))
    for scale, translation in ((1.3, 0.3), (0.5, 1.1), (2.0, -3.0)):
        expected = resampled(x, 7, scale, translation, method, antialias)
        with wengert.enable_x64(True):
            call = lambda s, t: image.scale_and_translate(x, (7, 4), (0,), s, t, method, antialias)  # noqa: E731
            for f in (call, wengert.jit(call)):
                np.testing.assert_allclose(
                    f(np.array([scale]), np.array([translation])), expected, atol=1e-12
                )
        found = image.scale_and_translate(
            x.T.astype(np.float32),
            (4, 7),
            (-1,),
            np.array([scale]),
            np.array([translation]),
            method,
            antialias,
        )
        np.testing.assert_allclose(found, expected.T, atol=1e-5)


def test_nearest() -> None:
    x = np.arange(35).reshape(5, 7)
    for shape in ((5, 7), (2, 3), (10, 14), (4, 9), (1, 1)):
        rows, columns = ((np.arange(m) + 0.5) * n / m for n, m in zip(x.shape, shape, strict=True))
        expected = x[np.ix_(rows.astype(int), columns.astype(int))]
        found = image.resize(x, shape, "nearest")
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)
    assert image.resize(np.ones((2, 2), bool), (3, 3), ResizeMethod.NEAREST).dtype == bool


def test_enlarging_linearly_is_interpolation() -> None:
    x = RNG.normal(size=(5, 6)).astype(np.float32)
    places = np.meshgrid((np.arange(15) + 0.5) / 3 - 0.5, (np.arange(12) + 0.5) / 2 - 0.5, indexing="ij")
    expected = scipy.ndimage.map_coordinates(x, places, order=1, mode="nearest")
    np.testing.assert_allclose(image.resize(x, (15, 12), "bilinear"), expected, atol=1e-6)


def test_area() -> None:
    x = RNG.normal(size=(6, 6)).astype(np.float32)
    blocks = x.reshape(3, 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose(image.resize(x, (3, 2), ResizeMethod.AREA), blocks, atol=1e-6)
    found = image.resize(SQUARES, (4,), ResizeMethod.AREA)
    np.testing.assert_allclose(found, [1 / 3, 3, 34 / 3, 22], rtol=1e-6)
    np.testing.assert_array_equal(image.resize(SQUARES, (12,), ResizeMethod.AREA), np.repeat(SQUARES, 2))


def test_values_of_jax() -> None:
    """Exact ones, as JAX 0.12 gives them."""
    plain = image.resize(SQUARES, (4,), "cubic-pytorch", antialias=False)
    np.testing.assert_array_equal(plain, [0.12109375, 2.828125, 10.796875, 23.20703125])
    smooth = image.resize(SQUARES, (4,), "cubic-pytorch")
    np.testing.assert_array_equal(smooth, image.resize(SQUARES, (4,), "cubic"))
    moved = image.scale_and_translate(
        SQUARES**0.5, (6,), (0,), np.float32([2.0]), np.float32([-3.0]), "cubic"
    )
    np.testing.assert_allclose(moved, [1.25, 1.75, 2.25, 2.75, 3.25, 3.75], rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", METHODS)
def test_derivatives_and_vmap(method: str) -> None:
    x = RNG.normal(size=(5, 4))
    check_grads(lambda v: image.resize(v, (3, 6), method), (x,), 2)
    call = lambda v, s, t: image.scale_and_translate(v, (4, 4), (0,), s, t, method)  # noqa: E731
    check_grads(call, (x, np.array([0.7]), np.array([0.2])), 2, atol=1e-4, rtol=1e-4)
    stack = RNG.normal(size=(3, 5, 4))
    expected = np.stack([np.asarray(image.resize(v, (7, 2), method)) for v in stack])
    np.testing.assert_allclose(wengert.vmap(lambda v: image.resize(v, (7, 2), method))(stack), expected)


def test_dtypes() -> None:
    for dtype, expected in ((np.uint8, np.float32), (np.float16, np.float16), (np.complex64, np.complex64)):
        assert image.resize(np.ones(4, dtype), (3,), "linear").dtype == expected
    np.testing.assert_allclose(
        image.resize(SQUARES * 1j, (9,), "linear").imag, image.resize(SQUARES, (9,), "linear")
    )


def test_names() -> None:
    for name in ("linear", "bilinear", "trilinear", "triangle"):
        assert ResizeMethod.from_string(name) is ResizeMethod.LINEAR
    for name in ("cubic", "bicubic", "tricubic"):
        assert ResizeMethod.from_string(name) is ResizeMethod.CUBIC
    assert wengert.image.resize is image.resize


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: image.resize(x, (3, 4), "linear"), "length equal to the number of dimensions"),
        (lambda x: image.resize(x, (3,), "foo"), 'Unknown resize method "foo"'),
        (lambda x: image.resize(x, (-1,), "linear"), "must not have negative entries"),
        (lambda x: image.resize(x[:0], (3,), "linear"), "has no elements"),
        (
            lambda x: image.scale_and_translate(x, (6,), (0,), x[:1], x[:1], "nearest"),
            "not currently supported",
        ),
        (
            lambda x: image.scale_and_translate(x, (6,), (1,), x[:1], x[:1], "linear"),
            "axis 1 is out of bounds",
        ),
        (lambda x: image.scale_and_translate(x, (6,), (0,), x[:2], x[:1], "linear"), "one entry for each"),
        (
            lambda x: image.scale_and_translate(x, (7,), (), x[:0], x[:0], "linear"),
            "must be that of the image",
        ),
    ],
)
def test_errors(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(SQUARES)
