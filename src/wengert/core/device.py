"""Devices. There is one: the processor, with all its cores, and its memory."""

from __future__ import annotations

from typing import Any


class Device:
    """Something that runs programs."""

    __slots__ = (
        "__weakref__",
        "device_kind",
        "host_id",
        "id",
        "local_hardware_id",
        "platform",
        "process_index",
    )

    def __init__(self, platform: str, number: int):
        self.platform = platform
        self.device_kind = platform
        self.id = number
        self.local_hardware_id = number
        self.process_index = 0
        self.host_id = 0

    def memory_stats(self) -> dict[str, int] | None:
        """Use of memory, where the device tells it; the CPU doesn't."""
        return None

    def __repr__(self) -> str:
        return f"{self.platform.capitalize()}Device(id={self.id})"

    def __str__(self) -> str:
        return f"{self.platform.upper()}_{self.id}"

    def __reduce__(self) -> Any:
        return _device, (self.platform, self.id)


def _device(platform: str, number: int) -> Device:
    """The device that was pickled; there is one only."""
    return CPU


CPU = Device("cpu", 0)
