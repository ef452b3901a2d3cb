"""Partial evaluation: pruning of jaxprs."""

from __future__ import annotations

from wengert.interpreters._rules import RuleTable
from wengert.transforms.dce import dce_jaxpr as dce_jaxpr

__all__ = ["dce_jaxpr", "dce_rules"]

dce_rules = RuleTable("dce")
"""rule(used_outputs, eqn) gives which operands are used, and the equation that is left, or None."""
