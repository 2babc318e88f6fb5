"""Ops on constants are computed while the graph is built: MAX would compile a module of them first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from max.driver import CPU
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType, TensorValue, ops

import fxmax
from fxmax.core.mlir_access import tensor_operands
from fxmax.lowered import Lowered
from fxmax.lowering.constant_folding import BROADCAST, CONSTANT, MOST_BYTES, FoldingGraph
from fxmax.lowering.constant_ops import EVALUATE
from fxmax.runtime.max_private import made_by, operations, typed

HOST = DeviceRef.CPU()
FLOATS = np.array([[-2.5, -0.0, 0.0, 1.5], [3.0, np.inf, -np.inf, 1e-30]], np.float32)
ORDERED = np.array([[-2.5, 7.0, 0.0, 1.5], [3.0, np.inf, -np.inf, 1e-30]], np.float32)
OTHERS = np.array([1.5, 3.0, -2.0, 0.5], np.float32)
NAN = np.array([[np.nan, 1.0, -0.0, np.nan]], np.float32)
INTEGERS = np.array([[5, 0, 7, 2**62], [1, 2, 3, 4]])
SIGNED = np.array([[-5, 0, 7, 2**62], [-1, 2, 3, 4]])
DIVISORS = np.array([2, 3, 1, 5])
BYTES = np.array([[0, 255, 128, 7]], np.uint8)
BOOLS = np.array([[True, False, True, False], [False, False, True, True]])
APPROXIMATED = {"cos", "exp", "log", "pow", "rsqrt", "sin"}
Function = Callable[..., TensorValue]

FOLDED: dict[str, tuple[Function, Sequence[np.ndarray]]] = {
    "add": (ops.add, [FLOATS, OTHERS]),
    "add that wraps": (ops.add, [BYTES, BYTES]),
    "and": (ops.logical_and, [BOOLS, BOOLS[0]]),
    "abs": (ops.abs, [FLOATS]),
    "cast to floats": (lambda x: ops.cast(x, DType.float32), [SIGNED]),
    "cast to integers": (lambda x: ops.cast(x, DType.int32), [OTHERS[1:3]]),
    "cast to bools": (lambda x: ops.cast(x, DType.bool), [SIGNED]),
    "cast of bools": (lambda x: ops.cast(x, DType.float32), [BOOLS]),
    "concat": (lambda x, y: ops.concat([x, y], axis=1), [FLOATS, ORDERED]),
    "cos": (ops.cos, [OTHERS]),
    "div": (ops.div, [FLOATS, OTHERS]),
    "equal": (ops.equal, [FLOATS, NAN]),
    "exp": (ops.exp, [OTHERS]),
    "floor": (ops.floor, [FLOATS]),
    "gather": (lambda x, i: ops.gather(x, i, axis=1), [FLOATS, DIVISORS[:3]]),
    "greater": (ops.greater, [FLOATS, NAN]),
    "greater_equal": (ops.greater_equal, [SIGNED, DIVISORS]),
    "is_nan": (ops.is_nan, [NAN]),
    "log": (ops.log, [ORDERED]),
    "max": (ops.max, [ORDERED, OTHERS]),
    "min": (ops.min, [ORDERED, OTHERS]),
    "mod": (ops.mod, [INTEGERS, DIVISORS]),
    "mul": (ops.mul, [FLOATS, OTHERS]),
    "mul that wraps": (ops.mul, [SIGNED, SIGNED]),
    "negative": (ops.negate, [FLOATS]),
    "not": (ops.logical_not, [BOOLS]),
    "not_equal": (ops.not_equal, [FLOATS, OTHERS]),
    "or": (ops.logical_or, [BOOLS, BOOLS[0]]),
    "pow": (ops.pow, [np.abs(FLOATS), OTHERS]),
    "quotients": (lambda x, y: ops.div(x, y), [INTEGERS, DIVISORS]),
    "range": (lambda x: x[0, 0] + ops.range(0, 6, 2, dtype=DType.int64, device=HOST), [SIGNED]),
    "range of fractions": (
        lambda x: x[0, 0] + ops.range(0.0, 1.0, 0.25, dtype=DType.float32, device=HOST),
        [FLOATS],
    ),
    "reshape": (lambda x: ops.reshape(x, [4, -1]), [FLOATS]),
    "rsqrt": (ops.rsqrt, [OTHERS**2]),
    "select": (ops.where, [BOOLS, FLOATS, OTHERS]),
    "sin": (ops.sin, [OTHERS]),
    "slice": (lambda x: x[1:, 1::2], [FLOATS]),
    "sqrt": (ops.sqrt, [OTHERS**2]),
    "sub": (ops.sub, [FLOATS, OTHERS]),
    "sum of bools as floats": (lambda x: ops.sum(ops.cast(x, DType.float32), axis=1), [BOOLS]),
    "sum of integers": (lambda x: ops.sum(x, axis=0), [SIGNED]),
    "transpose": (lambda x: ops.transpose(x, 0, 1), [FLOATS]),
    "xor": (ops.logical_xor, [BOOLS, BOOLS[0]]),
}
# What MAX may round, choose or order otherwise than numpy.
LEFT: dict[str, tuple[Function, Sequence[np.ndarray]]] = {
    "cast of what an integer does not hold": (lambda x: ops.cast(x, DType.int32), [FLOATS]),
    "exp of float64": (ops.exp, [OTHERS.astype(np.float64)]),
    "gather from outside": (lambda x, i: ops.gather(x, i, axis=1), [FLOATS, DIVISORS - 2]),
    "max of NaN": (ops.max, [FLOATS, NAN]),
    "max of two zeros": (ops.max, [FLOATS, np.zeros(4, np.float32)]),
    "mod below 0": (ops.mod, [SIGNED, DIVISORS]),
    "sum of floats": (lambda x: ops.sum(x, axis=0), [OTHERS]),
    "too much": (lambda x: x + 1, [np.zeros(MOST_BYTES // 8 + 1, np.int64)]),
}


def constants(arrays: Sequence[np.ndarray]) -> list[TensorValue]:
    return [ops.constant(array, DType.from_numpy(array.dtype), HOST) for array in arrays]


def on_constants_alone(graph: Graph) -> list[str]:
    """The ops that compute of constants, and of what is computed of these."""
    known, found = set[Any](), []
    for op in operations(graph):
        operands = [o for o in op.operation.operands if "chain" not in str(o.type)]
        if op.name == CONSTANT or (operands and all(o in known for o in operands) and op.name != "mo.output"):
            known.update(op.results)
            if op.name not in (CONSTANT, BROADCAST):
                found.append(op.name)
    return found


@pytest.mark.parametrize("id", FOLDED)
def test_an_op_on_constants_is_a_constant(id: str) -> None:
    function, arrays = FOLDED[id]
    with FoldingGraph("folded"):
        op = made_by(function(*constants(arrays)))
        while op.name == BROADCAST:
            [operand] = tensor_operands(typed(op))
            op = made_by(operand)
    assert op.name == CONSTANT


@pytest.mark.parametrize("id", LEFT)
def test_the_rest_is_left_to_max(id: str) -> None:
    function, arrays = LEFT[id]
    with FoldingGraph("left"):
        assert made_by(function(*constants(arrays))).name not in (CONSTANT, BROADCAST)


def test_each_evaluator_has_a_case() -> None:
    made = set()
    for function, arrays in FOLDED.values():
        with Graph("as it is") as graph:
            function(*constants(arrays))
        made |= {op.name for op in operations(graph)}
    assert set(EVALUATE) - made <= {"rmo.rebind_tensor_shape"}, "an op that is folded in no case"


@pytest.mark.slow
def test_it_is_what_max_computes() -> None:
    """Of the same values as inputs: each bit, signs of zeros and NaN too, but where MAX approximates."""
    given = [array for _, arrays in FOLDED.values() for array in arrays]
    types = [TensorType(DType.from_numpy(array.dtype), array.shape, HOST) for array in given]
    with Graph("max", input_types=types) as computed:
        inputs = iter(computed.inputs)
        computed.output(
            *(function(*(next(inputs).tensor for _ in arrays)) for function, arrays in FOLDED.values())
        )
    with FoldingGraph("ours", module=computed.module) as folded:
        folded.output(*(function(*constants(arrays)) for function, arrays in FOLDED.values()))
    models = InferenceSession(devices=[CPU()]).load_all(computed.module, weights_registry={})
    of_max, ours = models["max"].execute(*given), models["ours"].execute()
    for id, theirs, mine in zip(FOLDED, of_max, ours, strict=True):
        mine, theirs = mine.to_numpy(), theirs.to_numpy()
        if id in APPROXIMATED:
            np.testing.assert_allclose(mine, theirs, rtol=4 * float(np.finfo(mine.dtype).eps), err_msg=id)
        else:
            np.testing.assert_array_equal(mine.view(np.uint8), theirs.view(np.uint8), id)


class Masked(torch.nn.Module):
    """A causal mask, positions, and a matrix: what models make of numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[0]
        mask = torch.full((n, n), -torch.inf).triu(1) + torch.eye(n).roll(1, 0).flip(1)
        return x + mask + 2 * torch.arange(n) ** 2


def test_a_modules_own_constants_are_one() -> None:
    lowered = fxmax.lower(Masked(), (torch.randn(4, 4),), compile=False, quiet=True)
    assert isinstance(lowered, Lowered)
    assert on_constants_alone(lowered.graph) == []
