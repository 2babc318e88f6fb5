"""How a compiled graph is called: plain data, without torch, so that an artifact can carry it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class TensorSpec:
    """A tensor at the boundary: its name, torch's dtype name, and its sizes.

    A size is an int, the name of a symbolic dim, or an expression over such names.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    mutated: bool = False


@dataclass(frozen=True)
class ConstantSpec:
    """An input that was a plain Python value when traced; a call must bring the same one."""

    name: str
    value: Any


@dataclass(frozen=True)
class OutputSpec:
    """An output: a tensor, a constant known since tracing, or a size (returned as an int).

    `alias` is the tensor input, by its number, that torch returns here as it is: one handed
    through, or one that the module wrote to.
    """

    kind: Literal["tensor", "constant", "size"]
    dtype: str = ""
    value: Any = None
    alias: int | None = None


@dataclass
class Signature:
    """Inputs and outputs of a compiled graph, flat and in order.

    `states` are the module's mutated buffers: MAX buffers that live on the device between calls
    and follow the user's tensors in the graph's inputs. `arg_names` names the first inputs of the
    module's forward as they were traced, positional ones first. `ranges` holds the allowed
    (least, most) of each symbolic dim; None is no bound.
    """

    inputs: list[TensorSpec | ConstantSpec]
    outputs: list[OutputSpec]
    states: list[TensorSpec] = field(default_factory=list)
    arg_names: list[str] = field(default_factory=list)
    ranges: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    @property
    def tensors(self) -> list[TensorSpec]:
        """The tensor inputs, in the graph's order."""
        return [spec for spec in self.inputs if isinstance(spec, TensorSpec)]

    @property
    def writes(self) -> bool:
        """Whether a call writes an input or a buffer of the module."""
        return bool(self.states) or any(spec.mutated for spec in self.tensors)

    def __str__(self) -> str:
        shown = [f"{t.name}: {t.dtype}{list(t.shape)}" for t in self.tensors]
        return f"({', '.join(shown)})"
