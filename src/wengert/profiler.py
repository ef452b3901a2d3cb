"""Recording what a program spends its time on, as a file for https://ui.perfetto.dev or chrome://tracing.

A recording has the annotations of the program, and the times in which functions were traced and compiled. Where
the time goes inside of a compiled function is not seen; `wengert.explain` tells what it consists of.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from wengert._lazy import lazy_module
from wengert.core import events
from wengert.core.array import Array

gc = lazy_module("gc")
gzip = lazy_module("gzip")
json = lazy_module("json")
platform = lazy_module("platform")


class ProfileOptions:
    """Options of a recording. They steer how devices are traced in JAX; here they are only kept."""

    def __init__(self) -> None:
        self.host_tracer_level = 2
        self.device_tracer_level = 1
        self.python_tracer_level = 1
        self.advanced_configuration: dict[str, Any] = {}


class _Recording:
    """Spans of time, from `start` on; `folder` is where they are written to."""

    __slots__ = ("folder", "spans", "start")

    def __init__(self, folder: str):
        self.folder = folder
        self.start = time.time()
        self.spans: list[dict[str, Any]] = []

    def add(self, name: str, start: float, end: float, **metadata: Any) -> None:
        self.spans.append(
            {
                "name": name,
                "ph": "X",
                "ts": (start - self.start) * 1e6,
                "dur": (end - start) * 1e6,
                "pid": os.getpid(),
                "tid": threading.get_ident(),
                "args": metadata,
            }
        )

    def write(self) -> str:
        stamp = time.strftime("%Y_%m_%d_%H_%M_%S", time.localtime(self.start))
        folder = os.path.join(self.folder, "plugins", "profile", stamp)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{platform.node() or 'host'}.trace.json.gz")
        with gzip.open(path, "wt", encoding="utf-8") as file:
            json.dump({"displayTimeUnit": "ns", "traceEvents": self.spans}, file, default=str)
        return path


_recording: _Recording | None = None
_changing = threading.Lock()


def start_trace(
    log_dir: str | os.PathLike[str],
    create_perfetto_link: bool = False,
    create_perfetto_trace: bool = False,
    profiler_options: ProfileOptions | None = None,
) -> None:
    """Start a recording, which `stop_trace` writes to the folder `log_dir`.

    Args:
      log_dir: the file goes to `plugins/profile/<time>/<host>.trace.json.gz` in it.
      create_perfetto_link, create_perfetto_trace, profiler_options: accepted for compatibility: the file is one
        that Perfetto opens.
    Raises:
      RuntimeError: a recording is going on.
    """
    global _recording
    with _changing:
        if _recording is not None:
            raise RuntimeError("Profile has already been started. Only one profile may be run at a time.")
        _recording = _Recording(os.fspath(log_dir))
        events.spans.append(_recording.add)


def stop_trace() -> None:
    """End the recording, and write its file. RuntimeError if there is none."""
    global _recording
    with _changing:
        if _recording is None:
            raise RuntimeError("No profile started")
        recording, _recording = _recording, None
        if recording.add in events.spans:
            events.spans.remove(recording.add)
    recording.write()


@contextlib.contextmanager
def trace(
    log_dir: str | os.PathLike[str],
    create_perfetto_link: bool = False,
    create_perfetto_trace: bool = False,
    profiler_options: ProfileOptions | None = None,
) -> Iterator[None]:
    """A context manager, and a decorator, that records what happens inside; see `start_trace`."""
    start_trace(log_dir, create_perfetto_link, create_perfetto_trace, profiler_options)
    try:
        yield
    finally:
        stop_trace()


class TraceAnnotation(contextlib.ContextDecorator):
    """A context manager, and a decorator, that puts a named span of time into the recording, if there is one.

    The keyword arguments are shown beside it.
    """

    def __init__(self, name: str, **kwargs: Any):
        self.name = name
        self.metadata = kwargs
        self._starts: list[float] = []

    def _recreate_cm(self) -> TraceAnnotation:
        return type(self)(self.name, **self.metadata)

    def __enter__(self) -> TraceAnnotation:
        self._starts.append(time.time())
        return self

    def __exit__(self, *_: object) -> None:
        start = self._starts.pop()
        if _recording is not None:
            _recording.add(self.name, start, time.time(), **self.metadata)


class StepTraceAnnotation(TraceAnnotation):
    """`TraceAnnotation` for a step of a loop; `step_num` says which one."""

    def __init__(self, name: str, **kwargs: Any):
        super().__init__(name, **{k: v for k, v in kwargs.items() if k != "_r"})

    def _recreate_cm(self) -> StepTraceAnnotation:
        return StepTraceAnnotation(self.name, **self.metadata)


def annotate_function(
    func: Callable[..., Any], name: str | None = None, **decorator_kwargs: Any
) -> Callable[..., Any]:
    """A decorator: the calls of the function are named spans of the recording."""
    shown = name or getattr(func, "__qualname__", None) or type(func).__name__

    @functools.wraps(func)
    def annotated(*args: Any, **kwargs: Any) -> Any:
        with TraceAnnotation(shown, **decorator_kwargs):
            return func(*args, **kwargs)

    return annotated


def device_memory_profile(backend: str | None = None) -> bytes:
    """Which arrays are alive, as JSON: for each type, their number and the bytes they take together.

    Args:
      backend: "cpu", the only one there is, which is the default.
    """
    if backend not in (None, "cpu"):
        raise RuntimeError(f"Unknown backend {backend!r}: the only one that is present is 'cpu'")
    found: dict[str, dict[str, int]] = {}
    for x in gc.get_objects():
        if type(x) is Array and (x._ndarray is not None or x._owner is not None):
            entry = found.setdefault(x.aval.str_short(), {"count": 0, "bytes": 0})
            entry["count"] += 1
            entry["bytes"] += x.aval.nbytes
    text: str = json.dumps({"arrays": found, "bytes": sum(e["bytes"] for e in found.values())})
    return text.encode()


def save_device_memory_profile(filename: str | os.PathLike[str], backend: str | None = None) -> None:
    """Write `device_memory_profile` to a file."""
    with open(filename, "wb") as file:
        file.write(device_memory_profile(backend))
