"""Joining tensors and taking them apart, along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import has_zero, take
from fxmax.rules.lib.values import axis, cast

aten = torch.ops.aten


@rule(aten.cat.default)
def cat(ctx: Context, tensors: Sequence[TensorValue], dim: int) -> TensorValue:
    # torch skips 1-d tensors without elements, whatever the rank of the others; so may the rest
    # of the empty ones be, since they add nothing.
    full = [cast(t, ctx.out.dtype) for t in tensors if not has_zero(t.shape)]
    if not full:
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    at = axis(dim, ctx.out.rank)
    return _concat(ctx, full, at)


@rule(aten.stack.default)
def stack(ctx: Context, tensors: Sequence[TensorValue], dim: int) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    at = axis(dim, ctx.out.rank)
    return _concat(ctx, [ops.unsqueeze(cast(t, ctx.out.dtype), at) for t in tensors], at)


def _concat(ctx: Context, tensors: Sequence[TensorValue], at: int) -> TensorValue:
    """Concatenate; sizes that torch knows to be equal are given one name for MAX."""
    if len(tensors) == 1:
        return tensors[0]
    shape = list(ctx.out.shape)
    same = []
    for t in tensors:
        wanted = [*shape[:at], t.shape[at], *shape[at + 1 :]]
        same.append(t if list(t.shape) == wanted else ops.rebind(t, wanted))
    return ops.concat(same, at)


@rule(aten.split_with_sizes.default)
def split_with_sizes(
    ctx: Context, self: TensorValue, split_sizes: Sequence[Any], dim: int
) -> list[TensorValue]:
    return _pieces(ctx, self, dim)


@rule(aten.split.Tensor)
def split(ctx: Context, self: TensorValue, split_size: Any, dim: int) -> list[TensorValue]:
    return _pieces(ctx, self, dim)


def _pieces(ctx: Context, x: TensorValue, dim: int) -> list[TensorValue]:
    at = axis(dim, x.rank)
    start: Any = 0
    pieces = []
    for kind in ctx.out:
        empty = has_zero(kind.shape)
        size = kind.shape[at]
        pieces.append(ctx.full(0, kind.shape, kind.dtype) if empty else take(ctx, x, at, start, size))
        start = start + size
    return pieces


@rule(aten.unbind.int)
def unbind(ctx: Context, self: TensorValue, dim: int) -> list[TensorValue]:
    at = axis(dim, self.rank)
    if ctx.out and has_zero(ctx.out[0].shape):
        return [ctx.full(0, kind.shape, kind.dtype) for kind in ctx.out]
    return [ops.squeeze(take(ctx, self, at, i, 1), at) for i in range(len(ctx.out))]
