"""Activations, normalisations and encodings. All work elementwise, or along the axes that they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.numpy._util import ArrayLike, Axis
from wengert.transforms.custom_rules import custom_jvp

# ----------------------------------------------------------------------------------------------- activations


@custom_jvp
def relu(x: ArrayLike) -> Any:
    """max(x, 0). The derivative at 0 is 0."""
    return jnp.maximum(x, 0)


@relu.defjvp
def _relu_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return relu(x), lax.select(jnp.greater(x, 0), t, lax.full_like(t, 0))


@custom_jvp
def relu6(x: ArrayLike) -> Any:
    """min(max(x, 0), 6). The derivative is 0 at 0 and at 6."""
    return jnp.minimum(jnp.maximum(x, 0), 6.0)


@relu6.defjvp
def _relu6_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    inside = jnp.logical_and(jnp.greater(x, 0), jnp.less(x, 6))
    return relu6(x), lax.select(inside, t, lax.full_like(t, 0))


def squareplus(x: ArrayLike, b: ArrayLike = 4) -> Any:
    """(x + sqrt(x**2 + b)) / 2."""
    x, b = jnp.asarray(x), jnp.asarray(b)
    return (x + jnp.sqrt(jnp.square(x) + b)) / 2


def softplus(x: ArrayLike) -> Any:
    """log(1 + exp(x))."""
    return jnp.logaddexp(x, 0)


def sparse_plus(x: ArrayLike) -> Any:
    """0 below -1, x above 1, and the parabola (x + 1)**2 / 4 between."""
    x = jnp.asarray(x)
    return jnp.where(x <= -1.0, 0.0, jnp.where(x >= 1.0, x, (x + 1.0) ** 2 / 4))


def soft_sign(x: ArrayLike) -> Any:
    """x / (1 + abs(x))."""
    x = jnp.asarray(x)
    return x / (jnp.abs(x) + 1)


def sigmoid(x: ArrayLike) -> Any:
    """1 / (1 + exp(-x))."""
    return lax.logistic(*_inexact(x))


def _inexact(x: ArrayLike) -> tuple[Any]:
    x = jnp.asarray(x)
    return (x if dtypes.issubdtype(x.dtype, np.inexact) else x.astype(float),)


def sparse_sigmoid(x: ArrayLike) -> Any:
    """(x + 1) / 2, cut off at 0 and 1."""
    return 0.5 * jnp.clip(jnp.asarray(x) + 1.0, 0.0, 2.0)


def silu(x: ArrayLike) -> Any:
    """x * sigmoid(x)."""
    x = jnp.asarray(x)
    return x * sigmoid(x)


swish = silu


def mish(x: ArrayLike) -> Any:
    """x * tanh(softplus(x))."""
    x = jnp.asarray(x)
    return x * jnp.tanh(softplus(x))


def log_sigmoid(x: ArrayLike) -> Any:
    """log(sigmoid(x)), exact for large negative x too."""
    return -softplus(-jnp.asarray(x))


def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    x = jnp.asarray(x)
    positive = x > 0
    return jnp.where(positive, x, alpha * jnp.expm1(jnp.where(positive, 0.0, x)))


def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Any:
    """max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)."""
    return jnp.maximum(x, 0.0) + alpha * jnp.expm1(jnp.minimum(x, 0.0) / alpha)


def selu(x: ArrayLike) -> Any:
    """The scaled ELU of self-normalising networks (Klambauer et al., 2017)."""
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def gelu(x: ArrayLike, approximate: bool = True) -> Any:
    """x times the normal distribution function (Hendrycks and Gimpel, 2016).

    Args:
      approximate: use the formula with tanh.
    """
    (x,) = _inexact(x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x**3))
        return x * (0.5 * (1.0 + jnp.tanh(inner)))
    return 0.5 * x * lax.erfc(-x * x.dtype.type(math.sqrt(0.5)))


def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 1e-2) -> Any:
    """x where it is not negative, else negative_slope * x."""
    x = jnp.asarray(x)
    return jnp.where(x >= 0, x, negative_slope * x)


def hard_tanh(x: ArrayLike) -> Any:
    """x, cut off at -1 and 1."""
    x = jnp.asarray(x)
    return jnp.where(x > 1, 1, jnp.where(x < -1, -1, x))


def hard_sigmoid(x: ArrayLike) -> Any:
    """relu6(x + 3) / 6."""
    return relu6(jnp.asarray(x) + 3.0) / 6.0


def hard_silu(x: ArrayLike) -> Any:
    """x * hard_sigmoid(x)."""
    x = jnp.asarray(x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


def glu(x: ArrayLike, axis: int = -1) -> Any:
    """The first half of x along the axis times the sigmoid of the second.

    Raises:
      ValueError: the size of the axis is odd.
    """
    x = jnp.asarray(x)
    size = x.shape[axis]
    if size % 2:
        raise ValueError(f"glu halves x along axis {axis}, whose size {size} is odd")
    first, second = (
        lax.slice_in_dim(x, 0, size // 2, axis=axis),
        lax.slice_in_dim(x, size // 2, size, axis=axis),
    )
    return first * sigmoid(second)


def identity(x: ArrayLike) -> Any:
    """`x` as it is, as an array."""
    return jnp.asarray(x)


def tanh(x: ArrayLike, /) -> Any:
    """The hyperbolic tangent."""
    return jnp.tanh(x)


def log1mexp(x: ArrayLike) -> Any:
    """log(1 - exp(-x)) for x >= 0 (Mächler, 2012)."""
    x = jnp.asarray(x)
    small = x < math.log(2.0)
    return jnp.where(
        small, jnp.log(-jnp.expm1(-jnp.where(small, x, 1.0))), jnp.log1p(-jnp.exp(-jnp.where(small, 1.0, x)))
    )


# --------------------------------------------------------------------------------------------- normalisation


def logsumexp(
    a: ArrayLike,
    axis: Axis = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: ArrayLike | None = None,
) -> Any:
    """log(sum(b * exp(a))) along axes, without overflow.

    Args:
      b: factors, which broadcast with `a`.
      return_sign: return the sign of the sum too.
      where: which elements count.
    """
    (a,) = _inexact(a)
    if b is not None:
        a, b = jnp.broadcast_arrays(a, b)
        b = b.astype(a.dtype)
        a = jnp.where(b != 0, a, -jnp.inf)
    if where is not None:
        a = jnp.where(where, a, -jnp.inf)
    top = jnp.max(a.real, axis=axis, keepdims=True, initial=-jnp.inf)
    top = lax.stop_gradient(lax.select(lax.is_finite(top), top, lax.full_like(top, 0)))
    terms = lax.exp(lax.sub(a, jnp.broadcast_to(top, a.shape).astype(a.dtype)))
    if b is not None:
        terms = b * terms
    total = jnp.sum(terms, axis=axis, keepdims=keepdims)
    if isinstance(axis, str | tuple | list):  # names are of mapped axes
        axis = tuple([i for i in ((axis,) if isinstance(axis, str) else axis) if not isinstance(i, str)])
    top = top if keepdims else jnp.squeeze(top, axis=axis)
    if return_sign:
        sign = lax.sign(total)
        return lax.add(lax.log(lax.abs(total)).astype(total.dtype), top.astype(total.dtype)), sign
    if b is not None and not dtypes.issubdtype(a.dtype, np.complexfloating):
        total = jnp.where(total < 0, jnp.nan, total)
    return lax.add(lax.log(total), top.astype(total.dtype))


def logmeanexp(
    x: ArrayLike, axis: Axis = None, where: ArrayLike | None = None, keepdims: bool = False
) -> Any:
    """log(mean(exp(x))) along axes, without overflow."""
    total = logsumexp(x, axis=axis, where=where, keepdims=keepdims)
    ones = jnp.ones_like(jnp.asarray(x), dtype=total.dtype)
    count = jnp.sum(ones, axis=axis, where=where, keepdims=keepdims)
    return total - jnp.log(count)


def softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> Any:
    """exp(x) / sum(exp(x)) along axes.

    Args:
      where: which elements count; the others give 0.
    """
    (x,) = _inexact(x)
    terms = jnp.exp(x - _largest(x, axis, where))
    if where is not None:
        terms = jnp.where(where, terms, 0)
    return terms / jnp.sum(terms, axis=axis, keepdims=True)


def _largest(x: Any, axis: Axis, where: ArrayLike | None) -> Any:
    """The maximum along axes; a constant to derivatives, as it cancels."""
    if where is not None:
        x = jnp.where(where, x, -jnp.inf)
        return lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True, initial=-jnp.inf))
    return lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))


def log_softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> Any:
    """log(softmax(x)), exact for small probabilities too; -inf where `where` is False."""
    (x,) = _inexact(x)
    shifted = x - _largest(x, axis, where)
    total = jnp.sum(jnp.exp(shifted), axis=axis, where=where, keepdims=True)
    result = shifted - jnp.log(total)
    return result if where is None else jnp.where(where, result, -jnp.inf)


def standardize(
    x: ArrayLike,
    axis: Axis = -1,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: ArrayLike = 1e-5,
    where: ArrayLike | None = None,
    *,
    algorithm: str = "fast",
) -> Any:
    """(x - mean) / sqrt(variance + epsilon), with mean and variance along axes unless they are given.

    Args:
      algorithm: "fast" computes the variance as mean(x**2) - mean**2, "stable" as mean((x - mean)**2).
    Raises:
      ValueError: an algorithm of another name.
    """
    if algorithm not in ("fast", "stable"):
        raise ValueError(f"algorithm must be 'fast' or 'stable', got {algorithm!r}")
    (x,) = _inexact(x)
    if mean is None:
        mean = jnp.mean(x, axis, keepdims=True, where=where)
    if variance is None:
        if algorithm == "fast":
            variance = jnp.mean(jnp.square(x), axis, keepdims=True, where=where) - jnp.square(mean)
        else:
            variance = jnp.mean(jnp.square(x - mean), axis, keepdims=True, where=where)
    return jnp.subtract(x, mean) * lax.rsqrt(jnp.asarray(variance + epsilon))


def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: Any = -1) -> Any:
    """1 at the index that x says along a new axis, 0 elsewhere; all 0 for an index out of range.

    Args:
      x: integers.
      num_classes: the size of the new axis.
      dtype: of the result; the default float if None.
      axis: where the new axis is; the name of a mapped axis of this size, for each element its part.
    """
    x = jnp.asarray(x)
    dtype = dtypes.default_float_dtype() if dtype is None else dtype
    if isinstance(axis, str):
        if lax.axis_size(axis) != num_classes:
            raise ValueError(
                f"Expected num_classes to match the size of axis {axis!r}, but {num_classes} !="
                f" {lax.axis_size(axis)}"
            )
        return jnp.equal(x, lax.axis_index(axis)).astype(dtype)
    axis = axis % (x.ndim + 1)
    shape = (*x.shape[:axis], num_classes, *x.shape[axis:])
    classes = lax.broadcasted_iota(x.dtype, shape, axis)
    return jnp.equal(jnp.expand_dims(x, axis), classes).astype(dtype)
