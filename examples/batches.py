"""`vmap`: a function of one thing becomes a function of many, without a loop."""

import wengert.numpy as jnp
from wengert import grad, jit, make_jaxpr, random, vmap


def neuron(w, b, x):
    return jnp.dot(w, x) + b


w, b = jnp.array([2.0, 4.0]), jnp.array(1.0)
points = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
print("one point:   ", neuron(w, b, points[0]))
many = vmap(neuron, in_axes=(None, None, 0))
print("three points:", many(w, b, points))
print("It is no loop: the product became one of a vector and a matrix.")
print(make_jaxpr(many)(w, b, points))


def smoothed(signal, weights):
    windows = [signal[i : i + 3] for i in range(len(signal) - 2)]
    return jnp.array([jnp.dot(window, weights) for window in windows])


signals = jnp.stack([jnp.zeros(6), jnp.arange(6.0), jnp.array([0, 3, 0, 3, 0, 3.0])], axis=1)
over_columns = vmap(smoothed, in_axes=(1, None), out_axes=1)
print("\nA moving average, written for one signal, over the columns of a table:")
print(over_columns(signals, jnp.ones(3) / 3))


def loss(w, x, y):
    return (jnp.tanh(jnp.dot(w, x)) - y) ** 2


x = random.normal(random.key(0), (1000, 2))
y = jnp.sign(x[:, 0] - x[:, 1])
per_example = jit(vmap(grad(loss), in_axes=(None, 0, 0)))(w, x, y)
print("\nA gradient for each of 1000 examples:", per_example.shape, "their mean:", per_example.mean(axis=0))

distances = vmap(vmap(lambda a, b: jnp.linalg.norm(a - b), (None, 0)), (0, None))(points, points)
print("All pairs, by vmap of vmap:\n", jnp.round(distances, 2))
