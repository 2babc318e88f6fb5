"""A product by a transposed weight is a linear: tied logits are written that way."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, rank
from fxmax.fx.schema import arguments
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten
PRODUCTS = (aten.matmul.default, aten.mm.default)
TRANSPOSES = (aten.t.default, aten.transpose.int, aten.permute.default, aten.numpy_T.default)


@rewrite(
    replaces=(*PRODUCTS, aten.addmm.default, *TRANSPOSES),
    emits=(aten.linear.default,),
    after=("complex_pairs",),
)
def linear_layout(r: Rewriter) -> None:
    """x @ wᵀ → linear(x, w), and b + x @ wᵀ → linear(x, w, b), of a weight w with two axes."""
    r.each(PRODUCTS, _product)
    r.each([aten.addmm.default], _sum)


def _product(r: Rewriter, node: Node) -> Node | None:
    x, right = node.args
    weight = _transposed_weight(r, right)
    if weight is None:
        return None
    if not isinstance(x, Node) or rank(x) < 2:
        raise Skip("its left side is a vector")
    return emit(node, aten.linear.default, (x, weight), node)


def _sum(r: Rewriter, node: Node) -> Node | None:
    a = arguments(node)
    weight = _transposed_weight(r, a["mat2"])
    if weight is None:
        return None
    if not a["alpha"] == a["beta"] == 1 or rank(a["self"]) != 1:
        raise Skip("what it adds is scaled, or has two axes")
    return emit(node, aten.linear.default, (a["mat1"], weight, a["self"]), node)


def _transposed_weight(r: Rewriter, node: Any) -> Node | None:
    """w where `node` is wᵀ of a weight w with two axes; None where it is something else.

    Raises:
        Skip: it is such a weight, but as it is stored.
    """
    if r.is_weight(node) and rank(node) == 2:
        raise Skip("its weight is stored with the features that go in first; a linear has them last")
    if not isinstance(node, Node) or node.target not in TRANSPOSES or rank(node) != 2:
        return None
    a = arguments(node)
    source: Node = next(iter(a.values()))
    if not r.is_weight(source):
        return None
    if "dims" in a:
        swaps = [d % 2 for d in a["dims"]] == [1, 0]
    else:
        swaps = a.get("dim0", 0) % 2 != a.get("dim1", 1) % 2
    if not swaps:
        return _transposed_weight(r, source)
    r.require_ours(node)
    return source
