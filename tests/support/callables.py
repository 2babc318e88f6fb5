"""Small modules to call in every way: nested, by name, written to, with state, with halves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

import fxmax


@dataclass
class Answer:
    total: torch.Tensor
    parts: tuple[torch.Tensor, torch.Tensor]
    label: str = "sum"


class Structured(nn.Module):
    """Nested inputs by position and by name, a flag, a default; a dataclass comes out."""

    def forward(self, x, pair, *, bias=None, flip: bool = False):
        a, b = pair["a"], pair["b"]
        y = a * b if flip else a + b
        y = y if bias is None else y + bias
        return Answer(x + y, (a, b))


class Affine(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x)


class Counter(nn.Module):
    """A module with state: it counts its calls, and keeps a running sum."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.calls.add_(1)
        self.total.add_(x)
        return self.total * 2


class WritesItsInput(nn.Module):
    def forward(self, cache, x):
        cache.mul_(2)
        return cache + x


class WritesHalves(nn.Module):
    """Inputs in dtypes that the CPU widens; a place of the first is written, and all of the second."""

    def forward(self, cache, total, x):
        cache.index_copy_(1, torch.tensor([1]), x)
        total.add_(x[0, 0])
        return cache.sum(1)


class GivesBack(nn.Module):
    """An input that it wrote, one that it did not touch, and a view of it as it is."""

    def forward(self, cache, x):
        cache.add_(x)
        return cache, x, [x * 2]


class Halves(nn.Module):
    """Dtypes that the CPU widens, a size, a number, a bool and an integer."""

    def forward(self, h, b, i):
        return {"h": h * 2, "b": b * 2, "i": i + 1, "rows": h.shape[0], "three": 3, "positive": i > 0}


PAIR = {"a": torch.randn(2, 3), "b": torch.randn(2, 3)}
X = torch.randn(2, 3)
BATCH = torch.export.Dim("batch", min=1, max=8)


def jobs() -> dict[str, fxmax.Job]:
    """All of them, to compile at once."""
    halves = (torch.ones(2, 3).half(), torch.ones(3).bfloat16(), torch.arange(3))
    return {
        "structured": fxmax.Job(Structured(), (X, PAIR), {"bias": torch.ones(3), "flip": True}),
        "first": fxmax.Job(Affine(1), (torch.zeros(2, 4),)),
        "second": fxmax.Job(Affine(2), (torch.zeros(2, 4),)),
        "counter": fxmax.Job(Counter(), (torch.zeros(3),)),
        "writes": fxmax.Job(WritesItsInput(), (torch.zeros(3), torch.zeros(3))),
        "writes halves": fxmax.Job(
            WritesHalves(),
            (torch.zeros(2, 3).bfloat16(), torch.zeros(()).half(), torch.zeros(2, 1).bfloat16()),
        ),
        "gives back": fxmax.Job(GivesBack(), (torch.zeros(3), torch.zeros(3))),
        "halves": fxmax.Job(Halves(), halves, None, ({0: BATCH}, None, None)),
        "batched": fxmax.Job(Affine(3), (torch.zeros(2, 4),), None, ({0: BATCH},)),
    }
