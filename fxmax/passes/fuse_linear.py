"""A linear or convolution with what follows it: the activation, and for a linear the residual sum."""

from __future__ import annotations

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, rank
from fxmax.fx.schema import arguments
from fxmax.passes.lib.epilogue import FOLLOWERS, with_activation, with_residual
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten
fused = torch.ops.fxmax


@rewrite(
    replaces=(aten.linear.default, *FOLLOWERS),
    emits=(fused.linear.default,),
    after=("linear_layout", "conv_layout", "fold_permutes"),
)
def fuse_linear(r: Rewriter) -> None:
    """act(linear(x, w)) + residual → fxmax.linear, and act(fxmax.conv1d(x, w)) → fxmax.conv1d.

    Of what follows, what only this result goes into.
    """
    r.each([aten.linear.default], _linear)
    for node in r.calls(fused.linear.default, fused.conv1d.default):
        node = with_activation(r, node)
        if node.target == fused.linear.default:
            with_residual(r, node)


def _linear(r: Rewriter, node: Node) -> Node:
    a = arguments(node)
    if not r.is_weight(a["weight"]):
        raise Skip("its weight is computed in the graph, not a parameter of the module")
    if rank(a["weight"]) != 2:
        raise Skip("its weight is a vector")
    return emit(node, fused.linear.default, (a["input"], a["weight"], a["bias"], None, ""), node)
