"""What a person calls the thing that a node calls, and why a table of ops can't have a rule for it."""

from __future__ import annotations

from typing import Any

from fxmax.fx.torch_private import HigherOrderOperator, OpOverload

INSTEAD = {
    "cond": "compute both branches and choose with torch.where",
    "while_loop": "where the number of turns is fixed, write a Python loop, which export unrolls",
    "scan": "where the number of steps is fixed, write a Python loop, which export unrolls",
    "associative_scan": "use cumsum or cumprod, or write a Python loop, which export unrolls",
    "map_impl": "call the function on the whole batch, or write a Python loop, which export unrolls",
    "flex_attention": "use scaled_dot_product_attention with a mask or a bias",
    "auto_functionalized": "write the custom op so that it returns its result, and writes to no input",
    "auto_functionalized_v2": "write the custom op so that it returns its result, and writes to no input",
}
"""Higher-order ops, and what to write in their place."""


def op_name(target: Any) -> str:
    """`aten.add.Tensor`, `torch.cond`, `operator.truediv`: as one would write it."""
    if isinstance(target, OpOverload):
        return str(target)
    if isinstance(target, HigherOrderOperator):
        name = target.name()
        return f"torch.{name}" if name == "cond" else f"torch.ops.{target.namespace}.{name}"
    module, name = getattr(target, "__module__", ""), getattr(target, "__name__", str(target))
    return f"{module.removeprefix('_')}.{name}" if module else name


def why_no_rule(target: Any) -> str:
    """Why the table has none, and where it can't have one, what to write instead."""
    if isinstance(target, OpOverload):
        return "the table has no rule for it"
    if isinstance(target, HigherOrderOperator):
        instead = INSTEAD.get(target.name())
        return "a higher-order op, which no rule can stand for" + (f"; {instead}" if instead else "")
    return (
        "a number computed from sizes that vary, or from data; MAX's sizes are integers that add and "
        "multiply. Compute it as a tensor, or fix the size"
    )
