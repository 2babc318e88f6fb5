"""Distances between points: cdist, pdist and dist."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import has_zero
from fxmax.rules.lib.values import cast, static
from fxmax.rules.reduce import norm

aten = torch.ops.aten


@rule(aten._cdist_forward.default)
def cdist(ctx: Context, x1: TensorValue, x2: TensorValue, p: float, compute_mode: int | None) -> TensorValue:
    if has_zero(x1.shape) or has_zero(x2.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    between = ops.unsqueeze(x1, -2) - ops.unsqueeze(x2, -3)
    return norm(ctx, between, p, -1)


@rule(aten._pdist_forward.default)
def pdist(ctx: Context, self: TensorValue, p: float) -> TensorValue:
    n = static(self.shape[0], "the number of points")
    if n < 2 or has_zero(self.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    i, j = (ctx.constant(index.astype(np.int64), DType.int64) for index in np.triu_indices(n, 1))
    return norm(ctx, ops.gather(self, i, axis=0) - ops.gather(self, j, axis=0), p, -1)


@rule(aten.dist.default)
def dist(ctx: Context, self: TensorValue, other: TensorValue, p: Any) -> TensorValue:
    dtype = ctx.out.dtype
    return norm(ctx, cast(self, dtype) - cast(other, dtype), p, None)
