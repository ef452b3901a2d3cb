"""Compiled functions among threads, processes and signals, and on whatever arrays NumPy has: never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import grad, jit, lax, pure_callback, vmap

HEAD = """
import os, signal, threading, time, warnings
import numpy as np
import wengert, wengert.numpy as jnp
from wengert import jit, lax
warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 on, about fork and threads
"""


def run_script(body: str) -> str:
    """What a program prints; it ends well."""
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", HEAD + textwrap.dedent(body)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of `work(0)`, `work(1)`, ... in as many threads that start together."""
    start = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(n: int) -> None:
        start.wait()
        try:
            results[n] = work(n)
        except BaseException as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# ---- threads


def test_the_first_call_of_a_function_in_many_threads() -> None:
    @jit
    def fun(x: Any) -> Any:
        return lax.scan(lambda c, row: (c + jnp.sin(row), c * row), x[0], x)

    xs = [np.random.default_rng(n).random((20, 30), np.float32) for n in range(6)]
    found = at_once(6, lambda n: fun(xs[n]))
    for x, (total, rows) in zip(xs, found, strict=True):
        sums = x[0] + np.concatenate([np.zeros((1, 30)), np.cumsum(np.sin(x), 0)])
        np.testing.assert_allclose(total, sums[-1], rtol=1e-5)
        np.testing.assert_allclose(rows, sums[:-1] * x, rtol=1e-5)


def test_two_functions_with_parallel_loops_in_threads() -> None:
    functions = [jit(lambda x: jnp.sin(x) * jnp.exp(-x * x)), jit(lambda x: jnp.cos(x).sum(1))]
    x = np.random.default_rng(0).random((1000, 700), np.float32)
    alone = [np.asarray(f(x)) for f in functions]
    found = at_once(4, lambda n: [np.asarray(functions[n % 2](x)) for _ in range(8)])
    for n, results in enumerate(found):
        for result in results:
            np.testing.assert_array_equal(result, alone[n % 2])


def test_exceptions_of_callbacks_reach_the_thread_that_called() -> None:
    def checked(x: Any, limit: Any) -> Any:
        if x > limit:
            raise ValueError(f"{int(x)} is too much")
        return x

    @jit
    def fun(x: Any, limit: Any) -> Any:
        def step(c: Any, row: Any) -> tuple[Any, Any]:
            return pure_callback(checked, wengert.ShapeDtypeStruct((), np.int32), c + row, limit), c

        return lax.scan(step, jnp.int32(0), x)[0]

    ones = np.ones(50, np.int32)
    found = at_once(6, lambda n: int(fun(ones, 5 * n if n % 2 else 100)))
    for n, result in enumerate(found):
        if n % 2:
            assert isinstance(result, Exception), result
            assert f"{5 * n + 1} is too much" in str(result)
        else:
            assert result == 50
    assert int(fun(ones, 60)) == 50


# ---- processes and signals


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_after_compiled_calls() -> None:
    """The child runs what the parent has compiled, and compiles: loops on several threads, scans and callbacks."""
    body = """
        f = jit(lambda x: jnp.sin(x) * 2)
        g = jit(lambda x: lax.scan(lambda c, y: (c + y, c), x[0], x)[0])
        x = np.random.default_rng(0).random((2000, 500), np.float32)
        wanted = np.asarray(f(x)), np.asarray(g(x))
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            same = all(np.array_equal(h(x), w) for h, w in zip((f, g), wanted))
            new = jit(lambda x: jnp.cumsum(x * 3))(np.ones(4, np.float32))
            os._exit(0 if same and list(np.asarray(new)) == [3, 6, 9, 12] else 1)
        print(os.waitpid(child, 0)[1], all(np.array_equal(h(x), w) for h, w in zip((f, g), wanted)))
    """
    assert run_script(body) == "0 True\n"


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_native_loops_within_a_second() -> None:
    body = """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loops = {
            "while": (lambda x: lax.while_loop(lambda s: s[0] >= 0, lambda s: (s[0] + 0, s[1] + 1), (0, x)), 1.0),
            "scan": (lambda x: lax.fori_loop(0, 10**9, lambda i, s: jnp.sin(s), x), np.ones(9, np.float32)),
            "products": (lambda x: lax.fori_loop(0, 10**9, lambda i, s: x @ s, x), np.eye(300, dtype=np.float32)),
        }
        for name, (fun, x) in loops.items():
            compiled = jit(fun).lower(x).compile()
            timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            start = time.monotonic()
            try:
                compiled(x)
            except KeyboardInterrupt:
                print(name, time.monotonic() - start < 1.3, float(jit(lambda x: x + 1)(2.0)))
            timer.join()
    """
    assert run_script(body) == "while True 3.0\nscan True 3.0\nproducts True 3.0\n"


# ---- nesting


def nested(depth: int) -> Callable[[Any], Any]:
    fun: Callable[[Any], Any] = lambda x: x + 1  # noqa: E731
    for _ in range(depth):
        fun = jit(lambda x, inner=fun: inner(x) * 2)
    return fun


def test_jitted_functions_inside_of_each_other() -> None:
    assert float(nested(40)(1.0)) == 2.0**41
    with pytest.raises(RecursionError):
        nested(3000)(1.0)

    @jit
    def forever(x: Any) -> Any:
        return forever(x)

    with pytest.raises(RecursionError):
        forever(1.0)
    assert float(jit(lambda x: x * 2)(2.0)) == 4


# ---- arrays of all kinds

DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bfloat16", "float16",
    "float32", "float64", "complex64", "complex128",
)  # fmt: skip


class Subclass(np.ndarray):  # type: ignore[type-arg]
    pass


def presented(a: Any) -> Iterator[tuple[str, Any]]:
    """The same elements in all the ways that NumPy can hold them."""
    yield "C", a
    yield "Fortran", np.asfortranarray(a)
    yield "reversed", np.flip(np.flip(a).copy())
    yield "transposed", a.T.copy().T
    wide = np.zeros([2 * d + 1 for d in a.shape], a.dtype)
    strided = wide[(..., *(slice(1, 2 * d + 1, 2) for d in a.shape))]
    strided[...] = a
    yield "strided", strided
    readonly = a.copy()
    readonly.flags.writeable = False
    yield "read-only", readonly
    yield "subclass", a.view(Subclass)
    if a.dtype != ml_dtypes.bfloat16:
        yield "other byte order", a.astype(a.dtype.newbyteorder())
    if a.size:
        unaligned = np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1)
        yield "unaligned", unaligned.reshape(a.shape)
        records = np.zeros(a.size, [("odd", np.int8), ("value", a.dtype)])
        records["value"] = a.ravel()
        yield "field", records["value"].reshape(a.shape)
        yield "broadcast", np.broadcast_to(a.ravel()[0], a.shape)
    if a.ndim == 0:
        yield "scalar", a[()]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_as_numpy_holds_them(dtype: str) -> None:
    @jit
    def fun(x: Any) -> list[Any]:
        joined = [lax.concatenate([x, lax.rev(x, [0])], 0)] if x.ndim else []
        return [x, lax.select(lax.eq(x, x), x, x), lax.transpose(x, range(x.ndim)[::-1]), *joined]

    rng = np.random.default_rng(0)
    for shape in [(), (0,), (1,), (5,), (3, 0), (17, 5), (2, 3, 5), (0, 0, 2)]:
        for name, view in presented(
            np.asarray(rng.integers(0, 2 if dtype == "bool" else 100, shape)).astype(dtype)
        ):
            a = np.array(view, np.dtype(dtype), order="C", subok=False)
            wanted = [a, a, a.T, *([np.concatenate([a, a[::-1]])] if a.ndim else [])]
            for found, expected in zip(fun(view), wanted, strict=True):
                assert found.dtype == np.dtype(dtype), name
                np.testing.assert_array_equal(found, expected, err_msg=f"{name} {shape}", strict=True)


def test_results_that_are_views_of_other_results() -> None:
    """Operations that aren't compiled give views; compiled ones take them."""
    z = jnp.asarray(np.random.default_rng(0).random((6, 7), np.float32))
    twice = jit(lambda a: a * 2)
    views = [z.T, z[::-1], z[:, ::2], z[1:5, 2:6], jnp.broadcast_to(z[0], (5, 7)), jnp.diagonal(z)]
    for view in [*views, lax.complex(z, z).real, lax.complex(z, z).imag[::2]]:
        np.testing.assert_array_equal(twice(view), np.asarray(view) * 2)
    octets = jnp.arange(50, dtype=np.uint8)
    for start in range(4):  # at addresses that are not multiples of 4
        words = lax.bitcast_convert_type(octets[start : start + 40].reshape(10, 4), np.int32)
        expected = np.arange(start, start + 40, dtype=np.uint8).view(np.int32)
        np.testing.assert_array_equal(twice(words), expected * 2)


EMPTY: list[Callable[[Any], Any]] = [
    jnp.cumsum, lambda a: jnp.sort(a, 0), lambda a: jnp.argsort(a, 1), lambda a: a @ a.T, vmap(jnp.sin),
    lambda a: lax.scan(lambda c, r: (c + r, c), jnp.zeros(a.shape[1:]), a), lambda a: jnp.fft.fft(a, 4),
    lambda a: jnp.pad(a, 2), lambda a: jnp.concatenate([a, a], 1), lambda a: a.at[:].set(1.0),
    lambda a: a[jnp.array([], int)], lambda a: jnp.prod(a, 0), lambda a: jnp.var(a, 0), lambda a: jnp.roll(a, 1),
    lambda a: grad(lambda b: jnp.sum(jnp.sin(b)))(a), jnp.linalg.norm, lambda a: jnp.cumprod(a, 1),
    lambda a: lax.fori_loop(0, 3, lambda i, b: b + 1, a), lambda a: jnp.searchsorted(a.ravel(), jnp.arange(3.0)),
    jnp.linalg.qr, jnp.linalg.svd, lambda a: lax.top_k(a, 0), lambda a: jnp.kron(a, a),
    lambda a: lax.conv(a[None, None], jnp.ones((2, 1, 1, 1)), (1, 1), "SAME"), lambda a: jnp.repeat(a, 2, 0),
    lambda a: lax.cond(a.sum() > 0, jnp.sin, jnp.cos, a), lambda a: lax.dynamic_slice(a, (1, 1), (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(EMPTY)))
@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_empty_arrays_everywhere(number: int) -> None:
    fun = EMPTY[number]
    for shape in ((0, 3), (3, 0), (0, 0)):
        eager = wengert.tree.leaves(fun(jnp.zeros(shape)))
        compiled = wengert.tree.leaves(jit(fun)(jnp.zeros(shape)))
        for a, b in zip(compiled, eager, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


@pytest.mark.skipif(
    "CI" in os.environ or os.environ.get("HYPOTHESIS_PROFILE") != "long" or _free_memory() < 12 << 30,
    reason="takes 8 GiB of memory: with HYPOTHESIS_PROFILE=long",
)
def test_arrays_of_more_than_two_gibibytes() -> None:
    n = (1 << 31) + 12345
    x = np.zeros(n, np.int8)
    x[[0, 5, (1 << 31) - 1, 1 << 31, n - 1]] = [1, 2, 3, 4, 5]
    added, total, place, part = jit(
        lambda x, i: (
            x + jnp.int8(1),
            jnp.sum(x, dtype=np.int32),
            jnp.max(x),
            lax.dynamic_slice(x, (i,), (12345,)),
        )
    )(x, jnp.uint32(1 << 31))
    assert int(total) == 15
    assert int(place) == 5
    np.testing.assert_array_equal(part, x[1 << 31 :])
    np.testing.assert_array_equal(added[-20000:], x[-20000:] + np.int8(1))
    table = np.zeros((3, 1 << 30), np.int8)
    table[2, -1] = 7
    found = jit(lambda t: lax.slice(lax.transpose(t, (1, 0)), ((1 << 30) - 1, 0), (1 << 30, 3)))(table)
    np.testing.assert_array_equal(found, [[0, 0, 7]])


# ---- what random programs have found


@pytest.mark.parametrize("method", ["add", "multiply", "min", "max"])
def test_booleans_are_added_and_multiplied_at_indices_as_numpy_does(method: str) -> None:
    rng = np.random.default_rng(0)
    for n, rare in ((3, 0.5), (40, 0.5), (200_000, 1e-5)):
        x, at = rng.random(10) < 0.5, rng.integers(0, 10, n)
        updates = rng.random(n) < (rare if method in ("add", "max") else 1 - rare)
        expected = x.copy()
        {"add": np.logical_or, "multiply": np.logical_and, "min": np.minimum, "max": np.maximum}[method].at(
            expected, at, updates
        )
        found = jit(lambda x, u, at=at: getattr(x.at[at], method)(u))(jnp.asarray(x), updates)
        np.testing.assert_array_equal(found, expected)
