"""Linear algebra against NumPy, with derivatives against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
import wengert.numpy.linalg as la
from wengert.test_util import check_grads

RNG = np.random.default_rng(7)
SQUARE = RNG.normal(size=(4, 5, 5)) + 3 * np.eye(5)
WIDE = RNG.normal(size=(3, 5))
TALL = RNG.normal(size=(2, 5, 3))
SYMMETRIC = SQUARE @ SQUARE.swapaxes(-1, -2)


@pytest.fixture(autouse=True)
def _double_precision() -> Any:
    with wengert.enable_x64(True):
        yield


CASES: dict[str, tuple[Any, Any, Any]] = {
    "det": (la.det, np.linalg.det, (SQUARE,)),
    "inv": (la.inv, np.linalg.inv, (SQUARE,)),
    "solve matrices": (la.solve, np.linalg.solve, (SQUARE, SQUARE[..., :2])),
    "solve vector": (la.solve, np.linalg.solve, (SQUARE[0], WIDE[0])),
    "cholesky": (la.cholesky, np.linalg.cholesky, (SYMMETRIC,)),
    "eigvalsh": (la.eigvalsh, np.linalg.eigvalsh, (SYMMETRIC,)),
    "svdvals": (la.svdvals, lambda x: np.linalg.svd(x, compute_uv=False), (TALL,)),
    "pinv": (la.pinv, np.linalg.pinv, (TALL,)),
    "matrix_power": (lambda x: la.matrix_power(x, 5), lambda x: np.linalg.matrix_power(x, 5), (SQUARE,)),
    "negative matrix_power": (
        lambda x: la.matrix_power(x, -2),
        lambda x: np.linalg.matrix_power(x, -2),
        (SQUARE,),
    ),
    "multi_dot": (
        lambda a, b, c: la.multi_dot([a, b, c]),
        lambda a, b, c: np.linalg.multi_dot([a, b, c]),
        (WIDE, SQUARE[0], WIDE[1]),
    ),
    "tensorinv": (
        lambda a: la.tensorinv(a.reshape(5, 5, 25)),
        lambda a: np.linalg.tensorinv(a.reshape(5, 5, 25)),
        (RNG.normal(size=(25, 25)),),
    ),
    "cond": (la.cond, np.linalg.cond, (SQUARE,)),
}


@pytest.mark.parametrize("name", CASES)
def test_as_numpy(name: str) -> None:
    function, reference, args = CASES[name]
    arrays = [jnp.asarray(a) for a in args]
    expected = reference(*args)
    np.testing.assert_allclose(function(*arrays), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(wengert.jit(function)(*arrays), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["det", "inv", "solve vector", "cholesky", "eigvalsh", "svdvals", "matrix_power"]
)
def test_derivatives(name: str) -> None:
    function, _, args = CASES[name]
    first = args[0][0] if args[0].ndim == 3 else args[0]
    check_grads(function, (jnp.asarray(first), *map(jnp.asarray, args[1:])), order=2, rtol=2e-3)


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@pytest.mark.parametrize("keepdims", [False, True])
def test_matrix_norms(ord: Any, keepdims: bool) -> None:
    found = la.norm(jnp.asarray(WIDE), ord, axis=(0, 1), keepdims=keepdims)
    np.testing.assert_allclose(found, np.linalg.norm(WIDE, ord, axis=(0, 1), keepdims=keepdims), rtol=1e-12)


@pytest.mark.parametrize("ord", [None, 0, 1, 2, 3, 0.5, np.inf, -np.inf])
def test_vector_norms(ord: Any) -> None:
    found = la.norm(jnp.asarray(WIDE), ord, axis=1)
    np.testing.assert_allclose(found, np.linalg.norm(WIDE, ord, axis=1), rtol=1e-12)


def test_decompositions_give_the_matrix_back() -> None:
    x = jnp.asarray(TALL)
    u, s, vh = la.svd(x, full_matrices=False)
    np.testing.assert_allclose(u * s[..., None, :] @ vh, TALL, atol=1e-12)
    q, r = la.qr(x)
    np.testing.assert_allclose(q @ r, TALL, atol=1e-12)
    w, v = la.eigh(jnp.asarray(SYMMETRIC))
    np.testing.assert_allclose(v * w[..., None, :] @ v.mT, SYMMETRIC, atol=1e-9)
    w, v = la.eig(jnp.asarray(SQUARE))
    np.testing.assert_allclose(jnp.asarray(SQUARE) @ v, v * w[..., None, :], atol=1e-9)


def test_slogdet_and_rank_of_a_singular_matrix() -> None:
    sign, size = la.slogdet(jnp.ones((3, 3)))
    assert (sign, size) == (0, -np.inf)
    assert la.matrix_rank(jnp.ones((3, 3))) == 1
    sign, size = la.slogdet(-jnp.asarray(SQUARE))
    expected = np.linalg.slogdet(-SQUARE)
    np.testing.assert_allclose(sign, expected[0])
    np.testing.assert_allclose(size, expected[1])


def test_lstsq() -> None:
    a, b = TALL[0], RNG.normal(size=(5, 2))
    for mine, numpys in zip(
        la.lstsq(jnp.asarray(a), jnp.asarray(b)), np.linalg.lstsq(a, b, rcond=None), strict=True
    ):
        np.testing.assert_allclose(mine, numpys, rtol=1e-9)


def test_batches_by_vmap() -> None:
    found = wengert.vmap(la.solve, in_axes=(None, 0))(jnp.asarray(SQUARE[0]), jnp.asarray(WIDE))
    np.testing.assert_allclose(found, np.linalg.solve(SQUARE[0], WIDE.T).T, rtol=1e-9)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"must have shape \[..., n, n\], got \(3, 5\)"):
        la.inv(jnp.asarray(WIDE))
    with pytest.raises(ValueError, match="b must have 5 rows"):
        la.solve(jnp.asarray(SQUARE[0]), jnp.ones(4))
    with pytest.raises(ValueError, match="Invalid order 'abc' for matrix norm"):
        la.norm(jnp.asarray(WIDE), "abc")
    with pytest.raises(TypeError, match="integer exponent"):
        la.matrix_power(jnp.asarray(SQUARE), 0.5)  # type: ignore[arg-type]
