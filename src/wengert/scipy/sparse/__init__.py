"""Sparse systems, under the names of `jax.scipy.sparse`."""

from __future__ import annotations

from wengert.scipy.sparse import linalg

__all__ = ["linalg"]
