"""`vmap`: a function of one element becomes a function of a batch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert.core.source import api_boundary
from wengert.core.trace import get_aval
from wengert.prims.axes import batch_to
from wengert.transforms.api_util import (
    FlatFun,
    argument_names,
    check_arraylike,
    check_callable,
    operand,
    result,
    wraps,
)
from wengert.transforms.batch import BatchAxis, batch_flat


def vmap(
    fun: Callable[..., Any],
    in_axes: int | Sequence[Any] | None = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    sum_match: bool = False,
) -> Callable[..., Any]:
    """Map `fun` over an axis of its arguments, all elements at once.

    Args:
      fun: a function of arrays or pytrees.
      in_axes: the axis to map over: for all arguments, or a tuple with one entry for each. An entry is an
        int, None (the argument is the same for all elements), or a pytree of these that is a prefix of the
        argument.
      out_axes: where the results have the mapped axis, as a prefix of the output; None for results that are
        the same for all elements.
      axis_name: a name by which collective operations inside of `fun` refer to the axis.
      axis_size: its size; only needed if nothing is mapped.
      spmd_axis_name, sum_match: accepted for compatibility.
    Returns:
      The mapped function. Keyword arguments are mapped over their first axis.
    Raises:
      ValueError: sizes differ, an axis does not exist, or `in_axes` does not fit the arguments.
      TypeError: `in_axes` is no int, None, tuple or list.
    """
    check_callable(fun, "vmap")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    check_axes(in_axes, out_axes, "vmap")

    @api_boundary
    def vmap_fun(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                "vmap in_axes must be an int, None, or a tuple of entries corresponding to the positional"
                f" arguments passed to the function, but got {len(in_axes)=}, {len(args)=}."
            )
        flat, in_tree = tree.flatten((args, kwargs))
        axes = flat_axes(in_axes, args, kwargs, "vmap")
        for i, axis in enumerate(axes):
            if axis is not None:  # anything else comes to the function as it is
                check_arraylike(flat[i], "vmap", f"leaf {i} of the arguments")
                flat[i] = operand(flat[i])
        size, dims = mapped_size(fun, args, kwargs, flat, axes, axis_size, "vmap")
        flat_fun = FlatFun(fun, in_tree, wants_kwargs=True)
        outs, out_dims = batch_flat(flat_fun, BatchAxis(size, axis_name), dims)(*flat)
        to = flat_out_axes(out_axes, flat_fun.out_tree, "vmap")
        results = [_place(o, d, t, size) for o, d, t in zip(outs, out_dims, to, strict=True)]
        return tree.unflatten(flat_fun.out_tree, results)

    return wraps(fun, vmap_fun, "{fun}, mapped over an axis of its arguments.")  # type: ignore[no-any-return]


def _is_none(x: Any) -> bool:
    return x is None


def check_axes(in_axes: Any, out_axes: Any, name: str) -> None:
    """Raise TypeError for axes that are neither ints nor None, nor containers of these."""
    if in_axes is not None and not isinstance(in_axes, int | tuple):
        raise TypeError(
            f"{name} in_axes must be an int, None, or a tuple of entries corresponding to the positional"
            f" arguments passed to the function, but got {in_axes!r}."
        )
    for what, axes in (("in_axes", in_axes), ("out_axes", out_axes)):
        for leaf in tree.leaves(axes):
            if not isinstance(leaf, int) or isinstance(leaf, bool):
                raise TypeError(
                    f"{name} {what} must be an int, None, or (nested) container with those types as leaves,"
                    f" but got {axes!r}."
                )


def flat_axes(in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> list[int | None]:
    """One axis for each leaf of the arguments."""
    positional = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    found: list[int | None] = []
    for i, (axis, arg) in enumerate(zip(positional, args)):
        found += tree.broadcast_prefix(
            axis, arg, _is_none, prefix_name=f"{name} in_axes[{i}]", full_name=f"argument {i}"
        )
    return found + [0] * len(tree.leaves(kwargs))


def flat_out_axes(out_axes: Any, out_tree: Any, name: str) -> list[int | None]:
    dummy = tree.unflatten(out_tree, [0] * out_tree.num_leaves)
    return tree.broadcast_prefix(
        out_axes, dummy, _is_none, prefix_name=f"{name} out_axes", full_name="the output"
    )


def mapped_size(
    fun: Any,
    args: Any,
    kwargs: Any,
    flat: list[Any],
    axes: list[int | None],
    axis_size: int | None,
    name: str,
) -> tuple[int, list[int | None]]:
    """The size of the mapped axis, and where each leaf has it, counted from the front."""
    dims: list[int | None] = []
    sizes: list[int | None] = []
    for x, axis in zip(flat, axes, strict=True):
        if axis is None:
            dims.append(None)
            sizes.append(None)
            continue
        aval = get_aval(x)
        dim = axis + aval.ndim if axis < 0 else axis
        if not 0 <= dim < aval.ndim:
            rank = axis + 1 if axis >= 0 else -axis
            which = argument_names(fun, args, kwargs)[len(dims)]
            raise ValueError(
                f"{name} was requested to map its argument along axis {axis}, which implies that its rank"
                f" should be at least {rank}, but is only {aval.ndim} (its shape is {aval.shape}). It is"
                f" {which}; if it is the same for all elements, say None in in_axes."
            )
        dims.append(dim)
        sizes.append(aval.shape[dim])
    found = {s for s in sizes if s is not None}
    if axis_size is not None:
        found.add(operator.index(axis_size))
    if not found:
        raise ValueError(
            f"{name} must have at least one non-None value in in_axes or axis_size must be specified"
        )
    if len(found) > 1:
        raise ValueError(_sizes_differ(fun, args, kwargs, flat, dims, sizes, axis_size, name))
    return found.pop(), dims


def _sizes_differ(
    fun: Any, args: Any, kwargs: Any, flat: list[Any], dims: Any, sizes: Any, axis_size: int | None, api: str
) -> str:
    names = argument_names(fun, args, kwargs)
    lines = [f"{api} got inconsistent sizes for array axes to be mapped:"]
    if axis_size is not None:
        lines.append(f"  * axis_size is {axis_size}")
    by_size: dict[int, list[str]] = {}
    for x, name, dim, size in zip(flat, names, dims, sizes):
        if size is not None:
            by_size.setdefault(size, []).append(f"axis {dim} of {name} of type {_long(get_aval(x))}")
    for size, members in sorted(by_size.items(), key=lambda item: -len(item[1])):
        if len(members) == 1:
            lines.append(f"  * one axis had size {size}: {members[0]}")
        else:
            shown = [*members[:3], "..."] if len(members) > 3 else members
            lines.append(f"  * most axes ({len(members)} of them) had size {size}: {'; '.join(shown)}")
    lines.append("An argument that isn't mapped has None in in_axes.")
    return "\n".join(lines)


def _long(aval: Any) -> str:
    return f"{aval.dtype.name}[{','.join(map(str, aval.shape))}]"


def _place(out: Any, dim: int | None, to: int | None, size: int) -> Any:
    """A result with the mapped axis where `out_axes` says."""
    if to is None:
        if dim is not None:
            raise ValueError(
                f"at vmap out_axes, got axis spec None but output was batched on axis {dim}: the result"
                " differs from element to element, so it needs an axis for them"
            )
        return result(out)
    rank = get_aval(out).ndim + (dim is None)
    if not -rank <= to < rank:
        raise ValueError(f"vmap out_axes: axis {to} is out of bounds for array of dimension {rank}")
    return batch_to(result(out), dim, size, to % rank)
