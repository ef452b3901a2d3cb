"""Values that tangents and cotangents may be without being arrays: zeros and sums that are not computed yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.trace import get_aval


class Zero:
    """A tangent or cotangent that is zero, and of which nothing but the type is known.

    `aval` is the type of the tangent: float0 for what can't be perturbed.
    """

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    @staticmethod
    def of(x: Any) -> Zero:
        """The zero tangent of a value."""
        return Zero(get_aval(x).to_tangent_aval())

    def __repr__(self) -> str:
        return f"Zero({self.aval.str_short()})"


class UndefinedPrimal:
    """Stands in a transpose rule for the operand in which the operation is linear."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    def __repr__(self) -> str:
        return f"UndefinedPrimal({self.aval.str_short()})"


class PendingCotangent:
    """A cotangent that is cheaper to collect than to compute at once, e.g. that of a slice.

    A transpose rule may return one. It goes through `add_cotangents` and is computed by `instantiate` or
    `compute`, before any rule sees it.
    """

    __slots__ = ("aval",)
    aval: ShapedArray

    def plus(self, other: Any) -> Any:
        """The sum with a cotangent of the same type, pending or an array."""
        raise NotImplementedError

    def compute(self) -> Any:
        """The array."""
        raise NotImplementedError


def is_zero(x: Any) -> bool:
    return type(x) is Zero


def is_undefined(x: Any) -> bool:
    """Whether it stands for the operand in which an operation is linear, in a transpose rule."""
    return type(x) is UndefinedPrimal


def compute(x: Any) -> Any:
    """`x` without pending sums; a `Zero` stays one."""
    return x.compute() if isinstance(x, PendingCotangent) else x


def instantiate(x: Any) -> Any:
    """`x` as an array or a tracer: zeros are written out, pending sums computed."""
    if type(x) is Zero:
        return _zeros(x.aval)
    return compute(x)


def add_cotangents(a: Any, b: Any) -> Any:
    """The sum of two tangents or cotangents of the same type, either of which may be None, `Zero` or pending."""
    if a is None or type(a) is Zero:
        return a if b is None else b
    if b is None or type(b) is Zero:
        return a
    if isinstance(a, PendingCotangent):
        return a.plus(b)
    if isinstance(b, PendingCotangent):
        return b.plus(a)
    return _add(a, b)


def _zeros(aval: ShapedArray) -> Any:
    if aval.dtype == dtypes.float0:
        return np.zeros(aval.shape, dtypes.float0)
    return _full(aval)


def _not_set(*args: Any) -> Any:
    raise RuntimeError("the primitives are not imported")


_full: Callable[[ShapedArray], Any] = _not_set
_add: Callable[[Any, Any], Any] = _not_set


def set_operations(full: Callable[[ShapedArray], Any], add: Callable[[Any, Any], Any]) -> None:
    """Say how zeros are written out and arrays added; the primitives, a layer above, do so."""
    global _full, _add
    _full, _add = full, add
