"""Lowering of scan, while and cond: their bodies become blocks, their carries pointers that move.

The values that an iteration computes are written to spare memory, and then all pointers move at once, so
that no carry is ever copied. A carry that is also an output of the scan is only a pointer into that output.
Scalars stay where they are, in memory that a backend keeps in registers, and are assigned at the end of an
iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wengert.compiler.affine import Affine, Axis
from wengert.compiler.loops import BOOL, Branch, Buffer, Call, Loop, Stmt, View, is_native
from wengert.core.jaxpr import Atom, ClosedJaxpr, Var

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

_MANY = 2**62  # the bound of the iteration count of a while loop


class _Carries:
    """The pointers of a loop: one for each carry, and one spare for each that the body computes anew.

    Carries of one element have a fixed place instead, and a second one for the value of the next iteration.
    """

    def __init__(self, block: Block, invars: Sequence[Var], inits: Sequence[View]):
        self.block = block
        self.invars = invars
        self.inits = inits
        self.scalars: dict[int, View] = {}
        self.places: list[Buffer] = []
        for n, v in enumerate(invars):
            if v.aval.size == 1 and is_native(v.aval.dtype):
                self.places.append(block.shared.temp(v.aval.shape, v.aval.dtype))
                self.scalars[n] = View(block.shared.temp(v.aval.shape, v.aval.dtype))
                block.assign(View(self.places[n]), inits[n])
            else:
                self.places.append(Buffer(v.aval.shape, v.aval.dtype, "slot", f"c{n}"))
        self.slots = [p for n, p in enumerate(self.places) if n not in self.scalars]
        self.moves: list[View] = []
        self.starts: list[View] = []

    def views(self) -> list[View]:
        return [View(p) for p in self.places]

    def assign(self, body: Block) -> list[Stmt]:
        """The statements of the body, and after them the assignments of the scalars."""
        for n, new in self.scalars.items():
            body.assign(View(self.places[n]), new)
        return body.stmts

    def close(self, outs: Sequence[Atom], elsewhere: dict[Var, View]) -> list[View | None]:
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
            if isinstance(atom, Var) and atom in slot_of and slot_of[atom] not in successor:
                successor[slot_of[atom]] = k
                self.moves.append(View(self.places[slot_of[atom]]))
            elif isinstance(atom, Var) and atom in elsewhere:
                self.moves.append(elsewhere[atom])
            else:
                fresh[k] = Buffer(self.places[k].shape, self.places[k].dtype, "slot", f"n{k}")
                target = View(fresh[k])
                self.moves.append(target)
            targets.append(target)
        owned: set[int] = set()
        for k in fresh:
            # the memory goes from the spare to carry k, to the carries that take it over, and back
            last = k
            owned.add(last)
            while last in successor:
                last = successor[last]
                owned.add(last)
            self.moves.append(View(self.places[last]))
        self.starts = [
            self._own(k) if k in owned else self.inits[k]
            for k in range(len(self.places))
            if k not in self.scalars
        ]
        self.slots += fresh.values()
        self.starts += [View(self.block.shared.temp(s.shape, s.dtype)) for s in fresh.values()]
        return targets

    def _own(self, k: int) -> View:
        """The initial value in memory that the loop may write to."""
        init = self.inits[k]
        copy = View(self.block.shared.temp(init.shape, init.dtype))
        self.block.stmts.append(Call("copy", [init], [copy]))
        return copy


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
        return [*(o.view() for o in operands[num_consts : num_consts + num_carry]), *outs[num_carry:]]
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
    inits = [o.view() for o in operands[num_consts:first_x]]
    carries = _Carries(block, inner.invars[num_consts:first_x], inits)
    env.update(zip(carries.invars, carries.views(), strict=True))
    stacked = [View(o.buffer, (*o.prefix, now)) for o in outs[num_carry:]]
    for atom, view in zip(inner.outvars[num_carry:], stacked, strict=True):
        if isinstance(atom, Var) and atom not in env:
            elsewhere.setdefault(atom, view)
    targets = carries.close(inner.outvars[:num_carry], elsewhere)
    body = block.child(inner, env, axis)
    body.deferred = {v: (block, o.atom) for v, o in deferred.items()}
    body.lower([*targets, *stacked])
    stmts = carries.assign(body)
    block.stmts.append(
        Loop(axis, length, stmts, carries.slots, carries.starts, carries.moves, reverse=reverse)
    )
    return [*carries.views(), *outs[num_carry:]]


def lower_while(
    block: Block,
    outs: Sequence[View],
    operands: Sequence[View],
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
    carries = _Carries(block, body.invars[body_nconsts:], operands[first:])
    env = dict(zip(body.invars, [*operands[cond_nconsts:first], *carries.views()], strict=True))
    elsewhere = {v: env[v] for v in body.invars[:body_nconsts]}
    targets = carries.close(body.outvars, elsewhere)
    flag = block.shared.temp((), BOOL, "flag")
    cond_env = dict(zip(cond.invars, [*operands[:cond_nconsts], *carries.views()], strict=True))
    condition = block.child(cond, cond_env, axis).lower([View(flag)])
    turn = block.child(body, env, axis)
    turn.lower(targets)
    stmts = carries.assign(turn)
    block.stmts.append(Loop(axis, None, stmts, carries.slots, carries.starts, carries.moves, condition, flag))
    return carries.views()


def lower_cond(
    block: Block, outs: Sequence[View], operands: Sequence[View], *, branches: Sequence[ClosedJaxpr], **_: Any
) -> list[View]:
    """Append a branch; returns where its results are."""
    bodies = []
    for branch in branches:
        env = dict(zip(branch.jaxpr.invars, operands[1:], strict=True))
        bodies.append(block.child(branch.jaxpr, env).lower(list(outs)))
    block.stmts.append(Branch(operands[0], bodies))
    return list(outs)
