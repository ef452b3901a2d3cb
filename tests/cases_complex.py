"""Rows of the table for complex numbers: elementary functions, products, sums of products, sorts."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import FLOATS, Arg, S, row

from wengert import lax

COMPLEX = "complex64 complex128"


def parts(z: Any) -> tuple[Any, Any]:
    return lax.real(z), lax.imag(z)


UNARY: list[tuple[str, Any, Any]] = [
    ("exp2", lax.exp2, np.exp2),
    ("expm1", lax.expm1, np.expm1),
    ("log", lax.log, np.log),
    ("log2", lax.log2, np.log2),
    ("log1p", lax.log1p, np.log1p),
    ("logistic", lax.logistic, lambda z: 1 / (1 + np.exp(-z))),
    ("sqrt", lax.sqrt, np.sqrt),
    ("rsqrt", lax.rsqrt, lambda z: 1 / np.sqrt(z)),
    ("sin", lax.sin, np.sin),
    ("cos", lax.cos, np.cos),
    ("tan", lax.tan, np.tan),
    ("asin", lax.asin, np.arcsin),
    ("acos", lax.acos, np.arccos),
    ("atan", lax.atan, np.arctan),
    ("sinh", lax.sinh, np.sinh),
    ("cosh", lax.cosh, np.cosh),
    ("tanh", lax.tanh, np.tanh),
    ("asinh", lax.asinh, np.arcsinh),
    ("acosh", lax.acosh, np.arccosh),
    ("atanh", lax.atanh, np.arctanh),
    ("sign", lax.sign, lambda z: z / np.abs(z)),
]
for name, fun, reference in UNARY:
    row(f"{name} of complex numbers", fun, reference, [Arg(S)], COMPLEX, ulps=16)
row("pow of complex numbers", lax.pow, np.power, [Arg(S), Arg(S)], COMPLEX, ulps=64)
row(
    "square of complex numbers as a power",
    lambda z: lax.pow(z, z * 0 + 2),
    np.square,
    [Arg(S)],
    COMPLEX,
    ulps=32,
)
row("max of complex numbers", lax.max, np.maximum, [Arg(S), Arg(S)], COMPLEX)
row("min of complex numbers", lax.min, np.minimum, [Arg(S), Arg(S)], COMPLEX)
row(
    "sqrt and log of parts",
    lambda x, y: (*parts(lax.sqrt(lax.complex(x, y))), *parts(lax.log(lax.complex(x, y)))),
    lambda x, y: [f(g(x + 1j * y)) for g in (np.sqrt, np.log) for f in (np.real, np.imag)],
    [Arg(S, 0.5, 2), Arg(S)],
    FLOATS,
    smooth=(0, 1),
    ulps=16,
)
for shape, axes in (((5, 3), (0,)), ((2, 40), (1,)), ((3, 4, 2), (0, 2)), ((37, 9), (0,)), ((0, 3), (0,))):
    row(
        f"reduce_prod of complex numbers, {shape} over {axes}",
        lambda z, a=axes: lax.reduce_prod(z, a),
        lambda z, a=axes: np.prod(z, a),
        [Arg(shape, -0.9, 1.1)],
        COMPLEX,
        ulps=128,
    )
for suffix, a, b, dims in (
    ("matrices", (19, 20), (20, 11), (((1,), (0,)), ((), ()))),
    ("few of them", (3, 2), (2, 4), (((1,), (0,)), ((), ()))),
    ("a large one to the right", (6, 20), (20, 40), (((1,), (0,)), ((), ()))),
    ("any axes", (3, 4, 2, 5), (2, 5, 6, 3), (((3, 2), (1, 0)), ((0,), (3,)))),
):
    (left, right), (outer, other) = dims
    letters = "".join(
        "z" if i in outer else "kl"[left.index(i)] if i in left else "abcd"[i] for i in range(len(a))
    )
    others = "".join(
        "z" if i in other else "kl"[right.index(i)] if i in right else "efgh"[i] for i in range(len(b))
    )
    free = [c for c in letters + others if c not in "zkl"]
    formula = f"{letters},{others}->{'z' * len(outer)}{''.join(free)}"
    row(
        f"dot_general of complex numbers, {suffix}",
        lambda x, y, d=dims: lax.dot_general(x, y, d),
        lambda x, y, f=formula: np.einsum(f, x, y),
        [Arg(a), Arg(b)],
        COMPLEX,
        linear=(0,),
        ulps=32,
    )
row("sort of complex numbers", lax.sort, lambda z: np.sort(z, -1), [Arg(S)], COMPLEX)
row(
    "sort by complex numbers",
    lambda z, x: lax.sort((z, x), dimension=0),
    lambda z, x: [np.take_along_axis(v, np.argsort(z, 0, kind="stable"), 0) for v in (z, x)],
    [Arg((20, 2), -2, 2), Arg((20, 2), dtype=np.float32)],
    COMPLEX,
)
