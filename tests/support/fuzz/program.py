"""A random program: inputs, weights and lines of Python, which are its module and its repro."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import nn

from tests.support.fuzz.values import Input, Size, State

NAME = re.compile(r"\b(?:self\.w|[xv])\d+\b")  # of a value: a weight, an input, a step's result
MODULE = "tests.support.fuzz.drawn"
WORLD: dict[str, Any] = {"torch": torch, "nn": nn, "F": nn.functional}
"""What a program's lines may name beside its values."""


@dataclass(frozen=True)
class Step:
    """`name = code`. One that writes to a value in place counts even where its result is not used."""

    name: str
    code: str
    writes: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """The values in it."""
        return frozenset(NAME.findall(self.code))


@dataclass(frozen=True)
class Program:
    """What number `number` of seed `seed` gives, or what it was shrunk to.

    `modules` is how many of its modules, each with weights of its own, one function of torch.compile calls;
    0 where the module is lowered. `shared` says that its inputs are to share memory, too.
    """

    seed: int
    number: int
    kind: str
    sizes: Mapping[str, Size]
    inputs: tuple[Input, ...]
    states: tuple[State, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    modules: int = 0
    shared: bool = False

    @property
    def name(self) -> str:
        """By which it is drawn again."""
        return f"{self.kind} {self.seed}/{self.number}"

    def example(self) -> dict[str, int]:
        """The sizes of the example."""
        return {letter: size.example for letter, size in self.sizes.items()}

    def other_examples(self) -> list[dict[str, int]]:
        """The least sizes, and others."""
        least = {letter: size.least for letter, size in self.sizes.items()}
        other = {letter: size.other for letter, size in self.sizes.items()}
        return [least, other] if self.sizes else []

    def data(self, sizes: Mapping[str, int] | None = None, draw: int = 0) -> tuple[torch.Tensor, ...]:
        """Its inputs, at the example's sizes or others."""
        generator = torch.Generator().manual_seed(hash_of(self.seed, self.number, draw))
        at = self.example() if sizes is None else sizes
        return tuple(given.tensor(at, generator) for given in self.inputs)

    def state(self, draw: int = 0) -> dict[str, torch.Tensor]:
        """Its weights and buffers by name; the tied ones are one tensor."""
        generator = torch.Generator().manual_seed(hash_of(self.seed, self.number, draw) + 1)
        made: dict[str, torch.Tensor] = {}
        for state in self.states:
            given = Input(state.name, state.dtype, state.shape, state.style)
            made[state.name] = made[state.tied] if state.tied else given.tensor({}, generator)
        return made

    def dynamic_shapes(self, named: bool = True) -> tuple[dict[int, Any], ...] | None:
        """As torch.export takes them; not `named`, torch may fix sizes and find out which are the same."""
        if not self.sizes:
            return None
        if not named:
            dims = dict.fromkeys(self.sizes, torch.export.Dim.AUTO)
        else:
            dims = {
                letter: torch.export.Dim(letter, min=size.least, max=64)
                for letter, size in self.sizes.items()
            }
        return tuple(
            {axis: dims[letter] for axis, letter in enumerate(given.dims) if isinstance(letter, str)}
            for given in self.inputs
        )

    def source(self, values: Mapping[str, str]) -> str:
        """The class, with an expression for the tensor of each weight."""
        lines = ["class Program(nn.Module):"]
        if self.states:
            lines += ["    def __init__(self) -> None:", "        super().__init__()"]
        for state in self.states:
            tensor = f"self.{state.tied}" if state.tied else values[state.name]
            if state.parameter:
                made = tensor if state.tied else f"nn.Parameter({tensor}, requires_grad=False)"
                lines.append(f"        self.{state.name} = {made}")
            else:
                lines.append(f'        self.register_buffer("{state.name}", {tensor})')
        names = ", ".join(["self", *(given.name for given in self.inputs)])
        lines += ["" for _ in self.states[:1]] + [f"    def forward({names}):"]
        lines += [f"        {step.name} = {step.code}" for step in self.steps]
        return "\n".join([*lines, f"        return {', '.join(self.outputs)}", ""])

    def module(self, draw: int = 0, world: Mapping[str, Any] = WORLD) -> nn.Module:
        """The module of its source, with the weights of a draw; `world` is what its lines may name."""
        text = self.source({state.name: f'given["{state.name}"]' for state in self.states})
        file = f"<fuzz {self.name}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        held = sys.modules[MODULE] = ModuleType(MODULE)  # in which Dynamo looks its globals up
        vars(held).update(world, given=self.state(draw))
        exec(compile(text, file, "exec"), vars(held))
        made: nn.Module = vars(held)["Program"]().eval()
        return made

    def function(self) -> Any:
        """What torch.compile gets: its modules, the first one twice, called with the same inputs."""
        modules = [self.module(draw) for draw in range(self.modules)]

        def function(*inputs: torch.Tensor) -> list[Any]:
            return [module(*inputs) for module in [*modules, modules[0]]]

        return function

    def __str__(self) -> str:
        given = ", ".join(
            f"{i.name} {str(i.dtype).removeprefix('torch.')}[{', '.join(map(str, i.dims))}]"
            for i in self.inputs
        )
        return f"{self.name}: {given}; " + "; ".join(f"{s.name} = {s.code}" for s in self.steps)


def hash_of(*numbers: int) -> int:
    """One seed made of several."""
    made = 17
    for number in numbers:
        made = (made * 1_000_003 + number) % 2**31
    return made


def pruned(program: Program) -> Program:
    """Without the steps, inputs and weights that no output and no write comes of."""
    needed = {name for step in program.steps if step.writes for name in step.reads} | set(program.outputs)
    steps = []
    for step in reversed(program.steps):
        if step.writes or step.name in needed:
            steps.append(step)
            needed |= step.reads
    tied = {state.tied for state in program.states if f"self.{state.name}" in needed}
    return replace(
        program,
        steps=tuple(reversed(steps)),
        inputs=tuple(given for given in program.inputs if given.name in needed),
        states=tuple(s for s in program.states if f"self.{s.name}" in needed or s.name in tied),
    )
