"""Types for annotations: what functions of `wengert.numpy` take as an array, and as a dtype."""

from __future__ import annotations

from typing import Any, Protocol, Union

import numpy as np

from wengert.core.array import ArrayBase


class SupportsDType(Protocol):
    """Anything with a `dtype`, such as `wengert.numpy.float32`."""

    @property
    def dtype(self) -> Any:
        """The dtype."""


ArrayLike = Union[ArrayBase, np.ndarray[Any, Any], np.bool_, np.number[Any], bool, int, float, complex]  # noqa: UP007
"""An array, traced or not, or a number. Lists are not: convert them by `wengert.numpy.asarray`."""

DTypeLike = Union[str, type[Any], np.dtype[Any], SupportsDType]  # noqa: UP007
"""What names a dtype: a string, a scalar type, a dtype, or an object that has one."""

__all__ = ["ArrayLike", "DTypeLike"]
