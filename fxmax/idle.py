"""What an exported program holds that computes nothing, dropped before torch takes it apart."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

aten = torch.ops.aten


def drop_idle(program: ExportedProgram) -> None:
    """Erase casts of tensors to the dtype they have, and the checks that go with them, in place.

    Such a cast is its argument, not a copy. In openai's Whisper, whose layers cast each weight, these
    are nearly half of all nodes, and torch's decomposition takes a quarter less without them.
    """
    graph = program.graph
    for node in reversed(list(graph.nodes)):
        if node.target is aten._assert_tensor_metadata.default:
            graph.erase_node(node)
        elif node.target is aten.to.dtype and _is_idle(node):
            source = node.args[0]
            assert isinstance(source, Node)
            node.replace_all_uses_with(source)
            graph.erase_node(node)
    program.graph_module.recompile()


def _is_idle(node: Node) -> bool:
    """Whether a cast gives its argument back. One that is returned stays: the signature names it."""
    source, dtype, *rest = node.args
    return (
        isinstance(source, Node)
        and not any((*rest, *node.kwargs.values()))
        and source.meta["val"].dtype == dtype
        and all(user.op != "output" for user in node.users)
    )
