"""Calls: a jitted function, and one whose intermediate values are computed again for its derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.staging import eval_eqn, eval_jaxpr, stage
from wengert.core.zeros import Zero, is_undefined
from wengert.prims.callbacks import DebugEffect
from wengert.prims.lists import nonzero_mask, reject, select, spread
from wengert.transforms.batch import BatchAxis, batch_jaxpr, to_front
from wengert.transforms.dce import dce_closed, prune_consts, prune_eqns, stage_pruned
from wengert.transforms.jvp import jvp_jaxpr
from wengert.transforms.linearize import linearize_jaxpr
from wengert.transforms.memo import memoized
from wengert.transforms.transpose import transpose_jaxpr


def call_avals(*avals: ShapedArray, jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return jaxpr.out_avals


def call_impl(xp: Any, *args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return run_jaxpr(xp, jaxpr, args)


@memoized
def _as_call(closed: ClosedJaxpr, prim: Primitive, params: tuple[tuple[str, Any], ...]) -> ClosedJaxpr:
    """A jaxpr of one equation, which calls `closed`."""
    invars, outvars = [Var(a) for a in closed.in_avals], [Var(a) for a in closed.out_avals]
    eqn = Eqn(prim, invars, {**dict(params), "jaxpr": closed}, outvars)
    return ClosedJaxpr(Jaxpr([], invars, outvars, [eqn], closed.jaxpr.name))


def with_jaxpr(params: dict[str, Any], jaxpr: ClosedJaxpr) -> dict[str, Any]:
    """The parameters for a call of another jaxpr. Nothing is donated: the values may be needed again."""
    params = {**params, "jaxpr": jaxpr}
    if "donated_invars" in params:
        params["donated_invars"] = (False,) * len(jaxpr.in_avals)
    return params


# ---------------------------------------------------------------------------- the rules that all calls share


def call_jvp(prim: Primitive, primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> Any:
    jaxpr: ClosedJaxpr = params["jaxpr"]
    nonzeros = nonzero_mask(tangents)
    n = len(jaxpr.out_avals)
    closed, out_nonzeros = jvp_jaxpr(jaxpr, nonzeros, (False,) * n)
    given = [t for t in tangents if type(t) is not Zero]
    outs = prim.bind(*primals, *given, **with_jaxpr(params, closed))
    found = spread(outs[n:], out_nonzeros)
    return outs[:n], [t if nz else Zero.of(o) for o, t, nz in zip(outs, found, out_nonzeros)]


def call_transpose(
    prim: Primitive, cts: Sequence[Any], args: Sequence[Any], params: dict[str, Any]
) -> list[Any]:
    linear = tuple(is_undefined(a) for a in args)
    nonzeros = nonzero_mask(cts)
    closed, out_nonzeros = transpose_jaxpr(params["jaxpr"], linear, nonzeros)
    operands = [*reject(args, linear), *select(cts, nonzeros)]
    outs = prim.bind(*operands, **with_jaxpr(params, closed))
    return spread(spread(outs, out_nonzeros), linear)


def call_batch(
    prim: Primitive,
    axis: BatchAxis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    params: dict[str, Any],
) -> tuple[list[Any], list[int | None]]:
    jaxpr: ClosedJaxpr = params["jaxpr"]
    batched = tuple(d is not None for d in dims)
    closed, out_batched = batch_jaxpr(jaxpr, axis, batched, (False,) * len(jaxpr.out_avals))
    outs = prim.bind(*to_front(axis, args, dims), **{**params, "jaxpr": closed})
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
        params["donated_invars"] = tuple(select(params["donated_invars"], used_ins))
    return used_ins, eqn.replace(select(eqn.invars, used_ins), params, select(eqn.outvars, used))


# -------------------------------------------------------------------------------------------------------- jit


def _jit_linearize(
    nonzeros: tuple[bool, ...], *primals: Any, jaxpr: ClosedJaxpr, **params: Any
) -> tuple[list[Any], tuple[bool, ...], list[Any], ClosedJaxpr]:
    lin = linearize_jaxpr(jaxpr, nonzeros, (False,) * len(jaxpr.out_avals))
    outs = jit_p.bind(*primals, **with_jaxpr(params, lin.primal))
    params = with_jaxpr(params, lin.tangent)
    del params["jaxpr"]
    program = _as_call(lin.tangent, jit_p, tuple(params.items()))
    return outs[: lin.num_outs], lin.out_nonzeros, lin.residuals(primals, outs), program


# jaxpr: what is called, without constants; name: the function's; donated_invars: which arguments' memory may
# be reused; keep_unused: arguments that aren't used stay; inline: staging replaces the call by its equations
jit_p: Primitive = Primitive(
    "jit",
    "call",
    abstract_eval=call_avals,
    impl=call_impl,
    jvp=lambda primals, tangents, **params: call_jvp(jit_p, primals, tangents, params),
    linearize=_jit_linearize,
    transpose=lambda cts, *args, **params: call_transpose(jit_p, cts, args, params),
    batch=lambda axis, args, dims, **params: call_batch(jit_p, axis, args, dims, params),
    dce=call_dce,
    multiple_results=True,
    compiled=True,
    hidden_params=("donated_invars", "inline", "keep_unused"),
)


# ------------------------------------------------------------------------------------------------------ remat


class _Recomputing:
    """A body, linearized so that residuals are computed again.

    `primal` returns the results, then the values that the policy saves. `tangent` takes the arguments
    numbered in `args`, the saved values, and the tangents that aren't zero.
    """

    __slots__ = ("args", "num_outs", "out_nonzeros", "primal", "tangent")

    def __init__(
        self,
        primal: ClosedJaxpr,
        tangent: ClosedJaxpr,
        args: list[int],
        num_outs: int,
        out_nonzeros: tuple[bool, ...],
    ):
        self.primal = primal
        self.tangent = tangent
        self.args = args
        self.num_outs = num_outs
        self.out_nonzeros = out_nonzeros


@memoized
def _recomputing(closed: ClosedJaxpr, nonzeros: tuple[bool, ...], policy: Any) -> _Recomputing:
    refused = [e for e in closed.effects if not isinstance(e, DebugEffect)]
    if refused:
        raise NotImplementedError(
            f"Effects not supported in AD of `checkpoint`/`remat`: {refused}. What is computed again would happen"
            " twice: move the io_callback out of the function."
        )
    if policy is not None:
        closed = inline_calls(closed)
    lin = linearize_jaxpr(closed, nonzeros, (False,) * len(closed.out_avals))
    jaxpr = lin.primal.jaxpr
    saved = {v for e in jaxpr.eqns if policy is not None and saves(policy, e) for v in e.outvars}
    atoms = [jaxpr.invars[i] if kind == "in" else jaxpr.outvars[i] for kind, i in lin.sources]
    unsaved = [e for e in jaxpr.eqns if not (e.outvars and saved.issuperset(e.outvars))]
    again, used = prune_eqns(unsaved, atoms)
    args = [i for i, v in enumerate(jaxpr.invars) if v in used]
    kept = [v for e in jaxpr.eqns for v in e.outvars if v in saved and v in used]
    outvars = [*jaxpr.outvars[: lin.num_outs], *kept]
    primal = jaxpr.replace(outvars=outvars, eqns=prune_eqns(jaxpr.eqns, outvars)[0], arg_names=())
    inputs = [jaxpr.invars[i] for i in args] + kept
    residuals = jaxpr.replace(invars=inputs, outvars=atoms, eqns=again, arg_names=())
    n = len(inputs)

    def run(*xs: Any) -> list[Any]:
        found = eval_jaxpr(residuals, lin.primal.consts, *xs[:n])
        return eval_jaxpr(lin.tangent.jaxpr, lin.tangent.consts, *found, *xs[n:])

    avals = [*(v.aval for v in inputs), *lin.tangent.in_avals[len(atoms) :]]
    tangent = stage_pruned(run, avals, name=jaxpr.name)
    primal_closed = prune_consts(ClosedJaxpr(primal, lin.primal.consts))
    return _Recomputing(primal_closed, tangent, args, lin.num_outs, lin.out_nonzeros)


def saves(policy: Any, eqn: Eqn) -> bool:
    """Whether the policy keeps the results of an equation."""
    return bool(policy(eqn.primitive, *(a.aval for a in eqn.invars), **eqn.params))


@memoized
def inline_calls(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The jaxpr with the equations of jitted functions in place of their calls."""
    if not any(e.primitive is jit_p for e in closed.eqns):
        return closed

    def run(*args: Any) -> list[Any]:
        env: dict[Var, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        env.update(zip(closed.jaxpr.invars, args, strict=True))
        for eqn in closed.eqns:
            if eqn.primitive is jit_p:
                inner = inline_calls(eqn.params["jaxpr"])
                operands = [a.val if isinstance(a, Literal) else env[a] for a in eqn.invars]
                env.update(zip(eqn.outvars, eval_jaxpr(inner.jaxpr, inner.consts, *operands), strict=True))
            else:
                eval_eqn(eqn, env)
        return [a.val if isinstance(a, Literal) else env[a] for a in closed.jaxpr.outvars]

    return stage(run, closed.in_avals, closed.jaxpr.name)


def _remat_linearize(
    nonzeros: tuple[bool, ...], *primals: Any, jaxpr: ClosedJaxpr, policy: Any, **params: Any
) -> tuple[list[Any], tuple[bool, ...], list[Any], ClosedJaxpr]:
    lin = _recomputing(jaxpr, nonzeros, policy)
    outs = eval_jaxpr(lin.primal.jaxpr, lin.primal.consts, *primals)
    params = {**params, "policy": policy, "differentiated": True}
    program = _as_call(lin.tangent, remat_p, tuple(params.items()))
    residuals = [*(primals[i] for i in lin.args), *outs[lin.num_outs :]]
    return outs[: lin.num_outs], lin.out_nonzeros, residuals, program


# A barrier for the compiler: what is computed inside is computed again, and not taken from outside.
remat_p: Primitive = Primitive(
    "remat2",
    "call",
    abstract_eval=call_avals,
    impl=call_impl,
    jvp=lambda primals, tangents, **params: call_jvp(remat_p, primals, tangents, params),
    linearize=_remat_linearize,
    transpose=lambda cts, *args, **params: call_transpose(remat_p, cts, args, params),
    batch=lambda axis, args, dims, **params: call_batch(remat_p, axis, args, dims, params),
    dce=call_dce,
    multiple_results=True,
    compiled=True,
)


# ------------------------------------------------------------------------------------------------------- name


def _name_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, name: str) -> Any:
    out = name_p.bind(primals[0], name=name)
    tangent = tangents[0]
    return out, tangent if type(tangent) is Zero else name_p.bind(tangent, name=name)


# Its result is its operand. It gives policies of `checkpoint` a name to go by.
name_p: Primitive = Primitive(
    "name",
    "view",
    abstract_eval=lambda x, *, name: x,
    impl=lambda xp, x, *, name: x,
    jvp=_name_jvp,
    transpose=lambda ct, x, *, name: [ct],
    batch=lambda axis, args, dims, *, name: (name_p.bind(args[0], name=name), dims[0]),
    pull=lambda ctx, index, x, *, name: x.at(index),
)
