"""How the arguments of public functions become operands: checks, promotion of dtypes and ranks, axes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from wengert import lax
from wengert.config import current
from wengert.core import dtypes
from wengert.core.array import Array, ArrayBase, from_numpy, wrap
from wengert.core.source import user_context, warn_user
from wengert.core.trace import Tracer
from wengert.errors import ConcretizationTypeError

ArrayLike: TypeAlias = Any
DTypeLike: TypeAlias = Any
Axis: TypeAlias = int | Sequence[int] | None
NpDType: TypeAlias = np.dtype[Any]

PYTHON_SCALARS = (int, float, bool, complex)
bool_dtype = np.dtype(bool)
_scalar_memo: dict[tuple[Any, ...], Array] = {}
_SCALAR_MEMO_SIZE = 4096


def scalar(value: Any, dtype: NpDType, weak_type: bool = False) -> Array:
    """The Python number `value` as a rank-0 array. Recent conversions are remembered: programs use few numbers."""
    # 0.0 == -0.0, so zeros are told apart by their text; NaN equals nothing and would only fill the memo.
    key = (value, value.__class__, dtype, weak_type, value == 0 and str(value))
    found = _scalar_memo.get(key)
    if found is not None:
        return found
    if dtype.kind == "b":
        value = bool(value)
    result = from_numpy(_number(value, dtype), weak_type)
    if len(_scalar_memo) >= _SCALAR_MEMO_SIZE:
        _scalar_memo.clear()
    if value == value:
        _scalar_memo[key] = result
    return result


def _number(value: Any, dtype: NpDType) -> np.ndarray[Any, Any]:
    """A Python number in a dtype. An integer that the default integers hold wraps around in a narrower dtype, as
    it does where it is an array already; a larger one is an OverflowError."""
    try:
        return np.asarray(value, dtype)
    except OverflowError:
        return np.asarray(value, dtypes.default_int_dtype()).astype(dtype)


def concrete(x: Any) -> Array | None:
    """The array itself, or the one that a tracer wraps (under grad, not under jit); None if the value is unknown."""
    if isinstance(x, Tracer):
        x = x.concrete()
        return as_array(x) if isinstance(x, PYTHON_SCALARS) else cast("Array | None", x)
    return x if isinstance(x, Array) else None


def operand(name: str, x: Any, position: int = 0) -> Any:
    """`x` as an array, a tracer or a Python number; TypeError for lists, strings, None and the like."""
    if isinstance(x, ArrayBase) or x.__class__ in PYTHON_SCALARS:
        return x
    if isinstance(x, np.ndarray | np.generic):
        return convert_numpy(x)
    if isinstance(x, PYTHON_SCALARS):
        return x
    if hasattr(x, "__jax_array__"):
        return operand(name, x.__jax_array__(), position)
    raise user_context(TypeError(_not_an_operand(name, x, position)))


def _not_an_operand(name: str, x: Any, position: int) -> str:
    message = f"{name} requires ndarray or scalar arguments, got {type(x)} at position {position}."
    if isinstance(x, list | tuple):
        return f"{message} Lists and tuples are not converted unasked: write jnp.array({_shown(x)})."
    if x is None:
        return f"{message} A function that returns nothing gives None; or an optional argument was left out."
    if isinstance(x, str | bytes):
        return f"{message} Text is no number; int({_shown(x)}) or float({_shown(x)}) makes one of it."
    return f"{message} Arrays hold numbers and bools; convert it with jnp.asarray, or pass one of its attributes."


def _shown(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 40 else f"{text[:36]} ..."


def convert_numpy(x: Any, dtype: NpDType | None = None) -> Array:
    """A NumPy array or scalar as an Array, in the dtype that is on (float32 for float64, unless x64 is)."""
    if dtype is None:
        dtype = dtypes.canonicalize_dtype(x.dtype)
    if x.dtype.kind in "OSUMm" or x.dtype.names is not None:
        raise user_context(
            TypeError(
                f"Value {_shown(x)} with dtype {x.dtype} is not a valid array type. Only arrays of numeric types are "
                "supported: keep text and objects in Python containers, and number them where arrays need them."
            )
        )
    return from_numpy(np.asarray(x, dtype))


def as_array(x: Any, name: str = "asarray") -> Any:
    """An operand as an array or tracer."""
    if isinstance(x, ArrayBase):
        return x
    x = operand(name, x)
    if isinstance(x, ArrayBase):
        return x
    return scalar(x, dtypes.result_type(x), not isinstance(x, bool))


def dtype_of(x: Any) -> NpDType:
    """The dtype of an operand."""
    if isinstance(x, ArrayBase):
        return x.dtype
    return cast(NpDType, dtypes.result_type(x))


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an operand."""
    return x.shape if isinstance(x, ArrayBase) else ()


def is_weak(x: Any) -> bool:
    """Whether an operand adopts the dtype of what it meets."""
    if isinstance(x, ArrayBase):
        return x.weak_type
    return not isinstance(x, bool)


def result_type_and_weakness(*args: Any) -> tuple[NpDType, bool]:
    """The dtype that the operands have in common, and whether it is weak."""
    return cast("tuple[NpDType, bool]", dtypes.result_type(*args, return_weak_type_flag=True))


def convert(x: Any, dtype: NpDType, weak_type: bool = False) -> Any:
    """An operand in another dtype."""
    if isinstance(x, ArrayBase):
        aval = x.aval
        if aval.dtype == dtype:
            if aval.weak_type == weak_type:
                return x
            if x.__class__ is Array and not aval.shape:  # a constant: no equation is needed while tracing
                return wrap(x._np, aval.update(weak_type=weak_type))
        return lax._convert_element_type(x, dtype, weak_type)
    return scalar(x, dtype, weak_type)


def promote_dtypes(*args: Any) -> list[Any]:
    """Operands in their common dtype."""
    first = getattr(args[0], "aval", None)
    if first is not None and not [a for a in args if getattr(a, "aval", None) is not first]:
        return list(args)  # they are of one type, which is one object
    dtype, weak = result_type_and_weakness(*args)
    return [convert(a, dtype, weak) for a in args]


def inexact_dtype(dtype: NpDType) -> NpDType:
    """The dtype in which functions such as sin work: floats stay, integers of up to 32 bits become float32."""
    if dtypes.issubdtype(dtype, np.inexact):
        return dtype
    canonical: NpDType = dtypes.canonicalize_dtype(np.dtype("float64" if dtype.itemsize > 4 else "float32"))
    return canonical


def promote_dtypes_inexact(*args: Any) -> list[Any]:
    """Operands in their common dtype, made inexact."""
    dtype, weak = result_type_and_weakness(*args)
    dtype = inexact_dtype(dtype)
    return [convert(a, dtype, weak) for a in args]


def operands(name: str, *args: Any) -> list[Any]:
    """The arguments as operands; see `operand`."""
    return [operand(name, x, i) for i, x in enumerate(args)]


def arrays(name: str, *args: Any) -> list[Any]:
    """The arguments as arrays."""
    return [as_array(x, name) for x in operands(name, *args)]


def broadcast_shapes(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that the shapes have in common by NumPy's rules; TypeError if there is none."""
    rank = max(len(s) for s in shapes)
    result = [1] * rank
    for shape in shapes:
        for i, d in enumerate(shape, rank - len(shape)):
            if d != 1:
                if result[i] not in (1, d):
                    listed = ", ".join(map(str, shapes))
                    error = TypeError(
                        f"{name} got incompatible shapes for broadcasting: {listed}. From the last axis on, "
                        "sizes must be equal, or one of them 1; insert axes with x[:, None] or reshape."
                    )
                    raise user_context(error)
                result[i] = d
    return tuple(result)


def broadcast_to_shape(x: Any, shape: tuple[int, ...]) -> Any:
    """Repeat `x` along new leading axes and axes of size 1; the shapes are known to fit."""
    old = x.shape
    if old == shape:
        return x
    offset = len(shape) - len(old)
    return lax.broadcast_in_dim(x, shape, tuple(range(offset, len(shape))))


def broadcast_operands(name: str, args: Sequence[Any], keep_scalars: bool = True) -> list[Any]:
    """Arrays in their common shape. Scalars stay as they are: elementwise primitives take them beside any shape."""
    shapes = [a.shape for a in args]
    first = shapes[0]
    if all(s == first for s in shapes):
        return list(args)
    filled = [s for s in shapes if s]
    if keep_scalars and all(s == filled[0] for s in filled):
        return list(args)
    if len({len(s) for s in filled}) > 1:
        _check_rank_promotion(name, shapes)
    shape = broadcast_shapes(name, shapes)
    return [a if keep_scalars and not a.shape else broadcast_to_shape(a, shape) for a in args]


def _check_rank_promotion(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    """Warn or refuse, as the setting numpy_rank_promotion says, where new leading axes would be made."""
    setting = current().numpy_rank_promotion
    if setting == "allow":
        return
    listed = " ".join(map(str, shapes))
    if setting == "raise":
        error = ValueError(
            f"Operands could not be broadcast together for {name} on shapes {listed} while numpy_rank_promotion is "
            "'raise'. Insert axes with x[None], or set numpy_rank_promotion to 'allow'."
        )
        raise user_context(error)
    warn_user(f"Following NumPy automatic rank promotion for {name} on shapes {listed}.")


def promote(name: str, *args: Any) -> list[Any]:
    """Operands in their common dtype and shape."""
    return broadcast_operands(name, promote_dtypes(*operands(name, *args)))


def numeric(x: Any) -> Any:
    """The array itself, or as integers if it holds booleans."""
    return convert(x, dtypes.result_type(int)) if x.dtype == bool_dtype else x


def promote_numeric(name: str, *args: Any) -> list[Any]:
    """Operands in their common dtype, integers for booleans, and in their common shape."""
    return [numeric(x) for x in promote(name, *args)]


def promote_inexact(name: str, *args: Any) -> list[Any]:
    """Operands in their common inexact dtype and shape."""
    return broadcast_operands(name, promote_dtypes_inexact(*operands(name, *args)))


def user_dtype(dtype: DTypeLike, name: str) -> NpDType:
    """The dtype that a user asked for, as arrays have it; a warning if it is a 64-bit one and x64 is off."""
    return cast(NpDType, dtypes.check_and_canonicalize_user_dtype(dtype, name))


def refuse_out(name: str, out: Any) -> None:
    """Arrays are immutable: nothing can be written into `out`."""
    if out is not None:
        raise user_context(
            NotImplementedError(f"The 'out' argument to jnp.{name} is not supported: arrays are immutable.")
        )


def axis_index(axis: Any, ndim: int) -> int:
    """An axis in [0, ndim); ValueError if there is no such axis."""
    try:
        number = operator.index(axis)
    except TypeError:
        error = TypeError(f"axis must be an integer known while tracing, got {axis!r}")
        raise user_context(error) from None
    if not -ndim <= number < ndim:
        error_text = f"axis {axis} is out of bounds for array of dimension {ndim}"
        hint = f": it must be from {-ndim} to {ndim - 1}" if ndim else ", which has no axes"
        raise user_context(ValueError(error_text + hint))
    return number + ndim if number < 0 else number


def axis_tuple(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes in [0, ndim), in the order given; all of them for None. ValueError if one comes twice."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, tuple | list):
        result = tuple(axis_index(a, ndim) for a in axis)
        if len(set(result)) != len(result):
            raise user_context(ValueError(f"duplicate value in 'axis': {tuple(axis)}"))
        return result
    return (axis_index(axis, ndim),)


def static_int(x: Any, what: str) -> int:
    """`x` as a Python int; a clear error if it is traced or no integer."""
    try:
        return operator.index(x)
    except TypeError:
        if isinstance(x, Tracer):
            raise needs_value(x, what) from None
        error = TypeError(f"{what} must be an integer, got {x!r} of type {type(x).__name__}")
        raise user_context(error) from None


def needs_value(x: Tracer, what: str, way_out: str = "") -> BaseException:
    """The error where the argument `what` gives a shape, and so must be known, but is the tracer `x`."""
    aval = x.aval
    return user_context(
        ConcretizationTypeError(
            f"Abstract tracer value encountered where concrete value is expected: traced array with shape"
            f" {aval.dtype.name}[{','.join(map(str, aval.shape))}]\n{what} gives the shape of the result, which must be"
            f" known while the function is traced, but it is {x.describe()}."
            f" {way_out or 'Make it static (static_argnums or static_argnames of jit).'}"
        )
    )


def shape_tuple(shape: Any) -> tuple[int, ...]:
    """A shape argument, an int or a sequence of ints, as a tuple of ints."""
    if isinstance(shape, int):
        return (shape,)
    if isinstance(shape, ArrayBase | np.ndarray | np.generic) and shape.ndim == 0:
        shape = (shape,)
    try:
        return tuple([operator.index(d) for d in shape])
    except TypeError:
        raise user_context(_bad_shape(shape)) from None


def _bad_shape(shape: Any) -> TypeError:
    sizes = list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else [shape]
    message = f"Shapes must be 1D sequences of concrete values of integer type, got {shape!r}."
    traced = [d for d in sizes if isinstance(d, Tracer)]
    if traced:
        message += (
            f"\nA shape must be known while the function is traced, but one of its sizes is {traced[0].describe()}: "
            "make the argument static (static_argnums or static_argnames of jit)."
        )
    elif any(isinstance(d, float) for d in sizes):
        message += " Sizes are integers: divide with //, or convert with int()."
    return TypeError(message)


def size_of(shape: Sequence[int]) -> int:
    """The number of elements of an array of this shape."""
    return math.prod(shape)


def named(function: Callable[..., Any], name: str, doc: str) -> Any:
    """Give a generated function its public name and docstring."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "wengert.numpy"
    return function
