"""Meshes of devices, and how the elements of an array are spread over them.

All devices are threads of one processor with one memory. So a sharding moves nothing: it says which part of an
array belongs to which device.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from wengert.core.device import CPU, Device, local_devices

Index = tuple[slice, ...]

# ----------------------------------------------------------------------------------------------- axes and meshes


class AxisType(enum.Enum):
    """Who says how arrays are spread over an axis of a mesh: the compiler, their types, or `shard_map`."""

    Auto = enum.auto()
    Explicit = enum.auto()
    Manual = enum.auto()

    def __repr__(self) -> str:
        return self.name


def _axis_types(axis_types: Any, n: int, default: AxisType) -> tuple[AxisType, ...]:
    if axis_types is None:
        return (default,) * n
    types = (axis_types,) * n if isinstance(axis_types, AxisType) else tuple(axis_types)
    if not all(isinstance(t, AxisType) for t in types):
        raise TypeError(f"axis_types must be of type `jax.sharding.AxisType`, got {axis_types!r}")
    if len(types) != n:
        raise ValueError(
            f"Number of axis names should match the number of axis_types. Got {n} axis names and"
            f" axis_types={types}"
        )
    return types


class _Named:
    """What meshes of devices and abstract ones have in common."""

    axis_names: tuple[Any, ...]
    axis_sizes: tuple[int, ...]
    axis_types: tuple[AxisType, ...]

    @property
    def shape(self) -> OrderedDict[Any, int]:
        """The size of each axis, by its name."""
        return OrderedDict(zip(self.axis_names, self.axis_sizes))

    @property
    def shape_tuple(self) -> tuple[tuple[Any, int], ...]:
        return tuple(zip(self.axis_names, self.axis_sizes))

    @property
    def size(self) -> int:
        """The number of devices."""
        return math.prod(self.axis_sizes) if self.axis_names else 0

    @property
    def empty(self) -> bool:
        """Whether there are no axes."""
        return not self.axis_names

    @property
    def is_multi_process(self) -> bool:
        return False

    def _of_type(self, kind: AxisType) -> tuple[Any, ...]:
        return tuple(n for n, t in zip(self.axis_names, self.axis_types) if t is kind)

    @property
    def auto_axes(self) -> tuple[Any, ...]:
        return self._of_type(AxisType.Auto)

    @property
    def explicit_axes(self) -> tuple[Any, ...]:
        return self._of_type(AxisType.Explicit)

    @property
    def manual_axes(self) -> tuple[Any, ...]:
        return self._of_type(AxisType.Manual)

    @property
    def are_all_axes_auto(self) -> bool:
        return all(t is AxisType.Auto for t in self.axis_types)

    @property
    def are_all_axes_explicit(self) -> bool:
        return all(t is AxisType.Explicit for t in self.axis_types)

    @property
    def are_all_axes_manual(self) -> bool:
        return all(t is AxisType.Manual for t in self.axis_types)

    @property
    def are_all_axes_explicit_or_manual(self) -> bool:
        return all(t is not AxisType.Auto for t in self.axis_types)

    def _axes_text(self) -> str:
        axes = ", ".join(f"{n!r}: {s}" for n, s in self.shape_tuple)
        return f"{axes}, axis_types={_tuple_text(self.axis_types)}"


def _tuple_text(members: tuple[Any, ...]) -> str:
    return f"({', '.join(map(repr, members))}{',' if len(members) == 1 else ''})"


class Mesh(_Named):
    """Devices in a grid, whose axes have names.

    Args:
      devices: an array of devices, or nested sequences of them.
      axis_names: one for each axis of the array.
      axis_types: one for each axis; Auto by default.
    Raises:
      ValueError: the numbers of axes and names differ, or a name stands twice.
    """

    def __init__(self, devices: Any, axis_names: Any, axis_types: Any = None):
        grid = np.asarray(devices, dtype=object)
        names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        if grid.ndim != len(names):
            raise ValueError(
                "Mesh requires the ndim of its first argument (`devices`) to equal the length of its second"
                f" argument (`axis_names`), but got devices.ndim == {grid.ndim} and"
                f" len(axis_names) == {len(names)}."
            )
        if len(set(names)) != len(names):
            raise ValueError(f"the axis names of a mesh must differ, got {names}")
        if not all(isinstance(d, Device) for d in grid.flat):
            raise TypeError(f"a mesh is made of devices (wengert.devices() gives them), got {devices!r}")
        self.devices = grid.copy()
        self.devices.flags.writeable = False
        self.axis_names = names
        self.axis_sizes = grid.shape
        self.axis_types = _axis_types(axis_types, len(names), AxisType.Auto)
        self._entered: list[Any] = []

    @property
    def device_ids(self) -> np.ndarray[Any, Any]:
        """The numbers of the devices, in the grid."""
        return np.array([d.id for d in self.devices.flat], np.int64).reshape(self.devices.shape)

    @property
    def local_devices(self) -> list[Device]:
        """The devices of this process: all of them."""
        return list(self.devices.flat)

    @property
    def local_mesh(self) -> Mesh:
        """The part of the mesh that belongs to this process: all of it."""
        return self

    @property
    def is_scalar(self) -> bool:
        """Whether it is one device without axes."""
        return self.devices.ndim == 0

    @property
    def abstract_mesh(self) -> AbstractMesh:
        """The mesh without its devices."""
        device = AbstractDevice(CPU.device_kind, None, CPU.platform)
        return AbstractMesh(self.axis_sizes, self.axis_names, self.axis_types, abstract_device=device)

    def update(self, devices: Any = None, axis_names: Any = None, axis_types: Any = None) -> Mesh:
        """A mesh with some of its parts replaced."""
        return Mesh(
            self.devices if devices is None else devices,
            self.axis_names if axis_names is None else axis_names,
            self.axis_types if axis_types is None else axis_types,
        )

    def _key(self) -> tuple[Any, ...]:
        return tuple(d.id for d in self.devices.flat), self.axis_sizes, self.axis_names, self.axis_types

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mesh) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __enter__(self) -> Mesh:
        self._entered.append(_mesh.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _mesh.reset(self._entered.pop())

    def __repr__(self) -> str:
        if self.empty:
            return "Mesh()"
        return (
            f"Mesh(axis_sizes={_tuple_text(self.axis_sizes)}, axis_names={_tuple_text(self.axis_names)},"
            f" axis_types={_tuple_text(self.axis_types)})"
        )

    def __str__(self) -> str:
        return "Mesh()" if self.empty else f"Mesh({self._axes_text()})"

    def __reduce__(self) -> Any:
        return Mesh, (self.devices, self.axis_names, self.axis_types)


class AbstractDevice:
    """A kind of device."""

    __slots__ = ("device_kind", "num_cores", "platform")

    def __init__(self, device_kind: str, num_cores: int | None, platform: str):
        self.device_kind = device_kind
        self.num_cores = num_cores
        self.platform = platform

    def _key(self) -> tuple[Any, ...]:
        return self.device_kind, self.num_cores, self.platform

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AbstractDevice) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return (
            f"AbstractDevice(device_kind={self.device_kind}, num_cores={self.num_cores},"
            f" platform={self.platform})"
        )


class AbstractMesh(_Named):
    """The names and sizes of a mesh's axes, without devices."""

    def __init__(
        self,
        axis_sizes: Sequence[int],
        axis_names: Sequence[Any],
        axis_types: Any = None,
        *,
        abstract_device: AbstractDevice | None = None,
    ):
        self.axis_sizes = tuple(axis_sizes)
        self.axis_names = tuple(axis_names)
        if len(self.axis_sizes) != len(self.axis_names):
            raise ValueError(
                "the number of axis sizes and of axis names of an AbstractMesh must be equal, got"
                f" {self.axis_sizes} and {self.axis_names}"
            )
        self.axis_types = _axis_types(axis_types, len(self.axis_names), AxisType.Explicit)
        self.abstract_device = abstract_device

    @property
    def abstract_mesh(self) -> AbstractMesh:
        """The mesh itself: it has no devices."""
        return self

    def update(
        self, axis_sizes: Any = None, axis_names: Any = None, axis_types: Any = None, **fields: Any
    ) -> AbstractMesh:
        """A mesh with some of its parts replaced."""
        return AbstractMesh(
            self.axis_sizes if axis_sizes is None else axis_sizes,
            self.axis_names if axis_names is None else axis_names,
            self.axis_types if axis_types is None else axis_types,
            abstract_device=fields.get("abstract_device", self.abstract_device),
        )

    def update_axis_types(self, name_to_type: Mapping[Any, AxisType]) -> AbstractMesh:
        """A mesh with other types of the named axes."""
        types = [name_to_type.get(n, t) for n, t in zip(self.axis_names, self.axis_types)]
        return self.update(axis_types=types)

    def _key(self) -> tuple[Any, ...]:
        return self.axis_sizes, self.axis_names, self.axis_types, self.abstract_device

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AbstractMesh) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        if self.empty:
            return "AbstractMesh((), axis_types=())"
        d = self.abstract_device
        kind = f", device_kind={d.device_kind}, num_cores={d.num_cores}, platform={d.platform}" if d else ""
        return f"AbstractMesh({self._axes_text()}{kind})"


_mesh: ContextVar[Mesh | None] = ContextVar("wengert_mesh", default=None)
_abstract_mesh: ContextVar[AbstractMesh | None] = ContextVar("wengert_abstract_mesh", default=None)


def get_mesh() -> Mesh:
    """The mesh that `set_mesh`, or a `with mesh:`, has put in force here; an empty one if there is none."""
    found = _mesh.get()
    return Mesh(CPU, ()) if found is None else found


def get_abstract_mesh() -> AbstractMesh:
    """The abstract mesh in force here: that of `use_abstract_mesh`, or that of the mesh; an empty one else."""
    found = _abstract_mesh.get()
    if found is not None:
        return found
    mesh = _mesh.get()
    return AbstractMesh((), ()) if mesh is None else mesh.abstract_mesh


class set_mesh:
    """Put a mesh in force: from now on, or, as a context manager, until the end of the block."""

    __slots__ = ("_before",)

    def __init__(self, mesh: Mesh | None):
        if mesh is not None and not isinstance(mesh, Mesh):
            raise ValueError(f"Expected mesh of type `jax.sharding.Mesh`. Got {type(mesh)}")
        self._before = _mesh.get()
        _mesh.set(mesh)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        _mesh.set(self._before)


class use_abstract_mesh:
    """Context manager that puts an abstract mesh in force."""

    __slots__ = ("_token", "mesh")

    def __init__(self, mesh: AbstractMesh):
        if not isinstance(mesh, AbstractMesh):
            raise ValueError(f"Expected mesh of type `jax.sharding.AbstractMesh`. Got type: {type(mesh)}")
        self.mesh = mesh

    def __enter__(self) -> None:
        self._token = _abstract_mesh.set(self.mesh)

    def __exit__(self, *_: object) -> None:
        _abstract_mesh.reset(self._token)


def make_mesh(
    axis_shapes: Sequence[int],
    axis_names: Sequence[str],
    axis_types: tuple[AxisType, ...] | None = None,
    *,
    devices: Sequence[Device] | None = None,
) -> Mesh:
    """A mesh of the first devices.

    Args:
      axis_shapes: the size of each axis.
      axis_names: their names.
      axis_types: one for each axis; Explicit by default.
      devices: those to use; all of this process by default.
    Raises:
      ValueError: there are too few devices.
    """
    sizes = tuple(axis_shapes)
    given = local_devices() if devices is None else list(devices)
    if len(given) < math.prod(sizes):
        raise ValueError(
            f"Number of devices {len(given)} must be >= the product of mesh_shape {sizes}. The CPU counts as as"
            f' many devices as wengert.config.update("jax_num_cpu_devices", {math.prod(sizes)}) says.'
        )
    grid = np.empty(math.prod(sizes), object)
    grid[:] = given[: math.prod(sizes)]
    types = _axis_types(axis_types, len(tuple(axis_names)), AxisType.Explicit)
    return Mesh(grid.reshape(sizes), axis_names, types)


# ------------------------------------------------------------------------------------------------- partition specs


class _Unconstrained:
    __slots__ = ()

    def __repr__(self) -> str:
        return "UNCONSTRAINED"

    def __reduce__(self) -> str:
        return "_UNCONSTRAINED"


_UNCONSTRAINED = _Unconstrained()


class PartitionSpec(tuple[Any, ...]):
    """For each axis of an array: the axis of the mesh it is cut over, a tuple of them, or None for no cut."""

    unreduced: frozenset[Any]
    reduced: frozenset[Any]
    UNCONSTRAINED = _UNCONSTRAINED

    def __new__(
        cls, *partitions: Any, unreduced: Any = frozenset(), reduced: Any = frozenset()
    ) -> PartitionSpec:
        parts = [tuple(p) if isinstance(p, list | tuple) else p for p in partitions]
        self = super().__new__(cls, [None if p == () else p for p in parts])
        self.unreduced, self.reduced = frozenset(unreduced), frozenset(reduced)
        return self

    @property
    def partitions(self) -> tuple[Any, ...]:
        """The entries as a tuple, one for each axis of an array."""
        return tuple(self)

    def update(self, **fields: Any) -> PartitionSpec:
        """A spec with some of partitions, unreduced and reduced replaced."""
        parts = fields.get("partitions", self)
        return PartitionSpec(
            *parts,
            unreduced=fields.get("unreduced", self.unreduced),
            reduced=fields.get("reduced", self.reduced),
        )

    def __add__(self, other: Any) -> PartitionSpec:
        if not isinstance(other, tuple):
            return NotImplemented
        return PartitionSpec(*self, *other, unreduced=self.unreduced, reduced=self.reduced)

    def __radd__(self, other: Any) -> PartitionSpec:
        return PartitionSpec(*other, *self, unreduced=self.unreduced, reduced=self.reduced)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PartitionSpec) and (self.unreduced, self.reduced) != (
            other.unreduced,
            other.reduced,
        ):
            return False
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.unreduced, self.reduced))

    def __repr__(self) -> str:
        parts = [repr(p) for p in self]
        parts += [
            f"{k}={set(v)!r}" for k, v in (("unreduced", self.unreduced), ("reduced", self.reduced)) if v
        ]
        return f"P({', '.join(parts)}{',' if len(parts) == 1 and len(self) == 1 else ''})" if parts else "P()"

    def __reduce__(self) -> Any:
        return PartitionSpec, tuple(self)


P = PartitionSpec


def names_in(entry: Any) -> tuple[Any, ...]:
    """The axes of the mesh that one entry of a spec names."""
    if entry is None or entry is _UNCONSTRAINED:
        return ()
    return entry if isinstance(entry, tuple) else (entry,)


def check_spec(mesh: Any, spec: PartitionSpec) -> None:
    """Raise ValueError if the spec names an axis that the mesh has not, or names one twice."""
    seen: set[Any] = set()
    for entry in spec:
        for name in names_in(entry):
            if name not in mesh.axis_names:
                raise ValueError(f"Resource axis: {name} of {spec} is not found in mesh: {mesh.axis_names}.")
            if name in seen:
                raise ValueError(
                    "A single NamedSharding spec specification can map every mesh axis to at most one positional"
                    f" dimension, but {spec} has duplicate entries for `{name}`"
                )
            seen.add(name)


# ------------------------------------------------------------------------------------------------------ shardings


class Sharding:
    """How the elements of an array are spread over devices. An abstract class."""

    memory_kind: str | None = None

    @property
    def device_set(self) -> set[Device]:
        """The devices that hold a part of the array."""
        raise TypeError(f"{type(self).__name__} does not say on which devices it is")

    @property
    def addressable_devices(self) -> set[Device]:
        """Those of this process."""
        return self.device_set

    @property
    def num_devices(self) -> int:
        """How many devices hold a part of the array."""
        return len(self.device_set)

    @property
    def has_addressable_devices(self) -> bool:
        """Whether this process has some of the devices: it has all."""
        return True

    @property
    def is_fully_addressable(self) -> bool:
        """Whether this process can read every part: there is one process."""
        return True

    @property
    def is_fully_replicated(self) -> bool:
        """Whether each device holds all of the array."""
        return self.num_devices == 1

    def devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Device, Index]:
        """Which part of an array of the given shape each device holds."""
        raise TypeError(f"{type(self).__name__} does not say into which parts it cuts arrays")

    def addressable_devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Device, Index]:
        """The same, of the devices of this process."""
        return self.devices_indices_map(global_shape)

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the part on each device, for an array of the given shape."""
        if not self.is_fully_replicated:
            raise TypeError(f"{type(self).__name__} does not say into which parts it cuts arrays")
        return tuple(global_shape)

    def is_equivalent_to(self, other: Sharding, ndim: int) -> bool:
        """Whether both put the same parts of an array of `ndim` axes on the same devices."""
        shape = (math.lcm(self.num_devices, other.num_devices) ** 2,) * ndim
        return self.memory_kind == other.memory_kind and dict(self.devices_indices_map(shape)) == dict(
            other.devices_indices_map(shape)
        )


_DEVICE_MEMORY = "device"


class SingleDeviceSharding(Sharding):
    """All of the array is on one device."""

    def __init__(self, device: Device = CPU, *, memory_kind: str | None = None) -> None:
        self._device = device
        self.memory_kind = _DEVICE_MEMORY if memory_kind is None else memory_kind

    @property
    def device_set(self) -> set[Device]:
        return {self._device}

    def devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Device, Index]:
        return {self._device: (slice(None),) * len(global_shape)}

    def with_memory_kind(self, kind: str) -> SingleDeviceSharding:
        """The same, in another kind of memory."""
        return SingleDeviceSharding(self._device, memory_kind=kind)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SingleDeviceSharding):
            return NotImplemented
        return (self._device, self.memory_kind) == (other._device, other.memory_kind)

    def __hash__(self) -> int:
        return hash((SingleDeviceSharding, self._device, self.memory_kind))

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r}, memory_kind={self.memory_kind})"


class NamedSharding(Sharding):
    """Axes of the array are cut over axes of a mesh.

    Args:
      mesh: a `Mesh`.
      spec: a `PartitionSpec`; axes of the array beyond its length are not cut.
    Raises:
      ValueError: the spec names an axis that the mesh has not, or names one twice.
    """

    def __init__(self, mesh: Any, spec: Any, *, memory_kind: str | None = None) -> None:
        if not isinstance(mesh, _Named):
            raise TypeError(f"NamedSharding takes a mesh and a PartitionSpec, got {mesh!r}")
        if not isinstance(spec, PartitionSpec):
            raise TypeError(f"Unexpected type {type(spec)} for NamedSharding: expected a PartitionSpec")
        check_spec(mesh, spec)
        self.mesh = mesh
        self.spec = spec
        self.memory_kind = _DEVICE_MEMORY if memory_kind is None else memory_kind

    @property
    def device_set(self) -> set[Device]:
        if not isinstance(self.mesh, Mesh):
            raise ValueError("a sharding over an abstract mesh has no devices")
        return set(self.mesh.devices.flat)

    @property
    def is_fully_replicated(self) -> bool:
        sizes = self.mesh.shape
        return all(sizes[n] == 1 for entry in self.spec for n in names_in(entry))

    @property
    def replicated_axes(self) -> frozenset[Any]:
        """The axes of the mesh over which nothing is cut."""
        used = {n for entry in self.spec for n in names_in(entry)}
        return frozenset(n for n in self.mesh.axis_names if n not in used)

    def check_compatible_aval(self, aval_shape: Sequence[int]) -> None:
        """Raise ValueError if an array of this shape can't be cut so."""
        self.shard_shape(aval_shape)

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        shape = tuple(global_shape)
        rank = max([i + 1 for i, entry in enumerate(self.spec) if entry is not None], default=0)
        if rank > len(shape):
            hint = " For scalars the PartitionSpec should be P()" if not shape else ""
            raise ValueError(
                f"Sharding {self} is only valid for values of rank at least {rank}, but was applied to"
                f" a value of rank {len(shape)}.{hint}"
            )
        sizes = self.mesh.shape
        cuts = [math.prod(sizes[n] for n in names_in(e)) for e in self.spec[:rank]] + [1] * (
            len(shape) - rank
        )
        for i, (d, cut) in enumerate(zip(shape, cuts)):
            if d % cut:
                raise ValueError(
                    f"{self} implies that array axis {i} is partitioned {cut} times, but the dimension size is"
                    f" {d} (full shape: {shape}, per-dimension tiling factors: {tuple(cuts)} should evenly divide"
                    " the shape)"
                )
        return tuple(d // cut for d, cut in zip(shape, cuts))

    def devices_indices_map(self, global_shape: Sequence[int]) -> Mapping[Device, Index]:
        part = self.shard_shape(global_shape)
        if not isinstance(self.mesh, Mesh):
            raise ValueError("a sharding over an abstract mesh has no devices")
        sizes = self.mesh.shape
        found: dict[Device, Index] = {}
        for place in np.ndindex(*self.mesh.axis_sizes):
            at = dict(zip(self.mesh.axis_names, place))
            index = [slice(None)] * len(part)
            for i, entry in enumerate(self.spec[: len(part)]):
                names = names_in(entry)
                if math.prod(sizes[n] for n in names) > 1:
                    k = 0
                    for n in names:
                        k = k * sizes[n] + at[n]
                    index[i] = slice(k * part[i], (k + 1) * part[i])
            device: Device = self.mesh.devices.item(*place)
            found[device] = tuple(index)
        return found

    def update(self, **fields: Any) -> NamedSharding:
        """A sharding with some of mesh, spec and memory_kind replaced."""
        return NamedSharding(
            fields.get("mesh", self.mesh),
            fields.get("spec", self.spec),
            memory_kind=fields.get("memory_kind", self.memory_kind),
        )

    def with_memory_kind(self, kind: str) -> NamedSharding:
        """The same, in another kind of memory."""
        return self.update(memory_kind=kind)

    def _key(self) -> tuple[Any, ...]:
        return self.mesh, self.spec, self.memory_kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedSharding) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self.mesh!s}, spec={self.spec}, memory_kind={self.memory_kind})"


def shape_fits(sharding: Sharding, shape: Sequence[int], what: str) -> None:
    """Raise ValueError if an array of this shape can't be spread so."""
    try:
        sharding.shard_shape(shape)
    except ValueError as error:
        raise ValueError(
            f"One of {what} is incompatible with its sharding annotation {sharding}: {error}"
        ) from None
