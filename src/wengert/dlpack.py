"""Arrays to and from other libraries without a copy, by the DLPack protocol: the names of `jax.dlpack`.

The other direction needs no function: arrays have `__dlpack__`, so that `numpy.from_dlpack(x)` or
`torch.from_dlpack(x)` reads them in place.
"""

from __future__ import annotations

from typing import Any

from wengert.core import dtypes
from wengert.numpy.creation import from_dlpack as _from_dlpack

__all__ = ["from_dlpack", "is_supported_dtype"]


def from_dlpack(external_array: Any, device: Any = None, copy: bool | None = None) -> Any:
    """An array of the data of another library's array, of the same dtype.

    Args:
      external_array: anything that has `__dlpack__` and `__dlpack_device__`; in the memory of the host.
      device: where to; the CPU is the only place there is.
      copy: False refuses where memory can't be shared; True copies always; None shares where it can. Shared memory
        must not be written to any more by its owner.
    Raises:
      TypeError: no such protocol, or a dtype that arrays can't have.
      BufferError: the memory can't be read without a copy, and `copy` is False.
    """
    return _from_dlpack(external_array, device=device, copy=copy)


def is_supported_dtype(dtype: Any) -> bool:
    """Whether arrays of this dtype can be exchanged: bools, integers of 8 to 64 bits, floats of 16 to 64, complex."""
    found = dtypes.as_dtype(dtype)
    return found.kind in "biufc" and (found.name == "bool" or found.name not in dtypes.ML_NAMES)
