"""Permutes that undo each other go; one in front of a pointwise op moves behind it, to meet others."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram

from fxmax.fx.edit import calls, emit, permutation, replace

aten = torch.ops.aten
POINTWISE = (aten.gelu.default, aten.relu.default, aten.silu.default, aten.tanh.default, aten.sigmoid.default)


def fold_permutes(program: ExportedProgram) -> None:
    """permute(permute(x)) → one or none; f(permute(x)) → permute(f(x)) for a pointwise f of one user."""
    while _moved(program) or _composed(program):
        program.graph.eliminate_dead_code()


def _moved(program: ExportedProgram) -> bool:
    for node in calls(program, *POINTWISE):
        source: Any = node.args[0]
        dims = permutation(source)
        if dims is not None and len(source.users) == 1:
            y = emit(node, cast(OpOverload, node.target), (source.args[0], *node.args[1:]), node, node.kwargs)
            replace(node, emit(node, aten.permute.default, (y, dims), source))
            return True
    return False


def _composed(program: ExportedProgram) -> bool:
    for node in calls(program, aten.permute.default, aten.transpose.int):
        source: Any = node.args[0]
        dims, inner = permutation(node), permutation(source)
        assert dims is not None
        if inner is not None:
            replace(node, emit(node, aten.permute.default, (source.args[0], [inner[d] for d in dims]), node))
            return True
        if dims == list(range(len(dims))):
            replace(node, source)
            return True
    return False
