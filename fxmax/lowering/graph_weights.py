"""Weights as values of the graph that is being built: each is read once, in each layout asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from max.dtype import DType
from max.graph import DeviceRef, Graph, TensorValue, Weight, ops

from fxmax.core.context import PendingWeight
from fxmax.core.types import compute_dtype
from fxmax.core.weights import Slot, Transform, Weights
from fxmax.fx.torch_private import pytree
from fxmax.lowering.observer import Observer


class GraphWeights:
    """Reads weights into `graph`, and makes a slot in `weights` for each.

    Args:
        bound_name: (a slot's name, the tensor that it is made of) → its name in the MAX module.
        observers: told of each new slot and its value.
    """

    def __init__(
        self,
        weights: Weights,
        graph: Graph,
        device: DeviceRef,
        bound_name: Callable[[str, torch.Tensor], str],
        observers: Sequence[Observer],
    ) -> None:
        self._weights, self._graph, self._device = weights, graph, device
        self._bound_name, self._observers = bound_name, observers
        self._values: dict[str, TensorValue] = {}

    def pending(self, placeholders: Mapping[str, str]) -> dict[str, PendingWeight]:
        """Placeholder → weight, not read yet, for each (placeholder, FQN)."""
        specs = {name: self._weights.spec(fqn) for name, fqn in placeholders.items()}
        return {name: PendingWeight(spec.fqn, spec.shape) for name, spec in specs.items()}

    def read(
        self, fqn: str, layout: str = "", transform: Transform | None = None, dtype: DType | None = None
    ) -> TensorValue:
        """The graph's value for a weight, as it stands or in another layout."""
        name = f"{fqn}::{layout}" if layout else fqn
        if name not in self._values:
            spec = self._weights.specs[fqn]
            bound = self._bound_name(name, self._weights.values[fqn])
            slot = Slot(bound, spec, dtype or compute_dtype(spec.dtype, self._device), layout, transform)
            self._weights.slots[bound] = slot
            self._values[name] = self._value(slot)
            for observer in self._observers:
                observer.on_weight(slot, self._values[name])
        return self._values[name]

    def read_all(self, value: Any) -> Any:
        """`value` with every pending weight in it read as it stands."""
        return pytree.tree_map_only(PendingWeight, lambda pending: self.read(pending.fqn), value)

    def _value(self, slot: Slot) -> TensorValue:
        shape = slot.shape
        if 0 in shape:  # MAX does not find a weight without elements
            return ops.broadcast_to(ops.constant(0, slot.dtype, device=self._device), shape)
        return self._graph.add_weight(Weight(slot.name, slot.dtype, shape, self._device))
