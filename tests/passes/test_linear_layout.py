"""Products by a transposed weight become linears; others stay, and the report says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.support.rewritten import reasons, rewritten

torch.manual_seed(0)


class Tied(nn.Module):
    def __init__(self, transpose: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(9, 9))  # square: a mistaken axis still has the right shape
        self.transpose = transpose

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.transpose(self.weight)


class Added(nn.Module):
    def __init__(self, *bias: int, beta: float = 1.0) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(9, 9)), nn.Parameter(torch.randn(*bias))
        self.beta = beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x, self.weight.T, beta=self.beta)


@pytest.mark.parametrize(
    "transpose", [lambda w: w.T, lambda w: w.t(), lambda w: w.transpose(0, 1), lambda w: w.permute(1, 0)]
)
def test_product_by_a_transposed_weight_is_a_linear(
    transpose: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    seen = rewritten(Tied(transpose), torch.randn(2, 3, 9))
    assert seen.ops == ["fxmax.linear.default"]
    assert seen.changes("linear_layout") == 1


def test_product_with_a_bias_is_a_linear() -> None:
    assert rewritten(Added(9), torch.randn(3, 9)).ops == ["fxmax.linear.default"]


@pytest.mark.parametrize("same", [lambda w: w, lambda w: w.permute(0, 1), lambda w: w.transpose(0, 0)])
def test_product_by_a_weight_as_it_stands_is_none(same: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.randn(2, 3, 9)
    assert "aten.matmul.default" in rewritten(Tied(same), x).ops
    why = "its weight is stored with the features that go in first; a linear has them last"
    assert reasons(Tied(same), x, by="linear_layout") == {why}


def test_other_products_say_why_they_stay() -> None:
    x = torch.randn(9)
    assert reasons(Tied(lambda w: w.T), x, by="linear_layout") == {"its left side is a vector"}
    for module in (Added(3, 9), Added(9, beta=0.5)):
        why = "what it adds is scaled, or has two axes"
        assert reasons(module, torch.randn(3, 9), by="linear_layout") == {why}
