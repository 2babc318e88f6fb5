"""Copies and casts: MAX values are immutable, so a copy is the value itself."""

from __future__ import annotations

import torch
from max.graph import TensorValue

from fxmax.core.context import Context, PendingWeight
from fxmax.core.table import rule
from fxmax.rules.lib.values import cast
from fxmax.support.signals import Declined

aten = torch.ops.aten


@rule(
    aten.clone.default,
    aten.alias.default,
    aten.detach.default,
    aten.lift_fresh_copy.default,
    aten.contiguous.default,
)
def same(ctx: Context, self: TensorValue) -> TensorValue:
    return self


@rule(aten._to_copy.default)
def to_copy(ctx: Context, self: TensorValue, non_blocking: bool) -> TensorValue:
    return cast(self, ctx.out.dtype)


@rule(torch.ops.prims.convert_element_type.default)
def convert_element_type(ctx: Context, a: TensorValue) -> TensorValue:
    return cast(a, ctx.out.dtype)


@rule(aten.view_as_real.default, prepack=("self",))
def view_as_real(ctx: Context, self: TensorValue | PendingWeight) -> TensorValue:
    """Of a weight, for the pass `complex_pairs`; MAX has no other complex tensors."""
    if not isinstance(self, PendingWeight):
        raise Declined("MAX has no complex tensors")
    return ctx.prepacked(self, "real pairs", _real_pairs, lambda x: x, ctx.out.dtype)


def _real_pairs(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(x.resolve_conj())
