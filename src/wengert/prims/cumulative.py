"""Cumulative sums, products and extrema along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, is_undefined, is_zero
from wengert.prims.arithmetic import add, div, max, min, mul, sub
from wengert.prims.associative import associative_scan_flat
from wengert.prims.axes import accumulator
from wengert.prims.constructors import as_operand, canonical_axis, check_dtype, constant, linear_jvp, shape_of
from wengert.prims.logic import eq, ge
from wengert.prims.reduce import greatest, least
from wengert.prims.select import select
from wengert.prims.shape import rev
from wengert.prims.transcendental import exp, log

Pairs = tuple[list[Any], list[Any]]


def _accumulate(ufunc: str) -> Callable[..., Any]:
    def impl(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        x = xp.asarray(x)
        forward = xp.flip(x, axis) if reverse else x
        found = getattr(xp, ufunc).accumulate(forward, axis=axis, dtype=accumulator(x.dtype))
        return (xp.flip(found, axis) if reverse else found).astype(x.dtype, copy=False)

    return impl


def _cumulative(
    name: str,
    accepts: str,
    impl: Callable[..., Any],
    jvp: Callable[..., Any],
    transpose: Callable[..., Any] | None = None,
    *,
    combine: tuple[str, Callable[[np.dtype[Any]], Any]] | Callable[..., Any],
) -> Primitive:
    def abstract_eval(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        check_dtype(name, accepts, x)
        if not 0 <= axis < x.ndim:
            raise ValueError(f"axis {axis} is out of bounds for array of shape {x.shape}")
        return x

    def batch(axis_: Any, args: Sequence[Any], dims: Sequence[int], *, axis: int, reverse: bool) -> Any:
        return prim.bind(args[0], axis=axis + (axis >= dims[0]), reverse=reverse), dims[0]

    def emit(ctx: Any, outs: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        if not ctx.is_native(x.aval.dtype) or 0 in x.aval.shape:
            return None
        if callable(combine):
            ctx.cumulate_by(outs[0], x, axis, reverse, lambda a, b: combine(ctx, a, b))
            return outs
        if x.aval.dtype.kind == "c":
            ctx.cumulate_by(outs[0], x, axis, reverse, lambda a, b: ctx.op(combine[0], a, b))
            return outs
        ctx.cumulate(outs[0], x, axis, reverse, combine[0], combine[1](x.aval.dtype))
        return outs

    prim = Primitive(
        name,
        "other",
        abstract_eval=abstract_eval,
        impl=impl,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        emit=emit,
        access="stored",
    )
    return prim


def _scan_jvp(prim: Callable[[], Primitive], combine: Callable[[list[Any], list[Any]], list[Any]]) -> Any:
    """The derivative by a scan of pairs of value and tangent."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool) -> Any:
        x, t = primals[0], tangents[0]
        out = prim().bind(x, axis=axis, reverse=reverse)
        if is_zero(t) or shape_of(x)[axis] == 0:
            return out, Zero.of(out)
        pair = [rev(y, (axis,)) for y in (x, t)] if reverse else [x, t]
        tangent = associative_scan_flat(combine, pair, axis)[1]
        return out, rev(tangent, (axis,)) if reverse else tangent

    return jvp


def _products(a: list[Any], b: list[Any]) -> list[Any]:
    (x, s), (y, t) = a, b
    return [mul(x, y), add(mul(s, y), mul(x, t))]


def _maxima(a: list[Any], b: list[Any]) -> list[Any]:
    (x, s), (y, t) = a, b
    mean = mul(add(s, t), constant(s, 0.5))
    return [max(x, y), select(eq(x, y), mean, select(ge(x, y), s, t))]


def _minima(a: list[Any], b: list[Any]) -> list[Any]:
    (x, s), (y, t) = a, b
    mean = mul(add(s, t), constant(s, 0.5))
    return [min(x, y), select(eq(x, y), mean, select(ge(y, x), s, t))]


def _log_sums(a: list[Any], b: list[Any]) -> list[Any]:
    (x, s), (y, t) = a, b
    top = max(x, y)
    top = select(eq(top, constant(top, -np.inf)), constant(top, 0), top)
    u, v = exp(sub(x, top)), exp(sub(y, top))
    total = add(u, v)
    empty = eq(total, constant(total, 0))
    weight = select(empty, constant(total, 1), total)
    return [add(log(total), top), div(add(mul(s, u), mul(t, v)), weight)]


def _log_sum(ctx: Any, a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)), as NumPy's logaddexp gives it, in compiled code."""
    top = ctx.op("max", a, b)
    rest = ctx.op("log1p", ctx.op("exp", ctx.op("sub", ctx.op("min", a, b), top)))
    twice = ctx.op("add", a, ctx.const(np.log(2), a.dtype))
    return ctx.op("select", ctx.op("eq", a, b), twice, ctx.op("add", top, rest))


def _cumsum_transpose(ct: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    if is_zero(ct) or not is_undefined(x):
        return [None]
    return [cumsum_p.bind(ct, axis=axis, reverse=not reverse)]


cumsum_p: Primitive = _cumulative(
    "cumsum",
    "iufc",
    _accumulate("add"),
    linear_jvp(lambda: cumsum_p),
    _cumsum_transpose,
    combine=("add", lambda d: 0),
)
cumprod_p: Primitive = _cumulative(
    "cumprod",
    "iufc",
    _accumulate("multiply"),
    _scan_jvp(lambda: cumprod_p, _products),
    combine=("mul", lambda d: 1),
)
cummax_p: Primitive = _cumulative(
    "cummax",
    "biuf",
    _accumulate("maximum"),
    _scan_jvp(lambda: cummax_p, _maxima),
    combine=("max", least),
)
cummin_p: Primitive = _cumulative(
    "cummin",
    "biuf",
    _accumulate("minimum"),
    _scan_jvp(lambda: cummin_p, _minima),
    combine=("min", greatest),
)
cumlogsumexp_p: Primitive = _cumulative(
    "cumlogsumexp",
    "f",
    _accumulate("logaddexp"),
    _scan_jvp(lambda: cumlogsumexp_p, _log_sums),
    combine=_log_sum,
)


def _binder(prim: Primitive, doc: str) -> Callable[..., Any]:
    def function(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        operand = as_operand(prim.name, operand)
        if axis < 0:
            raise ValueError(
                f"lax.{prim.name} takes no negative axes, got {axis}; jnp has functions that do."
            )
        axis = canonical_axis(axis, len(shape_of(operand)), prim.name)
        return prim.bind(operand, axis=axis, reverse=bool(reverse))

    function.__name__ = function.__qualname__ = prim.name
    function.__doc__ = f"{doc} up to and with each element along an axis; from the end if `reverse`."
    function.__module__ = "wengert.lax"
    return function


cumsum = _binder(cumsum_p, "The sum")
cumprod = _binder(cumprod_p, "The product")
cummax = _binder(cummax_p, "The greatest element")
cummin = _binder(cummin_p, "The least element")
cumlogsumexp = _binder(cumlogsumexp_p, "The logarithm of the sum of exponentials")
