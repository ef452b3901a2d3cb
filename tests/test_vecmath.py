"""The vector elementary functions: errors in ulp, special values, the same bits for every number of lanes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pytest
import scipy.special
from kernels import kernel

from wengert.backends import vecmath
from wengert.backends.estimates import quotient

LANES = {"float32": 16, "float64": 8}
TYPES = ("float32", "float64")
Array = Any


@cache
def compiled(name: str, dtype: str, lanes: int = 0) -> Callable[..., Array]:
    operands = 2 if name in vecmath.BINARY else 1
    return kernel(lambda b, *xs: vecmath.emit(b, name, *xs), dtype, lanes or LANES[dtype], operands)


def call(name: str, *arrays: Array) -> Array:
    return compiled(name, arrays[0].dtype.name)(*arrays)


def logistic(x: Array) -> Array:
    z = np.exp(-np.abs(x))
    return np.where(x < 0, z, 1) / (1 + z)


def rsqrt(x: Array) -> Array:
    return 1 / np.sqrt(x)


# name: (reference in wider floats, interval for each type, largest error in ulp for float32, for float64).
HUGE = {"float32": (-3e38, 3e38), "float64": (-1e308, 1e308)}
POSITIVE = {"float32": (0, 3e38), "float64": (0, 1e308)}
ANGLE = {"float32": (-1e5, 1e5), "float64": (-1e9, 1e9)}
UNIT = {"float32": (-1, 1), "float64": (-1, 1)}


def _same(low: float, high: float) -> dict[str, tuple[float, float]]:
    return {"float32": (low, high), "float64": (low, high)}


def _by_type(a: tuple[float, float], b: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return {"float32": a, "float64": b}


DENSE: dict[str, tuple[Callable[[Array], Array], dict[str, tuple[float, float]], float, float]] = {
    "acos": (np.arccos, UNIT, 1.5, 1.5),
    "acosh": (np.arccosh, _by_type((1, 3e38), (1, 1e308)), 0.51, 2),
    "asin": (np.arcsin, UNIT, 1.5, 1.5),
    "asinh": (np.arcsinh, HUGE, 0.51, 2),
    "atan": (np.arctan, HUGE, 2, 1.6),
    "atanh": (np.arctanh, UNIT, 0.51, 2),
    "cbrt": (np.cbrt, HUGE, 0.6, 0.6),
    "ceil": (np.ceil, HUGE, 0, 0),
    "cos": (np.cos, ANGLE, 2, 1.6),
    "cosh": (np.cosh, _by_type((-92, 92), (-715, 715)), 1.6, 1.6),
    "exp": (np.exp, _by_type((-110, 95), (-760, 715)), 1, 1),
    "exp2": (np.exp2, _by_type((-155, 130), (-1080, 1030)), 1, 1),
    "expm1": (np.expm1, _by_type((-20, 95), (-40, 715)), 1.6, 2),
    "floor": (np.floor, HUGE, 0, 0),
    "log": (np.log, POSITIVE, 1, 1),
    "log10": (np.log10, POSITIVE, 1, 1),
    "log1p": (np.log1p, _by_type((-1, 3e38), (-1, 1e308)), 1.6, 1.5),
    "log2": (np.log2, POSITIVE, 1, 1),
    "logistic": (logistic, _by_type((-110, 95), (-760, 715)), 2, 2),
    "round_half_even": (np.rint, _same(-9, 9), 0, 0),
    "rsqrt": (rsqrt, POSITIVE, 1.6, 1.6),
    "sin": (np.sin, ANGLE, 2, 1.6),
    "sinh": (np.sinh, _by_type((-92, 92), (-715, 715)), 1.6, 1.6),
    "sqrt": (np.sqrt, POSITIVE, 0.51, 0.51),
    "tan": (np.tan, ANGLE, 1.6, 1.6),
    "tanh": (np.tanh, _by_type((-12, 12), (-25, 25)), 1.8, 2),
    "trunc": (np.trunc, HUGE, 0, 0),
}
# Those for which only float64 references exist.
SPECIAL: dict[str, tuple[Callable[[Array], Array], tuple[float, float], float]] = {
    "digamma": (scipy.special.digamma, (-9.5, 30), 0.51),
    "erf": (scipy.special.erf, (-6, 6), 1.2),
    "erf_inv": (scipy.special.erfinv, (-1, 1), 2),
    "erfc": (scipy.special.erfc, (-6, 10.2), 1.9),
    "lgamma": (scipy.special.gammaln, (-9.5, 30), 0.51),
}


def samples(dtype: str, low: float, high: float, count: int, seed: int = 0) -> Array:
    """Numbers spread evenly over an interval, over its part within [-4, 4], and over all sizes in it."""
    rng = np.random.default_rng(seed)
    limits = np.finfo(dtype)
    even = rng.uniform(low / 2, high / 2, count) * 2
    middle = rng.uniform(max(low, -4), min(high, 4), count)
    exponents = rng.uniform(math.log(limits.smallest_subnormal), math.log(max(-low, high)), count)
    sizes = np.exp(exponents) * (rng.choice([-1, 1], count) if low < 0 else 1)
    close = 1 + rng.uniform(-0.3, 0.4, count)
    x = np.concatenate([even, middle, sizes, close]).astype(dtype)
    return x[(x >= low) & (x <= high)]


def ulp_errors(got: Array, want: Array) -> Array:
    """|got - want| in units of the last place of `want` rounded to the type of `got`."""
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        unit = np.spacing(np.abs(rounded)).astype(want.dtype)
        errors = np.abs(got.astype(want.dtype) - want) / unit
    equal = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    finite = np.isfinite(got) & np.isfinite(rounded)
    return np.where(finite, errors, np.where(equal, 0.0, np.inf))


def assert_close(name: str, x: Array, want: Array, limit: float, *others: Array) -> None:
    got = call(name, x, *others)
    errors = ulp_errors(got, want)
    worst = int(np.argmax(errors))
    line = f"{name} {x.dtype.name}: at most {float(errors[worst]):.3f} ulp, at x = {x[worst]!r}"
    print(line)
    assert errors[worst] <= limit, f"{line}: got {got[worst]!r}, want {want[worst]!r}"


@pytest.mark.parametrize("name", sorted(DENSE))
def test_float32_against_float64(name: str) -> None:
    reference, intervals, limit, _ = DENSE[name]
    x = samples("float32", *intervals["float32"], 150_000)
    with np.errstate(all="ignore"):
        want = reference(x.astype(np.float64))
    assert_close(name, x, want, limit)


@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_float32_special_functions(name: str) -> None:
    reference, interval, limit = SPECIAL[name]
    x = samples("float32", *interval, 60_000)
    assert_close(name, x, reference(x.astype(np.float64)), limit)


@pytest.mark.parametrize("name", ["cbrt", "cosh", "log", "rsqrt", "tanh"])
@pytest.mark.parametrize("dtype", TYPES)
def test_processors_without_estimates(name: str, dtype: str) -> None:
    reference, intervals, *limits = DENSE[name]
    x = samples(dtype, *intervals[dtype], 50_000)
    wider = np.float64 if dtype == "float32" else np.longdouble
    with np.errstate(all="ignore"):
        want = reference(x.astype(wider))
    got = kernel(lambda b, v: vecmath.emit(b, name, v), dtype, 4, vector_bits=128)(x)
    assert ulp_errors(got, want).max() <= limits[TYPES.index(dtype)] + (wider is np.longdouble) * 0.01


@pytest.mark.parametrize("dtype", TYPES)
def test_quotients_from_estimates(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.choice([-1, 1], 40_000) * 10.0 ** rng.uniform(-10, 10, 40_000) for _ in range(2))
    x, y = np.append(x, [3, 6, 10, 1, 0]).astype(dtype), np.append(y, [3, 3, 5, 4, 7]).astype(dtype)
    want = x.astype(np.longdouble) / y.astype(np.longdouble)
    for lanes in (1, 2, LANES[dtype], 2 * LANES[dtype]):
        got = kernel(quotient, dtype, lanes, 2)(x, y)
        assert ulp_errors(got, want).max() <= 0.7
        np.testing.assert_array_equal(got[-5:], [1, 2, 2, 0.25, 0])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double here")
@pytest.mark.parametrize("name", sorted(DENSE))
def test_float64_against_long_double(name: str) -> None:
    reference, intervals, _, limit = DENSE[name]
    x = samples("float64", *intervals["float64"], 60_000)
    with np.errstate(all="ignore"):
        want = reference(x.astype(np.longdouble))
    # The reference itself is good to 2**-10 ulp or so.
    assert_close(name, x, want, limit)


def _mp_lgamma(x: Any) -> Any:
    return mpmath.loggamma(x).real if x > 0 else mpmath.log(abs(mpmath.gamma(x)))


# name: (reference, interval, largest error in ulp), float64 only. Error functions and gamma functions first.
EXACT: dict[str, tuple[Callable[[Any], Any], tuple[float, float], float]] = {
    "digamma": (mpmath.digamma, (0, 40), 2),
    "erf": (mpmath.erf, (-6, 6), 1.5),
    "erf_inv": (mpmath.erfinv, (-1, 1), 2),
    "erfc": (mpmath.erfc, (-6, 26.5), 2),
    "lgamma": (_mp_lgamma, (0, 40), 2),
    "asin": (mpmath.asin, (-1, 1), 1.5),
    "acos": (mpmath.acos, (-1, 1), 1.5),
    "asinh": (mpmath.asinh, (-100, 100), 2),
    "acosh": (mpmath.acosh, (1, 100), 2),
    "atan": (mpmath.atan, (-20, 20), 1.6),
    "atanh": (mpmath.atanh, (-1, 1), 2),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), (-100, 100), 0.6),
    "exp": (mpmath.exp, (-700, 700), 1),
    "exp2": (lambda x: mpmath.mpf(2) ** x, (-1000, 1000), 1),
    "expm1": (mpmath.expm1, (-30, 700), 2),
    "log": (mpmath.log, (0, 100), 1),
    "log10": (mpmath.log10, (0, 100), 1),
    "log1p": (mpmath.log1p, (-1, 100), 1.5),
    "log2": (lambda x: mpmath.log(x, 2), (0, 100), 1),
    "logistic": (lambda x: 1 / (1 + mpmath.exp(-x)), (-700, 30), 2),
    "sinh": (mpmath.sinh, (-30, 30), 1.6),
    "cosh": (mpmath.cosh, (-30, 30), 1.6),
    "tanh": (mpmath.tanh, (-20, 20), 1.6),
}


def _against_mpmath(name: str, reference: Callable[[Any], Any], x: Array, limit: float) -> None:
    """The error at each x, in ulp of its type, against mpmath with as many digits as the argument needs."""
    got = call(name, x)
    worst, where = 0.0, 0.0
    with mpmath.workdps(60):
        for argument, value in zip(x.tolist(), got.tolist()):
            with mpmath.workprec(220 + max(0, math.frexp(argument)[1])):
                want = reference(mpmath.mpf(argument))
            unit = float(np.spacing(x.dtype.type(abs(float(want)))))
            error = abs(float((mpmath.mpf(value) - want) / unit)) if math.isfinite(value) else math.inf
            if error > worst:
                worst, where = error, argument
    line = f"{name} {x.dtype.name}: at most {worst:.3f} ulp, at x = {where!r}"
    print(line)
    assert worst <= limit, line


@pytest.mark.parametrize("name", sorted(EXACT))
def test_float64_against_mpmath(name: str) -> None:
    reference, (low, high), limit = EXACT[name]
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [
            rng.uniform(low, high, 120),
            rng.uniform(max(low, -3), min(high, 3), 120),
            np.exp(rng.uniform(-300, 0, 30)),
            1 - np.exp(rng.uniform(-34, -1, 60)),
        ]
    )
    x = x[(x > low) & (x < high) & (x != 0)]
    _against_mpmath(name, reference, x, limit)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_trigonometry_of_huge_arguments(name: str, dtype: str) -> None:
    """Arguments of every size, among them the ones nearest to a multiple of pi/2, need the long reduction."""
    rng = np.random.default_rng(2)
    top = math.log(np.finfo(dtype).max) - 1e-3
    x = np.exp(rng.uniform(8, top, 300)) * rng.choice([-1, 1], 300)
    near = [k * math.pi / 2 for k in (1, 2, 3, 1e3, 12345, 1e5, 1e6, 1e8, 1e12)]
    hardest = [6381956970095103.0 * 2.0**797, 2.0**1000] if dtype == "float64" else [16367173.0 * 2.0**72]
    x = np.concatenate([x, near, hardest]).astype(dtype)
    _against_mpmath(name, getattr(mpmath, name), x, 2)


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_gamma_functions_of_negative_arguments(name: str) -> None:
    """There both have zeros between their poles, and the error is small next to the terms."""
    reference = _mp_lgamma if name == "lgamma" else mpmath.digamma
    x = -np.random.default_rng(3).uniform(0.001, 20, 300)
    got = call(name, x)
    for argument, value in zip(x.tolist(), got.tolist()):
        want = float(reference(mpmath.mpf(argument)))
        near_pole = 1 / abs(argument - round(argument))
        assert abs(value - want) <= 4e-15 * (10 + abs(want)) + 3e-16 * near_pole * abs(argument), argument


SPECIAL_ARGUMENTS = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 2.0, -2.0, 0.5, 1e30, -1e30]
INF, NAN = math.inf, math.nan
# What C99's annex F says, in the order of the arguments above; None where it says nothing in particular.
C99: dict[str, list[float | None]] = {
    "acos": [None, None, 0.0, None, NAN, NAN, NAN, NAN, NAN, None, NAN, NAN],
    "acosh": [NAN, NAN, 0.0, NAN, INF, NAN, NAN, None, NAN, NAN, None, NAN],
    "asin": [0.0, -0.0, None, None, NAN, NAN, NAN, NAN, NAN, None, NAN, NAN],
    "asinh": [0.0, -0.0, None, None, INF, -INF, NAN, None, None, None, None, None],
    "atan": [0.0, -0.0, None, None, math.pi / 2, -math.pi / 2, NAN, None, None, None, None, None],
    "atanh": [0.0, -0.0, INF, -INF, NAN, NAN, NAN, NAN, NAN, None, NAN, NAN],
    "cbrt": [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, None, None, None, None, None],
    "ceil": [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.0, -2.0, 1.0, 1e30, -1e30],
    "cos": [1.0, 1.0, None, None, NAN, NAN, NAN, None, None, None, None, None],
    "cosh": [1.0, 1.0, None, None, INF, INF, NAN, None, None, None, INF, INF],
    "erf": [0.0, -0.0, None, None, 1.0, -1.0, NAN, None, None, None, 1.0, -1.0],
    "erfc": [1.0, 1.0, None, None, 0.0, 2.0, NAN, None, None, None, 0.0, 2.0],
    "exp": [1.0, 1.0, None, None, INF, 0.0, NAN, None, None, None, INF, 0.0],
    "exp2": [1.0, 1.0, 2.0, 0.5, INF, 0.0, NAN, 4.0, 0.25, None, INF, 0.0],
    "expm1": [0.0, -0.0, None, None, INF, -1.0, NAN, None, None, None, INF, -1.0],
    "floor": [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.0, -2.0, 0.0, 1e30, -1e30],
    "lgamma": [INF, INF, 0.0, INF, INF, INF, NAN, 0.0, INF, None, None, INF],
    "log": [-INF, -INF, 0.0, NAN, INF, NAN, NAN, None, NAN, None, None, NAN],
    "log10": [-INF, -INF, 0.0, NAN, INF, NAN, NAN, None, NAN, None, None, NAN],
    "log1p": [0.0, -0.0, None, -INF, INF, NAN, NAN, None, NAN, None, None, NAN],
    "log2": [-INF, -INF, 0.0, NAN, INF, NAN, NAN, 1.0, NAN, -1.0, None, NAN],
    "round_half_away": [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.0, -2.0, 1.0, 1e30, -1e30],
    "round_half_even": [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.0, -2.0, 0.0, 1e30, -1e30],
    "sin": [0.0, -0.0, None, None, NAN, NAN, NAN, None, None, None, None, None],
    "sinh": [0.0, -0.0, None, None, INF, -INF, NAN, None, None, None, INF, -INF],
    "sqrt": [0.0, -0.0, 1.0, NAN, INF, NAN, NAN, None, NAN, None, None, NAN],
    "tan": [0.0, -0.0, None, None, NAN, NAN, NAN, None, None, None, None, None],
    "tanh": [0.0, -0.0, None, None, 1.0, -1.0, NAN, None, None, None, 1.0, -1.0],
    # Not in C99; by the definition.
    "digamma": [-INF, INF, None, NAN, INF, NAN, NAN, None, NAN, None, None, NAN],
    "erf_inv": [0.0, -0.0, INF, -INF, NAN, NAN, NAN, NAN, NAN, None, NAN, NAN],
    "logistic": [0.5, 0.5, None, None, 1.0, 0.0, NAN, None, None, None, 1.0, 0.0],
    "rsqrt": [INF, -INF, 1.0, NAN, 0.0, NAN, NAN, None, NAN, None, None, NAN],
    "trunc": [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.0, -2.0, 0.0, 1e30, -1e30],
}


def _identical(got: Array, want: Array) -> Array:
    """Equal, signs of zeros included; any NaN equals any other."""
    return ((got == want) & (np.signbit(got) == np.signbit(want))) | (np.isnan(got) & np.isnan(want))


def test_special_values_are_listed_for_every_function() -> None:
    assert sorted(C99) == sorted(vecmath.UNARY)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", sorted(C99))
def test_special_values(name: str, dtype: str) -> None:
    known = [(x, want) for x, want in zip(SPECIAL_ARGUMENTS, C99[name]) if want is not None]
    x, want = (np.array(column, dtype) for column in zip(*known))
    got = call(name, x)
    wrong = ~_identical(got, want)
    assert not wrong.any(), (x[wrong], got[wrong], want[wrong])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "name", ["sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "expm1", "log1p"]
)
def test_denormals_pass_through(name: str, dtype: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([tiny, -tiny, 12345 * tiny, -12345 * tiny], dtype)
    np.testing.assert_array_equal(call(name, x), x)


def _grid(dtype: str) -> tuple[Array, Array]:
    limits = np.finfo(dtype)
    values = [0.0, -0.0, 1, -1, INF, -INF, NAN, 2, -2, 0.5, -0.5, 3, -3, 1.5, 7.25, 1e30, -1e30]
    values += [limits.max, -limits.max, limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal]
    x, y = np.meshgrid(np.array(values, dtype), np.array(values, dtype))
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("dtype", TYPES)
def test_pow_special_values(dtype: str) -> None:
    """Zeros, infinities, NaN, and signs as C99 has them, which NumPy follows."""
    x, y = _grid(dtype)
    with np.errstate(all="ignore"):
        want = np.power(x, y)
    got = call("pow", x, y)
    wrong = ~(_identical(got, want) | (np.isfinite(want) & (want != 0) & (ulp_errors(got, want) <= 1)))
    assert not wrong.any(), (x[wrong], y[wrong], got[wrong], want[wrong])


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 0.51), ("float64", 1.2)])
def test_pow(dtype: str, limit: float) -> None:
    wide = np.float64 if dtype == "float32" else np.longdouble
    if np.finfo(wide).nmant < 2 * np.finfo(dtype).nmant and np.finfo(wide).nmant < 63:
        pytest.skip("long double is no wider than double here")
    rng = np.random.default_rng(5)
    n = 50_000
    x = np.concatenate(
        [np.exp(rng.uniform(-5, 5, n)), np.exp(rng.uniform(-80, 80, n)), 1 + rng.uniform(-0.01, 0.01, n)]
    )
    y = np.concatenate([rng.uniform(-20, 20, n), rng.uniform(-2, 2, n), rng.uniform(-1e4, 1e4, n)])
    negative = -np.exp(rng.uniform(-2, 2, n))
    whole = rng.integers(-40, 40, n)
    x, y = np.concatenate([x, negative]).astype(dtype), np.concatenate([y, whole]).astype(dtype)
    with np.errstate(all="ignore"):
        want = np.power(x.astype(wide), y.astype(wide))
    assert_close("pow", x, want, limit, y)


def test_pow_float64_against_mpmath() -> None:
    rng = np.random.default_rng(6)
    x = np.exp(rng.uniform(-300, 300, 300))
    y = rng.uniform(-2, 2, 300)
    got = call("pow", x, y)
    with mpmath.workdps(40):
        for a, c, value in zip(x.tolist(), y.tolist(), got.tolist()):
            want = mpmath.mpf(a) ** mpmath.mpf(c)
            assert abs(float((mpmath.mpf(value) - want) / float(np.spacing(float(want))))) <= 1.2, (a, c)


@pytest.mark.parametrize("dtype", TYPES)
def test_atan2(dtype: str) -> None:
    wide = np.float64 if dtype == "float32" else np.longdouble
    y, x = _grid(dtype)
    got, want = call("atan2", y, x), np.arctan2(y, x)
    wrong = ~(_identical(got, want) | (ulp_errors(got, want) <= 2))
    assert not wrong.any(), (y[wrong], x[wrong], got[wrong], want[wrong])
    if np.finfo(wide).nmant > np.finfo(dtype).nmant:
        rng = np.random.default_rng(7)
        points = np.concatenate(
            [rng.standard_normal((2, 80_000)), np.exp(rng.uniform(-80, 80, (2, 80_000)))], 1
        )
        y, x = points.astype(dtype)
        assert_close("atan2", y, np.arctan2(y.astype(wide), x.astype(wide)), 2, x)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["fmod", "nextafter"])
def test_exact_functions(name: str, dtype: str) -> None:
    rng = np.random.default_rng(8)
    top = math.log(np.finfo(dtype).max) * 0.99
    x = np.concatenate([rng.uniform(-100, 100, 20_000), np.exp(rng.uniform(-top, top, 20_000))]).astype(dtype)
    y = np.concatenate([rng.uniform(-10, 10, 20_000), np.exp(rng.uniform(-top, top, 20_000))]).astype(dtype)
    grid = _grid(dtype)
    x, y = np.concatenate([x, grid[0]]), np.concatenate([y, grid[1]])
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x, y)
    got = call(name, x, y)
    wrong = ~_identical(got, want)
    assert not wrong.any(), (x[wrong][:5], y[wrong][:5], got[wrong][:5], want[wrong][:5])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", sorted(vecmath.UNARY) + sorted(vecmath.BINARY))
def test_every_number_of_lanes_gives_the_same_bits(name: str, dtype: str) -> None:
    """Else a remainder loop, or another machine's width, would give another result."""
    rng = np.random.default_rng(9)
    sizes = np.exp(rng.uniform(-80, 80, 96)) * rng.choice([-1, 1], 96)
    x = np.concatenate([rng.uniform(-1, 1, 96), rng.uniform(-30, 30, 96), sizes, SPECIAL_ARGUMENTS]).astype(
        dtype
    )
    arrays = [x, rng.permutation(x)] if name in vecmath.BINARY else [x]
    wide = compiled(name, dtype)(*arrays)
    for lanes in (1, 4):
        assert _identical(compiled(name, dtype, lanes)(*arrays), wide).all(), lanes


def test_half_precision_is_rounded_from_float32() -> None:
    x = np.linspace(-8, 8, 4001).astype(np.float16)
    for name in ("exp", "sin", "tanh", "logistic", "erf"):
        want = call(name, x.astype(np.float32)).astype(np.float16)
        got = compiled(name, "float16", 16)(x)
        np.testing.assert_array_equal(got, want)


def test_nextafter_in_half_precision() -> None:
    x = np.array([0, 1, -1, 65504, 6e-8, INF, NAN], np.float16)
    y = np.array([1, 2, 5, INF, 0, 0, 1], np.float16)
    got = compiled("nextafter", "float16", 8)(x, y)
    with np.errstate(all="ignore"):
        want = np.nextafter(x, y)
    np.testing.assert_array_equal(got, want)


def test_bfloat16_is_rounded_from_float32() -> None:
    x = np.linspace(-8, 8, 4001).astype(ml_dtypes.bfloat16)

    def through_bfloat16(b: Any, v: Any) -> Any:
        narrow = vecmath.emit(b, "exp", b.fptrunc(v, "bf16"))
        return b.fpext(narrow, "f32")

    got = kernel(through_bfloat16, "float32", 8)(x.astype(np.float32))
    want = call("exp", x.astype(np.float32)).astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("power", [-3, -1, 0, 1, 2, 3, 5, 10])
def test_integer_pow(power: int) -> None:
    x = np.array([0.5, -2.0, 3.0, 1.25, -0.75, 7.0])
    got = kernel(lambda b, v: vecmath.integer_pow(b, v, power), "float64", 4)(x)
    np.testing.assert_allclose(got, x**power, rtol=1e-15)


def test_integer_pow_of_integers_wraps() -> None:
    x = np.array([2, -3, 7, 100], np.int32)
    got = kernel(lambda b, v: vecmath.integer_pow(b, v, 9), "int32", 4)(x)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, x**9)
