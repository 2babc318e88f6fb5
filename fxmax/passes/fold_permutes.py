"""Permutes that undo each other go; one in front of a pointwise op moves behind it, to meet others."""

from __future__ import annotations

from typing import Any, cast

import torch

from fxmax.fx.edit import emit, permutation
from fxmax.fx.torch_private import OpOverload
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite

aten = torch.ops.aten
PERMUTES = (aten.permute.default, aten.transpose.int)
POINTWISE = (aten.gelu.default, aten.relu.default, aten.silu.default, aten.tanh.default, aten.sigmoid.default)


@rewrite(
    replaces=PERMUTES,
    emits=(aten.permute.default,),
    after=("linear_layout", "conv_layout", "attention_layout", "matmul_transposed"),
)
def fold_permutes(r: Rewriter) -> None:
    """permute(permute(x)) → one or none; f(permute(x)) → permute(f(x)) of a pointwise f, its one reader."""
    while _moved(r) or _composed(r):
        r.graph.eliminate_dead_code()


def _moved(r: Rewriter) -> bool:
    for node in r.calls(*POINTWISE):
        source: Any = node.args[0]
        dims = permutation(source)
        if dims is None or not r.ours(source):
            continue
        if len(source.users) > 1:
            r.leave("the permuted tensor before it is read by others too", node)
            continue
        y = emit(node, cast(OpOverload, node.target), (source.args[0], *node.args[1:]), node, node.kwargs)
        r.replace(node, emit(node, aten.permute.default, (y, dims), source))
        return True
    return False


def _composed(r: Rewriter) -> bool:
    for node in filter(r.ours, r.calls(*PERMUTES)):
        source: Any = node.args[0]
        dims, inner = permutation(node), permutation(source)
        assert dims is not None
        if inner is not None and r.ours(source):
            both = [inner[d] for d in dims]
            r.replace(node, emit(node, aten.permute.default, (source.args[0], both), node))
            return True
        if dims == list(range(len(dims))):
            r.replace(node, source)
            return True
    return False
