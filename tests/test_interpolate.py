"""Interpolation on grids, vector quantization and integrals of samples, against SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.integrate
import scipy.interpolate

import wengert
from wengert.errors import ConcretizationTypeError
from wengert.scipy import cluster, integrate
from wengert.scipy.interpolate import RegularGridInterpolator
from wengert.test_util import check_grads

rng = np.random.default_rng(2)
GRID = (np.array([1.0, 2, 4]), np.array([4.0, 5, 6, 8]))
VALUES = rng.normal(size=(3, 4))
POINTS = np.array([[1.5, 4.5], [2.2, 5.8], [0.0, 5.0], [4.0, 8.0], [3.1, 9.0], [2.0, 5.0], [3.2, 5.6]])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", ["linear", "nearest"])
@pytest.mark.parametrize("fill", [np.nan, None, -1.0])
def test_interpolation_as_scipy_does_it(method: str, fill: Any) -> None:
    for values in (VALUES, rng.normal(size=(3, 4, 2))):
        ours = RegularGridInterpolator(GRID, values, method, fill_value=fill)
        theirs = scipy.interpolate.RegularGridInterpolator(GRID, values, method, False, fill)
        for xi in (POINTS, POINTS.reshape(7, 1, 2), (POINTS[:, 0], 4.5), POINTS[0]):
            np.testing.assert_allclose(ours(xi), theirs(xi), rtol=1e-12)
        other = "linear" if method == "nearest" else "nearest"
        np.testing.assert_allclose(ours(POINTS, method=other), theirs(POINTS, method=other), rtol=1e-12)


def test_interpolation_in_one_dimension_of_integers() -> None:
    ours = RegularGridInterpolator((np.arange(3),), np.arange(3) ** 2)
    found = ours(np.array([0.5, 1.5]))
    np.testing.assert_array_equal(found, [0.5, 2.5])
    assert found.dtype == np.float32


@pytest.mark.usefixtures("x64")
def test_interpolators_are_pytrees_and_differentiable() -> None:
    ours = RegularGridInterpolator(GRID, VALUES)
    inside = POINTS[:2]
    np.testing.assert_allclose(wengert.jit(lambda f, x: f(x))(ours, inside), ours(inside), rtol=1e-14)
    np.testing.assert_allclose(wengert.vmap(lambda x: ours(x)[0])(inside), ours(inside), rtol=1e-14)
    check_grads(ours, (inside,), order=2, modes=["fwd", "rev"])
    check_grads(lambda v: RegularGridInterpolator(GRID, v)(inside), (VALUES,), order=1, modes=["rev"])
    grown = wengert.tree_util.tree_map(lambda x: 2 * x, ours)
    np.testing.assert_allclose(grown(2 * inside), 2 * ours(inside), rtol=1e-12)


def test_interpolation_says_what_is_wrong() -> None:
    strict = RegularGridInterpolator(GRID, VALUES, bounds_error=True)
    np.testing.assert_allclose(strict(POINTS[:2]), RegularGridInterpolator(GRID, VALUES)(POINTS[:2]))
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: RegularGridInterpolator(GRID, VALUES, "cubic"), ValueError, "method 'cubic' is not defined"),
        (lambda: strict(POINTS[:2], method="x"), ValueError, "method 'x' is not defined"),
        (lambda: RegularGridInterpolator(GRID, VALUES[0]), ValueError, "2 point arrays, but values has 1"),
        (lambda: RegularGridInterpolator(GRID, VALUES.T), ValueError, "3 points and 4 values on dimension 0"),
        (lambda: RegularGridInterpolator(GRID, VALUES, fill_value=1j), ValueError, "fill_value"),
        (lambda: strict(np.ones((2, 3))), ValueError, "dimension 3, but this RegularGridInterpolator has"),
        (lambda: strict(POINTS), ValueError, "out of bounds in dimension 0"),
        (lambda: wengert.jit(strict)(POINTS[:2]), ConcretizationTypeError, "fill_value"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.usefixtures("x64")
def test_vector_quantization() -> None:
    observations, codes = rng.normal(size=(20, 3)), rng.normal(size=(4, 3))
    for a, b in ((observations, codes), (observations[:, 0], codes[:, 0])):
        found, expected = cluster.vq.vq(a, b), scipy.cluster.vq.vq(a, b)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)
    check_grads(lambda x: cluster.vq.vq(x, codes)[1], (observations,), order=1, modes=["rev"])
    with pytest.raises(ValueError, match="same rank"):
        cluster.vq.vq(observations, codes[0])
    with pytest.raises(ValueError, match="ndim different than 1 or 2"):
        cluster.vq.vq(observations[None], codes[None])


def test_integrals_of_samples() -> None:
    y, x = rng.normal(size=(3, 5)).astype(np.float32), np.sort(rng.normal(size=5)).astype(np.float32)
    np.testing.assert_allclose(integrate.trapezoid(y, x), scipy.integrate.trapezoid(y, x), rtol=1e-5)
    np.testing.assert_allclose(
        integrate.trapezoid(y, dx=0.5, axis=0), scipy.integrate.trapezoid(y, dx=0.5, axis=0), rtol=1e-5
    )
