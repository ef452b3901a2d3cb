"""Operations that change no value: what is not differentiated, what is not to be rearranged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.trace import get_aval
from wengert.core.zeros import instantiate, is_undefined, is_zero
from wengert.prims.constructors import as_operand
from wengert.prims.elementwise import elementwise

# ---------------------------------------------------------------------------------------------- stop_gradient

stop_gradient_p = elementwise("stop_gradient", lambda xp, x: x, accepts="biufcV", scalar="copy")


def stop_gradient(x: Any) -> Any:
    """`x`, an array or a tree of arrays, as a constant: its derivative is zero.

    Leaves that are neither arrays nor floating point numbers stay as they are.
    """
    return tree.map(_stop, x)


def _stop(x: Any) -> Any:
    if not isinstance(x, ArrayBase | np.ndarray | np.generic | float | complex):
        return x
    if dtypes.kind_of(get_aval(x).dtype) not in "fc":
        return x
    return stop_gradient_p.bind(as_operand("stop_gradient", x))


# --------------------------------------------------------------------------------------- optimization_barrier


def _barrier_avals(*xs: ShapedArray) -> list[ShapedArray]:
    return list(xs)


def _barrier_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    outs = optimization_barrier_p.bind(*primals)
    nonzero = [t for t in tangents if not is_zero(t)]
    passed = iter(optimization_barrier_p.bind(*nonzero) if nonzero else ())
    return outs, [t if is_zero(t) else next(passed) for t in tangents]


def _barrier_transpose(cts: Sequence[Any], *xs: Any) -> list[Any]:
    return [instantiate(ct) if is_undefined(x) and not is_zero(ct) else None for ct, x in zip(cts, xs)]


def _barrier_emit(ctx: Any, outs: Any, *xs: Any) -> Any:
    for out, x in zip(outs, xs, strict=True):
        ctx.assign_any(out, x.view())
    return outs


optimization_barrier_p: Primitive = Primitive(
    "optimization_barrier",
    "other",
    abstract_eval=_barrier_avals,
    impl=lambda xp, *xs: list(xs),
    jvp=_barrier_jvp,
    transpose=_barrier_transpose,
    batch=lambda axis, args, dims: (optimization_barrier_p.bind(*args), list(dims)),
    emit=_barrier_emit,
    access="stored",
    multiple_results=True,
)


def optimization_barrier(operand: Any, /) -> Any:
    """`operand`, an array or a tree of arrays: what computes it is not merged with what uses it."""
    leaves, structure = tree.flatten(operand)
    if not leaves:
        return operand
    outs = optimization_barrier_p.bind(*[as_operand("optimization_barrier", x) for x in leaves])
    return tree.unflatten(structure, outs)
