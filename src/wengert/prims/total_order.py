"""Comparisons in the total order of floating-point numbers: -nan < -inf < ... < -0 < 0 < ... < inf < nan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.staging import stage
from wengert.prims.axes import batch_elementwise
from wengert.prims.constructors import zero_jvp
from wengert.prims.conversion import bitcast_convert_type
from wengert.prims.elementwise import operand_aval
from wengert.prims.logic import bitwise_and, bitwise_xor, eq, le, lt, shift_right_arithmetic


def _integers(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"int{8 * dtype.itemsize}")


def _key(x: Any, aval: ShapedArray) -> Any:
    """Integers in the same order: of negative numbers all bits but the sign are flipped."""
    if dtypes.kind_of(aval.dtype) != "f":
        return x
    kind = _integers(aval.dtype)
    bits = bitcast_convert_type(x, kind)
    sign = shift_right_arithmetic(bits, kind.type(8 * kind.itemsize - 1))
    return bitwise_xor(bits, bitwise_and(sign, kind.type(np.iinfo(kind).max)))


def _numpy_key(xp: Any, x: Any) -> Any:
    x = xp.asarray(x)
    if dtypes.kind_of(x.dtype) != "f":
        return x
    bits = xp.ascontiguousarray(x).view(_integers(x.dtype)).reshape(x.shape)
    return xp.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)


def _comparison(name: str, compare: Callable[..., Any], numpy_name: str) -> Primitive:
    def abstract_eval(*avals: ShapedArray) -> ShapedArray:
        return ShapedArray(operand_aval(name, "biuf", avals).shape, np.dtype(bool))

    def impl(xp: Any, x: Any, y: Any) -> Any:
        return getattr(xp, numpy_name)(_numpy_key(xp, x), _numpy_key(xp, y))

    def expand(*avals: ShapedArray) -> ClosedJaxpr:
        def run(x: Any, y: Any) -> list[Any]:
            return [compare(_key(x, avals[0]), _key(y, avals[1]))]

        return stage(run, avals, name)

    prim = Primitive(
        name,
        "elementwise",
        abstract_eval=abstract_eval,
        impl=impl,
        expand=expand,
        jvp=zero_jvp(lambda: prim),
        batch=lambda axis, args, dims: batch_elementwise(prim, axis, args, dims, {}),
    )
    return prim


eq_to_p = _comparison("eq_to", eq, "equal")
lt_to_p = _comparison("lt_to", lt, "less")
le_to_p = _comparison("le_to", le, "less_equal")
