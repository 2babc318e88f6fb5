"""Slices of one axis: reading them, and writing them into a copy or, for state, in place."""

from __future__ import annotations

from typing import Any

import torch
from max.graph import BufferValue, Dim, TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import along, clamped, from_front, has_zero, is_static, positions, size_value, take
from fxmax.rules.lib.values import axis, cast, static

aten = torch.ops.aten


@rule(aten.slice.Tensor)
def slice_tensor(ctx: Context, self: TensorValue, dim: int, start: Any, end: Any, step: Any) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    at = axis(dim, self.rank)
    first = _first(ctx, self, at, start)
    # torch says how many there are: that settles where an end beyond the axis, or before it, is.
    return take(ctx, self, at, first, ctx.out.shape[at], static(step, "a slice's step"))


@rule(aten.select.int)
def select(ctx: Context, self: TensorValue, dim: int, index: Any) -> TensorValue:
    if has_zero(ctx.out.shape):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    at = axis(dim, self.rank)
    return ops.squeeze(take(ctx, self, at, from_front(ctx, "index", index, self.shape[at]), 1), at)


@rule(aten.slice_scatter.default)
def slice_scatter(
    ctx: Context, self: TensorValue, src: TensorValue, dim: int, start: Any, end: Any, step: Any
) -> TensorValue:
    at, apart = axis(dim, self.rank), static(step, "a slice's step")
    first = _first(ctx, self, at, start)
    count = ctx.meta("src").shape[at]
    size = src.shape[at] if isinstance(count, torch.SymInt) else Dim(count)
    return written(ctx, self, src, at, first, size, apart)


@rule(aten.select_scatter.default)
def select_scatter(ctx: Context, self: TensorValue, src: TensorValue, dim: int, index: Any) -> TensorValue:
    at = axis(dim, self.rank)
    first = from_front(ctx, "index", index, self.shape[at])
    return written(ctx, self, ops.unsqueeze(src, at), at, first, Dim(1), 1)


@rule(aten.copy.default)
def copy(ctx: Context, self: TensorValue, src: TensorValue, non_blocking: bool) -> TensorValue:
    src = cast(src, ctx.out.dtype)
    value = src if src.shape == ctx.out.shape else ops.broadcast_to(src, ctx.out.shape)
    stored = ctx.stored(self, lambda buffer: ops.buffer_store(buffer, value))
    return value if stored is None else stored


def _first(ctx: Context, x: TensorValue, at: int, start: Any) -> Any:
    """Where a slice starts, counted from the front."""
    size = x.shape[at]
    return 0 if start is None else clamped(from_front(ctx, "start", start, size), size)


def written(
    ctx: Context, x: TensorValue, src: TensorValue, at: int, start: Any, count: Any, step: int
) -> TensorValue:
    """`x` with `src` at `count` places of one axis, from `start`, `step` apart."""
    if has_zero(src.shape):
        return x
    src = cast(src, x.dtype)
    part = [*x.shape[:at], count, *x.shape[at + 1 :]]
    if list(src.shape) != part:
        src = ops.rebind(src, part)
    stored = ctx.stored(x, lambda buffer: _store(buffer, src, at, start, step))
    if stored is not None:
        return stored
    if step == 1:
        return _spliced(ctx, x, src, at, start, count)
    place = positions(ctx, x.shape[at]) - size_value(ctx, start)
    chosen = ops.logical_and(place >= 0, place < size_value(ctx, count * step))
    chosen = ops.logical_and(chosen, ops.equal(ops.mod(place, step), 0))
    row = ops.where(chosen, ops.floor_div(place, step), 0)
    return ops.where(along(chosen, at, x.rank), ops.gather(src, row, at), x)


def _store(buffer: BufferValue, src: TensorValue, at: int, start: Any, step: int) -> None:
    """Write `src` into the buffer; nothing else of it is touched."""
    count = src.shape[at]
    bounds = [start, start + (count - 1) * step + 1]
    low, high = (x if isinstance(x, int) else ops.shape_to_tensor([x]).reshape([]) for x in bounds)
    whole: list[Any] = [slice(None)] * len(buffer.shape)
    whole[at] = (slice(low, high, step), count)
    ops.buffer_store_slice(buffer, src, whole)


def _spliced(ctx: Context, x: TensorValue, src: TensorValue, at: int, start: Any, count: Any) -> TensorValue:
    """What comes before, `src`, and what comes after, joined."""
    after = start + count
    rest = x.shape[at] - after if not _ends(x, at, after) else 0
    parts = [
        None if is_static(start) and int(start) == 0 else take(ctx, x, at, 0, start),
        src,
        None if is_static(rest) and int(rest) == 0 else take(ctx, x, at, after, rest),
    ]
    joined = [p for p in parts if p is not None]
    return joined[0] if len(joined) == 1 else ops.rebind(ops.concat(joined, at), x.shape)


def _ends(x: TensorValue, at: int, after: Any) -> bool:
    return bool(Dim(after) == x.shape[at])
