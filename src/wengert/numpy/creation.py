"""Functions that make arrays: of Python and NumPy data, of constants, of ranges and grids."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.array import Array, ArrayBase, from_numpy, wrap
from wengert.core.avals import ShapedArray
from wengert.core.source import user_context
from wengert.core.trace import Tracer
from wengert.numpy import ufuncs
from wengert.numpy._util import (
    PYTHON_SCALARS,
    ArrayLike,
    DTypeLike,
    NpDType,
    as_array,
    axis_index,
    broadcast_shapes,
    broadcast_to_shape,
    concrete,
    convert,
    convert_numpy,
    inexact_dtype,
    needs_value,
    operand,
    promote_dtypes_inexact,
    result_type_and_weakness,
    scalar,
    shape_tuple,
    static_int,
    user_dtype,
)


def array(
    object: Any,
    dtype: DTypeLike | None = None,
    *args: Any,
    copy: bool = True,
    order: str | None = "K",
    ndmin: int = 0,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """An array of `object`: a number, an array, or nested sequences of them.

    Python numbers give weakly typed arrays, unless `dtype` is given; lists of numbers don't. The result has
    at least `ndmin` axes; new ones come first, of size 1.

    Raises:
      TypeError: `object` contains something that is no number.
      ValueError: nested sequences of different lengths; None.
      OverflowError: an integer that doesn't fit into the dtype.
    """
    if args:
        raise user_context(
            TypeError("array() takes 1 or 2 positional arguments; pass copy, order, ndmin by keyword")
        )
    _check_order("array", order, ("K", "C", "A", "F"))
    result = _to_array(object, None if dtype is None else user_dtype(dtype, "array"))
    if copy and result is object and isinstance(result, Array):
        result = from_numpy(result._np, result.weak_type)
    if result.ndim < ndmin:
        result = lax.expand_dims(result, tuple(range(ndmin - result.ndim)))
    return result


def asarray(
    a: Any,
    dtype: DTypeLike | None = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """`array`, without a copy where `a` is an array of this dtype already."""
    if isinstance(a, ArrayBase) and dtype is None and not copy:
        return a
    return array(a, dtype, copy=bool(copy), order=order or "K")


def _check_order(name: str, order: str | None, known: Sequence[str]) -> None:
    if order is not None and order not in known:
        raise user_context(ValueError(f"{name}: order must be one of {', '.join(known)}, got {order!r}"))


def _to_array(object: Any, dtype: NpDType | None) -> Any:
    if isinstance(object, ArrayBase):
        return object if dtype is None else convert(object, dtype)
    if object.__class__ in PYTHON_SCALARS:
        if dtype is None:
            return scalar(object, cast(NpDType, dtypes.result_type(object)), not isinstance(object, bool))
        if dtype.kind in "iu":
            np.asarray(object, dtype)  # an OverflowError where it doesn't fit
        return scalar(object, dtype)
    if isinstance(object, np.ndarray | np.generic):
        return _from_numpy(object, dtype)
    if isinstance(object, list | tuple):
        return _from_sequence(object, dtype)
    if object is None:
        raise user_context(ValueError("None is not a valid value for jnp.array"))
    if hasattr(object, "__jax_array__"):
        return _to_array(object.__jax_array__(), dtype)
    if isinstance(object, PYTHON_SCALARS):
        return _to_array(PYTHON_SCALARS[0](object) if isinstance(object, int) else object.__pos__(), dtype)
    if isinstance(object, Sequence) and not isinstance(object, str | bytes):
        return _from_sequence(list(object), dtype)
    return _from_numpy(np.asarray(object), dtype)


def _from_numpy(x: Any, dtype: NpDType | None) -> Array:
    if dtype is not None and x.dtype.kind not in "OSUMm" and x.dtype.names is None:
        if x.dtype.kind == "c" and dtype.kind != "c":
            x = x.real
        return from_numpy(np.asarray(x).astype(dtype))
    return convert_numpy(x)


def _leaves(sequence: Sequence[Any]) -> Iterator[Any]:
    for item in sequence:
        if isinstance(item, list | tuple):
            yield from _leaves(item)
        else:
            yield item


def _from_sequence(object: Any, dtype: NpDType | None) -> Any:
    leaves = list(_leaves(object))
    if builtins.all(leaf.__class__ in PYTHON_SCALARS for leaf in leaves):
        if dtype is None:
            dtype = dtypes.result_type(*{leaf.__class__ for leaf in leaves} or {float})
        return from_numpy(np.array(object, dtype))
    if any(leaf is None for leaf in leaves):
        raise user_context(ValueError("None is not a valid value for jnp.array"))
    leaves = [_to_array(leaf, None) for leaf in leaves]
    if dtype is None:
        dtype = dtypes.result_type(*leaves)
    if not any(isinstance(leaf, Tracer) for leaf in leaves):
        values = iter(leaves)
        return from_numpy(np.array(_rebuild(object, lambda: next(values)._np), dtype))
    values = iter(leaves)
    return _stack_nested(_rebuild(object, lambda: convert(next(values), dtype)))


def _rebuild(sequence: Any, next_leaf: Callable[[], Any]) -> Any:
    """The nested lists again, with other leaves."""
    return [_rebuild(x, next_leaf) if isinstance(x, list | tuple) else next_leaf() for x in sequence]


def _stack_nested(nested: Any) -> Any:
    if not isinstance(nested, list):
        return nested
    parts = [_stack_nested(x) for x in nested]
    shapes = {p.shape for p in parts}
    if len(shapes) > 1:
        raise user_context(
            ValueError(
                "setting an array element with a sequence: the elements of a list have different shapes, "
                f"{', '.join(map(str, sorted(shapes)))}. Use stack or concatenate after making them equal."
            )
        )
    return lax.concatenate([lax.expand_dims(p, (0,)) for p in parts], 0)


def copy(a: ArrayLike, order: str | None = None) -> Any:
    """A copy of the array in memory of its own."""
    return array(a, copy=True)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array of the data of another library's array that speaks DLPack, e.g. a torch tensor.

    The memory is shared where that can be done (contiguous, at a multiple of 64 bytes, a dtype that is on), unless
    `copy` is True; its owner must not write to it any more. With `copy=False` it is shared or refused.

    Raises:
      TypeError: `x` does not speak DLPack, or its dtype is none of an array's.
      ValueError: `copy` is False, and the memory can't be shared.
    """
    if isinstance(x, Array):
        return from_numpy(x._np, x.weak_type) if copy else x
    if not (hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__")):
        raise user_context(
            TypeError(
                "The array passed to from_dlpack must have __dlpack__ and __dlpack_device__ methods, got "
                f"{type(x).__name__}. Lists and numbers become arrays by jnp.asarray."
            )
        )
    values = np.from_dlpack(x)
    sharable = values.flags.c_contiguous and values.dtype == dtypes.canonicalize_dtype(values.dtype)
    if copy or not sharable or (copy is None and values.__array_interface__["data"][0] % 64):
        if copy is False:
            raise user_context(
                ValueError(
                    f"from_dlpack: a {values.dtype} array with strides {values.strides} can't be shared (copy=False). "
                    "Arrays are contiguous, and of 32 bits unless enable_x64 is on; leave out copy=False."
                )
            )
        return convert_numpy(values)
    shared = values.view()
    shared.setflags(write=False)
    return wrap(shared, ShapedArray(shared.shape, shared.dtype))


def frombuffer(buffer: Any, dtype: DTypeLike = float, count: int = -1, offset: int = 0) -> Any:
    """A 1-D array of the bytes of `buffer`, read as `dtype`."""
    return asarray(np.frombuffer(buffer, dtype=dtype, count=count, offset=offset))


def fromstring(string: str, dtype: DTypeLike = float, count: int = -1, *, sep: str) -> Any:
    """A 1-D array of the numbers in a text, separated by `sep`."""
    return asarray(np.fromstring(string, dtype=dtype, count=count, sep=sep))


def fromfile(*args: Any, **kwargs: Any) -> Any:
    """A 1-D array of a file's contents, read by `numpy.fromfile`, whose arguments it takes."""
    return asarray(np.fromfile(*args, **kwargs))


def fromiter(*args: Any, **kwargs: Any) -> Any:
    """A 1-D array of what an iterator gives, read by `numpy.fromiter`, whose arguments it takes."""
    return asarray(np.fromiter(*args, **kwargs))


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """What `numpy.load` reads from a .npy or .npz file; an array as an array of this library."""
    result = np.load(file, *args, **kwargs)
    return asarray(result) if isinstance(result, np.ndarray) else result


def _filled(name: str, shape: Any, value: Any, dtype: DTypeLike | None, default: Any = float) -> Any:
    chosen = dtypes.canonicalize_dtype(default) if dtype is None else user_dtype(dtype, name)
    return lax.full(shape_tuple(shape), value, chosen)


def zeros(shape: Any, dtype: DTypeLike | None = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of zeros, float32 (float64 under x64) unless `dtype` says otherwise."""
    return _filled("zeros", shape, 0, dtype)


def ones(shape: Any, dtype: DTypeLike | None = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of ones, float32 (float64 under x64) unless `dtype` says otherwise."""
    return _filled("ones", shape, 1, dtype)


def empty(shape: Any, dtype: DTypeLike | None = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array whose contents don't matter: zeros, since arrays can't be written to later."""
    return _filled("empty", shape, 0, dtype)


def full(
    shape: Any,
    fill_value: ArrayLike,
    dtype: DTypeLike | None = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """An array of this shape filled with `fill_value`, which may be an array that broadcasts to the shape."""
    shape = shape_tuple(shape)
    value = as_array(fill_value, "full")
    if dtype is not None:
        value = convert(value, user_dtype(dtype, "full"))
    return broadcast_to(value, shape)


def broadcast_to(array: ArrayLike, shape: Any, *, out_sharding: Any = None) -> Any:
    """`array` repeated along new leading axes and axes of size 1, to `shape`."""
    array = as_array(array, "broadcast_to")
    shape = shape_tuple(shape)
    if array.shape == shape:
        return array
    if array.ndim > len(shape):
        raise user_context(
            ValueError(
                f"Cannot broadcast to shape with fewer dimensions: arr_shape={array.shape} shape={shape}"
            )
        )
    if any(a not in (1, b) for a, b in zip(array.shape[::-1], shape[::-1], strict=False)):
        raise user_context(
            ValueError(f"Incompatible shapes for broadcasting: {array.shape} and requested shape {shape}")
        )
    return broadcast_to_shape(array, shape)


def _like(name: str, a: Any, value: Any, dtype: DTypeLike | None, shape: Any) -> Any:
    if not isinstance(a, ArrayBase) and not (hasattr(a, "shape") and hasattr(a, "dtype")):
        a = as_array(a, name)
    weak = dtype is None and getattr(a, "weak_type", False)
    if dtype is None:
        chosen = dtypes.canonicalize_dtype(a.dtype, allow_extended_dtype=True)
    else:
        chosen = user_dtype(dtype, name)
    target = a.shape if shape is None else shape_tuple(shape)
    if isinstance(value, int):
        value = scalar(value, chosen, weak)
    else:
        value = convert(as_array(value, name), chosen, weak)
    return broadcast_to(value, target)


def zeros_like(
    a: Any, dtype: DTypeLike | None = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Zeros of the shape and dtype of `a`, an array or anything with these two attributes."""
    return _like("zeros_like", a, 0, dtype, shape)


def ones_like(
    a: Any, dtype: DTypeLike | None = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Ones of the shape and dtype of `a`, an array or anything with these two attributes."""
    return _like("ones_like", a, 1, dtype, shape)


def empty_like(
    prototype: Any, dtype: DTypeLike | None = None, shape: Any = None, *, device: Any = None
) -> Any:
    """An array of the shape and dtype of `prototype`; its contents, which don't matter, are zeros."""
    return _like("empty_like", prototype, 0, dtype, shape)


def full_like(
    a: Any,
    fill_value: ArrayLike,
    dtype: DTypeLike | None = None,
    shape: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """`fill_value` in the shape and dtype of `a`, an array or anything with these two attributes."""
    return _like("full_like", a, fill_value, dtype, shape)


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: DTypeLike | None = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """start, start + step, ... up to but without `stop`; `arange(n)` is 0, 1, ... n - 1.

    The arguments must be known while tracing, since they give the shape. Integers give integers.

    Raises:
      ConcretizationTypeError: an argument is traced.
      ZeroDivisionError: `step` is zero.
    """
    numbers = [
        _static_number(x, f"the argument '{n}' of jnp.arange")
        for x, n in ((start, "start"), (stop, "stop"), (step, "step"))
    ]
    given = [x for x in numbers if x is not None]
    if not given:
        raise user_context(TypeError("arange needs a stop value"))
    if dtype is None:
        chosen = cast(NpDType, dtypes.result_type(*given))
    else:
        chosen = user_dtype(dtype, "arange")
    if stop is None:
        first, last = 0, numbers[0]
    else:
        first, last = numbers[0] or 0, numbers[1]
    stride = 1 if numbers[2] is None else numbers[2]
    if stride == 0:
        raise user_context(ZeroDivisionError("arange: the step must not be zero"))
    size = builtins.max(0, math.ceil((last - first) / stride))
    if chosen.kind == "b":
        return from_numpy(np.arange(first, last, stride, dtype=chosen))
    if chosen.kind == "c" or (chosen.itemsize < 4 and chosen.kind not in "iu"):
        return convert(arange(first, last, stride), chosen)
    result = lax.iota(chosen, size)
    if stride != 1:
        result = lax.mul(scalar(stride, chosen), result)
    return result if first == 0 else lax.add(scalar(first, chosen), result)


def _static_number(x: Any, what: str) -> Any:
    """A number that gives a shape, as a Python or NumPy scalar."""
    if x is None or isinstance(x, int | float):
        return x
    if isinstance(x, Tracer):
        known = concrete(x)
        if known is None:
            raise needs_value(x, what)
        x = known._np
    value = np.asarray(x)
    if value.ndim:
        raise user_context(TypeError(f"{what} must be a scalar, got an array of shape {value.shape}"))
    return value[()]


def linspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DTypeLike | None = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`, along a new axis; without `stop` unless `endpoint`.

    Returns the numbers, and with `retstep` their distance too.
    """
    num = static_int(num, "the argument 'num' of jnp.linspace")
    if num < 0:
        raise user_context(ValueError(f"Number of samples, {num}, must be non-negative."))
    start, stop = operand("linspace", start), operand("linspace", stop, 1)
    common, _ = result_type_and_weakness(start, stop)
    work = inexact_dtype(common)
    chosen = work if dtype is None else user_dtype(dtype, "linspace")
    first, last = (convert(as_array(x), work) for x in (start, stop))
    shape = broadcast_shapes("linspace", (first.shape, last.shape))
    first, last = broadcast_to_shape(first, shape), broadcast_to_shape(last, shape)
    divisions = num - 1 if endpoint else num
    if num == 0:
        result, step = lax.full((0, *shape), 0, work), lax.full(shape, math.nan, work)
    else:
        result, step = _interpolated(first, last, num, divisions, endpoint)
    if dtypes.issubdtype(chosen, np.integer) and work.kind != "c":
        result = lax.floor(result)
    axis = axis_index(axis, result.ndim)
    if axis:
        result = lax.transpose(result, (*range(1, axis + 1), 0, *range(axis + 1, result.ndim)))
    result = convert(result, chosen)
    return (result, step) if retstep else result


def _interpolated(first: Any, last: Any, num: int, divisions: int, endpoint: bool) -> tuple[Any, Any]:
    """`num` values along a new first axis, and their step; the last value is exact."""
    dtype, shape = first.dtype, first.shape
    if divisions == 0:
        return lax.expand_dims(first, (0,)), lax.full(shape, math.nan, dtype)
    real = dtypes.finfo(dtype).dtype
    count = scalar(divisions, dtype)
    step = lax.div(lax.sub(last, first), count)
    n = divisions if endpoint else num
    counter = lax.reshape(convert(lax.iota(real, n), dtype), (n,) + (1,) * len(shape))
    counter = broadcast_to_shape(counter, (n, *shape))
    fraction = lax.div(counter, count)
    # first*(1 - t) + last*t is exact at both ends and monotonous
    one = scalar(1, dtype)
    low = lax.mul(broadcast_to_shape(first, (n, *shape)), lax.sub(one, fraction))
    high = lax.mul(broadcast_to_shape(lax.div(last, count), (n, *shape)), counter)
    result = lax.add(low, high)
    if endpoint:
        result = lax.concatenate([result, lax.expand_dims(last, (0,))], 0)
    return result, step


def logspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    base: ArrayLike = 10.0,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """`base` to the powers of `num` evenly spaced exponents from `start` to `stop`."""
    start, stop = promote_dtypes_inexact(operand("logspace", start), operand("logspace", stop, 1))
    exponents = linspace(start, stop, num, endpoint, False, None, axis)
    result = ufuncs.power(convert(as_array(base), exponents.dtype), exponents)
    return result if dtype is None else convert(result, user_dtype(dtype, "logspace"))


def geomspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """`num` numbers from `start` to `stop` with a constant ratio."""
    start, stop = (
        as_array(x) for x in promote_dtypes_inexact(operand("geomspace", start), operand("", stop))
    )
    common = start.dtype
    signs = ufuncs.sign(start)
    scaled = [ufuncs.log10(ufuncs.divide(x, signs)) for x in (start, stop)]
    result = logspace(scaled[0], scaled[1], num, endpoint, 10.0, None, 0)
    result = ufuncs.binary_functions["multiply"](signs, result)
    axis = axis_index(axis, result.ndim)
    if axis:
        result = lax.transpose(result, (*range(1, axis + 1), 0, *range(axis + 1, result.ndim)))
    return convert(result, common if dtype is None else user_dtype(dtype, "geomspace"))


def eye(
    N: Any,
    M: Any = None,
    k: int | ArrayLike = 0,
    dtype: DTypeLike | None = None,
    *,
    device: Any = None,
) -> Any:
    """Ones on the diagonal `k` (above the main one if positive), zeros elsewhere; shape (N, M), M = N if None."""
    rows = static_int(N, "N")
    columns = rows if M is None else static_int(M, "M")
    chosen = dtypes.canonicalize_dtype(float) if dtype is None else user_dtype(dtype, "eye")
    if rows < 0 or columns < 0:
        raise user_context(ValueError(f"negative dimensions are not allowed, got {rows} and {columns}"))
    return lax.convert_element_type(_diagonal_mask(rows, columns, k, lax.eq), chosen)


def _diagonal_mask(rows: int, columns: int, k: Any, compare: Callable[[Any, Any], Any]) -> Any:
    """compare(row + k, column) at each place of a matrix."""
    dtype = np.dtype(np.int32)
    row = lax.broadcasted_iota(dtype, (rows, columns), 0)
    column = lax.broadcasted_iota(dtype, (rows, columns), 1)
    return compare(lax.add(row, convert(as_array(k), dtype)), column)


def identity(n: Any, dtype: DTypeLike | None = None) -> Any:
    """The n x n unit matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: DTypeLike | None = None) -> Any:
    """Ones on and below the diagonal `k`, zeros above; shape (N, M), M = N if None."""
    chosen = dtypes.canonicalize_dtype(float) if dtype is None else user_dtype(dtype, "tri")
    return lax.convert_element_type(_diagonal_mask(N, N if M is None else M, k, lax.ge), chosen)


def _masked(name: str, m: Any, k: int, lower: bool) -> Any:
    m = as_array(m, name)
    if m.ndim < 2:
        raise user_context(
            ValueError(f"Argument to jax.numpy.{name} must be at least 2D, got shape {m.shape}")
        )
    mask = _diagonal_mask(m.shape[-2], m.shape[-1], k if lower else k - 1, lax.ge)
    mask = broadcast_to_shape(mask, m.shape)
    zero = lax.full_like(m, 0)
    return lax.select(mask, m, zero) if lower else lax.select(mask, zero, m)


def tril(m: ArrayLike, k: int = 0) -> Any:
    """The lower triangle of matrices: zeros above the diagonal `k`."""
    return _masked("tril", m, k, True)


def triu(m: ArrayLike, k: int = 0) -> Any:
    """The upper triangle of matrices: zeros below the diagonal `k`."""
    return _masked("triu", m, k, False)


def meshgrid(*xi: ArrayLike, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Any]:
    """Coordinate arrays of a grid, from one 1-D array for each of its axes.

    With indexing "xy" the second axis of the results belongs to the first argument, with "ij" the first one.
    """
    arrays = [as_array(x, "meshgrid") for x in xi]
    if indexing not in ("ij", "xy"):
        raise user_context(ValueError(f"Valid values for indexing are 'xy' and 'ij', got {indexing}"))
    if any(a.ndim != 1 for a in arrays):
        raise user_context(
            ValueError(f"Arguments to jax.numpy.meshgrid must be 1D, got shapes {[a.shape for a in arrays]}")
        )
    n = len(arrays)
    axes = list(range(n))
    if indexing == "xy" and n > 1:
        axes[0], axes[1] = 1, 0
    sizes = [1] * n
    for a, axis in zip(arrays, axes, strict=True):
        sizes[axis] = a.size
    result = []
    for a, axis in zip(arrays, axes, strict=True):
        shape = tuple(a.size if i == axis else 1 for i in range(n)) if sparse else tuple(sizes)
        result.append(lax.broadcast_in_dim(a, shape, (axis,)))
    return result


def indices(dimensions: Sequence[int], dtype: DTypeLike | None = None, sparse: bool = False) -> Any:
    """The index along each axis at each place of a grid: shape (len(dimensions), *dimensions), or a tuple if sparse."""
    chosen = dtypes.canonicalize_dtype(int if dtype is None else dtype)
    sizes = shape_tuple(dimensions)
    n = len(sizes)
    if sparse:
        shapes = [tuple(d if i == axis else 1 for i in range(n)) for axis, d in enumerate(sizes)]
        return tuple(lax.broadcasted_iota(chosen, shape, axis) for axis, shape in enumerate(shapes))
    grids = [lax.expand_dims(lax.broadcasted_iota(chosen, sizes, axis), (0,)) for axis in range(n)]
    return lax.concatenate(grids, 0) if grids else lax.full((0,), 0, chosen)


def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: DTypeLike = float, **kwargs: Any) -> Any:
    """`function` of the indices of each place of an array of this shape, called once with arrays of indices."""
    return function(*indices(shape_tuple(shape), dtype), **kwargs)
