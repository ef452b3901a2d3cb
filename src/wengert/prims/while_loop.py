"""while: repeats a body as long as a condition on the carry holds.

Operands: the consts of the condition, the consts of the body, the carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.core.avals import ShapedArray, same_type
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Var
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.staging import eval_jaxpr, stage
from wengert.core.zeros import Zero, instantiate
from wengert.prims.axes import batch_to, broadcast_in_dim
from wengert.prims.callbacks import DebugEffect
from wengert.prims.lists import either, nonzero_mask, select, split, spread
from wengert.prims.reduce import reduce_or_p
from wengert.prims.scan import reordered
from wengert.prims.select import select_n_p
from wengert.transforms.batch import BatchAxis, batch_jaxpr
from wengert.transforms.dce import dce_closed
from wengert.transforms.jvp import jvp_jaxpr
from wengert.transforms.memo import memoized


def _while_avals(
    *avals: ShapedArray,
    cond_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_jaxpr: ClosedJaxpr,
    body_nconsts: int,
) -> list[ShapedArray]:
    cond_consts, body_consts, carry = split(avals, cond_nconsts, body_nconsts)
    for got, want in zip([*body_consts, *carry], body_jaxpr.in_avals, strict=True):
        if not same_type(got, want):
            raise TypeError(
                f"while got an operand of type {got.str_short()}, but its body takes {want.str_short()}"
            )
    for got, want in zip([*cond_consts, *carry], cond_jaxpr.in_avals, strict=True):
        if not same_type(got, want):
            raise TypeError(f"while got {got.str_short()}, but its condition takes {want.str_short()}")
    for got, want in zip(body_jaxpr.out_avals, carry, strict=True):
        if not same_type(got, want):
            raise TypeError(
                f"the body of while returns {got.str_short()} for a carry of type {want.str_short()}"
            )
    return body_jaxpr.out_avals


def _while_impl(
    xp: Any,
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_jaxpr: ClosedJaxpr,
    body_nconsts: int,
) -> list[Any]:
    cond_consts, body_consts, carry = split(args, cond_nconsts, body_nconsts)
    while bool(run_jaxpr(xp, cond_jaxpr, [*cond_consts, *carry])[0]):
        carry = run_jaxpr(xp, body_jaxpr, [*body_consts, *carry])
    return [xp.asarray(c) for c in carry]


# -------------------------------------------------------------------------------------------------------- jvp


def with_extra_args(closed: ClosedJaxpr, avals: Sequence[ShapedArray]) -> ClosedJaxpr:
    """A jaxpr with more arguments, which it does not use, at its end."""
    jaxpr = closed.jaxpr
    return ClosedJaxpr(jaxpr.replace(invars=[*jaxpr.invars, *map(Var, avals)], arg_names=()), closed.consts)


@memoized
def _jvp_body(
    closed: ClosedJaxpr, num_consts: int, nonzeros: tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """The body for values and tangents; which parts of the carry have a tangent."""
    consts_nz, carry_nz = split(nonzeros, num_consts)
    while True:
        body, out_nz = jvp_jaxpr(closed, (*consts_nz, *carry_nz), tuple(carry_nz))
        grown = list(either(carry_nz, out_nz))
        if grown == carry_nz:
            break
        carry_nz = grown
    n = len(closed.in_avals)
    consts, carry = split(range(n), num_consts)
    consts_t, carry_t = split(range(n, n + sum(consts_nz) + sum(carry_nz)), sum(consts_nz))
    return reordered(body, [*consts, *consts_t, *carry, *carry_t], range(len(body.out_avals))), tuple(
        carry_nz
    )


@memoized
def _jvp_cond(closed: ClosedJaxpr, avals: tuple[ShapedArray, ...]) -> ClosedJaxpr:
    return with_extra_args(closed, avals)


def _while_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    cond_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_jaxpr: ClosedJaxpr,
    body_nconsts: int,
) -> Any:
    cond_consts, body_consts, carry = split(primals, cond_nconsts, body_nconsts)
    _, consts_t, carry_t = split(tangents, cond_nconsts, body_nconsts)
    body, carry_nz = _jvp_body(body_jaxpr, body_nconsts, nonzero_mask([*consts_t, *carry_t]))
    given_consts = [t for t in consts_t if type(t) is not Zero]
    given_carry = [instantiate(t) for t in select(carry_t, carry_nz)]
    tangent_avals = tuple(a.to_tangent_aval() for a in select(body_jaxpr.out_avals, carry_nz))
    outs = while_p.bind(
        *cond_consts, *body_consts, *given_consts, *carry, *given_carry,
        cond_jaxpr=_jvp_cond(cond_jaxpr, tangent_avals),
        cond_nconsts=cond_nconsts,
        body_jaxpr=body,
        body_nconsts=body_nconsts + len(given_consts),
    )  # fmt: skip
    values, found = outs[: len(carry)], spread(outs[len(carry) :], carry_nz)
    return values, [t if nz else Zero.of(v) for v, t, nz in zip(values, found, carry_nz)]


def _while_linearize(
    nonzeros: tuple[bool, ...], *primals: Any, **params: Any
) -> tuple[list[Any], tuple[bool, ...], list[Any], ClosedJaxpr]:
    """The tangent program runs the whole loop again: how often it turns is known only when it runs."""
    n = params["cond_nconsts"]
    _, carry_nz = _jvp_body(params["body_jaxpr"], params["body_nconsts"], nonzeros[n:])
    outs = while_p.bind(*primals, **params)
    if not any(carry_nz):
        avals = [a for a, nz in zip(_operand_avals(params), nonzeros) if nz]
        return outs, carry_nz, [], stage(lambda *_: [], [a.to_tangent_aval() for a in avals])
    return (
        outs,
        carry_nz,
        list(primals),
        _tangent_program(params["body_jaxpr"], nonzeros, tuple(params.items())),
    )


def _operand_avals(params: dict[str, Any]) -> list[ShapedArray]:
    return [*params["cond_jaxpr"].in_avals[: params["cond_nconsts"]], *params["body_jaxpr"].in_avals]


@memoized
def _tangent_program(
    body_jaxpr: ClosedJaxpr, nonzeros: tuple[bool, ...], items: tuple[tuple[str, Any], ...]
) -> ClosedJaxpr:
    params = dict(items)
    avals = _operand_avals(params)

    def run(*args: Any) -> list[Any]:
        given = spread(args[len(avals) :], nonzeros)
        tangents = [Zero(a.to_tangent_aval()) if t is None else t for a, t in zip(avals, given)]
        _, found = _while_jvp(args[: len(avals)], tangents, **params)
        return [t for t in found if type(t) is not Zero]

    tangent_avals = [a.to_tangent_aval() for a in select(avals, nonzeros)]
    return stage(run, [*avals, *tangent_avals], name=body_jaxpr.jaxpr.name)


def _while_transpose(cts: Sequence[Any], *args: Any, **params: Any) -> list[Any]:
    raise ValueError(
        "Reverse-mode differentiation does not work for lax.while_loop or lax.fori_loop with dynamic"
        " start/stop values: how often the loop turns, and so how much has to be kept for the way back, is"
        " known only when it runs. Try using lax.scan, or using fori_loop with static start/stop (Python"
        " ints), and lax.cond or jnp.where inside for turns that are to change nothing. Forward mode (jvp,"
        " jacfwd) works."
    )


# ---------------------------------------------------------------------------------------------- batch and dce


def _while_batch(
    axis: BatchAxis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    cond_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_jaxpr: ClosedJaxpr,
    body_nconsts: int,
) -> tuple[list[Any], list[int | None]]:
    batched = tuple(d is not None for d in dims)
    cond, body, carry_b = _batched_loop(body_jaxpr, cond_jaxpr, axis, cond_nconsts, body_nconsts, batched)
    pred_b = cond.out_avals[0].ndim == 1
    operands = [
        a if d is None and not b else batch_to(a, d, axis.size, 0)
        for a, d, b in zip(args, dims, [*batched[: cond_nconsts + body_nconsts], *carry_b])
    ]
    cond_consts, body_consts, carry = split(operands, cond_nconsts, body_nconsts)
    if not pred_b:
        outs = while_p.bind(
            *operands,
            cond_jaxpr=cond, cond_nconsts=cond_nconsts, body_jaxpr=body, body_nconsts=body_nconsts,
        )  # fmt: skip
    elif any(not isinstance(e, DebugEffect) for j in (cond, body) for e in j.effects):
        raise NotImplementedError(
            "IO effects not supported in while_loop with batched predicate: the loop turns for all elements of"
            " the batch until the last one has ended. Loop over the elements with lax.map instead."
        )
    else:
        anywhere, masked = _masked_loop(body, cond, axis, cond_nconsts, body_nconsts)
        outs = while_p.bind(
            *cond_consts, *cond_consts, *body_consts, *carry,
            cond_jaxpr=anywhere, cond_nconsts=cond_nconsts,
            body_jaxpr=masked, body_nconsts=cond_nconsts + body_nconsts,
        )  # fmt: skip
    return outs, [0 if b else None for b in carry_b]


@memoized
def _batched_loop(
    body_jaxpr: ClosedJaxpr,
    cond_jaxpr: ClosedJaxpr,
    axis: BatchAxis,
    cond_nconsts: int,
    body_nconsts: int,
    batched: tuple[bool, ...],
) -> tuple[ClosedJaxpr, ClosedJaxpr, list[bool]]:
    """The condition and the body, mapped, and which parts of the carry have the batch axis.

    All have it if the condition differs from element to element.
    """
    cond_b, body_b, carry_b = split(batched, cond_nconsts, body_nconsts)
    while True:
        body, out_b = batch_jaxpr(body_jaxpr, axis, (*body_b, *carry_b), tuple(carry_b))
        cond, pred_b = batch_jaxpr(cond_jaxpr, axis, (*cond_b, *carry_b), (False,))
        grown = [True] * len(carry_b) if pred_b[0] else list(either(carry_b, out_b))
        if grown == carry_b:
            return cond, body, carry_b
        carry_b = grown


@memoized
def _masked_loop(
    body: ClosedJaxpr, cond: ClosedJaxpr, axis: BatchAxis, cond_nconsts: int, body_nconsts: int
) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    """A loop that turns as long as any element goes on, and that leaves the others as they are."""

    def anywhere(*args: Any) -> list[Any]:
        return [reduce_or_p.bind(eval_jaxpr(cond.jaxpr, cond.consts, *args)[0], axes=(0,))]

    def masked(*args: Any) -> list[Any]:
        cond_consts, body_consts, carry = split(args, cond_nconsts, body_nconsts)
        pred = eval_jaxpr(cond.jaxpr, cond.consts, *cond_consts, *carry)[0]
        new = eval_jaxpr(body.jaxpr, body.consts, *body_consts, *carry)
        return [
            select_n_p.bind(broadcast_in_dim(pred, n.shape, (0,)) if n.ndim > 1 else pred, old, n)
            for old, n in zip(carry, new, strict=True)
        ]

    masked_avals = [*cond.in_avals[:cond_nconsts], *body.in_avals]
    return stage(anywhere, cond.in_avals, "anywhere"), stage(masked, masked_avals, body.jaxpr.name)


def _while_dce(used: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    """Prune parts of the carry that neither a used result nor the condition needs."""
    cond: ClosedJaxpr = eqn.params["cond_jaxpr"]
    body: ClosedJaxpr = eqn.params["body_jaxpr"]
    n_cond, n_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    _, cond_ins = dce_closed(cond, (True,))
    kept = either(used, cond_ins[n_cond:])
    while True:
        _, used_ins = dce_closed(body, kept)
        grown = either(kept, used_ins[n_body:])
        if grown == kept:
            break
        kept = grown
    if all(kept):
        return [True] * len(eqn.invars), eqn
    body, used_ins = dce_closed(body, kept, (*(False,) * n_body, *kept))
    cond, cond_ins = dce_closed(cond, (True,), (*(False,) * n_cond, *kept))
    used_operands = [*cond_ins[:n_cond], *used_ins]
    params = {
        "cond_jaxpr": cond,
        "cond_nconsts": sum(cond_ins[:n_cond]),
        "body_jaxpr": body,
        "body_nconsts": sum(used_ins[:n_body]),
    }
    return used_operands, eqn.replace(select(eqn.invars, used_operands), params, select(eqn.outvars, kept))


def _while_emit(ctx: Any, outs: Sequence[Any], *operands: Any, **params: Any) -> Any:
    return ctx.while_loop(outs, operands, **params)


while_p = Primitive(
    "while",
    "control",
    abstract_eval=_while_avals,
    impl=_while_impl,
    jvp=_while_jvp,
    linearize=_while_linearize,
    transpose=_while_transpose,
    batch=_while_batch,
    dce=_while_dce,
    emit=_while_emit,
    multiple_results=True,
    compiled=True,
)
