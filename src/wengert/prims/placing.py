"""Putting arrays on devices. It moves nothing: devices have one memory. The array remembers where it is."""

from __future__ import annotations

from typing import Any

from wengert import tree
from wengert.core.array import Array, ArrayBase, wrap
from wengert.core.device import Device
from wengert.core.mesh import (
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
    get_mesh,
    shape_fits,
)
from wengert.core.placement import placed
from wengert.core.trace import get_aval
from wengert.prims.constructors import as_operand


def _is_where(x: Any) -> bool:
    return x is None or isinstance(x, Device | Sharding | PartitionSpec)


def as_sharding(where: Any, name: str) -> Sharding | None:
    """The sharding that a device, a sharding or a partition spec stands for; None for None.

    Raises:
      RuntimeError: a partition spec, where no mesh is in force.
      ValueError: anything else.
    """
    if where is None or isinstance(where, Sharding):
        return where
    if isinstance(where, Device):
        return SingleDeviceSharding(where)
    if isinstance(where, PartitionSpec):
        mesh = get_mesh()
        if mesh.empty:
            raise RuntimeError(
                f"{name} requires a non-empty mesh in context if you are passing `PartitionSpec`s to shardings."
                " You can define a context mesh via `jax.set_mesh(mesh)`. Alternatively, provide `Sharding`s to"
                " shardings and then the mesh context manager is not required."
            )
        return NamedSharding(mesh, where)
    raise ValueError(
        f"`jax.{name}` only accepts `None`, `jax.sharding.Sharding`, `jax.Device`, `PartitionSpec` or a pytree of"
        f" these values. Received invalid value: {where}"
    )


def spread(x: Any, where: Any, name: str) -> Any:
    """A pytree of arrays, each where `where`, a prefix of the pytree, says. Tracers stay as they are."""
    leaves, structure = tree.flatten(x)
    places = tree.broadcast_prefix(
        where, x, _is_where, prefix_name=f"{name}'s second argument", full_name="the first"
    )
    found = []
    for leaf, place in zip(leaves, places, strict=True):
        sharding = as_sharding(place, name)
        value = as_operand(name, leaf)
        aval = get_aval(value)
        if sharding is not None:
            shape_fits(sharding, aval.shape, f"{name} args")
        if not isinstance(value, ArrayBase):
            value = wrap(value, aval)
        if type(value) is Array and sharding is not None:
            value = placed(value, sharding)
        found.append(value)
    return tree.unflatten(structure, found)


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """`x`, an array or a pytree of arrays, spread over devices as `shardings` says.

    Args:
      x: a pytree of arrays. Inside of traced functions the shapes are checked; the values have no place yet.
      shardings: a sharding, a device, a `PartitionSpec` over the mesh in force, or a pytree of these that is a
        prefix of `x`.
    Raises:
      ValueError: an array can't be cut so.
      RuntimeError: a `PartitionSpec`, where no mesh is in force.
    """
    return spread(x, shardings, "with_sharding_constraint")
