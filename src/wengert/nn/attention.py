"""Scaled dot product attention."""

from __future__ import annotations

import math
from typing import Any

from wengert import lax, numpy as jnp
from wengert.nn.functions import logsumexp, softmax
from wengert.numpy._util import ArrayLike


def dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    bias: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: ArrayLike | None = None,
    key_value_seq_lengths: ArrayLike | None = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """softmax(scale * query @ key.T + bias) @ value, for each head (Vaswani et al., 2017).

    Args:
      query: of shape (batch, T, heads, size), or without the batch axis.
      key, value: of shape (batch, S, heads of keys, size); the heads of the query are a multiple of these.
      bias: added to the logits; broadcasts to (batch, heads, T, S).
      mask: False where attention is not allowed; broadcasts in the same way.
      scale: 1 / sqrt(size) by default.
      is_causal: position t attends to positions up to t only.
      query_seq_lengths, key_value_seq_lengths: how many positions count, of shape (batch,).
      local_window_size: how many positions to the left and to the right are attended to.
      return_residual: return also the logarithm of the softmax's denominator, of shape (batch, T, heads).
    Raises:
      ValueError: shapes do not fit.
    """
    query, key, value = (jnp.asarray(x) for x in (query, key, value))
    batched = query.ndim == 4
    if query.ndim not in (3, 4) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise ValueError(
            "dot_product_attention takes query, key and value of 3 or 4 axes each, got shapes "
            f"{query.shape}, {key.shape}, {value.shape}"
        )
    q, k, v = (x if batched else x[None] for x in (query, key, value))
    if (
        key.shape != value.shape[:-1] + key.shape[-1:]
        or q.shape[-1] != k.shape[-1]
        or q.shape[2] % k.shape[2]
    ):
        raise ValueError(
            f"dot_product_attention: query {query.shape}, key {key.shape} and value {value.shape} do not fit: the "
            "sizes of query and key are equal, and the heads of the query are a multiple of those of the keys"
        )
    groups = q.shape[2] // k.shape[2]
    k, v = (jnp.repeat(x, groups, axis=2) if groups > 1 else x for x in (k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    logits = jnp.einsum("btnh,bsnh->bnts", q, k) * scale
    if bias is not None:
        logits = logits + bias
    allowed = _allowed(
        logits.shape, mask, is_causal, query_seq_lengths, key_value_seq_lengths, local_window_size
    )
    if allowed is not None:
        logits = jnp.where(allowed, logits, -0.7 * float(jnp.finfo(logits.dtype).max))
    out = jnp.einsum("bnts,bsnh->btnh", softmax(logits, axis=-1), v)
    if query_seq_lengths is not None:
        inside = (
            lax.broadcasted_iota(jnp.int32, out.shape, 1)
            < jnp.asarray(query_seq_lengths)[:, None, None, None]
        )
        out = jnp.where(inside, out, 0)
    out = out if batched else out[0]
    if not return_residual:
        return out
    residual = jnp.swapaxes(logsumexp(logits, axis=-1), 1, 2)
    return out, (residual if batched else residual[0])


def _allowed(
    shape: tuple[int, ...], mask: Any, is_causal: bool, q_lengths: Any, kv_lengths: Any, window: Any
) -> Any:
    """Where attention is allowed, or None for everywhere."""
    rows, columns = (lax.broadcasted_iota(jnp.int32, shape, d) for d in (2, 3))
    parts = [] if mask is None else [jnp.broadcast_to(jnp.asarray(mask), shape)]
    if is_causal:
        parts.append(columns <= rows)
    if window is not None:
        left, right = (window, window) if isinstance(window, int) else window
        parts += [columns >= rows - left, columns <= rows + right]
    if q_lengths is not None:
        parts.append(rows < jnp.asarray(q_lengths)[:, None, None, None])
    if kv_lengths is not None:
        parts.append(columns < jnp.asarray(kv_lengths)[:, None, None, None])
    if not parts:
        return None
    allowed = parts[0]
    for part in parts[1:]:
        allowed = jnp.logical_and(allowed, part)
    return allowed
