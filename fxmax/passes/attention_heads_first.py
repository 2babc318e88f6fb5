"""Attention that no other pass took, masked or not, on the kernel that reads it as it lies: heads first."""

from __future__ import annotations

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, rank, sizes
from fxmax.fx.schema import arguments
from fxmax.passes.lib.attention import SDPA
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip


@rewrite(
    replaces=(SDPA,),
    emits=(torch.ops.fxmax.heads_attention.default,),
    after=("attention_layout",),
)
def attention_heads_first(r: Rewriter) -> None:
    """sdpa(q, k, v, mask) → fxmax.heads_attention, in float32 and (batch, heads, seq, dim).

    Nothing but the mask may broadcast, save heads of k and v that several of q share.
    """
    r.each([SDPA], _heads_first)


def _heads_first(r: Rewriter, node: Node) -> Node:
    a = arguments(node)
    inputs: list[Node] = [a["query"], a["key"], a["value"]]
    if a["dropout_p"]:
        raise Skip("it drops some of its weights")
    if any(x.meta["val"].dtype != torch.float32 for x in inputs):
        raise Skip("it is not in float32, which the kernel is for")
    if any(rank(x) != 4 for x in inputs):
        raise Skip("its inputs do not have the four axes batch, heads, seq and dim")
    q, k, v = (sizes(x) for x in inputs)
    if not (q[0] == k[0] == v[0] and k[1:3] == v[1:3]):
        raise Skip("its batch broadcasts, or keys and values do")
    if q[3] != k[3] or not _share(q[1], k[1], a["enable_gqa"]):
        raise Skip("its heads broadcast")
    args = (*inputs, a["attn_mask"], a["is_causal"], a["scale"])
    return emit(node, torch.ops.fxmax.heads_attention.default, args, node)


def _share(heads: str, held: str, grouped: bool) -> bool:
    """Whether every head of k and v has its heads of q."""
    return heads == held or (grouped and heads.isdigit() and held.isdigit() and int(heads) % int(held) == 0)
