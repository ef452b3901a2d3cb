"""Calls of the inner loops of ufuncs by their addresses, which the runtime finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from wengert.backends import pacing
from wengert.backends.irbuilder import F32, F64, I8, I64, PTR, VOID, Builder, Module, Value
from wengert.compiler.loops import Call, Ufunc

_WORTHWHILE: Final = 100_000.0  # vector additions from which the elements are shared among threads
_GRAIN: Final = 20_000.0  # that are worth handing to a thread
_TABLE: Final = "wengert_table_"
_CONSTANTS: Final = {"f": F32, "d": F64}


def emit_call(b: Builder, stmt: Call, addresses: list[Value], attributes: str, stop: Value | None) -> None:
    """Code for the passes of a loop; `addresses` are those of the views, inputs and then outputs."""
    job = stmt.payload
    assert isinstance(job, Ufunc)
    sizes = [v.dtype.itemsize for v in (*stmt.inputs, *stmt.outputs)]
    name = f"loop{len(b.module._functions)}"
    parameters = [("ctx", PTR), ("lo", I64), ("hi", I64), ("stop", PTR)]
    function = b.module.function(name, VOID, parameters, attributes=attributes, linkage="internal")
    _Pass(Builder(function), job, sizes, function.args[:3]).emit()
    context = b.alloca(PTR, max(len(addresses), 1))
    for n, address in enumerate(addresses):
        b.store(address, b.gep(PTR, context, n))
    count = job.times if job.times > 1 else job.count
    if job.work < _WORTHWHILE or count == 1:
        b.call(name, VOID, [context, b.const(I64, 0), b.const(I64, count), context])
        return
    pacing.share(b, name, context, count, max(1, int(_GRAIN * count / job.work)), stop)


class _Pass:
    """The body of a function that runs a part of the passes, or a part of the only one."""

    def __init__(self, b: Builder, job: Ufunc, sizes: Sequence[int], args: Sequence[Value]):
        self.b, self.job, self.sizes = b, job, sizes
        self.context, self.lo, self.hi = args
        self.pointers = b.alloca(PTR, len(job.args))
        self.extents = b.alloca(I64, 1 + len(job.core))

    def emit(self) -> None:
        b, job = self.b, self.job
        for n, size in enumerate(job.core):
            b.store(b.const(I64, size), b.gep(I64, self.extents, 1 + n))
        if job.times == 1:
            b.store(b.sub(self.hi, self.lo), self.extents)
            self.call(self.lo, job.steps)
        else:
            b.store(b.const(I64, job.count), self.extents)
            with b.loop(self.lo, self.hi, 1) as loop:
                self.call(loop.index, job.jumps)
                loop.next()
        b.ret()

    def call(self, number: Value, steps: Sequence[int]) -> None:
        """A pass over what begins `number` steps on."""
        b, job = self.b, self.job
        for n, arg in enumerate(job.args):
            if isinstance(arg, float):
                kind = _CONSTANTS[job.types[n]]
                pointer = b.module.data(f"number_{kind.kind}_{_hex(arg)}", kind, [arg])
            else:
                pointer = b.load(PTR, b.gep(PTR, self.context, arg))
                if steps[n]:
                    pointer = b.gep(I8, pointer, b.mul(number, b.const(I64, steps[n] * self.sizes[arg])))
            b.store(pointer, b.gep(PTR, self.pointers, n))
        b.call("wengert_run_loop", VOID, [_table(b.module, job), self.pointers, self.extents, self.strides()])

    def strides(self) -> Value:
        """The steps in bytes, as a table in the module."""
        job = self.job
        sizes = [0 if isinstance(a, float) else self.sizes[a] for a in job.args]
        owners = [*range(len(job.args)), *([0, len(job.args) - 1] if job.core else [])]
        steps = [s * sizes[n] for s, n in zip(job.steps, owners, strict=True)]
        return self.b.module.data(f"steps_{'_'.join(map(str, steps))}", I64, steps)


def _hex(number: float) -> str:
    return np.float64(number).tobytes().hex()


def _table(module: Module, job: Ufunc) -> Value:
    """Where the addresses of a loop and of its data are."""
    library, _, function = job.name.partition(".")
    name = f"{_TABLE}{library}_{function}_{job.types.replace('->', '_')}"
    module._declared[name] = f"@{name} = external global [2 x ptr]"
    return Value(f"@{name}", PTR)
