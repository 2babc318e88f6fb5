"""Convolutions. torch is channels-first (N, C, …); MAX is channels-last, its filter (…, C, F).

A 1-d convolution runs as 2-d with the length along W and H = 1: with it along H (W = 1) MAX's CPU
kernel took 48 ms where this takes 5 (Whisper tiny, conv1). The filter is put in MAX's layout once,
when a checkpoint is bound.

A dilated convolution is padded before it: MAX's CPU kernel is wrong where it pads a dilated filter by
more than half of its width (error 0.5 with 5 taps, dilation 2, padding 7).

A transposed convolution is a plain one over the input with stride - 1 zeros between its places,
with the filter reversed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.context import Context, PendingWeight
from fxmax.errors import Declined
from fxmax.rules.helpers import static
from fxmax.rules.pad import padded
from fxmax.rules.sizes import has_zero, take
from fxmax.rules.windows import by_windows
from fxmax.table import rule

aten = torch.ops.aten


@rule(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, relays=("weight",))
def conv(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> TensorValue:
    return _convolution(ctx, input, weight, bias, stride, padding, dilation, groups)


@rule(aten.convolution.default, relays=("weight",))
def convolution(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> TensorValue:
    if not transposed:
        return _convolution(ctx, input, weight, bias, stride, padding, dilation, groups)
    space = len(weight.shape) - 2
    kernel = [int(k) for k in weight.shape[2:]]
    stride, padding, dilation, more = (_each(v, space) for v in (stride, padding, dilation, output_padding))
    lead = input.rank - space
    x, pairs = input, [(0, 0)] * lead
    for i in range(space):
        x = _spread(ctx, x, lead + i, stride[i])
        edge = dilation[i] * (kernel[i] - 1) - padding[i]
        pairs.append((edge, edge + more[i]))
    x = padded(ctx, x, pairs, 0)
    return _convolution(ctx, x, weight, bias, [1], [0], dilation, groups, reverse=True)


def _convolution(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    reverse: bool = False,
) -> TensorValue:
    """The convolution of `input`, with or without a batch axis; `reverse`: a transposed filter."""
    space = len(weight.shape) - 2
    if space not in (1, 2, 3):
        raise Declined(f"MAX has convolutions over 1, 2 and 3 axes, not {space}")
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    batched = input if input.rank == space + 2 else ops.unsqueeze(input, 0)
    stride, padding, dilation = (_each(v, space) for v in (stride, padding, dilation))
    if any(d > 1 and p > 0 for d, p in zip(dilation, padding, strict=True)):
        batched = padded(ctx, batched, [(0, 0), (0, 0), *((p, p) for p in padding)], 0)
        padding = [0] * space
    x = ops.permute(batched, [0, *range(2, space + 2), 1])
    filters = _filters(ctx, weight, space, groups, reverse)
    if groups == 1 and not ctx.device.is_cpu():
        taps = filters if space > 1 else ops.squeeze(filters, 0)
        y = by_windows(ctx, x, taps, bias, stride, padding, dilation, ctx.out.shape[-space:])
    else:
        y = _by_kernel(x, filters, bias, stride, padding, dilation, groups)
    y = ops.permute(y, [0, space + 1, *range(1, space + 1)])
    return y if input.rank == space + 2 else ops.squeeze(y, 0)


def _by_kernel(
    x: TensorValue,
    filters: TensorValue,
    bias: TensorValue | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> TensorValue:
    """MAX's own, channels last."""
    space = len(stride)
    if space == 1:
        x = ops.unsqueeze(x, 1)
        stride, padding, dilation = [1, *stride], [0, *padding], [1, *dilation]
    settings: Any = {
        "stride": tuple(stride),
        "padding": tuple(p for p in padding for _ in range(2)),
        "dilation": tuple(dilation),
        "groups": groups,
        "bias": bias,
    }
    y = (ops.conv3d if space == 3 else ops.conv2d)(x, filters, **settings)
    return ops.squeeze(y, 1) if space == 1 else y


def _filters(
    ctx: Context, weight: TensorValue | PendingWeight, space: int, groups: int, reverse: bool
) -> TensorValue:
    """The filter in MAX's layout, (1,) K…, C, F."""
    order = [*range(2, space + 2), 1, 0]
    axes = list(range(2, space + 2))
    shape = [int(s) for s in weight.shape]
    split = [groups, shape[0] // groups, *shape[1:]]
    joined = [shape[1] * groups, shape[0] // groups, *shape[2:]]

    def in_torch(w: torch.Tensor) -> torch.Tensor:
        if reverse:  # (C, F / groups, K…) → (F, C / groups, K…), each filter from its end
            w = w.reshape(split).transpose(1, 2).reshape(joined).flip(axes)
        w = w.permute(order)
        return w.unsqueeze(0) if space == 1 else w

    def in_graph(w: TensorValue) -> TensorValue:
        if reverse:
            w = ops.reshape(ops.transpose(ops.reshape(w, split), 1, 2), joined)
            for at in axes:
                w = ops.gather(w, ctx.constant(np.arange(int(w.shape[at]))[::-1].copy(), DType.int64), at)
        w = ops.permute(w, order)
        return ops.unsqueeze(w, 0) if space == 1 else w

    name = {1: "1KCF", 2: "RSCF", 3: "QRSCF"}[space] + ("-transposed" if reverse else "")
    return ctx.relaid(weight, name, in_torch, in_graph)


def _spread(ctx: Context, x: TensorValue, at: int, stride: int) -> TensorValue:
    """`x` with stride - 1 zeros between the places of one axis."""
    if stride == 1:
        return x
    size = x.shape[at]
    apart = ops.unsqueeze(x, at + 1)
    apart = padded(ctx, apart, [(0, stride - 1) if i == at + 1 else (0, 0) for i in range(apart.rank)], 0)
    joined = ops.reshape(apart, [*x.shape[:at], size * stride, *x.shape[at + 1 :]])
    return take(joined, at, 0, size * stride - (stride - 1))


def _each(values: Sequence[Any], space: int) -> list[int]:
    """One number for each axis; torch lets one stand for all."""
    numbers = [static(v, "a convolution's settings") for v in values]
    return numbers * space if len(numbers) == 1 else numbers
