"""Copies and casts: MAX values are immutable, so a copy is the value itself."""

from __future__ import annotations

import torch
from max.graph import TensorValue

from fxmax.context import Context
from fxmax.rules.helpers import cast
from fxmax.table import rule

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
