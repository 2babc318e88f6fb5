"""Linears and 1-d convolutions with what follows them, and why some are left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.rewritable import Residual
from tests.support.rewritten import reasons, rewritten

torch.manual_seed(0)
X = torch.randn(3, 6)


class Follow(nn.Module):
    def __init__(self, fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.fn = nn.Linear(6, 6), fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fn(self.layer(x))


def test_linear_takes_activation_and_residual() -> None:
    seen = rewritten(Residual(), X)
    assert seen.ops == ["fxmax.linear.default"] * 2
    assert seen.changes("fuse_linear") == 4


@pytest.mark.parametrize("act", [F.gelu, F.relu, F.silu, F.relu6, F.hardswish, nn.GELU("tanh")])
def test_linear_takes_each_activation(act: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert rewritten(Follow(act), X).ops == ["fxmax.linear.default"]


def test_what_is_read_twice_is_not_fused() -> None:
    module = Follow(lambda y: F.gelu(y) * y)
    seen = rewritten(module, X)
    assert "aten.gelu.default" in seen.ops
    assert set(seen.left.values()) == {"fxmax.linear.default", "aten.gelu.default"}
    assert reasons(module, X, by="fuse_linear") == {
        "its result is read by others than its activation too",
        "the node before it is read by others too",
    }


def test_a_weight_that_is_computed_is_not_packed() -> None:
    def computed(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return F.linear(x, w.exp())

    assert "aten.linear.default" in rewritten(computed, X, torch.randn(4, 6)).ops
    why = "its weight is computed in the graph, not a parameter of the module"
    assert reasons(computed, X, torch.randn(4, 6), by="fuse_linear") == {why}


def test_a_linear_of_one_feature_is_left_alone() -> None:
    class Vector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, self.weight)

    assert reasons(Vector(), X, by="fuse_linear") == {"its weight is a vector"}
