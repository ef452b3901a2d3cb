"""Clusters of points, under the names of `jax.scipy.cluster`."""

from __future__ import annotations

from wengert.scipy.cluster import vq

__all__ = ["vq"]
