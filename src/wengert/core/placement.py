"""Arrays and the devices that they are on: what `Array.sharding` and its kin say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.config import current
from wengert.core.array import Array, wrap
from wengert.core.device import CPU, Device
from wengert.core.mesh import Index, Sharding, SingleDeviceSharding


class Shard:
    """The part of an array that one device holds.

    Attributes:
      device: which one.
    """

    __slots__ = ("_data", "_global_shape", "_sharding", "device")

    def __init__(self, device: Device, sharding: Sharding, global_shape: Sequence[int], data: Any = None):
        self.device = device
        self._sharding = sharding
        self._global_shape = tuple(global_shape)
        self._data = data

    @property
    def index(self) -> Index:
        """Where the part is: the array indexed by it gives the part."""
        return self._sharding.devices_indices_map(self._global_shape)[self.device]

    @property
    def replica_id(self) -> int:
        """How many devices before this one hold the same part."""
        count = 0
        where = self._sharding.devices_indices_map(self._global_shape)
        for device, index in where.items():
            if device is self.device:
                break
            count += index == where[self.device]
        return count

    @property
    def data(self) -> Any:
        """The part, as an array."""
        return self._data

    def __repr__(self) -> str:
        return f"Shard(device={self.device!r}, index={self.index}, replica_id={self.replica_id}, data={self.data})"


def default_device() -> Device:
    """The device of arrays that nobody has put anywhere."""
    found = current().default_device
    return found if isinstance(found, Device) else CPU


def sharding_of(x: Array) -> Sharding:
    """How the elements of an array are spread over devices."""
    found: Sharding | None = getattr(x, "placement", None)
    return SingleDeviceSharding(default_device()) if found is None else found


def device_of(x: Array) -> Any:
    """The device that holds the array; its sharding, if there are several."""
    sharding = sharding_of(x)
    if isinstance(sharding, SingleDeviceSharding):
        return next(iter(sharding.device_set))
    return sharding


def shards_of(x: Array) -> list[Shard]:
    """The parts of an array, one for each device."""
    sharding = sharding_of(x)
    whole = x._np
    found = []
    for device, index in sharding.devices_indices_map(x.aval.shape).items():
        part = whole[index] if index else whole
        data = wrap(part, x.aval.update(shape=part.shape))
        data.placement = SingleDeviceSharding(device)
        found.append(Shard(device, sharding, x.aval.shape, data))
    return found


def placed(x: Array, sharding: Sharding | None) -> Array:
    """The array with the same memory, on the devices that a sharding says."""
    out = Array(x.aval, x._np, x._owner, x._address)
    if sharding is not None:
        out.placement = sharding
    return out
