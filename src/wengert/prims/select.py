"""Choosing between values: select_n, clamp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, is_undefined, is_zero
from wengert.prims.axes import batch_elementwise, batch_to, broadcast_scalar, unbroadcast
from wengert.prims.constructors import as_operand, constant, mismatch, same_dtype
from wengert.prims.elementwise import elementwise, operand_aval, read
from wengert.prims.logic import bitwise_and, gt, lt

# --------------------------------------------------------------------------------------------------- select_n


def _select_aval(which: ShapedArray, *cases: ShapedArray) -> ShapedArray:
    if dtypes.kind_of(which.dtype) not in "biu":
        raise TypeError(f"select `which` must be boolean or integer type, got {which.dtype}.")
    if which.dtype == np.bool_ and len(cases) > 2:
        raise TypeError(f"select with boolean `which` cannot have > 2 cases, got {len(cases)}.")
    if any(c.dtype != cases[0].dtype for c in cases):
        raise mismatch("select", [c.dtype for c in cases])
    shapes = dict.fromkeys(a.shape for a in (which, *cases) if a.shape)
    if len(shapes) > 1:
        if which.shape in shapes and len({c.shape for c in cases if c.shape}) == 1:
            raise TypeError(
                "select `which` must be scalar or have the same shape as cases, got `which` shape "
                f"{which.shape} but case shape {next(c.shape for c in cases if c.shape)}."
            )
        raise TypeError(
            f"select cases must have the same shapes, got [{', '.join(str(c.shape) for c in cases)}]."
        )
    shape = next(iter(shapes), ())
    return ShapedArray(shape, cases[0].dtype, all(c.weak_type for c in cases))


def _select_impl(xp: Any, which: Any, *cases: Any) -> Any:
    if len(cases) == 1:
        return xp.broadcast_to(cases[0], xp.broadcast_shapes(xp.shape(which), xp.shape(cases[0])))
    which = xp.asarray(which)
    if which.dtype == np.bool_:
        return xp.where(which, cases[1], cases[0])
    index = xp.clip(which, 0, len(cases) - 1)
    if len(cases) <= 32 and cases[0].dtype.kind != "V":
        return xp.choose(index, cases)
    out = xp.array(xp.broadcast_to(cases[0], xp.broadcast_shapes(index.shape, *[xp.shape(c) for c in cases])))
    for i, case in enumerate(cases):
        out = xp.where(index == i, case, out)
    return out


def _select_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    out = select_n_p.bind(*primals)
    parts = tangents[1:]
    if all(is_zero(t) for t in parts):
        return out, Zero.of(out)
    which = primals[0]
    values = [constant(out, 0) if is_zero(t) else t for t in parts]
    return out, broadcast_scalar(select_n_p.bind(which, *values), out.aval.shape)


def _select_transpose(ct: Any, which: Any, *cases: Any) -> Any:
    if is_zero(ct):
        return [None] * (1 + len(cases))
    zero = constant(ct, 0)
    cts = [None]
    for i, case in enumerate(cases):
        if not is_undefined(case):
            cts.append(None)
            continue
        part = select_n_p.bind(which, *[ct if i == j else zero for j in range(len(cases))])
        cts.append(unbroadcast(part, case.aval))
    return cts


def _select_pull(ctx: Any, index: Any, which: Any, *cases: Any) -> Any:
    values = [read(index, c) for c in cases]
    if len(values) == 1:
        return values[0]
    selector = read(index, which)
    if which.aval.dtype == np.bool_:
        return ctx.op("select", selector, values[1], values[0])
    result = values[-1]
    for i in range(len(values) - 2, -1, -1):
        below = ctx.op("le", selector, ctx.const(i, which.aval.dtype))
        result = ctx.op("select", below, values[i], result)
    return result


select_n_p: Primitive = Primitive(
    "select_n",
    "elementwise",
    abstract_eval=_select_aval,
    impl=_select_impl,
    jvp=_select_jvp,
    transpose=_select_transpose,
    batch=lambda axis, args, dims: batch_elementwise(select_n_p, axis, args, dims, {}),
    pull=_select_pull,
)


def select_n(which: Any, *cases: Any) -> Any:
    """From each place the element of the case whose number stands in `which`, which is clamped to the cases.

    Args:
      which: bool (False is the first case) or integers, a scalar or of the shape of the cases.
      cases: arrays of one shape and dtype; scalars are allowed beside arrays.
    Raises:
      TypeError: shapes or dtypes do not fit.
    """
    if not cases:
        raise ValueError("select_n() must have at least one case")
    return select_n_p.bind(as_operand("select_n", which), *same_dtype("select", *cases))


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """`on_true` where `pred`, else `on_false`. Both have one shape and dtype; so has `pred`, or it is a
    scalar.

    Raises:
      TypeError: shapes or dtypes do not fit.
    """
    return select_n_p.bind(as_operand("select", pred), *same_dtype("select", on_false, on_true))


# ------------------------------------------------------------------------------------------------------ clamp


def _clamp_aval(lo: ShapedArray, x: ShapedArray, hi: ShapedArray) -> ShapedArray:
    for name, aval in (("min", lo), ("max", hi)):
        if aval.shape not in ((), x.shape):
            raise TypeError(
                f"clamp requires {name}.shape == operand.shape or {name}.shape == (), got "
                f"{name}.shape={aval.shape}, "
                f"operand.shape={x.shape}."
            )
    aval = operand_aval("clamp", "biuf", (lo, x, hi))
    return ShapedArray(aval.shape, x.dtype, x.weak_type)


def _inside(t: Any, out: Any, lo: Any, x: Any, hi: Any) -> Any:
    zero = constant(out, 0)
    return select(bitwise_and(gt(x, lo), lt(x, hi)), t, zero)


def _clamp_batch(axis: Any, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    lo, x, hi = args
    lo_dim, dim, hi_dim = dims
    if dim is None:  # the result has the shape of x
        x, dim = batch_to(x, None, axis.size, 0), 0
    return batch_elementwise(clamp_p, axis, (lo, x, hi), (lo_dim, dim, hi_dim), {})


def _clamp_pull(ctx: Any, index: Any, lo: Any, x: Any, hi: Any) -> Any:
    raised = ctx.op("max", read(index, x), read(index, lo))
    return ctx.op("min", raised, read(index, hi))


clamp_p: Primitive = elementwise(
    "clamp",
    lambda xp, lo, x, hi: xp.minimum(xp.maximum(x, lo), hi),
    accepts="biuf",
    abstract_eval=_clamp_aval,
    derivatives=(
        lambda t, out, lo, x, hi: select(bitwise_and(gt(lo, x), lt(lo, hi)), t, constant(out, 0)),
        _inside,
        lambda t, out, lo, x, hi: select(lt(hi, x), t, constant(out, 0)),
    ),
    batch=_clamp_batch,
    pull=_clamp_pull,
)


def clamp(min: Any, x: Any, max: Any) -> Any:
    """x, but not below `min` nor above `max`, which are scalars or have the shape of x.

    Raises:
      TypeError: shapes or dtypes do not fit.
    """
    return clamp_p.bind(*same_dtype("clamp", min, x, max))
