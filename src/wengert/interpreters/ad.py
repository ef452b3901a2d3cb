"""Differentiation: rules of primitives, and the values that rules meet in place of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.core.primitive import Primitive
from wengert.core.zeros import (
    UndefinedPrimal as UndefinedPrimal,
    Zero as Zero,
    add_cotangents as add_tangents,
    instantiate as instantiate_zeros,
    is_undefined as is_undefined_primal,
)
from wengert.interpreters._rules import RuleTable
from wengert.prims.axes import add_any_p as add_jaxvals_p
from wengert.transforms.jvp import JVPTrace as JVPTrace, JVPTracer as JVPTracer

__all__ = [
    "JVPTrace",
    "JVPTracer",
    "UndefinedPrimal",
    "Zero",
    "add_jaxvals",
    "add_jaxvals_p",
    "add_tangents",
    "defbilinear",
    "defjvp",
    "defjvp2",
    "deflinear",
    "deflinear2",
    "get_primitive_transpose",
    "instantiate_zeros",
    "is_undefined_primal",
    "primitive_jvps",
    "primitive_transposes",
    "zeros_like_aval",
]

primitive_jvps = RuleTable("jvp")
"""rule(primals, tangents, **params) gives the results and their tangents; tangents may be `Zero`."""
primitive_transposes = RuleTable("transpose")
"""rule(cotangents, *operands, **params) gives a cotangent, or None, for each operand; those in which the operation is
linear are `UndefinedPrimal`."""


def add_jaxvals(x: Any, y: Any) -> Any:
    """The sum of two tangents of the same type."""
    return add_jaxvals_p.bind(x, y)


def zeros_like_aval(aval: Any) -> Any:
    """An array of zeros of this type."""
    return instantiate_zeros(Zero(aval))


def get_primitive_transpose(p: Primitive) -> Any:
    """The transpose rule of a primitive; NotImplementedError if it has none."""
    rule = primitive_transposes.get(p)
    if rule is None:
        raise NotImplementedError(
            f"Transpose rule (for reverse-mode differentiation) for {p.name!r} not implemented"
        )
    return rule


def defjvp(primitive: Primitive, *jvprules: Callable[..., Any] | None) -> None:
    """Give the derivative by each operand: `rule(tangent, *primals, **params)`, or None where it is zero."""

    def ignoring(rule: Callable[..., Any] | None) -> Callable[..., Any] | None:
        if rule is None:
            return None
        return lambda tangent, out, *primals, **params: rule(tangent, *primals, **params)

    defjvp2(primitive, *map(ignoring, jvprules))


def defjvp2(primitive: Primitive, *jvprules: Callable[..., Any] | None) -> None:
    """As `defjvp`, for rules that take the result too: `rule(tangent, out, *primals, **params)`."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        total: Any = Zero.of(out)
        for rule, t in zip(jvprules, tangents, strict=True):
            if rule is not None and type(t) is not Zero:
                total = add_tangents(total, rule(t, out, *primals, **params))
        return out, total

    primitive_jvps[primitive] = jvp


def deflinear2(primitive: Primitive, transpose_rule: Callable[..., Any]) -> None:
    """The operation is linear in all operands together: `transpose_rule(cotangent, *operands, **params)`."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        if all(type(t) is Zero for t in tangents):
            return out, Zero.of(out)
        return out, primitive.bind(*map(instantiate_zeros, tangents), **params)

    def transpose(cotangent: Any, *operands: Any, **params: Any) -> Any:
        if type(cotangent) is Zero:
            return [None] * len(operands)
        return transpose_rule(cotangent, *operands, **params)

    primitive_jvps[primitive] = jvp
    primitive_transposes[primitive] = transpose


def deflinear(primitive: Primitive, transpose_rule: Callable[..., Any]) -> None:
    """As `deflinear2`, for a rule that takes the cotangent alone: `transpose_rule(cotangent, **params)`."""
    deflinear2(primitive, lambda cotangent, *operands, **params: transpose_rule(cotangent, **params))


def defbilinear(primitive: Primitive, lhs_rule: Callable[..., Any], rhs_rule: Callable[..., Any]) -> None:
    """The operation is linear in each of its two operands.

    `lhs_rule(cotangent, lhs, rhs, **params)`, where `lhs` is an `UndefinedPrimal`, gives the cotangent of lhs;
    `rhs_rule(cotangent, lhs, rhs, **params)` that of rhs.
    """
    defjvp(
        primitive,
        lambda t, lhs, rhs, **params: primitive.bind(t, rhs, **params),
        lambda t, lhs, rhs, **params: primitive.bind(lhs, t, **params),
    )

    def transpose(cotangent: Any, lhs: Any, rhs: Any, **params: Any) -> list[Any]:
        left = is_undefined_primal(lhs)
        if type(cotangent) is Zero:
            return [None, None]
        found = (lhs_rule if left else rhs_rule)(cotangent, lhs, rhs, **params)
        return [found, None] if left else [None, found]

    primitive_transposes[primitive] = transpose
