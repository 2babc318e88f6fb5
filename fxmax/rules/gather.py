"""Reading by index. torch counts negative indices from the back, except in an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.kernels.build import ROWS
from fxmax.rules.data_dependent import unmasked
from fxmax.rules.lib.by_platform import by_platform
from fxmax.rules.lib.sizes import has_zero, product_of, size_value, take
from fxmax.rules.lib.values import axis, broadcast_shape, cast

aten = torch.ops.aten


@rule(aten.embedding.default)
def embedding(
    ctx: Context,
    weight: TensorValue,
    indices: TensorValue,
    padding_idx: Any,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    return gathered(ctx, weight, indices, 0)


@rule(aten.index_select.default)
def index_select(ctx: Context, self: TensorValue, dim: int, index: TensorValue) -> TensorValue:
    if self.rank == 0:
        return self  # its only element
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    return ops.reshape(gathered(ctx, self, index, axis(dim, self.rank)), ctx.out.shape)


@by_platform
def gathered(ctx: Context, x: TensorValue, index: TensorValue, dim: int) -> TensorValue:
    """Slices of `x` by an index of any rank, none of it negative.

    On the CPU one that is out of range stops the call, as in torch; MAX's gather counts -1 from the back.
    """
    shape = [*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]]
    places = ops.reshape(index, [product_of(index.shape)])  # MAX's gather compiles for none of rank 0
    return ops.reshape(ops.gather(x, places, dim), shape)


@gathered.on("cpu")
def _taken(ctx: Context, x: TensorValue, index: TensorValue, dim: int) -> TensorValue:
    shape = [*x.shape[:dim], *index.shape, *x.shape[dim + 1 :]]
    places = ops.reshape(index, [product_of(index.shape)])
    slices = ops.reshape(x, [product_of(x.shape[:dim]), x.shape[dim], product_of(x.shape[dim + 1 :])])
    result = TensorType(x.dtype, [slices.shape[0], places.shape[0], slices.shape[2]], ctx.device)
    [found] = ctx.kernel(ROWS, "fxmax.take", [slices, places], [result])
    return ops.reshape(found, shape)


@rule(aten.gather.default)
def gather(ctx: Context, self: TensorValue, dim: int, index: TensorValue, sparse_grad: bool) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    if self.rank == 0:
        return self
    index = index if index.rank else ops.reshape(index, [1])
    at = axis(dim, self.rank)
    x = self
    for i in range(x.rank):  # the index may be smaller than the tensor on other axes
        if i != at:
            x = take(ctx, x, i, 0, index.shape[i])
    last = ops.transpose(x, at, -1), ops.unsqueeze(ops.transpose(index, at, -1), -1)
    found = ops.gather_nd(*last, batch_dims=x.rank - 1)
    return ops.reshape(ops.transpose(found, at, -1), ctx.out.shape)


@rule(aten.index.Tensor, aten._unsafe_index.Tensor)
def index(ctx: Context, self: TensorValue, indices: Sequence[TensorValue | None]) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    at, given = advanced(unmasked(ctx, indices, ctx.out.shape))
    if not given:
        return self
    if len(at) == 1:
        return ops.reshape(
            gathered(ctx, self, wrapped(ctx, given[0], self.shape[at[0]]), at[0]), ctx.out.shape
        )
    coordinates = joined(ctx, self, at, given)
    rest = [i for i in range(self.rank) if i not in at]
    found = ops.gather_nd(ops.permute(self, [*at, *rest]), coordinates)
    # torch puts the indexed axes where the first was if they are neighbours, else in front.
    count = coordinates.rank - 1
    place = at[0] if at == list(range(at[0], at[0] + len(at))) else 0
    order = [*range(count, count + place), *range(count), *range(count + place, found.rank)]
    return ops.reshape(ops.permute(found, order), ctx.out.shape)


def advanced(indices: Sequence[TensorValue | None]) -> tuple[list[int], list[TensorValue]]:
    """The axes that are indexed, and by what."""
    at = [i for i, index in enumerate(indices) if index is not None]
    return at, [index for index in indices if index is not None]


@rule(aten.take.default)
def elements(ctx: Context, self: TensorValue, index: TensorValue) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    flat = ops.reshape(self, [product_of(self.shape)])
    return gathered(ctx, flat, wrapped(ctx, index, flat.shape[0]), 0)


def wrapped(ctx: Context, index: TensorValue, size: Any) -> TensorValue:
    """`index` with negative places counted from the back."""
    index = cast(index, DType.int64)
    length = size_value(ctx, size)
    return ops.where(index < 0, index + length, index)


def joined(ctx: Context, x: TensorValue, at: Sequence[int], given: Sequence[TensorValue]) -> TensorValue:
    """Several indices broadcast together, as coordinates along a new last axis."""
    shape = broadcast_shape([index.shape for index in given])
    same = [
        ops.unsqueeze(ops.broadcast_to(wrapped(ctx, index, x.shape[i]), shape), -1)
        for i, index in zip(at, given, strict=True)
    ]
    return same[0] if len(same) == 1 else ops.concat(same, -1)


@rule(aten.masked_scatter.default)
def masked_scatter(ctx: Context, self: TensorValue, mask: TensorValue, source: TensorValue) -> TensorValue:
    if has_zero(ctx.out.shape) or has_zero(source.shape):
        return self
    shape = ctx.out.shape
    flat = ops.reshape(ops.broadcast_to(mask, shape), [product_of(shape)])
    nth = ops.cumsum(cast(flat, DType.int64), 0) - 1  # which of the source's elements comes here
    values = ops.gather(ops.reshape(source, [product_of(source.shape)]), ops.max(nth, 0), 0)
    return ops.where(mask, ops.reshape(values, shape), self)
