"""Systems of equations, inverses and determinants. `overwrite_*`, `debug` and `check_finite` have no effect."""

from __future__ import annotations

from typing import Any

from wengert import lax, numpy as jnp
from wengert.core.source import user_context
from wengert.numpy._util import ArrayLike
from wengert.prims import linalg_functions, linalg_lu
from wengert.scipy.linalg.arguments import batched, check_matrix, inexact, one_of, system
from wengert.scipy.linalg.decompositions import cho_factor

__all__ = ["cho_solve", "det", "inv", "lu_solve", "solve", "solve_sylvester", "solve_triangular"]


def det(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinant of square matrices (..., n, n)."""
    return jnp.linalg.det(a)


def inv(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The inverse of square matrices (..., n, n); infinite or NaN if there is none."""
    return jnp.linalg.inv(a)


def solve(
    a: ArrayLike,
    b: ArrayLike,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    debug: bool = False,
    check_finite: bool = True,
    assume_a: str = "gen",
) -> Any:
    """The x with a @ x = b.

    Args:
      a: (..., n, n).
      b: (n,) or (..., n, k).
      lower: which triangle is read if `assume_a` is "pos".
      assume_a: "pos" if a is Hermitian positive definite, which takes half the time; "gen", "sym" and "her" take
        the same way.
    """
    one_of("solve", "assume_a", assume_a, ("gen", "sym", "her", "pos"))
    if assume_a != "pos":
        return jnp.linalg.solve(a, b)
    return cho_solve(cho_factor(a, lower=lower), b)


def _solved(name: str, a: Any, b: Any, *ways: dict[str, Any]) -> Any:
    """b solved for triangular a in several ways, one after the other."""
    a, b, vectors = system(name, a, b)
    for way in ways:
        b = lax.linalg.triangular_solve(a, b, left_side=True, **way)
    return b[..., 0] if vectors else b


def cho_solve(
    c_and_lower: tuple[ArrayLike, bool], b: ArrayLike, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """The x with a @ x = b, by what `cho_factor(a)` returned.

    Args:
      c_and_lower: a triangular factor (..., n, n), and whether it is the lower one.
      b: (n,) or (..., n, k).
    """
    c, lower = c_and_lower
    plain = {"lower": bool(lower)}
    turned = {"lower": bool(lower), "transpose_a": True, "conjugate_a": True}
    return _solved("cho_solve", c, b, *((plain, turned) if lower else (turned, plain)))


def solve_triangular(
    a: ArrayLike,
    b: ArrayLike,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    debug: Any = None,
    check_finite: bool = True,
) -> Any:
    """The x with op(a) @ x = b for triangular a; infinite or NaN if it is singular.

    Args:
      a: (..., n, n); only the triangle that `lower` says is read.
      b: (n,) or (..., n, k).
      trans: what op does: 0 or "N" nothing, 1 or "T" transposes, 2 or "C" transposes and conjugates.
      unit_diagonal: the diagonal of a counts as ones, and is not read.
    """
    one_of("solve_triangular", "trans", trans, (0, 1, 2, "N", "T", "C"))
    how = {
        "lower": bool(lower),
        "unit_diagonal": bool(unit_diagonal),
        "transpose_a": trans not in (0, "N"),
        "conjugate_a": trans in (2, "C"),
    }
    return _solved("solve_triangular", a, b, how)


def lu_solve(
    lu_and_piv: tuple[ArrayLike, ArrayLike],
    b: ArrayLike,
    trans: int = 0,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """The x with op(a) @ x = b, by what `lu_factor(a)` returned.

    Args:
      lu_and_piv: factors (..., n, n) and swaps (..., n).
      b: (n,) or (..., n, k).
      trans: what op does: 0 nothing, 1 transposes, 2 transposes and conjugates.
    """
    one_of("lu_solve", "trans", trans, (0, 1, 2))
    factors, pivots = lu_and_piv
    factors, b, vectors = system("lu_solve", factors, b)
    pivots = jnp.asarray(pivots)
    n = factors.shape[-1]
    if pivots.ndim == 0 or pivots.shape[-1] != n:
        raise user_context(
            ValueError(
                f"scipy.linalg.lu_solve: factors of shape {factors.shape} need {n} swaps, got pivots of shape "
                f"{pivots.shape}"
            )
        )
    permutation = lax.linalg.lu_pivots_to_permutation(pivots, n)
    permutation = jnp.broadcast_to(permutation, factors.shape[:-1])
    x = linalg_lu.solve_permuted(factors, permutation, b, trans)
    return x[..., 0] if vectors else x


def solve_sylvester(
    A: ArrayLike, B: ArrayLike, C: ArrayLike, *, method: str = "schur", tol: float = 1e-8
) -> Any:
    """The X with A @ X + X @ B = C.

    Args:
      A, B, C: (..., m, m), (..., n, n), (..., m, n).
      method: "schur" or "eigen", which take the same way here.
      tol: the result is NaN if an eigenvalue of A and one of B have a sum less than this.
    """
    one_of("solve_sylvester", "method", method, ("schur", "eigen"))
    a, b, c = inexact("solve_sylvester", A, B, C)
    check_matrix("solve_sylvester", a, "A")
    check_matrix("solve_sylvester", b, "B")
    check_matrix("solve_sylvester", c, "C", square=False)
    if c.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise user_context(
            ValueError(
                f"Incompatible shapes for Sylvester equation: A: {a.shape}, B: {b.shape}, C: {c.shape}; C must have "
                "as many rows as A and as many columns as B"
            )
        )
    a, b, c = batched("solve_sylvester", a, b, c)
    return linalg_functions.solve_sylvester(a, b, c, tol)
