"""`shard_map`: a function of the parts of arrays, run for all parts at once.

The axes of the mesh become mapped axes with their names, one `vmap` in the other. Over an axis that an array is
not cut over, it is not mapped; so the trace of each axis knows what is the same on all its devices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert.core.array import Array
from wengert.core.mesh import (
    AbstractMesh,
    Mesh,
    NamedSharding,
    PartitionSpec,
    check_spec,
    get_abstract_mesh,
    get_mesh,
    names_in,
)
from wengert.core.placement import placed, sharding_of
from wengert.core.source import api_boundary
from wengert.core.trace import get_aval
from wengert.prims.axes import batch_to, insert_axis, transpose
from wengert.prims.shape import reshape
from wengert.prims.slicing import index_in_dim
from wengert.transforms.api_util import (
    FlatFun,
    argument_names,
    check_arraylike,
    check_callable,
    fun_name,
    operand,
    result,
    wraps,
)
from wengert.transforms.batch import BatchAxis, batch_flat


class _Infer:
    """Stands for specs that are those of the arguments."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "jax.sharding.Infer"


Infer = _Infer()


def _is_spec(x: Any) -> bool:
    return x is None or isinstance(x, PartitionSpec)


def _specs_of(leaves: Sequence[Any]) -> list[PartitionSpec]:
    found = []
    for leaf in leaves:
        sharding = sharding_of(leaf) if type(leaf) is Array else None
        found.append(sharding.spec if isinstance(sharding, NamedSharding) else PartitionSpec())
    return found


def _split(x: Any, spec: PartitionSpec, sizes: dict[Any, int], name: str) -> Any:
    """An argument with the axes of the mesh over which it is cut in front, in the order of the mesh."""
    shape = get_aval(x).shape
    if len(spec) > len(shape):
        raise ValueError(
            f"shard_map: {name} has {len(shape)} axes, shape {shape}, but its spec in in_specs, {spec}, is for at"
            f" least {len(spec)}"
        )
    cut: list[int] = []
    where: dict[Any, int] = {}
    kept: list[int] = []
    for i, d in enumerate(shape):
        names = names_in(spec[i]) if i < len(spec) else ()
        parts = math.prod(sizes[n] for n in names)
        if d % parts:
            raise ValueError(
                f"shard_map applied to a function was given argument arrays with axis sizes that are not evenly"
                f" divisible by the corresponding mesh axis sizes: {name} of shape {shape} has axis {i} of size"
                f" {d}, which its spec {spec} cuts into {parts} parts"
            )
        for n in names:
            where[n] = len(cut)
            cut.append(sizes[n])
        kept.append(len(cut))
        cut.append(d // parts)
    order = [where[n] for n in sizes if n in where] + kept
    return transpose(reshape(x, cut), order)


def _join(
    out: Any, flags: Sequence[bool], spec: PartitionSpec, sizes: dict[Any, int], strict: bool, what: str
) -> Any:
    """A result of parts as one array; the inverse of `_split`."""
    wanted = [n for entry in spec for n in names_in(entry)]
    level = 0
    for (n, size), mapped in zip(sizes.items(), flags, strict=True):
        if n in wanted:
            out = out if mapped else insert_axis(out, size, level)
            level += 1
        elif mapped:
            if strict:
                raise ValueError(
                    f"shard_map applied to a function was given out_specs which require replication which can't be"
                    f" statically inferred: {what} differs over the mesh axis {n!r}, which its spec {spec} does not"
                    f" mention. Mention the axis, reduce over it (lax.psum, lax.pmean), or say check_vma=False to"
                    f" take the part of the first device."
                )
            out = index_in_dim(out, 0, level, keepdims=False)
    shape = get_aval(out).shape
    local = shape[level:]
    if len(spec) > len(local):
        raise ValueError(
            f"shard_map: {what} has {len(local)} axes, but its spec in out_specs, {spec}, {len(spec)}"
        )
    place = {n: i for i, n in enumerate([n for n in sizes if n in wanted])}
    order: list[int] = []
    final: list[int] = []
    for i, d in enumerate(local):
        names = names_in(spec[i]) if i < len(spec) else ()
        order += [*[place[n] for n in names], level + i]
        final.append(d * math.prod(sizes[n] for n in names))
    return reshape(transpose(out, order), final)


def _nested(
    fun: Callable[..., Sequence[Any]],
    axes: Sequence[tuple[Any, int]],
    given: Sequence[Sequence[bool]],
    tracked: bool,
) -> Callable[..., tuple[list[Any], list[tuple[bool, ...]]]]:
    """`fun` under one vmap for each axis; the mapped axes of arguments and results are in front, in order.

    Returns with the results which axes each of them has.
    """
    if not axes:

        def innermost(*xs: Any) -> tuple[list[Any], list[tuple[bool, ...]]]:
            outs = list(fun(*xs))
            return outs, [()] * len(outs)

        return innermost
    (name, size), *rest = axes
    inner = _nested(fun, rest, [flags[1:] for flags in given], tracked)
    seen: list[list[tuple[bool, ...]]] = []

    def body(*xs: Any) -> list[Any]:
        outs, flags = inner(*xs)
        seen[:] = [flags]
        return outs

    def run(*xs: Any) -> tuple[list[Any], list[tuple[bool, ...]]]:
        outs, dims = batch_flat(body, BatchAxis(size, name, tracked), [0 if f[0] else None for f in given])(
            *xs
        )
        flags = [(d is not None, *f) for d, f in zip(dims, seen[0], strict=True)]
        return [o if d is None else batch_to(o, d, size, 0) for o, d in zip(outs, dims)], flags

    return run


class _Mapped:
    """What `shard_map` was told."""

    __slots__ = ("axis_names", "check", "fun", "in_specs", "mesh", "out_specs")

    def __init__(self, fun: Any, mesh: Any, in_specs: Any, out_specs: Any, axis_names: Any, check: bool):
        self.fun = fun
        self.mesh = mesh
        self.in_specs = in_specs
        self.out_specs = out_specs
        self.axis_names = axis_names
        self.check = check

    def the_mesh(self) -> Any:
        mesh = self.mesh
        if mesh is None:
            mesh = get_mesh()
            mesh = get_abstract_mesh() if mesh.empty else mesh
        if mesh.empty:
            raise ValueError(
                "The context mesh cannot be empty. Use `jax.set_mesh(mesh)` to enter into a mesh context, or pass"
                " `mesh` to shard_map."
            )
        return mesh

    def __call__(self, *args: Any) -> Any:
        mesh = self.the_mesh()
        names = [n for n in mesh.axis_names if not self.axis_names or n in self.axis_names]
        unknown = [n for n in self.axis_names if n not in mesh.axis_names]
        if unknown:
            raise ValueError(
                f"jax.shard_map requires axis_names={self.axis_names} to be a subset of {mesh}'s axes"
            )
        sizes = {n: mesh.shape[n] for n in names}
        manual = AbstractMesh(list(sizes.values()), names)
        leaves, in_tree = tree.flatten((args, {}))
        labels = argument_names(self.fun, args, {})
        for leaf, label in zip(leaves, labels):
            check_arraylike(leaf, "shard_map", label)
        leaves = [operand(x) for x in leaves]
        specs = self._in(args, leaves)
        for spec in specs:
            check_spec(manual, spec)
        parts = [_split(x, s, sizes, label) for x, s, label in zip(leaves, specs, labels, strict=True)]
        given = [[any(n in names_in(e) for e in spec) for n in names] for spec in specs]
        flat_fun = FlatFun(self.fun, in_tree, wants_kwargs=True)
        outs, flags = _nested(flat_fun, list(sizes.items()), given, self.check)(*parts)
        dummy = tree.unflatten(flat_fun.out_tree, [0] * len(outs))
        out_specs = tree.broadcast_prefix(
            self.out_specs, dummy, _is_spec, prefix_name="shard_map out_specs", full_name="the output"
        )
        found = []
        for i, (out, flag, spec) in enumerate(zip(outs, flags, out_specs, strict=True)):
            spec = PartitionSpec() if spec is None else spec
            check_spec(manual, spec)
            label = f"result {i} of {fun_name(self.fun)}"
            value = result(_join(result(out), flag, spec, sizes, self.check, label))
            if type(value) is Array and isinstance(mesh, Mesh):
                value = placed(value, NamedSharding(mesh, spec))
            found.append(value)
        return tree.unflatten(flat_fun.out_tree, found)

    def _in(self, args: tuple[Any, ...], leaves: Sequence[Any]) -> list[PartitionSpec]:
        if self.in_specs is Infer:
            return _specs_of(leaves)
        found = tree.broadcast_prefix(
            self.in_specs, args, _is_spec, prefix_name="shard_map in_specs", full_name="the arguments"
        )
        return [PartitionSpec() if s is None else s for s in found]


def shard_map(
    f: Callable[..., Any] | None = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = Infer,
    mesh: Any = None,
    axis_names: Any = frozenset(),
    check_vma: bool = True,
) -> Any:
    """Map `f` over the parts of its arguments: each device of a mesh has one part.

    Args:
      f: a function of arrays or pytrees, which collective operations may connect over the axes of the mesh.
        Without it, `shard_map(mesh=..., ...)` is a decorator.
      out_specs: a `PartitionSpec` for the results, or a pytree of them that is a prefix of the output: over which
        axes of the mesh the parts are put together. Over those that a spec does not mention the results must be
        the same.
      in_specs: over which axes of the mesh the arguments are cut, in the same way; by default as they are
        spread already.
      mesh: a `Mesh`; by default the one in force.
      axis_names: the axes of the mesh to map over; all by default.
      check_vma: whether to keep track of what is the same over which axes. Then results are checked to be so
        over the axes which their spec does not mention; and derivatives taken inside of `f`, with respect to
        what is the same on all devices, are summed over the devices.
    Returns:
      A function of whole arrays, by position.
    Raises:
      ValueError: when called: shapes can't be cut so, a spec names an axis that the mesh has not, a result
        differs where it must not, or there is no mesh.
    """
    if f is None:
        return lambda g: shard_map(
            g, out_specs=out_specs, in_specs=in_specs, mesh=mesh, axis_names=axis_names, check_vma=check_vma
        )
    check_callable(f, "shard_map")
    if mesh is not None and not isinstance(mesh, Mesh | AbstractMesh):
        raise TypeError(
            f"shard_map requires a `jax.sharding.Mesh` or `AbstractMesh` for `mesh`, got {type(mesh)}"
        )
    in_specs = tuple(in_specs) if isinstance(in_specs, list) else in_specs
    mapped = _Mapped(f, mesh, in_specs, out_specs, frozenset(axis_names), check_vma)

    @api_boundary
    def sharded(*args: Any) -> Any:
        return mapped(*args)

    return wraps(f, sharded, "{fun}, mapped over the parts of its arguments.")


def smap(
    f: Callable[..., Any] | None = None, /, *, in_axes: Any = Infer, out_axes: Any, axis_name: Any
) -> Any:
    """`shard_map` over one axis of the mesh in force, with the axes of arrays in place of specs.

    Args:
      f: a function of arrays or pytrees.
      in_axes: the axis over which the arguments are cut: an int, None, or a tuple with one entry for each.
      out_axes: the axis along which the results are put together, or None, as a prefix of the output.
      axis_name: the axis of the mesh.
    """
    if f is None:
        return lambda g: smap(g, in_axes=in_axes, out_axes=out_axes, axis_name=axis_name)
    check_callable(f, "smap")

    def spec(axis: int | None, leaf: Any = None) -> PartitionSpec:
        if axis is None:
            return PartitionSpec()
        if axis < 0:
            axis += get_aval(leaf).ndim
        return PartitionSpec(*[None] * axis, axis_name)

    @api_boundary
    def sharded(*args: Any) -> Any:
        specs = Infer
        if in_axes is not Infer:
            axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
            flat = tree.broadcast_prefix(tuple(axes), args, lambda x: x is None, prefix_name="smap in_axes")
            leaves, structure = tree.flatten(args)
            specs = tree.unflatten(structure, [spec(a, x) for a, x in zip(flat, leaves, strict=True)])
        outs = tree.map(spec, out_axes, is_leaf=lambda x: x is None)
        mapped = _Mapped(f, None, specs, outs, frozenset((axis_name,)), True)
        return mapped(*args)

    return wraps(f, sharded, "{fun}, mapped over one axis of the mesh.")
