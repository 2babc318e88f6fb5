"""Views and shapes. MAX has one layout, so every view is a reshape, a permute or a broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import reshaped
from fxmax.rules.lib.values import axis

aten = torch.ops.aten


@rule(aten.view.default, aten._unsafe_view.default)
def view(ctx: Context, self: TensorValue, size: Sequence[Any]) -> TensorValue:
    return reshaped(self, ctx.out.shape)


@rule(aten.reshape.default)
def reshape(ctx: Context, self: TensorValue, shape: Sequence[Any]) -> TensorValue:
    return reshaped(self, ctx.out.shape)


@rule(aten.permute.default)
def permute(ctx: Context, self: TensorValue, dims: Sequence[int]) -> TensorValue:
    return ops.permute(self, [axis(d, self.rank) for d in dims])


@rule(aten.transpose.int)
def transpose(ctx: Context, self: TensorValue, dim0: int, dim1: int) -> TensorValue:
    return ops.transpose(self, dim0, dim1) if self.rank else self


@rule(aten.t.default)
def t(ctx: Context, self: TensorValue) -> TensorValue:
    return ops.transpose(self, 0, 1) if self.rank == 2 else self


@rule(aten.unsqueeze.default)
def unsqueeze(ctx: Context, self: TensorValue, dim: int) -> TensorValue:
    return ops.reshape(self, ctx.out.shape)


@rule(aten.squeeze.default)
def squeeze(ctx: Context, self: TensorValue) -> TensorValue:
    return ops.reshape(self, ctx.out.shape)


@rule(aten.squeeze.dim)
def squeeze_dim(ctx: Context, self: TensorValue, dim: int) -> TensorValue:
    return ops.reshape(self, ctx.out.shape)


@rule(aten.squeeze.dims)
def squeeze_dims(ctx: Context, self: TensorValue, dim: Sequence[int]) -> TensorValue:
    return ops.reshape(self, ctx.out.shape)


@rule(aten.expand.default)
def expand(ctx: Context, self: TensorValue, size: Sequence[Any], implicit: bool) -> TensorValue:
    return self if self.shape == ctx.out.shape else ops.broadcast_to(self, ctx.out.shape)
