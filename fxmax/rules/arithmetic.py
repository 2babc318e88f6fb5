"""Sums, products, quotients, remainders, powers, extrema of two operands."""

from __future__ import annotations

import math
from typing import Any

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import rule
from fxmax.fx.torch_private import OpOverload, Promotion
from fxmax.rules.lib import max_folding as folding
from fxmax.rules.lib.max_folding import nothing_of
from fxmax.rules.lib.promotion import (
    Lowering,
    as_signed,
    broadcasting,
    computed,
    elementwise,
    is_nan,
    less,
    libm,
    mojo,
    not_equal,
    of_bool,
    on_integers,
    scalar,
)
from fxmax.rules.lib.values import broadcast, cast, tensor
from fxmax.runtime.max_private import trunc_div as quotient

aten = torch.ops.aten


@rule(aten.add.Tensor, aten.add.Scalar)
def add(ctx: Context, self: TensorValue, other: Any, alpha: Any) -> TensorValue:
    if alpha == 1 and self.dtype.is_float() and folding.opposite(ctx, "self", "other"):
        return ops.abs(nothing_of(self))
    return _scaled_sum(ctx, of_bool(ops.logical_or, ops.add), self, other, alpha)


@rule(aten.sub.Tensor, aten.sub.Scalar)
def sub(ctx: Context, self: TensorValue, other: Any, alpha: Any) -> TensorValue:
    if alpha == 1 and self.dtype.is_float() and folding.same(ctx, "self", "other"):
        return ops.abs(nothing_of(self))
    return _scaled_sum(ctx, as_signed(ops.sub), self, other, alpha)


@rule(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(ctx: Context, self: TensorValue, other: Any, alpha: Any) -> TensorValue:
    if alpha == 1 and self.dtype.is_float() and folding.same(ctx, "self", "other"):
        return ops.abs(nothing_of(self))
    return _scaled_sum(ctx, as_signed(ops.sub), other, self, alpha)


def _scaled_sum(ctx: Context, op: Any, self: Any, other: Any, alpha: Any) -> TensorValue:
    dtype = ctx.promoted()
    other = tensor(ctx, other, dtype)
    if isinstance(alpha, (int, float)) and alpha == 0 and dtype.is_float():
        other, alpha = nothing_of(other), 1
    if alpha != 1:
        other = other * tensor(ctx, alpha, dtype)
    return computed(ctx, op, [self, other], dtype)


@rule(aten.mul.Tensor, aten.mul.Scalar)
def mul(ctx: Context, self: TensorValue, other: Any) -> TensorValue:
    dtype = ctx.promoted()
    for factor, name in ((self, "other"), (other, "self")):
        zero = folding.zero(ctx, name)
        if zero is not None and isinstance(factor, TensorValue) and dtype.is_float():
            y = nothing_of(tensor(ctx, factor, dtype), math.copysign(1, zero))
            return cast(broadcast(y, ctx.out.shape), ctx.out.dtype)
    return computed(ctx, of_bool(ops.logical_and, ops.mul), [self, other], dtype)


elementwise({aten.div.Tensor: ops.div, aten.div.Scalar: ops.div}, Promotion.INT_TO_FLOAT)


@rule(aten.div.Tensor_mode, aten.div.Scalar_mode)
def div_mode(ctx: Context, self: TensorValue, other: Any, rounding_mode: str | None) -> TensorValue:
    return _divided(ctx, self, other, rounding_mode, _floor_divide)


@rule(aten.div.Tensor_mode, aten.div.Scalar_mode, platform="gpu")
def div_mode_gpu(ctx: Context, self: TensorValue, other: Any, rounding_mode: str | None) -> TensorValue:
    return _divided(ctx, self, other, rounding_mode, on_integers(_floor_divide))


def _divided(
    ctx: Context, self: TensorValue, other: Any, rounding_mode: str | None, floored: Lowering
) -> TensorValue:
    dtype = ctx.promoted(Promotion.DEFAULT if rounding_mode else Promotion.INT_TO_FLOAT)
    divide = {None: ops.div, "floor": floored, "trunc": _trunc_divide}[rounding_mode]
    return computed(ctx, divide, [self, other], dtype, alike=True)


def _trunc_divide(a: TensorValue, b: TensorValue) -> TensorValue:
    return ops.trunc(a / b) if a.dtype.is_float() else quotient(a, b)


def _floor_divide(a: TensorValue, b: TensorValue) -> TensorValue:
    """Python's floor of the exact quotient: not that of the rounded one, which can be one more."""
    if not a.dtype.is_float():
        return ops.floor_div(a, b)
    rest = libm("fmod")(a, b)
    exact = (a - rest) / b
    exact = ops.where(_other_sign(rest, b), exact - scalar(a, 1), exact)
    whole = ops.floor(exact)
    whole = ops.where(exact - whole > scalar(a, 0.5), whole + scalar(a, 1), whole)
    zero = scalar(a, 0)
    floored = ops.where(ops.equal(exact, zero), libm("copysign")(broadcast(zero, a.shape), a / b), whole)
    return ops.where(ops.equal(b, scalar(b, 0)), a / b, floored)


def _other_sign(rest: TensorValue, b: TensorValue) -> TensorValue:
    """Where a remainder is not zero and has another sign than the divisor."""
    zero = scalar(b, 0)
    return ops.logical_and(not_equal(rest, zero), not_equal(less(rest, zero), less(b, zero)))


def remainder(a: TensorValue, b: TensorValue) -> TensorValue:
    if not a.dtype.is_float():
        return ops.mod(a, b)
    rest = libm("fmod")(a, b)
    return ops.where(_other_sign(rest, b), rest + b, rest)


def fmod(a: TensorValue, b: TensorValue) -> TensorValue:
    return libm("fmod")(a, b) if a.dtype.is_float() else a - quotient(a, b) * b


QUOTIENTS: dict[OpOverload, Lowering] = {
    aten.floor_divide.default: _floor_divide,
    aten.floor_divide.Scalar: _floor_divide,
    aten.remainder.Tensor: remainder,
    aten.remainder.Scalar: remainder,
    aten.remainder.Scalar_Tensor: remainder,
    aten.fmod.Tensor: fmod,
    aten.fmod.Scalar: fmod,
}
elementwise(QUOTIENTS, alike=True)
elementwise({op: on_integers(fn) for op, fn in QUOTIENTS.items()}, alike=True, platform="gpu")
elementwise({aten.gcd.default: mojo("gcd")}, alike=True)
elementwise({aten.nextafter.default: libm("nextafter")}, alike=True, platform="cpu")
elementwise(
    {
        aten.atan2.default: libm("atan2"),
        aten.copysign.Tensor: libm("copysign"),
        aten.copysign.Scalar: libm("copysign"),
        aten.hypot.default: libm("hypot"),
    },
    Promotion.INT_TO_FLOAT,
    alike=True,
    platform="cpu",
)


def power(base: TensorValue, exponent: TensorValue) -> TensorValue:
    # MAX's pow of floats is wrong at NaN, infinities and zeros; a GPU has no other.
    return libm("pow")(base, exponent) if base.dtype.is_float() else ops.pow(base, exponent)


POWERS = (aten.pow.Tensor_Tensor, aten.pow.Scalar)
elementwise(dict.fromkeys(POWERS, power), Promotion.BOOL_TO_LONG, alike=True)
elementwise(dict.fromkeys(POWERS, ops.pow), Promotion.BOOL_TO_LONG, alike=True, platform="gpu")

# The exponents that torch computes without pow, and so do we.
EASY_POWERS = {
    0.5: ops.sqrt,
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    -0.5: ops.rsqrt,
    -1: lambda x: scalar(x, 1) / x,
    -2: lambda x: scalar(x, 1) / (x * x),
}


@rule(aten.pow.Tensor_Scalar)
def pow_scalar(ctx: Context, self: TensorValue, exponent: Any) -> TensorValue:
    return _raised(ctx, self, exponent, power)


@rule(aten.pow.Tensor_Scalar, platform="gpu")
def pow_scalar_gpu(ctx: Context, self: TensorValue, exponent: Any) -> TensorValue:
    return _raised(ctx, self, exponent, ops.pow)


def _raised(ctx: Context, self: TensorValue, exponent: Any, power: Lowering) -> TensorValue:
    dtype = ctx.promoted(Promotion.BOOL_TO_LONG)
    x = cast(self, dtype)
    easy = EASY_POWERS.get(exponent) if isinstance(exponent, (int, float)) else None
    if easy and (dtype.is_float() or exponent in (2, 3)):
        return cast(easy(x), ctx.out.dtype)
    return cast(power(x, broadcast(tensor(ctx, exponent, dtype), x.shape)), ctx.out.dtype)


def maximum(a: TensorValue, b: TensorValue) -> TensorValue:
    return _or_nan(ops.max(a, b), a, b)


def minimum(a: TensorValue, b: TensorValue) -> TensorValue:
    return _or_nan(ops.min(a, b), a, b)


def _or_nan(best: TensorValue, a: TensorValue, b: TensorValue) -> TensorValue:
    """`best`, but NaN where an operand is: MAX's max and min take the other one."""
    return ops.where(is_nan(a), a, ops.where(is_nan(b), b, best)) if a.dtype.is_float() else best


elementwise(
    {
        aten.maximum.default: maximum,
        aten.minimum.default: minimum,
        aten.fmax.default: lambda a, b: ops.where(is_nan(a), b, ops.where(is_nan(b), a, ops.max(a, b))),
        aten.fmin.default: lambda a, b: ops.where(is_nan(a), b, ops.where(is_nan(b), a, ops.min(a, b))),
    }
)


@rule(aten.clamp.default, aten.clamp.Tensor)
def clamp(ctx: Context, self: TensorValue, min: Any, max: Any) -> TensorValue:
    dtype = ctx.promoted()
    bounds = [(nearest, b) for nearest, b in ((maximum, min), (minimum, max)) if b is not None]

    def within(x: TensorValue, *values: TensorValue) -> TensorValue:
        for (nearest, _), value in zip(bounds, values, strict=True):
            x = nearest(x, value)
        return x

    return computed(ctx, within, [self, *(bound for _, bound in bounds)], dtype)


@rule(aten.clamp_min.default, aten.clamp_min.Tensor)
def clamp_min(ctx: Context, self: TensorValue, min: Any) -> TensorValue:
    return clamp(ctx, self, min, None)


@rule(aten.clamp_max.default, aten.clamp_max.Tensor)
def clamp_max(ctx: Context, self: TensorValue, max: Any) -> TensorValue:
    return clamp(ctx, self, None, max)


@rule(aten.where.self)
def where(ctx: Context, condition: TensorValue, self: TensorValue, other: TensorValue) -> TensorValue:
    dtype = ctx.out.dtype
    operands = [cast(condition, DType.bool), cast(self, dtype), cast(other, dtype)]
    return broadcasting(ops.where, operands, ctx.out.shape)
