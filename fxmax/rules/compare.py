"""Comparisons, logic, predicates, and bitwise ops."""

from __future__ import annotations

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.fx.torch_private import Promotion
from fxmax.rules.lib.promotion import (
    Lowering,
    broadcasting,
    elementwise,
    is_nan,
    less,
    mojo,
    not_equal,
    of_bool,
    scalar,
)
from fxmax.rules.lib.values import cast

aten = torch.ops.aten


def _less_equal(a: TensorValue, b: TensorValue) -> TensorValue:
    return ops.greater_equal(b, a)


def _not_of_nan(compare: Lowering) -> Lowering:
    """`compare`, false of NaN: MAX folds it to true where both are one value, or compute the same."""

    def lowered(a: TensorValue, b: TensorValue) -> TensorValue:
        y = compare(a, b)
        return ops.logical_and(y, ops.logical_not(ops.is_nan(a))) if a.dtype.is_float() else y

    return lowered


_equal, _greater_equal = _not_of_nan(ops.equal), _not_of_nan(ops.greater_equal)
elementwise(
    {
        aten.eq.Tensor: _equal,
        aten.eq.Scalar: ops.equal,
        aten.ne.Tensor: lambda a, b: ops.logical_not(_equal(a, b)),
        aten.ne.Scalar: not_equal,
        aten.gt.Tensor: ops.greater,
        aten.gt.Scalar: ops.greater,
        aten.ge.Tensor: _greater_equal,
        aten.ge.Scalar: ops.greater_equal,
        aten.lt.Tensor: less,
        aten.lt.Scalar: less,
        aten.le.Tensor: lambda a, b: _greater_equal(b, a),
        aten.le.Scalar: _less_equal,
        aten.isnan.default: is_nan,
    },
    Promotion.ALWAYS_BOOL,
)


@rule(aten.isinf.default)
def isinf(ctx: Context, self: TensorValue) -> TensorValue:
    if not self.dtype.is_float():
        return ctx.full(False, self.shape, DType.bool)
    return ops.equal(ops.abs(self), scalar(self, float("inf")))


@rule(aten.signbit.default)
def signbit(ctx: Context, self: TensorValue) -> TensorValue:
    if self.dtype == DType.bool:
        return ctx.full(False, self.shape, DType.bool)
    zero = scalar(self, 0)
    if not self.dtype.is_float():
        return less(self, zero)
    return ops.where(ops.equal(self, zero), less(scalar(self, 1) / self, zero), less(self, zero))


@rule(aten.logical_and.default)
def logical_and(ctx: Context, self: TensorValue, other: TensorValue) -> TensorValue:
    return broadcasting(ops.logical_and, [cast(self, DType.bool), cast(other, DType.bool)], ctx.out.shape)


@rule(aten.logical_or.default)
def logical_or(ctx: Context, self: TensorValue, other: TensorValue) -> TensorValue:
    return broadcasting(ops.logical_or, [cast(self, DType.bool), cast(other, DType.bool)], ctx.out.shape)


@rule(aten.logical_xor.default)
def logical_xor(ctx: Context, self: TensorValue, other: TensorValue) -> TensorValue:
    return broadcasting(ops.logical_xor, [cast(self, DType.bool), cast(other, DType.bool)], ctx.out.shape)


@rule(aten.logical_not.default)
def logical_not(ctx: Context, self: TensorValue) -> TensorValue:
    return ops.logical_not(cast(self, DType.bool))


_and = of_bool(ops.logical_and, mojo("bitwise_and"))
_or = of_bool(ops.logical_or, mojo("bitwise_or"))
_xor = of_bool(ops.logical_xor, mojo("bitwise_xor"))
_left, _right = mojo("shift_left"), mojo("shift_right")
elementwise(
    {
        aten.bitwise_and.Tensor: _and,
        aten.bitwise_and.Scalar: _and,
        aten.bitwise_and.Scalar_Tensor: _and,
        aten.bitwise_or.Tensor: _or,
        aten.bitwise_or.Scalar: _or,
        aten.bitwise_or.Scalar_Tensor: _or,
        aten.bitwise_xor.Tensor: _xor,
        aten.bitwise_xor.Scalar: _xor,
        aten.bitwise_xor.Scalar_Tensor: _xor,
        aten.bitwise_not.default: of_bool(ops.logical_not, mojo("bitwise_not")),
        aten.bitwise_left_shift.Tensor: _left,
        aten.bitwise_left_shift.Tensor_Scalar: _left,
        aten.bitwise_left_shift.Scalar_Tensor: _left,
        aten.bitwise_right_shift.Tensor: _right,
        aten.bitwise_right_shift.Tensor_Scalar: _right,
        aten.bitwise_right_shift.Scalar_Tensor: _right,
    },
    alike=True,
)
for dunder, fn in {"and": _and, "or": _or, "xor": _xor, "lshift": _left, "rshift": _right}.items():
    packet = getattr(aten, f"__{dunder}__")
    elementwise({packet.Tensor: fn, packet.Scalar: fn}, alike=True)
