"""Tracing: the current trace, what a tracer is, and the eager trace.

`Primitive.bind` hands its arguments to the current trace. A trace of a transformation knows its parent,
treats tracers that aren't its own as constants, and does its work with the parent as the current trace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.config import current
from wengert.core import array as _array, dtypes, key_reuse as _key_reuse, source as _source, watch as _watch
from wengert.core.avals import ShapedArray
from wengert.errors import (
    ConcretizationTypeError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
)

if TYPE_CHECKING:
    from wengert.core.primitive import Primitive


class Trace:
    """What happens to primitives that are bound while this trace is the current one."""

    __slots__ = ("parent",)
    parent: Trace | None
    # whether what is linear is recorded here to be transposed later
    records_tangents = False

    @property
    def main(self) -> Trace:
        """What tells traces of the same transformation apart: for libraries that ask a tracer whose it is."""
        return self

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply `prim`; returns one value, or a list if it has multiple results."""
        raise NotImplementedError

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        """Apply a function with a jvp rule of the user's. All take and return flat lists of arrays.

        fun(*args) -> outs; jvp(primals, tangents) -> (outs, out_tangents), where tangents may be `Zero`.
        """
        raise NotImplementedError

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        """Apply a function with a vjp rule of the user's. All take and return flat lists of arrays.

        fun(*args) -> outs; fwd(primals, nonzeros) -> (outs, residuals, bwd); bwd(residuals, cts) -> the
        cotangents of the args, where cts and the results may be `Zero`.
        """
        raise NotImplementedError


class Tracer(_array.ArrayBase):
    """Stands for an array while a function is traced; `_trace` owns it."""

    __slots__ = ("_trace",)
    _trace: Trace  # `trace` is a method of arrays
    aval: ShapedArray

    def describe(self) -> str:
        """What the value is and where it comes from, for error messages."""
        return f"a traced {self.aval.str_short()}"

    def concrete(self) -> Any | None:
        """The concrete array that the tracer wraps, if it wraps one."""
        return None

    def __bool__(self) -> bool:
        value = self.concrete()
        if value is not None:
            return bool(value)
        raise TracerBoolConversionError(
            f"Attempted boolean conversion of {_traced(self)}.\nPython's if, while, and, or, not and assert"
            f" need the truth of {self.describe()}; it is known only when the traced function runs. Compute"
            " both outcomes and choose with jnp.where(condition, x, y); run one of two functions with"
            " lax.cond, or a loop with lax.while_loop; combine conditions with & | ~; or make the argument"
            f" static (static_argnums or static_argnames of jit).{_line()}"
        )

    def __index__(self) -> int:
        value = self.concrete()
        if value is not None:
            return operator.index(value)
        raise TracerIntegerConversionError(
            f"The __index__() method was called on {_traced(self)}.\nPython needs a number that is known now"
            f" (as an index of a list, an argument of range, a size), but this is {self.describe()}. Index an"
            " array in place of a list (jnp.array(values)[i]); loop with lax.fori_loop; or make the argument"
            f" static (static_argnums or static_argnames of jit).{_line()}"
        )

    def __int__(self) -> int:
        value = self.concrete()
        if value is not None:
            return int(value)
        raise ConcretizationTypeError(_no_number(self, "int"))

    def __float__(self) -> float:
        raise ConcretizationTypeError(_no_number(self, "float"))

    def __complex__(self) -> complex:
        raise ConcretizationTypeError(_no_number(self, "complex"))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TracerArrayConversionError(
            f"The numpy.ndarray conversion method __array__() was called on {_traced(self)}.\nA NumPy"
            f" function was given {self.describe()}, which holds no numbers yet. Call the function of the"
            " same name in wengert.numpy; if there is none, run NumPy's with wengert.pure_callback; or make"
            f" the argument static (static_argnums or static_argnames of jit).{_line()}"
        )

    def __format__(self, format_spec: str, /) -> str:
        if not format_spec:
            return str(self)
        raise TypeError(
            f"unsupported format string passed to {type(self).__name__}.__format__: {self.describe()} has no value yet"
            f" that could be written as {format_spec!r}. Print it while the program runs with"
            f" wengert.debug.print('{{x:{format_spec}}}', x=x), or format what the function returns.{_line()}"
        )

    def __hash__(self) -> int:
        raise TypeError(
            f"unhashable type: {self.describe()} has no value yet, so it can't be a key of a dict, a member"
            " of a set, or a static argument of jit"
        )


def _traced(x: Tracer) -> str:
    return f"traced array with shape {x.aval.dtype.name}[{','.join(map(str, x.shape))}]"


def _line() -> str:
    line = _source.current_frame()
    if line is None:
        return ""
    text = line.marked().replace("\n", "\n    ")
    return f"\nAt {line.summary()}:\n    {text}" if text else f"\nAt {line.summary()}"


def _no_number(x: Tracer, function: str) -> str:
    return (
        f"Abstract tracer value encountered where concrete value is expected: {_traced(x)}\nThe problem arose"
        f" with the `{function}` function, which needs a number that is known now, but got {x.describe()}. To"
        f" convert the dtype, use x.astype({function}) or jnp.array(x, {function}); to have a Python number,"
        f" make the argument static (static_argnums or static_argnames of jit).{_line()}"
    )


class EvalTrace(Trace):
    """Runs primitives at once, by their `impl`."""

    __slots__ = ()

    def __init__(self) -> None:
        self.parent = None

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        avals: list[ShapedArray] = []
        values: list[Any] = []
        for a in args:
            if type(a) is _array.Array:
                avals.append(a.aval)
                values.append(a._np if a._ndarray is None else a._ndarray)
            elif isinstance(a, Tracer):
                raise UnexpectedTracerError(_escaped(a, prim))
            else:
                avals.append(get_aval(a))
                values.append(a)
        settings = current()
        if settings.watched:
            process = self.process_keys if settings.debug_key_reuse else self.process_watched
            return process(prim, args, values, avals, params)
        if prim.compiled and not settings.disable_jit:
            return _compiled_call(prim, args, params)
        try:
            out_avals = result_avals(prim, avals, params)
        except (TypeError, ValueError) as error:
            raise _source.user_context(error) from None
        token = _enter_quiet(_QUIET)
        try:
            out = prim.impl(np, *values, **params)
        finally:
            _leave_quiet(token)
        if prim.multiple_results:
            return [_array.wrap(o, aval) for o, aval in zip(out, out_avals, strict=True)]
        if type(out) is np.ndarray and out.dtype is out_avals.dtype and out.shape == out_avals.shape:
            result = _array.Array(out_avals, out)
        else:
            result = _array.wrap(out, out_avals)
        return result

    def process_keys(
        self, prim: Primitive, args: Sequence[Any], values: list[Any], avals: list[ShapedArray], params: Any
    ) -> Any:
        """The same where random keys that are used twice are to be found."""
        many, outs = prim.multiple_results, prim.abstract_eval(*avals, **params)
        ids = _key_reuse.check(prim, args, params, outs if many else [outs])
        result = self.process_watched(prim, args, values, avals, params)
        _key_reuse.remember(result if many else [result], ids)
        return result

    def process_watched(
        self,
        prim: Primitive,
        args: Sequence[Any],
        values: list[Any],
        avals: list[ShapedArray],
        params: dict[str, Any],
    ) -> Any:
        """The same under settings that have operations checked as they run."""
        name = params.get("name", prim.name) if prim.compiled else prim.name
        _watch.check_execution(name)
        if prim.compiled and not current().disable_jit:
            outs = _compiled_call(prim, args, params)
            found = _watch.invalid([o._np for o in (outs if prim.multiple_results else [outs])])
            if not found:
                return outs
        token = _enter_quiet(_QUIET)
        try:
            out = prim.impl(np, *values, **params)
        finally:
            _leave_quiet(token)
        if prim.compiled and not current().disable_jit:
            raise _watch.not_found(name, found)
        out_avals = prim.abstract_eval(*avals, **params)
        if not prim.multiple_results:
            out, out_avals = [out], [out_avals]
        results = [_array.wrap(o, aval) for o, aval in zip(out, out_avals, strict=True)]
        _watch.check_results(prim.name, [r._np for r in results])
        return results if prim.multiple_results else results[0]

    def process_custom_jvp(self, prim: Primitive, fun: Any, jvp: Any, args: Sequence[Any]) -> Any:
        return fun(*args)

    def process_custom_vjp(
        self, prim: Primitive, fun: Any, fwd: Any, args: Sequence[Any], **params: Any
    ) -> Any:
        return fun(*args)


# No warnings of floating point errors from `impl`: as np.errstate(all="ignore"), which takes longer than
# many an # operation. NumPy keeps the setting in a context variable of its own.
try:
    from numpy._core import _ufunc_config
    from numpy._core.umath import _make_extobj

    _QUIET: Any = _make_extobj(all="ignore")
    _enter_quiet: Callable[[Any], Any] = getattr(_ufunc_config, "_extobj_contextvar").set  # noqa: B009
    _leave_quiet: Callable[[Any], Any] = getattr(_ufunc_config, "_extobj_contextvar").reset  # noqa: B009
except (ImportError, AttributeError):  # another release of NumPy
    _QUIET = {"all": "ignore"}

    def _enter_quiet(setting: Any) -> Any:
        return np.seterr(**setting)

    def _leave_quiet(token: Any) -> Any:
        np.seterr(**token)


_aval_memo: dict[Any, Any] = {}


def result_avals(prim: Primitive, avals: Sequence[ShapedArray], params: dict[str, Any]) -> Any:
    """The avals of the results; remembered, since abstract evaluation takes longer than many an operation."""
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
        f"{prim.name} got {tracer.describe()} outside of the function in which it was traced. A value that is"
        " computed inside of a transformed function (jit, grad, vmap, scan, ...) was kept, in a global, an"
        " attribute or a closure, and used after the function had returned. Return it from the function"
        f" instead.{_line()}"
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


class using_trace:
    """Context manager that makes a trace the current one."""

    __slots__ = ("token", "trace")

    def __init__(self, trace: Trace):
        self.trace = trace

    def __enter__(self) -> None:
        self.token = _current.set(self.trace)

    def __exit__(self, *_: object) -> None:
        _current.reset(self.token)


_number_avals: dict[tuple[type, bool], ShapedArray] = {}


def get_aval(x: Any) -> ShapedArray:
    """The abstract value of an array, tracer, NumPy array or scalar, or Python scalar.

    Raises TypeError for anything else.
    """
    if isinstance(x, _array.ArrayBase):
        return x.aval
    key = (type(x), current().enable_x64)
    found = _number_avals.get(key)
    if found is not None:
        return found
    if type(x) in (bool, int, float, complex):
        _number_avals[key] = aval = ShapedArray((), dtypes.dtype(x), dtypes.is_weakly_typed(x))
        return aval
    if isinstance(x, bool | int | float | complex) and not isinstance(x, np.generic):
        return ShapedArray((), dtypes.dtype(x), dtypes.is_weakly_typed(x))
    if isinstance(x, np.ndarray | np.generic):
        return ShapedArray(x.shape, dtypes.canonicalize_dtype(x.dtype, allow_extended_dtype=True), False)
    if hasattr(x, "__jax_array__"):
        return get_aval(x.__jax_array__())
    raise TypeError(
        f"{x!r} of type {type(x).__name__} is not a valid array type: expected an array or a number"
    )


def as_array(x: Any) -> _array.Array:
    """A number or a NumPy array as an Array, by a copy."""
    aval = get_aval(x)
    value = x.__jax_array__() if hasattr(x, "__jax_array__") else x
    if isinstance(value, _array.Array):
        return value
    return _array.wrap(_array.copy_aligned(value, aval.dtype), aval)
