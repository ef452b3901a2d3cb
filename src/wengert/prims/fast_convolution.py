"""What convolutions are compiled to where that is not a sum of products: Fourier transforms, real and wider ones.

Large kernels are multiplied as Fourier transforms, which takes n log n operations in the place of n times the taps.
Long signals are cut into parts, each of which overlaps the next one by the kernel, so that transforms stay short.
The error of each result is then a part of the largest ones rather than of itself, and what is not finite spreads;
with the precision HIGHEST there are no transforms.

The convolution of complex numbers is four of real ones, that of 16-bit floats one of float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.staging import stage
from wengert.prims.arithmetic import add, complex, conj, imag, mul, real, sub
from wengert.prims.axes import accumulator, broadcast_in_dim, inverse_permutation, reduce_sum, transpose
from wengert.prims.constructors import Shape, constant, shape_of
from wengert.prims.conversion import convert
from wengert.prims.fft import FftType, fft
from wengert.prims.shape import reshape, squeeze
from wengert.prims.slicing import concatenate, pad, slice, slice_in_dim

# Cycles: of transforms for an element and each halving of the length, with several lines side by side and with one;
# of a product of complex numbers, of an element that is copied, of calls. Of direct sums for products of a vector.
_LINES, _LINE, _PRODUCT, _MOVE, _CALLS = 0.5, 1.3, 4.0, 4.0, 2e5
_CHANNELS, _SIGNAL, _VECTOR_BYTES = 0.6, 1.0, 64
_MARGIN = 1.3  # by how much transforms have to be cheaper
_LEAST = 64  # taps
_PARTS = (2, 3, 4, 6, 8, 12, 16, 24)  # times the kernel that parts of a signal may be long


class Lengths(NamedTuple):
    """Of the transforms along each spatial axis; parts of the signal, and new elements in each; cycles."""

    sizes: Shape
    parts: int
    step: int
    cycles: float


def expansion(conv: Callable[..., Any], counts: Shape, x: ShapedArray, k: ShapedArray, params: Any) -> Any:
    """The program that a convolution with `counts` windows is compiled to in its place; None if there is none.

    `conv` binds the primitive, given the operands, parameters and the dtype of the result.
    """
    out = np.dtype(params["preferred_element_type"] or x.dtype)
    if 0 in (*x.shape, *k.shape, *counts):
        return None

    def run(x: Any, k: Any) -> list[Any]:
        if out.kind == "c":
            return [_by_parts(conv, x, k, params, out)]
        if wide != out:
            return [convert(conv(x, k, params, wide), out)]
        assert lengths is not None
        return [by_transforms(x, k, counts, params, out, lengths)]

    wide, lengths = accumulator(out), None
    if (out.kind == "c") != (x.dtype.kind == "c"):
        return None
    if out.kind != "c" and wide == out:
        lengths = choose(counts, x, k, params, out) if out.kind == "f" else None
        if lengths is None:
            return None
    return stage(run, [x, k], "conv_general_dilated")


def _by_parts(conv: Callable[..., Any], x: Any, k: Any, params: Any, out: Any) -> Any:
    """The convolution of complex numbers. Four sums: three would lose what is small in one part but not in both."""
    element = dtypes.to_floating_dtype(out)
    a, b, c, d = (f(v) for v in (x, k) for f in (real, imag))
    rr, ii, ri, ir = (conv(p, q, params, element) for p, q in ((a, c), (b, d), (a, d), (b, c)))
    return complex(sub(rr, ii), add(ri, ir))


# ------------------------------------------------------------------------------------------------- transforms


def _smooth(n: int) -> int:
    """The least even number from n on without prime factors above 5, which transforms are quick for."""
    best = 1 << max(n - 1, 1).bit_length()
    for five in range(8):
        for three in range(12):
            odd = 5**five * 3**three
            if odd < best:
                best = min(best, odd << max(1, (-(-n // odd) - 1).bit_length()))
    return best


def _spans(kernel: Shape, params: Any) -> list[int]:
    """How many elements a kernel spans along each spatial axis."""
    return [(d - 1) * h + 1 for d, h in zip(kernel, params["rhs_dilation"])]


def choose(counts: Shape, x: ShapedArray, k: ShapedArray, params: Any, out: Any) -> Lengths | None:
    """The transforms for a convolution, if they are cheaper than its sums. The same on every machine."""
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    if (
        not 1 <= len(counts) <= 3
        or params["batch_group_count"] > 1
        or any(b != 1 for b in params["lhs_dilation"])
        or params["precision"] is not None
    ):
        return None
    batch, features = (x.shape[a] for a in numbers.lhs_spec[:2])
    outputs, inputs = (k.shape[a] for a in numbers.rhs_spec[:2])
    window = math.prod(k.shape[a] for a in numbers.rhs_spec[2:])
    if window < _LEAST:
        return None
    rate = _SIGNAL if inputs * outputs == groups else _CHANNELS
    direct = rate * batch * outputs * inputs * window * math.prod(counts) * out.itemsize / _VECTOR_BYTES
    taps = _spans(tuple([k.shape[a] for a in numbers.rhs_spec[2:]]), params)
    extents = [s * (w - 1) + t for s, w, t in zip(params["window_strides"], counts, taps)]

    def cost(sizes: Shape, parts: int) -> float:
        size = math.prod(sizes)
        total = (
            _CALLS + (batch * features * parts + outputs * inputs + batch * outputs * parts) * _MOVE * size
        )
        total += batch * outputs * inputs * parts * size / 2 * _PRODUCT
        for lines in (batch * features * parts, outputs * inputs, batch * outputs * parts):
            several = lines >= 4 or len(sizes) > 1
            total += (_LINES if several else _LINE) * lines * size * math.log2(size)
        return float(total * out.itemsize / 4)

    whole = tuple(map(_smooth, extents))
    best = Lengths(whole, 1, whole[-1], cost(whole, 1))
    for times in _PARTS if len(counts) == 1 else ():
        size = _smooth(times * taps[0])
        step = size - taps[0] + 1
        parts = -(-(extents[0] - taps[0] + 1) // step)
        if parts > 1 and (found := Lengths((size,), parts, step, cost((size,), parts))).cycles < best.cycles:
            best = found
    return best if best.cycles * _MARGIN < direct else None


def _joined(x: Any, k: Any, params: Any, lengths: Lengths) -> Any:
    """The products of transforms, summed over inputs: (batch, groups, outputs of a group, parts ..., space ...)."""
    (batch, *_), (outputs, inputs, *_) = shape_of(x), shape_of(k)
    groups, several = params["feature_group_count"], lengths.parts > 1
    x = reshape(x, (batch, groups, 1, inputs, *([lengths.parts] if several else []), *lengths.sizes))
    k = reshape(k, (1, groups, outputs // groups, inputs, *([1] if several else []), *lengths.sizes))
    x, k = fft(x, FftType.RFFT, lengths.sizes), conj(fft(k, FftType.RFFT, lengths.sizes))
    shape = tuple(map(max, shape_of(x), shape_of(k)))
    product = mul(*(broadcast_in_dim(v, shape, range(len(shape))) for v in (x, k)))
    return squeeze(product, (3,)) if inputs == 1 else reduce_sum(product, (3,))


def by_transforms(x: Any, k: Any, counts: Shape, params: Any, out: Any, lengths: Lengths) -> Any:
    """The convolution by Fourier transforms. Strides leave out results, holes in the kernel are zeros."""
    lhs, rhs, spec = params["dimension_numbers"]
    x, k = convert(transpose(x, lhs), out), convert(transpose(k, rhs), out)
    (batch, _, *sizes), (outputs, _, *kernel) = shape_of(x), shape_of(k)
    parts, step = lengths.parts, lengths.step
    # several parts have at their ends what they share with the next one
    reach = lengths.sizes if parts == 1 else ((parts + 1) * step,)
    config = [(lo, n - d - lo, 0) for (lo, _), n, d in zip(params["padding"], reach, sizes)]
    x = pad(x, constant(x, 0), [(0, 0, 0), (0, 0, 0), *config])
    spans = zip(lengths.sizes, _spans(tuple(kernel), params), params["rhs_dilation"])
    k = pad(k, constant(k, 0), [(0, 0, 0), (0, 0, 0), *((0, n - t, h - 1) for n, t, h in spans)])
    if parts > 1:
        rows = reshape(x, (*shape_of(x)[:2], parts + 1, step))
        shared = slice_in_dim(slice_in_dim(rows, 1, parts + 1, axis=2), 0, lengths.sizes[0] - step, axis=3)
        x = concatenate([slice_in_dim(rows, 0, parts, axis=2), shared], 3)
    found = fft(_joined(x, k, params, lengths), FftType.IRFFT, lengths.sizes)
    if parts > 1:
        found = slice_in_dim(found, 0, step, axis=4)
    found = reshape(found, (batch, outputs, *reach[:-1], parts * step))
    strides = params["window_strides"]
    ends = [(w - 1) * s + 1 for w, s in zip(counts, strides)]
    found = slice(found, [0] * len(spec), [batch, outputs, *ends], [1, 1, *strides])
    return transpose(found, inverse_permutation(spec))
