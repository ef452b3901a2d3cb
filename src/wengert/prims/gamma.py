"""Functions of the gamma family: gamma, beta, binomial coefficients, incomplete gamma functions.

Sources: NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, 5.11 and chapter 8; for the
derivative of a sample, Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.prims.arithmetic import add, div, mul, neg, real, square, sub
from wengert.prims.constructors import Rule, constant, dtype_of, same_dtype
from wengert.prims.elementwise import FLOATS, REALS, elementwise
from wengert.prims.formulas import NUMBERS, as_program
from wengert.prims.logic import eq, lt
from wengert.prims.select import select
from wengert.prims.special import digamma, in_double, lgamma
from wengert.prims.transcendental import exp, log, sin

scipy_special = lazy_module("scipy.special")


# ------------------------------------------------------------------------------ how a sample moves with its shape

# The derivative of a sample x of the gamma distribution of shape a, its probability held fixed, is
# -(dP(a, x)/da) / p(a, x), where p is the density and P = gammainc. With t = x exp(w) in the integrals of
# the derivatives of P and of 1 - P this is
#
#     x int e(w) (psi(a) - log(x) - w) dw  over w < 0,  and  x int e(w) (w + log(x) - psi(a)) dw  over w > 0,
#
# where e(w) = exp(a w - x (exp(w) - 1)) / x. Either is exact; on its own side of log(x) = psi(a) the integrand
# of the one or of the other does not change sign, so that nothing cancels. Where a or x is small the integrand
# has a sharp bend, and there the power series of P is used.

_SERIES_UP_TO = 30.0  # shapes for which the series has few terms
_NEGLIGIBLE = 40.0  # exp(-40) is less than the rounding error of a double


def _log_minus_digamma(xp: Any, a: Any) -> Any:
    """log(a) - psi(a), for a > 10 without cancellation (DLMF 5.11.2)."""
    y = 1 / xp.maximum(a, 10.0)
    z = y * y
    tail = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z * (1 / 132 - z * 691 / 32760)))))
    return xp.where(a > 10, y / 2 + tail, xp.log(a) - xp.psi(a))


def _log1p_minus(xp: Any, u: Any) -> Any:
    """log(1 + u) - u, accurate near 0 (DLMF 4.6.4)."""
    r = u / (2 + u)
    z = r * r
    odd = 1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * (1 / 13 + z / 15)))))
    return xp.where(xp.abs(u) < 0.1, r * (2 * z * odd - u), xp.log1p(u) - u)


def _log_density_times_x(xp: Any, a: Any, x: Any) -> Any:
    """log(x**a exp(-x) / gamma(a)): the direct formula loses digits where a is large (DLMF 5.11.1)."""
    y = 1 / xp.maximum(a, 10.0)
    z = y * y
    stirling = y * (
        1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z * (1 / 1188 - z * 691 / 360360))))
    )
    large = a * _log1p_minus(xp, (x - a) / a) + 0.5 * xp.log(a / (2 * np.pi)) - stirling
    return xp.where(a > 10, large, a * xp.log(x) - x - xp.gammaln(a))


def _expm1_minus(xp: Any, w: Any) -> Any:
    """exp(w) - 1 - w, accurate near 0."""
    series = 1 + w / 3 * (1 + w / 4 * (1 + w / 5 * (1 + w / 6 * (1 + w / 7 * (1 + w / 8 * (1 + w / 9))))))
    return xp.where(xp.abs(w) < 0.05, w * w / 2 * series, xp.expm1(w) - w)


def _slope_by_series(a: Any, x: Any) -> Any:
    """By the derivative of DLMF 8.7.1: of x**n / ((a + 1) ... (a + n)), summed, times x**a exp(-x) / gamma(a + 1)."""
    factor = np.log(x) - scipy_special.psi(a + 1)
    term, total, n = np.ones_like(a), factor.copy(), 0
    while n < 400 and np.any(term > 1e-18):
        n += 1
        term = term * (x / (a + n))
        factor = factor - 1 / (a + n)
        total += term * factor
    return -total * x / a


def _slope_by_quadrature(a: Any, x: Any) -> Any:
    """By the integral that does not cancel, over the part where the integrand is not negligible."""
    excess = x - a
    offset = np.log(x) - scipy_special.psi(a)
    large = a > _SERIES_UP_TO
    ratio = np.where(large, excess / a, 0.0)
    close = large & (np.abs(ratio) < 0.5)
    offset = np.where(close, np.log1p(np.where(close, ratio, 0.0)) + _log_minus_digamma(NUMBERS, a), offset)
    upper = offset > 0
    # Bounds of w by simpler exponents: x w**2 / 2 + (x - a) w above 0, -x w**2 / (2 - w) - (a - x) w below.
    above = 2 * _NEGLIGIBLE / (excess + np.sqrt(excess * excess + 2 * _NEGLIGIBLE * x))
    half = _NEGLIGIBLE / 2 + excess
    below = (half + np.sqrt(half * half + 2 * _NEGLIGIBLE * a)) / a
    end = np.where(upper, above, -below)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    w = end[:, None] * (nodes + 1) / 2
    x_, excess_, offset_ = x[:, None], excess[:, None], offset[:, None]
    integrand = np.exp(-excess_ * w - x_ * _expm1_minus(NUMBERS, w)) * (w + offset_)
    return np.abs(end) / 2 * (integrand @ weights) * np.where(upper, x, -x)


def _sample_slope(a: Any, x: Any) -> Any:
    """For finite a > 0 and x > 0, flat arrays."""
    found = np.empty_like(a)
    series = (x <= 1) | ((a <= _SERIES_UP_TO) & (x <= a + 0.5))
    if series.any():
        found[series] = _slope_by_series(a[series], x[series])
    rest = np.flatnonzero(~series)
    for start in range(0, rest.size, 4096):  # blocks that fit into the cache, 80 nodes each
        block = rest[start : start + 4096]
        found[block] = _slope_by_quadrature(a[block], x[block])
    return found


_TERMS = 80  # of the series: with x up to 30.5 and a + 30 they are below 1e-18 by then
_NODES = {"float64": 192}  # for which errors are 1e-14
_FEW_NODES = 96  # 1e-9


def _slope_in_program(xp: Any, a: Any, x: Any, nodes: int) -> Any:
    """`_sample_slope` without choices by element: all terms of the series, and both formulas everywhere."""
    series = (x <= 1) | ((a <= _SERIES_UP_TO) & (x <= a + 0.5))
    return xp.where(
        series,
        _series_in_program(xp, xp.where(series, a, 1.0), xp.where(series, x, 1.0)),
        _quadrature_in_program(xp, xp.where(series, 31.0, a), xp.where(series, 31.0, x), nodes),
    )


def _series_in_program(xp: Any, a: Any, x: Any) -> Any:
    """`_slope_by_series`."""
    factor = xp.log(x) - xp.psi(a + 1)
    term, total = xp.where(a > 0, 1.0, 1.0), factor
    for n in range(1, _TERMS):
        share = 1 / (a + n)
        term, factor = term * (x * share), factor - share
        total = total + term * factor
    return -total * x / a


def _quadrature_in_program(xp: Any, a: Any, x: Any, nodes: int) -> Any:
    """`_slope_by_quadrature` by the rule of Takahasi and Mori (1974), whose nodes and weights are formulas."""
    excess = x - a
    large = a > _SERIES_UP_TO
    ratio = xp.where(large, excess / a, 0.0)
    close = large & (xp.abs(ratio) < 0.5)
    near = xp.log1p(xp.where(close, ratio, 0.0)) + _log_minus_digamma(xp, a)
    offset = xp.where(close, near, xp.log(x) - xp.psi(a))
    upper = offset > 0
    above = 2 * _NEGLIGIBLE / (excess + xp.sqrt(excess * excess + 2 * _NEGLIGIBLE * x))
    half = _NEGLIGIBLE / 2 + excess
    below = (half + xp.sqrt(half * half + 2 * _NEGLIGIBLE * a)) / a
    end = xp.where(upper, above, -below)

    def points(k: Any) -> tuple[Any, Any]:
        """Where on the way from 0 to `end`, and the weights."""
        t = (k - (nodes - 1) / 2) * (6.4 / nodes)
        angle = np.pi / 2 * xp.sinh(t)
        weight = (3.2 / nodes) * (np.pi / 2) * xp.cosh(t) / (xp.cosh(angle) * xp.cosh(angle))
        return 1 / (1 + xp.exp(-2 * angle)), weight

    def term(place: Any, weight: Any, end: Any, x: Any, excess: Any, offset: Any) -> Any:
        w = end * place
        return weight * xp.exp(-excess * w - x * _expm1_minus(xp, w)) * (w + offset)

    total = xp.sum_over(nodes, points, term, end, x, excess, offset)
    return xp.abs(end) * total * xp.where(upper, x, -x)


def _program(in_a: bool) -> Rule:
    """The formula of igamma_grad_a, or of random_gamma_grad, on all of their domain."""

    def formula(xp: Any, a: Any, x: Any, nodes: int) -> Any:
        shaped = (a > 0) & xp.isfinite(a)
        inside = shaped & (x > 0) & xp.isfinite(x)
        safe_a, safe_x = xp.where(inside, a, 1.0), xp.where(inside, x, 1.0)
        found = _slope_in_program(xp, safe_a, safe_x, nodes)
        if in_a:
            found = -found / safe_x * xp.exp(_log_density_times_x(xp, safe_a, safe_x))
        outside = xp.where(shaped & (x == np.inf), 0.0 if in_a else np.inf, np.nan)
        return xp.where(inside, found, xp.where(shaped & (x == 0), 0.0, outside))

    def expand(*avals: ShapedArray) -> ClosedJaxpr:
        found: ClosedJaxpr = as_program(formula)(*avals, nodes=_NODES.get(avals[-1].dtype.name, _FEW_NODES))
        return found

    return expand


def _on_domain(a: Any, x: Any, compute: Callable[[Any, Any], Any], at_infinity: float) -> Any:
    """`compute` where both are positive and finite, 0 where x is 0, NaN outside of the domain."""
    dtype = np.asarray(x).dtype
    a, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(x, np.float64))
    shaped = (a > 0) & np.isfinite(a)
    found = np.where(shaped & (x == 0), 0.0, np.nan)
    found = np.where(shaped & (x == np.inf), at_infinity, found)
    inside = shaped & (x > 0) & np.isfinite(x)
    with np.errstate(all="ignore"):
        found[inside] = compute(a[inside], x[inside])
        return found.astype(dtype)


def _slope_in_a(a: Any, x: Any) -> Any:
    return -_sample_slope(a, x) / x * np.exp(_log_density_times_x(NUMBERS, a, x))


# ------------------------------------------------------------------------------------------------- primitives


def _density(a: Any, x: Any) -> Any:
    """The derivative of igamma in x."""
    endless = eq(x, constant(x, np.inf))  # there the logarithm below would be inf - inf
    y = select(endless, constant(x, 1), x)
    density = exp(sub(sub(mul(sub(a, constant(a, 1)), log(y)), y), lgamma(a)))
    return select(endless, constant(x, 0), density)


def _no_slope(t: Any, out: Any, a: Any, x: Any) -> Any:
    raise ValueError(
        "igamma, igammac and the samples of gamma are differentiable once in a, but not twice. Wrap a in "
        "lax.stop_gradient for one of the derivatives."
    )


igamma_grad_a_p = elementwise(
    "igamma_grad_a",
    lambda xp, a, x: _on_domain(a, x, _slope_in_a, 0.0),
    expand=_program(in_a=True),
    accepts=REALS,
    derivatives=(
        _no_slope,
        lambda t, out, a, x: mul(t, mul(_density(a, x), sub(log(x), digamma(a)))),
    ),
)

random_gamma_grad_p = elementwise(
    "random_gamma_grad",
    lambda xp, a, x: _on_domain(a, x, _sample_slope, np.inf),
    expand=_program(in_a=False),
    accepts=REALS,
    derivatives=(
        _no_slope,
        lambda t, out, a, x: mul(
            t,
            sub(
                sub(digamma(a), log(x)),
                mul(out, sub(div(sub(a, constant(a, 1)), x), constant(a, 1))),
            ),
        ),
    ),
)

igamma_p = elementwise(
    "igamma",
    in_double("gammainc"),
    loop="gammainc",
    accepts=REALS,
    derivatives=(
        lambda t, out, a, x: mul(t, igamma_grad_a(a, x)),
        lambda t, out, a, x: mul(t, _density(a, x)),
    ),
)

igammac_p = elementwise(
    "igammac",
    in_double("gammaincc"),
    loop="gammaincc",
    accepts=REALS,
    derivatives=(
        lambda t, out, a, x: mul(neg(t), igamma_grad_a(a, x)),
        lambda t, out, a, x: mul(neg(t), _density(a, x)),
    ),
)


def igamma(a: Any, x: Any) -> Any:
    """The regularized lower incomplete gamma function P(a, x), for a >= 0 and x >= 0; NaN elsewhere.

    It is the integral of t**(a - 1) exp(-t) from 0 to x, over gamma(a). Arguments are floats of one dtype and
    of one shape, or scalars.
    """
    return igamma_p.bind(*same_dtype("igamma", a, x))


def igammac(a: Any, x: Any) -> Any:
    """1 - igamma(a, x), exact where that is small."""
    return igammac_p.bind(*same_dtype("igammac", a, x))


def igamma_grad_a(a: Any, x: Any) -> Any:
    """The derivative of igamma(a, x) in a."""
    return igamma_grad_a_p.bind(*same_dtype("igamma_grad_a", a, x))


def random_gamma_grad(*args: Any) -> Any:
    """The derivative in a of a sample x of the gamma distribution of shape a, its probability held fixed.

    Args:
      *args: a and x.
    """
    a, x = same_dtype("random_gamma_grad", *args)
    return random_gamma_grad_p.bind(a, x)


# -------------------------------------------------------------------------- gamma and beta, and what counts subsets


def _trigamma(z: Any) -> Any:
    """The derivative of digamma at complex numbers, with Re z >= 0 (DLMF 5.15.5, 5.15.8)."""
    total: Any = constant(z, 0)
    for k in range(12):
        total = add(total, div(constant(z, 1), square(add(z, constant(z, k)))))
    y = div(constant(z, 1), add(z, constant(z, 12)))
    square_y = square(y)
    tail: Any = constant(z, 0)
    for b in (-3617 / 510, 7 / 6, -691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6):  # Bernoulli numbers
        tail = mul(square_y, add(constant(z, b), tail))
    return add(total, mul(y, add(add(constant(z, 1), div(y, constant(z, 2))), tail)))


def _psi_slope(t: Any, out: Any, z: Any) -> Any:
    left = lt(real(z), constant(real(z), 0))
    mirrored = sub(constant(z, 1), z)
    right = _trigamma(select(left, mirrored, z))
    sine = sin(mul(constant(z, np.pi), select(left, z, constant(z, 0.5))))
    reflected = sub(div(constant(z, np.pi**2), square(sine)), right)  # DLMF 5.15.6
    return mul(t, select(left, reflected, right))


psi_p = elementwise("psi", in_double("psi"), loop="psi", accepts="c", derivatives=(_psi_slope,))


def _digamma(x: Any) -> Any:
    return psi_p.bind(x) if dtype_of(x).kind == "c" else digamma(x)


# As SciPy's, of real and of complex numbers; the logarithm of the gamma function is NaN for real x < 0.
gamma_p = elementwise(
    "gamma",
    in_double("gamma"),
    loop="gamma",
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, mul(out, _digamma(x))),),
)
loggamma_p = elementwise(
    "loggamma",
    in_double("loggamma"),
    loop="loggamma",
    accepts=FLOATS,
    derivatives=(lambda t, out, x: mul(t, _digamma(x)),),
)

beta_p = elementwise(
    "beta",
    in_double("beta"),
    loop="beta",
    accepts=REALS,
    derivatives=(
        lambda t, out, a, b: mul(t, mul(out, sub(digamma(a), digamma(add(a, b))))),
        lambda t, out, a, b: mul(t, mul(out, sub(digamma(b), digamma(add(a, b))))),
    ),
)
betaln_p = elementwise(
    "betaln",
    in_double("betaln"),
    loop="betaln",
    accepts=REALS,
    derivatives=(
        lambda t, out, a, b: mul(t, sub(digamma(a), digamma(add(a, b)))),
        lambda t, out, a, b: mul(t, sub(digamma(b), digamma(add(a, b)))),
    ),
)


def _after(x: Any) -> Any:
    return digamma(add(x, constant(x, 1)))


binom_p = elementwise(
    "binom",
    in_double("binom"),
    loop="binom",
    accepts=REALS,
    derivatives=(
        lambda t, out, n, k: mul(t, mul(out, sub(_after(n), _after(sub(n, k))))),
        lambda t, out, n, k: mul(t, mul(out, sub(_after(sub(n, k)), _after(k)))),
    ),
)
poch_p = elementwise(
    "poch",
    in_double("poch"),
    loop="poch",
    accepts=REALS,
    derivatives=(
        lambda t, out, z, m: mul(t, mul(out, sub(digamma(add(z, m)), digamma(z)))),
        lambda t, out, z, m: mul(t, mul(out, digamma(add(z, m)))),
    ),
)
