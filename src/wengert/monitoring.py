"""Listening to what happens inside: when functions are traced and compiled, and how long it takes.

Wengert itself tells of two events, each with the metadata `fun_name`:

* `/jax/core/compile/jaxpr_trace_duration`: a function was traced;
* `/jax/core/compile/backend_compile_duration`: a traced function was compiled, or found in the cache on disk.

Programs can tell of their own by the functions `record_...`. Listeners are called at once, in the thread where it
happens.
"""

from __future__ import annotations

from collections.abc import Callable

from wengert.core import events

Listener = Callable[..., None]
"""A function that is called with what happened and its details."""


def record_event(event: str, **kwargs: str | int) -> None:
    """Tell the event listeners that `event` has happened."""
    events.tell(events.events, event, **kwargs)


def record_event_duration_secs(event: str, duration: float, **kwargs: str | int) -> None:
    """Tell the duration listeners how long something took, in seconds."""
    events.tell(events.durations, event, duration, **kwargs)


def record_event_time_span(event: str, start_time: float, end_time: float, **kwargs: str | int) -> None:
    """Tell the time span listeners when something began and ended, in seconds since the epoch."""
    events.tell(events.spans, event, start_time, end_time, **kwargs)


def record_scalar(event: str, value: float | int, **kwargs: str | int) -> None:
    """Tell the scalar listeners a number."""
    events.tell(events.scalars, event, value, **kwargs)


def register_event_listener(callback: Listener) -> None:
    """From now on, call `callback(event, **metadata)` for each event."""
    events.events.append(callback)


def register_event_duration_secs_listener(callback: Listener) -> None:
    """From now on, call `callback(event, seconds, **metadata)` for each duration."""
    events.durations.append(callback)


def register_event_time_span_listener(callback: Listener) -> None:
    """From now on, call `callback(event, start, end, **metadata)` for each time span."""
    events.spans.append(callback)


def register_scalar_listener(callback: Listener) -> None:
    """From now on, call `callback(event, value, **metadata)` for each number."""
    events.scalars.append(callback)


def _unregister(listeners: list[Listener], callback: Listener) -> None:
    if callback not in listeners:
        raise ValueError(f"{callback!r} is not registered, or not any more")
    listeners.remove(callback)


def unregister_event_listener(callback: Listener) -> None:
    """Call it no more. ValueError if it is not registered."""
    _unregister(events.events, callback)


def unregister_event_duration_listener(callback: Listener) -> None:
    """Call it no more. ValueError if it is not registered."""
    _unregister(events.durations, callback)


def unregister_event_time_span_listener(callback: Listener) -> None:
    """Call it no more. ValueError if it is not registered."""
    _unregister(events.spans, callback)


def unregister_scalar_listener(callback: Listener) -> None:
    """Call it no more. ValueError if it is not registered."""
    _unregister(events.scalars, callback)


def clear_event_listeners() -> None:
    """Call none of the listeners any more."""
    for listeners in (events.events, events.durations, events.spans, events.scalars):
        listeners.clear()
