"""Mixtures of experts: a matrix product whose rows, sorted by expert, each use their expert's matrix."""

from __future__ import annotations

import sys

import torch
from max.dtype import DType
from max.graph import TensorValue, ops

from fxmax.core.context import Context
from fxmax.core.table import RuleTable
from fxmax.rules.lib.matmul import matmul
from fxmax.rules.lib.sizes import positions
from fxmax.rules.lib.values import cast


def grouped_mm(ctx: Context, input: TensorValue, weight: TensorValue, offs: TensorValue) -> TensorValue:
    """(rows, in) by (experts, in, out): row i uses the expert whose `offs` is the first above i.

    Every expert's product is made and each row takes its own: the sizes of the groups depend on the
    data, and MAX's shapes don't.
    """
    products = matmul(ctx, ops.unsqueeze(input, 0), weight)  # (experts, rows, out)
    row = positions(ctx, input.shape[0])
    past = ops.unsqueeze(row, 1) >= ops.unsqueeze(cast(offs, DType.int64), 0)
    expert = ops.squeeze(ops.sum(cast(past, DType.int64), 1), 1)
    expert = ops.min(expert, int(weight.shape[0]) - 1)  # rows past the last group belong to no expert
    return ops.gather_nd(products, ops.stack([expert, row], -1))


def register_loaded(table: RuleTable) -> None:
    """Rules for ops that other libraries define, once a library that does is imported."""
    if "transformers" in sys.modules and hasattr(torch.ops.transformers, "grouped_mm_fallback"):
        target = torch.ops.transformers.grouped_mm_fallback.default
        if target not in table:
            table.rule(target, builtin=True)(grouped_mm)
