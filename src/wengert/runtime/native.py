"""The border between Python and compiled programs: calls in, calls out.

Calls in: `make_entry` turns the address of a program into a Python callable that takes raw addresses. One
native routine serves all programs, so that a new program costs no further compilation: a `PyCFunction` whose
`self` says which program to run. A call with two addresses takes about 50 ns.

Calls out: what only Python can do (an FFT, a host callback) is registered by `register_host_call`; a program
calls `@wengert_host_call(id, addresses)`. An exception in it makes the program return status `HOST_ERROR`,
and `raise_pending` raises it again.

A program is `i32 @program(ptr %args)`; `%args` points to an array of addresses. It returns 0, or another
status.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from wengert.backends import cpu
from wengert.runtime import interrupt as _interrupt  # noqa: F401  (provides wengert_interrupt_...)
from wengert.runtime.floating import denormals_ir

OK: Final = 0
HOST_ERROR: Final = 1
INTERRUPTED: Final = 2

MAX_ARGS: Final = 1 << 16

# Args: one address each. Anything but an integer is a TypeError, raised by CPython's own conversion.
# PyBytes_AsString gives the record that make_entry packed: the program's address and its number of arguments.
_ENTRY_IR: Final = """
@PyExc_TypeError = external global ptr
@_Py_NoneStruct = external global i8
declare ptr @PyBytes_AsString(ptr)
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyLong_FromLong(i64)
declare ptr @PyErr_Occurred()
declare ptr @PyErr_Format(ptr, ptr, ...)
declare void @Py_IncRef(ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i64 @wengert_interrupt_enter()
declare void @wengert_interrupt_leave(i64)

define internal i32 @convert(ptr %args, ptr %to, i64 %n) {
entry:
  %none = icmp eq i64 %n, 0
  br i1 %none, label %good, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %step ]
  %from = getelementptr ptr, ptr %args, i64 %i
  %object = load ptr, ptr %from
  %address = call ptr @PyLong_AsVoidPtr(ptr %object)
  %slot = getelementptr ptr, ptr %to, i64 %i
  store ptr %address, ptr %slot
  %null = icmp eq ptr %address, null
  br i1 %null, label %doubt, label %step
doubt:
  %error = call ptr @PyErr_Occurred()
  %failed = icmp ne ptr %error, null
  br i1 %failed, label %bad, label %step
step:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %good
good:
  ret i32 0
bad:
  ret i32 1
}

define internal ptr @result(i32 %status) {
entry:
  switch i32 %status, label %number [ i32 0, label %none
                                      i32 2, label %interrupted ]
none:  ; SciPy's functions raise if the user has asked for it by scipy.special.seterr
  %refused = call ptr @PyErr_Occurred()
  %told = icmp ne ptr %refused, null
  br i1 %told, label %raise, label %fine
fine:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
interrupted:
  %error = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %error, null
  br i1 %raised, label %raise, label %number
raise:
  ret ptr null
number:
  %wide = sext i32 %status to i64
  %object = call ptr @PyLong_FromLong(i64 %wide)
  ret ptr %object
}

define internal i32 @run_long(ptr %program, ptr %slots) {
entry:
  %before = call i64 @wengert_interrupt_enter()
  %raised = icmp eq i64 %before, -2
  br i1 %raised, label %interrupted, label %run
run:
  %thread = call ptr @PyEval_SaveThread()
  %mode = call i64 @flush_denormals()
  %status = call i32 %program(ptr %slots)
  call void @restore_denormals(i64 %mode)
  call void @PyEval_RestoreThread(ptr %thread)
  call void @wengert_interrupt_leave(i64 %before)
  ret i32 %status
interrupted:
  ret i32 2
}

; What a signal handler raises on the way to the Python function's first statement gets to the program's caller: that
; would be lost in a callback of ctypes.
@wengert_host_function = global ptr null
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare ptr @PyObject_CallFunction(ptr, ptr, ...)
declare i64 @PyLong_AsLong(ptr)
declare void @Py_DecRef(ptr)
define i32 @wengert_host_entry(i64 %number, ptr %addresses) {
entry:
  %mode = call i64 @keep_denormals()
  %gil = call i32 @PyGILState_Ensure()
  %function = load ptr, ptr @wengert_host_function
  %result = call ptr (ptr, ptr, ...) @PyObject_CallFunction(
      ptr %function, ptr @number_and_address, i64 %number, ptr %addresses)
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %done, label %returned
returned:
  %word = call i64 @PyLong_AsLong(ptr %result)
  %said = trunc i64 %word to i32
  call void @Py_DecRef(ptr %result)
  br label %done
done:
  %status = phi i32 [ 2, %entry ], [ %said, %returned ]
  call void @PyGILState_Release(i32 %gil)
  call void @restore_denormals(i64 %mode)
  ret i32 %status
}

define internal i32 @run_short(ptr %program, ptr %slots) {
  %mode = call i64 @flush_denormals()
  %status = call i32 %program(ptr %slots)
  call void @restore_denormals(i64 %mode)
  ret i32 %status
}
"""

_ENTRY_BODY: Final = """
define ptr @wengert_entry_KIND(ptr %self, ptr %args, i64 %nargs) {
entry:
  %record = call ptr @PyBytes_AsString(ptr %self)
  %lost = icmp eq ptr %record, null
  br i1 %lost, label %bad, label %found
found:
  %program = load ptr, ptr %record, align 1
  %at = getelementptr i8, ptr %record, i64 8
  %n = load i64, ptr %at, align 1
  %fits = icmp eq i64 %n, %nargs
  br i1 %fits, label %take, label %count
count:
  %type_error = load ptr, ptr @PyExc_TypeError
  %x = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %type_error, ptr @wrong_count, i64 %n, i64 %nargs)
  br label %bad
take:
  %slots = alloca ptr, i64 %n, align 16
  %failed = call i32 @convert(ptr %args, ptr %slots, i64 %n)
  %good = icmp eq i32 %failed, 0
  br i1 %good, label %run, label %bad
run:
  %status = call i32 @run_KIND(ptr %program, ptr %slots)
  %object = call ptr @result(i32 %status)
  ret ptr %object
bad:
  ret ptr null
}
"""


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


METH_O: Final = 0x08
METH_FASTCALL: Final = 0x80

_NewFunction: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
_new_function: Final = _NewFunction(("PyCFunction_NewEx", ctypes.pythonapi))
# By address. A PyCFunction points to its definition for as long as it lives.
_definitions: dict[int, _MethodDef] = {}
_entry_code: cpu.LoadedCode | None = None


def make_function(name: str, address: int, flags: int, self: Any) -> Callable[..., Any]:
    """A Python callable of a native function; `flags` (METH_O, METH_FASTCALL) says which signature it has."""
    definition = _definitions.get(address)
    if definition is None:
        definition = _definitions[address] = _MethodDef(name.encode(), address, flags, None)
    function: Callable[..., Any] = _new_function(ctypes.addressof(definition), self, None)
    return function


def ir_string(name: str, text: str) -> str:
    """LLVM IR that defines `@name` as a C string (ASCII, without quotes or backslashes)."""
    return f'@{name} = private constant [{len(text) + 1} x i8] c"{text}\\00"\n'


def _load_entry() -> cpu.LoadedCode:
    global _entry_code
    with cpu.lock:
        if _entry_code is None:
            message = ir_string("wrong_count", "the program takes %zd addresses, %zd were given")
            message += ir_string("number_and_address", "LK")
            bodies = _ENTRY_BODY.replace("KIND", "short") + _ENTRY_BODY.replace("KIND", "long")
            code = cpu.load_routines("entry", message + denormals_ir() + _ENTRY_IR + bodies, __file__)
            ctypes.c_void_p.from_address(code.address("wengert_host_function")).value = id(_host_call)
            _entry_code = code
        return _entry_code


def make_entry(program_address: int, n_args: int, release_gil: bool) -> Callable[..., int | None]:
    """A callable that runs the program at an address; it takes `n_args` integers, its arguments' addresses.

    It returns None if the program returned 0, else the status, an int. It raises TypeError if the count is
    wrong or an argument is no integer, and what a signal handler raised if the program was interrupted.
    With `release_gil` other Python threads run meanwhile, and Ctrl-C is looked after; that costs about 60 ns.

    The addresses are trusted: a wrong one makes the process crash. The program's memory must outlive the
    callable.
    """
    if not 0 <= n_args <= MAX_ARGS:
        raise ValueError(f"a program takes up to {MAX_ARGS} addresses, got {n_args}")
    code = _entry_code or _load_entry()
    record = program_address.to_bytes(8, sys.byteorder) + n_args.to_bytes(8, sys.byteorder)
    address = code.address("wengert_entry_long" if release_gil else "wengert_entry_short")
    return make_function("program", address, METH_FASTCALL, record)


# ---- calls from programs to Python

_host_calls: dict[int, tuple[Callable[..., Any], int]] = {}
_host_call_numbers = itertools.count(1)
_pending: dict[int, BaseException] = {}


def register_host_call(function: Callable[..., Any], n_addresses: int) -> int:
    """Number a Python function that programs may call as `@wengert_host_call(i64 number, ptr addresses)`.

    It is called as function(address, ...) with the `n_addresses` integers that `addresses` points to, in the
    thread that runs the program, with the GIL. Its result is ignored; it reads and writes through the
    addresses.
    """
    number = next(_host_call_numbers)
    _host_calls[number] = (function, n_addresses)
    return number


def release_host_call(number: int) -> None:
    """Forget a function that `register_host_call` numbered, when no program calls it any more."""
    _host_calls.pop(number, None)


def _host_call(number: int, addresses: int) -> int:
    try:
        function, n = _host_calls[number]
        function(*((ctypes.c_size_t * n).from_address(addresses) if n else ()))
    except BaseException as error:
        _pending[threading.get_ident()] = error
        return HOST_ERROR
    return OK


def raise_pending() -> None:
    """Raise the exception that ended the program which this thread ran last, if a host call raised one."""
    error = _pending.pop(threading.get_ident(), None)
    if error is not None:
        raise error


def _host_call_address(name: str) -> int | None:
    return (_entry_code or _load_entry()).address("wengert_host_entry")


cpu.add_provider("wengert_host_call", _host_call_address)
