"""Elementary functions as vector arithmetic in LLVM IR.

    y = emit(b, "sin", x)
    z = emit(b, "pow", x, y)

The values may have any number of lanes. Results are within 2 ulp in float32 and float64 (but near the zeros that
lgamma and digamma have between their poles), with the special values of C99: infinities, NaN, signed zeros, denormal
arguments and results. float16 and bfloat16 are computed in float32 and rounded. `UNARY` and `BINARY`
hold the names.

The code has no calls, and no branches but these, each taken where some lane needs it: huge arguments of sin,
cos and tan; the tails of erf_inv; negative arguments of lgamma and digamma; huge quotients of fmod.
"""

from __future__ import annotations

from collections.abc import Callable

from wengert.backends.estimates import inverse_root
from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_arc import acos, asin, atan, atan2
from wengert.backends.vecmath_erf import erf, erf_inv, erfc
from wengert.backends.vecmath_exp import cosh, exp, exp2, expm1, logistic, sinh, tanh
from wengert.backends.vecmath_gamma import digamma, lgamma
from wengert.backends.vecmath_log import acosh, asinh, atanh, log, log1p, log2, log10
from wengert.backends.vecmath_misc import cbrt, fmod, nextafter
from wengert.backends.vecmath_pow import integer_pow, pow
from wengert.backends.vecmath_trig import cos, sin, tan

__all__ = ["BINARY", "UNARY", "emit", "integer_pow"]

UNARY: dict[str, Callable[[Builder, Value], Value]] = {
    "acos": acos,
    "acosh": acosh,
    "asin": asin,
    "asinh": asinh,
    "atan": atan,
    "atanh": atanh,
    "cbrt": cbrt,
    "ceil": Builder.ceil,
    "cos": cos,
    "cosh": cosh,
    "digamma": digamma,
    "erf": erf,
    "erf_inv": erf_inv,
    "erfc": erfc,
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "floor": Builder.floor,
    "lgamma": lgamma,
    "log": log,
    "log10": log10,
    "log1p": log1p,
    "log2": log2,
    "logistic": logistic,
    "round_half_away": Builder.round_f,
    "round_half_even": Builder.rint,
    "rsqrt": inverse_root,
    "sin": sin,
    "sinh": sinh,
    "sqrt": Builder.sqrt,
    "tan": tan,
    "tanh": tanh,
    "trunc": Builder.trunc_f,
}
BINARY: dict[str, Callable[[Builder, Value, Value], Value]] = {
    "atan2": atan2,
    "fmod": fmod,
    "nextafter": nextafter,
    "pow": pow,
}


def emit(b: Builder, name: str, x: Value, y: Value | None = None) -> Value:
    """The function `name` of x (and y, of the same type), in lanes of any float type."""
    kind = x.type.kind
    if kind in ("f16", "bf16") and name != "nextafter":
        wide = emit(b, name, b.fpext(x, "f32"), None if y is None else b.fpext(y, "f32"))
        return b.fptrunc(wide, kind)
    with b.flags(""):
        return UNARY[name](b, x) if y is None else BINARY[name](b, x, y)
