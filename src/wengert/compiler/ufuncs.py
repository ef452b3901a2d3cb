"""Calls of the inner loops of ufuncs: the special functions of SciPy, the Fourier transforms of NumPy.

A ufunc is a C function for a whole array, with strides. A program calls it by its address, without Python. Operands
that are not in memory, or have another dtype than the loop, are packed by nests, which are fused with what computes
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import Call, DType, Expr, Load, Nest, Ufunc, View, is_native

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_COST = 200.0  # of an element of a special function, in vector additions


def lower_special(
    block: Block,
    out: View,
    operands: Sequence[Operand],
    name: str,
    constants: Sequence[float] = (),
    which: int = 0,
    results: int = 1,
) -> bool:
    """Append a special function, elementwise and in double precision; False if there is no native code for it.

    Args:
      name: of the ufunc in scipy.special.
      constants: arguments that come before the operands.
      which, results: the number of the wanted result, and how many the ufunc has.
    """
    if not all(is_native(o.aval.dtype) for o in operands):
        return False
    size = out_size(out)
    if size == 0:
        return True
    complex_ = out.dtype.kind == "c"
    wide = np.dtype(np.complex128 if complex_ else np.float64)
    inputs = [packed(block, o, wide) for o in operands]
    target = out if out.dtype == wide else View(block.shared.temp(out.shape, wide))
    outputs = [target if n == which else View(block.shared.temp(out.shape, wide)) for n in range(results)]
    count = len(constants)
    args: list[int | float] = [float(c) for c in constants]
    args += range(len(inputs) + len(outputs))
    steps = [0] * count + [int(v.shape != ()) for v in (*inputs, *outputs)]
    letter = "D" if complex_ else "d"
    types = f"{'d' * count}{letter * len(inputs)}->{letter * results}"
    loop = Ufunc(f"special.{name}", types, args, size, steps, _COST)
    block.stmts.append(Call("ufunc", inputs, outputs, loop))
    if target is not out:
        axes, index = block.domain(out.shape)
        value = block.op("convert", block.exprs.load(target.buffer, index), dtype=out.dtype)
        block.stmts.append(Nest(out, (*out.prefix, *index), axes, value))
    return True


def out_size(view: View) -> int:
    """The number of elements of a view."""
    return int(np.prod(view.shape, dtype=np.int64))


def packed(block: Block, operand: Operand, dtype: DType) -> View:
    """The operand in memory, with this dtype: where it is, if it is there as it should be."""
    axes, index = block.domain(operand.aval.shape)
    value = block.try_at(operand, index)
    if value is None:
        operand.view()
        value = operand.at(index)
    value = block.op("convert", value, dtype=dtype)
    return store(block, value, index, axes, operand.aval.shape)


def in_memory(value: Expr, index: Sequence[Affine], shape: Sequence[int]) -> View | None:
    """The memory whose elements are the values at an index of this shape, in order, if there is such memory."""
    if not isinstance(value, Load):
        return None
    prefix = len(value.index) - len(shape)
    if prefix < 0 or value.index[prefix:] != tuple(index) or value.buffer.shape[prefix:] != tuple(shape):
        return None
    return View(value.buffer, value.index[:prefix])


def store(
    block: Block, value: Expr, index: Sequence[Affine], axes: Sequence[Axis], shape: Sequence[int]
) -> View:
    """Memory with the values at an index of this shape."""
    found = in_memory(value, index, shape)
    if found is None:
        found = View(block.shared.temp(shape, value.dtype))
        block.stmts.append(Nest(found, index, axes, value))
    return found
