"""Reductions to one number: in parts, on all threads, with the same result whatever the number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert.compiler import nest, partial
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import For
from wengert.compiler.pipeline import compile_jaxpr
from wengert.core.reference import run_jaxpr

RNG = np.random.default_rng(11)


def moments(x: Any) -> Any:
    return jnp.sum(x), jnp.max(x * x), jnp.exp(x)


def loss(x: Any) -> Any:
    return jnp.mean((x - jnp.mean(x)) ** 2), jnp.dot(x.reshape(-1), x.reshape(-1) + 1)


def every(x: Any) -> Any:
    return jnp.all(x < 2), jnp.any(x > 2), jax_like_logsumexp(x)


def jax_like_logsumexp(x: Any) -> Any:
    return wengert.nn.logsumexp(x)


@pytest.mark.parametrize("f", [moments, loss, every], ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(64,), (67,), (8, 9), (9, 4, 3)])
def test_parts_give_the_whole(f: Any, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_PARTS", 4)
    monkeypatch.setattr(partial, "_MORE_OR_LESS", 1)
    monkeypatch.setattr(nest, "PARALLEL_COST", 40)
    x = RNG.standard_normal(shape).astype(np.float32)
    closed = wengert.make_jaxpr(f)(x)
    compilation = compile_jaxpr(closed.jaxpr)
    found = interpret(compilation.program, [x])
    for n, wanted in zip(compilation.outputs, run_jaxpr(np, closed, [x]), strict=True):
        np.testing.assert_allclose(found[n], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [300_000, 299_993])
def test_large_sums_run_on_all_threads(size: int) -> None:
    x = RNG.standard_normal(size).astype(np.float32)
    program = compile_jaxpr(wengert.make_jaxpr(lambda x: jnp.sum(x * x))(x).jaxpr).program
    assert any(isinstance(s, For) and s.parallel for s in program.body)
    f = wengert.jit(lambda x: jnp.sum(x * x))
    before = wengert.config.num_threads
    results = []
    try:
        for threads in (1, 2, 3):
            wengert.config.update("num_threads", threads)
            results.append(float(f(x)))
    finally:
        wengert.config.update("num_threads", before)
    assert results[0] == results[1] == results[2]
    np.testing.assert_allclose(results[0], np.sum(x.astype(np.float64) ** 2), rtol=1e-6)
