"""A convolution with what follows it: a batch norm in eval mode, a sum, the activation."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import arguments, calls, emit, rank, replace
from fxmax.passes.lib.epilogue import absorb, activation, addend, only_user

aten = torch.ops.aten
NORMS = (aten._native_batch_norm_legit_no_training.default, aten.batch_norm.default)


def fuse_conv(program: ExportedProgram) -> None:
    """conv, norm, + residual, act → fxmax.conv, where each reads nothing else and is read by nothing else.

    A convolution over one axis is left to `conv_layout`, unless a norm follows it.
    """
    for node in calls(program, aten.conv1d.default, aten.conv2d.default, aten.conv3d.default):
        norm = _norm(node)
        user = only_user(node)
        followed = activation(user) or addend(user, node) is not None
        if not _takes(node) or (norm is None and (rank(node) == 3 or not followed)):
            continue
        # Where the norm is: what it reads may come after the convolution.
        conv = emit(norm or node, torch.ops.fxmax.conv.default, _inputs(node, norm), node)
        if norm is not None:
            end = _result(norm)
            assert end is not None
            replace(end, conv)
            node.graph.erase_node(norm)
            node.graph.erase_node(node)
        else:
            replace(node, conv)
        user = only_user(conv)
        if user is not None and (other := addend(user, conv)) is not None:
            conv = absorb(user, conv, residual=other)
            user = only_user(conv)
        if user is not None and (name := activation(user)):
            absorb(user, conv, act=name)


def _takes(node: Node) -> bool:
    """Whether the kernel has this convolution: float32, with a batch axis."""
    a = arguments(node)
    return rank(a["input"]) == rank(a["weight"]) and node.meta["val"].dtype == torch.float32


def _norm(node: Node) -> Node | None:
    """The batch norm by given statistics that alone reads `node`."""
    user = only_user(node)
    if user is None or user.target not in NORMS or _result(user) is None:
        return None
    a = arguments(user)
    if a.get("training") or a["running_mean"] is None or a["running_var"] is None:
        return None
    given = [a[n] for n in ("weight", "bias", "running_mean", "running_var")]
    return user if all(x is None or x.meta["val"].dtype == torch.float32 for x in given) else None


def _result(norm: Node) -> Node | None:
    """The node that is the norm's result, where nothing reads its others."""
    if norm.target == aten.batch_norm.default:
        return norm
    [*items] = norm.users
    one = len(items) == 1 and items[0].target is operator.getitem and items[0].args[1] == 0
    return items[0] if one else None


def _inputs(node: Node, norm: Node | None) -> tuple[Any, ...]:
    """Those of fxmax.conv, without residual and activation."""
    a, n = arguments(node), {} if norm is None else arguments(norm)
    space = rank(node) - 2
    stride, padding, dilation = (
        list(a[x]) * (space if len(a[x]) == 1 else 1) for x in ("stride", "padding", "dilation")
    )
    of_norm = (n.get(x) for x in ("weight", "bias", "running_mean", "running_var"))
    settings = (stride, padding, dilation, a["groups"], n.get("eps", 0.0), "")
    return (a["input"], a["weight"], a["bias"], *of_norm, None, *settings)
