"""Remembering what a transformation has made of a jaxpr.

A jitted function that is differentiated again and again must give the same jaxprs again and again: only then
are the programs compiled from them found again.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from wengert.config import current

_F = TypeVar("_F", bound=Callable[..., Any])


def memoized(function: _F) -> _F:
    """Remember the results of `function(closed_jaxpr, *hashable)` for as long as the closed jaxpr lives."""
    memo: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()

    @functools.wraps(function)
    def remembering(closed: Any, *args: Any) -> Any:
        found = memo.get(closed)
        if found is None:
            found = memo[closed] = {}
        key = (current().trace_key, *args)
        if key not in found:
            found[key] = function(closed, *args)
        return found[key]

    return remembering  # type: ignore[return-value]
