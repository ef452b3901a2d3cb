"""Sorts of rows in memory, by NumPy's routines, which are vector code where the processor has it.

They are found by address in NumPy's C API, so a program that sorts does not return to Python.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np

from wengert.backends import cpu, pacing
from wengert.backends.irbuilder import I8, I32, I64, PTR, VOID, Builder, Module, Value
from wengert.compiler.loops import Call, RowSort

_WORTHWHILE = 100_000.0  # comparisons from which rows are shared among threads
_GRAIN = 20_000.0  # comparisons that are worth handing to a thread
_LONG_ROW = (
    10_000  # elements of a row from which there is a look between rows, whether the user wants the end
)
_LEAST_RUN = 128  # candidates for the least elements that are collected at least before they are sorted


def emit_call(b: Builder, stmt: Call, addresses: list[Value], attributes: str, stop: Value | None) -> None:
    """Code for a call of "sort" (addresses: rows) or "argsort" (keys, and places or nothing; places)."""
    job = stmt.payload
    assert isinstance(job, RowSort)
    sort = _sort_row if stmt.name == "sort" else _argsort_row
    used = [addresses[0], addresses[-1]]
    if job.count == 1:
        sort(b, stmt, used, attributes)
        return
    function = b.module.function(
        f"rows{len(b.module._functions)}",
        VOID,
        [("ctx", PTR), ("lo", I64), ("hi", I64), ("stop", PTR)],
        attributes=attributes,
        linkage="internal",
    )
    inner = Builder(function)
    starts = [inner.load(PTR, inner.gep(PTR, function.args[0], n)) for n in range(2)]
    sizes = [stmt.inputs[0].dtype.itemsize, stmt.outputs[0].dtype.itemsize]
    with inner.loop(function.args[1], function.args[2], 1) as loop:
        if job.n >= _LONG_ROW:
            pacing.look(inner, function.args[3])
        rows = [
            inner.gep(I8, start, inner.mul(loop.index, inner.const(I64, job.n * size)))
            for start, size in zip(starts, sizes, strict=True)
        ]
        sort(inner, stmt, rows, attributes)
        loop.next()
    inner.ret()
    context = b.alloca(PTR, 2)
    for n, value in enumerate(used):
        b.store(value, b.gep(PTR, context, n))
    comparisons = job.n * max(math.log2(job.n), 1.0)
    if job.count * comparisons < _WORTHWHILE:
        none = b.inttoptr(b.const(I64, 0))  # rows of so few are not long
        b.call(function.name, VOID, [context, b.const(I64, 0), b.const(I64, job.count), none])
        return
    pacing.share(b, function.name, context, job.count, max(1, int(_GRAIN / comparisons)), stop)


def _sort_row(b: Builder, stmt: Call, rows: list[Value], attributes: str) -> None:
    job = stmt.payload
    dtype = stmt.outputs[0].dtype
    n = b.const(I64, job.n)
    if job.least is not None and 4 * max(job.least, _LEAST_RUN) <= job.n:
        b.call(_least(b.module, attributes), VOID, [rows[1], n, b.const(I64, job.least)])
    else:
        b.call(f"wengert_sort_{dtype.name}", I32, [rows[1], n, b.inttoptr(b.const(I64, 0))])


def _argsort_row(b: Builder, stmt: Call, rows: list[Value], attributes: str) -> None:
    job = stmt.payload
    n = b.const(I64, job.n)
    if job.again:
        b.call("wengert_argsort_stable", I32, [*rows, n, b.inttoptr(b.const(I64, 0))])
    else:
        b.call(_argsort(b.module, attributes), VOID, [*rows, n])


def _known(module: Module, name: str) -> bool:
    return name in module._functions


def _least(module: Module, attributes: str) -> str:
    """A function that puts the k least of n int64 in order before the others, whose order is lost.

    Elements below the k-th least so far are collected behind the first k; when there are enough of them, they are
    sorted all together. In random data soon there are few.
    """
    name = "least_of_row"
    if _known(module, name):
        return name
    function = module.function(
        name, VOID, [("row", PTR), ("n", I64), ("k", I64)], attributes=attributes, linkage="internal"
    )
    row, n, k = function.args
    b = Builder(function)
    null = b.inttoptr(b.const(I64, 0))

    def sort(length: Value) -> None:
        b.call("wengert_sort_int64", I32, [row, length, null])

    most = b.mul(b.smax(k, b.const(I64, _LEAST_RUN)), b.const(I64, 2))
    sort(most)
    bound = b.load(I64, b.gep(I64, row, b.sub(k, b.const(I64, 1))))
    with b.loop(most, n, 1, [k, bound]) as loop:
        count, bound = loop.carried
        x = b.load(I64, b.gep(I64, row, loop.index))

        def keep() -> list[Value]:
            b.store(x, b.gep(I64, row, count))
            more = b.add(count, b.const(I64, 1))

            def full() -> list[Value]:
                sort(more)
                return [k, b.load(I64, b.gep(I64, row, b.sub(k, b.const(I64, 1))))]

            return b.when(b.icmp("eq", more, most), full, [more, bound], unlikely=True)

        loop.next(*b.when(b.icmp("slt", x, bound), keep, [count, bound]))
    sort(loop.results[0])
    b.ret()
    return name


def _argsort(module: Module, attributes: str) -> str:
    """A function that fills `order` with the places of n int64 keys in ascending order, equal ones in their order."""
    name = "argsort_of_row"
    if _known(module, name):
        return name
    function = module.function(
        name, VOID, [("keys", PTR), ("order", PTR), ("n", I64)], attributes=attributes, linkage="internal"
    )
    keys, order, n = function.args
    b = Builder(function)
    null = b.inttoptr(b.const(I64, 0))
    with b.loop(0, n, 1) as loop:
        b.store(loop.index, b.gep(I64, order, loop.index))
        loop.next()
    b.call("wengert_argsort_quick", I32, [keys, order, n, null])

    def key(i: Value) -> Value:
        return b.load(I64, b.gep(I64, keys, b.load(I64, b.gep(I64, order, i))))

    def sort_places(start: Value, end: Value) -> None:
        length = b.sub(end, start)

        def run() -> None:
            b.call("wengert_sort_int64", I32, [b.gep(I64, order, start), length, null])

        b.when(b.icmp("sgt", length, 1), run, [])

    zero = b.const(I64, 0)
    with b.loop(1, n, 1, [zero, key(zero)]) as loop:
        start, last = loop.carried
        now = key(loop.index)
        index = loop.index

        def change() -> list[Value]:
            sort_places(start, index)
            return [index]

        loop.next(*b.when(b.icmp("ne", now, last), change, [start]), now)
    sort_places(loop.results[0], n)
    b.ret()
    return name


# ---- NumPy's routines

_ARRAY_FUNCTIONS = 365  # where PyDataType_GetArrFuncs stands in NumPy's table, from version 2.0 on
_SORTS, _ARGSORTS = 33, 36  # where a dtype's table has its three sorts, and its three sorts of places
_QUICK, _STABLE = 0, 2


def _routine(dtype: str, slot: int) -> int | None:
    """The address of a routine in a dtype's table of functions (PyArray_ArrFuncs)."""
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    api = ctypes.cast(pointer_of(capsule, None), ctypes.POINTER(ctypes.c_void_p))
    table_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(api[_ARRAY_FUNCTIONS] or 0)
    table = ctypes.cast(table_of(np.dtype(dtype)), ctypes.POINTER(ctypes.c_void_p))
    address: int | None = table[slot]
    return address


def _provide(name: str) -> int | None:
    if name == "wengert_argsort_quick":
        return _routine("int64", _ARGSORTS + _QUICK)
    if name == "wengert_argsort_stable":
        return _routine("int64", _ARGSORTS + _STABLE)
    return _routine(name.removeprefix("wengert_sort_"), _SORTS + _QUICK)


cpu.add_provider("wengert_sort_", _provide)
cpu.add_provider("wengert_argsort_", _provide)
