"""Random numbers from explicit keys: `wengert.random`, as `jax.random`.

A key is made of a seed (`key`, or `PRNGKey` for one of the older form, a uint32 array of shape (2,)), split
into new keys, and used once. Equal keys give equal numbers: those of JAX, up to the rounding of elementary
functions. With `jax_debug_key_reuse` set, using a key twice is an error.

Generators: "threefry2x32" is the default one. "rbg" and "unsafe_rbg" make bits by Philox, with keys of 128 bits;
they exist for programs that ask for them, and are not faster here.
"""

from __future__ import annotations

from wengert.prims.rejection import random_gamma_p
from wengert.random._basic import (
    bernoulli,
    bits,
    lognormal,
    normal,
    rademacher,
    randint,
    truncated_normal,
    uniform,
)
from wengert.random._choosing import categorical, choice, permutation
from wengert.random._counts import binomial, multinomial, poisson
from wengert.random._gamma import ball, beta, chisquare, dirichlet, f, gamma, generalized_normal, loggamma, t
from wengert.random._inversion import (
    cauchy,
    double_sided_maxwell,
    exponential,
    geometric,
    gumbel,
    laplace,
    logistic,
    maxwell,
    pareto,
    rayleigh,
    triangular,
    wald,
    weibull_min,
)
from wengert.random._keys import (
    PRNGKey,
    clone,
    fold_in,
    key,
    key_data,
    key_dtype,
    key_impl,
    split,
    wrap_key_data,
)
from wengert.random._matrices import multivariate_normal, orthogonal

__all__ = [
    "PRNGKey",
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "clone",
    "dirichlet",
    "double_sided_maxwell",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "key_data",
    "key_dtype",
    "key_impl",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "random_gamma_p",
    "rayleigh",
    "split",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
    "wrap_key_data",
]
