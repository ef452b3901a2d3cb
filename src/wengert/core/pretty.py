"""Prints jaxprs in JAX's concrete syntax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, Var, set_printer

_WIDTH = 80


class _Names:
    """Names variables a, b, ..., z, ba, bb, ... in the order in which they appear."""

    def __init__(self, jaxpr: Jaxpr):
        self.names: dict[Var, str] = {}
        used = {a for e in jaxpr.eqns for a in e.invars if isinstance(a, Var)}
        self.used = used | {a for a in jaxpr.outvars if isinstance(a, Var)}

    def __getitem__(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            return format_literal(atom)
        if atom not in self.names:
            self.names[atom] = _letters(len(self.names))
        return self.names[atom]

    def bind(self, var: Var, result: bool = False) -> str:
        name = "_" if result and var not in self.used else self[var]
        return f"{name}:{var.aval.str_short()}"


def _letters(n: int) -> str:
    name = ""
    while True:
        name = chr(97 + n % 26) + name
        n //= 26
        if n == 0:
            return name


def format_literal(literal: Literal) -> str:
    """The number alone; its dtype is that of the operands beside it."""
    val = literal.val
    return str(val.item() if isinstance(val, np.generic | np.ndarray) else val)


def _format_param(value: Any) -> str:
    if isinstance(value, ClosedJaxpr):
        return format_jaxpr(value.jaxpr)
    if isinstance(value, Jaxpr):
        return format_jaxpr(value)
    if isinstance(value, tuple) and any(isinstance(v, ClosedJaxpr) for v in value):
        return "(\n" + "\n".join(_indent(_format_param(v), 2) for v in value) + "\n)"
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return str(value)


def _indent(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by) if by == 0 else " " * by + text.replace("\n", "\n" + " " * by)


def _format_params(params: dict[str, Any], room: int, skip: Callable[[str], bool] | None) -> str:
    if not params:
        return ""
    items = [f"{k}={_format_param(v)}" for k, v in sorted(params.items()) if not (skip and skip(k))]
    if not items:
        return ""
    line = " ".join(items)
    if "\n" not in line and len(line) + 2 <= room:
        return f"[{line}]"
    return "[\n" + "\n".join(_indent(item, 2) for item in items) + "\n]"


def _format_eqn(eqn: Eqn, names: _Names, indent: int) -> str:
    args = " ".join(names[a] for a in eqn.invars)
    outs = " ".join(names.bind(v, result=True) for v in eqn.outvars)
    head = f"{outs} = " if outs else ""
    room = _WIDTH - indent - len(head) - len(eqn.primitive.name) - len(args) - 1
    params = _format_params(eqn.params, room, eqn.primitive.hidden_params.__contains__)
    return f"{head}{eqn.primitive.name}{params} {args}".rstrip()


def format_jaxpr(jaxpr: Jaxpr) -> str:
    """The jaxpr as text, on one line if it fits."""
    names = _Names(jaxpr)
    consts = " ".join(names.bind(v) for v in jaxpr.constvars)
    args = " ".join(names.bind(v) for v in jaxpr.invars)
    head = f"{{ lambda {consts} ; {args}. let" if consts else f"{{ lambda ; {args}. let"
    eqns = [_format_eqn(e, names, 4) for e in jaxpr.eqns]
    outs = ", ".join(names[a] for a in jaxpr.outvars)
    tail = f"in ({outs},) }}" if len(jaxpr.outvars) == 1 else f"in ({outs}) }}"
    line = (
        " ".join([head, "; ".join(eqns), tail]) if eqns else f"{head}  {tail}".replace("let  in", "let  in")
    )
    if "\n" not in line and len(line) <= _WIDTH and len(eqns) <= 1:
        return line
    return "\n".join([head, *(_indent(e, 4) for e in eqns), "  " + tail])


set_printer(format_jaxpr)
