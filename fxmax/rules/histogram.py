"""Histograms: how many values fall into each bin, every value being compared with every bin."""

from __future__ import annotations

from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import positions, product_of
from fxmax.rules.lib.values import cast

aten = torch.ops.aten


@rule(aten.histc.default)
def histc(ctx: Context, self: TensorValue, bins: int, min: Any, max: Any) -> TensorValue:
    flat = ops.reshape(self, [product_of(self.shape)])
    low, high = (ctx.constant(float(v), self.dtype) for v in (min, max))
    if min == max:  # torch takes the data's own range, and widens an empty one
        low, high = ops.min(flat, axis=0), ops.max(flat, axis=0)
        same = ops.equal(low, high)
        low, high = ops.where(same, low - 1, low), ops.where(same, high + 1, high)
    place = cast(ops.floor((flat - low) * ctx.constant(float(bins), self.dtype) / (high - low)), DType.int64)
    place = ops.min(place, bins - 1)  # the last bin holds its right edge too
    place = ops.where(ops.logical_and(flat >= low, flat <= high), place, -1)
    found = ops.equal(ops.unsqueeze(place, 1), ops.unsqueeze(positions(ctx, bins), 0))
    return ops.squeeze(ops.sum(cast(found, self.dtype), 0), 0)
