"""Linear algebra against NumPy, with derivatives against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
import wengert.numpy.linalg as la
from wengert import lax
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


# Functions of a matrix with distinct singular values and eigenvalues: twice differentiable.
SMOOTH: dict[str, Any] = {
    "det": la.det,
    "slogdet": la.slogdet,
    "slogdet by qr": lambda a: la.slogdet(a, method="qr"),
    "inv": la.inv,
    "pinv of tall matrices": lambda a: la.pinv(a[:, :3]),
    "pinv of wide matrices": lambda a: la.pinv(a[:3]),
    "pinv of matrices without full rank": lambda a: la.pinv(a[:, :2] @ a[:2]),
    "pinv of hermitian matrices": lambda a: la.pinv(a[:2].mT @ jnp.conj(a[:2]), hermitian=True),
    "lstsq, tall": lambda a: (*la.lstsq(a[:, :3], a[:, 3:])[:2], la.lstsq(a[:, :3], a[:, 3])[3]),
    "lstsq, wide": lambda a: la.lstsq(a[:3], a[:3, 0])[0],
    "eig": lambda a: la.eig(a),
    "left eigenvectors": lambda a: lax.linalg.eig(a, compute_right_eigenvectors=False),
    "svd, part": lambda a: jnp.abs(la.svd(a[:3], False, subset_by_index=(0, 2)).U),
    "qr, complete": lambda a: la.qr(a[:, :2], "complete"),
    "qr, wide": lambda a: la.qr(a[:2]),
    "norm 2": lambda a: la.norm(a, 2),
    "nuclear norm": lambda a: la.norm(a[:3], "nuc"),
    "cond": la.cond,
    "matrix_power": lambda a: la.matrix_power(a, -2),
}


def _well_conditioned(kind: str) -> Any:
    values = np.random.default_rng(1).normal(size=(2, 4, 4))
    u, _, vh = np.linalg.svd(values[0] + 1j * values[1] if kind == "complex" else values[0])
    return jnp.asarray((u * [1, 1.7, 2.5, 3.4]) @ vh)


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives(name: str, kind: str) -> None:
    check_grads(SMOOTH[name], (_well_conditioned(kind),), order=2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rank", [3, 2, 1, 0])
def test_determinants_of_singular_matrices_have_derivatives(rank: int) -> None:
    a = RNG.normal(size=(4, rank)) @ RNG.normal(size=(rank, 4))
    check_grads(la.det, (jnp.asarray(a),), order=2, rtol=1e-4, atol=1e-4)
    assert la.det(jnp.zeros((2, 2))) == 0
    np.testing.assert_array_equal(
        wengert.hessian(la.det)(jnp.zeros((2, 2)))[0, 0], [[0, 0], [0, 1]], strict=False
    )


def test_third_derivative_of_determinants() -> None:
    check_grads(la.det, (jnp.asarray(SQUARE[0, :3, :3]),), order=3, rtol=1e-3, atol=1e-3)


def test_derivatives_where_vectors_jump() -> None:
    """Of eigenvalues they are finite, of eigenvectors NaN, as it is said."""
    eye = jnp.eye(3)
    np.testing.assert_allclose(wengert.grad(lambda a: la.eigvalsh(a).sum())(eye), eye, atol=1e-12)
    np.testing.assert_allclose(wengert.grad(lambda a: la.norm(a, "nuc"))(eye), eye, atol=1e-12)
    assert np.isnan(wengert.grad(lambda a: la.eigh(a)[1][0, 0])(eye)).any()
    assert np.isnan(wengert.grad(lambda a: la.svd(a)[0][0, 0])(eye)).any()


def test_singular_systems_spare_the_others() -> None:
    a = np.stack([SQUARE[0], np.ones((5, 5)), np.full((5, 5), np.nan)])
    for run in (la.inv, wengert.jit(la.inv)):
        found = np.asarray(run(jnp.asarray(a)))
        np.testing.assert_allclose(found[0], np.linalg.inv(SQUARE[0]), rtol=1e-9)
        assert not np.isfinite(found[1:]).any()
    indefinite = np.stack([SYMMETRIC[0], -SYMMETRIC[0]])
    found = np.asarray(la.cholesky(jnp.asarray(indefinite)))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).any()


def test_one_decomposition_for_many_right_hand_sides() -> None:
    a, b = jnp.asarray(SQUARE[0]), jnp.asarray(RNG.normal(size=(7, 5)))
    jaxpr = wengert.make_jaxpr(wengert.vmap(la.solve, (None, 0)))(a, b)
    (eqn,) = [e for e in jaxpr.eqns if e.primitive.name == "linear_solve"]
    assert [v.aval.shape for v in eqn.invars] == [(5, 5), (5, 7)]


def test_qr_as_lapack_has_it() -> None:
    for a in (TALL[0], WIDE):
        found, expected = la.qr(jnp.asarray(a), "raw"), np.linalg.qr(a, "raw")
        for mine, numpys in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, numpys, rtol=1e-9)


def test_rank_and_cutoffs() -> None:
    values = jnp.diag(jnp.array([1.0, 1e-3, 0]))
    assert la.matrix_rank(values) == 2
    assert la.matrix_rank(values, rtol=0.1) == 1
    assert la.matrix_rank(jnp.zeros(3)) == 0
    np.testing.assert_allclose(la.pinv(values, rtol=0.1), jnp.diag(jnp.array([1.0, 0, 0])), atol=1e-12)
    assert la.lstsq(values, jnp.ones(3), 0.1)[2] == 1
    assert la.lstsq(values[:, :2], jnp.ones(3), numpy_resid=True)[1].shape == (1,)
    assert la.lstsq(values, jnp.ones(3), numpy_resid=True)[1].shape == (0,)


def test_halves_and_integers() -> None:
    half = jnp.array([[1, 2], [3, 4]], dtype="bfloat16")
    assert la.det(half) == -2
    assert la.det(half).dtype == half.dtype
    with pytest.raises(
        TypeError, match=r"lu does not accept dtype bfloat16|linear_solve|solve does not accept"
    ):
        la.inv(half)
    with wengert.enable_x64(False):
        assert la.inv(jnp.array([[1, 2], [3, 4]])).dtype == np.float32
        assert lax.linalg.cholesky(jnp.eye(2, dtype=int)).dtype == np.float32


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (lambda: la.eig(jnp.ones(3)), TypeError, r"eig must have shape \[..., n, n\].*got \(3,\)"),
        (lambda: la.qr(jnp.ones(3)), TypeError, r"qr must have shape \[..., m, n\]"),
        (lambda: la.svd(jnp.ones(3)), TypeError, r"svd must have shape \[..., m, n\]"),
        (lambda: la.qr(jnp.eye(3), "x"), ValueError, "Unsupported QR decomposition mode 'x'"),
        (lambda: la.slogdet(jnp.eye(3), method="x"), ValueError, "Unknown slogdet method 'x'"),
        (lambda: la.pinv(jnp.eye(3), 0.1, rcond=0.1), ValueError, "only one of rtol and rcond"),
        (lambda: la.matrix_rank(jnp.eye(3), 0.1, tol=0.1), ValueError, "only one of tol or rtol"),
        (lambda: la.lstsq(jnp.eye(3), jnp.ones(2)), ValueError, r"b must have 3 rows; got shape \(2,\)"),
        (lambda: la.lstsq(jnp.ones(3), jnp.ones(3)), TypeError, r"lstsq takes a matrix a.*\(3,\)"),
        (
            lambda: la.solve(jnp.ones((2, 3, 3)), jnp.ones((4, 3, 1))),
            ValueError,
            r"batch axes of a \(2, 3, 3\) and b \(4, 3, 1\)",
        ),
        (lambda: lax.linalg.svd(jnp.eye(3), algorithm="QR"), ValueError, "member of SvdAlgorithm, got 'QR'"),
        (
            lambda: lax.linalg.eigh(jnp.eye(3), implementation="qr"),
            ValueError,
            "member of EighImplementation",
        ),
        (lambda: lax.linalg.eigh(jnp.eye(3), subset_by_index=(2, 5)), ValueError, "within 0 and 3"),
        (lambda: lax.linalg.schur(jnp.eye(3), sort_eig_vals=True), ValueError, "needs a select_callable"),
        (
            lambda: lax.linalg.tridiagonal_solve(*[jnp.ones(3)] * 3, jnp.ones((2, 1))),
            TypeError,
            r"\(3,\), \(3,\), \(3,\) and \(2, 1\)",
        ),
        (
            lambda: lax.linalg.householder_product(jnp.ones((2, 3)), jnp.ones(2)),
            ValueError,
            "as many rows as columns",
        ),
        (
            lambda: lax.linalg.ormqr(jnp.ones((3, 2)), jnp.ones(2), jnp.ones((2, 2))),
            ValueError,
            "c with 3 rows",
        ),
        (
            lambda: lax.linalg.cholesky_update(jnp.eye(3), jnp.ones(2)),
            ValueError,
            r"shapes \(3, 3\) and \(2,\)",
        ),
        (lambda: lax.linalg.qdwh(jnp.ones((2, 3))), ValueError, "at least as many rows as columns"),
        (lambda: lax.linalg.hessenberg(jnp.eye(3, dtype=int)), TypeError, "does not accept dtype int"),
        (
            lambda: lax.linalg.triangular_solve(jnp.eye(3), jnp.ones((2, 2)), left_side=True),
            ValueError,
            "b must have 3 rows",
        ),
    ],
)
def test_errors_of_arguments(function: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        function()


def test_decompositions_that_are_not_asked_for_all() -> None:
    a = jnp.asarray(SYMMETRIC[0])
    w, v = np.linalg.eigh(SYMMETRIC[0])
    vectors, values = lax.linalg.eigh(a, subset_by_index=(1, 3))
    np.testing.assert_allclose(values, w[1:3], rtol=1e-9)
    np.testing.assert_allclose(jnp.abs(vectors), np.abs(v[:, 1:3]), rtol=1e-7)
    found = la.svd(a, hermitian=True, subset_by_index=(0, 2))
    np.testing.assert_allclose(found.S, w[::-1][:2], rtol=1e-9)
    t, z = lax.linalg.schur(a, sort_eig_vals=True, select_callable=lambda x: x.real < (w[1] + w[2]) / 2)
    np.testing.assert_allclose(z @ t @ z.mT, a, atol=1e-9)
    np.testing.assert_allclose(np.sort(np.diagonal(t)[:2]), w[:2], rtol=1e-9)


def test_polar_iteration() -> None:
    a = jnp.asarray(TALL[0])
    u, h, count, converged = lax.linalg.qdwh(a)
    np.testing.assert_allclose(u @ h, a, atol=1e-12)
    np.testing.assert_allclose(u.mT @ u, np.eye(3), atol=1e-12)
    assert converged
    assert 2 <= count <= 6
    assert not lax.linalg.qdwh(a, max_iterations=1)[3]
    part = lax.linalg.qdwh(jnp.pad(a, ((0, 1), (0, 2)), constant_values=7.0), dynamic_shape=(5, 3))
    np.testing.assert_allclose(part[0], jnp.pad(u, ((0, 1), (0, 2))), atol=1e-10)


def test_perturbed_singular_tridiagonal_systems() -> None:
    zero, one, b = jnp.zeros(3), jnp.ones(3), jnp.ones((3, 1))
    assert np.isnan(lax.linalg.tridiagonal_solve(zero, zero, zero, b)).all()
    assert np.isfinite(lax.linalg.tridiagonal_solve(one, zero, one, b, perturb_singular=True)).all()


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"must have shape \[..., n, n\], got \(3, 5\)"):
        la.inv(jnp.asarray(WIDE))
    with pytest.raises(ValueError, match="b must have 5 rows"):
        la.solve(jnp.asarray(SQUARE[0]), jnp.ones(4))
    with pytest.raises(ValueError, match="Invalid order 'abc' for matrix norm"):
        la.norm(jnp.asarray(WIDE), "abc")
    with pytest.raises(TypeError, match="integer exponent"):
        la.matrix_power(jnp.asarray(SQUARE), 0.5)  # type: ignore[arg-type]
