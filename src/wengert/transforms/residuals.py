"""Which residuals of a loop are stored, and which are computed again on the way back.

A stored residual costs a write and a read of memory in every iteration. What elementwise operations that cost less
(`core/costs.py`) give from values that the way back has anyway is computed again, where it is used.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from wengert.core.costs import FAR_LOAD, FAR_STORE, scalar_cost
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Literal, Var, eqn_effects
from wengert.core.staging import eval_eqn, eval_jaxpr
from wengert.transforms.dce import prune_eqns, stage_pruned
from wengert.transforms.linearize import Linearized

# Of what is done again for one element of a residual: what it costs to keep it in memory, which is scarce besides.
_DEAREST = 1.5 * (FAR_STORE + FAR_LOAD)


class _Cones:
    """How the variables of a jaxpr follow from others by cheap operations."""

    def __init__(self, eqns: Sequence[Eqn]):
        self.order = {id(e): i for i, e in enumerate(eqns)}
        self.producer = {v: e for e in eqns for v in e.outvars}

    def of(self, var: Var, base: Collection[Var], thin: Collection[Var]) -> list[Eqn] | None:
        """The equations for `var` from variables of `base`, in order; None if they cost more than to keep it.

        Variables of `thin` are in the base, but are computed again if they only repeat smaller ones.
        """
        found: dict[int, Eqn] = {}
        cost = 0.0
        todo = [var]
        while todo:
            v = todo.pop()
            eqn = self.producer.get(v)
            if v in base and not (v in thin and eqn is not None and _repeats(eqn)):
                continue
            if eqn is None or eqn.primitive.kind not in ("elementwise", "view") or eqn_effects(eqn):
                return None
            if not eqn.primitive.pulled:  # a routine of a library
                return None
            if id(eqn) not in found:
                cost += scalar_cost(eqn)
                found[id(eqn)] = eqn
            if cost > _DEAREST:
                return None
            todo += [a for a in eqn.invars if not isinstance(a, Literal)]
        return sorted(found.values(), key=lambda e: self.order[id(e)])


def _repeats(eqn: Eqn) -> bool:
    """Whether the result only repeats elements of a smaller operand."""
    return eqn.primitive.kind == "view" and eqn.outvars[0].aval.size > sum(a.aval.size for a in eqn.invars)


def _total(variables: Collection[Var]) -> int:
    return sum(v.aval.nbytes for v in variables)


def choose_stored(
    cones: _Cones, wanted: Sequence[Var], free: set[Var], thin: set[Var], offers: Sequence[Var]
) -> list[Var]:
    """The variables to store, so that all `wanted` follow from these and from the free ones.

    `offers` are variables that nobody asked for, but from which several others may follow.
    """
    stored = [v for v in wanted if v not in free and cones.of(v, free, thin) is None]
    for offer in offers:
        if offer in stored:
            continue
        helped = [v for v in stored if cones.of(v, free | {offer}, thin) is not None]
        if _total(helped) > offer.aval.nbytes:
            stored = [offer, *(v for v in stored if v not in helped)]
    for v in sorted(stored, key=lambda v: -v.aval.nbytes):
        others = free | {u for u in stored if u is not v}
        if cones.of(v, others, thin) is not None:
            stored.remove(v)
    return stored


def store_less(
    lin: Linearized, free: Collection[Var], thin: Collection[Var], offers: Sequence[Var]
) -> Linearized:
    """A linearized jaxpr that returns fewer residuals; its tangent program computes the others again.

    `free` are variables of the primal jaxpr that cost nothing to keep; see `choose_stored` for the rest.
    """
    jaxpr = lin.primal.jaxpr
    atoms = [jaxpr.invars[i] if kind == "in" else jaxpr.outvars[i] for kind, i in lin.sources]
    wanted: list[Var] = list(dict.fromkeys(a for a in atoms if isinstance(a, Var)))
    cones = _Cones(jaxpr.eqns)
    base = {*free, *thin, *jaxpr.constvars}
    stored = choose_stored(cones, wanted, base, set(thin), offers)
    base.update(stored)
    again: dict[int, Eqn] = {}
    for v in wanted:
        again.update((id(e), e) for e in cones.of(v, base, thin) or ())
    eqns = sorted(again.values(), key=lambda e: cones.order[id(e)])
    made = {v for e in eqns for v in e.outvars}
    used = [a for e in eqns for a in e.invars if isinstance(a, Var)] + wanted
    inputs = list(dict.fromkeys(v for v in used if v not in made))
    inputs = [v for v in inputs if v not in jaxpr.constvars]
    return _rebuilt(lin, atoms, eqns, inputs)


def _rebuilt(lin: Linearized, atoms: Sequence[Any], eqns: Sequence[Eqn], inputs: Sequence[Var]) -> Linearized:
    """The linearized jaxpr with residuals `inputs`, from which `eqns` compute what its tangent program
    takes."""
    jaxpr, tangent = lin.primal.jaxpr, lin.tangent
    place: dict[Any, tuple[str, int]] = {v: ("in", i) for i, v in enumerate(jaxpr.invars)}
    outvars = list(jaxpr.outvars[: lin.num_outs])
    for i, v in enumerate(outvars):
        place.setdefault(v, ("out", i))
    sources = []
    for v in inputs:
        if v not in place:
            place[v] = ("out", len(outvars))
            outvars.append(v)
        sources.append(place[v])
    n = len(inputs)

    def run(*args: Any) -> list[Any]:
        env: dict[Var, Any] = dict(zip(jaxpr.constvars, lin.primal.consts))
        env.update(zip(inputs, args[:n]))
        for eqn in eqns:
            eval_eqn(eqn, env)
        return eval_jaxpr(tangent.jaxpr, tangent.consts, *(env[a] for a in atoms), *args[n:])

    avals = [*(v.aval for v in inputs), *tangent.in_avals[len(atoms) :]]
    primal = jaxpr.replace(outvars=outvars, eqns=prune_eqns(jaxpr.eqns, outvars)[0])
    return Linearized(
        ClosedJaxpr(primal, lin.primal.consts),
        lin.num_outs,
        lin.out_nonzeros,
        stage_pruned(run, avals, name=jaxpr.name),
        sources,
    )
