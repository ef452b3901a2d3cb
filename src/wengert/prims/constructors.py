"""What the records of primitives are made with: operands and their checks, derivative rules, kinds of
primitives.

Nothing here binds a primitive; the rules that move and add axes are in `axes`, elementwise ones in
`elementwise`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.array import Array, ArrayBase, from_numpy
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.trace import get_aval
from wengert.core.zeros import Zero, instantiate, is_undefined, is_zero

Rule = Callable[..., Any]
Shape = tuple[int, ...]

# --------------------------------------------------------------------------------------------------- operands

_PYTHON_SCALARS = frozenset((bool, int, float, complex))
_KINDS_OF_SCALARS = {bool: "b", int: "iufc", float: "fc", complex: "c"}
_KIND_NAMES = {"i": "integer", "b": "bool", "f": "floating", "c": "complexfloating", "V": "random keys"}


def as_operand(name: str, x: Any, position: int = 0) -> Any:
    """`x` as primitives take it: an array, a tracer, a Python number, a NumPy scalar of a canonical dtype."""
    if isinstance(x, ArrayBase) or type(x) in _PYTHON_SCALARS:
        return x
    if isinstance(x, np.generic):
        dtype = dtypes.canonicalize_dtype(x.dtype)
        return x if x.dtype is dtype else np.asarray(x).astype(dtype)[()]
    if isinstance(x, np.ndarray):
        dtype = dtypes.canonicalize_dtype(x.dtype, allow_extended_dtype=True)
        return from_numpy(x.astype(dtype, copy=False))
    if hasattr(x, "__jax_array__"):
        return as_operand(name, x.__jax_array__(), position)
    if isinstance(x, bool | int | float | complex):
        return as_operand(name, x.__pos__() if not isinstance(x, bool) else bool(x), position)
    what = "; convert it with jnp.asarray" if isinstance(x, list | tuple) else ""
    raise TypeError(
        f"{name} takes arrays and numbers, but argument {position} is {x!r} of type {type(x).__name__}{what}"
    )


def shape_of(x: Any) -> Shape:
    return x.aval.shape if isinstance(x, ArrayBase) else np.shape(x)


def dtype_of(x: Any) -> np.dtype[Any]:
    return get_aval(x).dtype


def mismatch(name: str, found: Sequence[Any]) -> TypeError:
    """The error for operands of different dtypes."""
    tips = {"select": "where", "max": "maximum", "min": "minimum", "rem": "fmod", "pow": "power"}
    public = {"div": "divide", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
    return TypeError(
        f"lax.{name} requires arguments to have the same dtypes, got {', '.join(str(d) for d in found)}. "
        f"(Tip: jnp.{tips.get(name) or public.get(name, name)} is a similar function that does automatic "
        "type "
        "promotion on inputs)."
    )


def same_dtype(name: str, *args: Any) -> list[Any]:
    """The operands, with Python numbers made to fit the dtype of the others.

    A number beside weakly typed operands stays a Python number, so that the result is weakly typed too.

    Raises:
      TypeError: the dtypes differ.
    """
    args = tuple([as_operand(name, a, i) for i, a in enumerate(args)])
    dtype: np.dtype[Any] | None = None
    weak = True
    for a in args:
        if type(a) not in _PYTHON_SCALARS:
            aval = get_aval(a)
            if dtype is not None and aval.dtype != dtype:
                raise mismatch(name, [dtype_of(b) for b in args])
            dtype, weak = aval.dtype, weak and aval.weak_type
    if dtype is None:
        found = [dtype_of(a) for a in args]
        if any(d != found[0] for d in found):
            raise mismatch(name, found)
        return list(args)
    return [_fit(name, a, dtype, weak, args) if type(a) in _PYTHON_SCALARS else a for a in args]


def _fit(name: str, number: Any, dtype: np.dtype[Any], weak: bool, args: Sequence[Any]) -> Any:
    kind = dtypes.kind_of(dtype)
    if kind not in _KINDS_OF_SCALARS[type(number)]:
        raise mismatch(name, [dtype_of(b) for b in args])
    if weak and kind != "b":
        return dtypes.scalar_type_of(dtype)(number)
    return dtype.type(number)


def strong(x: Any) -> Any:
    """A Python number as a NumPy scalar of its default dtype; anything else as it is."""
    return dtypes.python_scalar_dtype(type(x)).type(x) if type(x) in _PYTHON_SCALARS else x


def check_dtype(name: str, accepts: str, aval: ShapedArray, position: int | None = None) -> None:
    """Raise TypeError unless the kind of the dtype is among the letters of `accepts`."""
    if dtypes.kind_of(aval.dtype) not in accepts:
        names = ", ".join(dict.fromkeys(_KIND_NAMES["i" if k == "u" else k] for k in accepts))
        at = "" if position is None else f" at position {position}"
        raise TypeError(
            f"{name} does not accept dtype "
            f"{dtypes.short_name(aval.dtype) if aval.dtype.kind == 'V' else aval.dtype}"
            f"{at}. Accepted dtypes{at} are subtypes of {names}."
        )


def canonical_axis(which: Any, ndim: int, name: str = "") -> int:
    """An axis counted from the front. ValueError if it is out of bounds."""
    axis: int = operator.index(which)
    if not -ndim <= axis < ndim:
        where = f"{name}: " if name else ""
        raise ValueError(f"{where}axis {axis} is out of bounds for array of dimension {ndim}")
    return axis + ndim if axis < 0 else axis


def canonical_axes(axes: Sequence[Any], ndim: int, name: str = "") -> Shape:
    return tuple([canonical_axis(a, ndim, name) for a in axes])


def canonical_shape(shape: Any, name: str = "shape") -> Shape:
    """`shape` as a tuple of ints.

    Raises:
      TypeError: an entry is no integer (a traced one, say); a negative one.
    """
    if type(shape) is int:
        shape = (shape,)
    try:
        found = tuple([operator.index(d) for d in shape])
    except TypeError as error:
        entries = shape if isinstance(shape, tuple | list) else [shape]
        if any(isinstance(d, ArrayBase) and not isinstance(d, Array) for d in entries):
            raise
        raise TypeError(
            f"Shapes must be 1D sequences of concrete values of integer type, got {shape} for {name}."
        ) from error
    if any(d < 0 for d in found):
        raise TypeError(f"Only non-negative sizes are allowed, got {found} for {name}.")
    return found


# ------------------------------------------------------------------------------------------- derivative rules


def zero_jvp(prim: Callable[[], Primitive]) -> Rule:
    """For results that don't change with the operands' values: comparisons, indices, rounding."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = prim().bind(*primals, **params)
        if prim().multiple_results:
            return out, [Zero.of(o) for o in out]
        return out, Zero.of(out)

    return jvp


def linear_jvp(prim: Callable[[], Primitive], *linear: int) -> Rule:
    """For primitives that are linear, jointly, in the operands at positions `linear`, by default in all."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = prim().bind(*primals, **params)
        positions = linear or range(len(primals))
        if all(is_zero(tangents[i]) for i in positions):
            return out, Zero.of(out)
        args = list(primals)
        for i in positions:
            args[i] = instantiate(tangents[i])
        return out, prim().bind(*args, **params)

    return jvp


# ---------------------------------------------------------------------------------------- kinds of primitives


def view(
    name: str,
    *,
    abstract_eval: Rule,
    impl: Rule,
    transpose: Rule,
    batch: Rule,
    pull: Rule,
    kind: Any = "view",
    access: Any = "view",
    hidden_params: Sequence[str] = (),
) -> Primitive:
    """A primitive of one operand whose result holds elements of the operand, found by index arithmetic.

    `transpose(ct, aval, **params)` gives the cotangent of the operand; `batch(axis, x, dim, **params)` takes
    one batched operand.
    """

    def transpose_rule(ct: Any, x: Any, **params: Any) -> Any:
        if not is_undefined(x):
            return [None]
        return [Zero(x.aval) if is_zero(ct) else transpose(ct, x.aval, **params)]

    def batch_rule(axis: Any, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        return batch(axis, args[0], dims[0], **params)

    prim = Primitive(
        name,
        kind,
        abstract_eval=abstract_eval,
        impl=impl,
        jvp=linear_jvp(lambda: prim),
        transpose=transpose_rule,
        batch=batch_rule,
        pull=pull,
        access=access,
        hidden_params=hidden_params,
    )
    return prim


def reduced_shape(shape: Shape, axes: Shape) -> Shape:
    return tuple([d for i, d in enumerate(shape) if i not in axes])


def reduction_aval(name: str, accepts: str, aval: ShapedArray, axes: Shape) -> ShapedArray:
    """The type of a reduction's result, after checks."""
    check_dtype(name, accepts, aval)
    if len(set(axes)) != len(axes):
        raise ValueError(f"duplicate value in 'axes' of reduction: {axes}")
    if not all(0 <= a < aval.ndim for a in axes):
        raise ValueError(f"reduction axes {axes} contains out-of-bounds indices for {aval.str_short()}.")
    return ShapedArray(reduced_shape(aval.shape, axes), aval.dtype, aval.weak_type)


def batched_axes(axes: Shape, dim: int) -> tuple[Shape, int]:
    """The axes of a reduction after a batch axis came in at `dim`, and where that is in the result."""
    moved = tuple([a + (a >= dim) for a in axes])
    return moved, dim - sum(a < dim for a in moved)


def reduction(
    name: str,
    *,
    accepts: str,
    impl: Rule,
    combine: str,
    identity: Callable[[np.dtype[Any]], Any],
    jvp: Rule | None = None,
    transpose: Rule | None = None,
) -> Primitive:
    """A primitive that combines the elements along the parameter `axes`, in any order."""

    def abstract_eval(x: ShapedArray, *, axes: Shape) -> ShapedArray:
        return reduction_aval(name, accepts, x, axes)

    def batch(axis: Any, args: Sequence[Any], dims: Sequence[int], *, axes: Shape) -> Any:
        axes, dim = batched_axes(axes, dims[0])
        return prim.bind(args[0], axes=axes), dim

    prim = Primitive(
        name,
        "reduction",
        abstract_eval=abstract_eval,
        impl=impl,
        jvp=jvp or zero_jvp(lambda: prim),
        transpose=transpose,
        batch=batch,
        reducer=lambda dtype: (combine, identity(dtype)),
        access="view",
    )
    return prim


def constant(like: Any, value: Any) -> Any:
    """The number as a scalar of the dtype of `like`; a Python number, if `like` is weakly typed."""
    aval = get_aval(like)
    if aval.weak_type:
        number = dtypes.scalar_type_of(aval.dtype)(value)
        if dtypes.python_scalar_dtype(type(number)) == aval.dtype:
            return number
    return aval.dtype.type(value)


def origin(ctx: Any) -> Any:
    """The coordinate 0, for `pull` rules."""
    return ctx.coordinate(ctx.const(0, np.int64), 0, 1)
