"""Scaled dot-product attention, kept whole: softmax(scale · q kᵀ + mask) v.

MAX's own fused CPU kernel (`mo.composite.no_mask_flash_attention_cpu`) wants (batch, seq, heads,
dim) and is silently wrong in torch's (batch, heads, seq, dim), so it is not used here; the parity
test with unequal heads and length would catch that layout.
"""

from __future__ import annotations

import math

import torch
from max.dtype import DType
from max.graph import Dim, TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.matmul import matmul
from fxmax.rules.lib.sizes import positions
from fxmax.rules.lib.values import cast, tensor
from fxmax.support.signals import Declined

aten = torch.ops.aten


@rule(aten.scaled_dot_product_attention.default)
def scaled_dot_product_attention(
    ctx: Context,
    query: TensorValue,
    key: TensorValue,
    value: TensorValue,
    attn_mask: TensorValue | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> TensorValue:
    if dropout_p:
        raise Declined("dropout in attention is for training")
    if enable_gqa:
        key, value = (_repeat_heads(x, query) for x in (key, value))
    width = query.shape[-1]
    factor = tensor(ctx, 1 / math.sqrt(int(width)) if scale is None else scale, query.dtype)
    scores = matmul(ctx, query * factor, ops.transpose(key, -1, -2))
    if is_causal:
        scores = scores + ctx.viewable(_causal(ctx, query.shape[-2], key.shape[-2], scores.dtype))
    if attn_mask is not None:
        scores = scores + _additive(ctx, attn_mask, scores.dtype)
    weights = ops.softmax(scores)
    if attn_mask is not None:
        # torch gives zeros, not NaN, for a row that attends to nothing.
        seen = attn_mask if attn_mask.dtype == DType.bool else attn_mask > float("-inf")
        weights = ops.where(seen, weights, ctx.constant(0, scores.dtype))
    return matmul(ctx, weights, value)


def _repeat_heads(x: TensorValue, query: TensorValue) -> TensorValue:
    """Grouped-query attention: each key/value head serves several query heads (dim -3)."""
    groups = int(query.shape[-3]) // int(x.shape[-3])
    *lead, heads, length, width = x.shape
    wide = ops.broadcast_to(ops.unsqueeze(x, -3), [*lead, heads, groups, length, width])
    return ops.reshape(wide, [*lead, heads * groups, length, width])


def _additive(ctx: Context, mask: TensorValue, dtype: DType) -> TensorValue:
    if mask.dtype != DType.bool:
        return ops.max(cast(mask, dtype), ctx.constant(_lowest(dtype), dtype))
    return ops.where(mask, ctx.constant(0, dtype), ctx.constant(_lowest(dtype), dtype))


def _causal(ctx: Context, rows: Dim, columns: Dim, dtype: DType) -> TensorValue:
    """0 on and below the diagonal, lowest above; aligned at the top left, as torch's is."""
    i = ops.unsqueeze(positions(ctx, rows), 1)
    j = ops.unsqueeze(positions(ctx, columns), 0)
    return ops.where(i >= j, ctx.constant(0, dtype), ctx.constant(_lowest(dtype), dtype))


def _lowest(dtype: DType) -> float:
    """A finite stand-in for -inf: exp of it is 0, and a whole row of it is no NaN."""
    return -6e4 if dtype == DType.float16 else -1e30
