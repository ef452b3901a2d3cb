"""What a jaxpr computes, as bytes: equal for equal programs, in every process.

Code on disk is found by them, without any pass but `simplify` being run. They hold all that the compiler may look at:
primitives, parameters, types, literals. Variables are numbered as they appear. A program with something in it that
has no name outside of this process, such as a Python function, has no fingerprint.
"""

from __future__ import annotations

import enum
import os
from functools import cache
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, Literal, Var
from wengert.core.primitive import Primitive

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), type(Ellipsis)))
_PACKAGES = ("core", "prims", "transforms", "compiler", "backends", "runtime")


class Unnamed(Exception):
    """A parameter has no name outside of this process."""


def fingerprint(jaxpr: Jaxpr) -> bytes | None:
    """The bytes, or None. The jaxpr is closed and has no constants."""
    try:
        return _Writer().jaxpr(jaxpr).encode()
    except Unnamed:
        return None


class _Writer:
    __slots__ = ("avals", "names")

    def __init__(self) -> None:
        self.names: dict[Var, str] = {}
        self.avals: dict[ShapedArray, str] = {}

    def jaxpr(self, jaxpr: Jaxpr) -> str:
        parts = [" ".join([self.bind(v) for v in (*jaxpr.constvars, *jaxpr.invars)])]
        for eqn in jaxpr.eqns:
            atoms = " ".join([self.atom(a) for a in eqn.invars])
            params = ",".join([f"{k}={self.value(v)}" for k, v in sorted(eqn.params.items())])
            outs = " ".join([self.bind(v) for v in eqn.outvars])
            parts.append(f"{outs}={_primitive(eqn.primitive)}[{params}]{atoms}")
        parts.append(" ".join([self.atom(a) for a in jaxpr.outvars]))
        return "{" + "\n".join(parts) + "}"

    def bind(self, var: Var) -> str:
        name = self.names[var] = f"v{len(self.names)}"
        return f"{name}:{self.aval(var.aval)}"

    def atom(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            value = np.asarray(atom.val)
            return f"#{value.tobytes().hex()}{_dtype(value.dtype)}:{self.aval(atom.aval)}"
        return self.names[atom]

    def aval(self, aval: ShapedArray) -> str:
        text = self.avals.get(aval)
        if text is None:
            text = self.avals[aval] = f"{_dtype(aval.dtype)}{aval.shape}{aval.weak_type}"
        return text

    def value(self, value: Any) -> str:
        kind = type(value)
        if kind in _PLAIN:
            return repr(value)
        if kind is tuple or kind is list:
            return f"({','.join([self.value(v) for v in value])})"
        if isinstance(value, np.dtype):
            return _dtype(value)
        if kind is ClosedJaxpr:
            if value.consts:
                raise Unnamed
            return self.jaxpr(value.jaxpr)
        if kind is Jaxpr:
            return self.jaxpr(value)
        if kind is ShapedArray:
            return self.aval(value)
        if kind is dict:
            return f"{{{','.join([f'{self.value(k)}:{self.value(v)}' for k, v in sorted(value.items())])}}}"
        if isinstance(value, enum.Enum):
            return str(value)
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise Unnamed
            return f"{_dtype(array.dtype)}{array.shape}{array.tobytes().hex()}"
        if isinstance(value, tuple):  # with named fields
            return f"{kind.__qualname__}({','.join([self.value(v) for v in value])})"
        raise Unnamed


@cache
def _primitive(prim: Primitive) -> str:
    """The name, and what tells primitives of this name apart. Those that users define are not named."""
    rule = prim.abstract_eval
    if type(prim) is not Primitive or not rule.__module__.startswith("wengert."):
        raise Unnamed
    return f"{prim.name}/{rule.__module__}.{rule.__qualname__}"


@cache
def _dtype(dtype: np.dtype[Any]) -> str:
    return f"<{dtype.name}{dtype.descr if dtype.names else ''}>"


@cache
def source_stamp() -> str:
    """What changes when the files change that decide what a program is compiled to."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = []
    for package in _PACKAGES:
        with os.scandir(os.path.join(root, package)) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    found.append(f"{package}/{entry.name} {status.st_mtime_ns} {status.st_size}")
    return "\n".join(sorted(found))
