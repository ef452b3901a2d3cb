"""`fork` in a process where other threads compile.

What is locked by a thread that the child does not have stays locked there for ever. So nobody forks in the midst of
loading LLVM, or of a call of it: `os.fork` waits for the end, and both sides go on.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from wengert.backends import cpu
from wengert.runtime import loading

_held: Final[list[Any]] = []


def _hold() -> None:
    loading.settle()  # it takes the lock itself
    cpu.lock.acquire()
    # what LLVM has made is also given back when nobody holds ours
    lib = getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None)
    inner = getattr(lib, "_lock", None)
    if inner is not None:
        inner.__enter__()
    _held.append(inner)


def _release() -> None:
    inner = _held.pop()
    if inner is not None:
        inner.__exit__(None, None, None)
    cpu.lock.release()


os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)
