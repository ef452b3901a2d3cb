"""The stages that a jitted function goes through, and the types of its arguments."""

from __future__ import annotations

from typing import Any

from wengert.transforms.jit import JitFunction as Wrapped
from wengert.transforms.stages import (
    ArgInfo as ArgInfo,
    Compiled as Compiled,
    Lowered as Lowered,
    Traced as Traced,
)

CompilerOptions = dict[str, Any]

__all__ = ["ArgInfo", "Compiled", "CompilerOptions", "Lowered", "Traced", "Wrapped"]
