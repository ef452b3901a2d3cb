"""What makes an elementwise primitive: its dtypes, its scalar operation, and a derivative for each operand.

Operands have equal shapes, or are scalars beside arrays; their dtypes are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.core import dtypes
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive, same_shape_aval
from wengert.core.zeros import Zero, add_cotangents, is_undefined, is_zero
from wengert.prims.axes import batch_elementwise, broadcast_scalar, unbroadcast
from wengert.prims.constructors import Rule, as_operand, check_dtype, mismatch, same_dtype

BOOL = np.dtype(bool)
NUMBERS, FLOATS, REALS, INTS, BITS = "iufc", "fc", "f", "iu", "iub"


def operand_aval(name: str, accepts: str, avals: Sequence[ShapedArray]) -> ShapedArray:
    """The type of a result that has the shape and dtype of the operands."""
    for i, aval in enumerate(avals):
        check_dtype(name, accepts, aval, i if len(avals) > 1 else None)
        if aval.dtype != avals[0].dtype:
            raise mismatch(name, [a.dtype for a in avals])
    shape, weak = same_shape_aval(name, avals)
    return ShapedArray(shape, avals[0].dtype, weak)


def read(index: Any, operand: Any) -> Any:
    """The operand of an elementwise operation at an index of the result."""
    return operand.at(index if operand.aval.shape else ())


def elementwise(
    name: str,
    impl: Rule,
    *,
    accepts: str,
    result: Callable[[np.dtype[Any]], np.dtype[Any]] | None = None,
    derivatives: Sequence[Rule | None] = (),
    transposes: Sequence[Rule | None] = (),
    scalar: str | None = None,
    pull: Rule | None = None,
    abstract_eval: Rule | None = None,
    jvp: Rule | None = None,
    batch: Rule | None = None,
    real_code: bool = False,
    loop: str = "",
    part: tuple[int, int] = (0, 1),
    expand: Rule | None = None,
) -> Primitive:
    """An elementwise primitive.

    Args:
      impl: `impl(xp, *values, **params)`.
      accepts: the kinds of dtypes of the operands: letters of b, i, u, f, c.
      result: the dtype of the result, given that of the operands; theirs if missing.
      derivatives: for each operand `(tangent, out, *primals, **params)` -> tangent of the result, or None if it
        is zero. Missing if the derivative is zero.
      transposes: for each operand in which the operation is linear `(ct, *args, **params)` -> cotangent, not yet
        summed for a scalar operand; one function in all operands at once if there is one derivative rule for all.
      scalar: the operation of the loop IR, if there is one; `pull` for what takes more than one of these.
      real_code: `pull` is for real numbers only.
      loop, part: the ufunc of scipy.special that `impl` is, in double precision, with the parameters before the
        operands: compiled code calls its inner loop. The number of the wanted result, and how many there are.
      expand: the program that compiled code has in the place of a composition of several functions.
    """

    def default_aval(*avals: ShapedArray, **params: Any) -> ShapedArray:
        aval = operand_aval(name, accepts, avals)
        return aval if result is None else ShapedArray(aval.shape, result(aval.dtype), aval.weak_type)

    def default_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = prim.bind(*primals, **params)
        total = None
        for t, rule in zip(tangents, derivatives):
            if rule is not None and not is_zero(t):
                total = add_cotangents(total, rule(t, out, *primals, **params))
        if total is None or is_zero(total):
            return out, Zero.of(out)
        return out, broadcast_scalar(total, out.aval.shape)

    prim = Primitive(
        name,
        "elementwise",
        abstract_eval=abstract_eval or default_aval,
        impl=impl,
        jvp=jvp or default_jvp,
        transpose=_transposing(transposes) if transposes else None,
        batch=batch or (lambda axis, args, dims, **params: batch_elementwise(prim, axis, args, dims, params)),
        pull=pull,
        emit=_calling(loop, part) if loop else None,
        expand=expand,
        access="same" if pull or scalar or loop else "stored",
        scalar=scalar if pull is None else None,
        real_code=real_code,
    )
    return prim


def _transposing(transposes: Sequence[Rule | None]) -> Rule:
    """The transpose of an operation, by rules for its operands."""

    def transpose(ct: Any, *args: Any, **params: Any) -> Any:
        cts = []
        for x, rule in zip(args, transposes):
            linear = is_undefined(x) and rule is not None and not is_zero(ct)
            cts.append(unbroadcast(rule(ct, *args, **params), x.aval) if linear and rule else None)
        return cts

    return transpose


def _calling(loop: str, part: tuple[int, int]) -> Rule:
    """The `emit` rule that calls the inner loop of a special function."""

    def emit(ctx: Any, outs: Sequence[Any], *operands: Any, **params: Any) -> Any:
        return outs if ctx.special(outs[0], operands, loop, tuple(params.values()), *part) else None

    return emit


def complex_to_real(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of a complex number; a real dtype as it is."""
    found: np.dtype[Any] = dtypes.to_floating_dtype(dtype) if dtype.kind == "c" else dtype
    return found


def unary(prim: Primitive, doc: str, name: str = "") -> Any:
    """The function that binds a primitive of one operand."""
    bind = prim.bind

    def function(x: Any) -> Any:
        return bind(x if type(x) is Array else as_operand(prim.name, x))

    return _named(function, name or prim.name, doc)


def accurate(prim: Primitive, doc: str) -> Any:
    """As `unary`, with JAX's argument `accuracy`: accepted, but results are always as accurate as can be."""
    bind = prim.bind

    def function(x: Any, *, accuracy: Any = None) -> Any:
        return bind(x if type(x) is Array else as_operand(prim.name, x))

    return _named(function, prim.name, doc)


def binary(prim: Primitive, doc: str, name: str = "") -> Any:
    """The function that binds a primitive of two operands of one dtype."""
    bind = prim.bind

    def function(x: Any, y: Any) -> Any:
        if type(x) is Array and type(y) is Array and x.aval is y.aval:
            return bind(x, y)
        return bind(*same_dtype(prim.name, x, y))

    return _named(function, name or prim.name, doc)


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "wengert.lax"
    return function
