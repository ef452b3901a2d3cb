"""pow and integer powers as vector arithmetic.

float32 powers are computed in float64. For float64 the logarithm is taken as an unevaluated sum of two
floats, good to about 2**-65, since its error is multiplied by as much as 745 in the result.
"""

from __future__ import annotations

from wengert.backends.estimates import quotient
from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import (
    INF,
    NAN,
    at_least,
    at_most,
    bits,
    floats,
    format_of,
    in_double,
    nearest_integer,
    poly,
    power_of_two,
)
from wengert.backends.vecmath_exp import exp_of_sum
from wengert.backends.vecmath_log import split_exponent

# (log(1 + f) - f + f**2 / 2) / f**3 for sqrt(1/2) <= 1 + f <= sqrt(2); relative error of the log 2.2e-11.
_LOG_SHORT = (
    0.33333333892204225,
    -0.24999996693936616,
    0.19999912628255043,
    -0.16666889697025897,
    0.14290122562812402,
    -0.12497237717965902,
    0.11014946988935254,
    -0.09937684933716283,
    0.09998648276985833,
    -0.09804501798719231,
    0.053038805601741304,
)
# (2**r - 1) / r on |r| <= 0.5; relative error of exp2 4.9e-11.
_EXP2_SHORT = (
    0.6931471805416635,
    0.24022651084879107,
    0.0555041095149894,
    0.009618035841890665,
    0.0013333443479602765,
    0.000154674049878416,
    1.5311555815879378e-05,
)
# ((2 artanh(s) - 2 s) / s**3 - 2/3) / s**2 as a polynomial of s**2; relative error of the log 7.7e-23.
_LOG_TAIL = (
    0.3999999999999998,
    0.28571428571443797,
    0.222222222178052,
    0.18181818841863612,
    0.15384558578334875,
    0.13336258784558758,
    0.11675893375664108,
    0.11980852849204982,
)
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
# ln 2 in two parts, of which products of the first with |k| < 2**11 are exact.
_LN2 = (0.6931471805592082, 7.371002565167799e-13)
_LOG2_E = 1.4426950408889634


def _log_pair(b: Builder, x: Value) -> tuple[Value, Value]:
    """log(x) for a positive finite float64 as a sum of two floats."""
    k, f, _ = split_exponent(b, x)
    # s = f / (2 + f)
    d = b.fadd(f, 2.0)
    d_low = b.fsub(f, b.fsub(d, 2.0))
    inverse = quotient(b, 1.0, d)
    s = b.fmul(f, inverse)
    negative = b.fneg(s)
    s_low = b.fmul(b.fma(negative, d_low, b.fma(negative, d, f)), inverse)
    # z = s**2
    z = b.fmul(s, s)
    z_low = b.fma(b.fadd(s, s), s_low, b.fma(s, s, b.fneg(z)))
    # u = 2/3 + z * tail
    tail = b.fmul(z, poly(b, z, _LOG_TAIL))
    u = b.fadd(tail, _TWO_THIRDS[0])
    u_low = b.fadd(b.fadd(b.fsub(_TWO_THIRDS[0], u), tail), _TWO_THIRDS[1])
    # p = 2 + z * u
    v = b.fmul(z, u)
    v_low = b.fma(z_low, u, b.fma(z, u_low, b.fma(z, u, b.fneg(v))))
    p = b.fadd(v, 2.0)
    p_low = b.fadd(b.fadd(b.fsub(2.0, p), v), v_low)
    # s * p + k ln 2
    product = b.fmul(s, p)
    product_low = b.fma(s_low, p, b.fma(s, p_low, b.fma(s, p, b.fneg(product))))
    whole = b.fmul(k, _LN2[0])
    total = b.fadd(whole, product)
    lost = b.fadd(b.fsub(whole, total), product)
    rest = b.fadd(lost, b.fma(k, _LN2[1], product_low))
    high = b.fadd(total, rest)
    return high, b.fadd(b.fsub(total, high), rest)


def _pow_of_positive_f32(b: Builder, a: Value, y: Value) -> Value:
    """a**y for float64 values that come from float32, a > 0 and finite, to float32 accuracy."""
    k, f, _ = split_exponent(b, a, denormals=False)
    square = b.fmul(f, f)
    log = b.fma(b.fmul(f, square), poly(b, f, _LOG_SHORT), b.fma(square, -0.5, f))
    t = b.fmul(b.fma(log, _LOG2_E, k), y)
    t = at_most(b, at_least(b, t, -200.0), 200.0)
    n, i = nearest_integer(b, t, 1.0)
    r = b.fsub(t, n)
    return b.fmul(b.fma(poly(b, r, _EXP2_SHORT), r, 1.0), power_of_two(b, i, format_of(t)))


def _pow_of_positive_f64(b: Builder, a: Value, y: Value) -> Value:
    high, low = _log_pair(b, a)
    t = b.fmul(high, y)
    t_low = b.fma(low, y, b.fma(high, y, b.fneg(t)))
    # Where the product overflows, the second part is not a number.
    t_low = b.select(b.fcmp("olt", b.fabs(t), 1000.0), t_low, 0.0)
    return exp_of_sum(b, t, t_low)


def pow(b: Builder, x: Value, y: Value) -> Value:
    """x**y as in C99: pow(x, 0) = pow(1, y) = 1 even for NaN; NaN for a negative x and broken y."""
    size = b.fabs(x)
    if x.type.kind == "f32":
        z = b.fptrunc(_pow_of_positive_f32(b, in_double(b, size), in_double(b, y)), "f32")
    else:
        z = _pow_of_positive_f64(b, size, y)
    # Bases 0 and inf, and infinite exponents, give 0 or inf; size**y grows with y where size > 1.
    to_inf = b.xor(b.fcmp("ogt", size, 1.0), b.fcmp("olt", y, 0.0))
    extreme = b.select(to_inf, b.const(x.type, INF), 0.0)
    ends = b.or_(b.fcmp("oeq", b.fabs(y), INF), b.or_(b.fcmp("oeq", size, 0.0), b.fcmp("oeq", size, INF)))
    z = b.select(ends, extreme, z)
    z = b.select(b.fcmp("uno", x, y), NAN, z)
    whole = b.fcmp("oeq", b.trunc_f(y), y)
    half = b.fmul(y, 0.5)
    odd = b.and_(whole, b.fcmp("one", b.trunc_f(half), half))
    broken = b.and_(b.fcmp("olt", x, 0.0), b.not_(whole))
    z = b.select(b.and_(broken, b.fcmp("one", size, INF)), NAN, z)
    sign = b.and_(bits(b, x), format_of(x).sign_bit)
    z = b.select(odd, floats(b, b.or_(bits(b, z), sign)), z)
    one = b.or_(b.fcmp("oeq", y, 0.0), b.fcmp("oeq", x, 1.0))
    one = b.or_(one, b.and_(b.fcmp("oeq", x, -1.0), b.fcmp("oeq", b.fabs(y), INF)))
    return b.select(one, b.const(x.type, 1.0), z)


def integer_pow(b: Builder, x: Value, n: int) -> Value:
    """x**n for a whole number n that is known while compiling, by repeated squaring; floats and integers.

    For an integer x, n must not be negative.
    """
    times = b.fmul if x.type.is_float else b.mul
    if n < 0:
        return b.fdiv(1.0, integer_pow(b, x, -n))
    result: Value | None = None
    while n:
        if n & 1:
            result = x if result is None else times(result, x)
        n >>= 1
        if n:
            x = times(x, x)
    return b.const(x.type, 1) if result is None else result
