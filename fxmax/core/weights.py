"""Weights by FQN, outside the graph: what a graph needs, and binding a checkpoint to it.

A `Slot` is one weight of the compiled graph. Usually it is a tensor of the module as it stands;
a rule may ask for another layout of it (a permuted conv filter), which is then made once, when a
checkpoint is bound, and never hides the FQN.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from max.dtype import DType
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from fxmax.core.types import TO_TORCH
from fxmax.errors import WeightError
from fxmax.fx.torch_private import storage_of

Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class WeightSpec:
    """A tensor of the module: its FQN, its kind, and the shape and dtype torch gives it."""

    fqn: str
    kind: str  # "parameter" | "buffer" | "non-persistent buffer" | "constant"
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def in_state_dict(self) -> bool:
        """Whether a checkpoint is expected to bring it."""
        return self.kind in ("parameter", "buffer")


@dataclass(frozen=True)
class Slot:
    """A weight of the graph: MAX name, where its data comes from, and its final form."""

    name: str
    spec: WeightSpec
    dtype: DType
    layout: str = ""  # "" is the tensor as it stands; else what was done to it
    transform: Transform | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the graph."""
        if self.transform is None:
            return self.spec.shape
        return tuple(self.transform(torch.empty(self.spec.shape, dtype=self.spec.dtype, device="meta")).shape)

    def strides(self) -> tuple[int, ...] | None:
        """Strides (in elements) that read the layout out of the contiguous tensor, if it is a view."""
        plain = torch.empty(self.spec.shape, dtype=self.spec.dtype, device="meta")
        made = plain if self.transform is None else self.transform(plain)
        is_view = storage_of(made) == storage_of(plain)
        if not is_view or made.dtype != plain.dtype or made.storage_offset():
            return None
        return tuple(made.stride())

    def materialize(self, value: torch.Tensor) -> torch.Tensor:
        """The contiguous CPU tensor to hand to MAX, from the checkpoint's `value`.

        Raises:
            WeightError: a value that the layout can't hold.
        """
        value = value.detach()
        if self.transform is not None:
            try:
                value = self.transform(value)
            except ValueError as error:
                raise WeightError(f"{self.spec.fqn}: {error}") from error
        return value.to("cpu", TO_TORCH[self.dtype]).contiguous()


@dataclass
class Weights:
    """Every tensor that the module holds, and the slots of the graph that use them."""

    specs: dict[str, WeightSpec]
    values: dict[str, torch.Tensor]
    aliases: dict[str, str] = field(default_factory=dict)  # tied FQN → the FQN that is bound
    slots: dict[str, Slot] = field(default_factory=dict)
    states: set[str] = field(default_factory=set)  # FQNs of mutated buffers

    def spec(self, fqn: str) -> WeightSpec:
        """The spec of a tensor, found by any of its tied names."""
        return self.specs[self.aliases.get(fqn, fqn)]

    def by_fqn(self) -> dict[str, torch.Tensor]:
        """Every tensor, tied names included."""
        return self.values | {alias: self.values[fqn] for alias, fqn in self.aliases.items()}

    def bound(self) -> list[str]:
        """FQNs that the graph uses, tied names included."""
        used = self.states | {slot.spec.fqn for slot in self.slots.values()}
        return [f for f in self.specs if f in used] + [a for a, f in self.aliases.items() if f in used]

    def unused(self) -> list[str]:
        """FQNs that the module holds and the graph does not use."""
        bound = set(self.bound())
        return [f for f in [*self.specs, *self.aliases] if f not in bound]

    def checkpoint_names(self) -> set[str]:
        """FQNs that a `state_dict` of this module has."""
        return {f for f, spec in self.specs.items() if spec.in_state_dict} | set(self.aliases)

    def without_value(self) -> list[str]:
        """FQNs that the graph uses and that have no value yet (they are on the meta device)."""
        return [f for f in self.specs if f in set(self.bound()) and self._is_empty(f)]

    def check_used(self, strict: bool) -> None:
        """Raise `WeightError` (strict) for parameters that the forward does not use.

        A buffer that torch itself does not use (`num_batches_tracked` in eval mode) is only
        reported.
        """
        dead = [f for f in self.unused() if f in self.specs and self.specs[f].kind == "parameter"]
        if dead and strict:
            raise WeightError(
                f"{_count(dead, 'parameter')} of the module not used by its forward: {_list(dead)}.\n"
                "  If that is meant, pass strict=False; the report lists them either way."
            )

    def bind(self, strict: bool = True) -> dict[str, torch.Tensor]:
        """The weights registry for MAX, from the values held now.

        Raises:
            WeightError: a weight has no value, or (strict) a parameter is unused.
        """
        self.check_used(strict)
        if empty := self.without_value():
            raise WeightError(
                f"{_count(empty, 'weight')} without a value: {_list(empty)}.\n"
                "  Load a checkpoint (state_dict=...), or pass compile=False to lower without one."
            )
        return {name: slot.materialize(self.values[slot.spec.fqn]) for name, slot in self.slots.items()}

    def replaced(self, state_dict: Mapping[str, torch.Tensor], strict: bool = True) -> Weights:
        """These weights with the values of `state_dict`, checked by name before anything changes.

        Raises:
            WeightError: (strict) a name is missing or unknown; a shape or dtype differs; two
                tied names bring different values.
        """
        self._check(state_dict, strict)
        values = dict(self.values)
        for fqn, value in state_dict.items():
            target = self.aliases.get(fqn, fqn)
            if target in self.specs:
                values[target] = value.detach()
        return Weights(self.specs, values, self.aliases, self.slots, self.states)

    def _is_empty(self, fqn: str) -> bool:
        value = self.values.get(fqn)
        return value is None or value.is_meta

    def _check(self, state_dict: Mapping[str, torch.Tensor], strict: bool) -> None:
        wanted, problems = self.checkpoint_names(), []
        missing = [f for f in sorted(wanted - set(state_dict)) if self._is_missing(f, state_dict)]
        known = set(self.specs) | set(self.aliases)
        unexpected = sorted(set(state_dict) - known)
        if strict and missing:
            problems.append(f"{_count(missing, 'weight')} missing from the checkpoint: {_list(missing)}")
        if strict and unexpected:
            named = [_suggest(f, missing) for f in unexpected]
            problems.append(f"{_count(unexpected, 'tensor')} that nothing here uses: {_list(named)}")
        for fqn in sorted(set(state_dict) & known):
            spec, value = self.specs[self.aliases.get(fqn, fqn)], state_dict[fqn]
            if not isinstance(value, torch.Tensor):
                problems.append(f"{fqn}: is a {type(value).__name__}, not a tensor")
            elif tuple(value.shape) != spec.shape:
                problems.append(f"{fqn}: shape {list(value.shape)}, but {list(spec.shape)} is needed")
            elif value.dtype != spec.dtype:
                problems.append(
                    f"{fqn}: {value.dtype}, but {spec.dtype} is needed (cast it: .to({spec.dtype}))"
                )
        problems += self._untied(state_dict)
        if problems:
            raise WeightError(
                "this checkpoint does not fit; nothing was changed:\n  "
                + "\n  ".join(problems)
                + "\n  strict=False allows missing and extra names, never a wrong shape or dtype."
            )

    def _is_missing(self, fqn: str, state_dict: Mapping[str, torch.Tensor]) -> bool:
        """Of a tied group, any one name is enough."""
        target = self.aliases.get(fqn, fqn)
        group = {target, *(a for a, f in self.aliases.items() if f == target)}
        return not group & set(state_dict)

    def _untied(self, state_dict: Mapping[str, torch.Tensor]) -> list[str]:
        problems = []
        for alias, fqn in self.aliases.items():
            if alias in state_dict and fqn in state_dict:
                a, b = state_dict[alias], state_dict[fqn]
                same = a.data_ptr() == b.data_ptr() or (a.shape == b.shape and torch.equal(a, b))
                if not same:
                    problems.append(f"{alias} and {fqn} are one tied weight, but their values differ")
        return problems


def collect(program: ExportedProgram) -> Weights:
    """Every parameter, buffer and lifted constant of an exported program.

    A non-persistent buffer is in `program.constants`, not in the state_dict (torch.export).
    """
    kinds = {InputKind.PARAMETER: "parameter", InputKind.BUFFER: "buffer"}
    specs: dict[str, WeightSpec] = {}
    values: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for item in program.graph_signature.input_specs:
        if item.kind not in (*kinds, InputKind.CONSTANT_TENSOR) or item.target is None:
            continue
        fqn = item.target
        held = program.state_dict if fqn in program.state_dict else program.constants
        value = held[fqn].detach()  # a parameter itself takes other values by `module.half()`
        kind = kinds.get(item.kind, "constant")
        if item.kind is InputKind.BUFFER and not item.persistent:
            kind = "non-persistent buffer"
        identity = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if not value.is_meta and value.numel() and kind != "constant" and identity in seen:
            aliases[fqn] = seen[identity]
            continue
        seen[identity] = fqn
        specs[fqn] = WeightSpec(fqn, kind, tuple(value.shape), value.dtype)
        values[fqn] = value
    # Tied names that export folded into one input; and what strict export left out, which nothing reads.
    for fqn, value in program.state_dict.items():
        if fqn not in specs and fqn not in aliases:
            identity = (value.data_ptr(), value.shape, value.stride(), value.dtype)
            if identity in seen:
                aliases[fqn] = seen[identity]
            else:
                kind = "parameter" if isinstance(value, torch.nn.Parameter) else "buffer"
                specs[fqn] = WeightSpec(fqn, kind, tuple(value.shape), value.dtype)
                values[fqn] = value.detach()
    return Weights(specs, values, aliases)


def not_finite(values: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the floating tensors that hold a NaN or an infinity."""
    return [
        name
        for name, value in values.items()
        if value.dtype.is_floating_point and not value.is_meta and not torch.isfinite(value).all()
    ]


def _count(names: Iterable[str], noun: str) -> str:
    number = len(list(names))
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _list(names: list[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _suggest(name: str, missing: list[str]) -> str:
    close = difflib.get_close_matches(name, missing, n=1)
    return f"{name} (is it {close[0]}?)" if close else name
