"""Every MAX op carries its fx node, and nothing that is compiled or kept changes with it."""

from __future__ import annotations

import re

import torch
from max.graph import Module, ops
from torch import nn

import fxmax
from fxmax.lowered import Lowered
from fxmax.runtime.labels import label_of, remove_labels
from fxmax.runtime.max_private import graphs_of, located_text, walk

UNLABELLED = {"mo.chain.create", "mo.constant", "mo.constant.external", "mo.output"}


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return torch.relu(self.linear(x)).sum(-1, keepdim=True) * self.calls


class Net(nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self.blocks = nn.ModuleDict({name: Counted()})

    def forward(self, x):
        for block in self.blocks.values():
            x = block(x)
        return x, x.shape[0]


def lowered(name: str) -> Lowered:
    rows = torch.export.Dim("rows")
    args, dims = (torch.ones(3, 4),), ({0: rows},)
    return fxmax.lower(Net(name), args, dynamic_shapes=dims, compile=False, quiet=True)


def labels(low: Lowered) -> dict[str, set[str]]:
    """Label → the ops that carry it."""
    [graph] = graphs_of(low.graph.module)
    found: dict[str, set[str]] = {}
    for op in walk(graph):
        if op.name not in UNLABELLED:
            found.setdefault(label_of(op), set()).add(op.name)
    return found


def test_every_op_carries_the_module_path_and_name_of_its_node() -> None:
    low = lowered("first")
    nodes = {n.name for n in low.captured.program.graph.nodes}
    found = labels(low)
    assert {label.rpartition("/")[2] for label in found} <= nodes
    assert "rmo.mo.reduce.add" in found["blocks.first/sum_1"]
    assert "rmo.mul" in found["blocks.first/mul"]
    assert "rmo.mo.mutable.store" in found["b_blocks_first_calls"]
    assert "rmo.shape_to_tensor" in found["output"]


def text(module: Module) -> str:
    """What the cache's key is made of; MAX counts in it how often a graph was printed."""
    return re.sub(r"counter = \d+", "counter", module.mlir_module.asm())


def test_the_cache_looks_at_none_of_it_and_the_compiler_gets_none() -> None:
    first, second = (lowered(name).graph.module for name in ("a", "b"))
    plain = text(first)
    assert "blocks.a/mul" in located_text(first)
    assert "/mul" not in plain
    assert plain == text(second).replace("blocks.b.", "blocks.a.")  # which are weights
    remove_labels(first)
    assert text(first) == plain
    assert "/mul" not in located_text(first)


def test_an_op_that_max_refuses_to_build_is_the_gap_of_its_node() -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())

    @table.rule(torch.ops.aten.relu.default, override=True)
    def relu(ctx, self):
        return ops.matmul(self, ops.broadcast_to(self, [7, 5, 6]))

    args = (torch.ones(3, 4),)
    [gap] = fxmax.explain(Net("first"), args, table=table, quiet=True).gaps
    assert gap.kind == "raised"
    assert gap.nodes == ("relu",)
    assert gap.path == "blocks.first"
    assert gap.source is not None
    assert gap.source.code.startswith("return torch.relu")
