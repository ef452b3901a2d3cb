"""Python functions that programs call: their results, their effects, their errors."""

from __future__ import annotations

import threading
import traceback
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import ShapeDtypeStruct, lax, pure_callback
from wengert.experimental import io_callback

VECTOR = ShapeDtypeStruct((3,), np.float32)
SCALAR = ShapeDtypeStruct((), np.float32)
x = jnp.arange(3.0)


def host_sin(v: Any) -> Any:
    return np.sin(v)


def sin(v: Any) -> Any:
    return pure_callback(host_sin, VECTOR, v)


class Recorder:
    """Keeps what it was called with."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, *values: Any) -> None:
        self.seen.append(tuple(float(v) for v in values) if len(values) != 1 else float(values[0]))


@pytest.mark.parametrize("call", [lambda f: f, wengert.jit], ids=["eager", "jit"])
def test_values(call: Any) -> None:
    np.testing.assert_allclose(call(lambda v: sin(v) * 2)(x), 2 * np.sin(x), rtol=1e-6)


def test_arguments_are_arrays_in_their_structure() -> None:
    seen = []

    def host(tree: Any, *, scale: Any) -> Any:
        seen.append((type(tree["a"]), type(scale), tree["a"].shape))
        return {"out": tree["a"] * scale, "n": np.int32(7)}

    declared = {"out": VECTOR, "n": ShapeDtypeStruct((), np.int32)}
    out = wengert.jit(lambda v: pure_callback(host, declared, {"a": v}, scale=2.0))(x)
    assert seen == [(type(x), type(x), (3,))]
    np.testing.assert_array_equal(out["out"], 2 * x)
    assert out["n"] == 7


def test_arguments_outlive_the_call() -> None:
    kept: list[Any] = []
    wengert.jit(lambda v: io_callback(kept.append, None, v + 1))(x)
    wengert.jit(lambda v: jnp.cumsum(v) * 3)(x)
    np.testing.assert_array_equal(kept[0], np.arange(1.0, 4.0))


def test_unused_pure_callbacks_are_removed_and_others_are_not() -> None:
    seen = []

    def f(v: Any) -> Any:
        pure_callback(lambda a: seen.append("pure") or a, VECTOR, v)
        io_callback(lambda a: seen.append("io") or a, VECTOR, v)
        io_callback(lambda a: seen.append("io") or a, VECTOR, v)
        return v

    wengert.jit(f)(x)
    assert seen == ["io", "io"]
    assert wengert.make_jaxpr(f)(x).effects == {"IO"}


@pytest.mark.parametrize("transform", [wengert.jit, lambda f: wengert.jit(wengert.jit(f)), lambda f: f])
def test_order_in_loops_and_branches(transform: Any) -> None:
    seen = Recorder()

    def shown(v: Any) -> Any:
        io_callback(seen, None, v, ordered=True)
        return v

    def f(n: Any) -> Any:
        lax.scan(lambda c, i: (shown(c) + i, None), n, jnp.arange(2.0))
        out = lax.while_loop(lambda c: c < 12, lambda c: shown(c * 2), shown(n + 0.5))
        lax.fori_loop(0, 2, lambda i, c: shown(c + 1), 100.0)
        lax.cond(n > 1, lambda v: shown(v - 1), lambda v: shown(v - 2), n)
        return out

    transform(f)(3.0)
    assert seen.seen == [3.0, 3.0, 3.5, 7.0, 14.0, 101.0, 102.0, 2.0]


def test_effects_are_part_of_types() -> None:
    def f(v: Any) -> Any:
        io_callback(lambda a: None, None, v, ordered=True)
        wengert.debug.print("{}", v)
        return lax.scan(lambda c, _: (sin(c), None), v, None, length=2)[0]

    assert wengert.make_jaxpr(f)(x).effects == {"OrderedIO", "Debug"}
    assert wengert.make_jaxpr(wengert.jit(f))(x).effects == {"OrderedIO", "Debug"}


@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("sequential", [((3,), (3,))] * 2),
        ("sequential_unrolled", [((3,), (3,))] * 2),
        ("expand_dims", [((2, 3), (1, 3))]),
        ("broadcast_all", [((2, 3), (2, 3))]),
        ("legacy_vectorized", [((2, 3), (3,))]),
    ],
)
def test_vmap_methods(method: str, shapes: Any) -> None:
    seen = []

    def host(a: Any, b: Any) -> Any:
        seen.append((a.shape, b.shape))
        return np.asarray(a) + np.asarray(b)

    batch = jnp.arange(6.0).reshape(2, 3)

    def f(a: Any, b: Any) -> Any:
        return pure_callback(host, VECTOR, a, b, vmap_method=method)

    np.testing.assert_array_equal(wengert.vmap(f, (0, None))(batch, x), batch + x)
    assert seen == shapes
    if method == "legacy_vectorized":  # leaves it to the function to tell the axes apart
        return
    twice = wengert.jit(wengert.vmap(wengert.vmap(f, (None, 0)), (0, None)))(batch, batch + 1)
    np.testing.assert_array_equal(twice, batch[:, None] + (batch + 1)[None])


def test_vmap_of_effects() -> None:
    seen = Recorder()
    out = wengert.vmap(lambda v: io_callback(lambda a: seen(a) or np.float32(a * 2), SCALAR, v))(x)
    np.testing.assert_array_equal(out, 2 * x)
    assert seen.seen == [0.0, 1.0, 2.0]
    nothing = wengert.vmap(lambda v: io_callback(seen, SCALAR, v))(jnp.zeros((0,)))
    assert (nothing.shape, len(seen.seen)) == ((0,), 3)
    with pytest.raises(ValueError, match="Cannot `vmap` ordered IO callback"):
        wengert.vmap(lambda v: io_callback(seen, None, v, ordered=True))(x)
    with pytest.raises(NotImplementedError, match=r"vmap is only supported .* vmap_method=None"):
        wengert.vmap(lambda v: pure_callback(host_sin, SCALAR, v))(x)
    with pytest.raises(ValueError, match="vmap_method must be one of"):
        pure_callback(host_sin, VECTOR, x, vmap_method="other")
    with pytest.raises(NotImplementedError, match="vmap-of-cond"):
        wengert.vmap(lambda v: lax.cond(v > 1, lambda a: io_callback(seen, None, a), lambda a: None, v))(x)
    with pytest.raises(NotImplementedError, match="while_loop with batched predicate"):
        wengert.vmap(
            lambda v: lax.while_loop(lambda c: c < 3, lambda c: [io_callback(seen, None, c), c + 1][1], v)
        )(x)


def test_derivatives() -> None:
    for refused in (wengert.grad(lambda v: sin(v).sum()), lambda v: wengert.jvp(sin, (v,), (v,))):
        with pytest.raises(ValueError, match=r"Pure callbacks do not support JVP.*custom_jvp"):
            refused(x)
    with pytest.raises(ValueError, match="IO callbacks do not support JVP"):
        wengert.grad(lambda v: io_callback(lambda a: np.float32(1), SCALAR, v))(1.0)
    with pytest.raises(NotImplementedError, match="Effects not supported in AD of `checkpoint`"):
        wengert.grad(wengert.checkpoint(lambda v: [v**2, io_callback(print, None, lax.stop_gradient(v))][0]))(
            1.0
        )

    @wengert.custom_jvp
    def own(v: Any) -> Any:
        return sin(v)

    own.defjvps(lambda t, out, v: t * pure_callback(lambda a: np.cos(a), VECTOR, v))
    for f in (own, wengert.jit(own)):
        np.testing.assert_allclose(wengert.grad(lambda v, f=f: f(v).sum())(x), np.cos(x), rtol=1e-6)


def test_results_must_be_as_declared() -> None:
    wrong: list[tuple[Any, str]] = [
        (
            lambda v: np.zeros(4, np.float32),
            r"returned float32\[4\] as result 0, but .* declares float32\[3\]",
        ),
        (lambda v: np.zeros(3, np.int32), r"returned int32\[3\] as result 0"),
        (lambda v: (np.asarray(v), np.asarray(v)), "returned 2 arrays, but result_shape_dtypes declares 1"),
        (lambda v: None, "returned 0 arrays"),
        (lambda v: "text", "returned 'text' as result 0, which is no array"),
    ]
    for host, message in wrong:
        for run in (lambda f: f(x), lambda f: wengert.jit(f)(x)):
            with pytest.raises(RuntimeError, match=message) as caught:
                run(lambda v, host=host: pure_callback(host, VECTOR, v))
            assert any("test_callbacks.py" in note for note in caught.value.__notes__)
    assert pure_callback(lambda: 1.0, SCALAR) == 1.0
    assert pure_callback(lambda: np.float64(2), SCALAR).dtype == np.float32


def test_declarations_and_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match="a pytree of things with a shape and a dtype"):
        pure_callback(host_sin, (3,), x)
    with pytest.raises(ValueError, match="cannot specify 64-bit types"):
        pure_callback(host_sin, ShapeDtypeStruct((3,), np.float64), x)
    with pytest.raises(TypeError, match="takes a function"):
        pure_callback(3, VECTOR, x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at position 1"):
        io_callback(print, None, x, "text")


class OwnError(Exception):
    """Raised by a callback."""


def failing(v: Any) -> Any:
    raise OwnError("from the callback")


@pytest.mark.parametrize("place", ["plain", "scan", "cond", "vmap"])
def test_exceptions_reach_the_caller(place: str) -> None:
    def call(v: Any) -> Any:
        return io_callback(failing, SCALAR, v)

    programs: dict[str, Any] = {
        "plain": call,
        "scan": lambda v: lax.scan(lambda c, _: (call(c), None), v, None, length=3)[0],
        "cond": lambda v: lax.cond(v > 0, call, lambda a: a, v),
        "vmap": lambda v: wengert.vmap(call)(jnp.stack([v, v])).sum(),
    }
    f = wengert.jit(programs[place])
    for _ in range(2):
        with pytest.raises(OwnError, match="from the callback") as caught:
            f(1.0)
        assert "failing" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert wengert.jit(lambda v: v + 1)(1.0) == 2.0


def test_callbacks_may_call_jitted_functions() -> None:
    inner = wengert.jit(lambda v: jnp.sin(v) * 2)

    def host(v: Any) -> Any:
        return inner(v) + wengert.grad(lambda a: inner(a).sum())(v)

    expected = 2 * np.sin(x) + 2 * np.cos(x)
    np.testing.assert_allclose(wengert.jit(lambda v: pure_callback(host, VECTOR, v))(x), expected, rtol=1e-5)


def test_threads_keep_their_callbacks_apart() -> None:
    f = wengert.jit(lambda v: pure_callback(lambda a: failing(a) if a < 0 else np.float32(a), SCALAR, v))
    results: dict[int, Any] = {}

    def work(n: int) -> None:
        for _ in range(20):
            try:
                results[n] = float(f(float(n)))
            except OwnError:
                results[n] = "failed"

    threads = [threading.Thread(target=work, args=(n,)) for n in (-2, -1, 1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {-2: "failed", -1: "failed", 1: 1.0, 2: 2.0}


def test_callbacks_without_results_or_arguments() -> None:
    seen = []
    assert wengert.jit(lambda: io_callback(lambda: seen.append(1), None))() is None
    assert seen == [1]
    wengert.effects_barrier()


def test_tokens() -> None:
    token = lax.create_token()
    after = wengert.jit(lambda v: lax.after_all(token, lax.create_token(v)))(x)
    assert after.size == token.size == 0
