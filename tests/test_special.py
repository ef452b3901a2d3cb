"""`wengert.scipy.special` over wide ranges, at the edges of domains, and its derivatives, against SciPy and mpmath."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

import wengert
import wengert.numpy as wnp
from wengert import lax
from wengert.scipy import special

INF, NAN = np.inf, np.nan
WIDE = np.array(
    [-INF, -300.0, -20.5, -3.0, -1.0, -0.5, -1e-3, 0.0, 1e-3, 0.3, 1.0, 2.5, 9.0, 30.0, 300.0, INF, NAN]
)
UP = WIDE[7:]
UNIT = np.array([0.0, 1e-6, 0.02, 0.4, 0.5, 0.73, 0.98, 1.0, 1.5, -0.5, NAN])

# The name, and the points for each argument; they are broadcast against each other.
FUNCTIONS: list[tuple[Any, ...]] = [
    ("gamma", WIDE),
    ("gammaln", WIDE[1:]),
    ("digamma", UP),
    ("beta", UP[1:-2], UP[1:-2, None]),
    ("betaln", UP[1:-2], UP[1:-2, None]),
    ("gammainc", UP, UP[:, None]),
    ("gammaincc", UP, UP[:, None]),
    ("betainc", UP[1:-2], UP[1:-2, None], UNIT[:, None, None]),
    ("factorial", np.array([-2.0, 0.0, 1.0, 3.0, 4.5, 12.0, 30.0, INF])),
    ("poch", UP[1:-3], np.array([-0.3, 0.0, 1.0, 2.5, 5.0])[:, None]),
    ("zeta", np.array([1.0, 1.001, 2.0, 7.5, 40.0, 0.5, NAN]), UP[1:-1, None]),
    ("zeta", np.array([-7.5, -4.0, -1.0, -0.5, 0.0, 0.3, 0.5, 1.0, 1.1, 2.0, 30.0])),
    ("erf", WIDE),
    ("erfc", WIDE),
    ("erfcx", WIDE[3:]),
    ("erfinv", 2 * UNIT - 1),
    ("dawsn", WIDE),
    ("ndtr", WIDE),
    ("ndtri", UNIT),
    ("log_ndtr", WIDE),
    ("owens_t", WIDE, WIDE[:, None]),
    ("expi", WIDE),
    ("exp1", UP),
    ("expn", np.array([0.0, 1.0, 2.0, 5.0, 30.0]), UP[1:, None]),
    ("spence", UP),
    ("i0", WIDE[2:-3]),
    ("i0e", WIDE),
    ("i1", WIDE[2:-3]),
    ("i1e", WIDE),
    ("expit", WIDE),
    ("logit", UNIT),
    ("entr", WIDE),
    ("rel_entr", WIDE, WIDE[:, None]),
    ("kl_div", WIDE[1:-2], WIDE[1:-2, None]),
    ("xlogy", WIDE, UP[:, None]),
    ("xlog1py", WIDE, UP[:, None]),
    ("boxcox", UP[1:-2], np.array([-2.0, 0.0, 1e-3, 1.0, 2.5])[:, None]),
    ("boxcox1p", UP[:-2], np.array([-2.0, 0.0, 1e-3, 1.0, 2.5])[:, None]),
    ("hyp1f1", np.array([-1.5, 0.3, 2.0]), np.array([0.5, 3.0])[:, None], np.linspace(-30, 30, 7)[:, None, None]),
    ("hyp2f1", np.array([-1.5, 0.3, 2.0]), np.array([0.5, 3.0])[:, None], 2.25, np.linspace(-2, 0.9, 5)[:, None, None]),
]  # fmt: skip
IDS = [f"{row[0]}, {len(row) - 1}" for row in FUNCTIONS]


def both(row: tuple[Any, ...], dtype: Any) -> tuple[Any, Any]:
    name, *args = row
    args = [np.asarray(a, dtype) for a in args]
    with np.errstate(all="ignore"):
        return getattr(special, name), (args, getattr(scipy.special, name)(*[a.astype(float) for a in args]))


@pytest.mark.parametrize("row", FUNCTIONS, ids=IDS)
def test_single_precision(row: tuple[Any, ...]) -> None:
    function, (args, expected) = both(row, np.float32)
    found = wengert.jit(function)(*args)
    assert found.dtype == wnp.float32
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float32)
    tiny = 2e-38  # compiled code flushes denormal numbers to zero
    np.testing.assert_allclose(found, np.where(np.abs(expected) < tiny, 0, expected), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("row", FUNCTIONS, ids=IDS)
@pytest.mark.usefixtures("x64")
def test_double_precision(row: tuple[Any, ...]) -> None:
    function, (args, expected) = both(row, np.float64)
    found = function(*args)
    assert found.dtype == wnp.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9 if row[0] == "log_ndtr" else 1e-12, atol=1e-14)


EXACT: dict[str, tuple[Any, list[tuple[float, ...]]]] = {
    "gammainc": (
        lambda a, x: mpmath.gammainc(a, 0, x, regularized=True),
        [(0.3, 0.1), (4, 9), (80, 70), (1e-3, 2)],
    ),
    "gammaincc": (lambda a, x: mpmath.gammainc(a, x, regularized=True), [(0.3, 4), (4, 2), (80, 95)]),
    "hyp1f1": (mpmath.hyp1f1, [(0.5, 1.5, -3), (2, 0.7, 8), (-1.3, 2.5, 20), (1.2, 3.3, -40)]),
    "hyp2f1": (mpmath.hyp2f1, [(0.5, 1.5, 2.2, 0.3), (2, 0.7, 3.1, -4), (1.2, 0.4, 2.9, 0.95)]),
    "zeta": (mpmath.zeta, [(1.5, 0.3), (3, 1), (12, 4), (2, 50)]),
    "betaln": (lambda a, b: mpmath.log(mpmath.beta(a, b)), [(0.3, 4), (40, 50)]),
    "poch": (mpmath.rf, [(0.3, 1.4), (5, 2.5)]),
    "comb": (mpmath.binomial, [(5.5, 2), (20, 9.5)]),
    "xlogy": (lambda x, y: x * mpmath.log(y), [(0, 2), (3, 0.1)]),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.usefixtures("x64")
def test_derivatives_in_all_arguments(name: str) -> None:
    function, points = EXACT[name]
    for point in points:
        arguments = tuple(range(len(point)))
        found = wengert.jit(wengert.grad(getattr(special, name), arguments))(*map(float, point))
        with mpmath.workdps(30):
            for i in arguments:
                exact = mpmath.diff(function, point, tuple(int(i == j) for j in arguments))
                np.testing.assert_allclose(float(found[i]), float(exact), rtol=1e-9, err_msg=f"{point}, {i}")


def test_riemann_zeta() -> None:
    for x in (-5.5, -2.0, 0.3, 0.7, 3.0):
        np.testing.assert_allclose(wengert.grad(special.zeta)(x), float(mpmath.zeta(x, 1, 1)), rtol=3e-6)


@pytest.mark.usefixtures("x64")
def test_how_samples_of_gamma_move_with_the_shape() -> None:
    """Also where the density underflows, and for shapes at which series would not converge."""
    for a, x in [(1e-3, 1e-30), (0.3, 0.2), (2, 900), (35, 30), (1e3, 1.1e3)]:
        ends, sign = ([0, x], -1) if x < a else ([x], 1)  # the integral of the smaller side keeps its digits
        with mpmath.workdps(40):
            slope = sign * mpmath.diff(lambda s, e=ends: mpmath.gammainc(s, *e, regularized=True), a)
            density = mpmath.mpf(x) ** (a - 1) * mpmath.exp(-x) / mpmath.gamma(a)
            expected = float(slope / density)
        np.testing.assert_allclose(lax.random_gamma_grad(float(a), float(x)), expected, rtol=1e-11)
    np.testing.assert_allclose(lax.random_gamma_grad(1e10, 1e10), 1 + 1 / 6e10, rtol=1e-14)


def test_derivatives_where_there_is_none() -> None:
    for function, args in (
        (lax.polygamma, (1.0, 2.0)),
        (lax.betainc, (1.0, 2.0, 0.5)),
        (wengert.grad(lax.igamma), (1.0, 2.0)),
        (wengert.grad(lax.zeta), (2.0, 2.0)),
        (wengert.grad(special.hyp1f1), (1.0, 2.0, 0.5)),
    ):
        with pytest.raises(ValueError, match=r"differentiable .*stop_gradient"):
            wengert.grad(function)(*args)
    assert wengert.grad(special.entr)(0.0) == np.inf
    assert wengert.grad(special.kl_div, 1)(0.0, 0.0) == 1


def test_derivatives_of_complex_functions() -> None:
    for function, exact in (
        (special.gamma, mpmath.gamma),
        (special.loggamma, mpmath.loggamma),
        (special.wofz, lambda z: mpmath.exp(-z * z) * mpmath.erfc(-1j * z)),
        (special.erfcx, lambda z: mpmath.exp(z * z) * mpmath.erfc(z)),
    ):
        for z in (1.2 + 0.5j, -1.3 + 0.7j, 0.2 - 2j):
            found = wengert.grad(function, holomorphic=True)(np.complex64(z))
            np.testing.assert_allclose(found, complex(mpmath.diff(exact, z)), rtol=1e-5)
    second = wengert.grad(wengert.grad(special.loggamma, holomorphic=True), holomorphic=True)
    for z in (1.2 + 0.5j, -1.3 + 0.7j):
        np.testing.assert_allclose(second(np.complex64(z)), complex(mpmath.psi(1, z)), rtol=1e-5)


def test_polygamma() -> None:
    n, x = np.arange(5)[:, None], np.float32([0.3, 1.0, 7.5])
    np.testing.assert_allclose(special.polygamma(n, x), scipy.special.polygamma(n, x), rtol=1e-5)
    assert np.isnan(special.polygamma(-1, 2.0))
    with pytest.raises(ValueError, match="must be of integer type"):
        special.polygamma(1.0, x)


def test_the_divergence_of_nearly_equal_numbers() -> None:
    q = np.float32([1 + 3e-7, 0.9998, 1.003, 1.08, 0.92])
    exact = [float(t - 1 - mpmath.log(t)) for t in map(mpmath.mpf, q.tolist())]
    np.testing.assert_allclose(special.kl_div(np.float32(1), q), exact, rtol=1e-6)
    slopes = wengert.vmap(wengert.grad(special.kl_div, 1), (None, 0))(np.float32(1), q)
    np.testing.assert_allclose(slopes, 1 - 1 / q.astype(float), rtol=1e-5)


def test_gammasgn_and_loggamma() -> None:
    x = np.array([-INF, -2.5, -2.0, -1.5, -0.0, 0.0, 3.0, NAN])
    np.testing.assert_array_equal(special.gammasgn(x), [NAN, -1, NAN, 1, -1, 1, 1, NAN])
    np.testing.assert_allclose(special.loggamma(x[3:7]), [NAN, NAN, NAN, np.log(2)], rtol=1e-6)
    z = np.complex64([-2.5 - 1j, -2.5 + 1e-3j, 3 + 4j])
    np.testing.assert_allclose(special.loggamma(z), scipy.special.loggamma(z.astype(complex)), rtol=1e-5)


def test_counting() -> None:
    n, k = np.arange(-1.0, 9.0), np.arange(-1.0, 9.0)[:, None]
    np.testing.assert_allclose(special.comb(n, k), scipy.special.comb(n, k), rtol=1e-6)
    got, expected = (c(n[1:], k[1:], repetition=True) for c in (special.comb, scipy.special.comb))
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_array_equal(
        special.factorial(np.array([-1, 0, 5, 12]), exact=True), [0, 1, 120, 479001600]
    )
    with pytest.raises(ValueError, match="factorial of 13 does not fit into int32"):
        special.factorial(13, exact=True)
    with pytest.raises(ValueError, match="known while tracing"):
        wengert.jit(lambda m: special.factorial(m, exact=True))(3)
    np.testing.assert_allclose(special.bernoulli(12), scipy.special.bernoulli(12), rtol=1e-6)
    assert special.bernoulli(0).shape == (1,)
    with pytest.raises(ValueError, match="non-negative"):
        special.bernoulli(-1)


def test_multigammaln() -> None:
    a = np.array([[3.5, 4.0, 20.0]])
    for d in (1, 2, 5):
        expected = scipy.special.multigammaln(a, d)
        np.testing.assert_allclose(special.multigammaln(a, d), expected, rtol=1e-6)


def test_functions_with_two_results() -> None:
    for name in ("sici", "fresnel"):
        found, expected = getattr(special, name)(WIDE), getattr(scipy.special, name)(WIDE)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert wengert.grad(lambda x: special.sici(x)[0])(0.0) == 1


def test_bessel_jn() -> None:
    z = np.array([[-3.0, 0.0, 0.5], [2.0, 30.0, 80.0]])
    found = wengert.jit(special.bessel_jn, static_argnames="v")(z, v=4)
    assert found.shape == (5, 2, 3)
    np.testing.assert_allclose(found, scipy.special.jv(np.arange(5)[:, None, None], z), rtol=2e-6, atol=1e-6)
    with pytest.raises(ValueError, match="must not be negative"):
        special.bessel_jn(z, v=-1)


def test_legendre_functions() -> None:
    z = np.array([-1.0, -0.6, 0.3, 1.0])
    values, slopes = special.lpmn(3, 4, z)
    for i, x in enumerate(z):
        exact = scipy.special.assoc_legendre_p_all(4, 3, x, diff_n=1)
        np.testing.assert_allclose(values[..., i], exact[0, :, :4].T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slopes[..., i], exact[1, :, :4].T, rtol=1e-5, atol=1e-5)
    normalized = special.lpmn_values(2, 2, z, True)
    np.testing.assert_allclose(
        normalized[1, 2], scipy.special.sph_harm_y(2, 1, np.arccos(z), 0).real, atol=1e-6
    )
    with pytest.raises(ValueError, match="z must be a 1D array"):
        special.lpmn(1, 1, np.zeros((2, 2)))


def test_spherical_harmonics() -> None:
    n, m = np.array([0, 1, 2, 3, 6, 4, 2]), np.array([0, -1, 2, -3, 4, 0, 3])
    theta, phi = np.linspace(0.1, 3, 7), np.linspace(-3, 3, 7)
    found = special.sph_harm_y(n, m, theta, phi)
    assert found.dtype == wnp.complex64
    np.testing.assert_allclose(found, scipy.special.sph_harm_y(n, m, theta, phi), rtol=2e-5, atol=1e-6)
    compiled = wengert.jit(special.sph_harm_y, static_argnames="n_max")(n, m, theta, phi, n_max=6)
    np.testing.assert_allclose(compiled, found, rtol=1e-5, atol=1e-6)
    expected = scipy.special.sph_harm_y(n, m, theta, phi, diff_n=2)
    for ours, theirs in zip(special.sph_harm_y(n, m, theta, phi, diff_n=2), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert special.sph_harm_y(2, 1, 0.5, 0.3).shape == ()
    with pytest.raises(ValueError, match="Pass n_max"):
        wengert.jit(special.sph_harm_y)(n, m, theta, phi)


def test_dtypes_of_arguments() -> None:
    assert special.gamma(np.arange(3)).dtype == wnp.float32
    assert special.beta(wnp.float16(2), 3).dtype == wnp.float16
    assert special.gammainc(wnp.bfloat16(2), wnp.float32(3)).dtype == wnp.float32
    assert special.wofz(1.0).dtype == wnp.complex64
    for name in ("dawsn", "expi", "entr", "i0", "gammasgn"):
        with pytest.raises(ValueError, match=f"{name} does not support complex-valued inputs"):
            getattr(special, name)(1j)
