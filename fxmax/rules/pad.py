"""Padding with a constant. The other modes are decomposed by torch into index ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.graph import TensorValue

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.padding import padded
from fxmax.rules.lib.sizes import has_zero
from fxmax.rules.lib.values import number

aten = torch.ops.aten


@rule(aten.constant_pad_nd.default)
def constant_pad_nd(ctx: Context, self: TensorValue, pad: Sequence[Any], value: Any) -> TensorValue:
    if has_zero(self.shape) or has_zero(ctx.out.shape):
        return ctx.full(number(value, self.dtype), ctx.out.shape, self.dtype)
    # The schema lists (before, after) pairs from the last axis on.
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    lead = self.rank - len(pairs)
    return padded(ctx, self, [(0, 0)] * lead + pairs[::-1], number(value, self.dtype))
