"""Signals: convolution, spectra, trends. `wengert.scipy.signal`, as `jax.scipy.signal`."""

from __future__ import annotations

from wengert.scipy.signal.convolution import convolve, convolve2d, correlate, correlate2d, fftconvolve
from wengert.scipy.signal.spectral import csd, istft, stft, welch
from wengert.scipy.signal.trends import detrend

__all__ = [
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "csd",
    "detrend",
    "fftconvolve",
    "istft",
    "stft",
    "welch",
]
