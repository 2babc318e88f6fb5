"""Arrays of a call that share memory with what the call writes, which would come out wrong. No torch.

In torch a write shows through every tensor of that memory, in the order of the program. A graph has no such
order: it reads an input as it was before the call, or as it is after, whichever MAX comes to first.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from max.driver import Buffer
from max.dtype import DType

from fxmax.errors import OverlapError
from fxmax.runtime.signature import TensorSpec

WORK: Any = 10**6  # of numpy's stubs it is -1 or 0
"""Steps that may be spent on whether two arrays with gaps share memory; past it they are taken to."""


class Layout(NamedTuple):
    """Which bytes an array uses, counted from its first element."""

    low: int  # the first one
    high: int  # behind the last one
    is_solid: bool  # whether each between them is used
    is_spread: bool  # whether an element stands for several, as `expand` makes it


@lru_cache(maxsize=4096)
def _layout(shape: tuple[int, ...], strides: tuple[int, ...], width: int) -> Layout | None:
    """Strides in bytes; None of an array without elements."""
    if 0 in shape:
        return None
    steps = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    low, high = sum(s for s in steps if s < 0), sum(s for s in steps if s > 0) + width
    is_spread = any(n > 1 and s == 0 for n, s in zip(shape, strides, strict=True))
    return Layout(low, high, high - low == math.prod(shape) * width, is_spread)


class Memory(NamedTuple):
    """Where the elements of an array are: the bytes from `low` to before `high`, or some of them."""

    low: int
    high: int
    is_solid: bool  # whether all of them
    is_spread: bool  # whether an element stands for several
    address: int  # of the first element
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    width: int  # of an element, in bytes

    def overlaps(self, other: Memory) -> bool:
        """Whether a byte is used by both."""
        if self.low >= other.high or other.low >= self.high:
            return False
        if self.is_solid and other.is_solid:
            return True
        try:
            return np.shares_memory(np.asarray(_View(self)), np.asarray(_View(other)), max_work=WORK)
        except np.exceptions.TooHardError:
            return True


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
        shape, strides = value.shape, value.stride()
        if width > 1:
            strides = tuple([s * width for s in strides])
    elif isinstance(value, np.ndarray):
        address, width = value.__array_interface__["data"][0], value.itemsize
        shape, strides = value.shape, value.strides
    else:
        buffer = value if isinstance(value, Buffer) else Buffer.from_dlpack(value)
        if not buffer.is_host:
            return None
        width, shape = buffer.element_size, tuple(buffer.shape)
        strides = tuple([s * width for s in buffer.strides])
        plain = buffer.view(DType.uint16, buffer.shape) if buffer.dtype == DType.bfloat16 else buffer
        address = plain.to_numpy().__array_interface__["data"][0]
    used = _layout(shape, strides, width)
    if not address or used is None:
        return None
    low, high, is_solid, is_spread = used
    return Memory(address + low, address + high, is_solid, is_spread, address, shape, strides, width)


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
    found = [(at, spec) for spec, value in zip(specs, values, strict=True) if (at := memory_of(value))]
    found.sort(key=_where)
    for i, (at, spec) in enumerate(found):
        if spec.mutated and at.is_spread:
            raise OverlapError(
                f"{spec.name} is written, and has one place for several elements: give a copy of it"
            )
        high = at.high
        for there, other in islice(found, i + 1, None):
            if there.low >= high:
                break
            if (spec.mutated or other.mutated) and at.overlaps(there):
                written, read = (spec, other) if spec.mutated else (other, spec)
                raise _error(f"{written.name} is written, and shares memory with {read.name}")
        for held in states:
            if name := held.touched_by(at):
                raise _error(f"{spec.name} shares memory with {name}, which the module writes")
        if spec.mutated and (name := weights.touched_by(at)):
            raise _error(f"{spec.name} is written, and shares memory with the module's {name}")


_where = itemgetter(0)  # by the first byte


def _error(what: str) -> OverlapError:
    return OverlapError(f"{what}: in torch each would show the other's writes. Give a copy of one of them.")
