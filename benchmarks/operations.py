"""A row for each kind of operation: elementwise, reductions, sorting, linear algebra, loops, networks."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import small
from benchmarks.limits import as_numpy, work
from benchmarks.rows import Inputs, Row, enter, first_call_of, normal, row as any_row, second_process_of

MILLION = 1_000_000
SQUARE = normal((1000, 1000))

row = partial(any_row, more=True)


def positive(shape: tuple[int, ...]) -> Inputs:
    """Inputs: one array of numbers between 0.5 and 1.5."""
    return lambda rng: ((rng.random(shape) + 0.5).astype(np.float32),)


# -- short calls


def sixty_leaves(rng: np.random.Generator) -> tuple[Any, ...]:
    return ({f"layer {i}": {"w": rng.standard_normal(10).astype(np.float32)} for i in range(60)},)


@row("jitted call with a tree of 60 leaves", sixty_leaves, 0.5, waits=False)
def tree_plus_one(jax: Any, tree: Any) -> Any:
    return jax.tree_util.tree_map(lambda leaf: leaf + 1, tree)


enter(Row("eager selu on 10 numbers", "eager", small.selu, normal((10,)), 0.3, waits=False, more=True))


# -- elementwise


@row("exp on 1e6", normal((MILLION,)), 0.5, limit=work(8 * MILLION))
def exp(jax: Any, x: Any) -> Any:
    return jax.numpy.exp(x)


@row("tanh on 1e6", normal((MILLION,)), 0.5, limit=work(8 * MILLION))
def tanh(jax: Any, x: Any) -> Any:
    return jax.numpy.tanh(x)


@row("sin on 1e6", normal((MILLION,)), 0.1, limit=work(8 * MILLION))
def sin(jax: Any, x: Any) -> Any:
    return jax.numpy.sin(x)


@row("transpose plus one, 1000x1000", SQUARE, 0.4, limit=work(8 * MILLION))
def transpose(jax: Any, x: Any) -> Any:
    return x.T + 1


# -- reductions


@row("sum of 1e6", normal((MILLION,)), 1, limit=work(4 * MILLION), tolerance=1e-4)
@row("sum of 1000x1000", SQUARE, 1, limit=work(4 * MILLION), tolerance=1e-4)
def total(jax: Any, x: Any) -> Any:
    return jax.numpy.sum(x)


@row("sum along axis 0, 1000x1000", SQUARE, 1, limit=work(4 * MILLION))
def sum_columns(jax: Any, x: Any) -> Any:
    return jax.numpy.sum(x, axis=0)


@row("sum along axis 1, 1000x1000", SQUARE, 1, limit=work(4 * MILLION))
def sum_rows(jax: Any, x: Any) -> Any:
    return jax.numpy.sum(x, axis=1)


@row("variance of rows, 1000x1000", SQUARE, 0.7, limit=work(4 * MILLION))
def variance(jax: Any, x: Any) -> Any:
    return jax.numpy.var(x, axis=1)


@row("softmax of rows, 1000x1000", SQUARE, 0.7, limit=work(8 * MILLION))
def softmax(jax: Any, x: Any) -> Any:
    return jax.nn.softmax(x, axis=1)


@row("layer norm of rows, 1000x1000", SQUARE, 0.7, limit=work(8 * MILLION))
def layer_norm(jax: Any, x: Any) -> Any:
    jnp = jax.numpy
    centred = x - jnp.mean(x, axis=1, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred**2, axis=1, keepdims=True) + 1e-5)


@row("cumsum along rows, 1000x1000", SQUARE, 0.15, limit=work(8 * MILLION), tolerance=1e-4)
def cumsum(jax: Any, x: Any) -> Any:
    return jax.numpy.cumsum(x, axis=1)


# -- sorting and indexing


@row(
    "sort rows, 1000x1000", SQUARE, 0.05,
    limit=as_numpy(np.sort, (1000, 1000)),
)  # fmt: skip
def sort(jax: Any, x: Any) -> Any:
    return jax.numpy.sort(x, axis=1)


@row(
    "argsort of 1e5", normal((100_000,)), 0.15,
    limit=as_numpy(np.argsort, (100_000,)),
)  # fmt: skip
def argsort(jax: Any, x: Any) -> Any:
    return jax.numpy.argsort(x)


def gathered(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.standard_normal(MILLION).astype(np.float32), rng.integers(0, MILLION, 100_000, np.int32)


@row("gather 1e5 of 1e6", gathered, 1)
def gather(jax: Any, x: Any, indices: Any) -> Any:
    return x[indices]


def scattered(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.standard_normal(100_000).astype(np.float32), rng.integers(0, 1000, 100_000, np.int32)


@row("scatter-add 1e5 into 1000", scattered, 1, tolerance=1e-4)
def scatter_add(jax: Any, updates: Any, indices: Any) -> Any:
    return jax.numpy.zeros(1000).at[indices].add(updates)


# -- matrices


def product(jax: Any, a: Any, b: Any) -> Any:
    return a @ b


for n, aim in ((64, 0.7), (512, 1), (2048, 0.9)):
    enter(
        Row(
            f"matmul {n}", "jit", product, normal((n, n), (n, n)), aim,
            limit=work(12 * n * n, 2 * n**3), tolerance=1e-4, more=True,
        )
    )  # fmt: skip
enter(
    Row(
        "matmul of 1000 pairs of 16x16", "jit", product, normal((1000, 16, 16), (1000, 16, 16)), 0.7,
        limit=work(12 * 256_000, 2 * 1000 * 16**3), tolerance=1e-4, more=True,
    )
)  # fmt: skip


def systems(n: int) -> Inputs:
    """A thousand well-conditioned matrices and right-hand sides."""

    def inputs(rng: np.random.Generator) -> tuple[Any, ...]:
        matrices = rng.standard_normal((1000, n, n)) + 2 * n * np.eye(n)
        return matrices.astype(np.float32), rng.standard_normal((1000, n, 1)).astype(np.float32)

    return inputs


@row("solve 1000 systems of 3", systems(3), 0.4, tolerance=1e-4)
@row("solve 1000 systems of 16", systems(16), 0.6, tolerance=1e-4)
def solve(jax: Any, matrices: Any, right: Any) -> Any:
    return jax.numpy.linalg.solve(matrices, right)


@row("singular values of 300x300", normal((300, 300)), 1, tolerance=1e-4)
def singular_values(jax: Any, a: Any) -> Any:
    return jax.numpy.linalg.svd(a)[1]


@row("fft2 of 512x512", normal((512, 512)), 1, tolerance=1e-4)
def fft2(jax: Any, x: Any) -> Any:
    return jax.numpy.fft.fft2(x)


# -- random numbers: both draw the same bits


@row("random normal, 1e6", lambda rng: (np.uint32(7),), 0.2, limit=work(4 * MILLION))
def random_normal(jax: Any, seed: Any) -> Any:
    return jax.random.normal(jax.random.key(seed), (MILLION,))


@row("random uniform, 1e6", lambda rng: (np.uint32(7),), 0.15, limit=work(4 * MILLION))
def random_uniform(jax: Any, seed: Any) -> Any:
    return jax.random.uniform(jax.random.key(seed), (MILLION,))


# -- loops


@row("heat equation by roll, 512x512, 50 steps", normal((512, 512)), 0.2, tolerance=1e-4)
def heat(jax: Any, u: Any) -> Any:
    jnp = jax.numpy

    def step(_: Any, u: Any) -> Any:
        around = jnp.roll(u, 1, 0) + jnp.roll(u, -1, 0) + jnp.roll(u, 1, 1) + jnp.roll(u, -1, 1)
        return u + 0.1 * (around - 4 * u)

    return jax.lax.fori_loop(0, 50, step, u)


def board(rng: np.random.Generator) -> tuple[Any, ...]:
    return (rng.integers(0, 2, (512, 512), np.int32),)


@row("game of life 512x512, 100 steps", board, 0.2)
def life(jax: Any, cells: Any) -> Any:
    jnp = jax.numpy

    def step(_: Any, cells: Any) -> Any:
        shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
        around = sum(jnp.roll(cells, shift, (0, 1)) for shift in shifts)
        return ((around == 3) | ((cells == 1) & (around == 2))).astype(cells.dtype)

    return jax.lax.fori_loop(0, 100, step, cells)


# With rho = 14 the system comes to rest. With the usual 28 it is chaotic, and no two results would agree.
@row("scan of the Lorenz system, 1e4 steps", normal((3,)), 1, tolerance=1e-4)
def lorenz(jax: Any, state: Any) -> Any:
    jnp = jax.numpy

    def step(state: Any, _: Any) -> tuple[Any, Any]:
        x, y, z = state
        slope = jnp.stack([10 * (y - x), x * (14 - z) - y, x * y - 8 / 3 * z])
        return state + 0.005 * slope, state

    _, states = jax.lax.scan(step, state, None, length=10_000)
    return states


@row("while loop, 1e5 integer steps", lambda rng: (np.int32(27),), 0.6)
def integer_loop(jax: Any, start: Any) -> Any:
    def condition(state: tuple[Any, Any]) -> Any:
        return state[0] < 100_000

    def body(state: tuple[Any, Any]) -> tuple[Any, Any]:
        i, x = state
        return i + 1, jax.numpy.where(x % 2 == 0, x // 2, (3 * x + 1) % 65_537)

    return jax.lax.while_loop(condition, body, (0, start))


@row("forces among 1000 bodies", normal((1000, 3)), 0.4, tolerance=1e-3)
def bodies(jax: Any, places: Any) -> Any:
    jnp = jax.numpy
    apart = places[None, :, :] - places[:, None, :]
    squared = jnp.sum(apart * apart, axis=-1) + 0.01
    return jnp.sum(apart * (squared**-1.5)[..., None], axis=1)


@row("one element of 1e6 set in each of 1e4 steps", normal((MILLION,)), 1)
def set_one_by_one(jax: Any, x: Any) -> Any:
    return jax.lax.fori_loop(0, 10_000, lambda i, x: x.at[7 * i].add(x[i]), x)


@row("pendulums: 1000 small states, 1000 steps", normal((1000, 2)), 0.5, tolerance=1e-3)
def pendulums(jax: Any, states: Any) -> Any:
    jnp = jax.numpy

    def one(state: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            angle, speed = state
            speed = speed - 0.01 * jnp.sin(angle)
            return jnp.stack([angle + 0.01 * speed, speed])

        return jax.lax.fori_loop(0, 1000, step, state)

    return jax.vmap(one)(states)


@row(
    "mean of squared differences, 1e6",
    normal((MILLION,), (MILLION,)),
    0.7,
    tolerance=1e-4,
    limit=work(8 * MILLION),
)
def mean_squared(jax: Any, x: Any, y: Any) -> Any:
    return jax.numpy.mean((x - y) ** 2)


# -- learning


def network(rng: np.random.Generator) -> tuple[Any, ...]:
    sizes = [784, 512, 512, 10]
    layers = [
        ((rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32), np.zeros(b, np.float32))
        for a, b in pairwise(sizes)
    ]
    labels = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 128)]
    return layers, rng.standard_normal((128, 784)).astype(np.float32), labels


@row(
    "training step of a network 784-512-512-10, batch 128", network, 0.8, tolerance=1e-4,
    limit=work(flops=6 * 128 * (784 * 512 + 512 * 512 + 5120)),
)  # fmt: skip
def training_step(jax: Any, layers: Any, images: Any, labels: Any) -> Any:
    jnp = jax.numpy

    def loss(layers: Any) -> Any:
        hidden = images
        for w, b in layers[:-1]:
            hidden = jax.nn.relu(hidden @ w + b)
        w, b = layers[-1]
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(hidden @ w + b) * labels, axis=1))

    gradients = jax.grad(loss)(layers)
    return jax.tree_util.tree_map(lambda p, g: p - 0.1 * g, layers, gradients)


def recurrent_inputs(rng: np.random.Generator) -> tuple[Any, ...]:
    weights = [(rng.standard_normal((128, 128)) / 16).astype(np.float32) for _ in range(2)]
    return weights, rng.standard_normal((200, 32, 128)).astype(np.float32)


@row(
    "recurrent network of 128, batch 32, 200 steps", recurrent_inputs, 0.8, tolerance=1e-3,
    limit=work(flops=200 * 2 * 2 * 32 * 128**2),
)  # fmt: skip
def recurrent(jax: Any, weights: Any, xs: Any) -> Any:
    jnp = jax.numpy
    inward, again = weights

    def step(state: Any, x: Any) -> tuple[Any, None]:
        return jnp.tanh(x @ inward + state @ again), None

    state, _ = jax.lax.scan(step, jnp.zeros((32, 128)), xs)
    return jnp.mean(state**2)


@row(
    "gradient of that recurrent network", recurrent_inputs, 0.8, tolerance=1e-3,
    limit=work(flops=3 * 200 * 2 * 2 * 32 * 128**2),
)  # fmt: skip
def recurrent_gradient(jax: Any, weights: Any, xs: Any) -> Any:
    return jax.grad(lambda weights: recurrent(jax, weights, xs))(weights)


@row("hessian of a function of 50 numbers", positive((50,)), 0.7, tolerance=1e-4)
def hessian(jax: Any, x: Any) -> Any:
    jnp = jax.numpy
    return jax.hessian(lambda x: jnp.sum(jnp.sin(x[1:]) * x[:-1] ** 2) + jnp.prod(jnp.cos(x / 10)))(x)


# -- compile time


CHAIN = "products, functions and a power of 50x50"


@row(CHAIN, normal((50, 50)), 0.7, tolerance=1e-3)
def matrix_chain(jax: Any, x: Any) -> Any:
    jnp = jax.numpy
    correlation = jnp.tanh(x @ x.T / 50)
    mixed = jnp.exp(-(correlation**2)) @ x
    rows = jax.nn.softmax(jnp.sin(mixed) + jnp.cos(mixed.T @ x), axis=-1)
    cubed = jnp.linalg.matrix_power(rows, 3)
    return -jnp.sum(cubed * jnp.log(jnp.abs(cubed) + 1e-8))


enter(Row(f"{CHAIN}, eager", "eager", matrix_chain, normal((50, 50)), 0.7, tolerance=1e-3, more=True))


@row("300 sines in a row on 100 numbers", normal((100,)), 1)
def sines(jax: Any, x: Any) -> Any:
    for i in range(300):
        x = jax.numpy.sin(x + i)
    return x


enter(first_call_of("300 sines in a row on 100 numbers", 0.3))
enter(second_process_of("300 sines in a row on 100 numbers", 0.1))
