"""Activations kept whole; the others come apart in torch's decompositions and MAX fuses them."""

from __future__ import annotations

from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.fx.torch_private import Promotion
from fxmax.rules.arithmetic import maximum, minimum
from fxmax.rules.lib.promotion import elementwise, less, scalar
from fxmax.rules.lib.values import tensor
from fxmax.rules.unary import exp
from fxmax.support.signals import Declined

aten = torch.ops.aten


def relu(x: TensorValue) -> TensorValue:
    return ops.where(less(x, scalar(x, 0)), scalar(x, 0), x)  # MAX's relu makes NaN 0


def relu6(x: TensorValue) -> TensorValue:
    return minimum(maximum(x, scalar(x, 0)), scalar(x, 6))


def hardswish(x: TensorValue) -> TensorValue:
    return x * relu6(x + scalar(x, 3)) / scalar(x, 6)


elementwise({aten.relu.default: relu, aten.hardswish.default: hardswish})
elementwise({aten.silu.default: ops.silu}, Promotion.INT_TO_FLOAT)


@rule(aten.gelu.default)
def gelu(ctx: Context, self: TensorValue, approximate: str) -> TensorValue:
    return ops.gelu(self, approximate)


@rule(aten.leaky_relu.default)
def leaky_relu(ctx: Context, self: TensorValue, negative_slope: Any) -> TensorValue:
    return ops.where(self > scalar(self, 0), self, self * tensor(ctx, negative_slope, self.dtype))


@rule(aten.hardtanh.default)
def hardtanh(ctx: Context, self: TensorValue, min_val: Any, max_val: Any) -> TensorValue:
    low, high = (tensor(ctx, v, self.dtype) for v in (min_val, max_val))
    return minimum(maximum(self, low), high)


@rule(aten.elu.default)
def elu(ctx: Context, self: TensorValue, alpha: Any, scale: Any, input_scale: Any) -> TensorValue:
    a, s, i = (tensor(ctx, v, self.dtype) for v in (alpha, scale, input_scale))
    curve = a * (exp(self * i) - scalar(self, 1))
    return s * ops.where(self >= scalar(self, 0), self, curve)


@rule(aten.softplus.default)
def softplus(ctx: Context, self: TensorValue, beta: Any, threshold: Any) -> TensorValue:
    b, top = (tensor(ctx, v, self.dtype) for v in (beta, threshold))
    z = self * b
    return ops.where(z > top, self, ops.log1p(exp(z)) / b)


@rule(aten.native_dropout.default)
def native_dropout(ctx: Context, input: TensorValue, p: float, train: bool | None) -> list[TensorValue]:
    if train is not False and p:
        raise Declined("dropout draws random numbers, for training; put the module in eval mode")
    return [input, ctx.full(True, input.shape, DType.bool)]
