"""The table of primitives: one row each, for all the witnesses of `test_cases`.

A row says how to call the operation, on which shapes and values, what it computes (by NumPy or SciPy), and
in which arguments it is differentiable and linear. The witnesses do the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special

from wengert import lax
from wengert.prims.axes import add_any_p
from wengert.prims.slicing import add_at_slices_p

Shape = tuple[int, ...]
F32, F64, I32 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32)


class Arg:
    """Values of one argument: uniform in [lo, hi), or integers in that range if `dtype` is an integer one.

    Without a dtype the argument has that of the test. `distinct` values are at least 1/10 apart. `choices`
    are all the values that there may be.
    """

    def __init__(
        self,
        shape: Shape,
        lo: float = -2,
        hi: float = 2,
        dtype: Any = None,
        distinct: bool = False,
        choices: Sequence[float] = (),
    ):
        self.shape, self.lo, self.hi, self.distinct, self.choices = shape, lo, hi, distinct, choices
        self.dtype = None if dtype is None else np.dtype(dtype)

    def values(self, rng: np.random.Generator, dtype: np.dtype[Any]) -> Any:
        dtype = self.dtype or dtype
        if self.choices:
            return np.asarray(rng.choice(self.choices, self.shape)).astype(dtype)
        if dtype.kind == "b":
            return rng.integers(0, 2, self.shape).astype(bool)
        if dtype.kind in "iu":
            lo = max(0, self.lo) if dtype.kind == "u" else self.lo
            hi = max(self.hi, lo + 1)
            return np.asarray(rng.integers(int(np.floor(lo)), int(np.ceil(hi)), self.shape)).astype(dtype)
        if self.distinct:
            n = int(np.prod(self.shape))
            values = (rng.permutation(n) + rng.uniform(0, 0.5, n) - n / 2) / 5
            return values.reshape(self.shape).astype(dtype)
        values = rng.uniform(self.lo, self.hi, self.shape)
        if dtype.kind == "c":
            values = values + 1j * rng.uniform(self.lo, self.hi, self.shape)
        return np.asarray(values).astype(dtype)


class Case:
    """One row.

    Attributes:
      name: unique; the test's id.
      fun: of arrays; returns an array, or several.
      reference: the same by NumPy, of NumPy arrays.
      args: the arguments.
      dtypes: what the arguments without a dtype of their own are tested in.
      smooth: the arguments in which `fun` is twice differentiable on the range of the values.
      linear: the arguments in which `fun` is linear, jointly.
      ulps: the error allowed, in units in the last place of the greatest result.
    """

    def __init__(
        self,
        name: str,
        fun: Callable[..., Any],
        reference: Callable[..., Any],
        args: Sequence[Arg],
        dtypes: str = "float32",
        smooth: Sequence[int] = (),
        linear: Sequence[int] = (),
        ulps: float = 8,
    ):
        self.name, self.fun, self.reference, self.args = name, fun, reference, tuple(args)
        self.dtypes = [np.dtype(d) for d in dtypes.split()]
        self.smooth, self.linear, self.ulps = tuple(smooth), tuple(linear), ulps

    def values(self, dtype: np.dtype[Any]) -> list[Any]:
        generator = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [arg.values(generator, dtype) for arg in self.args]

    def __repr__(self) -> str:
        return self.name


CASES: list[Case] = []
S = (3, 4)
FLOATS = "float32 float64"
REALS = f"{FLOATS} int32 uint8"
NUMBERS = f"{REALS} complex64"
INTEGERS = "int32 uint8 int64 uint32"


def row(name: str, *args: Any, **kwargs: Any) -> None:
    CASES.append(Case(name, *args, **kwargs))


def unary(name: str, fun: Any, reference: Any, lo: float = -2, hi: float = 2, **kwargs: Any) -> None:
    kwargs = {"dtypes": FLOATS, "smooth": (0,), **kwargs}
    row(name, fun, reference, [Arg(S, lo, hi)], **kwargs)


def binary(name: str, fun: Any, reference: Any, *ranges: tuple[float, float], **kwargs: Any) -> None:
    """A row for each combination of arrays and scalars."""
    (a, b), (c, d) = ranges if len(ranges) == 2 else (ranges or ((-2, 2),)) * 2
    kwargs = {"dtypes": FLOATS, "smooth": (0, 1), **kwargs}
    for suffix, x, y in (
        ("", S, S),
        (" array, scalar", S, ()),
        (" scalar, array", (), S),
        (" scalars", (), ()),
    ):
        row(name + suffix, fun, reference, [Arg(x, a, b), Arg(y, c, d)], **kwargs)


# ------------------------------------------------------------------------------------------------- arithmetic

binary("add", lax.add, np.add, dtypes=NUMBERS, linear=(0, 1))
binary("sub", lax.sub, np.subtract, dtypes=NUMBERS, linear=(0, 1))
binary("mul", lax.mul, np.multiply, dtypes=NUMBERS, linear=(0,))
binary("mul, linear in the second", lax.mul, np.multiply, linear=(1,))
binary("div", lax.div, np.true_divide, (-2, 2), (0.5, 2), dtypes=f"{FLOATS} complex64", linear=(0,))
binary(
    "div of integers", lax.div, lambda x, y: np.trunc(x / y), (-20, 20), (1, 5), dtypes=INTEGERS, smooth=()
)
binary("rem", lax.rem, np.fmod, (-2, 2), (0.6, 0.9))
binary("rem of integers", lax.rem, np.fmod, (-20, 20), (1, 5), dtypes=INTEGERS, smooth=())
binary(
    "mulhi",
    lax.mulhi,
    lambda x, y: np.multiply(x, y, dtype=object) // 2 ** (8 * np.asarray(x).itemsize),
    (0, 100),
    dtypes=INTEGERS,
    smooth=(),
)
binary("max", lax.max, np.maximum, (-2, -0.1), (0.1, 2), dtypes=REALS)
binary("max, swapped", lax.max, np.maximum, (0.1, 2), (-2, -0.1), dtypes=REALS)
binary("min", lax.min, np.minimum, (-2, -0.1), (0.1, 2), dtypes=REALS)
binary("nextafter", lax.nextafter, np.nextafter, smooth=())
binary("add_any", add_any_p.bind, np.add, linear=(0, 1))
unary("neg", lax.neg, np.negative, dtypes="float32 float64 int32 complex64", linear=(0,))
unary("sign", lax.sign, np.sign, dtypes=NUMBERS, smooth=())
unary("abs", lax.abs, np.abs, 0.1, 2, dtypes=REALS)
unary("abs of complex numbers", lax.abs, np.abs, dtypes="complex64 complex128", smooth=())
unary("square", lax.square, np.square, dtypes=NUMBERS)
unary("floor", lax.floor, np.floor, smooth=())
unary("ceil", lax.ceil, np.ceil, smooth=())
unary("round", lax.round, lambda x: np.trunc(x + np.copysign(0.5, x)), smooth=())
unary("round to even", lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), np.rint, smooth=())
unary("is_finite", lax.is_finite, np.isfinite, smooth=())
for exponent in (-2, 0, 1, 2, 3, 7):
    unary(
        f"integer_pow {exponent}",
        lambda x, y=exponent: lax.integer_pow(x, y),
        lambda x, y=exponent: x ** np.float64(y) if y < 0 else x**y,
        0.5,
        2,
        dtypes="float32 float64 complex64" if exponent < 0 else "float32 float64 int32",
    )
binary("pow", lax.pow, np.power, (0.5, 2), (-2, 2))
row("pow to an integer", lax.pow, np.power, [Arg(S, 0.5, 2), Arg(S, -3, 4, I32)], smooth=(0,))

# --------------------------------------------------------------------------------------------- transcendental

TRANSCENDENTAL: list[tuple[str, Any, Any, float, float]] = [
    ("exp", lax.exp, np.exp, -3, 3),
    ("exp2", lax.exp2, np.exp2, -3, 3),
    ("expm1", lax.expm1, np.expm1, -2, 2),
    ("log", lax.log, np.log, 0.1, 5),
    ("log2", lax.log2, np.log2, 0.1, 5),
    ("log1p", lax.log1p, np.log1p, -0.8, 5),
    ("logistic", lax.logistic, scipy.special.expit, -4, 4),
    ("sqrt", lax.sqrt, np.sqrt, 0.1, 5),
    ("rsqrt", lax.rsqrt, lambda x: 1 / np.sqrt(x), 0.1, 5),
    ("cbrt", lax.cbrt, np.cbrt, 0.1, 5),
    ("sin", lax.sin, np.sin, -6, 6),
    ("cos", lax.cos, np.cos, -6, 6),
    ("tan", lax.tan, np.tan, -1.3, 1.3),
    ("asin", lax.asin, np.arcsin, -0.9, 0.9),
    ("acos", lax.acos, np.arccos, -0.9, 0.9),
    ("atan", lax.atan, np.arctan, -3, 3),
    ("sinh", lax.sinh, np.sinh, -3, 3),
    ("cosh", lax.cosh, np.cosh, -3, 3),
    ("tanh", lax.tanh, np.tanh, -3, 3),
    ("asinh", lax.asinh, np.arcsinh, -3, 3),
    ("acosh", lax.acosh, np.arccosh, 1.2, 5),
    ("atanh", lax.atanh, np.arctanh, -0.9, 0.9),
    ("erf", lax.erf, scipy.special.erf, -2, 2),
    ("erfc", lax.erfc, scipy.special.erfc, -2, 2),
    ("erf_inv", lax.erf_inv, scipy.special.erfinv, -0.9, 0.9),
    ("lgamma", lax.lgamma, scipy.special.gammaln, 0.5, 5),
    ("digamma", lax.digamma, scipy.special.psi, 0.5, 5),
    ("bessel_i0e", lax.bessel_i0e, scipy.special.i0e, 0.1, 5),
    ("bessel_i1e", lax.bessel_i1e, scipy.special.i1e, 0.1, 5),
]
for name, fun, reference, lo, hi in TRANSCENDENTAL:
    unary(name, fun, reference, lo, hi, ulps=16)
binary("atan2", lax.atan2, np.arctan2, (0.5, 2), (-2, -0.5))
row(
    "polygamma",
    lax.polygamma,
    scipy.special.polygamma,
    [Arg(S, choices=(0, 1, 2, 3)), Arg(S, 0.5, 5)],
    FLOATS,
    smooth=(1,),
    ulps=100,
)
binary("zeta", lax.zeta, scipy.special.zeta, (1.5, 4), (0.5, 3), smooth=(1,), ulps=50)
row(
    "betainc",
    lax.betainc,
    scipy.special.betainc,
    [Arg(S, 0.5, 3), Arg(S, 0.5, 3), Arg(S, 0.1, 0.9)],
    FLOATS,
    smooth=(2,),
    ulps=100,
)

# ----------------------------------------------------------------------------------------- comparisons, bits

for name, fun, reference in (
    ("eq", lax.eq, np.equal),
    ("ne", lax.ne, np.not_equal),
    ("lt", lax.lt, np.less),
    ("le", lax.le, np.less_equal),
    ("gt", lax.gt, np.greater),
    ("ge", lax.ge, np.greater_equal),
):
    binary(name, fun, reference, dtypes="float32 int32 uint8 bool", smooth=())
BITS = "int32 uint8 bool int64"
binary("and", lax.bitwise_and, np.bitwise_and, (-50, 50), dtypes=BITS, smooth=())
binary("or", lax.bitwise_or, np.bitwise_or, (-50, 50), dtypes=BITS, smooth=())
binary("xor", lax.bitwise_xor, np.bitwise_xor, (-50, 50), dtypes=BITS, smooth=())
unary("not", lax.bitwise_not, np.invert, -50, 50, dtypes=BITS, smooth=())
binary("shift_left", lax.shift_left, np.left_shift, (-50, 50), (0, 7), dtypes=INTEGERS, smooth=())
binary(
    "shift_right_arithmetic",
    lax.shift_right_arithmetic,
    np.right_shift,
    (-50, 50),
    (0, 7),
    dtypes="int32 int64",
    smooth=(),
)
binary(
    "shift_right_logical",
    lax.shift_right_logical,
    np.right_shift,
    (0, 50),
    (0, 7),
    dtypes=INTEGERS,
    smooth=(),
)
unary("population_count", lax.population_count, np.bitwise_count, 0, 99, dtypes=INTEGERS, smooth=())
unary(
    "clz",
    lax.clz,
    lambda x: np.vectorize(lambda n: x.itemsize * 8 - int(n).bit_length(), otypes=[x.dtype])(x),
    0,
    99,
    dtypes=INTEGERS,
    smooth=(),
)

# ----------------------------------------------------------------------------------------- choice, conversion

row(
    "select_n",
    lax.select,
    np.where,
    [Arg(S, dtype=bool), Arg(S), Arg(S)],
    NUMBERS,
    smooth=(1, 2),
    linear=(1, 2),
)
row(
    "select_n, scalar",
    lax.select,
    np.where,
    [Arg((), dtype=bool), Arg(S), Arg(S)],
    smooth=(1, 2),
    linear=(1, 2),
)
row(
    "select_n of integers",
    lax.select_n,
    lambda which, *cases: np.choose(which, cases),
    [Arg(S, 0, 3, I32), Arg(S), Arg(S), Arg(S)],
    smooth=(1, 2, 3),
    linear=(1, 2, 3),
)
row(
    "clamp",
    lax.clamp,
    lambda lo, x, hi: np.clip(x, lo, hi),
    [Arg((), -1, 0), Arg(S, -3, 3), Arg((), 0.1, 1)],
    REALS,
    smooth=(0, 1, 2),
)
for new, old in (
    ("float32", "float32 float64 int32 uint8 bool"),
    ("float64", "float32 int32"),
    ("int32", "float32 float64 uint8 bool int64"),
    ("uint8", "int32 bool"),
    ("bool", "float32 int32"),
    ("complex64", "float32 int32"),
):
    unary(
        f"convert_element_type to {new}",
        lambda x, new=new: lax.convert_element_type(x, new),
        lambda x, new=new: x.astype(new),
        0,
        3,
        dtypes=old,
        smooth=(),
    )
row(
    "convert_element_type, linear",
    lambda x: lax.convert_element_type(x, F64),
    lambda x: x,
    [Arg(S)],
    smooth=(0,),
    linear=(0,),
)
row("bitcast_convert_type", lambda x: lax.bitcast_convert_type(x, I32), lambda x: x.view(I32), [Arg(S)])
row(
    "bitcast_convert_type, narrower",
    lambda x: lax.bitcast_convert_type(x, np.uint8),
    lambda x: x.reshape(3, 4, 1).view(np.uint8),
    [Arg(S)],
)
row(
    "bitcast_convert_type, wider",
    lambda x: lax.bitcast_convert_type(x, np.uint32),
    lambda x: x.view(np.uint32)[..., 0],
    [Arg((3, 4), 0, 200, np.uint8)],
)
row(
    "reduce_precision",
    lambda x: lax.reduce_precision(x, 5, 10),
    lambda x: x.astype(np.float16).astype(F32),
    [Arg(S, -100, 100)],
)
row("real", lax.real, np.real, [Arg(S)], "complex64 complex128", linear=(0,))
row("imag", lax.imag, np.imag, [Arg(S)], "complex64 complex128", linear=(0,))
row("conj", lax.conj, np.conj, [Arg(S)], "complex64")
binary("complex", lax.complex, lambda x, y: x + 1j * y, linear=(0, 1))
unary("copy", lax.copy_p.bind, lambda x: x, dtypes=NUMBERS, linear=(0,))
unary("stop_gradient", lax.stop_gradient_p.bind, lambda x: x, smooth=())
row(
    "optimization_barrier",
    lambda x, y: lax.optimization_barrier((x, y)),
    lambda x, y: (x, y),
    [Arg(S), Arg((2,))],
    smooth=(0, 1),
    linear=(0, 1),
)

# ----------------------------------------------------------------------------------------------------- shapes


def view(name: str, fun: Any, reference: Any, shape: Shape = S, **kwargs: Any) -> None:
    kwargs = {"dtypes": "float32 int32 bool complex64", "smooth": (0,), "linear": (0,), **kwargs}
    row(name, fun, reference, [Arg(shape)], **kwargs)


view(
    "broadcast_in_dim",
    lambda x: lax.broadcast_in_dim(x, (2, 3, 4, 5), (1, 2)),
    lambda x: np.broadcast_to(x[:, :, None], (2, 3, 4, 5)),
)
view(
    "broadcast_in_dim of size 1",
    lambda x: lax.broadcast_in_dim(x, (3, 4), (0, 1)),
    lambda x: np.broadcast_to(x, (3, 4)),
    (3, 1),
)
view(
    "broadcast_in_dim of a scalar",
    lambda x: lax.broadcast_in_dim(x, (3, 4), ()),
    lambda x: np.broadcast_to(x, S),
    (),
)
view("transpose", lambda x: lax.transpose(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1), (2, 3, 4))
view("reshape, merging", lambda x: lax.reshape(x, (6, 4)), lambda x: x.reshape(6, 4), (2, 3, 4))
view("reshape, splitting", lambda x: lax.reshape(x, (2, 2, 3)), lambda x: x.reshape(2, 2, 3), (4, 3))
view("reshape, both", lambda x: lax.reshape(x, (4, 1, 9)), lambda x: x.reshape(4, 1, 9), (6, 1, 6))
view(
    "reshape after transpose",
    lambda x: lax.reshape(lax.transpose(x, (1, 0)), (2, 6)),
    lambda x: x.T.reshape(2, 6),
)
view("reshape of dimensions", lambda x: lax.reshape(x, (12,), (1, 0)), lambda x: x.T.reshape(12))
view("rev", lambda x: lax.rev(x, (0, 2)), lambda x: x[::-1, :, ::-1], (2, 3, 4))
view("squeeze", lambda x: lax.squeeze(x, (0, 2)), lambda x: x[0, :, 0], (1, 3, 1, 4))
view("squeeze to a scalar", lambda x: lax.squeeze(x, (0,)), lambda x: x[0], (1,))
view("expand_dims", lambda x: lax.expand_dims(x, (0, 2)), lambda x: x[None, :, None])
view("tile", lambda x: lax.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3)))
view("slice", lambda x: lax.slice(x, (1, 0), (3, 3)), lambda x: x[1:3, :3])
view("slice with strides", lambda x: lax.slice(x, (1, 0), (7, 5), (2, 3)), lambda x: x[1:7:2, :5:3], (7, 6))
view(
    "pad",
    lambda x: lax.pad(x, lax.squeeze(lax.slice(x, (0, 0), (1, 1)), (0, 1)), ((1, 2, 0), (0, 1, 0))),
    lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=x[0, 0]),
)
row(
    "pad between and crop",
    lambda x, v: lax.pad(x, v, ((1, -1, 2), (-1, 2, 1))),
    lambda x, v: _padded(x, v),
    [Arg((3, 4)), Arg(())],
    "float32 int32",
    smooth=(0, 1),
    linear=(0, 1),
)
row(
    "concatenate",
    lambda *xs: lax.concatenate(xs, 1),
    lambda *xs: np.concatenate(xs, 1),
    [Arg((3, 2)), Arg((3, 4)), Arg((3, 1))],
    NUMBERS,
    smooth=(0, 1, 2),
    linear=(0, 1, 2),
)
row(
    "stack",
    lambda *xs: lax.stack(xs, 1),
    lambda *xs: np.stack(xs, 1),
    [Arg(S), Arg(S)],
    smooth=(0, 1),
    linear=(0, 1),
)
row(
    "iota",
    lambda x: lax.add(x, lax.broadcasted_iota(x.dtype, S, 1)),
    lambda x: x + np.arange(4).astype(x.dtype),
    [Arg(S, 0, 9)],
    "float32 int32 uint8",
    smooth=(),
)
row(
    "add_at_slices",
    lambda x, a, b: add_at_slices_p.bind(x, a, b, starts=((1, 0), (0, 1)), strides=((1, 1), (2, 1))),
    lambda x, a, b: _added(x, a, b),
    [Arg((4, 5)), Arg((2, 3)), Arg((2, 4))],
    "float32 int32",
    smooth=(0, 1, 2),
    linear=(0, 1, 2),
)


def _padded(x: Any, v: Any) -> Any:
    spread = np.full((7, 7), v, x.dtype)
    spread[::3, ::2] = x
    grown = np.full((8, 9), v, x.dtype)
    grown[1:, :7] = spread
    return grown[:-1, 1:]


def _added(x: Any, a: Any, b: Any) -> Any:
    out = x.copy()
    out[1:3, 0:3] += a
    out[0:4:2, 1:5] += b
    return out


# ------------------------------------------------------------------------------------------------- reductions

for axes in ((0,), (1, 2), (0, 2), (0, 1, 2), ()):
    shape = (2, 3, 4)
    row(
        f"reduce_sum {axes}",
        lambda x, a=axes: lax.reduce_sum(x, a),
        lambda x, a=axes: x.sum(a, dtype=x.dtype),
        [Arg(shape)],
        NUMBERS,
        smooth=(0,),
        linear=(0,),
        ulps=32,
    )
    row(
        f"reduce_prod {axes}",
        lambda x, a=axes: lax.reduce_prod(x, a),
        lambda x, a=axes: x.prod(a, dtype=x.dtype),
        [Arg(shape, 0.5, 2)],
        REALS,
        smooth=(0,),
        ulps=16,
    )
    row(
        f"reduce_max {axes}",
        lambda x, a=axes: lax.reduce_max(x, a),
        lambda x, a=axes: x.max(a),
        [Arg(shape, distinct=True)],
        REALS,
        smooth=(0,),
    )
    row(
        f"reduce_min {axes}",
        lambda x, a=axes: lax.reduce_min(x, a),
        lambda x, a=axes: x.min(a),
        [Arg(shape, distinct=True)],
        REALS,
        smooth=(0,),
    )
row(
    "reduce_prod of zeros",
    lambda x: lax.reduce_prod(x, (0,)),
    lambda x: x.prod(0),
    [Arg((3, 20), choices=(0, 2, -1))],
    smooth=(0,),
)
for name, fun, reference in (
    ("reduce_and", lax.reduce_and, np.bitwise_and),
    ("reduce_or", lax.reduce_or, np.bitwise_or),
    ("reduce_xor", lax.reduce_xor, np.bitwise_xor),
):
    row(
        name,
        lambda x, f=fun: f(x, (1,)),
        lambda x, f=reference: f.reduce(x, axis=1),
        [Arg(S, 0, 99)],
        "int32 bool uint8",
    )
row("argmax", lambda x: lax.argmax(x, 1, I32), lambda x: x.argmax(1), [Arg(S, 0, 5)], "float32 int32 bool")
row("argmin", lambda x: lax.argmin(x, 0, I32), lambda x: x.argmin(0), [Arg(S, 0, 5)], "float32 int32 bool")
for reverse in (False, True):
    for name, fun, ufunc in (
        ("cumsum", lax.cumsum, np.add),
        ("cumprod", lax.cumprod, np.multiply),
        ("cummax", lax.cummax, np.maximum),
        ("cummin", lax.cummin, np.minimum),
        ("cumlogsumexp", lax.cumlogsumexp, np.logaddexp),
    ):
        row(
            f"{name}{' reversed' * reverse}",
            lambda x, f=fun, r=reverse: f(x, 1, r),
            lambda x, f=ufunc, r=reverse: f.accumulate(x[:, ::-1], 1)[:, ::-1] if r else f.accumulate(x, 1),
            [Arg((2, 5), distinct=True)],
            "float32" if name == "cumlogsumexp" else "float32 int32",
            smooth=(0,),
            linear=(0,) if name == "cumsum" else (),
            ulps=16,
        )

# ------------------------------------------------------------------------------------------ products, sorting

row(
    "dot_general, matrices",
    lax.dot,
    np.dot,
    [Arg((3, 5)), Arg((5, 4))],
    NUMBERS,
    smooth=(0, 1),
    linear=(0,),
    ulps=32,
)
row(
    "dot_general, linear in the second",
    lax.dot,
    np.dot,
    [Arg((3, 5)), Arg((5, 4))],
    smooth=(0, 1),
    linear=(1,),
)
row(
    "dot_general, vectors",
    lax.dot,
    np.dot,
    [Arg((5,)), Arg((5,))],
    REALS,
    smooth=(0, 1),
    linear=(0,),
    ulps=32,
)
row(
    "dot_general, matrix and vector",
    lax.dot,
    np.dot,
    [Arg((3, 5)), Arg((5,))],
    smooth=(0, 1),
    linear=(1,),
    ulps=32,
)
for side in (0, 1):
    row(
        f"dot_general, any axes, {side}",
        lambda x, y: lax.dot_general(x, y, (((1, 3), (2, 0)), ((0,), (3,)))),
        lambda x, y: np.einsum("bcka,ajcb->bkj", x, y),
        [Arg((2, 3, 4, 5)), Arg((5, 6, 3, 2))],
        smooth=(0, 1),
        linear=(side,),
        ulps=64,
    )


def _convolved(
    x: Any, k: Any, strides: Sequence[int], pads: Sequence[int], spread: int, hole: int, groups: int
) -> Any:
    """A convolution by its definition: (batch, feature, height, width) by (output, input, height, width)."""
    n, c, h, w = x.shape
    wide = np.zeros((n, c, (h - 1) * spread + 1, (w - 1) * spread + 1), x.dtype)
    wide[:, :, ::spread, ::spread] = x
    wide = np.pad(wide, [(0, 0), (0, 0), (pads[0], pads[1]), (pads[2], pads[3])])
    o, inputs, kh, kw = k.shape
    rows = (wide.shape[2] - (kh - 1) * hole - 1) // strides[0] + 1
    columns = (wide.shape[3] - (kw - 1) * hole - 1) // strides[1] + 1
    out = np.zeros((n, o, rows, columns), np.result_type(x, k))
    for f, i, j, a, b in np.ndindex(o, rows, columns, kh, kw):
        group = f // (o // groups)
        seen = wide[
            :, group * inputs : (group + 1) * inputs, i * strides[0] + a * hole, j * strides[1] + b * hole
        ]
        out[:, f, i, j] += seen @ k[f, :, a, b]
    return out


for name, strides, pads, spread, hole, groups in (
    ("plain", (1, 1), (0, 0, 0, 0), 1, 1, 1),
    ("with strides and padding", (2, 1), (1, 0, 2, 1), 1, 1, 1),
    ("dilated", (1, 2), (1, 2, 0, 1), 2, 2, 1),
    ("in groups", (1, 1), (1, 1, 1, 1), 1, 1, 2),
):
    row(
        f"conv_general_dilated {name}",
        lambda x, k, s=strides, p=pads, b=spread, h=hole, g=groups: lax.conv_general_dilated(
            x, k, s, (p[:2], p[2:]), (b, b), (h, h), feature_group_count=g
        ),
        lambda x, k, s=strides, p=pads, b=spread, h=hole, g=groups: _convolved(x, k, s, p, b, h, g),
        [Arg((2, 4, 5, 4)), Arg((4, 4 // groups, 3, 2))],
        smooth=(0, 1),
        linear=(0,),
        ulps=64,
    )
row(
    "conv_general_dilated, linear in the kernel",
    lambda x, k: lax.conv_general_dilated(x, k, (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")),
    lambda x, k: _convolved(
        x.transpose(0, 2, 1)[:, :, None], k.transpose(2, 1, 0)[:, :, None], (1, 2), (0, 0, 0, 1), 1, 1, 1
    )[:, :, 0].transpose(0, 2, 1),
    [Arg((2, 6, 3)), Arg((3, 3, 2))],
    smooth=(0, 1),
    linear=(1,),
    ulps=64,
)
row(
    "reduce_window, sums",
    lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 3), (1, 2), ((0, 1), (1, 1))),
    lambda x: np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 1), (1, 1))), (2, 3))[:, ::2].sum(
        (2, 3)
    ),
    [Arg((4, 7))],
    smooth=(0,),
    linear=(0,),
    ulps=16,
)
row(
    "reduce_window, maxima",
    lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 2), (2, 2)),
    lambda x: x.reshape(2, 2, 3, 2).max((1, 3)),
    [Arg((4, 6), distinct=True)],
    smooth=(0,),
)
row(
    "reduce, with the index",
    lambda x, i: lax.reduce(
        (x, i),
        (-np.inf, -1),
        lambda a, b: (lax.max(a[0], b[0]), lax.select(lax.gt(a[0], b[0]), a[1], b[1])),
        (1,),
    ),
    lambda x, i: (x.max(1), np.take_along_axis(i, x.argmax(1)[:, None], 1)[:, 0]),
    [Arg((3, 5), distinct=True), Arg((3, 5), 0, 99, I32)],
    smooth=(0,),
)
row("sort", lax.sort, lambda x: np.sort(x, -1), [Arg(S, distinct=True)], REALS, smooth=(0,))
row(
    "sort with values",
    lambda k, v: lax.sort((k, v), 0),
    lambda k, v: _sorted(k, v),
    [Arg(S, distinct=True), Arg(S)],
    smooth=(0, 1),
)
row(
    "sort by two keys",
    lambda a, b, c: lax.sort((a, b, c), num_keys=2),
    lambda a, b, c: _sorted_by_two(a, b, c),
    [Arg((20,), 0, 3, I32), Arg((20,), 0, 3, I32), Arg((20,))],
    smooth=(2,),
)
row(
    "top_k",
    lambda x: lax.top_k(x, 2),
    lambda x: (np.sort(x)[:, ::-1][:, :2], np.argsort(-x, kind="stable")[:, :2]),
    [Arg(S, distinct=True)],
    "float32 int32",
    smooth=(0,),
)


def _sorted(k: Any, v: Any) -> Any:
    order = np.argsort(k, 0, kind="stable")
    return np.take_along_axis(k, order, 0), np.take_along_axis(v, order, 0)


def _sorted_by_two(a: Any, b: Any, c: Any) -> Any:
    order = np.lexsort((b, a))
    return a[order], b[order], c[order]


# --------------------------------------------------------------------------------------------------- indexing

row(
    "dynamic_slice",
    lambda x, i, j: lax.dynamic_slice(x, (i, j), (2, 3)),
    lambda x, i, j: x[i : i + 2, j : j + 3],
    [Arg((4, 5)), Arg((), 0, 3, I32), Arg((), 0, 3, I32)],
    "float32 int32",
    smooth=(0,),
    linear=(0,),
)
row(
    "dynamic_slice beyond the end",
    lambda x, i: lax.dynamic_slice_in_dim(x, i, 2),
    lambda x, i: x[2:4],
    [Arg((4, 5)), Arg((), 5, 9, I32)],
    smooth=(0,),
    linear=(0,),
)
row(
    "dynamic_slice from the end",
    lambda x, i: lax.dynamic_slice_in_dim(x, i, 2),
    lambda x, i: x[1:3],
    [Arg((4, 5)), Arg((), -3, -2, I32)],
    smooth=(0,),
    linear=(0,),
)
row(
    "dynamic_update_slice",
    lambda x, u, i: lax.dynamic_update_slice(x, u, (i, 1)),
    lambda x, u, i: _updated(x, u, i),
    [Arg((4, 5)), Arg((2, 3)), Arg((), 0, 3, I32)],
    "float32 int32",
    smooth=(0, 1),
    linear=(0, 1),
)
ROWS = lax.GatherDimensionNumbers((1,), (0,), (0,))
row(
    "gather of rows",
    lambda x, i: lax.gather(x, i, ROWS, (1, 5), mode="clip"),
    lambda x, i: x[i[:, 0]],
    [Arg((4, 5)), Arg((6, 1), 0, 4, I32)],
    "float32 int32 bool",
    smooth=(0,),
    linear=(0,),
)
row(
    "gather, filling",
    lambda x, i: lax.gather(x, i, ROWS, (1, 5), mode="fill", fill_value=0),
    lambda x, i: np.where((i >= 0) & (i < 4), x[np.clip(i[:, 0], 0, 3)], 0),
    [Arg((4, 5)), Arg((6, 1), -2, 7, I32)],
    smooth=(0,),
    linear=(0,),
)
row(
    "gather of windows",
    lambda x, i: lax.gather(x, i, lax.GatherDimensionNumbers((0, 2), (1,), (0, 1)), (2, 1, 3), mode="clip"),
    lambda x, i: np.stack([x[a : a + 2, b] for a, b in i], 1),
    [Arg((4, 5, 3)), Arg((6, 2), 0, 3, I32)],
    smooth=(0,),
    linear=(0,),
)
row(
    "gather along an axis",
    lambda x, i: lax.gather(
        x, lax.expand_dims(i, (2,)), lax.GatherDimensionNumbers((), (1,), (1,), (0,), (0,)), (1, 1)
    ),
    lambda x, i: np.take_along_axis(x, i, 1),
    [Arg((4, 5)), Arg((4, 3), 0, 5, I32)],
    smooth=(0,),
    linear=(0,),
)
row(
    "index_take",
    lambda x, i, j: lax.index_take(x, (i, j), (0, 1)),
    lambda x, i, j: x[i, j],
    [Arg((4, 5, 2)), Arg((3,), -4, 4, I32), Arg((3,), 0, 5, I32)],
    smooth=(0,),
    linear=(0,),
)
TO_ROWS = lax.ScatterDimensionNumbers((1,), (0,), (0,))
SCATTERS: list[tuple[str, Any, Any, str]] = [
    ("scatter", lax.scatter, None, "float32 int32"),
    ("scatter-add", lax.scatter_add, np.add, "float32 int32"),
    ("scatter-mul", lax.scatter_mul, np.multiply, "float32 int32"),
    ("scatter-min", lax.scatter_min, np.minimum, "float32 int32"),
    ("scatter-max", lax.scatter_max, np.maximum, "float32 int32"),
]
for name, fun, ufunc, dtypes in SCATTERS:
    for what, mode in (("dropping", "drop"), ("clipping", "clip")):
        row(
            f"{name}, {what}",
            lambda x, i, u, f=fun, m=mode: f(x, i, u, TO_ROWS, mode=m),
            lambda x, i, u, f=ufunc, m=mode: _scattered(f, x, i, u, m),
            [Arg((4, 3), distinct=True), Arg((6, 1), -2, 6, I32), Arg((6, 3), distinct=True)],
            dtypes,
            smooth={"scatter": (0, 2), "scatter-add": (0, 2), "scatter-mul": (0,)}.get(name, ()),
            linear={"scatter": (0, 2), "scatter-add": (0, 2), "scatter-mul": (0,)}.get(name, ()),
            ulps=16,
        )
row(
    "scatter-add of windows",
    lambda x, i, u: lax.scatter_add(x, i, u, lax.ScatterDimensionNumbers((0, 2), (1,), (0, 1))),
    lambda x, i, u: _scattered_windows(x, i, u),
    [Arg((4, 5, 3)), Arg((6, 2), 0, 3, I32), Arg((2, 6, 3))],
    smooth=(0, 2),
    linear=(0, 2),
)


def _updated(x: Any, u: Any, i: Any) -> Any:
    out = x.copy()
    out[i : i + 2, 1:4] = u
    return out


def _scattered(ufunc: Any, x: Any, i: Any, u: Any, mode: str) -> Any:
    out = x.copy()
    for place, values in zip(i[:, 0], u, strict=True):
        if mode == "clip" or 0 <= place < 4:
            at = min(max(place, 0), 3)
            out[at] = values if ufunc is None else ufunc(out[at], values)
    return out


def _scattered_windows(x: Any, i: Any, u: Any) -> Any:
    out = x.copy()
    for n, (a, b) in enumerate(i):
        out[a : a + 2, b] += u[:, n]
    return out
