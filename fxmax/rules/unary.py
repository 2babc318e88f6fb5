"""Functions of one number: roots, logs, trigonometry, rounding, signs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.fx.torch_private import Promotion
from fxmax.rules.lib.promotion import as_signed, elementwise, is_nan, keeping_nan, less, libm, scalar
from fxmax.rules.lib.values import SIGNED, cast

aten = torch.ops.aten

# MAX's exp of float32 stops at 2.4e38 instead of reaching infinity.
EXP_OVERFLOWS = {DType.float32: 88.72283935546875}


def exp(x: TensorValue) -> TensorValue:
    y = keeping_nan(ops.exp)(x)
    top = EXP_OVERFLOWS.get(x.dtype)
    return y if top is None else ops.where(x > scalar(x, top), scalar(x, math.inf), y)


elementwise(
    {
        aten.cos.default: ops.cos,
        aten.erf.default: ops.erf,
        aten.exp.default: exp,
        aten.exp2.default: lambda x: exp(x * scalar(x, math.log(2))),
        aten.log.default: ops.log,
        aten.log1p.default: ops.log1p,
        aten.reciprocal.default: lambda x: scalar(x, 1) / x,
        aten.rsqrt.default: ops.rsqrt,
        aten.sigmoid.default: keeping_nan(ops.sigmoid),
        aten.sin.default: ops.sin,
        aten.sqrt.default: ops.sqrt,
        aten.tanh.default: keeping_nan(ops.tanh),
        aten.atanh.default: ops.atanh,
    },
    Promotion.INT_TO_FLOAT,
)
elementwise(
    {
        aten.acos.default: libm("acos"),
        aten.acosh.default: libm("acosh"),
        aten.asin.default: libm("asin"),
        aten.asinh.default: libm("asinh"),
        aten.atan.default: libm("atan"),
        aten.cosh.default: libm("cosh"),
        aten.erfc.default: libm("erfc"),
        aten.expm1.default: libm("expm1"),
        aten.lgamma.default: libm("lgamma"),
        aten.log10.default: libm("log10"),
        aten.log2.default: libm("log2"),
        aten.sinh.default: libm("sinh"),
        aten.tan.default: libm("tan"),
    },
    Promotion.INT_TO_FLOAT,
    platform="cpu",
)


def _of_floats(fn: Callable[[TensorValue], TensorValue]) -> Callable[[TensorValue], TensorValue]:
    """A rounding: integers are whole already."""
    return lambda x: fn(x) if x.dtype.is_float() else x


elementwise(
    {
        aten.ceil.default: _of_floats(ops.ceil),
        aten.floor.default: _of_floats(ops.floor),
        aten.round.default: _of_floats(ops.round),  # half to even, as torch's
        aten.trunc.default: _of_floats(ops.trunc),
    }
)


@rule(aten.round.decimals)
def round_decimals(ctx: Context, self: TensorValue, decimals: int) -> TensorValue:
    if not self.dtype.is_float():
        return self
    ten = scalar(self, 10.0 ** abs(decimals))
    return ops.round(self * ten) / ten if decimals >= 0 else ops.round(self / ten) * ten


def _sign(x: TensorValue) -> TensorValue:
    if x.dtype == DType.bool:
        return x
    zero = scalar(x, 0)
    return cast(x > zero, x.dtype) - cast(less(x, zero), x.dtype)


elementwise(
    {
        aten.abs.default: lambda x: x if x.dtype == DType.bool or x.dtype in SIGNED else ops.abs(x),
        aten.neg.default: as_signed(ops.negate),
        aten.sign.default: _sign,
        aten.sgn.default: _sign,
    },
    Promotion.COMPLEX_TO_FLOAT,
)


@rule(aten.angle.default)
def angle(ctx: Context, self: TensorValue) -> TensorValue:
    x = cast(self, ctx.out.dtype)
    turned = ops.where(less(x, scalar(x, 0)), scalar(x, math.pi), scalar(x, 0))
    return ops.where(is_nan(x), x, turned)
