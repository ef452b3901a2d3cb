"""The loop program: the second IR, between jaxprs and machine code.

Expressions compute one scalar at given values of the loop axes; they are pure and interned by an `Exprs`
factory, so that equal expressions are the same object. Statements have effects, in order.
Programs are printed by `pretty`, checked by `verify`, run slowly by `interpret`, and emitted by a backend.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from wengert.compiler.affine import Affine, Axis, Symbol, Term
from wengert.core.costs import OPS
from wengert.core.jaxpr import Eqn

DType: TypeAlias = np.dtype[Any]
BOOL = np.dtype(bool)
I32 = np.dtype(np.int32)
I64 = np.dtype(np.int64)
F32 = np.dtype(np.float32)
U64 = np.dtype(np.uint64)

_SIMPLIFIED = frozenset(("convert", "select", "sign", "and"))  # by `Exprs.op`, whatever their operands are
COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "is_finite"))
# Operations that combine the values of a reduction; their accumulators start from an identity given by
# `Init`.
COMBINERS = frozenset(("add", "mul", "max", "min", "and", "or", "xor"))

# Floats that are added up in single precision. (float8_e8m0fnu reaches from denormal numbers to infinity.)
_SMALL_FLOATS = (
    "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz",
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
)  # fmt: skip
_WIDENED = frozenset(("float16", "bfloat16", *_SMALL_FLOATS))
# Dtypes that loops compute with; operations on others run by host calls.
_NATIVE = frozenset(
    (
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "fry64",
        "int2",
        "int4",
        "uint2",
        "uint4",
        *_SMALL_FLOATS,
    )
)


@functools.cache
def is_native(dtype: DType) -> bool:
    """Whether loops compute with this dtype."""
    return dtype.name in _NATIVE


# What is computed at once if the operands are integer constants, as indices often are.
_FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_ids = itertools.count()


def accumulator(dtype: DType) -> DType:
    """The dtype in which numbers of a dtype are added up: single floats for those of 16 bits and less."""
    return F32 if dtype.itemsize <= 2 and dtype.name in _WIDENED else dtype


class Buffer:
    """Memory with a shape and a dtype, contiguous in C order.

    kind: arg (read only), given (an argument whose memory a result takes), result, temp (in the arena, at
    `offset`), slot (a pointer that a loop moves from one buffer to another), local (a temp that is private to one
    iteration of a parallel or batch loop).
    """

    __slots__ = ("dtype", "id", "kind", "name", "offset", "shape")

    def __init__(self, shape: Sequence[int], dtype: DType, kind: str, name: str = ""):
        self.id = next(_ids)
        self.shape = tuple(shape)
        self.dtype = dtype
        self.kind = kind
        self.name = name
        self.offset = -1

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """In elements."""
        strides: list[int] = []
        step = 1
        for d in reversed(self.shape):
            strides.append(step)
            step *= d
        return tuple(reversed(strides))

    def linear(self, index: Sequence[Affine]) -> Affine:
        """The offset of an element, in elements; a single coordinate is an offset already."""
        if len(index) == 1:
            return index[0]
        total = Affine()
        for i, s in zip(index, self.strides, strict=True):
            total = total + i * s
        return total

    def __repr__(self) -> str:
        return self.name or f"b{self.id}"


class View:
    """The part of a buffer at given leading coordinates, e.g. one slice of a stacked output."""

    __slots__ = ("buffer", "prefix")

    def __init__(self, buffer: Buffer, prefix: Sequence[Affine] = ()):
        self.buffer = buffer
        self.prefix = tuple(prefix)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.buffer.shape[len(self.prefix) :]

    @property
    def dtype(self) -> DType:
        return self.buffer.dtype

    @property
    def offset(self) -> Affine:
        """Where the view begins, in elements."""
        rest = (Affine(),) * len(self.shape)
        return self.buffer.linear((*self.prefix, *rest))

    def is_at(self, other: View) -> bool:
        """Whether another view is of the same elements."""
        return self.buffer is other.buffer and self.prefix == other.prefix

    def __repr__(self) -> str:
        return f"{self.buffer!r}[{', '.join(map(repr, self.prefix))}]" if self.prefix else repr(self.buffer)


class Expr:
    """A scalar expression. `axes` are the axes and symbols that its value depends on."""

    __slots__ = ("axes", "below", "dtype")
    dtype: DType
    axes: frozenset[Axis | Symbol]
    below: tuple[dict[Expr, None], list[Load | Gather | Acc]]
    """This expression and those below it, and those of them that read; once `rewrite` has been asked for them."""


class Const(Expr):
    """A number."""

    __slots__ = ("value",)
    value: Any


class Load(Expr):
    """An element of a buffer, at an affine index: one coordinate per axis of the buffer, or a single offset in
    elements (of a buffer whose ndim isn't 1)."""

    __slots__ = ("buffer", "index")
    buffer: Buffer
    index: tuple[Affine, ...]


class Gather(Expr):
    """An element of a buffer, at an index that is computed; always within bounds."""

    __slots__ = ("buffer", "index")
    buffer: Buffer
    index: tuple[Expr, ...]


class Index(Expr):
    """The value of an affine form, as an integer."""

    __slots__ = ("affine",)
    affine: Affine


class Op(Expr):
    """A scalar operation of `OPS`."""

    __slots__ = ("args", "name")
    name: str
    args: tuple[Expr, ...]


# lo <= affine < hi
Condition: TypeAlias = tuple[Affine, int, int]


class Piecewise(Expr):
    """The expression of the first case all of whose conditions hold. The last case has no conditions.

    The other cases may load out of bounds, so a backend must not evaluate them unguarded.
    """

    __slots__ = ("cases",)
    cases: tuple[tuple[tuple[Condition, ...], Expr], ...]


class Acc(Expr):
    """The value of an accumulator, or of a name bound by `Let`."""

    __slots__ = ("name",)
    name: str


def _is_below_zero(a: Expr, b: Expr) -> bool:
    """Whether a is x < 0 and b is x != 0, for the same x."""
    return (
        isinstance(a, Op)
        and isinstance(b, Op)
        and (a.name, b.name) == ("lt", "ne")
        and a.args == b.args
        and isinstance(a.args[1], Const)
        and a.args[1].value == 0
    )


class Exprs:
    """Makes expressions; equal ones are the same object. One factory for one compilation."""

    def __init__(self) -> None:
        self._table: dict[Any, Any] = {}
        self._names = itertools.count()

    def fresh_name(self) -> str:
        """A name for an accumulator: `Acc` nodes are interned, so a name stands for one of them only."""
        return f"r{next(self._names)}"

    def key(self, value: Any, dtype: DType) -> Expr:
        """A random key, as 64 bits; 0 stands for one that is read nowhere."""
        bits = np.asarray(value, dtype).view(U64) if isinstance(value, np.void | np.ndarray) else value
        return self.op("bitcast", self.const(bits, U64), dtype=dtype)

    def const(self, value: Any, dtype: DType) -> Const:
        scalar = value if type(value) is dtype.type else np.asarray(value).astype(dtype)[()]
        key = ("const", scalar.tobytes(), dtype)
        node = self._table.get(key)
        if node is None:
            node = self._table[key] = Const()
            node.value, node.dtype, node.axes = scalar, dtype, frozenset()
        return node

    def load(self, buffer: Buffer, index: Sequence[Affine]) -> Load:
        key = (Load, buffer, tuple(index))
        node = self._table.get(key)
        if node is None:
            assert len(key[2]) in (len(buffer.shape), 1), (buffer, index)
            node = self._table[key] = Load()
            node.buffer, node.index, node.dtype = buffer, key[2], buffer.dtype
            node.axes = frozenset(t for i in key[2] for t, _ in i.terms)
        return node

    def gather(self, buffer: Buffer, index: Sequence[Expr]) -> Gather:
        key = (Gather, buffer, tuple(index))
        node = self._table.get(key)
        if node is None:
            node = self._table[key] = Gather()
            node.buffer, node.index, node.dtype = buffer, key[2], buffer.dtype
            node.axes = frozenset().union(*(i.axes for i in key[2]))
        return node

    def index(self, affine: Affine, dtype: DType = I64) -> Expr:
        if affine.is_const:
            return self.const(affine.const, dtype)
        key = (Index, affine, dtype)
        node = self._table.get(key)
        if node is None:
            node = self._table[key] = Index()
            node.affine, node.dtype = affine, dtype
            node.axes = frozenset(t for t, _ in affine.terms)
        return node

    def op(self, name: str, *args: Expr, dtype: DType | None = None) -> Expr:
        if dtype is None:
            dtype = BOOL if name in COMPARISONS else args[-1].dtype
        simpler: Expr | None = None
        if name in _SIMPLIFIED:
            simpler = self._simpler(name, args, dtype)
        if len(args) == 2 and simpler is None:
            if isinstance(args[0], Const) and name in ("mul", "add", "and"):
                args = (args[1], args[0])
            if isinstance(args[1], Const):
                simpler = self._with_const(name, args[0], args[1])
        if simpler is not None:
            return simpler
        key = (name, args, dtype)
        node = self._table.get(key)
        if node is None:
            assert name in OPS, name
            node = self._table[key] = Op()
            node.name, node.args, node.dtype = name, args, dtype
            node.axes = args[0].axes
            for a in args[1:]:
                if not a.axes <= node.axes:
                    node.axes = node.axes | a.axes
        return node

    def _simpler(self, name: str, args: tuple[Expr, ...], dtype: DType) -> Expr | None:
        """A simpler expression than the operation, for those in `_SIMPLIFIED`; None if there is none."""
        x = args[0]
        if name == "and":  # what is below zero is not zero
            return x if dtype == BOOL and _is_below_zero(x, args[1]) else None
        if isinstance(x, Const):
            if name == "select":
                return args[1] if x.value else args[2]
            if name == "convert" and x.dtype.kind in "iub" and dtype.kind in "iu":
                return self.const(x.value, dtype)
            if name == "sign" and dtype.kind in "iu":
                return self.const(np.sign(x.value), dtype)
        elif name == "select" and dtype.kind == "i":
            return self._floored(*args)
        return None

    def _floored(self, mask: Expr, then: Expr, other: Expr) -> Expr | None:
        """The value of a choice: quotients and remainders by powers of two, rounded down, as shifts; and remainders
        by their neighbours, which hashes and random numbers take, without a product. None for other choices.

        They come as those that are rounded towards zero, with a correction where the signs differ.
        """
        if not isinstance(other, Op) or other.name not in ("rem", "div"):
            return None
        x, divisor = other.args
        if not isinstance(divisor, Const):
            return None
        d = int(divisor.value)
        if d < 2:
            return None
        zero = self.const(0, x.dtype)
        if (
            other.name == "rem"
            and mask is self.op("lt", other, zero)
            and then is self.op("add", other, divisor)
        ):
            if d & (d - 1) == 0:
                return self.op("and", x, self.const(d - 1, x.dtype))
            return self._beside_power_of_two(x, d)
        if other.name == "rem" or d & (d - 1):
            return None
        rest = self.op("rem", x, divisor)
        signs = self.op("ne", self.op("sign", x), self.const(1, x.dtype))
        apart = self.op("and", signs, self.op("ne", rest, zero))
        if mask is apart and then is self.op("sub", other, self.const(1, x.dtype)):
            return self.op("shr_arithmetic", x, self.const(d.bit_length() - 1, x.dtype))
        return None

    def _beside_power_of_two(self, x: Expr, d: int) -> Expr | None:
        """The remainder, rounded down, by d = 2**k - 1 or 2**k + 1, for k of at least half of the bits.

        x is high * 2**k + low, and 2**k is 1 or -1 modulo d, so that low + high or low - high is the remainder but
        for one d, since high has at most as many bits as d.
        """
        bits = 8 * x.dtype.itemsize
        for k, combine in ((d.bit_length(), "add"), (d.bit_length() - 1, "sub")):
            if d == (1 << k) + (1 if combine == "sub" else -1) and bits // 2 <= k < bits - 1:
                low = self.op("and", x, self.const((1 << k) - 1, x.dtype))
                near = self.op(combine, low, self.op("shr_arithmetic", x, self.const(k, x.dtype)))
                divisor = self.const(d, x.dtype)
                near_or_less = self.op(
                    "select", self.op("lt", near, divisor), near, self.op("sub", near, divisor)
                )
                below = self.op("lt", near, self.const(0, x.dtype))
                return self.op("select", below, self.op("add", near, divisor), near_or_less)
        return None

    def _with_const(self, name: str, x: Expr, c: Expr) -> Expr | None:
        """x * 1 is x; a division by a number becomes a multiplication, which costs a rounding, as it does in XLA."""
        assert isinstance(c, Const)
        if isinstance(x, Const) and name in _FOLD and x.dtype.kind in "iub":
            with np.errstate(all="ignore"):
                value = _FOLD[name](x.value, c.value)
            return self.const(value, BOOL if name in COMPARISONS else x.dtype)
        if name == "add" and c.dtype.kind in "iu" and c.value == 0:
            return x
        if name == "and" and c.dtype == BOOL:
            return x if c.value else c
        if name in ("eq", "ne") and c.dtype == BOOL and bool(c.value) == (name == "eq"):
            return x
        if name in ("mul", "div") and c.value == 1:
            return x
        if name == "div" and c.dtype.kind == "f" and c.dtype.itemsize >= 4:
            with np.errstate(all="ignore"):
                inverse = 1 / c.value
            if np.isfinite(inverse) and abs(inverse) >= np.finfo(c.dtype).tiny:
                return self.op("mul", x, self.const(inverse, c.dtype))
        return None

    def piecewise(self, cases: Sequence[tuple[tuple[Condition, ...], Expr]]) -> Expr:
        if not cases[0][0]:
            return cases[0][1]
        key = (Piecewise, tuple(cases))
        node = self._table.get(key)
        if node is None:
            assert not cases[-1][0], "the last case needs no conditions"
            node = self._table[key] = Piecewise()
            node.cases, node.dtype = key[1], cases[0][1].dtype
            node.axes = frozenset().union(*(e.axes for _, e in cases)) | {
                t for conditions, _ in cases for a, _, _ in conditions for t, _ in a.terms
            }
        return node

    def acc(self, name: str, dtype: DType, axes: frozenset[Axis | Symbol] = frozenset()) -> Acc:
        key = (Acc, name)
        node = self._table.get(key)
        if node is None:
            node = self._table[key] = Acc()
            node.name, node.dtype, node.axes = name, dtype, axes
        return node


class Stmt:
    """A statement. `source` is the equation that it computes, or a part of it, if there is one."""

    __slots__ = ("source",)

    def __init__(self) -> None:
        self.source: Eqn | None = None


class For(Stmt):
    """Run `body` for lo <= axis < hi: in any order, or by several threads if `parallel`, or one by one if `ordered`.

    `first` and `end` are bounds set by the axes around the loop: it runs from `first` to before `end` instead,
    which are within lo and hi. Accesses have to be in bounds for all from lo to hi.

    A `batch` loop does the same to each of many small things, which have their local buffers to themselves in
    each iteration. A backend runs its iterations side by side, in lanes, whatever is inside.

    `lanes` says how many iterations run side by side, where that is decided already; 0: the backend chooses.
    """

    __slots__ = ("axis", "batch", "body", "end", "first", "hi", "lanes", "lo", "ordered", "parallel")

    def __init__(
        self,
        axis: Axis,
        lo: int,
        hi: int,
        body: list[Stmt],
        parallel: bool = False,
        ordered: bool = False,
        *,
        first: Affine | None = None,
        end: Affine | None = None,
        batch: bool = False,
        lanes: int = 0,
    ):
        super().__init__()
        self.axis, self.lo, self.hi, self.body, self.lanes = axis, lo, hi, body, lanes
        self.parallel, self.ordered, self.batch = parallel, ordered, batch
        self.first, self.end = first, end

    @property
    def trips(self) -> float:
        """How many iterations there are, on the average: bounds that move cut away half of them."""
        whole = self.hi - self.lo
        return whole if self.first is None and self.end is None else whole / 2


class Store(Stmt):
    """buffer[index] = value. With `combine`, buffer[index] = combine(buffer[index], value).

    The index is as in `Load`, or has integer expressions, which are within bounds.
    """

    __slots__ = ("buffer", "combine", "index", "value")

    def __init__(
        self, buffer: Buffer, index: Sequence[Affine | Expr], value: Expr, combine: str | None = None
    ):
        super().__init__()
        self.buffer, self.index, self.value, self.combine = buffer, tuple(index), value, combine


class Nest(Stmt):
    """A root, before its loops are made: store `value` at `index` for all values of `axes`.

    With `reduce_axes`, what is stored is the combination of the values over these, started from `identity`.
    """

    __slots__ = ("axes", "box", "combine", "identity", "index", "reduce_axes", "value", "view")

    def __init__(
        self,
        view: View,
        index: Sequence[Affine],
        axes: Sequence[Axis],
        value: Expr,
        reduce_axes: Sequence[Axis] = (),
        combine: str = "",
        identity: Const | None = None,
    ):
        super().__init__()
        self.view, self.index, self.value = view, tuple(index), value
        self.axes, self.reduce_axes = list(axes), list(reduce_axes)
        self.combine, self.identity = combine, identity
        self.box: dict[Term, tuple[int, int]] = {a: (0, a.size) for a in (*axes, *reduce_axes)}


class Let(Stmt):
    """name = value, for the rest of the body."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Expr):
        super().__init__()
        self.name, self.value = name, value


class Init(Stmt):
    """Start an accumulator from the identity of its combiner."""

    __slots__ = ("combine", "identity", "name")

    def __init__(self, name: str, combine: str, identity: Const):
        super().__init__()
        self.name, self.combine, self.identity = name, combine, identity


class Accumulate(Stmt):
    """name = combine(name, value). The order of the combinations is free."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Expr):
        super().__init__()
        self.name, self.value = name, value


class If(Stmt):
    """Run `body` if the condition, a bool, is true."""

    __slots__ = ("body", "condition")

    def __init__(self, condition: Expr, body: list[Stmt]):
        super().__init__()
        self.condition, self.body = condition, body


class Call(Stmt):
    """A library routine, on views of buffers.

    host   `payload` is a Python callable that takes NumPy arrays of `inputs` and fills those of `outputs`
    gemm   outputs[0] = inputs[0] @ inputs[1]; `payload` is a `Gemm`
    copy   outputs[0] = inputs[0], of equal size
    sort, argsort   rows of integers in ascending order, in place; their places in this order; a `RowSort`
    fortran  a routine of BLAS or LAPACK; `payload` is a `Fortran`. What it works on in place is in both lists
    ufunc  an inner loop of a ufunc of NumPy's or SciPy's; `payload` is a `Ufunc`
    """

    __slots__ = ("inputs", "name", "outputs", "payload")

    def __init__(self, name: str, inputs: Sequence[View], outputs: Sequence[View], payload: Any = None):
        super().__init__()
        self.name, self.inputs, self.outputs, self.payload = name, tuple(inputs), tuple(outputs), payload


class Gemm:
    """C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n].

    `offsets` (of A and B) and `strides` (three each, of A, B and C) are in elements; offsets may depend on
    the axes of sequential loops. A and B have a unit stride in one of their two last axes, C in its last.
    """

    __slots__ = ("batch", "k", "m", "n", "offsets", "strides")

    def __init__(
        self,
        batch: int,
        m: int,
        n: int,
        k: int,
        offsets: tuple[Affine, Affine],
        strides: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]],
    ):
        self.batch, self.m, self.n, self.k = batch, m, n, k
        self.offsets, self.strides = offsets, strides


class RowSort:
    """`count` rows of `n` elements to sort.

    Of "sort", with `least`: only so many of the least elements of a row are wanted, the others may be lost. Of
    "argsort" with `again`: the places (the second input) are in an order already, which stays for equal keys.
    """

    __slots__ = ("again", "count", "least", "n")

    def __init__(self, count: int, n: int, least: int | None = None, again: bool = False):
        self.count, self.n, self.least, self.again = count, n, least, again

    def __repr__(self) -> str:
        least = "" if self.least is None else f" least={self.least}"
        return f"rows={self.count} n={self.n}{least}{' again' if self.again else ''}"


class Part:
    """Memory that a routine gets: view number `view`, of inputs and then outputs, `step` elements on each time."""

    __slots__ = ("step", "view")

    def __init__(self, view: int, step: int):
        self.view, self.step = view, step


class Fortran:
    """`count` calls of a routine. Arguments: numbers, letters, memory.

    Numbers are int32 if they are int, of the precision of the routine's letter if they are float or complex.
    """

    __slots__ = ("args", "count", "name")

    def __init__(self, name: str, count: int, args: tuple[complex | str | Part, ...]):
        self.name, self.count, self.args = name, count, args

    def __repr__(self) -> str:
        times = f" {self.count} times" if self.count != 1 else ""
        numbers = [str(a) for a in self.args if not isinstance(a, Part)]
        return f"{self.name}{times} ({', '.join(numbers)})"


class Ufunc:
    """Passes of an inner loop of a ufunc.

    name: "special.gammainc", "fft.ifft": the library, and the ufunc in it.
    types: of the loop, in NumPy's letters: "dd->d".
    args: what each argument of the loop is: the number of a view (of inputs, then outputs), or a constant.
    count: how many elements, or how many lines if the ufunc has core dimensions, a pass has.
    steps: for each argument how far an element or a line is from the next one, in elements; then, for each core
      dimension of each argument, the same along that.
    core: the sizes of the core dimensions.
    times: the number of passes; `jumps` says for each argument how far they are apart.
    cost: of an element or a line, in vector additions.
    """

    __slots__ = ("args", "core", "cost", "count", "jumps", "name", "steps", "times", "types")

    def __init__(
        self,
        name: str,
        types: str,
        args: Sequence[int | float],
        count: int,
        steps: Sequence[int],
        cost: float,
        core: Sequence[int] = (),
        times: int = 1,
        jumps: Sequence[int] = (),
    ):
        self.name, self.types, self.args, self.count = name, types, tuple(args), count
        self.steps, self.cost, self.core, self.times = tuple(steps), cost, tuple(core), times
        self.jumps = tuple(jumps) or (0,) * len(self.args)

    @property
    def work(self) -> float:
        """What all passes cost, in vector additions."""
        return self.cost * self.count * self.times

    def __repr__(self) -> str:
        lines = f" core={list(self.core)}" if self.core else ""
        times = f"{self.times} times " if self.times != 1 else ""
        return f"{self.name} {self.types} {times}n={self.count}{lines}"


class Loop(Stmt):
    """A sequential loop: scan (`trips` is known) or while (`condition` is a statement list that sets `flag`).

    `slots` are pointers (buffers of kind "slot"), valid in the body and after the loop. They start at
    `starts`, and after each iteration all of them move at once to where `moves` points (a slot in `moves`
    stands for where it pointed during the iteration). `axis` counts the iterations (down from trips - 1 if
    `reverse`).
    """

    __slots__ = ("axis", "body", "condition", "flag", "moves", "reverse", "slots", "starts", "trips")

    def __init__(
        self,
        axis: Axis,
        trips: int | None,
        body: list[Stmt],
        slots: Sequence[Buffer],
        starts: Sequence[View],
        moves: Sequence[View],
        condition: list[Stmt] | None = None,
        flag: Buffer | None = None,
        reverse: bool = False,
    ):
        super().__init__()
        self.axis, self.trips, self.body = axis, trips, body
        self.slots, self.starts, self.moves = list(slots), list(starts), list(moves)
        self.condition, self.flag, self.reverse = condition or [], flag, reverse


class Branch(Stmt):
    """Run the branch of number `selector` (an int32 scalar, clamped to the branches)."""

    __slots__ = ("branches", "selector")

    def __init__(self, selector: View, branches: list[list[Stmt]]):
        super().__init__()
        self.selector, self.branches = selector, branches


class Program:
    """What is compiled: `results` are computed from `args` with temporaries in an arena of `arena` bytes."""

    __slots__ = ("arena", "args", "body", "name", "results", "temps")

    def __init__(
        self, name: str, args: list[Buffer], results: list[Buffer], temps: list[Buffer], body: list[Stmt]
    ):
        self.name, self.args, self.results, self.temps, self.body = name, args, results, temps, body
        self.arena = 0
