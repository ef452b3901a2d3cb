"""Functions of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from wengert import lax, numpy as jnp
from wengert.core.source import user_context
from wengert.numpy._util import ArrayLike
from wengert.prims import linalg_functions
from wengert.scipy.linalg.arguments import adjoint, inexact, matrix, product
from wengert.scipy.linalg.decompositions import schur
from wengert.transforms.custom_rules import custom_jvp
from wengert.transforms.vjp import jvp

__all__ = ["expm", "expm_frechet", "funm", "sqrtm"]

# The norm up to which Pade's approximant needs no squaring, in single and in double precision: N. J. Higham, The
# scaling and squaring method for the matrix exponential revisited, 2005, table 2.3.
_UNSQUARED = {32: 3.925724783138660, 64: 5.371920351148152}


def expm(A: ArrayLike, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """The exponential of square matrices (..., n, n).

    Args:
      upper_triangular: read only the upper triangle of A.
      max_squarings: the result is NaN if the norm of A is greater than about 4 * 2 ** max_squarings.
    """
    a = matrix("expm", A, "A")
    if upper_triangular:
        a = jnp.triu(a)
    found = linalg_functions.expm(a)
    norm = jnp.max(jnp.sum(jnp.abs(a), axis=-2), axis=-1, initial=0)
    limit = _UNSQUARED[jnp.finfo(a.dtype).bits] * math.ldexp(1.0, max_squarings + 1)
    return jnp.where((norm < limit)[..., None, None], found, jnp.full((), jnp.nan, found.dtype))


def expm_frechet(A: ArrayLike, E: ArrayLike, *, method: str | None = None, compute_expm: bool = True) -> Any:
    """The exponential of A, and its derivative at A in the direction E.

    Args:
      A, E: (..., n, n), of one shape.
      method: has no effect.
      compute_expm: return both, else the derivative alone.
    """
    a, e = inexact("expm_frechet", A, E)
    matrix("expm_frechet", a, "A")
    matrix("expm_frechet", e, "E")
    if a.shape != e.shape:
        raise user_context(
            ValueError(
                f"expected A and E to be the same shape, got A.shape={a.shape} E.shape={e.shape}; broadcast them first"
            )
        )
    derivative = linalg_functions.expm_frechet(a, e)
    return (linalg_functions.expm(a), derivative) if compute_expm else derivative


def sqrtm(A: ArrayLike, blocksize: int = 1) -> Any:
    """The principal square root of square matrices (..., n, n). Complex, also of real matrices.

    It has derivatives where no eigenvalue is zero or negative.

    Args:
      blocksize: has no effect.
    """
    return linalg_functions.sqrtm(matrix("sqrtm", A, "A", fewer=TypeError))


def funm(A: ArrayLike, func: Callable[[Any], Any], disp: bool = True) -> Any:
    """The function of a square matrix that `func` is of numbers. Complex.

    By the recurrence of B. N. Parlett, which wants distinct eigenvalues. Its derivative is that of Daleckii and
    Krein (N. J. Higham, Functions of Matrices, 2008, theorem 3.11); it wants a matrix with n eigenvectors.

    Args:
      A: (n, n).
      func: of an array of eigenvalues, elementwise.
      disp: return the matrix alone; else also an estimate of its relative error.
    """
    a = matrix("funm", A, "A")
    if a.ndim != 2:
        raise user_context(
            ValueError(f"scipy.linalg.funm takes one matrix, got shape {a.shape}; use vmap for more")
        )

    @custom_jvp
    def function(a: Any) -> tuple[Any, Any]:
        t, z = schur(a, output="complex")
        found, gap = _parlett(func(jnp.diagonal(t)).astype(t.dtype), t)
        return product(z, found, adjoint(z)), _error(t, found, gap)

    @function.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        ((a,), (change,)) = primals, tangents
        w, v = jnp.linalg.eig(a)
        inner = jnp.linalg.solve(v, product(change.astype(v.dtype), v))
        values, slopes = jvp(lambda x: func(x).astype(w.dtype), (w,), (jnp.ones_like(w),))
        gaps = w[:, None] - w
        same = gaps == 0
        ratios = (values[:, None] - values) / jnp.where(same, 1, gaps)
        found = product(v, jnp.where(same, slopes, ratios) * inner)
        outs = function(a)
        tangent = jnp.linalg.solve(v.mT, found.mT).mT
        return outs, (tangent, jnp.zeros_like(outs[1]))

    value, error = function(a)
    return value if disp else (value, error)


def _parlett(values: Any, t: Any) -> tuple[Any, Any]:
    """The function of an upper triangular matrix with these values on the diagonal, and the least gap there was.

    The function commutes with t. Where only elements nearer to the diagonal are known, what an element lacks is what
    the product of both in one order has over the product in the other.
    """
    n = t.shape[0]
    places = jnp.arange(n)
    distance = places - places[:, None]
    diagonal = jnp.diagonal(t)
    gaps = diagonal - diagonal[:, None]
    divisors = jnp.where(gaps == 0, 1, gaps)

    def step(p: Any, found: Any) -> Any:
        lacking = product(t, found) - product(found, t)
        return jnp.where(distance == p, lacking / divisors, found)

    sizes = jnp.where(distance > 0, jnp.abs(gaps), jnp.abs(t[0, 0]) if n else 0)
    return lax.fori_loop(1, n, step, jnp.diag(values)), jnp.min(sizes, initial=jnp.inf)


def _error(t: Any, found: Any, gap: Any) -> Any:
    """An estimate of the relative error: the precision, as many times as the least gap is small."""
    eps = float(jnp.finfo(t.dtype).eps)
    above = jnp.max(jnp.sum(jnp.abs(jnp.triu(t, 1)), axis=0), initial=0)
    ratio = eps / jnp.where(gap == 0, eps, gap) * above
    return jnp.where(jnp.any(jnp.isinf(found)), jnp.inf, jnp.clip(ratio, eps, 1))
