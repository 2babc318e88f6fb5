"""Where values would go among sorted ones."""

from __future__ import annotations

from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import has_zero
from fxmax.rules.lib.values import cast, tensor
from fxmax.rules.reduce import reduced

aten = torch.ops.aten


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
    if has_zero(value.shape) or has_zero(sequence.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    dtype = ctx.promoted()
    value, sequence = cast(value, dtype), cast(sequence, dtype)
    # Negated, so that a NaN comes after every boundary.
    after = ops.greater(sequence, value) if right else ops.greater_equal(sequence, value)
    before = cast(ops.logical_not(after), DType.int64)
    return reduced(ctx, before, -1, ops.sum)
