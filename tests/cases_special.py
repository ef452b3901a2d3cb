"""Rows of the table of primitives: special functions of the gamma family."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special
from cases import FLOATS, Arg, S, row

from wengert import lax


def _slope_in_a(a: Any, x: Any) -> Any:
    """The derivative of gammainc in a, by a difference of the fourth order."""
    h = 1e-3
    at = [scipy.special.gammainc(a + k * h, x) for k in (-2, -1, 1, 2)]
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)


def _sample_slope(a: Any, x: Any) -> Any:
    return -_slope_in_a(a, x) / (x ** (a - 1) * np.exp(-x) / scipy.special.gamma(a))


GAMMA: dict[str, Any] = {"args": [Arg(S, 0.5, 8), Arg(S, 0.5, 8)], "dtypes": FLOATS}
row("igamma", lax.igamma, scipy.special.gammainc, smooth=(1,), ulps=16, **GAMMA)
row("igammac", lax.igammac, scipy.special.gammaincc, smooth=(1,), ulps=16, **GAMMA)
GAMMA["dtypes"] = "float32 float16"  # the reference is good to 1e-10
row("igamma_grad_a", lax.igamma_grad_a, _slope_in_a, smooth=(1,), ulps=4, **GAMMA)
row("random_gamma_grad", lax.random_gamma_grad, _sample_slope, smooth=(1,), ulps=4, **GAMMA)
