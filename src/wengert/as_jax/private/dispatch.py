"""Waiting for side effects."""

from __future__ import annotations

from wengert import effects_barrier as wait_for_tokens

__all__ = ["wait_for_tokens"]
