"""What operations cost, in units of an addition of vectors, for each element.

All that weighs computing a value again against keeping it goes by this: which values a compiled program stores, and
which of them a loop keeps for its derivative.
"""

from __future__ import annotations

from typing import Final

from wengert.core.jaxpr import Eqn, Literal

# Scalar operations. Semantics are those of the primitives of the same name. Operands have one dtype, the result has
# it too, unless said otherwise below.
OPS: Final[dict[str, float]] = {
    **dict.fromkeys(
        ("add", "sub", "mul", "neg", "abs", "max", "min", "and", "or", "xor", "not", "square"), 1
    ),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "is_finite"), 1),  # result: bool
    **dict.fromkeys(("select", "sign", "shl", "shr_arithmetic", "shr_logical"), 1),  # select(bool, a, b)
    **dict.fromkeys(("convert", "bitcast"), 1),  # to the dtype of the result
    **dict.fromkeys(("floor", "ceil", "trunc", "round", "round_even", "population_count", "clz"), 1),
    **dict.fromkeys(("fma", "copy"), 1),
    **dict.fromkeys(("div", "sqrt", "rsqrt"), 4),
    **dict.fromkeys(("rem", "nextafter"), 10),
    **dict.fromkeys(("exp", "exp2", "log", "log2", "logistic", "tanh", "sin", "cos", "cbrt"), 14),
    **dict.fromkeys(("expm1", "log1p", "log10", "tan", "sinh", "cosh", "atan", "asin", "acos", "atan2"), 20),
    **dict.fromkeys(("asinh", "acosh", "atanh", "erf", "erfc", "erf_inv", "pow", "lgamma", "digamma"), 30),
    **dict.fromkeys(("real", "imag", "complex", "conj"), 1),  # see `complexes`
    "mulhi": 2,  # the upper half of the product of two integers
}

# Of a value in the caches, and of one in main memory.
STORE, LOAD = 8.0, 1.5
FAR_STORE, FAR_LOAD = 10.0, 4.0


def scalar_cost(eqn: Eqn) -> float:
    """What the equation costs for each element of its result, without its operands."""
    prim = eqn.primitive
    if prim.scalar is not None:
        by_number = prim.scalar == "div" and isinstance(eqn.invars[1], Literal)
        return OPS["mul" if by_number else prim.scalar]
    return 0.0 if prim.kind == "view" else max(prim.cost, OPS.get(prim.name, 0.0))
