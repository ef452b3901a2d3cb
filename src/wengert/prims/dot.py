"""Contractions: dot_general and the products made of it."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.array import ArrayBase
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, add_cotangents, is_undefined, is_zero
from wengert.prims.axes import transpose
from wengert.prims.constructors import Shape, as_operand, check_dtype, same_dtype, shape_of
from wengert.prims.conversion import convert

_descriptions = lazy_module("wengert.prims.precision")
Dims = tuple[tuple[Shape, Shape], tuple[Shape, Shape]]


class Precision(enum.Enum):
    """How exactly products are formed: accepted, but here they always are as exact as the dtype allows."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2

    @classmethod
    def _missing_(cls, value: object) -> Precision | None:
        return cls.__members__.get(_PRECISION_NAMES.get(value, "")) if isinstance(value, str) else None

    def __str__(self) -> str:
        return self.name


_PRECISION_NAMES = {
    "highest": "HIGHEST",
    "float32": "HIGHEST",
    "high": "HIGH",
    "bfloat16_3x": "HIGH",
    "tensorfloat32": "HIGH",
    "default": "DEFAULT",
    "bfloat16": "DEFAULT",
    "fastest": "DEFAULT",
}


def check_precision(precision: Any) -> None:
    """Raise ValueError for what is no description of a precision."""
    if precision is None or isinstance(precision, Precision):
        return
    if isinstance(precision, str) and (
        precision in _PRECISION_NAMES or precision in _descriptions.DotAlgorithmPreset.__members__
    ):
        return
    if isinstance(precision, _descriptions.DotAlgorithm | _descriptions.DotAlgorithmPreset):
        return
    pair = precision if isinstance(precision, tuple | list) and len(precision) == 2 else ("",)
    if all(p is None or isinstance(p, Precision) or p in _PRECISION_NAMES for p in pair):
        return
    raise ValueError(
        f"Precision argument must be one of: None, a string in {list(_PRECISION_NAMES)}, a lax.Precision value, a tuple"
        " of two lax.Precision values or strings, a lax.DotAlgorithmPreset or the name of one of these presets, a"
        f" lax.DotAlgorithm; but got {precision!r}"
    )


class _Dims(tuple[Any, ...]):
    """Dimension numbers, which print as JAX prints them."""

    __slots__ = ()

    def __repr__(self) -> str:
        (a, b), (c, d) = self
        return f"(({list(a)}, {list(b)}), ({list(c)}, {list(d)}))"

    __str__ = __repr__


def free_axes(ndim: int, contracted: Shape, batch: Shape) -> list[int]:
    """The axes of an operand that are neither contracted nor batched, in order."""
    return [i for i in range(ndim) if i not in contracted and i not in batch]


def _dot_aval(
    x: ShapedArray, y: ShapedArray, *, dimension_numbers: Dims, precision: Any, preferred_element_type: Any
) -> ShapedArray:
    (cx, cy), (bx, by) = dimension_numbers
    for what, ax, ay in (("contracting", cx, cy), ("batch", bx, by)):
        if len(ax) != len(ay):
            raise TypeError(
                f"dot_general requires equal numbers of {what} dimensions, got {ax} for lhs and {ay} for rhs."
            )
        for aval, axes in ((x, ax), (y, ay)):
            if not all(0 <= a < aval.ndim for a in axes):
                raise TypeError(
                    f"dot_general {what} dimensions {axes} are out of bounds for shape {aval.shape}."
                )
        if [x.shape[a] for a in ax] != [y.shape[a] for a in ay]:
            raise TypeError(
                f"dot_general requires {what} dimensions to have the same shape, got "
                f"{tuple(x.shape[a] for a in ax)} and {tuple(y.shape[a] for a in ay)}."
            )
    if len({*cx, *bx}) != len(cx) + len(bx) or len({*cy, *by}) != len(cy) + len(by):
        raise TypeError(f"dot_general: an axis stands twice in dimension_numbers {dimension_numbers}")
    for i, aval in enumerate((x, y)):
        check_dtype("dot_general", "biufc", aval, i)
    shape = [x.shape[a] for a in bx]
    shape += [x.shape[a] for a in free_axes(x.ndim, cx, bx)] + [y.shape[a] for a in free_axes(y.ndim, cy, by)]
    dtype = preferred_element_type or dtypes.promote_types(x.dtype, y.dtype)
    return ShapedArray(shape, dtype, preferred_element_type is None and x.weak_type and y.weak_type)


def _dot_impl(
    xp: Any, x: Any, y: Any, *, dimension_numbers: Dims, precision: Any, preferred_element_type: Any
) -> Any:
    (cx, cy), (bx, by) = dimension_numbers
    x, y = xp.asarray(x), xp.asarray(y)
    out = np.dtype(preferred_element_type or dtypes.promote_types(x.dtype, y.dtype))
    work = np.dtype(np.float32) if dtypes.kind_of(out) == "f" and out.itemsize < 4 else out
    x, y = x.astype(work, copy=False), y.astype(work, copy=False)
    fx, fy = free_axes(x.ndim, cx, bx), free_axes(y.ndim, cy, by)
    batch, m, n = [x.shape[a] for a in bx], [x.shape[a] for a in fx], [y.shape[a] for a in fy]
    k = math.prod(x.shape[a] for a in cx)
    x = xp.transpose(x, (*bx, *fx, *cx)).reshape((*batch, math.prod(m), k))
    y = xp.transpose(y, (*by, *cy, *fy)).reshape((*batch, k, math.prod(n)))
    return xp.matmul(x, y).reshape((*batch, *m, *n)).astype(out, copy=False)


def _dot_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (x, y), (tx, ty) = primals, tangents
    out = dot_general_p.bind(x, y, **params)
    total = None
    if not is_zero(tx):
        total = dot_general_p.bind(tx, y, **params)
    if not is_zero(ty):
        total = add_cotangents(total, dot_general_p.bind(x, ty, **params))
    return out, Zero.of(out) if total is None else total


def _dot_transpose(ct: Any, x: Any, y: Any, *, dimension_numbers: Dims, **params: Any) -> Any:
    if is_zero(ct):
        return [None, None]
    (cx, cy), (bx, by) = dimension_numbers
    if is_undefined(x):
        return [_cotangent(ct, x.aval, y, (cx, cy), (bx, by), swapped=False, **params), None]
    return [None, _cotangent(ct, y.aval, x, (cy, cx), (by, bx), swapped=True, **params)]


def _cotangent(
    ct: Any,
    aval: ShapedArray,
    other: Any,
    contracting: tuple[Shape, Shape],
    batch: tuple[Shape, Shape],
    *,
    swapped: bool,
    precision: Any,
    preferred_element_type: Any,
) -> Any:
    """The cotangent of one operand: that of the result, contracted with the other operand's free axes."""
    (mine, others), (my_batch, other_batch) = contracting, batch
    my_free = free_axes(aval.ndim, mine, my_batch)
    other_free = free_axes(len(shape_of(other)), others, other_batch)
    n = len(my_batch)
    start = n if swapped else n + len(my_free)  # where the other's free axes stand in the result
    in_ct = tuple(range(start, start + len(other_free)))
    product = _bind(
        ct,
        other,
        ((in_ct, tuple(other_free)), (tuple(range(n)), other_batch)),
        precision,
        preferred_element_type,
    )
    # axes of the product: batch, my free ones, then the other's contracted ones in the order of its axes
    partner = dict(zip(others, mine))
    order = [*my_batch, *my_free, *[partner[a] for a in sorted(others)]]
    place = {axis: i for i, axis in enumerate(order)}
    return convert(transpose(product, [place[a] for a in range(aval.ndim)]), aval.dtype)


def _bind(x: Any, y: Any, dimension_numbers: Dims, precision: Any, preferred_element_type: Any) -> Any:
    return dot_general_p.bind(
        x,
        y,
        dimension_numbers=_Dims(dimension_numbers),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _shifted(axes: Shape, dim: int | None) -> Shape:
    return axes if dim is None else tuple([a + (a >= dim) for a in axes])


def _dot_batch(
    axis: Any,
    args: Sequence[Any],
    dims: Sequence[Any],
    *,
    dimension_numbers: Dims,
    precision: Any,
    preferred_element_type: Any,
) -> Any:
    (x, y), (dx, dy) = args, dims
    (cx, cy), (bx, by) = dimension_numbers
    cx, bx, cy, by = _shifted(cx, dx), _shifted(bx, dx), _shifted(cy, dy), _shifted(by, dy)
    if dx is not None and dy is not None:
        bx, by, dim = (dx, *bx), (dy, *by), 0
    elif dx is not None:
        dim = len(bx) + free_axes(len(shape_of(x)), cx, bx).index(dx)
    else:
        free_x = len(shape_of(x)) - len(cx) - len(bx)
        dim = len(by) + free_x + free_axes(len(shape_of(y)), cy, by).index(dy)
    return _bind(x, y, ((cx, cy), (bx, by)), precision, preferred_element_type), dim


def _dot_emit(ctx: Any, outs: Any, x: Any, y: Any, *, dimension_numbers: Dims, **params: Any) -> Any:
    if not all(map(ctx.is_native, (x.aval.dtype, y.aval.dtype, outs[0].dtype))):
        return None
    contracting, batch = dimension_numbers
    ctx.dot(outs[0], x, y, contracting, batch)
    return outs


dot_general_p = Primitive(
    "dot_general",
    "contraction",
    abstract_eval=_dot_aval,
    impl=_dot_impl,
    jvp=_dot_jvp,
    transpose=_dot_transpose,
    batch=_dot_batch,
    emit=_dot_emit,
    access="view",
    hidden_params=("precision",),
)


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """The sum of products over pairs of axes.

    Args:
      dimension_numbers: `((lhs contracting, rhs contracting), (lhs batch, rhs batch))`, sequences of axes.
      precision: accepted for compatibility; products are as exact as the dtype allows.
      preferred_element_type: the dtype to form the sums in, and of the result.
    Returns:
      An array whose axes are the batch axes, the other axes of lhs, the other axes of rhs.
    Raises:
      TypeError: paired axes differ in size or number, or an axis is out of bounds.
    """
    if precision is not None:
        check_precision(precision)
    lhs, rhs = _common_dtype(lhs, rhs)
    (cx, cy), (bx, by) = dimension_numbers
    dims = (_axes(cx), _axes(cy)), (_axes(bx), _axes(by))
    element = None if preferred_element_type is None else dtypes.canonicalize_dtype(preferred_element_type)
    if element is not None and element.kind in "iub" and dtypes.kind_of(dtypes.dtype(lhs)) in "fc":
        return convert(_bind(lhs, rhs, dims, precision, dtypes.dtype(lhs)), element)
    if element is None and not (dtypes.is_weakly_typed(lhs) and dtypes.is_weakly_typed(rhs)):
        element = dtypes.dtype(lhs)
    return _bind(lhs, rhs, dims, precision, element)


def _common_dtype(lhs: Any, rhs: Any) -> list[Any]:
    """The operands, of which one may be of a wider dtype, in a common one."""
    x, y = as_operand("dot_general", lhs), as_operand("dot_general", rhs, 1)
    if isinstance(x, ArrayBase) and isinstance(y, ArrayBase) and x.dtype != y.dtype:
        dtype = dtypes.promote_types(x.dtype, y.dtype)
        return [convert(x, dtype), convert(y, dtype)]
    return same_dtype("dot_general", x, y)


def _axes(axes: Any) -> Shape:
    return tuple([int(a) for a in axes])


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product of vectors and matrices; with `dimension_numbers`, `dot_general`.

    Raises:
      ValueError: an operand has no axis or more than two, or sizes do not agree.
    """
    if dimension_numbers is None:
        x, y = shape_of(lhs), shape_of(rhs)
        if not (1 <= len(x) <= 2 and 1 <= len(y) <= 2 and x[-1] == y[0]):
            raise ValueError(
                "dot takes vectors and matrices, and sums over the last axis of lhs and the first of rhs, which are to"
                f" be of one size; got shapes {x} and {y}. State dimension_numbers for anything else."
            )
        dimension_numbers = (((len(x) - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Any:
    """Products of matrices, of shapes (..., m, k) and (..., k, n), one for each index of the leading axes.

    Raises:
      ValueError: an operand has fewer than two axes.
      TypeError: sizes do not agree.
    """
    ndim = len(shape_of(lhs))
    if ndim < 2 or len(shape_of(rhs)) < 2:
        raise ValueError(f"Arguments to batch_matmul must be at least 2D, got {ndim}, {len(shape_of(rhs))}")
    if ndim != len(shape_of(rhs)):
        raise ValueError(f"Arguments to batch_matmul must have same ndim, got {ndim}, {len(shape_of(rhs))}")
    batch = tuple(range(ndim - 2))
    return dot_general(lhs, rhs, (((ndim - 1,), (ndim - 2,)), (batch, batch)), precision)
