"""The checks that export leaves in the graph compute nothing.

Shapes and dtypes are checked by fxmax itself, at lowering against `meta["val"]` and at each call
against the signature.
"""

from __future__ import annotations

import torch
from torch.fx import Node

from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite

aten = torch.ops.aten

CHECKS = (
    aten._assert_tensor_metadata.default,
    aten._assert_scalar.default,
    aten._assert_async.msg,
    aten._assert_async.default,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
)


@rewrite(replaces=CHECKS)
def drop_asserts(r: Rewriter) -> None:
    """assert(size > 1) → nothing, and the comparison goes that only the assertion read."""
    for node in reversed(list(r.graph.nodes)):
        if node.op == "call_function" and (node.target in CHECKS or _is_dead_comparison(node)):
            r.erase(node)


def _is_dead_comparison(node: Node) -> bool:
    value = node.meta.get("val")
    return not node.users and isinstance(value, (torch.SymBool, torch.SymInt, bool, int))
