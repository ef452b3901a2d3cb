"""Fits and roots of polynomials against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert.errors import ConcretizationTypeError
from wengert.test_util import check_grads

RNG = np.random.default_rng(8)
X = np.linspace(-1, 2, 9)
Y = np.sin(3 * X) + 0.1 * RNG.normal(size=9)
MANY = np.stack([Y, X**3], 1)
W = np.arange(1.0, 10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"full": True},
        {"cov": True},
        {"cov": "unscaled"},
        {"w": W},
        {"w": W, "cov": True},
        {"w": W, "full": True},
        {"rcond": 0.3, "full": True},
    ],
    ids=str,
)
def test_polyfit(options: dict[str, Any]) -> None:
    for y in (Y, MANY, Y * 1j + X):
        if np.iscomplexobj(y) and "cov" in options:
            continue
        expected = np.polyfit(X, y, 3, **options)
        call = lambda x, y: jnp.polyfit(x, y, 3, **options)  # noqa: E731
        for found in (call(X, y), wengert.jit(call)(X, y)) if y is Y else (call(X, y),):
            if not options.keys() & {"full", "cov"}:
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
                continue
            for k, (a, b) in enumerate(zip(found, expected, strict=True)):
                if not (k == 1 and np.size(b) == 0):  # NumPy leaves the residuals out where the rank is low
                    np.testing.assert_allclose(np.squeeze(a), np.squeeze(b), rtol=1e-9, atol=1e-9)


def test_polyfit_in_single_precision_and_of_integers() -> None:
    found = jnp.polyfit(X.astype(np.float32), Y.astype(np.float32), 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.polyfit(X, Y, 2), rtol=1e-5)
    np.testing.assert_allclose(jnp.polyfit(np.arange(5), 3 * np.arange(5) + 1, 1), [3, 1], rtol=1e-5)


@pytest.mark.usefixtures("x64")
def test_polyfit_is_differentiable_and_vectorised() -> None:
    check_grads(lambda x, y, w: jnp.polyfit(x, y, 2, w=w), (X, Y, W), 2, atol=1e-3, rtol=1e-3)
    found = wengert.vmap(lambda y: jnp.polyfit(X, y, 2), in_axes=1, out_axes=1)(MANY)
    np.testing.assert_allclose(found, np.polyfit(X, MANY, 2), atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "p",
    [
        [1.0, -3.0, 2.0],
        [0.0, 0.0, 1.0, -3.0, 2.0, 0.0, 0.0],
        [1.0, 0.0, 1.0],
        [2.0, 1.0, -5.0, 4.0, 1.0],
        [5.0],
        [0.0, 0.0],
        [1.0, 0.0, 0.0],
        [1.0, 2j, 3.0],
        [3, 2, 1],
        [],
    ],
    ids=str,
)
def test_roots(p: Any) -> None:
    found = jnp.roots(np.array(p))
    assert found.dtype == np.complex128
    np.testing.assert_allclose(np.sort(found), np.sort(np.roots(p).astype(complex)), atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_roots_compiled_and_differentiated() -> None:
    p = np.array([1.0, -6.0, 11.0, -6.0])
    call = lambda p: jnp.sort(jnp.roots(p, strip_zeros=False).real)  # noqa: E731
    np.testing.assert_allclose(wengert.jit(call)(p), [1, 2, 3], atol=1e-9)
    # a change of a coefficient moves a root r by -r**k / p'(r)
    slopes = wengert.jacobian(call)(p)
    expected = [[-(r**k) / np.polyval(np.polyder(p), r) for k in (3, 2, 1, 0)] for r in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(slopes, expected, atol=1e-7)
    assert np.isnan(jnp.roots(np.array([0.0, 1.0, 2.0]), strip_zeros=False)).all()
    check_grads(lambda p: call(p), (p,), 1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: jnp.polyfit(X, Y, -1), ValueError, "expected deg >= 0, got -1"),
        (lambda: jnp.polyfit(X, Y[:3], 2), TypeError, "to have same length, got 9 and 3"),
        (lambda: jnp.polyfit(MANY, Y, 2), TypeError, "expected 1D vector for x"),
        (lambda: jnp.polyfit(X[:0], Y[:0], 2), TypeError, "expected non-empty vector"),
        (lambda: jnp.polyfit(X, np.ones((9, 2, 2)), 2), TypeError, "expected 1D or 2D array"),
        (lambda: jnp.polyfit(X, Y, 2, w=np.ones(3)), TypeError, "expected w and y"),
        (lambda: jnp.polyfit(X, Y, 2, w=np.ones((9, 1))), TypeError, "1-d array for weights"),
        (lambda: jnp.polyfit(X, Y, 8, cov=True), ValueError, "must exceed order"),
        (lambda: jnp.roots(np.ones((2, 2))), ValueError, "must be a rank-1 array"),
        (lambda: wengert.jit(jnp.roots)(X), ConcretizationTypeError, "Pass strip_zeros=False"),
    ],
)
def test_errors(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
