"""The logarithm of the gamma function and its derivative, as vector arithmetic in float64."""

from __future__ import annotations

from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import INF, NAN, horner, in_double, poly
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
# lgamma around its minimum, for 5/4 <= x <= 7/4: near its place the value, in two parts, and the slope; what they
# leave is s**2 times a polynomial of s = x - the place; error 2.9e-20.
_LGAMMA_PLACE, _LGAMMA_SLOPE = 1.4616321449683622, -9.241265521729427e-17
_LGAMMA_LEAST = (-0.12148629053584961, 3.3649914684731424e-18)
_LGAMMA_MIDDLE = (
    0.4838361227238106,
    -0.14758772299453074,
    0.0646249402389128,
    -0.03278854108848017,
    0.01797067511519693,
    -0.010314223036884231,
    0.0061005360228185215,
    -0.0036845695854968116,
    0.0022597646251638665,
    -0.0014022524532664575,
    0.0008782420093298469,
    -0.0005541753137066896,
    0.0003516673050148921,
    -0.00022468883065793167,
    0.00014735251584660242,
    -9.675577904031506e-05,
    4.396017512264988e-05,
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
# digamma(x) / (x - root) for 1 <= x <= 2 and digamma(x) for 2 <= x <= 3, as polynomials of x - 3/2 and x - 5/2.
_DIGAMMA_ROOT = (1.4616321449683622, 9.549995429965697e-17)
_DIGAMMA_ONE = (
    0.9510558760318328,
    -0.4236274212814606,
    0.24054248424078697,
    -0.14840492305388092,
    0.09498872445289039,
    -0.06192213327548831,
    0.040760833940846085,
    -0.026975796659787055,
    0.017907248317313294,
    -0.011908220105959716,
    0.007927021796868154,
    -0.005279937255532708,
    0.003518106563802472,
    -0.0023454947397380833,
    0.0015633696313653504,
    -0.0010364584817312839,
    0.0006909255761282986,
    -0.00048595039220036254,
    0.00032395945401345196,
    -0.00014480643368061614,
    9.653646261410062e-05,
    -0.0001782188548855923,
    0.00011881232908510335,
)
_DIGAMMA_TWO = (
    0.7031566406452432,
    0.49035775610023485,
    -0.11810202582086309,
    0.03731764146954176,
    -0.013073166646180193,
    0.004821409821419739,
    -0.0018305640355441625,
    0.0007073881640957325,
    -0.00027643930999581804,
    0.00010882586435206692,
    -4.3052048513574485e-05,
    1.708891125596372e-05,
    -6.803232576993842e-06,
    2.7109965480846823e-06,
    -1.0640705254157975e-06,
    4.2481223325063033e-07,
    -2.0687583795242883e-07,
    8.267815845287522e-08,
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

    Below 1/2 it is lgamma(x + 1) - log(x); from 5/2 to 8 it comes from the interval around 2, with the
    logarithm of the factors between; beyond is Stirling's series.
    """
    tiny = b.fcmp("olt", x, 0.5)
    large = b.fcmp("oge", x, 8.0)
    y = b.select(tiny, b.fadd(x, 1.0), x)
    factor = b.const(x.type, 1.0)
    for _ in range(6):
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
    s = b.fsub(y, _LGAMMA_PLACE)
    rise = b.fma(b.fmul(s, s), poly(b, s, _LGAMMA_MIDDLE), b.fma(s, _LGAMMA_SLOPE, _LGAMMA_LEAST[1]))
    middle = b.and_(b.fcmp("oge", y, 1.25), b.fcmp("ole", y, 1.75))
    near = b.select(middle, b.fadd(rise, _LGAMMA_LEAST[0]), near)
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
    """digamma(x) for x >= 1: polynomials up to 3, from there to 7 by recurrence, then a series."""
    y = x
    # The sum of the reciprocals between, as two quotients.
    between = b.const(x.type, 0.0)
    for _ in range(2):
        top, bottom = b.const(x.type, 0.0), b.const(x.type, 1.0)
        for _ in range(2):
            above = b.fcmp("ogt", y, 3.0)
            y = b.select(above, b.fsub(y, 1.0), y)
            top = b.select(above, b.fma(top, y, bottom), top)
            bottom = b.select(above, b.fmul(bottom, y), bottom)
        between = b.fadd(between, b.fdiv(top, bottom))
    root, root_low = _DIGAMMA_ROOT
    quotient = horner(b, b.fsub(y, 1.5), _DIGAMMA_ONE)
    first = b.fma(b.fsub(y, root), quotient, b.fmul(quotient, -root_low))
    near = b.select(b.fcmp("olt", y, 2.0), first, poly(b, b.fsub(y, 2.5), _DIGAMMA_TWO))
    near = b.fadd(near, between)
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
