"""Arithmetic on sizes: products, ranges of positions, and slices in torch's terms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import Dim, StaticDim, TensorValue, ops

from fxmax.core.context import Context


def is_static(size: Any) -> bool:
    """Whether a size is known now."""
    return isinstance(size, (int, StaticDim))


def product_of(sizes: Iterable[Any]) -> Dim:
    """The product of sizes, static or symbolic."""
    return math.prod((Dim(s) for s in sizes), start=Dim(1))


def has_zero(shape: Iterable[Any]) -> bool:
    """Whether a tensor of this shape is known to have no elements."""
    return any(is_static(s) and int(s) == 0 for s in shape)


def positions(ctx: Context, size: Any, dtype: DType = DType.int64) -> TensorValue:
    """0, 1, …, size - 1 as a 1-d tensor."""
    stop = int(size) if is_static(size) else ops.shape_to_tensor([size]).reshape([])
    return ops.range(0, stop, 1, out_dim=size, dtype=dtype, device=ctx.device)


def size_value(ctx: Context, size: Any) -> int | TensorValue:
    """A size to compute with: a number where it is known, else a 0-d tensor."""
    return int(size) if is_static(size) else ctx.size_tensor(size)


def from_front(ctx: Context, argument: str, value: Any, size: Dim) -> Any:
    """A position along an axis of `size`, counted from the front; torch counts negative ones back.

    `value` is an int or a dim; the sign of a symbolic one is what torch traced it with.
    """
    if is_static(value):
        value = int(value)
        return value if value >= 0 else size + value
    meta = ctx.meta(argument)
    traced = meta.node.hint if isinstance(meta, torch.SymInt) else meta
    return size + value if traced is not None and traced < 0 else value


def clamped(value: Any, size: Dim) -> Any:
    """`value` held within 0..size, where both are known; torch has checked symbolic ones."""
    if is_static(value) and is_static(size):
        return min(max(int(value), 0), int(size))
    return value


def take(ctx: Context, x: TensorValue, axis: int, start: Any, count: Any, step: int = 1) -> TensorValue:
    """`count` places of one axis, from `start`, `step` apart; `x` itself where that is all of it.

    Rules slice by this alone, since what MAX fuses with a slice may lose its start: see `ctx.viewable`.
    """
    from_first = is_static(start) and int(start) == 0
    if step == 1 and from_first and Dim(count) == x.shape[axis]:
        return x
    stop = start + (count - 1) * step + 1 if step > 1 else start + count
    whole = [slice(None)] * x.rank
    window = [*whole[:axis], slice(start, stop, step), *whole[axis + 1 :]]
    return ops.slice_tensor(x if from_first else ctx.viewable(x), window)


def along(vector: TensorValue, axis: int, rank: int) -> TensorValue:
    """A 1-d tensor as one of `rank` dims that broadcasts, lying along `axis`."""
    return ops.reshape(vector, [vector.shape[0] if i == axis else 1 for i in range(rank)])


def reshaped(x: TensorValue, shape: Sequence[Any]) -> TensorValue:
    """`x` in another shape, also where MAX can't see that the numbers of elements are equal."""
    try:
        return ops.reshape(x, list(shape))
    except ValueError:
        flat = ops.reshape(x, [product_of(x.shape)])
        return ops.reshape(ops.rebind(flat, [product_of(shape)]), list(shape))
