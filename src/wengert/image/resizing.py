"""Resampling: each element of the result is a weighted mean of elements around a place in the image.

Element i covers the interval from i to i + 1 of its axis, so that its middle is at i + 1/2; the middle of the
result's element i comes from the place (i + 1/2 - translation) / scale of the image.

Sources of the kernels: R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE Transactions
on Acoustics, Speech and Signal Processing 29 (1981), 1153-1160; C. E. Duchon, Lanczos filtering in one and two
dimensions, Journal of Applied Meteorology 18 (1979), 1016-1022.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert.core.dtypes import to_floating_dtype
from wengert.core.source import user_context
from wengert.typing import ArrayLike


class ResizeMethod(enum.Enum):
    """How elements are weighted.

    Attributes:
      NEAREST: the nearest one alone.
      LINEAR: the two next ones, in a triangle.
      LANCZOS3, LANCZOS5: the six or ten next ones, by windowed sinc functions.
      CUBIC: the four next ones, by the cubic of Keys with the parameter -1/2.
      CUBIC_PYTORCH: with the parameter -3/4, and the image goes on with its last element, unless antialiased.
      AREA: by how much of the result's element they cover.
    """

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4
    CUBIC_PYTORCH = 5
    AREA = 6

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        """The method of a name: "nearest", "linear", "bilinear", "trilinear", "triangle", "cubic", "bicubic",
        "tricubic", "cubic-pytorch", "lanczos3", "lanczos5"; ValueError if it is none of these.
        """
        found = _NAMES.get(s)
        if found is None:
            raise user_context(ValueError(f'Unknown resize method "{s}"; it is one of {", ".join(_NAMES)}'))
        return found


_NAMES = {
    "nearest": ResizeMethod.NEAREST,
    "linear": ResizeMethod.LINEAR,
    "bilinear": ResizeMethod.LINEAR,
    "trilinear": ResizeMethod.LINEAR,
    "triangle": ResizeMethod.LINEAR,
    "cubic": ResizeMethod.CUBIC,
    "bicubic": ResizeMethod.CUBIC,
    "tricubic": ResizeMethod.CUBIC,
    "cubic-pytorch": ResizeMethod.CUBIC_PYTORCH,
    "lanczos3": ResizeMethod.LANCZOS3,
    "lanczos5": ResizeMethod.LANCZOS5,
}

# ------------------------------------------------------------------------------------- kernels, of distances >= 0
# With the array module, xp: NumPy where all numbers are known, else wengert.numpy.


def _triangle(xp: Any, x: Any) -> Any:
    return xp.maximum(1 - x, 0)


def _cubic(a: float) -> Callable[[Any, Any], Any]:
    def kernel(xp: Any, x: Any) -> Any:
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return xp.where(x < 1, near, xp.where(x < 2, far, 0))

    return kernel


def _lanczos(radius: float) -> Callable[[Any, Any], Any]:
    def kernel(xp: Any, x: Any) -> Any:
        # at 0 the quotient is 1; next to it sin(x) / x would be the quotient of rounding errors
        safe = xp.where(x > 1e-3, x, 1)
        found = radius * xp.sin(np.pi * safe) * xp.sin(np.pi * safe / radius) / (np.pi * safe) ** 2
        return xp.where(x > radius, 0, xp.where(x > 1e-3, found, 1))

    return kernel


_KERNELS = {
    ResizeMethod.LINEAR: _triangle,
    ResizeMethod.LANCZOS3: _lanczos(3.0),
    ResizeMethod.LANCZOS5: _lanczos(5.0),
    ResizeMethod.CUBIC: _cubic(-0.5),
    ResizeMethod.CUBIC_PYTORCH: _cubic(-0.5),
}

# ------------------------------------------------------------------------------------------------------- weights


def _covered(xp: Any, n: int, m: int, inverse: Any, translation: Any) -> Any:
    """How much of the interval that becomes each of m elements is covered by each of n elements."""
    edges = (xp.arange(m + 1) - translation) * inverse
    low, high = xp.minimum(edges[:-1], edges[1:]), xp.maximum(edges[:-1], edges[1:])
    places = xp.arange(n)[:, None]
    return xp.maximum(xp.minimum(high, places + 1) - xp.maximum(low, places), 0)


def _replicated(xp: Any, n: int, places: Any) -> Any:
    """Weights of the cubic with the parameter -3/4 for an image that goes on with its last elements."""
    beyond = 2  # as far as the kernel reaches
    weights = _cubic(-0.75)(xp, abs(places - (xp.arange(n + 2 * beyond) - beyond)[:, None]))
    inside = xp.arange(n)[:, None]
    first, last = weights[:beyond].sum(0), weights[n + beyond :].sum(0)
    middle = weights[beyond : n + beyond]
    return middle + xp.where(inside == 0, first, 0) + xp.where(inside == n - 1, last, 0)


def _weights(
    xp: Any, n: int, m: int, scale: Any, translation: Any, method: ResizeMethod, antialias: bool, eps: float
) -> Any:
    """The matrix (n, m) by which n elements along an axis become m."""
    inverse = 1 / scale
    places = (xp.arange(m) + 0.5 - translation) * inverse - 0.5
    if method == ResizeMethod.CUBIC_PYTORCH and not antialias:
        weights = _replicated(xp, n, places)
    else:
        if method == ResizeMethod.AREA:
            weights = _covered(xp, n, m, inverse, translation)
        else:
            # to shrink without aliasing the kernel is as wide as an element of the result
            width = xp.maximum(inverse, 1) if antialias else 1
            weights = _KERNELS[method](xp, abs(places - xp.arange(n)[:, None]) / width)
        total = weights.sum(0)
        enough = abs(total) > 1000 * eps
        weights = xp.where(enough, weights / xp.where(enough, total, 1), 0)
    return xp.where((places >= -0.5) & (places <= n - 0.5), weights, 0)


def _applied(x: Any, weights: Sequence[Any], axes: Sequence[int], dtype: Any) -> Any:
    for axis, w in zip(axes, weights, strict=True):
        x = jnp.moveaxis(jnp.tensordot(x, w.astype(dtype), (axis, 0)), -1, axis)
    return x


# ----------------------------------------------------------------------------------------------- public functions


def _checked(
    image: ArrayLike, shape: Sequence[int], method: str | ResizeMethod
) -> tuple[Any, list[int], ResizeMethod]:
    x: Any = jnp.asarray(image)
    sizes = [operator.index(d) for d in shape]
    if len(sizes) != x.ndim:
        raise user_context(
            ValueError(
                f"shape must have length equal to the number of dimensions of x; {tuple(sizes)} vs {x.shape}"
            )
        )
    if any(d < 0 for d in sizes):
        raise user_context(ValueError(f"shape must not have negative entries, got {tuple(sizes)}"))
    return x, sizes, ResizeMethod.from_string(method) if isinstance(method, str) else ResizeMethod(method)


def _as_inexact(x: Any) -> Any:
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(x.dtype, float))


def scale_and_translate(
    image: ArrayLike,
    shape: Sequence[int],
    spatial_dims: Sequence[int],
    scale: ArrayLike,
    translation: ArrayLike,
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = lax.Precision.HIGHEST,
) -> Any:
    """The image scaled and moved along some axes; 0 where there is nothing of it.

    Args:
      image: an array; integers are taken as floats.
      shape: of the result.
      spatial_dims: the axes to resample; along the others the result has the size of the image.
      scale, translation: vectors with an entry for each of `spatial_dims`, which may be traced and differentiated:
        the place x of the image comes to x * scale + translation.
      method: a ResizeMethod, but not NEAREST, or its name.
      antialias: widen the kernel where the image shrinks, so that all elements count.
      precision: accepted for compatibility.
    Returns:
      An array of floats or complex numbers of the given shape.
    Raises:
      ValueError: shapes do not fit, an axis does not exist, or there is no such method.
    """
    x, sizes, kind = _checked(image, shape, method)
    if kind == ResizeMethod.NEAREST:
        raise user_context(
            ValueError("Nearest neighbor resampling is not currently supported for scale_and_translate.")
        )
    axes = []
    for d in spatial_dims:
        if not -x.ndim <= d < x.ndim:
            raise user_context(ValueError(f"axis {d} is out of bounds for array of dimension {x.ndim}"))
        axes.append(operator.index(d) % x.ndim)
    factors, offsets = jnp.asarray(scale), jnp.asarray(translation)
    if factors.shape != (len(axes),) or offsets.shape != (len(axes),):
        raise user_context(
            ValueError(
                f"scale and translation must be vectors with one entry for each of spatial_dims {tuple(spatial_dims)}, "
                f"got shapes {factors.shape} and {offsets.shape}"
            )
        )
    if any(n != m for i, (n, m) in enumerate(zip(x.shape, sizes, strict=True)) if i not in axes):
        raise user_context(
            ValueError(
                f"shape {tuple(sizes)} must be that of the image, {x.shape}, but along spatial_dims "
                f"{tuple(spatial_dims)}"
            )
        )
    x = _as_inexact(x)
    real = to_floating_dtype(x.dtype)
    work = jnp.promote_types(real, np.float32)
    factors, offsets = factors.astype(work), offsets.astype(work)
    eps = float(jnp.finfo(work).eps)
    weights = [
        _weights(jnp, x.shape[a], sizes[a], factors[i], offsets[i], kind, antialias, eps)
        for i, a in enumerate(axes)
    ]
    return _applied(x, weights, axes, real)


def resize(
    image: ArrayLike,
    shape: Sequence[int],
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = lax.Precision.HIGHEST,
) -> Any:
    """The image in another size.

    Args:
      image: an array; integers are taken as floats, but by NEAREST they stay.
      shape: of the result, an entry for each axis.
      method: a ResizeMethod or its name.
      antialias: widen the kernel where the image shrinks, so that all elements count.
      precision: accepted for compatibility.
    Returns:
      An array of the given shape.
    Raises:
      ValueError: numbers of axes differ; an axis without elements is to get some; there is no such method.
    """
    x, sizes, kind = _checked(image, shape, method)
    axes = [i for i, (n, m) in enumerate(zip(x.shape, sizes, strict=True)) if n != m]
    if any(x.shape[i] == 0 for i in axes):
        raise user_context(
            ValueError(f"an image of shape {x.shape} has no elements to make one of shape {tuple(sizes)}")
        )
    if kind == ResizeMethod.NEAREST:
        for i in axes:
            n, m = x.shape[i], sizes[i]
            x = jnp.take(x, (2 * np.arange(m) + 1) * n // (2 * m), axis=i, mode="clip")
        return x
    x = _as_inexact(x)
    real = to_floating_dtype(x.dtype)
    eps = float(np.finfo(np.float32).eps)
    weights = [
        _weights(
            np, x.shape[i], sizes[i], sizes[i] / x.shape[i] if sizes[i] else 1.0, 0.0, kind, antialias, eps
        )
        for i in axes
    ]
    return _applied(x, [jnp.asarray(w, real) for w in weights], axes, real)
