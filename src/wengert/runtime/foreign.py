"""Routines of other libraries that programs call: the inner loops of ufuncs.

A ufunc of NumPy's or SciPy's is a C struct, whose layout is public (numpy/ufuncobject.h): it holds the addresses of
its loops, and for each the address of data that the loop is given. Loops for numbers work without Python. What is read
from the struct is compared with what the ufunc says of itself; if they differ, the loop is one that calls the ufunc in
Python.

`@wengert_table_special_gammainc_dd_d` is a table of these two addresses. `@wengert_run_loop` runs the loop of a table,
with the processor's usual treatment of small numbers.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np

from wengert.backends import cpu
from wengert.core.ufuncs import find_ufunc, run_ufunc
from wengert.runtime.floating import denormals_ir

_LOOP_IR: Final = """
define void @wengert_run_loop(ptr %table, ptr %args, ptr %sizes, ptr %steps) {
  %loop = load ptr, ptr %table
  %second = getelementptr ptr, ptr %table, i64 1
  %data = load ptr, ptr %second
  %mode = call i64 @keep_denormals()
  call void %loop(ptr %args, ptr %sizes, ptr %steps, ptr %data)
  call void @restore_denormals(i64 %mode)
  ret void
}
"""

_code: cpu.LoadedCode | None = None


def _routine(name: str) -> int | None:
    global _code
    with cpu.lock:
        if _code is None:
            _code = cpu.load_routines("foreign", denormals_ir() + _LOOP_IR, __file__)
        return _code.address(name)


_TABLE: Final = "wengert_table_"


class _Struct(ctypes.Structure):
    """The beginning of NumPy's PyUFuncObject."""

    _fields_ = (
        ("head", ctypes.c_char * object.__basicsize__),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.c_void_p),
    )


def _loop_of(ufunc: Any, types: str) -> tuple[int, int | None] | None:
    """The addresses of a loop and of its data; None if the struct is not as it should be."""
    if ufunc is None or types not in ufunc.types or type(ufunc).__basicsize__ < ctypes.sizeof(_Struct):
        return None
    struct = _Struct.from_address(id(ufunc))
    counts = (struct.nin, struct.nout, struct.nargs, struct.ntypes)
    if counts != (ufunc.nin, ufunc.nout, ufunc.nargs, len(ufunc.types)):
        return None
    if not (struct.functions and struct.data and struct.types):
        return None
    letters = "".join(ufunc.types).replace("->", "")
    numbers = bytes([np.dtype(letter).num for letter in letters])
    if ctypes.string_at(struct.types, len(numbers)) != numbers:
        return None
    where = ufunc.types.index(types)
    function = struct.functions[where]
    return None if function is None else (function, struct.data[where])


_Loop: Final = ctypes.CFUNCTYPE(
    None,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.c_void_p,
)


def _loop_in_python(name: str, types: str) -> Any:
    """A loop that calls the ufunc."""
    inputs = len(types.partition("->")[0])
    letters = types.replace("->", "")
    lines = name.startswith("fft.")

    def run(args: Any, sizes: Any, steps: Any, data: Any) -> None:
        arrays = []
        for n, letter in enumerate(letters):
            shape, strides = [sizes[0]], [steps[n]]
            if lines and n != 1:
                shape.append(sizes[1 + n // 2])
                strides.append(steps[len(letters) + n // 2])
            dtype = np.dtype(letter)
            size = sum((d - 1) * s for d, s in zip(shape, strides, strict=True)) + dtype.itemsize
            memory = (ctypes.c_char * size).from_address(args[n])
            arrays.append(np.ndarray(shape, dtype, memory, 0, strides))
        with np.errstate(all="ignore"):
            run_ufunc(name, arrays[:inputs], arrays[inputs:])

    return _Loop(run)


_kept: Final[list[Any]] = []  # what native code has addresses of


def _provide(symbol: str) -> int | None:
    library, rest = symbol.removeprefix(_TABLE).split("_", 1)
    function, ins, outs = rest.rsplit("_", 2)
    name, types = f"{library}.{function}", f"{ins}->{outs}"
    found = _loop_of(find_ufunc(name), types)
    if found is None:
        loop = _loop_in_python(name, types)
        _kept.append(loop)
        found = ctypes.cast(loop, ctypes.c_void_p).value or 0, None
    table = (ctypes.c_void_p * 2)(*found)
    _kept.append(table)
    return ctypes.addressof(table)


cpu.add_provider("wengert_run_loop", _routine)
cpu.add_provider(_TABLE, _provide)
