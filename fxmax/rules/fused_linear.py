"""The fused ops that passes put in (`fxmax.fx.custom_ops`), on our Mojo kernels where those apply.

The kernels are for float32 on the CPU with a weight bound from outside, which is packed in panels
once, when a checkpoint is bound. Everything else is composed of MAX's own ops, by the general rules.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from max.dtype import DType
from max.graph import TensorType, TensorValue, ops

import fxmax.fx.custom_ops  # noqa: F401 - defines the ops
from fxmax.core.context import Context, PendingWeight
from fxmax.core.table import rule
from fxmax.kernels.build import GEMM
from fxmax.kernels.packing import panels, strassen_panels
from fxmax.rules.activation import hardswish, relu, relu6
from fxmax.rules.lib.matmul_kernel import row_products as by_kernel
from fxmax.rules.lib.sizes import has_zero
from fxmax.rules.matmul import has_row_kernel, product

ACTIVATIONS: dict[str, Callable[[TensorValue], TensorValue]] = {
    "": lambda x: x,
    "gelu": ops.gelu,
    "gelu_tanh": lambda x: ops.gelu(x, "tanh"),
    "relu": relu,
    "silu": ops.silu,
    "relu6": relu6,
    "hardswish": hardswish,
}


def has_kernel(ctx: Context, weight: TensorValue | PendingWeight) -> bool:
    """Whether the CPU's kernels make this node's result."""
    bound = isinstance(weight, PendingWeight)
    return bound and ctx.out.dtype == DType.float32 and not has_zero(ctx.out.shape)


@rule(torch.ops.fxmax.linear.default, prepack=("weight",))
def linear(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    residual: TensorValue | None,
    act: str,
    strassen: bool,
) -> TensorValue:
    filters = ctx.prepacked(weight, "", lambda w: w, as_is)
    y = product(ctx, input, ops.transpose(filters, 0, 1))
    y = ACTIVATIONS[act](y if bias is None else y + bias)
    return y if residual is None else y + residual


@rule(torch.ops.fxmax.linear.default, platform="cpu", prepack=("weight",))
def linear_cpu(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    residual: TensorValue | None,
    act: str,
    strassen: bool,
) -> TensorValue:
    if not has_kernel(ctx, weight) or has_zero([input.shape[-1]]):
        return linear(ctx, input, weight, bias, residual, act, strassen)
    if strassen:
        packed = ctx.prepacked(weight, "strassen panels", strassen_panels, as_is, DType.float32)
        return _call(ctx, "fxmax.strassen", input, [packed], bias, residual, act)
    return packed_linear(
        ctx, input, ctx.prepacked(weight, "panels", panels, as_is), None, bias, residual, act
    )


def packed_linear(
    ctx: Context,
    input: TensorValue,
    packed: TensorValue,
    scales: TensorValue | None,
    bias: TensorValue | None,
    residual: TensorValue | None,
    act: str,
    dynamic: bool = False,
) -> TensorValue:
    """The kernel's call: `packed` is in panels, float32, or int8 with `scales` (features,).

    `dynamic` rounds `input` to int8 too; `packed` is then in panels of quads.
    """
    held = [packed, ctx.full(0, [1], DType.float32) if scales is None else scales]
    return _call(ctx, "fxmax.linear", input, held, bias, residual, act, dynamic=dynamic)


def _call(
    ctx: Context,
    name: str,
    input: TensorValue,
    held: list[TensorValue],
    bias: TensorValue | None,
    residual: TensorValue | None,
    act: str,
    **parameters: bool,
) -> TensorValue:
    """A kernel for a linear whose weight is `held`, on the rows of `input`."""
    features = ctx.out.shape[-1]
    x = ops.reshape(input, [-1, input.shape[-1]])
    plus = ctx.full(0, [1], DType.float32) if bias is None else bias
    more = x if residual is None else ops.reshape(residual, [-1, features])
    [y] = ctx.kernel(
        GEMM,
        name,
        [x, *held, plus, more],
        [TensorType(DType.float32, [x.shape[0], features], ctx.device)],
        activation=act,
        has_bias=bias is not None,
        has_residual=residual is not None,
        **parameters,
    )
    return ops.reshape(y, ctx.out.shape)


def as_is(x: TensorValue) -> TensorValue:
    return x


@rule(torch.ops.fxmax.row_products.default)
def row_products(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    return product(ctx, a, ops.transpose(b, -1, -2))


@rule(torch.ops.fxmax.row_products.default, platform="cpu")
def row_products_cpu(ctx: Context, a: TensorValue, b: TensorValue) -> TensorValue:
    return by_kernel(ctx, a, b) if has_row_kernel(ctx, a) else row_products(ctx, a, b)
