"""What follows a node and can be computed with it: its activation, a sum with its result."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, sizes
from fxmax.fx.schema import arguments
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.support.signals import Skip

aten = torch.ops.aten
ACTIVATIONS = {aten.relu.default: "relu", aten.silu.default: "silu", aten.hardswish.default: "hardswish"}
FOLLOWERS = (aten.add.Tensor, aten.gelu.default, aten.hardtanh.default, *ACTIVATIONS)
"""The ops that are taken in: for `replaces` of a pass that calls what is here."""


def activation(node: Node) -> str:
    """The name that `fxmax.fx.custom_ops` has for it, if it is one."""
    if node.op != "call_function":
        return ""
    if node.target == aten.gelu.default:
        return "gelu_tanh" if arguments(node)["approximate"] == "tanh" else "gelu"
    if node.target == aten.hardtanh.default:
        a = arguments(node)
        return "relu6" if (a["min_val"], a["max_val"]) == (0, 6) else ""
    return ACTIVATIONS.get(node.target, "")  # type: ignore[call-overload,no-any-return]


def addend(user: Node, node: Node) -> Node | None:
    """What `user` adds to `node`, where it is a tensor of the same type."""
    if user.target != aten.add.Tensor or user.kwargs.get("alpha", 1) != 1:
        return None
    [other] = [x for x in user.args if x is not node] or [None]
    return other if isinstance(other, Node) and _type(other) == _type(node) else None


def only_reader(node: Node) -> Node | None:
    """The one node that reads `node`, if one does."""
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def with_activation(r: Rewriter, node: Node) -> Node:
    """`node`, which takes `act`, with the activation that its result alone goes into, if any."""
    user = _follower(r, node, lambda user: bool(activation(user)))
    return node if user is None else _absorb(r, user, node, act=activation(user))


def with_residual(r: Rewriter, node: Node) -> Node:
    """`node`, which takes `residual`, with the sum that its result alone goes into, if any."""
    user = _follower(r, node, lambda user: addend(user, node) is not None)
    return node if user is None else _absorb(r, user, node, residual=addend(user, node))


def _follower(r: Rewriter, node: Node, fits: Callable[[Node], bool]) -> Node | None:
    """The one reader of `node` if it `fits`. The report says why an activation stays apart."""
    user = only_reader(node)
    try:
        if user is None:
            for reader in filter(activation, node.users):
                r.leave("the node before it is read by others too", reader)
                raise Skip("its result is read by others than its activation too")
        elif fits(user):
            r.require_ours(user)
            return user
        elif user.target == aten.hardtanh.default and not activation(user):
            raise Skip("its activation is a hardtanh, but not that from 0 to 6")
    except Skip as reason:
        r.leave(str(reason), node)
    return None


def _absorb(r: Rewriter, user: Node, node: Node, **changed: object) -> Node:
    """`user` replaced by `node` with other arguments."""
    new = emit(user, node.target, tuple((arguments(node) | changed).values()), node)  # type: ignore[arg-type]
    r.replace(user, new, node)
    return new


def _type(node: Node) -> tuple[object, ...]:
    """Dtype and sizes of a tensor."""
    value = node.meta["val"]
    return (value.dtype, *sizes(node)) if isinstance(value, torch.Tensor) else ()
