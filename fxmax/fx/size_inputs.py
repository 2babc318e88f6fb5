"""A graph that somebody else cut out (Dynamo, the partitioner), made into what torch.export takes.

Such graphs get symbolic sizes as inputs of their own; MAX takes sizes from the shapes of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.export import Dim

from fxmax.errors import CaptureError

MetaOf = Callable[[torch.fx.Node], Any]


def read_sizes_from_tensors(graph: torch.fx.Graph, meta: MetaOf, numbers: Sequence[torch.fx.Node]) -> None:
    """Replace the placeholders `numbers` by the sizes of tensor inputs, and erase them.

    Args:
        meta: what a placeholder stands for: a FakeTensor, or a SymInt.

    Raises:
        CaptureError: a number that is used is no size of any tensor input.
    """
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    first = next(n for n in graph.nodes if n.op != "placeholder")
    for node in numbers:
        if node.users:
            with graph.inserting_before(first):
                node.replace_all_uses_with(_size(graph, node, placeholders, meta))
        graph.erase_node(node)


def _size(
    graph: torch.fx.Graph, number: torch.fx.Node, placeholders: Sequence[torch.fx.Node], meta: MetaOf
) -> torch.fx.Node:
    wanted = meta(number)
    for other in placeholders:
        value = meta(other)
        for dim, size in enumerate(value.shape if isinstance(value, torch.Tensor) else ()):
            if isinstance(size, torch.SymInt) and size.node.expr == wanted.node.expr:
                return graph.call_method("size", (other, dim))
    raise CaptureError(
        f"the number {number.name} varies from call to call and is no size of a tensor input. Pass it "
        "as a 0-d tensor, or fix it."
    )


def dynamic_dims(value: torch.Tensor) -> dict[int, Any]:
    """The `dynamic_shapes` of one FakeTensor: its symbolic dims, for torch.export to name."""
    return {d: Dim.DYNAMIC for d, s in enumerate(value.shape) if _varies(s)}


def _varies(size: int | torch.SymInt) -> bool:
    """Whether a size is symbolic still: one that torch has found to be constant is not."""
    return isinstance(size, torch.SymInt) and not size.node.expr.is_number
