"""`wengert.scipy.stats` against SciPy: values in and out of the support, shapes, derivatives."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import scipy.stats

import wengert
import wengert.numpy as wnp
from wengert.scipy import stats

# For each distribution: its points, and shape parameters beside which they are broadcast, as a column.
X = np.array([-4.0, -1.0, -0.2, 0.0, 0.25, 0.5, 1.0, 1.75, 3.0, 6.0, 30.0])
K = np.arange(-2.0, 9.0)
SHAPES: dict[str, tuple[np.ndarray, list[list[float]]]] = {
    "bernoulli": (K, [[0.3, 0.8, 1.0]]),
    "beta": (X, [[0.5, 1.0, 4.0], [2.0, 1.0, 0.5]]),
    "betabinom": (K, [[5.0, 8.0], [0.5, 3.0], [2.0, 1.0]]),
    "binom": (K, [[5.0, 8.0, 3.0], [0.3, 0.9, 0.0]]),
    "cauchy": (X, []),
    "chi2": (X, [[1.0, 2.0, 7.5]]),
    "expon": (X, []),
    "gamma": (X, [[0.5, 1.0, 7.5]]),
    "gennorm": (X, [[3.0, 2.0, 0.7]]),
    "geom": (K, [[0.3, 0.9]]),
    "gumbel_l": (X / 2, []),
    "gumbel_r": (X, []),
    "laplace": (X, []),
    "logistic": (X, []),
    "nbinom": (K, [[1.0, 4.5], [0.3, 0.9]]),
    "norm": (X, []),
    "pareto": (X, [[0.5, 3.0]]),
    "poisson": (np.append(K, 2.5), [[0.3, 4.0]]),
    "t": (X, [[0.5, 1.0, 12.0]]),
    "truncnorm": (X, [[-1.0, 0.5, -np.inf, -40.0, 3.0], [2.0, 1.5, 0.3, -30.0, np.inf]]),
    "uniform": (X, []),
    "vonmises": (np.linspace(-np.pi, np.pi, 7), [[0.3, 40.0]]),
    "wrapcauchy": (X, [[0.2, 0.9]]),
}
QUANTILES = np.array([-0.1, 0.0, 1e-4, 0.3, 0.5, 0.9, 0.9999, 1.0, 1.1])
METHODS = ("pdf", "logpdf", "pmf", "logpmf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf", "entropy")
ALL = [
    (name, method)
    for name in SHAPES
    for method in METHODS
    if hasattr(importlib.import_module(f"wengert.scipy.stats.{name}"), method)
]
SMOOTH = [
    (n, m) for n, m in ALL if m in ("logpdf", "logpmf", "cdf", "ppf") and (n, m) != ("bernoulli", "ppf")
]
LOC_ONLY = ("betabinom", "binom", "geom", "nbinom", "poisson")
NO_LOC = ("bernoulli", "gennorm", "vonmises", "wrapcauchy")


def points(name: str, method: str) -> tuple[np.ndarray, list[np.ndarray]]:
    x, shapes = SHAPES[name]
    if method in ("ppf", "isf"):
        x = QUANTILES
    columns = [np.array(s)[:, None] for s in shapes]
    return x, columns


def witness(name: str, method: str, *args: Any) -> Any:
    with np.errstate(all="ignore"):
        return getattr(getattr(scipy.stats, name), method)(*args)


def call(name: str, method: str, dtype: Any) -> tuple[Any, Any]:
    """Ours, compiled if in single precision, and SciPy's, shifted and stretched where that is possible."""
    x, shapes = points(name, method)
    extra = [] if name in NO_LOC else [3.0] if name in LOC_ONLY else [0.5, 2.0]
    args = [*shapes, *extra] if method == "entropy" else [x, *shapes, *extra]
    args = [np.asarray(a, dtype) for a in args]
    function = getattr(getattr(stats, name), method)
    expected = witness(name, method, *[a.astype(float) for a in args])
    if name == "bernoulli" and method == "ppf":
        expected = np.where(QUANTILES == 0, 0.0, expected)  # JAX's: SciPy's is -1, below the support
    return function(*args) if dtype == np.float64 else wengert.jit(function)(*args), expected


@pytest.mark.parametrize(("name", "method"), ALL)
def test_values(name: str, method: str) -> None:
    found, expected = call(name, method, np.float32)
    assert found.dtype == wnp.float32
    assert found.shape == expected.shape
    if method in ("ppf", "isf") and name.startswith("gumbel"):
        expected = np.where(np.isinf(expected), np.nan, expected)  # JAX's: no quantiles of 0 and 1
    np.testing.assert_allclose(found, expected, rtol=3e-4 if name == "truncnorm" else 3e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "method"), ALL)
@pytest.mark.usefixtures("x64")
def test_values_in_double_precision(name: str, method: str) -> None:
    found, expected = call(name, method, np.float64)
    inside = np.isfinite(expected)
    np.testing.assert_allclose(np.asarray(found)[inside], expected[inside], rtol=2e-8, atol=1e-14)


@pytest.mark.parametrize(("name", "method"), SMOOTH)
@pytest.mark.usefixtures("x64")
def test_derivatives(name: str, method: str) -> None:
    """By finite differences inside of the support; finite outside of it. Of discrete ones in the last shape."""
    x, shapes = points(name, method)
    discrete = not hasattr(getattr(stats, name), "pdf")
    function = getattr(getattr(stats, name), method)
    args = [np.broadcast_to(a, x.shape) for a in (x, *(s[0, 0] for s in shapes))]
    i = len(args) - 1 if discrete else 0
    slopes = np.asarray(wengert.vmap(wengert.grad(function, i))(*args))
    h = 1e-5
    step = [np.asarray(function(*args[:i], args[i] + k * h, *args[i + 1 :])) for k in (-1, 0, 1)]
    with np.errstate(invalid="ignore"):
        smooth = np.isfinite(step).all(axis=0) & (np.abs(step[2] - 2 * step[1] + step[0]) < 1e-6)
    assert smooth.sum() > 1
    expected = (step[2][smooth] - step[0][smooth]) / (2 * h)
    np.testing.assert_allclose(slopes[smooth], expected, rtol=1e-4, atol=h)
    outside = np.isinf(step).all(axis=0)
    assert np.isfinite(slopes[outside]).all()


@pytest.mark.parametrize("method", ["pdf", "logpdf"])
def test_the_multivariate_normal_distribution(method: str) -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 3, 3))
    cov = root @ root.transpose(0, 2, 1) + np.eye(3)
    x, mean = rng.normal(size=(5, 1, 3)), rng.normal(size=3)
    function = wengert.jit(getattr(stats.multivariate_normal, method))
    found = function(*(np.float32(a) for a in (x, mean, cov)))
    normal = scipy.stats.multivariate_normal
    expected = [[getattr(normal, method)(v[0], mean, c) for c in cov] for v in x]
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    scalar = getattr(normal, method)(x[:, 0], mean, 2.5)
    np.testing.assert_allclose(function(np.float32(x[:, 0]), np.float32(mean), 2.5), scalar, rtol=2e-5)
    np.testing.assert_allclose(function(0.5, 1.0, 2.0), getattr(normal, method)(0.5, 1.0, 2.0), rtol=2e-6)


def test_a_singular_covariance() -> None:
    cov = np.float32([[1, 1, 0], [1, 1, 0], [0, 0, 2]])
    for x in ([0.5, 0.5, 1.0], [0.5, 0.6, 1.0]):
        expected = scipy.stats.multivariate_normal.logpdf(x, np.zeros(3), cov, allow_singular=True)
        found = stats.multivariate_normal.logpdf(np.float32(x), np.zeros(3), cov, allow_singular=True)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"wants a covariance of shape \(..., 3, 3\), but it has \(2, 2\)"):
        stats.multivariate_normal.logpdf(np.zeros(3), np.zeros(3), np.eye(2))


def test_the_dirichlet_distribution() -> None:
    alpha, x = np.array([0.4, 5.0, 15.0]), np.array([[0.2, 0.3], [0.2, 0.1], [0.6, 0.6]])
    expected = scipy.stats.dirichlet.logpdf(x, alpha)
    np.testing.assert_allclose(stats.dirichlet.logpdf(x, alpha), expected, rtol=1e-5)
    np.testing.assert_allclose(wengert.jit(stats.dirichlet.pdf)(x[:2], alpha), np.exp(expected), rtol=1e-5)
    assert stats.dirichlet.logpdf(x[:, 0] * 1.1, alpha) == -np.inf
    with pytest.raises(ValueError, match="one-dimensional"):
        stats.dirichlet.logpdf(x, x)


def test_the_multinomial_distribution() -> None:
    x, p = np.array([[1, 2, 3], [0, 0, 6], [1, 1, 1]]), np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(
        wengert.jit(stats.multinomial.pmf)(x, 6, p), scipy.stats.multinomial.pmf(x, 6, p), rtol=1e-5
    )
    assert np.isfinite(wengert.grad(stats.multinomial.logpmf, 2)(x[1], 6, p)).all()
    with pytest.raises(ValueError, match="must be of integer type"):
        stats.multinomial.pmf(x * 1.0, 6, p)


def test_degenerate_arguments() -> None:
    """Wrong parameters give NaN, infinite arguments the limits, and NaN stays NaN."""
    assert np.isnan(stats.beta.logpdf(0.5, -1.0, 2.0))
    assert np.isnan(stats.norm.pdf(0.0, 0.0, -1.0))
    assert np.isnan(stats.truncnorm.cdf(0.0, 1.0, 0.0))
    assert np.isnan(stats.bernoulli.cdf(np.nan, 0.5))
    for name in ("bernoulli", "betabinom", "binom", "geom", "nbinom", "poisson"):
        shape = [s[0] for s in SHAPES[name][1]]
        assert np.isnan(getattr(stats, name).pmf(np.nan, *shape)), name
    for name in ("norm", "expon", "gumbel_r", "laplace", "logistic", "cauchy"):
        cdf = getattr(stats, name).cdf
        np.testing.assert_allclose(cdf(np.array([-np.inf, np.inf, np.nan])), [0, 1, np.nan])
    for function in (stats.gamma.cdf, stats.chi2.sf):  # at infinity and below the support
        np.testing.assert_array_equal(
            wengert.vmap(wengert.grad(function), (0, None))(np.array([-1.0, np.inf]), 2.5), 0
        )
    assert wengert.grad(stats.gumbel_r.sf)(np.inf) == 0
    assert wengert.grad(stats.cauchy.ppf)(0.0) == np.inf
    assert stats.poisson.entropy(0.0) == 0
    np.testing.assert_allclose(stats.poisson.entropy(250.0), scipy.stats.poisson.entropy(250.0), rtol=1e-6)


def test_mode() -> None:
    x = np.array([[1, 3, 3, 2], [2, 2, 3, 2], [1, 1, 0, 5]])
    for axis in (0, 1, -1, None):
        for keepdims in (False, True):
            found = stats.mode(x, axis, keepdims=keepdims)
            expected = scipy.stats.mode(x, axis, keepdims=keepdims)
            np.testing.assert_array_equal(found.mode, expected.mode)
            np.testing.assert_array_equal(found.count, expected.count)
    y = np.array([1.0, np.nan, np.nan, 4.0, 1.0, np.nan])
    assert np.isnan(stats.mode(y).mode)
    assert stats.mode(y, nan_policy="omit") == (1.0, 2)
    with pytest.raises(ValueError, match="contains nan values"):
        stats.mode(y, nan_policy="raise")
    with pytest.raises(ValueError, match="Illegal nan_policy"):
        stats.mode(y, nan_policy="ignore")
    assert np.isnan(stats.mode(np.zeros(0)).mode)


@pytest.mark.parametrize("method", ["average", "min", "max", "dense", "ordinal"])
def test_rankdata(method: str) -> None:
    x = np.random.default_rng(0).integers(0, 5, (4, 7)).astype(float)
    function = wengert.jit(stats.rankdata, static_argnames=("method", "axis"))
    for axis in (None, 0, 1):
        found = function(x, method=method, axis=axis)
        assert found.dtype == wnp.float32
        np.testing.assert_array_equal(found, scipy.stats.rankdata(x, method, axis=axis).reshape(found.shape))
    x[1, 2] = np.nan
    for policy in ("propagate", "omit"):
        expected = scipy.stats.rankdata(x, method, axis=1, nan_policy=policy)
        np.testing.assert_array_equal(stats.rankdata(x, method, axis=1, nan_policy=policy), expected)
    with pytest.raises(ValueError, match="unknown method"):
        stats.rankdata(x, "best")


def test_sem() -> None:
    x = np.random.default_rng(0).normal(size=(4, 7))
    for axis in (0, 1, None):
        np.testing.assert_allclose(stats.sem(x, axis, ddof=0), scipy.stats.sem(x, axis, ddof=0), rtol=1e-5)
    x[1, 2] = np.nan
    np.testing.assert_allclose(stats.sem(x), scipy.stats.sem(x), rtol=1e-5)
    np.testing.assert_allclose(
        stats.sem(x, 1, nan_policy="omit", keepdims=True),
        scipy.stats.sem(x, 1, nan_policy="omit", keepdims=True),
        rtol=1e-5,
    )
    with pytest.raises(ValueError, match="is not supported"):
        stats.sem(x, nan_policy="ignore")


@pytest.mark.parametrize("bw_method", [None, "silverman", 0.4])
@pytest.mark.parametrize("d", [1, 2])
def test_gaussian_kde(d: int, bw_method: Any) -> None:
    rng = np.random.default_rng(0)
    data, weights, points = rng.normal(size=(d, 30)), rng.uniform(0.5, 1, 30), rng.normal(size=(d, 6))
    ours, theirs = (c(data, bw_method, weights) for c in (stats.gaussian_kde, scipy.stats.gaussian_kde))
    assert (ours.d, ours.n) == (d, 30)
    np.testing.assert_allclose(ours.covariance, theirs.covariance, rtol=1e-5)
    np.testing.assert_allclose(ours(points), theirs(points), rtol=1e-4)
    np.testing.assert_allclose(
        wengert.jit(lambda k, x: k.logpdf(x))(ours, points), theirs.logpdf(points), rtol=1e-4
    )
    mean, cov = np.full(d, 0.3), np.eye(d) * 0.5
    np.testing.assert_allclose(
        ours.integrate_gaussian(mean, cov), theirs.integrate_gaussian(mean, cov), rtol=1e-5
    )
    other = rng.normal(size=(d, 20))
    expected = theirs.integrate_kde(scipy.stats.gaussian_kde(other))
    np.testing.assert_allclose(ours.integrate_kde(stats.gaussian_kde(other)), expected, rtol=1e-5)
    low, high = np.full(d, -1.0), np.full(d, 0.5)
    np.testing.assert_allclose(ours.integrate_box(low, high), theirs.integrate_box(low, high), rtol=1e-4)
    if d == 1:
        np.testing.assert_allclose(
            ours.integrate_box_1d(-1, 0.5), theirs.integrate_box_1d(-1, 0.5), rtol=1e-5
        )


def test_samples_of_a_gaussian_kde() -> None:
    kde = stats.gaussian_kde(np.random.default_rng(0).normal([[3.0], [-1.0]], size=(2, 40)))
    found = kde.resample(wengert.random.key(0), (4000,))
    assert found.shape == (2, 4000)
    np.testing.assert_allclose(found.mean(1), kde.dataset.mean(1), atol=0.1)
    slopes = wengert.grad(lambda k: k.logpdf(np.zeros((2, 1)))[0])(kde)
    assert isinstance(slopes, stats.gaussian_kde)
    assert slopes.dataset.shape == (2, 40)


def test_errors_of_gaussian_kde() -> None:
    with pytest.raises(ValueError, match="multiple elements"):
        stats.gaussian_kde(np.zeros(1))
    with pytest.raises(ValueError, match="length 3"):
        stats.gaussian_kde(np.zeros(3), weights=np.ones(2))
    with pytest.raises(ValueError, match="should be 'scott'"):
        stats.gaussian_kde(np.arange(3.0), "wide")
    kde = stats.gaussian_kde(np.arange(3.0))
    with pytest.raises(ValueError, match="points have dimension 2, dataset has dimension 1"):
        kde(np.zeros((2, 3)))
    with pytest.raises(AttributeError, match="immutable"):
        kde.weights = np.ones(3)
    with pytest.raises(NotImplementedError, match=r"make a new gaussian_kde"):
        kde.set_bandwidth(0.1)
