"""Which results take the memory of an operand that is needed no more.

An update (`x.at[i].set(v)`, a slice, a scatter, a loop over a state, a branch) whose operand nobody reads
afterwards writes to the operand's memory, and copies nothing. This is the one place where the compiler decides
that a value is dead; `lower` and `control` only follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from wengert.compiler.loops import is_native
from wengert.compiler.plan import plan
from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Var

# Operands whose memory may be written to, and the result that has to be there in the end (None: any).
Owned = Mapping[Var, "Var | None"]


class Plan:
    """What is decided about the memory of a jaxpr.

    roots: the variables bound by equations that are stored; updates: the equations (by id) that write what changes
    to the memory of their operand; taken: for results, the operand whose memory they take; loop_code: the equations
    (by id) whose results can be computed in loops.
    """

    __slots__ = ("_last", "_own", "_position", "loop_code", "roots", "taken", "updates")

    def __init__(self, roots: set[Var], updates: set[int], loop_code: set[int]):
        self.roots, self.updates, self.loop_code = roots, updates, loop_code
        self.taken: dict[Var, Var] = {}
        self.remember({}, {}, ())

    def remember(self, last: dict[Var, int], position: dict[int, int], own: Collection[Var]) -> None:
        """Keep when variables are read last, and which have memory that no other takes."""
        self._last, self._position, self._own = last, position, own

    def origin(self, atom: Atom) -> Atom:
        """The first of the variables that share their memory with this one."""
        while isinstance(atom, Var) and atom in self.taken:
            atom = self.taken[atom]
        return atom

    def is_read(self, v: Var) -> bool:
        """Whether the variable is a result, or is read."""
        return v in self._last

    def spent(self, eqn: Eqn | None, atom: Atom) -> bool:
        """Whether the equation is the last to read a variable, reads it once, and it has memory of its own."""
        return (
            isinstance(atom, Var)
            and atom in self._own
            and eqn is not None
            and self._last[atom] == self._position.get(id(eqn), -1)
            and sum(a is atom for a in eqn.invars) == 1
        )


class Planner:
    """Plans jaxprs, those inside of loops and branches included, each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, frozenset[tuple[Var, Var | None]]], tuple[Jaxpr, Plan]] = {}

    def plan(self, jaxpr: Jaxpr, owned: Owned) -> Plan:
        """The plan for a jaxpr that may write to the memory of some of its arguments."""
        key = (id(jaxpr), frozenset(owned.items()))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = (jaxpr, self._make(jaxpr, owned))
        return found[1]

    def body(self, closed: ClosedJaxpr, first: int, count: int) -> Plan:
        """The plan for the body of a loop, whose carry is `invars[first : first + count]`."""
        jaxpr = closed.jaxpr
        pairs = zip(jaxpr.invars[first : first + count], jaxpr.outvars[:count], strict=True)
        return self.plan(jaxpr, {c: o for c, o in pairs if not is_scalar(c) and isinstance(o, Var)})

    def branches(self, branches: Sequence[ClosedJaxpr]) -> tuple[list[Plan], dict[int, int]]:
        """The plans of the branches of a cond, and which result is where an operand was, in all of them."""
        invars, n_out = branches[0].jaxpr.invars, len(branches[0].jaxpr.outvars)
        wanted: dict[int, int] = {}
        for k in range(n_out):
            places = [self._places(b.jaxpr, dict.fromkeys(b.jaxpr.invars)) for b in branches]
            j = places[0].get(k)
            if j is not None and j not in wanted.values() and all(p.get(k) == j for p in places):
                wanted[k] = j
        while True:
            owned = [
                {b.jaxpr.invars[j]: _var(b.jaxpr.outvars[k]) for k, j in wanted.items()} for b in branches
            ]
            places = [self._places(b.jaxpr, o) for b, o in zip(branches, owned, strict=True)]
            kept = {k: j for k, j in wanted.items() if all(p.get(k) == j for p in places)}
            if kept == wanted:
                break
            wanted = kept
        assert all(j < len(invars) for j in wanted.values())
        return [self.plan(b.jaxpr, o) for b, o in zip(branches, owned, strict=True)], wanted

    def _places(self, jaxpr: Jaxpr, owned: Owned) -> dict[int, int]:
        """For results, the number of the argument whose memory they end in."""
        made = self.plan(jaxpr, owned)
        number = {v: n for n, v in enumerate(jaxpr.invars)}
        found = {}
        for k, atom in enumerate(jaxpr.outvars):
            first = made.origin(atom)
            if isinstance(first, Var) and first in number and first in owned:
                found[k] = number[first]
        return found

    def _make(self, jaxpr: Jaxpr, owned: Owned) -> Plan:
        made = Plan(*plan(jaxpr, owned))
        if owned or any(e.primitive.over is not None or e.primitive.kind == "control" for e in jaxpr.eqns):
            _Sharing(self, jaxpr, made, owned).run()  # else nothing could share its memory
        return made

    # ---- what a loop or a branch does with its operands

    def offers(self, eqn: Eqn) -> list[tuple[int, int]]:
        """Which result of a loop or branch may take the memory of which operand."""
        params = eqn.params
        if "branches" in params:
            return [(j + 1, k) for k, j in self.branches(params["branches"])[1].items()]
        if "body_jaxpr" in params:
            first, closed, trips = params["cond_nconsts"] + params["body_nconsts"], params["body_jaxpr"], None
            inner, count = params["body_nconsts"], len(eqn.outvars)
        elif "num_carry" in params:
            first, closed, trips = params["num_consts"], params["jaxpr"], params["length"]
            inner, count = first, params["num_carry"]
        else:
            return []
        made, body = self.body(closed, inner, count), closed.jaxpr
        carry = body.invars[inner : inner + count]
        found = []
        for k, atom in enumerate(body.outvars[:count]):
            if is_scalar(carry[k]):
                continue
            # where another part of the state becomes what this part was, one of the two is copied
            stays = made.origin(atom) is carry[k] and body.outvars[:count].count(atom) == 1
            if stays or (trips is not None and trips % 2 == 0 and swaps(body, inner, count, k)):
                found.append((first + k, k))
        return found


def is_scalar(v: Var) -> bool:
    """Whether a loop keeps this part of its carry in one place, in a register if it can."""
    return v.aval.size == 1 and is_native(v.aval.dtype)


def swaps(body: Jaxpr, first: int, count: int, k: int) -> bool:
    """Whether the loop writes part k of its carry to and fro between two places."""
    atom = body.outvars[k]
    invars = set(body.invars)
    return (
        isinstance(atom, Var)
        and atom not in invars
        and body.outvars.count(atom) == 1
        and body.invars[first + k] not in body.outvars[:count]
    )


def _var(atom: Atom) -> Var | None:
    return atom if isinstance(atom, Var) else None


class _Sharing:
    """Goes through the equations in order, and gives the memory of dead operands to results."""

    def __init__(self, planner: Planner, jaxpr: Jaxpr, made: Plan, owned: Owned):
        self.planner, self.jaxpr, self.plan, self.owned = planner, jaxpr, made, owned
        # which stored variables one that isn't stored reads, and whether at its own index
        self.cones: dict[Var, dict[Var, bool]] = {}
        self.found: list[dict[Var, bool]] = []  # the same for each equation
        self.born: dict[Var, int] = {}  # which equation binds one that isn't stored
        self.aligned: dict[Var, bool] = {}  # whether all loops that read a variable do so at their own index
        self.last: dict[Var, int] = {}
        self.position: dict[int, int] = {}

    def run(self) -> None:
        for t, eqn in enumerate(self.jaxpr.eqns):
            self.position[id(eqn)] = t
            self.read(t, eqn)
        end = len(self.jaxpr.eqns)
        self.last.update((v, end) for v in self.jaxpr.outvars if isinstance(v, Var))
        made = {v for e in self.jaxpr.eqns if not self.lazy(e) for v in e.outvars}
        taken, given = self.plan.taken, set()
        for t, eqn in enumerate(self.jaxpr.eqns):
            for x, y in () if self.lazy(eqn) else self.pairs(t, eqn):
                free = x not in given and self.last.get(x) == t and (x in made or x in self.owned)
                if free and y not in taken and _alike(x, y):
                    taken[y] = x
                    given.add(x)
        self.cut(given)
        self.plan.remember(self.last, self.position, made - given)

    def lazy(self, eqn: Eqn) -> bool:
        """Whether the equation is computed where it is used."""
        return (
            eqn.primitive.pulled
            and id(eqn) in self.plan.loop_code
            and not any(v in self.plan.roots for v in eqn.outvars)
        )

    def read(self, t: int, eqn: Eqn) -> None:
        """Note which stored variables an equation reads."""
        shape = eqn.outvars[0].aval.shape if eqn.outvars else ()
        accesses = eqn.primitive.accesses(len(eqn.invars), eqn.params)
        over = eqn.primitive.over if self.updates(eqn) else None
        found: dict[Var, bool] = {}
        for n, (access, atom) in enumerate(zip(accesses, eqn.invars, strict=True)):
            if not isinstance(atom, Var):
                continue
            cone = self.cones.get(atom, {atom: True})
            if over is not None and n != over and atom in self.cones and eqn.invars[over] in cone:
                self.plan.roots.add(atom)  # it has to be known before the operand is written to
                self.note(self.born[atom], self.cones.pop(atom), True)
                cone = {atom: True}
            same = access == "same" and atom.aval.shape == shape
            for v, aligned in cone.items():
                # an operand that is there twice is not only where the result goes
                found[v] = same and aligned and found.get(v, True)
        self.found.append(found)
        if self.lazy(eqn):
            self.cones.update(dict.fromkeys(eqn.outvars, found))
            self.born.update(dict.fromkeys(eqn.outvars, t))
        else:
            self.note(t, found, eqn.primitive.pulled and id(eqn) in self.plan.loop_code)

    def note(self, t: int, found: dict[Var, bool], loops: bool) -> None:
        """Note that equation t, which is stored, reads these variables; `loops`, by a loop of its own."""
        for v, same in found.items():
            self.last[v] = max(t, self.last.get(v, t))
            if loops:
                self.aligned[v] = same and self.aligned.get(v, True)

    def updates(self, eqn: Eqn) -> bool:
        """Whether the equation writes what changes to the memory of an operand, or to a copy."""
        over = eqn.primitive.over is not None
        return over and (id(eqn) in self.plan.updates or not eqn.primitive.pulled)

    def pairs(self, t: int, eqn: Eqn) -> Iterator[tuple[Var, Var]]:
        """Operands, and the results that may take their memory as far as this equation is concerned."""
        if self.updates(eqn):
            assert eqn.primitive.over is not None
            offers = [(eqn.primitive.over, 0)]
        elif eqn.primitive.kind == "control":
            offers = self.planner.offers(eqn)
        elif eqn.primitive.pulled and id(eqn) in self.plan.loop_code and len(eqn.outvars) == 1:
            # an elementwise operation on a state that the loop owns
            for v, same in self.found[t].items():
                if same and self.aligned[v] and self.plan.origin(v) in self.owned:
                    yield v, eqn.outvars[0]
            return
        else:
            return
        for j, k in offers:
            x = eqn.invars[j]
            if isinstance(x, Var) and x not in self.cones and not self.read_beside(eqn, j):
                yield x, eqn.outvars[k]

    def read_beside(self, eqn: Eqn, j: int) -> bool:
        """Whether another operand is, or is computed from, operand j."""
        x = eqn.invars[j]
        return any(
            n != j and isinstance(a, Var) and x in self.cones.get(a, (a,)) for n, a in enumerate(eqn.invars)
        )

    def cut(self, given: set[Var]) -> None:
        """Take back the memory of arguments that would not end where it has to."""
        following = {x: y for y, x in self.plan.taken.items()}
        for first, wanted in self.owned.items():
            v = first
            while v in following:
                v = following[v]
            times = self.jaxpr.outvars.count(v)
            if v is not first and (times != 1 if wanted is None else v is not wanted or times != 1):
                del self.plan.taken[following[first]]
                given.discard(first)


def _alike(x: Var, y: Var) -> bool:
    return x.aval.shape == y.aval.shape and x.aval.dtype == y.aval.dtype
