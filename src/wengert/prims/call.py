"""Calls: a jitted function, and one whose intermediate values are computed again for its derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Var
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.zeros import Zero, is_undefined
from wengert.transforms.batch import BatchAxis, batch_jaxpr, to_front
from wengert.transforms.dce import dce_closed
from wengert.transforms.jvp import jvp_jaxpr
from wengert.transforms.linearize import linearize_jaxpr
from wengert.transforms.memo import memoized
from wengert.transforms.transpose import transpose_jaxpr


def call_avals(*avals: ShapedArray, jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return jaxpr.out_avals


def call_impl(xp: Any, *args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return run_jaxpr(xp, jaxpr, args)


def as_call(prim: Primitive, closed: ClosedJaxpr, params: dict[str, Any]) -> ClosedJaxpr:
    """A jaxpr of one equation, which calls `closed`."""
    invars = [Var(a) for a in closed.in_avals]
    outvars = [Var(a) for a in closed.out_avals]
    eqn = Eqn(prim, invars, {**params, "jaxpr": closed}, outvars)
    return ClosedJaxpr(
        closed.jaxpr.replace(constvars=[], invars=invars, outvars=outvars, eqns=[eqn], arg_names=())
    )


def with_donated(params: dict[str, Any], kept: Sequence[bool], extra: int = 0) -> dict[str, Any]:
    """The parameters for a call with other arguments. Nothing is donated: the values may be needed again."""
    if "donated_invars" in params:
        return {**params, "donated_invars": (False,) * (sum(kept) + extra)}
    return params


# -------------------------------------------------------------------------------------------------------- jit


def _jit_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, jaxpr: ClosedJaxpr, **params: Any) -> Any:
    nonzeros = tuple(type(t) is not Zero for t in tangents)
    n = len(jaxpr.out_avals)
    closed, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros, (False,) * n)
    given = [t for t in tangents if type(t) is not Zero]
    params = with_donated(params, (True,) * len(primals), len(given))
    outs = jit_p.bind(*primals, *given, jaxpr=closed, **params)
    found = iter(outs[n:])
    return outs[:n], [next(found) if nz else Zero.of(o) for o, nz in zip(outs, out_nonzeros)]


def _jit_linearize(
    nonzeros: tuple[bool, ...], *primals: Any, jaxpr: ClosedJaxpr, **params: Any
) -> tuple[list[Any], tuple[bool, ...], list[Any], ClosedJaxpr]:
    lin = linearize_jaxpr(jaxpr, nonzeros, (False,) * len(jaxpr.out_avals))
    params = with_donated(params, (True,) * len(primals))
    outs = jit_p.bind(*primals, jaxpr=lin.primal, **params)
    residuals = lin.residuals(primals, outs)
    params = with_donated(params, (True,) * len(lin.tangent.in_avals))
    return outs[: lin.num_outs], lin.out_nonzeros, residuals, _jit_call(lin.tangent, tuple(params.items()))


@memoized
def _jit_call(closed: ClosedJaxpr, params: tuple[tuple[str, Any], ...]) -> ClosedJaxpr:
    return as_call(jit_p, closed, dict(params))


def _jit_transpose(cts: Sequence[Any], *args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    linear = tuple(is_undefined(a) for a in args)
    nonzeros = tuple(type(ct) is not Zero for ct in cts)
    closed, out_nonzeros = transpose_jaxpr(jaxpr, linear, nonzeros)
    operands = [a for a in args if not is_undefined(a)] + [ct for ct in cts if type(ct) is not Zero]
    params = with_donated(params, (True,) * len(operands))
    found = iter(jit_p.bind(*operands, jaxpr=closed, **params))
    nonzero = iter(out_nonzeros)
    return [next(found) if lin and next(nonzero) else None for lin in linear]


def _jit_batch(
    axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None], *, jaxpr: ClosedJaxpr, **params: Any
) -> tuple[list[Any], list[int | None]]:
    batched = tuple(d is not None for d in dims)
    closed, out_batched = batch_jaxpr(jaxpr, axis, batched, (False,) * len(jaxpr.out_avals))
    outs = jit_p.bind(*to_front(axis, args, dims), jaxpr=closed, **params)
    return outs, [0 if b else None for b in out_batched]


def call_dce(used: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    """Prune the unused results of a call."""
    closed: ClosedJaxpr = eqn.params["jaxpr"]
    if all(used):
        return [True] * len(eqn.invars), eqn
    pruned, used_ins = dce_closed(closed, tuple(used))
    if not any(used) and not pruned.effects:
        return [False] * len(eqn.invars), None
    params = {**eqn.params, "jaxpr": pruned}
    if "donated_invars" in params:
        params["donated_invars"] = tuple(d for d, u in zip(params["donated_invars"], used_ins) if u)
    invars = [a for a, u in zip(eqn.invars, used_ins) if u]
    return used_ins, eqn.replace(invars, params, [v for v, u in zip(eqn.outvars, used) if u])


# jaxpr: what is called, without constants; name: the function's; donated_invars: which arguments' memory may be
# reused; keep_unused: arguments that aren't used stay; inline: staging replaces the call by its equations
jit_p = Primitive(
    "jit",
    "call",
    abstract_eval=call_avals,
    impl=call_impl,
    jvp=_jit_jvp,
    linearize=_jit_linearize,
    transpose=_jit_transpose,
    batch=_jit_batch,
    dce=call_dce,
    multiple_results=True,
    compiled=True,
    hidden_params=("donated_invars", "inline", "keep_unused"),
)
