"""Primitives that stand for a program: the equations that take their place."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Var
from wengert.core.primitive import Primitive
from wengert.core.trace import get_aval


class _Identified:
    """An array as a parameter of an equation: equal to itself alone, so that it is never compared."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array


def _constant_aval(*, value: _Identified) -> ShapedArray:
    return get_aval(value.array)


# An array as an equation. Programs take their constants as arguments; only what a primitive is expanded to while
# it is compiled comes too late for that.
constant_p = Primitive(
    "constant",
    "other",
    abstract_eval=_constant_aval,
    impl=lambda xp, *, value: np.asarray(value.array),
)


def expansion(eqn: Eqn) -> Jaxpr:
    """The program, without constants, that an equation with an expandable primitive stands for."""
    assert eqn.primitive.expand is not None
    closed: ClosedJaxpr = eqn.primitive.expand(*(a.aval for a in eqn.invars), **eqn.params)
    jaxpr = closed.jaxpr
    constants = [
        Eqn(constant_p, [], {"value": _Identified(c)}, [Var(v.aval)], eqn.source)
        for v, c in zip(jaxpr.constvars, closed.consts, strict=True)
    ]
    if not constants:
        return jaxpr
    values = dict(zip(jaxpr.constvars, (e.outvars[0] for e in constants), strict=True))

    def named(atom: Any) -> Any:
        return values.get(atom, atom) if isinstance(atom, Var) else atom

    eqns = [e.replace([named(a) for a in e.invars]) for e in jaxpr.eqns]
    return jaxpr.replace(constvars=[], eqns=[*constants, *eqns], outvars=[named(a) for a in jaxpr.outvars])
