"""Names for parts of programs, and where computations happen while a function is traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from wengert.core.trace import eval_trace, using_trace
from wengert.transforms.api_util import check_callable, wraps
from wengert.transforms.jit import jit

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
    """`fun`, as an equation of its own in the jaxprs of functions that call it, under the given name."""
    check_callable(fun, "named_call")

    def called(*args: Any, **kwargs: Any) -> Any:
        return fun(*args, **kwargs)

    named = wraps(fun, called)
    named.__name__ = name or getattr(fun, "__name__", "fun")
    del named.__wrapped__
    return jit(named)  # type: ignore[no-any-return]


@contextlib.contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """Inside, operations on known values are computed at once, even while a function is being traced."""
    with using_trace(eval_trace):
        yield
