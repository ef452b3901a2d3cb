"""Abstract values: what is known of an array before it is computed."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core import dtypes

_mesh = lazy_module("wengert.core.mesh")


class ShapedArray:
    """The shape, the dtype and the weak type of an array.

    Abstract values are interned: equal ones are the same object, so that comparing and hashing them
    costs a pointer comparison. A weak type marks values that come from Python scalars and that adopt
    the dtype of what they meet.
    """

    __slots__ = ("__weakref__", "dtype", "ndim", "shape", "size", "visible_dtype", "weak_type")

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak_type: bool
    ndim: int
    size: int
    visible_dtype: Any
    """The dtype as users see it: that of random keys is an object of its own."""

    def __new__(cls, shape: Sequence[int], dtype: Any, weak_type: bool = False) -> ShapedArray:
        key = (shape, dtype, weak_type)
        try:
            found = _interned.get(key)
        except TypeError:
            found = None
        if found is not None:
            return found
        return cls._intern(tuple(int(d) for d in shape), np.dtype(dtype), bool(weak_type))

    @classmethod
    def _intern(cls, shape: tuple[int, ...], dtype: np.dtype[Any], weak_type: bool) -> ShapedArray:
        key = (shape, dtype, weak_type)
        found = _interned.get(key)
        if found is not None:
            return found
        self = object.__new__(cls)
        self.shape, self.dtype, self.weak_type = shape, dtype, weak_type
        self.visible_dtype = dtypes.visible(dtype) if dtype.kind == "V" else dtype
        self.ndim, self.size = len(shape), math.prod(shape)
        _interned[key] = self
        return self

    def __reduce__(self) -> Any:
        return ShapedArray, (self.shape, self.dtype, self.weak_type)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "size" or not hasattr(self, "size"):
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(f"a ShapedArray is immutable; use update({name}=...)")

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def update(
        self, shape: Sequence[int] | None = None, dtype: Any = None, weak_type: bool | None = None
    ) -> ShapedArray:
        """A copy with some fields replaced."""
        return ShapedArray(
            self.shape if shape is None else tuple(shape),
            self.dtype if dtype is None else dtype,
            self.weak_type if weak_type is None else weak_type,
        )

    def strip_weak_type(self) -> ShapedArray:
        return self if not self.weak_type else ShapedArray(self.shape, self.dtype)

    def to_tangent_aval(self) -> ShapedArray:
        """The type of tangents and cotangents: float0 for what can't be perturbed."""
        if dtypes.issubdtype(self.dtype, np.inexact):
            return self
        return ShapedArray(self.shape, dtypes.float0)

    @property
    def sharding(self) -> Any:
        """How arrays of this type are divided among the axes of a mesh: not at all."""
        return _mesh.NamedSharding(_mesh.AbstractMesh((), ()), _mesh.PartitionSpec(*[None] * self.ndim))

    def str_short(self) -> str:
        return f"{dtypes.short_name(self.dtype)}[{','.join(map(str, self.shape))}]"

    def __str__(self) -> str:
        """As JAX writes types: `float32[3]`, with `~` before a weak one."""
        return f"{'~' if self.weak_type else ''}{self.visible_dtype.name}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapedArray({self.visible_dtype.name}[{','.join(map(str, self.shape))}]{weak})"


_interned: weakref.WeakValueDictionary[Any, ShapedArray] = weakref.WeakValueDictionary()


def same_type(a: ShapedArray, b: ShapedArray) -> bool:
    """Equal shape and dtype, whatever the weak types."""
    return a is b or (a.shape == b.shape and a.dtype == b.dtype)


AbstractValue = ShapedArray  # there is no other kind
