"""Minimization: solutions of test functions, against SciPy, and what is reported about the way there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize

import wengert
from wengert import numpy as jnp
from wengert.scipy.optimize import OptimizeResults, minimize

LBFGS = "l-bfgs-experimental-do-not-rely-on-this"


def rosenbrock(x: Any) -> Any:
    return jnp.sum(100 * jnp.square(x[1:] - x[:-1] ** 2) + jnp.square(1 - x[:-1]))


def himmelblau(p: Any) -> Any:
    x, y = p
    return (x**2 + y - 11.0) ** 2 + (x + y**2 - 7.0) ** 2


def barrier(x: Any) -> Any:
    return jnp.sum(x) - jnp.sum(jnp.log(x))


def zakharov(x: Any) -> Any:
    half = jnp.sum(0.5 * jnp.arange(1, len(x) + 1) * x)
    return jnp.sum(x**2) + half**2 + half**4


PROBLEMS = [
    pytest.param(rosenbrock, np.zeros(2), np.ones(2), id="rosenbrock, 2"),
    pytest.param(rosenbrock, np.zeros(6), np.ones(6), id="rosenbrock, 6"),
    pytest.param(himmelblau, np.ones(2), np.array([3.0, 2.0]), id="himmelblau"),
    pytest.param(barrier, np.array([0.1, 3.0, 10.0]), np.ones(3), id="barrier"),
    pytest.param(zakharov, np.ones(5), np.zeros(5), id="zakharov"),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", ["BFGS", LBFGS])
@pytest.mark.parametrize(("fun", "start", "expected"), PROBLEMS)
def test_minima(fun: Any, start: Any, expected: Any, method: str) -> None:
    options = {"gtol": 1e-6} if method == "BFGS" else {"gtol": 1e-6, "ftol": 0.0}
    found = minimize(fun, start, method=method, options=options)
    assert found.success
    assert found.status == 0
    np.testing.assert_allclose(found.x, expected, atol=2e-6)
    np.testing.assert_allclose(found.fun, fun(expected), atol=1e-11)
    np.testing.assert_allclose(found.jac, wengert.grad(fun)(found.x), rtol=1e-12, atol=1e-15)
    assert np.max(np.abs(found.jac)) < 1e-6
    assert found.nfev == found.njev
    assert found.nit < found.nfev


@pytest.mark.usefixtures("x64")
def test_bfgs_needs_about_as_many_steps_as_scipys() -> None:
    for fun, start, _ in (p.values for p in PROBLEMS[:3]):
        found = minimize(fun, start, method="bfgs", tol=1e-5)
        expected = scipy.optimize.minimize(fun, start, jac=wengert.grad(fun), method="BFGS", tol=1e-5)
        assert found.nfev < 1.3 * expected.nfev + 4
        assert found.nit < 1.3 * expected.nit + 4
        np.testing.assert_allclose(found.x, expected.x, atol=1e-4)


@pytest.mark.usefixtures("x64")
def test_the_inverse_hessian_of_a_quadratic() -> None:
    matrix = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
    found = minimize(
        lambda x: x @ matrix @ x / 2 - x.sum(), np.ones(3), method="BFGS", options={"gtol": 1e-8}
    )
    assert found.success  # no component of the gradient is larger than gtol, for which doubles suffice
    atol = 1e-8 * np.linalg.norm(np.linalg.inv(matrix), np.inf)
    np.testing.assert_allclose(found.x, np.linalg.solve(matrix, np.ones(3)), rtol=1e-15, atol=atol)
    assert np.max(np.abs(found.jac)) <= 1e-8
    # an estimate: with exact line searches it would be the inverse after three steps
    np.testing.assert_allclose(found.hess_inv, np.linalg.inv(matrix), rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("method", ["BFGS", LBFGS])
def test_under_jit_and_vmap_in_single_precision(method: str) -> None:
    def solution(x: Any, scale: Any) -> Any:
        return minimize(lambda x, s: s * rosenbrock(x), x, (scale,), method=method, tol=1e-3).x

    starts = np.array([[0, 0], [0.5, -0.5], [-1, 1]], np.float32)
    found = wengert.jit(wengert.vmap(solution, (0, None)))(starts, np.float32(2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.ones((3, 2)), atol=2e-3)


@pytest.mark.usefixtures("x64")
def test_lbfgs_of_complex_variables() -> None:
    def fun(z: Any) -> Any:
        return jnp.sum(jnp.abs(z - (1 + 2j)) ** 2 * jnp.arange(1.0, 4.0)) + jnp.sum(jnp.abs(z) ** 4)

    found = minimize(fun, np.zeros(3, complex), method=LBFGS, options={"ftol": 0.0})
    assert found.success
    assert found.hess_inv is None
    np.testing.assert_allclose(wengert.grad(fun)(found.x), np.zeros(3), atol=1e-4)
    with pytest.raises(TypeError, match="real variables"):
        minimize(fun, np.zeros(3, complex), method="BFGS")


def test_what_is_reported_when_there_is_no_success() -> None:
    start = np.array([-1.2, 1.0, 2.0, -1.0], np.float32)
    few = minimize(rosenbrock, start, method="BFGS", options={"maxiter": 3})
    assert (few.success, few.status, few.nit) == (False, 1, 3)
    few = minimize(rosenbrock, start, method=LBFGS, options={"maxiter": 3})
    assert (few.success, few.status) == (False, 1)
    few = minimize(rosenbrock, start, method=LBFGS, options={"maxfun": 4})
    assert (few.success, few.status) == (False, 2)
    # a function without a minimum
    down = minimize(lambda x: x.sum(), np.zeros(2, np.float32), method="BFGS")
    assert not down.success
    assert down.status in (3, 5)


def test_minimize_says_what_is_wrong() -> None:
    start = np.zeros(2, np.float32)
    assert OptimizeResults._fields[:4] == ("x", "success", "status", "fun")
    with pytest.raises(TypeError, match="must be a tuple"):
        minimize(rosenbrock, start, [1.0], method="BFGS")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Method Nelder-Mead not recognized"):
        minimize(rosenbrock, start, method="Nelder-Mead")
    with pytest.raises(ValueError, match=r"one axis, got shape \(2, 2\)"):
        minimize(rosenbrock, np.zeros((2, 2)), method="BFGS")
    with pytest.raises(TypeError, match="unexpected keyword argument 'steps'"):
        minimize(rosenbrock, start, method="BFGS", options={"steps": 3})
