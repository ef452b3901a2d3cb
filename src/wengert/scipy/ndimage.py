"""Images as functions of places between their elements: `wengert.scipy.ndimage`, as `jax.scipy.ndimage`.

Source of the splines: M. Unser, A. Aldroubi and M. Eden, B-spline signal processing, IEEE Transactions on Signal
Processing 41 (1993), 821-833 and 834-848.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import numpy as jnp
from wengert.core.dtypes import to_floating_dtype
from wengert.core.source import user_context
from wengert.typing import ArrayLike

__all__ = ["map_coordinates"]

_HIGHEST_ORDER = 5
# Splines of order 2 and more see some elements beyond the edges, and more the less they weigh. In these modes they
# are written out, as many as SciPy takes.
_WRITTEN_OUT = 12

# ------------------------------------------------------------------------- which element stands beyond the edges


def _nearest(xp: Any, i: Any, n: int) -> Any:
    return xp.clip(i, 0, n - 1)


def _wrapped(xp: Any, i: Any, n: int) -> Any:
    return xp.remainder(i, n)


def _reflected(xp: Any, i: Any, n: int) -> Any:
    """d c b a | a b c d | d c b a"""
    i = xp.remainder(i, 2 * n)
    return xp.minimum(i, 2 * n - 1 - i)


def _mirrored(xp: Any, i: Any, n: int) -> Any:
    """d c b | a b c d | c b a"""
    period = max(1, 2 * n - 2)
    i = xp.remainder(i, period)
    return xp.minimum(i, period - i)


_MODES: dict[str, Callable[[Any, Any, int], Any]] = {
    "constant": _nearest,
    "nearest": _nearest,
    "wrap": _wrapped,
    "reflect": _reflected,
    "mirror": _mirrored,
}
# SciPy's names for the same; its own "constant" and "wrap" are others
_MODES |= {
    "grid-constant": _MODES["constant"],
    "grid-wrap": _MODES["wrap"],
    "grid-mirror": _MODES["reflect"],
}

# -------------------------------------------------------------------------------------------------------- splines


def _spline_values(t: Any, order: int) -> list[Any]:
    """The B-spline on the nodes 0, 1, ... order + 1 at t, t + 1, ... t + order, for t in [0, 1)."""
    values: list[Any] = [t * 0 + 1]
    for p in range(1, order + 1):
        none = t * 0
        upper, lower = [*values, none], [none, *values]
        values = [((t + j) * upper[j] + (p + 1 - j - t) * lower[j]) / p for j in range(p + 1)]
    return values


@functools.lru_cache(maxsize=64)
def _coefficients_matrix(n: int, order: int, mode: str) -> Any:
    """The matrix (n, n) that makes of n values the coefficients of the spline through them.

    The inverse of the filter that makes values of coefficients decays fast: by 0.43 an element for order 5.
    """
    size = 256
    middle = (order + 1) / 2
    nodes = [float(v) for v in _spline_values(middle % 1, order)]
    samples = np.zeros(size)
    for j, value in enumerate(nodes):
        samples[round(middle % 1 + j - middle) % size] += value
    inverse = np.fft.ifft(1 / np.fft.fft(samples)).real
    inverse[np.abs(inverse) < 1e-18] = 0
    matrix = np.zeros((n, n))
    rows = np.arange(n)
    edge = _MODES[{"constant": "mirror", "grid-constant": "mirror", "nearest": "reflect"}.get(mode, mode)]
    for k in range(-size // 2 + 1, size // 2):
        if inverse[k]:
            matrix[rows, edge(np, rows + k, n)] += inverse[k]
    return matrix


def _coefficients(x: Any, order: int, mode: str) -> Any:
    """The coefficients of the spline through the elements of x."""
    for axis, n in enumerate(x.shape):
        matrix = jnp.asarray(_coefficients_matrix(n, order, mode), to_floating_dtype(x.dtype))
        x = jnp.moveaxis(jnp.tensordot(x, matrix, (axis, 1)), -1, axis)
    return x


def _terms(place: Any, n: int, order: int, mode: str) -> list[tuple[Any, Any, Any]]:
    """Along an axis of n elements: the indices that count at a place, whether they are inside, and weights."""
    if order == 0:  # halves are rounded away from 0
        whole = jnp.sign(place) * jnp.floor(jnp.abs(place) + 0.5)
        found = [(whole, None)]
    else:
        moved = place + (order + 1) / 2
        last = jnp.floor(moved)
        found = [(last - j, w) for j, w in enumerate(_spline_values(moved - last, order))]
    terms = []
    for index, weight in found:
        i = index.astype(np.int32)
        inside = (i >= 0) & (i < n) if mode in ("constant", "grid-constant") else None
        terms.append((_MODES[mode](jnp, i, n), inside, weight))
    return terms


# ------------------------------------------------------------------------------------------------ public function


def _interpolated(x: Any, places: Sequence[Any], order: int, mode: str, cval: Any) -> Any:
    axes = [_terms(p, n, order, mode) for p, n in zip(places, x.shape, strict=True)]
    total: Any = None
    for terms in itertools.product(*axes):
        value = x[tuple(index for index, _, _ in terms)]
        masks = [inside for _, inside, _ in terms if inside is not None]
        if masks:
            value = jnp.where(functools.reduce(operator.and_, masks), value, cval)
        weights = [w for _, _, w in terms if w is not None]
        if weights:
            value = functools.reduce(operator.mul, weights) * value
        total = value if total is None else total + value
    return total


def map_coordinates(
    input: ArrayLike,
    coordinates: Sequence[ArrayLike],
    order: int,
    mode: str = "constant",
    cval: ArrayLike = 0.0,
) -> Any:
    """The values of an array between its elements, by splines.

    Args:
      input: an array with d axes.
      coordinates: d arrays, broadcast against each other: the places, in elements, along each axis.
      order: of the spline: 0 takes the nearest element, 1 is linear between elements, ... up to 5.
      mode: what is beyond the edges: "constant", `cval`; "nearest", the last element; "wrap", the other end;
        "reflect", the elements in reverse order; "mirror", these without the last one. These are what SciPy calls
        "grid-constant", "nearest", "grid-wrap", "reflect" and "mirror", and its names are understood too; SciPy's
        own "constant" and "wrap" go over into `cval` and into the other end in other ways.
      cval: a number.
    Returns:
      An array of the common shape of the coordinates, in the dtype of the input: integers are rounded.
    Raises:
      ValueError: the number of coordinates is not that of axes; there is no such order or mode.
    """
    x: Any = jnp.asarray(input)
    if len(coordinates) != x.ndim:
        raise user_context(
            ValueError(
                f"coordinates must be a sequence of length input.ndim, but {len(coordinates)} != {x.ndim}"
            )
        )
    if mode not in _MODES:
        raise user_context(ValueError(f"map_coordinates: mode {mode!r} is none of {', '.join(_MODES)}"))
    order = operator.index(order)
    if not 0 <= order <= _HIGHEST_ORDER:
        raise user_context(
            ValueError(f"map_coordinates: order must be from 0 to {_HIGHEST_ORDER}, got {order}")
        )
    places = [jnp.asarray(c) for c in coordinates]
    work = jnp.result_type(*places, np.float32) if places else np.dtype(np.float32)
    places = [p.astype(work) for p in jnp.broadcast_arrays(*places)]
    dtype = x.dtype
    outside = jnp.asarray(cval).astype(dtype)
    if order > 1:
        x = x if jnp.issubdtype(dtype, jnp.inexact) else x.astype(work)
        if mode in ("nearest", "constant", "grid-constant"):
            around = {"mode": "edge"} if mode == "nearest" else {"constant_values": outside.astype(x.dtype)}
            x = jnp.pad(x, _WRITTEN_OUT, **around)
            places = [p + _WRITTEN_OUT for p in places]
        x = _coefficients(x, order, mode)
    found = _interpolated(x, places, order, mode, outside.astype(x.dtype))
    if jnp.issubdtype(dtype, jnp.integer) and order:
        found = jnp.round(found)
    return jnp.asarray(found).astype(dtype)
