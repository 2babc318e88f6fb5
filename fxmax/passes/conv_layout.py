"""1-d convolutions channels-last, where they are one matrix product over overlapping windows."""

from __future__ import annotations

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, rank
from fxmax.fx.schema import arguments
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten


@rewrite(
    replaces=(aten.conv1d.default,),
    emits=(aten.permute.default, torch.ops.fxmax.conv1d.default),
    after=("fuse_conv",),
)
def conv_layout(r: Rewriter) -> None:
    """conv1d(x) → permute(fxmax.conv1d(permute(x))), for an ungrouped, undilated filter that is a weight."""
    r.each([aten.conv1d.default], _channels_last)


def _channels_last(r: Rewriter, node: Node) -> Node:
    a = arguments(node)
    if a["groups"] != 1:
        raise Skip("it is grouped")
    if list(a["dilation"]) != [1]:
        raise Skip("it is dilated")
    if rank(a["input"]) != 3:
        raise Skip("it has no batch axis")
    if not r.is_weight(a["weight"]):
        raise Skip("its filter is computed in the graph, not a weight")
    x = emit(node, aten.permute.default, (a["input"], [0, 2, 1]), node)
    inputs = (x, a["weight"], a["bias"], a["stride"][0], a["padding"][0], "")
    y = emit(node, torch.ops.fxmax.conv1d.default, inputs, node)
    return emit(node, aten.permute.default, (y, [0, 2, 1]), node)
