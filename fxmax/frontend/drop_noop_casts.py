"""What an exported program holds that computes nothing, dropped before the rest is decomposed."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import replace
from fxmax.fx.schema import arguments

aten = torch.ops.aten


def drop_noop_casts(program: ExportedProgram) -> None:
    """Erase casts of tensors to the dtype they have, and the checks that go with them, in place.

    Such a cast is its argument, not a copy. In openai's Whisper, whose layers cast each weight, these
    are nearly half of all nodes, and each would be traced to find that out.
    """
    graph = program.graph
    for node in reversed(list(graph.nodes)):
        if node.target is aten._assert_tensor_metadata.default:
            graph.erase_node(node)
        elif node.target is aten.to.dtype and _is_noop(node):
            replace(node, arguments(node)["self"])
    program.graph_module.recompile()


def _is_noop(node: Node) -> bool:
    """Whether a cast gives its argument back. One that is returned stays: the signature names it."""
    given = arguments(node)
    return (
        given["self"].meta["val"].dtype == given["dtype"]
        and not given["copy"]
        and given["memory_format"] is None
        and all(user.op != "output" for user in node.users)
    )
