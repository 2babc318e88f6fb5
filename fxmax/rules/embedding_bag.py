"""Embedding bags: rows of a table, summed, averaged or maximized over bags of indices."""

from __future__ import annotations

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.matmul import matmul
from fxmax.rules.lib.sizes import positions, size_value
from fxmax.rules.lib.values import cast
from fxmax.rules.reduce import greatest
from fxmax.support.signals import Declined

aten = torch.ops.aten
SUM, MEAN, MAX = range(3)


@rule(aten._embedding_bag.default, aten._embedding_bag_forward_only.default)
def embedding_bag(
    ctx: Context,
    weight: TensorValue,
    indices: TensorValue,
    offsets: TensorValue,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: TensorValue | None,
    include_last_offset: bool,
    padding_idx: int,
) -> list[TensorValue]:
    if any(user.args[1] != 0 for user in ctx.node.users):
        raise Declined("only the first result of an embedding bag; the others are for its gradient")
    rows = ops.gather(weight, indices, 0)
    if per_sample_weights is not None:
        rows = rows * ops.unsqueeze(per_sample_weights, 1)
    bags = ctx.out[0].shape[0]
    # Index i is in the last bag that starts at or before it; an extra last offset only ends one.
    place = ops.unsqueeze(positions(ctx, indices.shape[0]), 0)
    started = cast(place >= ops.unsqueeze(cast(offsets, DType.int64), 1), DType.int64)
    bag = ops.sum(started, 0) - 1  # (1, indices)
    if include_last_offset:
        bag = ops.min(bag, size_value(ctx, bags) - 1)
    member = ops.equal(bag, ops.unsqueeze(positions(ctx, bags), 1))
    if padding_idx >= 0:
        member = ops.logical_and(member, ops.unsqueeze(ops.not_equal(indices, padding_idx), 0))
    counts = ops.sum(cast(member, rows.dtype), 1)  # (bags, 1)
    if mode == MAX:
        lowest = ctx.constant(float("-inf"), rows.dtype)
        each = ops.where(ops.unsqueeze(member, 2), ops.unsqueeze(rows, 0), lowest)
        result = ops.where(counts > 0, ops.squeeze(greatest(each, 1), 1), ctx.constant(0, rows.dtype))
    else:
        result = matmul(ctx, cast(member, rows.dtype), rows)
        if mode == MEAN:
            result = result / ops.max(counts, ctx.constant(1, rows.dtype))
    return [result, *(ctx.full(0, kind.shape, kind.dtype) for kind in ctx.out[1:])]
