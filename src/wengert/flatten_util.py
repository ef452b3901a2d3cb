"""A pytree of arrays as one vector, for solvers and optimisers that know only vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert import numpy as jnp, tree
from wengert.core import dtypes
from wengert.core.array import ArrayBase

__all__ = ["ravel_pytree"]


class _Unravel:
    """Vector -> pytree. Hashable, so that it can be a static argument of a jitted function."""

    __slots__ = ("_dtype", "_leaves", "_treedef")

    def __init__(
        self, treedef: tree.PyTreeDef, leaves: tuple[tuple[tuple[int, ...], Any], ...], dtype: Any
    ) -> None:
        self._treedef = treedef
        self._leaves = leaves
        self._dtype = dtype

    def __call__(self, flat: Any) -> Any:
        size = sum([math.prod(shape) for shape, _ in self._leaves])
        shape, dtype = np.shape(flat), dtypes.dtype(flat)
        if shape != (size,):
            raise ValueError(
                f"unravel: the pytree has {size} numbers, so it takes a vector of shape ({size},);"
                f" got shape {shape}"
            )
        if dtype != self._dtype:
            raise TypeError(
                f"unravel: the vector must have the dtype {self._dtype} that ravel_pytree gave; got {dtype}."
                f" Convert it by flat.astype({str(self._dtype)!r})."
            )
        leaves, start = [], 0
        for shape, dtype in self._leaves:
            stop = start + math.prod(shape)
            part = flat[start:stop].reshape(shape)
            if dtypes.kind_of(self._dtype) == "c" and dtypes.kind_of(dtype) != "c":
                part = jnp.real(part)
            leaves.append(part.astype(dtype))
            start = stop
        return self._treedef.unflatten(leaves)

    def _key(self) -> tuple[Any, ...]:
        return self._treedef, self._leaves, self._dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unravel) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def ravel_pytree(pytree: Any) -> tuple[ArrayBase, _Unravel]:
    """Put the numbers of all arrays of a pytree into one vector.

    Args:
      pytree: arrays and numbers; their dtypes are promoted to a common one.
    Returns:
      the vector, and a function from such a vector back to a pytree of the original shapes and dtypes.
    """
    leaves, treedef = tree.flatten(pytree)
    arrays = [jnp.asarray(leaf) for leaf in leaves]
    dtype = dtypes.result_type(*leaves) if leaves else dtypes.default_float_dtype()
    kinds = tuple([(array.shape, array.dtype) for array in arrays])
    if not arrays:
        return jnp.zeros(0, dtype), _Unravel(treedef, kinds, dtype)
    flat = jnp.concatenate([array.ravel().astype(dtype) for array in arrays])
    return flat, _Unravel(treedef, kinds, dtype)
