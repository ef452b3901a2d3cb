"""Rows of short calls, start-up, and chains of elementwise operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.limits import as_numpy, program, work
from benchmarks.rows import Row, enter, normal, row

MILLION = 1_000_000


@row(
    "jitted x + 1 on 10 numbers", normal((10,)), 0.25, waits=False,
    limit=as_numpy(lambda x: x + np.float32(1), (10,)),
)  # fmt: skip
@row(
    "eager x + 1 on 10 numbers", normal((10,)), 0.25, "eager", waits=False,
    limit=as_numpy(lambda x: x + np.float32(1), (10,)),
)  # fmt: skip
def add_one(jax: Any, x: Any) -> Any:
    return x + 1


@row(
    "eager x + y on 10 numbers", normal((10,), (10,)), 0.3, "eager", waits=False,
    limit=as_numpy(lambda x: x + x, (10,)),
)  # fmt: skip
def add_arrays(jax: Any, x: Any, y: Any) -> Any:
    return x + y


FIRST_OPERATION = "import {jax}.numpy as jnp\nprint(jnp.arange(10.0) + 1)"
FIRST_JIT = "import {jax}\nimport {jax}.numpy as jnp\nprint({jax}.jit(lambda x: x + 1)(jnp.arange(10.0)))"
NUMPY = program("import numpy as np\nprint(np.arange(10.0) + 1)")

enter(Row("import and first operation", "start", FIRST_OPERATION, normal(), 0.25, NUMPY))
enter(Row("import and first jitted call", "start", FIRST_JIT, normal(), 0.5, NUMPY))


@row("x + x*x + x*x*x on 1e6", normal((MILLION,)), 0.7, limit=work(8 * MILLION, 4 * MILLION))
def polynomial(jax: Any, x: Any) -> Any:
    return x + x * x + x * x * x


# An exponential is at least a polynomial of degree 5 and what brings its argument into range.
@row("selu on 1e6", normal((MILLION,)), 0.5, limit=work(8 * MILLION, 20 * MILLION))
def selu(jax: Any, x: Any, alpha: float = 1.67, scale: float = 1.05) -> Any:
    return scale * jax.numpy.where(x > 0, x, alpha * jax.numpy.exp(x) - alpha)
