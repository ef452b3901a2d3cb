"""Convolutions.

Axes are named as in JAX: a spec is (batch, feature, spatial axes ...) of an array, or (output feature, input
feature, spatial axes ...) of a kernel. As everywhere in machine learning, kernels are not reversed.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, add_cotangents, is_undefined, is_zero
from wengert.prims import fast_convolution
from wengert.prims.axes import accumulator, batch_to, move_axis, transpose
from wengert.prims.constructors import Shape, check_dtype, same_dtype, shape_of
from wengert.prims.conversion import convert
from wengert.prims.dot import Precision, check_precision
from wengert.prims.shape import reshape, rev
from wengert.prims.slicing import pad_p

Pads = tuple[tuple[int, int], ...]


class ConvDimensionNumbers(NamedTuple):
    """Where the axes of a convolution are.

    Attributes:
      lhs_spec: batch axis, feature axis, spatial axes of the left operand.
      out_spec: the same of the result.
      rhs_spec: output feature axis, input feature axis, spatial axes.
    """

    lhs_spec: Sequence[int]
    rhs_spec: Sequence[int]
    out_spec: Sequence[int]


class Windows(NamedTuple):
    """How windows move: one entry for each spatial axis."""

    strides: Shape
    padding: Pads
    lhs_dilation: Shape
    rhs_dilation: Shape


# ----------------------------------------------------------------------------------------------------- shapes


def dilated(size: int, dilation: int) -> int:
    """The extent of `size` elements with gaps between them."""
    return 0 if size == 0 else (size - 1) * dilation + 1


def window_count(
    size: int, window: int, stride: int, pads: tuple[int, int], base: int = 1, hole: int = 1
) -> int:
    """How many windows fit into an axis."""
    room = dilated(size, base) + sum(pads) - dilated(window, hole)
    return 0 if room < 0 else room // stride + 1


def padtype_to_pads(
    in_shape: Any, window_shape: Any, window_strides: Any, padding: Any
) -> list[tuple[int, int]]:
    """The padding, before and after each axis, that "SAME", "SAME_LOWER" or "VALID" stands for.

    Raises:
      RuntimeError: there is no such name.
    """
    name = padding.upper() if isinstance(padding, str) else getattr(padding, "name", str(padding))
    if name == "VALID":
        return [(0, 0)] * len(in_shape)
    if name not in ("SAME", "SAME_LOWER"):
        raise RuntimeError(
            f"Unrecognized padding type: {padding!r}; it is one of SAME, SAME_LOWER, VALID, or pairs of numbers"
        )
    found = []
    for size, window, stride in zip(in_shape, window_shape, window_strides):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        less, more = total // 2, total - total // 2
        found.append((more, less) if name == "SAME_LOWER" else (less, more))
    return found


def conv_dimension_numbers(lhs_shape: Any, rhs_shape: Any, dimension_numbers: Any) -> ConvDimensionNumbers:
    """Axes from letters, such as ("NHWC", "HWIO", "NHWC"); by default ("NCHW", "OIHW", "NCHW").

    Raises:
      TypeError: letters are missing or stand twice, or the ranks differ.
    """
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    ndim = len(lhs_shape)
    if len(rhs_shape) != ndim:
        raise TypeError(
            f"convolution requires lhs and rhs ndim to be equal, got {ndim} and {len(rhs_shape)}."
        )
    if dimension_numbers is None:
        axes = tuple(range(ndim))
        return ConvDimensionNumbers(axes, axes, axes)
    lhs, rhs, out = dimension_numbers
    for name, letters, spec in (("lhs", "NC", lhs), ("rhs", "OI", rhs), ("out", "NC", out)):
        if len(spec) != ndim or len(set(spec)) != ndim or not set(letters) <= set(spec):
            raise TypeError(
                f"convolution dimension_numbers: the {name} spec {spec!r} must have one letter for each of "
                f"{ndim} "
                f"axes, and among them {' and '.join(letters)}"
            )
    space = [c for c in rhs if c not in "OI"]
    if {*lhs} - {"N", "C"} != {*space} or {*out} - {"N", "C"} != {*space}:
        raise TypeError(
            f"convolution dimension_numbers {dimension_numbers} must have the same spatial letters"
        )
    return ConvDimensionNumbers(
        tuple(lhs.index(c) for c in ("N", "C", *space)),
        tuple(rhs.index(c) for c in ("O", "I", *space)),
        tuple(out.index(c) for c in ("N", "C", *space)),
    )


def conv_general_permutations(dimension_numbers: Any) -> list[Shape]:
    """The axes of lhs, rhs and out, in order, for letters such as ("NHWC", "HWIO", "NHWC")."""
    ndim = len(dimension_numbers[0])
    return [tuple(s) for s in conv_dimension_numbers((0,) * ndim, (0,) * ndim, dimension_numbers)]


def conv_shape_tuple(
    lhs_shape: Any, rhs_shape: Any, strides: Any, pads: Any, batch_group_count: int = 1
) -> Shape:
    """The shape of a convolution of (batch, feature, space ...) by (output, input, space ...).

    Raises:
      TypeError: numbers of strides or pads do not fit.
    """
    space = len(lhs_shape) - 2
    if isinstance(pads, str):
        pads = padtype_to_pads(lhs_shape[2:], rhs_shape[2:], strides, pads)
    if len(pads) != space or len(strides) != space:
        raise TypeError(f"convolution of {space} spatial axes got strides {strides} and padding {pads}")
    counts = [window_count(d, k, s, p) for d, k, s, p in zip(lhs_shape[2:], rhs_shape[2:], strides, pads)]
    return (lhs_shape[0] // batch_group_count, rhs_shape[0], *counts)


def conv_general_shape_tuple(
    lhs_shape: Any, rhs_shape: Any, window_strides: Any, padding: Any, dimension_numbers: Any
) -> Shape:
    """As `conv_shape_tuple`, for any order of axes."""
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    found = conv_shape_tuple(
        [lhs_shape[i] for i in lhs], [rhs_shape[i] for i in rhs], window_strides, padding
    )
    return tuple([found[out.index(i)] for i in range(len(out))])


# ----------------------------------------------------------------------------------------------------- phases


class Space(NamedTuple):
    """One spatial axis of one phase.

    Window number t lies at `stride * t + hole * u + start` of the left operand for tap u, which is number
    `first + step * u` of the kernel, and gives result number `phase + every * t`.
    """

    windows: int
    stride: int
    taps: int
    hole: int
    start: int
    first: int
    step: int
    phase: int
    every: int


def phases(window: int, count: int, stride: int, pad: int, base: int, hole: int) -> list[Space]:
    """The phases of one spatial axis, of `count` results: those that see the same part of the kernel, if the left
    operand has `base - 1` holes between its elements."""
    every = base // math.gcd(base, stride)
    step = base // math.gcd(base, hole)
    found = []
    for phase in range(min(every, count)):
        number = -(-(count - phase) // every)
        # the first tap that does not fall into a hole
        first = next(
            (u for u in range(min(window, step)) if (phase * stride + u * hole - pad) % base == 0), window
        )
        taps = max(0, -(-(window - first) // step))
        start = (phase * stride + first * hole - pad) // base
        found.append(
            Space(number, stride * every // base, taps, hole * step // base, start, first, step, phase, every)
        )
    return found


# ---------------------------------------------------------------------------------------------- the primitive


def _conv_aval(
    x: ShapedArray,
    k: ShapedArray,
    *,
    window_strides: Shape,
    padding: Pads,
    lhs_dilation: Shape,
    rhs_dilation: Shape,
    dimension_numbers: ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    preferred_element_type: Any,
    **params: Any,
) -> ShapedArray:
    for i, aval in enumerate((x, k)):
        check_dtype("conv_general_dilated", "iufc", aval, i)
    lhs, rhs, out = dimension_numbers
    space = x.ndim - 2
    for name, value in (
        ("window_strides", window_strides),
        ("padding", padding),
        ("lhs_dilation", lhs_dilation),
        ("rhs_dilation", rhs_dilation),
    ):
        if len(value) != space:
            raise ValueError(
                f"conv_general_dilated {name} {value} must have one entry for each of {space} spatial axes."
            )
    if any(
        n < 1 for n in (*window_strides, *lhs_dilation, *rhs_dilation, feature_group_count, batch_group_count)
    ):
        raise ValueError("conv_general_dilated strides, dilations and group counts must be positive.")
    if feature_group_count > 1 and batch_group_count > 1:
        raise ValueError("At most one of batch_group_count and feature_group_count may be > 1.")
    features, inputs, outputs = x.shape[lhs[1]], k.shape[rhs[1]], k.shape[rhs[0]]
    if features != inputs * feature_group_count:
        raise ValueError(
            "conv_general_dilated feature_group_count * rhs input feature dimension size must equal the lhs "
            "feature "
            f"dimension size, but {feature_group_count} * {inputs} != {features}, for shapes {x.shape} and "
            f"{k.shape}."
        )
    for what, count in (
        ("feature_group_count", feature_group_count),
        ("batch_group_count", batch_group_count),
    ):
        if outputs % count:
            raise ValueError(
                f"conv_general_dilated rhs output feature size must be a multiple of {what}: {outputs}, "
                f"{count}"
            )
    if x.shape[lhs[0]] % batch_group_count:
        raise ValueError("conv_general_dilated lhs batch size must be a multiple of batch_group_count.")
    shape = [0] * x.ndim
    shape[out[0]], shape[out[1]] = x.shape[lhs[0]] // batch_group_count, outputs
    for n in range(space):
        shape[out[n + 2]] = window_count(
            x.shape[lhs[n + 2]],
            k.shape[rhs[n + 2]],
            window_strides[n],
            padding[n],
            lhs_dilation[n],
            rhs_dilation[n],
        )
    return ShapedArray(shape, preferred_element_type or x.dtype)


def _patches(x: Any, kernel: Shape, counts: Shape, strides: Shape, dilation: Shape) -> Any:
    """A view of x, (batch, feature, space ...), as (batch, feature, kernel ..., window ...)."""
    steps = x.strides[2:]
    inner = [s * d for s, d in zip(steps, dilation)]
    outer = [s * t for s, t in zip(steps, strides)]
    return np.lib.stride_tricks.as_strided(
        x, (*x.shape[:2], *kernel, *counts), (*x.strides[:2], *inner, *outer), writeable=False
    )


def _conv_impl(
    xp: Any,
    x: Any,
    k: Any,
    *,
    window_strides: Shape,
    padding: Pads,
    lhs_dilation: Shape,
    rhs_dilation: Shape,
    dimension_numbers: ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    preferred_element_type: Any,
    **params: Any,
) -> Any:
    lhs, rhs, out = dimension_numbers
    result = np.dtype(preferred_element_type or x.dtype)
    work = accumulator(result)
    x = xp.transpose(x, lhs).astype(work, copy=False)
    k = xp.transpose(k, rhs).astype(work, copy=False)
    axes = zip(x.shape[2:], k.shape[2:], window_strides, padding, lhs_dilation, rhs_dilation)
    counts = [window_count(*axis) for axis in axes]
    found = xp.zeros((x.shape[0] // batch_group_count, k.shape[0], *counts), work)
    # What is in holes is nothing, not zeros: an infinite element of the kernel there adds nothing to a sum.
    spaces = [
        phases(d, count, s, lo, b, h)
        for d, count, s, (lo, _), b, h in zip(
            k.shape[2:], counts, window_strides, padding, lhs_dilation, rhs_dilation
        )
    ]
    for phase in itertools.product(*spaces) if 0 not in (*x.shape, *k.shape) else ():
        if all(space.taps for space in phase):
            where = tuple([slice(space.phase, None, space.every) for space in phase])
            found[(..., *where)] = _dense_conv(xp, x, k, phase, feature_group_count, batch_group_count)
    return xp.transpose(found, tuple(np.argsort(out))).astype(result, copy=False)


def _dense_conv(
    xp: Any, x: Any, k: Any, phase: Sequence[Space], feature_groups: int, batch_groups: int
) -> Any:
    """The results of one phase, (batch, feature, space ...)."""
    config, taps = [(0, 0, 0), (0, 0, 0)], []
    for d, p in zip(x.shape[2:], phase):
        end = p.start + p.stride * (p.windows - 1) + p.hole * (p.taps - 1) + 1
        config.append((-p.start, end - d, 0))
        taps.append(slice(p.first, p.first + p.step * p.taps, p.step))
    x = np.ascontiguousarray(pad_p.impl(xp, x, x.dtype.type(0), padding_config=config))
    k = k[(..., *taps)]
    if x.ndim == 3 and x.shape[:2] == k.shape[:2] == (1, 1) and phase[0].stride == phase[0].hole == 1:
        # one signal and one kernel: NumPy does not write out the windows, which may be far larger than both
        return xp.correlate(x[0, 0], xp.conj(k[0, 0]), "valid")[None, None]
    kernel, counts = k.shape[2:], tuple([p.windows for p in phase])
    p = _patches(x, kernel, counts, tuple([p.stride for p in phase]), tuple([p.hole for p in phase]))
    groups, n = feature_groups * batch_groups, x.shape[0] // batch_groups
    inputs = k.shape[1]
    # (batch groups, batch, feature groups, inputs, kernel ..., window ...)
    p = p.reshape((batch_groups, n, feature_groups, inputs, *kernel, *counts))
    p = xp.moveaxis(p, 1, 2).reshape((groups, n, inputs * math.prod(kernel), math.prod(counts)))
    weights = k.reshape((groups, 1, k.shape[0] // groups, inputs * math.prod(kernel)))
    found = xp.matmul(weights, p)  # (groups, batch, outputs of a group, windows)
    return xp.moveaxis(found, 0, 1).reshape((n, k.shape[0], *counts))


def _conv_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (x, k), (tx, tk) = primals, tangents
    out = conv_general_dilated_p.bind(x, k, **params)
    total = None
    if not is_zero(tx):
        total = conv_general_dilated_p.bind(tx, k, **params)
    if not is_zero(tk):
        total = add_cotangents(total, conv_general_dilated_p.bind(x, tk, **params))
    return out, Zero.of(out) if total is None else total


def _swapped(spec: Sequence[int]) -> Shape:
    return (spec[1], spec[0], *spec[2:])


def _split_axis(x: Any, axis: int, count: int) -> Any:
    """`x` with an axis cut into `count` parts, which become a new axis before it."""
    shape = shape_of(x)
    return reshape(x, (*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :]))


def _merge_axis(x: Any, axis: int, into: int) -> Any:
    """`x` with an axis put, as the slower index, into another one, which is numbered after the first has gone."""
    moved = move_axis(x, axis, into)
    shape = shape_of(moved)
    return reshape(moved, (*shape[:into], shape[into] * shape[into + 1], *shape[into + 2 :]))


def _lhs_cotangent(
    ct: Any, x: ShapedArray, k: Any, w: Windows, numbers: ConvDimensionNumbers, groups: Any, precision: Any
) -> Any:
    features, batches = groups
    lhs, rhs, out = numbers
    shape = shape_of(k)
    count = features * batches
    if count > 1:
        k = _merge_axis(_split_axis(k, rhs[0], count), rhs[0], rhs[1])
    padding = []
    for n in range(len(w.strides)):
        base = dilated(x.shape[lhs[n + 2]], w.lhs_dilation[n])
        kernel = dilated(shape[rhs[n + 2]], w.rhs_dilation[n])
        spread = dilated(shape_of(ct)[out[n + 2]], w.strides[n])
        before = kernel - w.padding[n][0] - 1
        padding.append((before, base + kernel - 1 - spread - before))
    found = _bind(
        ct,
        rev(k, rhs[2:]),
        Windows(w.lhs_dilation, tuple(padding), w.strides, w.rhs_dilation),
        ConvDimensionNumbers(out, _swapped(rhs), lhs),
        (count, 1),
        None,
        precision,
    )
    if batches > 1:
        found = _merge_axis(_split_axis(found, lhs[1], batches), lhs[1], lhs[0])
    return found


def _rhs_cotangent(
    ct: Any, x: Any, k: ShapedArray, w: Windows, numbers: ConvDimensionNumbers, groups: Any, precision: Any
) -> Any:
    lhs, rhs, out = numbers
    padding = []
    for n in range(len(w.strides)):
        base = dilated(shape_of(x)[lhs[n + 2]], w.lhs_dilation[n])
        kernel = dilated(k.shape[rhs[n + 2]], w.rhs_dilation[n])
        spread = dilated(shape_of(ct)[out[n + 2]], w.strides[n])
        before = w.padding[n][0]
        padding.append((before, spread + kernel - base - 1 - before))
    features, batches = groups
    return _bind(
        x,
        ct,
        Windows(w.rhs_dilation, tuple(padding), w.lhs_dilation, w.strides),
        ConvDimensionNumbers(_swapped(lhs), _swapped(out), _swapped(rhs)),
        (batches, features),
        None,
        precision,
    )


def _conv_transpose(ct: Any, x: Any, k: Any, **params: Any) -> Any:
    if is_zero(ct):
        return [None, None]
    w = Windows(params["window_strides"], params["padding"], params["lhs_dilation"], params["rhs_dilation"])
    groups = params["feature_group_count"], params["batch_group_count"]
    numbers, precision = params["dimension_numbers"], params["precision"]
    if is_undefined(x):
        found = _lhs_cotangent(ct, x.aval, k, w, numbers, groups, precision)
        return [convert(found, x.aval.dtype), None]
    return [None, convert(_rhs_cotangent(ct, x, k.aval, w, numbers, groups, precision), k.aval.dtype)]


def _conv_batch(axis: Any, args: Any, dims: Any, **params: Any) -> Any:
    (x, k), (dx, dk) = args, dims
    lhs, rhs, out = params["dimension_numbers"]
    grouped = params["feature_group_count"] * params["batch_group_count"] > 1
    if grouped or (dx is not None and dk is not None):
        x, k = batch_to(x, dx, axis.size, 0), batch_to(k, dk, axis.size, 0)
        k = _merge_axis(k, 0, rhs[0])
        if params["batch_group_count"] > 1:
            x = _merge_axis(x, 0, lhs[0])
            params["batch_group_count"] *= axis.size
        else:
            x = _merge_axis(x, 0, lhs[1])
            params["feature_group_count"] *= axis.size
        split = out[1]
    elif dx is not None:
        x, split = _merge_axis(x, dx, lhs[0]), out[0]
    else:
        k, split = _merge_axis(k, dk, rhs[0]), out[1]
    found = conv_general_dilated_p.bind(x, k, **params)
    return _split_axis(found, split, axis.size), split


def _conv_emit(ctx: Any, outs: Any, x: Any, k: Any, *, preferred_element_type: Any, **params: Any) -> Any:
    for dtype in (outs[0].dtype, x.aval.dtype, k.aval.dtype):
        if dtype.kind == "c" or not ctx.is_native(dtype):
            return None
    if 0 in (*x.aval.shape, *k.aval.shape, *outs[0].shape):
        return None
    ctx.conv(outs[0], x, k, plain=params.pop("precision") is not None, **params)
    return outs


def _conv_expand(x: ShapedArray, k: ShapedArray, **params: Any) -> Any:
    lhs, rhs, _ = params["dimension_numbers"]
    windows = zip(
        lhs[2:],
        rhs[2:],
        params["window_strides"],
        params["padding"],
        params["lhs_dilation"],
        params["rhs_dilation"],
    )
    counts = tuple([window_count(x.shape[a], k.shape[b], *rest) for a, b, *rest in windows])

    def conv(x: Any, k: Any, params: Any, dtype: Any) -> Any:
        return conv_general_dilated_p.bind(x, k, **{**params, "preferred_element_type": dtype})

    return fast_convolution.expansion(conv, counts, x, k, params)


conv_general_dilated_p: Primitive = Primitive(
    "conv_general_dilated",
    "contraction",
    abstract_eval=_conv_aval,
    impl=_conv_impl,
    jvp=_conv_jvp,
    transpose=_conv_transpose,
    batch=_conv_batch,
    emit=_conv_emit,
    expand=_conv_expand,
    access="view",
    hidden_params=("precision",),
)


def _bind(
    x: Any,
    k: Any,
    w: Windows,
    numbers: ConvDimensionNumbers,
    groups: tuple[int, int],
    preferred: Any,
    precision: Any,
) -> Any:
    """`precision` is HIGHEST where only the plain sum will do, else None."""
    return conv_general_dilated_p.bind(
        x,
        k,
        window_strides=w.strides,
        padding=w.padding,
        lhs_dilation=w.lhs_dilation,
        rhs_dilation=w.rhs_dilation,
        dimension_numbers=numbers,
        feature_group_count=groups[0],
        batch_group_count=groups[1],
        precision=precision,
        preferred_element_type=preferred,
    )


# -------------------------------------------------------------------------------------------------- functions


def _ints(values: Any, default: int) -> Shape:
    return (1,) * default if values is None else tuple([operator.index(v) for v in values])


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The convolution of `lhs` by the kernel `rhs`, with any strides, padding, dilation, groups and order of
    axes.

    Args:
      lhs: by default of shape (batch, feature, space ...).
      rhs: by default of shape (output feature, input feature, space ...).
      window_strides: by how much the window moves, for each spatial axis.
      padding: "SAME", "SAME_LOWER", "VALID", or for each spatial axis a pair (before, after).
      lhs_dilation, rhs_dilation: distances between elements of lhs and of the kernel. There is nothing between
        them: NaN in the kernel adds nothing there.
      dimension_numbers: letters such as ("NHWC", "HWIO", "NHWC"), or `ConvDimensionNumbers`.
      feature_group_count, batch_group_count: into how many independent groups features or batches fall.
      precision: with HIGHEST (of one operand at least) compiled code forms the sums of products. Otherwise it may
        choose methods with fewer multiplications. Their errors are as those of the sum for numbers of similar size;
        but what is not finite, or very large, has an effect on results nearby, or on all with a large kernel.
      preferred_element_type: the dtype to form the sums in, and of the result.
    Raises:
      TypeError, ValueError: shapes, dtypes and numbers do not fit.
    """
    if precision is not None:
        check_precision(precision)
    lhs, rhs = same_dtype("conv_general_dilated", lhs, rhs)
    x, k = shape_of(lhs), shape_of(rhs)
    numbers = conv_dimension_numbers(x, k, dimension_numbers)
    numbers = ConvDimensionNumbers(*[tuple(s) for s in numbers])
    space = len(x) - 2
    strides, base, holes = (
        _ints(window_strides, space),
        _ints(lhs_dilation, space),
        _ints(rhs_dilation, space),
    )
    if isinstance(padding, str):
        if any(d != 1 for d in base):
            raise ValueError(
                "String padding is not implemented for transposed convolution using this op: with lhs_dilation say how"
                " much padding there is, as pairs of numbers, or use conv_transpose."
            )
        extent = [dilated(x[a], d) for a, d in zip(numbers.lhs_spec[2:], base)]
        window = [dilated(k[a], d) for a, d in zip(numbers.rhs_spec[2:], holes)]
        padding = padtype_to_pads(extent, window, strides, padding)
    pads = tuple([(operator.index(lo), operator.index(hi)) for lo, hi in padding])
    element = None if preferred_element_type is None else dtypes.canonicalize_dtype(preferred_element_type)
    groups = operator.index(feature_group_count), operator.index(batch_group_count)
    return _bind(lhs, rhs, Windows(strides, pads, base, holes), numbers, groups, element, _highest(precision))


def _highest(precision: Any) -> Precision | None:
    given = precision if isinstance(precision, tuple | list) else (precision,)
    highest = any(p is Precision.HIGHEST or Precision._missing_(p) is Precision.HIGHEST for p in given)
    return Precision.HIGHEST if highest else None


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The convolution of (batch, feature, space ...) by (output feature, input feature, space ...)."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """As `conv`, with any padding and dilation."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def transposed_pads(kernel: int, stride: int, padding: str) -> tuple[int, int]:
    if padding == "SAME":
        total = kernel + stride - 2
        before = kernel - 1 if stride > kernel - 1 else -(-total // 2)
    elif padding == "VALID":
        total = kernel + stride - 2 + max(kernel - stride, 0)
        before = kernel - 1
    else:
        raise ValueError(
            f"padding of conv_transpose must be SAME, VALID or pairs of numbers, got {padding!r}"
        )
    return before, total - before


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Any,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Any:
    """The convolution that enlarges: `lhs` is spread by `strides`, then convolved.

    Args:
      lhs: by default of shape (batch, space ..., feature).
      rhs: by default of shape (space ..., input feature, output feature).
      strides: by how much each spatial axis grows.
      padding: "SAME", "VALID", or for each spatial axis a pair, put around the spread lhs.
      rhs_dilation: distances between elements of the kernel.
      dimension_numbers: letters such as ("NHWC", "HWIO", "NHWC").
      transpose_kernel: use the kernel of the convolution whose gradient this is: reversed, features swapped.
      use_consistent_padding: `padding` is that of the convolution whose gradient this is.
    Raises:
      TypeError, ValueError: shapes, dtypes and numbers do not fit.
    """
    space = len(shape_of(lhs)) - 2
    if dimension_numbers is None:
        letters = "DHW"[3 - space :] if space <= 3 else ""
        if not letters and space:
            raise ValueError("conv_transpose of more than 3 spatial axes needs dimension_numbers")
        dimension_numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    numbers = conv_dimension_numbers(shape_of(lhs), shape_of(rhs), dimension_numbers)
    holes = _ints(rhs_dilation, space)
    kernel = [dilated(shape_of(rhs)[a], d) for a, d in zip(numbers.rhs_spec[2:], holes)]
    if isinstance(padding, str):
        pads = [transposed_pads(k, s, padding.upper()) for k, s in zip(kernel, strides)]
    elif use_consistent_padding:
        pads = [(k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(kernel, padding)]
    else:
        pads = list(padding)
    if transpose_kernel:
        rhs = rev(rhs, tuple(numbers.rhs_spec[2:]))
        order = list(range(space + 2))
        o, i = numbers.rhs_spec[:2]
        order[o], order[i] = i, o
        rhs = transpose(rhs, order)
    return conv_general_dilated(
        lhs,
        rhs,
        (1,) * space,
        pads,
        strides,
        rhs_dilation,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """The windows that a kernel of shape `filter_shape` sees: features become (feature, window ...) as one."""
    size = math.prod(filter_shape)
    kernel = tuple(filter_shape)
    ndim = len(shape_of(lhs))
    numbers = conv_dimension_numbers(shape_of(lhs), (0,) * ndim, dimension_numbers)
    features = shape_of(lhs)[numbers.lhs_spec[1]]
    picks = np.tile(np.eye(size), (features, 1)).reshape((features * size, 1, *kernel))
    placed = np.transpose(picks, np.argsort(numbers.rhs_spec)).astype(dtypes.dtype(lhs))
    return conv_general_dilated(
        lhs,
        placed,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        features,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
