"""A linear or convolution with what follows it: the activation, and for a linear the residual sum."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.passes.rewrite import arguments, calls, emit, parameters, rank, replace, sizes

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
        user = _only_user(node)
        if user is not None and (name := _activation(user)):
            node = _with(user, node, act=name)
            user = _only_user(node)
        if user is not None and node.target == fused.linear.default:
            _add_residual(node, user)


def _add_residual(node: Node, user: Node) -> None:
    if user.target != aten.add.Tensor or user.kwargs.get("alpha", 1) != 1:
        return
    [other] = [x for x in user.args if x is not node] or [None]
    if isinstance(other, Node) and _type(other) == _type(node):
        _with(user, node, residual=other)


def _type(node: Node) -> tuple[object, ...]:
    """Dtype and sizes of a tensor."""
    value = node.meta["val"]
    return (value.dtype, *sizes(node)) if isinstance(value, torch.Tensor) else ()


def _with(user: Node, node: Node, **changed: object) -> Node:
    """`user` replaced by `node` with other arguments."""
    new = emit(user, node.target, tuple((arguments(node) | changed).values()), node)  # type: ignore[arg-type]
    replace(user, new)
    node.graph.erase_node(node)
    return new


def _only_user(node: Node) -> Node | None:
    """The one node that reads `node`, if one does, once."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].all_input_nodes.count(node) == 1 else None


def _activation(node: Node) -> str:
    if node.target == aten.gelu.default:
        return "gelu_tanh" if arguments(node)["approximate"] == "tanh" else "gelu"
    return {aten.relu.default: "relu", aten.silu.default: "silu"}.get(node.target, "")  # type: ignore[call-overload,no-any-return]
