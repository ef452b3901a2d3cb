"""Systems and roots with implicit derivatives, and the iterative solvers made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg

import wengert
from wengert import lax, numpy as jnp
from wengert.scipy.sparse import linalg
from wengert.test_util import check_grads

rng = np.random.default_rng(0)
N = 8
NOISE = rng.normal(size=(N, N))
DEFINITE = NOISE @ NOISE.T + N * np.eye(N)
GENERAL = NOISE + 6 * np.eye(N)
RIGHT = rng.normal(size=N)


def dense(matvec: Callable[[Any], Any], b: Any) -> Any:
    return jnp.linalg.solve(wengert.jacobian(matvec)(b), b)


# ----------------------------------------------------------------------------------------- custom_linear_solve


@pytest.mark.usefixtures("x64")
def test_custom_linear_solve_of_pytrees_with_aux() -> None:
    def matvec(v: Any) -> Any:
        return {"a": 3 * v["a"] + v["b"][0], "b": [2 * v["b"][0] - v["a"] / 2]}

    def solve(matvec: Any, b: Any) -> Any:
        x = (2 * b["a"] - b["b"][0]) / 6.5
        return {"a": x, "b": [b["a"] - 3 * x]}, {"steps": 1}

    b = {"a": 1.0, "b": [np.float64(2)]}
    x, aux = lax.custom_linear_solve(matvec, b, solve, solve, has_aux=True)
    back = matvec(x)
    np.testing.assert_allclose([back["a"], back["b"][0]], [1.0, 2.0], rtol=1e-12)
    assert aux == {"steps": 1}
    tangent = wengert.jvp(lambda b: lax.custom_linear_solve(matvec, b, solve, has_aux=True), (b,), (b,))[1]
    assert tangent[0]["a"] == x["a"]


@pytest.mark.usefixtures("x64")
def test_the_solver_is_not_differentiated() -> None:
    def solve(matvec: Any, b: Any) -> Any:
        return lax.while_loop(lambda x: jnp.abs(matvec(x) - b) > 1e-14, lambda x: x - (matvec(x) - b) / 3, b)

    def f(a: Any, b: Any) -> Any:
        return lax.custom_linear_solve(lambda x: a * x, b, solve, symmetric=True)

    check_grads(f, (2.0, 5.0), order=2, modes=["fwd", "rev"])
    assert wengert.jit(wengert.grad(f))(2.0, 5.0) == pytest.approx(-5 / 4)
    np.testing.assert_allclose(wengert.vmap(f, (0, None))(np.array([2.0, 4.0]), 8.0), [4, 2], rtol=1e-12)


def test_linear_solve_says_what_is_wrong() -> None:
    b = jnp.ones(3)
    cases: list[tuple[Any, type[Exception], str]] = [
        (
            lambda: lax.custom_linear_solve(lambda x: x[:2], b, dense),
            ValueError,
            "matvec.. output shapes must",
        ),
        (lambda: lax.custom_linear_solve(lambda x: (x, x), b, dense), TypeError, "matvec.. output pytree"),
        (
            lambda: lax.custom_linear_solve(lambda x: x, b, lambda f, b: [b]),
            TypeError,
            "solve.. output pytree",
        ),
        (
            lambda: lax.custom_linear_solve(lambda x: x, b, lambda f, b: b, has_aux=True),
            ValueError,
            "has_aux",
        ),
        (lambda: lax.custom_linear_solve(lambda x: x, b, 3), TypeError, "Expected a callable"),
        (
            lambda: wengert.grad(lambda b: lax.custom_linear_solve(lambda x: 2 * x, b, dense).sum())(b),
            TypeError,
            "transpose_solve required for backwards mode",
        ),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


# ------------------------------------------------------------------------------------------------- custom_root


def newton(f: Any, x: Any) -> Any:
    return lax.while_loop(lambda x: jnp.abs(f(x)) > 1e-13, lambda x: x - f(x) / wengert.grad(f)(x), x)


def cubic(p: Any) -> Any:
    return lax.custom_root(lambda x: x**3 - p * x - 1, 1.5, newton, lambda g, y: y / g(1.0))


@pytest.mark.usefixtures("x64")
def test_custom_root_of_a_scalar() -> None:
    x = (1 + np.sqrt(5)) / 2
    assert cubic(2.0) == pytest.approx(x, rel=1e-13)
    slope = x / (3 * x**2 - 2)  # dx/dp = x / (3 x^2 - p)
    assert wengert.grad(cubic)(2.0) == pytest.approx(slope, rel=1e-12)
    assert wengert.jit(wengert.grad(cubic))(2.0) == pytest.approx(slope, rel=1e-12)
    check_grads(cubic, (2.0,), order=2, modes=["fwd", "rev"])
    np.testing.assert_allclose(
        wengert.vmap(wengert.grad(cubic))(np.array([2.0, 3.0])), [slope, wengert.grad(cubic)(3.0)], rtol=1e-12
    )


@pytest.mark.usefixtures("x64")
def test_custom_root_of_a_pytree() -> None:
    def root(a: Any, b: Any) -> Any:
        def f(x: Any) -> Any:
            return {"x": a @ x["x"] + jnp.tanh(x["x"]) - b}

        def solve(f: Any, x: Any) -> Any:
            def step(_: Any, x: Any) -> Any:
                slope = wengert.jacobian(lambda v: f({"x": v})["x"])(x["x"])
                return {"x": x["x"] - jnp.linalg.solve(slope, f(x)["x"])}

            return lax.fori_loop(0, 12, step, x), "twelve steps".count("e")

        def tangent_solve(g: Any, y: Any) -> Any:
            return {"x": dense(lambda v: g({"x": v})["x"], y["x"])}

        x, aux = lax.custom_root(f, {"x": jnp.zeros(3)}, solve, tangent_solve, has_aux=True)
        assert aux == 3
        return x["x"]

    a, b = GENERAL[:3, :3], RIGHT[:3]
    x = root(a, b)
    np.testing.assert_allclose(a @ x + np.tanh(x), b, atol=1e-13)
    check_grads(root, (a, b), order=2, modes=["fwd", "rev"])


def test_custom_root_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"^f\(\) output shapes must match initial_guess"):
        lax.custom_root(lambda x: x[:2], jnp.ones(3), lambda f, x: x, lambda g, y: y)
    with pytest.raises(TypeError, match=r"^solve\(\) output pytree"):
        lax.custom_root(lambda x: x, jnp.ones(3), lambda f, x: [x], lambda g, y: y)
    with pytest.raises(ValueError, match=r"tangent_solve\(\) output shapes must match x"):
        lax.custom_root(lambda x: x, jnp.ones(3), lambda f, x: x, lambda g, y: y[:1])


# ---------------------------------------------------------------------------------------------- Krylov methods


def incremental(*args: Any, **kwargs: Any) -> Any:
    return linalg.gmres(*args, solve_method="incremental", **kwargs)


METHODS = [
    pytest.param(linalg.cg, DEFINITE, id="cg"),
    pytest.param(linalg.bicgstab, GENERAL, id="bicgstab"),
    pytest.param(linalg.gmres, GENERAL, id="gmres"),
    pytest.param(incremental, GENERAL, id="gmres, incremental"),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("method", "matrix"), METHODS)
def test_solutions(method: Any, matrix: Any) -> None:
    expected = np.linalg.solve(matrix, RIGHT)
    near = np.linalg.inv(matrix) + 0.001 * np.eye(N)
    for a in (matrix, lambda x: jnp.asarray(matrix) @ x):
        for m in (None, near, lambda r: jnp.asarray(near) @ r):
            x, _ = method(a, RIGHT, tol=1e-12, M=m)
            np.testing.assert_allclose(x, expected, rtol=1e-9)
    x, _ = method(matrix, RIGHT, x0=expected, tol=1e-12)
    np.testing.assert_allclose(x, expected, rtol=1e-12)
    np.testing.assert_array_equal(method(matrix, np.zeros(N))[0], np.zeros(N))
    coarse, _ = method(matrix, RIGHT, atol=0.1, tol=0.0)
    assert 1e-9 < np.linalg.norm(matrix @ np.asarray(coarse) - RIGHT) < 0.1 or method is linalg.gmres


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["cg", "bicgstab"])
def test_the_steps_are_those_of_scipy(name: str) -> None:
    matrix = DEFINITE if name == "cg" else GENERAL
    jacobi = np.diag(1 / np.diag(matrix))
    for steps in (1, 2, 4):
        for m in (None, jacobi):
            found, _ = getattr(linalg, name)(matrix, RIGHT, maxiter=steps, tol=1e-14, M=m)
            expected, _ = getattr(scipy.sparse.linalg, name)(matrix, RIGHT, maxiter=steps, rtol=1e-14, M=m)
            np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.usefixtures("x64")
def test_gmres_restarts_as_scipy_does() -> None:
    for restart, cycles in ((3, 1), (3, 2), (20, 1)):
        expected, _ = scipy.sparse.linalg.gmres(GENERAL, RIGHT, restart=restart, maxiter=cycles, rtol=1e-14)
        for method in (linalg.gmres, incremental):
            found, info = method(GENERAL, RIGHT, restart=restart, maxiter=cycles, tol=1e-14)
            np.testing.assert_allclose(found, expected, rtol=1e-8)
            assert info == 0
    assert linalg.gmres(np.full((2, 2), np.nan), np.ones(2))[1] == -1


@pytest.mark.usefixtures("x64")
def test_complex_systems_and_pytrees() -> None:
    general = GENERAL + 1j * NOISE.T
    hermitian = general @ general.conj().T
    systems = [(linalg.cg, hermitian), (linalg.bicgstab, general), (incremental, general)]
    for method, matrix in systems:
        found, _ = method(matrix, RIGHT, tol=1e-13)
        np.testing.assert_allclose(found, np.linalg.solve(matrix, RIGHT), rtol=1e-7)

    def matvec(v: Any) -> Any:
        return {"a": 3 * v["a"] + v["b"][0], "b": (v["a"] + 4 * v["b"][0],)}

    b = {"a": np.ones((2, 2)), "b": (np.arange(4.0).reshape(2, 2),)}
    for method in (linalg.cg, linalg.bicgstab, linalg.gmres):
        back = matvec(method(matvec, b, tol=1e-12)[0])
        np.testing.assert_allclose(back["a"], b["a"], rtol=1e-10)
        np.testing.assert_allclose(back["b"][0], b["b"][0], atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("method", "matrix"), [METHODS[0], METHODS[2]])
def test_derivatives_of_solutions(method: Any, matrix: Any) -> None:
    small, b = matrix[:3, :3], RIGHT[:3]

    def solution(a: Any, b: Any) -> Any:
        a = (a + a.T) / 2 if method is linalg.cg else a
        return method(a, b, tol=1e-14)[0]

    check_grads(wengert.jit(solution), (small, b), order=2 if method is linalg.cg else 1, modes=["rev"])
    many = wengert.jit(wengert.vmap(solution, (None, 0)))(small, np.stack([b, 2 * b]))
    np.testing.assert_allclose(many, np.linalg.solve(small, np.stack([b, 2 * b]).T).T, rtol=1e-10)


def test_krylov_errors() -> None:
    b = np.ones(3, np.float32)
    eye = np.eye(3, dtype=np.float32)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: linalg.cg(eye[:2], b), ValueError, r"square matrix, but has shape: \(2, 3\)"),
        (lambda: linalg.cg(eye, b, M=eye[:2]), ValueError, "square matrix"),
        (lambda: linalg.cg(3, b), TypeError, "either a function or ndarray: 3"),
        (lambda: linalg.bicgstab(eye, b, x0=np.ones(4)), ValueError, "matching shapes"),
        (lambda: linalg.gmres(eye, b, x0=[b]), ValueError, "matching tree structure"),
        (lambda: linalg.gmres(eye, b, solve_method="other"), ValueError, "invalid solve_method other"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
