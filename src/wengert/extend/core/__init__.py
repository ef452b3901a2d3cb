"""Programs as data, and primitives that a library defines for itself.

A `Primitive` gets its rules one by one: `def_impl` and `def_abstract_eval` here, the derivatives in
`interpreters.ad`, batching in `interpreters.batching`, and in `interpreters.mlir` the function that compiled
programs run in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from wengert.core import primitive as _primitive
from wengert.core.avals import ShapedArray
from wengert.core.axes import named_axes as _named_axes
from wengert.core.jaxpr import (
    ClosedJaxpr as ClosedJaxpr,
    Eqn as JaxprEqn,
    Jaxpr as Jaxpr,
    Literal as Literal,
    Var as Var,
    check_jaxpr as check_jaxpr,
    subjaxprs as _subjaxprs,
)
from wengert.core.staging import StagingTrace as _StagingTrace, eval_jaxpr as _eval_jaxpr
from wengert.core.trace import (
    EvalTrace as _EvalTrace,
    Trace as _Trace,
    Tracer as _Tracer,
    as_array as _as_array,
    current_trace as _current_trace,
    get_aval as _get_aval,
    using_trace as set_current_trace,
)
from wengert.errors import (
    ConcretizationTypeError as _ConcretizationTypeError,
    JaxprTypeError as JaxprTypeError,
    UnexpectedTracerError as _UnexpectedTracerError,
)
from wengert.prims.callbacks import Effect as Effect
from wengert.transforms.batch import BatchTrace as _BatchTrace

__all__ = [
    "ClosedJaxpr",
    "Effect",
    "Jaxpr",
    "JaxprEqn",
    "JaxprTypeError",
    "Literal",
    "Primitive",
    "Var",
    "check_jaxpr",
    "concrete_or_error",
    "find_top_trace",
    "get_opaque_trace_state",
    "jaxpr_as_fun",
    "jaxprs_in_params",
    "mapped_aval",
    "new_jaxpr_eqn",
    "no_effects",
    "nonempty_axis_env_DO_NOT_USE",
    "primal_dtype_to_tangent_dtype",
    "set_current_trace",
    "subjaxprs",
    "unmapped_aval",
    "unsafe_am_i_under_a_jit_DO_NOT_USE",
    "unsafe_am_i_under_a_vmap_DO_NOT_USE",
    "unsafe_get_axis_names_DO_NOT_USE",
    "valid_jaxtype",
]

_F = TypeVar("_F", bound=Callable[..., Any])
no_effects: frozenset[Any] = frozenset()


class Primitive(_primitive.Primitive):
    """An operation that a library defines.

    Set `multiple_results` where it returns a list of arrays. What has no rule is refused when it is needed.
    """

    __slots__ = ()

    def __init__(self, name: str):
        def undefined(kind: str) -> Callable[..., NoReturn]:
            def refuse(*args: Any, **params: Any) -> NoReturn:
                raise NotImplementedError(f"{kind} for {name!r} not implemented")

            return refuse

        super().__init__(
            name,
            "other",
            abstract_eval=undefined("Abstract evaluation"),
            impl=undefined("Evaluation rule"),
            expand=undefined("Lowering (see wengert.interpreters.mlir.register_lowering)"),
        )

    def def_impl(self, impl: _F) -> _F:
        """Say what runs when the operation is called outside of all transformations: `impl(*arrays, **params)`."""
        self.impl = impl
        return impl

    def def_abstract_eval(self, abstract_eval: _F) -> _F:
        """Say which types the results have: `abstract_eval(*avals, **params)` gives a `ShapedArray`, or several."""
        self.abstract_eval = abstract_eval
        return abstract_eval

    def def_effectful_abstract_eval(self, abstract_eval: _F) -> _F:
        """As `def_abstract_eval`, for a function that returns the types and the effects."""

        def types(*avals: Any, **params: Any) -> Any:
            return abstract_eval(*avals, **params)[0]

        self.abstract_eval = types
        return abstract_eval

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the operation under the current trace."""
        trace = _current_trace()
        if not isinstance(trace, _EvalTrace):
            return trace.process(self, args, params)
        tracer = next((a for a in args if isinstance(a, _Tracer)), None)
        if tracer is not None:
            raise _UnexpectedTracerError(
                f"{self.name} got {tracer.describe()} outside of the function in which it was traced; return "
                "it from the function instead of keeping it."
            )
        return self.impl(*(_as_array(a) for a in args), **params)


def jaxpr_as_fun(closed_jaxpr: ClosedJaxpr, *args: Any) -> list[Any]:
    """The results of a closed jaxpr for these arguments, under the current transformations."""
    return _eval_jaxpr(closed_jaxpr.jaxpr, closed_jaxpr.consts, *args)


def jaxprs_in_params(params: Mapping[str, Any]) -> Iterator[Jaxpr]:
    """The jaxprs among the parameters of an equation."""
    for value in params.values():
        for v in value if isinstance(value, tuple | list) else (value,):
            if isinstance(v, Jaxpr):
                yield v
    for closed in _subjaxprs(params):
        yield closed.jaxpr


def subjaxprs(jaxpr: Jaxpr) -> Iterator[Jaxpr]:
    """The jaxprs that the equations of a jaxpr hold."""
    for eqn in jaxpr.eqns:
        yield from jaxprs_in_params(eqn.params)


def new_jaxpr_eqn(
    invars: Sequence[Any],
    outvars: Sequence[Var],
    primitive: _primitive.Primitive,
    params: Mapping[str, Any],
    effects: Any = no_effects,
    source_info: Any = None,
    ctx: Any = None,
) -> JaxprEqn:
    """An equation. Its effects follow from the primitive and its parameters."""
    del effects, ctx
    return JaxprEqn(primitive, invars, params, outvars, source_info)


def mapped_aval(size: int, axis: int | None, aval: ShapedArray) -> ShapedArray:
    """The type of one element of an array mapped over `axis`, which has this size."""
    if axis is None:
        return aval
    if aval.shape[axis] != size:
        raise ValueError(f"axis {axis} of {aval.str_short()} has size {aval.shape[axis]}, not {size}")
    return aval.update(shape=aval.shape[:axis] + aval.shape[axis + 1 :])


def unmapped_aval(
    size: int, axis: int | None, aval: ShapedArray, explicit_mesh_axis: Any = None
) -> ShapedArray:
    """The type of a batch of `size` arrays of type `aval`, the batch being `axis` of the result."""
    del explicit_mesh_axis
    return aval if axis is None else aval.update(shape=(*aval.shape[:axis], size, *aval.shape[axis:]))


def primal_dtype_to_tangent_dtype(primal_dtype: Any) -> Any:
    """The dtype of derivatives of arrays of this dtype: float0 for integers and booleans."""
    return ShapedArray((), primal_dtype).to_tangent_aval().dtype


def valid_jaxtype(x: Any) -> bool:
    """Whether `x` can be an operand: an array, a tracer or a number."""
    try:
        _get_aval(x)
    except TypeError:
        return False
    return True


def concrete_or_error(force: Any, val: Any, context: str = "") -> Any:
    """`force(val)`, or `val` where force is None; ConcretizationTypeError, which says `context`, for a tracer."""
    if isinstance(val, _Tracer):
        concrete = val.concrete()
        if concrete is None:
            raise _ConcretizationTypeError(
                f"Abstract tracer value encountered where concrete value is expected: {val.describe()}. {context}"
            )
        val = concrete
    return val if force is None else force(val)


def find_top_trace(_: Any) -> _Trace:
    """The current trace: that of the innermost transformation."""
    return _current_trace()


def get_opaque_trace_state(convention: Any = None) -> Any:
    """An object that is equal to another one if both were made under the same transformations."""
    del convention
    return tuple(id(t) for t in _traces())


def _traces() -> Iterator[_Trace]:
    trace: _Trace | None = _current_trace()
    while trace is not None:
        yield trace
        trace = getattr(trace, "parent", None)


def unsafe_am_i_under_a_jit_DO_NOT_USE() -> bool:
    """Whether a program is being recorded."""
    return any(isinstance(t, _StagingTrace) for t in _traces())


def unsafe_am_i_under_a_vmap_DO_NOT_USE() -> bool:
    """Whether a function is being mapped."""
    return any(isinstance(t, _BatchTrace) for t in _traces())


def unsafe_get_axis_names_DO_NOT_USE() -> list[Any]:
    """The names of the axes that are mapped over."""
    return [name for name, *_ in _named_axes()]


def nonempty_axis_env_DO_NOT_USE() -> bool:
    """Whether an axis with a name is mapped over."""
    return bool(_named_axes())
