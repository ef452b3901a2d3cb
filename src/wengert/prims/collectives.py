"""Collective operations: what the elements of a mapped axis compute together.

Each is a primitive over one named axis (`psum` and its like over several). Under the `vmap` that binds the name
its batch rule makes array operations of it. In the replicas of `pmap`, each of which runs in a thread, its
`impl` brings the operand to where all replicas meet, and takes away the result.

With `axis_index_groups` the elements within each group work together. Groups are of equal size and make up the
axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray
from wengert.core.axes import find_replica, meet, names_of
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, instantiate, is_undefined, is_zero
from wengert.prims.arithmetic import div, mul
from wengert.prims.axes import accumulator, batch_to, insert_axis, move_axis, reduce_sum_p
from wengert.prims.constructors import Shape, constant, dtype_of, linear_jvp, shape_of, zero_jvp
from wengert.prims.conversion import convert
from wengert.prims.logic import eq
from wengert.prims.reduce import reduce_max_p, reduce_min_p
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota, expand_dims, full_like, reshape
from wengert.prims.slicing import concatenate, index_in_dim, slice_in_dim

Groups = tuple[tuple[int, ...], ...] | None

# ------------------------------------------------------------------------------- rows: the elements of an axis


def take_rows(x: Any, rows: Sequence[int]) -> Any:
    """The given rows of `x`, along its first axis; zeros for the row -1.

    They are taken in runs of consecutive ones. A gather would want an array of indices, and a jaxpr that a
    rule transforms has no place for new constants.
    """
    shape = shape_of(x)
    runs: list[list[int]] = []  # first row, how many
    for row in rows:
        start, n = runs[-1] if runs else [0, 0]
        if runs and (row == start == -1 or (start >= 0 and row == start + n)):
            runs[-1][1] += 1
        else:
            runs.append([row, 1])
    if runs == [[0, shape[0]]]:
        return x
    return concatenate(
        [
            slice_in_dim(x, start, start + n) if start >= 0 else full_like(x, 0, shape=(n, *shape[1:]))
            for start, n in runs
        ],
        0,
    )


def _grouped(axis: Any, x: Any, dim: int | None, groups: Groups) -> Any:
    """The elements of the mapped axis in two axes in front: the group, and the place in it."""
    x = batch_to(x, dim, axis.size, 0)
    if groups is None:
        return expand_dims(x, (0,))
    rows = take_rows(x, [i for group in groups for i in group])
    return reshape(rows, (len(groups), len(groups[0]), *shape_of(x)[1:]))


def _ungrouped(x: Any, groups: Groups) -> Any:
    """The inverse: one axis in front again."""
    shape = shape_of(x)
    flat = reshape(x, (shape[0] * shape[1], *shape[2:]))
    if groups is None:
        return flat
    order = [i for group in groups for i in group]
    return take_rows(flat, [order.index(i) for i in range(len(order))])


def by_group(
    groups: Groups, function: Callable[[list[Any]], Sequence[Any]]
) -> Callable[[list[Any]], Sequence[Any]]:
    """What all replicas bring to what each takes, given the same for the members of one group."""
    if groups is None:
        return function

    def combine(values: list[Any]) -> list[Any]:
        results: list[Any] = [None] * len(values)
        for group in groups:
            for i, result in zip(group, function([values[i] for i in group]), strict=True):
                results[i] = result
        return results

    return combine


def group_size(size: int, groups: Groups) -> int:
    """How many elements work together."""
    return size if groups is None else len(groups[0])


# ------------------------------------------------------------------------------------------ the rules they share


def _batch(
    prim: Callable[[], Primitive],
    named: Callable[..., Any],
    shifted: Callable[[dict[str, Any]], dict[str, Any]],
) -> Callable[..., Any]:
    """The batch rule: `named` under the vmap of the very axis, else the operand gets one axis more in front."""

    def batch(axis: Any, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        if axis.name is not None and axis.name in names_of(params):
            return named(axis, args[0], dims[0], **params)
        x = batch_to(args[0], dims[0], axis.size, 0)
        return prim().bind(x, **shifted(params)), 0

    return batch


def _linear(
    name: str,
    *,
    abstract_eval: Callable[..., Any],
    impl: Callable[..., Any],
    transpose: Callable[..., Any],
    named: Callable[..., Any],
    shifted: Callable[[dict[str, Any]], dict[str, Any]],
    hidden_params: Sequence[str] = (),
) -> Primitive:
    """A collective operation of one operand that is linear in it."""

    def transpose_rule(ct: Any, x: Any, **params: Any) -> Any:
        if not is_undefined(x):
            return [None]
        return [Zero(x.aval) if is_zero(ct) else transpose(ct, **params)]

    prim = Primitive(
        name,
        "collective",
        abstract_eval=abstract_eval,
        impl=impl,
        jvp=linear_jvp(lambda: prim),
        transpose=transpose_rule,
        batch=_batch(lambda: prim, named, shifted),
        access="stored",
        hidden_params=hidden_params,
    )
    return prim


def _same(params: dict[str, Any]) -> dict[str, Any]:
    return params


def _one_more(*axes: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Parameters that count axes, after one came in front."""
    return lambda params: {k: v + 1 if k in axes else v for k, v in params.items()}


# ----------------------------------------------------------------------------------------------- psum, pmax, pmin


def _reducing_impl(ufunc: str, name: str) -> Callable[..., Any]:
    def impl(xp: Any, x: Any, *, axes: tuple[Any, ...], axis_index_groups: Groups) -> Any:
        x = xp.asarray(x)

        def reduce(values: list[Any]) -> list[Any]:
            dtype = accumulator(x.dtype) if ufunc == "add" else x.dtype
            combine = getattr(xp, ufunc)
            total = values[0].astype(dtype)
            for value in values[1:]:
                total = combine(total, value)
            return [total.astype(x.dtype, copy=False)] * len(values)

        for axis in axes:
            x = meet(axis, name, x, by_group(axis_index_groups, reduce))
        return x

    return impl


def _reducing_batch(prim: Callable[[], Primitive], reduction: Primitive) -> Callable[..., Any]:
    def batch(
        axis: Any,
        args: Sequence[Any],
        dims: Sequence[int | None],
        *,
        axes: tuple[Any, ...],
        axis_index_groups: Groups,
    ) -> Any:
        x, dim = args[0], dims[0]
        if axis.name is None or axis.name not in axes:
            return prim().bind(x, axes=axes, axis_index_groups=axis_index_groups), dim
        if dim is None:
            size = group_size(axis.size, axis_index_groups)
            out = mul(x, constant(x, size)) if reduction is reduce_sum_p else x
        elif axis_index_groups is None:
            out, dim = reduction.bind(x, axes=(dim,)), None
        else:
            sums = reduction.bind(_grouped(axis, x, dim, axis_index_groups), axes=(1,))
            out = _ungrouped(insert_axis(sums, len(axis_index_groups[0]), 1), axis_index_groups)
            dim = 0
        rest = tuple([name for name in axes if name != axis.name])
        return (prim().bind(out, axes=rest, axis_index_groups=None) if rest else out), dim

    return batch


def _reducing_aval(x: ShapedArray, *, axes: tuple[Any, ...], axis_index_groups: Groups) -> ShapedArray:
    return x


def _psum_transpose(ct: Any, x: Any, **params: Any) -> Any:
    if not is_undefined(x):
        return [None]
    return [Zero(x.aval) if is_zero(ct) else psum_p.bind(ct, **params)]


def _extremum_jvp(prim: Callable[[], Primitive]) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        """Elements that are extreme share the derivative."""
        x, t = primals[0], tangents[0]
        out = prim().bind(x, **params)
        if is_zero(t):
            return out, Zero.of(out)
        mask = convert(eq(x, out), dtype_of(t))
        total = psum_p.bind(mul(instantiate(t), mask), **params)
        return out, div(total, psum_p.bind(mask, **params))

    return jvp


# axes: the names of the axes; axis_index_groups: which elements work together, None for all
psum_p: Primitive = Primitive(
    "psum",
    "collective",
    abstract_eval=_reducing_aval,
    impl=_reducing_impl("add", "psum"),
    jvp=linear_jvp(lambda: psum_p),
    transpose=_psum_transpose,
    batch=_reducing_batch(lambda: psum_p, reduce_sum_p),
    access="stored",
)
pmax_p: Primitive = Primitive(
    "pmax",
    "collective",
    abstract_eval=_reducing_aval,
    impl=_reducing_impl("maximum", "pmax"),
    jvp=_extremum_jvp(lambda: pmax_p),
    batch=_reducing_batch(lambda: pmax_p, reduce_max_p),
    access="stored",
)
pmin_p: Primitive = Primitive(
    "pmin",
    "collective",
    abstract_eval=_reducing_aval,
    impl=_reducing_impl("minimum", "pmin"),
    jvp=_extremum_jvp(lambda: pmin_p),
    batch=_reducing_batch(lambda: pmin_p, reduce_min_p),
    access="stored",
)

# ------------------------------------------------------------------------------------------------------ ppermute


def sources(size: int, perm: Sequence[tuple[int, int]]) -> list[int]:
    """For each element the one whose value it gets; -1 for none."""
    found = [-1] * size
    for source, destination in perm:
        found[destination] = source
    return found


def _ppermute_impl(xp: Any, x: Any, *, axis_name: tuple[Any, ...], perm: Any) -> Any:
    def combine(values: list[Any]) -> list[Any]:
        zeros = xp.zeros_like(values[0])
        return [values[s].copy() if s >= 0 else zeros for s in sources(len(values), perm)]

    return meet(axis_name[0], "ppermute", xp.asarray(x), combine)


def _ppermute_transpose(ct: Any, *, axis_name: tuple[Any, ...], perm: Any) -> Any:
    return ppermute_p.bind(ct, axis_name=axis_name, perm=tuple([(d, s) for s, d in perm]))


def _ppermute_named(axis: Any, x: Any, dim: int | None, *, axis_name: Any, perm: Any) -> Any:
    return take_rows(batch_to(x, dim, axis.size, 0), sources(axis.size, perm)), 0


ppermute_p = _linear(
    "ppermute",
    abstract_eval=lambda x, *, axis_name, perm: x,
    impl=_ppermute_impl,
    transpose=_ppermute_transpose,
    named=_ppermute_named,
    shifted=_same,
)

# ---------------------------------------------------------------------------------------------------- pbroadcast


def _pbroadcast_impl(xp: Any, x: Any, *, axis_name: Any, source: int) -> Any:
    def combine(values: list[Any]) -> list[Any]:
        return [values[source].copy()] * len(values)

    return meet(axis_name, "pbroadcast", xp.asarray(x), combine)


def _pbroadcast_transpose(ct: Any, *, axis_name: Any, source: int) -> Any:
    total = psum_p.bind(ct, axes=(axis_name,), axis_index_groups=None)
    here = eq(axis_index_p.bind(axis_name=axis_name), np.int32(source))
    return select(here, total, full_like(total, 0))


def _pbroadcast_named(axis: Any, x: Any, dim: int | None, *, axis_name: Any, source: int) -> Any:
    out = x if dim is None else index_in_dim(x, source, dim, keepdims=False)
    return (insert_axis(out, axis.size, 0), 0) if axis.tracked else (out, None)


pbroadcast_p = _linear(
    "pbroadcast",
    abstract_eval=lambda x, *, axis_name, source: x,
    impl=_pbroadcast_impl,
    transpose=_pbroadcast_transpose,
    named=_pbroadcast_named,
    shifted=_same,
)

# ---------------------------------------------------------------------------------------------------- all_gather


def _resized(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _gathered_aval(
    x: ShapedArray,
    *,
    all_gather_dimension: int,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    tiled: bool,
) -> ShapedArray:
    k = all_gather_dimension
    if tiled:
        return x.update(shape=_resized(x.shape, k, x.shape[k] * axis_size))
    return x.update(shape=(*x.shape[:k], axis_size, *x.shape[k:]))


def _gather_impl(
    xp: Any,
    x: Any,
    *,
    all_gather_dimension: int,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    tiled: bool,
) -> Any:
    def join(values: list[Any]) -> list[Any]:
        joined = (xp.concatenate if tiled else xp.stack)(values, axis=all_gather_dimension)
        return [joined] * len(values)

    return meet(axis_name[0], "all_gather", xp.asarray(x), by_group(axis_index_groups, join))


def merged(x: Any, axis: int) -> Any:
    """`x` with an axis and the next one made one."""
    shape = shape_of(x)
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def divided(x: Any, axis: int, parts: int) -> Any:
    """`x` with an axis cut into so many parts: two axes, the part and the place in it."""
    shape = shape_of(x)
    return reshape(x, (*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :]))


def _gather_named(
    axis: Any,
    x: Any,
    dim: int | None,
    *,
    all_gather_dimension: int,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    tiled: bool,
) -> Any:
    k = all_gather_dimension
    if axis_index_groups is None:
        out = batch_to(x, dim, axis.size, k)
        out = merged(out, k) if tiled else out
        return (insert_axis(out, axis.size, 0), 0) if axis.tracked else (out, None)
    out = insert_axis(_grouped(axis, x, dim, axis_index_groups), axis_size, 1)
    out = move_axis(out, 2, k + 2)
    return _ungrouped(merged(out, k + 2) if tiled else out, axis_index_groups), 0


def _gather_transpose(ct: Any, *, all_gather_dimension: int, **params: Any) -> Any:
    return reduce_scatter_p.bind(ct, scatter_dimension=all_gather_dimension, **params)


all_gather_p = _linear(
    "all_gather",
    abstract_eval=_gathered_aval,
    impl=_gather_impl,
    transpose=_gather_transpose,
    named=_gather_named,
    shifted=_one_more("all_gather_dimension"),
)

# ------------------------------------------------------------------------------------------------ reduce_scatter


def _scattered_aval(
    x: ShapedArray,
    *,
    scatter_dimension: int,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    tiled: bool,
) -> ShapedArray:
    k = scatter_dimension
    if tiled:
        return x.update(shape=_resized(x.shape, k, x.shape[k] // axis_size))
    return x.update(shape=(*x.shape[:k], *x.shape[k + 1 :]))


def _scatter_impl(
    xp: Any,
    x: Any,
    *,
    scatter_dimension: int,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    tiled: bool,
) -> Any:
    def scatter(values: list[Any]) -> list[Any]:
        total = values[0].astype(accumulator(values[0].dtype))
        for value in values[1:]:
            total = total + value
        parts = xp.split(total.astype(values[0].dtype, copy=False), axis_size, axis=scatter_dimension)
        return list(parts) if tiled else [xp.squeeze(p, axis=scatter_dimension) for p in parts]

    return meet(axis_name[0], "reduce_scatter", xp.asarray(x), by_group(axis_index_groups, scatter))


def _scatter_named(
    axis: Any,
    x: Any,
    dim: int | None,
    *,
    scatter_dimension: int,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    tiled: bool,
) -> Any:
    k = scatter_dimension + 1
    total = reduce_sum_p.bind(_grouped(axis, x, dim, axis_index_groups), axes=(1,))
    if tiled:
        total = divided(total, k, axis_size)
    return _ungrouped(move_axis(total, k, 1), axis_index_groups), 0


def _scatter_transpose(ct: Any, *, scatter_dimension: int, **params: Any) -> Any:
    return all_gather_p.bind(ct, all_gather_dimension=scatter_dimension, **params)


reduce_scatter_p = _linear(
    "reduce_scatter",
    abstract_eval=_scattered_aval,
    impl=_scatter_impl,
    transpose=_scatter_transpose,
    named=_scatter_named,
    shifted=_one_more("scatter_dimension"),
)

# ---------------------------------------------------------------------------------------------------- all_to_all


def _exchanged_aval(
    x: ShapedArray,
    *,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    concat_axis: int,
    split_axis: int,
    tiled: bool,
) -> ShapedArray:
    shape = list(x.shape)
    if tiled:
        shape[split_axis] //= axis_size
        shape[concat_axis] *= axis_size
    else:
        del shape[split_axis]
        shape.insert(concat_axis, axis_size)
    return x.update(shape=tuple(shape))


def _exchange_impl(
    xp: Any,
    x: Any,
    *,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    concat_axis: int,
    split_axis: int,
    tiled: bool,
) -> Any:
    def exchange(values: list[Any]) -> list[Any]:
        parts = [xp.split(v, axis_size, axis=split_axis) for v in values]
        if tiled:
            return [xp.concatenate([p[i] for p in parts], axis=concat_axis) for i in range(axis_size)]
        flat = [[xp.squeeze(p, axis=split_axis) for p in row] for row in parts]
        return [xp.stack([p[i] for p in flat], axis=concat_axis) for i in range(axis_size)]

    return meet(axis_name, "all_to_all", xp.asarray(x), by_group(axis_index_groups, exchange))


def _exchange_named(
    axis: Any,
    x: Any,
    dim: int | None,
    *,
    axis_index_groups: Groups,
    axis_name: Any,
    axis_size: int,
    concat_axis: int,
    split_axis: int,
    tiled: bool,
) -> Any:
    out = _grouped(axis, x, dim, axis_index_groups)  # axes: group, sender, and those of x
    if tiled:
        out = divided(out, split_axis + 2, axis_size)
    out = move_axis(out, split_axis + 2, 1)  # group, receiver, sender, the rest of x
    out = move_axis(out, 2, concat_axis + 2)
    return _ungrouped(merged(out, concat_axis + 2) if tiled else out, axis_index_groups), 0


def _exchange_transpose(ct: Any, *, concat_axis: int, split_axis: int, **params: Any) -> Any:
    return all_to_all_p.bind(ct, concat_axis=split_axis, split_axis=concat_axis, **params)


all_to_all_p = _linear(
    "all_to_all",
    abstract_eval=_exchanged_aval,
    impl=_exchange_impl,
    transpose=_exchange_transpose,
    named=_exchange_named,
    shifted=_one_more("concat_axis", "split_axis"),
    hidden_params=("axis_size",),
)

# ---------------------------------------------------------------------------------------------------- axis_index


def _index_batch(axis: Any, args: Sequence[Any], dims: Sequence[Any], *, axis_name: Any) -> Any:
    return broadcasted_iota(np.int32, (axis.size,), 0), 0


axis_index_p: Primitive = Primitive(
    "axis_index",
    "collective",
    abstract_eval=lambda *, axis_name: ShapedArray((), np.int32),
    impl=lambda xp, *, axis_name: xp.asarray(find_replica(axis_name)[0].index, np.int32),
    jvp=zero_jvp(lambda: axis_index_p),
    batch=_index_batch,
    access="stored",
)

# ----------------------------------------------------------------------------------- derivatives in `shard_map`
#
# Inside of `shard_map` a value may be the same on all devices. Its cotangent is then the sum of what the devices
# contribute. The backward pass works with the contributions: there each collective operation has the transpose
# that it has under vmap. So where it begins, the cotangent of such a result is shared out; where it ends, the
# contributions to the cotangent of such an argument are added.


def _like_aval(ct: ShapedArray, like: ShapedArray, *, axis_name: Any) -> ShapedArray:
    return ct


def _boundary(name: str, of_same: Callable[..., Any]) -> Primitive:
    """An operation on a cotangent, of a value that is given with it. `of_same(axis, ct, dim)` is for values
    that are the same for all elements of the axis."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis_name: Any) -> Any:
        ct, like = primals
        out = prim.bind(ct, like, axis_name=axis_name)
        t = tangents[0]
        return out, Zero.of(out) if is_zero(t) else prim.bind(instantiate(t), like, axis_name=axis_name)

    def transpose(ct: Any, x: Any, like: Any, *, axis_name: Any) -> Any:
        return [ct if is_zero(ct) else prim.bind(ct, like, axis_name=axis_name), None]

    def batch(axis: Any, args: Sequence[Any], dims: Sequence[int | None], *, axis_name: Any) -> Any:
        ct, like = args
        if axis.name is not None and axis.name == axis_name:
            return (ct, dims[0]) if dims[1] is not None else of_same(axis, ct, dims[0])
        like = like if dims[1] is None else index_in_dim(like, 0, dims[1], keepdims=False)
        return prim.bind(ct, like, axis_name=axis_name), dims[0]

    prim = Primitive(
        name,
        "collective",
        abstract_eval=_like_aval,
        impl=lambda xp, ct, like, *, axis_name: ct,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        access="stored",
    )
    return prim


def _total(axis: Any, ct: Any, dim: int | None) -> Any:
    return (mul(ct, constant(ct, axis.size)) if dim is None else reduce_sum_p.bind(ct, axes=(dim,))), None


share_cotangent_p = _boundary(
    "share_cotangent", lambda axis, ct, dim: (div(ct, constant(ct, axis.size)), dim)
)
total_cotangent_p = _boundary("total_cotangent", _total)


def _vary_named(axis: Any, x: Any, dim: int | None, *, axis_name: Any) -> Any:
    return batch_to(x, dim, axis.size, 0), 0


pvary_p = _linear(
    "pvary",
    abstract_eval=lambda x, *, axis_name: x,
    impl=lambda xp, x, *, axis_name: x,
    transpose=lambda ct, *, axis_name: ct,
    named=_vary_named,
    shifted=_same,
)
