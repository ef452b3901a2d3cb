"""Connects the core with the dispatcher, without importing it yet.

The compiler and the backend are a third of the package. They are imported with the first call of compiled code;
`dispatch` then puts itself in place of these forwarders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert._lazy import lazy_module
from wengert.core import trace
from wengert.core.array import Array
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.runtime import loading
from wengert.transforms import jit, stages

_dispatch = lazy_module("wengert.runtime.dispatch")
_interrupt = lazy_module("wengert.runtime.interrupt")
_rehearsal = lazy_module("wengert.runtime.rehearsal")


def dispatcher() -> Any:
    """The dispatcher, which is imported now if it wasn't."""
    return _dispatch


def _compiled_call(prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    return dispatcher().compiled_call(prim, args, params)


def _rehearse(enough: Callable[[], bool]) -> None:
    _rehearsal.rehearse(enough)


def _make_call(entry: jit.Entry) -> Callable[[Sequence[Array]], Any]:
    call: Callable[[Sequence[Array]], Any] = dispatcher().make_call(entry)
    return call


class _LateHooks(stages.Hooks):
    @staticmethod
    def compile(closed: ClosedJaxpr, params: dict[str, Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
        run: Callable[[Sequence[Any]], Sequence[Any]] = dispatcher().Hooks.compile(closed, params)
        return run

    @staticmethod
    def cancel(threads: Sequence[int]) -> None:
        _interrupt.cancel(threads)

    @staticmethod
    def text(closed: ClosedJaxpr, dialect: str) -> str:
        return str(dispatcher().Hooks.text(closed, dialect))

    @staticmethod
    def cost(closed: ClosedJaxpr) -> dict[str, float]:
        found: dict[str, float] = dispatcher().Hooks.cost(closed)
        return found

    @staticmethod
    def memory(closed: ClosedJaxpr) -> Any:
        return dispatcher().Hooks.memory(closed)


def install() -> None:
    """Let calls of compiled code find the dispatcher, and begin to load it."""
    trace.set_compiled_call(_compiled_call)
    jit.set_call_maker(_make_call, loading.prepare)
    stages.set_hooks(_LateHooks)
    loading.set_rehearsal(_rehearse)
    loading.begin_aside()
