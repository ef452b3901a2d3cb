"""A small neural network that learns to tell two spirals apart, in plain Wengert.

It shows parameters as a pytree, random keys, a batched model made from one for a single point (vmap), the
gradient of the loss (value_and_grad), a whole step of training as one compiled function (jit), and an
optimiser from wengert.example_libraries.

python examples/neural_network.py
"""

import math

import wengert
import wengert.numpy as wnp
from wengert import nn, random
from wengert.example_libraries import optimizers

LAYERS = [2, 32, 32, 1]
POINTS = 400
STEPS = 1500


def spirals(key):
    """Points (POINTS, 2) on two spirals, and which of them each is on (0 or 1)."""
    key_radius, key_noise = random.split(key)
    label = wnp.arange(POINTS) % 2
    radius = wnp.sqrt(random.uniform(key_radius, (POINTS,)))
    angle = 1.5 * math.pi * radius + math.pi * label
    points = radius[:, None] * wnp.stack([wnp.cos(angle), wnp.sin(angle)], axis=1)
    return points + 0.02 * random.normal(key_noise, points.shape), label


def initial_parameters(key):
    """A weight matrix and a bias for each layer."""
    keys = random.split(key, len(LAYERS) - 1)
    return [
        (random.normal(k, (inputs, outputs)) / math.sqrt(inputs), wnp.zeros(outputs))
        for k, inputs, outputs in zip(keys, LAYERS[:-1], LAYERS[1:], strict=True)
    ]


def network(parameters, point):
    """How much (log odds) one point of shape (2,) is on spiral 1."""
    *hidden, (weights, bias) = parameters
    for w, b in hidden:
        point = nn.relu(point @ w + b)
    return (point @ weights + bias)[0]


def loss(parameters, points, label):
    """Mean cross entropy over the points."""
    log_odds = wengert.vmap(network, in_axes=(None, 0))(parameters, points)
    return wnp.mean(wnp.logaddexp(0.0, log_odds) - label * log_odds)


def main():
    key_data, key_parameters = random.split(random.key(0))
    points, label = spirals(key_data)
    init, update, get_params = optimizers.adam(3e-3)
    state = init(initial_parameters(key_parameters))

    @wengert.jit
    def step(i, state):
        value, gradient = wengert.value_and_grad(loss)(get_params(state), points, label)
        return value, update(i, gradient, state)

    for i in range(STEPS + 1):
        value, state = step(i, state)
        if i % 300 == 0:
            print(f"step {i:5d}   loss {value:.4f}")
    log_odds = wengert.vmap(network, in_axes=(None, 0))(get_params(state), points)
    right = wnp.mean((log_odds > 0) == label)
    print(f"on the right spiral: {100 * right:.1f} % of {POINTS} points")


main()
