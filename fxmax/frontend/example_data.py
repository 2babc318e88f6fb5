"""Example inputs as tensors to compute with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from fxmax.frontend.capture import Captured
from fxmax.fx.torch_private import pytree


def each_tensor(leaves: Sequence[Any], make: Callable[[torch.Tensor], torch.Tensor]) -> list[Any]:
    """`leaves` with what is made of each tensor, once for one that is there twice."""
    made = {id(value): value for value in leaves if isinstance(value, torch.Tensor)}
    made = {key: make(value) for key, value in made.items()}
    return [made.get(id(value), value) for value in leaves]


def with_data(leaves: Sequence[Any]) -> list[Any]:
    """The same inputs, with numbers in place of those that have none, as on the device meta.

    Floats are normal, from a seed; what else there is is 0, which is an index and a mask of any size.
    """
    generator = torch.Generator().manual_seed(0)

    def real(value: torch.Tensor) -> torch.Tensor:
        if not value.is_meta:
            return value
        zeros = torch.zeros(value.shape, dtype=value.dtype)
        floats = zeros.is_floating_point()
        return zeros.float().normal_(generator=generator).to(value.dtype) if floats else zeros

    return each_tensor(leaves, real)


def call_arguments(captured: Captured, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(args, kwargs) of a call with these flat inputs."""
    spec = captured.program.call_spec.in_spec
    args, kwargs = pytree.tree_unflatten(list(leaves), spec)
    return tuple(args), dict(kwargs)
