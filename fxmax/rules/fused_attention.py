"""The fused attentions that passes put in (`fxmax.fx.custom_ops`), on our Mojo kernel for float32 on the CPU.

On a GPU one of them is left to MAX's flash attention; elsewhere they are composed of MAX's own ops.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from max.dtype import DType
from max.graph import DeviceRef, TensorType, TensorValue, ops

import fxmax.fx.custom_ops  # noqa: F401 - defines the ops
from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.kernels.build import GEMM
from fxmax.rules.attention import scaled_dot_product_attention
from fxmax.rules.kv_cache import VECTOR
from fxmax.rules.lib.matmul import matmul
from fxmax.rules.lib.padding import padded
from fxmax.rules.lib.sizes import has_zero, is_static, take
from fxmax.rules.lib.values import cast

FLASH_WIDTHS = (64, 128)  # of a head
FLASH_ROWS = 128  # of a tile of queries, or a multiple


@rule(torch.ops.fxmax.attention.default)
def attention(
    ctx: Context, query: TensorValue, key: TensorValue, value: TensorValue, scale: float | None
) -> TensorValue:
    q, k, v = (ops.transpose(x, 1, 2) for x in (query, key, value))
    scores = matmul(ctx, q * ctx.constant(_factor(query, scale), q.dtype), ops.transpose(k, -1, -2))
    return cast(ops.transpose(matmul(ctx, ops.softmax(scores), v), 1, 2), ctx.out.dtype)


@rule(torch.ops.fxmax.attention.default, platform="cpu")
def attention_cpu(
    ctx: Context, query: TensorValue, key: TensorValue, value: TensorValue, scale: float | None
) -> TensorValue:
    if ctx.out.dtype != DType.float32 or has_zero([*key.shape, *ctx.out.shape]):
        return attention(ctx, query, key, value, scale)
    number = ops.constant(_factor(query, scale), DType.float32, device=ctx.device)
    [y] = ctx.kernel(GEMM, "fxmax.attention", [query, key, value, number], [ctx.out])
    return y


@rule(torch.ops.fxmax.attention.default, platform="gpu")
def attention_gpu(
    ctx: Context, query: TensorValue, key: TensorValue, value: TensorValue, scale: float | None
) -> TensorValue:
    if not has_flash(query, key, value) or has_zero([*key.shape, *ctx.out.shape]):
        return attention(ctx, query, key, value, scale)
    return _flash(ctx, query, key, value, _factor(query, scale))


def _factor(query: TensorValue, scale: float | None) -> float:
    """What scores are multiplied by."""
    return 1 / math.sqrt(int(query.shape[-1])) if scale is None else scale


def has_flash(query: TensorValue, key: TensorValue, value: TensorValue) -> bool:
    """Whether MAX's kernel for a GPU takes these, (batch, seq, heads, dim).

    In bfloat16 alone: it does not compile for float16 (no such wgmma in MAX 26.7), and rounds what is
    float32.
    """
    widths = {x.shape[-1] for x in (query, key, value)}
    bfloat16 = {x.dtype for x in (query, key, value)} == {DType.bfloat16}
    fits = bfloat16 and len(widths) == 1 and int(widths.pop()) in FLASH_WIDTHS
    return fits and is_static(query.shape[1])


def _flash(
    ctx: Context, query: TensorValue, key: TensorValue, value: TensorValue, factor: float
) -> TensorValue:
    """MAX's kernel on whole tiles of queries.

    It writes whole tiles (MAX 26.7, seen on an H200): where the queries end within one, what lies behind
    the output in memory is overwritten. In Whisper's encoder that was the next layer's input.
    """
    rows = int(query.shape[1])
    query = padded(ctx, query, [(0, 0), (0, -rows % FLASH_ROWS), (0, 0), (0, 0)], 0)
    number = ops.constant(factor, DType.float32, device=DeviceRef.CPU())
    inputs, kind = [query, key, value, number], TensorType(query.dtype, query.shape, ctx.device)
    settings: Any = {"mask_str": "null", "local_window_size": -1}
    y = ops.custom("mo.mha.no_cache", ctx.device, inputs, [kind], parameters=settings)[0].tensor
    return take(ctx, y, 1, 0, rows)


@rule(torch.ops.fxmax.heads_attention.default)
def heads_attention(
    ctx: Context,
    query: TensorValue,
    key: TensorValue,
    value: TensorValue,
    attn_mask: TensorValue | None,
    is_causal: bool,
    scale: float | None,
) -> TensorValue:
    shared = query.shape[1] != key.shape[1]
    return scaled_dot_product_attention(ctx, query, key, value, attn_mask, 0.0, is_causal, scale, shared)


@rule(torch.ops.fxmax.heads_attention.default, platform="cpu")
def heads_attention_cpu(
    ctx: Context,
    query: TensorValue,
    key: TensorValue,
    value: TensorValue,
    attn_mask: TensorValue | None,
    is_causal: bool,
    scale: float | None,
) -> TensorValue:
    if has_zero([*key.shape, *ctx.out.shape]):
        return heads_attention(ctx, query, key, value, attn_mask, is_causal, scale)
    width = int(query.shape[-1])
    whole = width % VECTOR == 0 and value.shape[-1] == width
    if attn_mask is None:
        mask = ctx.full(0, [1, 1, 1, 1], DType.float32)
    else:
        mask = attn_mask if attn_mask.dtype == DType.float32 else _additive(ctx, attn_mask)
        mask = ops.reshape(mask, [*[1] * (4 - mask.rank), *mask.shape])
    number = ops.constant(_factor(query, scale), DType.float32, device=ctx.device)
    [y] = ctx.kernel(
        GEMM,
        "fxmax.heads_attention",
        [query, key, value, mask, number],
        [ctx.out],
        dim=width if whole else 0,
        has_mask=attn_mask is not None,
        causal=is_causal,
    )
    return y


def _additive(ctx: Context, mask: TensorValue) -> TensorValue:
    return ops.where(mask, ctx.constant(0, DType.float32), ctx.constant(-math.inf, DType.float32))
