"""The stages that a jitted function goes through, and the types of its arguments."""

from __future__ import annotations

from wengert.transforms.jit import JitFunction as Wrapped
from wengert.transforms.stages import (
    ArgInfo as ArgInfo,
    Compiled as Compiled,
    Lowered as Lowered,
    Traced as Traced,
)

__all__ = ["ArgInfo", "Compiled", "Lowered", "Traced", "Wrapped"]
