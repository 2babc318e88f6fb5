"""Pooling over any number of axes, one axis at a time: a window is a row of strided slices.

The order that windows are read in is torch's, so that NaN and ties come out the same: the last NaN
of a window wins, else the first of its largest values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.context import Context
from fxmax.errors import Declined
from fxmax.rules.helpers import cast
from fxmax.rules.pad import padded
from fxmax.rules.sizes import along, is_static, positions, take
from fxmax.table import rule

aten = torch.ops.aten


@rule(aten.max_pool2d_with_indices.default)
def max_pool2d(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> list[TensorValue]:
    return _max_pool(ctx, self, kernel_size, stride, padding, dilation, 2)


@rule(aten.max_pool3d_with_indices.default)
def max_pool3d(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> list[TensorValue]:
    return _max_pool(ctx, self, kernel_size, stride, padding, dilation, 3)


def _max_pool(
    ctx: Context,
    x: TensorValue,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    space: int,
) -> list[TensorValue]:
    kernel, padding, dilation = (_each(v, space) for v in (kernel, padding, dilation))
    stride = _each(stride, space) if len(stride) else kernel
    lead = x.rank - space
    # Where nothing reads the indices, no work is spent on them.
    wanted = any(user.args[1] == 1 for user in ctx.node.users)
    best, place = x, _start(ctx, x) if wanted else None
    for i in reversed(range(space)):
        at = lead + i
        settings = (at, kernel[i], stride[i], padding[i], dilation[i], ctx.out[0].shape[at])
        windows = _windows(ctx, best, *settings, _least(x.dtype))
        inner = None if place is None else _placed(ctx, x, at, place)
        places = None if inner is None else _windows(ctx, inner, *settings, -1)
        best, place = _best(windows, places)
    return [best, ctx.full(0, ctx.out[1].shape, ctx.out[1].dtype) if place is None else place]


@rule(aten.adaptive_max_pool2d.default, aten.adaptive_max_pool3d.default)
def adaptive_max_pool(ctx: Context, self: TensorValue, output_size: Sequence[int]) -> list[TensorValue]:
    best, place = self, _start(ctx, self)
    for at in reversed(range(self.rank - len(output_size), self.rank)):
        inner = _placed(ctx, self, at, place)
        cells = []
        for first, end in _bounds(self.shape[at], ctx.out[0].shape[at]):
            rows = [[take(t, at, i, 1) for i in range(first, end)] for t in (best, inner)]
            cells.append(_best(*rows))
        best, place = (ops.concat([cell[i] for cell in cells], at) for i in range(2))
    return [best, place]


def _start(ctx: Context, x: TensorValue) -> TensorValue:
    return ctx.full(0, x.shape, DType.int64)


def _placed(ctx: Context, x: TensorValue, at: int, inner: TensorValue) -> TensorValue:
    """Flat places in the pooled axes of `x` from `at` on, given those after it."""
    return along(positions(ctx, x.shape[at]), at, x.rank) * _area(x, at) + inner


def _best(values: Sequence[TensorValue], places: Sequence[TensorValue] | None) -> tuple[TensorValue, Any]:
    """The winner of each window and, if asked for, its place; places of padding are negative."""
    best, place = values[0], places[0] if places else None
    for i, one in enumerate(values[1:], 1):
        wins = _beats(one, best)
        if places and place is not None:
            # Padding never wins over a real place, even one that holds the least value there is.
            wins = ops.logical_or(wins, ops.logical_and(place < 0, places[i] >= 0))
            place = ops.where(wins, places[i], place)
        best = ops.where(wins, one, best)
    return best, place


def _area(x: TensorValue, at: int) -> Any:
    """How far apart in memory two neighbours along `at` are, among the pooled axes after it."""
    area: Any = 1
    for size in x.shape[at + 1 :]:
        area = area * size
    return int(area) if is_static(area) else ops.shape_to_tensor([area]).reshape([])


def _beats(new: TensorValue, old: TensorValue) -> TensorValue:
    greater = new > old
    return ops.logical_or(greater, ops.is_nan(new)) if new.dtype.is_float() else greater


def _least(dtype: DType) -> float | int:
    if dtype.is_float():
        return float("-inf")
    return torch.iinfo(getattr(torch, dtype.name)).min


@rule(aten.avg_pool1d.default)
def avg_pool1d(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
) -> TensorValue:
    return _avg_pool(ctx, self, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1)


@rule(aten.avg_pool2d.default)
def avg_pool2d(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> TensorValue:
    return _avg_pool(
        ctx, self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 2
    )


@rule(aten.avg_pool3d.default)
def avg_pool3d(
    ctx: Context,
    self: TensorValue,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> TensorValue:
    return _avg_pool(
        ctx, self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 3
    )


def _avg_pool(
    ctx: Context,
    x: TensorValue,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    include_pad: bool,
    divisor: int | None,
    space: int,
) -> TensorValue:
    kernel, padding = _each(kernel, space), _each(padding, space)
    stride = _each(stride, space) if len(stride) else kernel
    lead = x.rank - space
    total, sizes = x, x.shape
    for i in reversed(range(space)):
        at, out = lead + i, ctx.out.shape[lead + i]
        windows = _windows(ctx, total, at, kernel[i], stride[i], padding[i], 1, out, 0)
        total = windows[0]
        for one in windows[1:]:
            total = total + one
        if divisor is None:
            whole = not ceil_mode and (include_pad or padding[i] == 0)
            count = (
                ctx.constant(kernel[i], x.dtype)
                if whole
                else _counts(ctx, sizes[at], out, kernel[i], stride[i], padding[i], include_pad, x.dtype)
            )
            total = total / (count if whole else along(count, at, x.rank))
    return total if divisor is None else total / ctx.constant(divisor, x.dtype)


def _counts(
    ctx: Context, size: Any, out: Any, kernel: int, stride: int, padding: int, include_pad: bool, dtype: DType
) -> TensorValue:
    """How many places each window of one axis covers, within the padded or the real ones."""
    start = positions(ctx, out) * stride - padding
    end = start + kernel
    length = int(size) if is_static(size) else ctx.size_tensor(size)
    if include_pad:
        return cast(ops.min(end, length + padding) - start, dtype)
    return cast(ops.min(end, length) - ops.max(start, 0), dtype)


def _windows(
    ctx: Context,
    x: TensorValue,
    at: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    out: Any,
    fill: float | int,
) -> list[TensorValue]:
    """The first place of every window of one axis, the second, …; `fill` lies outside of `x`."""
    needed = (out - 1) * stride + (kernel - 1) * dilation + 1
    after = needed - padding - x.shape[at]
    if not is_static(after):
        after = padding + stride  # more than any window needs
    pairs = [(padding, max(int(after), 0)) if i == at else (0, 0) for i in range(x.rank)]
    room = padded(ctx, x, pairs, fill)
    return [take(room, at, k * dilation, out, stride) for k in range(kernel)]


@rule(aten._adaptive_avg_pool2d.default, aten._adaptive_avg_pool3d.default)
def adaptive_avg_pool(ctx: Context, self: TensorValue, output_size: Sequence[Any]) -> TensorValue:
    x = self
    for at in range(self.rank - len(output_size), self.rank):
        size, out = x.shape[at], ctx.out.shape[at]
        if is_static(out) and int(out) == 1:
            x = ops.mean(x, at)
        elif size != out:
            x = ops.concat([ops.mean(take(x, at, a, b - a), at) for a, b in _bounds(size, out)], at)
    return x


def _bounds(size: Any, out: Any) -> list[tuple[int, int]]:
    """First place and end of each window of one axis."""
    if not (is_static(size) and is_static(out)):
        raise Declined(f"adaptive pooling of a symbolic size ({size}) to {out}")
    n, m = int(size), int(out)
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _each(values: Sequence[int], space: int) -> list[int]:
    """One number for each axis; torch lets one stand for all."""
    return list(values) * space if len(values) == 1 else [int(v) for v in values]
