"""`a @ bᵀ` of two batches that are no weights: scores, on a kernel that reads b as it lies."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, permutation, rank, sizes
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten
PRODUCTS = (aten.matmul.default, aten.bmm.default, aten.mm.default)


@rewrite(
    replaces=(*PRODUCTS, aten.permute.default, aten.transpose.int),
    emits=(torch.ops.fxmax.row_products.default,),
    after=("linear_layout",),
)
def matmul_transposed(r: Rewriter) -> None:
    """a @ bᵀ → fxmax.row_products(a, b), of matrices in float32 with the same batch axes."""
    r.each(PRODUCTS, _by_rows)


def _by_rows(r: Rewriter, node: Node) -> Node | None:
    a: Any = node.args[0]
    transposed: Any = node.args[1]
    axes = permutation(transposed) or []
    if len(axes) < 2 or axes != [*range(len(axes) - 2), len(axes) - 1, len(axes) - 2]:
        return None
    b = transposed.args[0]
    if r.is_weight(b):
        raise Skip("its right side is a weight")
    if rank(a) < 2:
        raise Skip("its left side is a vector")
    if any(x.meta["val"].dtype != torch.float32 for x in (a, b)):
        raise Skip("it is not in float32, which the kernel is for")
    if sizes(a)[:-2] != sizes(b)[:-2]:
        raise Skip("one of its sides is broadcast")
    r.require_ours(transposed)
    return emit(node, torch.ops.fxmax.row_products.default, (a, b), node)
