"""Softmax over any axis; MAX's own kernels take the last one.

In a row with +inf or NaN, which torch makes all NaN, they leave the other places as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.promotion import is_nan
from fxmax.rules.lib.sizes import has_zero
from fxmax.rules.lib.values import axis, cast

aten = torch.ops.aten


@rule(aten.softmax.int)
def softmax(ctx: Context, self: TensorValue, dim: int) -> TensorValue:
    return _along(ctx, ops.softmax, self, dim)


@rule(aten._softmax.default)
def _softmax(ctx: Context, self: TensorValue, dim: int, half_to_float: bool) -> TensorValue:
    return _along(ctx, ops.softmax, self, dim)


@rule(aten.log_softmax.int)
def log_softmax(ctx: Context, self: TensorValue, dim: int) -> TensorValue:
    return _along(ctx, ops.logsoftmax, self, dim)


@rule(aten._log_softmax.default)
def _log_softmax(ctx: Context, self: TensorValue, dim: int, half_to_float: bool) -> TensorValue:
    return _along(ctx, ops.logsoftmax, self, dim)


def _along(ctx: Context, fn: Callable[..., TensorValue], x: TensorValue, dim: int) -> TensorValue:
    """`fn` over one axis, moved to the end and back; the result's dtype is also the sum's."""
    x, at = cast(x, ctx.out.dtype), axis(dim, x.rank)
    if has_zero(x.shape):
        return x
    if x.rank == 0:
        return ops.reshape(_last(ctx, fn, ops.reshape(x, [1])), [])
    if at == x.rank - 1:
        return _last(ctx, fn, x)
    return ops.transpose(_last(ctx, fn, ops.transpose(x, at, -1)), at, -1)


def _last(ctx: Context, fn: Callable[..., TensorValue], x: TensorValue) -> TensorValue:
    """`fn` over the last axis; the row's sum tells whether there is a NaN in it."""
    y = fn(x)
    return ops.where(is_nan(ops.sum(y, -1)), ctx.constant(float("nan"), y.dtype), y)
