"""Ctrl-C while a compiled program runs.

Python handles a signal when its main thread runs bytecode; inside a long program it does not. So a program reads a
flag now and then: at every turn of a sequential loop (scan, while), between the pieces of a parallel one, and
in nests with so much work that it takes long (`backends.pacing`). That costs a load and a branch; a function is called
only if the flag is set:

    %flag = load atomic i32, ptr @wengert_interrupted monotonic, align 4
    ; nonzero: %status = call i32 @wengert_interrupt_check()
    ; nonzero: return %status from @program

The flag does not mean that there was a signal, only that it is time to look. A watcher thread, which sleeps
in native code and never holds the GIL, sets it every 20 ms or so while one program keeps the main thread. The
check takes the GIL and lets Python run its signal handlers. Where a handler raises (KeyboardInterrupt,
usually), the program returns `INTERRUPTED` and the call raises that very exception; where it returns, the
program goes on. Other threads never run signal handlers, in Python as here: for them the check returns 0 at
once, but for those that `cancel` names.

A parallel loop belongs to the thread that started it, and ends if that one has to. Its pieces, in whatever thread,
are given the place of its status, and call

    i32 @wengert_interrupt_look(ptr %stop)

which checks for the thread that runs it, and lets the others know by %stop.

A single call of BLAS or LAPACK, a sort of one row, and a Python function that is called back run to their ends first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Any, Final

from wengert.backends import cpu

_IR: Final = """
%timespec = type { i64, i64 }
@wengert_interrupted = global i32 0, align 64
@wengert_interrupt_running = global i64 0, align 64
@wengert_interrupt_watching = global i32 0
@wengert_interrupt_main = global i64 0
@wengert_interrupt_start = global ptr null
@wengert_interrupt_cancelled = global i32 0
@wengert_interrupt_ask = global ptr null
@runs = internal global i64 0
@often = private constant %timespec { i64 0, i64 20000000 }
@seldom = private constant %timespec { i64 0, i64 200000000 }
declare i32 @nanosleep(ptr, ptr)
declare i64 @PyThread_get_thread_ident()
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()
declare ptr @PyObject_CallNoArgs(ptr)
declare void @Py_DecRef(ptr)

define i32 @wengert_interrupt_check() {
entry:
  %thread = call i64 @PyThread_get_thread_ident()
  %main = load i64, ptr @wengert_interrupt_main
  %is_main = icmp eq i64 %thread, %main
  br i1 %is_main, label %look, label %go_on
look:
  store atomic i32 0, ptr @wengert_interrupted monotonic, align 4
  %gil = call i32 @PyGILState_Ensure()
  %raised = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %gil)
  %quiet = icmp eq i32 %raised, 0
  %status = select i1 %quiet, i32 0, i32 2
  ret i32 %status
go_on:
  %cancelled = load atomic i32, ptr @wengert_interrupt_cancelled monotonic, align 4
  %none = icmp eq i32 %cancelled, 0
  br i1 %none, label %never, label %ask
ask:
  %asked = load ptr, ptr @wengert_interrupt_ask
  %answer = call i32 %asked()
  ret i32 %answer
never:
  ret i32 0
}

; In a piece of a parallel loop, whose status is at %stop.
define i32 @wengert_interrupt_look(ptr %stop) {
entry:
  %before = load atomic i32, ptr %stop monotonic, align 4
  %stopped = icmp ne i32 %before, 0
  br i1 %stopped, label %tell, label %check
check:
  %found = call i32 @wengert_interrupt_check()
  %good = icmp eq i32 %found, 0
  br i1 %good, label %go_on, label %end
end:
  store atomic i32 %found, ptr %stop monotonic, align 4
  br label %tell
tell:
  ; the other threads are to look, too
  %status = phi i32 [ %before, %entry ], [ %found, %end ]
  store atomic i32 1, ptr @wengert_interrupted monotonic, align 4
  ret i32 %status
go_on:
  ret i32 0
}

; Call a Python function without arguments. Gives 0, or 2 if it raised something, which the program raises then.
define i32 @wengert_interrupt_call(ptr %function) {
entry:
  %gil = call i32 @PyGILState_Ensure()
  %result = call ptr @PyObject_CallNoArgs(ptr %function)
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %done, label %good
good:
  call void @Py_DecRef(ptr %result)
  br label %done
done:
  %status = phi i32 [ 2, %entry ], [ 0, %good ]
  call void @PyGILState_Release(i32 %gil)
  ret i32 %status
}

; The main thread goes into a long program. Gives what wengert_interrupt_leave takes; -1 in other threads; -2 if an
; exception was raised meanwhile.
define i64 @wengert_interrupt_enter() {
entry:
  %thread = call i64 @PyThread_get_thread_ident()
  %main = load i64, ptr @wengert_interrupt_main
  %is_main = icmp eq i64 %thread, %main
  br i1 %is_main, label %watched, label %unwatched
watched:
  %before = load atomic i64, ptr @wengert_interrupt_running monotonic, align 8
  %runs = load i64, ptr @runs
  %count = add i64 %runs, 1
  store i64 %count, ptr @runs
  store atomic i64 %count, ptr @wengert_interrupt_running monotonic, align 8
  %watching = load i32, ptr @wengert_interrupt_watching
  %alone = icmp eq i32 %watching, 0
  br i1 %alone, label %start, label %done
start:
  store i32 1, ptr @wengert_interrupt_watching
  %hook = load ptr, ptr @wengert_interrupt_start
  %failed = call i32 @wengert_interrupt_call(ptr %hook)
  %raised = icmp ne i32 %failed, 0
  br i1 %raised, label %give_up, label %done
give_up:
  call void @wengert_interrupt_leave(i64 %before)
  ret i64 -2
done:
  ret i64 %before
unwatched:
  ret i64 -1
}

define void @wengert_interrupt_leave(i64 %before) {
entry:
  %is_main = icmp sge i64 %before, 0
  br i1 %is_main, label %watched, label %done
watched:
  store atomic i64 %before, ptr @wengert_interrupt_running monotonic, align 8
  store atomic i32 0, ptr @wengert_interrupted monotonic, align 4
  br label %done
done:
  ret void
}

; Sleeps and ticks for ever. A program that was running at the last tick already is long enough to be asked.
define void @wengert_interrupt_watch() {
entry:
  br label %tick
tick:
  %last = phi i64 [ 0, %entry ], [ %run, %idle ], [ %run, %busy ], [ %run, %set ]
  %still = phi i32 [ 0, %entry ], [ %stiller, %idle ], [ 0, %busy ], [ 0, %set ]
  %long = icmp ugt i32 %still, 100
  %period = select i1 %long, ptr @seldom, ptr @often
  %slept = call i32 @nanosleep(ptr %period, ptr null)
  %run = load atomic i64, ptr @wengert_interrupt_running monotonic, align 8
  %stiller = add i32 %still, 1
  %none = icmp eq i64 %run, 0
  br i1 %none, label %idle, label %busy
idle:
  br label %tick
busy:
  %same = icmp eq i64 %run, %last
  br i1 %same, label %set, label %tick
set:
  store atomic i32 1, ptr @wengert_interrupted monotonic, align 4
  br label %tick
}
"""

_code: cpu.LoadedCode | None = None
_keep: list[Any] = []


def _cpython_symbol(name: str) -> int | None:
    try:
        symbol = getattr(ctypes.pythonapi, name)
    except AttributeError:
        return None
    return ctypes.cast(symbol, ctypes.c_void_p).value


def _start_watcher() -> None:
    """Called by address, so that what a signal handler raises meanwhile is not lost as it is in callbacks of ctypes."""
    watch = ctypes.CFUNCTYPE(None)(_loaded().address("wengert_interrupt_watch"))
    # If no thread can be started (the interpreter is ending), Ctrl-C waits for the program's end.
    with contextlib.suppress(RuntimeError):
        threading.Thread(target=watch, name="wengert-interrupt", daemon=True).start()


def _main_thread_is(ident: int | None) -> None:
    ctypes.c_int64.from_address(_loaded().address("wengert_interrupt_main")).value = ident or 0


def _after_fork() -> None:
    global _cancelled
    if _code is not None:
        for name in ("wengert_interrupt_watching", "wengert_interrupt_cancelled", "wengert_interrupted"):
            ctypes.c_int32.from_address(_code.address(name)).value = 0
        _cancelled = frozenset()
        if (
            ctypes.c_int64.from_address(_code.address("wengert_interrupt_main")).value
            != threading.get_ident()
        ):
            # the thread that forked is the main one now, and the program of the one that was is not here
            ctypes.c_int64.from_address(_code.address("wengert_interrupt_running")).value = 0
            _main_thread_is(threading.get_ident())


def _loaded() -> cpu.LoadedCode:
    global _code
    with cpu.lock:
        if _code is not None:
            return _code
        code = cpu.load_routines("interrupt", _IR, __file__)
        ask = ctypes.CFUNCTYPE(ctypes.c_int32)(_status_here)  # takes the GIL itself
        _keep.append(ask)
        start = id(_start_watcher), ctypes.cast(ask, ctypes.c_void_p).value
        for name, address in zip(("start", "ask"), start, strict=True):
            ctypes.c_void_p.from_address(code.address(f"wengert_interrupt_{name}")).value = address
        _code = code
    _main_thread_is(threading.main_thread().ident)
    os.register_at_fork(after_in_child=_after_fork)
    return code


_cancelled: frozenset[int] = frozenset()


def _status_here() -> int:
    return 2 if threading.get_ident() in _cancelled else 0


def cancel(threads: Sequence[int]) -> None:
    """End the programs that run in these threads, at the next turn of a sequential loop.

    Where the flag is taken back meanwhile (a program in the main thread has ended) it has to be called again.
    Call it without threads when they have ended.
    """
    global _cancelled
    _cancelled = frozenset(threads)
    code = _loaded()
    ctypes.c_int32.from_address(code.address("wengert_interrupt_cancelled")).value = len(threads)
    ctypes.c_int32.from_address(code.address("wengert_interrupted")).value = int(bool(threads))


def _address(name: str) -> int:
    return _loaded().address(name)


cpu.add_provider("Py", _cpython_symbol)
cpu.add_provider("_Py", _cpython_symbol)
cpu.add_provider("wengert_interrupt", _address)
