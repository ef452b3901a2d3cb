"""`x.at[index]`: copies of an array with some elements changed.

The mechanism is chosen by what is known of the index:

- static integers and slices of step 1 name a window: the new window is put in place by dynamic_update_slice
  at a constant position, which costs what the window costs;
- a mask with a scalar value is one select;
- everything else is one scatter; strided slices become index arrays there.

Updates beyond the bounds are dropped, unless mode="clip".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.source import user_context, warn_user
from wengert.numpy import ufuncs
from wengert.numpy._util import (
    as_array,
    broadcast_to_shape,
    convert,
    dtype_of,
    is_weak,
    operand,
    result_type_and_weakness,
    scalar,
)
from wengert.numpy.indexing import (
    Entry,
    Index,
    gather_scatter_mode,
    parse,
    stacked_indices,
    take_index,
)

_add, _multiply = ufuncs.binary_functions["add"], ufuncs.binary_functions["multiply"]
_subtract = ufuncs.binary_functions["subtract"]

# For each operation: what it does to elements in a window, and the scatter that does it at indices.
_OPERATIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[..., Any]]] = {
    "set": (lambda old, new: new, lax.scatter),
    "add": (_add, lax.scatter_add),
    "multiply": (_multiply, lax.scatter_mul),
    "min": (ufuncs.binary_functions["minimum"], lax.scatter_min),
    "max": (ufuncs.binary_functions["maximum"], lax.scatter_max),
}


def update(
    x: Any,
    item: Any,
    values: Any,
    operation: str,
    mode: Any = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    wrap: bool = True,
) -> Any:
    """A copy of `x` in which the elements at `item` are combined with `values`, which broadcast to their shape."""
    values = operand(f".at[].{operation}", values)
    _warn_of_loss(x, values)
    values = convert(values, x.dtype, x.weak_type)
    if values.ndim == 0 and _is_leading_mask(x, item):
        return _where_mask(x, item, values, operation)
    index = parse(x.shape, item, wrap, mode)
    mode = gather_scatter_mode(mode)
    clip = mode == lax.GatherScatterMode.CLIP
    values = _broadcast_values(values, index.result_shape)
    if (index.out_of_bounds and not clip) or 0 in values.shape:
        return x
    if index.is_static and all(e.kind != "slice" or abs(e.step) == 1 or e.size == 1 for e in index.entries):
        return _update_window(x, index, values, operation)
    return _scatter(x, index, values, operation, mode, indices_are_sorted, unique_indices)


def _warn_of_loss(x: Any, values: Any) -> None:
    dtype, _ = result_type_and_weakness(x, values)
    if dtype != x.dtype and not (is_weak(values) and dtypes.kind_of(dtype_of(values)) in "iu"):
        warn_user(
            f"scatter inputs have incompatible types: cannot safely cast value from dtype={dtype_of(values)} to "
            f"dtype={x.dtype}. Convert the value with astype, or the array before the update.",
            FutureWarning,
        )


def _broadcast_values(values: Any, shape: tuple[int, ...]) -> Any:
    if values.ndim > len(shape):
        extra = values.ndim - len(shape)
        if any(d != 1 for d in values.shape[:extra]):
            raise user_context(
                ValueError(
                    f"Cannot broadcast to shape with fewer dimensions: arr_shape={values.shape} shape={shape}"
                )
            )
        values = lax.squeeze(values, tuple(range(extra)))
    if any(a not in (1, b) for a, b in zip(values.shape[::-1], shape[::-1], strict=False)):
        raise user_context(
            ValueError(f"Incompatible shapes for broadcasting: {values.shape} and requested shape {shape}")
        )
    return broadcast_to_shape(values, shape)


def _is_leading_mask(x: Any, item: Any) -> bool:
    if isinstance(item, tuple) and len(item) == 1:
        item = item[0]
    return (
        isinstance(item, ArrayBase | np.ndarray)
        and item.dtype == bool
        and item.ndim > 0
        and item.shape == x.shape[: item.ndim]
    )


def _where_mask(x: Any, item: Any, value: Any, operation: str) -> Any:
    mask = as_array(item[0] if isinstance(item, tuple) else item)
    mask = lax.broadcast_in_dim(mask, x.shape, tuple(range(mask.ndim)))
    value = lax.broadcast_in_dim(value, x.shape, ())
    return lax.select(mask, _OPERATIONS[operation][0](x, value), x)


def _to_operand_order(index: Index, values: Any) -> Any:
    """Values in the shape of the result of reading, without the new axes and with ascending slices."""
    new = tuple(i for i, label in enumerate(index.labels) if isinstance(label, Entry) and label.kind == "new")
    falling = tuple(i for i, label in enumerate(index.labels) if isinstance(label, Entry) and label.step < 0)
    if falling:
        values = lax.rev(values, falling)
    return lax.squeeze(values, new) if new else values


def _update_window(x: Any, index: Index, values: Any, operation: str) -> Any:
    """Static integers and slices of step 1 or -1: a window at a constant position."""
    starts, sizes = [0] * x.ndim, list(x.shape)
    for e in index.entries:
        if e.kind == "int":
            starts[e.axis], sizes[e.axis] = min(max(e.start, 0), x.shape[e.axis] - 1), 1
        elif e.kind == "slice":
            low = e.start if e.step > 0 else e.start + (e.size - 1) * e.step
            starts[e.axis], sizes[e.axis] = low, e.size
    window = lax.reshape(_to_operand_order(index, values), tuple(sizes))
    if operation != "set":
        limits = [start + size for start, size in zip(starts, sizes, strict=True)]
        old = x if tuple(sizes) == x.shape else lax.slice(x, starts, limits)
        window = convert(_OPERATIONS[operation][0](old, window), x.dtype, x.weak_type)
    if tuple(sizes) == x.shape:
        return window
    return lax.dynamic_update_slice(x, window, starts)


def _scatter(
    x: Any, index: Index, values: Any, operation: str, mode: Any, is_sorted: bool, unique: bool
) -> Any:
    values = _to_operand_order(index, values)
    labels = [label for label in index.labels if not (isinstance(label, Entry) and label.kind == "new")]
    strided = [e for e in index.entries if e.kind == "slice" and abs(e.step) != 1 and e.size > 1]
    windows = [e for e in index.entries if e.kind == "slice" and e not in strided]
    rank = len(index.batch)
    batch = (*index.batch, *[e.size for e in strided])

    # The values' axes in the order of the scatter: those of the index arrays, strided slices, windows.
    order = [labels.index(k) for k in range(rank)] + [labels.index(e) for e in (*strided, *windows)]
    if order != list(range(len(order))):
        values = lax.transpose(values, tuple(order))

    indexed = [e for e in index.entries if e.kind != "new" and not _is_full(e, x)]
    columns = [_scatter_index(e, strided, batch, rank) for e in indexed]
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=tuple(range(len(batch), len(order))),
        inserted_window_dims=tuple(
            e.axis for e in index.entries if e.kind in ("int", "array") or e in strided
        ),
        scatter_dims_to_operand_dims=tuple(e.axis for e in indexed),
    )
    return _OPERATIONS[operation][1](
        x,
        stacked_indices(indexed, columns, batch),
        values,
        numbers,
        indices_are_sorted=is_sorted or not batch,
        unique_indices=unique or not index.arrays or not batch,
        mode=lax.GatherScatterMode.FILL_OR_DROP if mode is None else mode,
    )


def _is_full(e: Entry, x: Any) -> bool:
    return e.kind == "slice" and e.size == x.shape[e.axis]


def _scatter_index(e: Entry, strided: list[Entry], batch: tuple[int, ...], rank: int) -> Any:
    """The index of an entry along its axis, broadcastable to the shape `batch`."""
    if e.kind == "array":
        extra = len(batch) - rank
        if isinstance(e.array, np.ndarray):
            return e.array.reshape(e.array.shape + (1,) * extra)
        return (
            lax.expand_dims(e.array, tuple(range(e.array.ndim, e.array.ndim + extra))) if extra else e.array
        )
    if e.kind == "int":
        return np.asarray(e.start)
    low = e.start if e.step > 0 else e.start + (e.size - 1) * e.step
    if e not in strided:
        return np.asarray(low)
    position = rank + strided.index(e)
    steps = low + abs(e.step) * np.arange(e.size)
    return steps.reshape([e.size if i == position else 1 for i in range(len(batch))])


class _IndexUpdateHelper:
    """`x.at`: index it, then read or update; see `_IndexUpdateRef`."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array

    def __getitem__(self, index: Any) -> _IndexUpdateRef:
        return _IndexUpdateRef(self.array, index)

    def __repr__(self) -> str:
        return f"_IndexUpdateHelper({self.array!r})"


class _IndexUpdateRef:
    """`x.at[index]`: its methods return copies of `x` with the elements at the index changed; `x` stays as it is.

    They share these arguments:
      mode: for indices beyond the bounds: None or "drop" leaves them out, "clip" takes the nearest element,
        "wrap" counts on from the other end, "promise_in_bounds" asserts that there are none.
      indices_are_sorted, unique_indices: promises that may make it faster.
      wrap_negative_indices: whether negative indices count from the end.
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any):
        self.array = array
        self.index = index

    def __repr__(self) -> str:
        return f"_IndexUpdateRef({self.array!r}, {self.index!r})"

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """x[index]. With mode="fill", elements beyond the bounds are `fill_value` (NaN, or an extreme integer)."""
        return take_index(
            self.array,
            self.index,
            mode,
            fill_value,
            indices_are_sorted,
            unique_indices,
            wrap_negative_indices,
        )

    def apply(
        self,
        func: Callable[[Any], Any],
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """`func`, elementwise, of the elements at the index, as often as they are indexed."""
        x = self.array
        index = parse(x.shape, self.index, wrap_negative_indices, mode)
        if index.is_static or unique_indices:
            changed = func(take_index(x, self.index, mode, wrap=wrap_negative_indices))
            return update(x, self.index, changed, "set", mode, wrap=wrap_negative_indices)
        zeros = lax.full(x.shape, 0, np.dtype(np.int32))
        counts = update(zeros, self.index, 1, "add", mode, wrap=wrap_negative_indices)
        most = lax.reduce_max(counts, axes=tuple(range(counts.ndim)))

        def once_more(k: Any, current: Any) -> Any:
            again = lax.gt(counts, lax.broadcast_in_dim(k, counts.shape, ()))
            return lax.select(again, convert(func(current), x.dtype, x.weak_type), current)

        return lax.fori_loop(scalar(0, most.dtype), most, once_more, x)

    def set(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by `values`."""
        return self._update(values, "set", mode, indices_are_sorted, unique_indices, wrap_negative_indices)

    def add(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by their sum with `values`, as often as it is indexed."""
        return self._update(values, "add", mode, indices_are_sorted, unique_indices, wrap_negative_indices)

    def subtract(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by their difference to `values`, as often as it is indexed."""
        return self._update(
            lax.neg(as_array(values)), "add", mode, indices_are_sorted, unique_indices, wrap_negative_indices
        )

    def multiply(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by their product with `values`, as often as it is indexed."""
        return self._update(
            values, "multiply", mode, indices_are_sorted, unique_indices, wrap_negative_indices
        )

    def _products(self, values: Any, mode: Any, *promises: bool) -> Any:
        """For each element of the array the product of the values that are meant for it; 1 where there are none."""
        ones = lax.full_like(self.array, 1)
        return _IndexUpdateRef(ones, self.index)._update(values, "multiply", mode, *promises)

    def divide(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by their quotient by `values`, as often as it is indexed."""
        divisor = self._products(values, mode, indices_are_sorted, unique_indices, wrap_negative_indices)
        return ufuncs.divide(self.array, divisor)

    def power(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by their power to `values`, as often as it is indexed."""
        exponent = self._products(values, mode, indices_are_sorted, unique_indices, wrap_negative_indices)
        return convert(ufuncs.power(self.array, exponent), self.array.dtype, self.array.weak_type)

    def min(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by the smaller of them and `values`, as often as it is indexed."""
        return self._update(values, "min", mode, indices_are_sorted, unique_indices, wrap_negative_indices)

    def max(
        self,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """The elements at the index replaced by the larger of them and `values`, as often as it is indexed."""
        return self._update(values, "max", mode, indices_are_sorted, unique_indices, wrap_negative_indices)

    mul = multiply

    def _update(
        self, values: Any, operation: str, mode: Any, is_sorted: bool, unique: bool, wrap: bool
    ) -> Any:
        return update(self.array, self.index, values, operation, mode, is_sorted, unique, wrap)
