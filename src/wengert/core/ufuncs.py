"""The ufuncs of libraries whose inner loops compiled programs call, by the names that programs know them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module

_special, _private_special = lazy_module("scipy.special"), lazy_module("scipy.special._ufuncs")
_fft = lazy_module("numpy.fft._pocketfft_umath")
# What scipy.special.zeta, a function of Python, chooses from.
_PRIVATE = {"special._zeta": "zeta", "special._riemann_zeta": "zeta"}


def find_ufunc(name: str) -> Any:
    """The ufunc "special.gammainc" or "fft.fft"; None if this version of the library has none of the name."""
    library, _, function = name.partition(".")
    module = _fft if library == "fft" else _private_special if name in _PRIVATE else _special
    try:
        found = getattr(module, function, None)
    except ImportError:
        return None
    return found if isinstance(found, np.ufunc) else None


def run_ufunc(name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Call a ufunc, or what the library has in its place, on NumPy arrays."""
    found = find_ufunc(name)
    if found is not None:
        found(*inputs, out=tuple(outputs))
        return
    library, _, function = name.partition(".")
    if library == "fft":
        results = getattr(np.fft, function.partition("_")[0])(inputs[0], outputs[0].shape[-1]) * inputs[1]
    else:
        results = getattr(_special, _PRIVATE.get(name, function))(*inputs)
    for to, value in zip(outputs, results if len(outputs) > 1 else [results], strict=True):
        to[...] = value
