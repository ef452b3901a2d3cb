"""Taking lists of operands apart by counts and by masks, and putting them together again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from wengert.core.zeros import Zero

T = TypeVar("T")


def split(xs: Sequence[T], *counts: int) -> list[list[T]]:
    """The first `counts[0]` elements, the next `counts[1]`, ..., and the rest."""
    parts, start = [], 0
    for count in counts:
        parts.append(list(xs[start : start + count]))
        start += count
    parts.append(list(xs[start:]))
    return parts


def select(xs: Iterable[T], mask: Sequence[bool]) -> list[T]:
    """The marked elements."""
    return [x for x, m in zip(xs, mask, strict=True) if m]


def reject(xs: Iterable[T], mask: Sequence[bool]) -> list[T]:
    """The elements that aren't marked."""
    return [x for x, m in zip(xs, mask, strict=True) if not m]


def spread(xs: Iterable[T], mask: Sequence[bool], default: Any = None) -> list[Any]:
    """The elements at the marked places, the default at the others."""
    it = iter(xs)
    return [next(it) if m else default for m in mask]


def nonzero_mask(tangents: Sequence[Any]) -> tuple[bool, ...]:
    """Which tangents aren't known to be zero."""
    return tuple(type(t) is not Zero for t in tangents)


def either(a: Sequence[bool], b: Sequence[bool]) -> tuple[bool, ...]:
    return tuple(x or y for x, y in zip(a, b, strict=True))
