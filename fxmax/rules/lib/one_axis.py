"""Reducing over several dims, where MAX reduces over one axis: the dims become one axis first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from max.graph import Dim, TensorValue, ops

from fxmax.core.mlir_access import is_broadcast
from fxmax.rules.lib.values import axes

Dims = int | Sequence[int] | None
Reduce = Callable[[TensorValue, int], TensorValue]  # (x, axis) → axis of size 1


def one_axis(x: TensorValue, dims: Dims) -> tuple[TensorValue, int]:
    """`x` with `dims` merged into a single axis, and that axis. Only scattered dims cost a copy.

    MAX 26.7 turns the sum of a broadcast into the broadcast of a sum, and gets it wrong where an axis of
    size 1 grew before the reduced one: the values are others, or the graph does not compile. It does not
    look through a reshape.
    """
    if x.rank == 0:
        return x.reshape([1]), 0
    if x.rank > 1 and is_broadcast(x):
        x, dims = ops.unsqueeze(x, 0), [d + 1 for d in axes(dims, x.rank)]
    reduced = axes(dims, x.rank)
    first, last = reduced[0], reduced[-1]
    if last - first + 1 != len(reduced):
        kept = [d for d in range(x.rank) if d not in reduced]
        x = ops.permute(x, kept + reduced)
        first, last = len(kept), x.rank - 1
    if first == last:
        return x, first
    return x.reshape([*x.shape[:first], count(x, range(first, last + 1)), *x.shape[last + 1 :]]), first


def count(x: TensorValue, dims: Sequence[int]) -> Dim:
    """How many values are reduced to one."""
    return math.prod((x.shape[d] for d in dims), start=Dim(1))


def keepdim(x: TensorValue, dims: Dims, fn: Reduce) -> TensorValue:
    """`fn` over `dims`, which stay with size 1."""
    sizes = [Dim(1) if d in axes(dims, x.rank) else n for d, n in enumerate(x.shape)]
    return fn(*one_axis(x, dims)).reshape(sizes)
