"""Errors of dtype promotion."""

from __future__ import annotations

from wengert.errors import TypePromotionError as TypePromotionError

__all__ = ["TypePromotionError"]
