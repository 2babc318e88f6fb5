"""Private names of MAX: each is there, does what it is used for, and is used in one file alone."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from types import ModuleType

import pytest
from max.dtype import DType
from max.graph import DeviceRef, Graph, Module, TensorType, ops

from tests.support.private_names import ROOT, SOURCES, attributes, imported, resolve

FILE = ROOT / "fxmax" / "runtime" / "max_private.py"

FEATURES = {
    "max._core.Operation": "the workaround of broadcasts: what slices one is found",
    "max._core.Operation._from_cmlir": "the workaround of broadcasts: what slices one is found",
    "max._core.dialects.mo": "the workaround of broadcasts; sums over broadcast axes",
    "max._core.dialects.rmo": "the workaround of broadcasts; sums over broadcast axes",
    "max._core.graph._buffer_from_constant_attr": "what is computed of constants alone doubles a compile",
    "max._core.graph.frame_loc": "the nodes in a CompileError",
    "max._mlir_context.in_default_mlir_context": "lowering and compiling in any thread: everything",
    "max.engine.Model._execute_device_tensors": "calling what was compiled: everything",
    "max.graph.Graph._add_op": "what is computed of constants alone doubles a compile",
    "max.graph.Graph._add_op_generated": "what is computed of constants alone doubles a compile",
    "max.graph.Graph._import_kernels": "Mojo kernels: ctx.kernel",
    "max.graph.Graph._mlir_op": "unread state is not copied; the report's count of MAX ops",
    "max.graph.ops.elementwise._trunc_div": "div with rounding_mode='trunc', fmod, remainders",
    "max.graph.value.Value._mlir_value": "the workaround of broadcasts; lowered.source()",
    "max.mlir.Operation._CAPICreate": "the node names of MAX ops: every compile",
}
ATTRIBUTES = {
    "_CAPICreate",
    "_CAPIPtr",
    "_add_op",
    "_add_op_generated",
    "_execute_device_tensors",
    "_from_cmlir",
    "_import_kernels",
    "_mlir_op",
    "_mlir_value",
}
ON_INSTANCES = {"max.graph.Graph._mlir_op", "max.graph.value.Value._mlir_value"}


@pytest.fixture(scope="module")
def max_private() -> ModuleType:
    """The file, which can't be imported without one of them: so that the tests of names run without it."""
    return import_module("fxmax.runtime.max_private")


@pytest.mark.parametrize("name", sorted(set(FEATURES) - ON_INSTANCES))
def test_it_is_there(name: str) -> None:
    try:
        resolve(name)
    except (AttributeError, ImportError) as gone:
        pytest.fail(f"MAX {version('max')} has no {name}: broken is: {FEATURES[name]} ({gone})")


def test_what_is_listed_is_what_the_file_uses() -> None:
    assert imported(FILE, "max") == {name for name in FEATURES if name.rpartition(".")[2] not in ATTRIBUTES}
    assert attributes(FILE) == ATTRIBUTES
    assert ATTRIBUTES - {"_CAPIPtr"} <= {name.rpartition(".")[2] for name in FEATURES}


def test_no_other_file_uses_one() -> None:
    used = {path: imported(path, "max") | (attributes(path) & ATTRIBUTES) for path in SOURCES if path != FILE}
    assert {path: names for path, names in used.items() if names} == {}


def test_a_graph_can_be_read_as_mlir(max_private) -> None:
    module = Module()
    kind = TensorType(DType.float32, [2], DeviceRef.CPU())
    with Graph("g", input_types=[kind], module=module) as graph:
        x = graph.inputs[0].tensor
        y = ops.broadcast_to(ops.cos(x), [3, 2])
        graph.output(y)
    names = [op.name for op in max_private.operations(graph)]
    assert names[-3:] == ["rmo.mo.cos", "rmo.broadcast_to", "mo.output"], FEATURES["max.graph.Graph._mlir_op"]
    broadcast = max_private.typed(max_private.operations(graph)[-2])
    assert isinstance(broadcast, max_private.rmo.BroadcastToOp), FEATURES["max._core.Operation._from_cmlir"]
    made_by = max_private.mlir_value(y).owner
    assert isinstance(made_by, max_private.rmo.BroadcastToOp), FEATURES["max.graph.value.Value._mlir_value"]
    [whole] = max_private.graphs_of(module)
    walked = list(max_private.walk(whole))
    assert [op.name for op in walked] == names, FEATURES["max.mlir.Operation._CAPICreate"]
    walked[-2].location = max_private.printed(walked[-2], "a-node")
    assert max_private.located_text(module).count("loc(") > 2
