"""Pooling over one, two or three axes, and over windows that the sizes decide. Mojo, on the CPU.

MAX's own max_pool2d and avg_pool2d have two axes, no positions, and no rule for NaN; the kernel follows
torch's loops, ties, NaN and padding included, and takes symbolic sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.kernels.build import WINDOWS
from fxmax.rules.lib.sizes import has_zero, product_of

aten = torch.ops.aten
SPACE: dict[Any, int] = {
    aten.avg_pool1d.default: 1,
    aten.avg_pool2d.default: 2,
    aten.avg_pool3d.default: 3,
    aten.max_pool2d_with_indices.default: 2,
    aten.max_pool3d_with_indices.default: 3,
}


class Window(NamedTuple):
    """Along one axis; a kernel of 0 is an adaptive window, which the sizes decide."""

    kernel: int
    stride: int
    padding: int
    dilation: int


class PoolSettings(NamedTuple):
    """What the kernel reads by position: `pool.mojo` has these fields' positions, by the same names."""

    deep: Window
    high: Window
    wide: Window
    count_padding: bool  # in an average
    divisor: int  # of an average; 0: it is divided by how many positions it counts

    def pack(self) -> np.ndarray:
        """All of them in one row of numbers."""
        return np.hstack(self).astype(np.int64)


ADAPTIVE, WHOLE = Window(0, 1, 0, 1), Window(1, 1, 0, 1)


@rule(
    aten.max_pool2d_with_indices.default,
    aten.max_pool3d_with_indices.default,
    platform="cpu",
)
def max_pool(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> list[TensorValue]:
    return _pooled(ctx, "max_pool", self, _axes(ctx, kernel_size, stride, padding, dilation), ctx.out)


@rule(aten.adaptive_max_pool2d.default, aten.adaptive_max_pool3d.default, platform="cpu")
def adaptive_max_pool(ctx: Context, self: TensorValue, output_size: Sequence[Any]) -> list[TensorValue]:
    return _pooled(ctx, "max_pool", self, [ADAPTIVE] * len(output_size), ctx.out)


@rule(aten.avg_pool1d.default, platform="cpu")
def avg_pool1d(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
) -> TensorValue:
    return _averaged(ctx, self, _axes(ctx, kernel_size, stride, padding, [1]), count_include_pad)


@rule(aten.avg_pool2d.default, aten.avg_pool3d.default, platform="cpu")
def avg_pool(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> TensorValue:
    axes = _axes(ctx, kernel_size, stride, padding, [1])
    return _averaged(ctx, self, axes, count_include_pad, divisor_override)


@rule(aten._adaptive_avg_pool2d.default, aten._adaptive_avg_pool3d.default, platform="cpu")
def adaptive_avg_pool(ctx: Context, self: TensorValue, output_size: Sequence[Any]) -> TensorValue:
    return _averaged(ctx, self, [ADAPTIVE] * len(output_size), False)


def _averaged(
    ctx: Context, x: TensorValue, axes: list[Window], count_padding: bool, divisor: int | None = None
) -> TensorValue:
    [result] = _pooled(ctx, "avg_pool", x, axes, [ctx.out], count_padding, divisor or 0)
    return result


def _pooled(
    ctx: Context,
    name: str,
    x: TensorValue,
    axes: list[Window],
    outs: Sequence[TensorType],
    count_padding: bool = False,
    divisor: int = 0,
) -> list[TensorValue]:
    """The kernel's results, in torch's shapes."""
    if has_zero(outs[0].shape):
        return [ctx.full(0, out.shape, out.dtype) for out in outs]
    space = len(axes)
    deep, high, wide = [WHOLE] * (3 - space) + axes
    settings = PoolSettings(deep, high, wide, count_padding, divisor)

    def in_planes(shape: Sequence[Any]) -> list[Any]:
        lead = len(shape) - space
        return [product_of(shape[:lead]), *([1] * (3 - space)), *shape[lead:]]

    results = ctx.kernel(
        WINDOWS,
        f"fxmax.{name}",
        [ops.reshape(x, in_planes(x.shape)), ctx.constant(settings.pack(), DType.int64)],
        [TensorType(out.dtype, in_planes(out.shape), ctx.device) for out in outs],
    )
    return [ops.reshape(r, out.shape) for r, out in zip(results, outs, strict=True)]


def _axes(
    ctx: Context,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[Window]:
    """The windows along each axis: one number stands for all axes, and no stride for the kernel's."""
    space = SPACE[ctx.node.target]

    def each(values: Sequence[int]) -> list[int]:
        return [int(v) for v in (list(values) * space if len(values) == 1 else values)]

    columns = [each(kernel), each(stride if len(stride) else kernel), each(padding), each(dilation)]
    return [Window(*numbers) for numbers in zip(*columns, strict=True)]
