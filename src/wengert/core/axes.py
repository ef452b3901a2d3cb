"""Named axes: which ones are mapped over here, and their sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

_env: ContextVar[tuple[tuple[Any, int], ...]] = ContextVar("wengert_axes", default=())
named_axes = _env.get


def axis_size(name: Any) -> int:
    """The size of a named axis; the product, for a tuple of names. NameError if there is none."""
    if isinstance(name, tuple):
        product: int = math.prod(axis_size(n) for n in name)
        return product
    size: int
    for known, size in reversed(_env.get()):
        if known == name:
            return size
    raise NameError(
        f"unbound axis name: {name!r}. The name is bound inside of vmap(f, axis_name={name!r}) only; here "
        + (f"there are {', '.join(repr(n) for n, _ in _env.get())}." if _env.get() else "no axis is bound.")
    )


class naming_axes:
    """Context manager that binds names of axes."""

    __slots__ = ("axes", "token")

    def __init__(self, axes: Sequence[tuple[Any, int]]):
        self.axes = tuple(axes)

    def __enter__(self) -> None:
        self.token = _env.set((*_env.get(), *self.axes))

    def __exit__(self, *_: object) -> None:
        _env.reset(self.token)
