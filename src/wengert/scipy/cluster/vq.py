"""Vector quantization."""

from __future__ import annotations

from typing import Any

from wengert import numpy as jnp
from wengert.numpy._util import arrays, promote_dtypes_inexact

__all__ = ["vq"]


def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """For each observation the nearest code, by Euclidean distance.

    Args:
      obs: observations, of shape (m, n), or (m,) for n = 1.
      code_book: codes, of shape (k, n), or (k,).
      check_finite: accepted for compatibility.
    Returns:
      (code, distance): the numbers of the nearest codes, integers of shape (m,), and how far they are, of shape (m,).
    Raises:
      ValueError: the arrays differ in rank, or have more than two axes.
    """
    x, codes = promote_dtypes_inexact(*arrays("scipy.cluster.vq.vq", obs, code_book))
    if x.ndim != codes.ndim:
        raise ValueError(
            f"Observation and code_book should have the same rank, got shapes {x.shape} and {codes.shape}"
        )
    if x.ndim == 1:
        x, codes = x[:, None], codes[:, None]
    if x.ndim != 2:
        raise ValueError(f"ndim different than 1 or 2 are not supported, got shape {x.shape}")
    distances = jnp.linalg.norm(x[:, None] - codes[None], axis=-1)
    return jnp.argmin(distances, axis=-1), jnp.min(distances, axis=-1)
