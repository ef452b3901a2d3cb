"""Stopping gradients."""

from __future__ import annotations

from wengert.prims.barriers import stop_gradient_p as stop_gradient_p

__all__ = ["stop_gradient_p"]
