"""Networks put together from layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
from wengert import numpy as jnp, random
from wengert.example_libraries import optimizers, stax

KEY = random.key(0)
IMAGES = np.random.default_rng(4).normal(size=(2, 8, 8, 3)).astype(np.float32)


def apply(layer: Any, inputs: Any, **kwargs: Any) -> Any:
    """The output, after a check that the layer has foretold its shape, whatever the size of the batch."""
    init_fun, apply_fun = layer
    shape, params = init_fun(KEY, inputs.shape)
    outputs = apply_fun(params, inputs, **kwargs)
    assert outputs.shape == shape
    return outputs


LAYERS = {
    "Dense": stax.Dense(5),
    "Conv": stax.Conv(4, (3, 2), (2, 1), "SAME"),
    "ConvTranspose": stax.ConvTranspose(4, (3, 2), (2, 1)),
    "GeneralConv": stax.GeneralConv(("NHWC", "OIHW", "NCHW"), 4, (3, 3)),
    "BatchNorm": stax.BatchNorm(),
    "MaxPool": stax.MaxPool((2, 3), (2, 1)),
    "SumPool": stax.SumPool((2, 2), padding="SAME"),
    "AvgPool": stax.AvgPool((3, 3), (2, 2), "SAME"),
    "Flatten": stax.Flatten,
    "Identity": stax.Identity,
    "shape_dependent": stax.shape_dependent(lambda shape: stax.Dense(shape[-1] + 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_shapes(name: str) -> None:
    apply(LAYERS[name], IMAGES)


def test_activations() -> None:
    for name in ("Tanh", "Exp", "Relu", "Sigmoid", "Elu", "LeakyRelu", "Selu", "Gelu", "Softplus"):
        function = getattr(
            jnp if name in ("Tanh", "Exp") else stax, {"LeakyRelu": "leaky_relu"}.get(name, name.lower())
        )
        np.testing.assert_array_equal(apply(getattr(stax, name), IMAGES), function(IMAGES))
    np.testing.assert_allclose(apply(stax.Softmax, IMAGES).sum(-1), np.ones((2, 8, 8)), rtol=1e-5)
    np.testing.assert_allclose(apply(stax.LogSoftmax, IMAGES), stax.logsoftmax(IMAGES), rtol=1e-5)
    np.testing.assert_array_equal(apply(stax.elementwise(lambda x, p: x**p, p=2), IMAGES), IMAGES**2)


def test_values_of_layers() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(apply(stax.MaxPool((2, 2), (2, 2)), image)[0, :, :, 0], [[5, 7], [13, 15]])
    np.testing.assert_array_equal(apply(stax.SumPool((4, 4)), image)[0, 0, 0], [120])
    mean = apply(stax.AvgPool((3, 3), padding="SAME"), image)[0, :, :, 0]
    assert mean[0, 0] == np.mean([0, 1, 4, 5])  # of what there is, without padding
    swapped = apply(stax.MaxPool((2, 2), (2, 2), spec="NCHW"), image.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(swapped[0, 0], [[5, 7], [13, 15]])
    normal = apply(stax.BatchNorm(), IMAGES)
    np.testing.assert_allclose(normal.mean((0, 1, 2)), np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(normal.std((0, 1, 2)), np.ones(3), rtol=1e-4)
    for center, scale in ((True, False), (False, True), (False, False)):
        bare = apply(stax.BatchNorm(center=center, scale=scale), IMAGES)
        np.testing.assert_allclose(bare, normal, rtol=1e-5, atol=1e-6)


def test_branches() -> None:
    init_fun, apply_fun = stax.serial(
        stax.FanOut(3),
        stax.parallel(stax.Identity, stax.Dense(3), stax.Exp),
        stax.FanInConcat(),
        stax.Dense(2),
    )
    shape, params = init_fun(KEY, (-1, 3))
    assert shape == (-1, 2)
    x = IMAGES[0, 0]
    W, b = params[1][1]
    joined = np.concatenate([x, x @ W + b, np.exp(x)], -1)
    np.testing.assert_allclose(
        apply_fun(params, x), joined @ params[3][0] + params[3][1], rtol=1e-5, atol=1e-6
    )
    init_fun, apply_fun = stax.serial(stax.FanOut(2), stax.FanInSum)
    np.testing.assert_array_equal(apply_fun(init_fun(KEY, x.shape)[1], x), 2 * x)


def test_dropout() -> None:
    ones = np.ones(10_000, np.float32)
    dropped = apply(stax.Dropout(0.8), ones, rng=KEY)
    assert set(np.unique(dropped).tolist()) == {0.0, 1.25}
    assert np.mean(dropped > 0) == pytest.approx(0.8, abs=0.02)
    np.testing.assert_array_equal(apply(stax.Dropout(0.8, mode="test"), ones, rng=KEY), ones)
    with pytest.raises(ValueError, match="Dropout layer requires apply_fun to be called with a PRNG key"):
        apply(stax.Dropout(0.8), ones)
    deep = stax.serial(stax.Dropout(0.5), stax.Dropout(0.5))
    assert np.mean(apply(deep, ones, rng=KEY) > 0) == pytest.approx(0.25, abs=0.03)


def test_a_small_network_learns_a_spiral() -> None:
    t = np.linspace(0.5, 2.5, 60)
    arm = np.stack([t * np.cos(3 * t), t * np.sin(3 * t)], 1)
    x = np.concatenate([arm, -arm]).astype(np.float32)
    labels = np.repeat(np.eye(2, dtype=np.float32), 60, axis=0)
    init_fun, apply_fun = stax.serial(
        stax.Dense(32), stax.Tanh, stax.Dense(32), stax.Tanh, stax.Dense(2), stax.LogSoftmax
    )
    _, params = init_fun(KEY, (-1, 2))

    def loss(params: Any) -> Any:
        return -jnp.mean(jnp.sum(apply_fun(params, x) * labels, axis=1))

    init, update, get_params = optimizers.adam(0.02)

    @wengert.jit
    def step(i: Any, state: Any) -> Any:
        return update(i, wengert.grad(loss)(get_params(state)), state)

    state = init(params)
    for i in range(300):
        state = step(i, state)
    found = apply_fun(get_params(state), x).argmax(1)
    assert np.mean(found == labels.argmax(1)) > 0.95
