"""A linear or convolution with what follows it: the activation, and for a linear the residual sum."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from fxmax.fx.edit import arguments, calls, emit, parameters, rank, replace
from fxmax.passes.lib.epilogue import absorb, activation, addend, only_user

aten = torch.ops.aten
fused = torch.ops.fxmax


def fuse_linear(program: ExportedProgram) -> None:
    """linear(x, w) → fxmax.linear with the activation and sum that only its result goes into."""
    weights = parameters(program)
    for node in calls(program, aten.linear.default):
        a = arguments(node)
        if a["weight"].name in weights and rank(a["weight"]) == 2:
            inputs = (a["input"], a["weight"], a["bias"], None, "")
            replace(node, emit(node, fused.linear.default, inputs, node))
    for node in calls(program, fused.linear.default, fused.conv1d.default):
        user = only_user(node)
        if user is not None and (name := activation(user)):
            node = absorb(user, node, act=name)
            user = only_user(node)
        if node.target == fused.linear.default and (other := addend(user, node)) is not None:
            assert user is not None
            absorb(user, node, residual=other)
