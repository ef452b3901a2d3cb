"""Named axes: which ones are mapped over here and their sizes; and, while replicas run, where they meet."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from wengert.core.source import current_frame
from wengert.errors import ReplicaError

# name, size, and whether values know if they are the same for all elements (the axes of `shard_map`)
_env: ContextVar[tuple[tuple[Any, int, bool], ...]] = ContextVar("wengert_axes", default=())
named_axes = _env.get


def tracked_axes() -> tuple[Any, ...]:
    """The axes of which values know whether they are the same for all elements."""
    return tuple([name for name, _, tracked in _env.get() if tracked])


def axis_size(name: Any) -> int:
    """The size of a named axis; the product, for a tuple of names. NameError if there is none."""
    if isinstance(name, tuple | list):
        product: int = math.prod(axis_size(n) for n in name)
        return product
    size: int
    for known, size, _ in reversed(_env.get()):
        if known == name:
            return size
    raise unbound(name)


def unbound(name: Any) -> NameError:
    """The error for a name that belongs to no axis."""
    bound = [f"{n!r} (size {size})" for n, size, _ in _env.get()]
    here = f"the axes that are bound here: {', '.join(bound)}" if bound else "no axis is bound here"
    line = current_frame()
    at = f"\nAt {line.summary()}:\n    {line.text()}" if line is not None else ""
    return NameError(
        f"unbound axis name: {name}; {here}. The name is bound inside of functions that"
        f" vmap(f, axis_name={name!r}), pmap(f, axis_name={name!r}) or shard_map, over a mesh with this axis,"
        f" maps; to trace such a function alone, use make_jaxpr(f, axis_env=[({name!r}, size)]).{at}"
    )


def names_of(params: dict[str, Any]) -> tuple[Any, ...]:
    """The axes over which a collective operation runs."""
    names = params["axes"] if "axes" in params else params["axis_name"]
    return names if isinstance(names, tuple) else (names,)


class naming_axes:
    """Context manager that binds names of axes."""

    __slots__ = ("axes", "token")

    def __init__(self, axes: Sequence[tuple[Any, int]], tracked: bool = False):
        self.axes = tuple([(name, size, tracked) for name, size in axes])

    def __enter__(self) -> None:
        self.token = _env.set((*_env.get(), *self.axes))

    def __exit__(self, *_: object) -> None:
        _env.reset(self.token)


# --------------------------------------------------------------------------------------------------- replicas


class _Round:
    """One collective operation: what the replicas that have come brought, and what each is to take."""

    __slots__ = ("brought", "results", "what")

    def __init__(self, what: Any):
        self.what = what
        self.brought: dict[int, Any] = {}
        self.results: Sequence[Any] | None = None


class Meeting:
    """Where the replicas of a mapped function, each in its thread, wait for each other.

    Where pmap is nested, the replicas that meet over the outer axis are those with the same indices on the
    inner ones, their `path`.
    """

    __slots__ = ("_changed", "_ended", "_gone", "_rounds", "size")

    def __init__(self, size: int):
        self.size = size
        self._changed = threading.Condition()
        self._rounds: dict[tuple[int, ...], _Round] = {}
        self._gone: dict[tuple[int, ...], set[int]] = {}
        self._ended = False

    def exchange(
        self,
        path: tuple[int, ...],
        index: int,
        what: Any,
        value: Any,
        combine: Callable[[list[Any]], Sequence[Any]],
    ) -> Any:
        """Bring `value`, and take the result for this replica once all have come.

        `combine` makes the results, one for each replica, of the values of all, in order; none may share
        memory with a value. `what` names the operation, which must be the same for all.

        Raises:
          ReplicaError: the others have ended, or have come for another operation.
        """
        with self._changed:
            found = self._rounds.get(path)
            if found is None:
                found = self._rounds[path] = _Round(what)
            elif found.what != what:
                self._ended = True
                self._changed.notify_all()
                raise ReplicaError(
                    f"the replicas came to different operations: {_words(found.what)} and {_words(what)}."
                    " What decides whether a collective operation runs, a condition say, must be the same"
                    " in all replicas."
                )
            found.brought[index] = value
            if len(found.brought) == self.size:
                del self._rounds[path]
                found.results = combine([found.brought[i] for i in range(self.size)])
                self._changed.notify_all()
            while found.results is None:
                if self._ended or self._gone.get(path):
                    raise ReplicaError(
                        f"a replica waits at {_words(what)} for others that have ended without coming to it."
                        " What decides whether a collective operation runs, a condition or the number of"
                        " turns of a loop say, must be the same in all replicas."
                    )
                self._changed.wait()
            return found.results[index]

    def leave(self, path: tuple[int, ...], index: int) -> None:
        """Replica `index` has ended: who waits for it, waits in vain."""
        with self._changed:
            self._gone.setdefault(path, set()).add(index)
            self._changed.notify_all()

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _words(what: tuple[Any, ...]) -> str:
    return f"{what[0]} over the axis {what[1]!r}"


class Replica:
    """One of the runs of a mapped function."""

    __slots__ = ("index", "meeting", "name")

    def __init__(self, name: Any, index: int, meeting: Meeting):
        self.name = name
        self.index = index
        self.meeting = meeting


# the replicas that run in this thread, the outermost first
_replicas: ContextVar[tuple[Replica, ...]] = ContextVar("wengert_replicas", default=())
current_replicas = _replicas.get


def enter_replica(replica: Replica) -> None:
    """Say that this thread runs a replica, from now to its end."""
    _replicas.set((*_replicas.get(), replica))


def leave_replica() -> None:
    """Say that the innermost replica of this thread has ended."""
    path: tuple[int, ...] = ()
    for replica in reversed(_replicas.get()):
        replica.meeting.leave(path, replica.index)
        path = (replica.index, *path)


def find_replica(name: Any) -> tuple[Replica, tuple[int, ...]]:
    """The replica over the named axis that this thread runs, and its path. NameError if there is none."""
    path: tuple[int, ...] = ()
    for replica in reversed(_replicas.get()):
        if replica.name == name:
            return replica, path
        path = (replica.index, *path)
    raise unbound(name)


def meet(name: Any, what: str, value: Any, combine: Callable[[list[Any]], Sequence[Any]]) -> Any:
    """Run a collective operation together with the other replicas over an axis; see `Meeting.exchange`."""
    replica, path = find_replica(name)
    return replica.meeting.exchange(path, replica.index, (what, name), value, combine)
