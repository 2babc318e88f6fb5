"""Results whose size depends on the data, by one compile for whatever size comes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import fxmax
from tests.support.parity import Batch, Case, ids


class Places(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.nonzero(x), torch.where(x > 0), x[x > 0]


class Rows(nn.Module):
    """A mask over the first axis, over two, over the last, and one that broadcasts."""

    def forward(self, x: torch.Tensor) -> Any:
        keep = x.sum((1, 2)) > 0
        return x[keep] * 2, x[x.sum(-1) > 0], x[:, :, x.sum((0, 1)) > 0], torch.masked_select(x, x[0] > 0)


class Written(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        y = torch.zeros_like(x)
        mask = x > 0
        y[mask] = x[mask] * 2
        return y, y[mask].sum()


class Experts(nn.Module):
    """Each token through the expert it chose, and nothing else: a mixture of experts as written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 3)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        choice, y = self.gate(x).argmax(-1), torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            [rows] = torch.where(choice == i)
            y = y.index_add(0, rows, expert(x[rows]))
        return y


torch.manual_seed(0)
CASES = [
    Case("nonzero", lambda x: torch.nonzero(x), [torch.randn(3, 4)]),
    Case("places", Places(), [torch.randn(3, 4)], slow=True),
    Case("rows", Rows(), [torch.randn(3, 2, 4)], slow=True),
    Case("written", Written(), [torch.randn(3, 4)], slow=True),
    Case("experts", Experts(), [torch.randn(6, 4)], slow=True),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_any_count_comes_from_one_compile(parity: Batch, id: str) -> None:
    case = parity.cases[id]
    shape = case.inputs[0].shape
    inputs = [torch.randn(shape) for _ in range(3)] + [torch.ones(shape), -torch.ones(shape)]
    for x in [*inputs, torch.full(shape, float("nan"))]:
        with torch.no_grad():
            wanted = case.module(x)
        assert_close(parity[id](x), wanted, equal_nan=True, rtol=1e-5, atol=1e-6)


class Fixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y[x > 0] = torch.arange(3.0)  # right only if three are positive
        return y


def test_a_count_that_is_taken_for_granted_is_declined() -> None:
    [gap] = fxmax.explain(Fixed(), (torch.tensor([1.0, -1, 2, 3]),), device="cpu", quiet=True).gaps
    assert gap.kind == "declined"
    assert "mask" in gap.detail
