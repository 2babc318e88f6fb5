"""Matrix products. torch's 1-d operands are a row on the left and a column on the right."""

from __future__ import annotations

from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.lib import matmul as precise
from fxmax.rules.lib.matmul_kernel import row_products
from fxmax.rules.lib.sizes import has_zero
from fxmax.rules.lib.values import tensor

aten = torch.ops.aten


@rule(aten.linear.default)
def linear(ctx: Context, input: TensorValue, weight: TensorValue, bias: TensorValue | None) -> TensorValue:
    # A 1-d weight makes one feature, and takes it away again.
    y = product(ctx, input, ops.transpose(weight, 0, 1) if weight.rank == 2 else weight)
    return y if bias is None else y + bias


@rule(aten.linear.default, platform="cpu")
def linear_cpu(
    ctx: Context, input: TensorValue, weight: TensorValue, bias: TensorValue | None
) -> TensorValue:
    if weight.rank != 2 or not has_row_kernel(ctx, input):
        return linear(ctx, input, weight, bias)
    y = row_products(ctx, input, weight)
    return y if bias is None else y + bias


@rule(aten.matmul.default)
def matmul(ctx: Context, self: TensorValue, other: TensorValue) -> TensorValue:
    return product(ctx, self, other)


@rule(aten.bmm.default, aten.mm.default)
def mm(ctx: Context, self: TensorValue, mat2: TensorValue) -> TensorValue:
    return product(ctx, self, mat2)


@rule(aten.mv.default)
def mv(ctx: Context, self: TensorValue, vec: TensorValue) -> TensorValue:
    return product(ctx, self, vec)


@rule(aten.dot.default)
def dot(ctx: Context, self: TensorValue, tensor: TensorValue) -> TensorValue:
    return product(ctx, self, tensor)


@rule(aten.addmm.default)
def addmm(
    ctx: Context, self: TensorValue, mat1: TensorValue, mat2: TensorValue, beta: Any, alpha: Any
) -> TensorValue:
    return _plus_product(ctx, self, mat1, mat2, beta, alpha)


@rule(aten.addmv.default)
def addmv(
    ctx: Context, self: TensorValue, mat: TensorValue, vec: TensorValue, beta: Any, alpha: Any
) -> TensorValue:
    return _plus_product(ctx, self, mat, vec, beta, alpha)


@rule(aten.baddbmm.default)
def baddbmm(
    ctx: Context, self: TensorValue, batch1: TensorValue, batch2: TensorValue, beta: Any, alpha: Any
) -> TensorValue:
    return _plus_product(ctx, self, batch1, batch2, beta, alpha)


def _plus_product(
    ctx: Context, self: TensorValue, a: TensorValue, b: TensorValue, beta: Any, alpha: Any
) -> TensorValue:
    """beta · self + alpha · (a @ b); where beta is 0, `self` is not read (its NaN don't spread)."""
    dtype = ctx.out.dtype
    y = product(ctx, a, b)
    if alpha != 1:
        y = y * tensor(ctx, alpha, dtype)
    if beta == 0:
        return y
    return y + (self if beta == 1 else self * tensor(ctx, beta, dtype))


def has_row_kernel(ctx: Context, a: TensorValue) -> bool:
    """Whether the CPU's kernel makes this node's result of `a` and the rows of something."""
    return ctx.out.dtype == DType.float32 and not has_zero([a.shape[-1], *ctx.out.shape])


def product(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    """torch's matmul of two tensors of one dtype, of any rank from 1."""
    if has_zero([a.shape[-1], *ctx.out.shape]):
        return ctx.full(0, ctx.out.shape, ctx.out.dtype)
    rows = a if a.rank > 1 else ops.unsqueeze(a, 0)
    columns = b if b.rank > 1 else ops.unsqueeze(b, 1)
    y = precise.matmul(ctx, rows, columns)
    if b.rank == 1:
        y = ops.squeeze(y, -1)
    return y if a.rank > 1 else ops.squeeze(y, -1 if b.rank == 1 else -2)
