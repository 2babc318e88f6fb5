"""Numbers that a tensor holds, `i.item()`, used as the tensor that they are."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.edit import arguments, calls, emit, rank, replace

aten = torch.ops.aten


def items_as_tensors(program: ExportedProgram) -> None:
    """x[i.item()] → x[i], and x * i.item() → x * i: a MAX graph has no numbers that the data decides.

    torch.export writes `x[i]` so where `i` has no axes.
    """
    for item in calls(program, aten._local_scalar_dense.default):
        for user in list(item.users):
            new = _of_tensor(user, item)
            if new is not None:
                replace(user, new)
    program.graph.eliminate_dead_code()


def _of_tensor(user: Node, item: Node) -> Node | None:
    """`user` with the tensor in the place of the number, if it can be."""
    [tensor] = item.args
    if not isinstance(tensor, Node) or tensor.meta["val"].dtype == torch.bool:
        return None
    if user.target == aten.select.int:
        a = arguments(user)
        if a["index"] is not item or a["self"] is item:
            return None
        before: list[Any] = [None] * (a["dim"] % rank(a["self"]))
        return emit(user, aten.index.Tensor, (a["self"], [*before, _scalar(user, tensor)]), user)
    if user.target in PROMOTING and not user.kwargs and user.args[1] is item and user.args[0] is not item:
        new = emit(user, user.target, (user.args[0], _scalar(user, tensor)), user)  # type: ignore[arg-type]
        if new.meta["val"].dtype == user.meta["val"].dtype:
            return new
        user.graph.erase_node(new)  # a tensor without axes too, which counts for more than a number
    return None


def _scalar(before: Node, tensor: Node) -> Node:
    return emit(before, aten.reshape.default, (tensor, []), tensor) if rank(tensor) else tensor


PROMOTING = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)
