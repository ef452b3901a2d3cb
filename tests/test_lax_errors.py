"""Calls of lax that can't be served: the type of the error, and that its message names cause and way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert as wg
from wengert import lax

F = np.ones((3, 4), np.float32)
V = np.ones(3, np.float32)
I = np.arange(3, dtype=np.int32)  # noqa: E741
ROWS = lax.GatherDimensionNumbers((1,), (0,), (0,))
TO_ROWS = lax.ScatterDimensionNumbers((1,), (0,), (0,))

ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: lax.add(V, I),
        TypeError,
        r"lax.add requires arguments to have the same dtypes, got float32, int32.*jnp.add",
    ),
    (lambda: lax.add(1, 2.0), TypeError, "same dtypes, got int32, float32"),
    (lambda: lax.add(I, 2.0), TypeError, "same dtypes, got int32, float32"),
    (lambda: lax.max(V, I), TypeError, "jnp.maximum"),
    (
        lambda: lax.add(F, V),
        TypeError,
        r"add got arrays of incompatible shapes: \(3, 4\), \(3,\).*[Bb]roadcast",
    ),
    (
        lambda: lax.add(V, [1.0, 2.0, 3.0]),
        TypeError,
        "argument 1 is .* of type list; convert it with jnp.asarray",
    ),
    (lambda: lax.add("x", V), TypeError, "argument 0 is 'x' of type str"),
    (lambda: lax.add(True, True), TypeError, "add does not accept dtype bool at position 0"),
    (
        lambda: lax.sin(I),
        TypeError,
        "sin does not accept dtype int32. Accepted dtypes are subtypes of floating",
    ),
    (lambda: lax.bitwise_and(V, V), TypeError, "and does not accept dtype float32 at position 0"),
    (lambda: lax.lt(1j, 2j), TypeError, "lt does not accept dtype complex64"),
    (lambda: lax.real(V), TypeError, "real does not accept dtype float32"),
    (lambda: lax.integer_pow(I, -1), TypeError, "Integers cannot be raised to negative powers"),
    (lambda: lax.pow(wg.numpy.asarray(I), V), TypeError, "pow does not accept dtype int32 at position 0"),
    (lambda: lax.select(V, V, V), TypeError, "must be boolean or integer type, got float32"),
    (lambda: lax.select(V > 0, V, I), TypeError, "jnp.where"),
    (lambda: lax.select(F > 0, V, V), TypeError, r"which.*\(3, 4\).*\(3,\)"),
    (lambda: lax.clamp(0.0, V, np.ones(2, np.float32)), TypeError, r"max.shape=\(2,\), operand.shape=\(3,\)"),
    (
        lambda: lax.reshape(V, (2,)),
        TypeError,
        r"reshape total size must be unchanged.*2 elements instead of 3",
    ),
    (lambda: lax.transpose(F, (0,)), TypeError, r"isn't a permutation.*\(0,\).*\(3, 4\)"),
    (
        lambda: lax.broadcast_in_dim(V, (4,), (0,)),
        TypeError,
        r"operand of shape \(3,\), target broadcast shape \(4,\)",
    ),
    (lambda: lax.broadcast_in_dim(V, (3, 4), ()), TypeError, "must have length equal to operand ndim"),
    (lambda: lax.broadcast_in_dim(F, (3, 4), (1, 0)), TypeError, "strictly increasing"),
    (lambda: lax.squeeze(V, (0,)), ValueError, "size not equal to one"),
    (lambda: lax.squeeze(V, (3,)), ValueError, "axis 3 is out of bounds for array of dimension 1"),
    (lambda: lax.expand_dims(V, (3,)), ValueError, "axis 3 is out of bounds"),
    (lambda: lax.rev(V, (1,)), TypeError, "less than operand ndim"),
    (lambda: lax.full((2,), V), TypeError, "scalar fill_value"),
    (lambda: lax.full((-2,), 1.0), TypeError, "non-negative"),
    (lambda: lax.iota(np.bool_, 3), TypeError, "iota does not accept dtype bool"),
    (lambda: lax.slice(V, (0,), (5,)), TypeError, r"limit_indices.*\(5,\).*\(3,\)"),
    (lambda: lax.slice(F, (0,), (2,)), TypeError, "one entry for each axis"),
    (lambda: lax.index_in_dim(V, 3), IndexError, "index 3 is out of bounds for axis 0 with size 3"),
    (lambda: lax.split(V, (1, 1)), ValueError, "sum to the size of axis 0: 3"),
    (lambda: lax.pad(V, I[0], ((1, 1, 0),)), TypeError, "same dtype"),
    (lambda: lax.pad(V, 0.0, ()), TypeError, "length of padding_config"),
    (lambda: lax.pad(V, 0.0, ((-2, -2, 0),)), ValueError, "not at least 0"),
    (lambda: lax.pad(V, 0.0, ((0, 0, -1),)), TypeError, "nonnegative"),
    (lambda: lax.concatenate([], 0), ValueError, "non-empty"),
    (lambda: lax.concatenate([V, F], 0), TypeError, "different numbers of dimensions"),
    (lambda: lax.concatenate([F, F.T], 0), TypeError, r"differ in dimensions other than.*\(3, 4\), \(4, 3\)"),
    (lambda: lax.concatenate([V, I], 0), TypeError, "jnp.concatenate"),
    (lambda: lax.reduce_sum(V, (1,)), ValueError, r"axes \(1,\) contains out-of-bounds indices for f32\[3\]"),
    (lambda: lax.reduce_sum(F, (0, 0)), ValueError, "duplicate"),
    (lambda: lax.reduce_sum(V > 0, (0,)), TypeError, "reduce_sum does not accept dtype bool"),
    (lambda: lax.argmax(np.ones((0,), np.float32), 0, np.int32), ValueError, "empty sequence"),
    (
        lambda: lax.dot_general(V, I.astype(np.float32)[:2], (((0,), (0,)), ((), ()))),
        TypeError,
        r"\(3,\) and \(2,\)",
    ),
    (lambda: lax.dot(F, F), ValueError, r"got shapes \(3, 4\) and \(3, 4\)"),
    (lambda: lax.batch_matmul(V, V), ValueError, "at least 2D"),
    (lambda: lax.dynamic_slice(V, (0, 0), (1,)), ValueError, r"Length of slice indices.*\(2 vs \(3,\)\)"),
    (lambda: lax.dynamic_slice(V, (0,), (4,)), TypeError, r"slice_sizes \(4,\) for operand shape \(3,\)"),
    (lambda: lax.dynamic_slice(V, (np.float32(1),), (2,)), TypeError, "must be integers"),
    (lambda: lax.dynamic_update_slice(V, F, (0,)), TypeError, "same number of axes"),
    (lambda: lax.gather(F, I, ROWS, (1, 4)), TypeError, "last axis of the indices"),
    (lambda: lax.gather(F, V[:, None], ROWS, (1, 4)), TypeError, "indices must be integers, got float32"),
    (lambda: lax.gather(F, I[:, None], ROWS, (1, 5)), TypeError, r"windows of shape \(1, 5\) do not fit"),
    (lambda: lax.gather(F, I[:, None], ROWS, (1, 4), mode="wrap"), ValueError, 'Unknown gather mode "wrap"'),
    (
        lambda: lax.scatter_add(F, I[:, None], F[:2], TO_ROWS),
        TypeError,
        r"updates of shape \(2, 4\) do not fit",
    ),
    (lambda: lax.scatter_add(F, I[:, None], I, TO_ROWS), TypeError, "same dtypes, got float32, int32"),
    (lambda: lax.sort(V, dimension=3), ValueError, "axis 3 is out of bounds"),
    (lambda: lax.sort((V, F[:, 0][:2])), TypeError, "equal shapes"),
    (lambda: lax.top_k(V, 4), ValueError, "no larger than size along axis"),
    (lambda: lax.cumsum(V, 2), ValueError, "axis 2 is out of bounds"),
    (lambda: lax.bitcast_convert_type(V, np.complex64), TypeError, "lax.real and lax.imag"),
    (lambda: lax.reduce_precision(V, 0, 3), ValueError, "exponent_bits >= 1"),
    (lambda: lax.associative_scan(3, V), TypeError, "callable"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_message(number: int) -> None:
    call, error, message = ERRORS[number]
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_message_is_the_same_while_tracing() -> None:
    with pytest.raises(TypeError, match="same dtypes, got float32, int32"):
        wg.jit(lambda x, y: lax.add(x, y))(V, I)
    with pytest.raises(TypeError, match="incompatible shapes"):
        wg.vmap(lambda x, y: lax.add(x, y))(F, np.ones((3, 5), np.float32))
