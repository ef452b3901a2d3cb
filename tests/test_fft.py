"""Fourier and cosine transforms against NumPy and SciPy, with derivatives against finite differences."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.fft

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.scipy import fft as cosine
from wengert.test_util import check_grads

RNG = np.random.default_rng(11)
NORMS = [None, "backward", "ortho", "forward"]
ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
MANY = ["fftn", "ifftn", "rfftn", "irfftn"]
TWO = ["fft2", "ifft2", "rfft2", "irfft2"]
TAKE_REALS = {"rfft", "ihfft", "rfftn", "rfft2"}
GIVE_REALS = {"irfft", "hfft", "irfftn", "irfft2"}


def numbers(shape: tuple[int, ...], real: bool) -> Any:
    values = RNG.normal(size=shape)
    return values if real else values + 1j * RNG.normal(size=shape)


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    found = np.asarray(found)
    assert found.shape == expected.shape
    np.testing.assert_allclose(
        found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=1)
    )


def both_precisions(name: str, function: Any, x: Any, expected: Any) -> None:
    """In float32 and float64, eager and compiled: values and dtypes."""
    for wide in (False, True):
        floats, pairs = (np.float64, np.complex128) if wide else (np.float32, np.complex64)
        given = x.astype(pairs if x.dtype.kind == "c" else floats)
        with wengert.enable_x64(wide):
            for call in (function, wengert.jit(function)):
                found = call(given)
                assert found.dtype == (floats if name in GIVE_REALS else pairs)
                assert_close(found, expected, 1e-12 if wide else 2e-6)


# ------------------------------------------------------------------------------------------------------ numpy.fft


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ONE)
def test_one_axis(name: str, norm: Any) -> None:
    x = numbers((4, 5), name in TAKE_REALS)
    reference = getattr(np.fft, name)
    function = getattr(jnp.fft, name)
    both_precisions(name, lambda v: function(v, norm=norm), x, reference(x, norm=norm))
    for n, axis in itertools.product((None, 1, 3, 8), (0, 1, -2)):
        assert_close(
            function(x.astype(np.complex64 if x.dtype.kind == "c" else np.float32), n, axis, norm),
            reference(x, n, axis, norm),
            2e-6,
        )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", MANY)
def test_several_axes(name: str, norm: Any) -> None:
    x = numbers((2, 3, 4, 5), name in TAKE_REALS)
    reference = getattr(np.fft, name)
    function = getattr(jnp.fft, name)
    both_precisions(name, lambda v: function(v, norm=norm), x, reference(x, norm=norm))
    with wengert.enable_x64(True):
        for axes, s in (((1,), (6,)), ((2, 0), None), ((3, 1, 0), (2, 7, 1)), ((0, 3, 2, 1), None)):
            assert_close(function(x, s, axes, norm), reference(x, s, axes, norm), 1e-12)


@pytest.mark.parametrize("name", TWO)
def test_two_axes(name: str) -> None:
    x = numbers((3, 4, 5), name in TAKE_REALS)
    reference = getattr(np.fft, name)
    function = getattr(jnp.fft, name)
    both_precisions(name, function, x, reference(x))
    with wengert.enable_x64(True):
        assert_close(function(x, (4, 6), (2, 0), "ortho"), reference(x, (4, 6), (2, 0), "ortho"), 1e-12)


@pytest.mark.parametrize(("name", "args"), [("fftn", (None,)), ("ifftn", (None,)), ("rfftn", (None,))])
def test_the_last_axes_are_those_of_the_sizes(name: str, args: Any) -> None:
    x = numbers((2, 3, 4), name in TAKE_REALS)
    found = getattr(jnp.fft, name)(x, (2, 6))
    assert_close(found, getattr(np.fft, name)(x, (2, 6), axes=(1, 2)), 2e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ONE + TWO)
def test_vmap_is_a_loop(name: str) -> None:
    x = numbers((3, 4, 5), name in TAKE_REALS)
    function = getattr(jnp.fft, name)
    for axis in (0, 1, 2):
        expected = np.stack([np.asarray(function(v)) for v in np.moveaxis(x, axis, 0)])
        assert_close(wengert.vmap(function, in_axes=axis)(x), expected, 1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ONE + TWO)
def test_derivatives(name: str) -> None:
    x = numbers((3, 4), name in TAKE_REALS)
    function = getattr(jnp.fft, name)
    check_grads(function, (x,), 2)
    # the gradient of a nonlinear real function of the transform
    weights = RNG.normal(size=np.shape(function(x)))
    energy = lambda v: jnp.sum(weights * jnp.abs(function(v)) ** 2)  # noqa: E731
    check_grads(energy, (x,), 2, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("x64")
def test_gradients_of_complex_arguments_are_conjugated_as_everywhere() -> None:
    """For f = |w . F z|^2 / 2, grad f is the conjugate of the steepest ascent."""
    z = numbers((6,), False)
    gradient = wengert.grad(lambda v: 0.5 * jnp.sum(jnp.abs(jnp.fft.fft(v)) ** 2))(z)
    assert_close(gradient, 6 * np.conj(z), 1e-12)
    x = numbers((6,), True)
    gradient = wengert.grad(lambda v: 0.5 * jnp.sum(jnp.abs(jnp.fft.rfft(v)) ** 2))(x)
    kept = np.fft.rfft(x)
    expected = np.real(np.conj(np.fft.fft(np.eye(6))[:4]).T @ kept)
    assert_close(gradient, expected, 1e-12)


def test_dtypes() -> None:
    assert jnp.fft.fft(np.arange(4)).dtype == np.complex64
    assert jnp.fft.fft(np.ones(4, bool)).dtype == np.complex64
    assert jnp.fft.fft(np.ones(4, np.float16)).dtype == np.complex64
    assert jnp.fft.rfft(np.arange(4)).dtype == np.complex64
    assert jnp.fft.irfft(np.ones(4, np.float32)).dtype == np.float32
    with wengert.enable_x64(True):
        assert jnp.fft.fft(np.arange(4)).dtype == np.complex128
        assert jnp.fft.fft(np.ones(4, np.float32)).dtype == np.complex64


def test_no_axes_and_no_elements() -> None:
    assert jnp.fft.fftn(jnp.float32(3)).dtype == np.complex64
    assert jnp.fft.rfftn(np.ones((2, 3), np.float32), axes=()).dtype == np.float32
    for function in (jnp.fft.fft, wengert.jit(jnp.fft.fft)):
        assert function(np.ones((0, 6), np.complex64)).shape == (0, 6)
    assert jnp.fft.irfft(np.ones((0, 4), np.complex64)).shape == (0, 6)


def test_large_transforms_of_many_lines() -> None:
    """Shared among threads; through scipy.fft."""
    x = RNG.normal(size=(300, 256)).astype(np.float32)
    assert_close(jnp.fft.fft(x), np.fft.fft(x.astype(float)), 2e-6)
    assert_close(wengert.jit(jnp.fft.rfft2)(x), np.fft.rfft2(x.astype(float)), 2e-6)


@pytest.mark.parametrize("n", range(1, 9))
def test_frequencies(n: int) -> None:
    for name in ("fftfreq", "rfftfreq"):
        expected = getattr(np.fft, name)(n, 0.3)
        found = getattr(jnp.fft, name)(n, 0.3)
        assert found.dtype == np.float32
        assert_close(found, expected, 1e-6)
        assert_close(wengert.jit(lambda d, f=name: getattr(jnp.fft, f)(n, d))(0.3), expected, 1e-6)
        assert getattr(jnp.fft, name)(n, dtype=jnp.bfloat16).dtype == jnp.bfloat16


def test_shifts() -> None:
    x = RNG.normal(size=(3, 4, 5)).astype(np.float32)
    for axes in (None, 0, -1, (0, 2), [1]):
        for name in ("fftshift", "ifftshift"):
            np.testing.assert_array_equal(getattr(jnp.fft, name)(x, axes), getattr(np.fft, name)(x, axes))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: lax.fft(x, "FOO", (6,)), ValueError, "Unknown FFT type 'FOO'"),
        (lambda x: lax.fft(x, "RFFT", (6,)), ValueError, "only real valued inputs supported for rfft"),
        (lambda x: lax.fft(x, "FFT", (5,)), ValueError, r"must be equal to fft_lengths \(5,\)"),
        (lambda x: lax.fft(x, "IRFFT", (6,)), ValueError, r"must end in \(4,\)"),
        (lambda x: lax.fft(x, "FFT", (1, 4, 6)), ValueError, "at least as many input dimensions"),
        (lambda x: lax.fft(x.real.astype(np.float16), "RFFT", (6,)), ValueError, "got float16"),
        (lambda x: lax.fft(x[None, None], "FFT", (1, 1, 4, 6)), ValueError, "numpy.fft.fftn takes any"),
        (lambda x: jnp.fft.fft(x, axis=2), ValueError, "axis 2 is out of bounds"),
        (lambda x: jnp.fft.fft(x, axis=(0, 1)), ValueError, "does not support multiple axes"),
        (lambda x: jnp.fft.fft(x, n=0), ValueError, "Shape should be positive"),
        (lambda x: jnp.fft.fft(x, norm="foo"), ValueError, "Invalid norm value foo"),
        (lambda x: jnp.fft.fftn(x, axes=(0, 0)), ValueError, "does not support repeated axes"),
        (lambda x: jnp.fft.fftn(x, (3, 3), (0,)), ValueError, "Shape and axes have different lengths"),
        (lambda x: jnp.fft.fftn(x, (1, 2, 3)), ValueError, "more entries than the array has axes"),
        (lambda x: jnp.fft.fft2(x, axes=(1,)), ValueError, "only supports 2 axes"),
        (lambda x: jnp.fft.irfft(x[:, :1]), ValueError, "Shape should be positive"),
        (lambda x: jnp.fft.fft([1.0, 2.0]), TypeError, "requires ndarray or scalar arguments"),
        (lambda x: jnp.fft.fftfreq([5]), ValueError, "only takes an int"),
        (lambda x: jnp.fft.fftfreq(5, [1, 2]), ValueError, "only takes a single value"),
        (lambda x: cosine.dct(x, norm="foo"), ValueError, "norm='foo' is none of"),
        (lambda x: cosine.dct(x, type=5), ValueError, "type=5 is none of"),
        (lambda x: cosine.dct(x[:, :1], type=1), ValueError, "at least 2 elements"),
        (lambda x: cosine.dct(x, n=0), ValueError, "is not positive"),
        (lambda x: cosine.dctn(x, axes=(0, 0)), ValueError, "repeated axis"),
        (lambda x: cosine.dctn(x, s=(1, 2, 3)), ValueError, "at most x.ndim"),
        (lambda x: cosine.dctn(x, s=(1, 2), axes=(1,)), ValueError, "as many entries"),
    ],
)
def test_errors(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(np.ones((4, 6), np.complex64))


def test_small_transforms_do_not_import_scipy() -> None:
    program = (
        "import sys, wengert, wengert.numpy as jnp\n"
        "jnp.fft.rfft(jnp.ones(8))\n"
        "assert 'scipy.fft' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# ------------------------------------------------------------------------------------------------------ scipy.fft


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["dct", "idct", "dctn", "idctn"])
def test_cosine_transforms(name: str, kind: int, norm: Any) -> None:
    function, reference = getattr(cosine, name), getattr(scipy.fft, name)
    for shape in ((3, 6), (4, 7), (2, 2)):
        x = RNG.normal(size=shape)
        expected = reference(x, kind, norm=norm)
        found = function(x.astype(np.float32), kind, norm=norm)
        assert found.dtype == np.float32
        assert_close(found, expected, 2e-6)
        with wengert.enable_x64(True):
            assert_close(function(x, kind, norm=norm), expected, 1e-12)
    with wengert.enable_x64(True):
        z = numbers((4, 5), False)
        assert_close(
            wengert.jit(lambda v: function(v, kind, norm=norm))(z), reference(z, kind, norm=norm), 1e-12
        )


@pytest.mark.usefixtures("x64")
def test_cosine_transforms_of_other_sizes_and_along_other_axes() -> None:
    x = RNG.normal(size=(4, 6, 3))
    for n, axis in itertools.product((2, 9), (0, 1, -1)):
        assert_close(cosine.dct(x, 2, n, axis), scipy.fft.dct(x, 2, n, axis), 1e-12)
        assert_close(cosine.idct(x, 3, n, axis), scipy.fft.idct(x, 3, n, axis), 1e-12)
    for options in ({"s": (3,)}, {"s": (3, 8), "axes": (2, 0)}, {"axes": (1,)}):
        assert_close(cosine.dctn(x, **options), scipy.fft.dctn(x, **options), 1e-12)
        assert_close(cosine.idctn(x, **options), scipy.fft.idctn(x, **options), 1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_cosine_transforms_are_differentiable_and_vectorised(kind: int) -> None:
    x = RNG.normal(size=(3, 5))
    function = lambda v: cosine.dct(v, kind, norm="ortho")  # noqa: E731
    check_grads(function, (x,), 2)
    expected = np.stack([scipy.fft.dct(v, kind, norm="ortho") for v in x])
    assert_close(wengert.vmap(function)(x), expected, 1e-12)
    # an orthogonal matrix: the cotangent is taken back by the inverse
    _, pull = wengert.vjp(function, x)
    assert_close(pull(function(x))[0], x, 1e-12)
