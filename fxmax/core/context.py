"""What a rule may ask: the node, the type it must return, and a few ways to make values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from max.dtype import DType
from max.graph import BufferValue, DeviceRef, Dim, TensorType, TensorValue, ops
from torch.fx.node import map_arg

from fxmax.core import kernel_calls
from fxmax.core.table import Platform
from fxmax.core.types import compute_dtype
from fxmax.core.weights import Transform
from fxmax.fx.provenance import module_path
from fxmax.fx.torch_private import Promotion, elementwise_dtypes


@dataclass(frozen=True)
class PendingWeight:
    """A weight that a rule has not read yet: see `Context.prepacked`."""

    fqn: str
    shape: tuple[int, ...]


class WeightReader(Protocol):
    """Weights as values of the graph."""

    def read(
        self, fqn: str, layout: str = "", transform: Transform | None = None, dtype: DType | None = None
    ) -> TensorValue:
        """The graph's value for a weight, as it stands or in another layout."""


class MutableInputs(Protocol):
    """The graph's mutable inputs, and what each holds by now."""

    def write(
        self, node: torch.fx.Node, value: TensorValue, write: Callable[[BufferValue], None]
    ) -> TensorValue | None:
        """Do the node's write in place, if it is one to a mutable input that holds `value`."""

    def buffer_of(self, value: TensorValue) -> BufferValue | None:
        """The mutable input that holds `value`, if one does."""


class Broadcasts(Protocol):
    """What MAX may not be left to broadcast or slice as it is: see `lowering/broadcast_workaround.py`."""

    def value(self, value: TensorValue) -> TensorValue:
        """`value`, fit to be broadcast again, or sliced."""


@dataclass(frozen=True, eq=False)
class Context:
    """One node's view of the lowering; made by the walk for each call of a rule.

    Attributes:
        node: the fx node.
        out: the type to return: a `TensorType`, or a list of them for an op with several results
            (None where torch returns nothing there).
        arguments: schema name → fx argument (a node, a number, …); `given` and `meta` read them.
        device: the graph's device, or the host's CPU for a rule of a GPU's graph that runs there.
        weights, state, broadcasts: the graph's weights, its mutable inputs, and the broadcasts that MAX
            gets wrong (None where no size varies): for the methods below.
        platform: what the rule was looked up for (see `RuleTable.lookup`); None where fxmax's kernels are not
            to be called, if MAX has an op of its own.
    """

    node: torch.fx.Node
    out: Any
    arguments: Mapping[str, Any]
    device: DeviceRef
    weights: WeightReader
    state: MutableInputs
    broadcasts: Broadcasts | None
    platform: Platform | None

    @property
    def path(self) -> str:
        """FQN of the module that the node was traced in."""
        return module_path(self.node)

    def dtype(self, dtype: torch.dtype) -> DType:
        """The MAX dtype that stands for a torch dtype on this device."""
        return compute_dtype(dtype, self.device)

    def meta(self, argument: str) -> Any:
        """What torch knew of an argument: a FakeTensor for a tensor, else the value."""
        return map_arg(self.arguments[argument], lambda n: n.meta.get("val"))

    def given(self, argument: str) -> Any:
        """The fx node that an argument comes from, or the number or list that it is."""
        return self.arguments[argument]

    def promoted(self, kind: Promotion = Promotion.DEFAULT) -> DType:
        """The dtype that torch computes this node in, by torch's own promotion rules."""
        flat: list[Any] = []
        for value in self.arguments:
            meta = self.meta(value)
            flat += meta if isinstance(meta, (list, tuple)) else [meta]
        operands = [_as_number(x) for x in flat if isinstance(x, _OPERANDS)]
        computed, _ = elementwise_dtypes(*operands, type_promotion_kind=kind)
        return self.dtype(computed)

    def kernel(
        self,
        folder: Path,
        name: str,
        inputs: Sequence[TensorValue | BufferValue],
        results: Sequence[TensorType],
        **parameters: bool | int | str,
    ) -> list[TensorValue]:
        """The results of a Mojo custom op, called by the name that a file in `folder` registers it by.

        The folder is precompiled, once for each content, and goes with the graph. An op that is given a
        buffer may write to it.
        """
        return kernel_calls.call(folder, name, self.device, inputs, results, **parameters)

    def constant(self, value: float | int | bool | np.ndarray, dtype: DType) -> TensorValue:
        """A constant in the graph. Keep it small: constants are part of MAX's compile cache key."""
        return ops.constant(value, dtype, device=self.device)

    def full(self, value: float | int | bool, shape: Sequence[Any], dtype: DType) -> TensorValue:
        """`value` broadcast to `shape`."""
        return ops.broadcast_to(self.constant(value, dtype), list(shape))

    def stored(self, value: TensorValue, write: Callable[[BufferValue], None]) -> TensorValue | None:
        """Do this node's write to `value` in place, where `value` is what a mutable input holds.

        Returns:
            The input's value after `write(buffer)`; None where this node does not write to a
            mutable input, and its rule has to make a new tensor.
        """
        return self.state.write(self.node, value, write)

    def buffer(self, value: TensorValue) -> BufferValue | None:
        """The mutable input that holds `value` at this point of the graph, if one does."""
        return self.state.buffer_of(value)

    def viewable(self, value: TensorValue) -> TensorValue:
        """A value that may hold a broadcast, fit to be broadcast again, or sliced."""
        return self.broadcasts.value(value) if self.broadcasts else value

    def size_tensor(self, dim: Dim | int) -> TensorValue:
        """A size as a 0-d int64 tensor on the graph's device."""
        value = ops.shape_to_tensor([dim]).reshape([])
        return value if value.device == self.device else value.to(self.device)

    def prepacked(
        self,
        value: TensorValue | PendingWeight,
        layout: str,
        torch_fn: Callable[[torch.Tensor], torch.Tensor],
        graph_fn: Callable[[TensorValue], TensorValue],
        dtype: DType | None = None,
    ) -> TensorValue:
        """`value` in another layout: a weight's is made once, at bind time; else in the graph.

        Args:
            layout: what the report and the weight's MAX name say of it.
            torch_fn, graph_fn: the same change, to a checkpoint's tensor and to a graph value.
            dtype: of the stored form, where the change gives it another (default: as it was).
        """
        if isinstance(value, PendingWeight):
            return self.weights.read(value.fqn, layout, torch_fn, dtype)
        return graph_fn(value)


_OPERANDS = (torch.Tensor, bool, int, float, torch.SymInt, torch.SymFloat, torch.SymBool)


def _as_number(value: Any) -> Any:
    """A symbolic number stands for any of its kind: only its type matters to promotion."""
    if isinstance(value, torch.SymInt):
        return 1
    if isinstance(value, torch.SymFloat):
        return 1.0
    return bool(value) if isinstance(value, torch.SymBool) else value
