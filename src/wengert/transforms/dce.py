"""Removing equations whose results are not used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Var, eqn_effects
from wengert.core.staging import stage
from wengert.transforms.memo import memoized


def prune_eqns(eqns: Sequence[Eqn], outvars: Sequence[Atom]) -> tuple[list[Eqn], set[Var]]:
    """The equations that `outvars` need, or that have effects; and the variables that these use."""
    used = {v for v in outvars if isinstance(v, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(eqns):
        if used.isdisjoint(eqn.outvars) and not eqn_effects(eqn):
            continue
        new: Eqn | None = eqn
        if eqn.primitive.dce is not None:
            _, new = eqn.primitive.dce([v in used for v in eqn.outvars], eqn)
        if new is not None:
            kept.append(new)
            used.update([v for v in new.invars if isinstance(v, Var)])
    return kept[::-1], used


def dce_jaxpr(
    jaxpr: Jaxpr, used_outs: Sequence[bool], keep_ins: bool | Sequence[bool] = False
) -> tuple[Jaxpr, list[bool]]:
    """The jaxpr with only the marked results and the equations for them, and which arguments are left.

    Arguments marked in `keep_ins` (all, for True) stay although they are not used. Constants always stay.
    """
    outvars = [v for v, used in zip(jaxpr.outvars, used_outs, strict=True) if used]
    eqns, used = prune_eqns(jaxpr.eqns, outvars)
    keep = [keep_ins] * len(jaxpr.invars) if isinstance(keep_ins, bool) else keep_ins
    used_ins = [k or v in used for v, k in zip(jaxpr.invars, keep, strict=True)]
    invars = [v for v, u in zip(jaxpr.invars, used_ins) if u]
    return jaxpr.replace(invars=invars, outvars=outvars, eqns=eqns, arg_names=()), used_ins


@memoized
def dce_closed(
    closed: ClosedJaxpr, used_outs: tuple[bool, ...], keep_ins: tuple[bool, ...] | None = None
) -> tuple[ClosedJaxpr, list[bool]]:
    """`dce_jaxpr` of a closed jaxpr, with the constants that are still used."""
    jaxpr, used_ins = dce_jaxpr(closed.jaxpr, used_outs, False if keep_ins is None else keep_ins)
    return prune_consts(ClosedJaxpr(jaxpr, closed.consts)), used_ins


def stage_pruned(
    fun: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray], name: str = ""
) -> ClosedJaxpr:
    """`stage`, without the equations that the results don't need."""
    closed = stage(fun, avals, name)
    jaxpr, _ = dce_jaxpr(closed.jaxpr, (True,) * len(closed.out_avals), keep_ins=True)
    return prune_consts(ClosedJaxpr(jaxpr, closed.consts))


def prune_consts(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The closed jaxpr without the constants that nothing uses."""
    jaxpr = closed.jaxpr
    used = {v for e in jaxpr.eqns for v in e.invars if isinstance(v, Var)}
    used.update(v for v in jaxpr.outvars if isinstance(v, Var))
    kept = [(v, c) for v, c in zip(jaxpr.constvars, closed.consts) if v in used]
    return ClosedJaxpr(jaxpr.replace(constvars=[v for v, _ in kept]), [c for _, c in kept])
