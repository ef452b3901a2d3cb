"""Compile one elementwise kernel, to test what the backend emits without the rest of the compiler."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.backends import cpu
from wengert.backends.irbuilder import I64, PTR, VOID, Builder, Module, Value, scalar_type

KINDS = {"float16": "f16", "float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}
# Else LLVM cuts vectors of 512 bits in two.
WIDE = 'nounwind "min-legal-vector-width"="512" "prefer-vector-width"="512"'


def kernel(
    emit: Callable[..., Value], dtype: str, lanes: int, operands: int = 1, vector_bits: int = 0
) -> Callable[..., Any]:
    """A function of arrays of one dtype that applies `emit(builder, *values)` to `lanes` elements at a time.

    The arrays are padded with ones to a whole number of steps. The result has the operands' shape and dtype.
    `vector_bits` says for which processors the code is written; by default for this one.
    """
    element = scalar_type(KINDS[dtype])
    module = Module(vector_bits or cpu.target().vector_bits)
    names = [f"p{n}" for n in range(operands + 1)]
    function = module.function(
        "kernel", VOID, [("n", I64), *((name, PTR) for name in names)], attributes=WIDE
    )
    b = Builder(function)
    n, *sources, target = function.args
    with b.loop(0, n, lanes) as loop:
        values = [b.load(element.vec(lanes), b.gep(element, p, loop.index)) for p in sources]
        b.store(emit(b, *values), b.gep(element, target, loop.index))
    b.ret()
    code = cpu.load(module.text())
    native = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * len(names))(code.address("kernel"))

    def run(*arrays: Any) -> Any:
        size = arrays[0].size
        padded = -(-size // lanes) * lanes
        buffers = [np.ones(padded, dtype) for _ in names]
        for buffer, array in zip(buffers, arrays):
            buffer[:size] = array.ravel()
        native(padded, *(buffer.ctypes.data for buffer in buffers))
        _ = code  # keeps the machine code in memory
        return buffers[-1][:size].reshape(arrays[0].shape)

    return run
