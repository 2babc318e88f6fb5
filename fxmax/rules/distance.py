"""Distances between points, and places of values among sorted boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.values import cast, static, tensor
from fxmax.rules.reduce import is_empty, norm, reduced

aten = torch.ops.aten


@rule(aten._cdist_forward.default)
def cdist(ctx: Context, x1: TensorValue, x2: TensorValue, p: float, compute_mode: int | None) -> TensorValue:
    if is_empty(x1) or is_empty(x2):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    between = ops.unsqueeze(x1, -2) - ops.unsqueeze(x2, -3)
    return norm(ctx, between, p, -1)


@rule(aten._pdist_forward.default)
def pdist(ctx: Context, self: TensorValue, p: float) -> TensorValue:
    n = static(self.shape[0], "the number of points")
    if n < 2 or is_empty(self):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    i, j = (ctx.constant(index.astype(np.int64), DType.int64) for index in np.triu_indices(n, 1))
    return norm(ctx, ops.gather(self, i, axis=0) - ops.gather(self, j, axis=0), p, -1)


@rule(aten.dist.default)
def dist(ctx: Context, self: TensorValue, other: TensorValue, p: Any) -> TensorValue:
    dtype = ctx.out.dtype
    return norm(ctx, cast(self, dtype) - cast(other, dtype), p, None)


@rule(aten.bucketize.Tensor)
def bucketize(
    ctx: Context, self: TensorValue, boundaries: TensorValue, out_int32: bool, right: bool
) -> TensorValue:
    return _places(ctx, ops.unsqueeze(self, -1), boundaries, right)


@rule(aten.searchsorted.Tensor, aten.searchsorted.Scalar)
def searchsorted(
    ctx: Context,
    sorted_sequence: TensorValue,
    self: Any,
    out_int32: bool,
    right: bool,
    side: str | None,
    sorter: TensorValue | None,
) -> TensorValue:
    sequence = sorted_sequence
    if sorter is not None:
        sequence = ops.gather_nd(sequence, ops.unsqueeze(sorter, -1), batch_dims=sequence.rank - 1)
    if sequence.rank > 1:
        sequence = ops.unsqueeze(sequence, -2)
    value = ops.unsqueeze(tensor(ctx, self, ctx.promoted()), -1)
    return _places(ctx, value, sequence, right or side == "right")


def _places(ctx: Context, value: TensorValue, sequence: TensorValue, right: bool) -> TensorValue:
    """How many of the sorted sequence come before each value: it is compared with all of them."""
    if is_empty(value) or is_empty(sequence):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    dtype = ctx.promoted()
    value, sequence = cast(value, dtype), cast(sequence, dtype)
    # Negated, so that a NaN comes after every boundary.
    after = ops.greater(sequence, value) if right else ops.greater_equal(sequence, value)
    before = cast(ops.logical_not(after), DType.int64)
    return reduced(ctx, before, -1, ops.sum)
