"""Seeing the walk from outside: how verification taps values, and how the source's recording notes calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from max.graph import TensorValue

from fxmax.core.weights import Slot
from fxmax.runtime.signature import OutputSpec


class Observer:
    """Told of what the walk does, in order. Each method may be left as it is, which does nothing."""

    def on_node(self, node: torch.fx.Node) -> None:
        """`node` is about to be lowered."""

    def on_weight(self, slot: Slot, value: TensorValue) -> None:
        """A weight was read, for the first time in this layout."""

    def on_value(self, node: torch.fx.Node, value: Any) -> None:
        """`node` has become `value`."""

    def extra_outputs(self) -> list[tuple[OutputSpec, TensorValue]]:
        """What the graph is to return after the program's own outputs."""
        return []

    def on_outputs(self, values: Sequence[TensorValue]) -> None:
        """The graph is complete, and these are what it returns."""
