"""Values of random programs, and what draws operations on them.

To compare floats without guessing at tolerances, each value knows how large it is at most, whether it is exact, and
how far from the truth rounding may have brought it. Exact values are multiples of a power of two that fit into the
significand, so that sums of them don't depend on the order. Only exact values go into what isn't continuous:
comparisons, rounding, conversion to integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from wengert import lax
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import get_aval

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


Rule = Callable[["Builder"], "Value | None"]


class Builder:
    """Draws operations on a growing list of values.

    `rules` are the operations: those without control flow, and those with. `derivable`: all have derivatives, and all
    floats are of double precision.
    """

    rules: ClassVar[tuple[list[Rule], list[Rule]]] = ([], [])

    def __init__(
        self,
        draw: Callable[[Any], Any],
        values: Sequence[Value],
        derivable: bool = False,
        depth: int = 0,
    ):
        self.draw = draw
        self.values = list(values)
        self.derivable, self.depth = derivable, depth

    def within(self, values: Sequence[Value], xs: Sequence[Any]) -> Builder:
        """What draws the body of a function whose arguments are `xs`, like the given values."""
        inner = [v.like(x) for v, x in zip(values, xs, strict=True)]
        return Builder(self.draw, inner, self.derivable, self.depth + 1)

    # ---- choices

    def integer(self, lo: int, hi: int) -> int:
        """lo <= result <= hi."""
        return self.draw(st.integers(lo, hi)) if hi > lo else lo  # type: ignore[no-any-return]

    def flag(self) -> bool:
        return self.draw(st.booleans())  # type: ignore[no-any-return]

    def dtype(self, names: Sequence[str]) -> np.dtype[Any]:
        name = self.choose(names)
        wide = self.derivable and kind_of(np.dtype(name)) in "fc"
        return np.dtype(name if not wide else "complex128" if name.startswith("c") else "float64")

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
            plain, control = self.rules
            rules = plain + control if self.depth < 2 else plain
            value = rules[self.integer(0, len(rules) - 1)](self)
            if value is not None:
                self.values.append(self.tame(value))

    def tame(self, value: Value) -> Value:
        """The value, within bounds."""
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


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of up to four axes, of few elements; zeros and ones among them, and some that fill vectors."""
    sizes = st.sampled_from((3, 2, 1, 4, 5, 6, 7, 2, 3, 17, 1, 33, 8, 4, 2, 0))
    return st.lists(sizes, max_size=4).map(tuple).filter(lambda s: math.prod(s) <= MOST_ELEMENTS)


def scaled(f: Any, x: Value, bound: float, slope: float = 1.0) -> Value:
    """A smooth function of a value, of at most that slope."""
    return Value(f, bound, 0.0, slope * x.error + 8 * eps_of(x.dtype) * max(bound, 1.0))


def filled(b: Builder, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Value | None:
    """A value of the given type: one that there is, or one that is made by broadcasting."""
    found = b.pick(lambda v: v.dtype == dtype and v.shape == shape)
    if found is not None or math.prod(shape) > MOST_ELEMENTS:
        return found
    n = len(shape)
    small = b.pick(lambda v: v.dtype == dtype and len(v.shape) <= n and v.shape == shape[n - len(v.shape) :])
    small = small or Constant(dtype, 2)
    return small.like(lax.broadcast_in_dim(small.x, shape, range(n - len(small.shape), n)))


def inside(b: Builder, avals: Sequence[Value], run: Callable[[Builder], list[Any]]) -> ClosedJaxpr:
    """A jaxpr whose equations are drawn; its arguments are like the given values."""

    def fun(*xs: Any) -> list[Any]:
        return run(b.within(avals, xs))

    types = [ShapedArray(v.shape, v.dtype) for v in avals]
    closed = stage(fun, types, "body")
    assert not closed.consts
    return hoist_consts(closed)


def finite(x: Any) -> Any:
    """Zeros in the place of what is infinite or NaN."""
    aval = get_aval(x)
    if aval.dtype.kind == "c":
        return lax.complex(finite(lax.real(x)), finite(lax.imag(x)))
    return lax.select(lax.is_finite(x), x, lax.full(aval.shape, 0, aval.dtype))
