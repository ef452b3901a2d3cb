"""Cube root, C's fmod, and the next representable number, as vector arithmetic."""

from __future__ import annotations

from wengert.backends.estimates import quotient
from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import INF, format_of, nearest_integer, poly, power_of_two
from wengert.backends.vecmath_log import split_exponent

# The cube root on sqrt(1/2) <= x <= sqrt(2), to start from; relative error 9.5e-6 (float32), 1.3e-6
# (float64).
_CBRT = {
    "f32": (
        0.4516604244709015,
        0.9048165678977966,
        -0.5355865359306335,
        0.216883584856987,
        -0.037769634276628494,
    ),
    "f64": (
        0.4216828451687319,
        1.0560266294941707,
        -0.8360470143393685,
        0.5109001506505826,
        -0.17950503819381014,
        0.026941419392545567,
    ),
}
_ROOTS_OF_TWO = (1.0, 1.2599210498948732, 1.5874010519681996)


def cbrt(b: Builder, x: Value) -> Value:
    """The real cube root: a polynomial, and one step of Halley's iteration, which cubes the error."""
    fmt = format_of(x)
    k, f, _ = split_exponent(b, b.fabs(x))
    m = b.fadd(f, 1.0)
    # k = 3 q + s with s = 0, 1, 2
    q, i = nearest_integer(b, k, 1.0 / 3.0, -1.0 / 3.0)
    s = b.fma(q, -3.0, k)
    one, two = b.fcmp("oeq", s, 1.0), b.fcmp("oeq", s, 2.0)

    def chosen(values: tuple[float, ...]) -> Value:
        return b.select(two, b.const(x.type, values[2]), b.select(one, b.const(x.type, values[1]), values[0]))

    y = b.fmul(poly(b, m, _CBRT[x.type.kind]), chosen(_ROOTS_OF_TWO))
    target = b.fmul(m, chosen((1.0, 2.0, 4.0)))
    square = b.fmul(y, y)
    square_low = b.fma(y, y, b.fneg(square))
    off = b.fma(square_low, y, b.fma(square, y, b.fneg(target)))
    y = b.fsub(y, quotient(b, b.fmul(y, off), b.fma(off, 2.0, b.fmul(target, 3.0))))
    y = b.copysign(b.fmul(y, power_of_two(b, i, fmt)), x)
    a = b.fabs(x)
    return b.select(b.and_(b.fcmp("olt", a, INF), b.fcmp("ogt", a, 0.0)), y, x)


def fmod(b: Builder, x: Value, y: Value) -> Value:
    """C's fmod: x - n y with n whole and the result between 0 and y in size, with the sign of x; exact.

    A step subtracts the nearest multiple of y that the precision allows, which is exact, and leaves a
    remainder smaller by the precision. Mostly one step is enough.
    """
    steps, stride = (14, 2.0**100) if x.type.kind == "f32" else (44, 2.0**900)
    a, size = b.fabs(x), b.fabs(y)

    def step(r: Value) -> Value:
        return b.fma(b.fneg(b.rint(b.fdiv(r, size))), size, r)

    def long_division() -> list[Value]:
        scaled = b.fmul(size, stride)
        scaled_twice = b.fmul(scaled, stride)
        with b.loop(0, steps, carried=[a]) as loop:
            r = loop.carried[0]
            # The quotient by y itself might overflow; a multiple of y serves as well.
            divisor = b.select(b.fcmp("ogt", b.fabs(r), scaled), scaled, size)
            divisor = b.select(b.fcmp("ogt", b.fabs(r), scaled_twice), scaled_twice, divisor)
            loop.next(b.fma(b.fneg(b.rint(b.fdiv(r, divisor))), divisor, r))
        return [loop.results[0]]

    unfinished = b.fcmp("oge", b.fmul(a, 2.0 ** -(format_of(x).mantissa - 1)), size)
    unfinished = b.and_(unfinished, b.and_(b.fcmp("olt", a, INF), b.fcmp("ogt", size, 0.0)))
    r = step(a)
    r = b.when(
        b.any_lane(unfinished), lambda: [b.select(unfinished, long_division()[0], r)], [r], unlikely=True
    )[0]
    r = b.select(b.fcmp("olt", r, 0.0), b.fadd(r, size), r)
    r = b.select(b.and_(b.fcmp("oeq", size, INF), b.fcmp("olt", a, INF)), a, r)
    return b.copysign(r, x)


def nextafter(b: Builder, x: Value, y: Value) -> Value:
    """The next number after x towards y, in any float type."""
    kind, int_kind = x.type.kind, f"i{x.type.bits}"
    i = b.bitcast(x, int_kind)
    away = b.xor(b.fcmp("ogt", y, x), b.icmp("slt", i, 0))
    moved = b.bitcast(b.add(i, b.select(away, b.const(i.type, 1), -1)), kind)
    from_zero = b.copysign(b.bitcast(b.const(i.type, 1), kind), y)
    moved = b.select(b.fcmp("oeq", x, 0.0), from_zero, moved)
    moved = b.select(b.fcmp("oeq", x, y), y, moved)
    return b.select(b.fcmp("uno", x, y), b.fadd(x, y), moved)
