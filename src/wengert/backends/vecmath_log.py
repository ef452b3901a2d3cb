"""log, log2, log10, log1p and the inverse hyperbolic functions as vector arithmetic.

A positive number is 2**k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), and log(1 + f) is a polynomial of f
(float32), or of s = f / (2 + f), in which log(1 + f) = 2 artanh(s) is odd (float64).
"""

from __future__ import annotations

from wengert.backends.estimates import quotient
from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import INF, NAN, bits, floats, format_of, in_double, poly

_LN2 = {"f32": (0.693115234375, 3.194618329871446e-05), "f64": (0.6931471805592082, 7.371002565167799e-13)}
_LOG10_2 = {
    "f32": (0.301025390625, 4.605039066518657e-06),
    "f64": (0.30102999566361177, 3.694239077158931e-13),
}
# 1 / ln 2 and 1 / ln 10, each in two parts.
_LOG2_E = {
    "f32": (1.4426950216293335, 1.925963033500011e-08),
    "f64": (1.4426950408889634, 2.0355273740931033e-17),
}
_LOG10_E = {
    "f32": (0.4342944920063019, -1.0103049952192578e-08),
    "f64": (0.4342944819032518, 1.098319650216765e-17),
}

# (log(1 + f) - f + f**2 / 2) / f**3 for sqrt(1/2) <= 1 + f <= sqrt(2); relative error of the log 5.9e-9.
_LOG_F32 = (
    0.3333333134651184,
    -0.250008225440979,
    0.20001259446144104,
    -0.16623342037200928,
    0.14201055467128754,
    -0.13159561157226562,
    0.12765909731388092,
    -0.07641417533159256,
)
# (2 artanh(s) - 2 s) / s**3 as a polynomial of s**2 for the same range; relative error of the log 1.2e-18.
_LOG_F64 = (
    0.6666666666666734,
    0.39999999999417374,
    0.28571428741819255,
    0.22222198627300688,
    0.18183561732473547,
    0.15314111648612894,
    0.14795387021455497,
)


def split_exponent(b: Builder, x: Value, *, denormals: bool = True) -> tuple[Value, Value, Value]:
    """(k, f, e) with x = 2**k (1 + f) > 0, k as float; e is k plus the format's bias, as an integer."""
    fmt = format_of(x)
    offset = float(fmt.bias)
    k_shift: Value | None = None
    if denormals:
        tiny = b.fcmp("olt", x, fmt.tiny)
        x = b.select(tiny, b.fmul(x, 2.0 ** (fmt.mantissa + 1)), x)
        k_shift = b.select(tiny, b.const(x.type, offset + fmt.mantissa + 1), offset)
    shifted = b.add(bits(b, x), fmt.one_bits - fmt.root_half_bits)
    e = b.lshr(shifted, fmt.mantissa)
    mantissa = b.add(b.and_(shifted, (1 << fmt.mantissa) - 1), fmt.root_half_bits)
    k = b.fsub(floats(b, b.or_(e, fmt.magic_bits)), fmt.magic)
    return b.fsub(k, offset if k_shift is None else k_shift), b.fsub(floats(b, mantissa), 1.0), e


def log_fraction(b: Builder, f: Value) -> tuple[Value, Value]:
    """log(1 + f) = f - c for f as `split_exponent` gives it: (f, c)."""
    square = b.fmul(f, f)
    half = b.fmul(square, 0.5)
    if f.type.kind == "f32":
        return f, b.fma(b.fmul(f, square), b.fneg(poly(b, f, _LOG_F32)), half)
    s = quotient(b, f, b.fadd(f, 2.0))
    z = b.fmul(s, s)
    rest = b.fmul(z, poly(b, z, _LOG_F64))
    return f, b.fsub(half, b.fmul(s, b.fadd(half, rest)))


def _with_limits(b: Builder, x: Value, y: Value) -> Value:
    """y for 0 < x < inf; else what a logarithm of x is."""
    outside = b.select(b.fcmp("oeq", x, 0.0), b.const(x.type, -INF), NAN)
    return b.select(b.fcmp("ogt", x, 0.0), b.select(b.fcmp("olt", x, INF), y, x), outside)


def log(b: Builder, x: Value) -> Value:
    """The natural logarithm."""
    k, f, _ = split_exponent(b, x)
    return _with_limits(b, x, _log_sum(b, k, f))


def log_of_normal(b: Builder, x: Value) -> Value:
    """The natural logarithm of a positive normal number; of any other, some number."""
    k, f, _ = split_exponent(b, x, denormals=False)
    return _log_sum(b, k, f)


def _log_sum(b: Builder, k: Value, f: Value) -> Value:
    """k ln 2 + log(1 + f)."""
    high, low = _LN2[f.type.kind]
    f, c = log_fraction(b, f)
    return b.fma(k, high, b.fsub(f, b.fma(k, -low, c)))


def _log_base(b: Builder, x: Value, factor: tuple[float, float], step: tuple[float, float]) -> Value:
    """log(x) * factor, where step is ln 2 * factor; both in two parts."""
    k, f, _ = split_exponent(b, x)
    f, c = log_fraction(b, f)
    # f - c as an unevaluated sum of two floats.
    total = b.fsub(f, c)
    rest = b.fsub(b.fsub(f, total), c)
    product = b.fmul(total, factor[0])
    error = b.fma(total, factor[0], b.fneg(product))
    low = b.fma(total, factor[1], b.fma(rest, factor[0], error))
    low = b.fma(k, step[1], low) if step[1] else low
    whole = b.fma(k, step[0], product)
    carry = b.fadd(b.fsub(b.fmul(k, step[0]), whole), product)
    return _with_limits(b, x, b.fadd(whole, b.fadd(carry, low)))


def log2(b: Builder, x: Value) -> Value:
    """The logarithm to base 2; exact for powers of two."""
    return _log_base(b, x, _LOG2_E[x.type.kind], (1.0, 0.0))


def log10(b: Builder, x: Value) -> Value:
    """The logarithm to base 10."""
    return _log_base(b, x, _LOG10_E[x.type.kind], _LOG10_2[x.type.kind])


def log1p(b: Builder, x: Value) -> Value:
    """log(1 + x)."""
    fmt = format_of(x)
    u = b.fadd(x, 1.0)
    # u + lost is exactly 1 + x.
    back = b.fsub(u, 1.0)
    lost = b.fadd(b.fsub(1.0, b.fsub(u, back)), b.fsub(x, back))
    k, f, e = split_exponent(b, u, denormals=False)
    scale = floats(b, b.shl(b.sub(2 * fmt.bias, e), fmt.mantissa))
    # For large x nothing is lost, and the scale might not be a number.
    f = b.select(b.fcmp("olt", x, 2.0 ** (fmt.mantissa + 2)), b.fma(lost, scale, f), f)
    y = _with_limits(b, u, _log_sum(b, k, f))
    return b.select(b.fcmp("oeq", x, 0.0), x, y)


def atanh(b: Builder, x: Value) -> Value:
    """The inverse hyperbolic tangent, log1p(2 a / (1 - a)) / 2 with a = |x|."""
    if x.type.kind == "f32":
        return b.fptrunc(atanh(b, in_double(b, x)), "f32")
    a = b.fabs(x)
    y = b.fmul(log1p(b, b.fdiv(b.fadd(a, a), b.fsub(1.0, a))), 0.5)
    y = b.select(b.fcmp("olt", a, 2.0**-28), a, y)
    return b.copysign(b.select(b.fcmp("ugt", a, 1.0), NAN, y), x)


def asinh(b: Builder, x: Value) -> Value:
    """The inverse hyperbolic sine, log1p(a + a**2 / (1 + sqrt(1 + a**2))) with a = |x|."""
    if x.type.kind == "f32":
        return b.fptrunc(asinh(b, in_double(b, x)), "f32")
    a = b.fabs(x)
    square = b.fmul(a, a)
    inner = b.fadd(a, b.fdiv(square, b.fadd(b.sqrt(b.fadd(square, 1.0)), 1.0)))
    large = b.fcmp("ogt", a, 2.0**28)
    # log(2 a) for large a.
    y = log1p(b, b.select(large, b.fsub(a, 1.0), inner))
    y = b.select(large, b.fadd(y, _LN2["f64"][0] + _LN2["f64"][1]), y)
    return b.copysign(b.select(b.fcmp("olt", a, 2.0**-28), a, y), x)


def acosh(b: Builder, x: Value) -> Value:
    """The inverse hyperbolic cosine, log1p(t + sqrt(2 t + t**2)) with t = x - 1."""
    if x.type.kind == "f32":
        return b.fptrunc(acosh(b, in_double(b, x)), "f32")
    t = b.fsub(x, 1.0)
    large = b.fcmp("ogt", x, 2.0**28)
    inner = b.fadd(t, b.sqrt(b.fma(t, t, b.fadd(t, t))))
    y = log1p(b, b.select(large, t, inner))
    y = b.select(large, b.fadd(y, _LN2["f64"][0] + _LN2["f64"][1]), y)
    return b.select(b.fcmp("ult", x, 1.0), NAN, y)
