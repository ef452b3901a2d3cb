"""Elementary functions of complex numbers, composed of real operations of the loop IR.

Each takes the parts of a number and gives those of the result, with the special values and branch cuts of C99,
annex G. `exact` arguments are single floats in double precision: their squares neither overflow nor vanish, so that
the steps that guard against that are left out.

Sources: W. Kahan, "Branch cuts for complex elementary functions" (1987); T. E. Hull, T. F. Fairgrieve, P. T. P. Tang,
"Implementing the complex arcsine and arccosine functions using exception handling" (1997).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wengert.compiler.loops import BOOL, Expr

if TYPE_CHECKING:
    from wengert.compiler.lower import Block

_INF = math.inf
_LN2 = math.log(2)


class Real:
    """A real expression, with operators. Numbers beside it are of its dtype; comparisons give booleans."""

    __slots__ = ("block", "expr")

    def __init__(self, block: Block, expr: Expr):
        self.block, self.expr = block, expr

    def apply(self, name: str, *others: Real | float, dtype: Any = None) -> Real:
        """An operation of the loop IR on this and other operands."""
        args = [self.like(o).expr for o in others]
        return Real(self.block, self.block.op(name, self.expr, *args, dtype=dtype))

    def like(self, value: Real | float) -> Real:
        """A number as an expression of this dtype."""
        if isinstance(value, Real):
            return value
        return Real(self.block, self.block.const(value, self.expr.dtype))

    def convert(self, dtype: Any) -> Real:
        return Real(self.block, self.block.op("convert", self.expr, dtype=dtype))

    @property
    def single(self) -> bool:
        """Whether this is a single float."""
        return self.expr.dtype.itemsize == 4

    def __add__(self, other: Real | float) -> Real:
        return self.apply("add", other)

    def __sub__(self, other: Real | float) -> Real:
        return self.apply("sub", other)

    def __rsub__(self, other: float) -> Real:
        return self.like(other) - self

    def __mul__(self, other: Real | float) -> Real:
        return self.apply("mul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Real | float) -> Real:
        return self.apply("div", other)

    def __rtruediv__(self, other: float) -> Real:
        return self.like(other) / self

    def __neg__(self) -> Real:
        return self.apply("neg")

    def __abs__(self) -> Real:
        return self.apply("abs")

    def __lt__(self, other: Real | float) -> Real:
        return self.apply("lt", other, dtype=BOOL)

    def __le__(self, other: Real | float) -> Real:
        return self.apply("le", other, dtype=BOOL)

    def __gt__(self, other: Real | float) -> Real:
        return self.apply("gt", other, dtype=BOOL)

    def __ge__(self, other: Real | float) -> Real:
        return self.apply("ge", other, dtype=BOOL)

    def is_(self, other: Real | float) -> Real:
        """Whether this equals another number."""
        return self.apply("eq", other, dtype=BOOL)

    def __and__(self, other: Real) -> Real:
        return self.apply("and", other)

    def __or__(self, other: Real) -> Real:
        return self.apply("or", other)

    def __invert__(self) -> Real:
        return self.apply("not")

    def choose(self, then: Real | float, other: Real | float) -> Real:
        """`then` where this, a boolean, is true, else `other`; one of them at least is an expression."""
        like = then if isinstance(then, Real) else other
        assert isinstance(like, Real)
        then, other = like.like(then), like.like(other)
        return Real(self.block, self.block.op("select", self.expr, then.expr, other.expr))

    def fma(self, factor: Real, term: Real) -> Real:
        return self.apply("fma", factor, term)

    @property
    def is_finite(self) -> Real:
        return self.apply("is_finite", dtype=BOOL)

    @property
    def is_nan(self) -> Real:
        return self.apply("ne", self, dtype=BOOL)

    def signed(self, like: Real) -> Real:
        """This size with the sign of another number, be it that of a zero."""
        dtype = self.expr.dtype
        whole = np.dtype(f"int{8 * dtype.itemsize}")
        info = np.iinfo(whole)
        size = self.apply("bitcast", dtype=whole).apply("and", int(info.max))
        sign = like.apply("bitcast", dtype=whole).apply("and", int(info.min))
        return size.apply("or", sign).apply("bitcast", dtype=dtype)


Pair: TypeAlias = tuple[Real, Real]


# ---------------------------------------------------------------------------------------------- exponentials


class _Growth:
    """Exponentials beyond the range, which may come back into it when they are multiplied with something small.

    `x` less `shift` is the argument to take; `restore` multiplies with what is missing.
    """

    __slots__ = ("factors", "large", "x")

    def __init__(self, x: Real):
        far, step = (80.0, 60.0) if x.single else (700.0, 600.0)
        self.large, larger = x > far, x > far + step
        shift = self.large.choose(larger.choose(x.like(2 * step), step), 0.0)
        self.x = x - shift
        self.factors = [m.choose(x.like(math.exp(step)), 1.0) for m in (self.large, larger)]

    def restore(self, value: Real) -> Real:
        return value * self.factors[0] * self.factors[1]


def _turned(size: Real, x: Real, y: Real, cosine: Real, sine: Real) -> Pair:
    """size * (cosine + i sine), where size is exp(x) or the like: zero or infinite with x, whatever y is."""
    finite = y.is_finite
    gone, endless = ~finite & x.is_(-_INF), ~finite & x.is_(_INF)
    re = gone.choose(0.0, endless.choose(x, size * cosine))
    return re, y.is_(0.0).choose(y, gone.choose(0.0, size * sine))


def exp(x: Real, y: Real) -> Pair:
    """e**z."""
    grown = _Growth(x)
    re, im = _turned(grown.x.apply("exp"), x, y, y.apply("cos"), y.apply("sin"))
    re = y.is_(0.0).choose(x.apply("exp"), grown.restore(re))
    return re, y.is_(0.0).choose(y, grown.restore(im))


def exp2(x: Real, y: Real) -> Pair:
    """2**z."""
    # y ln 2 as a sum of two floats
    first = float(np.float32(_LN2)) if x.single else _LN2
    second = _LN2 - first if x.single else 2.3190468138462996e-17
    angle = y * first
    low = y.fma(y.like(first), -angle) + y * second
    cosine, sine = angle.apply("cos"), angle.apply("sin")
    cosine, sine = cosine - sine * low, sine + cosine * low
    step = 96.0 if x.single else 900.0
    large = x > step
    size = (x - large.choose(x.like(step), 0.0)).apply("exp2")
    re, im = _turned(size, x, y, cosine, sine)
    factor = large.choose(x.like(2.0**step), 1.0)
    return y.is_(0.0).choose(x.apply("exp2"), re * factor), y.is_(0.0).choose(y, im * factor)


def expm1(x: Real, y: Real) -> Pair:
    """e**z - 1, of which nothing cancels near zero."""
    grown = _Growth(x)
    less = grown.x.apply("expm1")
    half = y * 0.5
    s, c = half.apply("sin"), half.apply("cos")
    cosine, sine = (c - s) * (c + s), (s + s) * c
    size = (x < -0.5).choose(x.apply("exp"), less + 1.0)
    re = grown.large.choose(grown.restore(less * cosine), less * cosine - (s + s) * s)
    im = grown.restore(size * sine)
    level, endless, gone = y.is_(0.0), x.is_(_INF) & ~y.is_finite, x.is_(-_INF) & ~y.is_finite
    re = level.choose(x.apply("expm1"), endless.choose(x, gone.choose(-1.0, re)))
    return re, level.choose(y, gone.choose(0.0, im))


def logistic(x: Real, y: Real) -> Pair:
    """1 / (1 + e**-z), by e**-|x|, so that nothing overflows."""
    less, t = (-abs(x)).apply("expm1"), (-abs(x)).apply("exp")
    half = (t.is_(0.0) & ~y.is_finite).choose(0.0, y) * 0.5
    s, c = half.apply("sin"), half.apply("cos")
    rise = (c + c) * c  # 1 + cos y
    size = less * less + (t + t) * rise
    re = (x < 0.0).choose(t * (rise + less), t * rise - less) / size
    return re, t * ((s + s) * c) / size


# ---------------------------------------------------------------------------- hyperbolic and circular functions


def _hyperbolic(x: Real) -> tuple[Real, Real, Real]:
    """sinh and cosh of x >= 0, and e**-x."""
    less = x.apply("expm1")
    inverse = 1.0 / (less + 1.0)
    # e**x - 1 over e**x
    fall = (x > 40.0).choose(1.0, less * inverse)
    return (less + fall) * 0.5, less * fall * 0.5 + 1.0, inverse


def sinh(x: Real, y: Real) -> Pair:
    """The hyperbolic sine."""
    size = abs(x)
    grown = _Growth(size)
    sh, ch, _ = _hyperbolic(grown.x)
    cosine = ((x.is_(0.0) | size.is_(_INF)) & ~y.is_finite).choose(1.0, y.apply("cos"))
    re = grown.restore(sh * cosine)
    im = y.is_(0.0).choose(y, grown.restore(ch * y.apply("sin")))
    return _times_sign(re, x), im


def cosh(x: Real, y: Real) -> Pair:
    """The hyperbolic cosine."""
    size = abs(x)
    grown = _Growth(size)
    sh, ch, _ = _hyperbolic(grown.x)
    cosine = (size.is_(_INF) & ~y.is_finite).choose(1.0, y.apply("cos"))
    sine = (x.is_(0.0) & ~y.is_finite).choose(1.0, y.apply("sin"))
    im = y.is_(0.0).choose(y, grown.restore(sh * sine))
    return grown.restore(ch * cosine), _times_sign(im, x)


def _times_sign(value: Real, sign: Real) -> Real:
    """`value`, turned over where `sign` is negative or a negative zero."""
    dtype = value.expr.dtype
    whole = np.dtype(f"int{8 * dtype.itemsize}")
    bit = sign.apply("bitcast", dtype=whole).apply("and", int(np.iinfo(whole).min))
    return value.apply("bitcast", dtype=whole).apply("xor", bit).apply("bitcast", dtype=dtype)


def tanh(x: Real, y: Real) -> Pair:
    """The hyperbolic tangent: (sinh x cosh x + i sin y cos y) / (sinh(x)**2 + cos(y)**2)."""
    size = abs(x)
    large = size > (10.0 if x.single else 20.0)
    endless = size.is_(_INF) & ~y.is_finite
    sh, ch, inverse = _hyperbolic(size)
    c, s = y.apply("cos"), endless.choose(0.0, y.apply("sin"))
    c = endless.choose(1.0, c)
    total = 1.0 / (sh * sh + c * c)
    re = large.choose(c * 0.0 + 1.0, sh * ch * total)
    re = _times_sign(x.is_(0.0).choose(0.0, re), x)
    im = s * c * large.choose(inverse * inverse * 4.0, total)
    return re, y.is_(0.0).choose(y, im)


# ---------------------------------------------------------------------------------------- logarithms and roots


class _Scaled:
    """A number times a power of two that brings its square into the range."""

    __slots__ = ("big", "powers", "small", "x", "y")

    def __init__(self, x: Real, y: Real):
        most, least, down, up = (60, -30, -66, 70) if x.single else (500, -400, -540, 600)
        size = abs(x).apply("max", abs(y))
        self.big, self.small = size > 2.0**most, size < 2.0**least
        self.powers = (down, up)
        factor = self.pick(2.0**down, 2.0**up, 1.0, x)
        self.x, self.y = x * factor, y * factor

    def pick(self, big: float, small: float, other: float, like: Real) -> Real:
        return self.big.choose(like.like(big), self.small.choose(like.like(small), other))


def _endless(x: Real, y: Real) -> Real:
    """Whether a number is infinite, be the other part NaN."""
    return abs(x).is_(_INF) | abs(y).is_(_INF)


def _lost(a: Real, b: Real, total: Real) -> Real:
    """What the rounding of the sum of a and b has lost."""
    back = total - a
    return (a - (total - back)) + (b - back)


def _log_size(x: Real, y: Real, rest: Real | None = None) -> Real:
    """log |x + rest + iy|, where `rest` is below the rounding of x. Without it x is to be the greater part.

    The square of the size is formed as a sum of two floats, so that a size close to 1 leaves nothing to cancel.
    """
    scaled = _Scaled(x, y)
    a, b = scaled.x, scaled.y
    p, q = a * a, b * b
    h = p + q
    t = _lost(p, q, h)
    p_low, q_low = a.fma(a, -p), b.fma(b, -q)
    if rest is not None:
        p_low = p_low + (a + a) * rest
    first = t + p_low
    second = _lost(t, p_low, first) + q_low
    # 1 / h is 2 - h, near 1
    low = ((h > 0.5) & (h < 2.0)).choose((first + second) * (2.0 - h), 0.0)
    w = ((h - 1.0) + first) + second
    series = (((w * 0.2 - 0.25) * w + 1 / 3) * w - 0.5) * (w * w) + w
    close = abs(h - 1.0) < (2.0**-7 if x.single else 2.0**-13)
    size = close.choose(series, h.apply("log") + low) * 0.5
    down, up = scaled.powers
    return size + scaled.pick(-down * _LN2, -up * _LN2, 0.0, x)


def log(x: Real, y: Real) -> Pair:
    """The natural logarithm; its imaginary part is from -pi to pi."""
    a, b = abs(x), abs(y)
    size = _log_size(a.apply("max", b), a.apply("min", b))
    return _endless(x, y).choose(_INF, size), y.apply("atan2", x)


def log2(x: Real, y: Real) -> Pair:
    """The logarithm to base 2."""
    re, im = log(x, y)
    return re * (1 / _LN2), im * (1 / _LN2)


def log1p(x: Real, y: Real) -> Pair:
    """log(1 + z)."""
    whole = x + 1.0
    lost = _lost(x.like(1.0), x, whole)
    rest = (abs(x) < 2.0 ** (30 if x.single else 60)).choose(lost, 0.0)
    return _endless(x, y).choose(_INF, _log_size(whole, y, rest)), y.apply("atan2", whole)


class _Root:
    """The square root p + iq of x + i|y|, and the size of the number times `scale`."""

    __slots__ = ("p", "q", "scale", "size")

    def __init__(self, x: Real, y: Real, exact: bool):
        a, b = x, y
        self.scale: Real | None = None
        if not exact:
            scaled = _Scaled(x, y)
            down, up = scaled.powers
            a, b = scaled.x, scaled.y
            self.scale = scaled.pick(2.0**down, 2.0**up, 1.0, x)
        self.size = (a * a + b * b).apply("sqrt")
        t = ((abs(a) + self.size) * 0.5).apply("sqrt")
        if not exact:
            t = t * scaled.pick(2.0 ** (-down // 2), 2.0 ** (-up // 2), 1.0, x)
        wide = abs(y).is_(_INF)
        t = (abs(x).is_(_INF) | wide).choose(_INF, t)
        u = wide.choose(_INF, t.is_(0.0).choose(0.0, abs(y) / (t + t)))
        left = x < 0.0
        self.p, self.q = left.choose(u, t), left.choose(t, u)


def sqrt(x: Real, y: Real, exact: bool) -> Pair:
    """The square root whose real part is not negative."""
    root = _Root(x, y, exact)
    return root.p, root.q.signed(y)


def rsqrt(x: Real, y: Real, exact: bool) -> Pair:
    """1 / sqrt(z)."""
    root = _Root(x, y, exact)
    inverse = 1.0 / root.size
    p, q = root.p * inverse, root.q * inverse
    if root.scale is not None:
        p, q = p * root.scale, q * root.scale
    endless = _endless(x, y)
    p, q = endless.choose(0.0, p), endless.choose(0.0, q)
    return root.size.is_(0.0).choose(_INF, p), -q.signed(y)


# ------------------------------------------------------------------------------------------- inverse functions


class _Arc:
    """What asin and acos have in common, for z in the first quadrant.

    With r = |z + 1|, s = |z - 1| and a = (r + s) / 2: `root` is sqrt(a**2 - x**2), and `height` arcosh(a).
    a - x and a - 1 are sums of what is positive, so that nothing cancels.
    """

    __slots__ = ("height", "root")

    def __init__(self, x: Real, y: Real, exact: bool):
        above, below = x + 1.0, abs(x - 1.0)
        r = (above * above + y * y).apply("sqrt")
        s = (below * below + y * y).apply("sqrt")
        if not exact:
            s = below.is_(0.0).choose(y, s)
        a = (r + s) * 0.5
        wide = s + below
        ratio = y / (r + above), wide.is_(0.0).choose(0.0, y / wide)
        inner = x <= 1.0
        slope = (ratio[0] + ratio[1]) * 0.5
        thin, thick = slope * y, (ratio[0] * y + wide) * 0.5  # a - max(x, 1), and a - min(x, 1)
        far, near = a + inner.choose(1.0, x), a + inner.choose(x, 1.0)
        if exact:
            small = (thin * far).apply("sqrt")
        else:  # the product of y and the slope may vanish
            small = y.apply("sqrt") * (slope * far).apply("sqrt")
        large = (thick * near).apply("sqrt")
        root = inner.choose(large, small)
        term = inner.choose(thin + small, thick + large)
        endless = x.is_(_INF) | y.is_(_INF)
        if exact:
            self.root = endless.choose(y, root)
            self.height = endless.choose(_INF, term.apply("log1p"))
            return
        # far out root is y, and a is |z|
        outside = (x > 2.0**56) | (y > 2.0**56)
        c = outside.choose(x.like(2.0**-520), 1.0)
        size = ((x * c) * (x * c) + (y * c) * (y * c)).apply("sqrt") * 2.0**519
        height = outside.choose(size, term).apply("log1p") + outside.choose(x.like(2 * _LN2), 0.0)
        self.root = outside.choose(y, root)
        self.height = endless.choose(_INF, height)


def asin(x: Real, y: Real, exact: bool) -> Pair:
    """The angle whose sine is z."""
    arc = _Arc(abs(x), abs(y), exact)
    re = x.is_(0.0).choose(x, x.apply("atan2", arc.root))
    return re, arc.height.signed(y)


def acos(x: Real, y: Real, exact: bool) -> Pair:
    """The angle whose cosine is z."""
    arc = _Arc(abs(x), abs(y), exact)
    re = x.is_(0.0).choose(math.pi / 2, arc.root.apply("atan2", x))
    return re, -arc.height.signed(y)


def acosh(x: Real, y: Real, exact: bool) -> Pair:
    """The number whose hyperbolic cosine is z, with a real part that is not negative."""
    re, im = acos(x, y, exact)
    return abs(im), re.signed(y)


def atanh(x: Real, y: Real, exact: bool) -> Pair:
    """The number whose hyperbolic tangent is z."""
    a, b = abs(x), abs(y)
    beside = 1.0 - a
    angle = (y + y).apply("atan2", beside * (a + 1.0) - y * y) * 0.5
    endless = a.is_(_INF) | b.is_(_INF)
    outer = math.pi / 2
    if exact:
        ratio = a * 4.0 / (beside * beside + b * b)
        re = ratio.apply("log1p") * 0.25
        angle = ((a.is_(_INF) & ~y.is_nan) | b.is_(_INF)).choose(y.like(outer).signed(y), angle)
    else:
        outside = (a > 2.0**56) | (b > 2.0**56)
        c = outside.choose(x.like(2.0**-520), 1.0)
        u, v = outside.choose(a * c, beside), b * c
        ratio = a * c / (u * u + v * v) * c * 4.0
        tip = a.is_(1.0) & (b < 2.0**-500)  # where squares vanish
        re = tip.choose(2.0 / b, ratio).apply("log1p") * tip.choose(x.like(0.5), 0.25)
        angle = ((outside & ~y.is_nan & ~x.is_nan) | b.is_(_INF)).choose(y.like(outer).signed(y), angle)
    re = x.is_(0.0).choose(0.0, endless.choose(0.0, re))
    return re.signed(x), angle


# ------------------------------------------------------------------------------------------------------- powers


def power(x: Real, y: Real, c: Real, d: Real, exact: bool, size: Real) -> Pair:
    """(x + iy)**(c + id), where `size` is |x + iy|. The power of 0 is that of NumPy: 1 if the exponent is 0, 0 if it is
    real and positive, else NaN."""
    height, angle = log(x, y)
    modulus = (c * height - d * angle).apply("exp")
    if not exact:
        modulus = d.is_(0.0).choose(size.apply("pow", c), modulus)
    turn = d * height + c * angle
    re, im = modulus * turn.apply("cos"), modulus * turn.apply("sin")
    nothing, unchanged = x.is_(0.0) & y.is_(0.0), c.is_(0.0) & d.is_(0.0)
    defined = (c > 0.0) & d.is_(0.0)
    nan = math.nan
    re = unchanged.choose(1.0, nothing.choose(defined.choose(x.like(0.0), nan), re))
    return re, unchanged.choose(0.0, nothing.choose(defined.choose(x.like(0.0), nan), im))
