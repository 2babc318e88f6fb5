"""Numbers that a tensor holds, `i.item()`, used as the tensor that they are.

A MAX graph has no numbers that the data decides. torch.export writes `x[i]` so where `i` has no axes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from fxmax.fx.edit import emit, rank
from fxmax.fx.schema import arguments
from fxmax.passes.lib.rewriter import Rewriter
from fxmax.passes.registry import rewrite
from fxmax.support.signals import Skip

aten = torch.ops.aten
PROMOTING = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)


@rewrite(
    replaces=(aten._local_scalar_dense.default, aten.select.int),
    emits=(aten.index.Tensor, aten.reshape.default),
    after=("drop_asserts",),
)
def items_as_tensors(r: Rewriter) -> None:
    """x[i.item()] → x[i], and x * i.item() → x * i."""
    for item in r.calls(aten._local_scalar_dense.default):
        for user in list(item.users):
            try:
                new = _of_tensor(user, item)
                r.require_ours(user)
                r.replace(user, new)
            except Skip as reason:
                r.leave(str(reason), user)


def _of_tensor(user: Node, item: Node) -> Node:
    """`user` with the tensor in the place of the number.

    Raises:
        Skip: it can't be there.
    """
    [tensor] = item.args
    if not isinstance(tensor, Node) or tensor.meta["val"].dtype == torch.bool:
        raise Skip("it takes a bool that the data decides")
    if user.target == aten.select.int:
        a = arguments(user)
        if a["index"] is item and a["self"] is not item:
            before: list[Any] = [None] * (a["dim"] % rank(a["self"]))
            return emit(user, aten.index.Tensor, (a["self"], [*before, _scalar(user, tensor)]), user)
    if user.target in PROMOTING and not user.kwargs and user.args[1] is item and user.args[0] is not item:
        new = emit(user, user.target, (user.args[0], _scalar(user, tensor)), user)
        if new.meta["val"].dtype == user.meta["val"].dtype:
            return new
        # A tensor without axes too, which counts for more than a number.
        raise Skip("it takes a number that the data decides; a tensor in its place would promote the result")
    raise Skip("it takes a number that the data decides, and can't take a tensor in its place")


def _scalar(before: Node, tensor: Node) -> Node:
    return emit(before, aten.reshape.default, (tensor, []), tensor) if rank(tensor) else tensor
