"""What happens inside, for whoever listens: `wengert.monitoring` is the public side of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Listener = Callable[..., None]

events: list[Listener] = []  # (event, **metadata)
durations: list[Listener] = []  # (event, seconds, **metadata)
spans: list[Listener] = []  # (event, start, end, **metadata), in seconds since the epoch
scalars: list[Listener] = []  # (event, value, **metadata)


def tell(listeners: list[Listener], *args: Any, **metadata: Any) -> None:
    """Call all listeners of a kind. They may come and go while they are called."""
    for listener in tuple(listeners):
        listener(*args, **metadata)


def tell_span(event: str, start: float, end: float, **metadata: Any) -> None:
    """Something took from `start` to `end`: a span and a duration."""
    if durations:
        tell(durations, event, end - start, **metadata)
    if spans:
        tell(spans, event, start, end, **metadata)
