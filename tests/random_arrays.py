"""Operations of random programs that move elements, or combine many: views, reductions, products, windows, indices."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from tests.random_values import (
    INTS,
    LARGEST,
    MOST_ELEMENTS,
    MOST_IN_HALF,
    Builder,
    Constant,
    Value,
    filled,
    finite,
    joined,
    literal,
    product,
    rounding,
    scaled,
    shapes,
    summed,
)
from wengert import lax
from wengert.core.trace import get_aval
from wengert.prims.threefry import threefry2x32_p

# ----------------------------------------------------------------------------------------------------- views


def slicing(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    if x is None:
        return None
    starts, limits, strides = [], [], []
    for d in x.shape:
        lo = b.integer(0, min(d, 3))
        starts.append(lo)
        limits.append(d - b.integer(0, min(d - lo, 3)))
        strides.append(b.choose((1, 1, 2, 3)))
    return x.like(lax.slice(x.x, starts, limits, strides))


def padding(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    if x is None:
        return None
    value = b.partner(x, lambda v: not v.shape)
    config = []
    for d in x.shape:
        inner = b.choose((0, 0, 0, 1, 2))
        grown = d + inner * max(d - 1, 0)
        lo = b.integer(-min(grown, 2), 3)
        hi = b.integer(max(-2, -(grown + lo)), 3) if grown + lo >= 0 else b.integer(-(grown + lo), 3)
        config.append((lo, hi, inner))
    if math.prod(lo + hi + d + k * max(d - 1, 0) for d, (lo, hi, k) in zip(x.shape, config)) > MOST_ELEMENTS:
        return None
    return joined(lax.pad(x.x, value.x, config), x, value)


def concatenation(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    if x is None:
        return None
    axis = b.integer(0, len(x.shape) - 1)

    def fits(v: Value) -> bool:
        others = [d for i, d in enumerate(v.shape) if i != axis]
        return (
            v.dtype == x.dtype
            and len(v.shape) == len(x.shape)
            and others == [d for i, d in enumerate(x.shape) if i != axis]
        )

    parts = [b.pick(fits) or x for _ in range(b.integer(1, 3))] + [x]
    if sum(p.size for p in parts) > MOST_ELEMENTS:
        return None
    return joined(lax.concatenate([p.x for p in parts], axis), *parts)


def permutation(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 1)
    return None if x is None else x.like(lax.transpose(x.x, b.draw(st.permutations(range(len(x.shape))))))


def reversal(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    if x is None:
        return None
    return x.like(lax.rev(x.x, [i for i in range(len(x.shape)) if b.flag()]))


def broadcast(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) < 4)
    if x is None:
        return None
    shape, dims = [], []
    for i in range(len(x.shape) + 1):
        if b.integer(0, 2) == 2 or not x.shape:
            shape.append(b.choose((2, 3, 1, 0, 5)))
        if i < len(x.shape):
            dims.append(len(shape))
            stretched = x.shape[i] == 1 and b.flag()
            shape.append(b.integer(0, 4) if stretched else x.shape[i])
    if math.prod(shape) > MOST_ELEMENTS or len(shape) > 5:
        return None
    return x.like(lax.broadcast_in_dim(x.x, shape, dims))


def reshaping(b: Builder) -> Value | None:
    x = b.pick()
    if x is None:
        return None
    rest, shape = x.size, []
    while rest > 1 and len(shape) < 3 and b.integer(0, 3) < 3:
        d = b.choose([n for n in range(1, rest + 1) if rest % n == 0])
        shape.append(d)
        rest //= d
    return x.like(lax.reshape(x.x, (*shape, rest) if rest != 1 or b.flag() else shape))


def squeezing(b: Builder) -> Value | None:
    x = b.pick(lambda v: 1 in v.shape)
    if x is None:
        return None
    return x.like(lax.squeeze(x.x, [i for i, d in enumerate(x.shape) if d == 1 and b.flag()]))


def counting(b: Builder) -> Value | None:
    dtype = b.dtype(("int32", "float32", "uint8", "float64"))
    shape = b.draw(shapes().filter(len))
    return Value(lax.broadcasted_iota(dtype, shape, b.integer(0, len(shape) - 1)), float(max(shape)), 1.0)


# ------------------------------------------------------------------------------------- reductions, contractions


def reduction(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    if x is None:
        return None
    axes = [i for i in range(len(x.shape)) if b.flag()]
    n = math.prod(x.shape[a] for a in axes)
    if x.kind == "c" or (x.kind == "f" and b.flag()):
        if x.half and n * x.bound > MOST_IN_HALF:
            return None
        out = lax.reduce_sum(x.x, axes)
        bound = x.bound * max(n, 1)
        error = 0.0 if x.quantum else n * x.error + n * rounding(out, bound)
        return Value(out, bound, x.quantum, error)
    if x.kind == "f":
        if x.bound <= 3 and n <= 4 and b.flag():
            return _multiplied(lax.reduce_prod(x.x, axes), x, n)
        if 0 in [x.shape[a] for a in axes]:
            return None  # an infinite number
        return x.like(b.choose([lax.reduce_max, lax.reduce_min])(x.x, axes))
    bits = [lax.reduce_max, lax.reduce_min, lax.reduce_and, lax.reduce_or, lax.reduce_xor]
    return Value(b.choose(bits if x.kind == "b" else [lax.reduce_sum, lax.reduce_prod, *bits])(x.x, axes))


def _multiplied(out: Any, x: Value, n: int) -> Value:
    """Products of up to n elements."""
    bound = max(x.bound, 1.0) ** max(n, 1)
    return Value(out, bound, 0.0, n * (bound * x.error + rounding(out, 2 * bound)))


def folding(b: Builder) -> Value | None:
    """Reductions and scans by an associative function that is no primitive: (1 + a) (1 + b) - 1."""
    x = b.pick(lambda v: len(v.shape) > 0 and v.kind in "iu" and v.size < 60)
    if x is None:
        return None

    def combine(p: Any, q: Any) -> Any:
        return lax.add(lax.add(p, q), lax.mul(p, q))

    axis = b.integer(0, len(x.shape) - 1)
    if b.flag():
        return Value(lax.reduce(x.x, np.zeros((), x.dtype), combine, [axis]))
    return Value(lax.associative_scan(combine, x.x, reverse=b.flag(), axis=axis)) if x.size else None


def cumulative(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0 and v.kind != "b")
    if x is None:
        return None
    axis, reverse = b.integer(0, len(x.shape) - 1), b.flag()
    if x.kind != "c" and b.flag():
        return x.like(b.choose([lax.cummax, lax.cummin])(x.x, axis, reverse))
    if x.kind not in "fc":
        return Value(b.choose([lax.cumsum, lax.cumprod])(x.x, axis, reverse))
    n = max(x.shape[axis], 1)
    if x.half and n * x.bound > MOST_IN_HALF:
        return None
    if x.kind == "f" and x.bound <= 3 and n <= 4 and b.flag():
        return _multiplied(lax.cumprod(x.x, axis, reverse), x, n)
    if x.kind == "f" and x.bound <= 16 and b.flag():
        return scaled(lax.cumlogsumexp(x.x, axis, reverse), x, x.bound + math.log(n))
    out = lax.cumsum(x.x, axis, reverse)
    return Value(
        out, x.bound * n, x.quantum, 0.0 if x.quantum else n * (x.error + rounding(out, n * x.bound))
    )


def bits(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.kind in "iu")
    if x is None:
        return None
    to = b.choose([d for d in INTS if d != x.dtype.name])
    wider = np.dtype(to).itemsize // x.dtype.itemsize
    if wider > 1 and x.shape[-1:] != (wider,):
        return None
    return Value(lax.bitcast_convert_type(x.x, np.dtype(to)))


def place_of_extremum(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.exact and v.kind != "c" and any(v.shape))
    if x is None:
        return None
    axis = b.choose([i for i, d in enumerate(x.shape) if d])
    return Value(b.choose([lax.argmax, lax.argmin])(x.x, axis, np.dtype(np.int32)))


_WIDER = {
    "int8": np.int32,
    "uint8": np.uint32,
    "float16": np.float32,
    "bfloat16": np.float32,
    "float32": np.float64,
}


def contraction(b: Builder) -> Value | None:
    x = b.pick()
    y = None if x is None else b.pick(lambda v: v.dtype == x.dtype)
    if x is None or y is None or x.bound * y.bound > LARGEST:
        return None
    contracting: tuple[list[int], list[int]] = ([], [])
    batch: tuple[list[int], list[int]] = ([], [])
    for i, d in enumerate(x.shape):
        free = [j for j, e in enumerate(y.shape) if e == d and j not in (*contracting[1], *batch[1])]
        where = b.choose((contracting, contracting, batch, None)) if free else None
        if where is not None:
            where[0].append(i)
            where[1].append(b.choose(free))
    if x.half and math.prod(x.shape[i] for i in contracting[0]) * x.bound * y.bound > MOST_IN_HALF:
        return None
    result = _WIDER.get(x.dtype.name) if b.flag() else None
    # what libraries make of infinite complex numbers is not said anywhere
    xs, ys = (finite(v.x) if v.kind == "c" else v.x for v in (x, y))
    out = lax.dot_general(xs, ys, (contracting, batch), preferred_element_type=result)
    if math.prod(get_aval(out).shape) > MOST_ELEMENTS or len(get_aval(out).shape) > 5:
        return None
    k = math.prod(x.shape[i] for i in contracting[0])
    one = product(out, x, y)
    error = 0.0 if one.quantum else k * one.error + k * rounding(out, k * one.bound)
    return Value(out, max(k, 1) * one.bound, one.quantum, error)


def complex_parts(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.kind == "f" and v.dtype.itemsize > 2)
    if x is None:
        return None
    y = b.pick(lambda v: v.dtype == x.dtype and v.shape == x.shape) or x
    return joined(lax.complex(x.x, y.x), x, y, Value(x.x, x.bound + y.bound, x.quantum, x.error + y.error))


def sorting(b: Builder) -> Value | None:
    """Values alone, or with others that follow them."""
    x = b.pick(lambda v: v.exact and v.kind in "iufb" and len(v.shape) > 0)
    if x is None:
        return None
    axis = b.integer(0, len(x.shape) - 1)
    if b.integer(0, 3) == 3 and x.shape[-1]:
        top, places = lax.top_k(x.x, b.integer(0, x.shape[-1]))
        b.values.append(Value(places))
        return x.like(top)
    other = b.pick(lambda v: v.shape == x.shape)
    if other is None or b.flag():
        return x.like(lax.sort(x.x, dimension=axis))
    third = b.pick(lambda v: v.shape == x.shape) or x
    keys = 2 if other.exact and other.kind != "c" and b.flag() else 1
    first, second, last = lax.sort((x.x, other.x, third.x), dimension=axis, num_keys=keys)
    b.values += [other.like(second), third.like(last)]
    return x.like(first)


def windows(b: Builder) -> Value | None:
    """The largest, the smallest or the sum of the elements of each window."""
    x = b.pick(lambda v: 0 < len(v.shape) < 4 and v.kind in "iuf" and 0 not in v.shape)
    if x is None:
        return None
    size = [b.integer(1, min(d, 3)) for d in x.shape]
    strides = [b.integer(1, 2) for _ in x.shape]
    padding = [(b.integer(0, 1), b.integer(0, 1)) for _ in x.shape]
    dilation = [b.choose((1, 1, 2)) for _ in x.shape]
    info = ml_dtypes.finfo(x.dtype) if x.kind == "f" else ml_dtypes.iinfo(x.dtype)
    kinds = [(lax.max, info.min), (lax.min, info.max), (lax.add, 0)]
    combine, start = b.choose(kinds if 1 in size and max(size) == 1 else kinds[2:]) if b.flag() else kinds[2]
    n = math.prod(size)
    if x.half and n * x.bound > MOST_IN_HALF:
        return None
    out = lax.reduce_window(
        x.x, np.asarray(start, x.dtype), combine, size, strides, padding, window_dilation=dilation
    )
    if math.prod(get_aval(out).shape) > MOST_ELEMENTS:
        return None
    if x.kind != "f" or combine is not lax.add:
        return Value(out) if x.kind != "f" else None
    bound = x.bound * n
    return Value(out, bound, x.quantum, 0.0 if x.quantum else n * (x.error + rounding(out, bound)))


def convolution(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.kind == "f" and 2 < len(v.shape) < 5 and 0 not in v.shape)
    if x is None:
        return None
    wide = len(x.shape) - 2
    kernel = (b.integer(1, 3), x.shape[1], *(b.integer(1, 3) for _ in range(wide)))
    y = filled(b, kernel, x.dtype)
    terms = math.prod(kernel[1:])
    if y is None or (x.half and terms * x.bound * y.bound > MOST_IN_HALF):
        return None
    strides = [b.integer(1, 2) for _ in range(wide)]
    padding = [(b.integer(0, 2), b.integer(0, 2)) for _ in range(wide)]
    dilation, spread = ([b.choose((1, 1, 2)) for _ in range(wide)] for _ in range(2))
    sizes = [(d - 1) * k + 1 + lo + hi - (w - 1) * e
             for d, k, (lo, hi), w, e in zip(x.shape[2:], dilation, padding, kernel[2:], spread)]  # fmt: skip
    if min(sizes) < 1 or math.prod(sizes) * x.shape[0] * kernel[0] > MOST_ELEMENTS:
        return None
    out = lax.conv_general_dilated(x.x, y.x, strides, padding, dilation, spread)
    one = product(out, x, y)
    error = 0.0 if one.quantum else terms * one.error + terms * rounding(out, terms * one.bound)
    return Value(out, terms * one.bound, one.quantum, error)


# -------------------------------------------------------------------------------------------- computed indices


def _position(b: Builder) -> Any:
    scalar = b.pick(lambda v: v.kind in "iu" and not v.shape)
    if scalar is None or b.flag():
        return np.int32(b.integer(-1, 4))
    return lax.convert_element_type(scalar.x, np.int32)


def dynamic_slicing(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    if x is None:
        return None
    sizes = [b.integer(0 if d == 0 else 1, d) for d in x.shape]
    return x.like(lax.dynamic_slice(x.x, [_position(b) for _ in sizes], sizes))


def dynamic_updating(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    if x is None:
        return None
    update = b.pick(
        lambda v: (
            v.dtype == x.dtype
            and len(v.shape) == len(x.shape)
            and all(n <= d for n, d in zip(v.shape, x.shape))
        )
    )
    if update is None:
        return None
    return joined(lax.dynamic_update_slice(x.x, update.x, [_position(b) for _ in x.shape]), x, update)


def gathering(b: Builder) -> Value | None:
    x = b.pick(lambda v: len(v.shape) > 0)
    indices = b.pick(lambda v: v.dtype == np.int32 and v.size < 40)
    if x is None or indices is None:
        return None
    axis = b.integer(0, len(x.shape) - 1)
    sizes = [b.integer(min(d, 1), d) for d in x.shape]
    mode = b.choose((lax.GatherScatterMode.CLIP, lax.GatherScatterMode.FILL_OR_DROP))
    collapsed = sizes[axis] == 1 and b.flag()
    rank = len(indices.shape) + len(sizes) - collapsed
    if math.prod(sizes) * indices.size > MOST_ELEMENTS or rank > 5:
        return None
    numbers = lax.GatherDimensionNumbers(
        tuple(range(len(indices.shape), rank)), (axis,) if collapsed else (), (axis,)
    )
    fill = None if mode == lax.GatherScatterMode.CLIP else 1
    rows = lax.expand_dims(indices.x, (len(indices.shape),))
    out = lax.gather(x.x, rows, numbers, sizes, mode=mode, fill_value=fill)
    return joined(out, x, Constant(x.dtype, 1))


def _columns(b: Builder, x: Value) -> tuple[Any, tuple[int, ...]] | None:
    """Positions along all axes of x: an array of integers whose last axis is as long as there are axes."""
    indices = b.pick(lambda v: v.dtype == np.int32 and v.size < 20 and len(v.shape) < 3)
    if indices is None or not x.shape:
        return None
    shape = indices.shape
    parts = [
        lax.broadcast_in_dim(
            lax.shift_right_arithmetic(indices.x, np.int32(k)), (*shape, 1), range(len(shape))
        )
        for k in range(len(x.shape))
    ]
    return lax.concatenate(parts, len(shape)), shape


def gathering_elements(b: Builder) -> Value | None:
    x = b.pick(lambda v: 0 < len(v.shape) < 4 and 0 not in v.shape)
    columns = x and _columns(b, x)
    if x is None or columns is None:
        return None
    rows, _ = columns
    axes = tuple(range(len(x.shape)))
    numbers = lax.GatherDimensionNumbers((), axes, axes)
    mode = b.choose(("clip", "fill", "promise_in_bounds"))
    if mode == "promise_in_bounds":
        rows = lax.clamp(np.int32(0), rows, np.int32(min(x.shape) - 1))
    fill = 1 if mode == "fill" else None
    out = lax.gather(x.x, rows, numbers, (1,) * len(axes), mode=mode, fill_value=fill)
    return joined(out, x, Constant(x.dtype, 1))


def scattering_elements(b: Builder) -> Value | None:
    x = b.pick(lambda v: 0 < len(v.shape) < 4 and 0 not in v.shape)
    columns = x and _columns(b, x)
    if x is None or columns is None:
        return None
    rows, shape = columns
    updates = filled(b, shape, x.dtype)
    if updates is None:
        return None
    axes = tuple(range(len(x.shape)))
    numbers = lax.ScatterDimensionNumbers((), axes, axes)
    mode = b.choose(("clip", "drop"))
    if x.kind in "iub" and b.flag():
        return Value(lax.scatter_mul(x.x, rows, updates.x, numbers, mode=mode))
    if b.flag():
        return joined(lax.scatter(x.x, rows, updates.x, numbers, mode=mode), x, updates)
    if x.half and updates.size * updates.bound > MOST_IN_HALF:
        return None
    out = lax.scatter_add(x.x, rows, updates.x, numbers, mode=mode)
    return summed(out, x, *[updates] * updates.size) if x.kind in "fc" else Value(out)


def scattering(b: Builder) -> Value | None:
    """Updates of windows that are whole along all axes but one, at positions along it."""
    x = b.pick(lambda v: len(v.shape) > 0 and 0 not in v.shape and v.kind in "iufb")
    indices = x and b.pick(lambda v: v.dtype == np.int32 and 0 < v.size < 20 and len(v.shape) < 3)
    if x is None or indices is None:
        return None
    axis = b.integer(0, len(x.shape) - 1)
    window = [d if i != axis else b.integer(1, d) for i, d in enumerate(x.shape)]
    inserted = window[axis] == 1 and b.flag()
    kept = [d for i, d in enumerate(window) if i != axis or not inserted]
    rank = len(indices.shape)
    updates = filled(b, (*indices.shape, *kept), x.dtype)
    if updates is None or len(updates.shape) > 5:
        return None
    numbers = lax.ScatterDimensionNumbers(
        tuple(range(rank, rank + len(kept))), (axis,) if inserted else (), (axis,)
    )
    rows = lax.expand_dims(indices.x, (rank,))
    mode = b.choose((lax.GatherScatterMode.FILL_OR_DROP, lax.GatherScatterMode.CLIP))
    rule = b.choose([lax.scatter_add, lax.scatter_max, lax.scatter_min, lax.scatter])
    out = rule(x.x, rows, updates.x, numbers, mode=mode)
    if x.kind != "f":
        return Value(out)
    if x.half and rule is lax.scatter_add and updates.size * updates.bound > MOST_IN_HALF:
        return None
    return summed(out, x, *[updates] * updates.size) if rule is lax.scatter_add else joined(out, x, updates)


# ------------------------------------------------------------------------------------------------ the library


def mixing(b: Builder) -> Value | None:
    """Random bits of keys and counts."""
    x = b.pick(lambda v: v.dtype == np.uint32)
    if x is None:
        return None
    first, second = threefry2x32_p.bind(np.uint32(b.integer(0, 9)), np.uint32(1), x.x, lax.bitwise_not(x.x))
    b.values.append(Value(first))
    return Value(second)


def matrices(b: Builder) -> Value | None:
    """Square matrices that are far from singular, and what is computed from them."""
    x = b.pick(lambda v: v.dtype.name in ("float32", "float64") and v.shape[-2:] != () and v.size <= 400)
    if x is None or len(x.shape) < 2 or x.shape[-1] != x.shape[-2] or not x.size:
        return None
    n = x.shape[-1]
    numbers = finite(x.x)
    near = lax.clamp(literal(x.dtype, -1), numbers, literal(x.dtype, 1))
    rank = len(x.shape)
    i, j = (lax.broadcasted_iota(np.dtype(np.int32), x.shape, rank - 2 + k) for k in range(2))
    m = lax.select(lax.eq(i, j), lax.add(near, lax.full(x.shape, 2 * n, x.dtype)), near)
    exact_error = 16 * n * n * x.eps + 4 * n * x.error
    kind = b.integer(0, 4)
    if kind == 0:
        order = (*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2)
        both = lax.mul(lax.add(m, lax.transpose(m, order)), literal(x.dtype, 0.5))
        return Value(lax.linalg.cholesky(both), 2.0 * n, 0.0, exact_error)
    if kind == 1:
        rhs = filled(b, x.shape, x.dtype)
        if rhs is None:
            return None
        lower, left = b.flag(), b.flag()
        out = lax.linalg.triangular_solve(
            m, finite(rhs.x), left_side=left, lower=lower, transpose_a=b.flag(), unit_diagonal=False
        )
        return Value(out, rhs.bound, 0.0, rhs.error + (1 + rhs.bound) * exact_error)
    if kind == 2:
        lu, _, permutation = lax.linalg.lu(m)
        b.values.append(Value(permutation))  # the identity: the diagonal is dominant
        return Value(lu, 4.0 * n, 0.0, 4 * exact_error)
    if kind == 3:
        q, r = lax.linalg.qr(m, full_matrices=b.flag())
        b.values.append(Value(r, 6.0 * n, 0.0, 8 * exact_error))
        return Value(q, 1.0, 0.0, exact_error)
    return Value(lax.linalg.eigh(m, symmetrize_input=True)[1], 4.0 * n, 0.0, 4 * exact_error)


def spectrum(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.dtype.name in ("float32", "float64") and v.shape != () and 0 not in v.shape)
    if x is None or x.bound * x.shape[-1] > LARGEST:
        return None
    n = x.shape[-1]
    out = lax.fft(x.x, "RFFT", (n,))
    return Value(out, n * x.bound, 0.0, n * x.error + 8 * rounding(out, n * x.bound))
