"""What a rule may ask: the node, the type it must return, and a few ways to make values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import BufferValue, DeviceRef, Dim, TensorValue, ops
from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND as Promotion
from torch._prims_common import elementwise_dtypes
from torch.fx.node import map_arg

from fxmax.core.types import compute_dtype
from fxmax.fx.provenance import module_path

if TYPE_CHECKING:
    from fxmax.lowering.walk import Lowerer


@dataclass(frozen=True)
class PendingWeight:
    """A weight that a rule has not read yet: see `Context.relaid`."""

    fqn: str
    shape: tuple[int, ...]


class Context:
    """One node's view of the lowering; made by the lowerer for each call of a rule.

    Attributes:
        node: the fx node.
        out: the type to return: a `TensorType`, or a list of them for an op with several results
            (None where torch returns nothing there).
        device: the graph's device, or the host's CPU for a rule that raised `HostOnly`.
        path: FQN of the module that the node was traced in.
    """

    def __init__(
        self,
        lowerer: Lowerer,
        node: torch.fx.Node,
        out: Any,
        arguments: dict[str, Any],
        device: DeviceRef,
    ) -> None:
        self._lowerer = lowerer
        self._arguments = arguments  # schema name → fx argument (a node, a number, ...)
        self.node = node
        self.out: Any = out
        self.device = device
        self.path = module_path(node)

    def dtype(self, dtype: torch.dtype) -> DType:
        """The MAX dtype that stands for a torch dtype on this device."""
        return compute_dtype(dtype, self.device)

    def meta(self, argument: str) -> Any:
        """What torch knew of an argument: a FakeTensor for a tensor, else the value."""
        return map_arg(self._arguments[argument], lambda n: n.meta.get("val"))

    def given(self, argument: str) -> Any:
        """The fx node that an argument comes from, or the number or list that it is."""
        return self._arguments[argument]

    def promoted(self, kind: Promotion = Promotion.DEFAULT) -> DType:
        """The dtype that torch computes this node in, by torch's own promotion rules."""
        flat: list[Any] = []
        for value in self._arguments:
            meta = self.meta(value)
            flat += meta if isinstance(meta, (list, tuple)) else [meta]
        operands = [_as_number(x) for x in flat if isinstance(x, _OPERANDS)]
        computed, _ = elementwise_dtypes(*operands, type_promotion_kind=kind)
        return self.dtype(computed)

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
        boundary = self._lowerer.boundary
        placeholder = boundary.in_place.get(self.node.name)
        if placeholder is None or boundary.written[placeholder] is not value:
            return None
        write(boundary.buffers[placeholder])
        return boundary.load(placeholder)

    def buffer(self, value: TensorValue) -> BufferValue | None:
        """The mutable input that holds `value` at this point of the graph, if one does."""
        boundary = self._lowerer.boundary
        names = [name for name, held in boundary.written.items() if held is value]
        return boundary.buffers[names[0]] if names else None

    def settled(self, value: TensorValue) -> TensorValue:
        """A value that the rule made by broadcasting, fit to be broadcast again."""
        settled = self._lowerer.settled
        return settled.value(value) if settled else value

    def size_tensor(self, dim: Dim | int) -> TensorValue:
        """A size as a 0-d int64 tensor on the graph's device."""
        value = ops.shape_to_tensor([dim]).reshape([])
        return value if self.device.is_cpu() else value.to(self.device)

    @property
    def own_kernels(self) -> bool:
        """Whether a rule may call fxmax's kernels for the CPU where MAX has an op of its own."""
        return self.device.is_cpu() and self._lowerer.own_kernels

    def fast(self, dtype: DType) -> bool:
        """Whether fxmax's own kernels may compute in `dtype` there: they are float32's."""
        return self.own_kernels and dtype == DType.float32

    def relaid(
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
            return self._lowerer.weight(value.fqn, layout, torch_fn, dtype)
        return graph_fn(value)


_OPERANDS = (torch.Tensor, bool, int, float, torch.SymInt, torch.SymFloat, torch.SymBool)


def _as_number(value: Any) -> Any:
    """A symbolic number stands for any of its kind: only its type matters to promotion."""
    if isinstance(value, torch.SymInt):
        return 1
    if isinstance(value, torch.SymFloat):
        return 1.0
    return bool(value) if isinstance(value, torch.SymBool) else value
