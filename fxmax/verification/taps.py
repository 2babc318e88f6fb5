"""Which nodes to watch, and the graph with them as extra outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from max.graph import TensorValue

from fxmax.compiled import Compiled
from fxmax.frontend.capture import Captured
from fxmax.fx.provenance import module_path
from fxmax.lowered import Lowered
from fxmax.lowering.lowered_graph import Shared
from fxmax.lowering.walk import Lowerer
from fxmax.runtime.max_private import in_default_mlir_context
from fxmax.runtime.signature import OutputSpec


def tappable(captured: Captured, level: str = "node") -> list[str]:
    """Names of the nodes to tap: each that computes a tensor, or each that leaves its module."""
    nodes = [n for n in captured.program.graph.nodes if n.op == "call_function"]
    tensors = [n for n in nodes if isinstance(n.meta.get("val"), torch.Tensor)]
    if level == "module":
        tensors = [n for n in tensors if _leaves_its_module(n)]
    return [n.name for n in tensors]


def _leaves_its_module(n: torch.fx.Node) -> bool:
    home = module_path(n)
    return any(u.op == "output" or not _within(module_path(u), home) for u in n.users)


def _within(path: str, home: str) -> bool:
    return not home or path == home or path.startswith(f"{home}.")


class TappedLowerer(Lowerer):
    """The same walk as always; the tapped values follow the graph's own outputs."""

    def __init__(
        self,
        captured: Captured,
        shared: Shared | None,
        taps: Iterable[str],
    ) -> None:
        super().__init__(captured, shared)
        wanted = set(taps)
        self.taps = [n for n in captured.program.graph.nodes if n.name in wanted]
        self.tapped: dict[str, Any] = dict.fromkeys(n.name for n in self.taps)
        self.boundary.mutations += [None] * len(self.taps)
        dtypes = [str(n.meta["val"].dtype).removeprefix("torch.") for n in self.taps]
        self.boundary.signature.outputs += [OutputSpec("tensor", dtype) for dtype in dtypes]

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self.tapped:
            self.tapped[n.name] = value
        return value

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        results = super().output(target, args, kwargs)
        return [*results, *(v if isinstance(v, TensorValue) else None for v in self.tapped.values())]


@in_default_mlir_context
def lower_tapped(
    captured: Captured,
    taps: Iterable[str],
    shared: Shared | None = None,
) -> Lowered:
    """`lowering.lower`, with `taps` (node names) as further outputs, in the graph's order."""
    return Lowered.of(TappedLowerer(captured, shared, taps).lower())


def run_tapped(compiled: Compiled, args: Any, kwargs: Any, taps: int) -> tuple[list[Any], list[Any]]:
    """(the module's own flat outputs, the values of the last `taps` outputs)."""
    values = compiled.flat(*args, **kwargs)
    own = len(values) - taps
    return values[:own], values[own:]
