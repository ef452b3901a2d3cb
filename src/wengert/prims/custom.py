"""Functions with derivative rules of the user's, as equations of jaxprs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.trace import Trace, current_trace, get_aval
from wengert.core.zeros import Zero, instantiate, is_undefined
from wengert.transforms.batch import (
    BatchAxis,
    OutDims,
    batch_jaxpr,
    batched_bwd,
    batched_fwd,
    batched_jvp,
    to_front,
)
from wengert.transforms.transpose import backward_pass

_FORWARD_ONLY = (
    "can't apply forward-mode differentiation (jvp) to a custom_vjp function. Use reverse mode (grad, vjp,"
    " jacrev), or give the function a custom_jvp rule, which serves both."
)


def _out_avals(*avals: ShapedArray, call_jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return call_jaxpr.out_avals


def _call_impl(xp: Any, *args: Any, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return run_jaxpr(xp, call_jaxpr, args)


def _no_consts_perturbed(what: str, name: str, tangents: Sequence[Any]) -> None:
    if not all(type(t) is Zero for t in tangents):
        raise TypeError(
            f"Detected differentiation of {what} function {name} with respect to a closed-over value. The"
            " rule gives derivatives for the arguments only: pass the value as an argument."
        )


def _custom_call_transpose(cts: Sequence[Any], *args: Any, call_jaxpr: ClosedJaxpr, **params: Any) -> Any:
    # Applied to a tangent, the function has to be linear: its program is transposed, and the rule not needed.
    return backward_pass(call_jaxpr.jaxpr, call_jaxpr.consts, args, cts)


# ------------------------------------------------------------------------------------------------- custom_jvp


def _custom_jvp_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    call_jaxpr: ClosedJaxpr,
    num_consts: int,
    jvp: Any,
    name: str,
    **params: Any,
) -> Any:
    _no_consts_perturbed("a custom_jvp", name, tangents[:num_consts])
    return jvp(primals[num_consts:], tangents[num_consts:])


def _custom_jvp_batch(
    axis: BatchAxis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    call_jaxpr: ClosedJaxpr,
    num_consts: int,
    jvp: Any,
    **params: Any,
) -> Any:
    batched = tuple(d is not None for d in dims)
    closed, _ = batch_jaxpr(call_jaxpr, axis, batched, (True,) * len(call_jaxpr.out_avals))
    arg_dims = [0 if b else None for b in batched[num_consts:]]
    rule = batched_jvp(jvp, axis, arg_dims, OutDims(), front=True)
    outs = custom_jvp_call_p.bind(
        *to_front(axis, args, dims), call_jaxpr=closed, num_consts=num_consts, jvp=rule, **params
    )
    return outs, [0] * len(outs)


custom_jvp_call_p = Primitive(
    "custom_jvp_call",
    "call",
    abstract_eval=_out_avals,
    impl=_call_impl,
    jvp=_custom_jvp_jvp,
    transpose=_custom_call_transpose,
    batch=_custom_jvp_batch,
    multiple_results=True,
    compiled=True,
    hidden_params=("num_consts",),
)


# ------------------------------------------------------------------------------------------------- custom_vjp


def _custom_vjp_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    call_jaxpr: ClosedJaxpr,
    num_consts: int,
    fwd: Any,
    name: str,
    **params: Any,
) -> Any:
    _no_consts_perturbed("a custom_vjp", name, tangents[:num_consts])
    return custom_vjp_tangents(fwd, primals[num_consts:], tangents[num_consts:])


def custom_vjp_tangents(
    fwd: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The results of a function with a custom vjp rule, and tangents that can only be transposed."""
    trace: Trace | None = current_trace()
    while trace is not None and not trace.records_tangents:
        trace = trace.parent
    if trace is None:
        raise TypeError(_FORWARD_ONLY)
    outs, residuals, bwd = fwd(primals, [type(t) is not Zero for t in tangents])
    avals = tuple(get_aval(o).to_tangent_aval() for o in outs)
    given = [instantiate(t) for t in tangents]
    out_tangents = custom_lin_p.bind(*residuals, *given, num_res=len(residuals), bwd=bwd, out_avals=avals)
    return outs, [Zero(a) if a.dtype == dtypes.float0 else t for t, a in zip(out_tangents, avals)]


def _custom_vjp_batch(
    axis: BatchAxis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    call_jaxpr: ClosedJaxpr,
    num_consts: int,
    fwd: Any,
    **params: Any,
) -> Any:
    batched = tuple(d is not None for d in dims)
    closed, _ = batch_jaxpr(call_jaxpr, axis, batched, (True,) * len(call_jaxpr.out_avals))
    arg_dims = [0 if b else None for b in batched[num_consts:]]
    rule = batched_fwd(fwd, axis, arg_dims, OutDims(), front=True)
    outs = custom_vjp_call_p.bind(
        *to_front(axis, args, dims), call_jaxpr=closed, num_consts=num_consts, fwd=rule, **params
    )
    return outs, [0] * len(outs)


custom_vjp_call_p = Primitive(
    "custom_vjp_call",
    "call",
    abstract_eval=_out_avals,
    impl=_call_impl,
    jvp=_custom_vjp_jvp,
    transpose=_custom_call_transpose,
    batch=_custom_vjp_batch,
    multiple_results=True,
    compiled=True,
    hidden_params=("num_consts",),
)


# ------------------------------------------------------------------------------------------------- custom_lin


def _lin_avals(*avals: ShapedArray, out_avals: tuple[ShapedArray, ...], **params: Any) -> list[ShapedArray]:
    return list(out_avals)


def _lin_impl(xp: Any, *args: Any, **params: Any) -> Any:
    raise TypeError(_FORWARD_ONLY)


def _lin_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    num_res: int,
    **params: Any,
) -> Any:
    raise TypeError(_FORWARD_ONLY)


def _lin_transpose(
    cts: Sequence[Any], *args: Any, num_res: int, bwd: Any, out_avals: tuple[ShapedArray, ...]
) -> list[Any]:
    residuals, linear = args[:num_res], args[num_res:]
    found = bwd(residuals, cts)
    return [None] * num_res + [ct if is_undefined(x) else None for x, ct in zip(linear, found, strict=True)]


def _lin_batch(
    axis: BatchAxis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    num_res: int,
    bwd: Any,
    out_avals: tuple[ShapedArray, ...],
) -> Any:
    args = to_front(axis, args, dims)
    fronts = [None if d is None else 0 for d in dims]
    avals = tuple(a.update(shape=(axis.size, *a.shape)) for a in out_avals)
    rule = batched_bwd(bwd, axis, fronts[:num_res], [0] * len(avals), fronts[num_res:])
    return custom_lin_p.bind(*args, num_res=num_res, bwd=rule, out_avals=avals), [0] * len(avals)


# The tangent of a custom_vjp function: linear, unknown, and with a transpose that the user has given.
custom_lin_p = Primitive(
    "custom_lin",
    "call",
    abstract_eval=_lin_avals,
    impl=_lin_impl,
    jvp=_lin_jvp,
    transpose=_lin_transpose,
    batch=_lin_batch,
    multiple_results=True,
)
