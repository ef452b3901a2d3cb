"""Control flow in random programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import wengert
from tests.random_values import (
    MOST_ELEMENTS,
    Builder,
    Value,
    inside,
    joined,
    literal,
)
from wengert import lax
from wengert.core.trace import get_aval
from wengert.prims.cond import cond_p
from wengert.prims.scan import scan_p
from wengert.prims.while_loop import while_p


def _some(b: Builder, most: int, wanted: Callable[[Value], bool] = lambda v: True) -> list[Value]:
    found = [b.pick(wanted) for _ in range(b.integer(0, most))]
    return [v for v in found if v is not None]


def _successor(b: Builder, old: Value) -> Value:
    """The new value of a carry: of its type, exact if it was, and within its bound."""
    new = b.pick(
        lambda v: (
            v.dtype == old.dtype
            and v.shape == old.shape
            and (old.kind not in "fc" or not old.quantum or v.quantum >= old.quantum)
        )
    )
    assert new is not None
    if old.kind == "f" and new.bound > old.bound:
        return b.clamped(new, old.bound)
    return old if old.kind == "c" else new


def _after(turns: int, old: Value, out: Any, new_error: float) -> Value:
    """A carry after so many turns."""
    growth = max(1.0, new_error / old.error) ** turns if old.error else 1.0
    return Value(out, old.bound, old.quantum, old.error * growth)


def _carry(v: Value) -> Value:
    """Bounds of carries are whole numbers, so that to clamp to them is exact."""
    return Value(v.x, float(math.ceil(max(v.bound, 2.0))), min(v.quantum, 1.0) if v.quantum else 0.0, v.error)


def scanning(b: Builder) -> Value | None:
    consts, carry = _some(b, 2), [_carry(v) for v in _some(b, 3)]
    x = b.pick(lambda v: len(v.shape) > 0 and v.shape[0] <= 5)
    xs = [] if x is None else _some(b, 2, lambda v: v.shape[:1] == x.shape[:1])
    length = xs[0].shape[0] if xs else b.integer(0, 4)
    ins = [*consts, *carry, *(_Row(v) for v in xs)]
    errors: list[float] = []
    outs: list[Value] = []

    def body(inner: Builder) -> list[Any]:
        olds = inner.values[len(consts) : len(consts) + len(carry)]
        inner.grow(b.integer(1, 4))
        news = [_successor(inner, old) for old in olds]
        ys = _some(inner, 2, lambda v: v.size * length <= MOST_ELEMENTS and len(v.shape) < 5)
        errors[:] = [v.error for v in news]
        outs[:] = ys
        return [*(v.x for v in news), *(v.x for v in ys)]

    closed = inside(b, ins, body)
    reverse = b.flag()
    results = scan_p.bind(
        *(v.x for v in (*consts, *carry, *xs)),
        jaxpr=closed, length=length, reverse=reverse, num_consts=len(consts), num_carry=len(carry),
        linear=(False,) * len(ins), unroll=1, _split_transpose=False,
    )  # fmt: skip
    n = len(carry)
    kept = [_after(length, old, x, e) for old, x, e in zip(carry, results, errors)]
    worst = max([1.0, *(v.error / old.error for v, old in zip(kept, carry) if old.error)])
    kept += [Value(x, y.bound, y.quantum, y.error * worst) for x, y in zip(results[n:], outs)]
    return _all_but_one(b, kept)


class _Row(Value):
    """One row of a value, as the body of a scan sees it."""

    __slots__ = ()

    def __init__(self, v: Value):
        self.x, self.bound, self.quantum, self.error, self.used = v.x, v.bound, v.quantum, v.error, True

    @property
    def shape(self) -> tuple[int, ...]:
        return get_aval(self.x).shape[1:]


def _all_but_one(b: Builder, values: Sequence[Value]) -> Value | None:
    """Keep all results; the caller keeps the last."""
    values = [b.tame(v) for v in values]
    b.values += values[:-1]
    return values[-1] if values else None


def repeating(b: Builder) -> Value | None:
    """A while loop that ends after so many turns, or before, when a part of the state says so."""
    tests, consts, carry = _some(b, 1, _small), _some(b, 1), [_carry(v) for v in _some(b, 3)]
    most = b.integer(0, 4)
    start = b.pick(lambda v: v.dtype == np.int32 and not v.shape)
    count = Value(lax.clamp(np.int32(0), start.x, np.int32(4)) if start else lax.full((), 0, np.int32))
    errors: list[float] = []

    def body(inner: Builder) -> list[Any]:
        olds = inner.values[len(consts) :]
        inner.grow(b.integer(1, 3))
        news = [_successor(inner, old) for old in olds[1:]]
        errors[:] = [v.error for v in news]
        return [lax.add(olds[0].x, np.int32(1)), *(v.x for v in news)]

    def condition(inner: Builder) -> list[Any]:
        going = lax.lt(inner.values[len(tests)].x, np.int32(most))
        seen = inner.pick(_small)
        if seen is None or b.flag():
            return [going]
        low = lax.lt(lax.reduce_max(seen.x, range(len(seen.shape))), literal(seen.dtype, 3))
        return [lax.bitwise_and(going, low)]

    state = [count, *carry]
    results = while_p.bind(
        *(v.x for v in (*tests, *consts, *state)),
        cond_jaxpr=inside(b, [*tests, *state], condition), cond_nconsts=len(tests),
        body_jaxpr=inside(b, [*consts, *state], body), body_nconsts=len(consts),
    )  # fmt: skip
    kept = [_after(most, old, x, e) for old, x, e in zip(carry, results[1:], errors)]
    return _all_but_one(b, [Value(results[0]), *kept])


def _small(v: Value) -> bool:
    """What a condition can look at."""
    return v.kind in "iu" and v.size > 0


def calling(b: Builder) -> Value | None:
    """A call of a jitted function, or of one whose derivative computes it again."""
    operands = _some(b, 3)
    if not operands:
        return None
    outs: list[Value] = []

    def fun(*xs: Any) -> list[Any]:
        inner = b.within(operands, xs)
        inner.grow(b.integer(0, 3))
        outs[:] = _some(inner, 2) or inner.values[-1:]
        return [v.x for v in outs]

    how = b.choose([wengert.jit, wengert.checkpoint])
    results = how(fun)(*(v.x for v in operands))
    return _all_but_one(b, [v.like(x) for v, x in zip(outs, results)])


def branching(b: Builder) -> Value | None:
    operands = _some(b, 3)
    index = b.pick(lambda v: v.dtype == np.int32 and not v.shape)
    wanted: list[Value] = []
    bounds: list[list[Value]] = []

    def branch(inner: Builder) -> list[Any]:
        inner.grow(b.integer(0, 3))
        if not bounds:
            wanted[:] = _some(inner, 2)
            outs = list(wanted)
        else:
            outs = [
                inner.pick(lambda v, w=w: v.dtype == w.dtype and v.shape == w.shape) or _ones(w)
                for w in wanted
            ]
        bounds.append(outs)
        return [v.x for v in outs]

    branches = tuple(inside(b, operands, branch) for _ in range(b.integer(1, 3)))
    if not wanted:
        return None
    selector = np.int32(b.integer(-1, 3)) if index is None or b.flag() else index.x
    results = cond_p.bind(selector, *(v.x for v in operands), branches=branches)
    return _all_but_one(b, [joined(x, *cases) for x, *cases in zip(results, *bounds)])


def _ones(like: Value) -> Value:
    return Value(lax.full(like.shape, 1, like.dtype), 1.0, 1.0)
