"""A network with one hidden layer learns which points lie in a ring: parameters in a pytree, Adam by hand."""

import wengert.numpy as jnp
from wengert import grad, jit, nn, random, tree


def ring(key, n):
    """n points of a square, and whether each lies in a ring around the middle."""
    points = random.uniform(key, (n, 2), minval=-1.0, maxval=1.0)
    radius = jnp.linalg.norm(points, axis=1)
    return points, jnp.where((radius > 0.4) & (radius < 0.8), 1, 0)


def initial(key, sizes):
    keys = random.split(key, len(sizes) - 1)
    draw = nn.initializers.glorot_normal()
    return [
        {"w": draw(k, (m, n)), "b": jnp.zeros(n)} for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def scores(layers, x):
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def loss(layers, x, labels):
    chosen = jnp.take_along_axis(nn.log_softmax(scores(layers, x)), labels[:, None], axis=1)
    return -jnp.mean(chosen)


@jit
def step(layers, m, v, t, x, labels):
    """One step of Adam."""
    g = grad(loss)(layers, x, labels)
    m = tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)

    def move(p, m, v):
        return p - 0.02 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

    return tree.map(move, layers, m, v), m, v


x, labels = ring(random.key(0), 500)
layers = initial(random.key(1), [2, 32, 2])
m = v = tree.map(jnp.zeros_like, layers)
for t in range(1, 801):
    layers, m, v = step(layers, m, v, float(t), x, labels)
    if t in (1, 200, 400, 800):
        right = jnp.mean(jnp.argmax(scores(layers, x), axis=1) == labels)
        print(f"step {t:3}: loss {loss(layers, x, labels):.3f}, {right:.1%} of the points on the right side")
