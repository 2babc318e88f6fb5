"""What rounding may make of one call, in torch: numbers moved, decisions kept, and decisions turned over.

A decision is a comparison, an index, a rounded number: what floats make by steps. Most of them stand firm,
so that a walk in which they may turn over would allow any error behind them. Where a float is so close to a
step that rounding carries it over, the results with the step taken are as right as torch's; `Sampled.turned`
samples them, and only elements that the step reaches differ from torch's there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from fxmax.verification.comparison import SLACK
from fxmax.verification.distance import difference
from fxmax.verification.eager import Eager, Outcome, run_eager
from fxmax.verification.torch_walk import Arguments, Rounding, decides, settled

WALKS, DRAWS = 4, 32
"""Walks that show how far rounding carries each float; and that turn decisions over, at most.

A draw turns over a decision within reach with a chance of a half, where two floats are compared of a quarter.
"""
HELD = 2**28
"""Elements of results: of large ones there are fewer draws."""


class Decisions(Eager):
    """torch's run; `found` is what floats decided on the way, and `fed` the floats that they decided by.

    Both by the node's name: of what decides, and of what made the floats.
    """

    def __init__(self, program: ExportedProgram, int8: Mapping[str, bool] | None = None) -> None:
        super().__init__(program, int8)
        self.found: dict[str, torch.Tensor] = {}
        self.fed: dict[str, torch.Tensor] = {}
        nodes = [n for n in program.graph.nodes if _turns_over(n)]
        self.nodes = frozenset(n.name for n in nodes)
        self._feeding = {i.name for n in nodes for i in n.all_input_nodes if i.op == "call_function"}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            if decides(n):
                self.found[n.name] = value
            if n.name in self._feeding and value.is_floating_point():
                self.fed[n.name] = value
        return value


def _turns_over(n: Node) -> bool:
    """Whether it decides, by itself or in one of its several results."""
    return decides(n) or any(u.target is operator.getitem and decides(u) for u in n.users)


class Rounded(Eager):
    """torch's run with every float moved at random within its op's tolerance; what floats decide is kept.

    `spread` is how far the floats that decide were moved, by the node that made them.

    Args:
        roundoff: a torch dtype → the unit roundoff of what MAX computes it in.
        decisions: the run without rounding.
        seed: of the sample.
    """

    def __init__(
        self,
        program: ExportedProgram,
        roundoff: Callable[[torch.dtype], float],
        decisions: Decisions,
        int8: Mapping[str, bool] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(program, int8)
        self._decisions = decisions
        self.spread: dict[str, torch.Tensor] = {}
        self._rounding = Rounding(
            self, lambda n, value: roundoff(n.meta["val"].dtype) + torch.finfo(value.dtype).eps / 2, seed
        )
        self._given: dict[str, Arguments] = {}  # of nodes with several results

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.op != "call_function":
            return value
        if not isinstance(value, torch.Tensor):
            self._given[n.name] = self.fetch_args_kwargs_from_env(n)
            return value
        if (decided := self._decisions.found.get(n.name)) is not None:
            value = settled(n, value, decided, self._arguments(n))
        if value is decided:  # a step is level: rounding does nothing to it
            return value
        value = self._rounding.moved(value, self._rounding.tolerance(n, value, self._arguments))
        if n.name in self._decisions.fed:
            off = difference(value.double(), self._decisions.fed[n.name].double())
            self.spread[n.name] = torch.nan_to_num(off, posinf=0.0)
        return value

    def _arguments(self, n: Node) -> Arguments:
        return self._given[n.name] if n.name in self._given else self.fetch_args_kwargs_from_env(n)


class Turned(Eager):
    """torch's run with what decides fed floats at the ends of what rounding may make of them, at random.

    Args:
        nodes: names of those that decide.
        reach: how far rounding may carry a float, by the node that made it.
        seed: of the sample.
    """

    def __init__(
        self,
        program: ExportedProgram,
        nodes: frozenset[str],
        reach: Mapping[str, torch.Tensor],
        int8: Mapping[str, bool] | None,
        seed: int,
    ) -> None:
        super().__init__(program, int8)
        self._nodes, self._reach = nodes, reach
        self._generator = torch.Generator().manual_seed(seed)

    def run_node(self, n: Node) -> Any:
        if n.name not in self._nodes:
            return super().run_node(n)
        args, kwargs = torch.fx.node.map_arg((n.args, n.kwargs), self._swayed)
        return self.call_function(n.target, args, kwargs)

    def _swayed(self, used: Node) -> Any:
        value, reach = self.env[used], self._reach.get(used.name)
        if reach is None or not isinstance(value, torch.Tensor):
            return value
        if reach.shape != value.shape:  # of a size that was decided
            reach = reach.max() if reach.numel() else torch.zeros(())
        signs = torch.randint(0, 2, value.shape, generator=self._generator) * 2 - 1
        return value + (signs * reach).to(value.dtype)


class Sampled:
    """What rounding may make of a program's results on some inputs.

    Args:
        program: as it is compiled.
        values, leaves: its weights by FQN, and its flat inputs.
        roundoff: a torch dtype → the unit roundoff of what MAX computes it in.
        int8: as `Eager`'s.
    """

    def __init__(
        self,
        program: ExportedProgram,
        values: Mapping[str, torch.Tensor],
        leaves: Sequence[Any],
        roundoff: Callable[[torch.dtype], float],
        int8: Mapping[str, bool] | None = None,
    ) -> None:
        self._program, self._values, self._leaves = program, values, leaves
        self._roundoff, self._int8 = roundoff, int8

    @cached_property
    def rounded(self) -> Outcome:
        """The results with every float moved by rounding, and no decision turned over."""
        return self._rounded(0)[0]

    def turned(self) -> Iterator[Outcome]:
        """Results with decisions turned over that rounding may turn over; none where nothing decides."""
        if not self._decisions.nodes:
            return
        reach: dict[str, torch.Tensor] = {}
        for seed in range(1, 1 + WALKS):
            outcome, spread = self._rounded(seed)
            for name, off in spread.items():
                reach[name] = torch.maximum(reach[name], SLACK * off) if name in reach else SLACK * off
            yield outcome
        for seed in range(min(DRAWS, max(1, HELD // _elements(self.rounded)))):
            walk = Turned(self._program, self._decisions.nodes, reach, self._int8, seed)
            try:
                yield run_eager(self._program, self._values, self._leaves, walk)
            except Exception:  # noqa: BLE001 - of torch: what was turned over is an index of nothing, say
                continue

    @cached_property
    def _decisions(self) -> Decisions:
        decisions = Decisions(self._program, self._int8)
        if decisions.nodes:
            run_eager(self._program, self._values, self._leaves, decisions)
        return decisions

    def _rounded(self, seed: int) -> tuple[Outcome, Mapping[str, torch.Tensor]]:
        walk = Rounded(self._program, self._roundoff, self._decisions, self._int8, seed)
        return run_eager(self._program, self._values, self._leaves, walk), walk.spread


def _elements(outcome: Outcome) -> int:
    tensors = [*outcome.outputs, *outcome.inputs.values(), *outcome.buffers.values()]
    return 1 + sum(x.numel() for x in tensors if isinstance(x, torch.Tensor))
