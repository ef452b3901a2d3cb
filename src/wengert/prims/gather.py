"""Reading and writing windows at indices: gather, scatter, and scatters that combine.

`start_indices` has a last axis: the coordinates of one window each. Its other axes, in order, are the axes
of the result that are not in `offset_dims`; the axes of the windows are those that are.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, instantiate, is_undefined, is_zero
from wengert.prims.arithmetic import add, div, mul
from wengert.prims.axes import batch_to, move_axis, zeros_of
from wengert.prims.constructors import (
    Shape,
    as_operand,
    constant,
    dtype_of,
    linear_jvp,
    mismatch,
    origin,
    same_dtype,
    shape_of,
)
from wengert.prims.conversion import convert
from wengert.prims.logic import eq
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota, full, reshape
from wengert.prims.slicing import PlacedCotangent


class GatherScatterMode(enum.Enum):
    """What happens to windows that are not wholly inside of the array.

    CLIP moves them inside. FILL_OR_DROP reads a fill value, and drops what would be written.
    PROMISE_IN_BOUNDS is for indices that are known to be in bounds; if they are not, reading clips and
    writing drops.
    """

    CLIP = enum.auto()
    FILL_OR_DROP = enum.auto()
    PROMISE_IN_BOUNDS = enum.auto()
    ONE_HOT = enum.auto()

    @staticmethod
    def from_any(mode: Any) -> GatherScatterMode:
        """A mode from its name: "clip", "fill", "drop", "promise_in_bounds"; None is the default."""
        if isinstance(mode, GatherScatterMode):
            return mode
        names = {None: "FILL_OR_DROP", "fill": "FILL_OR_DROP", "drop": "FILL_OR_DROP", "clip": "CLIP"}
        names |= {"promise_in_bounds": "PROMISE_IN_BOUNDS"}
        if mode not in names:
            raise ValueError(
                f'Unknown gather mode "{mode}": it is one of clip, fill, drop, promise_in_bounds'
            )
        return GatherScatterMode[names[mode]]


class GatherDimensionNumbers(NamedTuple):
    """Which axes of operand, indices and result belong together in `gather`.

    Attributes:
      offset_dims: the axes of the result that run within a window.
      collapsed_slice_dims: the axes of the operand, of window size 1, that are not in the result.
      start_index_map: for each coordinate the axis of the operand that it indexes.
      operand_batching_dims: axes of the operand that go in step with those of the indices.
      start_indices_batching_dims: these axes of the indices.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """Which axes of operand, indices and updates belong together in the scatters.

    Attributes:
      update_window_dims: the axes of the updates that run within a window.
      inserted_window_dims: the axes of the operand, of window size 1, that are not in the updates.
      scatter_dims_to_operand_dims: for each coordinate the axis of the operand that it indexes.
      operand_batching_dims, scatter_indices_batching_dims: axes of operand and indices that go in step.
    """

    update_window_dims: Sequence[int]
    inserted_window_dims: Sequence[int]
    scatter_dims_to_operand_dims: Sequence[int]
    operand_batching_dims: Sequence[int] = ()
    scatter_indices_batching_dims: Sequence[int] = ()


class Windows:
    """The axes of a gather or scatter, sorted out.

    `slice_sizes` has one entry for each axis of the operand; `rank` is that of the result or the updates.
    """

    __slots__ = ("batching", "collapsed", "index_map", "offset", "others", "sizes")

    def __init__(
        self,
        offset: Shape,
        collapsed: Shape,
        index_map: Shape,
        batching: dict[int, int],
        sizes: Shape,
        rank: int,
    ):
        self.offset = offset
        self.collapsed = {*collapsed, *batching}
        self.index_map = index_map
        self.batching = batching
        self.sizes = sizes
        self.others = [i for i in range(rank) if i not in offset]

    @staticmethod
    def of_gather(numbers: GatherDimensionNumbers, slice_sizes: Shape, rank: int) -> Windows:
        batching = dict(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims))
        return Windows(
            numbers.offset_dims,
            numbers.collapsed_slice_dims,
            numbers.start_index_map,
            batching,
            slice_sizes,
            rank,
        )

    @staticmethod
    def of_scatter(numbers: ScatterDimensionNumbers, shape: Shape, updates: Shape) -> Windows:
        batching = dict(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims))
        gone = {*numbers.inserted_window_dims, *batching}
        window = iter([updates[i] for i in numbers.update_window_dims])
        sizes = tuple([min(n, 1) if d in gone else next(window) for d, n in enumerate(shape)])
        return Windows(
            tuple(numbers.update_window_dims),
            tuple(numbers.inserted_window_dims),
            tuple(numbers.scatter_dims_to_operand_dims),
            batching,
            sizes,
            len(updates),
        )

    @property
    def window_axes(self) -> list[int]:
        """The axes of the operand that are in the windows, in order."""
        return [d for d in range(len(self.sizes)) if d not in self.collapsed]


# --------------------------------------------------------------------------------------------- checks of both


def _check_windows(name: str, operand: ShapedArray, indices: ShapedArray, w: Windows, rank: int) -> None:
    if dtypes.kind_of(indices.dtype) not in "iu":
        raise TypeError(f"{name} indices must be integers, got {indices.dtype}")
    if not indices.ndim or indices.shape[-1] != len(w.index_map):
        raise TypeError(
            f"{name}: the last axis of the indices, of shape {indices.shape}, must have one entry for each "
            "of the "
            f"{len(w.index_map)} axes that they index: {w.index_map}"
        )
    axes = (*w.index_map, *w.collapsed)
    if not all(0 <= d < operand.ndim for d in axes) or len(set(w.index_map)) != len(w.index_map):
        raise TypeError(
            f"{name}: axes {axes} are out of bounds or stand twice, for operand shape {operand.shape}"
        )
    if len(w.sizes) != operand.ndim or any(n > d or n < 0 for n, d in zip(w.sizes, operand.shape)):
        raise TypeError(
            f"{name}: windows of shape {w.sizes} do not fit in the operand, of shape {operand.shape}"
        )
    if any(w.sizes[d] > 1 for d in w.collapsed):
        raise TypeError(f"{name}: windows must have size 1 along axes {sorted(w.collapsed)}, got {w.sizes}")
    if len(w.offset) != len(w.window_axes) or rank != len(w.offset) + indices.ndim - 1:
        raise TypeError(
            f"{name}: windows have {len(w.window_axes)} axes and indices {indices.ndim - 1}, which does not "
            "fit window "
            f"axes {w.offset} in a result of {rank} axes"
        )
    if list(w.offset) != sorted(set(w.offset)) or not all(0 <= i < rank for i in w.offset):
        raise TypeError(f"{name}: window axes {w.offset} must be sorted and in bounds")
    for d, i in w.batching.items():
        if operand.shape[d] != indices.shape[i]:
            raise TypeError(
                f"{name}: batching axes must have equal sizes, got {operand.shape[d]} and {indices.shape[i]}"
            )


# -------------------------------------------------------------------------------------------------- reference


class _Places:
    """NumPy index arrays for windows. Axes that windows span wholly come last, and take no index array."""

    __slots__ = ("arrays", "inside", "order", "permutation")

    def __init__(self, xp: Any, shape: Shape, indices: Any, w: Windows):
        whole = [d for d in w.window_axes if w.sizes[d] == shape[d]]
        indexed = [d for d in range(len(shape)) if d not in whole]
        partial = [d for d in w.window_axes if d not in whole]
        batch = indices.shape[:-1]
        indices = (
            indices.astype(np.int64)
            if indices.dtype != np.uint64
            else xp.minimum(indices, 2**62).astype(np.int64)
        )
        self.inside = xp.ones(batch, bool)
        starts: dict[int, Any] = {}
        for k, d in enumerate(w.index_map):
            last = shape[d] - w.sizes[d]
            self.inside &= (indices[..., k] >= 0) & (indices[..., k] <= last)
            starts[d] = xp.clip(indices[..., k], 0, last)
        arrays = []
        for d in indexed:
            start = starts.get(d)
            if d in w.batching:
                i = w.batching[d]
                start = xp.arange(shape[d]).reshape([-1 if j == i else 1 for j in range(len(batch))])
            elif start is None:
                start = xp.zeros((1,) * len(batch), np.int64)
            start = start.reshape(start.shape + (1,) * len(partial))
            if d in partial:
                p = partial.index(d)
                steps = xp.arange(w.sizes[d])
                start = start + steps.reshape([-1 if j == p else 1 for j in range(len(partial))])
            arrays.append(start)
        spread = (*batch, *[w.sizes[d] for d in partial])
        self.arrays = tuple([xp.broadcast_to(a, spread) for a in arrays])
        self.order = (*indexed, *whole)
        # from (batch axes, partial axes, whole axes) to the axes of the result
        window_axis = dict(zip(w.window_axes, w.offset))
        place = [*w.others, *[window_axis[d] for d in (*partial, *whole)]]
        self.permutation = tuple(sorted(range(len(place)), key=place.__getitem__))


def _gather_impl(
    xp: Any, x: Any, indices: Any, *, dimension_numbers: Any, slice_sizes: Shape, **params: Any
) -> Any:
    x, indices = xp.asarray(x), xp.asarray(indices)
    rank = len(dimension_numbers.offset_dims) + indices.ndim - 1
    w = Windows.of_gather(dimension_numbers, slice_sizes, rank)
    places = _Places(xp, x.shape, indices, w)
    operand = xp.transpose(x, places.order)
    batch = indices.shape[:-1]
    if 0 in x.shape:
        rest = [w.sizes[d] for d in places.order if d in w.window_axes]
        found = xp.full((*batch, *rest), _from_nothing(x.dtype, params), x.dtype)
    elif places.arrays:
        found = operand[places.arrays]
    else:
        found = xp.broadcast_to(operand, (*batch, *operand.shape))
    if params["mode"] == GatherScatterMode.FILL_OR_DROP and 0 not in x.shape:
        inside = places.inside.reshape(batch + (1,) * (found.ndim - len(batch)))
        found = xp.where(inside, found, fill_scalar(params["fill_value"], x.dtype))
    return xp.transpose(found, places.permutation)


def _from_nothing(dtype: np.dtype[Any], params: dict[str, Any]) -> Any:
    """What is read of an operand without elements."""
    dropped = params["mode"] == GatherScatterMode.FILL_OR_DROP
    return fill_scalar(params["fill_value"], dtype) if dropped else np.zeros((), dtype)[()]


def fill_scalar(fill_value: Any, dtype: np.dtype[Any]) -> Any:
    """What is read beyond the bounds; by default NaN, the least signed or greatest unsigned integer, True."""
    if fill_value is not None:
        return np.asarray(fill_value).astype(dtype)[()]
    kind = dtypes.kind_of(dtype)
    if kind in "fc":
        return dtype.type(math.nan)
    if kind in "iu":
        info = dtypes.iinfo(dtype)
        return dtype.type(info.min if kind == "i" else info.max)
    return np.True_ if kind == "b" else np.full((), 2**32 - 1, np.uint32).view(dtype)


# ----------------------------------------------------------------------------------------------------- gather


def _gather_aval(
    x: ShapedArray, indices: ShapedArray, *, dimension_numbers: Any, slice_sizes: Shape, **params: Any
) -> ShapedArray:
    rank = len(dimension_numbers.offset_dims) + indices.ndim - 1
    w = Windows.of_gather(dimension_numbers, slice_sizes, rank)
    _check_windows("gather", x, indices, w, rank)
    shape = [0] * rank
    for i, d in zip(w.offset, w.window_axes):
        shape[i] = slice_sizes[d]
    for i, d in zip(w.others, indices.shape):
        shape[i] = d
    return ShapedArray(shape, x.dtype, x.weak_type)


def _gather_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, fill_value: Any, **params: Any) -> Any:
    (x, indices), tangent = primals, tangents[0]
    out = gather_p.bind(x, indices, fill_value=fill_value, **params)
    if is_zero(tangent):
        return out, Zero.of(out)
    if params["mode"] == GatherScatterMode.FILL_OR_DROP:
        fill_value = 0  # what is read beyond the bounds depends on nothing
    return out, gather_p.bind(instantiate(tangent), indices, fill_value=fill_value, **params)


def _gather_transpose(
    ct: Any, x: Any, indices: Any, *, dimension_numbers: Any, mode: Any, **params: Any
) -> Any:
    if is_zero(ct) or not is_undefined(x):
        return [None, None]
    numbers = ScatterDimensionNumbers(
        dimension_numbers.offset_dims,
        dimension_numbers.collapsed_slice_dims,
        dimension_numbers.start_index_map,
        dimension_numbers.operand_batching_dims,
        dimension_numbers.start_indices_batching_dims,
    )
    if mode == GatherScatterMode.PROMISE_IN_BOUNDS:
        mode = GatherScatterMode.CLIP  # which is how what is out of bounds was read

    def update(dense: Any) -> Any:
        return scatter_add_p.bind(
            dense,
            indices,
            ct,
            dimension_numbers=numbers,
            indices_are_sorted=params["indices_are_sorted"],
            unique_indices=params["unique_indices"],
            mode=mode,
        )

    return [PlacedCotangent(x.aval, updates=(update,)), None]


def _up(axes: Sequence[int]) -> Shape:
    return tuple([a + 1 for a in axes])


def gather_batch(
    axis: Any,
    args: Any,
    dims: Any,
    *,
    dimension_numbers: Any,
    slice_sizes: Shape,
    fill_value: Any,
    **params: Any,
) -> Any:
    (x, indices), (dx, di) = args, dims
    n = dimension_numbers
    offset, collapsed, index_map = n.offset_dims, n.collapsed_slice_dims, n.start_index_map
    batching, of_indices = n.operand_batching_dims, n.start_indices_batching_dims
    if dx is not None:
        x = move_axis(x, dx, 0)
        collapsed, index_map, batching = _up(collapsed), _up(index_map), _up(batching)
        slice_sizes = (axis.size if di is None else 1, *slice_sizes)
    offset = _up(offset)
    if di is None:
        offset = (0, *offset)
    else:
        indices = move_axis(indices, di, 0)
        of_indices = _up(of_indices)
        if dx is not None:
            batching, of_indices = (0, *batching), (0, *of_indices)
    numbers = GatherDimensionNumbers(offset, collapsed, index_map, batching, of_indices)
    if fill_value is None and params["mode"] == GatherScatterMode.FILL_OR_DROP:
        fill_value = fill_scalar(None, dtype_of(x)).item() if dtype_of(x).kind != "V" else None
    params["indices_are_sorted"] = params["indices_are_sorted"] and di is None
    out = gather_p.bind(
        x, indices, dimension_numbers=numbers, slice_sizes=slice_sizes, fill_value=fill_value, **params
    )
    return out, 0


def _window_index(ctx: Any, index: Any, indices: Any, shape: Shape, w: Windows) -> tuple[list[Any], Any]:
    """Where in the operand an element of the result is read, clipped, and whether its window was inside."""
    batch = tuple([index[i] for i in w.others])
    coordinates = [origin(ctx)] * len(shape)
    for d, i in zip(w.window_axes, w.offset):
        coordinates[d] = index[i]
    for d, i in w.batching.items():
        coordinates[d] = batch[i]
    inside = None
    for k, d in enumerate(w.index_map):
        column = ctx.coordinate(ctx.const(k, np.int64), k, k + 1)
        raw = ctx.op("convert", indices.at((*batch, column)), dtype=np.int64)
        last = shape[d] - w.sizes[d]
        zero, top = ctx.const(0, np.int64), ctx.const(last, np.int64)
        fits = ctx.op("and", ctx.op("ge", raw, zero), ctx.op("le", raw, top))
        inside = fits if inside is None else ctx.op("and", inside, fits)
        clipped = ctx.op("min", ctx.op("max", raw, zero), top)
        coordinates[d] = coordinates[d] + ctx.coordinate(clipped, 0, last + 1)
    return coordinates, inside


def _gather_pull(
    ctx: Any, index: Any, x: Any, indices: Any, *, dimension_numbers: Any, slice_sizes: Shape, **params: Any
) -> Any:
    w = Windows.of_gather(dimension_numbers, slice_sizes, len(index))
    dtype = x.aval.dtype
    if 0 in x.aval.shape:
        return ctx.const(_from_nothing(dtype, params), dtype)
    coordinates, inside = _window_index(ctx, index, indices, x.aval.shape, w)
    value = x.at(tuple(coordinates))
    if params["mode"] == GatherScatterMode.FILL_OR_DROP and inside is not None:
        value = ctx.op("select", inside, value, ctx.const(fill_scalar(params["fill_value"], dtype), dtype))
    return value


gather_p: Primitive = Primitive(
    "gather",
    "indexing",
    abstract_eval=_gather_aval,
    impl=_gather_impl,
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=gather_batch,
    pull=_gather_pull,
    access=("stored", "view"),
)


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Any:
    """Windows of `operand`, of shape `slice_sizes`, that begin at `start_indices`.

    Args:
      start_indices: integers, of shape (..., number of indexed axes).
      dimension_numbers: which axes belong together.
      unique_indices, indices_are_sorted: promises about the indices.
      mode: a `GatherScatterMode`, or its name: what is read beyond the bounds. By default there is nothing to read:
        indices are promised to be in bounds.
      fill_value: for the mode "fill"; NaN, or the least integer, by default.
    Raises:
      TypeError: shapes and dimension numbers do not fit.
    """
    parsed = GatherScatterMode.PROMISE_IN_BOUNDS if mode is None else GatherScatterMode.from_any(mode)
    n = dimension_numbers
    return gather_p.bind(
        as_operand("gather", operand),
        as_operand("gather", start_indices, 1),
        dimension_numbers=GatherDimensionNumbers(*[tuple(map(int, axes)) for axes in n]),
        slice_sizes=tuple(map(int, slice_sizes)),
        unique_indices=bool(unique_indices),
        indices_are_sorted=bool(indices_are_sorted),
        mode=parsed,
        fill_value=fill_value if parsed == GatherScatterMode.FILL_OR_DROP else None,
    )


# ---------------------------------------------------------------------------------------------------- scatter


def _scatter_aval(name: str) -> Callable[..., ShapedArray]:
    def abstract_eval(
        x: ShapedArray, indices: ShapedArray, updates: ShapedArray, *, dimension_numbers: Any, **params: Any
    ) -> ShapedArray:
        if x.dtype != updates.dtype:
            raise mismatch(name, [x.dtype, updates.dtype])
        gone = len(dimension_numbers.inserted_window_dims) + len(dimension_numbers.operand_batching_dims)
        if x.ndim != len(dimension_numbers.update_window_dims) + gone:
            raise TypeError(
                f"{name}: update_window_dims and inserted_window_dims of {dimension_numbers} must together "
                "have one "
                f"entry for each axis of the operand, of shape {x.shape}"
            )
        w = Windows.of_scatter(dimension_numbers, x.shape, updates.shape)
        _check_windows(name, x, indices, w, updates.ndim)
        if tuple([updates.shape[i] for i in w.others]) != indices.shape[:-1]:
            raise TypeError(
                f"{name}: updates of shape {updates.shape} do not fit indices of shape {indices.shape}"
            )
        return ShapedArray(x.shape, x.dtype, x.weak_type)

    return abstract_eval


def _scatter_impl(write: Callable[[Any, Any, Any, Any], None]) -> Callable[..., Any]:
    def impl(
        xp: Any, x: Any, indices: Any, updates: Any, *, dimension_numbers: Any, mode: Any, **params: Any
    ) -> Any:
        x, indices, updates = xp.array(x), xp.asarray(indices), xp.asarray(updates)
        w = Windows.of_scatter(dimension_numbers, x.shape, updates.shape)
        if 0 in x.shape or 0 in updates.shape:
            return x
        places = _Places(xp, x.shape, indices, w)
        out = xp.transpose(x, places.order)  # a view: what is written to it is written to x
        values = xp.transpose(updates, np.argsort(places.permutation))
        n = math.prod(indices.shape[:-1])
        batch = indices.ndim - 1
        values = values.reshape((n, *values.shape[batch:]))
        arrays = [a.reshape((n, *a.shape[batch:])) for a in places.arrays]
        if mode != GatherScatterMode.CLIP and not places.inside.all():
            kept = places.inside.reshape(n)
            values, arrays = values[kept], [a[kept] for a in arrays]
        if arrays:
            write(xp, out, tuple(arrays), values)
        else:
            for value in values:
                write(xp, out, ..., value)
        return x

    return impl


def _set(xp: Any, out: Any, where: Any, values: Any) -> None:
    out[where] = values


def _combine(ufunc: str) -> Callable[[Any, Any, Any, Any], None]:
    def write(xp: Any, out: Any, where: Any, values: Any) -> None:
        getattr(xp, ufunc).at(out, where, values)

    return write


def scatter_batch(prim: Callable[[], Primitive]) -> Callable[..., Any]:
    def batch(axis: Any, args: Any, dims: Any, *, dimension_numbers: Any, **params: Any) -> Any:
        (x, indices, updates), (dx, di, du) = args, dims
        x, updates = batch_to(x, dx, axis.size, 0), batch_to(updates, du, axis.size, 0)
        n = dimension_numbers
        window, batching = _up(n.update_window_dims), _up(n.operand_batching_dims)
        of_indices = n.scatter_indices_batching_dims
        if di is None:
            window = (0, *window)
        else:
            indices = move_axis(indices, di, 0)
            batching, of_indices = (0, *batching), (0, *_up(of_indices))
            params["indices_are_sorted"] = False
        numbers = ScatterDimensionNumbers(
            window, _up(n.inserted_window_dims), _up(n.scatter_dims_to_operand_dims), batching, of_indices
        )
        return prim().bind(x, indices, updates, dimension_numbers=numbers, **params), 0

    return batch


def _read_back(
    x: Any,
    indices: Any,
    shape: Shape,
    updates: Shape,
    *,
    dimension_numbers: Any,
    mode: Any,
    fill: Any,
    **params: Any,
) -> Any:
    """What stands at the places that a scatter writes to; `fill` where it writes nothing."""
    n = dimension_numbers
    w = Windows.of_scatter(n, shape, updates)
    clip = mode == GatherScatterMode.CLIP
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=GatherDimensionNumbers(*n),
        slice_sizes=w.sizes,
        indices_are_sorted=params["indices_are_sorted"],
        unique_indices=params["unique_indices"],
        mode=mode if clip else GatherScatterMode.FILL_OR_DROP,
        fill_value=None if clip else fill,
    )


def _scatter_add_transpose(ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> Any:
    if is_zero(ct):
        return [None, None, None]
    ct_updates = None
    if is_undefined(updates):
        ct_updates = _read_back(ct, indices, shape_of(ct), updates.aval.shape, fill=0, **params)
    return [ct if is_undefined(x) else None, None, ct_updates]


def _last_writer(ct: Any, indices: Any, updates: Shape, **params: Any) -> Any:
    """Which elements of the updates stand in the result: where several go to one place, the last one does."""
    shape, count = shape_of(ct), math.prod(updates)
    number = reshape(broadcasted_iota(np.int32, (count,), 0), updates)
    written = scatter_p.bind(full(shape, -1, np.int32), indices, number, **params)
    return eq(_read_back(written, indices, shape, updates, fill=-2, **params), number)


def _scatter_transpose(ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> Any:
    if is_zero(ct):
        return [None, None, None]
    shape = updates.aval.shape if is_undefined(updates) else shape_of(updates)
    ct_x = ct_updates = None
    if is_undefined(x):
        ct_x = scatter_p.bind(ct, indices, full(shape, 0, dtype_of(ct)), **params)
    if is_undefined(updates):
        ct_updates = _read_back(ct, indices, shape_of(ct), shape, fill=0, **params)
        if not params["unique_indices"]:
            ct_updates = select(_last_writer(ct, indices, shape, **params), ct_updates, constant(ct, 0))
    return [ct_x, None, ct_updates]


def _scatter_mul_jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    (x, indices, updates), (tx, _, tu) = primals, tangents
    out = scatter_mul_p.bind(x, indices, updates, **params)
    if is_zero(tx) and is_zero(tu):
        return out, Zero.of(out)
    total = zeros_of(tx.aval) if is_zero(tx) else scatter_mul_p.bind(tx, indices, updates, **params)
    if not is_zero(tu):
        if not params["unique_indices"]:
            raise NotImplementedError(
                "scatter_mul is differentiated in its updates only with unique_indices=True: where several "
                "updates "
                "meet in one element, the derivative takes the product of all the others"
            )
        old = _read_back(x, indices, shape_of(x), shape_of(updates), fill=0, **params)
        total = scatter_add_p.bind(total, indices, mul(tu, old), **params)
    return out, total


def _scatter_mul_transpose(ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> Any:
    if is_zero(ct) or not is_undefined(x):
        return [None, None, None]
    return [scatter_mul_p.bind(ct, indices, updates, **params), None, None]


def _scatter_extremum_jvp(prim: Callable[[], Primitive]) -> Callable[..., Any]:
    """The mean of the tangents of all the values that are the extremum."""

    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        (x, indices, updates), (tx, _, tu) = primals, tangents
        out = prim().bind(x, indices, updates, **params)
        if is_zero(tx) and is_zero(tu):
            return out, Zero.of(out)
        dtype = dtype_of(x)
        kept = convert(eq(x, out), dtype)
        found = _read_back(out, indices, shape_of(x), shape_of(updates), fill=math.nan, **params)
        new = convert(eq(updates, found), dtype)
        ties = scatter_add_p.bind(kept, indices, new, **params)
        total = scatter_add_p.bind(mul(instantiate(tx), kept), indices, mul(instantiate(tu), new), **params)
        return out, div(total, ties)

    return jvp


def _scatter_emit(combine: str | None) -> Callable[..., Any]:
    def emit(
        ctx: Any, outs: Any, x: Any, indices: Any, updates: Any, *, dimension_numbers: Any, **params: Any
    ) -> Any:
        if not ctx.is_native(x.aval.dtype) or 0 in x.aval.shape:
            return None
        w = Windows.of_scatter(dimension_numbers, x.aval.shape, updates.aval.shape)

        def place(index: Any) -> Any:
            coordinates, inside = _window_index(ctx, index, indices, x.aval.shape, w)
            return coordinates, None if params["mode"] == GatherScatterMode.CLIP else inside

        # of booleans sums and products are what NumPy makes of them
        logical = {"add": "or", "mul": "and"} if x.aval.dtype.kind == "b" else {}
        ctx.scatter(outs[0], x, updates, place, w.offset, logical.get(combine or "", combine))
        return outs

    return emit


def _scatter_primitive(
    name: str, write: Any, combine: str | None, transpose: Any = None, jvp: Any = None
) -> Primitive:
    prim = Primitive(
        name,
        "indexing",
        abstract_eval=_scatter_aval(name),
        impl=_scatter_impl(write),
        jvp=jvp or linear_jvp(lambda: prim, 0, 2),
        transpose=transpose,
        batch=scatter_batch(lambda: prim),
        emit=_scatter_emit(combine),
        over=0,
        access="stored",
    )
    return prim


scatter_p = _scatter_primitive("scatter", _set, None, _scatter_transpose)
scatter_add_p = _scatter_primitive("scatter-add", _combine("add"), "add", _scatter_add_transpose)
scatter_mul_p = _scatter_primitive(
    "scatter-mul", _combine("multiply"), "mul", _scatter_mul_transpose, _scatter_mul_jvp
)
scatter_min_p: Primitive = _scatter_primitive(
    "scatter-min", _combine("minimum"), "min", jvp=_scatter_extremum_jvp(lambda: scatter_min_p)
)
scatter_max_p: Primitive = _scatter_primitive(
    "scatter-max", _combine("maximum"), "max", jvp=_scatter_extremum_jvp(lambda: scatter_max_p)
)


def _binder(prim: Primitive, what: str) -> Callable[..., Any]:
    name = prim.name.replace("-", "_")

    def function(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Any:
        operand, updates = same_dtype(name, operand, updates)
        return prim.bind(
            operand,
            as_operand(name, scatter_indices, 1),
            updates,
            dimension_numbers=ScatterDimensionNumbers(*[tuple(map(int, axes)) for axes in dimension_numbers]),
            indices_are_sorted=bool(indices_are_sorted),
            unique_indices=bool(unique_indices),
            mode=GatherScatterMode.from_any(mode),
        )

    function.__name__ = function.__qualname__ = name
    function.__module__ = "wengert.lax"
    function.__doc__ = f"""`operand` with windows, which begin at `scatter_indices`, {what}.

    Args:
      scatter_indices: integers, of shape (..., number of indexed axes).
      updates: the windows.
      dimension_numbers: which axes belong together.
      indices_are_sorted, unique_indices: promises about the indices.
      mode: a `GatherScatterMode`, or its name: whether windows beyond the bounds are dropped or moved inside.
    Raises:
      TypeError: shapes, dtypes and dimension numbers do not fit.
    """
    return function


scatter = _binder(scatter_p, "replaced by `updates`; where several meet, the last one stays")
scatter_add = _binder(scatter_add_p, "added to")
scatter_mul = _binder(scatter_mul_p, "multiplied by `updates`")
scatter_min = _binder(scatter_min_p, "set to the smaller of themselves and `updates`")
scatter_max = _binder(scatter_max_p, "set to the greater of themselves and `updates`")


def scatter_sub(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Any:
    """`operand` with `updates` subtracted from windows that begin at `scatter_indices`; see `scatter_add`."""
    operand, updates = same_dtype("scatter_sub", operand, updates)
    return scatter_add(
        operand,
        scatter_indices,
        mul(updates, constant(updates, -1)),
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Any = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Any:
    """`operand` with `func`, an elementwise function, applied to windows that begin at `scatter_indices`.

    An element that lies in several windows has it applied once.
    """
    operand = as_operand("scatter_apply", operand)
    indices = as_operand("scatter_apply", scatter_indices, 2)
    zeros = full(tuple(update_shape), 0, dtype_of(operand))
    marked = scatter(
        full(shape_of(operand), 0, np.int32),
        indices,
        convert(add(zeros, constant(zeros, 1)), np.dtype(np.int32)),
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )
    return select(convert(marked, np.dtype(bool)), func(operand), operand)
