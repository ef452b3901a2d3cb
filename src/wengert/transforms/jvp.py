"""Forward mode: a value and its tangent, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.core import dtypes
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.leaks import check_leaks
from wengert.core.primitive import Primitive
from wengert.core.staging import eval_jaxpr
from wengert.core.trace import Trace, Tracer, current_trace, get_aval, using_trace
from wengert.core.zeros import Zero, instantiate
from wengert.prims.custom import custom_vjp_tangents
from wengert.transforms.dce import stage_pruned
from wengert.transforms.memo import memoized


class JVPTracer(Tracer):
    """A value with a tangent that isn't known to be zero."""

    __slots__ = ("aval", "primal", "tangent")

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any):
        self._trace = trace
        self.aval = get_aval(primal)
        self.primal = primal
        self.tangent = tangent

    def __repr__(self) -> str:
        return f"JVPTracer(primal={self.primal}, tangent={self.tangent})"

    def describe(self) -> str:
        if isinstance(self.primal, Tracer):
            return self.primal.describe()
        return f"a differentiated {self.aval.str_short()}"

    def concrete(self) -> Any | None:
        return self.primal.concrete() if isinstance(self.primal, Tracer) else self.primal


class JVPTrace(Trace):
    """Applies the jvp rules of primitives."""

    __slots__ = ()

    def __init__(self, parent: Trace):
        self.parent: Trace = parent

    def split(self, x: Any) -> tuple[Any, Any]:
        """The primal and the tangent of a value; all that isn't this trace's own is a constant."""
        if type(x) is JVPTracer and x._trace is self:
            return x.primal, x.tangent
        return x, Zero.of(x)

    def join(self, primal: Any, tangent: Any) -> Any:
        """A value with its tangent; the value alone where that is zero."""
        return primal if type(tangent) is Zero else JVPTracer(self, primal, tangent)

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        pairs = [self.split(a) for a in args]
        primals, tangents = [p for p, _ in pairs], [t for _, t in pairs]
        with using_trace(self.parent):
            if all(type(t) is Zero for t in tangents):
                return prim.bind(*primals, **params)
            out, tangent = differentiate(prim, primals, tangents, params)
        if prim.multiple_results:
            return [self.join(p, t) for p, t in zip(out, tangent, strict=True)]
        return self.join(out, tangent)

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        pairs = [self.split(a) for a in args]
        with using_trace(self.parent):
            if all(type(t) is Zero for _, t in pairs):
                return self.parent.process_custom_jvp(prim, fun, jvp, [p for p, _ in pairs])
            outs, tangents = jvp([p for p, _ in pairs], [t for _, t in pairs])
        return [self.join(p, t) for p, t in zip(outs, tangents, strict=True)]

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        pairs = [self.split(a) for a in args]
        primals, tangents = [p for p, _ in pairs], [t for _, t in pairs]
        with using_trace(self.parent):
            if all(type(t) is Zero for t in tangents):
                return self.parent.process_custom_vjp(prim, fun, fwd, primals, **params)
            outs, out_tangents = custom_vjp_tangents(fwd, primals, tangents)
        return [self.join(p, t) for p, t in zip(outs, out_tangents, strict=True)]


def differentiate(prim: Primitive, primals: list[Any], tangents: list[Any], params: dict[str, Any]) -> Any:
    """Apply the jvp rule of a primitive under the current trace."""
    if prim.jvp is None:
        raise NotImplementedError(
            f"Differentiation rule for '{prim.name}' not implemented: {prim.name} can't be differentiated. "
            "If its derivative is known, state it with custom_jvp; if it is to count as a constant, wrap its "
            "arguments in lax.stop_gradient."
        )
    return prim.jvp(primals, tangents, **params)


def jvp_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The results of a function of flat arguments and their tangents, of which some may be `Zero`."""
    trace = JVPTrace(current_trace())
    args = [trace.join(p, t) for p, t in zip(primals, tangents, strict=True)]
    with using_trace(trace):
        outs = fun(*args)
    pairs = [trace.split(o) for o in outs]
    del args, outs
    check_leaks(trace)
    return [p for p, _ in pairs], [t for _, t in pairs]


@memoized
def jvp_jaxpr(
    closed: ClosedJaxpr, nonzeros: tuple[bool, ...], instantiated: tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """Forward mode of a jaxpr.

    The result takes the arguments, then the tangents of those marked in `nonzeros`; it returns the results,
    then the tangents that aren't zero. Which these are is returned beside it; results marked in
    `instantiated` have their tangent in any case.
    """
    avals = closed.in_avals
    out_nonzeros: list[bool] = []

    def both(*args: Any) -> list[Any]:
        primals, given = args[: len(avals)], iter(args[len(avals) :])
        tangents = [next(given) if nz else Zero(a.to_tangent_aval()) for a, nz in zip(avals, nonzeros)]
        outs, out_tangents = jvp_flat(
            lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs), primals, tangents
        )
        out_tangents = [
            instantiate(t) if keep and t.aval.dtype != dtypes.float0 else t
            for t, keep in zip(out_tangents, instantiated, strict=True)
        ]
        out_nonzeros[:] = [type(t) is not Zero for t in out_tangents]
        return [*outs, *(t for t in out_tangents if type(t) is not Zero)]

    tangent_avals = [a.to_tangent_aval() for a, nz in zip(avals, nonzeros) if nz]
    result = stage_pruned(both, [*avals, *tangent_avals], name=closed.jaxpr.name)
    return result, tuple(out_nonzeros)
