"""What random programs compute with: inputs and weights, and the numbers in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
SPECIAL = (torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1.0, -1.0)


@dataclass(frozen=True)
class Size:
    """A size that varies: the least that is allowed, the example's, and another one."""

    least: int
    example: int
    other: int


@dataclass(frozen=True)
class Input:
    """A tensor that is given: its axes are numbers or letters, its numbers of a style.

    `literal` are numbers of its own, which it has whatever the seed.
    """

    name: str
    dtype: torch.dtype
    dims: tuple[str | int, ...]
    style: str = "normal"
    literal: torch.Tensor | None = None

    def tensor(self, sizes: Mapping[str, int], generator: torch.Generator) -> torch.Tensor:
        """Its numbers at these sizes; literal ones are repeated or cut off."""
        shape = [sizes[d] if isinstance(d, str) else d for d in self.dims]
        if self.literal is None:
            return numbers(shape, self.dtype, self.style, generator)
        value = self.literal
        for axis, size in enumerate(shape):
            value = value.index_select(axis, torch.arange(size) % max(1, value.shape[axis]))
        return value.clone()


@dataclass(frozen=True)
class State:
    """A parameter or buffer of a module; `tied` is the name of one whose tensor it has."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    parameter: bool = True
    tied: str = ""
    style: str = "normal"


def numbers(shape: list[int], dtype: torch.dtype, style: str, generator: torch.Generator) -> torch.Tensor:
    """Random numbers: `normal`, `halves` (with ties), `special` (NaN, infinities and zeros among them).

    Integers are small, so that they stay valid, and with `special` a few are of the dtype's largest.
    """
    if dtype is torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    if not dtype.is_floating_point:
        low, most = (-5 if dtype.is_signed else 0), torch.iinfo(dtype).max
        whole = torch.randint(low, 10, shape, generator=generator)
        if style == "special":
            whole = torch.where(torch.rand(shape, generator=generator) < 0.1, most, whole)
        return whole.to(dtype)
    value = torch.randn(shape, generator=generator)
    if style in ("halves", "special"):
        value = torch.where(torch.rand(shape, generator=generator) < 0.5, (value * 2).round() / 2, value)
    if style == "special":
        chosen = torch.randint(len(SPECIAL), shape, generator=generator)
        odd = torch.rand(shape, generator=generator) < 0.3
        value = torch.where(odd, torch.tensor(SPECIAL)[chosen], value)
    return value.to(dtype)
