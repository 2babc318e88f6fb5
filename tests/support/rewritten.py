"""A module after the passes: its ops, what each pass changed, and what each left and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.fx import Graph

import fxmax
from fxmax.frontend.capture import capture
from fxmax.frontend.options import Options
from fxmax.passes import PASSES, run_passes
from fxmax.records import PassRecord
from tests.support.parity import Fn

Function = nn.Module | Callable[..., Any]


class Rewritten(NamedTuple):
    """A program after its passes."""

    ops: list[str]
    passes: dict[str, PassRecord]
    reasons: set[tuple[str, str]]  # (pass, why it left a node)
    left: dict[str, str]  # node → the op that was left

    def changes(self, name: str) -> int:
        return self.passes[name].changes


def rewritten(
    module: Function,
    *inputs: torch.Tensor,
    dynamic_shapes: Any = None,
    **options: Any,
) -> Rewritten:
    """Capture `module` (or a function), and check that the graph still runs in torch, and is typed."""
    module = (module if isinstance(module, nn.Module) else Fn(module)).eval()
    captured = capture(module, inputs, options=Options.resolve(**options), dynamic_shapes=dynamic_shapes)
    graph = captured.program.graph
    for node in graph.nodes:
        assert node.op != "call_function" or "val" in node.meta or not node.users
    with torch.no_grad():
        given, expected = [x.clone() for x in inputs], module(*inputs)
        actual = captured.program.module()(*given)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    names = {n.name: str(n.target) for n in graph.nodes}
    return Rewritten(
        [str(n.target) for n in graph.nodes if n.op == "call_function"],
        {p.name: p for p in captured.passes},
        {(s.by, s.reason) for s in captured.skipped},
        {s.node: names[s.node] for s in captured.skipped},
    )


def reasons(module: Function, *inputs: torch.Tensor, by: str, **options: Any) -> set[str]:
    """Why the pass `by` left nodes of `module` as they are."""
    return {why for name, why in rewritten(module, *inputs, **options).reasons if name == by}


def counted(graph: Graph) -> Counter[Any]:
    """How often each op is called."""
    return Counter(n.target for n in graph.nodes if n.op == "call_function")


def run_one_by_one(module: Function, *inputs: torch.Tensor) -> dict[str, tuple[Counter[Any], Counter[Any]]]:
    """The counts of ops before and after each pass, in their order."""
    module = (module if isinstance(module, nn.Module) else Fn(module)).eval()
    program = capture(module, inputs, options=Options.resolve(passes=())).program
    program.graph.eliminate_dead_code()
    seen = {}
    for name in PASSES:
        before = counted(program.graph)
        run_passes(program, fxmax.default_table(), [name])
        seen[name] = before, counted(program.graph)
    return seen
