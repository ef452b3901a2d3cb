"""sin, cos and tan as vector arithmetic.

The argument is reduced by subtracting a multiple of pi or pi/2 in three parts (Cody and Waite), exact enough
while the multiple is not too large. Where some lane's argument is larger, a branch that is rarely taken
reduces lane by lane with 192 bits of 1/pi (Payne and Hanek).
"""

from __future__ import annotations

from wengert.backends.irbuilder import I64, Builder, Value
from wengert.backends.vecmath_core import INF, NAN, bits, floats, format_of, nearest_integer, poly

_PI = {
    "f32": (3.1415927410125732, -8.742277657347586e-08, -3.4302490200117637e-15),
    "f64": (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33),
}
# Up to here the reduction in three parts is exact enough.
_LARGE = {"f32": 1.0e5, "f64": 1.0e9}

# (sin(r) - r) / r**3 as a polynomial of r**2 on |r| <= pi/2; relative error of sin 6.2e-9.
_SIN_WIDE = (-0.16666659712791443, 0.008333069272339344, -0.00019809773948509246, 2.606081807243754e-06)
# The same on |r| <= pi/4, and (cos(r) - 1 + r**2 / 2) / r**4; relative errors 3.8e-18 and 4.9e-20.
_SIN = (
    -0.1666666666666663,
    0.008333333333321901,
    -0.00019841269829436672,
    2.755731357282413e-06,
    -2.505074062448699e-08,
    1.5895835231149845e-10,
)
_COS = (
    0.0416666666666666,
    -0.0013888888888874467,
    2.480158728966275e-05,
    -2.7557314397130734e-07,
    2.087572857467499e-09,
    -1.1359889087470778e-11,
)
# (tan(r) - r) / r**3 as a polynomial of r**2 on |r| <= pi/4; relative error of tan 1.3e-9 (float32), 1.3e-17
# (float64).
_TAN = {
    "f32": (
        0.33333349227905273,
        0.13332681357860565,
        0.05405795946717262,
        0.02129175327718258,
        0.010812455788254738,
        0.00011737275053746998,
        0.004363375715911388,
    ),
    "f64": (
        0.3333333333333277,
        0.13333333333414454,
        0.0539682539269984,
        0.021869489598053637,
        0.008863219340098448,
        0.003592287402231934,
        0.0014547683246234815,
        0.0005950213867067482,
        0.00022250535808262007,
        0.00013627360815045362,
        -2.604219205419794e-05,
        8.914742658472424e-05,
        -4.47183292367131e-05,
        2.0826776876056395e-05,
    ),
}


def _reduce(b: Builder, x: Value, *, per_pi: int, half: bool = False) -> tuple[Value, Value]:
    """r and n with x = r + n pi / per_pi, where |r| <= pi / (2 per_pi) and n is right in its two low bits.

    If `half`: |x| or x = r + (n - 1/2) pi / per_pi, with the same bounds.
    """
    k, n = nearest_integer(b, x, 0.3183098861837907 * per_pi, 0.5 if half else 0.0)
    if half:
        k = b.fsub(k, 0.5)
    r = x
    for part in _PI[x.type.kind]:
        r = b.fma(k, -part / per_pi, r)
    r, n = _mend_large(b, x, [r, n], per_pi=per_pi, half=half)
    return r, n


def _reduce_pair(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """r, n and low with x = r + low + n pi / 2, where low is below the rounding of r."""
    k, n = nearest_integer(b, x, 0.6366197723675814)
    first, second, third = (-part / 2 for part in _PI[x.type.kind])
    start = b.fma(k, first, x)  # exact
    step = b.fmul(k, second)
    step_low = b.fma(k, third, b.fma(k, second, b.fneg(step)))
    r = b.fadd(start, step)
    back = b.fsub(r, start)
    lost = b.fadd(b.fsub(start, b.fsub(r, back)), b.fsub(step, back))
    r, n, low = _mend_large(b, x, [r, n, b.fadd(lost, step_low)], per_pi=2, half=False)
    return r, n, low


def _mend_large(b: Builder, x: Value, fast: list[Value], *, per_pi: int, half: bool) -> list[Value]:
    """Replace the results of a reduction where x is too large for it."""
    large = b.fcmp("ogt", b.fabs(x), _LARGE[x.type.kind])

    def mend() -> list[Value]:
        slow = _reduce_lanes(b, x, per_pi=per_pi, half=half)
        return [b.select(large, s, v) for s, v in zip(slow, fast)]

    return b.when(b.any_lane(large), mend, fast, unlikely=True)


def _signed(b: Builder, y: Value, n: Value, bit: int) -> Value:
    """y, turned over where this bit of n is set."""
    fmt = format_of(y)
    return floats(b, b.xor(bits(b, y), b.and_(b.shl(n, fmt.width - 1 - bit), fmt.sign_bit)))


def _wide_sine(b: Builder, r: Value, n: Value) -> Value:
    """(-1)**n sin(r) for |r| <= pi/2, in float32."""
    z = b.fmul(r, r)
    return _signed(b, b.fma(b.fmul(r, z), poly(b, z, _SIN_WIDE), r), n, 0)


def _quarter_sine(b: Builder, r: Value, n: Value) -> Value:
    """sin(r + n pi / 2) for |r| <= pi/4, in float64."""
    z = b.fmul(r, r)
    sine = b.fma(b.fmul(r, z), poly(b, z, _SIN), r)
    cosine = b.fma(b.fma(poly(b, z, _COS), z, -0.5), z, 1.0)
    odd = b.icmp("ne", b.and_(n, 1), 0)
    return _signed(b, b.select(odd, cosine, sine), n, 1)


def sin(b: Builder, x: Value) -> Value:
    """The sine."""
    if x.type.kind == "f32":
        y = _wide_sine(b, *_reduce(b, x, per_pi=1))
    else:
        y = _quarter_sine(b, *_reduce(b, x, per_pi=2))
    return b.select(b.fcmp("oeq", x, 0.0), x, y)


def cos(b: Builder, x: Value) -> Value:
    """The cosine."""
    if x.type.kind == "f32":
        return _wide_sine(b, *_reduce(b, x, per_pi=1, half=True))
    r, n = _reduce(b, x, per_pi=2)
    return _quarter_sine(b, r, b.add(n, 1))


def tan(b: Builder, x: Value) -> Value:
    """The tangent."""
    r, n, low = _reduce_pair(b, x)
    z = b.fmul(r, r)
    rest = b.fma(b.fmul(r, z), poly(b, z, _TAN[x.type.kind]), b.fma(low, z, low))
    y = b.fadd(r, rest)
    y_low = b.fadd(b.fsub(r, y), rest)
    inverse = b.fdiv(1.0, y)
    minus = b.fneg(inverse)
    # 1 - (y + y_low) * inverse
    off = b.fma(minus, y_low, b.fma(minus, y, 1.0))
    y = b.select(b.icmp("ne", b.and_(n, 1), 0), b.fma(minus, off, minus), y)
    return b.select(b.fcmp("oeq", x, 0.0), x, y)


# The bits of 1/pi after 64 zeros, in words of 64 bits.
_INVERSE_PI: tuple[int, ...] = (
    0x0000000000000000,
    0x517CC1B727220A94,
    0xFE13ABE8FA9A6EE0,
    0x6DB14ACC9E21C820,
    0xFF28B1D5EF5DE2B0,
    0xDB92371D2126E970,
    0x0324977504E8C90E,
    0x7F0EF58E5894D39F,
    0x74411AFA975DA242,
    0x74CE38135A2FBF20,
    0x9CC8EB1CC1A99CFA,
    0x4E422FC5DEFC941D,
    0x8FFC4BFFEF02CC07,
    0xF79788C5AD05368F,
    0xB69B3F6793E584DB,
    0xA7A31FB34F2FF516,
    0xBA93DD63F5F2F8BD,
    0x9E839CFBC5294975,
    0x35FDAFD88FC6AE84,
    0x2B0198237E3DB5D5,
    0xF867DE104D7A1B0E,
)


def _reduce_lanes(b: Builder, x: Value, *, per_pi: int, half: bool) -> list[Value]:
    """`_reduce` for any finite x, one lane after the other; r is NaN for an infinite x."""
    fmt = format_of(x)
    lanes = x.type.lanes
    int_type = I64.like(fmt.int_kind)
    xs, rs, ns = b.alloca(x.type.scalar, lanes), b.alloca(x.type.scalar, lanes), b.alloca(int_type, lanes)
    table = b.module.data("wengert_inverse_pi", I64, _INVERSE_PI)
    b.store(x, xs)
    with b.loop(0, lanes) as loop:
        value = b.fpext(b.load(x.type.scalar, b.gep(x.type.scalar, xs, loop.index)), "f64")
        r, n = _reduce_scalar(b, value, table, per_pi=per_pi, half=half)
        b.store(b.fptrunc(r, fmt.kind), b.gep(x.type.scalar, rs, loop.index))
        b.store(b.trunc(n, fmt.int_kind), b.gep(int_type, ns, loop.index))
    r = b.load(x.type, rs)
    r = b.select(b.fcmp("one", b.fabs(x), INF), r, NAN)
    return [r, b.load(x.type.like(fmt.int_kind), ns), b.zero(x.type)]


def _reduce_scalar(b: Builder, x: Value, table: Value, *, per_pi: int, half: bool) -> tuple[Value, Value]:
    """`_reduce` for one float64 of at least 2**-11, in integers.

    |x| = m 2**e with an integer m. Of per_pi / pi only the 192 bits with weights from 2**(1 - e) down matter:
    those before give multiples of 4, those after too little. m times them, modulo 2**192, is the quotient
    modulo 4.
    """
    all_bits = bits(b, x)
    e = b.sub(b.and_(b.lshr(all_bits, 52), 0x7FF), 1075)
    m = b.or_(b.and_(all_bits, (1 << 52) - 1), 1 << 52)
    start = b.add(e, 61 + per_pi)
    first = b.smax(b.smin(b.lshr(start, 6), len(_INVERSE_PI) - 4), 0)
    shift = b.and_(start, 63)
    words = [b.load(I64, b.gep(I64, table, b.add(first, j))) for j in range(4)]
    window = [b.intrinsic("fshl", I64, (words[j], words[j + 1], shift), (I64,)) for j in range(3)]
    # The upper 128 of the 192 bits, in two words; the top one has weight 2.
    middle = b.mul(b.zext(m, "i128"), b.zext(window[1], "i128"))
    carried = b.trunc(b.lshr(b.mul(b.zext(m, "i128"), b.zext(window[2], "i128")), 64), "i64")
    u_low = b.add(b.trunc(middle, "i64"), carried)
    carry = b.zext(b.icmp("ult", u_low, carried), "i64")
    u = b.add(b.add(b.mul(m, window[0]), b.trunc(b.lshr(middle, 64), "i64")), carry)
    if half:
        u = b.add(u, 1 << 61)
    n = b.lshr(b.add(u, 1 << 61), 62)
    # What is left is a signed fraction, taken to a sum of two floats piece by piece.
    fraction = b.intrinsic("fshl", I64, (u, u_low, b.const(I64, 2)), (I64,))
    first_bits = b.fmul(b.sitofp(b.ashr(fraction, 32), "f64"), 2.0**-32)
    next_bits = b.fmul(b.sitofp(b.and_(fraction, (1 << 32) - 1), "f64"), 2.0**-64)
    last_bits = b.fmul(b.sitofp(b.lshr(b.shl(u_low, 2), 11), "f64"), 2.0**-117)
    whole = b.fadd(first_bits, next_bits)
    rest = b.fadd(b.fadd(b.fsub(first_bits, whole), next_bits), last_bits)
    high = b.fadd(whole, rest)
    low = b.fadd(b.fsub(whole, high), rest)
    pi_high, pi_low, _ = _PI["f64"]
    r = b.fma(high, pi_high / per_pi, b.fma(high, pi_low / per_pi, b.fmul(low, pi_high / per_pi)))
    if half:
        return r, n
    below = b.icmp("slt", all_bits, 0)
    return b.select(below, b.fneg(r), r), b.select(below, b.neg(n), n)
