"""Dot products of random shapes and orders of axes: compiled equals `impl`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import wengert
from wengert import lax
from wengert.compiler.interpret import interpret
from wengert.compiler.pipeline import compile_jaxpr

SIZES = (1, 2, 3, 7, 8, 12, 16, 17, 33, 64, 70)


def random_dot(seed: int, largest: int = 1 << 20) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
    """Shapes of the operands, and dimension numbers."""
    rng = np.random.default_rng(seed)
    while True:
        groups = [[int(rng.choice(SIZES)) for _ in range(n)] for n in rng.choice([0, 1, 1, 1, 2], 4)]
        if math.prod(map(math.prod, groups)) <= largest:
            break
    batch, contracted, left, right = groups
    shapes, numbers = [], []
    for free in (left, right):
        named = [("b", i, s) for i, s in enumerate(batch)] + [("c", i, s) for i, s in enumerate(contracted)]
        axes = named + [("f", i, s) for i, s in enumerate(free)]
        axes = [axes[i] for i in rng.permutation(len(axes))]
        shapes.append(tuple(size for _, _, size in axes))
        place = {(kind, i): n for n, (kind, i, _) in enumerate(axes)}
        numbers.append(
            [
                tuple(place[kind, i] for i in range(n))
                for kind, n in (("c", len(contracted)), ("b", len(batch)))
            ]
        )
    (c, b), (d, e) = numbers
    return shapes[0], shapes[1], ((c, d), (b, e))


def operands(config: Any, dtype: Any) -> list[Any]:
    rng = np.random.default_rng(1)
    return [wengert.numpy.asarray(rng.integers(-9, 10, shape), dtype) for shape in config[:2]]


@pytest.mark.parametrize("seed", range(40))
def test_random_dots(seed: int) -> None:
    """Small integers are exact in every dtype, whatever the order of the sums."""
    config = random_dot(seed)
    x, y = operands(config, [np.float32, np.float32, np.int32][seed % 3])
    expected = lax.dot_general(x, y, config[2])
    found = wengert.jit(lambda x, y: lax.dot_general(x, y, config[2]))(x, y)
    np.testing.assert_array_equal(found, expected, err_msg=str(config))


@pytest.mark.parametrize(
    "shape", [(130, 600, 40), (30, 1000, 33), (5, 520, 300), (2, 400, 200), (300, 9, 64)]
)
def test_deep_products(shape: tuple[int, int, int]) -> None:
    """Sums that are formed in parts, panels that are cut, blocks with rows left over."""
    m, k, n = shape
    x, y = operands(((m, k), (k, n)), np.float32)
    for f, args in (
        (lambda x, y: x @ y, (x, y)),
        (lambda x, y: x.T @ y, (x.T + 0, y)),
        (lambda x, y: x @ y.T, (x, y.T + 0)),
        (lambda x, y: (x + 1) @ (2 * y) + 3, (x, y)),
    ):
        np.testing.assert_array_equal(wengert.jit(f)(*args), f(*args))


@pytest.mark.parametrize("seed", range(300, 306))
def test_interpreted(seed: int) -> None:
    """The loops, run one scalar at a time: every access is in bounds, and nothing is read that was not written."""
    config = random_dot(seed, 20_000)
    x, y = operands(config, np.float32)
    closed = wengert.make_jaxpr(lambda x, y: lax.dot_general(x, y, config[2]))(x, y)
    (found,) = interpret(compile_jaxpr(closed.jaxpr).program, [np.asarray(x), np.asarray(y)])
    np.testing.assert_array_equal(found, lax.dot_general(x, y, config[2]))
