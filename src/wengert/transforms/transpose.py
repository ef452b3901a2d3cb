"""Reverse mode's second half: running a linear program backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from wengert.core.source import user_context
from wengert.core.staging import eval_eqn, tracing_line
from wengert.core.zeros import UndefinedPrimal, Zero, add_cotangents, compute, instantiate, is_undefined
from wengert.transforms.dce import stage_pruned
from wengert.transforms.memo import memoized


def backward_pass(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """Transpose a jaxpr: from cotangents of its results to cotangents of its linear arguments.

    `args` has an `UndefinedPrimal` for each linear argument, the value of every other. Cotangents, given or
    returned, may be `Zero`; returned ones may be pending. The cotangent of a non-linear argument is None.
    """
    known: dict[Var, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    linear: set[Var] = set()
    for var, arg in zip(jaxpr.invars, args, strict=True):
        if is_undefined(arg):
            linear.add(var)
        else:
            known[var] = arg
    todo: list[Eqn] = []
    for eqn in jaxpr.eqns:
        if any(v in linear for v in eqn.invars):
            linear.update(eqn.outvars)
            todo.append(eqn)
        else:
            eval_eqn(eqn, known)
    collected: dict[Var, Any] = {}

    def collect(atom: Atom, ct: Any) -> None:
        if isinstance(atom, Var) and atom in linear and ct is not None:
            collected[atom] = add_cotangents(collected.get(atom), ct)

    for atom, ct in zip(jaxpr.outvars, cts, strict=True):
        collect(atom, ct)
    for eqn in reversed(todo):
        _transpose_eqn(eqn, linear, known, collected, collect)
    return [collected.get(v, Zero(v.aval.to_tangent_aval())) if v in linear else None for v in jaxpr.invars]


def _transpose_eqn(eqn: Eqn, linear: set[Var], known: dict[Var, Any], collected: Any, collect: Any) -> None:
    cts = [compute(collected.pop(v, None)) for v in eqn.outvars]
    if all(ct is None or type(ct) is Zero for ct in cts):
        return
    cts = [Zero(v.aval.to_tangent_aval()) if ct is None else ct for v, ct in zip(eqn.outvars, cts)]
    prim = eqn.primitive
    if prim.transpose is None:
        raise NotImplementedError(
            f"Transpose rule (for reverse-mode differentiation) for '{prim.name}' not implemented"
            + (f" (applied at {eqn.source.summary()})" if eqn.source else "")
        )
    operands = [
        a.val if isinstance(a, Literal) else UndefinedPrimal(a.aval) if a in linear else known[a]
        for a in eqn.invars
    ]
    try:
        with tracing_line(eqn.source):
            found = prim.transpose(cts if prim.multiple_results else cts[0], *operands, **eqn.params)
    except TypeError as error:
        if prim.kind == "elementwise" and sum(map(is_undefined, operands)) > 1:
            raise NotImplementedError(
                f"{prim.name} can't be transposed, as it is not linear: several operands depend on"
                " what is transposed" + (f" (applied at {eqn.source.summary()})" if eqn.source else "")
            ) from error
        raise
    except ValueError as error:
        user_context(error, eqn.source)
        raise
    for atom, ct in zip(eqn.invars, found, strict=True):
        collect(atom, ct)


@memoized
def transpose_jaxpr(
    closed: ClosedJaxpr, linear: tuple[bool, ...], ct_nonzeros: tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """Transpose a jaxpr in the arguments marked in `linear`.

    The result takes the other arguments, then the cotangents marked in `ct_nonzeros`; it returns the
    cotangents of the linear arguments, except for those that are zero. Which aren't is returned beside it.
    """
    out_nonzeros: list[bool] = []
    values = [a for a, lin in zip(closed.in_avals, linear) if not lin]
    ct_avals = [a.to_tangent_aval() for a in closed.out_avals]

    def backward(*flat: Any) -> list[Any]:
        known, given = iter(flat[: len(values)]), iter(flat[len(values) :])
        args = [UndefinedPrimal(a) if lin else next(known) for a, lin in zip(closed.in_avals, linear)]
        cts = [next(given) if nz else Zero(a) for a, nz in zip(ct_avals, ct_nonzeros, strict=True)]
        found = [ct for ct in backward_pass(closed.jaxpr, closed.consts, args, cts) if ct is not None]
        out_nonzeros[:] = [type(ct) is not Zero for ct in found]
        return [instantiate(ct) for ct in found if type(ct) is not Zero]

    result = stage_pruned(
        backward, [*values, *(a for a, nz in zip(ct_avals, ct_nonzeros) if nz)], name=closed.jaxpr.name
    )
    return result, tuple(out_nonzeros)
