"""Random jaxprs for Hypothesis, with data for which all ways of computing them agree.

Programs are drawn while they are traced. To compare floats without guessing at tolerances, each value knows how large
it is at most, whether it is exact, and how far from the truth rounding may have brought it. Exact values are
multiples of a power of two that fit into the significand, so that sums of them don't depend on the order. Only
exact values go into what isn't continuous: comparisons, rounding, conversion to integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from wengert import lax
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import get_aval
from wengert.prims.cond import cond_p
from wengert.prims.scan import scan_p
from wengert.prims.while_loop import while_p

FLOATS = ("float32", "float64")
INTS = ("int32", "uint32", "int8", "uint8", "int64", "int16", "uint16", "uint64")
DTYPES = (
    *FLOATS[:1],
    "int32",
    "bool",
    "float64",
    "uint32",
    "int8",
    "uint8",
    "int64",
    "uint64",
    "int16",
    "uint16",
)
OTHER_DTYPES = ("float16", "complex64", "bfloat16", "complex128")  # the rarer ones
LARGEST = 1e4  # values that may become larger are clamped
LARGEST_HALF = 64.0  # the same in 16 bits
MOST_IN_HALF = 3e4  # sums of these stay below it, to be far from infinity
MOST_ELEMENTS = 600


BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def kind_of(dtype: np.dtype[Any]) -> str:
    return "f" if dtype == BFLOAT16 else dtype.kind


def eps_of(dtype: np.dtype[Any]) -> float:
    return float(ml_dtypes.finfo(dtype).eps)


class Value:
    """A traced array.

    `bound`: the largest absolute value; `quantum`: all elements are multiples of this power of two, and exact, unless
    it is 0; `error`: how far off they may be.
    """

    __slots__ = ("bound", "error", "quantum", "used", "x")

    def __init__(self, x: Any, bound: float = 0.0, quantum: float = 1.0, error: float = 0.0):
        self.x = x
        self.used = False
        self.bound, self.quantum, self.error = bound, quantum, error
        if self.kind in "fc" and quantum and bound / quantum > 0.5 / self.eps:
            self.quantum, self.error = 0.0, error + self.eps * bound
        if self.kind in "fc" and not self.quantum and self.error == 0.0:
            self.error = 4 * self.eps * max(bound, 1e-3)

    @property
    def shape(self) -> tuple[int, ...]:
        return get_aval(self.x).shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return get_aval(self.x).dtype

    @property
    def kind(self) -> str:
        """One of biufc: bfloat16 is one of the floats here."""
        return kind_of(self.dtype)

    @property
    def half(self) -> bool:
        return self.kind == "f" and self.dtype.itemsize == 2

    @property
    def eps(self) -> float:
        return eps_of(self.dtype)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def exact(self) -> bool:
        return self.error == 0.0

    def like(self, x: Any) -> Value:
        """Another array of elements of this one."""
        return Value(x, self.bound, self.quantum, self.error)


def joined(x: Any, *parts: Value) -> Value:
    """An array of elements of several."""
    exact = all(p.quantum for p in parts)
    quantum = min(p.quantum for p in parts) if exact else 0.0
    return Value(x, max(p.bound for p in parts), quantum, max(p.error for p in parts))


def literal(dtype: np.dtype[Any], number: float) -> Any:
    return dtype.type(number)


class Builder:
    """Draws operations on a growing list of values."""

    def __init__(self, draw: Callable[[Any], Any], values: Sequence[Value], depth: int = 0):
        self.draw = draw
        self.values = list(values)
        self.depth = depth

    # ---- choices

    def integer(self, lo: int, hi: int) -> int:
        """lo <= result <= hi."""
        return self.draw(st.integers(lo, hi)) if hi > lo else lo  # type: ignore[no-any-return]

    def flag(self) -> bool:
        return self.draw(st.booleans())  # type: ignore[no-any-return]

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def pick(self, wanted: Callable[[Value], bool] = lambda v: True) -> Value | None:
        """One of the values, the latest first; often one that nothing uses so far."""
        found = [v for v in reversed(self.values) if wanted(v)]
        new = [v for v in found if not v.used]
        if not found:
            return None
        value: Value = self.choose(new if new and self.integer(0, 2) else found)
        value.used = True
        return value

    def partner(self, x: Value, wanted: Callable[[Value], bool] = lambda v: True) -> Value:
        """A second operand for an elementwise operation: of the same dtype and shape, or a scalar."""
        fits = [
            v for v in reversed(self.values) if v.dtype == x.dtype and v.shape in (x.shape, ()) and wanted(v)
        ]
        if not fits or self.integer(0, 4) == 4:
            number = self.choose((1, 2, 3, 0, 0.25, -1)) if x.kind == "f" else self.choose((1, 2, 3, 0))
            return Constant(x.dtype, number)
        return self.choose(fits)  # type: ignore[no-any-return]

    def grow(self, count: int) -> None:
        for _ in range(count):
            rules = RULES if self.depth < 2 else RULES[:-3]
            value = rules[self.integer(0, len(rules) - 1)](self)
            if value is not None:
                self.values.append(self.tame(value))

    def tame(self, value: Value) -> Value:
        if value.kind == "f" and value.bound > (LARGEST_HALF if value.half else LARGEST):
            return self.clamped(value, 8.0)
        return value

    def clamped(self, value: Value, bound: float) -> Value:
        lo, hi = literal(value.dtype, -bound), literal(value.dtype, bound)
        return Value(lax.clamp(lo, value.x, hi), bound, min(value.quantum, 1.0), value.error)


class Constant(Value):
    """A number beside arrays."""

    __slots__ = ()

    def __init__(self, dtype: np.dtype[Any], number: float):
        super().__init__(literal(dtype, number), abs(float(number)), 0.25)


# ------------------------------------------------------------------------------------------------ elementwise


def _scaled(f: Any, x: Value, bound: float, slope: float = 1.0) -> Value:
    """A smooth function."""
    return Value(f, bound, 0.0, slope * x.error + 8 * eps_of(x.dtype) * max(bound, 1.0))


_SMOOTH: list[Callable[[Value], Value]] = [
    lambda x: _scaled(lax.sin(x.x), x, 1),
    lambda x: _scaled(lax.tanh(x.x), x, 1),
    lambda x: _scaled(lax.cos(x.x), x, 1),
    lambda x: _scaled(lax.logistic(x.x), x, 1),
    lambda x: _scaled(lax.atan(x.x), x, 1.6),
    lambda x: _scaled(lax.exp(lax.min(x.x, literal(x.dtype, 2))), x, 8, 8),
    lambda x: _scaled(lax.expm1(lax.min(x.x, literal(x.dtype, 1))), x, 3, 3),
    lambda x: _scaled(lax.sqrt(lax.add(lax.abs(x.x), literal(x.dtype, 1))), x, 1 + x.bound),
    lambda x: _scaled(lax.rsqrt(lax.add(lax.abs(x.x), literal(x.dtype, 1))), x, 1),
    lambda x: _scaled(lax.log1p(lax.abs(x.x)), x, x.bound),
    lambda x: _scaled(lax.log(lax.add(lax.abs(x.x), literal(x.dtype, 1))), x, x.bound),
    lambda x: _scaled(lax.integer_pow(lax.add(lax.abs(x.x), literal(x.dtype, 1)), -2), x, 1, 2),
]

_STEPS: list[Callable[[Value], Value]] = [
    lambda x: Value(lax.floor(x.x), x.bound + 1, 1.0),
    lambda x: Value(lax.sign(x.x), 1, 1.0),
    lambda x: Value(lax.ceil(x.x), x.bound + 1, 1.0),
    lambda x: Value(lax.round(x.x), x.bound + 1, 1.0),
    lambda x: Value(lax.round(x.x, lax.RoundingMethod.TO_NEAREST_EVEN), x.bound + 1, 1.0),
]

_FLOAT: list[Callable[[Value], Value]] = [
    lambda x: x.like(lax.neg(x.x)),
    lambda x: x.like(lax.abs(x.x)),
    lambda x: product(lax.square(x.x), x, x),
    lambda x: product(lax.integer_pow(x.x, 2), x, x),
    lambda x: Value(lax.is_finite(x.x)),
]

_INT: list[Callable[[Any], Any]] = [
    lax.neg, lax.abs, lax.sign, lax.bitwise_not, lax.square, lax.population_count, lax.clz,
    lambda x: lax.integer_pow(x, 3),
]  # fmt: skip


def unary(b: Builder) -> Value | None:
    x = b.pick()
    if x is None:
        return None
    if x.kind == "f":
        return b.choose([*_FLOAT, *(_STEPS if x.exact else ())])(x)  # type: ignore[no-any-return]
    if x.kind in "iu":
        return Value(b.choose(_INT)(x.x))
    return Value(lax.bitwise_not(x.x)) if x.kind == "b" else b.choose(_COMPLEX)(x)


_COMPLEX: list[Callable[[Value], Value]] = [
    lambda x: x.like(lax.neg(x.x)),
    lambda x: x.like(lax.conj(x.x)),
    lambda x: x.like(lax.real(x.x)),
    lambda x: x.like(lax.imag(x.x)),
    lambda x: _scaled(lax.abs(x.x), x, x.bound),
    lambda x: _scaled(lax.exp(lax.complex(lax.real(_unit(x)), lax.imag(x.x))), x, 3, 3),
]


def _unit(x: Value) -> Any:
    """Numbers of up to 1 in place of real parts."""
    return lax.complex(
        lax.clamp(np.zeros((), real_of(x)), lax.real(x.x), np.ones((), real_of(x))), lax.imag(x.x)
    )


def real_of(x: Value) -> np.dtype[Any]:
    return np.dtype(np.float32 if x.dtype.itemsize == 8 else np.float64)


def smooth(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.kind == "f")
    return None if x is None else b.choose(_SMOOTH)(x)


def summed(out: Any, *parts: Value) -> Value:
    exact = all(p.quantum for p in parts)
    bound = sum(p.bound for p in parts)
    quantum = min(p.quantum for p in parts) if exact else 0.0
    return Value(out, bound, quantum, 0.0 if exact else sum(p.error for p in parts) + rounding(out, bound))


def rounding(out: Any, bound: float) -> float:
    dtype = get_aval(out).dtype
    return eps_of(dtype) * bound * (4 if dtype.kind == "c" else 1) if kind_of(dtype) in "fc" else 0.0


def product(out: Any, x: Value, y: Value) -> Value:
    bound, exact = x.bound * y.bound, x.quantum and y.quantum
    error = 0.0 if exact else x.bound * y.error + y.bound * x.error + x.error * y.error + rounding(out, bound)
    return Value(out, bound, x.quantum * y.quantum if exact else 0.0, error)


def _ratio(x: Value, y: Value) -> Value:
    below = lax.add(lax.abs(y.x), literal(x.dtype, 1))
    out = lax.div(x.x, below)
    return Value(out, x.bound, 0.0, x.error + x.bound * y.error + rounding(out, 2 * x.bound))


_FLOAT2: list[Callable[[Value, Value], Value]] = [
    lambda x, y: summed(lax.add(x.x, y.x), x, y),
    lambda x, y: product(lax.mul(x.x, y.x), x, y),
    lambda x, y: summed(lax.sub(x.x, y.x), x, y),
    lambda x, y: joined(lax.max(x.x, y.x), x, y),
    lambda x, y: joined(lax.min(x.x, y.x), x, y),
    _ratio,
]
_INT2 = [
    lax.add, lax.mul, lax.sub, lax.max, lax.min, lax.div, lax.rem, lax.bitwise_and, lax.bitwise_or, lax.bitwise_xor,
    lax.shift_left, lax.shift_right_logical, lax.shift_right_arithmetic, lax.mulhi,
]  # fmt: skip
_BOOL2 = [lax.bitwise_and, lax.bitwise_or, lax.bitwise_xor, lax.max, lax.min]


def binary(b: Builder) -> Value | None:
    x = b.pick()
    if x is None:
        return None
    y = b.partner(x)
    if b.flag() and not isinstance(y, Constant):
        x, y = y, x
    if x.kind == "f":
        return b.choose(_FLOAT2)(x, y)  # type: ignore[no-any-return]
    if x.kind == "c":
        if x.bound * y.bound < LARGEST_HALF and b.flag():
            return product(lax.mul(x.x, y.x), x, y)
        return summed(b.choose([lax.add, lax.sub])(x.x, y.x), x, y)
    return Value(b.choose(_INT2 if x.kind in "iu" else _BOOL2)(x.x, y.x))


_COMPARISONS = [lax.lt, lax.eq, lax.ne, lax.le, lax.gt, lax.ge]


def comparison(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.exact)
    if x is None:
        return None
    compare = b.choose(_COMPARISONS if x.kind != "c" else _COMPARISONS[1:3])
    return Value(compare(x.x, b.partner(x, lambda v: v.exact).x))


def selection(b: Builder) -> Value | None:
    which = b.pick(lambda v: v.kind in "bi" and v.dtype.itemsize in (1, 4))
    if which is None:
        return None
    x = b.pick(lambda v: v.shape == which.shape or not which.shape)
    if x is None:
        return None
    same = [v for v in reversed(b.values) if v.dtype == x.dtype and v.shape == x.shape]
    cases = [x, *(b.choose(same) for _ in range(1 if which.kind == "b" else b.integer(1, 3)))]
    return joined(lax.select_n(which.x, *(c.x for c in cases)), *cases)


def clamping(b: Builder) -> Value | None:
    x = b.pick(lambda v: v.kind in "fiu")
    if x is None:
        return None
    lo, hi = b.partner(x), b.partner(x)
    return joined(lax.clamp(lo.x, x.x, hi.x), lo, x, hi)


def conversion(b: Builder) -> Value | None:
    to = np.dtype(b.choose((*DTYPES, *OTHER_DTYPES)))
    x = b.pick(lambda v: (v.exact or kind_of(to) in "fc") and v.kind != "c" and v.dtype != to)
    if x is None:
        return None
    out = lax.convert_element_type(x.x, to)
    if kind_of(to) not in "fc":
        return Value(out)
    if x.kind in "fb":
        bound, quantum = (x.bound, x.quantum) if x.kind == "f" else (1.0, 1.0)
        return Value(out, bound, quantum, x.error + (0.0 if quantum else rounding(out, bound)))
    # integers of any size: what is not small is brought to a bound
    if to.kind == "c":
        return None
    return Value(lax.clamp(literal(to, -8), out, literal(to, 8)), 8, 1.0)


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
    dtype = np.dtype(b.choose(("int32", "float32", "uint8", "float64")))
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
        if 0 in [x.shape[a] for a in axes]:
            return None  # an infinite number
        return x.like(b.choose([lax.reduce_max, lax.reduce_min])(x.x, axes))
    bits = [lax.reduce_max, lax.reduce_min, lax.reduce_and, lax.reduce_or, lax.reduce_xor]
    return Value(b.choose(bits if x.kind == "b" else [lax.reduce_sum, lax.reduce_prod, *bits])(x.x, axes))


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
    out = lax.dot_general(x.x, y.x, (contracting, batch))
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
    other = b.pick(lambda v: v.shape == x.shape)
    if other is None or b.flag():
        return x.like(lax.sort(x.x, dimension=axis))
    first, second = lax.sort((x.x, other.x), dimension=axis, num_keys=1)
    b.values.append(other.like(second))
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
    y = _filled(b, kernel, x.dtype)
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
    updates = _filled(b, (*indices.shape, *kept), x.dtype)
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


def _filled(b: Builder, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Value | None:
    """A value of the given type: one that there is, or one that is made by broadcasting."""
    found = b.pick(lambda v: v.dtype == dtype and v.shape == shape)
    if found is not None or math.prod(shape) > MOST_ELEMENTS:
        return found
    n = len(shape)
    small = b.pick(lambda v: v.dtype == dtype and len(v.shape) <= n and v.shape == shape[n - len(v.shape) :])
    small = small or Constant(dtype, 2)
    return small.like(lax.broadcast_in_dim(small.x, shape, range(n - len(small.shape), n)))


# ------------------------------------------------------------------------------------------------ control flow


def _inside(b: Builder, avals: Sequence[Value], run: Callable[[Builder], list[Any]]) -> ClosedJaxpr:
    """A jaxpr whose equations are drawn; its arguments are like the given values."""

    def fun(*xs: Any) -> list[Any]:
        return run(Builder(b.draw, [v.like(x) for v, x in zip(avals, xs, strict=True)], b.depth + 1))

    types = [ShapedArray(v.shape, v.dtype) for v in avals]
    closed = stage(fun, types, "body")
    assert not closed.consts
    return hoist_consts(closed)


def _some(b: Builder, most: int, wanted: Callable[[Value], bool] = lambda v: True) -> list[Value]:
    found = [b.pick(wanted) for _ in range(b.integer(0, most))]
    return [v for v in found if v is not None]


def _successor(b: Builder, old: Value) -> Value:
    """The new value of a carry: of its type, exact if it was, and within its bound."""
    new = b.pick(
        lambda v: (
            v.dtype == old.dtype
            and v.shape == old.shape
            and (old.kind not in "fc" or not old.quantum or v.quantum >= old.quantum)
        )
    )
    assert new is not None
    if old.kind == "f" and new.bound > old.bound:
        return b.clamped(new, old.bound)
    return old if old.kind == "c" else new


def _after(turns: int, old: Value, out: Any, new_error: float) -> Value:
    """A carry after so many turns."""
    growth = max(1.0, new_error / old.error) ** turns if old.error else 1.0
    return Value(out, old.bound, old.quantum, old.error * growth)


def _carry(v: Value) -> Value:
    """Bounds of carries are whole numbers, so that to clamp to them is exact."""
    return Value(v.x, float(math.ceil(max(v.bound, 2.0))), min(v.quantum, 1.0) if v.quantum else 0.0, v.error)


def scanning(b: Builder) -> Value | None:
    consts, carry = _some(b, 2), [_carry(v) for v in _some(b, 2)]
    x = b.pick(lambda v: len(v.shape) > 0 and v.shape[0] <= 5)
    xs = [] if x is None else _some(b, 2, lambda v: v.shape[:1] == x.shape[:1])
    length = xs[0].shape[0] if xs else b.integer(0, 4)
    ins = [*consts, *carry, *(_Row(v) for v in xs)]
    errors: list[float] = []
    outs: list[Value] = []

    def body(inner: Builder) -> list[Any]:
        olds = inner.values[len(consts) : len(consts) + len(carry)]
        inner.grow(b.integer(1, 4))
        news = [_successor(inner, old) for old in olds]
        ys = _some(inner, 2, lambda v: v.size * length <= MOST_ELEMENTS and len(v.shape) < 5)
        errors[:] = [v.error for v in news]
        outs[:] = ys
        return [*(v.x for v in news), *(v.x for v in ys)]

    closed = _inside(b, ins, body)
    reverse = b.flag()
    results = scan_p.bind(
        *(v.x for v in (*consts, *carry, *xs)),
        jaxpr=closed, length=length, reverse=reverse, num_consts=len(consts), num_carry=len(carry),
        linear=(False,) * len(ins), unroll=1, _split_transpose=False,
    )  # fmt: skip
    n = len(carry)
    kept = [_after(length, old, x, e) for old, x, e in zip(carry, results, errors)]
    worst = max([1.0, *(v.error / old.error for v, old in zip(kept, carry) if old.error)])
    kept += [Value(x, y.bound, y.quantum, y.error * worst) for x, y in zip(results[n:], outs)]
    return _all_but_one(b, kept)


class _Row(Value):
    """One row of a value, as the body of a scan sees it."""

    __slots__ = ()

    def __init__(self, v: Value):
        self.x, self.bound, self.quantum, self.error, self.used = v.x, v.bound, v.quantum, v.error, True

    @property
    def shape(self) -> tuple[int, ...]:
        return get_aval(self.x).shape[1:]


def _all_but_one(b: Builder, values: Sequence[Value]) -> Value | None:
    """Keep all results; the caller keeps the last."""
    values = [b.tame(v) for v in values]
    b.values += values[:-1]
    return values[-1] if values else None


def repeating(b: Builder) -> Value | None:
    consts, carry = _some(b, 1), [_carry(v) for v in _some(b, 2)]
    most = b.integer(0, 4)
    start = b.pick(lambda v: v.dtype == np.int32 and not v.shape)
    count = Value(lax.clamp(np.int32(0), start.x, np.int32(4)) if start else lax.full((), 0, np.int32))
    errors: list[float] = []

    def body(inner: Builder) -> list[Any]:
        olds = inner.values[len(consts) :]
        inner.grow(b.integer(1, 3))
        news = [_successor(inner, old) for old in olds[1:]]
        errors[:] = [v.error for v in news]
        return [lax.add(olds[0].x, np.int32(1)), *(v.x for v in news)]

    def condition(inner: Builder) -> list[Any]:
        return [lax.lt(inner.values[0].x, np.int32(most))]

    state = [count, *carry]
    results = while_p.bind(
        *(v.x for v in (*consts, *state)),
        cond_jaxpr=_inside(b, state, condition), cond_nconsts=0,
        body_jaxpr=_inside(b, [*consts, *state], body), body_nconsts=len(consts),
    )  # fmt: skip
    kept = [_after(most, old, x, e) for old, x, e in zip(carry, results[1:], errors)]
    return _all_but_one(b, [Value(results[0]), *kept])


def branching(b: Builder) -> Value | None:
    operands = _some(b, 3)
    index = b.pick(lambda v: v.dtype == np.int32 and not v.shape)
    wanted: list[Value] = []
    bounds: list[list[Value]] = []

    def branch(inner: Builder) -> list[Any]:
        inner.grow(b.integer(0, 3))
        if not bounds:
            wanted[:] = _some(inner, 2)
            outs = list(wanted)
        else:
            outs = [
                inner.pick(lambda v, w=w: v.dtype == w.dtype and v.shape == w.shape) or _ones(w)
                for w in wanted
            ]
        bounds.append(outs)
        return [v.x for v in outs]

    branches = tuple(_inside(b, operands, branch) for _ in range(b.integer(1, 3)))
    if not wanted:
        return None
    selector = np.int32(b.integer(-1, 3)) if index is None or b.flag() else index.x
    results = cond_p.bind(selector, *(v.x for v in operands), branches=branches)
    return _all_but_one(b, [joined(x, *cases) for x, *cases in zip(results, *bounds)])


def _ones(like: Value) -> Value:
    return Value(lax.full(like.shape, 1, like.dtype), 1.0, 1.0)


RULES: list[Callable[[Builder], Value | None]] = [
    unary, binary, smooth, binary, cumulative, bits, slicing, padding, reduction, broadcast, concatenation,
    permutation, reshaping, comparison, selection, reduction, conversion, reversal, squeezing, reduction, clamping,
    counting, contraction, dynamic_slicing, dynamic_updating, gathering, gathering, contraction, place_of_extremum,
    scattering, scattering, reduction, smooth, complex_parts, sorting, windows, convolution,
    scanning, repeating, branching,
]  # fmt: skip

# ---------------------------------------------------------------------------------------------------- programs


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of up to four axes, of few elements; zeros and ones among them, and some that fill vectors."""
    sizes = st.sampled_from((3, 2, 1, 4, 5, 6, 7, 2, 3, 17, 1, 33, 8, 4, 2, 0))
    return st.lists(sizes, max_size=4).map(tuple).filter(lambda s: math.prod(s) <= MOST_ELEMENTS)


def data(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], special: bool) -> Any:
    """Small numbers; quarters where the dtype has them. With `special`, the ends of the dtype among them."""
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind_of(dtype) in "fc":
        values = (rng.integers(-8, 9, shape) / 4).astype(dtype)
        if dtype.kind == "c":
            values = (values + 1j * rng.integers(-4, 5, shape) / 4).astype(dtype)
        ends = np.array([np.nan, np.inf, -np.inf, -0.0], dtype)
    else:
        values = rng.integers(0 if dtype.kind == "u" else -4, 7, shape).astype(dtype)
        info = np.iinfo(dtype)
        ends = np.array([info.min, info.max], dtype)
    if special:
        values = np.where(rng.integers(0, 6, shape) == 0, rng.choice(ends, shape), values)
    return np.asarray(values, dtype)


@st.composite
def programs(draw: Any) -> tuple[ClosedJaxpr, list[Any], list[float]]:
    """A closed jaxpr without constants, arguments, and for each result how far off it may be."""
    kinds = st.sampled_from(DTYPES) if draw(st.integers(0, 4)) else st.sampled_from((*DTYPES, *OTHER_DTYPES))
    types = [ShapedArray(draw(shapes()), np.dtype(draw(kinds))) for _ in range(draw(st.integers(1, 3)))]
    seed, special = draw(st.integers(0, 2**16)), draw(st.integers(0, 4)) == 4
    count = draw(st.integers(1, 16))
    errors: list[float] = []

    def fun(*xs: Any) -> list[Any]:
        builder = Builder(draw, [Value(x, 3.0 if get_aval(x).dtype.kind == "c" else 2.0, 0.25) for x in xs])
        builder.grow(count)
        new = builder.values[len(xs) :] or builder.values
        outs = [v for v in new if not v.used][-5:] or new[-1:]
        if builder.flag():
            outs.append(builder.choose(builder.values))
        errors[:] = [v.error for v in outs]
        return [v.x for v in outs]

    closed = hoist_consts(stage(fun, types, "program"))
    rng = np.random.default_rng(seed)
    return closed, [data(rng, t.shape, t.dtype, special) for t in types], errors
