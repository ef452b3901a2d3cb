"""Grids and joined arrays by the syntax of indexing: `mgrid[0:3, 0:2]`, `r_[1:4, 0]`."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy._util import ArrayLike, as_array, convert
from wengert.numpy.creation import arange, linspace, meshgrid
from wengert.numpy.manipulation import concatenate, reshape, stack
from wengert.numpy.selection import nonzero

index_exp = np.index_exp
s_ = np.s_


def ix_(*args: ArrayLike) -> tuple[Any, ...]:
    """Index arrays for all combinations of the elements of vectors; masks count as the indices of what is true."""
    n = len(args)
    result = []
    for i, arg in enumerate(args):
        a = as_array(arg, "ix_")
        if a.ndim != 1:
            raise user_context(
                ValueError("Arguments to jax.numpy.ix_ must be 1-dimensional, got shape {a.shape}")
            )
        if a.dtype == bool:
            (a,) = nonzero(a)
        if a.size == 0:
            a = convert(a, dtypes.canonicalize_dtype(int))
        result.append(lax.broadcast_in_dim(a, tuple(a.size if j == i else 1 for j in range(n)), (i,)))
    return tuple(result)


def _range(key: slice) -> Any:
    """The numbers a slice stands for; an imaginary step is the number of points, the end included."""
    start = 0 if key.start is None else key.start
    step = 1 if key.step is None else key.step
    if isinstance(step, complex):
        return linspace(start, key.stop, int(abs(step)))
    return arange(start, key.stop, step)


class _Grid:
    """`mgrid` and `ogrid`."""

    def __init__(self, sparse: bool):
        self.sparse = sparse

    def __getitem__(self, key: slice | tuple[slice, ...]) -> Any:
        if isinstance(key, slice):
            return _range(key)
        axes = [_range(k) for k in key]
        common = dtypes.result_type(*axes)
        grids = meshgrid(*[convert(a, common) for a in axes], indexing="ij", sparse=self.sparse)
        return grids if self.sparse else stack(grids)


mgrid = _Grid(sparse=False)
ogrid = _Grid(sparse=True)


class _Concatenator:
    """`r_` and `c_`: slices become ranges, and everything is joined along an axis.

    A string first says how: "axis", "axis,ndmin" or "axis,ndmin,trans1d", as in NumPy.
    """

    def __init__(self, axis: int, ndmin: int, trans1d: int):
        self.defaults = axis, ndmin, trans1d

    def __getitem__(self, key: Any) -> Any:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, ndmin, trans1d = self.defaults
        if items and isinstance(items[0], str):
            directive = items.pop(0)
            try:
                axis, ndmin, trans1d = _directive(directive, self.defaults)
            except ValueError:
                raise user_context(ValueError(f"could not understand directive {directive!r}")) from None
        parts = [
            self._part(_range(k) if isinstance(k, slice) else as_array(k), ndmin, trans1d) for k in items
        ]
        return concatenate(parts, axis)

    @staticmethod
    def _part(a: Any, ndmin: int, trans1d: int) -> Any:
        if a.ndim == 0:
            a = reshape(a, (1,))
        missing = ndmin - a.ndim
        if missing <= 0:
            return a
        before = missing if trans1d == -1 else trans1d
        return reshape(a, (1,) * before + a.shape + (1,) * (missing - before))


def _directive(text: str, defaults: tuple[int, int, int]) -> tuple[int, int, int]:
    values = [int(v) for v in text.split(",")]
    if not 1 <= len(values) <= 3:
        raise user_context(ValueError(text))
    first, second, third = (*values, *defaults[len(values) :])
    return first, second, third


r_ = _Concatenator(0, 1, -1)
c_ = _Concatenator(-1, 2, 0)
