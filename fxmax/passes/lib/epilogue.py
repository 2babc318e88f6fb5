"""What follows a node and can be computed with it: its activation, a sum with its result."""

from __future__ import annotations

import torch
from torch.fx import Node

from fxmax.fx.edit import arguments, emit, replace, sizes

aten = torch.ops.aten
ACTIVATIONS = {aten.relu.default: "relu", aten.silu.default: "silu", aten.hardswish.default: "hardswish"}


def only_user(node: Node) -> Node | None:
    """The one node that reads `node`, if one does, once."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].all_input_nodes.count(node) == 1 else None


def activation(node: Node | None) -> str:
    """The name that `fxmax.fx.custom_ops` has for it, if it is one."""
    if node is None or node.op != "call_function":
        return ""
    if node.target == aten.gelu.default:
        return "gelu_tanh" if arguments(node)["approximate"] == "tanh" else "gelu"
    if node.target == aten.hardtanh.default:
        a = arguments(node)
        return "relu6" if (a["min_val"], a["max_val"]) == (0, 6) else ""
    return ACTIVATIONS.get(node.target, "")  # type: ignore[call-overload,no-any-return]


def addend(user: Node | None, node: Node) -> Node | None:
    """What `user` adds to `node`, where it is a tensor of the same type."""
    if user is None or user.target != aten.add.Tensor or user.kwargs.get("alpha", 1) != 1:
        return None
    [other] = [x for x in user.args if x is not node] or [None]
    return other if isinstance(other, Node) and _type(other) == _type(node) else None


def absorb(user: Node, node: Node, **changed: object) -> Node:
    """`user` replaced by `node` with other arguments."""
    new = emit(user, node.target, tuple((arguments(node) | changed).values()), node)  # type: ignore[arg-type]
    replace(user, new)
    node.graph.erase_node(node)
    return new


def _type(node: Node) -> tuple[object, ...]:
    """Dtype and sizes of a tensor."""
    value = node.meta["val"]
    return (value.dtype, *sizes(node)) if isinstance(value, torch.Tensor) else ()
