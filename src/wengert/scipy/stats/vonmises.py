"""The von Mises distribution of an angle about 0, with the concentration `kappa`."""

from __future__ import annotations

import math
from typing import Any

from wengert import lax, numpy as jnp
from wengert.numpy._util import ArrayLike, promote_inexact

__all__ = ["logpdf", "pdf"]


def logpdf(x: ArrayLike, kappa: ArrayLike) -> Any:
    """The logarithm of the density."""
    x, kappa = promote_inexact("vonmises.logpdf", x, kappa)
    found = kappa * (jnp.cos(x) - 1) - math.log(2 * math.pi) - jnp.log(lax.bessel_i0e(kappa))
    return jnp.where(kappa >= 0, found, jnp.nan)


def pdf(x: ArrayLike, kappa: ArrayLike) -> Any:
    """The density."""
    return jnp.exp(logpdf(x, kappa))
