"""Which graphs `profile` times, lowered together into one MAX module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.graph import Module
from torch.export import ExportedProgram

from fxmax.compiled import arguments_of
from fxmax.core.weights import Weights
from fxmax.errors import FxmaxError, LoweringError
from fxmax.frontend.capture import Captured, capture
from fxmax.fx.torch_private import OpOverload
from fxmax.lowered import Lowered
from fxmax.lowering import walk
from fxmax.lowering.lowered_graph import Shared
from fxmax.profiling.extract import Extractor, is_view
from fxmax.verification.reference import placeholders

WHOLE, IDLE = "the whole", "idle"  # keys beside the names of nodes


class Graphs:
    """The graphs to time, lowered into one MAX module: the whole, each kind of node once, an idle one.

    `inputs` are torch's values for each; `measured` is, for each kind of node, the one that stands for it.
    """

    def __init__(
        self,
        captured: Captured,
        weights: Weights | None,
        inputs: tuple[Any, Any],
    ) -> None:
        program = captured.program
        self.shared = Shared(Module())
        self.held = weights
        whole = self._lower(captured)
        extractor = Extractor(captured, whole.boundary.writers)
        self.kind = {n.name: _kind(n, extractor) for n in program.graph.nodes if _is_timed(n)}
        first: dict[str, torch.fx.Node] = {}
        for n in program.graph.nodes:
            if n.name in self.kind:
                first.setdefault(self.kind[n.name], n)
        self.measured = {kind: n.name for kind, n in first.items()}
        tensors = arguments_of(whole).flatten(*inputs)
        wanted = {used.name for n in first.values() for used in extractor.fed(n)}
        values = _Values(program, wanted).of(placeholders(program, whole.weights.by_fqn(), tensors))
        idle = capture(_Idle(), (torch.zeros(1),), options=captured.options)
        self.lowered = {WHOLE: whole, IDLE: self._lower(idle)}
        self.inputs = {WHOLE: tensors, IDLE: [torch.zeros(1)]}
        for n in first.values():
            self.lowered[n.name] = self._lower(extractor.alone(n, f"alone.{n.name}"))
            self.inputs[n.name] = [values[used.name] for used in extractor.fed(n)]

    def _lower(self, captured: Captured) -> Lowered:
        lowered = Lowered.of(walk.lower(captured, self.shared))
        if lowered.report.gaps:
            raise LoweringError(lowered.report)
        if self.held is not None:
            lowered.weights = lowered.weights.replaced(self.held.values, strict=False)
        return lowered


class _Idle(torch.nn.Module):
    """Next to nothing, so that a call of it costs what a call costs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)


class _Values(torch.fx.Interpreter):
    """torch's values of the nodes called `wanted`."""

    def __init__(self, program: ExportedProgram, wanted: set[str]) -> None:
        super().__init__(program.graph_module)
        self.wanted = wanted
        self.kept: dict[str, torch.Tensor] = {}

    def of(self, inputs: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Run the program on its placeholders' values."""
        with torch.no_grad():
            self.run(*inputs)
        return self.kept

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.wanted:
            self.kept[n.name] = value.clone()
        return value


def check_fixed(captured: Captured) -> None:
    """Raise `FxmaxError` where a size varies."""
    if name := captured.varying():
        raise FxmaxError(
            f"{captured.name} has sizes that vary (of {name}): profile the module itself, whose sizes "
            "are then those of the inputs"
        )


def _is_timed(n: torch.fx.Node) -> bool:
    """Whether it computes something from something: constants are folded when MAX compiles."""
    return isinstance(n.target, OpOverload) and bool(n.all_input_nodes) and not is_view(n)


def _kind(n: torch.fx.Node, extractor: Extractor) -> str:
    """Text that is equal for nodes which take the same time."""

    def text(used: torch.fx.Node) -> str:
        value = used.meta["val"]
        return f"<{extractor.role(used)} {value.dtype} {list(value.shape)}>"

    args, kwargs = torch.fx.node.map_arg((n.args, n.kwargs), text)
    return f"{n.target} {args} {kwargs} {n.name in extractor.writers}"
