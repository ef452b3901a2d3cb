"""Running a jaxpr by the reference implementations of its primitives, on plain NumPy values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.config import current
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Atom, ClosedJaxpr, Literal, Var
from wengert.core.primitive import Primitive
from wengert.core.watch import check_results


def run_jaxpr(xp: Any, closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
    """The results of a closed jaxpr, computed with the array module `xp`."""
    jaxpr = closed.jaxpr
    env: dict[Var, Any] = {v: plain(c) for v, c in zip(jaxpr.constvars, closed.consts)}
    env.update(zip(jaxpr.invars, args, strict=True))

    def read(a: Atom) -> Any:
        return plain(a.val) if isinstance(a, Literal) else env[a]

    watched = current().watched
    for eqn in jaxpr.eqns:
        prim = eqn.primitive
        operands = [read(a) for a in eqn.invars]
        if (
            prim.expand is not None and type(prim) is not Primitive
        ):  # of another library: it has no `impl` of ours
            outs = run_jaxpr(xp, prim.expand(*(a.aval for a in eqn.invars), **eqn.params), operands)
        else:
            out = prim.impl(xp, *operands, **eqn.params)
            outs = out if prim.multiple_results else [out]
        for v, value in zip(eqn.outvars, outs, strict=True):
            env[v] = as_type(xp, value, v.aval)
        if watched:
            check_results(prim.name, [env[v] for v in eqn.outvars], eqn.source)
    return [as_type(xp, read(a), a.aval) for a in jaxpr.outvars]


def plain(x: Any) -> Any:
    """The NumPy array in an Array; anything else as it is."""
    return x._np if isinstance(x, Array) else x


def as_type(xp: Any, value: Any, aval: ShapedArray) -> Any:
    """`value` in the dtype and shape that `aval` says."""
    value = xp.asarray(value)
    if value.dtype != aval.dtype or value.shape != aval.shape:
        value = value.astype(aval.dtype, copy=False).reshape(aval.shape)
    return value
