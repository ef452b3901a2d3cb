"""Batching: rules of primitives for `vmap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.core.primitive import Primitive
from wengert.interpreters._rules import RuleTable
from wengert.prims.axes import batch_to
from wengert.transforms.batch import BatchAxis

__all__ = [
    "axis_primitive_batchers",
    "bdim_at_front",
    "broadcast",
    "defbroadcasting",
    "defreducer",
    "defvectorized",
    "fancy_primitive_batchers",
    "not_mapped",
    "primitive_batchers",
]

not_mapped = None
"""Where the batch axis of an operand is that has none."""


def _sizeless(rule: Any) -> Any:
    return lambda axis, args, dims, **params: rule(args, dims, **params)


def _with_size(rule: Any) -> Any:
    def batch(args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
        return rule(BatchAxis(size), args, dims, **params)

    return batch


def _by_parts(rule: Any) -> Any:
    return lambda axis, args, dims, **params: rule(axis.size, axis.name, None, args, dims, **params)


def _with_parts(rule: Any) -> Any:
    def batch(
        size: int, name: Any, _: Any, args: Sequence[Any], dims: Sequence[int | None], **params: Any
    ) -> Any:
        return rule(BatchAxis(size, name), args, dims, **params)

    return batch


primitive_batchers = RuleTable("batch", _sizeless, _with_size)
"""rule(operands, batch_axes, **params) gives the results and where their batch axes are, or None."""
fancy_primitive_batchers = RuleTable("batch")
"""rule(axis, operands, batch_axes, **params): as `primitive_batchers`, with the mapped axis; it has a `size` and a
`name`."""
axis_primitive_batchers = RuleTable("batch", _by_parts, _with_parts)
"""rule(axis_size, axis_name, None, operands, batch_axes, **params): the same, with the axis in parts."""


def broadcast(x: Any, sz: int, axis: int, mesh_axis: Any = None) -> Any:
    """`x` repeated `sz` times along a new axis."""
    del mesh_axis
    return batch_to(x, None, sz, axis)


def bdim_at_front(x: Any, bdim: int | None, size: int, mesh_axis: Any = None) -> Any:
    """`x` with its batch axis in front; repeated along a new one if it has none."""
    del mesh_axis
    return batch_to(x, bdim, size, 0)


def defvectorized(prim: Primitive) -> None:
    """The operation works on each element of its one operand."""

    def batch(args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        return prim.bind(*args, **params), dims[0]

    primitive_batchers[prim] = batch


def defbroadcasting(prim: Primitive) -> None:
    """The operation works on elements of several operands of one shape."""

    def batch(axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        operands = [batch_to(a, d, axis.size, 0) for a, d in zip(args, dims, strict=True)]
        out = prim.bind(*operands, **params)
        return out, [0] * len(out) if prim.multiple_results else 0

    fancy_primitive_batchers[prim] = batch


def defreducer(prim: Primitive) -> None:
    """The operation reduces its one operand over the axes of its parameter `axes`."""

    def batch(
        args: Sequence[Any], dims: Sequence[int], *, axes: Sequence[int], **params: Any
    ) -> tuple[Any, int]:
        (x,), (dim,) = args, dims
        moved = tuple(a + (a >= dim) for a in axes)
        return prim.bind(x, axes=moved, **params), dim - sum(a < dim for a in moved)

    primitive_batchers[prim] = batch
