"""sin, cos, tan and their inverses as vector arithmetic.

The argument is reduced to |r| <= pi/2 (for tan pi/4) by subtracting a multiple of pi in three parts (Cody and Waite),
exact enough while the multiple is not too large. Where some lane's argument is larger, a branch that is rarely taken
reduces lane by lane with 192 bits of 1/pi (Payne and Hanek).
"""

from __future__ import annotations

from wengert.backends.irbuilder import F64, I64, I128, Builder, Value
from wengert.backends.vecmath_core import INF, NAN, bits, floats, format_of, nearest_integer, poly

_PI = {
    "f32": (3.1415927410125732, -8.742277657347586e-08, -3.4302490200117637e-15),
    "f64": (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33),
}
# Up to here the reduction in three parts is exact enough.
_LARGE = {"f32": 1.0e5, "f64": 1.0e9}

# (sin(r) - r) / r**3 as a polynomial of r**2 on |r| <= pi/2; relative error of sin 6.2e-9 (float32), 2.4e-19 (float64).
_SIN = {
    "f32": (-0.16666659712791443, 0.008333069272339344, -0.00019809773948509246, 2.606081807243754e-06),
    "f64": (
        -0.16666666666666666,
        0.008333333333333217,
        -0.00019841269841219496,
        2.7557319213395626e-06,
        -2.505210714782335e-08,
        1.6058959239574684e-10,
        -7.643796483991918e-13,
        2.739007979967818e-15,
        -1.6420156140562337e-18,
    ),
}


def _subtract(b: Builder, x: Value, k: Value, scale: float) -> Value:
    """x - k pi scale, for a power of two `scale`."""
    for part in _PI[x.type.kind]:
        x = b.fma(k, -part * scale, x)
    return x


def _reduce(b: Builder, x: Value, *, per_pi: int, half: bool) -> tuple[Value, Value]:
    """r and n, right in its low bit, with x = r + (n - (1/2 if half else 0)) pi / per_pi, and |r| <= pi / (2 per_pi)."""
    kind = x.type.kind
    k, n = nearest_integer(b, x, 0.3183098861837907 * per_pi, 0.5 if half else 0.0)
    r = _subtract(b, x, b.fsub(k, 0.5) if half else k, 1.0 / per_pi)
    large = b.fcmp("ogt", b.fabs(x), _LARGE[kind])

    def mend() -> list[Value]:
        slow = _reduce_lanes(b, x, per_pi=per_pi, half=half)
        return [b.select(large, s, v) for s, v in zip(slow, (r, n))]

    r, n = b.when(b.any_lane(large), mend, [r, n])
    return r, n


def sin(b: Builder, x: Value) -> Value:
    """The sine."""
    r, n = _reduce(b, x, per_pi=1, half=False)
    y = _signed_sine(b, r, n)
    return b.select(b.fcmp("oeq", x, 0.0), x, y)


def cos(b: Builder, x: Value) -> Value:
    """The cosine."""
    return _signed_sine(b, *_reduce(b, x, per_pi=1, half=True))


def _signed_sine(b: Builder, r: Value, n: Value) -> Value:
    """(-1)**n sin(r)."""
    z = b.fmul(r, r)
    y = b.fma(b.fmul(r, z), poly(b, z, _SIN[r.type.kind]), r)
    return floats(b, b.xor(bits(b, y), b.shl(n, format_of(r).width - 1)))


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
    xs, rs = b.alloca(x.type.scalar, lanes), b.alloca(x.type.scalar, lanes)
    ns = b.alloca(I64.like(fmt.int_kind), lanes)
    int_type = I64.like(fmt.int_kind)
    table = b.module.data("wengert_inverse_pi", I64, _INVERSE_PI)
    b.store(x, xs)
    with b.loop(0, lanes) as loop:
        value = b.fpext(b.load(x.type.scalar, b.gep(x.type.scalar, xs, loop.index)), "f64")
        r, n = _reduce_scalar(b, value, table, per_pi=per_pi, half=half)
        b.store(b.fptrunc(r, fmt.kind), b.gep(x.type.scalar, rs, loop.index))
        b.store(b.trunc(n, fmt.int_kind), b.gep(int_type, ns, loop.index))
    r = b.load(x.type, rs)
    r = b.select(b.fcmp("one", b.fabs(x), INF), r, NAN)
    return [r, b.load(x.type.like(fmt.int_kind), ns)]


def _reduce_scalar(b: Builder, x: Value, table: Value, *, per_pi: int, half: bool) -> tuple[Value, Value]:
    """`_reduce` for one float64 of at least 2**-11, in integers.

    x = m 2**e with an integer m. Of 1/pi only the bits with weights 2**-e to 2**(-191 - e) matter: those before give
    multiples of 2, those after too little. m times them, modulo 2**192, is x / pi modulo 2 as a binary fraction.
    """
    all_bits = bits(b, x)
    e = b.sub(b.and_(b.lshr(all_bits, 52), 0x7FF), 1075)
    m = b.or_(b.and_(all_bits, (1 << 52) - 1), 1 << 52)
    start = b.add(e, 62 + per_pi)
    first = b.smax(b.smin(b.lshr(start, 6), len(_INVERSE_PI) - 4), 0)
    shift = b.and_(start, 63)
    words = [b.load(I64, b.gep(I64, table, b.add(first, j))) for j in range(4)]
    window = [b.intrinsic("fshl", I64, (words[j], words[j + 1], shift), (I64,)) for j in range(3)]
    wide = [b.mul(b.zext(m, "i128"), b.zext(w, "i128")) for w in window]
    # The upper 128 of the 192 bits; the top one has weight 1.
    u = b.add(b.add(b.lshr(wide[2], 64), wide[1]), b.shl(wide[0], 64))
    if half:
        u = b.add(u, 1 << 126)
    n = b.trunc(b.lshr(b.add(u, 1 << 126), 127), "i64")
    fraction = b.shl(u, 1)
    negative = b.icmp("slt", fraction, 0)
    size = b.select(negative, b.neg(fraction), fraction)
    zeros = b.ctlz(size)
    size = b.shl(size, b.and_(zeros, 127))
    scale = floats(b, b.shl(b.sub(1023 - 53, b.trunc(zeros, "i64")), 52))
    high = b.fmul(b.uitofp(b.trunc(b.lshr(size, 75), "i64"), "f64"), scale)
    rest = b.and_(b.trunc(b.lshr(size, 22), "i64"), (1 << 53) - 1)
    low = b.fmul(b.uitofp(rest, "f64"), b.fmul(scale, 2.0**-53))
    pi_high, pi_low, _ = _PI["f64"]
    r = b.fma(high, pi_high / per_pi, b.fma(high, pi_low / per_pi, b.fmul(low, pi_high / per_pi)))
    # cos needs no more, as it is even; the others are odd.
    flip = negative if half else b.xor(negative, b.icmp("slt", all_bits, 0))
    return b.select(flip, b.fneg(r), r), n
