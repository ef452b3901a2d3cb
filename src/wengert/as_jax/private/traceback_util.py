"""Which frames are left out of tracebacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def register_exclusion(path: str) -> None:
    """Says that the frames of a file are a library's; errors show the user's line in any case."""
    del path


def api_boundary(fun: _F, **options: Any) -> _F:
    """Marks where a library is entered: nothing is to be done for it."""
    del options
    return fun
