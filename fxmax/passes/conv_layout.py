"""1-d convolutions channels-last, where they are one matrix product over overlapping windows."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from fxmax.fx.edit import arguments, calls, emit, parameters, rank, replace

aten = torch.ops.aten


def conv_layout(program: ExportedProgram) -> None:
    """conv1d(x) → permute(fxmax.conv1d(permute(x))), for an ungrouped, undilated filter that is a weight."""
    weights = parameters(program)
    for node in calls(program, aten.conv1d.default):
        a = arguments(node)
        plain = a["groups"] == 1 and list(a["dilation"]) == [1] and rank(a["input"]) == 3
        if not plain or a["weight"].name not in weights:
            continue
        x = emit(node, aten.permute.default, (a["input"], [0, 2, 1]), node)
        inputs = (x, a["weight"], a["bias"], a["stride"][0], a["padding"][0], "")
        y = emit(node, torch.ops.fxmax.conv1d.default, inputs, node)
        replace(node, emit(node, aten.permute.default, (y, [0, 2, 1]), node))
