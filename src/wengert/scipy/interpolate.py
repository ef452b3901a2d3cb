"""Interpolation on grids, under the names of `jax.scipy.interpolate`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from wengert import numpy as jnp, tree
from wengert.errors import ConcretizationTypeError
from wengert.numpy._util import arrays, as_array, concrete, promote_dtypes_inexact

__all__ = ["RegularGridInterpolator"]

_METHODS = ("linear", "nearest")


def _points(xi: Any, ndim: int) -> Any:
    """Points as an array whose last axis has the coordinates."""
    if isinstance(xi, tuple) and len(xi) == 1:
        xi = xi[0]
    if isinstance(xi, tuple):
        return jnp.stack(jnp.broadcast_arrays(*arrays("RegularGridInterpolator", *xi)), axis=-1)
    x = jnp.asarray(xi)
    if x.ndim < 2:
        return x.reshape((-1, 1) if ndim == 1 else (-1, ndim) if x.size % ndim == 0 else (1, -1))
    return x


class RegularGridInterpolator:
    """Interpolates values that are given on a grid, whose spacing may vary along each axis.

    It is a pytree: grid, values and `fill_value` can be differentiated by, and it can be an argument of transformed
    functions.

    Args:
      points: for each axis of the grid the coordinates, ascending.
      values: an array whose first axes are those of the grid; it may have more.
      method: "linear" in each coordinate, or "nearest".
      bounds_error: points outside of the grid are an error. Only where the points are known: not under `jit`.
      fill_value: the result for points outside of the grid; None to extrapolate.
    Raises:
      ValueError: there is no such method; there are more `points` than axes of `values`, or not as many as these are
        long; `fill_value` does not fit the dtype of the values.
    """

    def __init__(
        self,
        points: Sequence[Any],
        values: Any,
        method: str = "linear",
        bounds_error: bool = False,
        fill_value: Any = np.nan,
    ):
        if method not in _METHODS:
            raise ValueError(f"method {method!r} is not defined")
        self.method = method
        self.bounds_error = bounds_error
        (given,) = arrays("RegularGridInterpolator", values)
        (self.values,) = promote_dtypes_inexact(given)
        if len(points) > self.values.ndim:
            raise ValueError(
                f"there are {len(points)} point arrays, but values has {self.values.ndim} dimensions"
            )
        if fill_value is not None:
            fill_value = as_array(fill_value, "RegularGridInterpolator")
            if not np.can_cast(fill_value.dtype, self.values.dtype, casting="same_kind"):
                raise ValueError("fill_value must be either 'None' or of a type compatible with values")
        self.fill_value = fill_value
        self.grid = tuple(arrays("RegularGridInterpolator", *points))
        for i, (p, size) in enumerate(zip(self.grid, self.values.shape)):
            if p.shape != (size,):
                raise ValueError(f"there are {p.size} points and {size} values on dimension {i}")

    def __call__(self, xi: Any, method: str | None = None) -> Any:
        """The interpolated values.

        Args:
          xi: points: an array whose last axis has the coordinates, or a tuple with an array for each coordinate,
            which broadcast.
          method: in place of the one given before.
        Returns:
          An array of the shape of the points, without their last axis, and with the further axes of the values.
        """
        method = self.method if method is None else method
        if method not in _METHODS:
            raise ValueError(f"method {method!r} is not defined")
        ndim = len(self.grid)
        x = _points(xi, ndim)
        if x.shape[-1] != ndim:
            raise ValueError(
                f"the requested sample points xi have dimension {x.shape[-1]}, but this RegularGridInterpolator has"
                f" dimension {ndim}"
            )
        shape, inner = x.shape[:-1], self.values.shape[ndim:]
        coordinates = [x[..., i].reshape(-1) for i in range(ndim)]
        if self.bounds_error:
            self._check_bounds(coordinates)
        cells = [jnp.clip(jnp.searchsorted(g, c) - 1, 0, g.size - 2) for g, c in zip(self.grid, coordinates)]
        parts = [(c - g[i]) / (g[i + 1] - g[i]) for g, c, i in zip(self.grid, coordinates, cells)]
        found = (_linear if method == "linear" else _nearest)(self.values, cells, parts)
        if not self.bounds_error and self.fill_value is not None:
            outside = jnp.zeros(coordinates[0].shape, bool)
            for g, c in zip(self.grid, coordinates):
                outside |= (c < g[0]) | (c > g[-1])
            found = jnp.where(outside.reshape(-1, *[1] * len(inner)), self.fill_value, found)
        return found.reshape(*shape, *inner)

    def _check_bounds(self, coordinates: Sequence[Any]) -> None:
        for i, (g, c) in enumerate(zip(self.grid, coordinates)):
            known, grid = concrete(c), concrete(g)
            if known is None or grid is None:
                raise ConcretizationTypeError(
                    "RegularGridInterpolator with bounds_error=True has to see whether the points are on the grid, but"
                    " they are traced. Use fill_value to mark those that are not."
                )
            values, ends = np.asarray(known), np.asarray(grid)
            if np.any((values < ends[0]) | (values > ends[-1])):
                raise ValueError(f"One of the requested xi is out of bounds in dimension {i}")


def _linear(values: Any, cells: Sequence[Any], parts: Sequence[Any]) -> Any:
    """The mean of the corners of a cell, by how near the point is to each."""
    total: Any = None
    extra = values.ndim - len(cells)
    for corner in itertools.product((0, 1), repeat=len(cells)):
        weight: Any = None
        for side, part in zip(corner, parts):
            factor = part if side else 1 - part
            weight = factor if weight is None else weight * factor
        term = values[tuple(i + side for i, side in zip(cells, corner))] * weight.reshape(-1, *[1] * extra)
        total = term if total is None else total + term
    return total


def _nearest(values: Any, cells: Sequence[Any], parts: Sequence[Any]) -> Any:
    return values[tuple(jnp.where(part <= 0.5, i, i + 1) for i, part in zip(cells, parts))]


def _flatten(x: RegularGridInterpolator) -> tuple[tuple[Any, ...], tuple[str, bool]]:
    return (x.grid, x.values, x.fill_value), (x.method, x.bounds_error)


def _unflatten(options: Any, children: Iterable[Any]) -> RegularGridInterpolator:
    new = object.__new__(RegularGridInterpolator)
    new.grid, new.values, new.fill_value = children
    new.method, new.bounds_error = options
    return new


tree.register_pytree_node(RegularGridInterpolator, _flatten, _unflatten)
