"""The channels-last convolution that a pass puts in (`fxmax.conv1d`): a Mojo kernel, or as `conv` has it."""

from __future__ import annotations

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

import fxmax.fx.custom_ops  # noqa: F401 - defines the op
from fxmax.core.context import Context, PendingWeight
from fxmax.core.table import rule
from fxmax.kernels.build import GEMM
from fxmax.kernels.packing import window_panels
from fxmax.rules.conv import channels_last
from fxmax.rules.fused_linear import ACTIVATIONS, as_is, has_kernel
from fxmax.rules.lib.conv_kernel import Settings


@rule(torch.ops.fxmax.conv1d.default, prepack=("weight",))
def conv1d(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    stride: int,
    padding: int,
    act: str,
) -> TensorValue:
    last = [2, 1, 0]
    filters = ctx.prepacked(weight, "KCF", lambda w: w.permute(last), lambda w: ops.permute(w, last))
    settings = Settings([stride], [padding], [1], 1)
    return ACTIVATIONS[act](channels_last(ctx, input, filters, bias, settings, [ctx.out.shape[1]]))


@rule(torch.ops.fxmax.conv1d.default, platform="cpu", prepack=("weight",))
def conv1d_cpu(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    stride: int,
    padding: int,
    act: str,
) -> TensorValue:
    if not has_kernel(ctx, weight):
        return conv1d(ctx, input, weight, bias, stride, padding, act)
    [y] = ctx.kernel(
        GEMM,
        "fxmax.conv1d",
        [
            input,
            ctx.prepacked(weight, "window panels", window_panels, as_is),
            bias if bias is not None else ctx.full(0, [1], DType.float32),
        ],
        [ctx.out],
        activation=act,
        taps=ctx.meta("weight").shape[-1],
        stride=stride,
        padding=padding,
        has_bias=bias is not None,
    )
    return y
