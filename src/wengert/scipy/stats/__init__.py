"""Probability distributions, each a module, and statistics of samples, under the names of `jax.scipy.stats`.

The modules are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_DISTRIBUTIONS = frozenset(
    (
        "bernoulli", "beta", "betabinom", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma", "gennorm",
        "geom", "gumbel_l", "gumbel_r", "laplace", "logistic", "multinomial", "multivariate_normal", "nbinom",
        "norm", "pareto", "poisson", "t", "truncnorm", "uniform", "vonmises", "wrapcauchy",
    )
)  # fmt: skip
_FUNCTIONS = {"gaussian_kde": "_kde", "mode": "_samples", "rankdata": "_samples", "sem": "_samples"}


def __getattr__(name: str) -> Any:
    if name in _DISTRIBUTIONS:
        return importlib.import_module(f"wengert.scipy.stats.{name}")
    if name in _FUNCTIONS:
        found = getattr(importlib.import_module(f"wengert.scipy.stats.{_FUNCTIONS[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'wengert.scipy.stats' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_DISTRIBUTIONS, *_FUNCTIONS})
