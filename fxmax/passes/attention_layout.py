"""Attention as (batch, seq, heads, dim): the layout that projections make and that kernels read."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import emit, permutation, plain_attention, rank, replace, sizes

aten = torch.ops.aten
SWAP = [0, 2, 1, 3]


def attention_layout(program: ExportedProgram) -> None:
    """sdpa(permute(q), permute(k), permute(v)) → permute(fxmax.attention(q, k, v)), where nothing masks.

    Keys and values that lie heads first already (a cache) stay so: moving them would cost a copy.
    """
    for node, a in plain_attention(program):
        inputs = [_seq_first(a[name]) for name in ("query", "key", "value")]
        if any(x is None for x in inputs):
            continue
        shapes = [sizes(x) for x in inputs if x is not None]
        if len({(s[0], s[2]) for s in shapes}) > 1:  # a batch or heads that broadcast
            continue
        y = emit(node, torch.ops.fxmax.attention.default, (*inputs, a["scale"]), node)
        replace(node, emit(node, aten.permute.default, (y, SWAP), node))
    program.graph.eliminate_dead_code()


def _seq_first(x: Any) -> Node | None:
    """What `x` (batch, heads, seq, dim) was made of by swapping its middle axes, if it was."""
    return x.args[0] if permutation(x) == SWAP and rank(x) == 4 else None
