"""Names for parts of programs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from wengert.core.source import naming
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
