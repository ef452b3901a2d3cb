"""The whole table. Importing a module of rows enters them."""

from __future__ import annotations

from benchmarks import learning, operations, small, wave
from benchmarks.rows import TABLE

MODULES = (small, wave, operations, learning)

__all__ = ["MODULES", "TABLE"]
