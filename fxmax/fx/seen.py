"""Whether tensors hold what they held when they were last looked at, at the price of a microsecond each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import is_

import numpy as np
import torch

from fxmax.fx.torch_private import versions

ALONG, ALONE = 4, 64  # elements that are looked at along each axis, and of a tensor of one axis


class Seen:
    """Tensors, and what of them would change if they were written.

    That is their versions, which torch counts up at each write; their memory and layout, for
    `w.data = other`; and on the CPU a sample of their content, since a write through `w.data`, or to a
    tensor made in inference mode, counts no version up. Such a write to elements that are not in the
    sample goes unseen. They are looked at together, a list for each property: a call of a Python
    function for each tensor costs more than the look.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = list(tensors)
        self._counted = [t for t in self.tensors if not t.is_inference()]
        self._samples = [s for t in self.tensors if (s := _sample(t)) is not None]
        self._state = self._now()

    def still(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether `tensors` are those that were seen, and hold what they held."""
        return all(map(is_, tensors, self.tensors)) and self._now() == self._state

    def _now(self) -> tuple[object, ...]:
        tensors = self.tensors
        return (
            versions(self._counted),
            [t.data_ptr() for t in tensors],
            [t.shape for t in tensors],
            [t.stride() for t in tensors],
            [s.tobytes() for s in self._samples],
        )


def _sample(tensor: torch.Tensor) -> np.ndarray | None:
    """A view of a few elements along each axis, the last ones among them, as integers."""
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
        return None
    along = ALONE if tensor.ndim == 1 else ALONG
    steps = [max(1, math.ceil(size / along)) for size in tensor.shape]
    chosen = tensor.detach()[
        tuple(slice((n - 1) % s, None, s) for n, s in zip(tensor.shape, steps, strict=True))
    ]
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    kind = kinds.get(chosen.element_size())
    return None if kind is None else chosen.view(kind).numpy()
