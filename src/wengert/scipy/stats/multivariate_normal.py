"""The multivariate normal distribution, of vectors along the last axis."""

from __future__ import annotations

import math
from typing import Any

from wengert import lax, numpy as jnp
from wengert.numpy._util import ArrayLike, arrays, promote_dtypes_inexact

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, mean: ArrayLike, cov: ArrayLike, allow_singular: bool | None = None) -> Any:
    """The logarithm of the density.

    Args:
      x: of shape (..., n).
      mean: of shape (..., n), or a number.
      cov: the covariance, of shape (..., n, n); or the variance of each component, a number.
      allow_singular: whether the covariance may lack directions: then the density is that within the directions
        it has, and 0 off these.
    Raises:
      ValueError: the shapes do not fit.
    """
    x, mean, cov = promote_dtypes_inexact(*arrays("multivariate_normal.logpdf", x, mean, cov))
    y = x - mean
    if not mean.shape:
        return -0.5 * (y * y / cov + jnp.log(2 * math.pi * cov))
    n = mean.shape[-1]
    if not cov.shape:
        return -0.5 * (jnp.sum(y * y, axis=-1) / cov + n * jnp.log(2 * math.pi * cov))
    if cov.ndim < 2 or cov.shape[-2:] != (n, n):
        raise ValueError(
            f"multivariate_normal.logpdf got incompatible shapes: a mean of shape {mean.shape} wants a covariance "
            f"of shape (..., {n}, {n}), but it has {cov.shape}."
        )
    if allow_singular:
        return _singular(y, cov)
    batch = jnp.broadcast_shapes(y.shape[:-1], cov.shape[:-2])
    factor = jnp.broadcast_to(lax.linalg.cholesky(cov), (*batch, n, n))
    column = jnp.broadcast_to(y, (*batch, n))[..., None]
    z = lax.linalg.triangular_solve(factor, column, left_side=True, lower=True)[..., 0]
    half_log_det = jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)
    return -0.5 * jnp.sum(z * z, axis=-1) - 0.5 * n * math.log(2 * math.pi) - half_log_det


def _singular(y: Any, cov: Any) -> Any:
    values, vectors = jnp.linalg.eigh(cov)
    eps = jnp.finfo(cov.dtype).eps * (
        1e3 if cov.dtype == jnp.float32 else 1e6
    )  # as SciPy tells 0 from rounding
    least = eps * jnp.max(jnp.abs(values), axis=-1, keepdims=True)
    present = values > least
    safe = jnp.where(present, values, 1.0)
    along = jnp.einsum("...i,...ij->...j", y, vectors)
    terms = jnp.where(present, along * along / safe + jnp.log(2 * math.pi * safe), 0.0)
    off = jnp.sqrt(jnp.sum(jnp.where(present, 0.0, along * along), axis=-1)) >= eps
    return jnp.where(off, -jnp.inf, -0.5 * jnp.sum(terms, axis=-1))


def pdf(x: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, mean, cov))
