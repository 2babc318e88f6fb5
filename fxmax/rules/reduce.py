"""Reductions. torch reduces over any dims at once, MAX over one axis: the dims become one axis first."""

from __future__ import annotations

import math
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.rules.arithmetic import power
from fxmax.rules.creation import filled
from fxmax.rules.lib.one_axis import Dims, Reduce, count, keepdim, one_axis
from fxmax.rules.lib.promotion import is_nan, not_equal, scalar
from fxmax.rules.lib.sizes import has_zero
from fxmax.rules.lib.values import axes, broadcast, cast, tensor
from fxmax.rules.unary import exp

aten = torch.ops.aten


def reduced(ctx: Context, x: TensorValue, dims: Dims, fn: Reduce, of_nothing: float = 0) -> TensorValue:
    """`fn` over `dims`, in the shape and dtype of the node; `of_nothing` is its value of no values."""
    if has_zero(x.shape):
        return filled(ctx, of_nothing)
    return cast(fn(*one_axis(x, dims)), ctx.out.dtype).reshape(ctx.out.shape)


# -- sums, means, products --------------------------------------------------------------------------


@rule(aten.sum.default)
def sum_all(ctx: Context, self: TensorValue) -> TensorValue:
    return reduced(ctx, cast(self, ctx.out.dtype), None, ops.sum)


@rule(aten.sum.dim_IntList)
def sum_dims(ctx: Context, self: TensorValue, dim: Dims, keepdim: bool) -> TensorValue:
    return reduced(ctx, cast(self, ctx.out.dtype), dim, ops.sum)


@rule(aten.mean.default)
def mean_all(ctx: Context, self: TensorValue) -> TensorValue:
    return reduced(ctx, cast(self, ctx.out.dtype), None, ops.mean, math.nan)


@rule(aten.mean.dim)
def mean_dims(ctx: Context, self: TensorValue, dim: Dims, keepdim: bool) -> TensorValue:
    return reduced(ctx, cast(self, ctx.out.dtype), dim, ops.mean, math.nan)


@rule(aten.prod.default)
def prod_all(ctx: Context, self: TensorValue) -> TensorValue:
    return reduced(ctx, cast(self, ctx.out.dtype), None, ops.prod, 1)


@rule(aten.prod.dim_int)
def prod_dim(ctx: Context, self: TensorValue, dim: int, keepdim: bool) -> TensorValue:
    return reduced(ctx, cast(self, ctx.out.dtype), dim, ops.prod, 1)


# -- extrema, any, all ------------------------------------------------------------------------------


def greatest(x: TensorValue, axis: int) -> TensorValue:
    """The greatest along one axis; NaN where there is one."""
    return _or_nan(x, axis, ops.max(x, axis=axis))


def least(x: TensorValue, axis: int) -> TensorValue:
    """The least along one axis; NaN where there is one."""
    return _or_nan(x, axis, ops.min(x, axis=axis))


def _or_nan(x: TensorValue, axis: int, best: TensorValue) -> TensorValue:
    """MAX's max and min skip NaN; torch's find it."""
    if not x.dtype.is_float():
        return best
    found = ops.max(cast(is_nan(x), x.dtype), axis=axis)
    return ops.where(found > scalar(x, 0), scalar(x, math.nan), best)


def _numeric(x: TensorValue) -> TensorValue:
    """Bools as numbers: MAX does not reduce them."""
    return cast(x, DType.int32) if x.dtype == DType.bool else x


@rule(aten.amax.default)
def amax(ctx: Context, self: TensorValue, dim: Dims, keepdim: bool) -> TensorValue:
    return reduced(ctx, _numeric(self), dim, greatest)


@rule(aten.amin.default)
def amin(ctx: Context, self: TensorValue, dim: Dims, keepdim: bool) -> TensorValue:
    return reduced(ctx, _numeric(self), dim, least)


@rule(aten.max.default)
def max_all(ctx: Context, self: TensorValue) -> TensorValue:
    return reduced(ctx, _numeric(self), None, greatest)


@rule(aten.min.default)
def min_all(ctx: Context, self: TensorValue) -> TensorValue:
    return reduced(ctx, _numeric(self), None, least)


def _any(x: TensorValue, axis: int) -> TensorValue:
    """Of 0 and 1. MAX's max of nothing, which may be known at run time only, is the least integer."""
    return ops.greater(ops.max(x, axis=axis), scalar(x, 0))


def _all(x: TensorValue, axis: int) -> TensorValue:
    return ops.min(x, axis=axis)


@rule(aten.any.default)
def any_all(ctx: Context, self: TensorValue) -> TensorValue:
    return reduced(ctx, _numeric(cast(self, DType.bool)), None, _any)


@rule(aten.any.dim, aten.any.dims)
def any_dims(ctx: Context, self: TensorValue, dim: Dims, keepdim: bool) -> TensorValue:
    return reduced(ctx, _numeric(cast(self, DType.bool)), dim, _any)


@rule(aten.all.default)
def all_all(ctx: Context, self: TensorValue) -> TensorValue:
    return reduced(ctx, _numeric(cast(self, DType.bool)), None, _all, 1)


@rule(aten.all.dim, aten.all.dims)
def all_dims(ctx: Context, self: TensorValue, dim: Dims, keepdim: bool) -> TensorValue:
    return reduced(ctx, _numeric(cast(self, DType.bool)), dim, _all, 1)


# -- spread and norms -------------------------------------------------------------------------------


def _variance(ctx: Context, x: TensorValue, dim: Dims, correction: Any, out: Any) -> TensorValue:
    if has_zero(x.shape):
        return ops.broadcast_to(ctx.constant(math.nan, out.dtype), out.shape)
    distance = x - keepdim(x, dim, ops.mean) if x.rank else x - x
    size = count(x, axes(dim, x.rank))
    freedom = tensor(ctx, size, x.dtype) - tensor(ctx, 1 if correction is None else correction, x.dtype)
    positive = ops.max(freedom, scalar(x, 0))
    return (ops.sum(*one_axis(distance * distance, dim)) / positive).reshape(out.shape)


@rule(aten.var.correction)
def var(ctx: Context, self: TensorValue, dim: Dims, correction: Any, keepdim: bool) -> TensorValue:
    return _variance(ctx, self, dim, correction, ctx.out)


@rule(aten.std.correction)
def std(ctx: Context, self: TensorValue, dim: Dims, correction: Any, keepdim: bool) -> TensorValue:
    return ops.sqrt(_variance(ctx, self, dim, correction, ctx.out))


@rule(aten.var_mean.correction)
def var_mean(ctx: Context, self: TensorValue, dim: Dims, correction: Any, keepdim: bool) -> Any:
    variance, mean = ctx.out
    if has_zero(self.shape):
        nothing = ops.broadcast_to(ctx.constant(math.nan, mean.dtype), mean.shape)
        return nothing, nothing
    return (
        _variance(ctx, self, dim, correction, variance),
        ops.mean(*one_axis(self, dim)).reshape(mean.shape),
    )


@rule(aten.std_mean.correction)
def std_mean(ctx: Context, self: TensorValue, dim: Dims, correction: Any, keepdim: bool) -> Any:
    variance, mean = var_mean(ctx, self, dim, correction, keepdim)
    return ops.sqrt(variance), mean


@rule(aten.linalg_vector_norm.default)
def vector_norm(ctx: Context, self: TensorValue, ord: Any, dim: Dims, keepdim: bool) -> TensorValue:
    return norm(ctx, cast(self, ctx.out.dtype), ord, dim)


def norm(ctx: Context, x: TensorValue, ord: Any, dim: Dims) -> TensorValue:
    """The `ord`-norm of `x` over `dim`, in the shape of the node."""
    x = ops.abs(x)
    if ord == math.inf:
        return reduced(ctx, x, dim, greatest)
    if ord == -math.inf:
        return reduced(ctx, x, dim, least)
    if ord == 0:
        return reduced(ctx, cast(not_equal(x, scalar(x, 0)), x.dtype), dim, ops.sum)
    if ord == 1:
        return reduced(ctx, x, dim, ops.sum)
    if ord == 2:
        return ops.sqrt(reduced(ctx, x * x, dim, ops.sum))
    raised = power(x, broadcast(tensor(ctx, ord, x.dtype), x.shape))
    total = reduced(ctx, raised, dim, ops.sum)
    return power(total, broadcast(tensor(ctx, 1 / ord, x.dtype), total.shape))


@rule(aten.logsumexp.default)
def logsumexp(ctx: Context, self: TensorValue, dim: Dims, keepdim: bool) -> TensorValue:
    x = cast(self, ctx.out.dtype)
    if has_zero(x.shape):
        return filled(ctx, -math.inf)
    x, axis = one_axis(x, dim)
    top = greatest(x, axis)
    finite = ops.where(ops.equal(ops.abs(top), scalar(x, math.inf)), scalar(x, 0), top)
    return (ops.log(ops.sum(exp(x - finite), axis)) + finite).reshape(ctx.out.shape)


@rule(aten.cumsum.default)
def cumsum(ctx: Context, self: TensorValue, dim: int) -> TensorValue:
    x = cast(self, ctx.out.dtype)
    return x if x.rank == 0 or has_zero(x.shape) else ops.cumsum(x, axis=dim % x.rank)
