"""Arrays of a call that share memory with what the call writes, which would come out wrong. No torch.

In torch a write shows through every tensor of that memory, in the order of the program. A graph has no such
order: it reads an input as it was before the call, or as it is after, whichever MAX comes to first.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from max.driver import Buffer
from max.dtype import DType

from fxmax.errors import OverlapError
from fxmax.runtime.signature import TensorSpec


@dataclass(frozen=True)
class Memory:
    """Where the elements of an array are."""

    address: int  # of the first element
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    width: int  # of an element, in bytes

    @property
    def low(self) -> int:
        """The first byte that is used."""
        return self.address + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s < 0)

    @property
    def high(self) -> int:
        """Behind the last byte that is used."""
        beyond = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s > 0)
        return self.address + beyond + self.width

    @property
    def is_solid(self) -> bool:
        """Whether every byte from `low` to `high` is used."""
        return self.high - self.low == math.prod(self.shape) * self.width

    @property
    def is_spread(self) -> bool:
        """Whether an element stands for several, as `expand` makes it."""
        return any(n > 1 and s == 0 for n, s in zip(self.shape, self.strides, strict=True))

    def overlaps(self, other: Memory) -> bool:
        """Whether a byte is used by both."""
        if self.low >= other.high or other.low >= self.high:
            return False
        if self.is_solid and other.is_solid:
            return True
        return np.shares_memory(np.asarray(_View(self)), np.asarray(_View(other)))


class _View:
    """A memory as numpy takes one; nothing is read of it."""

    def __init__(self, of: Memory) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (of.address, True),
            "shape": of.shape,
            "strides": of.strides,
            "typestr": f"|V{of.width}",
        }


def memory_of(value: Any) -> Memory | None:
    """Where an array is; None for one without elements, or of which that can't be told."""
    if hasattr(value, "data_ptr"):  # torch's
        address, width = value.data_ptr(), value.element_size()
        strides = tuple(s * width for s in value.stride())
    elif isinstance(value, np.ndarray):
        address, width, strides = value.__array_interface__["data"][0], value.itemsize, value.strides
    else:
        buffer = value if isinstance(value, Buffer) else Buffer.from_dlpack(value)
        if not buffer.is_host:
            return None
        width = buffer.element_size
        strides = tuple(s * width for s in buffer.strides)
        plain = buffer.view(DType.uint16, buffer.shape) if buffer.dtype == DType.bfloat16 else buffer
        address = plain.to_numpy().__array_interface__["data"][0]
    shape = tuple(value.shape)
    return Memory(address, shape, strides, width) if address and 0 not in shape else None


class Held:
    """Arrays that a module holds, such as its weights, to be found by where they are."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._memories = [(name, at) for name, array in arrays.items() if (at := memory_of(array))]
        self._lows: list[int] = []
        self._highs: list[int] = []  # of what is used without a gap from a low on
        for _, at in sorted(self._memories, key=lambda item: item[1].low):
            if self._highs and at.low < self._highs[-1]:
                self._highs[-1] = max(self._highs[-1], at.high)
            else:
                self._lows.append(at.low)
                self._highs.append(at.high)

    def touched_by(self, at: Memory) -> str | None:
        """The name of an array that shares memory with `at`."""
        before = bisect_left(self._lows, at.high)
        if not before or self._highs[before - 1] <= at.low:
            return None
        return next((name for name, memory in self._memories if memory.overlaps(at)), None)


def refuse_overlap(
    specs: Sequence[TensorSpec], values: Sequence[Any], states: Sequence[Held], weights: Held
) -> None:
    """See that what a call writes is nobody else's.

    Args:
        states: the module's buffers that the call writes, on MAX and where they came from.
        weights: what else the module holds, which it reads.

    Raises:
        OverlapError: two arrays, one of which is written, share memory.
    """
    found = [(spec, at) for spec, value in zip(specs, values, strict=True) if (at := memory_of(value))]
    found.sort(key=lambda item: item[1].low)
    for i, (spec, at) in enumerate(found):
        if spec.mutated and at.is_spread:
            raise OverlapError(
                f"{spec.name} is written, and has one place for several elements: give a copy of it"
            )
        for other, there in found[i + 1 :]:
            if there.low >= at.high:
                break
            if (spec.mutated or other.mutated) and at.overlaps(there):
                written, read = (spec, other) if spec.mutated else (other, spec)
                raise _error(f"{written.name} is written, and shares memory with {read.name}")
        if name := next(filter(None, (held.touched_by(at) for held in states)), None):
            raise _error(f"{spec.name} shares memory with {name}, which the module writes")
        if spec.mutated and (name := weights.touched_by(at)):
            raise _error(f"{spec.name} is written, and shares memory with the module's {name}")


def _error(what: str) -> OverlapError:
    return OverlapError(f"{what}: in torch each would show the other's writes. Give a copy of one of them.")
