"""How arrays print."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.array import Array


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The array as `Array([1., 2.], dtype=float32)`."""
    if isinstance(arr, Array) and dtypes.is_key_dtype(arr.aval.dtype):
        return _keys_repr(arr)
    values = np.asarray(arr)
    return _repr(arr, values, max_line_width, precision, suppress_small)


def _repr(arr: Any, values: Any, width: int | None, precision: int | None, suppress: bool | None) -> str:
    name = type(arr).__name__
    prefix = f"{name}("
    dtype = (
        f"dtype={values.dtype.name}" + (", weak_type=True" if getattr(arr, "weak_type", False) else "") + ")"
    )
    if values.size == 0:
        return f"{prefix}[], shape={values.shape}, {dtype}"
    body = np.array2string(
        values,
        max_line_width=width,
        precision=precision,
        suppress_small=suppress,
        separator=", ",
        prefix=prefix,
        suffix=",",
    )
    longest = int(np.get_printoptions()["linewidth"]) if width is None else width
    last_line = len(body) - (body.rfind("\n") + 1)
    space = " " if last_line + len(dtype) + 2 < longest else " " * len(prefix)
    return f"{prefix}{body},{space}{dtype}"


def _keys_repr(keys: Array) -> str:
    words = np.ascontiguousarray(keys._np).reshape((*keys.shape, 1)).view(np.uint32)
    return f"Array({keys.shape}, dtype={keys.dtype}) overlaying:\n{words}"


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The elements of the array alone, as `print` shows them; of random keys what `repr` says."""
    if isinstance(a, Array) and dtypes.is_key_dtype(a.aval.dtype):
        return _keys_repr(a)
    return np.array_str(np.asarray(a), max_line_width, precision, suppress_small)


def set_printoptions(*args: Any, **kwargs: Any) -> None:
    """Set how arrays print; the arguments are those of `numpy.set_printoptions`."""
    np.set_printoptions(*args, **kwargs)


def get_printoptions() -> dict[str, Any]:
    """How arrays print; see `numpy.get_printoptions`."""
    return dict(np.get_printoptions())


@contextlib.contextmanager
def printoptions(*args: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
    """A context in which arrays print differently; see `numpy.printoptions`."""
    with np.printoptions(*args, **kwargs) as options:
        yield dict(options)
