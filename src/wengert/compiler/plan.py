"""Which values are stored in memory; everything else is computed where it is used."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wengert.compiler.complexes import RULES
from wengert.compiler.loops import is_native
from wengert.core.costs import FAR_LOAD, FAR_STORE, LOAD, STORE, scalar_cost
from wengert.core.jaxpr import Atom, Eqn, Jaxpr, Literal, Var
from wengert.core.primitive import Primitive

_FAR_BYTES = 2 << 20
# A loop that reads many arrays over and over works at the rate of the outer caches.
_LOOPED_LOAD = 6.0
_LOOPED_BYTES = 64 << 10
_LOOPED_OPERANDS = 3  # of an equation that is computed inside of a loop, again and again
_SCALAR_COST = 8.0  # from which a scalar beside arrays is computed once and loaded
_MAX_USES = 24  # of one value at different indices
_MAX_DEPTH = 60  # of an expression
_SMALL_UPDATE = 4  # an operand this many times larger than what changes is updated, not computed anew


def is_loop_code(eqn: Eqn) -> bool:
    """Whether the equation's results can be computed in loops: it has a rule, and the dtypes are native."""
    prim = eqn.primitive
    if not prim.pulled and prim.reducer is None:
        return False
    dtypes = {v.aval.dtype for v in (*eqn.invars, *eqn.outvars)}
    return all(is_native(d) and (d.kind != "c" or _has_complex_code(prim, eqn)) for d in dtypes)


def _has_complex_code(prim: Primitive, eqn: Eqn) -> bool:
    if prim.reducer is not None:
        return prim.reducer(eqn.invars[0].aval.dtype)[0] in ("add", "mul")
    return prim.scalar in RULES if prim.scalar is not None else not prim.real_code


def is_pulled(eqn: Eqn) -> bool:
    """Whether the equation's results need not be stored."""
    return eqn.primitive.pulled and is_loop_code(eqn)


class _Uses:
    """At which indices a value is used: for each distinct one, the number of elements."""

    __slots__ = ("beside_arrays", "by_index", "depth", "looped")

    def __init__(self) -> None:
        self.by_index: dict[object, int] = {}
        self.depth = 0
        self.beside_arrays = False
        self.looped = False  # in every iteration of a sequential loop

    @property
    def total(self) -> int:
        return sum(self.by_index.values())


def plan(jaxpr: Jaxpr, owned: Collection[Var] = ()) -> tuple[set[Var], set[int], set[int]]:
    """The roots: the variables bound by equations that are stored in memory; the updates; and what is loop code.

    Results, operands that are read at computed indices or by library routines, and what has no value-at-index
    form are always stored. Other values are stored if computing them again at each use costs more. Updates
    are equations, by id, that write what changes to memory that holds their operand. Loop code are the equations,
    by id, for which `is_loop_code` holds. `owned` are arguments whose memory may be written to.
    """
    inputs = {*jaxpr.constvars, *jaxpr.invars}
    loop_code = {id(e) for e in jaxpr.eqns if is_loop_code(e)}
    pulled = {id(e) for e in jaxpr.eqns if e.primitive.pulled and id(e) in loop_code}
    cost = _flat_costs(jaxpr, pulled)
    uses: dict[Var, _Uses] = {v: _Uses() for e in jaxpr.eqns for v in e.outvars}
    roots = {v for v in jaxpr.outvars if isinstance(v, Var) and v not in inputs}
    small = _small_updates(jaxpr, owned, pulled)
    updates: set[int] = set()
    for number in range(len(jaxpr.eqns) - 1, -1, -1):
        eqn = jaxpr.eqns[number]
        for out in eqn.outvars:
            if id(eqn) not in pulled or _cheaper_stored(eqn, out, uses[out], cost[out]):
                roots.add(out)
        over = eqn.primitive.over
        if over is not None and id(eqn) in pulled and eqn.outvars[0] in roots and id(eqn) in small:
            updates.add(id(eqn))
            before = small[id(eqn)]
            if before is not None and id(before) in small:
                roots.add(before.outvars[0])
        _add_uses(eqn, number, uses, roots, id(eqn) in loop_code)
    return roots, updates, loop_code


def _small_updates(jaxpr: Jaxpr, owned: Collection[Var], pulled: Collection[int]) -> dict[int, Eqn | None]:
    """The equations that change little of an operand which is in memory, or at a place that is computed.

    For each, by its id, what makes the operand.
    """
    if all(e.primitive.over is None for e in jaxpr.eqns):
        return {}
    producer: dict[Atom, Eqn] = {}
    in_memory: set[Atom] = set(owned)
    found: dict[int, Eqn | None] = {}
    for eqn in jaxpr.eqns:
        over = eqn.primitive.over
        if id(eqn) not in pulled:
            in_memory.update(eqn.outvars)
        elif over is not None:
            x, rest = eqn.invars[over], [a for n, a in enumerate(eqn.invars) if n != over]
            at_numbers = all(isinstance(a, Literal) for a in rest if not a.aval.shape)
            size = max((a.aval.size for a in rest), default=0)
            if size * _SMALL_UPDATE <= x.aval.size and (x in in_memory or not at_numbers):
                found[id(eqn)] = producer.get(x)
                in_memory.update(eqn.outvars)
        producer.update(dict.fromkeys(eqn.outvars, eqn))
    return found


def _flat_costs(jaxpr: Jaxpr, pulled: Collection[int]) -> dict[Var, float]:
    """What one element of each variable costs if all that can be computed at its use is."""
    cost: dict[Var, float] = {}
    for eqn in jaxpr.eqns:
        total = LOAD
        if id(eqn) in pulled:
            total = scalar_cost(eqn)
            for a in eqn.invars:
                # a scalar beside arrays is computed once
                if isinstance(a, Var) and (a.aval.shape or not eqn.outvars[0].aval.shape):
                    total += cost.get(a, LOAD)
        for v in eqn.outvars:
            cost[v] = total
    return cost


def _cheaper_stored(eqn: Eqn, out: Var, uses: _Uses, cost: float) -> bool:
    if uses.depth > _MAX_DEPTH:
        return True
    if uses.looped and (
        eqn.primitive.kind not in ("elementwise", "view") or len(eqn.invars) > _LOOPED_OPERANDS
    ):
        return True
    if eqn.primitive.kind == "view" or len(uses.by_index) == 0:
        return False
    if uses.beside_arrays and cost >= _SCALAR_COST:
        return True
    if len(uses.by_index) > _MAX_USES and cost > LOAD:
        return True
    once, total = out.aval.size, uses.total
    if total <= once:
        return False
    far = out.aval.nbytes > _FAR_BYTES
    store, load = (FAR_STORE, FAR_LOAD) if far else (STORE, LOAD)
    if uses.looped and out.aval.nbytes > _LOOPED_BYTES:
        load = _LOOPED_LOAD
    return cost * (total - once) > store * once + load * total


def _add_uses(eqn: Eqn, number: int, uses: dict[Var, _Uses], roots: set[Var], loop_code: bool) -> None:
    """Tell the operands of an equation where they are used."""
    root = not roots.isdisjoint(eqn.outvars)
    out = eqn.outvars[0] if eqn.outvars else None
    accesses: Sequence[str] = eqn.primitive.accesses(len(eqn.invars), eqn.params)
    for access, atom in zip(accesses, eqn.invars, strict=True):
        if not isinstance(atom, Var) or atom not in uses:
            continue
        if access == "stored" or not (loop_code or eqn.primitive.emit):
            roots.add(atom)
            continue
        assert out is not None
        mine = uses[atom]
        looped = access == "looped" or (not root and uses[out].looped)
        mine.looped = mine.looped or looped
        if access == "looped":
            theirs: dict[object, int] = {number: atom.aval.size * max(eqn.params["length"], 1)}
        elif root:
            # a reduction visits all of its operand
            elements = out.aval.size if eqn.primitive.reducer is None else atom.aval.size
            theirs = {number: elements}
        else:
            theirs = uses[out].by_index
            mine.depth = max(mine.depth, uses[out].depth + 1)
        if not atom.aval.shape:
            if theirs:
                mine.by_index[()] = 1
                # every loop that uses it would have code for it
                mine.beside_arrays = mine.beside_arrays or looped or bool(out.aval.shape)
        elif access == "same":
            mine.by_index.update(theirs)
        else:
            for key, elements in theirs.items():
                most = elements
                if access != "repeated" and not looped:
                    # what is used several times stays so under a view
                    most = min(elements, atom.aval.size * max(elements // max(out.aval.size, 1), 1))
                mine.by_index[(key, number)] = most
