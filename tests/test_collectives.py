"""Collective operations: what they compute over a named axis, under vmap and in the replicas of pmap alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import wengert
from wengert import grad, jit, jvp, lax, make_jaxpr, pmap, vmap
from wengert.config import config

N = 4
GROUPS = [[0, 3], [2, 1]]
PAIRS = [(0, 1), (1, 2), (2, 3), (3, 0)]
Rows = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _devices() -> Iterator[None]:
    config.update("jax_num_cpu_devices", 6)
    yield
    config.update("jax_num_cpu_devices", -1)


def every(function: Callable[[Any], Any]) -> Rows:
    """What is the same for all elements."""
    return lambda xs: np.stack([function(xs)] * len(xs))


def in_groups(rows: Rows) -> Rows:
    """The same within each of GROUPS."""

    def grouped(xs: Any) -> Any:
        found: list[Any] = [None] * len(xs)
        for group in GROUPS:
            for i, row in zip(group, rows(np.stack([xs[i] for i in group])), strict=True):
                found[i] = row
        return np.stack(found)

    return grouped


def permuted(xs: Any, pairs: Any) -> Any:
    out = np.zeros_like(xs)
    for source, destination in pairs:
        out[destination] = xs[source]
    return out


def exchanged(split: int, concat: int) -> Rows:
    def rows(xs: Any) -> Any:
        return np.stack([np.stack([np.take(x, i, split) for x in xs], concat) for i in range(len(xs))])

    return rows


def exchanged_tiles(split: int, concat: int) -> Rows:
    def rows(xs: Any) -> Any:
        n = len(xs)
        return np.stack([np.concatenate([np.split(x, n, split)[i] for x in xs], concat) for i in range(n)])

    return rows


def scattered(axis: int) -> Rows:
    return lambda xs: np.stack([np.take(xs.sum(0), i, axis) for i in range(len(xs))])


def scattered_tiles(axis: int) -> Rows:
    return lambda xs: np.stack(np.split(xs.sum(0), len(xs), axis))


# name: (the operation on an element of shape (4, 8), the same on all of them by NumPy)
OPERATIONS: dict[str, tuple[Callable[[Any], Any], Rows]] = {
    "psum": (lambda x: lax.psum(x, "i"), every(lambda xs: xs.sum(0))),
    "pmean": (lambda x: lax.pmean(x, "i"), every(lambda xs: xs.mean(0))),
    "pmax": (lambda x: lax.pmax(x, "i"), every(lambda xs: xs.max(0))),
    "pmin": (lambda x: lax.pmin(x, "i"), every(lambda xs: xs.min(0))),
    "psum of an axis of the operand too": (lambda x: lax.psum(x, ("i", 1)), every(lambda xs: xs.sum((0, 2)))),
    "psum in groups": (
        lambda x: lax.psum(x, "i", axis_index_groups=GROUPS),
        in_groups(every(lambda xs: xs.sum(0))),
    ),
    "pmax in groups": (
        lambda x: lax.pmax(x, "i", axis_index_groups=GROUPS),
        in_groups(every(lambda xs: xs.max(0))),
    ),
    "pmean in groups": (
        lambda x: lax.pmean(x, "i", axis_index_groups=GROUPS),
        in_groups(every(lambda xs: xs.mean(0))),
    ),
    "all_gather": (lambda x: lax.all_gather(x, "i"), every(lambda xs: xs)),
    "all_gather, axis 1": (lambda x: lax.all_gather(x, "i", axis=1), every(lambda xs: np.moveaxis(xs, 0, 1))),
    "all_gather, last axis": (
        lambda x: lax.all_gather(x, "i", axis=-1),
        every(lambda xs: np.moveaxis(xs, 0, -1)),
    ),
    "all_gather, tiled": (
        lambda x: lax.all_gather(x, "i", axis=1, tiled=True),
        every(lambda xs: np.concatenate(list(xs), 1)),
    ),
    "all_gather in groups": (
        lambda x: lax.all_gather(x, "i", axis=1, axis_index_groups=GROUPS),
        in_groups(every(lambda xs: np.moveaxis(xs, 0, 1))),
    ),
    "psum_scatter": (lambda x: lax.psum_scatter(x, "i"), scattered(0)),
    "psum_scatter, tiled": (
        lambda x: lax.psum_scatter(x, "i", scatter_dimension=1, tiled=True),
        scattered_tiles(1),
    ),
    "psum_scatter in groups": (
        lambda x: lax.psum_scatter(x, "i", scatter_dimension=1, tiled=True, axis_index_groups=GROUPS),
        in_groups(scattered_tiles(1)),
    ),
    "ppermute": (lambda x: lax.ppermute(x, "i", PAIRS), lambda xs: permuted(xs, PAIRS)),
    "ppermute of some": (
        lambda x: lax.ppermute(x, "i", [(0, 3), (3, 1)]),
        lambda xs: permuted(xs, [(0, 3), (3, 1)]),
    ),
    "pshuffle": (lambda x: lax.pshuffle(x, "i", [2, 0, 3, 1]), lambda xs: xs[[2, 0, 3, 1]]),
    "pbroadcast": (lambda x: lax.pbroadcast(x, "i", 2), every(lambda xs: xs[2])),
    "pswapaxes": (lambda x: lax.pswapaxes(x, "i", 0), exchanged(0, 0)),
    "all_to_all": (lambda x: lax.all_to_all(x, "i", 0, 1), exchanged(0, 1)),
    "all_to_all, tiled": (lambda x: lax.all_to_all(x, "i", 1, 0, tiled=True), exchanged_tiles(1, 0)),
    "all_to_all along one axis, tiled": (
        lambda x: lax.all_to_all(x, "i", 1, 1, tiled=True),
        exchanged_tiles(1, 1),
    ),
    "all_to_all in groups": (
        lambda x: lax.all_to_all(x, "i", 0, 1, tiled=True, axis_index_groups=GROUPS),
        in_groups(exchanged_tiles(0, 1)),
    ),
    "axis_index": (
        lambda x: x * lax.axis_index("i"),
        lambda xs: xs * np.arange(N, dtype=np.float32)[:, None, None],
    ),
}
operations = pytest.mark.parametrize(("fun", "rows"), OPERATIONS.values(), ids=OPERATIONS)


def numbers(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@operations
def test_values(fun: Callable[[Any], Any], rows: Rows) -> None:
    xs = numbers(N, 4, 8)
    expected = rows(xs)
    for found in (
        vmap(fun, axis_name="i")(xs),
        jit(vmap(fun, axis_name="i"))(xs),
        vmap(fun, in_axes=1, axis_name="i")(np.moveaxis(xs, 0, 1)),
        vmap(jit(fun), axis_name="i")(xs),
        pmap(fun, axis_name="i")(xs),
        jit(pmap(fun, axis_name="i"))(xs),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@operations
def test_under_another_vmap(fun: Callable[[Any], Any], rows: Rows) -> None:
    xs = numbers(2, N, 4, 8)
    expected = np.stack([rows(x) for x in xs])
    turned = np.moveaxis(xs, 0, 1)
    for found in (
        vmap(vmap(fun, axis_name="i"))(xs),
        vmap(vmap(fun), in_axes=1, out_axes=1, axis_name="i")(xs),
        vmap(pmap(fun, axis_name="i"), in_axes=1)(turned),
        vmap(jit(pmap(fun, axis_name="i")), axis_name="i")(xs),
        pmap(vmap(fun), axis_name="i", out_axes=1)(turned),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@operations
def test_derivatives(fun: Callable[[Any], Any], rows: Rows, x64: None) -> None:
    """Of the whole, against differences; taken inside, against the same of the whole with unit cotangents."""
    xs, step = numbers(N, 4, 8).astype(np.float64), numbers(8, N, 4, 8)[3].astype(np.float64)
    h = 1e-6
    slope = (rows(xs + h * step) - rows(xs - h * step)) / (2 * h)
    weights = np.random.default_rng(3).normal(size=slope.shape)
    for mapped in (vmap(fun, axis_name="i"), pmap(fun, axis_name="i")):
        _, tangent = jvp(mapped, (xs,), (step,))
        np.testing.assert_allclose(tangent, slope, rtol=1e-6, atol=1e-8)
        back = grad(lambda x, mapped=mapped: (mapped(x) * weights).sum())(xs)
        np.testing.assert_allclose(np.sum(back * step), np.sum(slope * weights), rtol=1e-6)
    inside = grad(lambda x, w: (fun(x) * w).sum())
    for found in (vmap(inside, axis_name="i")(xs, weights), pmap(inside, axis_name="i")(xs, weights)):
        np.testing.assert_allclose(found, back, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: lax.scan(lambda c, _: (lax.psum(c, "i") / 3, c.sum()), x, None, length=3),
        lambda x: lax.while_loop(
            lambda c: lax.pmax(c.max(), "i") < 20, lambda c: c * 2 + lax.pmean(c, "i"), x
        ),
        lambda x: lax.cond(
            lax.psum(x.sum(), "i") > 0, lambda y: lax.psum(y, "i"), lambda y: lax.pmax(y, "i"), x
        ),
        lambda x: lax.fori_loop(0, 3, lambda i, c: lax.ppermute(c, "i", PAIRS) * i, x),
        lambda x: jit(lambda: lax.axis_index("i"))() + x,
        lambda x: vmap(lambda y: y / lax.psum(y @ y, ("i", "j")), axis_name="j")(x),
    ],
    ids=["scan", "while", "cond", "fori", "nothing mapped", "two axes"],
)
def test_inside_of_control_flow(fun: Any) -> None:
    xs = numbers(N, 4, 8)
    by_vmap = vmap(fun, axis_name="i")(xs)
    for found in (jit(vmap(fun, axis_name="i"))(xs), pmap(fun, axis_name="i")(xs)):
        for a, b in zip(wengert.tree.leaves(found), wengert.tree.leaves(by_vmap), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_several_axes() -> None:
    xs = numbers(2, N, 8, 8)

    def both(fun: Callable[[Any], Any]) -> list[Any]:
        by_vmap = vmap(vmap(fun, axis_name="i"), axis_name="j")(xs)
        config.update("jax_num_cpu_devices", 2 * N)
        by_pmap = pmap(pmap(fun, axis_name="i"), axis_name="j")(xs)
        np.testing.assert_allclose(by_pmap, by_vmap, rtol=1e-5, atol=1e-5)
        return [by_vmap, pmap(vmap(fun, axis_name="i"), axis_name="j")(xs)]

    flat = xs.reshape(2 * N, 8, 8)
    same = np.broadcast_to
    for found in both(lambda x: lax.psum(x, ("j", "i"))):
        np.testing.assert_allclose(found, same(xs.sum((0, 1)), xs.shape), rtol=1e-5, atol=1e-5)
    for found in both(lambda x: lax.all_gather(x, ("j", "i"))):
        np.testing.assert_array_equal(found, same(flat, (2, N, *flat.shape)))
    for found in both(lambda x: lax.all_gather(x, ("i", "j"))):
        np.testing.assert_array_equal(found[1, 2], np.moveaxis(xs, 0, 1).reshape(flat.shape))
    for found in both(lambda x: lax.axis_index(("j", "i"))):
        np.testing.assert_array_equal(found, np.arange(2 * N).reshape(2, N))
    for found in both(lambda x: lax.ppermute(x, ("j", "i"), [(0, 5), (7, 1)])):
        np.testing.assert_array_equal(found.reshape(flat.shape), permuted(flat, [(0, 5), (7, 1)]))
    for found in both(lambda x: lax.pbroadcast(x, ("j", "i"), 6)):
        np.testing.assert_array_equal(found, same(flat[6], xs.shape))
    for found in both(lambda x: lax.psum_scatter(x, ("j", "i"))):
        np.testing.assert_allclose(found.reshape(2 * N, 8), scattered(0)(flat), rtol=1e-5, atol=1e-5)
    for found in both(lambda x: lax.all_to_all(x, ("j", "i"), 1, 0)):
        np.testing.assert_array_equal(found.reshape(flat.shape), exchanged(1, 0)(flat))
    for found in both(lambda x: lax.all_to_all(x, ("j", "i"), 1, 0, tiled=True)):
        np.testing.assert_array_equal(found.reshape(2 * N, 64, 1), exchanged_tiles(1, 0)(flat))
    assert vmap(vmap(lambda x: lax.axis_size(("i", "j")) * x, axis_name="i"), axis_name="j")(xs)[
        0, 0, 0, 0
    ] == (2 * N * xs[0, 0, 0, 0])


def test_what_is_the_same_for_all() -> None:
    def fun(x: Any) -> Any:
        assert lax.psum(1, "i") == N
        assert isinstance(lax.psum(1, "i"), int)
        assert lax.psum(2.5, "i") == 10.0
        assert lax.pmean(3, "i") == 3.0
        np.testing.assert_array_equal(lax.psum(wengert.numpy.ones(2), "i"), [N, N])
        return {"max": lax.pmax(3, "i"), "given": x, "size": wengert.numpy.zeros(lax.axis_size("i"))}

    found = vmap(fun, axis_name="i")(np.arange(N))
    np.testing.assert_array_equal(found["max"], [3] * N)
    assert found["size"].shape == (N, N)


def test_dtypes_and_trees() -> None:
    ints, bools = np.arange(N), np.array([True, False, True, True])
    counted = vmap(lambda b: lax.psum(b, "i"), axis_name="i")(bools)
    assert counted.dtype == np.int32
    assert counted[0] == 3
    assert vmap(lambda b: lax.pmax(b, "i"), axis_name="i")(bools).dtype == bool
    mean = vmap(lambda x: lax.pmean(x, "i"), axis_name="i")(ints)
    assert mean.dtype == np.float32
    assert mean[0] == 1.5
    found = vmap(lambda x: lax.psum({"a": x, "b": (x * 2, 1)}, "i"), axis_name="i", out_axes=None)(ints)
    assert (int(found["a"]), int(found["b"][0]), int(found["b"][1])) == (6, 12, 4)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "std"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_over_names(name: str, keepdims: bool) -> None:
    xs = numbers(N, 3, 5)
    reduce, reference = getattr(wengert.numpy, name), getattr(np, name)
    for axis, whole in (("i", (0,)), (("i", 1), (0, 2)), ((0, "i"), (0, 1))):
        for mapped in (vmap, pmap):
            fun = mapped(lambda x, axis=axis: reduce(x, axis=axis, keepdims=keepdims), axis_name="i")
            expected = reference(xs, whole, keepdims=keepdims)
            expected = expected[0] if keepdims else expected
            np.testing.assert_allclose(fun(xs), np.stack([expected] * N), rtol=1e-5, atol=1e-6)


def test_functions_of_nn_over_names() -> None:
    xs = numbers(N, 3)
    for name in ("softmax", "log_softmax", "logsumexp", "standardize"):
        function = getattr(wengert.nn, name)
        named = vmap(lambda x, function=function: function(x, axis="i"), axis_name="i")(xs)
        np.testing.assert_allclose(
            named, np.broadcast_to(function(xs, axis=0), xs.shape), rtol=1e-4, atol=1e-5
        )
    found = vmap(lambda x: wengert.nn.one_hot(2, N, axis="i"), axis_name="i")(xs)
    np.testing.assert_array_equal(found, [0, 0, 1, 0])
    with pytest.raises(ValueError, match="num_classes to match the size of axis"):
        vmap(lambda x: wengert.nn.one_hot(2, 3, axis="i"), axis_name="i")(xs)
    with pytest.raises(NameError, match="unbound axis name: k"):
        wengert.numpy.sum(xs, axis="k")


def test_ragged_all_to_all() -> None:
    """Element 0 sends one row to itself and two to element 1, which sends two and one."""
    operand = np.array([[1, 2, 2, 9], [3, 3, 4, 9]], np.float32)
    output = np.full((2, 4), -1, np.float32)
    args = (operand, output, [[0, 1], [0, 2]], [[1, 2], [2, 1]], [[0, 0], [1, 2]], [[1, 2], [2, 1]])

    def send(*args: Any) -> Any:
        return lax.ragged_all_to_all(*args, axis_name="i")

    for mapped in (vmap(send, axis_name="i"), pmap(send, axis_name="i")):
        found = mapped(*[np.asarray(a) for a in args])
        np.testing.assert_array_equal(found, [[1, 3, 3, -1], [2, 2, 4, -1]])


def test_send_and_receive() -> None:
    def fun(x: Any) -> Any:
        token = lax.psend(x, "i", PAIRS)
        return lax.precv(token, wengert.ShapeDtypeStruct(x.shape, x.dtype), "i", PAIRS)

    np.testing.assert_array_equal(vmap(fun, axis_name="i")(np.arange(4.0)), [3, 0, 1, 2])
    with pytest.raises(ValueError, match="precv"):
        vmap(lambda x: lax.precv(x, wengert.ShapeDtypeStruct((2,), x.dtype), "i", PAIRS), axis_name="i")(
            np.arange(4.0)
        )


def test_jaxprs() -> None:
    def fun(x: Any) -> Any:
        return lax.psum(x, "i"), lax.all_gather(x, "i"), lax.axis_index("i"), lax.pcast(x, "i", to="varying")

    assert str(make_jaxpr(fun, axis_env=[("i", 2)])(np.ones(3, np.float32))) == (
        "{ lambda ; a:f32[3]. let\n"
        "    b:f32[3] = psum[axes=('i',) axis_index_groups=None] a\n"
        "    c:f32[2,3] = all_gather[\n"
        "      all_gather_dimension=0\n"
        "      axis_index_groups=None\n"
        "      axis_name=('i',)\n"
        "      axis_size=2\n"
        "      tiled=False\n"
        "    ] a\n"
        "    d:i32[] = axis_index[axis_name=i]\n"
        "  in (b, c, d, a) }"
    )


def test_an_int_as_a_name_is_not_an_axis_of_a_reduction() -> None:
    def fun(x: Any) -> Any:
        return x + lax.reduce_sum(np.ones((2, 3), np.float32), (0,))

    assert vmap(fun, axis_name=0)(numbers(N, 3)).shape == (N, 3)


def test_unbound_name() -> None:
    with pytest.raises(NameError, match="unbound axis name: k; no axis is bound here") as caught:
        lax.psum(np.ones(2), "k")
    assert 'lax.psum(np.ones(2), "k")' in str(caught.value)
    with pytest.raises(NameError, match=r"bound here: 'i' \(size 4\).*vmap\(f, axis_name='k'\)"):
        vmap(lambda x: lax.axis_index("k"), axis_name="i")(np.ones(N))
    with pytest.raises(NameError, match="unbound axis name: k"):
        jit(lambda x: lax.all_gather(x, "k"))(np.ones(N))


@pytest.mark.parametrize(
    ("fun", "message"),
    [
        (lambda x: lax.ppermute(x, "i", [(0, 1), (0, 2)]), "must be unique"),
        (lambda x: lax.ppermute(x, "i", [(0, 4)]), r"must be in \[0, 4\)"),
        (lambda x: lax.pshuffle(x, "i", [0, 0, 1, 2]), "does not represent a permutation"),
        (lambda x: lax.pbroadcast(x, "i", 4), "out of bounds"),
        (lambda x: lax.all_to_all(x, "i", 1, 0), "to equal x.shape"),
        (lambda x: lax.all_to_all(x[:3], "i", 0, 0, tiled=True), "has to be divisible"),
        (lambda x: lax.psum_scatter(x, "i", scatter_dimension=1), "must match shard_count 4"),
        (lambda x: lax.psum_scatter(x[:3], "i", tiled=True), "must be divisible by shard_count 4"),
        (lambda x: lax.psum(x, "i", axis_index_groups=[[0, 1], [2]]), "cover all indices exactly once"),
        (lambda x: lax.psum(x, "i", axis_index_groups=[[0, 1, 2], [3]]), "must all be the same size"),
        (lambda x: lax.psum(x, ("i", 0), axis_index_groups=GROUPS), "for one named axis"),
        (lambda x: lax.all_gather(x, "i", axis=3), "out of bounds"),
        (lambda x: lax.pcast(x, "i", to="other"), "pcast: `to` is"),
        (
            lambda x: lax.ragged_all_to_all(x, x[:, 0], *[np.arange(4)] * 4, axis_name="i"),
            "ragged_all_to_all",
        ),
    ],
)
def test_bad_arguments(fun: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vmap(fun, axis_name="i")(numbers(N, 4, 8))
