"""Rows of the table of primitives: special functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special
from cases import FLOATS, Arg, S, binary, row, unary

from wengert import grad, lax
from wengert.scipy import special


def grad_of_sum(fun: Any) -> Any:
    """The derivative of an elementwise function in its first argument."""
    return grad(lambda *args: fun(*args).sum())


def _slope_in_a(a: Any, x: Any) -> Any:
    """The derivative of gammainc in a, by a difference of the fourth order."""
    h = 1e-3
    at = [scipy.special.gammainc(a + k * h, x) for k in (-2, -1, 1, 2)]
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)


def _sample_slope(a: Any, x: Any) -> Any:
    return -_slope_in_a(a, x) / (x ** (a - 1) * np.exp(-x) / scipy.special.gamma(a))


GAMMA: dict[str, Any] = {"args": [Arg(S, 0.5, 8), Arg(S, 0.5, 8)], "dtypes": FLOATS}
row("igamma", lax.igamma, scipy.special.gammainc, smooth=(1,), ulps=16, **GAMMA)
row("igammac", lax.igammac, scipy.special.gammaincc, smooth=(1,), ulps=16, **GAMMA)
GAMMA["dtypes"] = "float32 float16"  # the reference is good to 1e-10
row("igamma_grad_a", lax.igamma_grad_a, _slope_in_a, smooth=(1,), ulps=4, **GAMMA)
row("random_gamma_grad", lax.random_gamma_grad, _sample_slope, smooth=(1,), ulps=4, **GAMMA)

ONE: dict[str, tuple[Any, Any, float, float]] = {
    "gamma": (special.gamma, scipy.special.gamma, 0.5, 5),
    "expi": (special.expi, scipy.special.expi, 0.2, 4),
    "sine_integral": (lambda x: special.sici(x)[0], lambda x: scipy.special.sici(x)[0], -8, 8),
    "cosine_integral": (lambda x: special.sici(x)[1], lambda x: scipy.special.sici(x)[1], 0.2, 8),
    "fresnel_s": (lambda x: special.fresnel(x)[0], lambda x: scipy.special.fresnel(x)[0], -2, 2),
    "fresnel_c": (lambda x: special.fresnel(x)[1], lambda x: scipy.special.fresnel(x)[1], -2, 2),
    "spence": (special.spence, scipy.special.spence, 0.2, 0.9),
    "dawsn": (special.dawsn, scipy.special.dawsn, -4, 4),
    "dawsn, far": (special.dawsn, scipy.special.dawsn, 11, 30),
    "erfcx": (special.erfcx, scipy.special.erfcx, -2, 4),
    "erfcx, far": (special.erfcx, scipy.special.erfcx, 11, 30),
    "ndtri": (special.ndtri, scipy.special.ndtri, 0.05, 0.95),
    "bessel_j": (lambda x: special.bessel_jn(x, v=2)[2], lambda x: scipy.special.jv(2, x), -8, 8),
}
for name, (fun, reference, lo, hi) in ONE.items():
    unary(name, fun, reference, lo, hi, ulps=16)

P = Arg(S, 0.5, 4)
binary("beta function", special.beta, scipy.special.beta, (0.5, 4), (0.5, 4), ulps=32)
binary("betaln", special.betaln, scipy.special.betaln, (0.5, 4), (0.5, 4), ulps=32)
binary("binom", special.comb, scipy.special.binom, (4, 6), (0.5, 3), ulps=32)
binary("poch", special.poch, scipy.special.poch, (0.5, 4), (0.5, 3), ulps=32)
binary("owens_t", special.owens_t, scipy.special.owens_t, ulps=32)
row("expn", special.expn, scipy.special.expn, [Arg(S, choices=(1, 2, 3, 4)), P], FLOATS, smooth=(1,), ulps=32)
row("hyp1f1", special.hyp1f1, scipy.special.hyp1f1, [P, P, Arg(S)], FLOATS, smooth=(2,), ulps=64)
row(
    "hyp2f1",
    special.hyp2f1,
    scipy.special.hyp2f1,
    [P, P, P, Arg(S, -0.8, 0.6)],
    FLOATS,
    smooth=(3,),
    ulps=256,
)
row(
    "zeta_slope",
    grad_of_sum(special.zeta),
    lambda x, q: (scipy.special.zeta(x + 1e-5, q) - scipy.special.zeta(x - 1e-5, q)) / 2e-5,
    [Arg(S, 2, 5), P],
    "float32 float16",
    smooth=(1,),
    ulps=32,
)
row("riemann_zeta", special.zeta, scipy.special.zeta, [Arg(S, -4.8, -0.2)], FLOATS, ulps=64)
COMPLEX: dict[str, Any] = {"dtypes": "complex64 complex128", "ulps": 64}
for name, fun, reference in (
    ("wofz", special.wofz, scipy.special.wofz),
    ("gamma of complex numbers", special.gamma, scipy.special.gamma),
    ("loggamma of complex numbers", special.loggamma, scipy.special.loggamma),
):
    row(name, fun, reference, [Arg(S)], **COMPLEX)
