"""Padding with a constant, as several rules need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from max.graph import Dim, TensorValue, ops

from fxmax.core.context import Context
from fxmax.rules.lib.sizes import is_static, take


def padded(ctx: Context, x: TensorValue, pairs: Sequence[tuple[Any, Any]], value: Any) -> TensorValue:
    """`x` with (before, after) more places on each axis; a negative number takes places away."""
    for at, (before, after) in enumerate(pairs):
        crop = [-int(n) if is_static(n) and int(n) < 0 else 0 for n in (before, after)]
        if any(crop):
            x = take(ctx, x, at, crop[0], x.shape[at] - crop[0] - crop[1])
        parts = [_block(ctx, x, at, before, value), x, _block(ctx, x, at, after, value)]
        joined = [p for p in parts if p is not None]
        x = joined[0] if len(joined) == 1 else ops.concat(joined, at)
    return x


def _block(ctx: Context, x: TensorValue, at: int, count: Any, value: Any) -> TensorValue | None:
    if is_static(count) and int(count) <= 0:
        return None
    return ctx.full(value, [*x.shape[:at], Dim(count), *x.shape[at + 1 :]], x.dtype)
