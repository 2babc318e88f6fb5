"""How an elementwise op becomes a rule: torch's promotion decides the dtype, MAX's never does."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from max.dtype import DType
from max.graph import Dim, TensorType, TensorValue, ops

from fxmax.core import kernel_calls
from fxmax.core.context import Context
from fxmax.core.table import IGNORABLE, Platform, parameter_name, rule
from fxmax.fx.torch_private import OpOverload, Promotion, schema_of
from fxmax.kernels.build import ELEMENTWISE
from fxmax.rules.lib.values import SIGNED, broadcast, cast, tensor, trailing_ones
from fxmax.support.signals import HostOnly

Lowering = Callable[..., TensorValue]


def elementwise(
    lowerings: Mapping[OpOverload, Lowering],
    promotion: Promotion = Promotion.DEFAULT,
    alike: bool = False,
    platform: Platform | None = None,
) -> None:
    """Register overloads whose arguments are all tensors or scalars: one line each.

    Operands are cast to the dtype that torch computes in, the result to the dtype it returns. With `alike`
    they come broadcast to one shape, as functions that call Mojo custom ops take them. `platform` is the
    only one that these rules are for.
    """
    caller = sys._getframe(1)
    for target, fn in lowerings.items():
        lowered = _in_promoted_dtype(target, fn, promotion, alike)
        lowered.where = f"{caller.f_code.co_filename}:{caller.f_lineno}"  # type: ignore[attr-defined]
        rule(target, platform=platform)(lowered)


def _in_promoted_dtype(target: OpOverload, fn: Lowering, promotion: Promotion, alike: bool) -> Lowering:
    names = [a.name for a in schema_of(target).arguments if a.name not in IGNORABLE]

    def lowered(ctx: Context, **operands: Any) -> TensorValue:
        given = [operands[parameter_name(n)] for n in names]
        return computed(ctx, fn, given, ctx.promoted(promotion), alike)

    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(n, keyword) for n in ("ctx", *map(parameter_name, names))]
    lowered.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return lowered


def computed(
    ctx: Context, fn: Lowering, operands: Sequence[Any], dtype: DType, alike: bool = False
) -> TensorValue:
    """The node's result: `fn` of the operands (tensors or scalars) in `dtype`, as `broadcasting` does it."""
    values = [tensor(ctx, x, dtype) for x in operands]
    return cast(broadcasting(fn, values, ctx.out.shape, alike), ctx.out.dtype)


def broadcasting(
    fn: Lowering, operands: Sequence[TensorValue], shape: Sequence[Dim], alike: bool = False
) -> TensorValue:
    """`fn` of operands that broadcast to `shape`; with `alike` it gets them broadcast.

    It is computed without the axes of size 1 at the end. MAX 26.7 fuses a broadcast operand into a product
    or convolution, and reads the wrong elements of it, where such axes come between: conv (2, 32, 1, 1) ·
    scale (32, 1, 1).
    """
    values, inner = list(operands), list(shape)
    count = trailing_ones(shape) if len(values) > 1 else 0
    if count:
        inner = inner[:-count]
        values = [ops.reshape(v, list(v.shape)[: max(v.rank - count, 0)]) for v in values]
    if alike:
        values = [broadcast(v, inner) for v in values]
    y = fn(*values)
    return ops.reshape(y, list(shape)) if count else y


def mojo(name: str) -> Lowering:
    """The Mojo custom op `fxmax.NAME` on operands of one shape and dtype."""

    def call(*operands: TensorValue) -> TensorValue:
        x = operands[0]
        result = TensorType(x.dtype, x.shape, x.device)
        [y] = kernel_calls.call(ELEMENTWISE, f"fxmax.{name}", x.device, operands, [result])
        return y

    return call


def libm(name: str) -> Lowering:
    """The C library's function of that name, through Mojo, with torch's special cases: for the CPU alone."""
    return mojo(name)


def on_integers(fn: Lowering) -> Lowering:
    """`fn` for a GPU, of integers: floats, for which it calls the C library, are computed on the host."""

    def form(*operands: TensorValue) -> TensorValue:
        if operands[0].dtype.is_float():
            raise HostOnly
        return fn(*operands)

    return form


def as_signed(fn: Lowering) -> Lowering:
    """`fn`, of unsigned integers computed as of signed ones, which have the same bits.

    MAX negates signed ones alone, and makes a negation of 0 - x.
    """

    def form(*operands: TensorValue) -> TensorValue:
        dtype = operands[0].dtype
        if dtype not in SIGNED:
            return fn(*operands)
        return cast(fn(*(cast(x, SIGNED[dtype]) for x in operands)), dtype)

    return form


def of_bool(on_bool: Lowering, on_numbers: Lowering) -> Lowering:
    """MAX's arithmetic refuses bools, where torch computes in two-element logic."""
    return lambda *values: (on_bool if values[0].dtype == DType.bool else on_numbers)(*values)


def scalar(x: TensorValue, value: float) -> TensorValue:
    """A 0-d constant of the dtype of `x`."""
    return ops.constant(value, x.dtype, device=x.device)


# MAX's not_equal is false of NaN, and the operators < and <= are true of it: they negate >= and >.


def not_equal(a: TensorValue, b: TensorValue) -> TensorValue:
    """a != b, true where either is NaN."""
    return ops.logical_not(ops.equal(a, b))


def less(a: TensorValue, b: TensorValue) -> TensorValue:
    """a < b, false where either is NaN."""
    return ops.greater(b, a)


def is_nan(x: TensorValue) -> TensorValue:
    """Where `x` is NaN; nowhere, for integers and bools."""
    # MAX folds a value's comparison with itself, as if no NaN were.
    return ops.is_nan(x) if x.dtype.is_float() else not_equal(x, x)


def keeping_nan(fn: Lowering) -> Lowering:
    """`fn` of one float, with NaN for NaN: some of MAX's fast approximations lose it."""
    return lambda x: ops.where(is_nan(x), x, fn(x))
