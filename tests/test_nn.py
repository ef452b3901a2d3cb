"""Functions for neural networks: values against SciPy and formulas, derivatives, extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special as sp

import wengert
import wengert.numpy as jnp
from wengert import nn

X = np.linspace(-6, 6, 49).astype(np.float32)


def np_elu(x: Any, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": sp.expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "soft_sign": lambda x: x / (1 + abs(x)),
    "silu": lambda x: x * sp.expit(x),
    "log_sigmoid": sp.log_expit,
    "elu": lambda x: np_elu(x, 1.0),
    "celu": lambda x: np_elu(x, 1.0),
    "selu": lambda x: 1.0507009873554805 * np_elu(x, 1.6732632423543772),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "tanh": np.tanh,
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    function = getattr(nn, name)
    expected = ACTIVATIONS[name](X.astype(np.float64))
    np.testing.assert_allclose(function(jnp.asarray(X)), expected, rtol=3e-6, atol=3e-7)
    np.testing.assert_allclose(wengert.jit(function)(jnp.asarray(X)), expected, rtol=3e-6, atol=3e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_of_activation(name: str) -> None:
    function = getattr(nn, name)
    with wengert.enable_x64(True):
        x = np.linspace(-5.03, 5.03, 30)  # not where a derivative jumps
        found = wengert.vmap(wengert.grad(function))(jnp.asarray(x))
        h = 1e-6
        expected = (ACTIVATIONS[name](x + h) - ACTIVATIONS[name](x - h)) / (2 * h)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_derivative_of_relu_at_zero_is_zero() -> None:
    assert wengert.grad(nn.relu)(0.0) == 0
    assert wengert.grad(nn.relu6)(6.0) == 0


@pytest.mark.parametrize("approximate", [True, False])
def test_gelu(approximate: bool) -> None:
    x = X.astype(np.float64)
    exact = x * sp.ndtr(x)
    found = nn.gelu(jnp.asarray(X), approximate=approximate)
    np.testing.assert_allclose(found, exact, atol=5e-4 if approximate else 2e-6)


@pytest.mark.parametrize("axis", [0, -1, None])
def test_logsumexp(axis: int | None) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32) * 50
    np.testing.assert_allclose(nn.logsumexp(jnp.asarray(x), axis=axis), sp.logsumexp(x, axis=axis), rtol=1e-6)


def test_logsumexp_with_factors_and_signs() -> None:
    x, b = np.float32([1.0, 2.0, 3.0]), np.float32([1.0, -2.0, 0.5])
    found, sign = nn.logsumexp(jnp.asarray(x), b=jnp.asarray(b), return_sign=True)
    expected, expected_sign = sp.logsumexp(x, b=b, return_sign=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert sign == expected_sign


def test_logsumexp_of_infinities() -> None:
    assert nn.logsumexp(jnp.array([-jnp.inf, -jnp.inf])) == -np.inf
    assert nn.logsumexp(jnp.array([jnp.inf, 1.0])) == np.inf
    assert wengert.grad(lambda x: nn.logsumexp(x))(jnp.array([-jnp.inf, 0.0])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32) * 30
    found = getattr(nn, name)(jnp.asarray(x), axis=0)
    np.testing.assert_allclose(found, getattr(sp, name)(x.astype(np.float64), axis=0), rtol=1e-5, atol=1e-6)


def test_softmax_of_some_elements() -> None:
    x = jnp.array([1.0, 2.0, 3.0])
    found = nn.softmax(x, where=jnp.array([True, False, True]))
    np.testing.assert_allclose(found, [sp.expit(-2.0), 0, sp.expit(2.0)], rtol=1e-6)


def test_softmax_gradient_adds_up_to_zero() -> None:
    jacobian = wengert.jacrev(nn.softmax)(jnp.array([0.5, 1.0, -1.0]))
    np.testing.assert_allclose(jacobian.sum(0), np.zeros(3), atol=1e-7)


def test_standardize() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(3, 2, size=(4, 50)).astype(np.float32))
    for algorithm in ("fast", "stable"):
        z = np.asarray(nn.standardize(x, algorithm=algorithm))
        np.testing.assert_allclose(z.mean(-1), np.zeros(4), atol=1e-5)
        np.testing.assert_allclose(z.std(-1), np.ones(4), atol=1e-4)


def test_one_hot() -> None:
    found = nn.one_hot(jnp.array([0, 2, 5]), 3)
    assert found.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert nn.one_hot(jnp.array([0, 2]), 3, axis=0, dtype=jnp.int32).tolist() == [[1, 0], [0, 0], [0, 1]]


def test_glu_and_its_error() -> None:
    x = jnp.array([1.0, 2.0, 0.0, 1.0])
    np.testing.assert_allclose(nn.glu(x), [0.5, 2 * sp.expit(1.0)], rtol=1e-6)
    with pytest.raises(ValueError, match="axis -1, whose size 3 is odd"):
        nn.glu(jnp.ones(3))


def test_attention() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 5, 3, 4)).astype(np.float32) for _ in range(3))
    logits = np.einsum("btnh,bsnh->bnts", q, k) / 2
    logits = np.where(np.tril(np.ones((5, 5), bool)), logits, -np.inf)
    expected = np.einsum("bnts,bsnh->btnh", sp.softmax(logits, -1), v)
    np.testing.assert_allclose(nn.dot_product_attention(q, k, v, is_causal=True), expected, atol=2e-6)
    with pytest.raises(ValueError, match="do not fit"):
        nn.dot_product_attention(q, k[..., :3], v)


@pytest.mark.parametrize(
    "name", ["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal"]
)
def test_initializer_variance(name: str) -> None:
    weights = getattr(nn.initializers, name)()(wengert.random.key(0), (300, 200))
    expected = {"glorot": 2 / 500, "he": 2 / 300, "lecun": 1 / 300}[name.split("_")[0]]
    np.testing.assert_allclose(np.var(weights), expected, rtol=0.05)
    assert weights.dtype == np.float32


def test_initializer_errors() -> None:
    with pytest.raises(ValueError, match="Must be at least 2D"):
        nn.initializers.he_normal()(wengert.random.key(0), (3,))
    with pytest.raises(ValueError, match="invalid mode"):
        nn.initializers.variance_scaling(1.0, "fan", "normal")(wengert.random.key(0), (3, 3))
