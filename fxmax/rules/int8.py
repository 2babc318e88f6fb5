"""Weight-only int8: a linear's weight as int8 with a float32 scale for each output feature.

Not in the default table: `quantized(table, "int8")` is that table with these rules over it, which
is what `dtype="int8"` asks for. Weights are quantized when a checkpoint is bound, so any float
checkpoint will do. Activations and sums stay float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from max.dtype import DType
from max.graph import DeviceRef, TensorValue

from fxmax.context import Context, PendingWeight
from fxmax.errors import DeviceError, FxmaxError
from fxmax.kernels import GEMM
from fxmax.kernels.panels import INT8, INT8_SCALES, int8_panels, scales
from fxmax.rules import fused
from fxmax.rules.sizes import has_zero
from fxmax.table import RuleTable

DTYPES = ("int8",)


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
    private = RuleTable(parent=table)
    target = torch.ops.fxmax.linear.default
    private.rule(target, override=True, relays=("weight",), kernels=GEMM)(linear)
    return private


def linear(
    ctx: Context,
    input: TensorValue,
    weight: TensorValue | PendingWeight,
    bias: TensorValue | None,
    residual: TensorValue | None,
    act: str,
) -> TensorValue:
    if not fused.fast(ctx, weight) or has_zero([input.shape[-1]]):
        return fused.linear(ctx, input, weight, bias, residual, act)
    scale = ctx.relaid(weight, INT8_SCALES, scales, _never, DType.float32)
    packed = ctx.relaid(weight, INT8, int8_panels, _never, DType.int8)
    return fused.packed_linear(ctx, input, packed, scale, bias, residual, act)


def _never(x: TensorValue) -> TensorValue:
    raise AssertionError("only a bound weight is quantized")
