"""Compilation: what runs in the place of a primitive in compiled programs.

There is no MLIR here, but rules in its form: `rule(ctx, *values, **params)` gives the list of results, and the values
are those of the program that is being traced. So a rule can be made of a function of arrays, by `lower_fun`, or call
Python, by `emit_python_callback`; operations of MLIR it has none to emit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.staging import stage
from wengert.prims.callbacks import Callback, io_callback_p, pure_callback_p

__all__ = ["LoweringRuleContext", "ModuleContext", "emit_python_callback", "lower_fun", "register_lowering"]


class ModuleContext:
    """What a program that is being lowered knows as a whole."""

    __slots__ = ("platforms",)

    def __init__(self) -> None:
        self.platforms = ("cpu",)

    def add_keepalive(self, keepalive: Any) -> None:
        """Keep an object as long as the program: the program's equations do so themselves."""


class LoweringRuleContext:
    """The equation that is being lowered: its primitive, and the types of its operands and results."""

    __slots__ = ("avals_in", "avals_out", "module_context", "primitive")

    def __init__(
        self, primitive: Primitive, avals_in: Sequence[ShapedArray], avals_out: Sequence[ShapedArray]
    ):
        self.primitive = primitive
        self.avals_in = list(avals_in)
        self.avals_out = list(avals_out)
        self.module_context = ModuleContext()


def lower_fun(fun: Callable[..., Any], multiple_results: bool = True) -> Callable[..., list[Any]]:
    """The rule that runs a function of arrays: `fun(*arrays, **params)` gives an array, or several."""

    def rule(ctx: LoweringRuleContext, *values: Any, **params: Any) -> list[Any]:
        out = fun(*values, **params)
        return list(out) if multiple_results else [out]

    return rule


def register_lowering(
    prim: Primitive,
    rule: Callable[..., Sequence[Any]],
    platform: str | None = None,
    inline: bool = True,
    cacheable: bool = True,
) -> Callable[..., Sequence[Any]]:
    """Say what a primitive is in compiled programs: `rule(ctx, *values, **params)` gives the list of its results.

    A rule for another platform than the CPU is not used here. `inline` and `cacheable` have no effect.
    """
    del inline, cacheable

    def expand(*avals: ShapedArray, **params: Any) -> ClosedJaxpr:
        found = prim.abstract_eval(*avals, **params)
        ctx = LoweringRuleContext(prim, avals, found if prim.multiple_results else [found])
        return stage(lambda *values: list(rule(ctx, *values, **params)), avals, prim.name)

    if platform in (None, "cpu"):
        prim.expand = expand
    return rule


def emit_python_callback(
    ctx: LoweringRuleContext,
    callback: Callable[..., Sequence[Any]],
    token: Any,
    operands: Sequence[Any],
    operand_avals: Sequence[ShapedArray],
    result_avals: Sequence[ShapedArray],
    *,
    has_side_effect: bool = False,
    **options: Any,
) -> tuple[list[Any], Any, None]:
    """Call a Python function of arrays where the program gets here: `callback(*arrays)` gives the results, as listed.

    Returns the results, the token, and what is to be kept alive: nothing. Other options have no effect.
    """
    del ctx, operand_avals, options
    fun = Callback("callback", callback, tree.structure((tuple(operands), {})))
    params: dict[str, Any] = {"callback": fun, "result_avals": tuple(result_avals)}
    if has_side_effect:
        return io_callback_p.bind(*operands, ordered=False, **params), token, None
    return pure_callback_p.bind(*operands, vmap_method=None, **params), token, None
