"""Jaxpr to simpler jaxpr.

Calls are inlined, equal equations merged, unused ones removed, loop-invariant work moves out, and products that
are transposed are formed in the other order. Constants are never folded: they are arguments of the compiled program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.compiler.fission import split_products
from wengert.compiler.turning import turn_products
from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, Var, eqn_effects, subjaxprs
from wengert.prims.expansion import expansion, without_constants
from wengert.transforms.dce import prune_eqns


def simplify(jaxpr: Jaxpr) -> Jaxpr:
    """The jaxpr, simplified; the same arguments and results."""
    eqns: list[Eqn] = []
    env: dict[Var, Atom] = {}
    apart: dict[Var, int] = {}
    _flatten(jaxpr, env, eqns, apart)
    outvars = [_read(env, a) for a in jaxpr.outvars]
    eqns, _ = prune_eqns(eqns, outvars)
    simpler: list[Eqn] = []
    renamed: dict[Var, Atom] = {}
    known: dict[Any, list[Var]] = {}
    for eqn in eqns:
        place = apart.get(eqn.outvars[0], 0) if eqn.outvars else 0
        eqn = _renamed(eqn, renamed)
        if eqn.primitive.kind == "control":
            eqn = eqn.replace(params={k: _simplify_param(v) for k, v in eqn.params.items()})
            if "num_consts" in eqn.params:
                hoisted, eqn = _hoist_invariants(eqn)
                for h in hoisted:
                    _merge(_renamed(h, renamed), known, renamed, simpler, place)
                eqn = _renamed(eqn, renamed)
            if eqn.params.get("num_carry") is not None and eqn.params["length"] > 1:
                early, eqn, late = split_products(eqn)
                for e in early:
                    _merge(e, known, renamed, simpler, place)
                for e in (eqn, *late):
                    _merge(_renamed(e, renamed), known, renamed, simpler, place)
                continue
        _merge(eqn, known, renamed, simpler, place)
    outvars = [_read(renamed, a) for a in outvars]
    if simpler != eqns:
        simpler, _ = prune_eqns(simpler, outvars)
    return jaxpr.replace(eqns=turn_products(simpler, outvars), outvars=outvars)


def _read(env: dict[Var, Atom], atom: Atom) -> Atom:
    while isinstance(atom, Var) and atom in env:
        atom = env[atom]
    return atom


def _renamed(eqn: Eqn, env: dict[Var, Atom]) -> Eqn:
    """The equation with its operands as `_read` finds them."""
    if env.keys().isdisjoint(eqn.invars):
        return eqn
    return eqn.replace([_read(env, a) for a in eqn.invars])


def _simplify_param(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return ClosedJaxpr(simplify(without_constants(value)))
    if isinstance(value, tuple):
        return tuple(_simplify_param(v) for v in value)
    return value


def _flatten(
    jaxpr: Jaxpr,
    env: dict[Var, Atom],
    eqns: list[Eqn],
    apart: dict[Var, int],
    place: int = 0,
    called: bool = False,
) -> None:
    """Append the equations of a jaxpr, with calls replaced by what they call; `env` renames variables.

    What a call with `prevent_cse` computes is meant to be computed again: `apart` numbers the calls, by the results
    of their equations, and only equations of one call are merged.
    """
    for eqn in jaxpr.eqns:
        inner = expansion(eqn)
        if inner is None and eqn.primitive.kind == "call":
            inner = without_constants(next(iter(subjaxprs(eqn.params))))
        if inner is None:
            eqn = _renamed(eqn, env)
            if called:  # a jaxpr that is called twice binds fresh variables each time
                outvars = [Var(v.aval) for v in eqn.outvars]
                env.update(zip(eqn.outvars, outvars, strict=True))
                eqn = eqn.replace(outvars=outvars)
            eqns.append(eqn)
            if place and eqn.outvars:
                apart[eqn.outvars[0]] = place
            continue
        local: dict[Var, Atom] = dict(zip(inner.invars, [_read(env, a) for a in eqn.invars], strict=True))
        start = len(eqns)
        alone = eqn.params.get("prevent_cse", False)
        _flatten(inner, local, eqns, apart, len(eqns) + 1 if alone else place, called=True)
        if eqn.source is not None:
            for e in eqns[start:]:
                e.source = e.source or eqn.source
        env.update(zip(eqn.outvars, (_read(local, a) for a in inner.outvars), strict=True))


def _merge(
    eqn: Eqn, known: dict[Any, list[Var]], renamed: dict[Var, Atom], out: list[Eqn], place: int
) -> None:
    """Append an equation, or rename its results to those of an equal one."""
    key = _key(eqn, place)
    if key is not None:
        earlier = known.get(key)
        if earlier is not None:
            renamed.update(zip(eqn.outvars, earlier, strict=True))
            return
        known[key] = eqn.outvars
    out.append(eqn)


def _key(eqn: Eqn, place: int) -> Any:
    """What equal equations have in common; None if the equation can't be merged."""
    if eqn.primitive.kind == "control" or eqn_effects(eqn):
        return None
    atoms = [(repr(a.val), a.aval) if isinstance(a, Literal) else a for a in eqn.invars]
    try:
        key = (eqn.primitive, place, *atoms, *sorted(eqn.params.items()))
        hash(key)
    except TypeError:
        return None
    return key


def _hoist_invariants(eqn: Eqn) -> tuple[list[Eqn], Eqn]:
    """Move what the body of a scan computes from its constants alone out of the loop.

    Views stay inside unless something that moves out needs them: they cost nothing.
    """
    closed: ClosedJaxpr = eqn.params["jaxpr"]
    n: int = eqn.params["num_consts"]
    body = closed.jaxpr
    fixed = set(body.invars[:n])
    moving: list[Eqn] = []
    staying: list[Eqn] = []
    for e in body.eqns:
        free = [a for a in e.invars if isinstance(a, Var)]
        if all(v in fixed for v in free) and not eqn_effects(e) and (free or e.primitive.kind != "view"):
            moving.append(e)
            fixed.update(e.outvars)
        else:
            staying.append(e)
    needed: set[Var] = set()
    out: list[Eqn] = []
    for e in reversed(moving):
        if e.primitive.kind != "view" or any(v in needed for v in e.outvars):
            out.append(e)
            needed.update(a for a in e.invars if isinstance(a, Var))
    gone = {id(e) for e in out}
    # a view that moved because of another equation may be needed inside too; it is computed in both places
    used = {a for e in staying for a in e.invars if isinstance(a, Var)}
    used |= {a for a in body.outvars if isinstance(a, Var)}
    kept: list[Eqn] = []
    for e in reversed(moving):
        if e.primitive.kind == "view" and any(v in used for v in e.outvars):
            kept.append(e)
            used.update(a for a in e.invars if isinstance(a, Var))
    inside = [e for e in body.eqns if id(e) not in gone or e in kept]
    if not out:
        return [], eqn
    return _rebuild(eqn, out[::-1], inside, kept)


def _rebuild(
    eqn: Eqn, moved: Sequence[Eqn], inside: Sequence[Eqn], copied: Sequence[Eqn]
) -> tuple[list[Eqn], Eqn]:
    body: Jaxpr = eqn.params["jaxpr"].jaxpr
    n: int = eqn.params["num_consts"]
    env: dict[Var, Atom] = dict(zip(body.invars[:n], eqn.invars[:n], strict=True))
    hoisted: list[Eqn] = []
    results: list[Var] = []
    for e in moved:
        outvars = [Var(v.aval) for v in e.outvars]
        hoisted.append(e.replace([_read(env, a) for a in e.invars], outvars=outvars))
        env.update(zip(e.outvars, outvars, strict=True))
        if e not in copied:
            results += e.outvars
    uses = {a for e in inside for a in e.invars if isinstance(a, Var)}
    uses |= {a for a in body.outvars if isinstance(a, Var)}
    consts = [v for v in (*body.invars[:n], *results) if v in uses]
    inner = body.replace(invars=[*consts, *body.invars[n:]], eqns=list(inside), arg_names=())
    params = {**eqn.params, "jaxpr": ClosedJaxpr(inner), "num_consts": len(consts)}
    if "linear" in params:
        params["linear"] = (False,) * (len(consts) + len(eqn.invars) - n)
    return hoisted, eqn.replace([*(env[v] for v in consts), *eqn.invars[n:]], params)
