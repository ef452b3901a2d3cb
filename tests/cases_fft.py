"""Rows of the table of primitives: Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import FLOATS, Arg, row

from wengert import lax
from wengert.prims.fft import fft_along


def parts(z: Any) -> list[Any]:
    return [lax.real(z), lax.imag(z)]


def numpy_parts(z: Any) -> list[Any]:
    return [z.real, z.imag]


FFT = {"dtypes": FLOATS, "ulps": 32}
X = (3, 4, 5, 6)
for lengths, kinds in (((6,), ("FFT", "IFFT")), ((5, 6), ("IFFT",)), ((4, 5, 6), ("FFT",))):
    axes = range(-len(lengths), 0)
    for kind in kinds:
        row(
            f"fft, {kind} of {lengths}",
            lambda x, y, k=kind, n=lengths: parts(lax.fft(lax.complex(x, y), k, n)),
            lambda x, y, k=kind, a=axes: numpy_parts(getattr(np.fft, f"{k.lower()}n")(x + 1j * y, axes=a)),
            [Arg(X[-len(lengths) - 1 :])] * 2,
            smooth=(0, 1),
            linear=(0, 1),
            **FFT,
        )
# of odd and of even numbers of elements the halves end differently
for lengths in ((6,), (7,), (1,), (2, 3, 4)):
    axes, halved = range(-len(lengths), 0), (*lengths[:-1], lengths[-1] // 2 + 1)
    row(
        f"fft, RFFT of {lengths}",
        lambda x, n=lengths: parts(lax.fft(x, "RFFT", n)),
        lambda x, a=axes: numpy_parts(np.fft.rfftn(x, axes=a)),
        [Arg((2, *lengths))],
        smooth=(0,),
        linear=(0,),
        **FFT,
    )
    row(
        f"fft, IRFFT of {lengths}",
        lambda x, y, n=lengths: lax.fft(lax.complex(x, y), lax.FftType.IRFFT, n),
        lambda x, y, a=axes, n=lengths: np.fft.irfftn(x + 1j * y, n, axes=a),
        [Arg((2, *halved))] * 2,
        smooth=(0, 1),
        linear=(0, 1),
        **FFT,
    )
row(
    "fft of complex numbers",
    lambda z: lax.fft(z, "FFT", (7,)),
    lambda z: np.fft.fft(z),
    [Arg((3, 7))],
    "complex64 complex128",
    linear=(0,),
    ulps=32,
)
row(
    "fft, large",
    lambda z: lax.fft(z, "IFFT", (64,)),
    lambda z: np.fft.ifft(z),
    [Arg((33, 64))],
    "complex64 complex128",
    linear=(0,),
    ulps=32,
)
# along other axes than the last ones, which the functions of numpy.fft ask for
row(
    "fft along other axes",
    lambda x: parts(fft_along(x, lax.FftType.RFFT, (4, 3), (1, 0))),
    lambda x: numpy_parts(np.fft.rfftn(x, axes=(1, 0))),
    [Arg((3, 4, 2))],
    smooth=(0,),
    linear=(0,),
    **FFT,
)
row(
    "fft along other axes, inverse",
    lambda x, y: fft_along(lax.complex(x, y), lax.FftType.IRFFT, (4,), (0,)),
    lambda x, y: np.fft.irfft(x + 1j * y, 4, axis=0),
    [Arg((3, 2))] * 2,
    smooth=(0, 1),
    linear=(0, 1),
    **FFT,
)
