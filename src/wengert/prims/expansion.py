"""Primitives that stand for a program, and constants that come late: the equations that take their places."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr
from wengert.core.primitive import Primitive
from wengert.core.trace import get_aval


class _Identified:
    """An array as a parameter of an equation: equal to itself alone, so that it is never compared."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array


def _constant_aval(*, value: _Identified) -> ShapedArray:
    return get_aval(value.array)


# An array as an equation. Programs take their constants as arguments; this is for those that come too late: what a
# primitive is expanded to, or a transformation makes of a jaxpr, brings them along.
constant_p = Primitive(
    "constant",
    "other",
    abstract_eval=_constant_aval,
    impl=lambda xp, *, value: np.asarray(value.array),
)


def expansion(eqn: Eqn) -> Jaxpr | None:
    """The program, without constants, that an equation stands for; None if it stands for itself."""
    if eqn.primitive.expand is None:
        return None
    closed = eqn.primitive.expand(*(a.aval for a in eqn.invars), **eqn.params)
    return None if closed is None else without_constants(closed)


def without_constants(closed: ClosedJaxpr) -> Jaxpr:
    """The jaxpr with equations in the place of its constants."""
    jaxpr = closed.jaxpr
    if not jaxpr.constvars:
        return jaxpr
    constants = [
        Eqn(constant_p, [], {"value": _Identified(c)}, [v])
        for v, c in zip(jaxpr.constvars, closed.consts, strict=True)
    ]
    return jaxpr.replace(constvars=[], eqns=[*constants, *jaxpr.eqns])
