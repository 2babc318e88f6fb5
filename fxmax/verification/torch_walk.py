"""An exported graph run by torch on the CPU, and what rounding may do to each of its values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.fx.schema import bind
from fxmax.fx.torch_private import OpOverload, pytree
from fxmax.passes.drop_asserts import CHECKS
from fxmax.verification.tolerances.derive import tolerance
from fxmax.verification.tolerances.steps import JUMPS, is_level, jumped

aten = torch.ops.aten
Arguments = tuple[Any, Any]  # args, kwargs


class TorchWalk(torch.fx.Interpreter):
    """Runs an exported graph on the CPU, whatever device and dtypes it was traced with.

    Args:
        dtype: a dtype that the program asks for → the one that it gets.
        skipped: checks that are left out, of those that were traced.
    """

    def __init__(
        self,
        program: ExportedProgram,
        dtype: Callable[[torch.dtype], torch.dtype],
        skipped: Collection[OpOverload] = CHECKS,
    ) -> None:
        super().__init__(program.graph_module)
        self._dtype, self._skipped = dtype, skipped

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in self._skipped:
            return None
        args, kwargs = self.on_cpu((args, kwargs))
        return super().call_function(target, args, kwargs)

    def on_cpu(self, arguments: Arguments) -> Arguments:
        """The same arguments with the dtypes and the device of this walk."""
        return pytree.tree_map(self._option, arguments)  # type: ignore[no-any-return]

    def _option(self, value: Any) -> Any:
        if isinstance(value, torch.dtype):
            return self._dtype(value)
        return torch.device("cpu") if isinstance(value, torch.device) else value


class Rounding:
    """How far rounding may carry a node's result, by its op's tolerance; and samples of it.

    Args:
        walk: the walk that the results are of.
        roundoff: (a node, its result) → the unit roundoff that it is computed with.
        seed: of the samples.
    """

    def __init__(
        self, walk: TorchWalk, roundoff: Callable[[Node, torch.Tensor], float], seed: int = 0
    ) -> None:
        self._walk, self._roundoff = walk, roundoff
        self._generator = torch.Generator().manual_seed(seed)

    def tolerance(self, node: Node, result: torch.Tensor, given: Callable[[Node], Arguments]) -> torch.Tensor:
        """How far each element of `result` may be off.

        Args:
            given: the node, or the node of several results that it is one of → the values it was called with.
        """
        origin, index = node, 0
        if node.target is operator.getitem:
            origin, index = node.args  # type: ignore[assignment]
        if not isinstance(origin.target, OpOverload) or not result.is_floating_point():
            return torch.zeros((), dtype=torch.float64)
        args, kwargs = self._walk.on_cpu(given(origin))
        bound = bind(origin.target, args, kwargs)
        return tolerance(origin.target, bound, result, self._roundoff(node, result), index)

    def moved(self, value: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        """`value` with each element moved at random within `allowed`."""
        if not value.is_floating_point() or not bool(allowed.any()):
            return value
        noise = torch.rand(value.shape, generator=self._generator, dtype=torch.float64) * 2 - 1
        return value + torch.nan_to_num(noise * allowed, posinf=0.0, neginf=0.0).to(value.dtype)


def decides(node: Node) -> bool:
    """Whether it makes something else than floats of floats, or is a function with steps."""
    if node.op != "call_function":
        return False
    given = [x for i in node.all_input_nodes for x in pytree.tree_leaves(i.meta.get("val"))]
    if not _is_float(given):
        return False
    made = node.meta.get("val")
    return _has_steps(node) or (isinstance(made, torch.Tensor) and not made.is_floating_point())


def _has_steps(node: Node) -> bool:
    if not isinstance(node.target, OpOverload):
        return False
    given = bind(node.target, node.args, node.kwargs)
    return node.target.overloadpacket in JUMPS or is_level(node.target, given)


def settled(node: Node, moved: Any, decided: Any, arguments: Arguments) -> Any:
    """What a node that decides makes of rounded floats, with what is `decided` without the rounding.

    Args:
        moved, decided: its results with rounding and without.
        arguments: what `moved` was made of.
    """
    if getattr(node.target, "overloadpacket", None) not in JUMPS:
        return decided
    bound = bind(node.target, *arguments)  # type: ignore[arg-type]
    return torch.where(jumped(node.target, bound, moved, decided), decided, moved)  # type: ignore[arg-type]


def _is_float(values: list[Any]) -> bool:
    return any(isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex()) for x in values)
