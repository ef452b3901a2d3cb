"""Discrete Fourier transforms: `wengert.numpy.fft`, as `jax.numpy.fft`.

Along an axis of n elements, `fft` is the sum of x[j] exp(-2 pi i j k / n) over j, and `ifft` the mean of
x[j] exp(2 pi i j k / n). The argument `norm` says where the factor 1 / n goes: with "backward" (the same as None)
to the inverse transforms, with "forward" to the others, and with "ortho" each has 1 / sqrt(n).

Results are complex64 or real float32 for arguments of up to 32 bits, else complex128 or float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core.source import user_context
from wengert.numpy._util import (
    ArrayLike,
    DTypeLike,
    as_array,
    axis_index,
    convert,
    inexact_dtype,
    scalar,
    static_int,
    user_dtype,
)
from wengert.numpy.manipulation import roll
from wengert.prims.fft import fft_along

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

_FFT, _IFFT, _RFFT, _IRFFT = lax.FftType
_AT_ONCE = 3  # axes that the primitive transforms at a time
# the power of the number of elements that forward transforms are scaled by; inverse ones by the opposite power
_POWERS = {None: 0.0, "backward": 0.0, "ortho": -0.5, "forward": -1.0}
_OTHER_WAY = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def _power(norm: str | None) -> float:
    if norm not in _POWERS:
        raise user_context(
            ValueError(f'Invalid norm value {norm}; should be "backward","ortho" or "forward".')
        )
    return _POWERS[norm]


# ----------------------------------------------------------------------------------------------- any number of axes


def _axes(name: str, s: Sequence[int] | None, axes: Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    if axes is None:
        if s is None:
            return tuple(range(ndim))
        if len(s) > ndim:
            raise user_context(
                ValueError(
                    f"jax.numpy.fft.{name}: s = {tuple(s)} has more entries than the array has axes, {ndim}"
                )
            )
        return tuple(range(ndim - len(s), ndim))
    if s is not None and len(s) != len(axes):
        raise user_context(ValueError("Shape and axes have different lengths."))
    found = tuple([axis_index(a, ndim) for a in axes])
    if len(set(found)) != len(found):
        raise user_context(
            ValueError(f"jax.numpy.fft.{name} does not support repeated axes. Got axes {list(axes)}.")
        )
    return found


def resized(x: Any, sizes: dict[int, int]) -> Any:
    """x with zeros behind, or without its last elements, along axes that are to have other sizes."""
    wanted = tuple([sizes.get(i, d) for i, d in enumerate(x.shape)])
    if wanted == x.shape:
        return x
    kept = [min(d, w) for d, w in zip(x.shape, wanted, strict=True)]
    x = lax.slice(x, [0] * x.ndim, kept)
    after = [w - d for d, w in zip(kept, wanted, strict=True)]
    return lax.pad(x, scalar(0, x.dtype), [(0, n, 0) for n in after]) if any(after) else x


def _in_groups(x: Any, kind: lax.FftType, axes: tuple[int, ...], lengths: Sequence[int]) -> Any:
    """The transform along all the axes, of which the last one is special if one side is real."""

    def apply(x: Any, kind: lax.FftType, part: slice) -> Any:
        return fft_along(x, kind, tuple(lengths[part]), axes[part])

    others = {_RFFT: _FFT, _IRFFT: _IFFT}.get(kind, kind)
    rest = max(0, len(axes) - _AT_ONCE)
    groups = [slice(max(0, end - _AT_ONCE), end) for end in range(rest, 0, -_AT_ONCE)]
    last = slice(rest, len(axes))
    if kind == _RFFT:
        x = apply(x, kind, last)
    for part in groups:
        x = apply(x, others, part)
    return x if kind == _RFFT else apply(x, kind, last)


def _transformed(
    name: str,
    kind: lax.FftType,
    a: ArrayLike,
    s: Sequence[int] | None,
    axes: Sequence[int] | None,
    norm: str | None,
) -> Any:
    power = _power(norm)
    x = as_array(a, f"jax.numpy.fft.{name}")
    if s is not None:
        s = [static_int(n, "an entry of s") for n in s]
    where = _axes(name, s, axes, x.ndim)
    x = lax.fft(x, kind, ())  # along no axis: makes x complex or real, as it must be
    if not where:
        return x
    lengths = [x.shape[i] for i in where] if s is None else s
    if s is None and kind == _IRFFT:
        lengths[-1] = 2 * (lengths[-1] - 1)
    if any(n < 1 for n in lengths):
        raise user_context(
            ValueError(f"jax.numpy.fft.{name}: Shape should be positive. Got {tuple(lengths)}.")
        )
    given = [*lengths[:-1], lengths[-1] // 2 + 1] if kind == _IRFFT else lengths
    out = _in_groups(resized(x, dict(zip(where, given, strict=True))), kind, where, lengths)
    factor = float(math.prod(lengths)) ** (power if kind in (_FFT, _RFFT) else -power)
    return out if factor == 1.0 else lax.mul(out, scalar(factor, out.dtype))


def fftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The transform along several axes.

    Args:
      a: an array of numbers.
      s: sizes along the axes, to which `a` is cut or filled with zeros first.
      axes: along which to transform; the last len(s), or all if there is no `s` either.
      norm: see the module.
    Returns:
      A complex array of the shape of `a`, but for `s`.
    Raises:
      ValueError: an axis does not exist or comes twice; a size is not positive, or their number is not that of
        the axes; there is no such norm.
    """
    return _transformed("fftn", _FFT, a, s, axes, norm)


def ifftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The inverse of `fftn`, which see for the arguments."""
    return _transformed("ifftn", _IFFT, a, s, axes, norm)


def rfftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """`fftn` of a real array: of the last of the axes the first n // 2 + 1 values only."""
    return _transformed("rfftn", _RFFT, a, s, axes, norm)


def irfftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The inverse of `rfftn`: real.

    Args:
      a: of the last of the axes the first n // 2 + 1 values.
      s: sizes of the result along the axes; by default those of `a`, and 2 (m - 1) where it has m values along
        the last one.
      axes, norm: as for `fftn`.
    """
    return _transformed("irfftn", _IRFFT, a, s, axes, norm)


# ------------------------------------------------------------------------------------------------------ two axes


def _two(
    name: str,
    kind: lax.FftType,
    a: ArrayLike,
    s: Sequence[int] | None,
    axes: Sequence[int],
    norm: str | None,
) -> Any:
    if len(axes) != 2:
        raise user_context(ValueError(f"jax.numpy.fft.{name} only supports 2 axes. Got axes = {axes}."))
    return _transformed(name, kind, a, s, axes, norm)


def fft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """`fftn` along two axes."""
    return _two("fft2", _FFT, a, s, axes, norm)


def ifft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """`ifftn` along two axes."""
    return _two("ifft2", _IFFT, a, s, axes, norm)


def rfft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """`rfftn` along two axes."""
    return _two("rfft2", _RFFT, a, s, axes, norm)


def irfft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """`irfftn` along two axes."""
    return _two("irfft2", _IRFFT, a, s, axes, norm)


# ------------------------------------------------------------------------------------------------------- one axis


def _one(name: str, kind: lax.FftType, a: ArrayLike, n: int | None, axis: int, norm: str | None) -> Any:
    if isinstance(axis, tuple | list):
        raise user_context(
            ValueError(
                f"jax.numpy.fft.{name} does not support multiple axes. Please use jax.numpy.fft.{name}n. "
                f"Got axis = {axis!r}."
            )
        )
    sizes = None if n is None else (n,)
    return _transformed(name, kind, a, sizes, (-1 if axis is None else axis,), norm)


def fft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform along an axis.

    Args:
      a: an array of numbers.
      n: the size along the axis, to which `a` is cut or filled with zeros first.
      axis: along which to transform.
      norm: see the module.
    Returns:
      A complex array of the shape of `a`, but for `n`.
    Raises:
      ValueError: there is no such axis or norm; `n` is not positive.
    """
    return _one("fft", _FFT, a, n, axis, norm)


def ifft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `fft`, which see for the arguments."""
    return _one("ifft", _IFFT, a, n, axis, norm)


def rfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """`fft` of a real array: the first n // 2 + 1 values, of which the others are conjugates."""
    return _one("rfft", _RFFT, a, n, axis, norm)


def irfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft`: real, with n elements along the axis, by default 2 (m - 1) where `a` has m."""
    return _one("irfft", _IRFFT, a, n, axis, norm)


def _conjugate(x: Any) -> Any:
    return lax.conj(x) if x.dtype.kind == "c" else x


def _swapped(norm: str | None) -> str:
    """The norm that gives an inverse transform the factor of a forward one, and the other way round."""
    _power(norm)
    return _OTHER_WAY[norm]


def hfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The real `fft` of values that are followed by their conjugates in reverse order; see `irfft` for `n`."""
    x = as_array(a, "jax.numpy.fft.hfft")
    return _one("hfft", _IRFFT, _conjugate(x), n, axis, _swapped(norm))


def ihfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `hfft`: the first n // 2 + 1 values of `ifft`, for a real array."""
    return _conjugate(_one("ihfft", _RFFT, a, n, axis, _swapped(norm)))


# ------------------------------------------------------------------------------------------- frequencies, shifts


def _frequencies(
    name: str, n: int, d: ArrayLike, dtype: DTypeLike | None, device: Any, numbers: Callable[[int], Any]
) -> Any:
    if isinstance(n, list | tuple):
        raise user_context(
            ValueError(f"The n argument of jax.numpy.fft.{name} only takes an int. Got n = {list(n)}.")
        )
    if isinstance(d, list | tuple):
        raise user_context(
            ValueError(
                f"The d argument of jax.numpy.fft.{name} only takes a single value. Got d = {list(d)}."
            )
        )
    wanted = inexact_dtype(np.dtype(int)) if dtype is None else user_dtype(dtype, name)
    work = inexact_dtype(wanted)
    n = static_int(n, "n")
    step = as_array(d, f"jax.numpy.fft.{name}")
    if step.size != 1:
        raise user_context(
            ValueError(f"The d argument of jax.numpy.fft.{name} only takes a single value, got {d}.")
        )
    whole = convert(lax.reshape(step, ()) * n, work)
    return convert(as_array(numbers(max(n, 0)).astype(work)) / whole, wanted)


def fftfreq(n: int, d: ArrayLike = 1.0, *, dtype: DTypeLike | None = None, device: Any = None) -> Any:
    """The frequencies that the values of `fft` belong to: 0, 1, ... and then the negative ones, over n d.

    Args:
      n: the number of elements.
      d: the distance of neighbours.
      dtype: of the result; the default float.
      device: accepted for compatibility; arrays live on one device.
    """
    return _frequencies(
        "fftfreq", n, d, dtype, device, lambda n: (np.arange(n) + n // 2) % max(n, 1) - n // 2
    )


def rfftfreq(n: int, d: ArrayLike = 1.0, *, dtype: DTypeLike | None = None, device: Any = None) -> Any:
    """The frequencies that the values of `rfft` belong to: 0, 1, ... n // 2, over n d; see `fftfreq`."""
    return _frequencies("rfftfreq", n, d, dtype, device, lambda n: np.arange(n // 2 + 1))


def _shifted(name: str, x: ArrayLike, axes: int | Sequence[int] | None, back: bool) -> Any:
    array = as_array(x, name)
    if axes is None:
        axes = range(array.ndim)
    where = [axis_index(a, array.ndim) for a in (axes if isinstance(axes, Sequence) else (axes,))]
    halves = [array.shape[i] // 2 for i in where]
    return roll(array, [-h if back else h for h in halves], where)


def fftshift(x: ArrayLike, axes: int | Sequence[int] | None = None) -> Any:
    """x with the value of frequency 0 moved to the middle, along all axes or some."""
    return _shifted("fftshift", x, axes, back=False)


def ifftshift(x: ArrayLike, axes: int | Sequence[int] | None = None) -> Any:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", x, axes, back=True)
