"""Dtypes beyond NumPy's, and questions about dtypes: the names of `jax.dtypes`."""

from __future__ import annotations

from typing import Any

from wengert.core import dtypes as _dtypes
from wengert.core.dtypes import (
    canonicalize_dtype,
    extended,
    finfo,
    float0,
    iinfo,
    issubdtype,
    itemsize_bits,
    prng_key,
    result_type,
    scalar_type_of,
)
from wengert.errors import TypePromotionError

__all__ = [
    "TypePromotionError",
    "bfloat16",  # noqa: F822  (by __getattr__)
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "result_type",
    "scalar_type_of",
]


def __getattr__(name: str) -> Any:
    if name == "bfloat16":  # brings ml_dtypes with it, so only when asked for
        return _dtypes.bfloat16
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
