"""A program written for JAX: differential equations, linear systems and nonlinear problems.

It prints the results as JSON. ``python tests/solvers_zoo.py`` gives JAX's, ``python -m wengert.as_jax
tests/solvers_zoo.py`` Wengert's; the test compares with what JAX gave (tests/golden/solvers.json).
"""

from __future__ import annotations

import json

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optimistix

MATRIX = jnp.array([[3.0, 1.0, 0.5], [1.0, 2.0, 0.0], [0.5, 0.0, 4.0]])
VECTOR = jnp.array([1.0, 2.0, -1.0])
TIMES = jnp.linspace(0.0, 2.0, 5)


def oscillator(t, y, args):
    damping, stiffness = args
    position, velocity = y
    return velocity, -stiffness * position - damping * velocity


def follow(args, solver=None, **options):
    """A damped oscillator at several times."""
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(oscillator),
        diffrax.Tsit5() if solver is None else solver,
        t0=0.0,
        t1=2.0,
        dt0=0.05,
        y0=(jnp.array(1.0), jnp.array(0.0)),
        args=args,
        saveat=diffrax.SaveAt(ts=TIMES),
        **options,
    )
    return solution.ys[0]


def differential_equations():
    args = jnp.array(0.3), jnp.array(4.0)
    adaptive = {"stepsize_controller": diffrax.PIDController(rtol=1e-5, atol=1e-6)}
    misfit = lambda args: jnp.sum((follow(args) - 0.5) ** 2)  # noqa: E731
    batch = jax.vmap(lambda s: follow((args[0], s)))(jnp.array([1.0, 4.0, 9.0]))
    return {
        "fixed steps": follow(args),
        "adaptive steps": follow(args, **adaptive),
        "implicit": follow(args, diffrax.Kvaerno3(), **adaptive),
        "gradient": jax.grad(misfit)(args),
        "batch": batch,
        "direct adjoint": jax.jit(jax.grad(lambda a: follow(a, adjoint=diffrax.DirectAdjoint())[-1]))(args),
    }


def linear_systems():
    solve = lambda matrix, solver: lineax.linear_solve(matrix, VECTOR, solver).value  # noqa: E731
    operator = lineax.MatrixLinearOperator(MATRIX)
    definite = lineax.MatrixLinearOperator(MATRIX, lineax.positive_semidefinite_tag)
    tall = lineax.MatrixLinearOperator(jnp.concatenate([MATRIX, MATRIX**2])[:, :2])
    squares = lineax.linear_solve(tall, jnp.arange(6.0), lineax.QR()).value
    return {
        "lu": solve(operator, lineax.LU()),
        "cholesky": solve(definite, lineax.Cholesky()),
        "conjugate gradients": solve(definite, lineax.CG(rtol=1e-6, atol=1e-6)),
        "gmres": solve(operator, lineax.GMRES(rtol=1e-6, atol=1e-6)),
        "least squares": squares,
        "gradient": jax.grad(lambda b: jnp.sum(lineax.linear_solve(operator, b).value ** 2))(VECTOR),
    }


def nonlinear_problems():
    rosenbrock = lambda y, args: (1 - y[0]) ** 2 + 20 * (y[1] - y[0] ** 2) ** 2  # noqa: E731
    residuals = lambda y, args: jnp.stack([1 - y[0], 4.5 * (y[1] - y[0] ** 2)])  # noqa: E731
    start = jnp.array([-0.5, 0.5])

    def root(a):
        equation = lambda y, a: y - jnp.tanh(a * y + 1)  # noqa: E731
        return optimistix.root_find(equation, optimistix.Newton(1e-5, 1e-5), jnp.array(0.0), args=a).value

    minimise = lambda solver: optimistix.minimise(rosenbrock, solver, start, max_steps=1000).value  # noqa: E731
    squares = lambda solver: optimistix.least_squares(residuals, solver, start).value  # noqa: E731
    return {
        "newton": root(1.0),
        "derivative of a root": jax.grad(root)(1.0),
        "bfgs": minimise(optimistix.BFGS(1e-5, 1e-5)),
        "nelder-mead": minimise(optimistix.NelderMead(1e-5, 1e-5)),
        "gauss-newton": squares(optimistix.GaussNewton(1e-5, 1e-5)),
        "levenberg-marquardt": squares(optimistix.LevenbergMarquardt(1e-5, 1e-5)),
    }


def numbers(tree):
    return [float(f"{x:.7g}") for leaf in jax.tree.leaves(tree) for x in np.ravel(leaf)]


if __name__ == "__main__":
    parts = {**differential_equations(), **linear_systems(), **nonlinear_problems()}
    print(
        "{" + ",\n".join(f"{json.dumps(name)}: {json.dumps(numbers(x))}" for name, x in parts.items()) + "}"
    )
