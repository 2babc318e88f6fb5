"""What the walk returns, and what graphs that compile together have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from max.graph import DeviceRef, Graph, Module

from fxmax.core.table import RuleTable
from fxmax.core.weights import Weights
from fxmax.frontend.capture import Captured
from fxmax.lowering.boundary import Boundary
from fxmax.report import Report
from fxmax.runtime.signature import Signature


@dataclass
class LoweredGraph:
    """A MAX graph, the weights it needs by FQN, how to call it, and the report. Not compiled."""

    graph: Graph
    weights: Weights
    boundary: Boundary
    signature: Signature
    report: Report
    captured: Captured
    position: int = 0  # among the graphs of one MAX module

    @property
    def device(self) -> DeviceRef:
        """Where the graph runs."""
        return self.captured.options.device

    @property
    def table(self) -> RuleTable:
        """The rules as they were, overrides included."""
        return self.captured.options.table


@dataclass
class Shared:
    """What several graphs that compile together have in common: one MAX module and its weights."""

    module: Module = field(default_factory=Module)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    graphs: int = 0  # so far

    def add(self) -> int:
        """Count one more graph; returns its position."""
        self.graphs += 1
        return self.graphs - 1

    def name(self, graph: str, name: str, value: torch.Tensor) -> str:
        """A weight's name in the module: its own, or prefixed where another tensor has that."""
        if self.weights.setdefault(name, value).data_ptr() == value.data_ptr():
            return name
        return f"{graph}/{name}"
