"""Linearization: the value now, and the derivative at this point as a jaxpr of its own.

The tangent jaxpr is recorded by a staging trace. Everything in the jvp rules that touches no tangent runs at
once, in the parent trace; what the tangent program needs of it (the residuals) become constants of the
tangent jaxpr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.core import dtypes
from wengert.core.jaxpr import Atom, ClosedJaxpr, Var
from wengert.core.leaks import check_leaks
from wengert.core.primitive import Primitive
from wengert.core.staging import StagedTracer, StagingTrace, eval_jaxpr
from wengert.core.trace import Trace, Tracer, current_trace, get_aval, using_trace
from wengert.core.zeros import Zero, instantiate
from wengert.prims.custom import custom_vjp_tangents
from wengert.transforms.dce import dce_closed
from wengert.transforms.jvp import differentiate
from wengert.transforms.memo import memoized


class LinearizeTracer(Tracer):
    """A value, and the variable of the tangent program that stands for its tangent."""

    __slots__ = ("aval", "primal", "tangent")

    def __init__(self, trace: LinearizeTrace, primal: Any, tangent: Any):
        self._trace = trace
        self.aval = get_aval(primal)
        self.primal = primal
        self.tangent = tangent

    def __repr__(self) -> str:
        return f"GradTracer(primal={self.primal}, typeof(tangent)={self.aval.str_short()})"

    def describe(self) -> str:
        if isinstance(self.primal, Tracer):
            return self.primal.describe()
        return f"a differentiated {self.aval.str_short()}"

    def concrete(self) -> Any | None:
        return self.primal.concrete() if isinstance(self.primal, Tracer) else self.primal


class PartialTrace(Trace):
    """Records what touches a tangent in the tangent program, and leaves the rest to the parent."""

    __slots__ = ("tangents",)
    records_tangents = True

    def __init__(self, parent: Trace, tangents: StagingTrace):
        self.parent: Trace = parent
        self.tangents = tangents

    def owns(self, args: Sequence[Any]) -> bool:
        return any(type(a) is StagedTracer and a._trace is self.tangents for a in args)

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        trace = self.tangents if self.owns(args) else self.parent
        with using_trace(trace):
            return prim.bind(*args, **params)

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        if self.owns(args):
            return fun(*args)
        with using_trace(self.parent):
            return self.parent.process_custom_jvp(prim, fun, jvp, args)

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        if self.owns(args):
            return fun(*args)
        with using_trace(self.parent):
            return self.parent.process_custom_vjp(prim, fun, fwd, args, **params)


class LinearizeTrace(Trace):
    """Computes values in the parent trace and records tangents in a program of their own."""

    __slots__ = ("tangents",)

    def __init__(self, parent: Trace):
        self.parent: Trace = parent
        self.tangents = StagingTrace(parent, "the tangent program")

    def new_arg(self, primal: Any, nonzero: bool = True) -> Any:
        """A value to differentiate by; just the value, if its dtype has no tangents."""
        aval = get_aval(primal).to_tangent_aval()
        if not nonzero or aval.dtype == dtypes.float0:
            return primal
        return LinearizeTracer(self, primal, self.tangents.new_arg(aval))

    def split(self, x: Any) -> tuple[Any, Any]:
        if type(x) is LinearizeTracer and x._trace is self:
            return x.primal, x.tangent
        return x, Zero.of(x)

    def join(self, primal: Any, tangent: Any) -> Any:
        if type(tangent) is Zero or get_aval(tangent).dtype == dtypes.float0:
            return primal
        return LinearizeTracer(self, primal, tangent)

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        pairs = [self.split(a) for a in args]
        primals, tangents = [p for p, _ in pairs], [t for _, t in pairs]
        if all(type(t) is Zero for t in tangents):
            with using_trace(self.parent):
                return prim.bind(*primals, **params)
        if prim.linearize is not None:
            return self.process_with_rule(prim, primals, tangents, params)
        with using_trace(PartialTrace(self.parent, self.tangents)):
            out, tangent = differentiate(prim, primals, tangents, params)
        if prim.multiple_results:
            return [self.join(p, t) for p, t in zip(out, tangent, strict=True)]
        return self.join(out, tangent)

    def process_with_rule(
        self, prim: Primitive, primals: list[Any], tangents: list[Any], params: dict[str, Any]
    ) -> Any:
        """For primitives that hold jaxprs and bring their own tangent program."""
        assert prim.linearize is not None
        nonzeros = tuple(type(t) is not Zero for t in tangents)
        with using_trace(self.parent):
            outs, out_nonzeros, residuals, program = prim.linearize(nonzeros, *primals, **params)
        given = [t for t in tangents if type(t) is not Zero]
        with using_trace(self.tangents):
            found = iter(eval_jaxpr(program.jaxpr, program.consts, *residuals, *given))
        return [self.join(o, next(found)) if nz else o for o, nz in zip(outs, out_nonzeros, strict=True)]

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        pairs = [self.split(a) for a in args]
        primals, tangents = [p for p, _ in pairs], [t for _, t in pairs]
        if all(type(t) is Zero for t in tangents):
            with using_trace(self.parent):
                return self.parent.process_custom_jvp(prim, fun, jvp, primals)
        with using_trace(PartialTrace(self.parent, self.tangents)):
            outs, out_tangents = jvp(primals, tangents)
        return [self.join(p, t) for p, t in zip(outs, out_tangents, strict=True)]

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        pairs = [self.split(a) for a in args]
        primals, tangents = [p for p, _ in pairs], [t for _, t in pairs]
        if all(type(t) is Zero for t in tangents):
            with using_trace(self.parent):
                return self.parent.process_custom_vjp(prim, fun, fwd, primals, **params)
        with using_trace(PartialTrace(self.parent, self.tangents)):
            outs, out_tangents = custom_vjp_tangents(fwd, primals, tangents)
        return [self.join(p, t) for p, t in zip(outs, out_tangents, strict=True)]


def linearize_flat(
    fun: Callable[..., Sequence[Any]], primals: Sequence[Any], nonzeros: Sequence[bool] | None = None
) -> tuple[list[Any], list[bool], list[bool], ClosedJaxpr]:
    """Linearize a function of flat arguments at `primals`.

    Returns its results; which arguments have a tangent (those marked in `nonzeros`, as far as their dtype
    allows); which results have one that isn't zero; and the tangent jaxpr, from the former to the latter.
    The constants of that jaxpr are the residuals.
    """
    trace = LinearizeTrace(current_trace())
    marked = [True] * len(primals) if nonzeros is None else nonzeros
    args = [trace.new_arg(p, nz) for p, nz in zip(primals, marked, strict=True)]
    invars = [a.tangent.var if type(a) is LinearizeTracer and a._trace is trace else None for a in args]
    with using_trace(trace):
        outs = fun(*args)
    pairs = [trace.split(o) for o in outs]
    proper = pairs[: len(pairs) - getattr(fun, "num_aux", 0)]
    out_nonzeros = [type(t) is not Zero for _, t in proper]
    tangents = [t for _, t in proper if type(t) is not Zero]
    program = trace.tangents.close(tangents, [v for v in invars if v is not None])
    pruned, _ = dce_closed(program, (True,) * len(tangents), (True,) * len(program.jaxpr.invars))
    del args, outs
    check_leaks(trace)
    return [p for p, _ in pairs], [v is not None for v in invars], out_nonzeros, pruned


class Linearized:
    """A jaxpr, linearized.

    `primal` takes the arguments and returns the results, then new residuals. `tangent` takes the residuals,
    then the tangents of the arguments that have one; it returns the tangents of the results marked in
    `out_nonzeros`. `sources` says of each residual where it comes from: ("in", i) is argument i, ("out", i)
    output i of `primal`.
    """

    __slots__ = ("num_outs", "out_nonzeros", "primal", "sources", "tangent")

    def __init__(
        self,
        primal: ClosedJaxpr,
        num_outs: int,
        out_nonzeros: tuple[bool, ...],
        tangent: ClosedJaxpr,
        sources: list[tuple[str, int]],
    ):
        self.primal = primal
        self.num_outs = num_outs
        self.out_nonzeros = out_nonzeros
        self.tangent = tangent
        self.sources = sources

    def residuals(self, args: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
        """The residuals, given the arguments and all outputs of `primal`."""
        return [args[i] if kind == "in" else outs[i] for kind, i in self.sources]


@memoized
def linearize_jaxpr(
    closed: ClosedJaxpr, nonzeros: tuple[bool, ...], instantiated: tuple[bool, ...]
) -> Linearized:
    """Linearize a jaxpr by the arguments marked in `nonzeros`.

    Results marked in `instantiated` have a tangent in any case, if their dtype allows it.
    """
    parent = StagingTrace(name=closed.jaxpr.name)
    args = [parent.new_arg(a) for a in closed.in_avals]

    def run(*xs: Any) -> list[Any]:
        return eval_jaxpr(closed.jaxpr, closed.consts, *xs)

    trace = LinearizeTrace(parent)
    inputs = [trace.new_arg(a, nz) for a, nz in zip(args, nonzeros, strict=True)]
    with using_trace(trace):
        pairs = [trace.split(o) for o in run(*inputs)]
    tangents = []
    with using_trace(trace.tangents):
        for (_, t), keep in zip(pairs, instantiated, strict=True):
            tangents.append(instantiate(t) if keep and t.aval.dtype != dtypes.float0 else t)
    out_nonzeros = tuple(type(t) is not Zero for t in tangents)
    tangent_ins = [x.tangent.var for x in inputs if type(x) is LinearizeTracer]
    program = trace.tangents.close([t for t in tangents if type(t) is not Zero], tangent_ins)
    program, _ = dce_closed(program, (True,) * sum(out_nonzeros), (True,) * len(tangent_ins))
    return _with_residuals(parent, args, [p for p, _ in pairs], out_nonzeros, program)


def _with_residuals(
    parent: StagingTrace,
    args: Sequence[StagedTracer],
    outs: Sequence[Any],
    out_nonzeros: tuple[bool, ...],
    program: ClosedJaxpr,
) -> Linearized:
    """Turn those constants of the tangent program that the parent computes into its leading arguments."""
    place: dict[Atom, tuple[str, int]] = {a.var: ("in", i) for i, a in enumerate(args)}
    results = list(outs)
    for i, out in enumerate(outs):
        atom = parent.atom(out)
        if isinstance(atom, Var):
            place.setdefault(atom, ("out", i))
    jaxpr = program.jaxpr
    sources: list[tuple[str, int]] = []
    residual_vars: list[Var] = []
    kept_vars: list[Var] = []
    kept: list[Any] = []
    for var, const in zip(jaxpr.constvars, program.consts):
        if not isinstance(const, Tracer):
            kept_vars.append(var)
            kept.append(const)
            continue
        atom = parent.atom(const)
        if atom not in place:
            place[atom] = ("out", len(results))
            results.append(const)
        sources.append(place[atom])
        residual_vars.append(var)
    tangent = ClosedJaxpr(jaxpr.replace(constvars=kept_vars, invars=[*residual_vars, *jaxpr.invars]), kept)
    primal = parent.close(results, [a.var for a in args])
    primal, _ = dce_closed(primal, (True,) * len(results), (True,) * len(args))
    return Linearized(primal, len(outs), out_nonzeros, tangent, sources)
