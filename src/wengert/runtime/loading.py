"""Loading the compiler and LLVM before they are needed, beside what the program does meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import threading
from collections.abc import Callable

from wengert._lazy import lazy_module
from wengert.config import current
from wengert.core.processors import cpu_limit

# What compiling takes, in the order in which a call needs it.
_MODULES = (
    "wengert.runtime.dispatch",
    "wengert.compiler.pipeline",
    "wengert.backends.llvm",
)
_MOMENT = 0.004  # seconds in which a program that imports the package to do one thing has done it
_toolchain = lazy_module("wengert.backends.toolchain")
_cpu = lazy_module("wengert.backends.cpu")
_wanted = threading.Event()
_unneeded = threading.Event()
_in_use = threading.Event()
_started: list[threading.Thread] = []


_rehearsals: list[Callable[[Callable[[], bool]], None]] = []


def set_rehearsal(rehearse: Callable[[Callable[[], bool]], None]) -> None:
    """Set what is done when all is loaded; it is given a function that says whether to leave it at what is done."""
    _rehearsals[:] = [rehearse]


def _is_over() -> bool:
    return _unneeded.is_set() or not threading.main_thread().is_alive()


def _is_busy() -> bool:
    return _is_over() or _in_use.is_set()


def _load_compiler() -> None:
    _wanted.wait(_MOMENT)
    # Whatever goes wrong here goes wrong again where it is needed, and is reported there.
    with contextlib.suppress(Exception):
        path = None if _is_over() else _toolchain.library_path()
        if path is not None:
            ctypes.CDLL(path)
        for name in _MODULES:
            if not _is_over():
                importlib.import_module(name)
        if not _is_over():
            _cpu.warm_up()
        for rehearse in _rehearsals:
            if not _is_busy():
                rehearse(_is_busy)


@functools.cache
def begin() -> None:
    """Load the compiler and LLVM, in a thread.

    A process is not forked, and does not end, in the midst of it: what it has locked would stay locked in the child.
    """
    thread = threading.Thread(target=_load_compiler, name="wengert-loading")
    with contextlib.suppress(RuntimeError):  # the interpreter is ending
        thread.start()
        _started.append(thread)
        os.register_at_fork(before=settle)


def begin_aside() -> None:
    """The same soon, if there is a processor to spare: most programs that import the package compile something, and
    have other things to import and to read first."""
    if current().preload_compiler and cpu_limit() > 1:
        begin()


def prepare() -> None:
    """Somebody has said `jit`, and will call what it gave: load the compiler now, if that has not begun."""
    _wanted.set()
    begin()


def settle() -> None:
    """Wait until nothing is being loaded."""
    for thread in _started:
        if thread is not threading.current_thread():
            thread.join()


def in_use() -> None:
    """Somebody compiles, and is not to share the interpreter with a rehearsal."""
    _in_use.set()


def compiler_not_needed() -> None:
    """The first program came from the disk cache: leave the rest for when it is used."""
    _unneeded.set()
