"""What a graph computes of constants alone, computed while the graph is built.

MAX folds such ops too: it compiles a module of them and runs it, before it compiles the graph that they are
in. That takes as long as the graph itself, so that one `arange` doubles a compile (docs/performance.md). Here
numpy does it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Graph, Shape, TensorValue, ops
from max.graph.value import Value

from fxmax.core.mlir_access import tensor_operands
from fxmax.lowering.constant_ops import EVALUATE, Made
from fxmax.runtime.max_private import HookedGraph, constant_buffer, made_by, operations, typed

MOST_BYTES = 1 << 20
"""Of a result: constants are part of MAX's cache key. What is larger MAX folds, as it would without this."""

NUMPYS = {
    DType.from_numpy(np.dtype(code))
    for code in ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
}
"""The dtypes that numpy computes in as MAX does: bool, integers, float16 to float64."""

CONSTANT, BROADCAST = "mo.constant", "rmo.broadcast_to"


class FoldingGraph(HookedGraph):
    """A graph whose ops on constants are constants, as far as `constant_ops` knows them."""

    def made(self, results: list[Value[Any]]) -> list[Value[Any]]:
        """What stands for an op's results: the constant that the only one is, or they themselves."""
        if len(results) != 1 or not isinstance(results[0], TensorValue):
            return results
        folded = _folded(results[0])
        return results if folded is None else [folded]


def drop_unread_constants(graph: Graph) -> None:
    """Take out what constants were folded from, and those that nothing reads: they would count as ops."""
    for op in reversed(operations(graph)):
        if (op.name in (CONSTANT, BROADCAST) or op.name in EVALUATE) and not any(
            list(result.uses) for result in op.results
        ):
            op.operation.erase()


def _folded(result: TensorValue) -> TensorValue | None:
    """The constant that `result` is; None where it isn't one, or too large, or not known to be MAX's."""
    op = made_by(result)
    if op is None or op.name not in EVALUATE or not _fits(result):
        return None
    arrays = []
    for operand in tensor_operands(typed(op)):
        if (array := _known(operand)) is None:
            return None
        arrays.append(array)
    made = Made(tuple(map(int, result.shape)), np.dtype(result.dtype.to_numpy()), op.attributes)
    with np.errstate(all="ignore"):
        array = EVALUATE[op.name](arrays, made)
    if array is None or (array.shape, array.dtype) != (made.shape, made.dtype):
        return None
    return _constant(array, result.dtype, result.device)


def _fits(value: TensorValue) -> bool:
    """Whether it has a fixed size, is not too large, and has a dtype that numpy has."""
    if not Shape.is_static(value.shape) or value.dtype not in NUMPYS:
        return False
    return 0 < int(value.dtype.size_in_bytes) * math.prod(map(int, value.shape)) <= MOST_BYTES


def _known(value: TensorValue) -> np.ndarray | None:
    """The values of a constant, or of one that is broadcast; None where MAX alone knows them."""
    op = made_by(value)
    if op is None or not _fits(value):
        return None
    shape = tuple(map(int, value.shape))
    if op.name == BROADCAST:
        inner = _known(tensor_operands(typed(op))[0])
        return None if inner is None else np.broadcast_to(inner, shape)
    if op.name != CONSTANT:
        return None
    return np.from_dlpack(constant_buffer(op, value.dtype, shape))


def _constant(array: np.ndarray, dtype: DType, device: DeviceRef) -> TensorValue:
    """The array in the graph; one number that is broadcast, where it is all that there is."""
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
    if array.ndim and (raw == raw[0]).all():
        return ops.broadcast_to(ops.constant(array.flat[0].item(), dtype, device), array.shape)
    return ops.constant(array if array.ndim else array.item(), dtype, device)
