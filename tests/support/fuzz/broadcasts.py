"""Random programs on sizes that vary: what is broadcast, computed with, and broadcast again.

A value's sizes are letters, (b, n, k), or 1: they are drawn before any tensor is there, so that one program
runs at all sizes. See `fxmax/lowering/broadcast_workaround.py` for what such programs found.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Sizes = tuple[str, ...]
INPUTS: tuple[Sizes, ...] = (("b", "n", "k"), ("n", "k"), ("n",), ("k",), ("b", "k"), ("b", "n"))
TARGETS: tuple[Sizes, ...] = (
    ("b", "n", "k"),
    ("b", "1", "n", "k"),
    ("n", "k"),
    ("b", "n", "n"),
    ("b", "k", "k"),
)
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": lambda x, y: x * y * 0.5,
    "maximum": torch.maximum,
    "where": lambda x, y: torch.where(x >= y, x, y * 0.5),
    "mask": lambda x, y: torch.where((x > y) & (y < 0.5), 1.0, -1.0),
}
UNARY: dict[str, Callable[[Tensor], Tensor]] = {"exp": lambda x: torch.exp(-x.abs()), "tanh": torch.tanh}


@dataclass(frozen=True)
class Step:
    """An op on values by number; `extra` is an axis, or the sizes to expand to."""

    op: str
    values: tuple[int, ...]
    extra: Any = None

    def __call__(self, values: list[Tensor], sizes: dict[str, int]) -> Tensor:
        given = [values[i] for i in self.values]
        if self.op in BINARY:
            return BINARY[self.op](*given)
        if self.op in UNARY:
            return UNARY[self.op](*given)
        if self.op == "expand":
            return given[0].expand([sizes[s] for s in self.extra])
        if self.op == "transpose":
            return given[0].transpose(-1, -2)
        return given[0].unsqueeze(self.extra) if self.op == "unsqueeze" else given[0].sum(self.extra)


class Program(nn.Module):
    """Its last three values are the outputs."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps

    def forward(
        self, bnk: Tensor, nk: Tensor, n: Tensor, k: Tensor, bk: Tensor, bn: Tensor
    ) -> tuple[Tensor, ...]:
        values, sizes = [bnk, nk, n, k, bk, bn], dict(zip("bnk", bnk.shape, strict=True)) | {"1": 1}
        for step in self.steps:
            values.append(step(values, sizes))
        return tuple(value + 0 for value in values[-3:])


def program(seed: int) -> Program | None:
    """The program of a seed, where in it something that was broadcast is broadcast again; else None."""
    draw, steps, drawn, grown, again = random.Random(seed), [], list(INPUTS), [False] * len(INPUTS), False
    for _ in range(draw.randint(3, 7)):
        op = draw.choice([*BINARY, "add", "sub", *UNARY, "unsqueeze", "expand", "transpose", "sum"])
        i = draw.randrange(len(drawn)) if not steps or draw.random() < 0.2 else len(drawn) - 1
        step, sizes = _step(draw, op, i, drawn)
        if sizes is None or len(sizes) > 4:
            continue
        wider = [_proper(drawn[j]) != _proper(sizes) for j in step.values]
        if op in BINARY or op == "expand":
            again |= any(w and grown[j] for w, j in zip(wider, step.values, strict=True))
        grows = (op in BINARY and any(wider)) or op == "expand"
        grown.append(op != "sum" and (grows or any(grown[j] for j in step.values)))
        steps.append(step)
        drawn.append(sizes)
    return Program(steps) if again else None


def inputs(b: int, n: int, k: int) -> tuple[Tensor, ...]:
    sizes, generator = {"b": b, "n": n, "k": k}, torch.Generator().manual_seed(b * 100 + n * 10 + k)
    return tuple(torch.randn([sizes[s] for s in shape], generator=generator) for shape in INPUTS)


def _step(draw: random.Random, op: str, i: int, drawn: list[Sizes]) -> tuple[Step, Sizes | None]:
    sizes = drawn[i]
    if op in BINARY:
        j = draw.choice([j for j, other in enumerate(drawn) if _together(sizes, other)])
        return Step(op, (i, j)), _together(sizes, drawn[j])
    if op == "expand":
        target = draw.choice(TARGETS)
        return Step(op, (i,), target), target if _together(sizes, target) == target else None
    if op == "unsqueeze":
        at = draw.randint(0, len(sizes))
        return Step(op, (i,), at), (*sizes[:at], "1", *sizes[at:])
    if op == "transpose":
        return Step(op, (i,)), (*sizes[:-2], *sizes[:-3:-1]) if len(sizes) > 1 else None
    if op == "sum":
        at = draw.randrange(len(sizes))
        return Step(op, (i,), at), sizes[:at] + sizes[at + 1 :] if len(sizes) > 1 else None
    return Step(op, (i,)), sizes


def _together(a: Sizes, b: Sizes) -> Sizes | None:
    """What two shapes broadcast to; None where they don't."""
    rank = max(len(a), len(b))
    pairs = list(zip(("1",) * (rank - len(a)) + a, ("1",) * (rank - len(b)) + b, strict=True))
    if any(x != y and "1" not in (x, y) for x, y in pairs):
        return None
    return tuple(y if x == "1" else x for x, y in pairs)


def _proper(sizes: Sizes) -> Sizes:
    return tuple(s for s in sizes if s != "1")
