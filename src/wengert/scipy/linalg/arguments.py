"""How arguments become matrices: dtypes, checks, and batch axes that broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert import numpy as jnp
from wengert.core.source import user_context, warn_user
from wengert.numpy._util import promote_dtypes_inexact


def inexact(name: str, *args: Any) -> list[Any]:
    """The arguments as arrays of their common float or complex dtype."""
    return promote_dtypes_inexact(*[jnp.asarray(a) for a in args])


def matrix(
    name: str, a: Any, argument: str = "a", square: bool = True, fewer: type[Exception] = ValueError
) -> Any:
    """The argument as a stack of matrices of floats or complex numbers.

    Raises:
      ValueError: its matrices aren't square though they must be.
      fewer: it has less than two axes.
    """
    (a,) = inexact(name, a)
    check_matrix(name, a, argument, square, fewer)
    return a


def check_matrix(
    name: str, a: Any, argument: str = "a", square: bool = True, fewer: type[Exception] = ValueError
) -> None:
    """Raise ValueError (`fewer`, of vectors) unless a is a stack of matrices, square ones if they must be."""
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        kind = "[..., n, n]" if square else "[..., m, n]"
        kind_of_error = fewer if a.ndim < 2 else ValueError
        raise user_context(
            kind_of_error(
                f"Argument {argument} to scipy.linalg.{name} must have shape {kind}, got {a.shape}"
                + ("" if a.ndim > 1 else f"; make {argument} a matrix, e.g. by {argument}[None, :]")
            )
        )


def batched(name: str, *matrices: Any) -> list[Any]:
    """The stacks with the batch axes that they have in common. ValueError if these do not broadcast."""
    try:
        batch = np.broadcast_shapes(*[x.shape[:-2] for x in matrices])
    except ValueError:
        raise user_context(
            ValueError(
                f"scipy.linalg.{name}: the batch axes of {' and '.join(str(x.shape) for x in matrices)}, all but "
                "the last two, do not broadcast"
            )
        ) from None
    return [jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in matrices]


def system(name: str, a: Any, b: Any) -> tuple[Any, Any, bool]:
    """A stack of square matrices and a right hand side of matrices that fit, and whether b were vectors.

    A b with one axis less than `a` and as many elements is taken as a stack of vectors, with a warning.
    """
    a, b = inexact(name, a, b)
    check_matrix(name, a)
    n = a.shape[-1]
    vectors = b.ndim == 1 or (b.ndim > 1 and a.ndim == b.ndim + 1 and a.shape[:-1] == b.shape)
    if vectors and b.ndim > 1:
        warn_user(
            f"scipy.linalg.{name}: batched 1D solves with b.ndim > 1 are deprecated, and in the future will be "
            f"treated as a batched 2D solve. Use {name}(..., b[..., None]).squeeze(-1) to avoid this warning.",
            FutureWarning,
        )
    if b.ndim == 0 or b.shape[-1 if vectors else -2] != n:
        raise user_context(
            ValueError(
                f"scipy.linalg.{name}: matrices of shape {a.shape} and a right hand side of shape {b.shape} do not "
                f"fit: b must have shape ({n},) or [..., {n}, k]"
            )
        )
    a, b = batched(name, a, b[..., None] if vectors else b)
    return a, b, vectors


def adjoint(x: Any) -> Any:
    """The conjugate transposes."""
    return jnp.conj(jnp.matrix_transpose(x))


def product(*matrices: Any) -> Any:
    """The product of matrices."""
    found = matrices[0]
    for x in matrices[1:]:
        found = jnp.matmul(found, x)
    return found


def one_of(name: str, argument: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise user_context(
            ValueError(f"scipy.linalg.{name}: {argument} must be one of {list(choices)}, got {value!r}")
        )
