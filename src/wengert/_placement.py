"""Devices, and arrays on them, for the public API."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from wengert import tree
from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.array import Array
from wengert.core.device import CPU, Device, local_devices as _known_devices
from wengert.core.trace import Tracer, get_aval
from wengert.transforms.api_util import check_arraylike, operand, result
from wengert.version import __version__

platform = lazy_module("platform")
_placing = lazy_module("wengert.prims.placing")


def _check_backend(backend: str | None) -> None:
    if backend not in (None, "cpu"):
        raise RuntimeError(
            f"Unknown backend {backend!r}: the only one that is present is 'cpu'. Leave the argument out to"
            " run on what there is."
        )


def devices(backend: str | None = None) -> list[Device]:
    """All devices. RuntimeError if `backend` is another than "cpu"."""
    _check_backend(backend)
    return _known_devices()


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """The devices of this process."""
    _check_backend(backend)
    if process_index not in (None, 0) or host_id not in (None, 0):
        raise ValueError(
            f"Unknown process_index {process_index if host_id is None else host_id}: there is one, 0"
        )
    return _known_devices()


def device_count(backend: str | None = None) -> int:
    """The number of devices."""
    return len(devices(backend))


def local_device_count(backend: str | None = None) -> int:
    """The number of devices of this process."""
    return len(devices(backend))


def process_index(backend: str | None = None) -> int:
    """Which of the processes this is: 0, as there is one."""
    _check_backend(backend)
    return 0


def process_count(backend: str | None = None) -> int:
    """The number of processes that work together: 1."""
    _check_backend(backend)
    return 1


def process_indices(backend: str | None = None) -> list[int]:
    """The numbers of the processes that work together."""
    _check_backend(backend)
    return [0]


host_id, host_count, host_ids = process_index, process_count, process_indices


def default_backend() -> str:
    """The name of the platform on which programs run."""
    return CPU.platform


def device_put(
    x: Any, device: Any = None, *, src: Any = None, donate: Any = False, may_alias: Any = None
) -> Any:
    """A pytree of arrays, on a device or spread over several.

    Devices share one memory, so nothing is copied: the arrays know where they are.

    Args:
      x: a pytree of arrays, NumPy arrays and numbers.
      device: a device, a sharding, a `PartitionSpec` over the mesh in force, None (the default device), or a
        pytree of these that is a prefix of `x`.
      donate: whether the arrays of `x` are not used afterwards; True, or a prefix of `x`.
      src, may_alias: accepted for compatibility.
    Raises:
      ValueError: `device` is something else, or an array can't be cut as the sharding says.
    """

    def put(leaf: Any) -> Any:
        check_arraylike(leaf, "device_put", "a leaf")
        return result(operand(leaf))

    out = tree.map(put, x)
    if device is not None:
        out = _placing.spread(out, device, "device_put")
    if donate is False:
        return out
    leaves, structure = tree.flatten(x)
    results = tree.leaves(out)
    for i, given in enumerate(tree.broadcast_prefix(donate, x)):
        leaf = leaves[i]
        if given and type(leaf) is Array:
            results[i] = Array(leaf.aval, leaf._np, leaf._owner) if results[i] is leaf else results[i]
            leaf.delete()  # type: ignore[attr-defined]
    return tree.unflatten(structure, results)


def device_get(x: Any) -> Any:
    """A pytree of arrays as one of NumPy arrays, which are read-only views."""

    def get(leaf: Any) -> Any:
        if isinstance(leaf, Array):
            return leaf if dtypes.is_key_dtype(leaf.aval.dtype) else leaf._np
        return np.asarray(leaf) if isinstance(leaf, Tracer) or hasattr(leaf, "__array__") else leaf

    return tree.map(get, x)


def block_until_ready(x: Any) -> Any:
    """`x`, once everything in it is computed. Calls return when their results are there, so that is now."""
    return x


def copy_to_host_async(x: Any) -> Any:
    """`x`; arrays are in the host's memory already."""
    return x


def effects_barrier() -> None:
    """Wait for side effects to have happened: they have, when a call returns."""


def typeof(x: Any) -> Any:
    """The type of an array or number: its shape, dtype and weak type."""
    return get_aval(x)


def print_environment_info(return_string: bool = False) -> str | None:
    """Print, or return, what a bug report should say of the machine and the packages."""
    versions = {"wengert": __version__, "numpy": np.__version__, "python": sys.version}
    lines = [f"{name + ':':9} {version}" for name, version in versions.items()]
    lines += [f"{'device:':9} {CPU!r} ({platform.machine()})", f"{'system:':9} {platform.platform()}"]
    text = "\n".join(lines)
    if return_string:
        return text
    print(text)
    return None
