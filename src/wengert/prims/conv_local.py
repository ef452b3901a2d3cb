"""Convolutions with a kernel of its own for each place, and the shapes of transposed ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.prims.axes import transpose
from wengert.prims.constructors import Shape, shape_of
from wengert.prims.conv import (
    conv_dimension_numbers,
    conv_general_dilated_patches,
    conv_general_permutations,
    transposed_pads,
)
from wengert.prims.dot import dot_general


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Any,
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
) -> Any:
    """A convolution whose kernel differs from place to place.

    Args:
      lhs: by default of shape (batch, feature, space ...).
      rhs: by default of shape (output feature, input feature times size of the window, output space ...); along the
        second axis the features are the outer ones.
      filter_shape: the spatial sizes of the window.
      window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers: as of `conv_general_dilated`.
      precision: accepted for compatibility.
    Raises:
      TypeError, ValueError: shapes and numbers do not fit.
    """
    numbers = conv_dimension_numbers(shape_of(lhs), shape_of(rhs), dimension_numbers)
    patches = conv_general_dilated_patches(
        lhs, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, numbers, precision=precision
    )
    out, kernel = numbers.out_spec, numbers.rhs_spec
    dims = ((out[1],), (kernel[1],)), (tuple(out[2:]), tuple(kernel[2:]))
    found = dot_general(patches, rhs, dims, precision)  # (space ..., batch, output feature)
    n = len(shape_of(found))
    order = [0] * n
    order[out[0]], order[out[1]] = n - 2, n - 1
    for i, axis in enumerate(out[2:]):
        order[axis] = i
    return transpose(found, order)


def conv_transpose_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    dimension_numbers: Any,
) -> Shape:
    """The shape of the result of `conv_transpose`."""
    lhs_perm, rhs_perm, out_perm = conv_general_permutations(dimension_numbers)
    x, k = [lhs_shape[a] for a in lhs_perm], [rhs_shape[a] for a in rhs_perm]
    if isinstance(padding, str):
        padding = [transposed_pads(size, s, padding) for size, s in zip(k[2:], window_strides)]
    spread = [(d - 1) * s + 1 for d, s in zip(x[2:], window_strides)]
    space = [d + lo + hi - size + 1 for d, (lo, hi), size in zip(spread, padding, k[2:])]
    out = [x[0], k[0], *space]
    return tuple(out[i] for i in np.argsort(out_perm).tolist())
