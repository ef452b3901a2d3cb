"""Transposes run over tiles, alone and fused with what is computed beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert.backends import cpu, transposed
from wengert.compiler.loops import For
from wengert.compiler.pipeline import compile_jaxpr

RNG = np.random.default_rng(5)
SHAPES = [(16, 16), (17, 33), (40, 18), (64, 130), (15, 70)]


@pytest.fixture(params=[128, 256, 512])
def bits(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cpu.target(), "vector_bits", request.param)
    return int(request.param)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint32"])
def test_transposes(bits: int, shape: tuple[int, int], dtype: str) -> None:
    x = (100 * RNG.random((3, *shape))).astype(dtype)
    y = (100 * RNG.random(shape[::-1])).astype(dtype)

    def f(x: Any, y: Any) -> Any:
        return (
            x[0].T + y,
            x[1].T * y - x[2].T,
            jnp.transpose(x, (2, 0, 1)) + 1,
            jnp.transpose(x, (2, 1, 0)) * 2,
            x[0, ::2].T[::-1] + 1,
        )

    def wanted(x: Any, y: Any) -> Any:
        flipped = x[0, ::2].T[::-1] + 1
        return (
            x[0].T + y,
            x[1].T * y - x[2].T,
            x.transpose(2, 0, 1) + 1,
            x.transpose(2, 1, 0) * 2,
            flipped.astype(x.dtype),
        )

    for a, b in zip(wengert.jit(f)(x, y), wanted(x, y), strict=True):
        np.testing.assert_array_equal(a, b)


def loop_of(f: Any, *args: Any) -> For:
    program = compile_jaxpr(wengert.make_jaxpr(f)(*args).jaxpr).program
    return next(s for s in program.body if isinstance(s, For))


def test_which_loops_are_tiled() -> None:
    x = np.ones((100, 200), np.float32)
    tiles = transposed.tiles_of(loop_of(lambda x: x.T + 1, x), 512)
    assert tiles is not None
    assert tiles.lanes == 16
    assert transposed.tiles_of(loop_of(lambda x: x + 1, x), 512) is None
    assert transposed.tiles_of(loop_of(lambda x: x.T + 1, x[:8]), 512) is None
    assert transposed.tiles_of(loop_of(lambda x: jnp.sum(x.T, axis=1), x), 512) is None
