"""The whole table. Importing a module of rows enters them."""

from __future__ import annotations

from benchmarks import later, learning, small, wave
from benchmarks.rows import TABLE

MODULES = (small, wave, later, learning)

__all__ = ["MODULES", "TABLE"]
