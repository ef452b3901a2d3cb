"""scipy.signal and scipy.ndimage against SciPy, with derivatives against finite differences."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import wengert
import wengert.numpy as jnp
from wengert.scipy import ndimage, signal
from wengert.test_util import check_grads

RNG = np.random.default_rng(5)
MODES = ["full", "same", "valid"]
X, K, WIDE, TALL = (RNG.normal(size=s) for s in ((4, 7), (3, 2), (2, 3), (3, 3)))


def assert_close(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    found = np.asarray(found)
    assert found.shape == expected.shape
    scale = float(np.abs(expected).max(initial=1e-3))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def assert_all_close(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, tolerance)


def single(x: Any) -> Any:
    return x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)


# ---------------------------------------------------------------------------------------------------- convolution


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["convolve", "correlate", "convolve2d", "correlate2d", "fftconvolve"])
def test_convolution_of_matrices(name: str, mode: str) -> None:
    function, reference = getattr(signal, name), getattr(scipy.signal, name)
    for a, b in ((X, K), (K, X), (X, WIDE), (X, TALL), (X * (1 + 2j), K * 1j), (K, X * (2 - 1j))):
        expected = reference(a, b, mode)
        assert_close(function(a, b, mode), expected)
        found = function(single(a), single(b), mode)
        assert found.dtype == np.result_type(single(a), single(b))
        assert_close(found, expected, 1e-5)
    assert_close(wengert.jit(lambda a, b: function(a, b, mode))(X, K), reference(X, K, mode))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_convolution_of_vectors_and_of_arrays_with_more_axes(method: str, mode: str) -> None:
    for name in ("convolve", "correlate"):
        function, reference = getattr(signal, name), getattr(scipy.signal, name)
        for m, n in ((7, 3), (3, 7), (7, 4), (4, 7), (6, 6), (1, 5)):
            a, b = RNG.normal(size=m), RNG.normal(size=n)
            assert_close(function(a, b, mode, method), reference(a, b, mode, method))
            assert_close(function(a * 1j, b, mode, method), reference(a * 1j, b, mode, method))
        a, b = RNG.normal(size=(3, 4, 5)), RNG.normal(size=(2, 2, 3))
        assert_close(function(a, b, mode, method), reference(a, b, mode, method))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("mode", ["full", "same"])
@pytest.mark.parametrize("boundary", ["fill", "wrap", "symm"])
def test_beyond_the_edges(boundary: str, mode: str) -> None:
    fill = 1.5 if boundary == "fill" else 0
    for name in ("convolve2d", "correlate2d"):
        for b in (K, WIDE, TALL):
            found = getattr(signal, name)(X, b, mode, boundary, fill)
            assert_close(found, getattr(scipy.signal, name)(X, b, mode, boundary, fill))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("mode", MODES)
def test_convolution_along_some_axes(mode: str) -> None:
    kernel = RNG.normal(size=(3, 7))
    assert_close(signal.fftconvolve(X, kernel, mode, 0), scipy.signal.fftconvolve(X, kernel, mode, 0))
    assert_close(
        signal.fftconvolve(X.T, kernel.T, mode, (-1,)), scipy.signal.fftconvolve(X.T, kernel.T, mode, -1)
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("mode", MODES)
def test_convolution_of_vectors_by_numpy(mode: str) -> None:
    for m, n in ((5, 3), (4, 6), (50, 17), (17, 50), (33, 40)):
        a, b = RNG.normal(size=m), RNG.normal(size=n) * (1 + 2j)
        for name in ("convolve", "correlate"):
            function, expected = getattr(jnp, name), getattr(np, name)(a, b, mode)
            assert_close(function(a, b, mode), expected)
            assert_close(wengert.jit(lambda a, b, f=function: f(a, b, mode))(a, b), expected)
    check_grads(lambda a, b: jnp.convolve(a, b, mode), (RNG.normal(size=30), RNG.normal(size=20)), 2)


def test_long_convolutions_take_the_fourier_transform() -> None:
    a, b = RNG.normal(size=(2, 60_000)).astype(np.float32)
    text = str(wengert.make_jaxpr(signal.convolve)(a, b))
    assert " fft[" in text
    assert " fft[" not in str(wengert.make_jaxpr(signal.convolve)(a[:500], b[:500]))
    expected = scipy.signal.convolve(a.astype(float), b.astype(float))
    np.testing.assert_allclose(signal.convolve(a, b), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["convolve", "correlate", "correlate2d", "fftconvolve"])
def test_convolutions_are_differentiable_and_vectorised(name: str) -> None:
    function = getattr(signal, name)
    for mode in MODES:
        check_grads(lambda a, b, m=mode: function(a, b, m), (X, K), 2)
    stack = RNG.normal(size=(3, 4, 5))
    expected = np.stack([getattr(scipy.signal, name)(x, K) for x in stack])
    assert_close(wengert.vmap(function, in_axes=(0, None))(stack, K), expected)


# --------------------------------------------------------------------------------------------------------- trends


@pytest.mark.usefixtures("x64")
def test_detrend() -> None:
    for axis, bp in itertools.product((0, 1, -1), (0, 3, [2, 3])):
        assert_close(signal.detrend(X, axis, "linear", bp), scipy.signal.detrend(X, axis, "linear", bp))
    assert_close(signal.detrend(X, 0, "constant"), scipy.signal.detrend(X, 0, "constant"))
    assert_close(signal.detrend(X * 1j), scipy.signal.detrend(X * 1j))
    check_grads(lambda x: signal.detrend(x, bp=3), (X,), 2)
    assert signal.detrend(np.arange(5)).dtype == np.float64
    assert_close(wengert.vmap(wengert.jit(signal.detrend))(X), scipy.signal.detrend(X))


# -------------------------------------------------------------------------------------------------------- spectra

Y, Y2 = RNG.normal(size=(2, 2, 600))
Z = Y + 1j * RNG.normal(size=(2, 600))
CUTS: list[dict[str, Any]] = [
    {},
    {"nperseg": 100},
    {"nperseg": 101, "nfft": 128},
    {"nperseg": 64, "noverlap": 48},
    {"window": "hamming", "nperseg": 50},
    {"window": "blackman", "nperseg": 50},
    {"window": "boxcar", "nperseg": 50, "noverlap": 0},
    {"window": ("kaiser", 4.0), "nperseg": 50},
    {"window": np.hanning(50), "nperseg": 50},
    {"nperseg": 64, "return_onesided": False},
    {"nperseg": 64, "fs": 50.0},
]


@pytest.mark.usefixtures("x64")
@pytest.mark.filterwarnings("ignore:Input data is complex")
@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_spectra(cut: dict[str, Any]) -> None:
    for x in (Y, Z):
        for more in (
            {},
            {"average": "median"},
            {"scaling": "spectrum"},
            {"detrend": "linear"},
            {"detrend": False},
        ):
            assert_all_close(signal.welch(x, **cut, **more), scipy.signal.welch(x, **cut, **more))
            assert_all_close(signal.csd(x, Y2, **cut, **more), scipy.signal.csd(x, Y2, **cut, **more))
        for more in ({}, {"boundary": None}, {"boundary": "even"}, {"boundary": "odd"}, {"padded": False}):
            assert_all_close(signal.stft(x, **cut, **more), scipy.signal.stft(x, **cut, **more))
        for more in ({"boundary": "constant"}, {"detrend": "constant"}):
            assert_all_close(signal.stft(x, **cut, **more), scipy.signal.stft(x, **cut, **more))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cut", [c for c in CUTS if "return_onesided" not in c], ids=str)
def test_inverse_of_the_short_time_transform(cut: dict[str, Any]) -> None:
    transforms = scipy.signal.stft(Y, **cut)[2]
    times, found = signal.istft(transforms, **cut)
    assert_close(found, scipy.signal.istft(transforms, **cut)[1])
    np.testing.assert_allclose(times, np.arange(found.shape[-1]) / cut.get("fs", 1.0))
    # all windows but those that are 0 at an edge let the signal be restored
    np.testing.assert_allclose(np.asarray(found)[:, 1:600], Y[:, 1:], atol=1e-10)
    two_sided = {**cut, "return_onesided": False}
    there = signal.stft(Y, **two_sided)[2]
    back = signal.istft(there, **cut, input_onesided=False)[1]
    np.testing.assert_allclose(np.asarray(back)[:, 1:600], Y[:, 1:], atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.filterwarnings("ignore:NOLA condition failed")
def test_spectra_along_other_axes() -> None:
    x = RNG.normal(size=(2, 300, 3))
    for axis in (1, -2):
        expected = scipy.signal.stft(x, axis=axis, nperseg=32)
        assert_all_close(signal.stft(x, axis=axis, nperseg=32), expected)
        assert_all_close(signal.welch(x, axis=axis, nperseg=32), scipy.signal.welch(x, axis=axis, nperseg=32))
    turned = np.moveaxis(expected[2], -1, 0)
    axes = {"time_axis": 0, "freq_axis": 2}
    assert_close(signal.istft(turned, **axes)[1], scipy.signal.istft(turned, **axes)[1])
    assert_close(
        signal.istft(turned, boundary=False, **axes)[1],
        scipy.signal.istft(turned, boundary=False, **axes)[1],
    )


@pytest.mark.usefixtures("x64")
def test_cross_spectra_of_signals_that_differ_in_shape() -> None:
    for y in (Y2[:, :400], Y2[:1], None, Y):
        assert_all_close(signal.csd(Y, y, nperseg=64), scipy.signal.csd(Y, Y if y is None else y, nperseg=64))
    assert signal.csd(Y, None)[1].dtype == np.float64


def test_single_precision_and_compiled() -> None:
    y = Y.astype(np.float32)
    for call in (lambda v: signal.welch(v, nperseg=64), lambda v: signal.stft(v, nperseg=64)):
        expected = call(y)
        assert {a.dtype for a in expected} <= {np.dtype(np.float32), np.dtype(np.complex64)}
        assert_all_close(wengert.jit(call)(y), [np.asarray(e) for e in expected], 1e-5)
    found = wengert.jit(lambda v, fs: signal.welch(v, fs, nperseg=64))(y, 50.0)
    assert_all_close(found, scipy.signal.welch(Y, 50.0, nperseg=64), 1e-5)


@pytest.mark.usefixtures("x64")
def test_spectra_are_differentiable_and_vectorised() -> None:
    x = RNG.normal(size=40)
    check_grads(lambda v: signal.welch(v, nperseg=16)[1], (x,), 2)
    check_grads(lambda v: signal.welch(v, nperseg=16, average="median")[1], (x,), 1)
    check_grads(lambda v: signal.stft(v, nperseg=16, boundary="odd")[2], (x,), 2)
    there = signal.stft(x, nperseg=16)[2]
    check_grads(lambda v: signal.istft(v)[1], (np.asarray(there),), 2)
    found = wengert.vmap(lambda v: signal.welch(v, nperseg=64)[1])(Y)
    assert_close(found, scipy.signal.welch(Y, nperseg=64)[1])


def test_warnings() -> None:
    with pytest.warns(UserWarning, match="nperseg=50 is greater than input_length=30") as seen:
        signal.welch(np.ones(30), nperseg=50)
    assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="switching to return_onesided=False"):
        signal.stft(np.ones(300) + 0j)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signal.welch(np.ones(30))


S = np.ones((2, 300))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: signal.convolve(X, K[0]), ValueError, "the same number of dimensions"),
        (lambda: signal.convolve(X, K, "foo"), ValueError, "mode must be one of"),
        (lambda: signal.convolve(X, K, method="foo"), ValueError, "expected 'auto', 'fft', or 'direct'"),
        (lambda: signal.convolve(X[:0], K), ValueError, "zero-size arrays not supported"),
        (lambda: signal.convolve(X[:2], X[:, :3], "valid"), ValueError, "at least as large as the other"),
        (lambda: signal.fftconvolve(X, K, axes=(0,)), ValueError, "mapped axes must have same shape"),
        (lambda: signal.fftconvolve(X, K, axes=(2,)), ValueError, "axis 2 is out of bounds"),
        (lambda: signal.convolve2d(X[0], K[0]), ValueError, "only supports 2-dimensional inputs"),
        (lambda: signal.convolve2d(X, K, boundary="foo"), ValueError, "boundary must be one of"),
        (lambda: signal.convolve([1.0], [2.0]), TypeError, "requires ndarray or scalar"),
        (lambda: signal.detrend(X, type="foo"), ValueError, "must be 'linear' or 'constant'"),
        (lambda: signal.detrend(X, bp=[9]), ValueError, "Breakpoints must be"),
        (lambda: signal.detrend(X, axis=2), ValueError, "axis 2 is out of bounds"),
        (lambda: signal.detrend(X, overwrite_data=True), NotImplementedError, "immutable"),
        (lambda: signal.stft(S, nperseg=0), ValueError, "nperseg must be a positive integer"),
        (lambda: signal.stft(S, nperseg=100, noverlap=100), ValueError, "noverlap must be less than nperseg"),
        (lambda: signal.stft(S, nperseg=100, nfft=50), ValueError, "nfft must be greater than or equal"),
        (lambda: signal.stft(S, window=np.ones(50)), ValueError, "different from length of window"),
        (lambda: signal.stft(S, window=np.ones((2, 2))), ValueError, "window must be 1-D"),
        (lambda: signal.stft(S, boundary="foo"), ValueError, "Unknown boundary option 'foo'"),
        (lambda: signal.welch(S, average="foo"), ValueError, 'average must be "median" or "mean"'),
        (lambda: signal.welch(S, scaling="foo"), ValueError, "Unknown scaling"),
        (lambda: signal.welch(S, detrend="foo"), ValueError, "Trend type must be"),
        (lambda: signal.csd(S, S[0]), ValueError, "must have the same rank"),
        (lambda: signal.csd(S, np.ones((3, 300))), ValueError, "cannot be broadcast together"),
        (lambda: signal.istft(S[0]), ValueError, "must be at least 2d"),
        (lambda: signal.istft(S, time_axis=-2), ValueError, "differing time and frequency axes"),
        (lambda: signal.istft(S, nfft=1), ValueError, "must be longer than nperseg"),
        (lambda: ndimage.map_coordinates(X, [K], 1), ValueError, "length input.ndim, but 1 != 2"),
        (lambda: ndimage.map_coordinates(X, [K, K], 6), ValueError, "order must be from 0 to 5"),
        (lambda: ndimage.map_coordinates(X, [K, K], 1, "foo"), ValueError, "mode 'foo' is none of"),
    ],
)
def test_errors(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert __file__ in caught.value.__notes__[0]


# -------------------------------------------------------------------------------------------------------- ndimage

# "constant" and "wrap" are what SciPy calls so only on grids.
NAMES = {"constant": "grid-constant", "wrap": "grid-wrap", "nearest": "nearest", "mirror": "mirror"}


# For "reflect" SciPy's coefficients of splines are approximations; see the next test.
KINDS = [(order, mode) for mode in [*NAMES, "reflect"] for order in range(2 if mode == "reflect" else 6)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("order", "mode"), KINDS)
def test_map_coordinates(order: int, mode: str) -> None:
    for shape in ((6,), (5, 7), (2, 1, 4)):
        x = RNG.normal(size=shape)
        places = [RNG.uniform(-12, n + 11, size=(5, 20)) for n in shape]
        expected = scipy.ndimage.map_coordinates(x, places, order=order, mode=NAMES.get(mode, mode), cval=0.7)
        assert_close(ndimage.map_coordinates(x, places, order, mode, 0.7), expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("order", range(2, 6))
def test_splines_go_through_the_elements(order: int) -> None:
    x = RNG.normal(size=6)
    places = np.arange(-3.0, 10)
    wanted = np.pad(x, (3, 4), mode="symmetric")
    assert_close(ndimage.map_coordinates(x, [places], order, "reflect"), wanted)
    # and two of them, from both sides, have the same derivatives between
    slope = wengert.grad(lambda t: ndimage.map_coordinates(x, [t], order, "mirror"))
    assert abs(float(slope(2.0 - 1e-9) - slope(2.0 + 1e-9))) < 1e-6


def test_places_of_integers_and_of_complex_numbers() -> None:
    numbers = RNG.integers(0, 200, size=(5, 6)).astype(np.uint8)
    places = [RNG.uniform(0, n - 1, size=30).astype(np.float32) for n in numbers.shape]
    for order in (0, 1):
        found = ndimage.map_coordinates(numbers, places, order)
        assert found.dtype == np.uint8
        exact = scipy.ndimage.map_coordinates(numbers.astype(float), places, order=order)
        np.testing.assert_array_equal(found, np.round(exact))
    found = wengert.jit(lambda c: ndimage.map_coordinates(numbers * 1j, c, 1))(places)
    assert found.dtype == np.complex64
    assert_close(found.imag, scipy.ndimage.map_coordinates(numbers.astype(float), places, order=1), 1e-5)
    # halves are rounded away from zero
    assert ndimage.map_coordinates(np.arange(4), [np.array([-0.5, 0.5, 1.5])], 0, cval=9).tolist() == [
        9,
        1,
        2,
    ]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("order", [1, 2, 3])
def test_map_coordinates_is_differentiable_and_vectorised(order: int) -> None:
    x = RNG.normal(size=(5, 6))
    places = RNG.uniform(0.2, 3.8, size=(2, 8))
    function = lambda v, c: ndimage.map_coordinates(v, c, order, "nearest")  # noqa: E731
    check_grads(function, (x, places), 2)
    stack = RNG.normal(size=(3, 5, 6))
    expected = np.stack(
        [scipy.ndimage.map_coordinates(v, places, order=order, mode="nearest") for v in stack]
    )
    assert_close(wengert.vmap(function, in_axes=(0, None))(stack, places), expected)


def test_reachable_by_name() -> None:
    assert wengert.scipy.signal.welch is signal.welch
    assert wengert.scipy.ndimage.map_coordinates is ndimage.map_coordinates
    assert jnp.fft.fft is wengert.numpy.fft.fft
