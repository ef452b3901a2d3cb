"""Vectorization: each value carries a batch axis somewhere, or none.

The public function is `vmap`; here are the trace and what it makes of flat functions and of jaxprs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.core.axes import names_of, naming_axes
from wengert.core.jaxpr import ClosedJaxpr, subjaxprs
from wengert.core.leaks import check_leaks
from wengert.core.primitive import Primitive
from wengert.core.staging import eval_jaxpr, stage
from wengert.core.trace import Trace, Tracer, current_trace, get_aval, using_trace
from wengert.core.zeros import Zero
from wengert.prims.axes import batch_to, reduce_sum_p
from wengert.transforms.memo import memoized, new_memo


class BatchAxis:
    """The axis that a trace maps over. Equal if all its fields are.

    Over a `tracked` axis, that of a mesh, what has no batch axis counts as the same for all elements: only
    reductions make such values of others.
    """

    __slots__ = ("name", "size", "tracked")

    def __init__(self, size: int, name: Any = None, tracked: bool = False):
        self.size = size
        self.name = name
        self.tracked = tracked

    def _key(self) -> tuple[Any, ...]:
        return self.size, self.name, self.tracked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BatchAxis) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def naming(self) -> naming_axes:
        """The context in which its name is bound."""
        return naming_axes([] if self.name is None else [(self.name, self.size)], self.tracked)


class BatchTracer(Tracer):
    """One element of a batch: `value` has the batch axis at `dim`."""

    __slots__ = ("aval", "dim", "value")

    def __init__(self, trace: BatchTrace, value: Any, dim: int):
        self._trace = trace
        self.value = value
        self.dim = dim
        aval = get_aval(value)
        self.aval = aval.update(shape=aval.shape[:dim] + aval.shape[dim + 1 :])

    def __repr__(self) -> str:
        return f"VmapTracer(aval={self.aval}, batched={get_aval(self.value)})"

    def describe(self) -> str:
        if isinstance(self.value, Tracer):
            return f"an element of {self.value.describe()}, over which vmap maps"
        return f"a {self.aval.str_short()} that vmap maps over (one of {self.value.shape[self.dim]})"


class BatchTrace(Trace):
    """Applies the batching rules of primitives."""

    __slots__ = ("axis",)

    def __init__(self, parent: Trace, axis: BatchAxis):
        self.parent: Trace = parent
        self.axis = axis

    def split(self, x: Any) -> tuple[Any, int | None]:
        if type(x) is BatchTracer and x._trace is self:
            return x.value, x.dim
        return x, None

    def join(self, value: Any, dim: int | None) -> Any:
        return value if dim is None else BatchTracer(self, value, dim)

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        pairs = [self.split(a) for a in args]
        values, dims = [v for v, _ in pairs], [d for _, d in pairs]
        with using_trace(self.parent):
            if all(d is None for d in dims) and not self.concerns(prim, params):
                return prim.bind(*values, **params)
            if prim.batch is None:
                raise NotImplementedError(
                    f"Batching rule for '{prim.name}' not implemented: vmap can't map over it"
                )
            outs, out_dims = prim.batch(self.axis, values, dims, **params)
        if prim.multiple_results:
            return [self.join(o, d) for o, d in zip(outs, out_dims, strict=True)]
        return self.join(outs, out_dims)

    def concerns(self, prim: Primitive, params: dict[str, Any]) -> bool:
        """Whether an operation, or a program that it holds, is a collective one over this axis."""
        name = self.axis.name
        return name is not None and name in _names_in(prim, params)

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        pairs = [self.split(a) for a in args]
        values, dims = [v for v, _ in pairs], [d for _, d in pairs]
        found = OutDims()
        batched = found.of(batch_flat(fun, self.axis, dims))
        batched.__name__ = fun.__name__
        with using_trace(self.parent):
            outs = self.parent.process_custom_jvp(
                prim, batched, batched_jvp(jvp, self.axis, dims, found), values
            )
        return [self.join(o, d) for o, d in zip(outs, found.dims, strict=True)]

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        pairs = [self.split(a) for a in args]
        values, dims = [v for v, _ in pairs], [d for _, d in pairs]
        found = OutDims()
        batched = found.of(batch_flat(fun, self.axis, dims))
        batched.__name__ = fun.__name__
        with using_trace(self.parent):
            outs = self.parent.process_custom_vjp(
                prim, batched, batched_fwd(fwd, self.axis, dims, found), values, **params
            )
        return [self.join(o, d) for o, d in zip(outs, found.dims, strict=True)]


def _names_in(prim: Primitive, params: dict[str, Any]) -> set[Any]:
    """The axes that collective operations name, here and in the programs among the parameters."""
    if prim.kind == "collective":
        return set(names_of(params))
    found: set[Any] = set()
    for sub in subjaxprs(params):
        found |= _names_in_jaxpr(sub)
    return found - {params["axis_name"]} if "axis_name" in params else found


_names_found = new_memo()


def _names_in_jaxpr(closed: ClosedJaxpr) -> set[Any]:
    found: set[Any] | None = _names_found.get(closed)
    if found is None:
        found = set()
        for eqn in closed.eqns:
            found |= _names_in(eqn.primitive, eqn.params)
        _names_found[closed] = found
    return found


def batch_flat(
    fun: Callable[..., Sequence[Any]], axis: BatchAxis, dims: Sequence[int | None]
) -> Callable[..., tuple[list[Any], list[int | None]]]:
    """A function of flat arguments, mapped; it returns its results and where their batch axes are."""

    def batched(*args: Any) -> tuple[list[Any], list[int | None]]:
        trace = BatchTrace(current_trace(), axis)
        inputs = [trace.join(a, d) for a, d in zip(args, dims, strict=True)]
        with using_trace(trace), axis.naming():
            outs = fun(*inputs)
        pairs = [trace.split(o) for o in outs]
        del inputs, outs
        check_leaks(trace)
        return [o for o, _ in pairs], [d for _, d in pairs]

    return batched


class OutDims:
    """Where the results of a mapped function have their batch axes, seen when it runs."""

    __slots__ = ("dims",)

    def __init__(self) -> None:
        self.dims: list[int | None] = []

    def of(self, batched: Callable[..., tuple[list[Any], list[int | None]]]) -> Callable[..., list[Any]]:
        def plain(*args: Any) -> list[Any]:
            outs, self.dims = batched(*args)
            return outs

        return plain


# ------------------------------------------------------------------------------ the rules of custom functions


def batched_jvp(
    jvp: Any, axis: BatchAxis, dims: Sequence[int | None], found: OutDims, front: bool = False
) -> Any:
    """A custom jvp rule, mapped: the tangents of results have their batch axes where the results have them.

    With `front`, all results have theirs in front.
    """

    def rule(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        trace = BatchTrace(current_trace(), axis)
        xs = [trace.join(p, d) for p, d in zip(primals, dims, strict=True)]
        ts = [_unbatched_zero(t, d) if type(t) is Zero else trace.join(t, d) for t, d in zip(tangents, dims)]
        with using_trace(trace), axis.naming():
            outs, out_tangents = jvp(xs, ts)
        results, result_tangents, found.dims = [], [], []
        for out, tangent in zip(outs, out_tangents, strict=True):
            value, dim = trace.split(out)
            t, t_dim = (tangent, None) if type(tangent) is Zero else trace.split(tangent)
            to = 0 if front else dim if dim is not None else t_dim
            if to is not None:
                value = batch_to(value, dim, axis.size, to)
                t = Zero.of(value) if type(t) is Zero else batch_to(t, t_dim, axis.size, to)
            results.append(value)
            result_tangents.append(t)
            found.dims.append(to)
        return results, result_tangents

    return rule


def _unbatched_zero(zero: Zero, dim: int | None) -> Zero:
    if dim is None:
        return zero
    shape = zero.aval.shape
    return Zero(zero.aval.update(shape=shape[:dim] + shape[dim + 1 :]))


def batched_fwd(
    fwd: Any, axis: BatchAxis, dims: Sequence[int | None], found: OutDims, front: bool = False
) -> Any:
    """The forward function of a custom vjp rule, mapped. With `front`, its results are batched in front."""

    def rule(primals: Sequence[Any], nonzeros: Sequence[bool]) -> tuple[list[Any], list[Any], Any]:
        trace = BatchTrace(current_trace(), axis)
        xs = [trace.join(p, d) for p, d in zip(primals, dims, strict=True)]
        with using_trace(trace), axis.naming():
            outs, residuals, bwd = fwd(xs, nonzeros)
        pairs = [trace.split(o) for o in outs]
        if front:
            pairs = [(batch_to(o, d, axis.size, 0), 0) for o, d in pairs]
        found.dims = [d for _, d in pairs]
        kept = [trace.split(r) for r in residuals]
        mapped = batched_bwd(bwd, axis, [d for _, d in kept], found.dims, dims)
        return [o for o, _ in pairs], [r for r, _ in kept], mapped

    return rule


def batched_bwd(
    bwd: Any,
    axis: BatchAxis,
    residual_dims: Sequence[int | None],
    ct_dims: Sequence[int | None],
    arg_dims: Sequence[int | None],
) -> Any:
    """The backward function of a custom vjp rule, mapped. Unmapped arguments get the summed cotangent."""

    def rule(residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        trace = BatchTrace(current_trace(), axis)
        rs = [trace.join(r, d) for r, d in zip(residuals, residual_dims, strict=True)]
        given = [_unbatched_zero(c, d) if type(c) is Zero else trace.join(c, d) for c, d in zip(cts, ct_dims)]
        with using_trace(trace), axis.naming():
            found = bwd(rs, given)
        results: list[Any] = []
        for ct, to in zip(found, arg_dims, strict=True):
            if ct is None or type(ct) is Zero:
                results.append(None)
                continue
            value, dim = trace.split(ct)
            if to is not None:
                results.append(batch_to(value, dim, axis.size, to))
            else:
                results.append(reduce_sum_p.bind(batch_to(value, dim, axis.size, 0), axes=(0,)))
        return results

    return rule


# ----------------------------------------------------------------------------------------------------- jaxprs


@memoized
def batch_jaxpr(
    closed: ClosedJaxpr, axis: BatchAxis, batched: tuple[bool, ...], instantiated: tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """A jaxpr mapped over an axis, which is the first of all that have it.

    Results marked in `instantiated` get one in any case. Which ones have it is returned beside the jaxpr.
    """
    out_batched: list[bool] = []

    def run(*args: Any) -> list[Any]:
        def fun(*xs: Any) -> list[Any]:
            return eval_jaxpr(closed.jaxpr, closed.consts, *xs)

        outs, dims = batch_flat(fun, axis, [0 if b else None for b in batched])(*args)
        out_batched[:] = [d is not None or keep for d, keep in zip(dims, instantiated, strict=True)]
        return [batch_to(o, d, axis.size, 0) if b else o for o, d, b in zip(outs, dims, out_batched)]

    avals = [
        a.update(shape=(axis.size, *a.shape)) if b else a
        for a, b in zip(closed.in_avals, batched, strict=True)
    ]
    result = stage(run, avals, name=closed.jaxpr.name)
    return result, tuple(out_batched)


def to_front(axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    """The arguments with their batch axes, if any, in front."""
    return [a if d is None else batch_to(a, d, axis.size, 0) for a, d in zip(args, dims, strict=True)]
