"""Convolution and correlation of arrays with any number of axes.

The convolution of x and y at k is the sum of x[i] y[k - i] over all i for which both exist. `mode` says which k:
"full", all for which there is a term; "same", as many as x has elements, from the middle; "valid", those for
which no index of the smaller array is out of bounds of the larger one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from wengert import lax, numpy as jnp
from wengert.core.source import user_context
from wengert.typing import ArrayLike

_MODES = ("full", "same", "valid")
# By the Fourier transform if that takes this much less arithmetic; below so many products never.
_GAIN = 10
_FEW = 1_000_000


def _array(name: str, x: ArrayLike) -> Any:
    if isinstance(x, list | tuple):
        raise user_context(
            TypeError(f"{name} requires ndarray or scalar arguments, got {type(x)}; use jnp.asarray.")
        )
    return jnp.asarray(x)


def _pair(name: str, in1: ArrayLike, in2: ArrayLike) -> tuple[Any, Any]:
    """Both arrays, as floats or complex numbers of one dtype."""
    x, y = _array(name, in1), _array(name, in2)
    dtype = jnp.result_type(x, y)
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.result_type(dtype, float)
    return x.astype(dtype), y.astype(dtype)


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise user_context(ValueError(f"mode must be one of ['full', 'same', 'valid'], got {mode!r}"))


def _larger_first(sizes1: Sequence[int], sizes2: Sequence[int]) -> bool:
    """Whether the first array is at least as large along all axes, for "valid"; ValueError if neither is."""
    if all(m >= n for m, n in zip(sizes1, sizes2, strict=True)):
        return True
    if all(m <= n for m, n in zip(sizes1, sizes2, strict=True)):
        return False
    raise user_context(
        ValueError(
            "For 'valid' mode, One input must be at least as large as the other in every dimension, "
            f"got sizes {tuple(sizes1)} and {tuple(sizes2)}. Use mode 'full' or 'same'."
        )
    )


def _middle(
    full: Any, sizes1: Sequence[int], sizes2: Sequence[int], axes: Sequence[int], mode: str, late: int = 0
) -> Any:
    """What `mode` keeps of the full convolution of arrays of the given sizes along the axes.

    Where there is no middle, "same" leaves out one element more at the end, or if `late` is 1 at the start.
    """
    if mode == "full":
        return full
    if mode == "valid":
        _larger_first(sizes1, sizes2)
    for axis, m, n in zip(axes, sizes1, sizes2, strict=True):
        start, size = ((n - 1 + late) // 2, m) if mode == "same" else (min(m, n) - 1, abs(m - n) + 1)
        full = lax.slice_in_dim(full, start, start + size, axis=axis)
    return full


# ---------------------------------------------------------------------------------------------------- two ways


def _fast_size(n: int) -> int:
    """The least size from n on that has no prime factors but 2, 3 and 5: Fourier transforms of these are quick."""
    best = 1 << max(n - 1, 0).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            best = min(best, threes << max(0, (-(-n // threes) - 1).bit_length()))
            threes *= 3
        fives *= 5
    return best


def _by_fourier(x: Any, y: Any, axes: Sequence[int], mode: str) -> Any:
    sizes1, sizes2 = [x.shape[i] for i in axes], [y.shape[i] for i in axes]
    whole = [m + n - 1 for m, n in zip(sizes1, sizes2, strict=True)]
    fast = [_fast_size(n) for n in whole]
    dtype = x.dtype
    if dtype.itemsize < 4:  # half precision is not transformed
        x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    if dtype.kind == "c":
        product = jnp.fft.fftn(x, fast, axes) * jnp.fft.fftn(y, fast, axes)
        full = jnp.fft.ifftn(product, fast, axes)
    else:
        product = jnp.fft.rfftn(x, fast, axes) * jnp.fft.rfftn(y, fast, axes)
        full = jnp.fft.irfftn(product, fast, axes)
    for axis, n in zip(axes, whole, strict=True):
        full = lax.slice_in_dim(full, 0, n, axis=axis)
    return _middle(full, sizes1, sizes2, axes, mode).astype(dtype)


def _directly(x: Any, y: Any, mode: str, precision: Any, late: int = 0) -> Any:
    if x.ndim == 1 and mode == "valid":
        return jnp.convolve(x, y, mode)
    if x.ndim == 1:
        return _middle(jnp.convolve(x, y), x.shape, y.shape, (0,), mode, late)
    if mode == "valid" and not _larger_first(x.shape, y.shape):
        x, y = y, x
    starts = {
        "full": [0] * x.ndim,
        "same": [(n - 1 + late) // 2 for n in y.shape],
        "valid": [n - 1 for n in y.shape],
    }[mode]
    ends = starts if mode != "same" else [n - 1 - s for s, n in zip(starts, y.shape, strict=True)]
    pads = [(n - 1 - s, n - 1 - e) for s, e, n in zip(starts, ends, y.shape, strict=True)]
    ones = (1,) * x.ndim
    return lax.conv_general_dilated(x[None, None], jnp.flip(y)[None, None], ones, pads, precision=precision)[
        0, 0
    ]


def _fourier_is_quicker(x: Any, y: Any) -> bool:
    products = math.prod(m + n - 1 for m, n in zip(x.shape, y.shape, strict=True)) * min(x.size, y.size)
    size = math.prod(_fast_size(m + n - 1) for m, n in zip(x.shape, y.shape, strict=True))
    return bool(products > _FEW and products > _GAIN * 3 * size * math.log2(size))


def _convolved(name: str, x: Any, y: Any, mode: str, method: str, precision: Any, late: int = 0) -> Any:
    _check_mode(mode)
    if x.ndim != y.ndim:
        raise user_context(
            ValueError(
                f"in1 and in2 must have the same number of dimensions, {name} got {x.ndim} and {y.ndim}"
            )
        )
    if x.size == 0 or y.size == 0:
        raise user_context(
            ValueError(f"zero-size arrays not supported in convolutions, got shapes {x.shape} and {y.shape}.")
        )
    if x.ndim == 0:
        return x * y
    if mode == "valid":
        _larger_first(x.shape, y.shape)
    if method == "fft" or (method == "auto" and _fourier_is_quicker(x, y)):
        return _by_fourier(x, y, range(x.ndim), mode)
    if method in ("auto", "direct"):
        return _directly(x, y, mode, precision, late)
    raise user_context(ValueError(f"Got method={method!r}; expected 'auto', 'fft', or 'direct'."))


def _reversed(y: Any) -> Any:
    """The array with which to convolve is to correlate with y."""
    return jnp.flip(jnp.conj(y))


# --------------------------------------------------------------------------------------------- public functions


def fftconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: Any = None) -> Any:
    """The convolution of two arrays along axes, by the Fourier transform.

    Args:
      in1, in2: arrays with as many axes, and of the same size along those that are not convolved.
      mode: "full", "same" or "valid"; see the module.
      axes: an axis, or several; all of them if None.
    Returns:
      An array of floats or complex numbers. Errors are relative to the largest values, not to each one.
    Raises:
      ValueError: sizes do not fit; there is no such mode or axis.
    """
    x, y = _pair("fftconvolve", in1, in2)
    _check_mode(mode)
    if x.ndim != y.ndim:
        raise user_context(
            ValueError(f"in1 and in2 should have the same dimensionality, got {x.ndim} and {y.ndim}")
        )
    wanted = range(x.ndim) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    for a in wanted:
        if not -x.ndim <= a < x.ndim:
            raise user_context(ValueError(f"axis {a} is out of bounds for array of dimension {x.ndim}"))
    where = sorted({a % x.ndim for a in wanted})
    if any(x.shape[i] != y.shape[i] for i in range(x.ndim) if i not in where):
        raise user_context(
            ValueError(
                f"mapped axes must have same shape; got in1.shape={x.shape} in2.shape={y.shape} axes={tuple(wanted)}"
            )
        )
    if not where:
        return x * y
    if x.size == 0 or y.size == 0:
        sizes = [x.shape[i] + y.shape[i] - 1 if i in where else x.shape[i] for i in range(x.ndim)]
        return jnp.zeros([max(0, n) for n in sizes], x.dtype)
    return _by_fourier(x, y, where, mode)


def convolve(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", precision: Any = None
) -> Any:
    """The convolution of two arrays along all axes.

    Args:
      in1, in2: arrays with as many axes.
      mode: "full", "same" or "valid"; see the module.
      method: "direct", the sum as it stands; "fft", by the Fourier transform; "auto", the second one if that takes
        far less arithmetic.
      precision: accepted for compatibility.
    Returns:
      An array of floats or complex numbers.
    Raises:
      ValueError: numbers of axes differ; an array is empty; with "valid", neither is at least as large along all
        axes; there is no such mode or method.
    """
    x, y = _pair("convolve", in1, in2)
    return _convolved("convolve", x, y, mode, method, precision)


def correlate(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", precision: Any = None
) -> Any:
    """The correlation of two arrays: the convolution with the conjugate of the second, in reverse order.

    The arguments are those of `convolve`.
    """
    x, y = _pair("correlate", in1, in2)
    return _convolved("correlate", x, _reversed(y), mode, method, precision)


_PADDING = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def _plane(
    name: str, x: Any, y: Any, mode: str, boundary: str, fillvalue: float, precision: Any, late: int = 0
) -> Any:
    if x.ndim != 2 or y.ndim != 2:
        raise user_context(
            ValueError(f"{name}() only supports 2-dimensional inputs, got {x.ndim} and {y.ndim} dimensions.")
        )
    if boundary not in _PADDING:
        raise user_context(
            ValueError(f"{name}: boundary must be one of 'fill', 'wrap' and 'symm', got {boundary!r}")
        )
    plain = boundary == "fill" and isinstance(fillvalue, int | float) and fillvalue == 0
    if plain or mode not in ("full", "same") or x.size == 0 or y.size == 0:
        return _convolved(name, x, y, mode, "direct", precision, late)
    around = [(n - 1, n - 1) for n in y.shape]
    options = {"constant_values": fillvalue} if boundary == "fill" else {}
    padded = jnp.pad(x, around, mode=_PADDING[boundary], **options)
    # larger than y along all axes; its "valid" part is the full convolution
    full = _convolved(name, padded, y, "valid", "direct", precision)
    return _middle(full, x.shape, y.shape, (0, 1), mode, late)


def convolve2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Any:
    """The convolution of two matrices.

    Args:
      in1, in2: matrices.
      mode: "full", "same" or "valid"; see the module.
      boundary: how `in1` goes on beyond its edges: "fill" with `fillvalue`, "wrap" periodic, "symm" mirrored.
      fillvalue: a number.
      precision: accepted for compatibility.
    Raises:
      ValueError: an argument is no matrix or empty; with "valid", neither is at least as large along both axes;
        there is no such mode or boundary.
    """
    x, y = _pair("convolve2d", in1, in2)
    return _plane("convolve2d", x, y, mode, boundary, fillvalue, precision)


def correlate2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Any:
    """The correlation of two matrices; the arguments are those of `convolve2d`.

    With "valid" and a smaller `in1` it is the conjugate of what `correlate` gives, as in SciPy.
    """
    x, y = _pair("correlate2d", in1, in2)
    found = _plane("correlate2d", x, _reversed(y), mode, boundary, fillvalue, precision, late=1)
    exchanged = mode == "valid" and not _larger_first(x.shape, y.shape)
    return jnp.conj(found) if exchanged else found
