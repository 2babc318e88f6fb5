"""Rearranging elements: flips, rolls, repeats, and views by strides, which MAX's layout makes copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import along, has_zero, is_static, positions, product_of, size_value, take
from fxmax.rules.lib.values import axis
from fxmax.support.signals import Declined

aten = torch.ops.aten


@rule(aten.flip.default)
def flip(ctx: Context, self: TensorValue, dims: Sequence[int]) -> TensorValue:
    if has_zero(self.shape) or self.rank == 0:
        return self
    x = self
    for dim in dims:
        at = axis(dim, x.rank)
        size = x.shape[at]
        last = size_value(ctx, size) - 1
        x = ops.gather(x, last - positions(ctx, size), at)
    return x


@rule(aten.roll.default)
def roll(ctx: Context, self: TensorValue, shifts: Sequence[Any], dims: Sequence[int]) -> TensorValue:
    if has_zero(self.shape) or self.rank == 0:
        return self
    if not len(dims):  # torch rolls the flattened tensor
        flat = ops.reshape(self, [product_of(self.shape)])
        return ops.reshape(_rolled(ctx, flat, shifts[0], 0), self.shape)
    x = self
    for shift, dim in zip(shifts, dims, strict=True):
        x = _rolled(ctx, x, shift, axis(dim, x.rank))
    return x


def _rolled(ctx: Context, x: TensorValue, shift: Any, at: int) -> TensorValue:
    size = x.shape[at]
    if not (is_static(shift) and is_static(size)):  # it may go around several times, or the size be 0
        from_ = positions(ctx, size) - size_value(ctx, shift)
        return ops.gather(x, ops.mod(from_, size_value(ctx, size)), at)
    count = int(shift) % int(size)
    if count == 0:
        return x
    rest = int(size) - count
    return ops.rebind(ops.concat([take(ctx, x, at, rest, count), take(ctx, x, at, 0, rest)], at), x.shape)


@rule(aten.repeat.default)
def repeat(ctx: Context, self: TensorValue, repeats: Sequence[Any]) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    shape = [1] * (len(repeats) - self.rank) + list(self.shape)
    apart = [s for size in shape for s in (1, size)]
    wide = [s for times, size in zip(repeats, shape, strict=True) for s in (times, size)]
    return ops.reshape(ops.broadcast_to(ops.reshape(self, apart), wide), ctx.out.shape)


@rule(aten.unfold.default)
def unfold(ctx: Context, self: TensorValue, dimension: int, size: int, step: int) -> TensorValue:
    if self.rank == 0:
        return ops.reshape(self, [size])
    at = axis(dimension, self.rank)
    first = ops.unsqueeze(positions(ctx, ctx.out.shape[at]) * step, 1)
    places = first + ops.unsqueeze(positions(ctx, size), 0)
    windows = ops.gather(self, places, at)  # the windows' places stand right after their numbers
    order = [i for i in range(windows.rank) if i != at + 1]
    return ops.permute(windows, [*order, at + 1])


@rule(aten.diagonal.default)
def diagonal(ctx: Context, self: TensorValue, offset: int, dim1: int, dim2: int) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    a, b = axis(dim1, self.rank), axis(dim2, self.rank)
    rest = [i for i in range(self.rank) if i not in (a, b)]
    x = ops.permute(self, [*rest, a, b])
    count = ctx.out.shape[-1]
    flat = ops.reshape(x, [*x.shape[:-2], x.shape[-2] * x.shape[-1]])
    width = x.shape[-1]
    start = offset if offset >= 0 else -offset * width
    if is_static(width) and is_static(start):
        places = positions(ctx, count) * (int(width) + 1) + int(start)
    else:
        places = positions(ctx, count) * (ctx.size_tensor(width) + 1) + ctx.size_tensor(start)
    return ops.gather(flat, places, flat.rank - 1)


@rule(aten.as_strided.default)
def as_strided(
    ctx: Context, self: TensorValue, size: Sequence[Any], stride: Sequence[Any], storage_offset: Any
) -> TensorValue:
    # Every MAX value is contiguous; strides over a torch tensor that isn't mean other elements.
    if not ctx.meta("self").is_contiguous():
        raise Declined("as_strided of a tensor that is not contiguous")
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    flat = ops.reshape(self, [product_of(self.shape)])
    rank = len(size)
    places = ctx.constant(0, DType.int64) + (0 if storage_offset is None else size_value(ctx, storage_offset))
    for at, (count, apart) in enumerate(zip(ctx.out.shape, stride, strict=True)):
        places = ctx.viewable(places) + along(positions(ctx, count) * size_value(ctx, apart), at, rank)
    return ops.gather(flat, places, 0)
