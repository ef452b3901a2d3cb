"""Prefix scans of associative operations, in a logarithmic number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.prims.constructors import shape_of
from wengert.prims.shape import reshape
from wengert.prims.slicing import concatenate, slice_in_dim, stack

Combine = Callable[[list[Any], list[Any]], list[Any]]


def _every_second(xs: Sequence[Any], start: int, stop: int | None, axis: int) -> list[Any]:
    return [slice_in_dim(x, start, stop, 2, axis) for x in xs]


def _interleave(a: Any, b: Any, axis: int) -> Any:
    """a0, b0, a1, b1 ...; `a` may have one element more than `b`."""
    n = shape_of(b)[axis]
    pairs = stack([slice_in_dim(a, 0, n, axis=axis), b], axis + 1)
    shape = shape_of(b)
    both = reshape(pairs, (*shape[:axis], 2 * n, *shape[axis + 1 :]))
    if shape_of(a)[axis] == n:
        return both
    return concatenate([both, slice_in_dim(a, n, n + 1, axis=axis)], axis)


def associative_scan_flat(combine: Combine, xs: Sequence[Any], axis: int) -> list[Any]:
    """x0, x0 * x1, x0 * x1 * x2 ... along an axis, for the operation `combine` on lists of arrays.

    G. E. Blelloch, Prefix sums and their applications, CMU-CS-90-190, 1990: pairs are combined, the scan of the
    pairs gives every second result, and one more combination the others.
    """
    n = shape_of(xs[0])[axis]
    if n < 2:
        return list(xs)
    pairs = combine(_every_second(xs, 0, n - 1, axis), _every_second(xs, 1, None, axis))
    odd = associative_scan_flat(combine, pairs, axis)
    if n < 3:
        even = [slice_in_dim(x, 0, 1, axis=axis) for x in xs]
    else:
        before = [slice_in_dim(y, 0, (n - 1) // 2, axis=axis) for y in odd]
        rest = combine(before, _every_second(xs, 2, None, axis))
        even = [concatenate([slice_in_dim(x, 0, 1, axis=axis), r], axis) for x, r in zip(xs, rest)]
    return [_interleave(e, o, axis) for e, o in zip(even, odd)]
