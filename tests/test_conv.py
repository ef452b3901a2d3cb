"""Convolutions of random shapes, strides, padding, dilations, groups and orders of axes: compiled equals `impl`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import wengert
from wengert import lax
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import Call
from wengert.compiler.pipeline import compile_jaxpr
from wengert.compiler.rewrite import statements
from wengert.prims.conv import dilated

Config = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]


def random_config(seed: int, largest: int = 10) -> Config:
    """Shapes of the operands, and parameters."""
    rng = np.random.default_rng(seed)
    space = int(rng.choice([0, 1, 1, 2, 2, 2, 3]))
    features, batches = [(1, 1), (1, 1), (1, 1), (int(rng.integers(2, 5)), 1), (1, 2)][rng.integers(5)]
    pick = [1, 2, 3, 5, 8, 17]
    inputs = int(rng.choice(pick)) if features == 1 else int(rng.choice([1, 1, 2]))
    outputs = int(rng.choice(pick)) if features == 1 else int(rng.choice([1, 1, 3]))
    batch = int(rng.integers(1, 4)) * batches
    strides, spread, holes = ([int(rng.choice([1, 1, 2, 3])) for _ in range(space)] for _ in range(3))
    window = [int(rng.integers(1, 5)) for _ in range(space)]
    if space == 1 and rng.random() < 0.3:
        window, strides = [int(rng.integers(18, 25))], [int(rng.choice([1, 2, 3]))]
    sizes, padding = [], []
    for k, b, h in zip(window, spread, holes, strict=True):
        lo, hi = (int(rng.integers(-1, 4)) for _ in range(2))
        # room for one window at least
        least = -(-(dilated(k, h) - lo - hi + b - 1) // b)
        sizes.append(max(least, 1, int(rng.integers(1, largest if space > 1 else 40))))
        padding.append((lo, hi))
    letters = "DHW"[3 - space :]
    specs = ["".join(rng.permutation(list(pair + letters))) for pair in ("NC", "OI", "NC")]
    if rng.random() < 0.6:
        specs = [pair + letters for pair in ("NC", "OI", "NC")]
    elif rng.random() < 0.5:
        specs = ["N" + letters + "C", letters + "IO", "N" + letters + "C"]
    where = dict(zip(letters, range(space), strict=True))
    lhs = {"N": batch, "C": inputs * features} | {c: sizes[i] for c, i in where.items()}
    rhs = {"O": outputs * features * batches, "I": inputs} | {c: window[i] for c, i in where.items()}
    params = {
        "window_strides": strides,
        "padding": padding,
        "lhs_dilation": spread,
        "rhs_dilation": holes,
        "dimension_numbers": tuple(specs),
        "feature_group_count": features,
        "batch_group_count": batches,
    }
    return tuple(lhs[c] for c in specs[0]), tuple(rhs[c] for c in specs[1]), params


def operands(config: Config, dtype: Any) -> list[Any]:
    rng = np.random.default_rng(1)
    return [wengert.numpy.asarray(rng.integers(-9, 10, shape), dtype) for shape in config[:2]]


def check(seed: int, dtype: Any = np.float32) -> None:
    """Small integers are exact in every dtype, whatever the order of the sums."""
    config = random_config(seed)
    x, k = operands(config, dtype)
    expected = lax.conv_general_dilated(x, k, **config[2])
    found = wengert.jit(lambda x, k: lax.conv_general_dilated(x, k, **config[2]))(x, k)
    np.testing.assert_array_equal(found, expected, err_msg=str(config))


@pytest.mark.parametrize("seed", range(48))
def test_random_convolutions(seed: int) -> None:
    check(seed, [np.float32, np.float32, np.int32][seed % 3])


@pytest.mark.parametrize("seed", range(100, 112))
def test_random_gradients(seed: int) -> None:
    """The gradients are convolutions again, with other dilations, groups and orders of axes."""
    config = random_config(seed, largest=7)
    x, k = operands(config, np.float32)

    def f(x: Any, k: Any) -> Any:
        return lax.conv_general_dilated(x, k, **config[2])

    out, pullback = wengert.vjp(f, x, k)
    ct = wengert.numpy.asarray(np.random.default_rng(2).integers(-3, 4, out.shape), np.float32)
    for a, b in zip(
        pullback(ct), wengert.jit(lambda x, k, ct: wengert.vjp(f, x, k)[1](ct))(x, k, ct), strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=str(config))


@pytest.mark.parametrize("seed", range(200, 208))
def test_interpreted(seed: int) -> None:
    """The loops, run one scalar at a time: every access is in bounds, and nothing is read that was not written."""
    config = random_config(seed, largest=4)
    x, k = operands(config, np.float32)
    if math.prod(x.shape) * math.prod(k.shape) > 20_000:
        return
    closed = wengert.make_jaxpr(lambda x, k: lax.conv_general_dilated(x, k, **config[2]))(x, k)
    compiled = compile_jaxpr(closed.jaxpr)
    assert not any(isinstance(s, Call) for s in statements(compiled.program.body))
    (found,) = interpret(compiled.program, [np.asarray(x), np.asarray(k)])
    np.testing.assert_array_equal(found, lax.conv_general_dilated(x, k, **config[2]))


@pytest.mark.parametrize("seed", range(300, 316))
def test_numbers_that_are_not_finite(seed: int) -> None:
    """They reach the same results compiled and eagerly, whatever the phases."""
    config = random_config(seed)
    x, k = (np.array(v) for v in operands(config, np.float32))
    k.flat[seed % k.size] = np.nan
    x.flat[seed % x.size] = np.inf
    expected = lax.conv_general_dilated(x, k, **config[2])
    found = wengert.jit(lambda x, k: lax.conv_general_dilated(x, k, **config[2]))(x, k)
    np.testing.assert_array_equal(found, expected, err_msg=str(config))


def test_there_is_nothing_in_holes() -> None:
    """An element of the kernel adds nothing where it meets a hole, be it NaN."""
    x, k = np.ones((1, 1, 3), np.float32), np.array([[[np.nan, 1, 2]]], np.float32)
    for f in (lax.conv_general_dilated, wengert.jit(lax.conv_general_dilated, static_argnums=(2, 3, 4))):
        np.testing.assert_array_equal(f(x, k, (1,), ((0, 0),), (2,))[0, 0], [np.nan, 1, np.nan])


def test_no_window_fits() -> None:
    x, k = np.ones((2, 3, 1), np.float32), np.ones((4, 3, 1), np.float32)
    for f in (lax.conv_general_dilated, wengert.jit(lax.conv_general_dilated, static_argnums=(2, 3))):
        assert f(x, k, (1,), ((-1, -1),)).shape == (2, 4, 0)
