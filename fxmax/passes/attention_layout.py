"""Attention as (batch, seq, heads, dim): the layout that projections make and that kernels read."""

from __future__ import annotations

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, permutation, sizes
from fxmax.passes.lib.attention import SDPA, plain
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten
SWAP = [0, 2, 1, 3]


@rewrite(
    replaces=(SDPA, aten.permute.default, aten.transpose.int),
    emits=(aten.permute.default, torch.ops.fxmax.attention.default),
    after=("cached_attention",),
)
def attention_layout(r: Rewriter) -> None:
    """sdpa(permute(q), permute(k), permute(v)) → permute(fxmax.attention(q, k, v)), where nothing masks.

    Keys and values that lie heads first already (a cache) stay so: moving them would cost a copy.
    """
    r.each([SDPA], _seq_first)


def _seq_first(r: Rewriter, node: Node) -> Node:
    a = plain(node)
    swaps = [a[name] for name in ("query", "key", "value")]
    if any(permutation(x) != SWAP for x in swaps):
        raise Skip("its queries, keys or values lie heads first, where a copy alone would move them")
    r.require_ours(*swaps)
    inputs = [x.args[0] for x in swaps]
    if len({(s[0], s[2]) for s in map(sizes, inputs)}) > 1:
        raise Skip("its batch or heads broadcast")
    y = emit(node, torch.ops.fxmax.attention.default, (*inputs, a["scale"]), node)
    return emit(node, aten.permute.default, (y, SWAP), node)
