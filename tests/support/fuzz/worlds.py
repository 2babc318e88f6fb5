"""A program's values while it is drawn: each is there at several sizes at once.

Two axes are of one size where they are so in every world. So no op has to say what shape it gives, and a
line that torch refuses at any of the sizes is not taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from tests.support.fuzz.program import WORLD

Axis = tuple[int, ...]  # its size in each world
Signature = tuple[Axis, ...]
MOST_VALUES, MOST_AXES = 3000, 5


class Worlds:
    """The values by name, in each world; the example's is the first."""

    def __init__(self, sizes: Sequence[Mapping[str, int]]) -> None:
        self.sizes = sizes
        self._names: list[dict[str, Any]] = [dict(WORLD, self=SimpleNamespace()) for _ in sizes]

    def put(self, name: str, values: Sequence[torch.Tensor]) -> None:
        """A value of that name."""
        for names, value in zip(self._names, values, strict=True):
            if name.startswith("self."):
                setattr(names["self"], name.removeprefix("self."), value)
            else:
                names[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._names[0]

    def of(self, name: str) -> list[torch.Tensor]:
        """A value in each world."""
        if name.startswith("self."):
            return [getattr(names["self"], name.removeprefix("self.")) for names in self._names]
        return [names[name] for names in self._names]

    def signature(self, name: str) -> Signature:
        """Its axes."""
        return tuple(zip(*(value.shape for value in self.of(name)), strict=True)) if self.rank(name) else ()

    def rank(self, name: str) -> int:
        """How many axes it has."""
        return self.of(name)[0].dim()

    def dtype(self, name: str) -> torch.dtype:
        """The same in each world."""
        return self.of(name)[0].dtype

    def computed(self, code: str) -> list[torch.Tensor] | None:
        """A line's value in each world; None where it is none, or torch refuses the line."""
        found = []
        for names in self._names:
            try:
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    value = eval(code, names)
            except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError):
                return None
            if not isinstance(value, torch.Tensor) or value.numel() > MOST_VALUES or value.dim() > MOST_AXES:
                return None
            found.append(value)
        first = found[0]
        if any(value.dim() != first.dim() or value.dtype is not first.dtype for value in found):
            return None
        return found


def together(a: Signature, b: Signature) -> Signature | None:
    """What two shapes broadcast to; None where they don't at every size."""
    rank = max(len(a), len(b))
    worlds = len((a or b or ((),))[0])
    one = (1,) * worlds
    pairs = zip((one,) * (rank - len(a)) + a, (one,) * (rank - len(b)) + b, strict=True)
    made = []
    for x, y in pairs:
        if x != y and one not in (x, y):
            return None
        made.append(y if x == one else x)
    return tuple(made)


def is_fixed(axis: Axis) -> bool:
    """Whether it is of one size in every world."""
    return len(set(axis)) == 1
