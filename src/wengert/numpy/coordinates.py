"""Functions about shapes and indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert.core import dtypes
from wengert.core.source import user_context
from wengert.numpy import ufuncs
from wengert.numpy._util import ArrayLike, as_array, axis_tuple, convert, promote_dtypes, scalar, shape_tuple
from wengert.numpy.selection import clip, nonzero, where


def ndim(a: ArrayLike) -> int:
    """The number of axes."""
    return int(a.ndim) if hasattr(a, "ndim") else int(as_array(a, "ndim").ndim)


def shape(a: ArrayLike) -> tuple[int, ...]:
    """The size of each axis."""
    return tuple(a.shape) if hasattr(a, "shape") else tuple(as_array(a, "shape").shape)


def size(a: ArrayLike, axis: int | Sequence[int] | None = None) -> int:
    """The number of elements, or of those along `axis`."""
    sizes = shape(a)
    return int(np.prod([sizes[i] for i in axis_tuple(axis, len(sizes))], dtype=int))


def _static_pair(pairs: tuple[np.ndarray[Any, Any], ...]) -> tuple[Any, ...]:
    return tuple(as_array(p.astype(dtypes.canonicalize_dtype(int))) for p in pairs)


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """The indices of the main diagonal of an array with `ndim` axes of size n."""
    if n < 0 or ndim < 0:
        raise user_context(ValueError(f"n and ndim must be non-negative, got {n} and {ndim}"))
    return (lax.iota(dtypes.canonicalize_dtype(int), n),) * ndim


def diag_indices_from(arr: ArrayLike) -> tuple[Any, ...]:
    """The indices of the main diagonal of `arr`, whose axes all have one size."""
    sizes = shape(arr)
    if len(sizes) < 2:
        raise user_context(ValueError("input array must be at least 2-d"))
    if len(set(sizes)) != 1:
        raise user_context(ValueError("All dimensions of input must be of equal length"))
    return diag_indices(sizes[0], len(sizes))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, ...]:
    """The indices of the lower triangle of an (n, m) matrix, up to the diagonal k."""
    return _static_pair(np.tril_indices(n, k, m))


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, ...]:
    """The indices of the upper triangle of an (n, m) matrix, from the diagonal k on."""
    return _static_pair(np.triu_indices(n, k, m))


def tril_indices_from(arr: ArrayLike, k: int = 0) -> tuple[Any, ...]:
    """The indices of the lower triangle of the matrix `arr`."""
    return tril_indices(*_matrix(arr, k))


def triu_indices_from(arr: ArrayLike, k: int = 0) -> tuple[Any, ...]:
    """The indices of the upper triangle of the matrix `arr`."""
    return triu_indices(*_matrix(arr, k))


def _matrix(arr: Any, k: int) -> tuple[int, int, int]:
    sizes = shape(arr)
    if len(sizes) != 2:
        raise user_context(ValueError("Only 2-D inputs are accepted"))
    return sizes[0], k, sizes[1]


def mask_indices(
    n: int, mask_func: Callable[..., Any], k: int = 0, *, size: int | None = None
) -> tuple[Any, ...]:
    """The indices at which `mask_func(ones((n, n)), k)` is not zero."""
    return nonzero(mask_func(lax.full((n, n), 1, dtypes.canonicalize_dtype(int)), k), size=size)


def unravel_index(indices: ArrayLike, shape: Any) -> tuple[Any, ...]:
    """The coordinates of indices into the flattened array. Indices beyond the bounds give the nearest corner."""
    sizes = shape_tuple(shape)
    index = as_array(indices, "unravel_index")
    if index.dtype.kind not in "iu":
        raise user_context(TypeError(f"unravel_index indices must be integers, got {index.dtype}"))
    total = int(np.prod(sizes, dtype=int))
    zero = scalar(0, index.dtype)
    index = where(lax.lt(index, zero), lax.add(index, scalar(total, index.dtype)), index)
    index = clip(index, 0, max(total - 1, 0))
    coordinates = []
    for d in reversed(sizes):
        n = scalar(max(d, 1), index.dtype)
        coordinates.append(lax.rem(index, n))
        index = lax.div(index, n)
    return tuple(reversed(coordinates))


def ravel_multi_index(
    multi_index: Any, dims: Any, mode: str = "raise", order: str = "C", *, dtype: Any = None
) -> Any:
    """Indices into the flattened array from coordinates.

    mode: what coordinates beyond the bounds do: "raise" (not under jit), "wrap" or "clip".
    """
    sizes = shape_tuple(dims)
    arrays = [as_array(i, "ravel_multi_index") for i in multi_index]
    if len(arrays) != len(sizes):
        raise user_context(ValueError(f"len(multi_index)={len(arrays)} != len(dims)={len(sizes)}"))
    arrays = promote_dtypes(*arrays)
    if arrays[0].dtype.kind not in "iu":
        raise user_context(TypeError("only int indices permitted"))
    if mode == "raise":
        known = [np.asarray(a) for a in arrays]
        if any(((a < 0) | (a >= d)).any() for a, d in zip(known, sizes, strict=True)):
            raise user_context(ValueError("invalid entry in coordinates array"))
    elif mode == "wrap":
        arrays = [ufuncs.remainder(a, d) for a, d in zip(arrays, sizes, strict=True)]
    elif mode == "clip":
        arrays = [clip(a, 0, d - 1) for a, d in zip(arrays, sizes, strict=True)]
    else:
        raise user_context(ValueError(f"invalid mode={mode!r}. Expected 'raise', 'wrap', or 'clip'"))
    if order not in ("C", "F"):
        raise user_context(ValueError(f"invalid order={order!r}. Expected 'C' or 'F'"))
    pairs = list(zip(arrays, sizes, strict=True))
    add, multiply = ufuncs.binary_functions["add"], ufuncs.binary_functions["multiply"]
    total, stride = None, 1
    for a, d in reversed(pairs) if order == "C" else pairs:
        term = multiply(a, stride)
        total = term if total is None else add(total, term)
        stride *= d
    return convert(total, dtypes.canonicalize_dtype(int if dtype is None else dtype))


def trim_zeros(filt: ArrayLike, trim: str = "fb", axis: int | Sequence[int] | None = None) -> Any:
    """The array without its zero borders: at the front ("f") and the back ("b") of each axis.

    The shape of the result depends on the values, so this does not work under jit.
    """
    filt = as_array(filt, "trim_zeros")
    values = np.asarray(filt)
    parts = []
    for i in range(filt.ndim):
        others = tuple(j for j in range(filt.ndim) if j != i)
        used = np.flatnonzero((values != 0).any(axis=others))
        if axis is not None and i not in axis_tuple(axis, filt.ndim):
            parts.append(slice(None))
        elif used.size == 0:
            parts.append(slice(0, 0))
        else:
            parts.append(
                slice(
                    int(used[0]) if "f" in trim.lower() else 0,
                    int(used[-1]) + 1 if "b" in trim.lower() else None,
                )
            )
    return filt[tuple(parts)]


def packbits(a: ArrayLike, axis: int | None = None, bitorder: str = "big") -> Any:
    """Bits (elements that are not zero) along `axis`, of the flattened array if None, packed into bytes."""
    a = as_array(a, "packbits")
    if a.dtype.kind not in "biu":
        raise user_context(TypeError("Expected an input array of integer or boolean data type"))
    order = _bit_order(bitorder)
    if axis is None:
        a, axis = lax.reshape(a, (a.size,)), 0
    (axis,) = axis_tuple(axis, a.ndim)
    bits = convert(ufuncs.as_bool(a), np.dtype(np.uint8))
    width = [(0, -d % 8 if i == axis else 0, 0) for i, d in enumerate(bits.shape)]
    bits = lax.pad(bits, scalar(0, bits.dtype), width)
    sizes = bits.shape
    bits = lax.reshape(bits, (*sizes[:axis], sizes[axis] // 8, 8, *sizes[axis + 1 :]))
    weights = as_array(np.left_shift(np.uint8(1), order.astype(np.uint8)))
    weights = lax.broadcast_in_dim(weights, bits.shape, (axis + 1,))
    return lax.reduce_sum(lax.mul(bits, weights), axes=(axis + 1,))


def _bit_order(bitorder: str) -> np.ndarray[Any, Any]:
    if bitorder not in ("big", "little"):
        raise user_context(ValueError("'order' must be either 'little' or 'big'"))
    return np.arange(7, -1, -1) if bitorder == "big" else np.arange(8)


def unpackbits(a: ArrayLike, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Any:
    """The bits of bytes along `axis`, of the flattened array if None; the first `count`, or without the last -count."""
    a = as_array(a, "unpackbits")
    if a.dtype != np.uint8:
        raise user_context(TypeError("Expected an input array of unsigned byte data type"))
    order = _bit_order(bitorder)
    if axis is None:
        a, axis = lax.reshape(a, (a.size,)), 0
    (axis,) = axis_tuple(axis, a.ndim)
    spread = (*a.shape[: axis + 1], 8, *a.shape[axis + 1 :])
    places = (*range(axis + 1), *range(axis + 2, len(spread)))
    shifts = lax.broadcast_in_dim(as_array(order.astype(np.uint8)), spread, (axis + 1,))
    bits = lax.shift_right_logical(lax.broadcast_in_dim(a, spread, places), shifts)
    bits = lax.bitwise_and(bits, lax.full_like(bits, 1))
    n = a.shape[axis] * 8
    bits = lax.reshape(bits, (*a.shape[:axis], n, *a.shape[axis + 1 :]))
    if count is None:
        return bits
    stop = count if count >= 0 else n + count
    if stop > n:
        bits = lax.pad(
            bits, scalar(0, bits.dtype), [(0, stop - n if i == axis else 0, 0) for i in range(bits.ndim)]
        )
    return lax.slice_in_dim(bits, 0, stop, axis=axis)
