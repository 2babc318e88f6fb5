"""`check=`: what is lowered with a wrong rule is not handed over, whichever way it was lowered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import fxmax

pytestmark = pytest.mark.slow  # each compiles for itself
aten = torch.ops.aten
X = torch.randn(3, 4)


class Net(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(x * 3)


class Mixed(nn.Module):
    """Right on zeros: what a part is given in a real run shows that it is wrong."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(torch.special.bessel_j0(x) * 3).tanh()


@pytest.fixture
def table() -> fxmax.RuleTable:
    """With a silu that is wrong by a part in a thousand."""
    table = fxmax.RuleTable(parent=fxmax.default_table())
    right = table[aten.silu.default]

    @table.rule(aten.silu.default, override=True)
    def silu(ctx: fxmax.Context, self: Any) -> Any:
        return right.fn(ctx, self=self) * 1.001

    return table


def compile_with_dynamo(**options: Any) -> Any:
    torch._dynamo.reset()
    with torch.no_grad():
        return torch.compile(Net(), backend="fxmax", options=options)(X)


WAYS: dict[str, Callable[..., Any]] = {
    "lower": lambda **o: fxmax.lower(Net(), (X,), **o),
    "lower_many": lambda **o: fxmax.lower_many({"one": fxmax.Job(Net(), (X,))}, **o)["one"],
    "in parts": lambda **o: fxmax.lower(Mixed(), (X,), unsupported="torch", **o),
    "torch.compile": compile_with_dynamo,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_rule_is_refused(table: fxmax.RuleTable, way: str) -> None:
    with pytest.raises((fxmax.MismatchError, torch._dynamo.exc.BackendCompilerFailed)) as refused:
        WAYS[way](table=table, device="cpu", quiet=True)
    text = str(refused.value)
    assert "what MAX computes is not what torch computes, on the example" in text
    assert "the first node that rounding does not explain: aten.silu" in text
    assert "check=False" in text


def test_it_can_be_a_warning(table: fxmax.RuleTable) -> None:
    with pytest.warns(UserWarning, match="not what torch computes, on the example"):
        compiled = fxmax.lower(Net(), (X,), table=table, check="warn", device="cpu", quiet=True)
    assert "DIFFERS" in str(compiled.report)
    with pytest.raises(fxmax.MismatchError):  # the record of a warning is no proof
        fxmax.lower(Net(), (X,), table=table, device="cpu", quiet=True)


def test_it_can_be_turned_off(table: fxmax.RuleTable, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(**options: Any) -> fxmax.Report:
        return fxmax.lower(Net(), (X,), table=table, device="cpu", quiet=True, **options).report

    off = report(check=False)
    assert off.checks == []
    assert "not compared with torch: check=False" in str(off)
    monkeypatch.setenv("FXMAX_CHECK", "0")
    assert report().checks == []


def test_random_numbers_are_not_compared() -> None:
    table = fxmax.RuleTable(parent=fxmax.default_table())

    @table.rule(aten.rand_like.default)
    def rand_like(
        ctx: fxmax.Context, self: Any, dtype: Any, layout: Any, device: Any, pin_memory: Any
    ) -> Any:
        return self

    class Draws(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand_like(x)

    report = fxmax.lower(Draws(), (X,), table=table, device="cpu", quiet=True).report
    assert report.checks == []
    assert "not compared with torch: aten.rand_like.default (rand_like) draws random numbers" in str(report)
