"""`a @ bᵀ` of two batches that are no weights: scores, on a kernel that reads b as it lies."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import calls, emit, parameters, permutation, rank, replace, sizes

aten = torch.ops.aten


def row_products(program: ExportedProgram) -> None:
    """matmul, bmm and mm by a transposed batch of the same shape → fxmax.row_products, in float32."""
    weights = parameters(program)
    for node in calls(program, aten.matmul.default, aten.bmm.default, aten.mm.default):
        a: Any = node.args[0]
        b = _before_transpose(node.args[1])
        if b is None or b.name in weights or not (_matrices(a) and _matrices(b)):
            continue
        if sizes(a)[:-2] == sizes(b)[:-2]:
            replace(node, emit(node, torch.ops.fxmax.row_products.default, (a, b), node))
    program.graph.eliminate_dead_code()


def _matrices(x: Any) -> bool:
    return isinstance(x, Node) and rank(x) >= 2 and x.meta["val"].dtype == torch.float32


def _before_transpose(x: Any) -> Node | None:
    """What `x` was before its last two axes were swapped, if they were."""
    axes = permutation(x) or []
    swapped = [*range(len(axes) - 2), len(axes) - 1, len(axes) - 2]
    return x.args[0] if len(axes) > 1 and axes == swapped else None
