"""Every private name of MAX that fxmax uses: what for, and why no public one will do.

A MAX that moves or drops one of them breaks the import of this file, or a function in it, and nothing else.
`tests/runtime/test_max_private.py` resolves each by itself and says which feature is lost without it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from max._core import Operation as TypedOperation

# Whether a value is a tensor, and which ops are broadcasts, is asked of MLIR's types: `max.graph` can't tell.
from max._core.dialects import mo as mo
from max._core.dialects import rmo as rmo

# The values of a constant: in public a graph's constants can be put in, not read.
# A location that MAX's compiler prints in its errors; `Graph.profile_scope`'s it leaves out.
from max._core.graph import _buffer_from_constant_attr, frame_loc
from max._mlir_context import in_default_mlir_context as _in_context
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import Model
from max.graph import Graph, Module
from max.graph.ops.elementwise import _trunc_div
from max.graph.value import Value
from max.mlir import Location, Operation

P = ParamSpec("P")
T = TypeVar("T")

trunc_div = _trunc_div
"""Division that rounds towards zero: `ops.floor_div` is public, and has the other rounding."""


def in_default_mlir_context(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: the function works on MAX graphs in whichever thread it is called.

    MLIR's context is one a thread, and the public functions that enter it build or compile a whole graph.
    """
    entered: Callable[P, T] = _in_context(function)
    return entered


def execute(model: Model, inputs: Sequence[Buffer]) -> list[Buffer]:
    """Run a model on buffers that are on its device.

    `Model.execute` checks and converts each argument once more, for longer than a small graph takes.
    """
    results: list[Buffer] = model._execute_device_tensors(inputs)
    return results


def import_package(graph: Graph, path: Path) -> None:
    """Let a graph call the custom ops of a package; in public that is possible when it is made, not later."""
    if path not in graph.kernel_libraries_paths:
        graph._import_kernels([path])


class HookedGraph(Graph):  # type: ignore[misc]  # MAX's types are Any to mypy
    """A graph in which `made` sees the results of each op as it is added, and says what is used as them.

    MAX adds its ops through these two methods; in public one sees a graph's inputs and outputs.
    """

    def made(self, results: list[Value[Any]]) -> list[Value[Any]]:
        """What stands for an op's results from here on."""
        return results

    def _add_op(self, *args: Any, **kwargs: Any) -> list[Value[Any]]:
        return self.made(super()._add_op(*args, **kwargs))

    def _add_op_generated(self, *args: Any, **kwargs: Any) -> list[Value[Any]]:
        return self.made(super()._add_op_generated(*args, **kwargs))


def made_by(value: Value[Any]) -> Any:
    """The op that made a value, in the form of `operations`; None for a graph's input."""
    owner = value._mlir_value.owner
    return Operation._CAPICreate(owner._CAPIPtr) if isinstance(owner, TypedOperation) else None


def constant_buffer(operation: Any, dtype: DType, shape: Sequence[int]) -> Buffer:
    """The values of a `mo.constant`, on the host."""
    return _buffer_from_constant_attr(typed(operation).value, dtype, list(shape), CPU())


def operations(graph: Graph) -> list[Any]:
    """The operations of a graph's body, in order: a `Graph` has its inputs and outputs alone."""
    return list(graph._mlir_op.regions[0].blocks[0].operations)


def typed(operation: Any) -> Any:
    """One of `operations` in a class of `mo` or `rmo`, and its operands too, as a value's `owner` is."""
    return TypedOperation._from_cmlir(operation)


def mlir_value(value: Value[Any]) -> Any:
    """The SSA value behind a graph value: it has an identity, a type and the op that made it (`owner`)."""
    return value._mlir_value


def graphs_of(module: Module) -> list[Any]:
    """The graphs of a module, as operations, in order."""
    whole = Operation._CAPICreate(module.mlir_module._CAPIPtr)
    return [op.operation for op in whole.regions[0].blocks[0].operations]


def walk(operation: Any) -> Iterator[Any]:
    """The operations inside of one, at any depth, in order."""
    for region in operation.regions:
        for block in region.blocks:
            for op in block.operations:
                yield op.operation
                yield from walk(op.operation)


def located_text(module: Module) -> str:
    """The module as MLIR with the location of each op, which `str` and `asm` leave out."""
    return str(Operation._CAPICreate(module.mlir_module._CAPIPtr).get_asm(enable_debug_info=True))


def unlocated(operation: Any) -> Location:
    """The location of an op that came from nowhere."""
    return Location.unknown(operation.context)


def printed(operation: Any, name: str) -> Location:
    """A location that MAX's compiler prints as a line of the file `name`."""
    frame = traceback.FrameSummary(name, 0, "node", lookup_line=False, line="")
    return frame_loc(operation.context, [frame])
