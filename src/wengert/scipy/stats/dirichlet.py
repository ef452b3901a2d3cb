"""The Dirichlet distribution of shares that sum to 1, along the first axis, with the shapes `alpha`."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import ArrayLike, arrays, promote_dtypes_inexact
from wengert.scipy import special

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, alpha: ArrayLike) -> Any:
    """The logarithm of the density at x; the last share may be left out.

    Args:
      x: of shape (k, ...) or (k - 1, ...).
      alpha: of shape (k,).
    Raises:
      ValueError: the shapes do not fit.
    """
    x, alpha = promote_dtypes_inexact(*arrays("dirichlet.logpdf", x, alpha))
    if alpha.ndim != 1:
        raise ValueError(f"`alpha` must be one-dimensional; got alpha.shape={alpha.shape}")
    if x.ndim == 0 or x.shape[0] not in (alpha.shape[0], alpha.shape[0] - 1):
        raise ValueError(
            "`x` must have either the same number of entries as `alpha` or one entry fewer; "
            f"got x.shape={x.shape}, alpha.shape={alpha.shape}"
        )
    if x.shape[0] != alpha.shape[0]:
        x = jnp.concatenate([x, 1 - jnp.sum(x, axis=0, keepdims=True)], axis=0)
    inside = jnp.all(x > 0, axis=0) & (jnp.abs(jnp.sum(x, axis=0) - 1) < 1e-6)
    factor = special.gammaln(jnp.sum(alpha)) - jnp.sum(special.gammaln(alpha))
    powers = alpha.reshape(alpha.shape + (1,) * (x.ndim - 1)) - 1
    return jnp.where(inside, factor + jnp.sum(special.xlogy(powers, x), axis=0), -jnp.inf)


def pdf(x: ArrayLike, alpha: ArrayLike) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, alpha))
