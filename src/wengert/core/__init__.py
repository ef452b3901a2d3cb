"""What a program is: types, jaxprs, primitives, traces and arrays."""

from __future__ import annotations

import importlib
from typing import Any

# The names that `jax.core` offers too, and the modules they live in. Nothing is imported before it is asked
# for.
_PUBLIC = {
    "AbstractValue": "avals",
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
    "ensure_compile_time_eval": "folding",
    "eval_context": "folding",
    "eval_jaxpr": "staging",
    "get_aval": "trace",
}
ParamDict = dict[str, Any]


def max_dim(d1: int, d2: int) -> int:
    """The larger of two sizes of axes."""
    return max(d1, d2)


def min_dim(d1: int, d2: int) -> int:
    """The smaller of two sizes of axes."""
    return min(d1, d2)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"wengert.core.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'wengert.core' has no attribute {name!r}")
