"""pmap: replicas on threads of their own, over as many devices as the configuration says."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import wengert
from wengert import grad, hessian, jit, lax, make_jaxpr, numpy as jnp, pmap, vmap
from wengert.config import config
from wengert.core.jaxpr import check_jaxpr
from wengert.errors import ReplicaError

XS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def _devices() -> Iterator[None]:
    config.update("jax_num_cpu_devices", 4)
    yield
    config.update("jax_num_cpu_devices", -1)


def test_devices_are_configured() -> None:
    assert [repr(d) for d in wengert.devices()] == [f"CpuDevice(id={i})" for i in range(4)]
    assert wengert.local_devices() == wengert.devices("cpu")
    assert wengert.device_count() == wengert.local_device_count() == 4
    assert wengert.process_index() == 0
    assert wengert.process_count() == 1
    assert str(wengert.devices()[2]) == "cpu:2"
    assert wengert.devices()[3].platform == "cpu"
    assert pickle.loads(pickle.dumps(wengert.devices()[1])) is wengert.devices()[1]
    config.update("jax_num_cpu_devices", 2)
    assert wengert.device_count() == 2
    with pytest.raises(ValueError, match="num_cpu_devices"):
        config.update("jax_num_cpu_devices", 0)


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, 1),
        ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
        ({"WENGERT_NUM_CPU_DEVICES": "2", "JAX_NUM_CPU_DEVICES": "3"}, 2),
        ({"XLA_FLAGS": "--xla_other=1 --xla_force_host_platform_device_count=5"}, 5),
    ],
)
def test_the_environment(variables: dict[str, str], count: int) -> None:
    names = ("JAX_NUM_CPU_DEVICES", "WENGERT_NUM_CPU_DEVICES", "XLA_FLAGS")
    env = {k: v for k, v in os.environ.items() if k not in names}
    script = "import wengert; print(wengert.device_count())"
    done = subprocess.run([sys.executable, "-c", script], env=env | variables, capture_output=True, text=True)
    assert done.stdout.strip() == str(count), done.stderr


def test_each_replica_has_a_thread() -> None:
    seen: list[int] = []

    def note(x: Any) -> Any:
        seen.append(threading.get_ident())
        return x

    def fun(x: Any) -> Any:
        return lax.psum(wengert.pure_callback(note, wengert.ShapeDtypeStruct(x.shape, x.dtype), x), "i")

    np.testing.assert_allclose(pmap(fun, "i")(XS), np.broadcast_to(XS.sum(0), (4, 3)), rtol=1e-5)
    assert len(set(seen)) == 4
    assert threading.get_ident() not in seen


def test_axes() -> None:
    add = pmap(lambda x, y: x + y, in_axes=(0, None), out_axes=1)
    np.testing.assert_allclose(add(XS, 1.0), (XS + 1).T, rtol=1e-6)
    np.testing.assert_allclose(pmap(lambda x: x * 2, in_axes=1)(XS[:3].T), XS[:3] * 2, rtol=1e-6)
    tree = pmap(
        lambda d, c: {"o": d["a"] + d["b"] + c, "s": lax.psum(c, "i")},
        "i",
        in_axes=({"a": 0, "b": None}, None),
        out_axes={"o": 0, "s": None},
    )({"a": XS, "b": 1.0}, 2)
    np.testing.assert_allclose(tree["o"], XS + 3, rtol=1e-6)
    assert int(tree["s"]) == 8
    np.testing.assert_allclose(pmap(lambda x, *, y: x * y)(XS, y=XS), XS * XS, rtol=1e-6)
    np.testing.assert_allclose(pmap(lambda x: x)(XS[:2]), XS[:2])
    assert pmap(lambda x, n: x * n, static_broadcasted_argnums=1)(XS, 3).shape == (4, 3)
    assert pmap(lambda n, x: [x] * n, static_broadcasted_argnums=0, in_axes=(None, 0))(2, XS)[1].shape == (
        4,
        3,
    )


def test_results_are_spread_over_the_devices() -> None:
    out = pmap(lambda x: x * 2, "i")(XS)
    assert out.devices() == set(wengert.devices())
    shards = out.addressable_shards
    assert [s.device.id for s in shards] == [0, 1, 2, 3]
    np.testing.assert_allclose(shards[2].data, XS[2:3] * 2, rtol=1e-6)
    two = wengert.devices()[2:]
    assert pmap(lambda x: x, devices=two)(XS[:2]).devices() == set(two)


def test_traced_once_for_each_type() -> None:
    count = 0

    def fun(x: Any) -> Any:
        nonlocal count
        count += 1
        return x + 1

    mapped = pmap(fun)
    for _ in range(3):
        mapped(XS)
    assert count == 1
    mapped(XS[:2])
    assert count == 2


def step(w: Any, x: Any) -> Any:
    slope = grad(lambda w: ((x @ w) ** 2).mean())(w)
    return w - 0.1 * lax.pmean(slope, "i")


def test_data_parallel_training_step() -> None:
    w, xs = np.ones(3, np.float32), np.random.default_rng(1).normal(size=(4, 5, 3)).astype(np.float32)
    alone = w - 0.1 * grad(lambda w: ((xs.reshape(20, 3) @ w) ** 2).mean())(w)
    for fun in (pmap(step, "i", in_axes=(None, 0)), vmap(step, in_axes=(None, 0), axis_name="i")):
        for found in (fun(w, xs), jit(fun)(w, xs)):
            np.testing.assert_allclose(found, np.broadcast_to(alone, (4, 3)), rtol=1e-5)
    assert pmap(step, "i", in_axes=(None, 0), out_axes=None)(w, xs).shape == (3,)


def test_transformations_of_pmap() -> None:
    def by(mapping: Any) -> Any:
        def fun(w: Any) -> Any:
            return mapping(lambda w, x: lax.psum(jnp.sum(jnp.sin(x * w) ** 2), "i") * w[0])(w, XS).sum()

        return fun

    def mapped(fun: Any) -> Any:
        return pmap(fun, "i", in_axes=(None, 0))

    def looped(fun: Any) -> Any:
        return vmap(fun, in_axes=(None, 0), axis_name="i")

    w = np.ones(3, np.float32)
    for transform in (grad, hessian, lambda f: jit(grad(f)), lambda f: vmap(f)):
        given = np.stack([w, 2 * w]) if transform(abs).__name__ == "abs" else w
        np.testing.assert_allclose(
            transform(by(mapped))(given), transform(by(looped))(given), rtol=1e-4, atol=1e-4
        )
    check_jaxpr(make_jaxpr(grad(by(mapped)))(w))
    assert wengert.eval_shape(mapped(lambda w, x: x @ w), w, XS).shape == (4,)
    assert mapped(lambda w, x: x @ w).lower(w, XS).compile()(w, XS).shape == (4,)


def test_unused_results_and_closures() -> None:
    scale = jnp.arange(3.0)

    def fun(x: Any) -> Any:
        return pmap(lambda x: (x * scale, lax.psum(x, "i")), "i")(x)[0]

    np.testing.assert_allclose(jit(fun)(XS), XS * np.arange(3), rtol=1e-6)
    np.testing.assert_allclose(
        grad(lambda s: pmap(lambda x: x * s)(XS).sum())(np.ones(3, np.float32)), XS.sum(0), rtol=1e-5
    )


def test_random_keys_are_spread() -> None:
    keys = wengert.random.split(wengert.random.key(0), 4)
    found = pmap(lambda k: wengert.random.normal(k, (2,)))(keys)
    np.testing.assert_allclose(found, vmap(lambda k: wengert.random.normal(k, (2,)))(keys), rtol=1e-6)


def test_errors_of_the_call() -> None:
    with pytest.raises(ValueError, match=r"requires 8 logical devices, but only 4 .*jax_num_cpu_devices"):
        pmap(lambda x: x)(np.ones(8))
    with pytest.raises(ValueError, match=r"requires 9 logical devices \(3 for each replica"):
        pmap(pmap(lambda x: x))(np.ones((3, 3)))
    with pytest.raises(ValueError, match="pmap got inconsistent sizes"):
        pmap(lambda x, y: x)(np.ones(4), np.ones(3))
    with pytest.raises(ValueError, match="at least one argument with a mapped axis"):
        pmap(lambda x: x, in_axes=None)(np.ones(4))
    with pytest.raises(ValueError, match="axis_size is 3"):
        pmap(lambda x: x, axis_size=3)(np.ones(4))
    with pytest.raises(ValueError, match="Got axis_size=4, num_local_devices=2"):
        pmap(lambda x: x, devices=wengert.devices()[:2])(np.ones(4))
    with pytest.raises(ValueError, match="rank should be at least 1"):
        pmap(lambda x, y: x)(np.ones(4), 3)
    with pytest.raises(ValueError, match="Non-hashable static"):
        pmap(lambda x, n: x, static_broadcasted_argnums=1)(np.ones(4), [1])
    with pytest.raises(TypeError, match="pmap in_axes must be an int, None"):
        pmap(lambda x: x, in_axes="a")
    with pytest.raises(RuntimeError, match="Unknown backend"):
        pmap(lambda x: x, backend="tpu")


def test_an_exception_in_a_replica_reaches_the_caller() -> None:
    def refuse(x: Any) -> Any:
        if x[0] == 2:
            raise ValueError("two is too many")
        return x

    def fun(x: Any) -> Any:
        return lax.psum(wengert.pure_callback(refuse, wengert.ShapeDtypeStruct((1,), x.dtype), x), "i")

    for mapped in (pmap(fun, "i"), jit(pmap(fun, "i"))):
        with pytest.raises(ValueError, match="two is too many") as caught:
            mapped(np.arange(4.0)[:, None])
        assert any("replica 2 of the 4" in note for note in caught.value.__notes__)


def test_replicas_that_do_not_meet() -> None:
    def some(x: Any) -> Any:
        return lax.cond(x > 1, lambda x: lax.psum(x, "i"), lambda x: x, x)

    def others(x: Any) -> Any:
        return lax.cond(x > 1, lambda x: lax.psum(x, "i"), lambda x: lax.pmax(x, "i"), x)

    for fun in (some, others):
        with pytest.raises(ReplicaError, match="must be the same in all replicas"):
            pmap(fun, "i")(np.arange(4.0))


INTERRUPTED = """
import os, signal, threading
from wengert import lax, numpy as jnp, pmap
turns = 2_000_000_000
fun = {"alone": lambda i, c: c * 1.0000001, "meeting": lambda i, c: c + lax.psum(c, "i") * 1e-9}[KIND]
started = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
started.start()
try:
    pmap(lambda x: lax.fori_loop(0, turns, fun, x), "i")(jnp.ones(4))
except KeyboardInterrupt:
    names = [t.name for t in threading.enumerate() if t.name.startswith("wengert-replica")]
    print("interrupted", names)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("kind", ["alone", "meeting"])
def test_ctrl_c_ends_all_replicas(kind: str) -> None:
    start = time.monotonic()
    script = f"KIND = {kind!r}\nimport signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{INTERRUPTED}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "4"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "interrupted []", done.stderr
    assert time.monotonic() - start < 30
