"""Finding traced values that outlive the tracing of their function, where `check_tracer_leaks` asks for it."""

from __future__ import annotations

import gc
from types import FrameType
from typing import Any

from wengert.config import current
from wengert.core.trace import Trace, Tracer

_SHOWN = 4


def check_leaks(trace: Trace) -> None:
    """Raise an exception if a value of a trace that has ended is still referred to.

    The caller has dropped its own references. This looks at every object of the process: it is slow.
    """
    if not current().check_tracer_leaks:
        return
    gc.collect()
    leaked = [x for x in gc.get_objects() if isinstance(x, Tracer) and getattr(x, "_trace", None) is trace]
    if leaked:
        lines = [f"\n  {x.describe()}, {_holder(x, leaked)}" for x in leaked[:_SHOWN]]
        more = f"\n  and {len(leaked) - _SHOWN} more" if len(leaked) > _SHOWN else ""
        raise Exception(  # the type that JAX raises
            f"Leaked trace {type(trace).__name__}. Leaked tracer(s):{''.join(lines)}{more}\nA function that is"
            " transformed must return what it computes, and not keep it elsewhere."
        )


def _holder(x: Any, others: list[Any]) -> str:
    """What refers to a value, in words."""
    for holder in gc.get_referrers(x):
        if holder is others or isinstance(holder, FrameType | Tracer):
            continue
        if isinstance(holder, dict):
            keys = [k for k, v in holder.items() if v is x]
            return f"which a dict holds under {keys[0]!r}" if keys else "which a dict holds"
        return f"which an object of type {type(holder).__name__} holds"
    return "which a function that is still running holds"
