"""Geometry, under the names of `jax.scipy.spatial`."""

from __future__ import annotations

from wengert.scipy.spatial import transform

__all__ = ["transform"]
