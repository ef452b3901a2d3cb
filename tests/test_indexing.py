"""Indexing and `.at` updates: against NumPy where it agrees, against the documented meaning where it doesn't."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert.errors import NonConcreteBooleanIndexError

A = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6) + 1
MASK = A[:, :, 0] % 4 < 2

INDICES = [
    0,
    -1,
    np.int64(2),
    slice(1, 3),
    slice(None, None, -1),
    slice(3, 0, -2),
    slice(4, 1),
    (slice(None), 2),
    (1, slice(1, 4), -2),
    (Ellipsis, 3),
    (0, Ellipsis, slice(None, None, 2)),
    (None, 1),
    (slice(None), None, slice(2, 4), 5),
    (3, 4, 5),
    True,
    False,
    np.array([0, 2, -1]),
    np.array([[0, 1], [3, 3]]),
    np.array([], int),
    (np.array([0, 2]), np.array([1, -1])),
    (np.array([0, 2]), slice(1, 3), np.array([1, -1])),
    (slice(1, 3), np.array([0, 2, 2])),
    (slice(None), np.array([0, 2]), 1),
    (np.array([[0], [2]]), slice(None), np.array([1, 5])),
    (1, slice(None), np.array([0, 0, 3])),
    (np.array([0, 2]), None, np.array([1, 1])),
    (slice(None, None, -2), np.array([1, 3], np.uint8), slice(4, 0, -1)),
    MASK,
    A % 7 > 3,
    (slice(None), slice(None), np.arange(6) > 2),
    (2, MASK[2]),
    (Ellipsis, np.arange(6) > 2),
]
UPDATABLE = [i for i in INDICES if not isinstance(i, bool)]
ids = [str(i).replace("\n", "") for i in INDICES]
updatable_ids = [str(i).replace("\n", "") for i in UPDATABLE]


def as_index(index: Any) -> Any:
    """The index with arrays of this library in place of NumPy's."""
    if isinstance(index, tuple):
        return tuple(as_index(i) for i in index)
    return jnp.asarray(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=ids)
def test_reading_is_numpys(index: Any) -> None:
    x = jnp.asarray(A)
    np.testing.assert_array_equal(x[index], A[index])
    np.testing.assert_array_equal(x[as_index(index)], A[index])
    np.testing.assert_array_equal(wengert.jit(lambda x: x[index])(x), A[index])


@pytest.mark.parametrize("index", UPDATABLE, ids=updatable_ids)
@pytest.mark.parametrize("method", ["set", "add", "multiply", "min", "max", "subtract"])
def test_updating_is_numpys(method: str, index: Any) -> None:
    shape = A[index].shape
    values = (np.arange(np.prod(shape, dtype=int)) % 7 * 10 + 1).astype(np.float32).reshape(shape)
    if method == "set":  # which of several values stays is not defined
        values = np.float32(-7)  # type: ignore[assignment]
    expected = A.copy()
    ufunc = {"subtract": np.subtract, "min": np.minimum, "max": np.maximum, "add": np.add}.get(
        method, np.multiply
    )
    if method == "set":
        expected[index] = values
    else:
        ufunc.at(expected, index, values)
    np.testing.assert_array_equal(getattr(jnp.asarray(A).at[as_index(index)], method)(values), expected)


@pytest.mark.parametrize(
    "index",
    [1, slice(1, 3), (slice(None), slice(0, 5, 2)), np.array([0, 2, 2]), (np.array([1, 1]), slice(2, 4))],
)
def test_compiled_updates(index: Any) -> None:
    values = jnp.asarray(A[index] * 0 + 2)
    expected = A.copy()
    np.add.at(expected, index, np.asarray(values))
    compiled = wengert.jit(lambda x, v: x.at[index].add(v))
    np.testing.assert_array_equal(compiled(jnp.asarray(A), values), expected)


@pytest.mark.parametrize("i", [0, 3, -1, -4])
def test_traced_indices_are_those_of_numpy(i: int) -> None:
    x = jnp.asarray(A)
    np.testing.assert_array_equal(wengert.jit(lambda x, i: x[i])(x, i), A[i])
    np.testing.assert_array_equal(wengert.jit(lambda x, i: x[1:3, i, None, ::2])(x, i), A[1:3, i, None, ::2])
    pair = np.array([i, 1])
    np.testing.assert_array_equal(wengert.jit(lambda x, i: x[i])(x, pair), A[pair])
    np.testing.assert_array_equal(wengert.jit(lambda x, i: x[:, i, 1:3])(x, pair), A[:, pair, 1:3])
    expected = A.copy()
    expected[i, 1:3] = 0
    np.testing.assert_array_equal(wengert.jit(lambda x, i: x.at[i, 1:3].set(0))(x, i), expected)
    expected = A.copy()
    np.add.at(expected, (slice(None), pair), 1)
    np.testing.assert_array_equal(wengert.jit(lambda x, i: x.at[:, i].add(1))(x, pair), expected)


def test_beyond_the_bounds() -> None:
    x = jnp.arange(10.0)
    assert x[11] == 9
    assert x[-13] == 0
    assert np.isnan(x.at[11].get(mode="fill"))
    assert x.at[11].get(mode="fill", fill_value=5) == 5
    assert jnp.arange(3).at[7].get(mode="fill") == np.iinfo(np.int32).min
    assert jnp.arange(3, dtype="uint8").at[7].get(mode="fill") == 255
    np.testing.assert_array_equal(x[np.array([3, 12, -11])], [3, 9, 0])
    np.testing.assert_array_equal(x.at[np.array([3, 12])].get(mode="fill", fill_value=-1), [3, -1])
    np.testing.assert_array_equal(x.at[11].set(5), x)
    np.testing.assert_array_equal(x.at[np.array([1, 12, -11])].add(1), np.arange(10.0) + np.eye(10)[1])
    np.testing.assert_array_equal(x.at[12].set(5, mode="clip"), np.r_[:9, 5])

    read = wengert.jit(lambda x, i: (x[i], x.at[i].get(mode="fill", fill_value=-1)))
    write = wengert.jit(lambda x, i: x.at[i].set(-1))
    for i in (11, -11, 10):
        assert read(x, i) == (9 if i > 0 else 0, -1)
        np.testing.assert_array_equal(write(x, i), x)


def test_negative_indices_can_be_switched_off() -> None:
    x = jnp.arange(4.0)
    np.testing.assert_array_equal(x.at[-1].set(9, wrap_negative_indices=False), x)
    assert np.isnan(x.at[-1].get(mode="fill", wrap_negative_indices=False))


def test_updates_leave_the_array_and_its_dtype() -> None:
    x = jnp.arange(4, dtype="int8")
    with pytest.warns(FutureWarning, match="cannot safely cast"):
        y = x.at[1].set(2.5)
    assert y.dtype == np.int8
    assert y.tolist() == [0, 2, 2, 3]
    assert x.tolist() == [0, 1, 2, 3]


def test_divide_power_and_apply() -> None:
    x = jnp.array([2.0, 3.0, 4.0])
    i = np.array([0, 2, 2])
    np.testing.assert_allclose(x.at[i].divide(2), [1, 3, 1])
    np.testing.assert_allclose(x.at[i].power(2), [4, 3, 256])
    np.testing.assert_allclose(x.at[i].apply(jnp.sqrt), np.float32([2**0.5, 3, 2**0.5]))
    np.testing.assert_allclose(x.at[1:].apply(jnp.negative), [2, -3, -4])
    np.testing.assert_allclose(
        wengert.jit(lambda x, i: x.at[i].apply(jnp.sqrt))(x, i), np.float32([2**0.5, 3, 2**0.5])
    )


def test_masks_with_scalars_work_when_traced() -> None:
    x = jnp.asarray(A)
    compiled = wengert.jit(lambda x, mask: x.at[mask].add(1.0))
    np.testing.assert_array_equal(compiled(x, MASK), np.where(MASK[..., None], A + 1, A))
    # under grad values are known, so that masks may also select
    gradient = wengert.grad(lambda x: x[x > 60].sum())(x)
    np.testing.assert_array_equal(gradient, (A > 60).astype(np.float32))


# Derivatives and batches


@pytest.mark.parametrize("index", UPDATABLE, ids=updatable_ids)
def test_gradient_of_reading_adds_at_the_index(index: Any) -> None:
    weights = np.arange(A[index].size, dtype=np.float32).reshape(A[index].shape) + 1
    gradient = wengert.grad(lambda x: (x[as_index(index)] * weights).sum())(jnp.asarray(A))
    expected = np.zeros_like(A)
    np.add.at(expected, index, weights)
    np.testing.assert_allclose(gradient, expected)


@pytest.mark.parametrize(
    "index",
    [
        2,
        slice(1, 3),
        (slice(None), slice(None, None, 2)),
        np.array([0, 2, 3]),
        (np.array([1, 3]), slice(2, 4)),
    ],
    ids=str,
)
def test_gradient_of_updating(index: Any) -> None:
    x, v = jnp.asarray(A), jnp.asarray(np.cos(A[index]))
    weights = jnp.asarray(np.sin(A))

    def f(method: str) -> Any:
        loss = lambda x, v: (getattr(x.at[index], method)(v) ** 2 * weights).sum()  # noqa: E731
        return wengert.grad(loss, argnums=(0, 1))(x, v)

    w = np.sin(A)
    changed = np.zeros(A.shape, bool)
    changed[index] = True
    gx, gv = f("set")
    np.testing.assert_allclose(gx, np.where(changed, 0, 2 * A * w), rtol=1e-5)
    np.testing.assert_allclose(gv, (2 * np.cos(A[index]) * w[index]), rtol=1e-5)
    gx, gv = f("add")
    new = A.copy()
    new[index] += np.cos(A[index])
    np.testing.assert_allclose(gx, 2 * new * w, rtol=1e-5)
    np.testing.assert_allclose(gv, (2 * new * w)[index], rtol=1e-5)


def test_batched_indices_and_operands() -> None:
    x, i = jnp.asarray(A), np.array([0, 4, -2, 1])
    np.testing.assert_array_equal(
        wengert.vmap(lambda row, i: row[i])(x, i), np.stack([a[k] for a, k in zip(A, i, strict=True)])
    )
    np.testing.assert_array_equal(wengert.vmap(lambda i: x[:, i])(i), np.moveaxis(A[:, i], 1, 0))
    np.testing.assert_array_equal(
        wengert.vmap(lambda row: row[::-1, 1:3], in_axes=1)(x), np.moveaxis(A, 1, 0)[:, ::-1, 1:3]
    )
    expected = A.copy()
    for a, k in zip(expected, i, strict=True):
        a[k] = 7
    np.testing.assert_array_equal(wengert.vmap(lambda row, i: row.at[i].set(7))(x, i), expected)
    expected = A.copy()
    expected[:, 1:3] += 1
    np.testing.assert_array_equal(wengert.vmap(lambda row: row.at[1:3].add(1))(x), expected)


# What is traced, and what is refused


def primitives(f: Any, *args: Any) -> list[str]:
    return [eqn.primitive.name for eqn in wengert.make_jaxpr(f)(*args).eqns]


def test_static_indices_are_views() -> None:
    x = jnp.asarray(A)
    assert primitives(lambda x: x[1:3], x) == ["slice"]
    assert primitives(lambda x: x[::-1], x) == ["rev"]
    assert primitives(lambda x: x[-1], x) == ["slice", "squeeze"]
    assert primitives(lambda x: x[:, 1:, None], x) == ["slice", "broadcast_in_dim"]
    assert primitives(lambda x: x[...], x) == []
    assert "gather" not in primitives(lambda x, i: x[i, 1:3], x, 1)
    assert "dynamic_slice" in primitives(lambda x, i: x[i, 1:3], x, 1)
    assert primitives(lambda x: x.at[1:3, 2].set(0.0), x)[-1] == "dynamic_update_slice"
    assert "scatter" in primitives(lambda x, i: x.at[i].set(0.0), x, 1)


def test_text_of_a_slice() -> None:
    text = str(wengert.make_jaxpr(lambda x: x[0])(jnp.ones((4, 3))))
    assert "b:f32[1,3] = slice[limit_indices=(1, 3) start_indices=(0, 0) strides=None] a" in text
    assert "c:f32[3] = squeeze[dimensions=(0,)] b" in text


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ((0, 0, 0, 0), IndexError, "Too many indices: array is 3-dimensional, but 4 were indexed"),
        (1.5, TypeError, "integer or boolean type, got indexer with type float32"),
        ([0, 1], TypeError, r"use `arr\[array\(seq\)\]` instead"),
        ("a", TypeError, "string indexing is not supported; got idx='a'"),
        ((Ellipsis, Ellipsis), IndexError, "only have a single ellipsis"),
        (np.ones(3, bool), IndexError, r"boolean index did not match .* got \(3,\), expected \(4,\)"),
        (slice(0.5, 2), TypeError, "slice bounds must be integers or None"),
        ((np.arange(2), np.arange(3)), ValueError, "Incompatible shapes for broadcasting"),
    ],
)
def test_refused_indices(index: Any, error: type[Exception], message: str) -> None:
    x = jnp.asarray(A)
    with pytest.raises(error, match=message):
        x[index]
    with pytest.raises(error, match=message):
        x.at[index].set(0)


def test_refused_updates() -> None:
    x = jnp.arange(3.0)
    with pytest.raises(TypeError, match=r"immutable .* use x = x.at\[idx\].set\(y\)"):
        x[0] = 1
    with pytest.raises(ValueError, match="Incompatible shapes for broadcasting"):
        x.at[:2].set(jnp.ones(3))
    with pytest.raises(ValueError, match="fewer dimensions"):
        x.at[0].set(jnp.ones(2))
    with pytest.raises(ValueError, match="Unknown gather mode: 'foo'"):
        x.at[0].get(mode="foo")


def test_refused_when_traced() -> None:
    x = jnp.arange(3.0)
    with pytest.raises(NonConcreteBooleanIndexError, match=r"jnp.where\(mask, x, other\)"):
        wengert.jit(lambda x: x[x > 1])(x)
    with pytest.raises(IndexError, match=r"static start/stop/step .* lax\.dynamic_slice"):
        wengert.jit(lambda x, n: x[:n])(x, 2)


def test_what_is_read_beyond_the_bounds_has_no_derivative() -> None:
    x, at = jnp.arange(3.0), jnp.array([0, 5])
    for fill in (1.0, None):
        read = partial(lambda x, fill: x.at[at].get(mode="fill", fill_value=fill), fill=fill)
        for derivative in (wengert.jacfwd(read), wengert.jacrev(read), wengert.jit(wengert.jacfwd(read))):
            np.testing.assert_array_equal(derivative(x), [[1, 0, 0], [0, 0, 0]])


def test_nothing_is_written_to_an_axis_without_elements() -> None:
    for f in (lambda x: x.at[jnp.array([0, 1])].add(1.0), lambda x: x.at[:, jnp.array([0])].set(1.0)):
        for g in (f, wengert.jit(f)):
            assert g(jnp.zeros((0, 0))).shape == (0, 0)


def test_derivatives_of_sorts_of_nothing() -> None:
    for shape in ((0,), (3, 0), (0, 3)):
        for axis in range(len(shape)):
            for f in (
                partial(jnp.sort, axis=axis),
                lambda x, axis=axis: jnp.take_along_axis(x, jnp.argsort(x, axis=axis), axis=axis),
            ):
                for g in (f, wengert.jit(f)):
                    _, pullback = wengert.vjp(g, jnp.zeros(shape))
                    assert pullback(jnp.zeros(shape))[0].shape == shape
