"""Convolutions.

float32 on the CPU is our kernel's (`lib/conv_kernel.py`). The rest is MAX's, channels-last, its filter
(…, C, F), which is made once, when a checkpoint is bound. A dilated convolution is padded before it: MAX's
CPU kernel is wrong where it pads a dilated filter by more than half of its width (error 0.5 with 5 taps,
dilation 2, padding 7).

A transposed convolution is a plain one over the input with stride - 1 zeros between its places,
with the filter reversed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from max.dtype import DType
from max.graph import Dim, TensorValue, ops

from fxmax.core.context import Context, PendingWeight
from fxmax.core.table import rule
from fxmax.rules.fused_linear import ACTIVATIONS
from fxmax.rules.lib.by_platform import by_platform
from fxmax.rules.lib.conv_as_matmul import by_windows
from fxmax.rules.lib.conv_kernel import Norm, Settings, by_kernel
from fxmax.rules.lib.padding import padded
from fxmax.rules.lib.sizes import has_zero, take
from fxmax.rules.lib.values import static
from fxmax.rules.norm import by_statistics
from fxmax.support.signals import Declined

aten = torch.ops.aten
Weight: TypeAlias = TensorValue | PendingWeight


@rule(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, prepack=("weight",))
def conv(
    ctx: Context,
    input: TensorValue,
    weight: Weight,
    bias: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> TensorValue:
    return _convolution(ctx, input, weight, bias, _settings(weight, stride, padding, dilation, groups))


@rule(torch.ops.fxmax.conv.default, prepack=("weight",))
def fused_conv(
    ctx: Context,
    input: TensorValue,
    weight: Weight,
    bias: TensorValue | None,
    norm_weight: TensorValue | None,
    norm_bias: TensorValue | None,
    running_mean: TensorValue | None,
    running_var: TensorValue | None,
    residual: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    eps: float,
    act: str,
) -> TensorValue:
    y = _convolution(ctx, input, weight, bias, _settings(weight, stride, padding, dilation, groups))
    if running_mean is not None and running_var is not None:
        y = by_statistics(ctx, y, norm_weight, norm_bias, running_mean, running_var, eps)
    return ACTIVATIONS[act](y if residual is None else y + residual)


@rule(torch.ops.fxmax.conv.default, platform="cpu", prepack=("weight",))
def fused_conv_cpu(
    ctx: Context,
    input: TensorValue,
    weight: Weight,
    bias: TensorValue | None,
    norm_weight: TensorValue | None,
    norm_bias: TensorValue | None,
    running_mean: TensorValue | None,
    running_var: TensorValue | None,
    residual: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    eps: float,
    act: str,
) -> TensorValue:
    if not _has_kernel(ctx):
        statistics = norm_weight, norm_bias, running_mean, running_var
        settings = stride, padding, dilation, groups, eps, act
        return fused_conv(ctx, input, weight, bias, *statistics, residual, *settings)
    norm = None
    if running_mean is not None and running_var is not None:
        norm = Norm(running_mean, running_var, norm_weight, norm_bias, eps)
    given = _settings(weight, stride, padding, dilation, groups)
    return by_kernel(ctx, input, _filters(ctx, weight, given), bias, given, norm, residual, act)


@rule(aten.convolution.default, prepack=("weight",))
def convolution(
    ctx: Context,
    input: TensorValue,
    weight: Weight,
    bias: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> TensorValue:
    settings = _settings(weight, stride, padding, dilation, groups)
    if not transposed:
        return _convolution(ctx, input, weight, bias, settings)
    space = len(settings.stride)
    lead = input.rank - space
    x, pairs = input, [(0, 0)] * lead
    for i, more in enumerate(_each(output_padding, space)):
        x = _spread(ctx, x, lead + i, settings.stride[i])
        edge = settings.dilation[i] * (int(weight.shape[2 + i]) - 1) - settings.padding[i]
        pairs.append((edge, edge + more))
    spread = Settings([1] * space, [0] * space, settings.dilation, groups)
    return _convolution(ctx, padded(ctx, x, pairs, 0), weight, bias, spread, reverse=True)


def _settings(
    weight: Weight, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> Settings:
    space = len(weight.shape) - 2
    if space not in (1, 2, 3):
        raise Declined(f"MAX has convolutions over 1, 2 and 3 axes, not {space}")
    return Settings(_each(stride, space), _each(padding, space), _each(dilation, space), groups)


def _has_kernel(ctx: Context) -> bool:
    """Whether the CPU's kernel makes this node's result."""
    return ctx.out.dtype == DType.float32 and not has_zero(ctx.out.shape)


def _convolution(
    ctx: Context,
    input: TensorValue,
    weight: Weight,
    bias: TensorValue | None,
    settings: Settings,
    reverse: bool = False,
) -> TensorValue:
    """The convolution of `input`, with or without a batch axis; `reverse`: a transposed filter."""
    space = len(settings.stride)
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    batched = input if input.rank == space + 2 else ops.unsqueeze(input, 0)
    y = _of_batch(ctx, batched, weight, bias, settings, reverse)
    return y if input.rank == space + 2 else ops.squeeze(y, 0)


@by_platform
def _of_batch(
    ctx: Context, x: TensorValue, weight: Weight, bias: TensorValue | None, settings: Settings, reverse: bool
) -> TensorValue:
    """Channels-last, there and back."""
    space = len(settings.stride)
    filters = _filters(ctx, weight, settings, reverse, [*range(2, space + 2), 1, 0])
    if any(d > 1 and p > 0 for d, p in zip(settings.dilation, settings.padding, strict=True)):
        x = padded(ctx, x, [(0, 0), (0, 0), *((p, p) for p in settings.padding)], 0)
        settings = settings._replace(padding=[0] * space)
    x = ops.permute(x, [0, *range(2, space + 2), 1])
    y = channels_last(ctx, x, filters, bias, settings, ctx.out.shape[-space:])
    return ops.permute(y, [0, space + 1, *range(1, space + 1)])


@_of_batch.on("cpu")
def _of_batch_cpu(
    ctx: Context, x: TensorValue, weight: Weight, bias: TensorValue | None, settings: Settings, reverse: bool
) -> TensorValue:
    if not _has_kernel(ctx):
        return _of_batch.general(ctx, x, weight, bias, settings, reverse)
    return by_kernel(ctx, x, _filters(ctx, weight, settings, reverse), bias, settings)


@by_platform
def channels_last(
    ctx: Context,
    x: TensorValue,
    filters: TensorValue,
    bias: TensorValue | None,
    settings: Settings,
    sizes: Sequence[Dim],
) -> TensorValue:
    """(batch, *spatial, channels) and filters (*taps, channels, features) → (batch, *sizes, features).

    By MAX's kernel. One axis is W of two, H being 1: along H it takes ten times as long.
    """
    stride, padding, dilation, groups = settings
    space = len(stride)
    if space == 1:
        x, filters = ops.unsqueeze(x, 1), ops.unsqueeze(filters, 0)
        stride, padding, dilation = [1, *stride], [0, *padding], [1, *dilation]
    given: Any = {
        "stride": tuple(stride),
        "padding": tuple(p for p in padding for _ in range(2)),
        "dilation": tuple(dilation),
        "groups": groups,
        "bias": bias,
    }
    y = (ops.conv3d if space == 3 else ops.conv2d)(x, filters, **given)
    return ops.squeeze(y, 1) if space == 1 else y


@channels_last.on("gpu")
def _channels_last_gpu(
    ctx: Context,
    x: TensorValue,
    filters: TensorValue,
    bias: TensorValue | None,
    settings: Settings,
    sizes: Sequence[Dim],
) -> TensorValue:
    if settings.groups > 1:
        return channels_last.general(ctx, x, filters, bias, settings, sizes)
    return by_windows(ctx, x, filters, bias, *settings[:3], sizes)


def _filters(
    ctx: Context, weight: Weight, settings: Settings, reverse: bool = False, order: list[int] | None = None
) -> TensorValue:
    """The filter (F, C / groups, K…), its axes in `order`; `reverse`: of a transposed one."""
    shape = [int(s) for s in weight.shape]
    axes = list(range(2, len(shape)))
    split = [settings.groups, shape[0] // settings.groups, *shape[1:]]
    joined = [shape[1] * settings.groups, shape[0] // settings.groups, *shape[2:]]

    def in_torch(w: torch.Tensor) -> torch.Tensor:
        if reverse:  # (C, F / groups, K…) → (F, C / groups, K…), each filter from its end
            w = w.reshape(split).transpose(1, 2).reshape(joined).flip(axes)
        return w if order is None else w.permute(order)

    def in_graph(w: TensorValue) -> TensorValue:
        if reverse:
            w = ops.reshape(ops.transpose(ops.reshape(w, split), 1, 2), joined)
            for at in axes:
                w = ops.gather(w, ctx.constant(np.arange(int(w.shape[at]))[::-1].copy(), DType.int64), at)
        return w if order is None else ops.permute(w, order)

    last = "" if order is None else {1: "KCF", 2: "RSCF", 3: "QRSCF"}[len(axes)]
    return ctx.prepacked(weight, "-".join([last] * bool(last) + ["transposed"] * reverse), in_torch, in_graph)


def _spread(ctx: Context, x: TensorValue, at: int, stride: int) -> TensorValue:
    """`x` with stride - 1 zeros between the places of one axis."""
    if stride == 1:
        return x
    size = x.shape[at]
    apart = ops.unsqueeze(x, at + 1)
    apart = padded(ctx, apart, [(0, stride - 1) if i == at + 1 else (0, 0) for i in range(apart.rank)], 0)
    joined = ops.reshape(apart, [*x.shape[:at], size * stride, *x.shape[at + 1 :]])
    return take(ctx, joined, at, 0, size * stride - (stride - 1))


def _each(values: Sequence[Any], space: int) -> list[int]:
    """One number for each axis; torch lets one stand for all."""
    numbers = [static(v, "a convolution's settings") for v in values]
    return numbers * space if len(numbers) == 1 else numbers
