"""Ops whose result's size depends on the data: torch names it (u0, …), and so does the MAX graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from max.dtype import DType
from max.graph import Dim, TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.sizes import product_of, take
from fxmax.rules.lib.values import broadcast, broadcast_shape, cast
from fxmax.support.signals import Declined

aten = torch.ops.aten


def places(ctx: Context, mask: TensorValue, count: Dim) -> list[TensorValue]:
    """Coordinates of what is not zero, an index (count,) for each axis of `mask`."""
    if mask.rank == 0:
        raise Declined("the places of a 0-d tensor, which has no axes")
    found = ops.nonzero(cast(mask, DType.bool), count)
    return [ops.squeeze(take(ctx, found, 1, i, 1), 1) for i in range(mask.rank)]


@rule(aten.nonzero.default)
def nonzero(ctx: Context, self: TensorValue) -> TensorValue:
    mask = cast(self, DType.bool)
    if self.rank:
        return ops.nonzero(mask, ctx.out.shape[0])
    one = ops.nonzero(ops.reshape(mask, [1]), ctx.out.shape[0])  # counted, with coordinates on no axis
    return take(ctx, one, 1, 0, 0)


@rule(aten.masked_select.default)
def masked_select(ctx: Context, self: TensorValue, mask: TensorValue) -> TensorValue:
    shape = broadcast_shape([self.shape, mask.shape]) or [Dim(1)]
    size = product_of(shape)
    values, chosen = (ops.reshape(broadcast(x, shape), [size]) for x in (self, mask))
    [at] = places(ctx, chosen, ctx.out.shape[0])
    return ops.gather(values, at, 0)


def unmasked(
    ctx: Context, indices: Sequence[TensorValue | None], shape: Sequence[Dim]
) -> list[TensorValue | None]:
    """`indices` with the places of a mask instead of it; `shape` is that of what they read.

    Raises:
        Declined: there are other indices beside the mask.
    """
    masks = [i for i, index in enumerate(indices) if index is not None and _is_mask(index)]
    if not masks:
        return list(indices)
    if len(masks) > 1 or any(x is not None for i, x in enumerate(indices) if i != masks[0]):
        raise Declined("indexing by a mask and by something else at once; use torch.where")
    [at] = masks
    mask = indices[at]
    assert mask is not None
    return [*indices[:at], *places(ctx, mask, shape[at]), *indices[at + 1 :]]


def _is_mask(index: TensorValue) -> bool:
    return index.dtype in (DType.bool, DType.uint8)
