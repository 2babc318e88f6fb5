"""What is read off MAX's graph as MLIR, which `max.graph` has no public way to walk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from max.graph import Graph, TensorValue

from fxmax.runtime.max_private import mlir_value, mo, operations, rmo

BROADCASTS = (rmo.BroadcastToOp, mo.BroadcastToOp)
DEEP = 32
"""Ops that are looked through; what is fused is rarely longer."""


def drop_unread_loads(graph: Graph) -> None:
    """Take out the loads of mutable inputs that nothing reads: MAX would copy each of them whole."""
    for op in reversed(operations(graph)):
        if op.name == "rmo.mo.mutable.load" and not list(op.results[0].uses):
            op.results[1].replace_all_uses_with(op.operands[1])
            op.operation.erase()


def counted(graph: Graph) -> tuple[int, int]:
    """(ops that compute, how many of them differ in op, types or attributes).

    MAX compiles a kernel for each that differs, less those that it fuses or folds.
    """
    kinds = [_kind(op.operation) for op in operations(graph) if len(op.operation.operands)]
    return len(kinds), len(set(kinds))


def tensor_operands(op: Any) -> list[TensorValue]:
    """The operands of an op that are tensors; of a block, the owner of a graph's inputs, none."""
    # Operands of an op with any number of them are values themselves.
    values = (getattr(operand, "value", operand) for operand in getattr(op, "operands", ()))
    return [TensorValue.from_mlir(v) for v in values if isinstance(v.type, mo.TensorType)]


def op_kind(op: Any) -> str:
    """`Add` for the classes `mo.AddOp`, `rmo.AddOp` and `rmo.MoAddOp`."""
    return type(op).__name__.removeprefix("Mo").removesuffix("Op")


def comes_from(
    value: TensorValue, look: Callable[[Any, TensorValue], bool | list[TensorValue]], too_deep: bool
) -> bool:
    """Whether `look` is True of an op that `value` was made by, or of one before that.

    Args:
        look: (op, its result) → True where this is one, False where nothing before it counts, else the
            operands to go on with.
        too_deep: the answer where there are more than `DEEP` ops to look at.
    """
    left, seen = [value], 0
    while left:
        result = left.pop()
        seen += 1
        if seen > DEEP:
            return too_deep
        before = look(mlir_value(result).owner, result)
        if before is True:
            return True
        left += before or []
    return False


def is_broadcast(value: TensorValue) -> bool:
    """Whether a value is a broadcast, or made of one by ops that keep its shape."""

    def look(op: Any, result: TensorValue) -> bool | list[TensorValue]:
        return isinstance(op, BROADCASTS) or [x for x in tensor_operands(op) if x.shape == value.shape]

    return comes_from(value, look, too_deep=False)


def _kind(op: Any) -> tuple[Any, ...]:
    types = (tuple(str(value.type) for value in values) for values in (op.operands, op.results))
    return op.name, *types, *sorted((name, str(op.attributes[name])) for name in op.attributes)
