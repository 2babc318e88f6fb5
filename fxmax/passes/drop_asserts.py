"""Drop the checks that export leaves in the graph: they compute nothing.

Shapes and dtypes are checked by fxmax itself, at lowering against `meta["val"]` and at each call
against the signature.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

aten = torch.ops.aten

CHECKS = {
    aten._assert_tensor_metadata.default,
    aten._assert_scalar.default,
    aten._assert_async.msg,
    aten._assert_async.default,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
}


def drop_asserts(program: ExportedProgram) -> None:
    """Erase assertion nodes, then the symbolic comparisons that only they used."""
    graph = program.graph_module.graph
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and (node.target in CHECKS or _is_dead_comparison(node)):
            graph.erase_node(node)


def _is_dead_comparison(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    return not node.users and isinstance(value, (torch.SymBool, torch.SymInt, bool, int))
