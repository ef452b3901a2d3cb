"""How arrays are spread over devices, under the names of `jax.sharding`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wengert.core.device import Device
from wengert.core.mesh import (
    AbstractDevice,
    AbstractMesh,
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
    get_abstract_mesh,
    get_mesh,
    set_mesh,
    use_abstract_mesh,
)
from wengert.prims.placing import spread
from wengert.transforms.api_util import check_callable, wraps
from wengert.transforms.shard_map import Infer

__all__ = [
    "AbstractDevice",
    "AbstractMesh",
    "AxisType",
    "Infer",
    "ManualAxisType",
    "Mesh",
    "NamedSharding",
    "PartitionSpec",
    "Sharding",
    "SingleDeviceSharding",
    "auto_axes",
    "explicit_axes",
    "get_abstract_mesh",
    "get_mesh",
    "make_single_device_sharding",
    "reshard",
    "set_mesh",
    "use_abstract_mesh",
]


class ManualAxisType:
    """Over which axes of a mesh a value inside of `shard_map` differs, or is a part of a sum."""

    __slots__ = ("reduced", "unreduced", "varying")

    def __init__(
        self, *, varying: Any = frozenset(), unreduced: Any = frozenset(), reduced: Any = frozenset()
    ):
        self.varying = frozenset(varying)
        self.unreduced = frozenset(unreduced)
        self.reduced = frozenset(reduced)

    @property
    def empty(self) -> bool:
        """Whether the value is the same over all axes."""
        return not (self.varying or self.unreduced or self.reduced)

    def update(self, **fields: Any) -> ManualAxisType:
        """One with some fields replaced."""
        return ManualAxisType(**{name: fields.get(name, getattr(self, name)) for name in self.__slots__})

    def _key(self) -> tuple[Any, ...]:
        return self.varying, self.unreduced, self.reduced

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ManualAxisType) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"ManualAxisType(varying={self.varying}, unreduced={self.unreduced}, reduced={self.reduced})"


def make_single_device_sharding(device: Device, *, memory_kind: str | None = None) -> SingleDeviceSharding:
    """The sharding that puts all of an array on one device."""
    return SingleDeviceSharding(device, memory_kind=memory_kind)


def reshard(xs: Any, out_shardings: Any) -> Any:
    """A pytree of arrays, spread as `out_shardings`, a prefix of it, says.

    Raises:
      ValueError: an array can't be cut so.
    """
    return spread(xs, out_shardings, "reshard")


def auto_axes(f: Callable[..., Any] | None = None, /, *, axes: Any = None, out_sharding: Any = None) -> Any:
    """`f`, in which axes of the mesh are Auto; its results are spread as `out_sharding` says.

    `out_sharding` may also be given with the call.
    """
    if f is None:
        return lambda g: auto_axes(g, axes=axes, out_sharding=out_sharding)
    check_callable(f, "auto_axes")

    def with_auto(*args: Any, out_sharding: Any = out_sharding, **kwargs: Any) -> Any:
        outs = f(*args, **kwargs)
        return outs if out_sharding is None else spread(outs, out_sharding, "auto_axes")

    return wraps(f, with_auto)


def explicit_axes(
    f: Callable[..., Any] | None = None, /, *, axes: Any = None, in_sharding: Any = None
) -> Any:
    """`f`, in which axes of the mesh are Explicit; its arguments are spread as `in_sharding` says.

    `in_sharding` may also be given with the call.
    """
    if f is None:
        return lambda g: explicit_axes(g, axes=axes, in_sharding=in_sharding)
    check_callable(f, "explicit_axes")

    def with_explicit(*args: Any, in_sharding: Any = in_sharding, **kwargs: Any) -> Any:
        given = args if in_sharding is None else spread(args, in_sharding, "explicit_axes")
        return f(*given, **kwargs)

    return wraps(f, with_explicit)
