"""Prefix scans of associative operations, in a logarithmic number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert.prims.constructors import as_operand, canonical_axis, shape_of
from wengert.prims.shape import reshape, rev
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

    G. E. Blelloch, Prefix sums and their applications, CMU-CS-90-190, 1990: pairs are combined, the scan of
    the pairs gives every second result, and one more combination the others.
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


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """The results of combining, with an associative operation, all elements up to and with each one.

    Args:
      fn: takes two trees of arrays like `elems`, whose axis may be shorter, and combines them elementwise
        along it.
      elems: an array or a tree of arrays, of equal size along `axis`.
      reverse: combine from the end, as fn(later, earlier).
    Raises:
      TypeError: `fn` is no function.
      ValueError: the sizes along the axis differ.
    """
    if not callable(fn):
        raise TypeError("lax.associative_scan: fn argument should be callable.")
    leaves, structure = tree.flatten(elems)
    leaves = [as_operand("associative_scan", x, i) for i, x in enumerate(leaves)]
    if not leaves:
        return elems
    axis = canonical_axis(axis, len(shape_of(leaves[0])), "associative_scan")
    sizes = [shape_of(x)[axis] for x in leaves]
    if any(n != sizes[0] for n in sizes):
        raise ValueError(
            "Array inputs to associative_scan must have the same first dimension. (saw: "
            f"{[shape_of(x) for x in leaves]})"
        )
    if reverse:
        leaves = [rev(x, (axis,)) for x in leaves]

    def combine(a: list[Any], b: list[Any]) -> list[Any]:
        found = tree.leaves(fn(tree.unflatten(structure, a), tree.unflatten(structure, b)))
        return [as_operand("associative_scan", x, i) for i, x in enumerate(found)]

    scanned = associative_scan_flat(combine, leaves, axis)
    if reverse:
        scanned = [rev(x, (axis,)) for x in scanned]
    return tree.unflatten(structure, scanned)
