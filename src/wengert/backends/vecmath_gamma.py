"""The logarithm of the gamma function and its derivative, as vector arithmetic in float64."""

from __future__ import annotations

from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import INF, NAN, in_double, poly
from wengert.backends.vecmath_log import log

# (lgamma(x) / u - c) / u with u = x - 1 for 1/2 <= x <= 3/2, and with u = x - 2 for 3/2 <= x <= 5/2, as quotients of
# polynomials of x - 1/2 and x - 3/2; c is the derivative where u is 0. Relative errors of lgamma 9.0e-18 and 3.5e-17.
_LGAMMA_SLOPES = (-0.5772156649015329, 0.42278433509846713)
_LGAMMA_ONE = (
    (
        1.1350284418957346,
        6.7529581143368045,
        15.522443324280639,
        17.395104691439336,
        9.870974134775176,
        2.6697200318433887,
        0.28783067478619073,
        0.007714930614453821,
    ),
    (
        1.0,
        6.835090209965056,
        18.57478413624203,
        25.61803577024762,
        18.99555202484354,
        7.403692158733344,
        1.379273194632363,
        0.09903495463179643,
        0.001560080456533627,
    ),
)
_LGAMMA_TWO = (
    (
        0.3624397196559534,
        0.5673875795604356,
        0.3134202866764052,
        0.07258373272034285,
        0.0064427428948701584,
        0.00014404288324188188,
        0.0,
        0.0,
    ),
    (
        1.0,
        1.8287348473984981,
        1.2408802339047842,
        0.38448719183723795,
        0.053854784110739164,
        0.0028745497636211283,
        3.4204192529190425e-05,
        0.0,
        0.0,
    ),
)
# x (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) as a polynomial of 1 / x**2 for x >= 7; error 4.6e-18.
_STIRLING = (
    0.08333333333333333,
    -0.002777777777759264,
    0.0007936507795910161,
    -0.0005952339753277609,
    0.0008411664088507301,
    -0.0018740898980789712,
    0.004738092852593598,
)
_HALF_LOG_TWO_PI = 0.9189385332046728
_LOG_PI = 1.1447298858494002
# digamma(x) / (x - root) for 1 <= x <= 2 as a quotient of polynomials of x - 1; relative error 1.3e-17.
_DIGAMMA_ROOT = (1.4616321449683622, 9.549995429965697e-17)
_DIGAMMA = (
    (
        1.2503801375034054,
        1.869998770208261,
        0.9743329144013031,
        0.21767869759076644,
        0.02017903269762831,
        0.0005911987885134253,
        1.1202667778414874e-06,
    ),
    (
        1.0,
        2.1790910212716232,
        1.6669484804044956,
        0.5736274357949861,
        0.09182367019195431,
        0.006176406620349002,
        0.00012271578706720158,
    ),
)
# x**2 (log(x) - 1 / (2 x) - digamma(x)) as a polynomial of 1 / x**2 for x >= 7; error 4.6e-18.
_DIGAMMA_SERIES = (
    0.08333333333333333,
    -0.00833333333331829,
    0.003968253955546451,
    -0.004166662106159394,
    0.007574913382834483,
    -0.02100499166409014,
    0.07807470398598643,
    -0.2667764025275865,
)
# sin(pi r) / r as a polynomial of r**2 on |r| <= 1/2; relative error 3.9e-17.
_SIN_PI = (
    3.141592653589793,
    -5.167712780049947,
    2.5501640398760843,
    -0.5992645292891811,
    0.08214588618510144,
    -0.0073704276268253864,
    0.0004662876162776008,
    -2.1876007492582427e-05,
    7.442328632370693e-07,
)


def _lgamma_positive(b: Builder, x: Value) -> Value:
    """lgamma(x) for x >= 0.

    Below 1/2 it is lgamma(x + 1) - log(x); from 5/2 to 7 it comes from the interval around 2, with the
    logarithm of the factors between; beyond is Stirling's series.
    """
    tiny = b.fcmp("olt", x, 0.5)
    large = b.fcmp("oge", x, 7.0)
    y = b.select(tiny, b.fadd(x, 1.0), x)
    factor = b.const(x.type, 1.0)
    for _ in range(5):
        above = b.fcmp("ogt", y, 2.5)
        y = b.select(above, b.fsub(y, 1.0), y)
        factor = b.select(above, b.fmul(factor, y), factor)
    low = b.fcmp("olt", y, 1.5)
    t = b.fsub(y, b.select(low, b.const(x.type, 0.5), 1.5))
    top, bottom = (
        poly_of(b, t, [b.select(low, b.const(x.type, p), q) for p, q in zip(one, two)])
        for one, two in zip(_LGAMMA_ONE, _LGAMMA_TWO)
    )
    u = b.fsub(y, b.select(low, b.const(x.type, 1.0), 2.0))
    slope = b.select(low, b.const(x.type, _LGAMMA_SLOPES[0]), _LGAMMA_SLOPES[1])
    near = b.fmul(u, b.fma(u, b.fdiv(top, bottom), slope))
    # One logarithm serves all.
    logarithm = log(b, b.select(b.or_(tiny, large), x, factor))
    inverse = b.fdiv(1.0, x)
    series = b.fma(poly(b, b.fmul(inverse, inverse), _STIRLING), inverse, _HALF_LOG_TWO_PI - 0.5)
    far = b.fma(b.fsub(x, 0.5), b.fsub(logarithm, 1.0), series)
    y = b.fadd(near, b.select(tiny, b.fneg(logarithm), logarithm))
    y = b.select(large, far, y)
    return b.select(b.fcmp("olt", x, 1e306), y, b.fmul(x, b.fsub(logarithm, 1.0)))


def poly_of(b: Builder, x: Value, coefficients: list[Value]) -> Value:
    """A polynomial whose coefficients are values, lowest power first."""
    total = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = b.fma(total, x, c)
    return total


def _sin_pi_fraction(b: Builder, x: Value) -> tuple[Value, Value]:
    """r = x - (the nearest integer), and |sin(pi x)| = |sin(pi r)|."""
    r = b.fsub(x, b.rint(x))
    return r, b.fabs(b.fmul(r, poly(b, b.fmul(r, r), _SIN_PI)))


def lgamma(b: Builder, x: Value) -> Value:
    """log |gamma(x)|; infinite at the whole numbers from 0 down. For x < 0 the error is absolute."""
    if x.type.kind == "f32":
        return b.fptrunc(lgamma(b, in_double(b, x)), "f32")
    a = b.fabs(x)
    y = _lgamma_positive(b, a)
    negative = b.fcmp("olt", x, 0.0)

    def reflect() -> list[Value]:
        # gamma(x) gamma(-x) = -pi / (x sin(pi x))
        _, sine = _sin_pi_fraction(b, x)
        mirrored = b.fsub(b.fsub(_LOG_PI, log(b, b.fmul(a, sine))), y)
        tiny = b.fcmp("olt", a, 1e-17)
        mirrored = b.select(b.fcmp("oeq", sine, 0.0), INF, mirrored)
        return [b.select(b.and_(negative, b.not_(tiny)), mirrored, y)]

    y = b.when(b.any_lane(negative), reflect, [y], unlikely=True)[0]
    return b.select(b.fcmp("oeq", a, INF), INF, y)


def _digamma_positive(b: Builder, x: Value) -> Value:
    """digamma(x) for x >= 1: a quotient around its root, from 2 to 7 by recurrence, then a series."""
    y = x
    # The sum of the reciprocals between, as one quotient.
    top, bottom = b.const(x.type, 0.0), b.const(x.type, 1.0)
    for _ in range(5):
        above = b.fcmp("ogt", y, 2.0)
        y = b.select(above, b.fsub(y, 1.0), y)
        top = b.select(above, b.fma(top, y, bottom), top)
        bottom = b.select(above, b.fmul(bottom, y), bottom)
    t = b.fsub(y, 1.0)
    quotient = b.fdiv(poly(b, t, _DIGAMMA[0]), poly(b, t, _DIGAMMA[1]))
    root, root_low = _DIGAMMA_ROOT
    near = b.fma(b.fsub(b.fsub(y, root), root_low), quotient, b.fdiv(top, bottom))
    inverse = b.fdiv(1.0, x)
    z = b.fmul(inverse, inverse)
    series = b.fma(z, poly(b, z, _DIGAMMA_SERIES), b.fmul(inverse, 0.5))
    return b.select(b.fcmp("oge", x, 7.0), b.fsub(log(b, x), series), near)


def digamma(b: Builder, x: Value) -> Value:
    """The derivative of lgamma; NaN at the negative whole numbers, minus or plus infinity at the zeros."""
    if x.type.kind == "f32":
        return b.fptrunc(digamma(b, in_double(b, x)), "f32")
    below = b.fcmp("olt", x, 1.0)
    negative = b.fcmp("olt", x, 0.0)
    # Up to 1 by digamma(x) = digamma(x + 1) - 1 / x, below 0 by digamma(x) = digamma(1 - x) - pi / tan(pi x).
    mirrored = b.select(negative, b.fsub(1.0, x), b.fadd(x, 1.0))
    y = _digamma_positive(b, b.select(below, mirrored, x))
    inverse = b.fdiv(1.0, x)
    rest = b.fmul(b.fma(b.fneg(inverse), x, 1.0), inverse)  # what the quotient lacks, unless it is infinite
    rest = b.select(b.fcmp("olt", b.fabs(inverse), INF), rest, 0.0)
    y = b.select(below, b.fsub(b.fsub(y, rest), inverse), y)

    def reflect() -> list[Value]:
        r, sine = _sin_pi_fraction(b, x)
        _, cosine = _sin_pi_fraction(b, b.fsub(0.5, b.fabs(r)))
        cotangent = b.copysign(b.fdiv(cosine, sine), r)
        value = b.fma(cotangent, -_PI, _digamma_positive(b, mirrored))
        return [b.select(negative, b.select(b.fcmp("oeq", r, 0.0), NAN, value), y)]

    return b.when(b.any_lane(negative), reflect, [y], unlikely=True)[0]


_PI = 3.141592653589793
