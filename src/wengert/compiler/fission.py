"""Matrix products leave loops: many small ones become one large one.

A product of what a scan reads and a constant does not wait for the carry, so it is formed for all steps at once
before the loop. A carry to which each step only adds a product (the gradient of a weight) is one product over
all steps, formed after the loop from factors that the loop stacks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Var
from wengert.prims.arithmetic import add_p
from wengert.prims.axes import add_any_p, transpose_p
from wengert.prims.dot import dot_general_p

_LARGE = 1 << 23  # multiplications of a product that gains nothing from being part of a larger one
_SMALL = 512  # multiplications that are as well done in the loop
_GROWTH = 4  # times the size of what the loop reads anyway, per step; and at most
_MOST_BYTES = 1 << 26


def split_products(eqn: Eqn) -> tuple[list[Eqn], Eqn, list[Eqn]]:
    """A scan as: products before it, the scan without them, products after it."""
    if not any(e.primitive is dot_general_p for e in eqn.params["jaxpr"].jaxpr.eqns):
        return [], eqn, []
    split = _Split(eqn)
    split.before()
    split.after()
    return split.result() if split.early or split.late else ([], eqn, [])


def _stacked(v: Atom, length: int) -> Var:
    return Var(ShapedArray((length, *v.aval.shape), v.aval.dtype))


def _up(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple([a + 1 for a in axes])


class _Split:
    def __init__(self, eqn: Eqn):
        params = eqn.params
        self.eqn = eqn
        self.body: Jaxpr = params["jaxpr"].jaxpr
        self.length: int = params["length"]
        n, m = params["num_consts"], params["num_carry"]
        self.consts = dict(zip(self.body.invars[:n], eqn.invars[:n], strict=True))
        self.carry = list(self.body.invars[n : n + m])
        self.inits = list(eqn.invars[n : n + m])
        self.xs = dict(zip(self.body.invars[n + m :], eqn.invars[n + m :], strict=True))
        self.carry_outs, self.ys = list(self.body.outvars[:m]), list(self.body.outvars[m:])
        self.results, self.stacks = list(eqn.outvars[:m]), list(eqn.outvars[m:])
        self.eqns = list(self.body.eqns)
        self.producer = {v: e for e in self.eqns for v in e.outvars}
        self.uses = Counter(a for e in self.eqns for a in e.invars if isinstance(a, Var))
        self.uses.update(a for a in self.body.outvars if isinstance(a, Var))
        self.early: list[Eqn] = []
        self.late: list[Eqn] = []
        self.read = sum(v.aval.nbytes for v in self.xs)

    # ---- before the loop

    def before(self) -> None:
        """Form products of what is read and constants for all steps."""
        for e in self.eqns[:]:
            if e.primitive is not dot_general_p or e.params["dimension_numbers"][1] != ((), ()):
                continue
            (cx, cy), _ = e.params["dimension_numbers"]
            x, y = e.invars
            if x in self.consts and y in self.xs and y.aval.ndim == len(cy):
                x, y, cx, cy = y, x, cy, cx  # a vector: the axes of the result are those of the constant
            grows = e.outvars[0].aval.nbytes > _GROWTH * x.aval.nbytes
            if x not in self.xs or y not in self.consts or not _worthwhile(e) or grows:
                continue
            out = e.outvars[0]
            if self.length * out.aval.nbytes > _MOST_BYTES:
                continue
            stacked = _stacked(out, self.length)
            params = {**e.params, "dimension_numbers": ((_up(cx), tuple(cy)), ((), ()))}
            self.early.append(Eqn(dot_general_p, [self.xs[x], self.consts[y]], params, [stacked], e.source))
            self.xs[out] = stacked
            self.eqns.remove(e)

    # ---- after the loop

    def after(self) -> None:
        """Take out the carries that only add up products."""
        room = min(_GROWTH * self.read, _MOST_BYTES // self.length)
        for k in range(len(self.carry) - 1, -1, -1):
            found = self._sum_of_products(k)
            if found is None:
                continue
            total, flipped, product = found
            new = [a for a in product.invars if a not in self.xs and a not in self.ys]
            size = sum(a.aval.nbytes for a in new)
            if size > room or any(a in self.consts or not isinstance(a, Var) for a in product.invars):
                continue
            room -= size
            self._form_late(k, total, flipped, product)

    def _sum_of_products(self, k: int) -> tuple[Eqn, Eqn | None, Eqn] | None:
        """The equations of carry k, if all that a step does is to add a product, or a transposed one, to it."""
        total = self.producer.get(self.carry_outs[k])
        if total is None or total.primitive not in (add_p, add_any_p) or self.uses[self.carry[k]] != 1:
            return None
        terms = [a for a in total.invars if a is not self.carry[k]]
        if len(terms) != 1 or self.uses[self.carry_outs[k]] != 1:
            return None
        flipped: Eqn | None = None
        product = self._alone(terms[0])
        if product is not None and product.primitive is transpose_p:
            flipped, product = product, self._alone(product.invars[0])
        if product is None or product.primitive is not dot_general_p or not _worthwhile(product):
            return None
        same = all(a.aval.dtype == product.outvars[0].aval.dtype for a in product.invars)
        floats = product.outvars[0].aval.dtype.name in ("float32", "float64")
        return (total, flipped, product) if same and floats else None

    def _alone(self, atom: Atom) -> Eqn | None:
        """What makes a value that is used once."""
        return self.producer.get(atom) if isinstance(atom, Var) and self.uses[atom] == 1 else None

    def _form_late(self, k: int, total: Eqn, flipped: Eqn | None, product: Eqn) -> None:
        (cx, cy), (bx, by) = product.params["dimension_numbers"]
        numbers = (((0, *_up(cx)), (0, *_up(cy))), (_up(bx), _up(by)))
        # the result's type is that of one step's product
        out = Var(product.outvars[0].aval)
        factors = [self._stack(a) for a in product.invars]
        params = {**product.params, "dimension_numbers": numbers}
        self.late.append(Eqn(dot_general_p, factors, params, [out], product.source))
        if flipped is not None:
            turned = Var(flipped.outvars[0].aval)
            self.late.append(flipped.replace([out], outvars=[turned]))
            out = turned
        self.late.append(total.replace([self.inits[k], out], outvars=[self.results[k]]))
        gone = {id(e) for e in (total, flipped, product) if e is not None}
        self.eqns = [e for e in self.eqns if id(e) not in gone]
        for part in (self.carry, self.inits, self.carry_outs, self.results):
            del part[k]

    def _stack(self, v: Atom) -> Var:
        """The values of a variable in all steps, one after the other."""
        assert isinstance(v, Var)
        if v in self.xs:
            found = self.xs[v]
            assert isinstance(found, Var)
            return found
        if v not in self.ys:
            self.ys.append(v)
            self.stacks.append(_stacked(v, self.length))
        return self.stacks[self.ys.index(v)]

    # ---- what is left

    def result(self) -> tuple[list[Eqn], Eqn, list[Eqn]]:
        used = {a for e in self.eqns for a in e.invars if isinstance(a, Var)}
        used |= {a for a in (*self.carry_outs, *self.ys) if isinstance(a, Var)}
        consts = {v: a for v, a in self.consts.items() if v in used}
        xs = {v: a for v, a in self.xs.items() if v in used}
        body = self.body.replace(
            invars=[*consts, *self.carry, *xs],
            eqns=self.eqns,
            outvars=[*self.carry_outs, *self.ys],
            arg_names=(),
        )
        params: dict[str, Any] = {
            **self.eqn.params,
            "jaxpr": ClosedJaxpr(body),
            "num_consts": len(consts),
            "num_carry": len(self.carry),
        }
        invars = [*consts.values(), *self.inits, *xs.values()]
        if "linear" in params:
            params["linear"] = (False,) * len(invars)
        scan = self.eqn.replace(invars, params, [*self.results, *self.stacks])
        return self.early, scan, self.late


def _worthwhile(e: Eqn) -> bool:
    """Whether a product is of the size that gains from being part of a larger one."""
    (cx, _), _ = e.params["dimension_numbers"]
    work = e.outvars[0].aval.size * math.prod([e.invars[0].aval.shape[d] for d in cx])
    return bool(_SMALL <= work <= _LARGE)
