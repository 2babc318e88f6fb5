"""Normalizations over any axes; MAX's own kernel takes the last axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import Dim, TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.kernels.build import ROWS
from fxmax.rules.lib.one_axis import keepdim
from fxmax.rules.lib.promotion import broadcasting
from fxmax.rules.lib.sizes import has_zero, product_of
from fxmax.rules.lib.values import cast

aten = torch.ops.aten


@rule(aten.layer_norm.default)
def layer_norm(
    ctx: Context,
    input: TensorValue,
    normalized_shape: Sequence[Any],
    weight: TensorValue | None,
    bias: TensorValue | None,
    eps: float,
    cudnn_enable: bool,
) -> TensorValue:
    if has_zero(input.shape):
        return input
    if eps <= 0:  # torch takes any, MAX none but positive ones
        return _layer_norm(ctx, input, normalized_shape, weight, bias, eps)[0]
    lead, gamma, beta = _affine_rows(ctx, input, normalized_shape, weight, bias)
    rows = ops.reshape(input, [*lead, gamma.shape[0]])
    return ops.reshape(ops.layer_norm(rows, gamma, beta, eps), ctx.out.shape)


@rule(aten.layer_norm.default, platform="cpu")
def layer_norm_cpu(
    ctx: Context,
    input: TensorValue,
    normalized_shape: Sequence[Any],
    weight: TensorValue | None,
    bias: TensorValue | None,
    eps: float,
    cudnn_enable: bool,
) -> TensorValue:
    if input.dtype != DType.float32 or has_zero(input.shape):
        return layer_norm(ctx, input, normalized_shape, weight, bias, eps, cudnn_enable)
    lead, gamma, beta = _affine_rows(ctx, input, normalized_shape, weight, bias)
    rows = ops.reshape(input, [product_of(lead), gamma.shape[0]])
    epsilon = ctx.constant(eps, input.dtype)
    [y] = ctx.kernel(ROWS, "fxmax.layer_norm", [rows, gamma, beta, epsilon], [rows.type])
    return ops.reshape(y, ctx.out.shape)


def _affine_rows(
    ctx: Context,
    x: TensorValue,
    normalized_shape: Sequence[Any],
    weight: TensorValue | None,
    bias: TensorValue | None,
) -> tuple[list[Dim], TensorValue, TensorValue]:
    """The axes before the normalized ones, and weight and bias as vectors: 1 and 0 where there is none."""
    size = product_of(normalized_shape)
    gamma = ctx.full(1, [size], x.dtype) if weight is None else ops.reshape(weight, [size])
    beta = ctx.full(0, [size], x.dtype) if bias is None else ops.reshape(bias, [size])
    return list(x.shape)[: x.rank - len(normalized_shape)], gamma, beta


@rule(aten.native_layer_norm.default)
def native_layer_norm(
    ctx: Context,
    input: TensorValue,
    normalized_shape: Sequence[Any],
    weight: TensorValue | None,
    bias: TensorValue | None,
    eps: float,
) -> list[TensorValue]:
    if has_zero(input.shape):
        return [ctx.full(0, kind.shape, kind.dtype) for kind in ctx.out]
    y, *statistics = _layer_norm(ctx, input, normalized_shape, weight, bias, eps)
    return [y, *(ops.reshape(x, kind.shape) for x, kind in zip(statistics, ctx.out[1:], strict=True))]


def _layer_norm(
    ctx: Context,
    input: TensorValue,
    normalized_shape: Sequence[Any],
    weight: TensorValue | None,
    bias: TensorValue | None,
    eps: float,
) -> tuple[TensorValue, TensorValue, TensorValue]:
    """The result, and the mean and 1 / deviation of each of its rows."""
    lead = list(input.shape)[: input.rank - len(normalized_shape)]
    rows = ops.reshape(input, [*lead, product_of(normalized_shape)])
    y, mean, rstd = _standardized(ctx, rows, eps)
    y = ops.reshape(y, input.shape)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, rstd


@rule(aten.group_norm.default)
def group_norm(
    ctx: Context,
    input: TensorValue,
    num_groups: int,
    weight: TensorValue | None,
    bias: TensorValue | None,
    eps: float,
    cudnn_enabled: bool,
) -> TensorValue:
    if has_zero(input.shape):
        return input
    return _grouped(ctx, input, num_groups, weight, bias, eps)[0]


@rule(aten.native_group_norm.default)
def native_group_norm(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | None,
    bias: TensorValue | None,
    N: Any,  # noqa: N803 - the schema's names
    C: Any,  # noqa: N803
    HxW: Any,  # noqa: N803
    group: int,
    eps: float,
) -> list[TensorValue]:
    if has_zero(input.shape):
        return [ctx.full(0, kind.shape, kind.dtype) for kind in ctx.out]
    y, mean, rstd = _grouped(ctx, input, group, weight, bias, eps)
    return [y, ops.squeeze(mean, -1), ops.squeeze(rstd, -1)]


def _grouped(
    ctx: Context,
    x: TensorValue,
    groups: int,
    weight: TensorValue | None,
    bias: TensorValue | None,
    eps: float,
) -> tuple[TensorValue, TensorValue, TensorValue]:
    """(normalized x, mean (N, groups, 1), rstd as mean).

    The weight goes to rstd first: MAX 26.7 takes normalizing and then scaling for its own LayerNorm,
    whose gamma is of the last axis, and does not compile where `groups` is the number of channels.
    """
    channels = int(x.shape[1])
    rows = ops.reshape(x, [x.shape[0], groups, product_of([channels // groups, *x.shape[2:]])])
    centred, mean, rstd = _centred(ctx, rows, eps)
    factor = ops.broadcast_to(rstd, [x.shape[0], groups, channels // groups])
    if weight is not None:
        factor = factor * ops.reshape(weight, [groups, channels // groups])
    factor = ops.reshape(factor, [x.shape[0], channels, *[1] * (x.rank - 2)])
    y = broadcasting(ops.mul, [ops.reshape(centred, x.shape), factor], x.shape)
    return _affine(y, None, bias), mean, rstd


def _standardized(
    ctx: Context, rows: TensorValue, eps: float
) -> tuple[TensorValue, TensorValue, TensorValue]:
    """(x - mean) · rstd over the last axis, mean, and rstd."""
    centred, mean, rstd = _centred(ctx, rows, eps)
    return centred * rstd, mean, rstd


def _centred(ctx: Context, rows: TensorValue, eps: float) -> tuple[TensorValue, TensorValue, TensorValue]:
    """x - mean over the last axis, mean, and rstd = 1/√(var + eps), with biased variance."""
    mean = keepdim(rows, -1, ops.mean)
    centred = rows - mean
    rstd = ops.rsqrt(keepdim(centred * centred, -1, ops.mean) + ctx.constant(eps, rows.dtype))
    return centred, mean, rstd


@rule(aten.batch_norm.default)
def batch_norm(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | None,
    bias: TensorValue | None,
    running_mean: TensorValue | None,
    running_var: TensorValue | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> TensorValue:
    if not training and running_mean is not None and running_var is not None:
        return by_statistics(ctx, input, weight, bias, running_mean, running_var, eps)
    return _by_batch(ctx, input, weight, bias, eps)[0]


@rule(aten._native_batch_norm_legit.no_stats)
def batch_norm_no_stats(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | None,
    bias: TensorValue | None,
    training: bool,
    momentum: float,
    eps: float,
) -> list[TensorValue]:
    y, mean, rstd = _by_batch(ctx, input, weight, bias, eps)
    return [y, ops.squeeze(mean, -1), ops.squeeze(rstd, -1)]


@rule(aten._native_batch_norm_legit_no_training.default)
def batch_norm_no_training(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | None,
    bias: TensorValue | None,
    running_mean: TensorValue,
    running_var: TensorValue,
    momentum: float,
    eps: float,
) -> list[TensorValue]:
    y = by_statistics(ctx, input, weight, bias, running_mean, running_var, eps)
    none = [ctx.full(0, kind.shape, kind.dtype) for kind in ctx.out[1:]]  # torch returns empty ones
    return [y, *none]


def _by_batch(
    ctx: Context, x: TensorValue, weight: TensorValue | None, bias: TensorValue | None, eps: float
) -> tuple[TensorValue, TensorValue, TensorValue]:
    """By the batch's own statistics: each channel is standardized over all other axes."""
    order = [1, 0, *range(2, x.rank)]
    first = ops.permute(x, order)
    rows = ops.reshape(first, [first.shape[0], product_of(first.shape[1:])])
    y, mean, rstd = _standardized(ctx, rows, eps)
    return _affine(ops.permute(ops.reshape(y, first.shape), order), weight, bias), mean, rstd


def by_statistics(
    ctx: Context,
    x: TensorValue,
    weight: TensorValue | None,
    bias: TensorValue | None,
    mean: TensorValue,
    var: TensorValue,
    eps: float,
) -> TensorValue:
    """One multiplication and one addition for each element: the channels' factors come first."""
    scale = ops.rsqrt(var + ctx.constant(eps, var.dtype))
    scale = scale if weight is None else scale * cast(weight, scale.dtype)
    shift = -mean * scale
    shift = shift if bias is None else shift + cast(bias, shift.dtype)
    y = _by_channel(ops.mul, x, cast(scale, x.dtype))
    return _by_channel(ops.add, y, cast(shift, x.dtype))


def _affine(x: TensorValue, weight: TensorValue | None, bias: TensorValue | None) -> TensorValue:
    x = x if weight is None else _by_channel(ops.mul, x, weight)
    return x if bias is None else _by_channel(ops.add, x, bias)


def _by_channel(
    op: Callable[[TensorValue, TensorValue], TensorValue], x: TensorValue, vector: TensorValue
) -> TensorValue:
    """`op` of a tensor and a vector along its axis 1."""
    return broadcasting(op, [x, ops.reshape(vector, [vector.shape[0], *[1] * (x.rank - 2)])], x.shape)


@rule(aten.rms_norm.default)
def rms_norm(
    ctx: Context,
    input: TensorValue,
    normalized_shape: Sequence[Any],
    weight: TensorValue | None,
    eps: float | None,
) -> TensorValue:
    lead = list(input.shape)[: input.rank - len(normalized_shape)]
    rows = ops.reshape(input, [*lead, product_of(normalized_shape)])
    # torch's default eps is the machine epsilon of the dtype that it computes in.
    small = torch.finfo(ctx.meta("input").dtype).eps if eps is None else eps
    rstd = ops.rsqrt(keepdim(rows * rows, -1, ops.mean) + ctx.constant(small, rows.dtype))
    y = ops.reshape(rows * rstd, input.shape)
    return y if weight is None else y * weight
