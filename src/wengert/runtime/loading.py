"""Loading the compiler and LLVM before they are needed, beside what the program does meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import threading

from wengert._lazy import lazy_module

# What compiling takes, in the order in which a call needs it.
_MODULES = (
    "wengert.runtime.dispatch",
    "wengert.compiler.pipeline",
    "wengert.backends.llvm",
)
_toolchain = lazy_module("wengert.backends.toolchain")
_cpu = lazy_module("wengert.backends.cpu")
_unneeded = threading.Event()
_started: list[threading.Thread] = []


def _load_compiler() -> None:
    # Whatever goes wrong here goes wrong again where it is needed, and is reported there.
    with contextlib.suppress(Exception):
        path = _toolchain.library_path()
        if path is not None:
            ctypes.CDLL(path)
        for name in _MODULES:
            if _unneeded.is_set():
                return
            importlib.import_module(name)
        _cpu.warm_up()


@functools.cache
def prepare() -> threading.Thread:
    """Load the compiler and LLVM, in a thread: somebody has said `jit`, and will call what it gave.

    The time until then is often as long as the loading takes. A process is not forked, and does not end, in the midst
    of it: what it has locked would stay locked in the child.
    """
    thread = threading.Thread(target=_load_compiler, name="wengert-loading")
    with contextlib.suppress(RuntimeError):  # the interpreter is ending
        thread.start()
        _started.append(thread)
        os.register_at_fork(before=settle)
    return thread


def settle() -> None:
    """Wait until nothing is being loaded."""
    for thread in _started:
        if thread is not threading.current_thread():
            thread.join()


def compiler_not_needed() -> None:
    """The first program came from the disk cache: leave the rest for when it is used."""
    _unneeded.set()
