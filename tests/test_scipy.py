"""`wengert.scipy` against SciPy, with derivatives against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

import wengert
import wengert.numpy as wnp
from wengert.scipy import special
from wengert.scipy.stats import norm

REAL = np.array([-30.0, -12.0, -9.5, -5.0, -1.0, -0.3, 0.0, 0.3, 1.0, 5.0, 9.5, 12.0])
POSITIVE = np.array([1e-3, 0.2, 0.5, 1.0, 1.7, 4.0, 20.0])
UNIT = np.array([1e-3, 0.1, 0.5, 0.73, 0.999])

ONE = {
    "digamma": POSITIVE,
    "entr": POSITIVE,
    "erf": REAL,
    "erfc": REAL[3:],
    "erfinv": 2 * UNIT - 1,
    "expit": REAL,
    "gammaln": POSITIVE,
    "log_ndtr": REAL,
    "logit": UNIT,
    "ndtr": REAL[3:],
}
TWO = ["kl_div", "rel_entr", "xlog1py", "xlogy"]


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_argument(name: str) -> None:
    x = ONE[name].astype(np.float32)
    function = getattr(special, name)
    expected = getattr(scipy.special, name)(x.astype(float))
    for f in function, wengert.jit(function):
        got = f(x)
        assert got.dtype == wnp.float32
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_arguments(name: str) -> None:
    x, y = np.meshgrid(np.float32([0.0, 0.2, 1.0, 3.0]), np.float32([0.0, 0.5, 1.0, 2.0]))
    function = getattr(special, name)
    expected = getattr(scipy.special, name)(x, y)
    for f in function, wengert.jit(function):
        np.testing.assert_allclose(f(x, y), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["pdf", "logpdf", "cdf", "logcdf", "sf", "logsf"])
def test_the_normal_distribution(name: str) -> None:
    x = REAL.astype(np.float32)
    function, witness = getattr(norm, name), getattr(scipy.stats.norm, name)
    np.testing.assert_allclose(function(x), witness(REAL), rtol=2e-5, atol=1e-30)
    np.testing.assert_allclose(
        wengert.jit(function)(x, 0.5, 2.0), witness(REAL, 0.5, 2.0), rtol=2e-5, atol=1e-30
    )


@pytest.mark.parametrize("name", ["entr", "expit", "log_ndtr", "logit", "ndtr"])
@pytest.mark.usefixtures("x64")
def test_derivatives(name: str) -> None:
    x = ONE[name][1:-1].astype(np.float64)
    h = 1e-6
    function, witness = getattr(special, name), getattr(scipy.special, name)
    slopes = wengert.vmap(wengert.grad(function))(x)
    np.testing.assert_allclose(slopes, (witness(x + h) - witness(x - h)) / (2 * h), rtol=1e-5, atol=1e-8)


def test_derivatives_where_an_argument_is_zero() -> None:
    """The branch that is not taken contributes 0, not NaN."""
    slopes: Any = wengert.grad(special.xlogy, argnums=(0, 1))(0.0, 0.0)
    assert [float(s) for s in slopes] == [0.0, 0.0]
    assert np.isfinite(float(wengert.grad(special.log_ndtr)(-40.0)))


def test_integers_become_floats() -> None:
    assert float(special.xlogy(2, 1)) == 0.0
    assert special.gammaln(5).dtype == wnp.float32
    assert float(special.gammaln(5)) == pytest.approx(np.log(24.0), rel=1e-6)
