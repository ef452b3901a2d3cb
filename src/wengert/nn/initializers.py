"""Initial values of parameters: functions of (key, shape, dtype), as `jax.nn.initializers`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from wengert import numpy as jnp, random
from wengert.core import dtypes

Initializer: TypeAlias = Callable[..., Any]
"""A function of (key, shape, dtype) that gives initial values."""
_Axes = int | Sequence[int]


def _dtype(dtype: Any) -> np.dtype[Any]:
    found = dtypes.default_float_dtype() if dtype is None else dtypes.as_dtype(dtype)
    canonical: np.dtype[Any] = dtypes.canonicalize_dtype(found)
    return canonical


def zeros(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """Zeros; the key is not used."""
    return jnp.zeros(shape, _dtype(dtype))


def ones(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """Ones; the key is not used."""
    return jnp.ones(shape, _dtype(dtype))


def constant(value: Any, dtype: Any = None) -> Initializer:
    """An initializer that gives `value` everywhere."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        return jnp.full(shape, value, _dtype(default if dtype is None else dtype))

    return init


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer that is uniform in [0, scale)."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(default if dtype is None else dtype)
        return random.uniform(key, shape, kind) * jnp.array(scale, kind)

    return init


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer that is normal with mean 0."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(default if dtype is None else dtype)
        return random.normal(key, shape, kind) * jnp.array(stddev, kind)

    return init


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """An initializer that is normal, cut off at `lower` and `upper` standard deviations."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(default if dtype is None else dtype)
        return random.truncated_normal(key, lower, upper, shape, kind) * jnp.array(stddev, kind)

    return init


def _size(shape: Sequence[int], axes: _Axes) -> int:
    return math.prod(shape[a] for a in ([axes] if isinstance(axes, int) else axes))


def _fans(shape: Sequence[int], in_axis: _Axes, out_axis: _Axes, batch_axis: _Axes) -> tuple[float, float]:
    """The numbers of inputs and of outputs of a unit; axes that are neither count for both."""
    if len(shape) <= 1:
        raise ValueError(
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor. Must be at least 2D."
        )
    ins, outs, batch = (_size(shape, a) for a in (in_axis, out_axis, batch_axis))
    field = math.prod(shape) / max(ins * outs * batch, 1)
    return ins * field, outs * field


def _complex(key: Any, shape: tuple[int, ...], kind: np.dtype[Any], uniform: bool) -> Any:
    """Complex numbers with a uniform phase: in a disc, uniform or normal and cut off at 2 standard deviations."""
    k1, k2 = random.split(key)
    part = np.finfo(kind).dtype
    u, turn = random.uniform(k1, shape, part), random.uniform(k2, shape, part)
    # of a complex normal distribution, the squares of the sizes are exponentially distributed
    square = 2 * u if uniform else -jnp.log(1 - (1 - jnp.exp(jnp.array(-4, part))) * u)
    return jnp.sqrt(square).astype(kind) * jnp.exp(1j * (2 * math.pi * turn.astype(kind)))


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: _Axes = -2,
    out_axis: _Axes = -1,
    batch_axis: _Axes = (),
    dtype: Any = None,
) -> Initializer:
    """An initializer whose variance is scale / n, where n is a number of units.

    Args:
      mode: n: "fan_in" inputs, "fan_out" outputs, "fan_avg" their mean, "fan_geo_avg" their geometric mean.
      distribution: "truncated_normal", "normal" or "uniform".
    Raises:
      ValueError: another mode or distribution; the shape has fewer than two axes.
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(default if dtype is None else dtype)
        fan_in, fan_out = _fans(tuple(shape), in_axis, out_axis, batch_axis)
        counts = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": math.sqrt(fan_in * fan_out),
        }
        if mode not in counts:
            raise ValueError(f"invalid mode for variance scaling initializer: {mode}")
        count = counts[mode]
        variance = jnp.array(scale / count if count else 0, kind)
        if distribution == "normal":
            return random.normal(key, shape, kind) * jnp.sqrt(variance)
        if distribution in ("uniform", "truncated_normal") and dtypes.issubdtype(kind, np.complexfloating):
            deviation = 1.0 if distribution == "uniform" else 0.95311164380491208
            drawn = _complex(key, tuple(shape), kind, distribution == "uniform")
            return drawn * (jnp.sqrt(variance) / jnp.array(deviation, kind))
        if distribution == "uniform":
            return random.uniform(key, shape, kind, -1) * jnp.sqrt(3 * variance)
        if distribution == "truncated_normal":
            # the standard deviation of a normal distribution that is cut off at -2 and 2
            stddev = jnp.sqrt(variance) / jnp.array(0.87962566103423978, kind)
            return random.truncated_normal(key, -2, 2, shape, kind) * stddev
        raise ValueError(f"invalid distribution for variance scaling initializer: {distribution}")

    return init


def _scaled(scale: float, mode: str, distribution: str, doc: str) -> Callable[..., Initializer]:
    def make(
        in_axis: _Axes = -2, out_axis: _Axes = -1, batch_axis: _Axes = (), dtype: Any = None
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__doc__ = doc
    return make


glorot_uniform = _scaled(1.0, "fan_avg", "uniform", "Uniform, by Glorot and Bengio, 2010.")
glorot_normal = _scaled(1.0, "fan_avg", "truncated_normal", "Truncated normal, by Glorot and Bengio, 2010.")
lecun_uniform = _scaled(1.0, "fan_in", "uniform", "Uniform, by LeCun et al., 1998.")
lecun_normal = _scaled(1.0, "fan_in", "truncated_normal", "Truncated normal, by LeCun et al., 1998.")
he_uniform = _scaled(2.0, "fan_in", "uniform", "Uniform, by He et al., 2015.")
he_normal = _scaled(2.0, "fan_in", "truncated_normal", "Truncated normal, by He et al., 2015.")
xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of orthogonal matrices, uniformly distributed by Haar's measure, times `scale`.

    Saxe, McClelland, Ganguli, 2013. The axis `column_axis` is one axis of the matrix, all others together are the
    other one; the rows or the columns are orthonormal, whichever are fewer.

    Raises:
      ValueError: the shape has fewer than two axes.
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(default if dtype is None else dtype)
        shape = tuple(shape)
        if len(shape) < 2:
            raise ValueError("orthogonal initializer requires at least a 2D shape")
        columns = shape[column_axis]
        rows = math.prod(shape) // max(columns, 1)
        matrix = random.orthogonal(key, rows, (), kind, columns)
        axis = column_axis % len(shape)
        tall = jnp.reshape(matrix, (*shape[:axis], *shape[axis + 1 :], columns))
        return jnp.moveaxis(tall, -1, axis) * jnp.array(scale, kind)

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of convolution kernels that are an orthogonal matrix in the middle and 0 elsewhere.

    Xiao et al., 2018. The shape is that of the window, 1 to 3 axes, then inputs and outputs.

    Raises:
      ValueError: the shape has another number of axes, or more inputs than outputs.
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        kind = _dtype(default if dtype is None else dtype)
        shape = tuple(shape)
        if len(shape) not in (3, 4, 5):
            raise ValueError("Delta orthogonal initializer requires a 3D, 4D or 5D shape.")
        if shape[-1] < shape[-2]:
            raise ValueError("`fan_in` must be less or equal than `fan_out`. ")
        matrix = orthogonal(scale, column_axis, kind)(key, shape[-2:])
        middle = tuple((n - 1) // 2 for n in shape[:-2])
        return jnp.zeros(shape, kind).at[middle].set(matrix)

    return init
