"""Derivative rules of one's own."""

from __future__ import annotations

from wengert.prims.custom import (
    custom_jvp_call_p as custom_jvp_call_p,
    custom_vjp_call_p as custom_vjp_call_p,
)
from wengert.transforms.custom_rules import (
    CustomVJPPrimal as CustomVJPPrimal,
    SymbolicZero as SymbolicZero,
    custom_gradient as custom_gradient,
    custom_jvp as custom_jvp,
    custom_vjp as custom_vjp,
    custom_vjp_primal_tree_values as custom_vjp_primal_tree_values,
    zero_from_primal as zero_from_primal,
)
from wengert.transforms.linear_call import linear_call as linear_call
from wengert.transforms.vjp import closure_convert as closure_convert
