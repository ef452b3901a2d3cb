"""Discrete cosine transforms: `wengert.scipy.fft`, as `jax.scipy.fft`, for all types that SciPy has but 5 to 8.

With N elements x[n] along the axis, and all sums over n:

1. x[0] + (-1)^k x[N-1] + 2 sum of x[n] cos(pi k n / (N-1)), without the first and the last n
2. 2 sum of x[n] cos(pi k (2n+1) / 2N)
3. x[0] + 2 sum of x[n] cos(pi (2k+1) n / 2N), without the first n
4. 2 sum of x[n] cos(pi (2k+1) (2n+1) / 4N)

Types 1 and 4 are their own inverses, 2 and 3 each other's, up to the factor 1/M, with M = 2 (N-1) for type 1
and 2 N for the others. `norm` says where this goes: with "backward" (the same as None) to the inverse, with
"forward" to the transform. With "ortho" each has 1/sqrt(M), and terms that count once get a factor of sqrt(2)
or its inverse, so that the matrix of the transform is orthogonal.

Source of types 2 and 3 by one transform of N elements: J. Makhoul, A fast cosine transform in one and two
dimensions, IEEE Transactions on Acoustics, Speech and Signal Processing 28 (1980), 27-34.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy.fft import resized
from wengert.typing import ArrayLike

__all__ = ["dct", "dctn", "idct", "idctn"]

_INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}
_NORMS = (None, "backward", "ortho", "forward")


def _twist(x: Any, angles: Any) -> Any:
    """exp(i angles), in the complex dtype that goes with x."""
    return jnp.asarray(np.exp(1j * angles), dtypes.to_complex_dtype(x.dtype))


# --------------------------------------------------------------------------- the types, along the last axis, unscaled


def _type_1(x: Any) -> Any:
    n = x.shape[-1]
    if n < 2:
        raise user_context(ValueError(f"the cosine transform of type 1 takes at least 2 elements, got {n}"))
    around = jnp.concatenate([x, jnp.flip(x[..., 1:-1], -1)], -1)
    return jnp.fft.rfft(around).real


def _type_2(x: Any) -> Any:
    n = x.shape[-1]
    folded = jnp.concatenate([x[..., ::2], jnp.flip(x[..., 1::2], -1)], -1)
    half = jnp.fft.rfft(folded)
    values = half * _twist(x, -np.pi * np.arange(n // 2 + 1) / (2 * n)) * 2
    return jnp.concatenate([values.real, -jnp.flip(values[..., 1 : (n + 1) // 2].imag, -1)], -1)


def _type_3(x: Any) -> Any:
    n = x.shape[-1]
    m = n // 2 + 1
    none = jnp.zeros((*x.shape[:-1], 1), x.dtype)
    mirrored = jnp.flip(jnp.concatenate([x[..., n - m + 1 :], none], -1), -1)
    half = lax.complex(x[..., :m], -mirrored) * _twist(x, np.pi * np.arange(m) / (2 * n))
    folded = jnp.fft.irfft(half, n, norm="forward")
    even, odd = folded[..., : (n + 1) // 2], jnp.flip(folded[..., (n + 1) // 2 :], -1)
    rest = [(0, 0, 0)] * (x.ndim - 1)
    zero = jnp.zeros((), x.dtype)
    spread = lax.pad(even, zero, [*rest, (0, (n + 1) % 2, 1)])
    return spread if n == 1 else spread + lax.pad(odd, zero, [*rest, (1, n % 2, 1)])


def _type_4(x: Any) -> Any:
    n = x.shape[-1]
    places = np.arange(n)
    twisted = x * _twist(x, -np.pi * places / (2 * n))
    values = jnp.fft.fft(twisted, 2 * n)[..., :n]
    return (values * _twist(x, -np.pi * (2 * places + 1) / (4 * n))).real * 2


_TYPES: dict[int, Callable[[Any], Any]] = {1: _type_1, 2: _type_2, 3: _type_3, 4: _type_4}


def _ends_scaled(x: Any, factor: float, last: bool) -> Any:
    """x with its first, and perhaps its last, value along the last axis scaled."""
    factors = np.ones(x.shape[-1])
    factors[0] *= factor
    if last:
        factors[-1] *= factor
    return x * jnp.asarray(factors, x.dtype)


def _along_last(x: Any, kind: int, norm: str | None, inverse: bool) -> Any:
    if x.dtype.kind == "c":
        return lax.complex(_along_last(x.real, kind, norm, inverse), _along_last(x.imag, kind, norm, inverse))
    if x.size == 0:
        return x
    if inverse:
        kind = _INVERSE[kind]
    ortho = norm == "ortho"
    if ortho and kind in (1, 3):
        x = _ends_scaled(x, math.sqrt(2), last=kind == 1)
    n = x.shape[-1]
    found = _TYPES[kind](x)
    if ortho and kind in (1, 2):
        found = _ends_scaled(found, math.sqrt(0.5), last=kind == 1)
    size = 2 * (n - 1) if kind == 1 else 2 * n
    if ortho:
        return found / math.sqrt(size)
    return found / size if inverse != (norm == "forward") else found


def _transformed(name: str, x: Any, kind: int, sizes: dict[int, int], norm: str | None, inverse: bool) -> Any:
    if norm not in _NORMS:
        raise user_context(
            ValueError(f"jax.scipy.fft.{name}: norm={norm!r} is none of {', '.join(map(repr, _NORMS))}")
        )
    if kind not in _TYPES:
        raise user_context(ValueError(f"jax.scipy.fft.{name}: type={kind!r} is none of 1, 2, 3, 4"))
    for axis, n in sizes.items():
        if n < 1 and n != x.shape[axis]:
            raise user_context(
                ValueError(f"jax.scipy.fft.{name}: the size {n} along axis {axis} is not positive")
            )
    x = resized(x, sizes)
    for axis in sizes:
        x = jnp.moveaxis(_along_last(jnp.moveaxis(x, axis, -1), kind, norm, inverse), -1, axis)
    return x


def _floats(name: str, x: ArrayLike) -> Any:
    """The argument as an array of floats of at least 32 bits, or complex numbers."""
    if isinstance(x, list | tuple):
        raise user_context(
            TypeError(f"{name} requires ndarray or scalar arguments, got {type(x)} at position 0.")
        )
    array: Any = jnp.asarray(x)
    return array.astype(jnp.promote_types(dtypes.to_inexact_dtype(array.dtype), np.float32))


def _axis(axis: int, ndim: int) -> int:
    found = operator.index(axis)
    if not -ndim <= found < ndim:
        raise user_context(ValueError(f"axis {axis} is out of bounds for array of dimension {ndim}"))
    return found % ndim


def _one(name: str, x: ArrayLike, kind: int, n: int | None, axis: int, norm: str | None) -> Any:
    array = _floats(name, x)
    axis = _axis(axis, array.ndim)
    size = array.shape[axis] if n is None else operator.index(n)
    return _transformed(name, array, kind, {axis: size}, norm, inverse=name.startswith("i"))


def _many(
    name: str, x: ArrayLike, kind: int, s: Sequence[int] | None, axes: Sequence[int] | None, norm: str | None
) -> Any:
    array = _floats(name, x)
    ndim = array.ndim
    if isinstance(axes, int):
        axes = (axes,)
    if isinstance(s, int):
        s = (s,)
    if s is not None and len(s) > ndim:
        raise user_context(ValueError(f"s must have at most x.ndim ({ndim}) elements, got {len(s)}"))
    if axes is None:
        axes = range(0 if s is None else ndim - len(s), ndim)
    where = [_axis(a, ndim) for a in axes]
    if len(set(where)) != len(where):
        raise user_context(ValueError(f"repeated axis: {tuple(axes)}"))
    if s is not None and len(s) != len(where):
        raise user_context(
            ValueError(f"when given, axes and s must have as many entries, got {tuple(axes)} and {tuple(s)}")
        )
    sizes = [array.shape[i] for i in where] if s is None else [operator.index(n) for n in s]
    return _transformed(
        name, array, kind, dict(zip(where, sizes, strict=True)), norm, inverse=name.startswith("i")
    )


# -------------------------------------------------------------------------------------------------- public functions


def dct(x: ArrayLike, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The discrete cosine transform along an axis.

    Args:
      x: an array; integers are taken as floats, of complex numbers both parts are transformed.
      type: 1, 2, 3 or 4; see the module.
      n: the size along the axis, to which x is cut or filled with zeros first.
      axis: along which to transform.
      norm: None, "backward", "ortho" or "forward"; see the module.
    Returns:
      An array of the shape of x, but for `n`.
    Raises:
      ValueError: there is no such axis, type or norm; n is not positive; type 1 of one element.
    """
    return _one("dct", x, type, n, axis, norm)


def idct(x: ArrayLike, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `dct`, which see for the arguments."""
    return _one("idct", x, type, n, axis, norm)


def dctn(
    x: ArrayLike,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """The discrete cosine transform along several axes.

    Args:
      x, type, norm: as for `dct`.
      s: sizes along the axes, to which x is cut or filled with zeros first.
      axes: along which to transform; the last len(s), or all if there is no `s` either.
    Raises:
      ValueError: as for `dct`; an axis comes twice; numbers of axes and sizes differ.
    """
    return _many("dctn", x, type, s, axes, norm)


def idctn(
    x: ArrayLike,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """The inverse of `dctn`, which see for the arguments."""
    return _many("idctn", x, type, s, axes, norm)
