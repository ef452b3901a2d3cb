"""`wengert.sharding`: everything is on the one device."""

from __future__ import annotations

import pytest

import wengert
from wengert.sharding import Sharding, SingleDeviceSharding


def test_all_is_on_one_device() -> None:
    (cpu,) = wengert.devices()
    where = SingleDeviceSharding(cpu)
    assert isinstance(where, Sharding)
    assert where.device_set == {cpu}
    assert where.num_devices == 1
    assert where.is_fully_addressable
    assert where.is_fully_replicated
    assert where.shard_shape((2, 3)) == (2, 3)
    assert where == SingleDeviceSharding()
    assert hash(where) == hash(SingleDeviceSharding())
    assert where != SingleDeviceSharding(cpu, memory_kind="pinned_host")
    assert where != cpu
    assert repr(where) == f"SingleDeviceSharding(device={cpu!r}, memory_kind=None)"


def test_the_abstract_class_says_what_it_lacks() -> None:
    with pytest.raises(TypeError, match="Sharding does not say on which devices it is"):
        Sharding().shard_shape((2,))
