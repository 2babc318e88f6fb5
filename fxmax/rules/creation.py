"""New tensors. What torch leaves undefined (`empty`) is zero here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import positions
from fxmax.rules.lib.values import broadcast, cast, tensor

aten, prims = torch.ops.aten, torch.ops.prims


@rule(aten.full.default)
def full(ctx: Context, size: Sequence[Any], fill_value: Any) -> TensorValue:
    return filled(ctx, fill_value)


@rule(aten.full_like.default)
def full_like(ctx: Context, self: TensorValue, fill_value: Any) -> TensorValue:
    return filled(ctx, fill_value)


@rule(aten.fill.Scalar, aten.fill.Tensor)
def fill(ctx: Context, self: TensorValue, value: Any) -> TensorValue:
    return filled(ctx, value)


@rule(aten.scalar_tensor.default)
def scalar_tensor(ctx: Context, s: Any) -> TensorValue:
    return filled(ctx, s)


@rule(aten.zeros.default, aten.empty.memory_format)
def zeros(ctx: Context, size: Sequence[Any]) -> TensorValue:
    return filled(ctx, 0)


@rule(aten.ones.default)
def ones(ctx: Context, size: Sequence[Any]) -> TensorValue:
    return filled(ctx, 1)


@rule(aten.empty_permuted.default)
def empty_permuted(ctx: Context, size: Sequence[Any], physical_layout: Sequence[int]) -> TensorValue:
    return filled(ctx, 0)


@rule(aten.empty_strided.default)
def empty_strided(ctx: Context, size: Sequence[Any], stride: Sequence[Any]) -> TensorValue:
    return filled(ctx, 0)


def filled(ctx: Context, value: Any) -> TensorValue:
    """`value` in the shape and dtype that torch gives the node."""
    return broadcast(tensor(ctx, value, ctx.out.dtype), ctx.out.shape)


@rule(aten.arange.start_step)
def arange(ctx: Context, start: Any, end: Any, step: Any) -> TensorValue:
    # Computed from a counter, as torch does (start + i * step in double), not by repeated adding.
    i = positions(ctx, ctx.out.shape[0])
    wide = DType.float64 if ctx.out.dtype.is_float() else DType.int64
    if start == 0 and step == 1:
        return cast(i, ctx.out.dtype)
    return cast(tensor(ctx, start, wide) + cast(i, wide) * tensor(ctx, step, wide), ctx.out.dtype)


@rule(prims.iota.default)
def iota(ctx: Context, length: Any, start: Any, step: Any, requires_grad: bool) -> TensorValue:
    return arange(ctx, start, None, step)
