"""What an artifact keeps of a compiled graph, as plain data: `fxmax.compiled` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fxmax.artifact.golden import GoldenCall
from fxmax.artifact.manifest import GraphEntry
from fxmax.artifact.tensor_file import TensorSource
from fxmax.runtime.program import Program


@dataclass(frozen=True)
class WeightSnapshot:
    """A weight of a graph: the module's tensor, and the tensor that the graph makes of it.

    `source` is named by its FQN, `made` by the weight, in the graph's dtype and `layout`. `strides`
    (in elements) read the layout out of the source; None where it is no view of it.
    `swappable`: whether a checkpoint may bring another source.
    """

    source: TensorSource
    made: TensorSource
    layout: str
    strides: tuple[int, ...] | None
    swappable: bool


@dataclass(frozen=True)
class Snapshot:
    """One compiled graph. Graphs of one artifact share `program`.

    `entry` says how it is called; the names that its states and weights have in the file are given
    to them when they are written. `golden` makes a call of it whose results are kept; None where no
    inputs for one are known.
    """

    program: Program
    kernels: frozenset[Path]
    torch: str  # the version that it was lowered with
    entry: GraphEntry
    golden: Callable[[], GoldenCall | None]
    weights: Mapping[str, WeightSnapshot]
    states: tuple[TensorSource, ...]
