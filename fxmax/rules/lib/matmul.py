"""Matrix products in the precision of their dtype, which MAX's float32 products on a GPU have not.

MAX 26.7 multiplies float32 matrices on a GPU in TF32: 11 bits of a factor's 24 (seen on an H100: errors
of 5e-4, modular#5348). Here each factor is cut in two parts that TF32 holds, and the parts' products
are added, three for one. What is neglected is 2⁻²¹ of a product.

The cut is by bits. Veltkamp's, c - (c - x) with c = 8193 x, left the errors as they were on the card, as
it does where it is contracted to fused multiply-adds. MAX's convolutions are in float32 there (1.3e-6).
"""

from __future__ import annotations

import math

from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

from fxmax.core.context import Context
from fxmax.kernels.build import ELEMENTWISE
from fxmax.rules.lib.by_platform import by_platform
from fxmax.rules.lib.matmul_kernel import products


@by_platform
def matmul(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    """a (…, m, k) @ b (…, k, n), batches broadcasting."""
    return a @ b


@matmul.on("cpu")
def _by_kernel(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    return products(ctx, a, b) if a.dtype == DType.float32 else matmul.general(ctx, a, b)


@matmul.on("gpu")
def _by_parts(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    if a.dtype != DType.float32:
        return matmul.general(ctx, a, b)
    (a_high, a_finite, a_low), (b_high, b_finite, b_low) = parts(ctx, a), parts(ctx, b)
    return a_high @ b_high + (a_finite @ b_low + a_low @ b_finite)


def parts(ctx: Context, x: TensorValue) -> tuple[TensorValue, TensorValue, TensorValue]:
    """(the high bits; them with 0 for infinities; the low bits): ∞ · 0 would be NaN."""
    zero = ctx.constant(0, DType.float32)
    kind = TensorType(x.dtype, x.shape, x.device)
    [high] = ctx.kernel(ELEMENTWISE, "fxmax.high_bits", [x], [kind])
    infinite = ops.equal(ops.abs(x), ctx.constant(math.inf, DType.float32))
    return high, ops.where(infinite, zero, high), ops.where(infinite, zero, x - high)
