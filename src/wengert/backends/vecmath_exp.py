"""exp, exp2, expm1, tanh, sinh, cosh and the logistic function as vector arithmetic.

All reduce x = k ln 2 + r with an integer k and |r| <= ln(2)/2, take a polynomial of r, and scale by 2**k
through the exponent bits. The coefficients come from a weighted Remez exchange, rounded one after another to
the format.
"""

from __future__ import annotations

from collections.abc import Callable

from wengert.backends.estimates import quotient, quotient_by_sum
from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import (
    Format,
    at_least,
    at_most,
    bits,
    floats,
    format_of,
    nearest_integer,
    odd_poly,
    poly,
    power_of_two,
)

_LOG2_E = 1.4426950408889634
# ln 2 in two parts, the first so short that its products with k are exact.
_LN2 = {"f32": (0.693115234375, 3.194618329871446e-05), "f64": (0.6931471805592082, 7.371002565167799e-13)}
_LN2_F32 = 0.693147182464600  # the nearest float32

# (exp(r) - 1 - r) / r**2 on |r| <= 0.34675; relative error of exp 3.4e-9 (float32), 3.6e-18 (float64).
_EXP = {
    "f32": (0.5, 0.16666515171527863, 0.04166645556688309, 0.008369240909814835, 0.001393577316775918),
    "f64": (
        0.5000000000000013,
        0.16666666666666685,
        0.04166666666651136,
        0.008333333333315936,
        0.0013888888947961337,
        0.000198412698987359,
        2.4801489042688146e-05,
        2.7557232774206126e-06,
        2.7631581631598314e-07,
        2.5112695630357188e-08,
    ),
}
# The same with the relative error of expm1 kept small: 4.7e-10 (float32), 3.1e-19 (float64).
_EXPM1 = {
    "f32": (
        0.5,
        0.1666666567325592,
        0.04166647791862488,
        0.008333567529916763,
        0.0013933705631643534,
        0.00019742551376111805,
    ),
    "f64": (
        0.5,
        0.16666666666666677,
        0.0416666666666666,
        0.008333333333321452,
        0.0013888888888928335,
        0.0001984126988653242,
        2.480158722760293e-05,
        2.7557243827667904e-06,
        2.755736183090584e-07,
        2.510916420600714e-08,
        2.0886654979516607e-09,
    ),
}
# (2**r - 1) / r on |r| <= 0.5; relative error of exp2 3.2e-9 (float32), 4.8e-18 (float64).
_EXP2 = {
    "f32": (
        0.6931471824645996,
        0.24022650718688965,
        0.05550358071923256,
        0.009618077427148819,
        0.001339165261015296,
        0.00015456363325938582,
    ),
    "f64": (
        0.6931471805599453,
        0.24022650695910136,
        0.055504108664822936,
        0.009618129107592419,
        0.0013333558146164351,
        0.00015403530459073573,
        1.5252734036954664e-05,
        1.3215434374758566e-06,
        1.0177985540099828e-07,
        7.073929469462072e-09,
        4.4655587455054256e-10,
    ),
}
# (sinh(x) - x) / x**3 as a polynomial of x**2 on |x| <= 1; relative error 3.6e-10 (float32), 3.0e-19
# (float64).
_SINH = {
    "f32": (0.1666666716337204, 0.008333315141499043, 0.0001984165864996612, 2.7900730401597684e-06),
    "f64": (
        0.16666666666666669,
        0.00833333333333297,
        0.00019841269841531316,
        2.7557319130304514e-06,
        2.505212687357201e-08,
        1.6056998779134e-10,
        7.765960484240905e-13,
    ),
}
# ln and log2 of: the largest finite number, the smallest normal number, a number that rounds to zero.
_EXP_LIMITS = {
    "f32": (88.72283172607422, -87.33654022216797, -104.0),
    "f64": (709.782712893384, -708.3964185322641, -745.2),
}
_EXP2_LIMITS = {"f32": (127.99999237060547, -126.0, -150.0), "f64": (1023.9999999999999, -1022.0, -1075.0)}


def _reduce(b: Builder, x: Value) -> tuple[Value, Value]:
    """k, in the low bits of an integer, and r = x - k ln 2."""
    k, i = nearest_integer(b, x, _LOG2_E)
    high, low = _LN2[x.type.kind]
    return i, b.fma(k, -low, b.fma(k, -high, x))


def _scaled(
    b: Builder, p: Value, i: Value, x: Value, limits: tuple[float, float, float], fmt: Format
) -> Value:
    """p * 2**k for p near 1, rounded once where denormal; inf or NaN where x is too large or NaN."""
    largest, smallest, _ = limits
    small = b.fcmp("olt", x, smallest)
    # The exponent is added as an integer, since 2**k alone may overflow where p * 2**k does not.
    y = b.add(bits(b, p), b.shl(i, fmt.mantissa))
    y = floats(b, b.select(small, b.add(y, 64 << fmt.mantissa), y))
    y = b.select(small, b.fmul(y, 2.0**-64), y)
    return b.select(b.fcmp("ugt", x, largest), b.fmul(x, 2.0**fmt.bias), y)


def exp(b: Builder, x: Value) -> Value:
    """e**x."""
    limits = _EXP_LIMITS[x.type.kind]
    x = at_least(b, x, limits[2])
    i, r = _reduce(b, x)
    p = b.fma(b.fma(poly(b, r, _EXP[x.type.kind]), r, 1.0), r, 1.0)
    return _scaled(b, p, i, x, limits, format_of(x))


def exp2(b: Builder, x: Value) -> Value:
    """2**x."""
    limits = _EXP2_LIMITS[x.type.kind]
    x = at_least(b, x, limits[2])
    k, i = nearest_integer(b, x, 1.0)
    r = b.fsub(x, k)
    p = b.fma(poly(b, r, _EXP2[x.type.kind]), r, 1.0)
    return _scaled(b, p, i, x, limits, format_of(x))


def exp_of_sum(b: Builder, x: Value, low: Value) -> Value:
    """exp(x + low), where `low` is below the rounding of x."""
    fmt = format_of(x)
    limits = _EXP_LIMITS[x.type.kind]
    x = at_least(b, x, limits[2])
    i, r = _reduce(b, x)
    r = b.fadd(r, low)
    p = b.fma(b.fma(poly(b, r, _EXP[x.type.kind]), r, 1.0), r, 1.0)
    return _scaled(b, p, i, x, limits, fmt)


def exp2_moderate(b: Builder, x: Value) -> Value:
    """2**x where neither it nor its inverse leaves the range of normal numbers."""
    k, i = nearest_integer(b, x, 1.0)
    r = b.fsub(x, k)
    return b.fmul(b.fma(poly(b, r, _EXP2[x.type.kind]), r, 1.0), power_of_two(b, i, format_of(x)))


def exp_of_nonpositive(b: Builder, x: Value) -> Value:
    """exp(x) for x <= 0, where no result overflows."""
    p, _, scale = exp_parts_of_nonpositive(b, x)
    return scale(p)


def exp_parts_of_nonpositive(
    b: Builder, x: Value, low: Value | None = None
) -> tuple[Value, Value, Callable[[Value], Value]]:
    """exp(x + low) for x <= 0, as a sum of two floats near 1, and what multiplies it by a power of two; `low` is below
    the rounding of x."""
    limits = _EXP_LIMITS[x.type.kind]
    x = at_least(b, x, limits[2])
    i, r = _reduce(b, x)
    # 1 + r is taken as a sum of two floats: functions built on this one have errors of their own.
    part = r
    if low is not None:
        r = b.fadd(part, low)
    one_r = b.fadd(r, 1.0)
    lost = b.fadd(b.fsub(1.0, one_r), r)
    if low is not None:
        lost = b.fadd(lost, b.fadd(b.fsub(part, r), low))
    rest = b.fma(poly(b, r, _EXP[x.type.kind]), b.fmul(r, r), lost)
    p = b.fadd(one_r, rest)
    small = b.fcmp("olt", x, limits[1])
    power = power_of_two(b, b.select(small, b.add(i, 64), i), format_of(x))

    def scale(y: Value) -> Value:
        y = b.fmul(y, power)
        return b.select(small, b.fmul(y, 2.0**-64), y)

    return p, b.fadd(b.fsub(one_r, p), rest), scale


def expm1_parts(b: Builder, x: Value) -> tuple[Value, Value]:
    """(k, q) with exp(x) = 2**k (1 + q); k is in the low bits of an integer."""
    i, r = _reduce(b, x)
    c = poly(b, r, _EXPM1[x.type.kind])
    return i, b.fma(b.fmul(r, r), c, r)


def expm1(b: Builder, x: Value) -> Value:
    """e**x - 1."""
    fmt = format_of(x)
    limits = _EXP_LIMITS[x.type.kind]
    bounded = at_most(b, at_least(b, x, -float(fmt.mantissa)), limits[0] + 0.0625)
    i, q = expm1_parts(b, bounded)
    # 2**(k - 1), since 2**k may overflow.
    half = power_of_two(b, i, fmt, -1)
    y = b.fma(half, q, b.fsub(half, 0.5))
    y = b.fadd(y, y)
    return b.select(b.fcmp("olt", b.fabs(x), 2.0 ** -(fmt.mantissa + 2)), x, y)


def tanh(b: Builder, x: Value) -> Value:
    """The hyperbolic tangent: e / (e + 2) with e = expm1(2 |x|)."""
    fmt = format_of(x)
    size = b.fabs(x)
    doubled = at_most(b, b.fadd(size, size), 20.0 if fmt.mantissa == 23 else 40.0)
    if fmt.mantissa == 23:
        # what one step of the reduction leaves, 2e-9 k, counts little where k is large, since tanh is flat there
        k, i = nearest_integer(b, doubled, _LOG2_E)
        r = b.fma(k, -_LN2_F32, doubled)
        q = b.fma(b.fmul(r, r), poly(b, r, _EXP["f32"]), r)
    else:
        i, q = expm1_parts(b, doubled)
    scale = power_of_two(b, i, fmt)
    e = b.fma(scale, q, b.fsub(scale, 1.0))
    return b.copysign(quotient_by_sum(b, e, e, 2.0), x)


def logistic(b: Builder, x: Value) -> Value:
    """1 / (1 + exp(-x))."""
    z = exp_of_nonpositive(b, b.fneg(b.fabs(x)))
    total = b.fadd(z, 1.0)
    y = b.fdiv(b.select(b.fcmp("olt", x, 0.0), z, 1.0), total)
    # What the sum was rounded up by matters where z is small, and there total is about 1.
    return b.fma(y, b.fsub(b.fsub(total, 1.0), z), y)


def _quarter_exp(b: Builder, x: Value) -> tuple[Value, Value]:
    """2**k / 4 and q with exp(x) = 2**k (1 + q), for x >= 0. The quarter is finite where cosh(x) is."""
    bounded = at_most(b, x, _EXP_LIMITS[x.type.kind][0] + 1.0)
    i, q = expm1_parts(b, bounded)
    return power_of_two(b, i, format_of(x), -2), q


def sinh(b: Builder, x: Value) -> Value:
    """The hyperbolic sine: a polynomial, and (e + e / (e + 1)) / 2 with e = expm1(|x|) beyond 1."""
    quarter, q = _quarter_exp(b, b.fabs(x))
    # Everything is divided by four, so that nothing overflows before the result does.
    e = b.fma(quarter, q, b.fsub(quarter, 0.25))
    y = b.fadd(e, b.fdiv(e, b.fma(e, 4.0, 1.0)))
    y = b.fadd(y, y)
    return b.select(b.fcmp("olt", b.fabs(x), 1.0), odd_poly(b, x, _SINH[x.type.kind]), b.copysign(y, x))


def cosh(b: Builder, x: Value) -> Value:
    """The hyperbolic cosine, (exp|x| + exp(-|x|)) / 2."""
    quarter, q = _quarter_exp(b, b.fabs(x))
    e = b.fma(quarter, q, quarter)
    y = b.fadd(e, quotient(b, 0.0625, e))
    return b.fadd(y, y)
