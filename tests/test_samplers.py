"""Samplers: the values that equal keys give, distributions, mapping, compilation, derivatives, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

import wengert
import wengert.numpy as jnp
from wengert import random

# Each sampler, and what JAX 0.12 gives for key 42, with threefry_partitionable True and False.
VALUES: list[tuple[str, Any, list[float], list[float]]] = [
    (
        "ball",
        lambda k: random.ball(k, 2, shape=(2,)),
        [0.3234561, 0.06134896, 0.015618555, 0.47010365],
        [-0.003163283, 0.06952725, -0.21668148, 0.80119014],
    ),
    (
        "beta",
        lambda k: random.beta(k, 0.5, jnp.array([1.0, 3.0, 30.0])),
        [0.49731836, 0.06803473, 0.036014646],
        [0.063534796, 0.003042978, 0.028772926],
    ),
    (
        "binomial",
        lambda k: random.binomial(k, jnp.array([5.0, 20.0, 1e3, 1e5]), 0.3),
        [1.0, 7.0, 285.0, 29896.0],
        [2.0, 6.0, 289.0, 30150.0],
    ),
    (
        "cauchy",
        lambda k: random.cauchy(k, (3,)),
        [-0.03548463, 0.6337261, 0.38244057],
        [0.2372378, -3.0724823, -5.290822],
    ),
    (
        "chisquare",
        lambda k: random.chisquare(k, jnp.array([1.0, 9.0])),
        [1.9989085, 6.4241924],
        [0.21239144, 4.530422],
    ),
    (
        "dirichlet",
        lambda k: random.dirichlet(k, jnp.array([0.3, 1.0, 5.0])),
        [0.053199776, 0.04043622, 0.90636396],
        [0.0018359045, 0.15276155, 0.84540254],
    ),
    (
        "double_sided_maxwell",
        lambda k: random.double_sided_maxwell(k, 1.0, 2.0, (3,)),
        [-1.7620435, -0.35137796, 5.4440427],
        [3.8727117, -1.6279571, 2.402752],
    ),
    (
        "exponential",
        lambda k: random.exponential(k, (3,)),
        [0.6708175, 1.1388006, 0.95782],
        [0.85365486, 0.10553633, 0.06130229],
    ),
    ("f", lambda k: random.f(k, 3.0, jnp.array([5.0, 7.0])), [0.7283635, 0.2567699], [3.6420727, 1.0249237]),
    (
        "gamma",
        lambda k: random.gamma(k, jnp.array([0.1, 0.7, 1.0, 3.0, 50.0])),
        [0.010568515, 0.6783818, 2.007246, 1.9913782, 44.96709],
        [1.1495671e-05, 0.7680109, 0.5533474, 1.4778174, 55.62011],
    ),
    (
        "generalized_normal",
        lambda k: random.generalized_normal(k, 1.5, (3,)),
        [-0.87823755, -0.20616245, 1.160471],
        [0.36558408, -0.10262568, 1.1672015],
    ),
    ("geometric", lambda k: random.geometric(k, jnp.array([0.01, 0.3, 0.9])), [72, 2, 1], [56, 7, 2]),
    (
        "gumbel, high",
        lambda k: random.gumbel(k, (3,), mode="high"),
        [0.399258, -0.12997562, 0.043095414],
        [-0.26900566, -0.7100231, -0.7217699],
    ),
    (
        "laplace",
        lambda k: random.laplace(k, (3,)),
        [0.022839652, -0.44565356, -0.2646729],
        [-0.16050775, 1.6078568, 2.129285],
    ),
    (
        "loggamma",
        lambda k: random.loggamma(k, jnp.array([0.01, 0.7, 3.0])),
        [-53.09775, -0.38804507, 1.5822827],
        [-61.16391, 0.31704253, 1.7934374],
    ),
    (
        "logistic",
        lambda k: random.logistic(k, (3,)),
        [-0.045169413, 0.7528398, 0.47375232],
        [0.29878044, -2.195468, -2.7611306],
    ),
    (
        "maxwell",
        lambda k: random.maxwell(k, (3,)),
        [0.5535825, 0.29328507, 1.708603],
        [1.0472691, 1.6044248, 0.8468769],
    ),
    (
        "multinomial",
        lambda k: random.multinomial(k, 100.0, jnp.array([0.2, 0.3, 0.5])),
        [19.0, 33.0, 48.0],
        [28.0, 34.0, 38.0],
    ),
    (
        "multivariate_normal",
        lambda k: random.multivariate_normal(k, jnp.ones(2), jnp.array([[2.0, 0.5], [0.5, 1.0]])),
        [0.95997125, 1.4269546],
        [-2.0685973, 0.6676318],
    ),
    (
        "orthogonal",
        lambda k: random.orthogonal(k, 2),
        [-0.09528422, 0.9954501, 0.9954501, 0.09528429],
        [0.11903083, 0.99289054, -0.99289054, 0.11903088],
    ),
    (
        "pareto",
        lambda k: random.pareto(k, jnp.array([1.0, 5.0])),
        [1.9558356, 1.255784],
        [1.0152388, 1.2551306],
    ),
    (
        "poisson",
        lambda k: random.poisson(k, jnp.array([0.0, 0.5, 9.5, 30.0, 1e3, 1e5])),
        [0, 1, 13, 26, 955, 99704],
        [0, 1, 12, 27, 995, 99931],
    ),
    (
        "rayleigh",
        lambda k: random.rayleigh(k, jnp.array([1.0, 5.0])),
        [1.1966511, 4.3929534],
        [2.8979435, 4.399937],
    ),
    ("t", lambda k: random.t(k, jnp.array([1.0, 5.0])), [0.1671903, -1.1023223], [1.7934611, -0.5524772]),
    (
        "triangular",
        lambda k: random.triangular(k, 0.0, jnp.array([1.0, 2.0]), 3.0),
        [1.2485027, 2.0198936],
        [0.21220273, 2.0186176],
    ),
    (
        "wald",
        lambda k: random.wald(k, jnp.array([1.0, 0.2])),
        [1.0788625, 0.24848688],
        [1.8932226, 0.14821708],
    ),
    (
        "weibull_min",
        lambda k: random.weibull_min(k, 2.0, jnp.array([1.0, 3.0]), (2,)),
        [1.341635, 2.0885549],
        [0.030247578, 2.086963],
    ),
]

SAMPLERS = [pytest.param(draw, id=name) for name, draw, _, _ in VALUES]


@pytest.fixture
def key() -> Any:
    return random.key(42)


@pytest.mark.parametrize(("draw", "new", "old"), [pytest.param(*v[1:], id=v[0]) for v in VALUES])
def test_values_of_equal_keys(
    key: Any, draw: Callable[[Any], Any], new: list[float], old: list[float]
) -> None:
    for partitionable, expected in ((True, new), (False, old)):
        with wengert.threefry_partitionable(partitionable):
            drawn = np.asarray(draw(key)).ravel()
        if drawn.dtype.kind == "i":
            assert drawn.tolist() == expected
        else:
            np.testing.assert_allclose(drawn, np.float32(expected), rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize("draw", SAMPLERS)
def test_mapped_samplers_give_what_a_loop_gives(key: Any, draw: Callable[[Any], Any]) -> None:
    keys = random.split(key, 3)
    for partitionable in (True, False):
        with wengert.threefry_partitionable(partitionable):
            looped = np.stack([np.asarray(draw(k)) for k in keys])
            np.testing.assert_allclose(wengert.vmap(draw)(keys), looped, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["gamma", "poisson", "binomial", "multinomial", "t", "dirichlet", "orthogonal"]
)
def test_compiled_samplers(key: Any, name: str) -> None:
    draw: Any = next(d for n, d, _, _ in VALUES if n == name)
    keys = random.split(key, 3)
    eager = np.stack([np.asarray(draw(k)) for k in keys])
    np.testing.assert_allclose(wengert.jit(wengert.vmap(draw))(keys), eager, rtol=2e-5, atol=1e-6)


def test_samplers_inside_scan(key: Any) -> None:
    def step(k: Any, mean: Any) -> Any:
        k, now, then = random.split(k, 3)
        return k, random.poisson(now, mean) + random.gamma(then, mean)

    means = jnp.array([0.5, 3.0, 40.0])
    _, found = wengert.lax.scan(step, key, means)
    k = key
    for mean, drawn in zip(means, np.asarray(found), strict=True):
        k, expected = step(k, mean)
        np.testing.assert_allclose(drawn, expected, rtol=1e-5)


def test_mapping_over_parameters(key: Any) -> None:
    means = jnp.array([0.5, 3.0, 40.0])
    for draw in (random.gamma, random.poisson, lambda k, a: random.binomial(k, 50.0, a / 50)):
        looped = [np.asarray(draw(key, mean)) for mean in means]
        np.testing.assert_allclose(wengert.vmap(draw, (None, 0))(key, means), looped, rtol=1e-5)


# ------------------------------------------------------------------------------------------------ distributions

DISTRIBUTIONS: list[tuple[Any, Any]] = [
    (lambda k, n: random.gamma(k, 0.3, n), scipy.stats.gamma(0.3)),
    (lambda k, n: random.gamma(k, 7.0, n), scipy.stats.gamma(7)),
    (lambda k, n: jnp.exp(random.loggamma(k, 0.6, n)), scipy.stats.gamma(0.6)),
    (lambda k, n: random.beta(k, 0.5, 2.0, n), scipy.stats.beta(0.5, 2)),
    (lambda k, n: random.chisquare(k, 3.0, n), scipy.stats.chi2(3)),
    (lambda k, n: random.f(k, 4.0, 9.0, n), scipy.stats.f(4, 9)),
    (lambda k, n: random.t(k, 2.5, n), scipy.stats.t(2.5)),
    (lambda k, n: random.pareto(k, 2.5, n), scipy.stats.pareto(2.5)),
    (lambda k, n: random.wald(k, 1.5, n), scipy.stats.invgauss(1.5)),
    (random.maxwell, scipy.stats.maxwell()),
    (lambda k, n: abs(random.double_sided_maxwell(k, 0.0, 2.0, n)), scipy.stats.maxwell(scale=2)),
    (lambda k, n: random.generalized_normal(k, 1.5, n), scipy.stats.gennorm(1.5)),
    (lambda k, n: random.triangular(k, -1.0, 0.0, 3.0, n), scipy.stats.triang(0.25, -1, 4)),
    (lambda k, n: random.gumbel(k, n, mode="high"), scipy.stats.gumbel_r()),
    (lambda k, n: random.dirichlet(k, jnp.array([1.0, 2.0, 3.0]), n)[:, 1], scipy.stats.beta(2, 4)),
    (lambda k, n: jnp.sum(random.ball(k, 3, shape=n) ** 2, -1) ** 1.5, scipy.stats.uniform()),
    (lambda k, n: random.uniform(random.key(3, impl="rbg"), n), scipy.stats.uniform()),
    (lambda k, n: random.normal(random.key(3, impl="unsafe_rbg"), n), scipy.stats.norm()),
]


@pytest.mark.parametrize("number", range(len(DISTRIBUTIONS)))
def test_continuous_distribution(key: Any, number: int) -> None:
    draw, expected = DISTRIBUTIONS[number]
    sample = np.asarray(draw(key, (10_000,)), np.float64)
    assert scipy.stats.kstest(sample, expected.cdf).pvalue > 1e-3


COUNTS: list[tuple[Any, Any]] = [
    (lambda k, n: random.poisson(k, 2.5, n), scipy.stats.poisson(2.5)),
    (lambda k, n: random.poisson(k, 60.0, n), scipy.stats.poisson(60)),
    (lambda k, n: random.binomial(k, 12.0, 0.4, n), scipy.stats.binom(12, 0.4)),
    (lambda k, n: random.binomial(k, 200.0, 0.7, n), scipy.stats.binom(200, 0.7)),
    (lambda k, n: random.geometric(k, 0.3, n), scipy.stats.geom(0.3)),
    (
        lambda k, n: random.multinomial(k, 30.0, jnp.array([0.2, 0.5, 0.3]), shape=n)[:, 1],
        scipy.stats.binom(30, 0.5),
    ),
]


@pytest.mark.parametrize("number", range(len(COUNTS)))
def test_distribution_of_counts(key: Any, number: int) -> None:
    draw, expected = COUNTS[number]
    sample = np.asarray(draw(key, (10_000,)), np.int64)
    values = np.arange(*expected.ppf([0.001, 0.999]).astype(int))
    frequent = values[expected.pmf(values) * sample.size > 10]
    seen = np.array([(sample == v).sum() for v in frequent])
    rest = sample.size - seen.sum()
    wanted = expected.pmf(frequent) * sample.size
    p = scipy.stats.chisquare([*seen, rest], [*wanted, sample.size - wanted.sum()]).pvalue
    assert p > 1e-3


def test_odd_parameters_of_binomial(key: Any) -> None:
    n = jnp.array([5.0, -1.0, jnp.nan, jnp.inf, 7.0, 7.0, 7.0, 7.0])
    p = jnp.array([0.3, 0.3, 0.3, 0.3, -0.1, jnp.nan, 0.0, 1.0])
    drawn = np.asarray(random.binomial(key, n, p))
    np.testing.assert_array_equal(drawn[1:], [np.nan, np.nan, np.inf, np.nan, np.nan, 0, 7])


def test_vectors_and_matrices(key: Any) -> None:
    cov = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    for method in ("cholesky", "eigh", "svd"):
        drawn = np.asarray(
            random.multivariate_normal(key, jnp.array([1.0, -1.0]), cov, (10_000,), method=method)
        )
        np.testing.assert_allclose(drawn.mean(0), [1, -1], atol=0.05)
        np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.1)
    wide = np.asarray(random.orthogonal(key, 2, (3,), m=4))
    assert wide.shape == (3, 2, 4)
    np.testing.assert_allclose(wide @ wide.swapaxes(-1, -2), np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-6)
    unitary = np.asarray(random.orthogonal(key, 3, dtype="complex64"))
    np.testing.assert_allclose(unitary @ unitary.conj().T, np.eye(3), atol=1e-6)


# ------------------------------------------------------------------------------------------------- derivatives


def test_gradients_by_reparameterisation(key: Any) -> None:
    grad = wengert.grad
    cases = [
        (lambda a: random.gamma(key, a), 2.0, 1.4498594),
        (lambda a: random.loggamma(key, a), 0.3, 4.26412),
        (lambda a: random.beta(key, a, 2.0), 3.0, 0.07960854),
        (lambda a: random.t(key, a), 3.0, -0.004672562),
    ]
    for draw, a, expected in cases:
        np.testing.assert_allclose(grad(draw)(a), expected, rtol=2e-4)
        np.testing.assert_allclose(wengert.jit(grad(draw))(a), expected, rtol=2e-4)
    alpha = jnp.array([1.0, 2.0, 3.0])
    found = grad(lambda a: random.dirichlet(key, a)[0])(alpha)
    np.testing.assert_allclose(found, [0.15268251, -0.02576894, -0.04355289], rtol=2e-4)


def test_counts_have_no_derivative(key: Any) -> None:
    assert wengert.grad(lambda a: random.poisson(key, a).astype(float))(3.0) == 0
    assert wengert.grad(lambda p: random.binomial(key, 20.0, p))(0.4) == 0


# ------------------------------------------------------------------------------------------------------ errors

ERRORS: list[tuple[Any, Any, str]] = [
    (lambda k: random.gamma(k, jnp.ones(3), (2,)), ValueError, r"gamma parameter shapes .* \(2,\).* \(3,\)"),
    (lambda k: random.triangular(k, jnp.ones(3), 1.0, jnp.ones(2)), ValueError, "Incompatible shapes"),
    (lambda k: random.beta(k, 1.0, 1.0, dtype="int32"), ValueError, "`beta` must be a float dtype"),
    (lambda k: random.geometric(k, 0.5, dtype="float32"), ValueError, "`geometric` must be an int dtype"),
    (lambda k: random.bernoulli(k, 1), TypeError, "must have a floating dtype"),
    (lambda k: random.choice(k, 3, 4), TypeError, "must be a sequence"),
    (lambda k: random.permutation(k, 1.5), TypeError, "integer or at least 1-dimensional"),
    (lambda k: random.multivariate_normal(k, 0.0, jnp.eye(2)), ValueError, "mean.ndim >= 1"),
    (lambda k: random.multivariate_normal(k, jnp.zeros(2), jnp.eye(3)), ValueError, r"cov.shape == \(3, 3\)"),
    (
        lambda k: random.multivariate_normal(k, jnp.zeros(2), jnp.eye(2), method="x"),
        ValueError,
        "method must be",
    ),
    (lambda k: random.dirichlet(k, 1.0), ValueError, "alpha.ndim >= 1"),
    (lambda k: random.gumbel(k, mode="x"), ValueError, "valid mode for gumbel got: x"),
    (lambda k: random.normal(k, (1.5,)), TypeError, "Shapes must be 1D sequences"),
    (
        lambda k: random.categorical(k, jnp.zeros(3), shape=(4,), replace=False),
        ValueError,
        "without replacement",
    ),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors_of_samplers(key: Any, number: int) -> None:
    draw, error, message = ERRORS[number]
    with pytest.raises(error, match=message):
        draw(key)


def test_parameters_that_do_not_fit_the_dtype(key: Any) -> None:
    with (
        wengert.enable_x64(True),
        pytest.raises(ValueError, match="cannot safely cast argument of type float64"),
    ):
        random.pareto(key, jnp.ones(3), dtype="float32")
