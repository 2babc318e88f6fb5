"""Attention that no other pass took, masked or not, on the kernel that reads it as it lies: heads first."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import arguments, calls, emit, rank, replace, sizes

aten = torch.ops.aten


def heads_attention(program: ExportedProgram) -> None:
    """sdpa(q, k, v, mask) → fxmax.heads_attention, in float32 and (batch, heads, seq, dim)."""
    for node in calls(program, aten.scaled_dot_product_attention.default):
        a = arguments(node)
        if a["dropout_p"] or not _fits(a):
            continue
        args = (a["query"], a["key"], a["value"], a["attn_mask"], a["is_causal"], a["scale"])
        replace(node, emit(node, torch.ops.fxmax.heads_attention.default, args, node))


def _fits(a: dict[str, Any]) -> bool:
    """Whether nothing but the mask broadcasts, save heads of k and v that several of q share."""
    inputs: list[Node] = [a["query"], a["key"], a["value"]]
    if any(rank(x) != 4 or x.meta["val"].dtype != torch.float32 for x in inputs):
        return False
    mask = a["attn_mask"]
    if mask is not None and (rank(mask) < 2 or mask.meta["val"].dtype not in (torch.bool, torch.float32)):
        return False
    q, k, v = (sizes(x) for x in inputs)
    return q[0] == k[0] == v[0] and k[1:3] == v[1:3] and q[3] == k[3] and _share(q[1], k[1], a["enable_gqa"])


def _share(heads: str, held: str, grouped: bool) -> bool:
    """Whether every head of k and v has its heads of q."""
    return heads == held or (grouped and heads.isdigit() and held.isdigit() and int(heads) % int(held) == 0)
