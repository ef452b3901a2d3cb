"""Lowering of Fourier transforms: small ones are passes of NumPy's loops, others calls of SciPy.

SciPy transforms several lines at a time in the lanes of vectors, NumPy one after the other. But NumPy's loops are
called by address, and a call of SciPy is one of Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wengert.compiler.loops import Call, Const, Expr, Op, Ufunc, View
from wengert.compiler.ufuncs import packed, store

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_SMALL = 2048  # elements up to which the way to Python takes longer than the transform
_COST = 3.0  # of n log2(n) elements of a line of n, in vector additions


class HostTransform:
    """A transform by the library, as a payload of a host call."""

    __slots__ = ("fill", "name")

    def __init__(self, name: str, fill: Callable[[Any, Any], None]):
        self.name, self.fill = name, fill

    def __repr__(self) -> str:
        return self.name

    def __call__(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.fill(outputs[0], inputs[0])


def lower_fft(
    block: Block, out: View, x: Operand, kind: str, axes: Sequence[int], fill: Callable[[Any, Any], None]
) -> None:
    """Append a transform along axes.

    Args:
      kind: "fft" or "ifft", of complex numbers; "rfft", of real ones to half of the values; or its inverse, "irfft".
      fill: fill(out, x) is the library's transform of NumPy arrays, of complex or of real numbers.
    """
    if max(x.aval.size, math.prod(out.shape)) > _SMALL:
        source = _real(block, x) or packed(block, x, x.aval.dtype)
        block.stmts.append(Call("host", [source], [out], HostTransform(kind, fill)))
    else:
        _by_loops(block, out, packed(block, x, x.aval.dtype), kind, axes)


def _by_loops(block: Block, out: View, source: View, kind: str, axes: Sequence[int]) -> None:
    """Append the passes over the axes."""
    last = axes[-1]
    if kind == "rfft":
        n = source.shape[last]
        _lines(block, source, out, f"rfft_n_{'odd' if n % 2 else 'even'}", last, 1.0)
        for axis in axes[-2::-1]:
            _lines(block, out, out, "fft", axis, 1.0)
        return
    if kind == "irfft":
        for axis in axes[:-1]:
            to = View(block.shared.temp(source.shape, source.dtype))
            _lines(block, source, to, "ifft", axis, 1 / source.shape[axis])
            source = to
        _lines(block, source, out, "irfft", last, 1 / out.shape[last])
        return
    for axis in reversed(axes):
        _lines(block, source, out, kind, axis, 1.0 if kind == "fft" else 1 / out.shape[axis])
        source = out


def _lines(block: Block, source: View, to: View, name: str, axis: int, factor: float) -> None:
    """Append the transforms of all lines along one axis."""
    inner = math.prod(to.shape[axis + 1 :])
    outer = math.prod(to.shape[:axis])
    n, m = source.shape[axis], to.shape[axis]
    letters = {"float32": "f", "float64": "d", "complex64": "F", "complex128": "D"}
    real = "f" if to.dtype.name in ("float32", "complex64") else "d"
    types = f"{letters[source.dtype.name]}{real}->{letters[to.dtype.name]}"
    size = max(n, m)
    cost = _COST * size * math.log2(size + 1) + 100.0
    args: list[int | float] = [0, factor, 1]
    if inner == 1:
        loop = Ufunc(f"fft.{name}", types, args, outer, (n, 0, m, 1, 1), cost, (n, m))
    else:
        steps, jumps = (1, 0, 1, inner, inner), (n * inner, 0, m * inner)
        loop = Ufunc(f"fft.{name}", types, args, inner, steps, cost, (n, m), outer, jumps)
    block.stmts.append(Call("ufunc", [source], [to], loop))


def _real(block: Block, x: Operand) -> View | None:
    """The real parts of an operand in memory, if it is complex, and made of real numbers."""
    axes, index = block.domain(x.aval.shape)
    value: Expr | None = block.try_at(x, index) if x.aval.dtype.kind == "c" else None
    if not isinstance(value, Op) or value.name != "complex":
        return None
    re, im = value.args
    if not isinstance(im, Const) or im.value != 0:
        return None
    return store(block, re, index, axes, x.aval.shape)
