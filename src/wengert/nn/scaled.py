"""Matrix products of narrow floats with a scale for each block of elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from wengert import lax, numpy as jnp
from wengert.core import dtypes
from wengert.core.source import warn_user
from wengert.numpy._util import user_dtype
from wengert.transforms.custom_rules import custom_vjp

Dims = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]


class BlockScaleConfig:
    """How an operand is quantized; see `get_scaled_dot_general_config`.

    Attributes:
      mode: "mxfp8", "mxfp4" or "nvfp4".
      block_size: how many elements have a scale in common.
      data_type, scale_type: the dtypes of elements and scales.
      global_scale: one more scale for the whole operand; None if there is none.
      infer_only: accepted for compatibility.
    """

    __slots__ = ("block_size", "data_type", "global_scale", "infer_only", "mode", "scale_type")

    def __init__(
        self,
        mode: str,
        block_size: int,
        data_type: Any,
        scale_type: Any,
        global_scale: Any = None,
        infer_only: bool = False,
    ):
        self.mode = mode
        self.block_size = block_size
        self.data_type = np.dtype(data_type)
        self.scale_type = np.dtype(scale_type)
        self.global_scale = global_scale
        self.infer_only = infer_only

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"BlockScaleConfig({fields})"


def get_scaled_dot_general_config(mode: str, global_scale: Any = None) -> BlockScaleConfig:
    """How `scaled_dot_general` quantizes an operand.

    Args:
      mode: "mxfp8" (8-bit floats, a power of two for each 32 of them) or "mxfp4" (4-bit floats), as the Open Compute
        Project's Microscaling Formats 1.0 have them; "nvfp4" (4-bit floats, an 8-bit float for each 16).
      global_scale: of "nvfp4" a float32 array of shape (1,) that the whole operand is divided by; by default 1.
    Raises:
      ValueError: there is no such mode, or it has no `global_scale`.
    """
    if mode == "nvfp4":
        scale = jnp.ones(1, np.float32) if global_scale is None else global_scale
        return BlockScaleConfig(mode, 16, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn, scale)
    if mode == "mxfp8":
        return BlockScaleConfig(mode, 32, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu)
    if mode == "mxfp4":
        if global_scale is not None:
            raise ValueError(
                "mxfp4 does not use a global_scale: powers of two as scales of the blocks cover the whole range."
            )
        return BlockScaleConfig(mode, 32, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e8m0fnu)
    raise ValueError(f"Unsupported mode: {mode}")


def scaled_matmul(
    lhs: Any, rhs: Any, lhs_scales: Any, rhs_scales: Any, preferred_element_type: Any = np.float32
) -> Any:
    """The product of `lhs` with the transpose of `rhs`, where blocks of elements have a scale in common.

    Args:
      lhs: of shape (b, m, k).
      rhs: of shape (b, n, k).
      lhs_scales: of shape (b, m, j), where j divides k: each is for k / j elements.
      rhs_scales: of shape (b, n, j).
      preferred_element_type: the dtype to compute in, and of the result.
    Returns:
      An array of shape (b, m, n).
    Raises:
      ValueError: shapes do not fit.
    """
    operands = [jnp.asarray(x) for x in (lhs, rhs, lhs_scales, rhs_scales)]
    if any(x.ndim != 3 for x in operands):
        raise ValueError("scaled_matmul requires all inputs to be 3-dimensional arrays")
    x, y, x_scales, y_scales = operands
    for what, a, b in (("inputs a and b", x, y), ("scales", x_scales, y_scales)):
        if (a.shape[0], a.shape[2]) != (b.shape[0], b.shape[2]):
            raise ValueError(
                f"scaled_matmul requires {what} to have matching batch (B) and contract (K) dimensions, but got shapes"
                f" {a.shape} and {b.shape}"
            )
    if x.shape[1] != x_scales.shape[1] or y.shape[1] != y_scales.shape[1]:
        raise ValueError(
            "scaled_matmul requires scales to match non-contract dimensions of inputs, but got shapes a:"
            f" {x.shape}, b: {y.shape}, a_scales: {x_scales.shape}, b_scales: {y_scales.shape}"
        )
    if x.shape[2] % x_scales.shape[2]:
        raise ValueError(
            f"scaled_matmul: {x_scales.shape[2]} scales do not divide {x.shape[2]} contracted elements into blocks"
        )
    dtype = user_dtype(preferred_element_type, "scaled_matmul")
    a, b = [_scaled(v.astype(dtype), s.astype(dtype)) for v, s in ((x, x_scales), (y, y_scales))]
    return lax.dot_general(a, b, (((2,), (2,)), ((0,), (0,))), preferred_element_type=dtype)


def _scaled(x: Any, scales: Any) -> Any:
    blocks = x.reshape(*scales.shape, x.shape[-1] // scales.shape[-1])
    return (blocks * scales[..., None]).reshape(x.shape)


# ------------------------------------------------------------------------------------------------ quantization


def _power_of_two(ratio: Any) -> tuple[Any, Any]:
    """The least power of two that is at least `ratio`, as a number of 8 bits, and as a float32 to divide by."""
    bits = lax.bitcast_convert_type(ratio, np.uint32)
    exponent, fraction = bits >> 23, bits & 0x7FFFFF
    above = (fraction > 0) & (exponent != 254) & ~((exponent == 0) & (fraction <= 0x400000))
    exponent = jnp.where(above, exponent + 1, exponent)
    # exponent 0 stands for 2**-127, which as a float32 would be denormal
    divisor = lax.bitcast_convert_type(jnp.maximum(exponent, np.uint32(1)) << 23, np.float32)
    return lax.bitcast_convert_type(exponent.astype(np.uint8), ml_dtypes.float8_e8m0fnu), divisor


def _quantized(x: Any, config: BlockScaleConfig) -> tuple[Any, Any]:
    """An operand of shape (b, m, k) in the narrow dtype, and its scales, of shape (b, m, k / block_size)."""
    size = x.shape[-1]
    if size % config.block_size:
        raise ValueError(
            f"scaled_dot_general in mode {config.mode} contracts blocks of {config.block_size} elements, but there are"
            f" {size}: pad the contracted axes (in the derivative those that are not contracted here)"
        )
    blocks = x.reshape(*x.shape[:-1], size // config.block_size, config.block_size)
    greatest = np.float32(dtypes.finfo(config.data_type).max)
    if config.mode == "nvfp4":
        blocks = blocks / config.global_scale
        ratio = jnp.max(jnp.abs(blocks), axis=-1).astype(np.float32) / greatest
        scales = jnp.clip(ratio, 0, float(dtypes.finfo(config.scale_type).max)).astype(config.scale_type)
        divisor = scales.astype(np.float32)
        scaled = blocks / jnp.where(divisor == 0, 1, divisor)[..., None]
    else:
        ratio = jnp.max(jnp.abs(blocks), axis=-1).astype(np.float32) / greatest
        scales, divisor = _power_of_two(ratio)
        scaled = blocks.astype(np.float32) / divisor[..., None]
    narrow = jnp.clip(scaled, -greatest, greatest).astype(config.data_type)
    return narrow.reshape(x.shape), scales


def _as_matrices(x: Any, contracted: Sequence[int], batch: Sequence[int]) -> tuple[Any, tuple[int, ...]]:
    """An operand of shape (b, m, k), and the sizes of its free axes."""
    free = [i for i in range(x.ndim) if i not in contracted and i not in batch]
    shape = [math.prod(x.shape[i] for i in axes) for axes in (batch, free, contracted)]
    return jnp.transpose(x, (*batch, *free, *contracted)).reshape(shape), tuple(x.shape[i] for i in free)


def _product(x: Any, y: Any, dims: Dims, dtype: Any, configs: Sequence[BlockScaleConfig]) -> Any:
    (cx, cy), (bx, by) = dims
    a, free_x = _as_matrices(x, cx, bx)
    b, free_y = _as_matrices(y, cy, by)
    first, second = configs
    (a, a_scales), (b, b_scales) = _quantized(a, first), _quantized(b, second)
    scaled_globally = first.mode == "nvfp4"
    out = scaled_matmul(a, b, a_scales, b_scales, np.float32 if scaled_globally else dtype)
    if scaled_globally:
        out = (out * (first.global_scale * second.global_scale)).astype(dtype)
    return out.reshape(*(x.shape[i] for i in bx), *free_x, *free_y)


def _cotangent(
    ct: Any, x: Any, y: Any, dims: Dims, dtype: Any, configs: Sequence[BlockScaleConfig], second: bool
) -> Any:
    """The cotangent of the operand `x`, of which `y` is the other one: of the result, contracted with y's free axes."""
    (cx, cy), (bx, by) = dims
    free_x = [i for i in range(x.ndim) if i not in cx and i not in bx]
    free_y = [i for i in range(y.ndim) if i not in cy and i not in by]
    n = len(bx)
    start = n if second else n + len(free_x)
    backward = (tuple(range(start, start + len(free_y))), tuple(free_y)), (tuple(range(n)), by)
    if configs[0].mode == "nvfp4":
        out = lax.dot_general(ct, y.astype(ct.dtype), backward, preferred_element_type=np.dtype(dtype))
    else:
        out = _product(ct, y, backward, dtype, configs[:2])
    # its axes: batch, x's free ones, then the contracted ones in the order of y's axes
    order = [*bx, *free_x, *[cx[i] for i in np.argsort(cy).tolist()]]
    out = jnp.transpose(out, np.argsort(order).tolist())
    config = configs[2]
    if config.mode == "nvfp4":  # what was clipped has no derivative
        limit = float(dtypes.finfo(config.data_type).max) * float(dtypes.finfo(config.scale_type).max)
        out = jnp.where(jnp.abs(x) <= config.global_scale * limit, out, 0)
    return out.astype(x.dtype)


def scaled_dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    preferred_element_type: Any = np.float32,
    configs: Sequence[BlockScaleConfig] | None = None,
    implementation: str | None = None,
) -> Any:
    """The sum of products over pairs of axes, with operands that are quantized to narrow floats first.

    The derivative is that of the product, again of quantized operands (with "nvfp4" of the operands as they are), as if
    quantization changed nothing.

    Args:
      lhs, rhs, dimension_numbers: as of `lax.dot_general`. The contracted sizes are multiples of the block size; for
        the derivative in other modes than "nvfp4" the free ones too.
      preferred_element_type: the dtype of the result: float32, bfloat16 or float16.
      configs: how lhs, rhs, and the cotangent are quantized; see `get_scaled_dot_general_config`. None for no
        quantization.
      implementation: accepted for compatibility, with a DeprecationWarning.
    Raises:
      TypeError: there is no such `preferred_element_type`.
      ValueError: sizes are no multiples of the block size.
    """
    if implementation is not None:
        warn_user(
            "The argument `implementation` is ignored: there is one way to compute it.", DeprecationWarning
        )
    if configs is None:
        return lax.dot_general(lhs, rhs, dimension_numbers, preferred_element_type=preferred_element_type)
    dtype = np.dtype(preferred_element_type)
    if dtype not in (np.float32, ml_dtypes.bfloat16, np.float16):
        raise TypeError(f"Only support preferred_element_type in (f32, bf16, f16), but got {dtype}")
    (cx, cy), (bx, by) = dimension_numbers
    dims: Dims = (tuple(cx), tuple(cy)), (tuple(bx), tuple(by))
    swapped: Dims = (dims[0][1], dims[0][0]), (dims[1][1], dims[1][0])
    of_lhs, of_rhs, of_ct = configs

    @custom_vjp
    def product(x: Any, y: Any) -> Any:
        return _product(x, y, dims, dtype, (of_lhs, of_rhs))

    def forward(x: Any, y: Any) -> Any:
        return product(x, y), (x, y)

    def backward(operands: Any, ct: Any) -> Any:
        x, y = operands
        return (
            _cotangent(ct, x, y, dims, dtype, (of_ct, of_rhs, of_lhs), second=False),
            _cotangent(ct, y, x, swapped, dtype, (of_ct, of_lhs, of_rhs), second=True),
        )

    product.defvjp(forward, backward)
    return product(jnp.asarray(lhs), jnp.asarray(rhs))
