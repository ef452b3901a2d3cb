"""Complex numbers in loops: operations on them are lowered to operations on their parts.

Memory holds complex numbers; expressions compute with real ones. `real` and `imag` of what is read, and `complex`,
which joins two parts to be stored, are the only operations of the loop IR that know of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wengert.compiler import complex_functions
from wengert.compiler.affine import Affine, Axis
from wengert.compiler.complex_functions import Real
from wengert.compiler.loops import BOOL, Const, DType, Expr, Exprs, Nest, Op, Piecewise, View
from wengert.prims.arithmetic import power_by_squaring

if TYPE_CHECKING:
    from wengert.compiler.lower import Block

Pair: TypeAlias = tuple[Expr, Expr]


def part_dtype(dtype: DType) -> DType:
    """The dtype of the parts of a complex number."""
    return np.dtype(np.float32 if dtype.itemsize == 8 else np.float64)


def parts(exprs: Exprs, x: Expr) -> Pair:
    """The real and the imaginary part of an expression."""
    if x.dtype.kind != "c":
        return x, exprs.const(0, x.dtype)
    half = part_dtype(x.dtype)
    if isinstance(x, Const):
        return exprs.const(x.value.real, half), exprs.const(x.value.imag, half)
    if isinstance(x, Op) and x.name == "complex":
        return x.args[0], x.args[1]
    if isinstance(x, Piecewise):
        pairs = [(conditions, parts(exprs, value)) for conditions, value in x.cases]
        re = exprs.piecewise([(conditions, pair[0]) for conditions, pair in pairs])
        return re, exprs.piecewise([(conditions, pair[1]) for conditions, pair in pairs])
    return exprs.op("real", x, dtype=half), exprs.op("imag", x, dtype=half)


def join(exprs: Exprs, re: Expr, im: Expr, dtype: DType) -> Expr:
    """A complex number from its parts."""
    if (
        isinstance(re, Op)
        and isinstance(im, Op)
        and (re.name, im.name) == ("real", "imag")
        and re.args == im.args
    ):
        return re.args[0]
    return exprs.op("complex", re, im, dtype=dtype)


def stored(exprs: Exprs, x: Expr) -> Expr:
    """The expression in the form in which a value can be stored."""
    if x.dtype.kind != "c" or not isinstance(x, Piecewise):
        return x
    re, im = parts(exprs, x)
    return join(exprs, re, im, x.dtype)


def add_up(
    block: Block, out: View, index: Sequence[Affine], axes: list[Axis], value: Expr, over: list[Axis]
) -> None:
    """Append the nests of a sum over some axes: the parts are added up each on its own."""
    halves = []
    for part in parts(block.exprs, value):
        half = block.shared.temp([a.size for a in axes], part.dtype)
        at = [Affine.of(a) for a in axes]
        zero = block.exprs.const(0, part.dtype)
        block.stmts.append(Nest(View(half), at, axes, part, over, "add", zero))
        halves.append(block.exprs.load(half, at))
    both = join(block.exprs, halves[0], halves[1], out.dtype)
    block.stmts.append(Nest(out, (*out.prefix, *index), axes, both))


def apply(block: Block, name: str, args: Sequence[Expr], dtype: DType) -> Expr:
    """An operation on complex numbers, or one that makes them."""
    found = RULES[name](block.op, dtype, *(parts(block.exprs, a) for a in args))
    if not isinstance(found, tuple):
        result: Expr = found
        return result
    re, im = found
    return join(block.exprs, re, im, dtype)


Operation: TypeAlias = Callable[..., Expr]


def _each(name: str) -> Callable[..., Pair]:
    def rule(op: Operation, dtype: DType, *args: Pair) -> Pair:
        return op(name, *(a[0] for a in args)), op(name, *(a[1] for a in args))

    return rule


def _mul(op: Operation, dtype: DType, x: Pair, y: Pair) -> Pair:
    re = op("sub", op("mul", x[0], y[0]), op("mul", x[1], y[1]))
    return re, op("add", op("mul", x[0], y[1]), op("mul", x[1], y[0]))


def _div(op: Operation, dtype: DType, x: Pair, y: Pair) -> Pair:
    """Smith's method: by the ratio of the divisor's parts, so that nothing overflows before the quotient does."""
    first = op("ge", op("abs", y[0]), op("abs", y[1]))
    large, small = op("select", first, *y), op("select", first, y[1], y[0])
    ratio = op("div", small, large)
    scale = op("div", _number(op, 1, large), op("add", large, op("mul", small, ratio)))
    a, b = op("select", first, *x), op("select", first, x[1], x[0])
    re = op("mul", op("add", a, op("mul", b, ratio)), scale)
    im = op("mul", op("sub", b, op("mul", a, ratio)), scale)
    im = op("select", first, im, op("neg", im))
    zero = op("eq", large, _number(op, 0, large))
    return (
        op("select", zero, op("div", x[0], op("abs", y[0])), re),
        op("select", zero, op("div", x[1], op("abs", y[0])), im),
    )


def _number(op: Operation, value: float, like: Expr) -> Expr:
    """A constant of the dtype of an expression."""
    found: Expr = op.__self__.const(value, like.dtype)  # type: ignore[attr-defined]
    return found


def _abs(op: Operation, dtype: DType, x: Pair) -> Expr:
    a, b = op("abs", x[0]), op("abs", x[1])
    large, small = op("max", a, b), op("min", a, b)
    zero, infinity = _number(op, 0, a), _number(op, np.inf, a)
    ratio = op("div", small, op("select", op("eq", large, zero), _number(op, 1, a), large))
    size = op("mul", large, op("sqrt", op("add", op("mul", ratio, ratio), _number(op, 1, a))))
    endless = op("or", op("eq", a, infinity), op("eq", b, infinity))
    return op("select", endless, infinity, size)


def _convert(op: Operation, dtype: DType, x: Pair) -> Any:
    if dtype == BOOL:
        return op("or", *(op("ne", part, _number(op, 0, part)) for part in x))
    if dtype.kind != "c":
        return op("convert", x[0], dtype=dtype)
    half = part_dtype(dtype)
    return op("convert", x[0], dtype=half), op("convert", x[1], dtype=half)


def _sign(op: Operation, dtype: DType, x: Pair) -> Pair:
    """z / |z|, as NumPy has it for zeros and infinities."""
    zero, one, infinity = (_number(op, v, x[0]) for v in (0, 1, np.inf))
    sizes = [op("abs", part) for part in x]
    endless = [op("eq", size, infinity) for size in sizes]
    neither = op("not", op("or", *endless))
    # of an infinite number the parts count that are infinite
    found = []
    for part, mine in zip(x, endless, strict=True):
        signs = op("select", mine, op("sign", part), op("mul", part, zero))
        found.append(op("select", neither, part, signs))
    size = _abs(op, dtype, (found[0], found[1]))
    size = op("select", op("eq", size, zero), one, size)
    return op("div", found[0], size), op("div", found[1], size)


def _extremum(larger: bool) -> Callable[..., Pair]:
    """The greater or the lesser by real parts, then by imaginary ones; the first that has a NaN, if one has."""
    beyond, level = ("gt", "ge") if larger else ("lt", "le")

    def rule(op: Operation, dtype: DType, x: Pair, y: Pair) -> Pair:
        known = op("and", op("eq", x[1], x[1]), op("eq", y[1], y[1]))
        first = op("and", op(beyond, x[0], y[0]), known)
        second = op("and", op("eq", x[0], y[0]), op(level, x[1], y[1]))
        nan = op("or", op("ne", x[0], x[0]), op("ne", x[1], x[1]))
        mine = op("or", nan, op("or", first, second))
        return op("select", mine, x[0], y[0]), op("select", mine, x[1], y[1])

    return rule


_SQUARED = 100  # integer exponents below this are products, as in NumPy


def _pow(op: Operation, dtype: DType, x: Pair, y: Pair) -> Pair:
    c, d = y
    if isinstance(c, Const) and isinstance(d, Const) and d.value == 0 and abs(c.value) < _SQUARED:
        n = int(c.value)
        if n == c.value and n:
            whole: Pair = power_by_squaring(lambda a, b: _mul(op, dtype, a, b), x, abs(n))
            one, zero = _number(op, 1, c), _number(op, 0, c)
            return whole if n > 0 else _div(op, dtype, (one, zero), whole)
    block = op.__self__  # type: ignore[attr-defined]
    exact = c.dtype.itemsize == 4
    size = Real(block, _abs(op, dtype, x))
    base_re, base_im, re, im = (_widened(Real(block, part)) for part in (*x, *y))
    return _narrowed(dtype, complex_functions.power(base_re, base_im, re, im, exact, size))


def _widened(x: Real) -> Real:
    return x.convert(np.float64) if x.single else x


def _narrowed(dtype: DType, pair: tuple[Real, Real]) -> Pair:
    half = part_dtype(dtype)
    return pair[0].convert(half).expr, pair[1].convert(half).expr


def _function(function: Callable[..., tuple[Real, Real]], swapped: bool = False, wide: bool = False) -> Any:
    """The rule of an elementary function.

    `swapped`: what is wanted is -i f(iz). Of an odd f that commutes with conjugation, that is f with the parts of
    argument and result exchanged. `wide`: it computes in double precision, and wants to know if the parts are
    single floats.
    """

    def rule(op: Operation, dtype: DType, x: Pair) -> Pair:
        block = op.__self__  # type: ignore[attr-defined]
        pair = [Real(block, part) for part in (x[::-1] if swapped else x)]
        single = pair[0].single
        found = function(*map(_widened, pair), single) if wide else function(*pair)
        re, im = _narrowed(dtype, found)
        return (im, re) if swapped else (re, im)

    return rule


def _cos(op: Operation, dtype: DType, x: Pair) -> Pair:
    """cosh(iz), which is the conjugate of cosh with the parts exchanged."""
    re, im = RULES["cosh"](op, dtype, x[::-1])
    return re, op("neg", im)


# By the names of operations of the loop IR: each takes parts, and gives the parts of the result, or a real result.
RULES: dict[str, Callable[..., Any]] = {
    "add": _each("add"),
    "sub": _each("sub"),
    "neg": _each("neg"),
    "copy": _each("copy"),
    "mul": _mul,
    "square": lambda op, dtype, x: _mul(op, dtype, x, x),
    "div": _div,
    "abs": _abs,
    "sign": _sign,
    "max": _extremum(larger=True),
    "min": _extremum(larger=False),
    "pow": _pow,
    "exp": _function(complex_functions.exp),
    "exp2": _function(complex_functions.exp2),
    "expm1": _function(complex_functions.expm1),
    "logistic": _function(complex_functions.logistic),
    "log": _function(complex_functions.log),
    "log2": _function(complex_functions.log2),
    "log1p": _function(complex_functions.log1p),
    "sqrt": _function(complex_functions.sqrt, wide=True),
    "rsqrt": _function(complex_functions.rsqrt, wide=True),
    "sinh": _function(complex_functions.sinh),
    "cosh": _function(complex_functions.cosh),
    "tanh": _function(complex_functions.tanh),
    "sin": _function(complex_functions.sinh, swapped=True),
    "cos": _cos,
    "tan": _function(complex_functions.tanh, swapped=True),
    "asin": _function(complex_functions.asin, wide=True),
    "acos": _function(complex_functions.acos, wide=True),
    "acosh": _function(complex_functions.acosh, wide=True),
    "atanh": _function(complex_functions.atanh, wide=True),
    "asinh": _function(complex_functions.asin, swapped=True, wide=True),
    "atan": _function(complex_functions.atanh, swapped=True, wide=True),
    "convert": _convert,
    "conj": lambda op, dtype, x: (x[0], op("neg", x[1])),
    "real": lambda op, dtype, x: x[0],
    "imag": lambda op, dtype, x: x[1],
    "complex": lambda op, dtype, x, y: (x[0], y[0]),
    "eq": lambda op, dtype, x, y: op("and", op("eq", x[0], y[0]), op("eq", x[1], y[1])),
    "ne": lambda op, dtype, x, y: op("or", op("ne", x[0], y[0]), op("ne", x[1], y[1])),
    "select": lambda op, dtype, m, x, y: (op("select", m[0], x[0], y[0]), op("select", m[0], x[1], y[1])),
}
