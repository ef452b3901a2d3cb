"""Devices. The processor counts as as many of them as the settings say, all in one memory."""

from __future__ import annotations

import os
from typing import Any

from wengert.config import current


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
        return f"{self.platform}:{self.id}"

    def __reduce__(self) -> Any:
        return _device, (self.platform, self.id)


CPU = Device("cpu", 0)
_known = [CPU]


def _device(platform: str, number: int) -> Device:
    """The device with a number; there is one object for each."""
    while len(_known) <= number:
        _known.append(Device("cpu", len(_known)))
    return _known[number]


_XLA_FLAG = "--xla_force_host_platform_device_count="


def local_devices() -> list[Device]:
    """The devices of this process: `jax_num_cpu_devices`, or else what XLA_FLAGS say, or else one."""
    count = current().num_cpu_devices
    if count < 0:
        count = 1
        for flag in os.environ.get("XLA_FLAGS", "").split():
            if flag.startswith(_XLA_FLAG) and flag[len(_XLA_FLAG) :].isdecimal():
                count = max(int(flag[len(_XLA_FLAG) :]), 1)
    return [_device("cpu", i) for i in range(count)]
