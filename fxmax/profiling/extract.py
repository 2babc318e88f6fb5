"""One node of a captured program as a program of its own.

Weights stay weights and mutable inputs stay mutable, so the node's rule meets what it meets in the
whole graph; everything else that the node reads becomes an input.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
from torch.export import ExportedProgram, ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)

from fxmax.frontend.capture import Captured
from fxmax.fx.torch_private import OpOverload, pytree, schema_of


class Extractor:
    """Cuts nodes out of one program, whose sizes are all fixed.

    Args:
        writers: node → the mutable placeholder that it writes in place (`Boundary.writers`).
    """

    def __init__(self, captured: Captured, writers: Mapping[str, str]) -> None:
        self.program, self.options = captured.program, captured.options
        self.specs = {getattr(s.arg, "name", ""): s for s in self.program.graph_signature.input_specs}
        # Every value that a mutable placeholder holds at some point: its first, and those written.
        self.holders = {**writers, **{p: p for p in writers.values()}}
        self.writers = writers

    def fed(self, node: torch.fx.Node) -> list[torch.fx.Node]:
        """The inputs of `alone(node)` that a call brings, in order."""
        return [n for n in node.all_input_nodes if self._kind(n) is InputKind.USER_INPUT]

    def role(self, node: torch.fx.Node) -> str:
        """What `node` is to those that read it: a weight, a mutable input, or a plain one."""
        if node.name in self.holders:
            return "mutable"
        return "input" if self._kind(node) is InputKind.USER_INPUT else "weight"

    def alone(self, node: torch.fx.Node, name: str) -> Captured:
        """`node` as a program called `name`; its inputs are the values of `fed(node)`."""
        graph, inputs = torch.fx.Graph(), dict[torch.fx.Node, torch.fx.Node]()
        takes: list[InputSpec] = []
        results: list[tuple[torch.fx.Node, OutputSpec]] = []
        for used in node.all_input_nodes:
            inputs[used] = new = graph.placeholder(used.name)
            new.meta = dict(used.meta)
            spec = self._spec(used)
            target, persistent = (spec.target, spec.persistent) if spec else (None, None)
            takes.append(InputSpec(self._kind(used), TensorArgument(new.name), target, persistent))
            if used.name in self.holders and self.holders[used.name] != self.writers.get(node.name):
                results.append((new, self._mutation(used, new, new)))  # mutable here too, and unchanged
        call = graph.node_copy(node, lambda n: inputs[n])
        if node.name in self.writers:
            [written] = [n for n in inputs if self.holders.get(n.name) == self.writers[node.name]]
            results.append((call, self._mutation(written, inputs[written], call)))
        else:
            results += [(r, _returned(r)) for r in _tensors(graph, call, node)]
        graph.output(tuple(r for r, _ in results))
        return Captured(self._program(graph, takes, [s for _, s in results]), name, self.options, [])

    def _spec(self, node: torch.fx.Node) -> InputSpec | None:
        return self.specs.get(self.holders.get(node.name, node.name))

    def _kind(self, node: torch.fx.Node) -> InputKind:
        spec = self._spec(node)
        return spec.kind if spec else InputKind.USER_INPUT

    def _mutation(self, used: torch.fx.Node, new: torch.fx.Node, result: torch.fx.Node) -> OutputSpec:
        spec = self.specs[self.holders[used.name]]
        if spec.kind is InputKind.USER_INPUT:
            return OutputSpec(OutputKind.USER_INPUT_MUTATION, TensorArgument(result.name), new.name)
        return OutputSpec(OutputKind.BUFFER_MUTATION, TensorArgument(result.name), spec.target)

    def _program(
        self, graph: torch.fx.Graph, takes: list[InputSpec], gives: list[OutputSpec]
    ) -> ExportedProgram:
        count = sum(s.kind is InputKind.USER_INPUT for s in takes)
        returned = sum(s.kind is OutputKind.USER_OUTPUT for s in gives)
        call = ModuleCallSignature(
            inputs=[],
            outputs=[],
            in_spec=pytree.tree_structure(((0,) * count, {})),
            out_spec=pytree.tree_structure((0,) * returned),
        )
        targets = {s.target for s in takes}
        return ExportedProgram(
            root={},
            graph=graph,
            graph_signature=ExportGraphSignature(takes, gives),
            state_dict={k: v for k, v in self.program.state_dict.items() if k in targets},
            range_constraints={},
            module_call_graph=[ModuleCallEntry("", call)],
            example_inputs=((None,) * count, {}),
            constants={k: v for k, v in self.program.constants.items() if k in targets},
            verifiers=self.program.verifiers,
        )


def is_view(node: torch.fx.Node) -> bool:
    """Whether torch's result shares its input's memory, by the aten schema."""
    returns = schema_of(node.target).returns if isinstance(node.target, OpOverload) else ()
    return any(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _returned(node: torch.fx.Node) -> OutputSpec:
    return OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None)


def _tensors(graph: torch.fx.Graph, call: torch.fx.Node, node: torch.fx.Node) -> list[torch.fx.Node]:
    """The call itself, or, where it gives several tensors, each of them."""
    value = node.meta["val"]
    if isinstance(value, torch.Tensor):
        return [call]
    parts = []
    for i, part in enumerate(value):
        if isinstance(part, torch.Tensor):
            parts.append(graph.call_function(operator.getitem, (call, i)))
            parts[-1].meta["val"] = part
    return parts
