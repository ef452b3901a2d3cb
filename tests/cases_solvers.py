"""Rows of the table of primitives: systems with a solver of the user's, named functions, the total order."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import Arg, row

from wengert import lax, numpy as jnp


def _dense(matvec: Any, b: Any) -> Any:
    matrix = jnp.stack([matvec(e) for e in np.eye(b.shape[0], dtype=b.dtype)], axis=1)
    return jnp.linalg.solve(matrix, b)


def _system(a: Any) -> Any:
    return lax.add(a, 4 * np.eye(3, dtype=a.dtype))


A, B = Arg((3, 3)), Arg((3,))
row(
    "custom_linear_solve",
    lambda a, b: lax.custom_linear_solve(lambda x: _system(a) @ x, b, _dense, _dense),
    lambda a, b: np.linalg.solve(a + 4 * np.eye(3), b),
    [A, B],
    dtypes="float32 float64",
    smooth=(0, 1),
    linear=(1,),
    ulps=100,
)
row(
    "custom_linear_solve, symmetric",
    lambda a, b: lax.custom_linear_solve(lambda x: (a @ a.T + np.eye(3)) @ x, b, _dense, symmetric=True),
    lambda a, b: np.linalg.solve(a @ a.T + np.eye(3), b),
    [A, B],
    smooth=(0, 1),
    linear=(1,),
    ulps=1000,
)
row(
    "composite",
    lambda x: lax.composite(lambda x, *, scale: jnp.tanh(x) * scale, "test.tanh")(x, scale=3.0),
    lambda x: np.tanh(x) * 3,
    [Arg((3, 4))],
    smooth=(0,),
)
SPECIAL = (-np.inf, -1.5, -0.0, 0.0, 1.5, np.inf, np.nan)


def _ranks(x: Any) -> Any:
    """Where each of `SPECIAL` stands in the order."""
    found = np.sum([x > v for v in SPECIAL[:-1]], axis=0) + ((x == 0) & ~np.signbit(x))
    return np.where(np.isnan(x), len(SPECIAL), found)


for name, compare in (("eq_to", np.equal), ("lt_to", np.less), ("le_to", np.less_equal)):
    row(
        name,
        getattr(lax, f"{name}_p").bind,
        lambda x, y, f=compare: f(_ranks(x), _ranks(y)),
        [Arg((40,), choices=SPECIAL), Arg((40,), choices=SPECIAL)],
        dtypes="float32 float16 float64",
    )
    row(
        f"{name} of integers",
        getattr(lax, f"{name}_p").bind,
        compare,
        [Arg((20,), -3, 3), Arg((20,), -3, 3)],
        dtypes="int32 uint8",
    )
