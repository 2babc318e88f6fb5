"""`x @ w.T` with a weight w is a linear: tied logits are written that way."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import arguments, calls, emit, parameters, rank, replace

aten = torch.ops.aten
TRANSPOSES = (aten.t.default, aten.transpose.int, aten.permute.default, aten.numpy_T.default)


def linear_layout(program: ExportedProgram) -> None:
    """Rewrite matmul, mm and addmm by a transposed 2-d weight as aten.linear."""
    weights = parameters(program)
    for node in calls(program, aten.matmul.default, aten.mm.default):
        x, transposed = node.args
        weight = _transposed_weight(transposed, weights)
        if weight is not None and isinstance(x, Node) and rank(x) > 1:
            replace(node, emit(node, aten.linear.default, (x, weight), node))
    for node in calls(program, aten.addmm.default):
        a = arguments(node)
        weight = _transposed_weight(a["mat2"], weights)
        if weight is not None and a["alpha"] == a["beta"] == 1 and rank(a["self"]) == 1:
            replace(node, emit(node, aten.linear.default, (a["mat1"], weight, a["self"]), node))
    program.graph.eliminate_dead_code()


def _transposed_weight(node: Any, weights: set[str]) -> Node | None:
    """w where `node` is w.T and w a 2-d weight."""
    if not isinstance(node, Node) or node.target not in TRANSPOSES or rank(node) != 2:
        return None
    a = arguments(node)
    if "dims" in a:
        swaps = [d % 2 for d in a["dims"]] == [1, 0]
    else:
        swaps = a.get("dim0", 0) % 2 != a.get("dim1", 1) % 2
    source = next(iter(a.values()))
    return source if swaps and source.name in weights else None
