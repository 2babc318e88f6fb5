"""float32 products on a GPU, in float32's precision.

MAX 26.7 multiplies float32 matrices on a GPU in TF32: 11 bits of a factor's 24 (seen on an H100: errors
of 5e-4, modular#5348). Here each factor is cut in two parts that TF32 holds, and the parts' products
are added, three for one. What is neglected is 2⁻²¹ of a product.

The cut is by bits. Veltkamp's, (c - (c - x)) with c = 8193 x, does nothing on a GPU: contracted to fused
multiply-adds it is x itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

from fxmax.context import Context

Product = Callable[[TensorValue, TensorValue], TensorValue]


def matmul(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    """`a @ b`, as MAX broadcasts batches."""
    return precise(ctx, lambda x, y: x @ y, a, b)


def convolution(
    ctx: Context, op: Callable[..., TensorValue], x: TensorValue, filters: TensorValue, **settings: Any
) -> TensorValue:
    """MAX's `op(x, filters, bias=…, **settings)`: `ops.conv2d` or `ops.conv3d`."""
    if not _rounds(ctx, x.dtype):
        return op(x, filters, **settings)
    bias = settings.pop("bias")
    y = precise(ctx, lambda a, b: op(a, b, **settings), x, filters)
    return y if bias is None else y + bias


def precise(ctx: Context, product: Product, a: TensorValue, b: TensorValue) -> TensorValue:
    """`product(a, b)`, which must be linear in both."""
    if not _rounds(ctx, a.dtype):
        return product(a, b)
    (a_high, a_finite, a_low), (b_high, b_finite, b_low) = parts(ctx, a), parts(ctx, b)
    return product(a_high, b_high) + (product(a_finite, b_low) + product(a_low, b_finite))


def _rounds(ctx: Context, dtype: DType) -> bool:
    return not ctx.device.is_cpu() and dtype == DType.float32


def parts(ctx: Context, x: TensorValue) -> tuple[TensorValue, TensorValue, TensorValue]:
    """(the high bits; them with 0 for infinities; the low bits): ∞ · 0 would be NaN."""
    zero = ctx.constant(0, DType.float32)
    kind = TensorType(x.dtype, x.shape, x.device)
    high = ops.custom("fxmax.high_bits", x.device, [x], [kind])[0].tensor
    infinite = ops.equal(ops.abs(x), ctx.constant(math.inf, DType.float32))
    return high, ops.where(infinite, zero, high), ops.where(infinite, zero, x - high)
