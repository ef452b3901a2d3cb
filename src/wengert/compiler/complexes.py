"""Complex numbers in loops: operations on them are lowered to operations on their parts.

Memory holds complex numbers; expressions compute with real ones. `real` and `imag` of what is read, and `complex`,
which joins two parts to be stored, are the only operations of the loop IR that know of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wengert.compiler.loops import BOOL, Const, DType, Expr, Exprs, Op, Piecewise

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


def _exp(op: Operation, dtype: DType, x: Pair) -> Pair:
    re, im = x
    # beyond the range of exp the product with a small cosine may still be in range
    far, shift = (64.0, 32.0) if re.dtype.itemsize == 4 else (512.0, 256.0)
    large = op("gt", re, _number(op, far, re))
    zero, one = _number(op, 0, re), _number(op, 1, re)
    size = op("exp", op("sub", re, op("select", large, _number(op, shift, re), zero)))
    factor = op("select", large, _number(op, math.exp(shift), re), one)
    a = op("mul", op("mul", size, op("cos", im)), factor)
    b = op("mul", op("mul", size, op("sin", im)), factor)
    finite = op("is_finite", im)
    gone = op("and", op("not", finite), op("eq", re, _number(op, -np.inf, re)))
    endless = op("and", op("not", finite), op("eq", re, _number(op, np.inf, re)))
    level = op("eq", im, zero)
    a = op("select", level, op("exp", re), op("select", gone, zero, op("select", endless, re, a)))
    nan = _number(op, np.nan, re)
    return a, op("select", level, im, op("select", gone, zero, op("select", endless, nan, b)))


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


# By the names of operations of the loop IR: each takes parts, and gives the parts of the result, or a real result.
RULES: dict[str, Callable[..., Any]] = {
    "add": _each("add"),
    "sub": _each("sub"),
    "neg": _each("neg"),
    "copy": _each("copy"),
    "mul": _mul,
    "square": lambda op, dtype, x: _mul(op, dtype, x, x),
    "div": _div,
    "exp": _exp,
    "abs": _abs,
    "convert": _convert,
    "conj": lambda op, dtype, x: (x[0], op("neg", x[1])),
    "real": lambda op, dtype, x: x[0],
    "imag": lambda op, dtype, x: x[1],
    "complex": lambda op, dtype, x, y: (x[0], y[0]),
    "eq": lambda op, dtype, x, y: op("and", op("eq", x[0], y[0]), op("eq", x[1], y[1])),
    "ne": lambda op, dtype, x, y: op("or", op("ne", x[0], y[0]), op("ne", x[1], y[1])),
    "select": lambda op, dtype, m, x, y: (op("select", m[0], x[0], y[0]), op("select", m[0], x[1], y[1])),
}
