"""A checkpoint and fresh state for a lowered graph, as MAX takes them."""

from __future__ import annotations

import warnings

import torch
from max.driver import Buffer

from fxmax.core.types import TO_TORCH, compute_dtype
from fxmax.core.weights import Weights, not_finite
from fxmax.lowered import Lowered


def bind(weights: Weights, lowered: Lowered, strict: bool) -> tuple[dict[str, torch.Tensor], list[Buffer]]:
    """(the weights registry, fresh state buffers); weights that are not finite are warned of."""
    registry = weights.bind(strict)
    brought = {n: v for n, v in weights.values.items() if weights.specs[n].in_state_dict}
    if broken := not_finite(brought):  # a causal mask, made by the module, holds -inf by design
        warnings.warn(f"NaN or infinity in {len(broken)} weights: {', '.join(broken)}", stacklevel=3)
    return registry, fresh_states(weights, lowered)


def fresh_states(weights: Weights, lowered: Lowered) -> list[Buffer]:
    """Copies of the module's mutated buffers, on the graph's device and in its dtypes."""
    states = []
    for spec in lowered.signature.states:
        value = weights.values[spec.name]
        copy = value.detach().to("cpu", TO_TORCH[compute_dtype(value.dtype, lowered.device)]).clone()
        states.append(Buffer.from_dlpack(copy.contiguous()).to(lowered.device.to_device()))
    return states
