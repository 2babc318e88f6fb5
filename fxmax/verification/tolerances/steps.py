"""Functions of floats that have steps: a float that is close to one decides which side it is on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from fxmax.fx.torch_private import OpOverload
from fxmax.verification.tolerances.aten import Bound

aten = torch.ops.aten

LEVEL = {
    aten.ceil, aten.floor, aten.floor_divide, aten.heaviside, aten.histc, aten.round, aten.sgn, aten.sign,
    aten.trunc,
}  # fmt: skip
"""Level between their steps."""
COUNTING = {aten._cdist_forward, aten._pdist_forward, aten.dist, aten.linalg_vector_norm}
"""Norms, of which the one of order 0 counts what is not 0."""
JUMPS: dict[Any, Callable[[Bound], Any]] = {
    aten.angle: lambda bound: math.pi,
    aten.atan2: lambda bound: 2 * math.pi,
    aten.copysign: lambda bound: 2 * bound["self"],
    aten.fmod: lambda bound: bound["other"],
    aten.frac: lambda bound: 1.0,
    aten.remainder: lambda bound: bound["other"],
}
"""From one slope to another, by how far."""


def is_level(target: OpOverload, bound: Bound) -> bool:
    """Whether it is level between its steps, so that rounding does nothing to it there.

    Args:
        bound: schema argument → value.
    """
    packet, order = target.overloadpacket, bound.get("p", bound.get("ord"))
    divides_whole = bound.get("rounding_mode") is not None
    return packet in LEVEL or divides_whole or (packet in COUNTING and order == 0)


def jumped(target: OpOverload, bound: Bound, moved: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """Where `moved` is over a jump from `result`, both made by one of `JUMPS`."""
    by = torch.as_tensor(JUMPS[target.overloadpacket](bound)).double().abs()
    return (moved.double() - result.double()).abs() > by / 2
