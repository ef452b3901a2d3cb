"""Functions that work element by element: arithmetic, comparisons, logic, bits, elementary functions."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.source import user_context
from wengert.numpy._util import (
    PYTHON_SCALARS,
    ArrayLike,
    as_array,
    bool_dtype,
    broadcast_operands,
    convert,
    dtype_of,
    named,
    numeric,
    operands,
    promote,
    promote_inexact,
    promote_numeric,
    refuse_out,
    scalar,
)

Unary = Callable[[Any], Any]
Binary = Callable[[Any, Any], Any]


# Functions of one argument


def _inexact_unary(name: str, function: Unary, doc: str) -> Unary:
    """A function whose argument becomes a float first (sin of an integer is a float)."""

    def ufunc(x: ArrayLike, /) -> Any:
        if isinstance(x, ArrayBase) and x.aval.dtype.kind in "fc":
            return function(x)
        return function(*promote_inexact(name, x))

    return named(ufunc, name, doc)  # type: ignore[no-any-return]


def _unary(name: str, function: Unary, doc: str) -> Unary:
    """A function that keeps the dtype of its argument."""

    def ufunc(x: ArrayLike, /) -> Any:
        return function(x if isinstance(x, ArrayBase) else as_array(x, name))

    return named(ufunc, name, doc)  # type: ignore[no-any-return]


def _log10(x: Any) -> Any:
    y = lax.log(x)
    if not _is_complex(y):
        return lax.mul(y, _constant_like(y, 1 / math.log(10)))
    re, im = lax.real(y), lax.imag(y)  # a complex product would turn infinities into NaN
    factor = _constant_like(re, 1 / math.log(10))
    return lax.complex(lax.mul(re, factor), lax.mul(im, factor))


def _constant_like(x: Any, value: Any) -> Any:
    return scalar(value, x.aval.dtype, x.aval.weak_type)


def _compare_float(x: Any, value: float) -> Any:
    """Where real x equals `value`, e.g. an infinity; integers never do."""
    if x.dtype.kind not in "fV":
        return lax.full(x.shape, False, bool_dtype)
    return lax.eq(x, _constant_like(x, value))


def _scaled(factor: float) -> Unary:
    return lambda x: lax.mul(x, _constant_like(x, factor))


def _absolute(x: Any) -> Any:
    return x if dtypes.kind_of(x.dtype) in "bu" else lax.abs(x)


def _square(x: Any) -> Any:
    return lax.square(numeric(x))


def _rounder(function: Unary) -> Unary:
    """Rounding to an integral value; what is integral already stays (booleans and integers)."""
    return lambda x: x if dtypes.kind_of(x.dtype) in "biu" else function(x)


def _is_complex(x: Any) -> bool:
    return bool(dtypes.kind_of(x.dtype) == "c")


def _real(x: Any) -> Any:
    return lax.real(x) if _is_complex(x) else x


def _imag(x: Any) -> Any:
    return lax.imag(x) if _is_complex(x) else lax.full_like(x, 0)


def _conjugate(x: Any) -> Any:
    return lax.conj(x) if _is_complex(x) else x


def _isfinite(x: Any) -> Any:
    if dtypes.kind_of(x.dtype) in "biu":
        return lax.full(x.shape, True, bool_dtype)
    if _is_complex(x):
        return lax.bitwise_and(lax.is_finite(lax.real(x)), lax.is_finite(lax.imag(x)))
    return lax.is_finite(x)


def _isinf(x: Any) -> Any:
    if _is_complex(x):
        return lax.bitwise_or(_isinf(lax.real(x)), _isinf(lax.imag(x)))
    return _compare_float(_absolute(x), math.inf)


def _isnan(x: Any) -> Any:
    return lax.full(x.shape, False, bool_dtype) if dtypes.kind_of(x.dtype) in "biu" else lax.ne(x, x)


def as_bool(x: Any) -> Any:
    """Whether each element differs from zero."""
    if dtypes.is_key_dtype(x.dtype):
        raise user_context(TypeError(f"a truth value of {x.dtype} was asked for: random keys are no numbers"))
    return x if x.dtype == bool_dtype else lax.ne(x, scalar(0, x.dtype))


def _logical_not(x: Any) -> Any:
    return lax.bitwise_not(as_bool(x))


def _reciprocal(x: Any) -> Any:
    return lax.integer_pow(x, -1)


def _signbit(x: Any) -> Any:
    if dtypes.kind_of(x.dtype) in "bu":
        return lax.full(x.shape, False, bool_dtype)
    if dtypes.kind_of(x.dtype) == "i":
        return lax.lt(x, scalar(0, x.dtype))
    bits = np.dtype(f"int{8 * x.dtype.itemsize}")
    return lax.lt(lax.bitcast_convert_type(x, bits), scalar(0, bits))


def _bitwise_count(x: Any) -> Any:
    x = numeric(x)
    if dtypes.kind_of(x.dtype) == "i":
        x = lax.abs(x)
    return lax.convert_element_type(lax.population_count(x), np.dtype(np.uint8))


exp = _inexact_unary("exp", lax.exp, "e to the power x, elementwise.")
exp2 = _inexact_unary("exp2", lax.exp2, "2 to the power x, elementwise.")
expm1 = _inexact_unary("expm1", lax.expm1, "exp(x) - 1, accurate for small x, elementwise.")
log = _inexact_unary("log", lax.log, "Natural logarithm, elementwise; NaN for negative reals.")
log2 = _inexact_unary("log2", lax.log2, "Logarithm to base 2, elementwise.")
log10 = _inexact_unary("log10", _log10, "Logarithm to base 10, elementwise.")
log1p = _inexact_unary("log1p", lax.log1p, "log(1 + x), accurate for small x, elementwise.")
sqrt = _inexact_unary("sqrt", lax.sqrt, "Square root, elementwise; NaN for negative reals.")
cbrt = _inexact_unary("cbrt", lax.cbrt, "Cube root of reals, elementwise.")
sin = _inexact_unary("sin", lax.sin, "Sine of x radians, elementwise.")
cos = _inexact_unary("cos", lax.cos, "Cosine of x radians, elementwise.")
tan = _inexact_unary("tan", lax.tan, "Tangent of x radians, elementwise.")
arcsin = asin = _inexact_unary("arcsin", lax.asin, "Inverse sine in radians, elementwise.")
arccos = acos = _inexact_unary("arccos", lax.acos, "Inverse cosine in radians, elementwise.")
arctan = atan = _inexact_unary("arctan", lax.atan, "Inverse tangent in radians, elementwise.")
sinh = _inexact_unary("sinh", lax.sinh, "Hyperbolic sine, elementwise.")
cosh = _inexact_unary("cosh", lax.cosh, "Hyperbolic cosine, elementwise.")
tanh = _inexact_unary("tanh", lax.tanh, "Hyperbolic tangent, elementwise.")
arcsinh = asinh = _inexact_unary("arcsinh", lax.asinh, "Inverse hyperbolic sine, elementwise.")
arccosh = acosh = _inexact_unary("arccosh", lax.acosh, "Inverse hyperbolic cosine, elementwise.")
arctanh = atanh = _inexact_unary("arctanh", lax.atanh, "Inverse hyperbolic tangent, elementwise.")
deg2rad = _inexact_unary("deg2rad", _scaled(math.pi / 180), "Degrees to radians, elementwise.")
rad2deg = _inexact_unary("rad2deg", _scaled(180 / math.pi), "Radians to degrees, elementwise.")
radians = named(
    _inexact_unary("radians", _scaled(math.pi / 180), ""), "radians", "Degrees to radians, elementwise."
)
degrees = named(
    _inexact_unary("degrees", _scaled(180 / math.pi), ""), "degrees", "Radians to degrees, elementwise."
)
reciprocal = _inexact_unary("reciprocal", _reciprocal, "1/x, elementwise.")
fabs = _inexact_unary("fabs", lax.abs, "Absolute value of reals, as a float, elementwise.")
signbit = _unary("signbit", _signbit, "Whether the sign bit is set (also of -0.0), elementwise.")

absolute = abs = _unary("absolute", _absolute, "Absolute value, elementwise; of complex numbers the modulus.")
sign = _unary("sign", lax.sign, "-1, 0 or 1 by the sign, elementwise; z/|z| for complex numbers.")
positive = _unary("positive", lambda x: x, "+x, elementwise.")
square = _unary("square", _square, "x*x, elementwise.")
conjugate = conj = _unary("conjugate", _conjugate, "Complex conjugate, elementwise.")
bitwise_not = bitwise_invert = invert = _unary(
    "bitwise_not", lambda x: lax.bitwise_not(x), "All bits inverted (integers), logical not (booleans)."
)
bitwise_count = _unary(
    "bitwise_count", _bitwise_count, "How many bits of |x| are set, elementwise, as uint8."
)
logical_not = _unary("logical_not", _logical_not, "Whether x is zero, elementwise.")
isfinite = _unary("isfinite", _isfinite, "Whether x is neither infinite nor NaN, elementwise.")
isinf = _unary("isinf", _isinf, "Whether x is infinite, elementwise.")
isnan = _unary("isnan", _isnan, "Whether x is NaN, elementwise.")
floor = _unary("floor", _rounder(lax.floor), "The largest integral value <= x, elementwise.")
ceil = _unary("ceil", _rounder(lax.ceil), "The smallest integral value >= x, elementwise.")


def rint(x: ArrayLike, /) -> Any:
    """The nearest integral value, elementwise; halves go to the even neighbour."""
    x = as_array(x, "rint")
    if dtypes.kind_of(x.dtype) in "biu":
        return convert(x, dtypes.result_type(float))
    return _round_even(x)


def _round_even(x: Any) -> Any:
    if _is_complex(x):
        return lax.complex(_round_even(lax.real(x)), _round_even(lax.imag(x)))
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


def trunc(x: ArrayLike) -> Any:
    """x without its fraction: the integral value next to x towards zero, elementwise."""
    x = as_array(x, "trunc")
    if dtypes.kind_of(x.dtype) in "biu":
        return x
    return lax.select(lax.lt(x, scalar(0, x.dtype)), lax.ceil(x), lax.floor(x))


def real(val: ArrayLike, /) -> Any:
    """The real part, elementwise."""
    return _real(as_array(val, "real"))


def imag(val: ArrayLike, /) -> Any:
    """The imaginary part, elementwise; zeros for reals."""
    return _imag(as_array(val, "imag"))


def angle(z: ArrayLike, deg: bool = False) -> Any:
    """The argument of complex numbers in (-pi, pi], elementwise; in degrees if `deg`."""
    z = as_array(z, "angle")
    if dtypes.kind_of(z.dtype) in "biu":
        z = convert(z, dtypes.result_type(float))
    result = lax.atan2(_imag(z), _real(z))
    return rad2deg(result) if deg else result


def isposinf(x: ArrayLike, /, out: None = None) -> Any:
    """Whether x is +infinity, elementwise."""
    refuse_out("isposinf", out)
    return _infinite("isposinf", x, math.inf)


def isneginf(x: ArrayLike, /, out: None = None) -> Any:
    """Whether x is -infinity, elementwise."""
    refuse_out("isneginf", out)
    return _infinite("isneginf", x, -math.inf)


def _infinite(name: str, x: Any, value: float) -> Any:
    x = as_array(x, name)
    if _is_complex(x):
        raise user_context(
            ValueError(f"{name} is not well defined for complex dtypes; use isinf or take the real part")
        )
    return _compare_float(x, value)


# Functions of two arguments.
#
# Each exists twice: as an operator method of arrays (`add_operator`) and as a function. The method is the
# hot path: operands of the same type, or an array and a Python number, go straight to the primitive.

_FLOAT, _NUMBER, _INTEGER, _NONE = "f", "fiu", "iu", ""


class _Op:
    """A binary operation in its forms: function, operator method, reflected operator method."""

    __slots__ = ("function", "method", "reflected")

    def __init__(self, function: Binary, method: Binary, reflected: Binary):
        self.function = function
        self.method = method
        self.reflected = reflected


# Python numbers beside arrays of a type, as scalars of that dtype: the number and the aval -> the scalar.
_numbers: dict[tuple[Any, Any], Any] = {}


def _number(value: Any, aval: Any) -> Any:
    found = scalar(value, aval.dtype, aval.weak_type)
    if value != 0:  # 0.0 and -0.0 are equal
        if len(_numbers) > 1000:
            _numbers.clear()
        _numbers[value, aval] = found
    return found


def _refuse_keys(name: str, x: Any, y: Any) -> None:
    """Refuse random keys beside anything else; the operation itself refuses two of them."""
    for one in (x, y):
        if isinstance(one, ArrayBase) and dtypes.is_key_dtype(one.aval.dtype):
            found = [dtypes.dtype(a) for a in (x, y)]
            if found[0] != found[1]:
                raise user_context(
                    TypeError(
                        f"{name} does not accept dtypes {', '.join(str(dtypes.visible(d)) for d in found)}. Random"
                        " keys are no numbers; their words are random.key_data(key)."
                    )
                )


def _binary(name: str, fast: Binary, slow: Binary, kinds: str, doc: str, comparison: bool = False) -> _Op:
    """A binary operation.

    fast: does it for operands of one dtype, of a kind in `kinds`, that have one shape or are scalars.
    slow: does it for all others, after checks and promotion.
    """

    def checked(x: Any, y: Any) -> Any:
        _refuse_keys(name, x, y)
        return slow(x, y)

    def method(self: Any, other: Any) -> Any:
        aval = self.aval
        other_class = other.__class__
        if other_class is float or other_class is int:
            kind = aval.dtype.kind
            if kind in kinds and (kind == "f" or other_class is int):
                number = _numbers.get((other, aval))
                return fast(self, _number(other, aval) if number is None else number)
        elif isinstance(other, ArrayBase):
            if other.aval is aval and aval.dtype.kind in kinds:
                return fast(self, other)
        elif not _is_operand(other):
            return NotImplemented
        return checked(self, other)

    def reflected(self: Any, other: Any) -> Any:
        aval = self.aval
        other_class = other.__class__
        if other_class is float or other_class is int:
            kind = aval.dtype.kind
            if kind in kinds and (kind == "f" or other_class is int):
                number = _numbers.get((other, aval))
                return fast(_number(other, aval) if number is None else number, self)
        elif not _is_operand(other):
            return NotImplemented
        return checked(other, self)

    def _dispatch(x1: Any, x2: Any) -> Any:
        if isinstance(x1, ArrayBase):
            result = method(x1, x2)
            if result is not NotImplemented:
                return result
        return checked(x1, x2)

    if comparison:

        def function(x: ArrayLike, y: ArrayLike, /) -> Any:
            return _dispatch(x, y)

    else:

        def function(x1: ArrayLike, x2: ArrayLike, /) -> Any:
            return _dispatch(x1, x2)

    return _Op(named(function, name, doc), method, reflected)


def _is_operand(x: Any) -> bool:
    return isinstance(x, (*PYTHON_SCALARS, np.ndarray, np.generic)) or hasattr(x, "__jax_array__")


def _promoting(name: str, function: Binary, if_bool: Binary | None = None) -> Binary:
    def slow(x: Any, y: Any) -> Any:
        x, y = promote(name, x, y)
        if if_bool is not None and x.dtype == bool_dtype:
            return if_bool(x, y)
        return function(x, y)

    return slow


def _promoting_inexact(name: str, function: Binary) -> Binary:
    return lambda x, y: function(*promote_inexact(name, x, y))


def _floor_divide(x: Any, y: Any) -> Any:
    x, y = promote_numeric("floor_divide", x, y)
    if dtypes.kind_of(x.dtype) == "u":
        return lax.div(x, y)
    if dtypes.kind_of(x.dtype) == "i":
        quotient = lax.div(x, y)
        off = lax.bitwise_and(lax.ne(lax.sign(x), lax.sign(y)), lax.ne(lax.rem(x, y), scalar(0, x.dtype)))
        return _select(off, lax.sub(quotient, scalar(1, x.dtype)), quotient)
    if dtypes.kind_of(x.dtype) == "c":
        raise user_context(TypeError("floor_divide does not support complex-valued inputs"))
    return _float_divmod(x, y)[0]


def _remainder(x: Any, y: Any) -> Any:
    x, y = promote_numeric("remainder", x, y)
    zero = scalar(0, x.dtype)
    if dtypes.kind_of(x.dtype) in "iu":  # as in JAX, the remainder of a division by zero is zero
        y = _select(lax.eq(y, zero), lax.full_like(y, 1), y)
    rem = lax.rem(x, y)
    off = lax.bitwise_and(lax.ne(lax.lt(rem, zero), lax.lt(y, zero)), lax.ne(rem, zero))
    return _select(off, lax.add(rem, y), rem)


def _float_divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """floor(x/y) and x - y*floor(x/y), consistent with each other; from the exact remainder."""
    zero = scalar(0, x.dtype)
    rem = lax.rem(x, y)
    quotient = lax.div(_select(lax.eq(y, zero), x, lax.sub(x, rem)), y)
    off = lax.bitwise_and(lax.ne(rem, zero), lax.ne(lax.sign(y), lax.sign(rem)))
    rem = _select(off, lax.add(rem, y), rem)
    quotient = _select(off, lax.sub(quotient, scalar(1, x.dtype)), quotient)
    return lax.round(quotient), rem


def _select(condition: Any, x: Any, y: Any) -> Any:
    """lax.select for operands of which some may be scalars."""
    condition, x, y = broadcast_operands("where", (condition, x, y), keep_scalars=False)
    return lax.select(condition, x, y)


def _integer_power(x: Any, y: int) -> Any:
    if x.dtype == bool_dtype:
        x = convert(x, dtypes.result_type(int), True)
    if y < 0 and dtypes.kind_of(x.dtype) in "iu":
        raise user_context(
            TypeError(
                f"Integers cannot be raised to negative powers, got integer_pow({x.aval.str_short()}, {y}). "
                "Convert the base to a float first."
            )
        )
    return lax.integer_pow(x, y)


def _power(x: Any, y: Any) -> Any:
    x, y = operands("power", x, y)
    if isinstance(y, int):  # a Python int, known while tracing
        return _integer_power(as_array(x), int(y))
    if dtypes.kind_of(dtype_of(x)) in "biu" and dtypes.kind_of(dtype_of(y)) in "biu":
        return _power_of_integers(*promote("power", x, y))
    return lax.pow(*promote_inexact("power", x, y))


def _power_of_integers(x: Any, y: Any) -> Any:
    """By repeated squaring over the bits of y; 0 for negative powers of anything but +-1, as in XLA."""
    if x.dtype == bool_dtype:
        x, y = (convert(v, dtypes.result_type(int)) for v in (x, y))
    dtype = x.dtype
    zero, one = scalar(0, dtype), scalar(1, dtype)
    shape = x.shape or y.shape
    result = _select(
        lax.bitwise_and(lax.eq(x, zero), lax.ne(y, zero)),
        lax.full(shape, 0, dtype),
        lax.full(shape, 1, dtype),
    )
    for _ in range(6):
        odd = lax.ne(lax.bitwise_and(y, one), zero)
        result = _select(odd, lax.mul(result, x), result)
        x = lax.mul(x, x)
        y = lax.shift_right_logical(y, one)
    return result


def _power_method(self: Any, other: Any) -> Any:
    other_class = other.__class__
    if other_class is int:
        return _integer_power(self, other)
    if other_class is float and self.aval.dtype.kind == "f":
        return lax.pow(self, scalar(other, self.aval.dtype, self.aval.weak_type))
    if not isinstance(other, ArrayBase) and not _is_operand(other):
        return NotImplemented
    return _power(self, other)


def _power_reflected(self: Any, other: Any) -> Any:
    return _power(other, self) if _is_operand(other) else NotImplemented


def _lexicographic(name: str, function: Binary) -> Binary:
    """An order comparison that orders complex numbers by their real part, then by their imaginary part."""

    def slow(x: Any, y: Any) -> Any:
        x, y = promote(name, x, y)
        if x.dtype.kind != "c":
            return function(x, y)
        rx, ry = lax.real(x), lax.real(y)
        return _select(lax.eq(rx, ry), function(lax.imag(x), lax.imag(y)), function(rx, ry))

    return slow


def _right_shift(x: Any, y: Any) -> Any:
    x, y = promote_numeric("right_shift", x, y)
    return (lax.shift_right_logical if dtypes.kind_of(x.dtype) == "u" else lax.shift_right_arithmetic)(x, y)


def _logical(name: str, function: Binary, doc: str) -> Binary:
    def slow(x: Any, y: Any) -> Any:
        x, y = (as_bool(as_array(v)) for v in operands(name, x, y))
        return function(*broadcast_operands(name, (x, y)))

    slow.__doc__ = doc
    return slow


_add = _binary(
    "add", lax.add_p.bind, _promoting("add", lax.add, lax.bitwise_or), _NUMBER, "x1 + x2, elementwise."
)
_subtract = _binary(
    "subtract", lax.sub_p.bind, _promoting("subtract", lax.sub), _NUMBER, "x1 - x2, elementwise."
)
_multiply = _binary(
    "multiply", lax.mul_p.bind, _promoting("multiply", lax.mul, lax.bitwise_and), _NUMBER, "x1 * x2."
)
_divide = _binary(
    "divide",
    lax.div_p.bind,
    _promoting_inexact("divide", lax.div),
    _FLOAT,
    "x1 / x2, elementwise; a float for integers.",
)
_floor_div = _binary(
    "floor_divide", _floor_divide, _floor_divide, _NONE, "The largest integer <= x1 / x2, elementwise."
)
_mod = _binary(
    "remainder", _remainder, _remainder, _NONE, "x1 - x2*floor(x1/x2), with the sign of x2, elementwise."
)
_pow = _Op(_power, _power_method, _power_reflected)
_eq = _binary("equal", lax.eq_p.bind, _promoting("equal", lax.eq), _NUMBER, "x == y, elementwise.", True)
_ne = _binary(
    "not_equal", lax.ne_p.bind, _promoting("not_equal", lax.ne), _NUMBER, "x != y, elementwise.", True
)
_lt = _binary("less", lax.lt_p.bind, _lexicographic("less", lax.lt), _NUMBER, "x < y, elementwise.", True)
_le = _binary(
    "less_equal", lax.le_p.bind, _lexicographic("less_equal", lax.le), _NUMBER, "x <= y, elementwise.", True
)
_gt = _binary(
    "greater", lax.gt_p.bind, _lexicographic("greater", lax.gt), _NUMBER, "x > y, elementwise.", True
)
_ge = _binary(
    "greater_equal",
    lax.ge_p.bind,
    _lexicographic("greater_equal", lax.ge),
    _NUMBER,
    "x >= y, elementwise.",
    True,
)
_and = _binary(
    "bitwise_and", lax.and_p.bind, _promoting("bitwise_and", lax.bitwise_and), _INTEGER, "x1 & x2."
)
_or = _binary("bitwise_or", lax.or_p.bind, _promoting("bitwise_or", lax.bitwise_or), _INTEGER, "x1 | x2.")
_xor = _binary(
    "bitwise_xor", lax.xor_p.bind, _promoting("bitwise_xor", lax.bitwise_xor), _INTEGER, "x1 ^ x2."
)
_lshift = _binary(
    "left_shift",
    lax.shift_left,
    lambda x, y: lax.shift_left(*promote_numeric("left_shift", x, y)),
    _INTEGER,
    "x << y.",
    True,
)
_rshift = _binary(
    "right_shift", _right_shift, _right_shift, _NONE, "x1 >> x2, keeping the sign, elementwise."
)
_max = _binary(
    "maximum", lax.max_p.bind, _promoting("maximum", lax.max, lax.bitwise_or), _NUMBER, "The larger of both."
)
_min = _binary(
    "minimum",
    lax.min_p.bind,
    _promoting("minimum", lax.min, lax.bitwise_and),
    _NUMBER,
    "The smaller of both.",
)
divide, floor_divide, remainder = _divide.function, _floor_div.function, _mod.function
equal, not_equal, less, less_equal = _eq.function, _ne.function, _lt.function, _le.function
greater, greater_equal = _gt.function, _ge.function
left_shift, right_shift = _lshift.function, _rshift.function
true_divide = divide
mod = remainder
bitwise_left_shift = left_shift
bitwise_right_shift = right_shift

# The functions of two arguments that are `ufunc` objects in the public API; see ufunc_api.
binary_functions: dict[str, Binary] = {
    "add": _add.function,
    "subtract": _subtract.function,
    "multiply": _multiply.function,
    "maximum": _max.function,
    "minimum": _min.function,
    "bitwise_and": _and.function,
    "bitwise_or": _or.function,
    "bitwise_xor": _xor.function,
    "logical_and": _logical("logical_and", lax.bitwise_and, "Whether both are true (not zero), elementwise."),
    "logical_or": _logical(
        "logical_or", lax.bitwise_or, "Whether one or both are true (not zero), elementwise."
    ),
    "logical_xor": _logical(
        "logical_xor", lax.bitwise_xor, "Whether just one is true (not zero), elementwise."
    ),
}


def power(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """x1 to the power x2, elementwise.

    A Python int as exponent, known while tracing, gives products (`x**2` is x*x, exact for integers too)
    and a derivative that is right at zero; negative ones raise TypeError for integer bases. An integer
    array as exponent of an integer array gives integers: 0 for negative powers. All else is done in floats.
    """
    return _power(x1, x2)


def pow(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """x1 to the power x2, elementwise; see `power`."""
    return _power(x1, x2)


def divmod(x1: ArrayLike, x2: ArrayLike, /) -> tuple[Any, Any]:
    """(x1 // x2, x1 % x2), elementwise."""
    x, y = promote_numeric("divmod", x1, x2)
    if dtypes.kind_of(x.dtype) in "biu":
        return _floor_divide(x, y), _remainder(x, y)
    if dtypes.kind_of(x.dtype) == "c":
        raise user_context(TypeError("divmod does not support complex-valued inputs"))
    return _float_divmod(x, y)


def fmod(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """The remainder of x1 / x2 with the sign of x1, elementwise; x1 for integers divided by zero."""
    return lax.rem(*promote_numeric("fmod", x1, x2))


def float_power(x: ArrayLike, y: ArrayLike, /) -> Any:
    """x to the power y, elementwise, always in floats."""
    return lax.pow(*promote_inexact("float_power", x, y))


def arctan2(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """The angle of the point (x2, x1) in (-pi, pi], elementwise."""
    return lax.atan2(*promote_inexact("arctan2", x1, x2))


atan2 = arctan2


def negative(x: ArrayLike, /) -> Any:
    """-x, elementwise."""
    return lax.neg(as_array(x, "negative"))


def round(a: ArrayLike, decimals: int = 0, out: None = None) -> Any:
    """Rounded to `decimals` places after the point (before it, if negative); halves go to the even neighbour."""
    refuse_out("round", out)
    a = as_array(a, "round")
    decimals = operator.index(decimals)
    dtype = a.dtype
    if dtypes.kind_of(dtype) in "biu":
        if decimals >= 0 or dtype == bool_dtype:
            return a
        return _round_integer(a, 10**-decimals)
    if decimals == 0:
        return _round_even(a)
    # 16-bit floats overflow in the scaled values, so the work is done in float32.
    work = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    x = convert(a, work, a.weak_type)
    if _is_complex(x):
        return lax.complex(round(lax.real(x), decimals), round(lax.imag(x), decimals))
    factor = scalar(10.0 ** builtins.abs(decimals), work, x.weak_type)
    if decimals > 0:
        result = lax.div(_round_even(lax.mul(x, factor)), factor)
    else:
        result = lax.mul(_round_even(lax.div(x, factor)), factor)
    return convert(result, dtype, a.weak_type)


def _round_integer(a: Any, unit: int) -> Any:
    """The nearest multiple of `unit`; halves go to the even multiple."""
    factor, one = scalar(unit, a.dtype), scalar(1, a.dtype)
    quotient = _floor_divide(a, factor)
    rest = lax.sub(a, lax.mul(quotient, factor))
    twice = lax.add(rest, rest)
    odd = lax.eq(lax.bitwise_and(quotient, one), one)
    up = lax.bitwise_or(lax.gt(twice, factor), lax.bitwise_and(lax.eq(twice, factor), odd))
    return lax.mul(lax.add(quotient, lax.convert_element_type(up, a.dtype)), factor)


around = round


def operator_methods() -> dict[str, Callable[..., Any]]:
    """The operator methods of arrays, by name."""
    table = {
        "add": _add,
        "sub": _subtract,
        "mul": _multiply,
        "truediv": _divide,
        "floordiv": _floor_div,
        "mod": _mod,
        "pow": _pow,
        "and": _and,
        "or": _or,
        "xor": _xor,
        "lshift": _lshift,
        "rshift": _rshift,
        "divmod": _Op(divmod, _checked(divmod), _checked(divmod, swap=True)),
    }
    methods: dict[str, Callable[..., Any]] = {}
    for name, op in table.items():
        methods[f"__{name}__"] = op.method
        methods[f"__r{name}__"] = op.reflected
    for name, op in {"eq": _eq, "ne": _ne, "lt": _lt, "le": _le, "gt": _gt, "ge": _ge}.items():
        methods[f"__{name}__"] = op.method
    methods["__neg__"] = lambda self: lax.neg(self)
    methods["__pos__"] = lambda self: self
    methods["__abs__"] = lambda self: _absolute(self)
    methods["__invert__"] = lambda self: lax.bitwise_not(self)
    methods["__round__"] = _round_method
    return methods


def _round_method(self: Any, ndigits: int | None = None) -> Any:
    """round(x) gives integers, as in Python; round(x, ndigits) does not."""
    if ndigits is not None:
        return round(self, ndigits)
    if _is_complex(self):
        raise user_context(
            TypeError("complex numbers can't be rounded to integers; round(x, 0) rounds both parts")
        )
    return convert(round(self), dtypes.default_int_dtype())


def _checked(function: Binary, swap: bool = False) -> Binary:
    """An operator method that lets Python try the other operand if it is not a number."""

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, ArrayBase) and not _is_operand(other):
            return NotImplemented
        return function(other, self) if swap else function(self, other)

    return method
