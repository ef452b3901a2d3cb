"""Arrays made of parts, arrays that are alive, kinds of memory: names of `jax` that few programs use."""

from __future__ import annotations

import contextlib
import enum
import gc
import itertools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from wengert.config import Flag, current
from wengert.core import dtypes
from wengert.core.array import Array, from_numpy
from wengert.core.mesh import Sharding
from wengert.core.placement import device_of, placed


class MemorySpace(enum.Enum):
    """Whose memory an array is in. Here both have the same."""

    Device = enum.auto()
    Host = enum.auto()


memory = SimpleNamespace(Space=MemorySpace)


def make_array_from_callback(
    shape: Any, sharding: Sharding, data_callback: Callable[[Any], Any], dtype: Any = None
) -> Any:
    """An array whose parts a function gives.

    Args:
      shape: of the whole.
      sharding: how it is spread.
      data_callback: from the index of a part, a tuple of slices, to the part.
      dtype: of the array; by default that of the first part.
    Raises:
      ValueError: the array can't be cut so, or a part has another shape than its index says.
    """
    return _assembled(shape, sharding, lambda device, index: data_callback(index), dtype)


def _assembled(shape: Any, sharding: Sharding, part_of: Callable[[Any, Any], Any], dtype: Any) -> Any:
    whole: np.ndarray[Any, Any] | None = None
    done: list[Any] = []
    for device, index in sharding.devices_indices_map(tuple(shape)).items():
        if index in done:
            continue
        done.append(index)
        part = np.asarray(part_of(device, index))
        if whole is None:
            whole = np.empty(tuple(shape), dtypes.canonicalize_dtype(dtype or part.dtype))
        if part.shape != whole[index].shape:
            raise ValueError(
                f"the part at {index} has shape {part.shape}, but must have {whole[index].shape}"
            )
        whole[index] = part
    assert whole is not None
    return placed(from_numpy(whole), sharding)


def make_array_from_single_device_arrays(
    shape: Any, sharding: Sharding, arrays: Sequence[Any], *, dtype: Any = None
) -> Any:
    """An array whose parts are arrays, one on each device of the sharding.

    Raises:
      ValueError: a device has no part, or two; or a part has another shape than the sharding says.
    """
    where = sharding.devices_indices_map(tuple(shape))
    by_device = {device_of(a): a for a in arrays}
    if set(by_device) != set(where) or len(arrays) != len(where):
        raise ValueError(
            f"make_array_from_single_device_arrays takes one array on each of the {len(where)} devices of the"
            f" sharding, got {len(arrays)} on {sorted(map(str, by_device))}. device_put(x, device) puts an array"
            " on a device."
        )
    return _assembled(shape, sharding, lambda device, index: by_device[device], dtype or arrays[0].dtype)


def make_array_from_process_local_data(sharding: Sharding, local_data: Any, global_shape: Any = None) -> Any:
    """An array of what this process has of it: all of it, as there is one process.

    Raises:
      ValueError: `global_shape` is another than that of the data, or the array can't be cut so.
    """
    data = np.asarray(local_data)
    if global_shape is not None and tuple(global_shape) != data.shape:
        raise ValueError(
            f"there is one process, which must have all of {tuple(global_shape)}, got {data.shape}"
        )
    return make_array_from_callback(data.shape, sharding, data.__getitem__, data.dtype)


def live_arrays(platform: str | None = None) -> list[Any]:
    """All arrays that exist, and have not been deleted. RuntimeError for a platform that there isn't."""
    if platform not in (None, "cpu"):
        raise RuntimeError(f"Unknown backend {platform!r}: the only one that is present is 'cpu'")
    return [x for x in gc.get_objects() if type(x) is Array and not x.is_deleted()]  # type: ignore[attr-defined]


class UserContext:
    """A value of the user's on which traced functions depend. Made by `make_user_context`."""

    __slots__ = ("_default", "_number")

    _numbers = itertools.count()

    def __init__(self, default_value: Any):
        self._default = default_value
        self._number = next(self._numbers)

    @property
    def value(self) -> Any:
        """The value in force here."""
        return dict(current().user_context).get(self._number, self._default)

    def __call__(self, new_val: Any) -> contextlib.ContextDecorator:
        """A context manager that puts a value, which is hashable, in force."""
        others = dict(current().user_context)
        return Flag("user_context")(tuple({**others, self._number: new_val}.items()))


def make_user_context(default_value: Any = None) -> UserContext:
    """A value that functions read while they are traced: jitted functions are traced anew where it differs.

    ::

        width = wengert.make_user_context(2)

        @jit
        def f(x):
            return x * width.value

        with width(3):
            f(1.0)  # 3.0, and outside 2.0
    """
    return UserContext(default_value)
