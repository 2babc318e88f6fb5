"""Each rewrite's graph: what it makes, what it leaves alone; and the numbers, with and without it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fxmax
from fxmax.frontend.capture import capture
from fxmax.passes import PASSES


class Attention(nn.Module):
    """Whisper's pattern: projections, heads, SDPA, heads back."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(12, 12) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (f(x).unflatten(-1, (3, 4)).permute(0, 2, 1, 3) for f in (self.q, self.k, self.v))
        return F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3).flatten(2)


class Tied(nn.Module):
    def __init__(self, transpose: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(9, 9))  # square: a mistaken axis still has the right shape
        self.transpose = transpose

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.transpose(self.weight)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 24), nn.Linear(24, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(F.gelu(self.up(x)))


class Twice(nn.Module):
    """The linear's result is read twice: its activation can't be fused."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)
        return F.gelu(y) * y


class Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(5, 8, 3, padding=1), nn.Conv1d(8, 8, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.two(F.gelu(self.one(x)))).permute(0, 2, 1)


torch.manual_seed(0)
X = torch.randn(2, 7, 12)


def ops_of(module: nn.Module, *inputs: torch.Tensor, passes: list[str] | None = None) -> list[str]:
    captured = capture(module.eval(), inputs, table=fxmax.default_table(), passes=passes)
    for node in captured.program.graph.nodes:  # the rewritten graph still runs in torch, and is typed
        assert node.op != "call_function" or "val" in node.meta
    with torch.no_grad():
        torch.testing.assert_close(captured.program.module()(*inputs), module(*inputs), rtol=1e-5, atol=1e-5)
    return [str(n.target) for n in captured.program.graph.nodes if n.op == "call_function"]


def test_attention_loses_its_transposes() -> None:
    ops = ops_of(Attention(), X)
    assert "fxmax.attention.default" in ops
    assert not [op for op in ops if "permute" in op or "transpose" in op]


def test_convolutions_and_gelu_become_one_op_each() -> None:
    ops = ops_of(Stem(), torch.randn(2, 5, 11))
    assert ops == ["aten.permute.default", "fxmax.conv1d.default", "fxmax.conv1d.default"]


def test_linear_takes_activation_and_residual() -> None:
    assert ops_of(Residual(), torch.randn(3, 6)) == ["fxmax.linear.default"] * 2


class Residuals(nn.Module):
    """ResNet's two patterns: a plain block, and a sum of two branches with norms."""

    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(3) for _ in range(3)])
        self.twice = twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = F.relu(self.norms[0](self.convs[0](x))), self.convs[1](x)
        y = self.norms[1](b) + self.norms[2](self.convs[2](a))
        return F.hardswish(y) + b if self.twice else F.hardswish(y)


def test_convolution_takes_norm_sum_and_activation() -> None:
    assert ops_of(Residuals(), torch.randn(2, 3, 5, 7)) == ["fxmax.conv.default"] * 3


def test_a_norm_may_have_statistics_that_come_after_the_convolution() -> None:
    class Computed(nn.Module):
        def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            y = F.conv2d(x, w)
            return F.relu(F.batch_norm(y, w.mean((1, 2, 3)), w.amax((1, 2, 3))))

    ops = ops_of(Computed(), torch.randn(2, 3, 5, 7), torch.rand(4, 3, 2, 2))
    assert ops[-1] == "fxmax.conv.default"


def test_a_convolution_that_is_read_twice_keeps_its_norm() -> None:
    ops = ops_of(Residuals(twice=True), torch.randn(2, 3, 5, 7))
    assert ops.count("fxmax.conv.default") == 2
    assert ops.count("aten.conv2d.default") == 1
    assert "aten._native_batch_norm_legit_no_training.default" in ops


def test_convolutions_that_the_kernel_has_not_are_left_alone() -> None:
    for module, x in (
        (nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU()), torch.randn(3, 5, 5)),
        (nn.Sequential(nn.Conv2d(3, 4, 2), nn.ReLU()).double(), torch.randn(1, 3, 5, 5).double()),
        (nn.Sequential(nn.Conv2d(3, 4, 2), nn.Hardtanh(0, 5)), torch.randn(1, 3, 5, 5)),
    ):
        assert "aten.conv2d.default" in ops_of(module, x)


def test_what_is_read_twice_is_not_fused() -> None:
    assert "aten.gelu.default" in ops_of(Twice(), torch.randn(3, 6))


@pytest.mark.parametrize(
    "transpose", [lambda w: w.T, lambda w: w.t(), lambda w: w.transpose(0, 1), lambda w: w.permute(1, 0)]
)
def test_product_by_a_transposed_weight_is_a_linear(transpose: Any) -> None:
    assert ops_of(Tied(transpose), torch.randn(2, 3, 9)) == ["fxmax.linear.default"]


@pytest.mark.parametrize("same", [lambda w: w, lambda w: w.permute(0, 1), lambda w: w.transpose(0, 0)])
def test_product_by_a_weight_as_it_stands_is_none(same: Any) -> None:
    assert "aten.matmul.default" in ops_of(Tied(same), torch.randn(2, 3, 9))


def test_keys_and_values_that_lie_heads_first_are_not_moved() -> None:
    class Cross(nn.Module):
        def forward(self, x: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            q = x.unflatten(-1, (3, 4)).transpose(1, 2)
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    ops = ops_of(Cross(), X, torch.randn(2, 3, 9, 4), torch.randn(2, 3, 9, 4))
    assert "fxmax.heads_attention.default" in ops
    assert ops.count("aten.transpose.int") == 2


@pytest.mark.parametrize("name", PASSES)
def test_each_pass_can_be_left_out(name: str) -> None:
    rest = [p for p in PASSES if p != name]
    for module, x in (
        (Attention(), X),
        (Stem(), torch.randn(2, 5, 11)),
        (Residual(), torch.randn(3, 6)),
        (Residuals(), torch.randn(2, 3, 5, 7)),
    ):
        ops_of(module, x, passes=rest)


def test_unknown_pass_is_refused() -> None:
    with pytest.raises(fxmax.FxmaxError, match="no such pass: fuse_everything"):
        ops_of(Residual(), torch.randn(3, 6), passes=["fuse_everything"])


def test_masked_attention_is_read_heads_first() -> None:
    class Causal(nn.Module):
        def forward(self, q: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(q, q, q, is_causal=True)

    assert ops_of(Causal(), torch.randn(1, 2, 5, 4)) == ["fxmax.heads_attention.default"]


def test_attention_that_broadcasts_is_left_alone() -> None:
    class Broadcast(nn.Module):
        def forward(self, q: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(q, q[:1], q[:1])

    assert "aten.scaled_dot_product_attention.default" in ops_of(Broadcast(), torch.randn(2, 3, 5, 4))


def test_scores_read_their_right_side_as_it_lies() -> None:
    class Scores(nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
            return torch.matmul(q, k.transpose(-1, -2)).softmax(-1) @ k

    ops = ops_of(Scores(), torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4))
    assert ops == ["fxmax.row_products.default", "aten.softmax.int", "aten.matmul.default"]


def test_products_of_other_shapes_and_dtypes_are_left_alone() -> None:
    class Products(nn.Module):
        def forward(self, a: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return a @ a[0, 0].mT, a @ a[:1].mT, i @ i.mT, a @ a

    ops = ops_of(Products(), torch.randn(2, 3, 4, 4), torch.ones(2, 4, 4, dtype=torch.int64))
    assert ops.count("aten.matmul.default") == 4


def test_a_rule_that_wraps_fxmaxs_is_your_own() -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())
    right = table[torch.ops.aten.gelu.default].fn

    @functools.wraps(right)
    def wrapped(ctx: Any, self: Any, approximate: str) -> Any:
        return right(ctx, self, approximate)

    table.rule(torch.ops.aten.gelu.default, override=True)(wrapped)
    captured = capture(Residual(), (torch.randn(2, 6),), table=table)
    assert torch.ops.aten.gelu.default in {n.target for n in captured.program.graph.nodes}


def test_a_rule_of_your_own_is_not_passed_over() -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())
    with table.override(torch.ops.aten.linear.default, lambda ctx, input, weight, bias: input):
        captured = capture(Residual().eval(), (torch.randn(3, 6),), table=table)
    assert "aten.linear.default" in [str(n.target) for n in captured.program.graph.nodes]


def test_a_scalar_may_be_transposed() -> None:
    class Scalar(torch.nn.Module):
        def forward(self, s):
            return s.transpose(0, -1) + 1, s.permute(())

    lowered = fxmax.lower(Scalar(), (torch.tensor(2.0),), device="cpu", compile=False, quiet=True)
    assert lowered.report.ok
