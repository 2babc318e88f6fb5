"""A compiled module: called like the module it came from, with torch tensors or numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fxmax.artifact import golden, writing
from fxmax.artifact.golden import GoldenCall
from fxmax.artifact.snapshot import Snapshot
from fxmax.compiled.binding import bind, fresh_states
from fxmax.compiled.snapshot import snapshot_of
from fxmax.compiled.structure import arguments_of
from fxmax.compiled.torch_arrays import TorchArrays
from fxmax.core.types import coarsest
from fxmax.core.weights import Weights
from fxmax.frontend.example_data import call_arguments, with_data
from fxmax.fx.torch_private import pytree
from fxmax.lowered import Lowered
from fxmax.report import Report
from fxmax.runtime.executable import Executable
from fxmax.runtime.program import Runner


class Compiled(Executable):
    """Call it with the inputs of the module that was lowered; it returns that module's outputs.

    Torch tensors in, torch tensors out; where every array given is numpy's, numpy arrays out. CPU
    inputs are handed over without a copy. Calls from several threads are safe and take turns.
    """

    def __init__(self, lowered: Lowered, runner: Runner, weights: Weights) -> None:
        super().__init__(
            runner,
            arguments_of(lowered),
            partial(pytree.tree_unflatten, treespec=lowered.captured.program.call_spec.out_spec),
            TorchArrays(),
            lambda: fresh_states(self.weights, lowered),
        )
        self.lowered = lowered
        self.weights = weights

    @property
    def report(self) -> Report:
        """What became of every node and weight, and the seconds of each stage."""
        return self.lowered.report

    @property
    def kept_in(self) -> Path | None:
        """The folder of the cache that keeps its compiled graph; None where the cache is off or full."""
        return self._runner.program.kept

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor], strict: bool = True) -> None:
        """Swap the checkpoint: the same graph, other values, no recompile; state starts afresh.

        Raises:
            WeightError: a name is missing or unknown (strict), or a shape or dtype is wrong. The
                old checkpoint then stays in use.
        """
        weights = self.weights.replaced(state_dict, strict)
        self._runner.rebind(*bind(weights, self.lowered, strict))
        self.weights = weights

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The checkpoint in use, by FQN (tied names share a tensor)."""
        held = self.weights
        return {f: held.values[held.spec(f).fqn] for f in sorted(held.checkpoint_names())}

    def _module_arrays(self) -> Mapping[str, Any]:
        return self.weights.values

    def snapshot(self) -> Snapshot:
        """What an artifact keeps of it, as plain data; the weights are read when they are written."""
        return snapshot_of(self.lowered, self.weights, self._arguments, self._runner.program, self._golden)

    def _golden(self) -> GoldenCall | None:
        """A call on the example inputs, for an artifact; None where there are none."""
        examples = self.lowered.captured.program.example_inputs
        if examples is None:
            return None
        args, kwargs = call_arguments(self.lowered.captured, with_data(pytree.tree_leaves(examples)))
        values = self.inputs(*args, **kwargs)
        computed_in = coarsest(self.lowered.captured.dtypes(), self.device)
        return golden.record(
            self,
            [inlet(value) for inlet, value in zip(self._inlets, values, strict=True)],
            str(computed_in).removeprefix("torch.") if computed_in else "",
        )

    def save(
        self,
        path: str | Path,
        *,
        checkpoint: str | Path | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write an artifact, a folder that `fxmax.load` runs without torch; see `fxmax.save`."""
        return save(path, {self.lowered.captured.name: self}, checkpoint=checkpoint, metadata=metadata)

    def __repr__(self) -> str:
        return f"<fxmax.Compiled {self.report.model}{self.signature} on {self.report.device}>"


def save(
    path: str | Path,
    graphs: Mapping[str, Compiled],
    *,
    checkpoint: str | Path | None = None,
    weights: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write compiled graphs of one program (one graph, or `fxmax.lower_many`'s) as an artifact.

    Args:
        path: the folder to write; an artifact that is there is replaced, nothing else is.
        graphs: name → compiled; the names are what `fxmax.load_all` gives.
        checkpoint: a safetensors file that holds the weights in use. They are then not copied: the
            artifact names the file and its checksum.
        weights: False keeps none that a checkpoint has: they are given to `fxmax.load`.
        metadata: JSON-ready data to keep, for example a model's dimensions.

    Returns:
        The path.

    Raises:
        ArtifactError: the graphs were not compiled together, the checkpoint holds other values, MAX
            fails on a graph's example inputs, or the folder can't be written.
    """
    snapshots = {name: compiled.snapshot() for name, compiled in graphs.items()}
    return writing.save(path, snapshots, checkpoint=checkpoint, weights=weights, metadata=metadata)
