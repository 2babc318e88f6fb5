"""The fused ops of a decoder's caches (`fxmax.fx.custom_ops`): read where they lie, and written in place.

The kernels are the CPU's. Elsewhere, and for what they don't take, the general rules compose it of MAX's
own ops.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from max.dtype import DType
from max.graph import BufferValue, Dim, TensorValue, ops

import fxmax.fx.custom_ops  # noqa: F401 - defines the ops
from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.kernels.build import BUFFERS, GEMM
from fxmax.rules.lib.matmul import matmul
from fxmax.rules.lib.sizes import from_front, has_zero, is_static, reshaped, take
from fxmax.rules.lib.values import axis
from fxmax.rules.slices import written

VECTOR = 16  # floats: the widest of the CPUs' vectors, which a head's width is cut in


@rule(torch.ops.fxmax.cached_attention.default)
def cached_attention(
    ctx: Context,
    query: TensorValue,
    key: TensorValue,
    key_scales: TensorValue | None,
    value: TensorValue,
    value_scales: TensorValue | None,
    keys: Any,
    scale: float | None,
) -> TensorValue:
    factor = 1 / math.sqrt(int(query.shape[-1])) if scale is None else scale
    used = key.shape[-2] if keys is None else Dim(keys)
    k, v = (
        (x if scales is None else ops.cast(x, query.dtype) * scales)
        for x, scales in ((key, key_scales), (value, value_scales))
    )
    k, v = (reshaped(x, [*query.shape[:2], *x.shape[-2:]]) for x in (k, v))
    k, v = (x if keys is None else take(ctx, x, 2, 0, used, 1) for x in (k, v))
    scores = matmul(ctx, query * ctx.constant(factor, query.dtype), ops.transpose(k, -1, -2))
    return matmul(ctx, ops.softmax(scores), v)


@rule(torch.ops.fxmax.cached_attention.default, platform="cpu")
def cached_attention_cpu(
    ctx: Context,
    query: TensorValue,
    key: TensorValue,
    key_scales: TensorValue | None,
    value: TensorValue,
    value_scales: TensorValue | None,
    keys: Any,
    scale: float | None,
) -> TensorValue:
    width = int(query.shape[-1])
    used = key.shape[-2] if keys is None else Dim(keys)
    if width % VECTOR or has_zero([*key.shape, used, *ctx.out.shape]):
        return cached_attention(ctx, query, key, key_scales, value, value_scales, keys, scale)
    factor = 1 / math.sqrt(width) if scale is None else scale
    last = [ctx.size_tensor(used), ops.constant(factor, DType.float32, device=ctx.device)]
    if (buffers := _buffers(ctx, key, value)) is not None:
        [y] = ctx.kernel(GEMM, "fxmax.buffer_attention", [query, *buffers, *last], [ctx.out], dim=width)
    else:
        none = ctx.full(0, [1], DType.float32)
        k, v = ([x, none if s is None else s] for x, s in ((key, key_scales), (value, value_scales)))
        [y] = ctx.kernel(GEMM, "fxmax.cached_attention", [query, *k, *v, *last], [ctx.out], dim=width)
    return y


def _buffers(ctx: Context, key: TensorValue, value: TensorValue) -> list[BufferValue] | None:
    """The mutable inputs that hold both, where they do: read there, since MAX would copy them."""
    found = [ctx.buffer(x) for x in (key, value)]
    held = [b for b in found if b is not None and b.dtype == DType.float32]
    return held if len(held) == 2 else None


@rule(torch.ops.fxmax.write_places.default)
def write_places(ctx: Context, self: TensorValue, src: TensorValue, dim: int, first: Any) -> TensorValue:
    at = axis(dim, self.rank)
    start = from_front(ctx, "first", first, self.shape[at])
    return written(ctx, self, src, at, start, src.shape[at], 1)


@rule(torch.ops.fxmax.write_places.default, platform="cpu")
def write_places_cpu(ctx: Context, self: TensorValue, src: TensorValue, dim: int, first: Any) -> TensorValue:
    at = axis(dim, self.rank)
    start = from_front(ctx, "first", first, self.shape[at])

    def write(buffer: BufferValue) -> None:
        place = ctx.constant(int(start), DType.int64) if is_static(start) else ctx.size_tensor(start)
        ctx.kernel(BUFFERS, "fxmax.store_places", [buffer, src, place], [], axis=at)

    stored = None if has_zero(src.shape) else ctx.stored(self, write)
    return write_places(ctx, self, src, dim, first) if stored is None else stored
