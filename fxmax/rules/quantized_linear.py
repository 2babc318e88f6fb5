"""Int8 linears: the weight as int8 with a float32 scale for each output feature.

Not in the default table: `quantized(table, dtype)` is that table with these rules over it, which is
what `fxmax.lower(dtype=)` asks for. Weights are quantized when a checkpoint is bound, so any float
checkpoint will do. With `int8` activations and sums stay float32. With `int8_dynamic` the rows that
go into a linear are rounded to int8 as well, 128 features to a scale, for the CPU's int8 dot product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from max.dtype import DType
from max.graph import DeviceRef, TensorValue

from fxmax.core.context import Context, PendingWeight
from fxmax.core.table import RuleFn, RuleTable
from fxmax.errors import DeviceError, FxmaxError
from fxmax.kernels.packing import INT8, INT8_QUADS, INT8_SCALES, int8_panels, int8_quads, scales
from fxmax.rules import fused_linear as fused
from fxmax.rules.lib.sizes import has_zero
from fxmax.runtime.target import has_int8_dot

DTYPES = ("int8", "int8_dynamic")


def quantized(
    table: RuleTable, dtype: str | None, device: DeviceRef, passes: Sequence[str] | None = None
) -> RuleTable:
    """`table` with linears in `dtype` (None: as it is).

    Raises:
        FxmaxError: no such dtype, not on this device, or `passes` leaves the linears as they are.
    """
    if dtype is None:
        return table
    if dtype not in DTYPES:
        raise FxmaxError(
            f"dtype={dtype!r}: weights can be stored as {', '.join(DTYPES)}, or as they are (None)"
        )
    if not device.is_cpu():
        raise DeviceError(f"dtype={dtype!r} is for the CPU; on {device} leave it out, or pass device='cpu'")
    if passes is not None and "fuse_linear" not in passes:
        raise FxmaxError(f"dtype={dtype!r} needs the pass fuse_linear, and passes={list(passes)} lacks it")
    if dtype == "int8_dynamic" and not has_int8_dot():
        raise DeviceError(
            f"dtype={dtype!r} needs a CPU with an int8 dot product (AVX-512 VNNI or AVX-VNNI), and this one "
            "has none: dtype='int8' does without"
        )
    private = RuleTable(parent=table)
    target = torch.ops.fxmax.linear.default
    fn = _linear(dynamic=dtype == "int8_dynamic")
    private.rule(target, platform="cpu", override=True, prepack=("weight",), builtin=True)(fn)
    return private


def _linear(dynamic: bool) -> RuleFn:
    """The rule of int8 weights; `dynamic`: what goes in is rounded to int8 too."""
    layout, pack = (INT8_QUADS, int8_quads) if dynamic else (INT8, int8_panels)

    def linear(
        ctx: Context,
        input: TensorValue,
        weight: TensorValue | PendingWeight,
        bias: TensorValue | None,
        residual: TensorValue | None,
        act: str,
        strassen: bool,
    ) -> TensorValue:
        if not fused.has_kernel(ctx, weight) or has_zero([input.shape[-1]]):
            return fused.linear(ctx, input, weight, bias, residual, act, strassen)
        scale = ctx.prepacked(weight, INT8_SCALES, scales, _never, DType.float32)
        packed = ctx.prepacked(weight, layout, pack, _never, DType.int8)
        return fused.packed_linear(ctx, input, packed, scale, bias, residual, act, dynamic)

    return linear


def _never(x: TensorValue) -> TensorValue:
    raise AssertionError("only a bound weight is quantized")
