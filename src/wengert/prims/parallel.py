"""The public functions of collective operations, of arrays and of pytrees of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.core import dtypes
from wengert.core.axes import axis_size as _size_of, tracked_axes
from wengert.core.trace import Tracer, get_aval
from wengert.prims.arithmetic import add, div, mul, sub
from wengert.prims.axes import broadcast_in_dim, move_axis, reduce_sum_p
from wengert.prims.collectives import (
    Groups,
    all_gather_p,
    all_to_all_p,
    axis_index_p,
    divided,
    group_size,
    merged,
    pbroadcast_p,
    pmax_p,
    pmin_p,
    ppermute_p,
    psum_p,
    pvary_p,
    reduce_scatter_p,
    sources,
    take_rows,
)
from wengert.prims.constructors import as_operand, canonical_axis, constant, dtype_of, shape_of
from wengert.prims.conversion import convert
from wengert.prims.dynamic import dynamic_index_in_dim
from wengert.prims.gather import GatherDimensionNumbers, gather
from wengert.prims.logic import bitwise_and, ge, lt
from wengert.prims.reduce import reduce_max_p, reduce_min_p, reduce_or_p
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota, expand_dims, reshape

# ------------------------------------------------------------------------------------------------ axes and groups


def axis_size(axis_name: Any) -> int:
    """The number of elements of a named axis; of a tuple of names, the product.

    Raises:
      NameError: no axis of this name is bound here.
    """
    return _size_of(axis_name)


def _names(axis_name: Any) -> tuple[Any, ...]:
    return tuple(axis_name) if isinstance(axis_name, tuple | list) else (axis_name,)


def _checked_groups(name: str, groups: Any, names: Sequence[Any]) -> Groups:
    """Groups as tuples. ValueError unless they are of equal size and make up the one axis."""
    if groups is None:
        return None
    found = tuple([tuple([operator.index(i) for i in group]) for group in groups])
    if len(names) != 1 or isinstance(names[0], int):
        raise ValueError(f"axis_index_groups only supported for one named axis, {name} got {tuple(names)}")
    size = _size_of(names[0])
    if sorted(i for group in found for i in group) != list(range(size)):
        raise ValueError(
            f"axis_index_groups must cover all indices exactly once: axis {names[0]!r} has {size}, but {name}"
            f" got {groups}"
        )
    if len({len(group) for group in found}) != 1:
        raise ValueError(f"axis_index_groups must all be the same size, {name} got {groups}")
    return found


def axis_index(axis_name: Any) -> Any:
    """Which element of the named axis this is: an int32 scalar.

    For a tuple of names the first is the one that varies slowest.

    Raises:
      NameError: no axis of this name is bound here.
    """
    names = _names(axis_name)
    for name in names:
        _size_of(name)
    if not isinstance(axis_name, tuple | list):
        return axis_index_p.bind(axis_name=axis_name)
    index: Any = np.int32(0)
    stride = 1
    for name in reversed(names):
        index = add(index, mul(axis_index_p.bind(axis_name=name), np.int32(stride)))
        stride *= _size_of(name)
    return index


# ------------------------------------------------------------------------------------------------------ reductions


def _reduce(name: str, prim: Any, positional: Any, x: Any, axis_name: Any, axis_index_groups: Any) -> Any:
    names = _names(axis_name)
    named = tuple([n for n in names if not isinstance(n, int) or isinstance(n, bool)])
    axes = [n for n in names if n not in named]
    for n in named:
        _size_of(n)
    groups = _checked_groups(name, axis_index_groups, names)
    leaves, structure = tree.flatten(x)
    leaves = [as_operand(name, leaf) for leaf in leaves]
    if name == "psum":
        leaves = [convert(v, np.dtype(np.int32)) if get_aval(v).dtype == np.bool_ else v for v in leaves]
    if axes:
        leaves = [
            positional.bind(v, axes=tuple([canonical_axis(a, len(shape_of(v)), name) for a in axes]))
            for v in leaves
        ]
    if named and name == "psum" and not any(isinstance(v, Tracer) for v in leaves):
        size = group_size(_size_of(named), groups)  # the same for all elements: no operation is needed
        leaves = [
            v * size if isinstance(v, int | float | complex) else mul(v, constant(v, size)) for v in leaves
        ]
    elif named:
        leaves = [prim.bind(v, axes=named, axis_index_groups=groups) for v in leaves]
    return tree.unflatten(structure, leaves)


def psum(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The sum of `x` over a mapped axis: the same for all its elements.

    Args:
      x: an array, or a pytree of arrays. Booleans are counted, as int32. Of a Python number the result is one
        too: `psum(1, axis_name)` is the axis' size.
      axis_name: the name of a mapped axis, or a tuple of names. An int among them is an axis of `x` itself.
      axis_index_groups: lists of indices, of equal length, that make up the axis: sums are formed within each.
    Returns:
      Arrays of the shape and dtype of `x`. Its derivative with respect to `x`, taken inside of the mapped
      function, is the sum of the cotangents of all elements.
    Raises:
      NameError: no axis of this name is bound here.
      ValueError: the groups do not make up the axis.
    """
    return _reduce("psum", psum_p, reduce_sum_p, x, axis_name, axis_index_groups)


def pmax(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The greatest of `x` over a mapped axis; see `psum`. Elements that are greatest share the derivative."""
    return _reduce("pmax", pmax_p, reduce_max_p, x, axis_name, axis_index_groups)


def pmin(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The least of `x` over a mapped axis; see `psum`. Elements that are least share the derivative."""
    return _reduce("pmin", pmin_p, reduce_min_p, x, axis_name, axis_index_groups)


def pmean(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The mean of `x` over a mapped axis, of floating point dtype; see `psum`."""
    total = psum(x, axis_name, axis_index_groups=axis_index_groups)
    names = _names(axis_name)
    named = tuple([n for n in names if not isinstance(n, int)])
    count = group_size(_size_of(named), _checked_groups("pmean", axis_index_groups, names))

    def divide(leaf: Any, before: Any) -> Any:
        if isinstance(leaf, int | float | complex):
            return leaf / count
        shape = shape_of(before)
        n = count
        for axis in names:
            n *= shape[axis] if isinstance(axis, int) else 1
        if not dtypes.issubdtype(dtype_of(leaf), np.inexact):
            leaf = convert(leaf, dtypes.canonicalize_dtype(np.dtype(np.float64)))
        return div(leaf, constant(leaf, n))

    return tree.map(divide, total, x)


# -------------------------------------------------------------------------------------------------- permutations


def _for_leaves(name: str, function: Callable[[Any], Any], x: Any) -> Any:
    return tree.map(lambda leaf: function(as_operand(name, leaf)), x)


def ppermute(x: Any, axis_name: Any, perm: Any) -> Any:
    """Send `x` along a mapped axis.

    Args:
      x: an array, or a pytree of arrays.
      axis_name: the name of a mapped axis, or a tuple of names.
      perm: pairs (source, destination) of indices. No index stands twice among the sources, nor among the
        destinations. Who is no destination gets zeros.
    Raises:
      NameError: no axis of this name is bound here.
      ValueError: `perm` names an index twice, or one that there isn't.
    """
    names = _names(axis_name)
    size = _size_of(names)
    pairs = tuple([(operator.index(s), operator.index(d)) for s, d in perm])
    for what, found in (("sources", [s for s, _ in pairs]), ("destinations", [d for _, d in pairs])):
        if len(set(found)) != len(found):
            raise ValueError(f"ppermute sources and destinations must be unique, got {pairs}: see the {what}")
        if any(not 0 <= i < size for i in found):
            raise ValueError(
                f"ppermute {what} must be in [0, {size}), the size of {axis_name!r}, got {pairs}"
            )
    if len(names) == 1:
        return _for_leaves("ppermute", lambda v: ppermute_p.bind(v, axis_name=names, perm=pairs), x)

    def send(leaf: Any) -> Any:
        rows = take_rows(all_gather(leaf, names), sources(size, pairs))
        return dynamic_index_in_dim(rows, axis_index(names), 0, keepdims=False)

    return _for_leaves("ppermute", send, x)


def pshuffle(x: Any, axis_name: Any, perm: Any) -> Any:
    """`ppermute` with `perm[i]` as the source of element i. ValueError if it is no permutation."""
    perm = [operator.index(p) for p in perm]
    if sorted(perm) != list(range(len(perm))):
        raise ValueError(f"`perm` does not represent a permutation: {perm}")
    return ppermute(x, axis_name, [(source, i) for i, source in enumerate(perm)])


def pbroadcast(x: Any, axis_name: Any, source: int) -> Any:
    """The value of `x` at index `source` of a mapped axis, for all its elements.

    Raises:
      NameError: no axis of this name is bound here.
      ValueError: `source` is out of bounds.
    """
    names = _names(axis_name)
    size = _size_of(names)
    source = operator.index(source)
    if not 0 <= source < size:
        raise ValueError(f"pbroadcast source {source} is out of bounds for axis {axis_name!r} of size {size}")
    indices = np.unravel_index(source, [_size_of(n) for n in names])

    def send(leaf: Any) -> Any:
        for name, index in zip(names, indices):
            leaf = pbroadcast_p.bind(leaf, axis_name=name, source=int(index))
        return leaf

    return _for_leaves("pbroadcast", send, x)


# ------------------------------------------------------------------------------------------ gathering, scattering


def all_gather(
    x: Any,
    axis_name: Any,
    *,
    axis_index_groups: Any = None,
    axis: int = 0,
    tiled: bool = False,
    to: str = "varying",
) -> Any:
    """`x` of all elements of a mapped axis, along a new axis.

    Args:
      x: an array, or a pytree of arrays.
      axis_name: the name of a mapped axis, or a tuple of names, of which the first varies slowest.
      axis_index_groups: lists of indices, of equal length, that make up the axis: each gathers from its group.
      axis: where the new axis is in the result.
      tiled: join the arrays along `axis`, which `x` has already.
      to: how the result counts over the axis, "varying" or "reduced"; its values are the same.
    Raises:
      NameError: no axis of this name is bound here.
      ValueError: `axis` is out of bounds, the groups do not make up the axis, or `to` is another word.
    """
    names = _names(axis_name)
    if to not in ("varying", "reduced", "invariant"):
        raise ValueError(f"all_gather: `to` is 'varying', 'reduced' or 'invariant', got {to!r}")
    for name in names:
        _size_of(name)
    groups = _checked_groups("all_gather", axis_index_groups, names)

    def gathered(leaf: Any) -> Any:
        k = canonical_axis(axis, len(shape_of(leaf)) + (not tiled), "all_gather")
        for i, name in enumerate(reversed(names)):
            leaf = all_gather_p.bind(
                leaf,
                all_gather_dimension=k,
                axis_index_groups=groups,
                axis_name=(name,),
                axis_size=group_size(_size_of(name), groups),
                tiled=tiled,
            )
            if i and not tiled:
                leaf = merged(leaf, k)
        return leaf

    return _for_leaves("all_gather", gathered, x)


def psum_scatter(
    x: Any, axis_name: Any, *, scatter_dimension: int = 0, axis_index_groups: Any = None, tiled: bool = False
) -> Any:
    """The sum over a mapped axis, of which each element gets a part.

    Args:
      x: an array, or a pytree of arrays, whose axis `scatter_dimension` is as long as the mapped one; element i
        gets `psum(x)[i]`.
      axis_index_groups: lists of indices, of equal length, that make up the axis: sums are formed, and cut up,
        within each.
      tiled: the axis may be a multiple as long, and stays: each element gets an equal part of it.
    Raises:
      NameError: no axis of this name is bound here.
      ValueError: the sizes do not fit, or the groups do not make up the axis.
    """
    names = _names(axis_name)
    size = _size_of(names)
    groups = _checked_groups("psum_scatter", axis_index_groups, names)

    def scatter(leaf: Any) -> Any:
        k = canonical_axis(scatter_dimension, len(shape_of(leaf)), "psum_scatter")
        given, parts = shape_of(leaf)[k], group_size(size, groups)
        if given % parts if tiled else given != parts:
            must = "be divisible by" if tiled else "match"
            raise ValueError(
                f"psum_scatter operand scatter dimension size {given} must {must} shard_count {parts}, the size"
                f" of axis {axis_name!r}" + ("" if tiled else "; with tiled=True it may be a multiple of it")
            )
        if len(names) == 1:
            return reduce_scatter_p.bind(
                leaf,
                scatter_dimension=k,
                axis_index_groups=groups,
                axis_name=names,
                axis_size=parts,
                tiled=tiled,
            )
        total = psum(leaf, names)
        total = divided(total, k, size) if tiled else total
        return dynamic_index_in_dim(total, axis_index(names), k, keepdims=False)

    return _for_leaves("psum_scatter", scatter, x)


def all_to_all(
    x: Any,
    axis_name: Any,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """Exchange the mapped axis with one of `x`: part i of each element's `x` goes to element i.

    Args:
      x: an array, or a pytree of arrays, whose axis `split_axis` is as long as the mapped one.
      split_axis: the axis that is cut into parts. It leaves the shape.
      concat_axis: where in the result the axis is along which the parts, one of each element, are stacked.
      axis_index_groups: lists of indices, of equal length, that make up the axis: exchange within each.
      tiled: axis `split_axis` may be a multiple as long, and stays; the parts are joined along `concat_axis`,
        which `x` has already.
    Raises:
      NameError: no axis of this name is bound here.
      ValueError: the sizes do not fit, or the groups do not make up the axis.
    """
    names = _names(axis_name)
    groups = _checked_groups("all_to_all", axis_index_groups, names)
    size = group_size(_size_of(names), groups)

    def exchange(leaf: Any) -> Any:
        ndim = len(shape_of(leaf))
        split, concat = (canonical_axis(a, ndim, "all_to_all") for a in (split_axis, concat_axis))
        given = shape_of(leaf)[split]
        if tiled and given % size:
            raise ValueError(
                f"The size of all_to_all split_axis ({given}) has to be divisible by the size of the named axis"
                f" {axis_name!r} ({size})"
            )
        if not tiled and given != size:
            raise ValueError(
                "all_to_all requires the size of the mapped axis axis_name to equal x.shape[split_axis], but"
                f" they are {size} and {given} respectively. With tiled=True it may be a multiple."
            )
        if len(names) == 1:
            return all_to_all_p.bind(
                leaf,
                axis_index_groups=groups,
                axis_name=names[0],
                axis_size=size,
                concat_axis=concat,
                split_axis=split,
                tiled=tiled,
            )
        full = all_gather(leaf, names)
        full = divided(full, split + 1, size) if tiled else full
        parts = move_axis(dynamic_index_in_dim(full, axis_index(names), split + 1, keepdims=False), 0, concat)
        return merged(parts, concat) if tiled else parts

    return _for_leaves("all_to_all", exchange, x)


def pswapaxes(x: Any, axis_name: Any, axis: int, *, axis_index_groups: Any = None) -> Any:
    """Exchange the mapped axis with axis `axis` of `x`, which is as long; see `all_to_all`."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def ragged_all_to_all(
    operand: Any,
    output: Any,
    input_offsets: Any,
    send_sizes: Any,
    output_offsets: Any,
    recv_sizes: Any,
    *,
    axis_name: Any,
    axis_index_groups: Any = None,
) -> Any:
    """Exchange parts of differing lengths along a mapped axis.

    To element j this one sends `operand[input_offsets[j] :]`, of which `send_sizes[j]` rows; they come to lie in
    j's result from row `output_offsets[j]` on. All else of the result is as in `output`.

    Args:
      operand: an array of shape (n, ...).
      output: an array of shape (m, ...), of the same dtype.
      input_offsets, send_sizes, output_offsets, recv_sizes: integers of shape (size of the axis,);
        `recv_sizes[j]` is how much comes from j.
      axis_name: the name of a mapped axis.
      axis_index_groups: lists of indices, of equal length, that make up the axis: exchange within each.
    Returns:
      An array of the type of `output`.
    Raises:
      NameError: no axis of this name is bound here.
      ValueError: shapes or dtypes do not fit.
    """
    operand, output = as_operand("ragged_all_to_all", operand), as_operand("ragged_all_to_all", output, 1)
    a, b = get_aval(operand), get_aval(output)
    if a.dtype != b.dtype or a.ndim == 0 or a.ndim != b.ndim or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            "ragged_all_to_all input and output must have the same dtype, and the same shape except for the"
            f" first axis; got {a.str_short()} and {b.str_short()}"
        )
    groups = _checked_groups("ragged_all_to_all", axis_index_groups, _names(axis_name))
    size = group_size(_size_of(axis_name), groups)
    lists = [input_offsets, send_sizes, output_offsets, recv_sizes]
    for i, numbers in enumerate(lists):
        aval = get_aval(as_operand("ragged_all_to_all", numbers, i + 2))
        if aval.shape != (size,) or aval.dtype.kind not in "iu":
            raise ValueError(
                "ragged_all_to_all offsets and sizes must be integers, one for each element of the axis, got"
                f" {aval.str_short()} for an axis of size {size}"
            )
    me = axis_index(axis_name)
    if groups is not None:  # the place in the group
        places = np.zeros(sum(map(len, groups)), np.int32)
        for group in groups:
            places[list(group)] = range(len(group))
        me = dynamic_index_in_dim(places, me, 0, keepdims=False)
    found = []
    for numbers in lists[:3]:
        full = all_gather(convert(numbers, np.dtype(np.int32)), axis_name, axis_index_groups=groups)
        found.append(expand_dims(dynamic_index_in_dim(full, me, 1, keepdims=False), (1,)))
    return _ragged_rows(all_gather(operand, axis_name, axis_index_groups=groups), output, *found)


def _ragged_rows(sent: Any, output: Any, starts: Any, sizes: Any, places: Any) -> Any:
    """Rows of `output`, or of `sent` where they come from one of the senders."""
    n, rows = shape_of(sent)[:2]
    m = shape_of(output)[0]
    at = sub(broadcasted_iota(np.int32, (n, m), 1), _wide(places, (n, m)))
    inside = bitwise_and(ge(at, np.int32(0)), lt(at, _wide(sizes, (n, m))))
    flat = add(add(at, _wide(starts, (n, m))), mul(broadcasted_iota(np.int32, (n, m), 0), np.int32(rows)))
    source = reduce_sum_p.bind(select(inside, flat, mul(flat, np.int32(0))), axes=(0,))
    comes = reduce_or_p.bind(inside, axes=(0,))
    rest = shape_of(output)[1:]
    numbers = GatherDimensionNumbers(tuple(range(1, 1 + len(rest))), (0,), (0,))
    taken = gather(
        reshape(sent, (n * rows, *rest)), expand_dims(source, (1,)), numbers, (1, *rest), mode="clip"
    )
    comes = reshape(comes, (m, *[1] * len(rest)))
    return select(_wide(comes, shape_of(output)), taken, output)


def _wide(x: Any, shape: tuple[int, ...]) -> Any:
    """`x`, whose axes of size 1 are repeated."""
    return broadcast_in_dim(x, shape, range(len(shape)))


def psend(x: Any, axis_name: Any, perm: Any) -> Any:
    """Send `x` along a mapped axis, as `ppermute` does; the result is a token for `precv`."""
    return ppermute(x, axis_name, perm)


def precv(token: Any, out_shape: Any, axis_name: Any, perm: Any) -> Any:
    """What `psend`, which gave the token, sent here. ValueError if it is of another type than `out_shape`."""
    aval = get_aval(token)
    if (aval.shape, aval.dtype) != (tuple(out_shape.shape), np.dtype(out_shape.dtype)):
        raise ValueError(f"precv: {aval.str_short()} was sent, which is not what out_shape says: {out_shape}")
    return token


def pcast(x: Any, axis_name: Any, *, to: str) -> Any:
    """`x`, whose type says from here on how it counts over a mapped axis. Its values are the same.

    Raises:
      NameError: no axis of this name is bound here.
      ValueError: `to` is no such word.
    """
    if to not in ("varying", "invariant", "reduced", "unreduced"):
        raise ValueError(f"pcast: `to` is 'varying', 'invariant', 'reduced' or 'unreduced', got {to!r}")
    names = _names(axis_name)
    for name in names:
        _size_of(name)

    def vary(leaf: Any) -> Any:
        for name in tracked_axes() if to == "varying" else ():
            leaf = pvary_p.bind(leaf, axis_name=name) if name in names else leaf
        return leaf

    return _for_leaves("pcast", vary, x)
