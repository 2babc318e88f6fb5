"""Random programs: a seed gives inputs and a chain of ops, run in torch while it is drawn.

Each step applies an op to values so far. Floats stay tame (no exp, tanh after a product), so that
a difference at the end means a wrong op and not a badly conditioned chain.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Values = list[torch.Tensor]
Step = Callable[[Values], torch.Tensor]


@dataclass
class Program(torch.nn.Module):
    """`steps` append to the list of values; the last few are the outputs."""

    seed: int
    inputs: Values
    steps: list[Step] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = torch.nn.Module.__hash__

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = list(inputs)
        for step in self.steps:
            values.append(step(values))
        return tuple(values[-3:])

    def __str__(self) -> str:
        shapes = ", ".join(f"{v.dtype}{list(v.shape)}".removeprefix("torch.") for v in self.inputs)
        return f"seed {self.seed}: inputs {shapes}; " + "; ".join(self.text)


UNARY = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "abs": torch.abs,
    "neg": torch.neg,
    "floor": torch.floor,
    "sin": torch.sin,
    "sign": torch.sign,
    "double": lambda x: x * 2,
    "clamp": lambda x: x.clamp(-1.5, 1.5),
    "leaky": lambda x: torch.nn.functional.leaky_relu(x, 0.1),
    "flatten": lambda x: x.flatten(),
    "squash": lambda x: torch.where(x > 0, x, x / 2),
}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": lambda a, b: torch.tanh(a * b),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "less": lambda a, b: torch.where(a < b, a, b + 1),
    "atan2": torch.atan2,
}
ALONG = {
    "sum": lambda x, d: torch.tanh(x.sum(d, keepdim=True)),
    "mean": lambda x, d: x.mean(d),
    "amax": lambda x, d: x.amax(d, keepdim=True),
    "min": lambda x, d: x.min(d).values,
    "var": lambda x, d: x.var(d, correction=0),
    "softmax": torch.softmax,
    "cumsum": lambda x, d: torch.tanh(x.cumsum(d)),
    "sort": lambda x, d: x.sort(d, descending=True).values,
    "argmax": lambda x, d: x.argmax(d).float(),
    "logsumexp": lambda x, d: x.logsumexp(d),
    "flip": lambda x, d: x.flip(d),
    "transpose": lambda x, d: x.transpose(d, -1),
    "unsqueeze": lambda x, d: x.unsqueeze(d),
    "narrow": lambda x, d: x.narrow(d, 0, max(1, x.shape[d] - 1)),
    "cat": lambda x, d: torch.cat([x, x], d),
}


def program(seed: int) -> Program:
    """The program of a seed: 1–3 float32 inputs of rank 0–4 and 5–30 steps."""
    rng = random.Random(seed)
    made = torch.Generator().manual_seed(seed)
    shape = [rng.choice([1, 2, 3, 5]) for _ in range(rng.randint(0, 4))]
    inputs = [
        torch.randn([1 if rng.random() < 0.2 else n for n in shape], generator=made)
        for _ in range(rng.randint(1, 3))
    ]
    drawn = Program(seed, inputs)
    values = list(inputs)
    wanted = rng.randint(5, 30)
    while len(drawn.steps) < wanted:
        name, step = _step(rng, values)
        try:
            value = step(values)
        except (RuntimeError, IndexError):  # shapes that do not fit: draw another
            continue
        if value.numel() > 2000 or not value.isfinite().all():
            continue
        values.append(value)
        drawn.steps.append(step)
        drawn.text.append(name)
    return drawn


def _step(rng: random.Random, values: Values) -> tuple[str, Step]:
    i = rng.choice([len(values) - 1, rng.randrange(len(values))])
    kind = rng.choice([UNARY, BINARY, ALONG])
    name: Any = rng.choice(sorted(kind))
    fn: Any = kind[name]
    if kind is UNARY:
        return f"{name}({i})", lambda v: fn(v[i])
    if kind is BINARY:
        j = rng.randrange(len(values))
        return f"{name}({i}, {j})", lambda v: fn(v[i], v[j])
    dim = rng.randrange(-4, 4)
    return f"{name}({i}, dim={dim})", lambda v: fn(v[i], dim)
