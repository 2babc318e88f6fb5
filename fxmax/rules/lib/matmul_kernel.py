"""float32 matrix products on the CPU, on our kernel (`kernels/gemm/products.mojo`).

A compile that has one product of MAX's takes half a minute longer for it.
"""

from __future__ import annotations

from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

from fxmax.core.context import Context
from fxmax.kernels.build import GEMM
from fxmax.rules.lib.one_axis import keepdim
from fxmax.rules.lib.promotion import broadcasting
from fxmax.rules.lib.sizes import has_zero, product_of
from fxmax.rules.lib.values import broadcast, broadcast_shape


def products(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    """a (…, m, k) @ b (…, k, n) → (…, m, n); batches broadcast."""
    lead = broadcast_shape([a.shape[:-2], b.shape[:-2]])
    (m, k), n = a.shape[-2:], b.shape[-1]
    if has_zero([*lead, m, k, n]):
        return ctx.full(0, [*lead, m, n], DType.float32)
    if n == 1:  # packing a column would cost more than its product
        terms = broadcasting(ops.mul, [a, ops.transpose(b, -1, -2)], [*lead, m, k])
        return keepdim(terms, -1, ops.sum)
    if all(size == 1 for size in b.shape[:-2]):
        left, right = ops.reshape(a, [1, product_of([*lead, m]), k]), ops.reshape(b, [1, k, n])
    else:
        batch = product_of(lead)
        left, right = (
            ops.reshape(broadcast(x, [*lead, *x.shape[-2:]]), [batch, *x.shape[-2:]]) for x in (a, b)
        )
    result = TensorType(DType.float32, [left.shape[0], left.shape[1], n], ctx.device)
    [y] = ctx.kernel(GEMM, "fxmax.products", [left, right], [result])
    return ops.reshape(y, [*lead, m, n])


def row_products(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    """a (…, m, k) @ bᵀ, b being (n, k), or (…, n, k) with the same batches → (…, m, n)."""
    batch, (n, k) = product_of(b.shape[:-2]), b.shape[-2:]
    rows = product_of(a.shape[:-1]) if b.rank == 2 else a.shape[-2]
    left, right = ops.reshape(a, [batch, rows, k]), ops.reshape(b, [batch, n, k])
    result = TensorType(DType.float32, [batch, rows, n], ctx.device)
    [y] = ctx.kernel(GEMM, "fxmax.row_products", [left, right], [result])
    return ops.reshape(y, [*a.shape[:-1], n])
