"""The error function, its complement and its inverse as vector arithmetic."""

from __future__ import annotations

from wengert.backends.estimates import quotient
from wengert.backends.irbuilder import Builder, Value
from wengert.backends.vecmath_core import INF, NAN, at_most, poly, poly_pair
from wengert.backends.vecmath_exp import exp2_moderate, exp_parts_of_nonpositive
from wengert.backends.vecmath_log import log_of_normal

# erf(x) / x - 1 as a polynomial of x**2 on |x| <= 1; relative error of erf 1.5e-9 (float32), 1.4e-17
# (float64).
_ERF = {
    "f32": (
        0.12837916612625122,
        -0.3761262595653534,
        0.1128358244895935,
        -0.026853641495108604,
        0.0051879542879760265,
        -0.0008006672142073512,
        7.841723709134385e-05,
    ),
    "f64": (
        0.12837916709551256,
        -0.37612638903183454,
        0.11283791670942428,
        -0.02686617064289548,
        0.005223977604648791,
        -0.0008548325868368114,
        0.00012055291956628466,
        -1.4924684103170476e-05,
        1.6446811920848207e-06,
        -1.620404041904645e-07,
        1.3701770523983636e-08,
        -7.763254642196802e-10,
    ),
}
# log2(erfc(x)) for 1 <= x <= 3.95; error of erf 1.1e-9.
_LOG2_ERFC = (
    -0.0004912232980132103,
    -1.6260524988174438,
    -0.9206365942955017,
    -0.14876289665699005,
    0.031511686742305756,
    -0.004254261031746864,
    0.00026908269501291215,
)
# exp(x**2) erfc(x) (x + 2) as a polynomial of (x - 2) / (x + 2), for x >= 3/4 to where erfc(x) is zero;
# relative error 9.6e-10 (float32), 7.7e-18 (float64). The first coefficient has a second part.
_ERFCX_CENTRE = 2.0
_ERFCX_LOW = {"f32": -1.7961220066808892e-08, "f64": -2.0372045899416464e-17}
_ERFCX = {
    "f32": (
        1.0215827226638794,
        -0.6871606707572937,
        0.2794721722602844,
        -0.03644299507141113,
        -0.021512240171432495,
        0.006491545122116804,
        0.0030970501247793436,
        -0.0009149339166469872,
        -0.0006372060161083937,
        0.00020709754608105868,
    ),
    "f64": (
        1.021582705242023,
        -0.6871606844138108,
        0.2794720925560571,
        -0.03644223150683123,
        -0.021510661889772277,
        0.006479185065143885,
        0.003090612072938317,
        -0.0008372960031695365,
        -0.0006630738383098799,
        3.4370830744957815e-05,
        0.00014447523169467766,
        3.4150406469089625e-05,
        -2.173049627622807e-05,
        -1.6098170547006616e-05,
        -9.856339274656118e-07,
        3.428289970505361e-06,
        1.7812484437785284e-06,
        7.189336545465652e-07,
        -8.221590585800445e-07,
        -1.0988389292759735e-06,
        9.370287921332753e-07,
        -1.9040552727277473e-07,
    ),
}
# erf_inv(x) / x as a polynomial of w - 2.5 for w <= 5, and of sqrt(w) - 3 beyond, with w = -log(1 - x**2);
# relative errors 6.5e-9 and 1.0e-8. The first coefficients stand apart, each in two parts.
_INVERSE_F32 = (
    (
        0.24664027988910675,
        -0.0041773878037929535,
        -0.0012527272338047624,
        0.00021834552171640098,
        -4.972146143700229e-06,
        -3.463023631411488e-06,
        4.6809532250335906e-07,
        2.3260607662223265e-08,
        -8.930232553439055e-09,
    ),
    (
        1.001675009727478,
        0.009445440024137497,
        -0.007637744769454002,
        0.005685608368366957,
        -0.0035955538041889668,
        0.00148868712130934,
        -6.037053026375361e-05,
        -0.0003124983632005751,
        0.00011839532817248255,
    ),
)
_INVERSE_F32_FIRST = (
    (1.5014094114303589, -5.2142876683092254e-08),
    (2.832976818084717, -1.752482425843027e-08),
)
# float64: (erf_inv(x) / x - g) / (w - 1) for w <= 4, where g is its value at w = 1 in two parts, and
# sqrt(w) - erf_inv(x) / x for 2 <= sqrt(w) <= 6.1, as quotients of polynomials of w - 1 and sqrt(w) - 2;
# relative errors of erf_inv 1.8e-17 and 1.7e-17.
_INVERSE_NEAR_FIRST = (1.1273743936892278, -4.6831882466579015e-17)
_INVERSE_NEAR = (
    (
        0.24783287028621084,
        0.0349435942107343,
        0.00991466105298255,
        0.0007083902649084496,
        7.884658091339433e-05,
        9.306310150589946e-07,
        -3.000912179953222e-08,
        -7.733115024662928e-09,
    ),
    (
        1.0,
        0.12384509339081448,
        0.04746989982229233,
        0.0028276697313163565,
        0.0005206394108196907,
        9.233408207475203e-07,
        8.129794713653769e-07,
        -7.464471674400337e-08,
    ),
)
_INVERSE_FAR = (
    (
        0.14122088757302653,
        0.10577838274816502,
        -0.009529132831423601,
        0.12477748878024975,
        -0.04576896966516695,
        0.04015350723334179,
        -0.009602094643885681,
        0.004501532951502495,
        -0.0005595698444847353,
        0.00021313028114424635,
        -9.765715501471565e-06,
        5.1239550700193025e-06,
        3.330497468471869e-08,
    ),
    (
        1.0,
        0.13593686053694662,
        0.6480557541320378,
        0.09333891669321698,
        0.16325764512016772,
        0.03238642184953694,
        0.021849147467783284,
        0.005341147786322495,
        0.0018418017936122286,
        0.0004627057554036381,
        9.417903904230908e-05,
        1.7799738129806287e-05,
        3.0779948014691543e-06,
    ),
)


def _erf_near(b: Builder, x: Value) -> Value:
    """erf(x) / x - 1 for |x| <= 1."""
    return poly(b, b.fmul(x, x), _ERF[x.type.kind])


def _erfc_far(b: Builder, a: Value) -> Value:
    """erfc(a) for a >= 3/4, as exp(-a**2) / (a + 2) times a polynomial."""
    kind = a.type.kind
    bounded = at_most(b, a, 10.3 if kind == "f32" else 27.5)
    square = b.fmul(bounded, bounded)
    lost = b.fma(bounded, bounded, b.fneg(square))
    e, e_low, scale = exp_parts_of_nonpositive(b, b.fneg(square), b.fneg(lost))
    total = b.fadd(bounded, _ERFCX_CENTRE)
    total_low = b.fsub(bounded, b.fsub(total, _ERFCX_CENTRE))
    inverse = quotient(b, 1.0, total)
    minus = b.fneg(inverse)
    inverse_low = b.fmul(inverse, b.fma(minus, total_low, b.fma(minus, total, 1.0)))
    offset = b.fsub(bounded, _ERFCX_CENTRE)
    t = b.fma(offset, inverse, b.fmul(offset, inverse_low))
    p, p_low = poly_pair(b, t, _ERFCX[kind], _ERFCX_LOW[kind])
    # inverse * p as a sum of two floats.
    product = b.fmul(inverse, p)
    rest = b.fma(inverse_low, p, b.fma(inverse, p_low, b.fma(inverse, p, b.fneg(product))))
    return scale(b.fma(e, product, b.fma(e, rest, b.fmul(e_low, product))))


def erf(b: Builder, x: Value) -> Value:
    """The error function."""
    a = b.fabs(x)
    if x.type.kind == "f32":
        bounded = at_most(b, a, 3.95)
        far = b.fsub(1.0, exp2_moderate(b, poly(b, bounded, _LOG2_ERFC)))
    else:
        far = b.fsub(1.0, _erfc_far(b, a))
    y = b.select(b.fcmp("olt", a, 1.0), b.fma(a, _erf_near(b, a), a), far)
    return b.copysign(y, x)


def erfc(b: Builder, x: Value) -> Value:
    """1 - erf(x), accurate to the last denormal for large x."""
    a = b.fabs(x)
    far = _erfc_far(b, a)
    far = b.select(b.fcmp("olt", x, 0.0), b.fsub(2.0, far), far)
    near = b.fma(b.fneg(x), _erf_near(b, a), b.fsub(1.0, x))
    return b.select(b.fcmp("olt", a, 0.75), near, far)


def _inverse_f32(b: Builder, x: Value, w: Value) -> Value:
    """erf_inv(x) with w = -log(1 - x**2); a branch for the tails is seldom taken."""

    def piece(t: Value, column: int) -> Value:
        high, low = _INVERSE_F32_FIRST[column]
        total, lost = poly_pair(b, t, (high, *_INVERSE_F32[column]), low)
        return b.fma(x, total, b.fmul(x, lost))

    far = b.fcmp("ogt", w, 5.0)
    y = piece(b.fsub(w, 2.5), 0)

    def tails() -> list[Value]:
        return [b.select(far, piece(b.fsub(b.sqrt(w), 3.0), 1), y)]

    return b.when(b.any_lane(far), tails, [y], unlikely=True)[0]


def _quotient(b: Builder, x: Value, polynomials: tuple[tuple[float, ...], tuple[float, ...]]) -> Value:
    return quotient(b, poly(b, x, polynomials[0]), poly(b, x, polynomials[1]))


def _inverse_f64(b: Builder, x: Value, w: Value) -> Value:
    """erf_inv(x) with w = -log(1 - x**2); a branch for the tails is seldom taken."""
    t = b.fsub(w, 1.0)
    q = _quotient(b, t, _INVERSE_NEAR)
    high, low = _INVERSE_NEAR_FIRST
    total = b.fma(q, t, high)
    lost = b.fadd(b.fma(q, t, b.fsub(high, total)), low)
    y = b.fma(x, total, b.fmul(x, lost))
    far = b.fcmp("ogt", w, 4.0)

    def tails() -> list[Value]:
        root = b.sqrt(w)
        minus = b.fneg(_quotient(b, b.fsub(root, 2.0), _INVERSE_FAR))
        total = b.fadd(root, minus)
        lost = b.fadd(b.fsub(root, total), minus)
        return [b.select(far, b.fma(x, total, b.fmul(x, lost)), y)]

    return b.when(b.any_lane(far), tails, [y], unlikely=True)[0]


def erf_inv(b: Builder, x: Value) -> Value:
    """The inverse of erf on [-1, 1]; infinite at the ends, NaN beyond."""
    w = b.fneg(log_of_normal(b, b.fma(b.fneg(x), x, 1.0)))
    y = _inverse_f32(b, x, w) if x.type.kind == "f32" else _inverse_f64(b, x, w)
    a = b.fabs(x)
    y = b.select(b.fcmp("oeq", a, 1.0), b.copysign(b.const(x.type, INF), x), y)
    y = b.select(b.fcmp("oeq", x, 0.0), x, y)
    return b.select(b.fcmp("ogt", a, 1.0), NAN, y)
