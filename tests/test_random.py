"""Random numbers: keys, the documented values, distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

import wengert
import wengert.numpy as jnp
from wengert import random


@pytest.fixture
def key() -> Any:
    return random.PRNGKey(42)


def test_key_is_its_seed(key: Any) -> None:
    assert np.asarray(key).tolist() == [0, 42]
    assert np.asarray(random.PRNGKey(-1)).tolist() == [0, 2**32 - 1]


def test_documented_values(key: Any) -> None:
    assert np.asarray(random.split(key)).tolist() == [[1832780943, 270669613], [64467757, 2916123636]]
    with wengert.threefry_partitionable(False):
        assert np.asarray(random.split(key)).tolist() == [
            [2465931498, 3679230171],
            [255383827, 267815257],
        ]
    np.testing.assert_array_equal(
        random.uniform(key, (5,)), np.float32([0.48870957, 0.6797972, 0.6162715, 0.5610161, 0.4506446])
    )
    np.testing.assert_allclose(
        random.normal(key, (2, 2)), [[-0.02830462, 0.46713185], [0.29570296, 0.15354592]], rtol=1e-6
    )
    np.testing.assert_allclose(random.normal(random.key(0), (2,)), [1.6226422, 2.0252647], rtol=1e-6)


def test_documented_integers(key: Any) -> None:
    assert random.randint(key, (5,), -3, 100, "int8").tolist() == [21, 25, 89, 97, 42]
    assert random.randint(key, (5,), 0, 256, "uint8").tolist() == [196, 18, 183, 193, 141]
    assert random.bits(key, (6,), "uint8").tolist() == [162, 217, 249, 215, 21, 216]
    assert random.permutation(key, 6).tolist() == [4, 2, 5, 3, 0, 1]
    assert random.choice(key, 9, (4,), replace=False).tolist() == [7, 4, 2, 5]
    with wengert.threefry_partitionable(False):
        assert random.randint(key, (5,), -3, 100, "int8").tolist() == [31, 89, 14, 90, 82]
        assert random.bits(key, (6,), "uint8").tolist() == [45, 179, 215, 3, 244, 131]
        assert random.bits(key, (5,), "uint16").tolist() == [8426, 37627, 63599, 6563, 55571]
        assert random.permutation(key, 6).tolist() == [3, 0, 2, 1, 5, 4]


def test_typed_keys_give_the_numbers_of_raw_ones(key: Any) -> None:
    typed = random.key(42)
    assert typed.shape == ()
    assert str(typed.aval.str_short()) == "key<fry>[]"
    np.testing.assert_array_equal(random.key_data(typed), key)
    np.testing.assert_array_equal(random.normal(typed, (4,)), random.normal(key, (4,)))
    np.testing.assert_array_equal(random.key_data(random.split(typed, 3)), random.split(key, 3))
    np.testing.assert_array_equal(random.key_data(random.fold_in(typed, 7)), random.fold_in(key, 7))


def test_compiled_and_batched_agree_with_eager(key: Any) -> None:
    keys = random.split(key, 3)
    eager = np.stack([np.asarray(random.normal(k, (4,))) for k in keys])
    draw = lambda k: random.normal(k, (4,))  # noqa: E731
    np.testing.assert_allclose(wengert.vmap(draw)(keys), eager, rtol=1e-6)
    np.testing.assert_allclose(wengert.jit(wengert.vmap(draw))(keys), eager, rtol=2e-6, atol=1e-7)


CONTINUOUS = [
    (lambda k, n: random.uniform(k, n, minval=-2.0, maxval=3.0), scipy.stats.uniform(-2, 5)),
    (random.normal, scipy.stats.norm()),
    (random.exponential, scipy.stats.expon()),
    (random.gumbel, scipy.stats.gumbel_r()),
    (random.laplace, scipy.stats.laplace()),
    (random.logistic, scipy.stats.logistic()),
    (random.cauchy, scipy.stats.cauchy()),
    (lambda k, n: random.lognormal(k, 0.5, n), scipy.stats.lognorm(0.5)),
    (lambda k, n: random.rayleigh(k, 1.5, n), scipy.stats.rayleigh(scale=1.5)),
    (lambda k, n: random.weibull_min(k, 2.0, 3.0, n), scipy.stats.weibull_min(3, scale=2)),
    (lambda k, n: random.truncated_normal(k, -1.0, 2.0, n), scipy.stats.truncnorm(-1, 2)),
]


@pytest.mark.parametrize("number", range(len(CONTINUOUS)))
def test_distribution(key: Any, number: int) -> None:
    draw, expected = CONTINUOUS[number]
    sample = np.asarray(draw(key, (20_000,)), np.float64)
    assert scipy.stats.kstest(sample, expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32"])
def test_randint(key: Any, dtype: str) -> None:
    sample = np.asarray(random.randint(key, (20_000,), 3, 10, dtype))
    assert sample.dtype == dtype
    assert set(sample.tolist()) == set(range(3, 10))
    assert scipy.stats.chisquare(np.bincount(sample)[3:]).pvalue > 1e-3


def test_bernoulli_and_rademacher(key: Any) -> None:
    assert abs(float(random.bernoulli(key, 0.3, (20_000,)).mean()) - 0.3) < 0.015
    assert set(np.asarray(random.rademacher(key, (100,))).tolist()) == {-1, 1}


def test_permutation_and_choice(key: Any) -> None:
    assert sorted(random.permutation(key, 50).tolist()) == list(range(50))
    rows = jnp.arange(12).reshape(4, 3)
    shuffled = np.asarray(random.permutation(key, rows))
    assert sorted(map(tuple, shuffled)) == sorted(map(tuple, np.asarray(rows)))
    assert len(set(random.choice(key, 30, (20,), replace=False).tolist())) == 20
    weights = jnp.array([0.1, 0.0, 0.6, 0.3])
    counts = np.bincount(np.asarray(random.choice(key, 4, (20_000,), p=weights)), minlength=4)
    assert counts[1] == 0
    np.testing.assert_allclose(counts / counts.sum(), weights, atol=0.015)


def test_categorical(key: Any) -> None:
    logits = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]]))
    sample = np.asarray(random.categorical(key, logits, shape=(20_000, 2)))
    for column, p in enumerate(np.exp(np.asarray(logits))):
        counts = np.bincount(sample[:, column], minlength=3)
        np.testing.assert_allclose(counts / counts.sum(), p, atol=0.015)


def test_gradient_through_a_draw(key: Any) -> None:
    gradient = wengert.grad(lambda s: (s * random.normal(key, (5,))).sum())(2.0)
    np.testing.assert_allclose(gradient, random.normal(key, (5,)).sum(), rtol=1e-6)


def test_errors(key: Any) -> None:
    with pytest.raises(TypeError, match="seed must be an integer"):
        random.PRNGKey(1.5)
    with pytest.raises(TypeError, match=r"made by random\.key"):
        random.normal(42, (3,))
    with pytest.raises(ValueError, match="vmap for batching"):
        random.normal(random.split(key), (3,))
    with pytest.raises(ValueError, match="must be a float dtype"):
        random.uniform(key, (3,), dtype=jnp.int32)
    with pytest.raises(ValueError, match="Cannot take a larger sample"):
        random.choice(key, 3, (4,), replace=False)
    with pytest.raises(ValueError, match="unrecognized PRNG implementation"):
        random.key(0, impl="philox")


def test_uniform_stays_inside(key: Any) -> None:
    sample = np.asarray(random.uniform(key, (100_000,)))
    assert sample.min() >= 0
    assert sample.max() < 1
    assert math.isclose(sample.mean(), 0.5, abs_tol=0.005)
