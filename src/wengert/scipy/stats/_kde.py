"""Densities estimated from samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from wengert import lax, numpy as jnp, random
from wengert._lazy import lazy_module
from wengert.numpy._util import ArrayLike, arrays, promote_dtypes_inexact
from wengert.scipy import special
from wengert.tree_util import register_pytree_node_class

scipy_stats = lazy_module("scipy.stats")


@register_pytree_node_class
class gaussian_kde:
    """The density of which `dataset` is a sample, as a mean of normal densities about its points.

    Args:
      dataset: points, of shape (d, n), or (n,) for d = 1.
      bw_method: how wide these are: "scott" (None too), "silverman", a number, or a function of this object that
        returns one. It multiplies the standard deviations of the sample.
      weights: of the points, of shape (n,); equal ones if missing.
    Raises:
      ValueError: there is one point only, or weights or the method do not fit.
      NotImplementedError: complex points.
    """

    __slots__: ClassVar[tuple[str, ...]] = ("covariance", "dataset", "inv_cov", "neff", "weights")
    neff: Any
    dataset: Any
    weights: Any
    covariance: Any
    inv_cov: Any

    def __init__(
        self, dataset: Any, bw_method: str | Any | Callable[[Any], Any] | None = None, weights: Any = None
    ):
        points = jnp.atleast_2d(*arrays("gaussian_kde", dataset))
        if points.dtype.kind == "c":
            raise NotImplementedError(
                "gaussian_kde does not support complex data. Stack the real and imaginary parts."
            )
        if points.size <= 1:
            raise ValueError("`dataset` input should have multiple elements.")
        n = points.shape[1]
        if weights is None:
            (points,) = promote_dtypes_inexact(points)
            weights = jnp.full(n, 1.0 / n, dtype=points.dtype)
        else:
            points, weights = promote_dtypes_inexact(points, jnp.atleast_1d(*arrays("gaussian_kde", weights)))
            if weights.ndim != 1:
                raise ValueError("`weights` input should be one-dimensional.")
            if weights.shape[0] != n:
                raise ValueError(f"`weights` input should be of length {n}, as there are points")
            weights = weights / jnp.sum(weights)
        self._set(neff=1 / jnp.sum(weights**2), dataset=points, weights=weights)
        factor = self._factor(bw_method)
        spread = jnp.atleast_2d(jnp.cov(points, rowvar=True, bias=False, aweights=weights))
        self._set(covariance=spread * factor**2, inv_cov=jnp.linalg.inv(spread) / factor**2)

    def _factor(self, method: Any) -> Any:
        if method is None or (isinstance(method, str) and method == "scott"):
            return self.neff ** (-1 / (self.d + 4))
        if isinstance(method, str) and method == "silverman":
            return (self.neff * (self.d + 2) / 4) ** (-1 / (self.d + 4))
        if callable(method):
            return method(self)
        if not isinstance(method, str) and np.ndim(method) == 0:
            return method
        raise ValueError("`bw_method` should be 'scott', 'silverman', a scalar, or a callable.")

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"gaussian_kde is immutable: {name} can't be set. Make a new one.")

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        """The arrays, for the transformations: a density may be argument and result of jitted functions."""
        return (self.neff, self.dataset, self.weights, self.covariance, self.inv_cov), None

    @classmethod
    def tree_unflatten(cls, aux_data: None, children: Any) -> gaussian_kde:
        """The density that has these arrays."""
        kde = cls.__new__(cls)
        kde._set(**dict(zip(("neff", "dataset", "weights", "covariance", "inv_cov"), children, strict=True)))
        return kde

    @property
    def d(self) -> int:
        """The dimension of the points."""
        size: int = self.dataset.shape[0]
        return size

    @property
    def n(self) -> int:
        """The number of points."""
        size: int = self.dataset.shape[1]
        return size

    def evaluate(self, points: ArrayLike) -> Any:
        """The density at points of shape (d, m), or (d,) for one, or (m,) for d = 1; of shape (m,)."""
        return jnp.exp(self._exponents(points)) @ self.weights

    def __call__(self, points: ArrayLike) -> Any:
        """As `evaluate`."""
        return self.evaluate(points)

    def pdf(self, x: ArrayLike) -> Any:
        """As `evaluate`."""
        return self.evaluate(x)

    def logpdf(self, x: ArrayLike) -> Any:
        """The logarithm of the density, exact where that is small."""
        return special.logsumexp(self._exponents(x) + jnp.log(self.weights), axis=1)

    def _exponents(self, points: ArrayLike) -> Any:
        """The logarithm of the normal density of each point of the sample (second axis) at each point given."""
        at = jnp.atleast_2d(*arrays("gaussian_kde", points))
        if at.dtype.kind == "c":
            raise NotImplementedError("gaussian_kde does not support complex coordinates")
        if at.shape[0] != self.d:
            if at.shape != (1, self.d):
                raise ValueError(f"points have dimension {at.shape[0]}, dataset has dimension {self.d}")
            at = at.reshape(self.d, 1)
        at, dataset, precision = promote_dtypes_inexact(at, self.dataset, self.inv_cov)
        whitening = lax.linalg.cholesky(precision)
        gap = jnp.einsum("ij,imn->jmn", whitening, at[:, :, None] - dataset[:, None, :])
        factor = jnp.sum(jnp.log(jnp.diagonal(whitening))) - 0.5 * self.d * math.log(2 * math.pi)
        return factor - 0.5 * jnp.sum(gap * gap, axis=0)

    def _convolved(self, covariance: Any, centres: Any) -> Any:
        """The integrals of the density times normal ones of this covariance: for centres of shape (d, m), (m,)."""
        factor = lax.linalg.cholesky(self.covariance + covariance)
        gap = (self.dataset[:, None, :] - centres[:, :, None]).reshape(self.d, -1)
        z = lax.linalg.triangular_solve(factor, gap, left_side=True, lower=True)
        scale = (2 * math.pi) ** (-self.d / 2) / jnp.prod(jnp.diagonal(factor))
        return scale * jnp.exp(-0.5 * jnp.sum(z * z, axis=0)).reshape(-1, self.n) @ self.weights

    def integrate_gaussian(self, mean: ArrayLike, cov: ArrayLike) -> Any:
        """The integral of the density times the normal density of this mean and covariance."""
        centre, spread = jnp.atleast_1d(jnp.squeeze(jnp.asarray(mean))), jnp.atleast_2d(jnp.asarray(cov))
        if centre.shape != (self.d,):
            raise ValueError(f"mean does not have dimension {self.d}")
        if spread.shape != (self.d, self.d):
            raise ValueError(f"covariance does not have dimension {self.d}")
        return self._convolved(spread, centre[:, None])[0]

    def integrate_box_1d(self, low: ArrayLike, high: ArrayLike) -> Any:
        """The probability of the interval from `low` to `high`, for d = 1."""
        if self.d != 1:
            raise ValueError("integrate_box_1d() only handles 1D pdfs; use integrate_box")
        if np.ndim(low) != 0 or np.ndim(high) != 0:
            raise ValueError("the limits of integration in integrate_box_1d must be scalars")
        deviation = jnp.sqrt(self.covariance[0, 0])
        below, above = (special.ndtr((end - self.dataset[0]) / deviation) for end in (low, high))
        return jnp.sum(self.weights * (above - below))

    def integrate_kde(self, other: Any) -> Any:
        """The integral of the product of two densities."""
        if other.d != self.d:
            raise ValueError("KDEs are not the same dimensionality")
        return self._convolved(other.covariance, other.dataset) @ other.weights

    def integrate_box(self, low_bounds: ArrayLike, high_bounds: ArrayLike, maxpts: int | None = None) -> Any:
        """The probability of a box, of which the bounds, of shape (d,), are known: not under jit.

        For d > 1 by quasi-random integration in SciPy, of at most `maxpts` points.
        """
        low, high = (np.atleast_1d(np.asarray(bound, float)) for bound in (low_bounds, high_bounds))
        if self.d == 1:
            return self.integrate_box_1d(low.item(), high.item())
        normal = scipy_stats.multivariate_normal(cov=np.asarray(self.covariance, float), maxpts=maxpts)
        points = np.asarray(self.dataset, float).T
        shares = [normal.cdf(high - x, lower_limit=low - x) for x in points]
        return jnp.asarray(np.dot(shares, np.asarray(self.weights, float)), self.dataset.dtype)

    def set_bandwidth(self, bw_method: Any = None) -> None:
        """Not supported: densities are immutable. Make a new one with the other `bw_method`."""
        raise NotImplementedError(
            "dynamically changing the bandwidth method is not supported: make a new gaussian_kde(dataset, bw_method)"
        )

    def resample(self, key: Any, shape: Any = ()) -> Any:
        """Random points from the density, of shape (d, *shape)."""
        which, noise = random.split(key)
        chosen = random.choice(which, self.n, shape=shape, p=self.weights)
        zero = jnp.zeros(self.d, self.covariance.dtype)
        moved = random.multivariate_normal(
            noise, zero, self.covariance, shape=shape, dtype=self.dataset.dtype
        )
        return self.dataset[:, chosen] + jnp.moveaxis(moved, -1, 0)
