"""Functions that are one operation to who reads the program, and choices by platform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.source import api_boundary
from wengert.core.staging import eval_jaxpr, hoist_consts, stage
from wengert.core.trace import get_aval
from wengert.prims.control import check_branches, trace_body
from wengert.transforms.api_util import FlatFun, check_arraylike, check_callable, fun_name, operand, result
from wengert.transforms.batch import BatchAxis, batch_jaxpr, to_front
from wengert.transforms.jvp import jvp_flat

Fun = Callable[..., Any]
_PLATFORM = "cpu"


def _composite_avals(*avals: ShapedArray, call_jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return call_jaxpr.out_avals


def _composite_impl(xp: Any, *args: Any, call_jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return run_jaxpr(xp, call_jaxpr, args)


def _composite_jvp(primals: Any, tangents: Any, *, call_jaxpr: ClosedJaxpr, **params: Any) -> Any:
    """The derivative is that of what the operation stands for; it is no operation with a name."""
    return jvp_flat(lambda *xs: eval_jaxpr(call_jaxpr.jaxpr, call_jaxpr.consts, *xs), primals, tangents)


def _composite_batch(
    axis: BatchAxis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    call_jaxpr: ClosedJaxpr,
    **params: Any,
) -> Any:
    batched = tuple(d is not None for d in dims)
    mapped, _ = batch_jaxpr(call_jaxpr, axis, batched, (True,) * len(call_jaxpr.out_avals))
    outs = composite_p.bind(*to_front(axis, args, dims), call_jaxpr=mapped, **params)
    return outs, [0] * len(outs)


composite_p = Primitive(
    "composite",
    "call",
    abstract_eval=_composite_avals,
    impl=_composite_impl,
    jvp=_composite_jvp,
    batch=_composite_batch,
    multiple_results=True,
    compiled=True,
)


def composite(decomposition: Fun, name: str, version: int = 0) -> Fun:
    """A function as one operation of the program, with a name: `make_jaxpr` shows it as such.

    It computes, and is differentiated and batched, as what it stands for.

    Args:
      decomposition: what the operation stands for. Its positional arguments are operands, its keyword arguments, which
        can't be traced, are attributes; those that are None are left out.
      name: e.g. "my_library.gelu".
      version: to tell apart meanings that the name has had.
    Returns:
      The function that applies the operation.
    """
    check_callable(decomposition, "composite")

    @api_boundary
    def apply(*args: Any, **attributes: Any) -> Any:
        flat, in_tree = tree.flatten((args, {}))
        for i, leaf in enumerate(flat):
            check_arraylike(leaf, name, f"leaf {i} of the arguments")
        flat = [operand(x) for x in flat]

        def call(*args: Any) -> Any:
            return decomposition(*args, **attributes)

        flat_fun = FlatFun(call, in_tree, wants_kwargs=True)
        closed = stage(flat_fun, [get_aval(x) for x in flat], fun_name(decomposition))
        shown = tuple((k, _hashable(v)) for k, v in attributes.items() if v is not None)
        outs = composite_p.bind(
            *closed.consts,
            *flat,
            call_jaxpr=hoist_consts(closed),
            attributes=shown,
            name=name,
            version=version,
        )
        return tree.unflatten(flat_fun.out_tree, outs)

    return apply


def _hashable(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return x.shape, x.dtype.name, tuple(x.ravel().tolist())
    return tuple(_hashable(v) for v in x) if isinstance(x, list | tuple) else x


@api_boundary
def platform_dependent(*args: Any, default: Fun | None = None, **per_platform: Fun) -> Any:
    """What the function for the platform that the program runs on returns; here that is `cpu`.

    Args:
      args: arguments of the functions, arrays or pytrees.
      default: the function for all platforms that are not named.
      per_platform: functions by platform: `cpu=`, `cuda=`, `rocm=`, `tpu=`. All must return the same structure, shapes
        and dtypes.
    Raises:
      NotImplementedError: there is a function neither for this platform nor by default.
      TypeError: the functions return different types.
    """
    funs = dict(per_platform) if default is None else {**per_platform, "default": default}
    chosen = per_platform.get(_PLATFORM, default)
    if chosen is None:
        raise NotImplementedError(
            f"platform_dependent has functions for {', '.join(funs) or 'no platform'}, but the platform is"
            f" {_PLATFORM}: pass one as {_PLATFORM}=..., or as default=..."
        )
    if len(funs) > 1:
        flat, in_tree = tree.flatten(args)
        avals = [get_aval(operand(x)) for x in flat]
        bodies = [trace_body(f, in_tree, avals, "branch") for f in funs.values()]
        check_branches(list(funs), list(funs.values()), bodies)
    return tree.map(result, chosen(*args))
