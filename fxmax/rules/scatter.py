"""Writing by index, into a copy or, where one place of a mutable input is written, in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import BufferValue, DeviceRef, TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.data_dependent import unmasked
from fxmax.rules.gather import advanced, joined, wrapped
from fxmax.rules.lib.promotion import is_nan, scalar
from fxmax.rules.lib.sizes import has_zero, is_static, take
from fxmax.rules.lib.values import axis, broadcast, cast, number, on_device
from fxmax.support.signals import Declined

aten = torch.ops.aten
Scatter = Callable[..., TensorValue]


@rule(aten.scatter.src)
def scatter(ctx: Context, self: TensorValue, dim: int, index: TensorValue, src: TensorValue) -> TensorValue:
    return _scattered(ctx, self, dim, index, src, ops.scatter)


@rule(aten.scatter.value)
def scatter_value(ctx: Context, self: TensorValue, dim: int, index: TensorValue, value: Any) -> TensorValue:
    src = ctx.full(number(value, self.dtype), index.shape, self.dtype)
    return _scattered(ctx, self, dim, index, src, ops.scatter)


@rule(aten.scatter_add.default)
def scatter_add(
    ctx: Context, self: TensorValue, dim: int, index: TensorValue, src: TensorValue
) -> TensorValue:
    return _scattered(ctx, self, dim, index, src, ops.scatter_add)


@rule(aten.scatter.reduce)
def scatter_by(
    ctx: Context, self: TensorValue, dim: int, index: TensorValue, src: TensorValue, reduce: str
) -> TensorValue:
    return _scattered(
        ctx, self, dim, index, src, {"add": ops.scatter_add, "multiply": ops.scatter_mul}[reduce]
    )


@rule(aten.scatter.value_reduce)
def scatter_value_by(
    ctx: Context, self: TensorValue, dim: int, index: TensorValue, value: Any, reduce: str
) -> TensorValue:
    src = ctx.full(number(value, self.dtype), index.shape, self.dtype)
    return _scattered(
        ctx, self, dim, index, src, {"add": ops.scatter_add, "multiply": ops.scatter_mul}[reduce]
    )


REDUCTIONS: dict[str, tuple[Scatter, float]] = {
    "sum": (ops.scatter_add, 0),
    "mean": (ops.scatter_add, 0),
    "prod": (ops.scatter_mul, 1),
    "amax": (ops.scatter_max, float("-inf")),
    "amin": (ops.scatter_min, float("inf")),
}


@rule(aten.scatter_reduce.two)
def scatter_reduce(
    ctx: Context,
    self: TensorValue,
    dim: int,
    index: TensorValue,
    src: TensorValue,
    reduce: str,
    include_self: bool,
) -> TensorValue:
    if has_zero(index.shape):
        return self
    op, neutral = REDUCTIONS[reduce]
    ones = ctx.full(1, index.shape, self.dtype)
    start = self
    if not include_self:  # the places that are written start afresh
        blank = ctx.full(_held(neutral, self.dtype), index.shape, self.dtype)
        start = _scattered(ctx, self, dim, index, blank, ops.scatter)
    result = _scattered(ctx, start, dim, index, src, op)
    if reduce in ("amax", "amin") and self.dtype.is_float():  # MAX's extrema skip NaN; torch's find it
        flags = [cast(is_nan(x), self.dtype) for x in (start, src)]
        spoilt = _scattered(ctx, flags[0], dim, index, flags[1], ops.scatter_max)
        return ops.where(spoilt > scalar(spoilt, 0), scalar(result, math.nan), result)
    if reduce != "mean":
        return result
    count = _scattered(ctx, ctx.full(0, self.shape, self.dtype), dim, index, ones, ops.scatter_add)
    count = count + 1 if include_self else ops.max(count, ctx.constant(1, self.dtype))
    return result / count if self.dtype.is_float() else ops.floor_div(result, count)


def _held(value: float, dtype: DType) -> float | int:
    """`value`, or the nearest one that an integer dtype or bool holds."""
    if dtype == DType.bool:
        return value > 0
    if dtype.is_float() or abs(value) < 2:
        return number(value, dtype)
    limits = torch.iinfo(getattr(torch, dtype.name))
    return limits.max if value > 0 else limits.min


def _scattered(
    ctx: Context, x: TensorValue, dim: int, index: TensorValue, src: TensorValue, op: Scatter
) -> TensorValue:
    if has_zero(index.shape):
        return x
    if x.dtype == DType.bool and op is not ops.scatter:  # MAX has no sums, products and extrema of bools
        return cast(_scattered(ctx, cast(x, DType.int32), dim, index, cast(src, DType.int32), op), DType.bool)
    shape = x.shape
    flat = [ops.reshape(t, [1]) if t.rank == 0 else t for t in (x, index, src)]
    x, index, src = flat
    for i in range(src.rank):  # the source may be larger than the index
        src = take(ctx, src, i, 0, index.shape[i])
    return ops.reshape(op(x, cast(src, x.dtype), index, axis(dim, x.rank)), shape)


@rule(aten.index_put.default, aten._unsafe_index_put.default)
def index_put(
    ctx: Context,
    self: TensorValue,
    indices: Sequence[TensorValue | None],
    values: TensorValue,
    accumulate: bool,
) -> TensorValue:
    if has_zero(self.shape) or has_zero(values.shape):
        return self
    values = cast(values, self.dtype)
    if len(indices) and indices[0] is not None and indices[0].dtype == DType.bool:
        if all(is_static(s) and int(s) == 1 for s in values.shape):
            return _masked(self, indices[0], values, accumulate)
        if values.rank != self.rank - indices[0].rank + 1 or is_static(values.shape[0]):
            raise Declined("writing by a mask values whose number is not that of the mask's places")
        indices = unmasked(ctx, indices, values.shape)
    at, given = advanced(indices)
    if has_zero(given[0].shape):
        return self
    rest = [i for i in range(self.rank) if i not in at]
    if not accumulate and len(at) == 1 and given[0].shape.rank <= 1 and _is_one(given[0]):
        stored = ctx.stored(self, lambda buffer: _store_row(ctx, buffer, at[0], given[0], values))
        if stored is not None:
            return stored
    coordinates = joined(ctx, self, at, given)
    count = coordinates.rank - 1
    # torch broadcasts the values to what the same indexing would read; the indexed axes then
    # stand where the first of them was if they are neighbours, else in front.
    place = at[0] if at == list(range(at[0], at[0] + len(at))) else 0
    others = [self.shape[i] for i in rest]
    read = [*others[:place], *list(coordinates.shape)[:count], *others[place:]]
    values = broadcast(values, read)
    order = [*range(place, place + count), *range(place), *range(place + count, len(read))]
    front = [*at, *rest]
    op = ops.scatter_nd_add if accumulate else ops.scatter_nd
    written = op(ops.permute(self, front), ops.permute(values, order), coordinates)
    return ops.permute(written, [front.index(i) for i in range(self.rank)])


def _masked(x: TensorValue, mask: TensorValue, values: TensorValue, accumulate: bool) -> TensorValue:
    """Writing by a mask: of one value, which each chosen place takes."""
    mask = ops.reshape(mask, [*mask.shape, *[1] * (x.rank - mask.rank)])
    value = ops.reshape(values, [1] * x.rank)
    return ops.where(mask, x + value if accumulate else value, x)


def _is_one(index: TensorValue) -> bool:
    return all(is_static(s) and int(s) == 1 for s in index.shape)


def _store_row(ctx: Context, buffer: BufferValue, at: int, index: TensorValue, values: TensorValue) -> None:
    """Write one place of one axis of the buffer."""
    place = on_device(ops.reshape(wrapped(ctx, index, buffer.shape[at]), []), DeviceRef.CPU())
    shape = [*buffer.shape[:at], 1, *buffer.shape[at + 1 :]]
    row = values if values.rank == len(shape) else ops.reshape(values, shape)
    whole: list[Any] = [slice(None)] * len(buffer.shape)
    whole[at] = (slice(place, place + 1), 1)
    ops.buffer_store_slice(buffer, broadcast(row, shape), whole)
