"""Functions with a batching rule of the user's, as equations of jaxprs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.staging import stage
from wengert.core.trace import get_aval
from wengert.core.zeros import Zero, instantiate
from wengert.prims.axes import batch_to
from wengert.prims.lists import nonzero_mask, select, spread
from wengert.transforms.batch import BatchAxis
from wengert.transforms.dce import dce_closed
from wengert.transforms.jvp import jvp_flat, jvp_jaxpr
from wengert.transforms.transpose import backward_pass

# (axis size, which arguments have the batch axis in front, arguments) -> (results, which have it in front)
Rule = Callable[[int, Sequence[bool], Sequence[Any]], tuple[list[Any], list[bool]]]


def _vmap_avals(*avals: ShapedArray, call: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return call.out_avals


def _vmap_impl(xp: Any, *args: Any, call: ClosedJaxpr, **params: Any) -> list[Any]:
    return run_jaxpr(xp, call, args)


class _TangentRule:
    """The batching rule of the derivative: the derivative of the rule.

    Takes the arguments, then the tangents of those marked in `nonzeros`; returns the results, if `values`, then the
    tangents of those marked in `out_nonzeros`.
    """

    __slots__ = ("nonzeros", "out_nonzeros", "rule", "values")

    def __init__(self, rule: Rule, nonzeros: Sequence[bool], out_nonzeros: Sequence[bool], values: bool):
        self.rule = rule
        self.nonzeros = nonzeros
        self.out_nonzeros = out_nonzeros
        self.values = values

    @property
    def __name__(self) -> str:
        return f"jvp({getattr(self.rule, '__name__', 'rule')})"

    def __call__(
        self, size: int, batched: Sequence[bool], args: Sequence[Any]
    ) -> tuple[list[Any], list[bool]]:
        n = len(self.nonzeros)
        marks = spread(batched[n:], self.nonzeros, False)
        both = [a or b for a, b in zip(batched[:n], marks)]
        xs = [batch_to(x, 0 if b else None, size, 0) if w else x for x, b, w in zip(args, batched, both)]
        given = spread(args[n:], self.nonzeros)
        ts = [
            Zero.of(x) if t is None else batch_to(t, 0 if b else None, size, 0) if w else t
            for x, t, b, w in zip(xs, given, marks, both)
        ]
        found: list[bool] = []

        def run(*values: Any) -> list[Any]:
            outs, found[:] = self.rule(size, both, values)
            return outs

        outs, tangents = jvp_flat(run, xs, ts)
        changed = [instantiate(t) for t in select(tangents, self.out_nonzeros)]
        out_batched = select(found, self.out_nonzeros)
        return ([*outs, *changed], [*found, *out_batched]) if self.values else (changed, out_batched)


def _derivative(
    call: ClosedJaxpr, rule: Rule, nonzeros: tuple[bool, ...], values: bool
) -> tuple[dict[str, Any], tuple[bool, ...]]:
    """The parameters of the call that computes the tangents, after the results if `values`."""
    n = len(call.out_avals)
    both, out_nonzeros = jvp_jaxpr(call, nonzeros, (False,) * n)
    if not values:
        keep = (*(False,) * n, *(True,) * sum(out_nonzeros))
        both, _ = dce_closed(both, keep, (True,) * len(both.in_avals))
    return {"call": both, "rule": _TangentRule(rule, nonzeros, out_nonzeros, values)}, out_nonzeros


def _vmap_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, call: ClosedJaxpr, rule: Rule) -> Any:
    params, out_nonzeros = _derivative(call, rule, nonzero_mask(tangents), True)
    n = len(call.out_avals)
    outs = custom_vmap_p.bind(*primals, *(t for t in tangents if type(t) is not Zero), **params)
    found = spread(outs[n:], out_nonzeros)
    return outs[:n], [Zero.of(o) if t is None else t for o, t in zip(outs, found)]


def _vmap_linearize(
    nonzeros: tuple[bool, ...], *primals: Any, call: ClosedJaxpr, rule: Rule
) -> tuple[list[Any], tuple[bool, ...], list[Any], ClosedJaxpr]:
    outs = custom_vmap_p.bind(*primals, call=call, rule=rule)
    params, out_nonzeros = _derivative(call, rule, nonzeros, False)
    program = stage(lambda *args: list(custom_vmap_p.bind(*args, **params)), params["call"].in_avals)
    return outs, out_nonzeros, list(primals), program


def _vmap_transpose(cts: Sequence[Any], *args: Any, call: ClosedJaxpr, rule: Rule) -> list[Any]:
    """A rule has no transpose: what follows is batched as the operations that the function is made of."""
    return backward_pass(call.jaxpr, call.consts, args, cts)


def _vmap_batch(
    axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None], *, call: ClosedJaxpr, rule: Rule
) -> tuple[list[Any], list[int | None]]:
    batched = [d is not None for d in dims]
    xs = [x if d is None else batch_to(x, d, axis.size, 0) for x, d in zip(args, dims)]
    outs, out_batched = rule(axis.size, batched, xs)
    for out, aval, b in zip(outs, call.out_avals, out_batched, strict=True):
        got = get_aval(out)
        want = (axis.size, *aval.shape) if b else aval.shape
        if (got.shape, got.dtype) != (want, aval.dtype):
            raise ValueError(
                f"the custom vmap rule ({getattr(rule, '__name__', 'rule')}) returned {got.str_short()} for a result"
                f" of type {aval.str_short()} that it says is {'' if b else 'not '}batched over {axis.size} elements"
            )
    return outs, [0 if b else None for b in out_batched]


custom_vmap_p = Primitive(
    "custom_vmap_call",
    "call",
    abstract_eval=_vmap_avals,
    impl=_vmap_impl,
    jvp=_vmap_jvp,
    linearize=_vmap_linearize,
    transpose=_vmap_transpose,
    batch=_vmap_batch,
    multiple_results=True,
    compiled=True,
)


def without_constants(rule: Rule, num_consts: int, name: str) -> Rule:
    """A rule for the arguments as one for constants and arguments. The constants must be the same for all."""

    def flat_rule(size: int, batched: Sequence[bool], args: Sequence[Any]) -> tuple[list[Any], list[bool]]:
        if any(batched[:num_consts]):
            raise ValueError(
                f"vmap maps over a value that the custom_vmap function {name} closes over, about which its rule says"
                " nothing: pass the value as an argument."
            )
        return rule(size, batched[num_consts:], args[num_consts:])

    flat_rule.__name__ = getattr(rule, "__name__", "rule")
    return flat_rule
