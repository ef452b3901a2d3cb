"""Spectra of signals, by Fourier transforms of overlapping segments.

Sources: P. D. Welch, The use of fast Fourier transform for the estimation of power spectra, IEEE Transactions on
Audio and Electroacoustics 15 (1967), 70-73; of the inverse, D. Griffin and J. Lim, Signal estimation from modified
short-time Fourier transform, IEEE Transactions on Acoustics, Speech and Signal Processing 32 (1984), 236-243; of
the bias of medians, B. Allen et al., FINDCHIRP, Physical Review D 85 (2012) 122006, appendix B.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert._lazy import lazy_module
from wengert.core.dtypes import to_floating_dtype
from wengert.core.source import user_context, warn_user
from wengert.scipy.signal.trends import detrend as _detrend
from wengert.typing import ArrayLike

scipy_windows = lazy_module("scipy.signal.windows")

_SEGMENT = 256
# Sums of cosines, by their coefficients. For others scipy.signal is asked, which takes long to import.
_COSINES = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
}

# ----------------------------------------------------------------------------------------------------- segments


class _Segments:
    """How a signal is cut: segments of `size`, one each `step`, transformed with `nfft` elements."""

    __slots__ = ("nfft", "size", "step", "window")

    def __init__(self, window: Any, size: int, step: int, nfft: int):
        self.window, self.size, self.step, self.nfft = window, size, step, nfft


def _named_window(name: Any, size: int) -> np.ndarray[Any, Any]:
    """A periodic window by its name, or by a tuple of name and parameters."""
    coefficients = _COSINES.get(name) if isinstance(name, str) else None
    if coefficients is None or size == 1:
        return np.asarray(scipy_windows.get_window(name, size))
    angles = 2 * np.pi * np.arange(size) / size
    terms = [(-1) ** k * c * np.cos(k * angles) for k, c in enumerate(coefficients)]
    return np.asarray(sum(terms))


def _is_named(window: Any) -> bool:
    return isinstance(window, str | tuple)


def _window(window: Any, size: int) -> Any:
    """The window of the segments as a vector."""
    if _is_named(window):
        return _named_window(window, size)
    found = jnp.asarray(window)
    if found.ndim != 1:
        raise user_context(ValueError(f"window must be 1-D, got shape {found.shape}"))
    if found.shape[0] != size:
        raise user_context(ValueError(f"window must have length of {size}, got {found.shape[0]}"))
    return found


def _overlap(noverlap: Any, size: int) -> int:
    found = size // 2 if noverlap is None else operator.index(noverlap)
    if found >= size:
        raise user_context(ValueError(f"noverlap must be less than nperseg, got {found} and {size}."))
    return found


def _segments(window: Any, nperseg: int | None, noverlap: int | None, nfft: int | None, n: int) -> _Segments:
    """The checked settings, for signals of n elements."""
    if nperseg is not None:
        nperseg = operator.index(nperseg)
        if nperseg < 1:
            raise user_context(ValueError(f"nperseg must be a positive integer, got {nperseg}"))
    if _is_named(window):
        size = _SEGMENT if nperseg is None else nperseg
        if size > n:
            if nperseg is not None:
                warn_user(f"nperseg={size} is greater than input_length={n}, using nperseg={n}")
            size = n
    else:
        window = jnp.asarray(window)
        if window.ndim != 1:
            raise user_context(ValueError(f"window must be 1-D, got shape {window.shape}"))
        size = window.shape[0]
        if nperseg is not None and nperseg != size:
            raise user_context(
                ValueError(
                    f"value specified for nperseg is different from length of window: {nperseg} and {size}"
                )
            )
        if size > n:
            raise user_context(ValueError(f"window is longer than input signal: {size} and {n} elements"))
    length = size if nfft is None else operator.index(nfft)
    if length < size:
        raise user_context(
            ValueError(f"nfft must be greater than or equal to nperseg, got {length} and {size}.")
        )
    return _Segments(_window(window, size), size, size - _overlap(noverlap, size), length)


def _detrended(detrend: Any) -> Callable[[Any], Any]:
    """What is done to each segment, on the last axis, before it is transformed."""
    if callable(detrend):
        function: Callable[[Any], Any] = detrend
        return function
    if isinstance(detrend, str):
        return lambda x: _detrend(x, -1, detrend)
    if not detrend:
        return lambda x: x
    raise user_context(
        ValueError(f"detrend must be False, 'constant', 'linear' or a function, got {detrend!r}")
    )


def _transforms(x: Any, cut: _Segments, detrend: Any, one_sided: bool) -> Any:
    """The transforms of the segments of x along its last axis: (..., segments, frequencies)."""
    count = (x.shape[-1] - cut.size) // cut.step + 1
    starts = np.arange(count) * cut.step
    pieces = x[..., starts[:, None] + np.arange(cut.size)]
    pieces = _detrended(detrend)(pieces) * jnp.asarray(cut.window, x.dtype)
    return jnp.fft.rfft(pieces, cut.nfft) if one_sided else jnp.fft.fft(pieces, cut.nfft)


def _floats(x: ArrayLike) -> Any:
    array: Any = jnp.asarray(x)
    return (
        array
        if jnp.issubdtype(array.dtype, jnp.inexact)
        else array.astype(jnp.result_type(array.dtype, float))
    )


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise user_context(ValueError(f"axis {axis} is out of bounds for array of dimension {ndim}"))
    return axis % ndim


def _one_sided(wanted: bool, *arrays: Any) -> bool:
    if wanted and any(a.dtype.kind == "c" for a in arrays):
        warn_user("Input data is complex, switching to return_onesided=False")
        return False
    return wanted


def _frequencies(nfft: int, fs: Any, one_sided: bool) -> Any:
    return (jnp.fft.rfftfreq if one_sided else jnp.fft.fftfreq)(nfft, 1.0 / fs)


def _count_conjugates(density: Any, nfft: int) -> Any:
    """One-sided densities: each stands for its conjugate too, but those of the first and the middle frequency."""
    factors = np.full(density.shape[-1], 2.0)
    factors[0] = 1
    if nfft % 2 == 0:
        factors[-1] = 1
    return density * jnp.asarray(factors, to_floating_dtype(density.dtype))


# --------------------------------------------------------------------------------------- short-time transforms


def _extended(x: Any, boundary: str | None, n: int) -> Any:
    """x, along its last axis, with n elements more at both ends."""
    names = ("even", "odd", "constant", "zeros", None)
    if boundary not in names:
        raise user_context(ValueError(f"Unknown boundary option '{boundary}', must be one of: {list(names)}"))
    if boundary is None or n == 0:
        return x
    around = [(0, 0)] * (x.ndim - 1) + [(n, n)]
    if boundary == "zeros":
        return jnp.pad(x, around)
    if boundary == "constant":
        return jnp.pad(x, around, mode="edge")
    return jnp.pad(x, around, mode="reflect", reflect_type=boundary)


def stft(
    x: ArrayLike,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int | None = _SEGMENT,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = False,
    return_onesided: bool = True,
    boundary: str | None = "zeros",
    padded: bool = True,
    axis: int = -1,
) -> tuple[Any, Any, Any]:
    """The Fourier transforms of the segments of a signal, one after the other.

    Args:
      x: the signal.
      fs: samples in a unit of time.
      window: by what segments are multiplied: a name that SciPy has, a tuple of name and parameters, or a vector.
      nperseg: the size of a segment; that of x, with a warning, if this is less.
      noverlap: how much of a segment is in the next one too; a half if None.
      nfft: to what size segments are filled with zeros.
      detrend: "constant" or "linear", which see `detrend`, or a function, for each segment; or False.
      return_onesided: leave out negative frequencies, unless x is complex.
      boundary: how x goes on for half a segment at both ends: "zeros", "even", "odd", "constant" or not (None).
      padded: fill x with zeros to a whole number of segments.
      axis: of x.
    Returns:
      Frequencies, times of the middles of segments, and the transforms, with frequencies along `axis` and times
      along the last axis; scaled so that a sine has its amplitude.
    Raises:
      ValueError: sizes do not fit, or there is no such window, boundary or axis.
    """
    array = _floats(x)
    axis = _axis(axis, array.ndim)
    if array.size == 0:
        empty = jnp.zeros(array.shape, to_floating_dtype(array.dtype))
        return empty, empty, empty
    array = jnp.moveaxis(array, axis, -1)
    cut = _segments(window, nperseg, noverlap, nfft, array.shape[-1])
    one_sided = _one_sided(return_onesided, array)
    array = _extended(array, boundary, cut.size // 2)
    if padded:
        lacking = -(array.shape[-1] - cut.size) % cut.step
        array = jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, lacking)])
    found = _transforms(array, cut, detrend, one_sided)
    found = found / jnp.abs(jnp.sum(jnp.asarray(cut.window, to_floating_dtype(array.dtype))))
    start = 0.0 if boundary is not None else cut.size / 2
    times = jnp.asarray(start + np.arange(found.shape[-2]) * cut.step) / fs
    return _frequencies(cut.nfft, fs, one_sided), times, jnp.moveaxis(found, -1, axis)


def _overlap_add(pieces: Any, step: int) -> Any:
    """The sum of pieces (..., count, size), each `step` elements behind the one before.

    Pieces are cut into blocks of `step`. Block i of piece j belongs to place i + j; in an array in which each row,
    for one i, is one element longer than there are places, what is in a column is what belongs to a place.
    """
    *batch, count, size = pieces.shape
    blocks = -(-size // step)
    rest = [(0, 0)] * len(batch)
    pieces = jnp.pad(pieces, [*rest, (0, 0), (0, blocks * step - size)])
    pieces = jnp.moveaxis(pieces.reshape(*batch, count, blocks, step), -2, -3)
    places = count + blocks - 1
    skewed = jnp.pad(pieces, [*rest, (0, 0), (0, blocks), (0, 0)])
    skewed = skewed.reshape(*batch, blocks * (places + 1), step)[..., : blocks * places, :]
    total = jnp.sum(skewed.reshape(*batch, blocks, places, step), axis=-3)
    return total.reshape(*batch, places * step)[..., : (count - 1) * step + size]


def _inverse_settings(
    window: Any, nperseg: int | None, noverlap: int | None, nfft: int | None, bins: int, one_sided: bool
) -> _Segments:
    full = 2 * (bins - 1) if one_sided else bins
    size = full if nperseg is None else operator.index(nperseg)
    if size < 1:
        raise user_context(ValueError(f"nperseg must be a positive integer, got {size}"))
    if nfft is None:
        length = size if one_sided and size == full + 1 else full
    else:
        length = operator.index(nfft)
    if length < size:
        raise user_context(ValueError(f"FFT length ({length}) must be longer than nperseg ({size})."))
    return _Segments(_window(window, size), size, size - _overlap(noverlap, size), length)


def istft(
    Zxx: ArrayLike,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    input_onesided: bool = True,
    boundary: bool = True,
    time_axis: int = -1,
    freq_axis: int = -2,
) -> tuple[Any, Any]:
    """The signal whose short-time Fourier transform is given, or comes closest to it; the inverse of `stft`.

    Args:
      Zxx: the transforms of the segments.
      fs, window, noverlap: as they were for `stft`.
      nperseg: the size of a segment; what goes with the number of frequencies, if None.
      nfft: the size of the transforms; by default what goes with the number of frequencies.
      input_onesided: whether negative frequencies were left out.
      boundary: whether the signal was extended by half a segment at both ends.
      time_axis, freq_axis: of Zxx.
    Returns:
      Times, and the signal: real if `input_onesided`. It is 0 where all windows are.
    Raises:
      ValueError: sizes do not fit; axes are the same.
    """
    z: Any = jnp.asarray(Zxx)
    if z.ndim < 2:
        raise user_context(ValueError(f"Input stft must be at least 2d!, got shape {z.shape}"))
    if _axis(time_axis, z.ndim) == _axis(freq_axis, z.ndim):
        raise user_context(
            ValueError(f"Must specify differing time and frequency axes!, got {time_axis} and {freq_axis}")
        )
    times_at, bins_at = _axis(time_axis, z.ndim), _axis(freq_axis, z.ndim)
    z = jnp.moveaxis(z, (times_at, bins_at), (-2, -1))
    cut = _inverse_settings(window, nperseg, noverlap, nfft, z.shape[-1], input_onesided)
    pieces = (jnp.fft.irfft if input_onesided else jnp.fft.ifft)(z, cut.nfft)[..., : cut.size]
    shape = jnp.asarray(cut.window, to_floating_dtype(pieces.dtype))
    total = _overlap_add(pieces * (shape * jnp.sum(shape)), cut.step)
    weight = _overlap_add(jnp.broadcast_to(shape * shape, (z.shape[-2], cut.size)), cut.step)
    if boundary:
        half = cut.size // 2
        end = total.shape[-1] - half
        total, weight = total[..., half:end], weight[half:end]
    found = total / jnp.where(weight > 1e-10, weight, 1)
    times = jnp.arange(found.shape[-1]) / fs
    return times, jnp.moveaxis(found, -1, times_at - (bins_at < times_at))


# ---------------------------------------------------------------------------------------------- power densities


def _median_bias(n: int) -> float:
    """By how much the median of n exponential variables exceeds what it would be if it were their mean."""
    even = 2.0 * np.arange(1, (n - 1) // 2 + 1)
    return float(1 + np.sum(1 / (even + 1) - 1 / even))


def _averaged(density: Any, average: str) -> Any:
    """The average over the segments, on the axis before the last."""
    if average == "mean":
        return jnp.mean(density, -2)
    if average != "median":
        raise user_context(ValueError(f'average must be "median" or "mean", got {average!r}'))
    if density.dtype.kind == "c":
        median = lax.complex(jnp.median(density.real, -2), jnp.median(density.imag, -2))
    else:
        median = jnp.median(density, -2)
    return median / _median_bias(density.shape[-2])


def _together(x: Any, y: Any) -> tuple[Any, Any]:
    """Two signals, along their last axes, in one shape: the shorter one gets zeros."""
    try:
        batch = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    except ValueError:
        raise user_context(
            ValueError(f"x and y cannot be broadcast together: {x.shape} and {y.shape}.")
        ) from None
    n = max(x.shape[-1], y.shape[-1])
    x, y = (jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, n - a.shape[-1])]) for a in (x, y))
    return jnp.broadcast_to(x, (*batch, n)), jnp.broadcast_to(y, (*batch, n))


def csd(
    x: ArrayLike,
    y: ArrayLike | None,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:
    """The cross power spectral density of two signals, by Welch's method.

    Args:
      x, y: the signals; None for y means x again. They are broadcast against each other, and the shorter one is
        filled with zeros.
      fs: samples in a unit of time.
      window: by what segments are multiplied: a name that SciPy has, a tuple of name and parameters, or a vector.
      nperseg: the size of a segment; by default 256, or that of `window`.
      noverlap: how much of a segment is in the next one too; a half if None.
      nfft: to what size segments are filled with zeros.
      detrend: "constant" or "linear", which see `detrend`, or a function, for each segment; or False.
      return_onesided: leave out negative frequencies, and count their power with the positive ones; not if a
        signal is complex.
      scaling: "density", power by frequency, or "spectrum", power.
      axis: of the signals.
      average: "mean" or "median", of the segments.
    Returns:
      Frequencies, and densities along `axis`: complex, but real if y is None.
    Raises:
      ValueError: sizes do not fit, or there is no such window, detrend, scaling, average or axis.
    """
    same = y is None or y is x
    first = _floats(x)
    second = first if y is None else _floats(y)
    if first.ndim != second.ndim:
        raise user_context(
            ValueError(f"two-arguments must have the same rank ({first.ndim} vs {second.ndim}).")
        )
    axis = _axis(axis, first.ndim)
    first, second = jnp.moveaxis(first, axis, -1), second if same else jnp.moveaxis(second, axis, -1)
    if not same:
        first, second = _together(first, second)
        dtype = jnp.result_type(first, second)
        first, second = first.astype(dtype), second.astype(dtype)
    if first.size == 0 or second.size == 0:
        empty = jnp.zeros(jnp.moveaxis(first, -1, axis).shape, to_floating_dtype(first.dtype))
        return empty, empty
    cut = _segments(window, nperseg, noverlap, nfft, first.shape[-1])
    one_sided = _one_sided(return_onesided, first, second)
    ours = _transforms(first, cut, detrend, one_sided)
    density = jnp.conj(ours) * (ours if same else _transforms(second, cut, detrend, one_sided))
    density = density.real if y is None else density
    shape = jnp.asarray(cut.window, to_floating_dtype(first.dtype))
    if scaling == "density":
        density = density / (fs * jnp.sum(shape * shape))
    elif scaling == "spectrum":
        density = density / jnp.sum(shape) ** 2
    else:
        raise user_context(ValueError(f"Unknown scaling: {scaling!r}; it is 'density' or 'spectrum'"))
    if one_sided:
        density = _count_conjugates(density, cut.nfft)
    found = jnp.moveaxis(_averaged(density, average), -1, axis)
    return _frequencies(cut.nfft, fs, one_sided), found


def welch(
    x: ArrayLike,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:
    """The power spectral density of a signal, by Welch's method; the arguments are those of `csd`.

    Returns:
      Frequencies, and densities, real, along `axis`.
    """
    return csd(
        x,
        None,
        fs=fs,
        window=window,
        nperseg=nperseg,
        noverlap=noverlap,
        nfft=nfft,
        detrend=detrend,
        return_onesided=return_onesided,
        scaling=scaling,
        axis=axis,
        average=average,
    )
