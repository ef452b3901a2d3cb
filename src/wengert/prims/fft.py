"""Discrete Fourier transforms.

The transform of x along an axis of n elements is the sum of x[j] exp(-2 pi i j k / n) over j; the inverse has
the opposite sign in the exponent and the factor 1 / n. Of a real x only the first n // 2 + 1 values are kept: the
others are conjugates of these.
"""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.config import current
from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.processors import cpu_limit
from wengert.core.zeros import Zero, is_undefined, is_zero
from wengert.prims.arithmetic import conj, mul
from wengert.prims.constructors import Shape, as_operand, constant, dtype_of, linear_jvp, shape_of
from wengert.prims.conversion import convert
from wengert.prims.logic import bitwise_or, eq
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota

scipy_fft, pocketfft = lazy_module("scipy.fft"), lazy_module("scipy.fft._pocketfft.pypocketfft")


class FftType(enum.IntEnum):
    """Which transform.

    Attributes:
      FFT: complex to complex.
      IFFT: its inverse.
      RFFT: real to the first half of the complex values, along the last axis.
      IRFFT: its inverse.
    """

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3


# scipy.fft takes longer to import than thousands of small transforms take, so NumPy does these. From the second
# size on the lines of one transform are worth sharing among threads.
_SMALL = 1024
_SHARED = 1 << 16
_PIECE = 1 << 22  # elements that are transformed at a time
_MOST_AXES = 3


def _workers(size: int, lines: int) -> int:
    """How many threads a transform of `size` elements in independent lines should take."""
    if size < _SHARED or lines < 2:
        return 1
    cpus = cpu_limit()
    return min(current().num_threads or cpus, cpus)


# The primitive has a parameter `axes` where it is not along the last axes, in their order.


def _placed(axes: Shape | None, k: int, ndim: int) -> Shape:
    return tuple(range(ndim - k, ndim)) if axes is None else axes


def _axes_parameter(axes: Shape, ndim: int) -> dict[str, Shape]:
    return {} if axes == _placed(None, len(axes), ndim) else {"axes": axes}


def _fft_aval(
    x: ShapedArray, *, fft_type: FftType, fft_lengths: Shape, axes: Shape | None = None
) -> ShapedArray:
    name, k = fft_type.name, len(fft_lengths)
    if not 1 <= k <= _MOST_AXES:
        raise ValueError(
            f"{name} transforms 1 to {_MOST_AXES} axes at a time, got fft_lengths {fft_lengths}; "
            "numpy.fft.fftn takes any number"
        )
    if x.ndim < k:
        raise ValueError(
            f"{name} input shape {x.shape} must have at least as many input dimensions as fft_lengths {fft_lengths}."
        )
    real = fft_type == FftType.RFFT
    if real and x.dtype not in (np.float32, np.float64):
        raise ValueError(f"RFFT input must be float32 or float64, got {x.dtype}")
    if not real and x.dtype not in (np.complex64, np.complex128):
        raise ValueError(f"{name} input must be complex64 or complex128, got {x.dtype}")
    halved = (*fft_lengths[:-1], fft_lengths[-1] // 2 + 1)
    if fft_type >= FftType.RFFT and fft_lengths[-1] < 1:
        raise ValueError(f"{name} needs a last axis of positive length, got fft_lengths {fft_lengths}")
    axes = _placed(axes, k, x.ndim)
    sizes = tuple([x.shape[a] for a in axes])
    dtype = x.dtype
    wanted = made = fft_lengths
    if fft_type == FftType.IRFFT:
        wanted, dtype = halved, dtypes.to_floating_dtype(dtype)
        if sizes != halved:
            raise ValueError(
                f"IRFFT input shape {x.shape} must end in {halved} for fft_lengths {fft_lengths}: "
                "of the last axis n // 2 + 1 values are kept"
            )
    elif real:
        made, dtype = halved, dtypes.to_complex_dtype(dtype)
    if sizes != wanted:
        raise ValueError(
            f"{name} input shape {x.shape} minor dimensions must be equal to fft_lengths {fft_lengths}"
        )
    shape = list(x.shape)
    for a, n in zip(axes, made):
        shape[a] = n
    return ShapedArray(shape, dtype)


def _fft_impl(xp: Any, x: Any, *, fft_type: FftType, fft_lengths: Shape, axes: Shape | None = None) -> Any:
    k, name = len(fft_lengths), fft_type.name.lower()
    axes = _placed(axes, k, x.ndim)
    if x.size == 0:
        aval = ShapedArray(x.shape, x.dtype)
        aval = _fft_aval(aval, fft_type=fft_type, fft_lengths=fft_lengths, axes=axes)
        return xp.zeros(aval.shape, aval.dtype)
    lengths: Any = fft_lengths
    place: Any = axes
    if k == 1:
        lengths, place = fft_lengths[0], axes[0]
    else:
        name += "n"
    if x.size <= _SMALL:
        return getattr(xp.fft, name)(x, lengths, place)
    return getattr(scipy_fft, name)(x, lengths, place, workers=_workers(x.size, x.size // x.shape[axes[-1]]))


def fft_into(out: Any, x: Any, *, fft_type: FftType, fft_lengths: Shape, axes: Shape | None = None) -> None:
    """Fill a NumPy array with a transform. Complex transforms of real numbers take half the time.

    SciPy's functions make arrays of their own; the routine below them, which is private, takes one to fill.
    """
    axes = _placed(axes, len(fft_lengths), x.ndim)
    rows = max(_PIECE * x.shape[0] // x.size, 1)
    if rows < x.shape[0] and 0 not in axes:
        for start in range(0, x.shape[0], rows):  # Ctrl-C is heard in between
            piece = slice(start, start + rows)
            fft_into(out[piece], x[piece], fft_type=fft_type, fft_lengths=fft_lengths, axes=axes)
        return
    forward = fft_type in (FftType.FFT, FftType.RFFT)
    workers = _workers(x.size, x.size // x.shape[axes[-1]])
    options = (forward, 0 if forward else 2, out, workers)
    try:
        if fft_type == FftType.RFFT:
            pocketfft.r2c(x, axes, *options)
        elif fft_type == FftType.IRFFT:
            pocketfft.c2r(x, axes, fft_lengths[-1], *options)
        else:
            pocketfft.c2c(x, axes, *options)
    except (ImportError, AttributeError, TypeError):  # another version of SciPy
        out[...] = _fft_impl(np, x, fft_type=fft_type, fft_lengths=fft_lengths, axes=axes)


def _fft_emit(
    ctx: Any, outs: Any, x: Any, *, fft_type: FftType, fft_lengths: Shape, axes: Shape | None = None
) -> Any:
    if x.aval.size:
        axes = _placed(axes, len(fft_lengths), x.aval.ndim)
        params: dict[str, Any] = {"fft_type": fft_type, "fft_lengths": fft_lengths, "axes": axes}
        ctx.fft(outs[0], x, fft_type.name.lower(), axes, lambda to, x: fft_into(to, x, **params))
    return outs


def _inner_scaled(x: Any, n: int, axis: int, factor: float) -> Any:
    """x with those of its values along an axis scaled that stand for their conjugates too.

    These are all but the first, and but the last one if the n values of the whole axis are an even number.
    """
    place = broadcasted_iota(np.int32, shape_of(x), axis)
    alone = eq(place, np.int32(0))
    if n % 2 == 0:
        alone = bitwise_or(alone, eq(place, np.int32(n // 2)))
    return select(alone, x, mul(x, constant(x, factor)))


def _fft_transpose(ct: Any, x: Any, *, fft_type: FftType, fft_lengths: Shape, **axes: Shape) -> Any:
    if not is_undefined(x):
        return [None]
    if is_zero(ct):
        return [Zero(x.aval)]
    n, size = fft_lengths[-1], math.prod(fft_lengths)
    halved = axes["axes"][-1] if axes else x.aval.ndim - 1
    if fft_type == FftType.RFFT:
        # the inverse counts the inner values twice, for their conjugates; in the sum to transpose they count once
        once = conj(_inner_scaled(ct, n, halved, 0.5))
        back = fft_p.bind(once, fft_type=FftType.IRFFT, fft_lengths=fft_lengths, **axes)
        return [mul(back, constant(back, size))]
    if fft_type == FftType.IRFFT:
        back = conj(fft_p.bind(ct, fft_type=FftType.RFFT, fft_lengths=fft_lengths, **axes))
        return [mul(_inner_scaled(back, n, halved, 2), constant(back, 1 / size))]
    return [fft_p.bind(ct, fft_type=fft_type, fft_lengths=fft_lengths, **axes)]


def _fft_batch(axis: Any, args: Any, dims: Any, *, axes: Shape | None = None, **params: Any) -> Any:
    x, dim = args[0], dims[0]
    ndim = len(shape_of(x))
    moved = tuple([a + (a >= dim) for a in _placed(axes, len(params["fft_lengths"]), ndim - 1)])
    return fft_p.bind(x, **params, **_axes_parameter(moved, ndim)), dim


fft_p: Primitive = Primitive(
    "fft",
    "library",
    abstract_eval=_fft_aval,
    impl=_fft_impl,
    jvp=linear_jvp(lambda: fft_p),
    transpose=_fft_transpose,
    batch=_fft_batch,
    emit=_fft_emit,
    access="view",
)


def _type_of(fft_type: FftType | str) -> FftType:
    if isinstance(fft_type, str):
        found = FftType.__members__.get(fft_type.upper())
        if found is None:
            raise ValueError(f"Unknown FFT type '{fft_type}'; it is one of {', '.join(FftType.__members__)}")
        return found
    return FftType(fft_type)


def fft_along(x: Any, kind: FftType, lengths: Shape, axes: Shape) -> Any:
    """The transform along any axes, 1 to 3 different ones counted from the front, of an x with the right dtype."""
    return fft_p.bind(x, fft_type=kind, fft_lengths=lengths, **_axes_parameter(axes, len(shape_of(x))))


def fft(x: Any, fft_type: FftType | str, fft_lengths: Sequence[int]) -> Any:
    """The discrete Fourier transform along the last axes.

    Args:
      x: an array (..., d1, ... dk): real for RFFT, else complex, or made so.
      fft_type: an FftType or its name.
      fft_lengths: the sizes of the k last axes, k up to 3: those of x, but for IRFFT those of the result, of whose
        last axis x holds the first d // 2 + 1 values.
    Returns:
      An array of complex values, of real ones for IRFFT; x as it is, if `fft_lengths` is empty.
    Raises:
      ValueError: `fft_lengths` do not fit x; x is complex, or in half precision, for RFFT; there is no such
        transform.
      TypeError: `fft_lengths` is no sequence of integers.
    """
    kind = _type_of(fft_type)
    lengths = tuple([operator.index(n) for n in fft_lengths])
    x = as_operand("fft", x)
    dtype = dtype_of(x)
    if kind != FftType.RFFT:
        x = convert(x, dtypes.to_complex_dtype(dtype))
    elif dtype.kind == "c":
        raise ValueError("only real valued inputs supported for rfft")
    else:
        x = convert(x, dtypes.to_inexact_dtype(dtype))
    return fft_p.bind(x, fft_type=kind, fft_lengths=lengths) if lengths else x
