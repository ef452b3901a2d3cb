"""What `x[index]` means: NumPy's indexing, as slices where possible, as one gather otherwise.

An index is parsed once into entries, one for each axis of the operand and each new axis; reading (here) and
updating (in `updates`) are built on the same entries:

- static integers and slices become slice, rev and squeeze: views, that stencils are fused from;
- traced scalars alone become one dynamic_slice;
- index arrays, beside whatever else, become one gather, after the static part has been cut out.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.config import current
from wengert.core.array import Array, ArrayBase, wrap
from wengert.core.avals import ShapedArray
from wengert.core.source import user_context
from wengert.core.trace import Tracer, current_trace as _current_trace, eval_trace
from wengert.errors import NonConcreteBooleanIndexError
from wengert.numpy._util import as_array, broadcast_to_shape, concrete, convert, scalar

_INT32 = np.dtype(np.int32)

_MODES = {
    None: None,
    "clip": "CLIP",
    "fill": "FILL_OR_DROP",
    "drop": "FILL_OR_DROP",
    "promise_in_bounds": "PROMISE_IN_BOUNDS",
    "wrap": "PROMISE_IN_BOUNDS",  # so they are, once `parse` has wrapped them
}


def gather_scatter_mode(mode: Any) -> Any:
    """A mode argument as lax.GatherScatterMode; None stays, its meaning differs between reading and writing."""
    if isinstance(mode, lax.GatherScatterMode):
        return mode
    try:
        name = _MODES[mode.lower() if isinstance(mode, str) else mode]
    except (KeyError, TypeError):
        raise user_context(
            ValueError(
                f"Unknown gather mode: {mode!r}; it must be 'clip', 'fill', 'drop', 'wrap', 'promise_in_bounds' or None"
            )
        ) from None
    return None if name is None else getattr(lax.GatherScatterMode, name)


_NOTHING = object()  # stands for the index False, a new axis of size 0


class Entry:
    """One part of an index: a new axis, a slice, a static integer, or an index array on one axis of the operand.

    size: of the new axis or of the slice. An array is a NumPy array if it is known, else an array or tracer;
    negative indices are wrapped already.
    """

    __slots__ = ("array", "axis", "kind", "size", "start", "step")

    def __init__(self, kind: str, axis: int, start: int = 0, size: int = 1, step: int = 1, array: Any = None):
        self.kind = kind  # "new", "slice", "int", "array"
        self.axis = axis
        self.start = start
        self.size = size
        self.step = step
        self.array = array


class Index:
    """A parsed index.

    shape: of the operand. batch: the common shape of the index arrays. labels: what each axis of the result
    is: an entry (slice or new axis), or the number of an axis of `batch`.
    """

    __slots__ = ("arrays", "batch", "entries", "labels", "out_of_bounds", "shape")

    def __init__(self, shape: tuple[int, ...], entries: list[Entry]):
        self.shape = shape
        self.entries = entries
        self.arrays = [e for e in entries if e.kind == "array"]
        self.batch = _batch_shape([e.array.shape for e in self.arrays])
        self.out_of_bounds = any(e.kind == "int" and not 0 <= e.start < shape[e.axis] for e in entries)
        self.labels = self._labels()

    def _labels(self) -> list[Any]:
        """NumPy's rule: the axes of the index arrays stand where the arrays stand, or first if something other
        than an integer separates the arrays."""
        advanced = [i for i, e in enumerate(self.entries) if e.kind in ("array", "int")]
        batch = list(range(len(self.batch)))
        adjacent = bool(advanced) and advanced[-1] - advanced[0] + 1 == len(advanced)
        labels: list[Any] = [] if adjacent else [*batch]
        for i, entry in enumerate(self.entries):
            if adjacent and i == advanced[0]:
                labels += batch
            if entry.kind in ("slice", "new"):
                labels.append(entry)
        return labels

    @property
    def result_shape(self) -> tuple[int, ...]:
        return tuple(label.size if isinstance(label, Entry) else self.batch[label] for label in self.labels)

    @property
    def is_static(self) -> bool:
        return not self.arrays


def _batch_shape(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise user_context(
            ValueError(f"Incompatible shapes for broadcasting: the index arrays have shapes {shapes}")
        ) from None


def parse(shape: tuple[int, ...], index: Any, wrap: bool = True, mode: Any = None) -> Index:
    """The entries of `index` for an operand of this shape.

    wrap: negative indices count from the end. mode: "wrap" counts all indices modulo the size of their axis.

    Raises:
      IndexError: too many indices, a mask of another shape, a slice with traced bounds.
      TypeError: an index that is no integer, slice, mask, None or Ellipsis.
      NonConcreteBooleanIndexError: a traced mask.
    """
    items = _expand_masks(shape, _items(index))
    used = sum(1 for item in items if item is not None and item is not _NOTHING and item is not Ellipsis)
    if used > len(shape):
        raise user_context(
            IndexError(f"Too many indices: array is {len(shape)}-dimensional, but {used} were indexed")
        )
    ellipses = sum(1 for item in items if item is Ellipsis)
    if ellipses > 1:
        raise user_context(IndexError("an index can only have a single ellipsis ('...')"))
    entries: list[Entry] = []
    axis = 0
    for position, item in enumerate(items if ellipses else [*items, Ellipsis]):
        if item is None or item is _NOTHING:
            entries.append(Entry("new", axis, size=1 if item is None else 0))
        elif item is Ellipsis:
            for _ in range(len(shape) - used):
                entries.append(Entry("slice", axis, 0, shape[axis]))
                axis += 1
        else:
            entries.append(_entry(item, axis, shape[axis], position, wrap))
            axis += 1
    if mode == "wrap":
        for entry in entries:
            _wrap_around(entry, shape)
    return Index(shape, entries)


def _wrap_around(entry: Entry, shape: tuple[int, ...]) -> None:
    """Take the indices of an entry modulo the size of its axis."""
    if entry.kind not in ("int", "array") or shape[entry.axis] == 0:
        return
    size = shape[entry.axis]
    if entry.kind == "int":
        entry.start %= size
    elif isinstance(entry.array, np.ndarray):
        entry.array = entry.array % size
    else:
        rest = lax.rem(entry.array, scalar(size, entry.array.dtype))
        entry.array = _wrap_negative(rest, size)


def _items(index: Any) -> tuple[Any, ...]:
    """The parts of an index. A sequence within a tuple stands for an array; one that is the whole index is refused,
    since NumPy has given it several meanings."""
    if isinstance(index, list):
        error = TypeError(
            "Using a non-tuple sequence for multidimensional indexing is not allowed; use `arr[array(seq)]` "
            "instead of `arr[seq]`."
        )
        raise user_context(error)
    items = index if isinstance(index, tuple) else (index,)
    if any(isinstance(item, str) for item in items):
        raise user_context(TypeError(f"string indexing is not supported; got idx={index!r}"))
    if any(isinstance(item, list | tuple) for item in items):
        return tuple([_sequence(item) if isinstance(item, list | tuple) else item for item in items])
    return items


def _sequence(item: Any) -> Any:
    if not item:
        return np.zeros(0, np.int32)
    if any(isinstance(x, ArrayBase) for x in item):
        return lax.concatenate([lax.expand_dims(as_array(x), (0,)) for x in item], 0)
    return np.asarray(item)


def _expand_masks(shape: tuple[int, ...], index: tuple[Any, ...]) -> list[Any]:
    """The items of an index, with masks replaced by the indices of their true elements."""
    items: list[Any] = []
    axis = 0
    for position, item in enumerate(index):
        if item is None or item is Ellipsis or (isinstance(item, slice | int) and not isinstance(item, bool)):
            items.append(item)
            axis = -1 if item is Ellipsis or axis < 0 else axis + (item is not None)
            continue
        mask = _as_mask(item)
        if mask is None:
            items.append(item)
            axis = axis + 1 if axis >= 0 else axis
            continue
        if mask.ndim == 0:  # a new axis, of size 1 or 0
            items.append(None if mask else _NOTHING)
            continue
        expected = shape[axis : axis + mask.ndim] if axis >= 0 else _after_ellipsis(shape, index[position:])
        if mask.shape != expected[: mask.ndim]:
            error = IndexError(
                f"boolean index did not match shape of indexed array in index {position}: got {mask.shape}, "
                f"expected {expected}"
            )
            raise user_context(error)
        items += list(np.nonzero(mask))
        axis = axis + mask.ndim if axis >= 0 else axis
    return items


def _after_ellipsis(shape: tuple[int, ...], rest: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes of the axes that the rest of an index stands for, if it ends the index."""
    count = sum(
        max(1, np.ndim(item)) if _as_mask(item) is not None else 1 for item in rest if item is not None
    )
    return shape[len(shape) - count :]


def _as_mask(item: Any) -> np.ndarray[Any, Any] | None:
    """A boolean item as a NumPy array; None for other items."""
    if isinstance(item, bool | np.bool_):
        return np.asarray(item)
    if isinstance(item, ArrayBase | np.ndarray) and item.dtype == bool:
        if isinstance(item, np.ndarray):
            return item
        known = concrete(item)
        if known is None:
            assert isinstance(item, Tracer)
            raise user_context(
                NonConcreteBooleanIndexError(
                    f"Array boolean indices must be concrete; got {item.aval.str_short()}: the size of the result "
                    f"would depend on the values of the mask, which is {item.describe()}. Keep the shape and choose "
                    "values with jnp.where(mask, x, other), or give sums and the like the mask by their argument where."
                )
            )
        return known._np
    return None


def _entry(item: Any, axis: int, size: int, position: int, wrap: bool) -> Entry:
    if isinstance(item, slice):
        return _slice_entry(item, axis, size, position)
    if isinstance(item, int | np.integer):
        return _int_entry(int(item), axis, size, wrap)
    if not isinstance(item, ArrayBase | np.ndarray):
        if hasattr(item, "__index__"):
            return _int_entry(operator.index(item), axis, size, wrap)
        try:
            item = as_array(item)
        except TypeError:
            error = TypeError(f"an index must be an integer, slice, array, None or Ellipsis, got {item!r}")
            raise user_context(error) from None
    if item.dtype.kind not in "iu":
        raise user_context(
            TypeError(
                f"Indexer must have integer or boolean type, got indexer with type {item.dtype} at position "
                f"{position}. Convert it with astype(int), or divide with // where it is computed."
            )
        )
    known = concrete(item)
    item = item if known is None else known._np
    if isinstance(item, np.ndarray):
        if item.ndim == 0:
            return _int_entry(int(item), axis, size, wrap)
        if wrap and item.dtype.kind == "i":
            item = np.where(item < 0, item.astype(np.int64) + size, item)
        return Entry("array", axis, array=item)
    return Entry("array", axis, array=_wrap_negative(item, size) if wrap else item)


def _int_entry(i: int, axis: int, size: int, wrap: bool) -> Entry:
    return Entry("int", axis, i + size if i < 0 and wrap else i)


def _slice_entry(item: slice, axis: int, size: int, position: int) -> Entry:
    try:
        start, stop, step = item.indices(size)
    except TypeError:
        if any(isinstance(v, Tracer) for v in (item.start, item.stop, item.step)):
            traced = next(v for v in (item.start, item.stop, item.step) if isinstance(v, Tracer))
            error = IndexError(
                "Array slice indices must have static start/stop/step to be used with NumPy indexing syntax. "
                f"Got {item} at position {position}, with {traced.describe()}: the size of an array must not depend on "
                "traced values. For a part of known size at a traced position use lax.dynamic_slice (x[i:i+3] is "
                "lax.dynamic_slice(x, (i,), (3,))); or make the argument static (static_argnums of jit)."
            )
            raise user_context(error) from None
        raise user_context(
            TypeError(f"slice bounds must be integers or None, got {item} at position {position}")
        ) from None
    return Entry("slice", axis, start, len(range(start, stop, step)), step)


def _wrap_negative(index: Any, size: int) -> Any:
    """A traced index with negative values counted from the end."""
    if index.dtype.kind == "u":
        return index
    if index.dtype.itemsize < 4 or index.weak_type:
        index = convert(index, _INT32 if index.dtype.itemsize < 4 else index.dtype)
    zero, n = scalar(0, index.dtype), scalar(size, index.dtype)
    return lax.select(lax.lt(index, zero), lax.add(index, n), index)


def static_part(x: Any, index: Index) -> Any:
    """Cut the static slices and integers out of `x`, and drop the axes of the integers.

    Integers beyond the bounds are taken as the nearest ones within.
    """
    starts, limits, strides = [0] * x.ndim, list(x.shape), [1] * x.ndim
    reversed_axes, gone = [], []
    for e in index.entries:
        if e.kind == "int":
            i = min(max(e.start, 0), x.shape[e.axis] - 1)
            starts[e.axis], limits[e.axis] = i, i + 1
            gone.append(e.axis)
        elif e.kind == "slice":
            if e.step < 0:
                reversed_axes.append(e.axis)
            starts[e.axis], limits[e.axis], strides[e.axis] = _ascending(e)
    if any(starts) or limits != list(x.shape) or any(s != 1 for s in strides):
        x = lax.slice(x, starts, limits, None if all(s == 1 for s in strides) else strides)
    if reversed_axes:
        x = lax.rev(x, tuple(reversed_axes))
    return lax.squeeze(x, tuple(gone)) if gone else x


def _ascending(e: Entry) -> tuple[int, int, int]:
    """start, limit and stride of the elements of a slice in ascending order."""
    if e.size == 0:
        return 0, 0, 1
    last = e.start + (e.size - 1) * e.step
    low, high = min(e.start, last), max(e.start, last)
    return low, high + 1, 1 if e.size == 1 else abs(e.step)


def insert_new_axes(x: Any, index: Index) -> Any:
    """The new axes of the index, in the result."""
    places = [i for i, label in enumerate(index.labels) if isinstance(label, Entry) and label.kind == "new"]
    if places:
        x = lax.expand_dims(x, tuple(places))
    for i in places:
        if index.labels[i].size == 0:
            x = lax.slice_in_dim(x, 0, 0, axis=i)
    return x


_BASIC = frozenset((int, slice, type(None), type(Ellipsis)))


def getitem(self: Any, item: Any) -> Any:
    """x[item]; see the module."""
    if self.__class__ is Array and _current_trace() is eval_trace:
        kind = item.__class__
        if kind in _BASIC or (kind is tuple and all(i.__class__ in _BASIC for i in item)):
            try:  # a view of NumPy's, which is what slice, rev and squeeze would make
                values = self._np[item]
            except (IndexError, TypeError):  # beyond the bounds, or not an index at all: as below
                pass
            else:
                aval = self.aval
                if aval.dtype.kind != "V" or not current().debug_key_reuse:  # that follows keys by operations
                    return wrap(values, ShapedArray(values.shape, aval.dtype, aval.weak_type))
    return take_index(self, item)


def take_index(
    x: Any,
    item: Any,
    mode: Any = None,
    fill_value: Any = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    wrap: bool = True,
) -> Any:
    """x[item], with a mode for indices beyond the bounds: clipped by default, or replaced by `fill_value`."""
    index = parse(x.shape, item, wrap, mode)
    mode = gather_scatter_mode(mode)
    filling = mode == lax.GatherScatterMode.FILL_OR_DROP
    if index.out_of_bounds and (filling or 0 in x.shape):
        _refuse_empty(index)
        return _filled(index.result_shape, x, fill_value)
    rest = static_part(x, index)
    if index.is_static:
        return insert_new_axes(rest, index)
    gone = {e.axis for e in index.entries if e.kind == "int"}
    axis_of = {axis: k for k, axis in enumerate(a for a in range(x.ndim) if a not in gone)}
    if not index.batch and not filling:
        result = _dynamic_scalars(rest, index, axis_of)
    else:
        result = _gather(rest, index, axis_of, mode, fill_value, indices_are_sorted, unique_indices)
    return insert_new_axes(result, index)


def _refuse_empty(index: Index) -> None:
    for e in index.entries:
        if e.kind == "int" and index.shape[e.axis] == 0:
            raise user_context(IndexError(f"index is out of bounds for axis {e.axis} with size 0"))


def _filled(shape: tuple[int, ...], x: Any, fill_value: Any) -> Any:
    if fill_value is None:
        fill_value = default_fill_value(x.dtype)
    return lax.full(shape, fill_value, x.dtype)


def default_fill_value(dtype: np.dtype[Any]) -> Any:
    """What reading beyond the bounds gives: NaN, the lowest signed integer, the highest unsigned one, or True."""
    if dtype.kind in "fcV":
        return math.nan
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max


def _dynamic_scalars(x: Any, index: Index, axis_of: dict[int, int]) -> Any:
    """Only scalar indices, of which some are traced: one window at a position known at run time."""
    starts: list[Any] = [0] * x.ndim
    sizes = list(x.shape)
    for e in index.arrays:
        axis = axis_of[e.axis]
        starts[axis], sizes[axis] = e.array, 1
    window = lax.dynamic_slice(x, starts, sizes, allow_negative_indices=False)  # they are wrapped already
    return lax.squeeze(window, tuple(axis_of[e.axis] for e in index.arrays))


def stacked_indices(entries: Sequence[Entry], arrays: Sequence[Any], batch: tuple[int, ...]) -> Any:
    """Index arrays side by side in a new last axis, in their common shape."""
    if all(isinstance(a, np.ndarray) for a in arrays):
        known = np.stack([np.broadcast_to(a, batch) for a in arrays], axis=-1)
        limits = np.iinfo(np.int32)
        return as_array(np.clip(known, limits.min, limits.max).astype(np.int32))
    converted = [as_array(a) for a in arrays]
    dtype = np.dtype(np.int64) if any(a.dtype.itemsize > 4 for a in converted) else _INT32
    columns = [
        lax.expand_dims(broadcast_to_shape(convert(a, dtype), batch), (len(batch),)) for a in converted
    ]
    return columns[0] if len(columns) == 1 else lax.concatenate(columns, len(batch))


def _within(array: np.ndarray[Any, Any], size: int) -> bool:
    return array.size == 0 or bool(array.min() >= 0 and array.max() < size)


def _gather(
    x: Any, index: Index, axis_of: dict[int, int], mode: Any, fill_value: Any, is_sorted: bool, unique: bool
) -> Any:
    axes = [axis_of[e.axis] for e in index.arrays]
    arrays = [e.array for e in index.arrays]
    if 0 in index.batch:
        kept = [label for label in index.labels if not (isinstance(label, Entry) and label.kind == "new")]
        sizes = [label.size if isinstance(label, Entry) else index.batch[label] for label in kept]
        return lax.full(sizes, 0, x.dtype)
    known = all(isinstance(a, np.ndarray) for a in arrays)
    if known and all(_within(e.array, index.shape[e.axis]) for e in index.arrays):
        mode = lax.GatherScatterMode.PROMISE_IN_BOUNDS
    elif known and mode != lax.GatherScatterMode.FILL_OR_DROP:
        for e, a in zip(index.arrays, arrays, strict=True):
            if index.shape[e.axis] == 0 and a.size:
                raise user_context(IndexError(f"index is out of bounds for axis {e.axis} with size 0"))
        arrays = [np.clip(a, 0, index.shape[e.axis] - 1) for e, a in zip(index.arrays, arrays, strict=True)]
    kept = [label for label in index.labels if not (isinstance(label, Entry) and label.kind == "new")]
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(i for i, label in enumerate(kept) if isinstance(label, Entry)),
        collapsed_slice_dims=tuple(sorted(axes)),
        start_index_map=tuple(axes),
    )
    return lax.gather(
        x,
        stacked_indices(index.arrays, arrays, index.batch),
        numbers,
        tuple(1 if axis in axes else d for axis, d in enumerate(x.shape)),
        indices_are_sorted=is_sorted,
        unique_indices=unique,
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS if mode is None else mode,
        fill_value=fill_value,
    )
