"""What a program is: types, jaxprs, primitives, traces and arrays."""

from __future__ import annotations

import importlib
from typing import Any

# The names that `jax.core` offers too, and the modules they live in. Nothing is imported before it is asked
# for.
_PUBLIC = {
    "ClosedJaxpr": "jaxpr",
    "Jaxpr": "jaxpr",
    "JaxprTypeError": "jaxpr",
    "Literal": "jaxpr",
    "Primitive": "primitive",
    "ShapedArray": "avals",
    "Trace": "trace",
    "Tracer": "trace",
    "Var": "jaxpr",
    "check_jaxpr": "jaxpr",
    "eval_jaxpr": "staging",
    "get_aval": "trace",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"wengert.core.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'wengert.core' has no attribute {name!r}")
