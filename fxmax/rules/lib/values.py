"""What several rule families share: casts, broadcasting, dims, scalars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from max.dtype import DType
from max.graph import DeviceRef, Dim, StaticDim, TensorValue, ops

from fxmax.core.context import Context
from fxmax.support.signals import Declined


def cast(x: TensorValue, dtype: DType) -> TensorValue:
    """`x` as `dtype`; nothing is added to the graph where it is that already."""
    if x.dtype == dtype:
        return x
    if dtype == DType.bool:  # MAX's own cast makes NaN false, and so does its not_equal
        return ops.logical_not(ops.equal(x, ops.constant(0, x.dtype, device=x.device)))
    return ops.cast(x, dtype)


SIGNED = {
    DType.uint8: DType.int8,
    DType.uint16: DType.int16,
    DType.uint32: DType.int32,
    DType.uint64: DType.int64,
}
"""The signed integer of each unsigned one's width: sums, differences and products have the same bits."""


def on_device(x: TensorValue, device: DeviceRef) -> TensorValue:
    """`x` on `device`; nothing is added to the graph where it is there already."""
    return x if x.device == device else x.to(device)


def tensor(ctx: Context, value: Any, dtype: DType) -> TensorValue:
    """A tensor of `dtype` from what a schema calls Tensor or Scalar: a value, a number, a size."""
    if isinstance(value, TensorValue):
        return cast(value, dtype)
    if isinstance(value, Dim) and not isinstance(value, StaticDim):
        return cast(ctx.size_tensor(value), dtype)
    return ctx.constant(number(value, dtype), dtype)


def number(value: Any, dtype: DType) -> float | int | bool:
    """A Python scalar that `dtype` holds, wrapped and truncated as torch does."""
    if isinstance(value, Dim):
        value = int(value)
    if dtype == DType.bool:
        return bool(value)
    if dtype.is_integral():
        bits: int = dtype.size_in_bytes * 8
        wrapped = int(value) % (1 << bits)
        return wrapped - (1 << bits) if dtype not in SIGNED and wrapped >> (bits - 1) else wrapped
    return float(value)


def axis(dim: int, rank: int) -> int:
    """A dim counted from the front; torch treats a 0-d tensor as 1-d here."""
    return dim % max(rank, 1)


def axes(dims: int | Sequence[int] | None, rank: int) -> list[int]:
    """Dims counted from the front, in order; None or an empty list is all of them."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return list(range(rank))
    given = [dims] if isinstance(dims, int) else dims
    return sorted(axis(d, rank) for d in given)


def static(value: Any, what: str) -> int:
    """A Python int from an argument that MAX needs at compile time.

    Raises:
        Declined: it is a symbolic size.
    """
    if isinstance(value, Dim) and not isinstance(value, StaticDim):
        raise Declined(f"MAX needs {what} when it compiles; here it is the symbolic size {value}")
    return int(value)


def shape_of(x: TensorValue) -> list[Dim]:
    """The dims of `x` as a list."""
    return list(x.shape)


def broadcast(x: TensorValue, shape: Sequence[Any]) -> TensorValue:
    """`x` broadcast to `shape`; nothing is added where it has that shape already."""
    return x if list(x.shape) == [Dim(s) for s in shape] else ops.broadcast_to(x, list(shape))


def broadcast_shape(shapes: Sequence[Sequence[Dim]]) -> list[Dim]:
    """The shape that shapes broadcast to; torch has checked that they do."""
    rank = max(len(s) for s in shapes)
    wide = [[Dim(1)] * (rank - len(s)) + list(s) for s in shapes]
    return [next((d for d in dims if d != 1), Dim(1)) for dims in zip(*wide, strict=True)]


def trailing_ones(shape: Sequence[Any]) -> int:
    """How many axes at the end are of size 1; the first axis is never counted."""
    count = 0
    for size in reversed(list(shape)[1:]):
        if not isinstance(size, StaticDim) or int(size) != 1:
            break
        count += 1
    return count
