"""Names for parts of programs, and where computations happen while a function is traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wengert.core.primitive import Primitive
from wengert.core.source import naming
from wengert.core.trace import Trace, Tracer, current_trace, eval_trace, using_trace
from wengert.transforms.api_util import check_callable, fun_name, wraps


class named_scope(contextlib.ContextDecorator, naming):
    """A context manager, and a decorator, that names a part of a program for its readers.

    What it computes is the same. The names stand in the source information of equations:
    `make_jaxpr(f)(x).pretty_print(name_stack=True)` prints them, and error messages and `explain` show them.

    Raises:
      TypeError: the name is no string.
    """

    def __init__(self, name: str):
        if not isinstance(name, str):
            raise TypeError(f"named_scope name argument must be a string, got {name!r}")
        super().__init__(name)

    def _recreate_cm(self) -> named_scope:
        return named_scope(self.name or "")


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """`fun`, whose operations are in a scope of the given name, or of its own; see `named_scope`."""
    check_callable(fun, "named_call")
    scope = fun_name(fun) if name is None else name

    def called(*args: Any, **kwargs: Any) -> Any:
        with named_scope(scope):
            return fun(*args, **kwargs)

    return wraps(fun, called)  # type: ignore[no-any-return]


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
