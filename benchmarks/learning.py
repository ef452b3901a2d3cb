"""Rows of what networks are made of: convolutions of many kinds, their gradients, attention, per-example gradients."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.limits import work
from benchmarks.rows import Inputs, Row, enter, normal, row as any_row

row = partial(any_row, more=True)

IMAGES_LAST = ("NHWC", "HWIO", "NHWC")


def convolution_row(
    name: str,
    images: tuple[int, ...],
    kernels: tuple[int, ...],
    flops: float,
    aim: float = 0.7,
    **settings: Any,
) -> None:
    """Enter a row for a convolution, and one for its two gradients."""
    space = len(images) - 2
    settings.setdefault("window_strides", (1,) * space)
    settings.setdefault("padding", "SAME")

    def forward(jax: Any, x: Any, k: Any) -> Any:
        return jax.lax.conv_general_dilated(x, k, **settings)

    def gradients(jax: Any, x: Any, k: Any) -> Any:
        return jax.grad(lambda x, k: (forward(jax, x, k) ** 2).sum(), (0, 1))(x, k)

    inputs = normal(images, kernels)
    enter(Row(name, "jit", forward, inputs, aim, limit=work(flops=flops), tolerance=1e-4, more=True))
    enter(
        Row(
            f"gradients of {name}", "jit", gradients, inputs, aim, limit=work(flops=3 * flops), tolerance=1e-3,
            more=True,
        )
    )  # fmt: skip


convolution_row("convolution 3x3, 8x3x64x64 to 32 (NCHW)", (8, 3, 64, 64), (32, 3, 3, 3), 56.6e6)
convolution_row("convolution 3x3, 8x64x32x32 to 64 (NCHW)", (8, 64, 32, 32), (64, 64, 3, 3), 604e6)
convolution_row(
    "convolution 3x3, 8x32x32x64 to 64 (NHWC)", (8, 32, 32, 64), (3, 3, 64, 64), 604e6,
    dimension_numbers=IMAGES_LAST,
)  # fmt: skip
convolution_row(
    "convolution 3x3 by strides of 2, 8x56x56x64 to 128 (NHWC)", (8, 56, 56, 64), (3, 3, 64, 128), 925e6,
    dimension_numbers=IMAGES_LAST, window_strides=(2, 2),
)  # fmt: skip
convolution_row(
    "convolution 3x3, 8x14x14x256 to 256 (NHWC)", (8, 14, 14, 256), (3, 3, 256, 256), 1850e6,
    dimension_numbers=IMAGES_LAST,
)  # fmt: skip
convolution_row(
    "convolution 1x1, 8x56x56x64 to 64 (NHWC)", (8, 56, 56, 64), (1, 1, 64, 64), 206e6,
    dimension_numbers=IMAGES_LAST,
)  # fmt: skip
convolution_row(
    "depthwise convolution 3x3, 8x56x56x64 (NHWC)", (8, 56, 56, 64), (3, 3, 1, 64), 28.9e6,
    dimension_numbers=IMAGES_LAST, feature_group_count=64,
)  # fmt: skip
convolution_row("convolution of a signal of 1e5 by 101", (1, 1, 100_000), (1, 1, 101), 20.2e6)
convolution_row("convolution of a signal of 1e5 by 4,001", (1, 1, 100_000), (1, 1, 4_001), 800e6)
convolution_row("convolution of 512x512 by 65x65", (1, 1, 512, 512), (1, 1, 65, 65), 2215e6)
convolution_row(
    "convolution 3x3x3, 2x16x16x16x32 to 32 (NDHWC)", (2, 16, 16, 16, 32), (3, 3, 3, 32, 32), 453e6,
    dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
)  # fmt: skip


@row(
    "convolution 3x3 of bfloat16, 8x64x32x32 to 64 (NCHW)", normal((8, 64, 32, 32), (64, 64, 3, 3)), 0.7,
    tolerance=1e-4, limit=work(flops=604e6),
)  # fmt: skip
def convolution_of_halves(jax: Any, images: Any, kernels: Any) -> Any:
    images, kernels = (a.astype(jax.numpy.bfloat16) for a in (images, kernels))
    return jax.lax.conv(images, kernels, (1, 1), "SAME", preferred_element_type=jax.numpy.float32)


@row(
    "convolution 3x3 of complex numbers, 4x16x32x32 to 16 (NCHW)",
    normal((4, 16, 32, 32), (4, 16, 32, 32), (16, 16, 3, 3)), 0.7, tolerance=1e-4, limit=work(flops=4 * 18.9e6),
)  # fmt: skip
def convolution_of_complex_numbers(jax: Any, real: Any, imaginary: Any, kernels: Any) -> Any:
    return jax.lax.conv(jax.lax.complex(real, imaginary), jax.lax.complex(kernels, -kernels), (1, 1), "SAME")


@row(
    "convolution 3x3, bias and relu, 8x32x32x64 to 64",
    normal((8, 32, 32, 64), (3, 3, 64, 64), (64,)), 0.7, tolerance=1e-4, limit=work(flops=604e6),
)  # fmt: skip
def convolution_layer(jax: Any, images: Any, kernels: Any, bias: Any) -> Any:
    found = jax.lax.conv_general_dilated(images, kernels, (1, 1), "SAME", dimension_numbers=IMAGES_LAST)
    return jax.nn.relu(found + bias)


@row(
    "attention, 8 heads of 64, batch 4 of 128", normal(*[(4, 128, 8, 64)] * 3), 0.8, tolerance=1e-4,
    limit=work(flops=4 * 4 * 8 * 128 * 128 * 64),
)  # fmt: skip
def attention(jax: Any, queries: Any, keys: Any, values: Any) -> Any:
    jnp = jax.numpy
    weights = jax.nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", queries, keys) / 8)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, values)


@row(
    "gradients of that attention", normal(*[(4, 128, 8, 64)] * 3), 0.8, tolerance=1e-3,
    limit=work(flops=3 * 4 * 4 * 8 * 128 * 128 * 64),
)  # fmt: skip
def attention_gradients(jax: Any, *operands: Any) -> Any:
    return jax.grad(lambda *operands: (attention(jax, *operands) ** 2).sum(), (0, 1, 2))(*operands)


def small_network(batch: int, *sizes: int) -> Inputs:
    """Layers, as pairs of weights and biases, and a batch of inputs and of results."""

    def inputs(rng: np.random.Generator) -> tuple[Any, ...]:
        layers = [
            ((rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32), np.zeros(b, np.float32))
            for a, b in pairwise(sizes)
        ]
        ends = (rng.standard_normal((batch, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
        return layers, *ends

    return inputs


@row(
    "per-example gradients of a network 32-64-64-1, batch 256",
    small_network(256, 32, 64, 64, 1),
    0.8,
    tolerance=1e-4,
)
def example_gradients(jax: Any, layers: Any, inputs: Any, results: Any) -> Any:
    jnp = jax.numpy

    def loss(layers: Any, x: Any, y: Any) -> Any:
        for w, b in layers[:-1]:
            x = jnp.tanh(x @ w + b)
        w, b = layers[-1]
        return jnp.sum((x @ w + b - y) ** 2)

    return jax.vmap(jax.grad(loss), (None, 0, 0))(layers, inputs, results)


for m, n, k in ((1, 1000, 1000), (1000, 1, 1000), (32, 32, 32), (200, 8, 300)):
    enter(
        Row(
            f"matmul {m}x{k} by {k}x{n}", "jit", lambda jax, a, b: a @ b, normal((m, k), (k, n)), 0.8,
            limit=work(4 * (m * n + m * k + n * k), 2 * m * n * k), tolerance=1e-4, more=True,
        )
    )  # fmt: skip


@row(
    "matmul 500x300 by 300x400, both transposed",
    normal((300, 500), (400, 300)),
    1,
    tolerance=1e-4,
    limit=work(flops=120e6),
)
def transposed_matmul(jax: Any, a: Any, b: Any) -> Any:
    return a.T @ b.T


@row(
    "matmul, bias and gelu, 128x512 by 512x512",
    normal((128, 512), (512, 512), (512,)),
    0.8,
    tolerance=1e-4,
    limit=work(flops=67e6),
)
def dense_layer(jax: Any, x: Any, w: Any, b: Any) -> Any:
    return jax.nn.gelu(x @ w + b)
