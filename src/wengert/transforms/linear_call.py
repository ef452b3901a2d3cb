"""`linear_call`: a linear function with a transpose of the user's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert.core.avals import ShapedArray, same_type
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.source import api_boundary
from wengert.core.trace import get_aval
from wengert.core.zeros import Zero, instantiate
from wengert.prims.axes import batch_to
from wengert.prims.control import trace_body, with_common_consts
from wengert.transforms.api_util import check_arraylike, fun_name, operand, result
from wengert.transforms.batch import BatchAxis, batch_jaxpr

Fun = Callable[..., Any]


def _avals(*avals: ShapedArray, callee: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return callee.out_avals


def _impl(xp: Any, *args: Any, callee: ClosedJaxpr, **params: Any) -> list[Any]:
    return run_jaxpr(xp, callee, args)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    n = params["num_res"]
    if not all(type(t) is Zero for t in tangents[:n]):
        raise TypeError(
            f"linear_call of {params['name']} can't be differentiated by its residual arguments, or by values that"
            " the function closes over: its rule is about the linear ones only. Wrap them in lax.stop_gradient, or"
            " state the derivative with custom_jvp."
        )
    outs = linear_call_p.bind(*primals, **params)
    return outs, linear_call_p.bind(*primals[:n], *(instantiate(t) for t in tangents[n:]), **params)


def _transpose(cts: Sequence[Any], *args: Any, **params: Any) -> list[Any]:
    n = params["num_res"]
    swapped = {**params, "callee": params["transposed"], "transposed": params["callee"]}
    found: list[Any] = linear_call_p.bind(*args[:n], *(instantiate(ct) for ct in cts), **swapped)
    return [None] * n + found


def _batch(axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    n = params["num_res"]
    values = [
        a if d is None and i < n else batch_to(a, d, axis.size, 0)
        for i, (a, d) in enumerate(zip(args, dims, strict=True))
    ]
    residuals = tuple(d is not None for d in dims[:n])
    mapped = {}
    for key in ("callee", "transposed"):
        jaxpr: ClosedJaxpr = params[key]
        batched = (*residuals, *(True,) * (len(jaxpr.in_avals) - n))
        mapped[key] = batch_jaxpr(jaxpr, axis, batched, (True,) * len(jaxpr.out_avals))[0]
    outs = linear_call_p.bind(*values, **{**params, **mapped})
    return outs, [0] * len(outs)


# The compiler puts what `callee` computes in its place. `transposed` takes the residuals too, then cotangents.
linear_call_p = Primitive(
    "linear_call",
    "call",
    abstract_eval=_avals,
    impl=_impl,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    multiple_results=True,
    compiled=True,
)


@api_boundary
def linear_call(fun: Fun, fun_transpose: Fun, residual_args: Any, linear_args: Any) -> Any:
    """`fun(residual_args, linear_args)`, which is linear in the second, with a transpose of one's own.

    Args:
      fun: a function that is linear in its second argument.
      fun_transpose: from (residual_args, cotangent of the output) to the cotangent of `linear_args`.
      residual_args: a pytree of arrays, by which it can't be differentiated.
      linear_args: a pytree of arrays.
    Returns:
      What `fun` returns.
    Raises:
      TypeError: `fun_transpose` returns another structure than that of `linear_args`, or other types; it is
        differentiated by `residual_args`.
    """
    res, res_tree = tree.flatten(residual_args)
    lin, lin_tree = tree.flatten(linear_args)
    for leaf in (*res, *lin):
        check_arraylike(leaf, "linear_call", "an argument")
    res, lin = [operand(x) for x in res], [operand(x) for x in lin]
    res_avals, lin_avals = [get_aval(x) for x in res], [get_aval(x) for x in lin]
    name = fun_name(fun)
    forward = trace_body(
        fun, tree.treedef_tuple((res_tree, lin_tree)), [*res_avals, *lin_avals], "linear_call"
    )
    cts_tree = tree.treedef_tuple((res_tree, forward.out_tree))
    backward = trace_body(fun_transpose, cts_tree, [*res_avals, *forward.jaxpr.out_avals], "linear_call")
    if backward.out_tree != lin_tree:
        raise TypeError(
            f"transpose output pytree structure must match that of linear inputs, but {fun_name(fun_transpose)}"
            f" returned {backward.out_tree}, and the linear inputs of {name} are {lin_tree}"
        )
    for got, want in zip(backward.jaxpr.out_avals, lin_avals, strict=True):
        if not same_type(got.strip_weak_type(), want.strip_weak_type()):
            raise TypeError(
                f"{fun_name(fun_transpose)} returned {got.str_short()} as the cotangent of a linear input of"
                f" {name} that is {want.str_short()}"
            )
    (callee, transposed), consts = with_common_consts([forward, backward])
    outs = linear_call_p.bind(
        *consts, *res, *lin, callee=callee, transposed=transposed, num_res=len(consts) + len(res), name=name
    )
    return tree.unflatten(forward.out_tree, [result(o) for o in outs])
