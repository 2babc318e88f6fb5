"""A compiled module as the plain data that an artifact keeps."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import torch

from fxmax.artifact.golden import GoldenCall
from fxmax.artifact.manifest import GraphEntry
from fxmax.artifact.snapshot import Snapshot, WeightSnapshot
from fxmax.artifact.tensor_file import TensorSource
from fxmax.compiled.structure import tree_of
from fxmax.core.weights import Slot, Weights
from fxmax.lowered import Lowered
from fxmax.runtime.call_arguments import Arguments
from fxmax.runtime.program import Program


def snapshot_of(
    lowered: Lowered,
    weights: Weights,
    arguments: Arguments,
    program: Program,
    golden: Callable[[], GoldenCall | None],
) -> Snapshot:
    """The snapshot of `lowered`, compiled as part of `program`, with `weights`."""
    spec, signature = lowered.captured.program.call_spec, lowered.signature
    return Snapshot(
        program=program,
        kernels=frozenset(lowered.graph.kernel_libraries_paths),
        torch=torch.__version__,
        entry=GraphEntry(
            position=lowered.position,
            module=lowered.report.model,
            signature=signature,
            parameters=tuple(arguments.parameters),
            positional=arguments.positional,
            named=tuple(arguments.named),
            inputs=tree_of(spec.in_spec),
            outputs=tree_of(spec.out_spec),
        ),
        golden=golden,
        weights={name: _weight(slot, weights.values[slot.spec.fqn]) for name, slot in weights.slots.items()},
        states=tuple(tensor_source(state.name, weights.values[state.name]) for state in signature.states),
    )


def _weight(slot: Slot, value: torch.Tensor) -> WeightSnapshot:
    source, dtype = tensor_source(slot.spec.fqn, value), slot.dtype.name
    made_of = ("made", source.identity, slot.layout, dtype)
    return WeightSnapshot(
        source=source,
        made=TensorSource(
            slot.name, dtype, tuple(slot.shape), made_of, lambda: _bytes(slot.materialize(value))
        ),
        layout=slot.layout,
        strides=slot.strides(),
        swappable=slot.spec.in_state_dict,
    )


def tensor_source(name: str, value: torch.Tensor) -> TensorSource:
    """A torch tensor as what is written of it."""
    dtype = str(value.dtype).removeprefix("torch.")
    return TensorSource(name, dtype, tuple(value.shape), _identity(value), lambda: _bytes(value))


def _identity(value: torch.Tensor) -> Hashable:
    """The same for two tensors that are one in memory."""
    return (value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)


def _bytes(value: torch.Tensor) -> np.ndarray:
    """A tensor's bytes in C order, in its own memory where they lie so."""
    flat: np.ndarray = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return flat
