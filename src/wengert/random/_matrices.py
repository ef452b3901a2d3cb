"""Random vectors and matrices."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy import _util
from wengert.prims.constructors import canonical_shape
from wengert.random._arguments import float_dtype, one_key, shape_for
from wengert.random._basic import normal, normal_of


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Any = None,
    dtype: Any = None,
    method: str = "cholesky",
    *,
    out_sharding: Any = None,
) -> Any:
    """Normal vectors of the given mean and covariance.

    Args:
      mean: of shape (..., n).
      cov: of shape (..., n, n), positive definite; semidefinite for the methods "eigh" and "svd".
      shape: to which the leading axes of both broadcast; their common shape by default.
      method: how the root of the covariance is computed.
    Returns:
      an array of shape (*shape, n).
    Raises:
      ValueError: the shapes don't fit, or there is no such method.
    """
    key = one_key(key, "multivariate_normal")
    mean, cov = _util.promote_dtypes_inexact(
        _util.as_array(mean, "multivariate_normal"), _util.as_array(cov, "multivariate_normal")
    )
    if method not in ("svd", "eigh", "cholesky"):
        raise ValueError(f"method must be one of {{'svd', 'eigh', 'cholesky'}}, got {method!r}")
    dtype = float_dtype(mean.dtype if dtype is None else dtype, "multivariate_normal")
    if mean.ndim < 1:
        raise ValueError(f"multivariate_normal requires mean.ndim >= 1, got mean.ndim == {mean.ndim}")
    if cov.ndim < 2:
        raise ValueError(f"multivariate_normal requires cov.ndim >= 2, got cov.ndim == {cov.ndim}")
    n = mean.shape[-1]
    if cov.shape[-2:] != (n, n):
        raise ValueError(
            f"multivariate_normal requires cov.shape == (..., n, n) for n={n}, but got cov.shape == {cov.shape}."
        )
    shape = shape_for("multivariate_normal", shape, mean.shape[:-1], cov.shape[:-2])
    if method == "svd":
        u, s, _ = jnp.linalg.svd(cov)
        factor = u * jnp.sqrt(s[..., None, :])
    elif method == "eigh":
        w, v = jnp.linalg.eigh(cov)
        factor = v * jnp.sqrt(w[..., None, :])
    else:
        factor = jnp.linalg.cholesky(cov)
    drawn = normal_of(key, (*shape, n), dtype)
    return mean + jnp.squeeze(jnp.matmul(factor, drawn[..., None]), -1)


def orthogonal(
    key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None, *, out_sharding: Any = None
) -> Any:
    """Orthogonal matrices (unitary ones for a complex dtype), uniformly distributed by Haar's measure.

    Args:
      n, m: numbers of rows and of columns, n by default. The rows or the columns are orthonormal, whichever are
        fewer.
    Returns:
      an array of shape (*shape, n, m).
    """
    shape, key = canonical_shape(shape), one_key(key, "orthogonal")
    dtype = float_dtype(dtype, "orthogonal", complex_too=True)
    rows, columns = canonical_shape((n, n if m is None else m), "n and m of random.orthogonal")
    z = normal(key, (*shape, max(rows, columns), min(rows, columns)), dtype)
    q, r = jnp.linalg.qr(z)
    # The signs make the factorisation unique, and so the distribution that of Haar.
    x = q * jnp.expand_dims(jnp.sign(jnp.linalg.diagonal(r)), -2)
    return jnp.swapaxes(x, -1, -2) if rows < columns else x
