"""Private names of torch: each is there, does what it is used for, and is used in one file alone."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest
import torch

from tests.support.private_names import ROOT, SOURCES, attributes, foreign_attributes, imported, resolve

FILE = ROOT / "fxmax" / "fx" / "torch_private.py"
OWN = {ROOT / "scripts" / "benchmarks" / "gpu.py"}  # which measures torch itself

FEATURES = {
    "torch._C._dispatch_has_kernel_for_dispatch_key": "taking composite operators apart",
    "torch._decomp.decomposition_table": "decompositions for ops without a rule",
    "torch._dispatch.python.enable_python_dispatcher": "types of nodes that passes and decompositions make",
    "torch._guards.detect_fake_mode": "types of nodes that passes and decompositions make",
    "torch._guards.tracing": "torch.compile(backend='fxmax')",
    "torch._ops.HigherOrderOperator": "saying of control flow why it has no rule",
    "torch._ops.OpOverload": "the rule table: everything",
    "torch._ops.OpOverloadPacket": "the list of core ATen ops (scripts/core_aten.py)",
    "torch._prims_common.ELEMENTWISE_TYPE_PROMOTION_KIND": "torch's dtype promotion in elementwise rules",
    "torch._prims_common.elementwise_dtypes": "torch's dtype promotion in elementwise rules",
    "torch.export._trace._ignore_backend_decomps": "decomposing op by op, six times as fast",
    "torch.export.exported_program._override_composite_implicit_decomp": "keeping composite operators whole",
    "torch.export.exported_program._split_decomp_table_to_cia_and_python_decomp": (
        "keeping composite operators whole"
    ),
    "torch.utils._python_dispatch.is_traceable_wrapper_subclass": "weights that are tensor subclasses",
    "torch.utils._pytree": "nested inputs and outputs",
    "torch.utils._sympy.functions.CleanDiv": "sizes that vary, divided",
    "torch.utils._sympy.functions.FloorDiv": "sizes that vary, divided",
    "torch.utils._sympy.functions.Mod": "sizes that vary, with a remainder",
    "torch.utils._sympy.functions.PythonMod": "sizes that vary, with a remainder",
}
ATTRIBUTES = {
    "_schema": "binding arguments: everything",
    "_opname": "the stub of a rule that is missing; writes in place",
    "_overloadname": "the stub of a rule that is missing; writes in place",
    "_cdata": "views of weights that artifacts share; writes in place to views",
    "_version": "writes to weights, and to what a call may have written, are seen",
    "_dynamo_static_input_type": "weights that torch.compile hands over stay on MAX",
}


@pytest.fixture(scope="module")
def torch_private() -> ModuleType:
    """The file, which can't be imported without one of them: so that the tests of names run without it."""
    return import_module("fxmax.fx.torch_private")


@pytest.mark.parametrize("name", FEATURES)
def test_it_is_there(name: str) -> None:
    try:
        resolve(name)
    except (AttributeError, ImportError) as gone:
        pytest.fail(f"torch {torch.__version__} has no {name}: broken is: {FEATURES[name]} ({gone})")


def test_what_is_listed_is_what_the_file_uses() -> None:
    assert imported(FILE, "torch") - {"torch._C"} == set(FEATURES)
    modules = {part for name in FEATURES for part in name.split(".")}
    assert attributes(FILE) - modules == set(ATTRIBUTES)


def test_no_other_file_uses_one() -> None:
    used = {path: imported(path, "torch") | (attributes(path) & set(ATTRIBUTES)) for path in SOURCES}
    assert {path: names for path, names in used.items() if names and path not in {FILE, *OWN}} == {}


def test_a_private_attribute_of_another_package_is_read_in_its_file_alone() -> None:
    pythons, whispers = {"_exit", "_getframe"}, {"_MODELS", "_ALIGNMENT_HEADS", "_download"}
    private = {FILE, ROOT / "fxmax" / "runtime" / "max_private.py", *OWN}
    found = {name: paths - private for name, paths in foreign_attributes().items()}
    assert {name for name, paths in found.items() if paths} == pythons | whispers


def test_the_attributes_say_what_they_are_read_for(torch_private) -> None:
    add_ = torch.ops.aten.add_.Tensor
    assert [a.name for a in torch_private.schema_of(add_).arguments] == ["self", "other", "alpha"], ATTRIBUTES
    assert torch_private.schema_of(add_).is_mutable
    assert torch_private.op_parts(add_) == ("aten", "add_", "Tensor"), ATTRIBUTES["_opname"]
    assert torch_private.is_composite(torch.ops.aten.linear.default)
    assert not torch_private.is_composite(torch.ops.aten.relu.default)
    x = torch.empty(2, 3, device="meta")
    assert torch_private.storage_of(x.t()) == torch_private.storage_of(x), ATTRIBUTES["_cdata"]
    assert torch_private.storage_of(x.clone()) != torch_private.storage_of(x)
    written = torch.ones(1)
    before = torch_private.versions([written])
    written.add_(1)
    assert torch_private.versions([written]) > before, ATTRIBUTES["_version"]


def test_torch_compile_marks_the_parameters_that_it_hands_over(torch_private) -> None:
    seen: list[list[bool]] = []

    def backend(module, examples):
        seen.append([torch_private.is_static_input(e) for e in examples])
        return module

    torch.compile(torch.nn.Linear(2, 2), backend=backend)(torch.ones(1, 2))
    assert sorted(seen[0]) == [False, True, True], ATTRIBUTES["_dynamo_static_input_type"]
