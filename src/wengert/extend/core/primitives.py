"""The primitives, under JAX's names: `sin_p`, `dot_general_p`, `scan_p`, ..."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from wengert import prims as _prims
from wengert.core.primitive import Primitive as _Primitive


def __getattr__(name: str) -> Any:
    if name.endswith("_p"):
        for module in pkgutil.iter_modules(_prims.__path__, "wengert.prims."):
            found = getattr(importlib.import_module(module.name), name, None)
            if isinstance(found, _Primitive):
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
