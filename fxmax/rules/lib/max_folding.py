"""What MAX 26.7 folds as if there were no NaN and no infinity: x · 0, x - x and x == x.

It compares values after merging equal expressions, so what must be told here is whether two nodes
compute the same, and which hold zeros alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from max.graph import TensorValue
from torch.fx import Node

from fxmax.core.context import Context
from fxmax.fx.torch_private import pytree
from fxmax.rules.lib.promotion import scalar

aten = torch.ops.aten
VIEWS = (aten.alias, aten.clone, aten.detach, aten.expand, aten.lift_fresh_copy, aten.view, aten.unsqueeze)
FULL = (aten.full, aten.full_like, aten.scalar_tensor, aten.new_full)
ZEROS = (aten.zeros, aten.zeros_like, aten.new_zeros)


def same(ctx: Context, a: str, b: str) -> bool:
    """Whether two arguments of the node are one value, or two nodes that compute the same."""
    return _same(ctx.given(a), ctx.given(b))


def opposite(ctx: Context, a: str, b: str) -> bool:
    """Whether one argument is the other one negated."""
    values = [_unaliased(ctx.given(x)) for x in (a, b)]
    return any(
        isinstance(x, Node) and x.target == aten.neg.default and _same(x.args[0], y)
        for x, y in (values, values[::-1])
    )


def zero(ctx: Context, argument: str) -> float | None:
    """The 0 or -0 that an argument is, or that a node fills it with; else None."""
    value = ctx.given(argument)
    while isinstance(value, Node) and _packet(value) in VIEWS:
        value = value.args[0]
    if isinstance(value, Node) and _packet(value) in FULL:
        numbers = [x for x in value.args if isinstance(x, (int, float))]
        value = numbers[-1] if numbers else None
    elif isinstance(value, Node) and _packet(value) in ZEROS:
        return 0.0
    return float(value) if isinstance(value, (int, float)) and value == 0 else None


def nothing_of(x: TensorValue, sign: float = 1) -> TensorValue:
    """x · 0 (or -0): MAX folds that to 0 where x is NaN or infinite too, but not x / ∞, which is the same."""
    return x / scalar(x, sign * math.inf)


def _same(a: Any, b: Any) -> bool:
    left, seen = [(a, b)], set[tuple[Node, Node]]()
    while left:
        a, b = map(_unaliased, left.pop())
        if a is b:
            continue
        if not (isinstance(a, Node) and isinstance(b, Node)):
            if type(a) is not type(b) or a != b:
                return False
            continue
        if (a, b) in seen:
            continue
        if a.op != "call_function" or a.target != b.target or _is_random(a):
            return False
        (ours, spec), (theirs, other) = (pytree.tree_flatten((n.args, n.kwargs)) for n in (a, b))
        if spec != other:
            return False
        seen.add((a, b))
        left += zip(ours, theirs, strict=True)
    return True


def _unaliased(value: Any) -> Any:
    while isinstance(value, Node) and _packet(value) in (aten.alias, aten.clone, aten.detach):
        value = value.args[0]
    return value


def _is_random(node: Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _packet(node: Node) -> Any:
    return getattr(node.target, "overloadpacket", None)
