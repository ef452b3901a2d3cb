"""Iterative solvers of linear systems: what they need of the matrix is its product with a vector."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp, tree
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.source import api_boundary
from wengert.flatten_util import ravel_pytree
from wengert.scipy.sparse._krylov import bicgstab_vector, cg_vector, gmres_vector
from wengert.transforms.jit import eval_shape, jit

__all__ = ["bicgstab", "cg", "gmres"]

Operator = Callable[[Any], Any]


def _matmul(matrix: Any, x: Any) -> Any:
    return matrix @ x


def _is_matrix(f: Any) -> bool:
    return isinstance(f, ArrayBase | np.ndarray)


def _operator(f: Any) -> Operator:
    """A function from vectors to vectors, be it given as such or as a matrix."""
    if callable(f):
        return f  # type: ignore[no-any-return]
    if not hasattr(f, "__matmul__"):
        raise TypeError(f"linear operator must be either a function or ndarray: {f}")
    shape = getattr(f, "shape", None)
    if shape is not None and (len(shape) != 2 or shape[0] != shape[1]):
        raise ValueError(f"linear operator must be a square matrix, but has shape: {shape}")
    return functools.partial(_matmul, f)


def _transposed(M: Any) -> Any:
    """A preconditioner of the transposed system; of a function no more is known than that it is one of the system."""
    return M.T if _is_matrix(M) else M


def _inexact(x: Any) -> Any:
    x = jnp.asarray(x)
    return x if dtypes.issubdtype(x.dtype, np.inexact) else x.astype(dtypes.result_type(x.dtype, float))


def _shapes(leaves: list[Any]) -> list[tuple[int, ...]]:
    return [x.shape for x in leaves]


def _right_hand_side(A: Any, b: Any, x0: Any) -> tuple[Any, Any]:
    """`b` and `x0` in the dtypes that the products with A have."""
    b = tree.map(_inexact, b)
    x0 = tree.map(jnp.zeros_like, b) if x0 is None else tree.map(_inexact, x0)
    structures = tree.structure(x0), tree.structure(b)
    if structures[0] != structures[1]:
        raise ValueError(f"x0 and b must have matching tree structure: {structures[0]} vs {structures[1]}")
    shapes = _shapes(tree.leaves(x0)), _shapes(tree.leaves(b))
    if shapes[0] != shapes[1]:
        raise ValueError(f"arrays in x0 and b must have matching shapes: {shapes[0]} vs {shapes[1]}")
    product = eval_shape(_operator(A), b)
    if tree.structure(product) == structures[1]:
        b = tree.map(lambda x, y: x.astype(jnp.promote_types(x.dtype, y.dtype)), b, product)
    return b, tree.map(lambda x, y: x.astype(y.dtype), x0, b)


def _solve(
    method: Callable[..., Any], A: Any, b: Any, x0: Any, M: Any, symmetric: bool, *numbers: Any
) -> Any:
    """Solve by a method for vectors. The derivative solves a system of its own."""

    def solver(preconditioner: Any) -> Callable[[Operator, Any], Any]:
        def solve(matvec: Operator, rhs: Any) -> Any:
            start, unravel = ravel_pytree(x0)
            vector, _ = ravel_pytree(rhs)

            def product(v: Any) -> Any:
                return jnp.asarray(ravel_pytree(matvec(unravel(v)))[0], v.dtype)

            def precondition(v: Any) -> Any:
                return jnp.asarray(ravel_pytree(_operator(preconditioner)(unravel(v)))[0], v.dtype)

            found = method(product, vector, start, None if preconditioner is None else precondition, *numbers)
            return unravel(found)

        return solve

    return lax.custom_linear_solve(
        _operator(A), b, solver(M), transpose_solve=solver(_transposed(M)), symmetric=symmetric
    )


_jitted = jit(_solve, static_argnames=("method", "symmetric"))


def _run(method: Callable[..., Any], A: Any, b: Any, x0: Any, M: Any, symmetric: bool, *numbers: Any) -> Any:
    """Compiled once for each shape where the operators are matrices; functions may close over anything."""
    if _is_matrix(A) and (M is None or _is_matrix(M)):
        _operator(A)
        if M is not None:
            _operator(M)
        return _jitted(method, A, b, x0, M, symmetric, *numbers)
    return _solve(method, A, b, x0, M, symmetric, *numbers)


def _size(b: Any) -> int:
    return sum(x.size for x in tree.leaves(b))


@api_boundary
def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: Any = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Solve A x = b by conjugate gradients, for a Hermitian, positive definite A.

    M. R. Hestenes and E. Stiefel, J. Res. Nat. Bur. Standards 49 (1952), 409-436. The derivative solves a system with
    the same matrix, to the same tolerance.

    Args:
      A: a square matrix, anything with `@`, or a function from what is like `b` to A x.
      b: the right-hand side: an array or a pytree of arrays, which count as one vector.
      x0: where to start, like `b`; by default zero.
      tol, atol: stop when norm(b - A x) <= max(tol * norm(b), atol).
      maxiter: the number of steps at most; by default 10 for each element of `b`.
      M: an approximate inverse of A, in any of the forms that A may have.
    Returns:
      (x, None); SciPy has information on the convergence in place of None.
    Raises:
      ValueError: A or M is no square matrix; `x0` is not like `b`.
      TypeError: A or M is neither a matrix nor a function.
    """
    b, x0 = _right_hand_side(A, b, x0)
    symmetric = not any(dtypes.issubdtype(x.dtype, np.complexfloating) for x in tree.leaves(b))
    return _run(
        cg_vector, A, b, x0, M, symmetric, tol, atol, 10 * _size(b) if maxiter is None else maxiter
    ), None


@api_boundary
def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: Any = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Solve A x = b by stabilised biconjugate gradients, for any A.

    H. A. van der Vorst, SIAM J. Sci. Stat. Comput. 13 (1992), 631-644. Arguments, results and errors are those of
    `cg`.
    """
    b, x0 = _right_hand_side(A, b, x0)
    return _run(
        bicgstab_vector, A, b, x0, M, False, tol, atol, 10 * _size(b) if maxiter is None else maxiter
    ), None


@functools.cache
def _gmres_method(restart: int, incremental: bool) -> Callable[..., Any]:
    """One object for each choice, so that jitted functions know it again."""
    return functools.partial(gmres_vector, restart=restart, incremental=incremental)


@api_boundary
def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    restart: int = 20,
    maxiter: Any = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, Any]:
    """Solve A x = b by generalised minimal residuals, for any A.

    Y. Saad and M. H. Schultz, SIAM J. Sci. Stat. Comput. 7 (1986), 856-869. The derivative solves a system of its own,
    to the same tolerance.

    Args:
      A, b, x0, tol, atol, M: see `cg`.
      restart: the number of basis vectors that are built and kept before the solution is improved; at most the number
        of elements of `b`.
      maxiter: how many times at most; by default 10 for each element of `b`.
      solve_method: "batched" builds all `restart` vectors and then solves the small least-squares problem;
        "incremental" updates its solution with each vector, and stops as soon as the tolerance is met.
    Returns:
      (x, info), where info is 0, or -1 if x is not finite.
    Raises:
      ValueError, TypeError: as in `cg`; or there is no such `solve_method`.
    """
    if solve_method not in ("incremental", "batched"):
        raise ValueError(f"invalid solve_method {solve_method}, must be either 'incremental' or 'batched'")
    b, x0 = _right_hand_side(A, b, x0)
    size = _size(b)
    method = _gmres_method(min(int(restart), size), solve_method == "incremental")
    x = _run(method, A, b, x0, M, False, tol, atol, 10 * size if maxiter is None else maxiter)
    vector, _ = ravel_pytree(x)
    return x, jnp.where(jnp.isnan(jnp.linalg.norm(vector)), -1, 0)
