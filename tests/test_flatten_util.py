"""A pytree as one vector, and back."""

from __future__ import annotations

import numpy as np
import pytest

import wengert.numpy as jnp
from wengert import tree
from wengert.flatten_util import ravel_pytree


def test_there_and_back() -> None:
    example = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": (np.float16(1.5), 7)}
    flat, unravel = ravel_pytree(example)
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(flat), [1.5, 7, 0, 1, 2, 3, 4, 5])
    back = unravel(flat)
    assert tree.structure(back) == tree.structure(example)
    assert [leaf.dtype for leaf in tree.leaves(back)] == [np.float16, np.int32, np.float32]
    np.testing.assert_array_equal(np.asarray(back["w"]), example["w"])
    assert hash(unravel) == hash(ravel_pytree(example)[1])
    assert unravel == ravel_pytree(example)[1]
    assert unravel != ravel_pytree([1.0])[1]


def test_real_parts_come_back_real() -> None:
    flat, unravel = ravel_pytree((jnp.ones(2), jnp.ones(1) * 1j))
    assert flat.dtype == np.complex64
    real, imaginary = unravel(flat * 2)
    assert (real.dtype, imaginary.dtype) == (np.float32, np.complex64)
    np.testing.assert_array_equal(np.asarray(real), [2, 2])


def test_nothing() -> None:
    flat, unravel = ravel_pytree([])
    assert (flat.shape, flat.dtype) == ((0,), np.float32)
    assert unravel(flat) == []


def test_what_unravel_refuses() -> None:
    flat, unravel = ravel_pytree([jnp.ones(3), jnp.ones(())])
    with pytest.raises(ValueError, match=r"vector of shape \(4,\); got shape \(2,\)"):
        unravel(flat[:2])
    with pytest.raises(TypeError, match=r"dtype float32.*got int32.*astype"):
        unravel(flat.astype(np.int32))
