"""Products of matrices that are transposed become products of the factors in the other order.

Gradients with respect to a factor come as such transposes. To write a product turned costs nothing, to turn it
afterwards a pass over memory in the wrong direction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from wengert.core.jaxpr import Atom, Eqn, Var
from wengert.prims.axes import transpose_p
from wengert.prims.dot import dot_general_p


def turn_products(eqns: Sequence[Eqn], outvars: Sequence[Atom]) -> list[Eqn]:
    """The equations, without the transposes that only change the order of a product's free axes."""
    producer: dict[Atom, Eqn] = {e.outvars[0]: e for e in eqns if e.primitive is dot_general_p}
    uses = Counter(a for e in eqns for a in e.invars if a in producer)
    uses.update(a for a in outvars if a in producer)
    turned: dict[Atom, Eqn] = {}
    gone: set[Eqn] = set()
    for eqn in eqns:
        if eqn.primitive is transpose_p and uses[eqn.invars[0]] == 1:
            product = producer[eqn.invars[0]]
            if eqn.params["permutation"] == _other_order(product):
                turned[product.outvars[0]] = _swapped(product, eqn.outvars)
                gone.add(eqn)
    if not gone:
        return list(eqns)
    return [turned.get(e.outvars[0], e) if e.outvars else e for e in eqns if e not in gone]


def _other_order(product: Eqn) -> tuple[int, ...]:
    """How the result's axes are permuted if the factors change places."""
    (contracted, _), (batch, _) = product.params["dimension_numbers"]
    shared = len(batch)
    free = product.invars[0].aval.ndim - shared - len(contracted)
    total = product.outvars[0].aval.ndim
    return (*range(shared), *range(shared + free, total), *range(shared, shared + free))


def _swapped(product: Eqn, outvars: Sequence[Var]) -> Eqn:
    x, y = product.invars
    (cx, cy), (bx, by) = product.params["dimension_numbers"]
    params = {**product.params, "dimension_numbers": ((cy, cx), (by, bx))}
    return product.replace([y, x], params, outvars=list(outvars))
