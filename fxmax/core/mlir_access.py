"""What is read off MAX's graph as MLIR, which `max.graph` has no public way to walk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from max.graph import Graph, TensorValue

from fxmax.runtime.max_private import mlir_value, mo, operations, rmo

BROADCASTS = (rmo.BroadcastToOp, mo.BroadcastToOp)
DEEP = 32
"""Ops that are looked through; what is fused is rarely longer."""


def import_package(graph: Graph, path: Path) -> None:
    """Let a graph call the custom ops of a package, as `Graph(custom_extensions=)` does from the start."""
    if path not in graph.kernel_libraries_paths:
        graph._import_kernels([path])


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


def tensor_operands(op: Any) -> list[Any]:
    """The operands of an op that are tensors, as MLIR values; of a block, the owner of inputs, none."""
    # Operands of an op with any number of them are values themselves.
    values = (getattr(operand, "value", operand) for operand in getattr(op, "operands", ()))
    return [v for v in values if isinstance(v.type, mo.TensorType)]


def is_broadcast(value: TensorValue) -> bool:
    """Whether a value is a broadcast, or made of one by ops that keep its shape."""
    shape = mlir_value(value).type.shape
    left, seen = [mlir_value(value)], 0
    while left and seen < DEEP:
        op = left.pop().owner
        seen += 1
        if isinstance(op, BROADCASTS):
            return True
        left += [v for v in tensor_operands(op) if v.type.shape == shape]
    return False


def _kind(op: Any) -> tuple[Any, ...]:
    types = (tuple(str(value.type) for value in values) for values in (op.operands, op.results))
    return op.name, *types, *sorted((name, str(op.attributes[name])) for name in op.attributes)
