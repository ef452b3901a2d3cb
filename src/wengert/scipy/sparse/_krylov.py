"""Krylov methods on one vector. `A` and `M` are functions; M is None if there is no preconditioner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from wengert import lax, numpy as jnp

Operator = Callable[[Any], Any]


def _squared(x: Any) -> Any:
    """The squared norm, a real number."""
    return jnp.vdot(x, x).real


def _bound(b: Any, tol: Any, atol: Any) -> Any:
    return jnp.maximum(jnp.square(tol) * _squared(b), jnp.square(atol))


# ------------------------------------------------------------------------------------------ conjugate gradients


class _CG(NamedTuple):
    x: Any
    residual: Any
    direction: Any
    rho: Any  # <residual, M residual>
    squared: Any
    step: Any


def cg_vector(A: Operator, b: Any, x0: Any, M: Operator | None, tol: Any, atol: Any, maxiter: Any) -> Any:
    bound = _bound(b, tol, atol)

    def preconditioned(r: Any) -> tuple[Any, Any, Any]:
        squared = _squared(r)
        if M is None:
            return r, squared, squared
        z = M(r)
        return z, jnp.vdot(r, z).real, squared

    def goes_on(s: _CG) -> Any:
        return (s.squared > bound) & (s.step < maxiter)

    def step(s: _CG) -> _CG:
        product = A(s.direction)
        alpha = (s.rho / jnp.vdot(s.direction, product).real).astype(b.dtype)
        residual = s.residual - alpha * product
        z, rho, squared = preconditioned(residual)
        direction = z + (rho / s.rho).astype(b.dtype) * s.direction
        return _CG(s.x + alpha * s.direction, residual, direction, rho, squared, s.step + 1)

    residual = b - A(x0)
    z, rho, squared = preconditioned(residual)
    return lax.while_loop(goes_on, step, _CG(x0, residual, z, rho, squared, 0)).x


# --------------------------------------------------------------------------------------------------- BiCGSTAB


class _BiCGSTAB(NamedTuple):
    x: Any
    residual: Any
    direction: Any
    product: Any  # A M direction
    rho: Any
    alpha: Any
    omega: Any
    step: Any
    broken: Any  # a division by zero comes next


def bicgstab_vector(
    A: Operator, b: Any, x0: Any, M: Operator | None, tol: Any, atol: Any, maxiter: Any
) -> Any:
    bound = _bound(b, tol, atol)
    precondition: Operator = M if M is not None else lambda x: x
    first = b - A(x0)
    one = jnp.ones((), b.dtype)

    def goes_on(s: _BiCGSTAB) -> Any:
        return (_squared(s.residual) > bound) & (s.step < maxiter) & ~s.broken

    def step(s: _BiCGSTAB) -> _BiCGSTAB:
        rho = jnp.vdot(first, s.residual)
        beta = rho / s.rho * (s.alpha / s.omega)
        direction = s.residual + beta * (s.direction - s.omega * s.product)
        p = precondition(direction)
        product = A(p)
        alpha = rho / jnp.vdot(first, product)
        half = s.residual - alpha * product
        q = precondition(half)
        t = A(q)
        omega = jnp.vdot(t, half) / jnp.vdot(t, t)
        done = _squared(half) < bound
        x = s.x + alpha * p
        return _BiCGSTAB(
            jnp.where(done, x, x + omega * q),
            jnp.where(done, half, half - omega * t),
            direction,
            product,
            rho,
            alpha,
            omega,
            s.step + 1,
            (rho == 0) | (alpha == 0) | (omega == 0),
        )

    start = _BiCGSTAB(x0, first, first, first, one, one, one, 0, jnp.asarray(False))
    # the first direction is the residual: with no direction before it, beta does not matter
    start = start._replace(direction=jnp.zeros_like(first), product=jnp.zeros_like(first))
    return lax.while_loop(goes_on, step, start).x


# ------------------------------------------------------------------------------------------------------ GMRES


def _unit(x: Any, floor: Any) -> tuple[Any, Any]:
    """The vector divided by its norm, and that; zeros if it is not above `floor`."""
    norm = jnp.linalg.norm(x)
    counts = norm > floor
    safe = jnp.where(counts, norm, 1).astype(x.dtype)
    return jnp.where(counts, x / safe, 0), jnp.where(counts | jnp.isnan(norm), norm, 0)


def _arnoldi(A: Operator, basis: Any, k: Any) -> tuple[Any, Any, Any]:
    """One more vector of the basis; the coefficients of A times the last one; whether the space is exhausted.

    It is made orthogonal to the others twice: once is not enough in floating point, twice is.
    """
    v = A(basis[k])
    eps = jnp.finfo(v.dtype).eps
    floor = eps * jnp.linalg.norm(v)
    coefficients = basis.conj() @ v
    v = v - coefficients @ basis
    rest = basis.conj() @ v
    v = v - rest @ basis
    unit, norm = _unit(v, floor)
    h = (coefficients + rest).at[k + 1].set(norm.astype(v.dtype))
    return basis.at[k + 1].set(unit), h, norm == 0


def _empty_basis(first: Any, restart: int) -> tuple[Any, Any]:
    """The basis with its first vector, and the projection, which is regular where no vector has come yet.

    Row k of the projection has the coefficients of A times vector k.
    """
    basis = jnp.zeros((restart + 1, first.size), first.dtype).at[0].set(first)
    return basis, jnp.eye(restart, restart + 1, dtype=first.dtype)


def _solve_upper(r: Any, y: Any) -> Any:
    return lax.linalg.triangular_solve(r, y[:, None], left_side=True, lower=False)[:, 0]


def _batched(A: Operator, first: Any, norm: Any, tolerance: Any, restart: int) -> Any:
    """The correction that minimises the residual in the space of all `restart` vectors."""

    def goes_on(state: Any) -> Any:
        return (state[2] < restart) & ~state[3]

    def step(state: Any) -> Any:
        basis, projection, k, _ = state
        basis, h, exhausted = _arnoldi(A, basis, k)
        return basis, projection.at[k].set(h), k + 1, exhausted

    basis, projection = _empty_basis(first, restart)
    basis, projection, _, _ = lax.while_loop(goes_on, step, (basis, projection, 0, jnp.asarray(False)))
    q, r = jnp.linalg.qr(projection.T)
    y = _solve_upper(r, q[0].conj() * norm.astype(first.dtype))
    return y @ basis[:-1]


def _rotation(a: Any, b: Any) -> tuple[Any, Any]:
    """(c, s), c real in value, such that [[c, s], [-conj(s), c]] takes (a, b) to (r, 0)."""
    size = jnp.sqrt(_squared(jnp.stack([a, b])))
    safe = jnp.where(size > 0, size, 1).astype(a.dtype)
    magnitude = jnp.abs(a).astype(a.dtype)
    phase = jnp.where(magnitude == 0, 1, a / jnp.where(magnitude == 0, 1, magnitude))
    return jnp.where(size > 0, magnitude / safe, 1), jnp.where(size > 0, phase * jnp.conj(b) / safe, 0)


def _rotated(x: Any, k: Any, c: Any, s: Any) -> Any:
    """The vector with a rotation applied to its elements k and k + 1."""
    a, b = x[k], x[k + 1]
    return x.at[k].set(c * a + s * b).at[k + 1].set(c * b - jnp.conj(s) * a)


def _incremental(A: Operator, first: Any, norm: Any, tolerance: Any, restart: int) -> Any:
    """The same correction; rotations keep the projection triangular, and tell the residual after each step."""
    dtype = first.dtype

    def goes_on(state: Any) -> Any:
        *_, k, error = state
        return (k < restart) & (error > tolerance)

    def step(state: Any) -> Any:
        basis, triangle, rotations, rhs, k, _ = state
        basis, h, _ = _arnoldi(A, basis, k)
        h = lax.fori_loop(0, k, lambda i, h: _rotated(h, i, rotations[i, 0], rotations[i, 1]), h)
        c, s = _rotation(h[k], h[k + 1])
        rhs = _rotated(rhs, k, c, s)
        rotations = rotations.at[k].set(jnp.stack([c, s]))
        triangle = triangle.at[k].set(_rotated(h, k, c, s))
        return basis, triangle, rotations, rhs, k + 1, jnp.abs(rhs[k + 1])

    basis, triangle = _empty_basis(first, restart)
    rhs = jnp.zeros(restart + 1, dtype).at[0].set(norm.astype(dtype))
    state = (basis, triangle, jnp.zeros((restart, 2), dtype), rhs, 0, norm)
    basis, triangle, _, rhs, _, _ = lax.while_loop(goes_on, step, state)
    y = _solve_upper(triangle[:, :-1].T, rhs[:-1])
    return y @ basis[:-1]


def gmres_vector(
    A: Operator,
    b: Any,
    x0: Any,
    M: Operator | None,
    tol: Any,
    atol: Any,
    maxiter: Any,
    *,
    restart: int,
    incremental: bool,
) -> Any:
    precondition: Operator = M if M is not None else lambda x: x
    correct = _incremental if incremental else _batched
    norm = jnp.linalg.norm(b)
    atol = jnp.maximum(tol * norm, atol)
    # the projected residual is that of the preconditioned system, and is measured against its right-hand side
    inner = jnp.linalg.norm(precondition(b)) * jnp.minimum(1, atol / jnp.where(norm > 0, norm, 1))

    def residual(x: Any) -> tuple[Any, Any]:
        return _unit(precondition(b - A(x)), 0)

    def goes_on(state: Any) -> Any:
        return (state[3] < maxiter) & (state[2] > atol)

    def step(state: Any) -> Any:
        x, unit, size, k = state
        x = x + correct(lambda v: precondition(A(v)), unit, size, inner, restart)
        return (x, *residual(x), k + 1)

    x, _, size, _ = lax.while_loop(goes_on, step, (x0, *residual(x0), 0))
    return jnp.where(jnp.isnan(size), jnp.nan, x)
