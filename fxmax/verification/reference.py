"""torch next to MAX: the captured graph run by torch, in float32 or float64.

Three walks of one graph. The *reference* is torch alone. The *replay* goes on from MAX's values
wherever there are any, so a node's distance from it is that node's own doing. The *rounded* walk is
the reference with each result moved at random within its tolerance: how far it ends up from the
reference is how far honest rounding may carry at that depth.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind

from fxmax.frontend.capture import Captured
from fxmax.frontend.example_inputs import by_name, positional
from fxmax.fx.torch_private import pytree
from fxmax.verification.torch_walk import Arguments, Rounding, TorchWalk, decides, settled

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def lifted(value: Any, dtype: torch.dtype | None) -> Any:
    """Floating tensors as `dtype` (None: as they are), the rest as it is."""
    if dtype is not None and isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().to(dtype)
    return value.detach() if isinstance(value, torch.Tensor) else value


def reference_walk(program: ExportedProgram, dtype: torch.dtype) -> TorchWalk:
    """torch's run with every float as `dtype`."""
    return TorchWalk(program, lambda given: dtype if given in FLOATS else given)


def placeholders(
    program: ExportedProgram,
    values: Mapping[str, torch.Tensor],
    tensors: Sequence[Any],
    dtype: torch.dtype | None = None,
) -> list[Any]:
    """The graph's inputs, in order: weights from `values` by FQN, the user's `tensors`, constants."""
    given = iter(tensors)
    inputs: list[Any] = []
    for item in program.graph_signature.input_specs:
        if isinstance(item.arg, ConstantArgument):
            inputs.append(item.arg.value)
        elif item.kind is InputKind.USER_INPUT:
            inputs.append(lifted(next(given), dtype))
        else:
            inputs.append(lifted(values[str(item.target)].cpu(), dtype))
    return [x.clone() if isinstance(x, torch.Tensor) else x for x in inputs]


def given_inputs(captured: Captured, args: Any, kwargs: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """(args, kwargs) as torch tensors of our own, since a graph may write into them.

    Where none are given they are those that the program was captured with.
    """
    inputs = positional(args), by_name(kwargs)
    if not any(inputs) and captured.program.example_inputs:
        inputs = captured.program.example_inputs

    def copy(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value.copy())
        return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value

    return pytree.tree_map(copy, inputs)  # type: ignore[no-any-return]


@dataclass
class Step:
    """One node: torch's value, torch's value on MAX's inputs, and how far each may be off."""

    node: torch.fx.Node
    reference: torch.Tensor
    replayed: torch.Tensor  # torch's op on MAX's values of its inputs
    tolerance: torch.Tensor  # of `replayed`, elementwise
    expected: torch.Tensor  # |rounded - reference|: what rounding may add up to by here


class Walks:
    """The three walks, in step, so that no more than the live values are held."""

    def __init__(
        self,
        program: ExportedProgram,
        inputs: list[Any],
        seen: Mapping[str, torch.Tensor],
        dtype: torch.dtype,
        roundoff: float,
    ) -> None:
        self.program, self.inputs, self.seen, self.dtype = program, inputs, seen, dtype
        self._walk = reference_walk(program, dtype)
        self._rounding = Rounding(self._walk, lambda node, value: roundoff)
        self._latest: tuple[Any, Any, Any] = (None, None, None)  # key, value, what keeps the ids true

    def steps(self) -> Iterator[Step]:
        """Every node that MAX's values were kept of, in the graph's order."""
        # reference, replay, rounded, and drift: the replay, rounded since the last kept values
        envs: tuple[dict[str, Any], ...] = ({}, {}, {}, {})
        given = iter(self.inputs)
        needs = {n.name: _needs(n) for n in self.program.graph.nodes}
        last = {used.name: name for name, nodes in needs.items() for used in nodes}  # the latest wins
        for n in self.program.graph.nodes:
            if n.op == "placeholder":
                value = next(given)
                for env in envs:
                    env[n.name] = value
            elif n.op == "call_function":
                yield from self._step(n, envs)
            for used in needs[n.name]:
                if last[used.name] == n.name:
                    for env in envs:
                        env.pop(used.name, None)

    def _step(self, n: torch.fx.Node, envs: tuple[dict[str, Any], ...]) -> Iterator[Step]:
        reference, rounded, replay, drift = (self._value(n, envs[i]) for i in (0, 2, 1, 3))
        if decides(n):  # rounding moves numbers, and no decision
            rounded = settled(n, rounded, reference, _arguments(n, envs[2]))
            drift = settled(n, drift, replay, _arguments(n, envs[3]))
        envs[0][n.name] = reference
        if not isinstance(replay, torch.Tensor):  # several results, a size: their getitems are checked
            for env, value in zip(envs[1:], (replay, rounded, drift), strict=True):
                env[n.name] = value
            return
        allowed = self._rounding.tolerance(n, replay, lambda origin: _arguments(origin, envs[1]))
        noisy = self._rounding.moved(rounded, allowed)
        envs[2][n.name] = noisy
        if n.name not in self.seen:
            envs[1][n.name], envs[3][n.name] = replay, self._rounding.moved(drift, allowed)
            return
        if drift is not replay:
            since = torch.nan_to_num((drift.double() - replay.double()).abs(), nan=0.0, posinf=0.0)
            allowed = allowed + 3 * since + 3 * since.mean()
        expected = (noisy.double() - reference.double()).abs()
        yield Step(n, reference, replay, allowed, expected)
        envs[1][n.name] = envs[3][n.name] = lifted(self.seen[n.name], self.dtype)

    def _value(self, n: torch.fx.Node, env: dict[str, Any]) -> Any:
        args = _arguments(n, env)
        # Drift and replay are one value where nothing was skipped: torch's op is run once for both.
        leaves = pytree.tree_leaves(args)
        key = (n.name, [id(x) if isinstance(x, torch.Tensor) else x for x in leaves])
        if self._latest[0] != key:
            self._latest = (key, self._walk.call_function(n.target, *args), leaves)
        return self._latest[1]


def _arguments(n: torch.fx.Node, env: Mapping[str, Any]) -> Arguments:
    args, kwargs = torch.fx.node.map_arg((n.args, n.kwargs), lambda used: env[used.name])
    return args, kwargs


def _needs(n: torch.fx.Node) -> list[torch.fx.Node]:
    """What has to be alive at `n`: its inputs, and for one of several results their op's inputs."""
    used = list(n.all_input_nodes)
    return used + used[0].all_input_nodes if n.target is operator.getitem else used
