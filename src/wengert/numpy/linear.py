"""Products of vectors, matrices and tensors. All of them become `lax.dot_general`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core.source import user_context
from wengert.numpy import ufuncs
from wengert.numpy._util import (
    ArrayLike,
    DTypeLike,
    as_array,
    axis_index,
    broadcast_shapes,
    broadcast_to_shape,
    convert,
    operands,
    promote_dtypes,
    refuse_out,
    result_type_and_weakness,
    user_dtype,
)
from wengert.numpy.manipulation import moveaxis, ravel, reshape, transpose

_multiply = ufuncs.binary_functions["multiply"]


def product_dtype(
    name: str, preferred: DTypeLike | None, *args: Any
) -> tuple[list[Any], np.dtype[Any], bool]:
    """Operands in their common dtype, the dtype of the product, and whether that is weak."""
    arrays = [as_array(a) for a in operands(name, *args)]
    dtype, weak = result_type_and_weakness(*arrays)
    arrays = [convert(a, dtype) for a in arrays]
    return arrays, dtype if preferred is None else user_dtype(preferred, name), weak and preferred is None


def dot(
    a: ArrayLike,
    b: ArrayLike,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Any:
    """The product over the last axis of `a` and the last but one of `b` (the only one of a vector).

    Axes before these are outer ones, unlike in `matmul`; a scalar multiplies.

    Raises:
      TypeError: the sizes of these axes differ.
    """
    (x, y), dtype, weak = product_dtype("dot", preferred_element_type, a, b)
    if x.ndim == 0 or y.ndim == 0:
        contracting: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    else:
        contracting = ((x.ndim - 1,), (max(0, y.ndim - 2),))
    result = lax.dot_general(x, y, (contracting, ((), ())), precision=precision, preferred_element_type=dtype)
    return convert(result, dtype, weak)


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Any:
    """The matrix product over the last two axes; the axes before them broadcast. A vector is a row or a column.

    Raises:
      TypeError: the inner sizes differ.
      ValueError: a scalar.
    """
    (x, y), dtype, weak = product_dtype("matmul", preferred_element_type, a, b)
    for position, v in enumerate((x, y)):
        if v.ndim == 0:
            raise user_context(
                ValueError(
                    f"matmul input operand {position} must have ndim at least 1, but it has ndim 0; use * for scalars"
                )
            )
    if x.ndim <= 2 and y.ndim <= 2:
        contracting = ((x.ndim - 1,), (0,))
        result = lax.dot_general(
            x, y, (contracting, ((), ())), precision=precision, preferred_element_type=dtype
        )
        return convert(result, dtype, weak)
    x_matrix, y_matrix = x.ndim > 1, y.ndim > 1
    x_batch, y_batch = x.shape[: max(0, x.ndim - 2)], y.shape[: max(0, y.ndim - 2)]
    x, y, paired, x_only, y_only, rank = _batch_axes(x, y, x_batch, y_batch)
    x_contract = x.ndim - 1
    y_contract = y.ndim - 2 if y_matrix else y.ndim - 1
    result = lax.dot_general(
        x,
        y,
        (((x_contract,), (y_contract,)), (tuple(i for i, _, _ in paired), tuple(j for _, j, _ in paired))),
        precision=precision,
        preferred_element_type=dtype,
    )
    # The axes of the result, by what they are: number of a batch axis, or a row or column.
    labels = [k for _, _, k in paired] + x_only + ([rank] if x_matrix else []) + y_only
    labels += [rank + 1] if y_matrix else []
    order = tuple(sorted(range(len(labels)), key=lambda i: labels[i]))
    return convert(transpose(result, order), dtype, weak)


def _batch_axes(
    x: Any, y: Any, x_batch: tuple[int, ...], y_batch: tuple[int, ...]
) -> tuple[Any, Any, list[tuple[int, int, int]], list[int], list[int], int]:
    """How the leading axes of two stacks of matrices meet.

    An axis of size 1 that meets a larger one is dropped: the other operand's axis is then an outer one, and
    nothing is repeated. Returns the operands, (axis of x, axis of y, batch axis) for the axes that are
    paired, and the batch axes that only x or only y has.
    """
    try:
        batch = np.broadcast_shapes(x_batch, y_batch)
    except ValueError:
        raise user_context(
            ValueError(f"matmul: the leading axes {x_batch} and {y_batch} don't broadcast")
        ) from None
    rank = len(batch)
    x_offset, y_offset = rank - len(x_batch), rank - len(y_batch)
    x_drop, y_drop, x_only, y_only, both = [], [], [], [], []
    for k in range(rank):
        i, j = k - x_offset, k - y_offset
        if i >= 0 and j >= 0:
            if x_batch[i] == y_batch[j]:
                both.append((i, j, k))
            elif x_batch[i] == 1:
                x_drop.append(i)
                y_only.append(k)
            else:
                y_drop.append(j)
                x_only.append(k)
        elif i >= 0:
            x_only.append(k)
        else:
            y_only.append(k)
    x = lax.squeeze(x, tuple(x_drop)) if x_drop else x
    y = lax.squeeze(y, tuple(y_drop)) if y_drop else y
    paired = [(i - sum(d < i for d in x_drop), j - sum(d < j for d in y_drop), k) for i, j, k in both]
    return x, y, paired, x_only, y_only, rank


def inner(
    a: ArrayLike, b: ArrayLike, *, precision: Any = None, preferred_element_type: DTypeLike | None = None
) -> Any:
    """The sum of products over the last axes of both."""
    (x, y), dtype, weak = product_dtype("inner", preferred_element_type, a, b)
    last = ((), ()) if x.ndim == 0 or y.ndim == 0 else ((x.ndim - 1,), (y.ndim - 1,))
    result = lax.dot_general(x, y, (last, ((), ())), precision=precision, preferred_element_type=dtype)
    return convert(result, dtype, weak)


def outer(a: ArrayLike, b: ArrayLike, out: None = None) -> Any:
    """The product of each element of `a` with each element of `b`, both flattened: shape (a.size, b.size)."""
    refuse_out("outer", out)
    x, y = promote_dtypes(*[as_array(v) for v in operands("outer", a, b)])
    return _multiply(lax.expand_dims(ravel(x), (1,)), lax.expand_dims(ravel(y), (0,)))


def vdot(
    a: ArrayLike, b: ArrayLike, *, precision: Any = None, preferred_element_type: DTypeLike | None = None
) -> Any:
    """The sum of products of all elements, those of `a` conjugated."""
    a, b = operands("vdot", a, b)
    x = ufuncs.conj(a)
    return dot(ravel(x), ravel(b), precision=precision, preferred_element_type=preferred_element_type)


def vecdot(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Any:
    """The sum of products over `axis`, the elements of `x1` conjugated; the other axes broadcast."""
    (x, y), dtype, weak = product_dtype("vecdot", preferred_element_type, x1, x2)
    if x.ndim == 0 or y.ndim == 0:
        raise user_context(
            ValueError(f"vecdot needs arrays of at least one axis, got shapes {x.shape} and {y.shape}")
        )
    x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
    if x.shape[-1] != y.shape[-1]:
        raise user_context(
            ValueError(f"vecdot requires input arrays with matching axis sizes; got {x.shape} and {y.shape}")
        )
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = broadcast_to_shape(ufuncs.conj(x), shape), broadcast_to_shape(y, shape)
    batch = tuple(range(x.ndim - 1))
    numbers = (((x.ndim - 1,), (x.ndim - 1,)), (batch, batch))
    return convert(
        lax.dot_general(x, y, numbers, precision=precision, preferred_element_type=dtype), dtype, weak
    )


def matvec(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """Matrices times vectors; the axes before them broadcast."""
    x, y = (as_array(v) for v in operands("matvec", x1, x2))
    if x.ndim < 2 or y.ndim < 1:
        raise user_context(
            ValueError(f"matvec takes matrices and vectors, got shapes {x.shape} and {y.shape}")
        )
    product = _stacked_matmul("matvec", x, lax.expand_dims(y, (y.ndim,)))
    return lax.squeeze(product, (product.ndim - 1,))


def vecmat(x1: ArrayLike, x2: ArrayLike, /) -> Any:
    """Vectors, conjugated, times matrices; the axes before them broadcast."""
    x, y = (as_array(v) for v in operands("vecmat", x1, x2))
    if x.ndim < 1 or y.ndim < 2:
        raise user_context(
            ValueError(f"vecmat takes vectors and matrices, got shapes {x.shape} and {y.shape}")
        )
    row = lax.expand_dims(ufuncs.conj(x), (x.ndim - 1,))
    product = _stacked_matmul("vecmat", row, y)
    return lax.squeeze(product, (product.ndim - 2,))


def _stacked_matmul(name: str, x: Any, y: Any) -> Any:
    try:
        np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise user_context(
            ValueError(f"{name}: the leading axes of {x.shape} and {y.shape} don't broadcast")
        ) from None
    if x.shape[-1] != y.shape[-2]:
        raise user_context(ValueError(f"{name}: the inner sizes differ, {x.shape[-1]} and {y.shape[-2]}"))
    return matmul(x, y)


def tensordot(
    a: ArrayLike,
    b: ArrayLike,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> Any:
    """The sum of products over several axes: the last n of `a` and the first n of `b`, or lists of axes of both.

    Raises:
      TypeError: `axes` is of neither form, or is out of bounds.
    """
    (x, y), dtype, weak = product_dtype("tensordot", preferred_element_type, a, b)
    if np.ndim(axes) == 0:
        n = operator.index(axes)
        if n > min(x.ndim, y.ndim):
            raise user_context(
                TypeError(
                    f"Number of tensordot axes (axes {n}) exceeds input ranks ({x.shape} and {y.shape})"
                )
            )
        x_axes, y_axes = tuple(range(x.ndim - n, x.ndim)), tuple(range(n))
    elif isinstance(axes, Sequence) and len(axes) == 2:
        pair = [tuple(v) if isinstance(v, tuple | list) else (v,) for v in axes]
        if len(pair[0]) != len(pair[1]):
            raise user_context(
                TypeError(f"tensordot requires axes lists to have equal length, got {axes[0]} and {axes[1]}.")
            )
        x_axes = tuple(axis_index(i, x.ndim) for i in pair[0])
        y_axes = tuple(axis_index(i, y.ndim) for i in pair[1])
    else:
        raise user_context(
            TypeError(
                f"tensordot axes argument must be an int, a pair of ints, or a pair of lists of ints, got {axes}"
            )
        )
    numbers = ((x_axes, y_axes), ((), ()))
    return convert(
        lax.dot_general(x, y, numbers, precision=precision, preferred_element_type=dtype), dtype, weak
    )


def kron(a: ArrayLike, b: ArrayLike) -> Any:
    """The Kronecker product: `a` with each element replaced by its product with all of `b`."""
    x, y = promote_dtypes(*[as_array(v) for v in operands("kron", a, b)])
    rank = max(x.ndim, y.ndim)
    x_shape, y_shape = (1,) * (rank - x.ndim) + x.shape, (1,) * (rank - y.ndim) + y.shape
    x = lax.expand_dims(reshape(x, x_shape), tuple(range(1, 2 * rank, 2)))
    y = lax.expand_dims(reshape(y, y_shape), tuple(range(0, 2 * rank, 2)))
    return reshape(_multiply(x, y), tuple(m * n for m, n in zip(x_shape, y_shape, strict=True)))


def cross(
    a: ArrayLike, b: ArrayLike, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The cross product of vectors of 2 or 3 components, which lie along the given axes (`axis` sets all three).

    Of two vectors in the plane it is the third component alone.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = promote_dtypes(*[as_array(v) for v in operands("cross", a, b)])
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    if x.shape[-1] not in (2, 3) or y.shape[-1] not in (2, 3):
        raise user_context(ValueError("Dimension must be either 2 or 3 for cross product"))
    plane = x.shape[-1] == y.shape[-1] == 2
    batch = broadcast_shapes("cross", (x.shape[:-1], y.shape[:-1]))
    xs, ys = ([_component(v, i, batch) for i in range(3)] for v in (x, y))

    def minor(i: int, j: int) -> Any:
        return lax.sub(lax.mul(xs[i], ys[j]), lax.mul(xs[j], ys[i]))

    if plane:
        return minor(0, 1)
    parts = [lax.expand_dims(minor(i, j), (len(batch),)) for i, j in ((1, 2), (2, 0), (0, 1))]
    return moveaxis(lax.concatenate(parts, len(batch)), -1, axisc)


def _component(v: Any, i: int, batch: tuple[int, ...]) -> Any:
    if i >= v.shape[-1]:
        return lax.full(batch, 0, v.dtype)
    part = lax.squeeze(lax.slice_in_dim(v, i, i + 1, axis=v.ndim - 1), (v.ndim - 1,))
    return broadcast_to_shape(part, batch)
