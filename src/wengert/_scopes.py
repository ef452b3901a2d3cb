"""Names for parts of programs, and where computations happen while a function is traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from wengert.core.primitive import Primitive
from wengert.core.trace import Trace, Tracer, current_trace, eval_trace, using_trace
from wengert.transforms.api_util import check_callable, wraps

_names: ContextVar[tuple[str, ...]] = ContextVar("wengert_scopes", default=())


@contextlib.contextmanager
def named_scope(name: str) -> Iterator[None]:
    """A context manager, and a decorator, that names a part of a program for its readers.

    What it computes is the same.

    Raises:
      TypeError: the name is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"named_scope name argument must be a string, got {name!r}")
    token = _names.set((*_names.get(), name))
    try:
        yield
    finally:
        _names.reset(token)


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """`fun` inside of a `named_scope`; its own name if none is given."""
    check_callable(fun, "named_call")
    scope = name or getattr(fun, "__name__", "fun")

    def called(*args: Any, **kwargs: Any) -> Any:
        with named_scope(scope):
            return fun(*args, **kwargs)

    return wraps(fun, called)


@contextlib.contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """Inside, operations on known values are computed at once, even while a function is being traced.

    Operations on traced values are traced.
    """
    with using_trace(_FoldingTrace(current_trace())):
        yield


class _FoldingTrace(Trace):
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
