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
from fxmax.lowering import walk
from fxmax.lowering.lowered_graph import Shared
from fxmax.lowering.observer import Observer
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


class Taps(Observer):
    """Keeps the values of some nodes, and has them follow the graph's own outputs.

    Args:
        names: of the nodes; the values come in the graph's order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._tapped: list[tuple[OutputSpec, TensorValue]] = []

    def on_value(self, node: torch.fx.Node, value: Any) -> None:
        if node.name in self.names:
            dtype = str(node.meta["val"].dtype).removeprefix("torch.")
            self._tapped.append((OutputSpec("tensor", dtype), value))

    def extra_outputs(self) -> list[tuple[OutputSpec, TensorValue]]:
        return self._tapped


def lower_tapped(
    captured: Captured,
    taps: Iterable[str],
    shared: Shared | None = None,
) -> Lowered:
    """`walk.lower`, with `taps` (node names) as further outputs, in the graph's order."""
    return Lowered.of(walk.lower(captured, shared, observers=[Taps(taps)]))


def run_tapped(compiled: Compiled, args: Any, kwargs: Any, taps: int) -> tuple[list[Any], list[Any]]:
    """(the module's own flat outputs, the values of the last `taps` outputs)."""
    values = compiled.flat(*args, **kwargs)
    own = len(values) - taps
    return values[:own], values[own:]
