"""Functions that choose elements: by condition, by position, by coordinates."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.array import Array
from wengert.core.source import user_context
from wengert.core.trace import Tracer
from wengert.errors import ConcretizationTypeError
from wengert.numpy import reductions, ufuncs
from wengert.numpy._util import (
    ArrayLike,
    as_array,
    axis_index,
    broadcast_operands,
    broadcast_shapes,
    broadcast_to_shape,
    concrete,
    convert,
    operands,
    promote_dtypes,
    refuse_out,
    scalar,
    static_int,
)
from wengert.numpy.indexing import gather_scatter_mode, take_index
from wengert.numpy.manipulation import concatenate, ravel, reshape
from wengert.numpy.updates import update
from wengert.prims.select import select_n_p

_INT32 = np.dtype(np.int32)
_BOOL = np.dtype(np.bool_)


# By condition


def where(
    condition: Any, x: Any = None, y: Any = None, /, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """Elementwise x where `condition` holds, y elsewhere, in their common shape and dtype.

    Without x and y it is `nonzero(condition)`, with its `size` and `fill_value`.
    """
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise user_context(TypeError("where takes both x and y, or neither of them; one of them is None"))
    if size is not None or fill_value is not None:
        raise user_context(
            ValueError("size and fill_value arguments cannot be used in three-term where function.")
        )
    if type(x) is Array and type(condition) is Array and type(y) is Array and x.aval is y.aval:
        which = condition.aval
        if which.dtype is _BOOL and which.shape == x.aval.shape:  # nothing has to be converted
            return select_n_p.bind(condition, y, x)
    condition, x, y = operands("where", condition, x, y)
    condition = ufuncs.as_bool(as_array(condition))
    x, y = promote_dtypes(x, y)
    if not (condition.shape == x.shape == y.shape):
        shape = broadcast_shapes("where", (condition.shape, x.shape, y.shape))
        x, y = broadcast_to_shape(x, shape), broadcast_to_shape(y, shape)
        if condition.shape:  # one condition for all is chosen by itself
            condition = broadcast_to_shape(condition, shape)
    return lax.select(condition, x, y)


def clip(arr: ArrayLike | None = None, /, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Any:
    """`arr` with values below `min` raised to it and values above `max` lowered to it."""
    if arr is None:
        raise user_context(ValueError("At least one argument must be provided to clip."))
    if builtins.any(
        dtypes.issubdtype(as_array(v).dtype, np.complexfloating) for v in (arr, min, max) if v is not None
    ):
        raise user_context(
            ValueError("Clip received a complex value either through the input or the min/max keywords.")
        )
    result = as_array(arr, "clip")
    if min is not None:
        result = ufuncs.binary_functions["maximum"](min, result)
    if max is not None:
        result = ufuncs.binary_functions["minimum"](max, result)
    return result


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Elementwise the choice of the first condition that holds, `default` where none does."""
    if len(condlist) != len(choicelist):
        raise user_context(
            ValueError(
                f"condlist must have length equal to choicelist ({len(condlist)} vs {len(choicelist)})"
            )
        )
    if len(condlist) == 0:
        raise user_context(ValueError("condlist must be non-empty"))
    *choices, result = promote_dtypes(*operands("select", *choicelist, default))
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = where(condition, choice, result)
    return result


def piecewise(x: ArrayLike, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Elementwise the function (or number) of the last condition that holds, called with `x` and the other
    arguments.

    One more function than conditions is the default; else it is 0. All functions are computed everywhere.
    """
    x = as_array(x, "piecewise")
    conditions = (
        [as_array(c) for c in condlist] if isinstance(condlist, list | tuple) else [as_array(condlist)]
    )
    if len(conditions) == 1 and conditions[0].ndim > x.ndim:
        conditions = list(conditions[0])
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        default = functions.pop()
    elif len(functions) == len(conditions):
        default = 0
    else:
        raise user_context(
            ValueError(
                f"with {len(conditions)} condition(s), either {len(conditions)} or {len(conditions) + 1} functions "
                f"are expected; got {len(functions)}"
            )
        )

    def value(function: Any) -> Any:
        result = function(x, *args, **kw) if callable(function) else function
        return convert(as_array(result), x.dtype)

    result = broadcast_to_shape(value(default), x.shape)
    for condition, function in zip(conditions, functions, strict=True):
        result = where(condition, value(function), result)
    return result


def choose(a: ArrayLike, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """Elementwise the element of choices[a]. `mode` says what happens beyond the bounds: "wrap" or "clip"."""
    refuse_out("choose", out)
    a = as_array(a, "choose")
    arrays = promote_dtypes(*[as_array(c) for c in choices])
    n = len(arrays)
    if mode == "raise":
        if isinstance(a, Tracer):
            raise user_context(
                ConcretizationTypeError(
                    'jnp.choose with mode="raise" has to look at the indices; use mode="clip" or "wrap" under jit.',
                )
            )
        if builtins.bool(((a._np < 0) | (a._np >= n)).any()):
            raise user_context(ValueError("invalid entry in choice array"))
    elif mode == "wrap":
        a = ufuncs.remainder(a, n)
    elif mode == "clip":
        a = clip(a, 0, n - 1)
    else:
        raise user_context(ValueError(f"mode={mode!r} not understood. Must be 'raise', 'wrap', or 'clip'"))
    a, *arrays = broadcast_operands("choose", [a, *arrays], keep_scalars=False)
    result = arrays[-1]
    for i in range(n - 2, -1, -1):
        result = lax.select(lax.eq(a, broadcast_to_shape(scalar(i, a.dtype), a.shape)), arrays[i], result)
    return result


# Where elements are


def nonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """The coordinates of the elements that are not zero, one vector of indices for each axis, in row-major order.

    How many there are depends on the values, so under a transformation such as jit `size` must be given: then
    the vectors have that length, cut off or filled up with `fill_value` (an index, or one for each axis; 0).

    Raises:
      ConcretizationTypeError: `a` is traced and `size` is not given.
    """
    a = as_array(a, "nonzero")
    if a.ndim == 0:
        raise user_context(
            ValueError(
                "Calling nonzero on 0d arrays is not allowed. Use jnp.atleast_1d(scalar).nonzero() instead."
            )
        )
    if size is None:
        known = concrete(a)
        if known is None:
            raise user_context(
                ConcretizationTypeError(
                    f"Abstract tracer value encountered where concrete value is expected: {a.aval.str_short()}.\nThe "
                    "size argument of jnp.nonzero must be statically specified to use jnp.nonzero within JAX "
                    "transformations: the number of nonzero elements is the shape of the result."
                )
            )
        return tuple(as_array(i) for i in np.nonzero(known._np))
    size = static_int(size, "size")
    index_dtype = dtypes.canonicalize_dtype(int)
    mask = reshape(ufuncs.as_bool(a), (-1,)) if a.size else lax.full((0,), False, bool)
    place = lax.sub(lax.cumsum(convert(mask, index_dtype), 0), scalar(1, index_dtype)) if a.size else None
    found = lax.full((size,), 0, index_dtype)
    if (
        place is not None and size
    ):  # each true element writes its position into its place; false ones are dropped
        target = lax.select(mask, place, lax.full_like(place, size))
        found = update(
            found, target, lax.iota(index_dtype, a.size), "set", "drop", unique_indices=True, wrap=False
        )
    count = reductions.sum(mask, dtype=index_dtype)
    fills = (
        fill_value if isinstance(fill_value, tuple) else (0 if fill_value is None else fill_value,) * a.ndim
    )
    missing = lax.ge(lax.iota(index_dtype, size), broadcast_to_shape(count, (size,)))
    coordinates = []
    rest = found
    for d, fill in zip(reversed(a.shape), reversed(fills), strict=True):
        n = scalar(builtins.max(d, 1), index_dtype)
        index, rest = lax.rem(rest, n), lax.div(rest, n)
        coordinates.append(where(missing, convert(as_array(fill), index_dtype), index))
    return tuple(reversed(coordinates))


def flatnonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of the elements of the flattened array that are not zero; see `nonzero`."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The coordinates of the elements that are not zero, one row for each; see `nonzero`."""
    a = as_array(a, "argwhere")
    if a.ndim == 0:
        flat = nonzero(reshape(a, (1,)), size=size, fill_value=fill_value)[0]
        return lax.full((flat.size, 0), 0, flat.dtype)
    rows = nonzero(a, size=size, fill_value=fill_value)
    return concatenate([lax.expand_dims(r, (1,)) for r in rows], 1)


def compress(
    condition: ArrayLike,
    a: ArrayLike,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: ArrayLike = 0,
    out: None = None,
) -> Any:
    """The slices of `a` along `axis` (of the flattened array if None) for which `condition` holds.

    With `size` the result has that many, cut off or filled up with `fill_value`.
    """
    refuse_out("compress", out)
    a = as_array(a, "compress")
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_index(axis, a.ndim)
    mask = ufuncs.as_bool(as_array(condition, "compress"))
    if mask.ndim != 1:
        raise user_context(ValueError("condition must be a 1D array"))
    known = concrete(mask)
    if known is not None and known._np[a.shape[axis] :].any():
        raise user_context(ValueError("condition contains entries that are out of bounds"))
    mask = lax.slice_in_dim(mask, 0, builtins.min(mask.shape[0], a.shape[axis]))
    (index,) = nonzero(mask, size=size, fill_value=a.shape[axis])
    rows = (slice(None),) * axis + (index,)
    return take_index(a, rows, "fill" if size is not None else None, fill_value)


def extract(
    condition: ArrayLike, arr: ArrayLike, *, size: int | None = None, fill_value: ArrayLike = 0
) -> Any:
    """The elements of `arr`, flattened, for which `condition` holds; see `compress`."""
    return compress(ravel(condition), arr, size=size, fill_value=fill_value)


# By position


def take(
    a: ArrayLike,
    indices: ArrayLike,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """The elements at `indices` along `axis`, or in the flattened array.

    mode: for indices beyond the bounds: None or "fill" gives `fill_value` (NaN by default), "clip" the
    nearest element (negative indices too), "wrap" counts round and round.
    """
    refuse_out("take", out)
    a, indices = as_array(a, "take"), as_array(indices, "take")
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_index(axis, a.ndim)
    size = a.shape[axis]
    if size == 0 and indices.size:
        raise user_context(IndexError("Cannot do a non-empty jnp.take() from an empty axis."))
    wrap = True
    if mode == "raise":
        raise user_context(
            NotImplementedError(
                "The 'raise' mode to jnp.take is not supported; use 'fill', 'clip' or 'wrap'."
            )
        )
    if mode == "wrap":
        indices, mode = ufuncs.remainder(indices, builtins.max(size, 1)), "promise_in_bounds"
    elif mode == "clip":
        wrap = False
    rows = (slice(None),) * axis + (indices,)
    return take_index(a, rows, mode or "fill", fill_value, indices_are_sorted, unique_indices, wrap)


def take_along_axis(
    arr: ArrayLike,
    indices: ArrayLike,
    axis: int | None = -1,
    mode: str | None = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool | None = None,
) -> Any:
    """result[..., i, ...] = arr[..., indices[..., i, ...], ...]: what `argsort` and the like give is applied by
    this.

    The other axes broadcast. The modes are those of `take`, but "wrap".
    """
    arr, indices = as_array(arr, "take_along_axis"), as_array(indices, "take_along_axis")
    if indices.dtype.kind not in "iu":
        raise user_context(TypeError(f"take_along_axis indices must be of integer type, got {indices.dtype}"))
    if axis is None:
        if indices.ndim != 1:
            raise user_context(
                ValueError(f"take_along_axis indices must be 1D if axis=None, got shape {indices.shape}")
            )
        arr, axis = ravel(arr), 0
    if arr.ndim != indices.ndim:
        raise user_context(
            ValueError(
                f"indices and arr must have the same number of dimensions; {indices.ndim} vs. {arr.ndim}"
            )
        )
    axis = axis_index(axis, arr.ndim)
    arr, indices, numbers = _along_axis(arr, indices, axis)
    if wrap_negative_indices or (wrap_negative_indices is None and mode != "clip"):
        indices = _wrapped(indices, arr.shape[axis])
    chosen = gather_scatter_mode(mode)
    return lax.gather(
        arr,
        lax.expand_dims(indices, (indices.ndim,)),
        lax.GatherDimensionNumbers(
            offset_dims=(),
            collapsed_slice_dims=(axis,),
            start_index_map=(axis,),
            operand_batching_dims=numbers,
            start_indices_batching_dims=numbers,
        ),
        [min(d, 1) for d in arr.shape],
        mode=lax.GatherScatterMode.FILL_OR_DROP if chosen is None else chosen,
        fill_value=fill_value,
    )


def _along_axis(arr: Any, indices: Any, axis: int) -> tuple[Any, Any, tuple[int, ...]]:
    """Both with the same sizes along all other axes, and these axes."""
    others = tuple(i for i in range(arr.ndim) if i != axis)
    one_a = tuple(1 if i == axis else d for i, d in enumerate(arr.shape))
    one_i = tuple(1 if i == axis else d for i, d in enumerate(indices.shape))
    common = broadcast_shapes("take_along_axis", (one_a, one_i))
    shape_a = tuple(arr.shape[i] if i == axis else d for i, d in enumerate(common))
    shape_i = tuple(indices.shape[i] if i == axis else d for i, d in enumerate(common))
    return broadcast_to_shape(arr, shape_a), broadcast_to_shape(indices, shape_i), others


def _wrapped(indices: Any, size: int) -> Any:
    if indices.dtype.kind == "u":
        return indices
    if indices.dtype.itemsize < 4:
        indices = convert(indices, _INT32)
    negative = lax.lt(indices, scalar(0, indices.dtype))
    return lax.select(negative, lax.add(indices, scalar(size, indices.dtype)), indices)


def put(a: ArrayLike, ind: ArrayLike, v: ArrayLike, mode: str | None = None, *, inplace: bool = True) -> Any:
    """A copy of `a` with the elements at `ind` of the flattened array replaced by `v`; needs inplace=False.

    mode: for indices beyond the bounds: None or "clip" takes the nearest element (with "clip"
    negative ones count as such too), "wrap" counts round and round.
    """
    _refuse_inplace("put", inplace)
    a, index, values = as_array(a), ravel(ind), ravel(v)
    if a.size == 0 or index.size == 0:
        return a
    if mode is None:
        scatter_mode = "clip"
    elif mode == "clip":
        index, scatter_mode = clip(index, 0, a.size - 1), "promise_in_bounds"
    elif mode == "wrap":
        index, scatter_mode = ufuncs.remainder(index, a.size), "promise_in_bounds"
    else:
        raise user_context(
            NotImplementedError(f"The mode {mode!r} of jnp.put is not supported; use None, 'clip' or 'wrap'.")
        )
    if values.size < index.size:
        values = concatenate([values] * -(-index.size // values.size))
    values = lax.slice_in_dim(values, 0, index.size)
    return reshape(update(ravel(a), index, values, "set", scatter_mode), a.shape)


def _refuse_inplace(name: str, inplace: bool) -> None:
    if inplace:
        raise user_context(
            ValueError(
                f"jnp.{name} cannot modify arrays in-place, because JAX arrays are immutable. "
                "Pass inplace=False to instead return an updated array."
            )
        )


def put_along_axis(
    arr: ArrayLike,
    indices: ArrayLike,
    values: ArrayLike,
    axis: int | None,
    inplace: bool = True,
    *,
    mode: str | None = None,
) -> Any:
    """A copy of `arr` with the elements that `take_along_axis` would take replaced by `values`; needs inplace=False."""
    _refuse_inplace("put_along_axis", inplace)
    arr, indices = as_array(arr), as_array(indices)
    shape = arr.shape
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = axis_index(axis, arr.ndim)
    if arr.ndim != indices.ndim:
        raise user_context(
            ValueError(
                f"put_along_axis arguments 'arr' and 'indices' must have same ndim. Got {arr.ndim=}, {indices.ndim=}."
            )
        )
    arr, indices, _ = _along_axis(arr, indices, axis)
    index = tuple(
        indices if i == axis else lax.broadcasted_iota(_INT32, indices.shape, i) for i in range(arr.ndim)
    )
    values = broadcast_to_shape(convert(as_array(values), arr.dtype), indices.shape)
    return reshape(update(arr, index, values, "set", mode), shape)


def place(arr: ArrayLike, mask: ArrayLike, vals: ArrayLike, *, inplace: bool = True) -> Any:
    """A copy of `arr` with the elements where `mask` holds replaced, in order, by `vals`, over and over."""
    _refuse_inplace("place", inplace)
    arr, values = as_array(arr), ravel(vals)
    if arr.size and values.size == 0:
        raise user_context(ValueError("Cannot place values from an empty array"))
    mask = ufuncs.as_bool(ravel(mask))
    if mask.size != arr.size:
        raise user_context(ValueError("place: arr and mask must be the same size"))
    number = lax.sub(lax.cumsum(convert(mask, _INT32), 0), scalar(1, _INT32))
    chosen = take(values, number, mode="wrap")
    return reshape(lax.select(mask, convert(chosen, arr.dtype), ravel(arr)), arr.shape)


def delete(arr: ArrayLike, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Any:
    """`arr` without the slices at `obj` (an index, a slice, indices or a mask) along `axis`."""
    arr = as_array(arr, "delete")
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = axis_index(axis, arr.ndim)
    size = arr.shape[axis]
    if isinstance(obj, Tracer):
        return _delete_traced(arr, obj, axis, assume_unique_indices)
    if isinstance(obj, slice):
        gone = np.arange(size)[obj]
    else:
        given = np.asarray(obj)
        if given.dtype == bool and given.shape != (size,):
            raise user_context(
                ValueError(
                    f"np.delete(arr, obj): for boolean indices, obj must be one-dimensional with length {size}"
                )
            )
        gone = np.flatnonzero(given) if given.dtype == bool else given.astype(int).reshape(-1)
        if ((gone < -size) | (gone >= size)).any():
            raise user_context(IndexError(f"index {obj} is out of bounds for axis {axis} with size {size}"))
    kept = np.delete(np.arange(size), gone)
    if kept.size and kept.size > 2 * (np.diff(kept) > 1).sum():  # a few contiguous parts
        edges = np.flatnonzero(np.diff(kept) > 1) + 1
        parts = [lax.slice_in_dim(arr, int(p[0]), int(p[-1]) + 1, axis=axis) for p in np.split(kept, edges)]
        return concatenate(parts, axis)
    return take_index(arr, (slice(None),) * axis + (kept,))


def _delete_traced(arr: Any, obj: Any, axis: int, unique: bool) -> Any:
    """Indices known only at run time: elements behind a deleted one move up."""
    if obj.dtype == bool:
        raise user_context(
            ConcretizationTypeError(
                "jnp.delete with a traced mask: the shape of the result would depend on its values"
            )
        )
    size = arr.shape[axis]
    index = _wrapped(ravel(obj), size)
    if index.size != 1 and not unique:
        raise user_context(
            ConcretizationTypeError(
                "jnp.delete with several traced indices needs assume_unique_indices=True, for a static shape.",
            )
        )
    gone = update(lax.full((size,), False, bool), index, True, "set", "drop", wrap=False)
    (kept,) = nonzero(lax.bitwise_not(gone), size=builtins.max(0, size - index.size))
    return take_index(arr, (slice(None),) * axis + (kept,))


def insert(arr: ArrayLike, obj: Any, values: ArrayLike, axis: int | None = None) -> Any:
    """`arr` with `values` inserted before the indices `obj` along `axis` (of the flattened array if None)."""
    a, values = as_array(arr, "insert"), as_array(values, "insert")
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_index(axis, a.ndim)
    size = a.shape[axis]
    if isinstance(obj, slice):
        obj = np.arange(size)[obj]
    if isinstance(obj, Tracer):
        indices, count = ravel(obj), obj.size
        indices = clip(_wrapped(indices, size), 0, size)
    else:
        given = np.asarray(obj)
        if given.dtype == bool:
            given = np.flatnonzero(given)
        if ((given < -size) | (given > size)).any():
            raise user_context(IndexError(f"index {obj} is out of bounds for axis {axis} with size {size}"))
        indices = as_array(np.where(given < 0, given + size, given).reshape(-1).astype(np.int32))
        count = indices.size
    if np.ndim(obj) == 0 and values.ndim == a.ndim and values.ndim:
        count = values.shape[axis]
        indices = broadcast_to_shape(indices, (count,))
    values = convert(values, a.dtype)
    if np.ndim(obj) == 0 and 0 < values.ndim < a.ndim:
        values = lax.expand_dims(values, (axis,)) if values.ndim == a.ndim - 1 else values
    block = (*a.shape[:axis], count, *a.shape[axis + 1 :])
    values = broadcast_to_shape(values, block)
    # A stable sort by the index before which each element stands, insertions first.
    order = concatenate([indices, lax.iota(indices.dtype, size)])
    numbers = lax.iota(_INT32, count + size)
    _, source = lax.sort((order, numbers), dimension=0, num_keys=1, is_stable=True)
    return take_index(concatenate([values, a], axis), (slice(None),) * axis + (source,))
