"""Prints jaxprs in JAX's concrete syntax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, Var, set_printer

_WIDTH = 80
_NOTE = "\0"  # between a line and its comment, while it is put together

Notes: TypeAlias = Callable[[Eqn], str]


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


def _format_param(value: Any, notes: Notes) -> str:
    if isinstance(value, ClosedJaxpr):
        return _format(value.jaxpr, notes)
    if isinstance(value, Jaxpr):
        return _format(value, notes)
    if isinstance(value, tuple) and any(isinstance(v, ClosedJaxpr) for v in value):
        return "(\n" + "\n".join(_indent(_format_param(v, notes), 2) for v in value) + "\n)"
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return str(value)


def _indent(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by) if by == 0 else " " * by + text.replace("\n", "\n" + " " * by)


def _format_params(
    params: dict[str, Any], room: int, skip: Callable[[str], bool] | None, notes: Notes
) -> str:
    if not params:
        return ""
    items = [f"{k}={_format_param(v, notes)}" for k, v in sorted(params.items()) if not (skip and skip(k))]
    if not items:
        return ""
    line = " ".join(items)
    if "\n" not in line and len(line) + 2 <= room:
        return f"[{line}]"
    return "[\n" + "\n".join(_indent(item, 2) for item in items) + "\n]"


def _format_eqn(eqn: Eqn, names: _Names, indent: int, notes: Notes) -> str:
    args = " ".join(names[a] for a in eqn.invars)
    outs = " ".join(names.bind(v, result=True) for v in eqn.outvars)
    head = f"{outs} = " if outs else ""
    room = _WIDTH - indent - len(head) - len(eqn.primitive.name) - len(args) - 1
    params = _format_params(eqn.params, room, eqn.primitive.hidden_params.__contains__, notes)
    text = f"{head}{eqn.primitive.name}{params} {args}".rstrip()
    note = notes(eqn)
    if not note:
        return text
    first, line_end, rest = text.partition("\n")
    return f"{first}{_NOTE}{note}{line_end}{rest}"


def _no_notes(eqn: Eqn) -> str:
    return ""


def format_jaxpr(jaxpr: Jaxpr) -> str:
    """The jaxpr as text, on one line if it fits."""
    return _format(jaxpr, _no_notes)


def annotated(jaxpr: Jaxpr, source_info: bool, name_stack: bool) -> str:
    """The jaxpr as text, with comments that say where the equations come from."""

    def notes(eqn: Eqn) -> str:
        if eqn.source is None:
            return ""
        shown = [eqn.source.place()] if source_info else []
        if name_stack and eqn.source.scopes:
            shown.append(f"[{eqn.source.name_stack}]")
        return " ".join(shown)

    lines = [line.partition(_NOTE) for line in _format(jaxpr, notes).split("\n")]
    width = max(len(text) for text, _, _ in lines)
    return "\n".join(f"{text:{width}} # {note}" if note else text for text, _, note in lines)


def _format(jaxpr: Jaxpr, notes: Notes) -> str:
    names = _Names(jaxpr)
    consts = " ".join(names.bind(v) for v in jaxpr.constvars)
    args = " ".join(names.bind(v) for v in jaxpr.invars)
    head = f"{{ lambda {consts} ; {args}. let" if consts else f"{{ lambda ; {args}. let"
    eqns = [_format_eqn(e, names, 4, notes) for e in jaxpr.eqns]
    outs = ", ".join(names[a] for a in jaxpr.outvars)
    tail = f"in ({outs},) }}" if len(jaxpr.outvars) == 1 else f"in ({outs}) }}"
    line = (
        " ".join([head, "; ".join(eqns), tail]) if eqns else f"{head}  {tail}".replace("let  in", "let  in")
    )
    _, mark, note = line.partition(_NOTE)
    if mark:  # one equation: its comment goes to the end of the line
        note = notes(jaxpr.eqns[0])
        line = line.replace(f"{mark}{note}", "", 1)
    if "\n" not in line and len(line) <= _WIDTH and len(eqns) <= 1:
        return f"{line}{mark}{note}"
    return "\n".join([head, *(_indent(e, 4) for e in eqns), "  " + tail])


set_printer(format_jaxpr, annotated)
