"""A convolution with what follows it: a batch norm in eval mode, a sum, the activation."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, rank
from fxmax.fx.schema import arguments
from fxmax.passes.lib.epilogue import (
    FOLLOWERS,
    activation,
    addend,
    only_reader,
    with_activation,
    with_residual,
)
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
NORMS = (aten._native_batch_norm_legit_no_training.default, aten.batch_norm.default)

OF_BATCH = aten._native_batch_norm_legit.no_stats


@rewrite(
    replaces=(*CONVOLUTIONS, *NORMS, *FOLLOWERS),
    emits=(torch.ops.fxmax.conv.default,),
    after=("complex_pairs",),
)
def fuse_conv(r: Rewriter) -> None:
    """act(norm(conv(x)) + residual) → fxmax.conv, where each reads nothing else and is read by nothing else.

    A convolution over one axis is left to `conv_layout`, unless a norm follows it.
    """
    r.each(CONVOLUTIONS, _fuse)


def _fuse(r: Rewriter, node: Node) -> None:
    norm = _norm(node)
    if norm is None and (node.target == aten.conv1d.default or not _is_followed(node)):
        return
    a = arguments(node)
    if rank(a["input"]) != rank(a["weight"]):
        raise Skip("it has no batch axis")
    if node.meta["val"].dtype != torch.float32:
        raise Skip("it is not in float32, which the kernel is for")
    r.require_ours(node, *([] if norm is None else [norm]))
    # Where the norm is: what it reads may come after the convolution.
    conv = emit(norm or node, torch.ops.fxmax.conv.default, _inputs(node, norm), node)
    if norm is None:
        r.replace(node, conv)
    elif (item := _result(norm)) is norm:
        r.replace(norm, conv, node)
    else:
        assert item is not None
        r.replace(item, conv, norm, node)
    with_activation(r, with_residual(r, conv))


def _is_followed(node: Node) -> bool:
    """Whether the one reader of `node` is a sum or an activation.

    Raises:
        Skip: several nodes read it, and one of them is an activation or a norm.
    """
    user = only_reader(node)
    if user is not None:
        return bool(activation(user)) or addend(user, node) is not None
    if any(activation(reader) or reader.target in NORMS for reader in node.users):
        raise Skip("its result is read by others than its norm or activation too")
    return False


def _norm(node: Node) -> Node | None:
    """The batch norm that alone reads `node`.

    Raises:
        Skip: the kernel can't compute it.
    """
    user = only_reader(node)
    if user is None or user.target not in (*NORMS, OF_BATCH):
        return None
    a = arguments(user)
    if user.target == OF_BATCH or a.get("training") or a["running_mean"] is None or a["running_var"] is None:
        raise Skip("its batch norm computes its statistics from the batch")
    if _result(user) is None:
        raise Skip("its batch norm's statistics are read too")
    of_norm = [a[n] for n in ("weight", "bias", "running_mean", "running_var")]
    if any(x is not None and x.meta["val"].dtype != torch.float32 for x in of_norm):
        raise Skip("its batch norm is not in float32, which the kernel is for")
    return user


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
