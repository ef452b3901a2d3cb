"""Computing at once, while a function is traced, what depends on no traced value."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from wengert.core.primitive import Primitive
from wengert.core.trace import Trace, Tracer, current_trace, eval_trace, using_trace


@contextlib.contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """Inside, operations on known values are computed at once, even while a function is being traced.

    Operations on traced values are traced.
    """
    with using_trace(FoldingTrace(current_trace())):
        yield


@contextlib.contextmanager
def eval_context() -> Iterator[None]:
    """Inside, all operations are computed at once; they can't be applied to traced values."""
    with using_trace(eval_trace):
        yield


class FoldingTrace(Trace):
    """Computes what depends on no tracer, and leaves the rest to its parent."""

    __slots__ = ()

    def __init__(self, parent: Trace):
        self.parent: Trace = parent

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        with using_trace(self.of(args)):
            return prim.bind(*args, **params)

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        trace = self.of(args)
        with using_trace(trace):
            return trace.process_custom_jvp(prim, fun, jvp, args)

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        trace = self.of(args)
        with using_trace(trace):
            return trace.process_custom_vjp(prim, fun, fwd, args, **params)

    def of(self, args: Sequence[Any]) -> Trace:
        """The trace that an operation on these belongs to."""
        return self.parent if any(isinstance(a, Tracer) for a in args) else eval_trace
