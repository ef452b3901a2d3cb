"""Tracing: the current trace, what a tracer is, and the eager trace.

`Primitive.bind` hands its arguments to the current trace. A trace of a transformation knows its parent, treats
tracers that aren't its own as constants, and does its work with the parent as the current trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert import config
from wengert.core import array as _array
from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.errors import UnexpectedTracerError

if TYPE_CHECKING:
    from wengert.core.primitive import Primitive


class Trace:
    """What happens to primitives that are bound while this trace is the current one."""

    __slots__ = ("parent",)
    parent: Trace | None

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply `prim`; returns one value, or a list if it has multiple results."""
        raise NotImplementedError

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        raise NotImplementedError

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, bwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        raise NotImplementedError


class Tracer(_array.ArrayBase):
    """Stands for an array while a function is traced; `trace` owns it."""

    __slots__ = ("trace",)
    trace: Trace
    aval: ShapedArray

    def describe(self) -> str:
        """What the value is and where it comes from, for error messages."""
        return f"a traced {self.aval.str_short()}"

    def concrete(self) -> Any | None:
        """The concrete value that the tracer wraps, if it wraps one."""
        return None


class EvalTrace(Trace):
    """Runs primitives at once, by their `impl`."""

    __slots__ = ()

    def __init__(self) -> None:
        self.parent = None

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        for a in args:
            if isinstance(a, Tracer):
                raise UnexpectedTracerError(_escaped(a, prim))
        if prim.compiled and not config.current().disable_jit:
            return _compiled_call(prim, args, params)
        avals = _eager_avals(prim, args, params)
        values = [a._np if type(a) is _array.Array else a for a in args]
        with _quiet():
            out = prim.impl(np, *values, **params)
        if prim.multiple_results:
            return [_array.wrap(o, aval) for o, aval in zip(out, avals, strict=True)]
        result = _array.wrap(out, avals)
        if config.current().debug_nans:
            _array.check_nans(result, prim.name)
        return result

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        return fun(*args)

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, bwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        return fun(*args)


_quiet_state = np.errstate(all="ignore")


def _quiet() -> Any:
    return np.errstate(all="ignore")


_aval_memo: dict[Any, Any] = {}


def _eager_avals(prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    avals = [a.aval if type(a) is _array.Array else get_aval(a) for a in args]
    key = (prim, *avals, *params.items()) if params else (prim, *avals)
    try:
        found = _aval_memo.get(key)
    except TypeError:  # a parameter that can't be hashed
        return prim.abstract_eval(*avals, **params)
    if found is None:
        found = prim.abstract_eval(*avals, **params)
        if len(_aval_memo) > 4096:
            _aval_memo.clear()
        _aval_memo[key] = found
    return found


def _escaped(tracer: Tracer, prim: Primitive) -> str:
    return (
        f"{prim.name} got {tracer.describe()} outside of the function in which it was traced. A value that is "
        "computed inside of a transformed function (jit, grad, vmap, scan, ...) was kept, in a global, an "
        "attribute or a closure, and used after the function had returned. Return it from the function instead."
    )


def _no_compiler(prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    raise RuntimeError(f"{prim.name} needs the compiler, which is not set up")


_compiled_call: Callable[[Any, Sequence[Any], dict[str, Any]], Any] = _no_compiler


def set_compiled_call(call: Callable[[Any, Sequence[Any], dict[str, Any]], Any]) -> None:
    """Say how an eager call of a primitive with `compiled` runs; the dispatcher, a layer above, does so."""
    global _compiled_call
    _compiled_call = call


eval_trace = EvalTrace()
_current: ContextVar[Trace] = ContextVar("wengert_trace", default=eval_trace)
current_trace = _current.get


class using_trace:  # noqa: N801
    """Context manager that makes a trace the current one."""

    __slots__ = ("token", "trace")

    def __init__(self, trace: Trace):
        self.trace = trace

    def __enter__(self) -> None:
        self.token = _current.set(self.trace)

    def __exit__(self, *_: object) -> None:
        _current.reset(self.token)


_scalar_avals: dict[type, tuple[Any, bool]] = {bool: (np.dtype(bool), False)}


def get_aval(x: Any) -> ShapedArray:
    """The abstract value of an array, tracer, NumPy array or scalar, or Python scalar.

    Raises TypeError for anything else.
    """
    if isinstance(x, _array.ArrayBase):
        return x.aval
    if isinstance(x, bool | int | float | complex) and not isinstance(x, np.generic):
        return ShapedArray((), dtypes.python_scalar_dtype(x), not isinstance(x, bool))
    if isinstance(x, np.ndarray | np.generic):
        return ShapedArray(x.shape, dtypes.canonicalize_dtype(x.dtype), False)
    if hasattr(x, "__jax_array__"):
        return get_aval(x.__jax_array__())
    raise TypeError(f"{x!r} of type {type(x).__name__} is not a valid array type: expected an array or a number")
