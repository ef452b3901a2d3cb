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

# what is remembered here and elsewhere, each by an object and as long as it lives
_memos: list[weakref.WeakKeyDictionary[Any, Any]] = []


def new_memo() -> weakref.WeakKeyDictionary[Any, Any]:
    """A dictionary by weak keys that `forget_all` empties."""
    memo: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
    _memos.append(memo)
    return memo


def forget_all() -> None:
    """Empty all memos."""
    for memo in _memos:
        memo.clear()


def memoized(function: _F) -> _F:
    """Remember the results of `function(closed_jaxpr, *hashable)` for as long as the closed jaxpr lives."""
    memo = new_memo()

    @functools.wraps(function)
    def remembering(closed: Any, *args: Any) -> Any:
        found = memo.get(closed)
        if found is None:
            found = memo[closed] = {}
        key = (current().trace_key, *args)
        if key in found:
            return found[key]
        result = function(closed, *args)
        if result is not closed:  # it would keep itself alive
            found[key] = result
        return result

    return remembering  # type: ignore[return-value]
