"""Neural networks put together from layers, under the names of ``jax.example_libraries.stax``.

A layer is a pair of functions::

    init_fun, apply_fun = serial(Dense(128), Relu, Dense(10), LogSoftmax)
    output_shape, params = init_fun(key, (-1, 784))
    outputs = apply_fun(params, inputs)

``init_fun(key, input_shape)`` returns the shape of the output, where -1 may stand for the size of the batch, and the
parameters, a pytree. ``apply_fun(params, inputs, rng=key)`` computes; layers that draw random numbers need ``rng``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import wengert.numpy as jnp
from wengert import lax, random
from wengert.nn import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    selu,
    sigmoid,
    softmax,
    softplus,
    standardize,
)
from wengert.nn.initializers import glorot_normal, normal, ones, zeros

Shape = tuple[int, ...]
InitFn = Callable[..., tuple[Any, Any]]
"""From (key, input shape) to (output shape, parameters)."""
ApplyFn = Callable[..., Any]
"""From (parameters, inputs) to the outputs; `rng=key` where it draws."""
Layer = tuple[InitFn, ApplyFn]
"""A layer: how its parameters are made, and what it computes."""

glorot, randn, logsoftmax = glorot_normal, normal, log_softmax


def _fixed(apply: Callable[[Any], Any], out_shape: Callable[[Any], Any] = lambda shape: shape) -> Layer:
    """A layer without parameters."""

    def init_fun(rng: Any, input_shape: Any) -> tuple[Any, tuple[()]]:
        return out_shape(input_shape), ()

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return apply(inputs)

    return init_fun, apply_fun


# --------------------------------------------------------------------------------------- layers with parameters


def Dense(out_dim: int, W_init: Any = glorot_normal(), b_init: Any = normal()) -> Layer:  # noqa: B008
    """A matrix product over the last axis, plus a vector. The parameters are (W, b)."""

    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, tuple[Any, Any]]:
        for_w, for_b = random.split(rng)
        return (*input_shape[:-1], out_dim), (
            W_init(for_w, (input_shape[-1], out_dim)),
            b_init(for_b, (out_dim,)),
        )

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        W, b = params
        return jnp.dot(inputs, W) + b

    return init_fun, apply_fun


def _convolution(
    shape_of: Callable[..., Shape],
    convolve: Callable[..., Any],
    dimension_numbers: Any,
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Any,
    padding: Any,
    W_init: Any,
    b_init: Any,
) -> Layer:
    in_spec, kernel_spec, out_spec = dimension_numbers
    strides = strides or (1,) * len(filter_shape)
    W_init = W_init or glorot_normal(kernel_spec.index("I"), kernel_spec.index("O"))

    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, tuple[Any, Any]]:
        sizes = {"O": out_chan, "I": input_shape[in_spec.index("C")]}
        spatial = iter(filter_shape)
        kernel = tuple(sizes[c] if c in sizes else next(spatial) for c in kernel_spec)
        for_w, for_b = random.split(rng)
        bias = tuple(out_chan if c == "C" else 1 for c in out_spec)
        out = shape_of(input_shape, kernel, strides, padding, dimension_numbers)
        return tuple(out), (W_init(for_w, kernel), b_init(for_b, bias))

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        W, b = params
        return convolve(inputs, W, strides, padding, dimension_numbers=dimension_numbers) + b

    return init_fun, apply_fun


def GeneralConv(
    dimension_numbers: Any,
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Any = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = normal(1e-6),  # noqa: B008
) -> Layer:
    """A convolution, plus a number for each channel.

    Args:
      dimension_numbers: the axes of input, kernel and output, as of `lax.conv_general_dilated`.
      out_chan: the number of channels of the output.
      filter_shape: the spatial sizes of the kernel.
    """
    return _convolution(
        lax.conv_general_shape_tuple, lax.conv_general_dilated, dimension_numbers,
        out_chan, filter_shape, strides, padding, W_init, b_init,
    )  # fmt: skip


def GeneralConvTranspose(
    dimension_numbers: Any,
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Any = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = normal(1e-6),  # noqa: B008
) -> Layer:
    """A transposed convolution, plus a number for each channel; arguments as of `GeneralConv`."""
    return _convolution(
        lax.conv_transpose_shape_tuple, lax.conv_transpose, dimension_numbers,
        out_chan, filter_shape, strides, padding, W_init, b_init,
    )  # fmt: skip


Conv = functools.partial(GeneralConv, ("NHWC", "HWIO", "NHWC"))
"""A convolution layer for images; see `GeneralConv`."""
Conv1DTranspose = functools.partial(GeneralConvTranspose, ("NHC", "HIO", "NHC"))
"""A transposed convolution layer for signals; see `GeneralConvTranspose`."""
ConvTranspose = functools.partial(GeneralConvTranspose, ("NHWC", "HWIO", "NHWC"))
"""A transposed convolution layer for images; see `GeneralConvTranspose`."""


def BatchNorm(
    axis: Any = (0, 1, 2),
    epsilon: float = 1e-5,
    center: bool = True,
    scale: bool = True,
    beta_init: Any = zeros,
    gamma_init: Any = ones,
) -> Layer:
    """Inputs shifted and scaled to mean 0 and variance 1 over the axes, times gamma (`scale`), plus beta (`center`).

    The parameters are (beta, gamma), () for what there is not.
    """
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)

    def init_fun(rng: Any, input_shape: Shape) -> tuple[Shape, tuple[Any, Any]]:
        shape = tuple(d for i, d in enumerate(input_shape) if i not in axes)
        for_beta, for_gamma = random.split(rng)
        beta = beta_init(for_beta, shape) if center else ()
        return input_shape, (beta, gamma_init(for_gamma, shape) if scale else ())

    def apply_fun(params: Any, x: Any, **kwargs: Any) -> Any:
        beta, gamma = params
        out = standardize(x, axes, epsilon=epsilon)
        if scale:
            out = jnp.expand_dims(gamma, axes) * out
        return out + jnp.expand_dims(beta, axes) if center else out

    return init_fun, apply_fun


# ------------------------------------------------------------------------------------------------- activations


def elementwise(fun: Callable[..., Any], **fun_kwargs: Any) -> Layer:
    """A layer that applies a function, with these keyword arguments."""
    return _fixed(lambda inputs: fun(inputs, **fun_kwargs))


Tanh = elementwise(jnp.tanh)
Relu = elementwise(relu)
Exp = elementwise(jnp.exp)
LogSoftmax = elementwise(log_softmax, axis=-1)
Softmax = elementwise(softmax, axis=-1)
Softplus = elementwise(softplus)
Sigmoid = elementwise(sigmoid)
Elu = elementwise(elu)
LeakyRelu = elementwise(leaky_relu)
Selu = elementwise(selu)
Gelu = elementwise(gelu)


# ----------------------------------------------------------------------------------------------------- pooling


def _pooling(
    computation: Callable[..., Any],
    initial: float,
    window_shape: Sequence[int],
    strides: Any,
    padding: Any,
    spec: str | None,
    average: bool = False,
) -> Layer:
    if spec is None:
        others = [0, len(window_shape) + 1]
    else:
        others = sorted([spec.index("N"), spec.index("C")])
    window, steps = list(window_shape), list(strides or (1,) * len(window_shape))
    for i in others:
        window.insert(i, 1)
        steps.insert(i, 1)

    def out_shape(input_shape: Shape) -> Shape:
        pads = (
            lax.padtype_to_pads(input_shape, window, steps, padding) if isinstance(padding, str) else padding
        )
        return tuple(lax.reduce_window_shape_tuple(input_shape, window, steps, pads))

    def apply(inputs: Any) -> Any:
        total = lax.reduce_window(inputs, initial, computation, window, steps, padding)
        if not average:
            return total
        ones = jnp.ones([1 if i in others else d for i, d in enumerate(inputs.shape)], inputs.dtype)
        return total / lax.reduce_window(ones, 0.0, lax.add, window, steps, padding)

    return _fixed(apply, out_shape)


def MaxPool(
    window_shape: Sequence[int], strides: Any = None, padding: Any = "VALID", spec: str | None = None
) -> Layer:
    """The greatest element of each window.

    Args:
      window_shape: the spatial sizes of the window.
      strides: by how much it moves; 1 by default.
      spec: the axes of the inputs, such as "NHWC"; by default the batch is the first one and the channels the last.
    """
    return _pooling(lax.max, -math.inf, window_shape, strides, padding, spec)


def SumPool(
    window_shape: Sequence[int], strides: Any = None, padding: Any = "VALID", spec: str | None = None
) -> Layer:
    """The sum of each window; arguments as of `MaxPool`."""
    return _pooling(lax.add, 0.0, window_shape, strides, padding, spec)


def AvgPool(
    window_shape: Sequence[int], strides: Any = None, padding: Any = "VALID", spec: str | None = None
) -> Layer:
    """The mean of what each window has of the inputs, without padding; arguments as of `MaxPool`."""
    return _pooling(lax.add, 0.0, window_shape, strides, padding, spec, average=True)


# --------------------------------------------------------------------------------------------- shapes and noise

Flatten = _fixed(
    lambda inputs: jnp.reshape(inputs, (inputs.shape[0], -1)), lambda shape: (shape[0], math.prod(shape[1:]))
)
Identity = _fixed(lambda inputs: inputs)
FanInSum = _fixed(lambda inputs: functools.reduce(lambda a, b: a + b, inputs), lambda shapes: shapes[0])


def FanOut(num: int) -> Layer:
    """The input, `num` times, for `parallel`."""
    return _fixed(lambda inputs: [inputs] * num, lambda shape: [shape] * num)


def FanInConcat(axis: int = -1) -> Layer:
    """Several inputs as one, concatenated along an axis."""

    def out_shape(shapes: Sequence[Shape]) -> Shape:
        first, at = shapes[0], axis % len(shapes[0])
        return (*first[:at], sum(s[at] for s in shapes), *first[at + 1 :])

    return _fixed(lambda inputs: jnp.concatenate(inputs, axis), out_shape)


def Dropout(rate: float, mode: str = "train") -> Layer:
    """Zeros in place of some inputs; the others are divided by `rate`, the probability to be kept.

    In any other mode than "train" the inputs stay as they are. `apply_fun` needs an `rng` in either case.
    """

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        rng = kwargs.get("rng")
        if rng is None:
            raise ValueError(
                "Dropout layer requires apply_fun to be called with a PRNG key argument. That is, instead of"
                " `apply_fun(params, inputs)`, call it like `apply_fun(params, inputs, rng=key)`, where key is one from"
                " random.key."
            )
        if mode != "train":
            return inputs
        return jnp.where(random.bernoulli(rng, rate, inputs.shape), inputs / rate, 0)

    return _fixed(lambda inputs: inputs)[0], apply_fun


# ------------------------------------------------------------------------------------------------- combinators


def _keys(rng: Any, count: int) -> Any:
    return [None] * count if rng is None else random.split(rng, count)


def serial(*layers: Layer) -> Layer:
    """Layers one after the other. The parameters are a list with those of each."""

    def init_fun(rng: Any, input_shape: Any) -> tuple[Any, list[Any]]:
        params = []
        for init, _ in layers:
            rng, key = random.split(rng)
            input_shape, found = init(key, input_shape)
            params.append(found)
        return input_shape, params

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        keys = _keys(kwargs.pop("rng", None), len(layers))
        for (_, apply), param, key in zip(layers, params, keys, strict=True):
            inputs = apply(param, inputs, rng=key, **kwargs)
        return inputs

    return init_fun, apply_fun


def parallel(*layers: Layer) -> Layer:
    """Layers side by side: from as many inputs to as many outputs. See `FanOut`, `FanInSum`, `FanInConcat`."""

    def init_fun(rng: Any, input_shape: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        keys = _keys(rng, len(layers))
        found = [init(key, shape) for (init, _), key, shape in zip(layers, keys, input_shape, strict=True)]
        return tuple(shape for shape, _ in found), tuple(params for _, params in found)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> list[Any]:
        keys = _keys(kwargs.pop("rng", None), len(layers))
        return [
            apply(param, x, rng=key, **kwargs)
            for (_, apply), param, x, key in zip(layers, params, inputs, keys, strict=True)
        ]

    return init_fun, apply_fun


def shape_dependent(make_layer: Callable[[Any], Layer]) -> Layer:
    """A layer that `make_layer` makes of the shape of its input, once that is known."""

    def init_fun(rng: Any, input_shape: Any) -> tuple[Any, Any]:
        return make_layer(input_shape)[0](rng, input_shape)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return make_layer(inputs.shape)[1](params, inputs, **kwargs)

    return init_fun, apply_fun
