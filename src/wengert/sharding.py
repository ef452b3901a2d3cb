"""Where arrays live, under the names of `jax.sharding`. With one device, that is on it."""

from __future__ import annotations

from collections.abc import Sequence

from wengert.core.device import CPU, Device

__all__ = ["Sharding", "SingleDeviceSharding"]


class Sharding:
    """How the elements of an array are spread over devices. An abstract class."""

    @property
    def device_set(self) -> set[Device]:
        """The devices that hold a part of the array."""
        raise TypeError(f"{type(self).__name__} does not say on which devices it is")

    @property
    def num_devices(self) -> int:
        """How many devices hold a part of the array."""
        return len(self.device_set)

    @property
    def is_fully_addressable(self) -> bool:
        """Whether this process can read every part: there is one process."""
        return True

    @property
    def is_fully_replicated(self) -> bool:
        """Whether each device holds all of the array."""
        return self.num_devices == 1

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the part on each device, for an array of the given shape."""
        if not self.is_fully_replicated:
            raise TypeError(f"{type(self).__name__} does not say into which parts it cuts arrays")
        return tuple(global_shape)


class SingleDeviceSharding(Sharding):
    """All of the array is on one device."""

    def __init__(self, device: Device = CPU, *, memory_kind: str | None = None) -> None:
        self._device = device
        self.memory_kind = memory_kind

    @property
    def device_set(self) -> set[Device]:
        return {self._device}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SingleDeviceSharding):
            return NotImplemented
        return (self._device, self.memory_kind) == (other._device, other.memory_kind)

    def __hash__(self) -> int:
        return hash((SingleDeviceSharding, self._device, self.memory_kind))

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r}, memory_kind={self.memory_kind!r})"
