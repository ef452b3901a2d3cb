"""A program that is compiled for nothing, beside what the user's program does meanwhile.

The first program that a process compiles takes twice the time of the second: code comes from disk, tables are filled,
the runtime's routines are loaded. That is the better done before somebody waits for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from wengert.backends import cpu, llvm as emitter
from wengert.compiler import pipeline
from wengert.compiler.fingerprint import fingerprint
from wengert.compiler.simplify import simplify
from wengert.core.avals import ShapedArray
from wengert.core.staging import stage
from wengert.prims.arithmetic import add, div, sub
from wengert.prims.axes import broadcast_in_dim, reduce_sum
from wengert.prims.dot import dot_general
from wengert.prims.reduce import reduce_max
from wengert.prims.transcendental import exp
from wengert.runtime import dispatch

_ROWS, _COLUMNS = 24, 40


def _softmax_of_product(x: Any, y: Any) -> Sequence[Any]:
    """Of what programs are made: a product, reductions, an elementary function."""
    shape = (_ROWS, _COLUMNS)
    product = add(dot_general(x, y, (((1,), (0,)), ((), ()))), x)
    large = broadcast_in_dim(reduce_max(product, (1,)), shape, (0,))
    z = exp(sub(product, large))
    return [div(z, broadcast_in_dim(reduce_sum(z, (1,)), shape, (0,)))]


def rehearse(enough: Callable[[], bool]) -> None:
    """Compile the program, and forget it; `enough` says whether to leave it at what is done."""
    kinds = [ShapedArray(shape, np.dtype(np.float32)) for shape in ((_ROWS, _COLUMNS), (_COLUMNS, _COLUMNS))]

    def look(*_: object) -> None:
        if enough():
            raise _Enough

    with contextlib.suppress(_Enough):
        for _ in _steps(kinds, look):
            look()


class _Enough(Exception):
    """The rehearsal is over."""


def _steps(kinds: Sequence[ShapedArray], look: Callable[[str, object], None]) -> Iterator[None]:
    closed = stage(_softmax_of_product, kinds)
    yield
    simple = simplify(closed.jaxpr)
    fingerprint(simple)
    dispatch.origin()
    yield
    compilation = pipeline.compile_jaxpr(simple, look, simple=simple)
    yield
    emitter.emit(compilation.program, cpu.target().vector_bits)
    yield
    dispatch.Executable(compilation, kept_by_text=False)
    yield
