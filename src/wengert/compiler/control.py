"""Lowering of scan, while and cond: their bodies become blocks, their carries pointers that move.

The values that an iteration computes are written to spare memory, and then all pointers move at once, so
that no carry is ever copied. A carry that its body only updates stays where it is. One that is also an output
of the scan is a pointer into that output. The memory of the results is chosen such that they are in their
places when the loop ends.
Scalars stay where they are, in memory that a backend keeps in registers, and are assigned at the end of an
iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wengert.compiler.affine import Affine, Axis
from wengert.compiler.inplace import Plan, is_scalar
from wengert.compiler.loops import BOOL, Branch, Buffer, Loop, Stmt, View
from wengert.core.jaxpr import Atom, ClosedJaxpr, Var

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_MANY = 2**62  # the bound of the iteration count of a while loop


class _Carries:
    """The pointers of a loop: one for each carry, and one spare for each that the body computes anew.

    Carries of one element have a fixed place instead, and a second one for the value of the next iteration.
    """

    def __init__(self, block: Block, invars: Sequence[Var], inits: Sequence[Operand], outs: Sequence[View]):
        self.block = block
        self.invars = invars
        self.inits = inits
        self.outs = outs
        self.scalars: dict[int, View] = {}
        self.places: list[Buffer] = []
        for n, v in enumerate(invars):
            if is_scalar(v):
                self.places.append(block.shared.temp(v.aval.shape, v.aval.dtype))
                self.scalars[n] = View(block.shared.temp(v.aval.shape, v.aval.dtype))
                block.store(inits[n].atom, View(self.places[n]))
            else:
                self.places.append(Buffer(v.aval.shape, v.aval.dtype, "slot", f"c{n}"))
        self.slots = [p for n, p in enumerate(self.places) if n not in self.scalars]
        self.moves: list[View] = []
        self.starts: list[View] = []
        self.owned: set[int] = set()  # carries whose memory belongs to the loop
        self.ends: dict[int, View] = {}  # carries that are in a known place after the loop

    def views(self) -> list[View]:
        return [View(p) for p in self.places]

    def assign(self, body: Block) -> list[Stmt]:
        """The statements of the body, and after them the assignments of the scalars."""
        for n, new in self.scalars.items():
            body.assign(View(self.places[n]), new)
        return body.stmts

    def close(
        self, outs: Sequence[Atom], elsewhere: dict[Var, View], plan: Plan, trips: int | None
    ) -> list[View | None]:
        """Decide where each pointer moves after an iteration.

        `elsewhere` says which results of the body are in memory anyway. Returns, for each carry, where the
        body has to store its new value, or None.
        """
        slot_of = {v: n for n, v in enumerate(self.invars) if n not in self.scalars}
        successor: dict[int, int] = {}
        fresh: dict[int, Buffer] = {}
        targets: list[View | None] = []
        for k, atom in enumerate(outs):
            target = None
            if k in self.scalars:
                targets.append(self.scalars[k])
                continue
            if atom is not self.invars[k] and plan.origin(atom) is self.invars[k]:
                self.owned.add(k)  # the body writes to it
                self.moves.append(View(self.places[k]))
            elif isinstance(atom, Var) and atom in slot_of and slot_of[atom] not in successor:
                successor[slot_of[atom]] = k
                self.moves.append(View(self.places[slot_of[atom]]))
            elif isinstance(atom, Var) and atom in elsewhere:
                self.moves.append(elsewhere[atom])
            else:
                fresh[k] = Buffer(self.places[k].shape, self.places[k].dtype, "slot", f"n{k}")
                target = View(fresh[k])
                self.moves.append(target)
            targets.append(target)
        for k in fresh:
            # the memory goes from the spare to carry k, to the carries that take it over, and back
            last = k
            self.owned.add(last)
            while last in successor:
                last = successor[last]
                self.owned.add(last)
            self.moves.append(View(self.places[last]))
        self.slots += fresh.values()
        self._start(trips)
        return targets

    def _start(self, trips: int | None) -> None:
        """Give the loop memory, so that what it computes is where it is wanted in the end."""
        memory: dict[Buffer, View] = {}
        for k in sorted(self.owned):
            first = self._before(self.places[k], trips)
            if first is not None:
                memory[first] = self.ends[k] = self.outs[k]
        for slot in self.slots:
            k = self.places.index(slot) if slot in self.places else -1
            if k < 0:
                start = memory.get(slot) or View(self.block.shared.temp(slot.shape, slot.dtype))
            elif k in self.owned:
                start = self._own(k, memory.get(slot))
            else:
                start = self.inits[k].view()
            self.starts.append(start)

    def _before(self, slot: Buffer, trips: int | None) -> Buffer | None:
        """Which pointer starts at the memory where `slot` points after the loop, if that is known."""
        following = dict(zip(self.slots, (v.buffer for v in self.moves), strict=True))
        cycle = [slot]
        while following[cycle[-1]] is not slot:
            cycle.append(following[cycle[-1]])
        if trips is None and len(cycle) > 1:
            return None
        return cycle[(trips or 0) % len(cycle)]

    def _own(self, k: int, memory: View | None) -> View:
        """The initial value in memory that the loop may write to."""
        init = self.inits[k]
        if memory is None and self.block.plan.spent(self.block.eqn, init.atom):
            view = init.view()
            if view.buffer.kind == "temp" and not view.prefix:
                return view
        memory = memory or View(self.block.shared.temp(init.aval.shape, init.aval.dtype))
        self.block.put(init, memory)
        return memory

    def results(self) -> list[View]:
        """Where the carries are after the loop; those that others have a share in are copied."""
        found: list[View] = []
        for k, place in enumerate(self.places):
            view = self.ends.get(k) or View(place)
            if k not in self.owned and k not in self.scalars and self.block.wants(k):
                self.block.assign_any(self.outs[k], view)
                view = self.outs[k]
            found.append(view)
        return found


def lower_scan(
    block: Block,
    outs: Sequence[View],
    operands: Sequence[Operand],
    *,
    jaxpr: ClosedJaxpr,
    length: int,
    reverse: bool,
    num_consts: int,
    num_carry: int,
    **_: Any,
) -> list[View]:
    """Append the loop of a scan; returns where its results are."""
    if length == 0:
        for out, operand in zip(outs[:num_carry], operands[num_consts:], strict=False):
            block.put(operand, out)
        return list(outs)
    inner = jaxpr.jaxpr
    axis = Axis(length, "t")
    now = Affine.of(axis)
    first_x = num_consts + num_carry
    # constants that the planner did not store are computed in the loop, from what is stored
    env = {
        v: o.stored_view for v, o in zip(inner.invars, operands[:num_consts], strict=False) if o.stored_view
    }
    deferred = {v: o for v, o in zip(inner.invars, operands[:num_consts], strict=False) if v not in env}
    elsewhere: dict[Var, View] = dict(env)
    for v, x in zip(inner.invars[first_x:], operands[first_x:], strict=True):
        xs = x.view()
        env[v] = elsewhere[v] = View(xs.buffer, (*xs.prefix, now))
    plan = block.shared.planner.body(jaxpr, num_consts, num_carry)
    inits = operands[num_consts:first_x]
    carries = _Carries(block, inner.invars[num_consts:first_x], inits, outs[:num_carry])
    env.update(zip(carries.invars, carries.views(), strict=True))
    stacked = [View(o.buffer, (*o.prefix, now)) for o in outs[num_carry:]]
    for atom, view in zip(inner.outvars[num_carry:], stacked, strict=True):
        if isinstance(atom, Var) and atom not in env:
            elsewhere.setdefault(atom, view)
    targets = carries.close(inner.outvars[:num_carry], elsewhere, plan, length)
    body = block.child(inner, env, axis, plan=plan)
    body.deferred = {v: (block, o.atom) for v, o in deferred.items()}
    body.lower([*targets, *stacked])
    stmts = carries.assign(body)
    block.stmts.append(
        Loop(axis, length, stmts, carries.slots, carries.starts, carries.moves, reverse=reverse)
    )
    return [*carries.results(), *outs[num_carry:]]


def lower_while(
    block: Block,
    outs: Sequence[View],
    operands: Sequence[Operand],
    *,
    cond_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_jaxpr: ClosedJaxpr,
    body_nconsts: int,
    **_: Any,
) -> list[View]:
    """Append a while loop; returns where its results are."""
    cond, body = cond_jaxpr.jaxpr, body_jaxpr.jaxpr
    axis = Axis(_MANY, "n")
    first = cond_nconsts + body_nconsts
    consts = [o.view() for o in operands[:first]]
    plan = block.shared.planner.body(body_jaxpr, body_nconsts, len(outs))
    carries = _Carries(block, body.invars[body_nconsts:], operands[first:], outs)
    env = dict(zip(body.invars, [*consts[cond_nconsts:], *carries.views()], strict=True))
    elsewhere = {v: env[v] for v in body.invars[:body_nconsts]}
    targets = carries.close(body.outvars, elsewhere, plan, None)
    flag = block.shared.temp((), BOOL, "flag")
    cond_env = dict(zip(cond.invars, [*consts[:cond_nconsts], *carries.views()], strict=True))
    condition = block.child(cond, cond_env, axis).lower([View(flag)])
    turn = block.child(body, env, axis, plan=plan)
    turn.lower(targets)
    stmts = carries.assign(turn)
    block.stmts.append(Loop(axis, None, stmts, carries.slots, carries.starts, carries.moves, condition, flag))
    return carries.results()


def lower_cond(
    block: Block, outs: Sequence[View], operands: Sequence[View], *, branches: Sequence[ClosedJaxpr], **_: Any
) -> list[View]:
    """Append a branch; returns where its results are."""
    bodies = []
    plans, kept = block.shared.planner.branches(branches)
    inside = {k for k, j in kept.items() if outs[k].is_at(operands[j + 1])}
    if len(inside) < len(kept):
        plans = [block.shared.planner.plan(b.jaxpr, {}) for b in branches]
    for branch, plan in zip(branches, plans, strict=True):
        env = dict(zip(branch.jaxpr.invars, operands[1:], strict=True))
        bodies.append(block.child(branch.jaxpr, env, plan=plan).lower(list(outs)))
    block.stmts.append(Branch(operands[0], bodies))
    return list(outs)
