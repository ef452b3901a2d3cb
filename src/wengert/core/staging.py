"""Staging: a Python function to a jaxpr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from wengert.config import current
from wengert.core import source as _source
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, Var, check_jaxpr
from wengert.core.leaks import check_leaks
from wengert.core.primitive import Primitive
from wengert.core.trace import Trace, Tracer, current_trace, get_aval, result_avals, using_trace
from wengert.errors import UnexpectedTracerError


class StagedTracer(Tracer):
    """A value inside of a function that is being traced to a jaxpr."""

    __slots__ = ("aval", "source", "var")

    def __init__(self, trace: StagingTrace, var: Var, source: Any = None):
        self._trace = trace
        self.var = var
        self.aval = var.aval
        self.source = source

    def __repr__(self) -> str:
        return f"JitTracer({self.aval})"

    def describe(self) -> str:
        trace = self._trace
        assert isinstance(trace, StagingTrace)
        what = f"a traced {self.aval.str_short()}"
        arg_names = trace.arg_names()
        if self.var in arg_names:
            return f"{what}, {arg_names[self.var]} of {trace.name or 'the function'}"
        if self.source is not None:
            what = f"{what}, computed at {self.source.summary()}"
        names = trace.arguments_behind(self.var)
        if names:
            what = f"{what}, which depends on {' and '.join(names)} of {trace.name or 'the function'}"
        return what


class StagingTrace(Trace):
    """Records equations."""

    __slots__ = ("args", "const_ids", "constvars", "describe_args", "eqns", "finished", "name")

    def __init__(self, parent: Trace | None = None, name: str = ""):
        self.parent = parent if parent is not None else current_trace()
        self.eqns: list[Eqn] = []
        self.constvars: list[tuple[Var, Any]] = []
        self.const_ids: dict[int, Var] = {}
        self.args: list[Var] = []
        self.describe_args: Callable[[], Sequence[str]] | None = None
        self.name = name
        self.finished = False

    def new_arg(self, aval: ShapedArray) -> StagedTracer:
        var = Var(aval)
        self.args.append(var)
        return StagedTracer(self, var)

    def arg_names(self) -> dict[Var, str]:
        """What to call the arguments in messages, e.g. `argument x`."""
        return dict(zip(self.args, self.describe_args())) if self.describe_args is not None else {}

    def atom(self, x: Any) -> Atom:
        """The variable or literal that stands for a value; values from outside become constants."""
        if type(x) is StagedTracer and x._trace is self:
            return x.var
        aval = get_aval(x)
        if type(x) is Array and aval.shape == () and not aval.dtype.names:  # a random key is a constant
            return Literal(x._np.item() if aval.weak_type else x._np[()], aval)
        if not isinstance(x, Tracer | Array) and aval.shape == ():
            # a Python scalar keeps its weak type when the equation is bound again
            return Literal(x if aval.weak_type else np.asarray(x, aval.dtype)[()], aval)
        if isinstance(x, StagedTracer) and isinstance(x._trace, StagingTrace) and x._trace.finished:
            raise UnexpectedTracerError(
                f"{self.name or 'a traced function'} uses {x.describe()}, after the tracing of"
                f" {x._trace.name or 'the function it belongs to'} has ended. Return the value instead of"
                " keeping it."
            )
        var = self.const_ids.get(id(x))
        if var is None:
            var = self.const_ids[id(x)] = Var(aval)
            self.constvars.append((var, x))
        return var

    def arguments_behind(self, var: Var) -> list[str]:
        """The descriptions of the arguments that a variable is computed from; at most four."""
        wanted = {var}
        for eqn in reversed(self.eqns):
            if any(v in wanted for v in eqn.outvars):
                wanted.update(a for a in eqn.invars if isinstance(a, Var))
        names = [name for v, name in self.arg_names().items() if v in wanted]
        return names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} other arguments"]

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if self.finished:
            raise UnexpectedTracerError(f"{prim.name} is applied in a trace that has ended")
        atoms = [self.atom(a) for a in args]
        try:
            avals = [a.aval for a in atoms]
            remembered = (
                not params and type(prim) is Primitive
            )  # the rules of users' primitives may show something
            out = result_avals(prim, avals, params) if remembered else prim.abstract_eval(*avals, **params)
        except (TypeError, ValueError) as error:
            raise _source.user_context(error) from None
        source = _line.get() or _source.current_frame()
        outvars = [Var(aval) for aval in (out if prim.multiple_results else [out])]
        self.eqns.append(Eqn(prim, atoms, params, outvars, source))
        tracers = [StagedTracer(self, v, source) for v in outvars]
        return tracers if prim.multiple_results else tracers[0]

    def close(self, outs: Sequence[Any], invars: Sequence[Var], name: str = "") -> ClosedJaxpr:
        """The jaxpr of what has been recorded, with results `outs`."""
        outvars = [self.atom(o) for o in outs]
        self.finished = True
        used: set[Atom] = set(outvars)
        for eqn in self.eqns:
            used.update(eqn.invars)
        consts = [(v, c) for v, c in self.constvars if v in used]
        jaxpr = Jaxpr([v for v, _ in consts], invars, outvars, self.eqns, name or self.name)
        if current().enable_checks:
            check_jaxpr(jaxpr)
        return ClosedJaxpr(jaxpr, [c for _, c in consts])

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        return self._record_custom(prim, fun, args, {"jvp": jvp})

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        return self._record_custom(prim, fun, args, {"fwd": fwd, **params})

    def _record_custom(self, prim: Primitive, fun: Any, args: Sequence[Any], rules: dict[str, Any]) -> Any:
        closed = stage(fun, [get_aval(a) for a in args], name=fun.__name__)
        params = {"name": fun.__name__, "call_jaxpr": hoist_consts(closed), "num_consts": len(closed.consts)}
        return self.process(prim, [*closed.consts, *args], {**params, **rules})


def stage(
    fun: Callable[..., Sequence[Any]],
    avals: Sequence[ShapedArray],
    name: str = "",
    describe_args: Callable[[], Sequence[str]] | None = None,
) -> ClosedJaxpr:
    """Trace `fun`, which takes and returns flat sequences of arrays, to a closed jaxpr.

    Values from outside that `fun` uses, be they arrays or tracers of outer traces, become the constants.
    `describe_args` says what the arguments are called; it is only asked when a message needs it.
    """
    trace = StagingTrace(name=name)
    trace.describe_args = describe_args
    args = [trace.new_arg(a) for a in avals]
    with using_trace(trace), _source.naming(None):
        outs = fun(*args)
    closed = trace.close(outs, [a.var for a in args])
    del args, outs
    check_leaks(trace)
    return closed


def hoist_consts(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The closed jaxpr with its constants as leading arguments, and no constants left."""
    jaxpr = closed.jaxpr
    if not jaxpr.constvars:
        return closed
    return ClosedJaxpr(jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars]))


def eval_jaxpr(
    jaxpr: Jaxpr, consts: Sequence[Any], *args: Any, propagate_source_info: bool = True
) -> list[Any]:
    """Bind the equations of a jaxpr one after the other, under the current trace.

    Without `propagate_source_info` what is recorded comes from the line that calls this, not from the lines of
    the equations.
    """
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    line = None if propagate_source_info else _source.current_frame()
    for eqn in jaxpr.eqns:
        eval_eqn(eqn, env, line)
    return [a.val if isinstance(a, Literal) else env[a] for a in jaxpr.outvars]


def eval_eqn(eqn: Eqn, env: dict[Var, Any], line: _source.SourceLine | None = None) -> None:
    """Bind one equation under the current trace; its operands are in `env`, its results go there."""
    operands = [a.val if isinstance(a, Literal) else env[a] for a in eqn.invars]
    with tracing_line(line or eqn.source):
        out = eqn.primitive.bind(*operands, **eqn.params)
    if eqn.primitive.multiple_results:
        env.update(zip(eqn.outvars, out, strict=True))
    else:
        env[eqn.outvars[0]] = out


_line: ContextVar[_source.SourceLine | None] = ContextVar("wengert_line", default=None)


class tracing_line:
    """Context manager: equations recorded inside come from this line of the user's, be it not None."""

    __slots__ = ("line", "token")

    def __init__(self, line: _source.SourceLine | None):
        self.line = line

    def __enter__(self) -> None:
        self.token = _line.set(self.line or _line.get())

    def __exit__(self, *_: object) -> None:
        _line.reset(self.token)
