"""Quasi-Newton minimization: BFGS, and L-BFGS for many variables.

Algorithms 6.1 and 7.4 of J. Nocedal and S. J. Wright, Numerical Optimization, 2nd edition, 2006.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.core.source import api_boundary
from wengert.scipy.optimize._line_search import Point, line_search
from wengert.transforms.vjp import value_and_grad

Fun = Callable[..., Any]


class OptimizeResults(NamedTuple):
    """What `minimize` returns.

    Attributes:
      x: the solution, of shape (n,).
      success: whether the gradient became small enough.
      status: 0 if it did. BFGS: 1 after too many iterations, 3 if a line search ended without a step that satisfies
        its conditions, 5 if it ended after too many steps, -1 otherwise. L-BFGS: 1, 2, 3 after too many iterations,
        values, gradients; 4 if the value hardly changed; 5 if a line search failed.
      fun, jac: the value and the gradient at the solution.
      hess_inv: the estimate of the inverse Hessian, of shape (n, n); None for L-BFGS.
      nfev, njev, nit: how many values and gradients were computed, and in how many iterations.
    """

    x: Any
    success: Any
    status: Any
    fun: Any
    jac: Any
    hess_inv: Any
    nfev: Any
    njev: Any
    nit: Any


@api_boundary
def minimize(
    fun: Fun,
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    method: str,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """A local minimum of a function of several variables. The gradient comes from differentiation.

    It can be called in jitted functions and under `vmap`. Its loops end when the gradient is small, so it has forward
    derivatives only (those of the iterates; for derivatives of the solution see `lax.custom_root`).

    Args:
      fun: the objective, `fun(x, *args)`, a real scalar.
      x0: where to start, an array of shape (n,).
      args: further arguments.
      method: "BFGS", or "l-bfgs-experimental-do-not-rely-on-this".
      tol: how small the gradient has to be; the same as the option `gtol`, which comes before it.
      options: of both methods `maxiter` (by default 200 for each variable), `gtol` (1e-5) and `norm`, the order of
        the norm that measures the gradient (inf). Of BFGS `line_search_maxiter` (10). Of L-BFGS `maxcor`, how many
        steps it keeps (10), `ftol`, the least decrease of the value (2.2e-9), `maxfun` and `maxgrad`, how many values
        and gradients it may compute, and `maxls` (20).
    Raises:
      TypeError: `args` is no tuple; an option is not known; x0 is complex (BFGS).
      ValueError: there is no such method; x0 has not one axis.
    """
    if not isinstance(args, tuple):
        raise TypeError(f"args argument to jax.scipy.optimize.minimize must be a tuple, got {args}")
    x = jnp.asarray(x0)
    if x.ndim != 1:
        raise ValueError(
            f"minimize takes an x0 with one axis, got shape {x.shape}; ravel it, and reshape inside of the objective"
        )
    if not dtypes.issubdtype(x.dtype, np.inexact):
        x = x.astype(dtypes.result_type(x.dtype, float))
    given = dict(options or {})
    if tol is not None:
        given.setdefault("gtol", tol)

    def objective(x: Any) -> Any:
        return fun(x, *args)

    name = method.lower()
    if name == "bfgs":
        return _bfgs(objective, x, **given)
    if name == "l-bfgs-experimental-do-not-rely-on-this":
        return _lbfgs(objective, x, **given)
    raise ValueError(f"Method {method} not recognized")


def _inner(a: Any, b: Any) -> Any:
    """The inner product of vectors of real numbers, or of complex ones as pairs of reals."""
    return jnp.vdot(a, b).real


def _evaluator(fun: Fun) -> Callable[[Any], tuple[Any, Any]]:
    """The value, and the direction in which it grows most: the conjugate of the gradient, for complex numbers."""
    both = value_and_grad(fun)

    def evaluate(x: Any) -> tuple[Any, Any]:
        value, gradient = both(x)
        return value, jnp.conj(gradient)

    return evaluate


def _search(
    evaluate: Callable[[Any], tuple[Any, Any]],
    x: Any,
    value: Any,
    gradient: Any,
    direction: Any,
    first_step: Any,
    maxiter: Any,
) -> Any:
    def along(step: Any) -> tuple[Any, Any, Any]:
        value, gradient = evaluate(x + step.astype(x.dtype) * direction)
        return value, _inner(gradient, direction), gradient

    start = Point(jnp.zeros_like(value), value, _inner(gradient, direction), gradient)
    return line_search(along, start, first_step, maxiter)


# -------------------------------------------------------------------------------------------------------- BFGS


class _BFGS(NamedTuple):
    x: Any
    value: Any
    gradient: Any
    inverse: Any  # of the Hessian
    before: Any  # the value one step earlier
    iterations: Any
    evaluations: Any
    converged: Any
    failed: Any
    search_status: Any


def _bfgs(
    fun: Fun,
    x: Any,
    maxiter: int | None = None,
    norm: Any = np.inf,
    gtol: float = 1e-5,
    line_search_maxiter: int = 10,
) -> OptimizeResults:
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        raise TypeError("minimize with method 'BFGS' takes real variables; pass real and imaginary parts")
    most = 200 * x.size if maxiter is None else maxiter
    evaluate = _evaluator(fun)

    def is_small(gradient: Any) -> Any:
        return jnp.linalg.norm(gradient, ord=norm) < gtol

    def goes_on(s: _BFGS) -> Any:
        return ~s.converged & ~s.failed & (s.iterations < most)

    def turn(s: _BFGS) -> _BFGS:
        direction = -(s.inverse @ s.gradient)
        guess = 1.01 * 2 * (s.value - s.before) / _inner(s.gradient, direction)
        first = jnp.where((guess > 0) & (guess < 1), guess, 1)
        found = _search(evaluate, s.x, s.value, s.gradient, direction, first, line_search_maxiter)
        step = found.point.step * direction
        gradient = found.point.gradient
        return _BFGS(
            s.x + step,
            found.point.value,
            gradient,
            _updated(s.inverse, step, gradient - s.gradient),
            s.value,
            s.iterations + 1,
            s.evaluations + found.evaluations,
            is_small(gradient),
            found.failed,
            found.status,
        )

    value, gradient = evaluate(x)
    before = value + jnp.linalg.norm(gradient) / 2
    eye, zero = jnp.eye(x.size, dtype=x.dtype), jnp.asarray(0)
    start = _BFGS(
        x, value, gradient, eye, before, zero, zero + 1, is_small(gradient), jnp.asarray(False), zero
    )
    end = lax.while_loop(goes_on, turn, start)
    failure = jnp.where(end.iterations == most, 1, jnp.where(end.failed, 2 + end.search_status, -1))
    status = jnp.where(end.converged, 0, failure)
    return OptimizeResults(
        end.x, end.converged, status, end.value, end.gradient, end.inverse,
        end.evaluations, end.evaluations, end.iterations,
    )  # fmt: skip


def _updated(inverse: Any, step: Any, change: Any) -> Any:
    """The estimate of the inverse Hessian that maps the change of the gradient to the step.

    It stays as it is where the curvature along the step is zero.
    """
    curvature = _inner(change, step)
    rho = 1 / jnp.where(curvature == 0, 1, curvature)
    mapped = inverse @ change
    cross = jnp.outer(mapped, step)
    outer = jnp.outer(step, step)
    new = inverse - rho * (cross + cross.T) + (rho * rho * _inner(change, mapped) + rho) * outer
    return jnp.where((curvature == 0) | ~jnp.isfinite(rho), inverse, new)


# ------------------------------------------------------------------------------------------------------ L-BFGS


class _LBFGS(NamedTuple):
    x: Any
    value: Any
    gradient: Any
    steps: Any  # the last ones, the newest at the end
    changes: Any  # of the gradient
    rho: Any
    scale: Any
    iterations: Any
    evaluations: Any
    converged: Any
    status: Any


def _lbfgs(
    fun: Fun,
    x: Any,
    maxiter: float | None = None,
    norm: Any = np.inf,
    maxcor: int = 10,
    ftol: float = 2.220446049250313e-09,
    gtol: float = 1e-05,
    maxfun: float | None = None,
    maxgrad: float | None = None,
    maxls: int = 20,
) -> OptimizeResults:
    if maxiter is None and maxfun is None and maxgrad is None:
        maxiter = 200 * x.size
    limits = [np.inf if n is None else n for n in (maxiter, maxfun, maxgrad)]
    evaluate = _evaluator(fun)

    def goes_on(s: _LBFGS) -> Any:
        return ~s.converged & (s.status == 0)

    def turn(s: _LBFGS) -> _LBFGS:
        direction = _direction(s, maxcor)
        found = _search(evaluate, s.x, s.value, s.gradient, direction, 1, maxls)
        step = found.point.step.astype(x.dtype) * direction
        gradient = found.point.gradient
        change = gradient - s.gradient
        curvature = _inner(change, step)
        counts = (s.iterations, s.evaluations, s.evaluations)
        status = jnp.where(s.value - found.point.value < ftol, 4, 0)
        for code, count, limit in zip((3, 2, 1), counts[::-1], limits[::-1]):
            status = jnp.where(count >= limit, code, status)
        status = jnp.where(found.failed, 5, status)
        converged = jnp.linalg.norm(gradient, ord=norm) < gtol
        return _LBFGS(
            s.x + step,
            found.point.value,
            gradient,
            _appended(s.steps, step),
            _appended(s.changes, change),
            _appended(s.rho, jnp.where(curvature == 0, 0, 1 / curvature)),
            jnp.where(curvature == 0, s.scale, curvature / _inner(change, change)),
            s.iterations + 1,
            s.evaluations + found.evaluations,
            converged,
            jnp.where(converged, 0, status),
        )

    value, gradient = evaluate(x)
    history, zero = jnp.zeros((maxcor, x.size), x.dtype), jnp.asarray(0)
    one = jnp.ones((), value.dtype)
    small = jnp.linalg.norm(gradient, ord=norm) < gtol
    start = _LBFGS(
        x, value, gradient, history, history, jnp.zeros(maxcor, value.dtype), one, zero, zero + 1, small, zero
    )
    end = lax.while_loop(goes_on, turn, start)
    return OptimizeResults(
        end.x, end.converged, end.status, end.value, jnp.conj(end.gradient), None,
        end.evaluations, end.evaluations, end.iterations,
    )  # fmt: skip


def _appended(history: Any, new: Any) -> Any:
    return jnp.concatenate([history[1:], new[None].astype(history.dtype)])


def _direction(s: _LBFGS, size: int) -> Any:
    """Minus the product of the inverse Hessian, as the history has it, with the gradient.

    Steps that were not made yet are zero, and change nothing.
    """
    dtype = s.gradient.dtype

    def newest_first(q: Any, past: Any) -> tuple[Any, Any]:
        step, change, rho = past
        weight = rho * _inner(step, q)
        return q - weight.astype(dtype) * change, weight

    def oldest_first(q: Any, past: Any) -> tuple[Any, None]:
        step, change, rho, weight = past
        return q + (weight - rho * _inner(change, q)).astype(dtype) * step, None

    past = (s.steps, s.changes, s.rho)
    q, weights = lax.scan(newest_first, -s.gradient, past, reverse=True)
    q, _ = lax.scan(oldest_first, s.scale.astype(dtype) * q, (*past, weights))
    return q
