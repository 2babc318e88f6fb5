"""Resizing with antialiasing, which is linear in each axis: a product with a matrix for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib.matmul import matmul
from fxmax.rules.lib.values import static

aten = torch.ops.aten


@rule(aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default)
def antialiased(
    ctx: Context,
    self: TensorValue,
    output_size: Sequence[Any],
    align_corners: bool,
    scales_h: float | None,
    scales_w: float | None,
) -> TensorValue:
    old = [static(size, "the size of the image") for size in self.shape[2:]]
    new = [static(size, "the new size") for size in output_size]
    down, across = (
        _matrix(ctx.node.target, old[i], new[i], align_corners, scale)
        for i, scale in enumerate((scales_h, scales_w))
    )
    rows, columns = (ops.constant(m.numpy(), self.dtype, device=ctx.device) for m in (down, across))
    return matmul(ctx, rows, matmul(ctx, self, ops.transpose(columns, 0, 1)))


def _matrix(target: Any, old: int, new: int, align_corners: bool, scale: float | None) -> torch.Tensor:
    """(new, old): what each new row takes of each old one, as torch's op makes it of the unit matrix."""
    return target(torch.eye(old)[None, None], [new, old], align_corners, scale, None)[0, 0]  # type: ignore[no-any-return]
