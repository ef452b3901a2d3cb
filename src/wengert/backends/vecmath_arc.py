"""asin, acos, atan and atan2 as vector arithmetic."""

from __future__ import annotations

from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import INF, bits, poly

# pi in two parts.
_PI = {
    "f32": (3.1415927410125732, -8.742277657347586e-08),
    "f64": (3.141592653589793, 1.2246467991473532e-16),
}
# (asin(x) - x) / x**3 as a polynomial of x**2 on |x| <= 0.5; relative error of asin 5.0e-9 (float32), 1.6e-17
# (float64).
_ASIN = {
    "f32": (
        0.16666752099990845,
        0.07495329529047012,
        0.04546548053622246,
        0.024205602705478668,
        0.04212086275219917,
    ),
    "f64": (
        0.16666666666665403,
        0.07500000000334812,
        0.04464285683165217,
        0.03038195896551558,
        0.022371762633307236,
        0.017359631645402843,
        0.013885978170476024,
        0.012164281821727222,
        0.006549293766852847,
        0.019470363311719568,
        -0.016134547025534785,
        0.031851790973054926,
    ),
}
# (atan(x) - x) / x**3 as a polynomial of x**2 on |x| <= tan(pi/8); relative error of atan 7.2e-10 and
# 1.4e-18.
_ATAN = {
    "f32": (
        -0.33333316445350647,
        0.19998522102832794,
        -0.14244212210178375,
        0.1059751957654953,
        -0.06085273250937462,
    ),
    "f64": (
        -0.3333333333333319,
        0.19999999999951942,
        -0.14285714280018436,
        0.11111110774234348,
        -0.09090897487639851,
        0.07692055368211827,
        -0.06663048753685437,
        0.05847486669853562,
        -0.05037492433336389,
        0.038018617346015145,
        -0.01785704192636187,
    ),
}
_TAN_EIGHTH = 0.41421356237309503


def asin(b: Builder, x: Value) -> Value:
    """The inverse sine; beyond 1/2 it is pi/2 - 2 asin(sqrt((1 - |x|) / 2))."""
    high, low = _PI[x.type.kind]
    a = b.fabs(x)
    big = b.fcmp("ogt", a, 0.5)
    z = b.select(big, b.fma(a, -0.5, 0.5), b.fmul(a, a))
    s = b.select(big, b.sqrt(z), a)
    rest = b.fmul(b.fmul(s, z), poly(b, z, _ASIN[x.type.kind]))
    # pi/2 - 2 s as a sum of two floats.
    far = b.fma(s, -2.0, high / 2)
    lost = b.fma(s, -2.0, b.fsub(high / 2, far))
    far = b.fadd(far, b.fma(rest, -2.0, b.fadd(lost, low / 2)))
    return b.copysign(b.select(big, far, b.fadd(s, rest)), x)


def acos(b: Builder, x: Value) -> Value:
    """The inverse cosine; beyond 1/2 by the half-angle formula, so that it is accurate near 1."""
    high, low = _PI[x.type.kind]
    a = b.fabs(x)
    big = b.fcmp("ogt", a, 0.5)
    z = b.select(big, b.fma(a, -0.5, 0.5), b.fmul(a, a))
    root = b.copysign(b.fmul(b.sqrt(z), -2.0), x)
    # The angle is base - v - v z p(z).
    v = b.select(big, b.fneg(b.copysign(root, x)), x)
    negative = b.fcmp("olt", x, 0.0)
    base = b.select(big, b.select(negative, b.const(x.type, high), 0.0), high / 2)
    base_low = b.select(big, b.select(negative, b.const(x.type, low), 0.0), low / 2)
    rest = b.fma(b.fmul(v, z), poly(b, z, _ASIN[x.type.kind]), b.fneg(base_low))
    return b.fsub(b.fsub(base, v), rest)


def _arc(b: Builder, top: Value, bottom: Value, eighths: Value, negate: Value | None) -> Value:
    """atan(top / bottom) (minus that where `negate`) + eighths pi / 4, for |top / bottom| <= tan(pi/8)."""
    high, low = _PI[top.type.kind]
    inverse = b.fdiv(1.0, bottom)
    t = b.fmul(top, inverse)
    # What the quotient is off by.
    lost = b.fmul(b.fma(b.fneg(t), bottom, top), inverse)
    z = b.fmul(t, t)
    rest = b.fma(b.fmul(t, z), poly(b, z, _ATAN[top.type.kind]), lost)
    if negate is not None:
        t, rest = b.select(negate, b.fneg(t), t), b.select(negate, b.fneg(rest), rest)
    return b.fma(eighths, high / 4, b.fadd(t, b.fma(eighths, low / 4, rest)))


def atan(b: Builder, x: Value) -> Value:
    """The inverse tangent, moved by pi/4 or pi/2 beyond tan(pi/8) and tan(3 pi/8)."""
    a = b.fabs(x)
    middle = b.fcmp("ogt", a, _TAN_EIGHTH)
    far = b.fcmp("ogt", a, _TAN_EIGHTH + 2.0)
    top = b.select(far, b.const(x.type, -1.0), b.select(middle, b.fsub(a, 1.0), a))
    # An infinite divisor would give an undefined correction.
    wide = b.select(b.fcmp("olt", a, 1e30), a, 1e30)
    wide = b.select(b.fcmp("uno", a, a), a, wide)
    bottom = b.select(far, wide, b.select(middle, b.fadd(a, 1.0), 1.0))
    eighths = b.select(far, b.const(x.type, 2.0), b.select(middle, b.const(x.type, 1.0), 0.0))
    return b.copysign(_arc(b, top, bottom, eighths, None), x)


def atan2(b: Builder, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), from -pi to pi; signs of zeros and infinities as in C99."""
    kind = x.type
    ax, ay = b.fabs(x), b.fabs(y)
    swap = b.fcmp("ogt", ay, ax)
    small, large = b.select(swap, ax, ay), b.select(swap, ay, ax)
    nan = b.fcmp("uno", x, y)
    # Infinities and zeros become points in the same directions; very large and small ones are scaled.
    infinite = b.fcmp("oeq", large, INF)
    small = b.select(infinite, b.select(b.fcmp("oeq", small, INF), b.const(kind, 1.0), 0.0), small)
    large = b.select(b.or_(infinite, b.fcmp("oeq", large, 0.0)), 1.0, large)
    limit, step = (2.0**100, 2.0**30) if kind.kind == "f32" else (2.0**900, 2.0**200)
    down, up = b.fcmp("ogt", large, limit), b.fcmp("olt", large, 1 / limit)
    scale = b.select(down, b.const(kind, 1 / step), b.select(up, b.const(kind, step), 1.0))
    small, large = b.fmul(small, scale), b.fmul(large, scale)
    # The angle of (large, small), from 0 to pi/4, then mirrored.
    middle = b.fcmp("ogt", small, b.fmul(large, _TAN_EIGHTH))
    top = b.select(middle, b.fsub(small, large), small)
    bottom = b.select(middle, b.fadd(small, large), large)
    left = b.icmp("slt", bits(b, x), 0)
    negate = b.xor(swap, left)
    eighths = b.select(swap, b.const(kind, 2.0), b.select(left, b.const(kind, 4.0), 0.0))
    shift = b.select(middle, b.select(negate, b.const(kind, -1.0), 1.0), 0.0)
    angle = _arc(b, top, bottom, b.fadd(eighths, shift), negate)
    return b.copysign(b.select(nan, b.fadd(x, y), angle), y)
