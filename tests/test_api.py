"""`fxmax.lower` of one module: what it compiles is kept, read back, and lives beside other programs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import fxmax
from fxmax.compiled import Compiled
from fxmax.runtime import graph_cache as cache
from fxmax.runtime import program as runtime
from tests.support.parity import Batch, Case, assert_same


class Alone(nn.Module):
    """A linear, which is a kernel of ours, beside what MAX folds as it compiles, and a mask of infinities."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6, bias)
        self.register_buffer("mask", torch.full((6, 6), -torch.inf).triu_(1), persistent=False)

    def forward(self, x, y):
        return torch.softmax(self.layer(x) + 2 * torch.arange(6) - self.layer(y) + self.mask, -1)


PARITY = Batch([Case("first", nn.Linear(4, 4), [torch.zeros(2, 4)])])  # a program of many graphs
EXAMPLE = torch.randn(6, 4)


def lower(module: nn.Module) -> Compiled:
    """From one tensor as the example of both inputs."""
    return fxmax.lower(module.eval(), (EXAMPLE, EXAMPLE), device="cpu", quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache of graphs."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def alone(parity: Batch, folder: Path) -> tuple[Compiled, Alone]:
    """Compiled, with a warning as an error, and the module."""
    module = Alone()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(cache, "graphs_folder", lambda: folder)
        warnings.simplefilter("error")
        return lower(module), module


def test_one_tensor_as_the_example_of_two_inputs_is_two_inputs(alone: tuple[Compiled, Alone]) -> None:
    """And a kernel of ours compiles beside constants that MAX folds."""
    compiled, module = alone
    x, y = torch.randn(6, 4), torch.randn(6, 4)
    with torch.no_grad():
        assert_same(compiled(x, y), module(x, y))
    assert compiled.report.seconds["compile"] > 0


def test_a_mask_of_infinities_that_the_module_makes_is_no_cause_for_a_warning(
    alone: tuple[Compiled, Alone],
) -> None:
    assert alone[0].weights.values["mask"].isinf().any()  # and lowering it has not warned


def test_a_program_compiled_apart_lives_beside_the_others(
    parity: Batch, alone: tuple[Compiled, Alone]
) -> None:
    (apart, module), x = alone, torch.randn(6, 4)
    with torch.no_grad():
        for _ in range(3):
            assert_same(apart(x, x), module(x, x))
            assert_same(parity["first"](x[:2]), parity.cases["first"].module(x[:2]))


def test_a_graph_is_compiled_once(
    alone: tuple[Compiled, Alone], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same module again is read back, and so is one with another checkpoint; not another graph."""
    monkeypatch.setattr(cache, "graphs_folder", lambda: folder)
    assert alone[0].report.cache == "cache: miss, no earlier compile of this graph"

    def refuse(*args):
        raise AssertionError("it compiles")

    monkeypatch.setattr(runtime, "_compile", refuse)
    module, x, y = Alone(), torch.randn(6, 4), torch.randn(6, 4)
    again = lower(module)
    assert again.report.cache.startswith("cache: hit")
    assert again.report.cache in again.report.text()
    with torch.no_grad():
        assert_same(again(x, y), module(x, y))
    # A program that was read can be saved as one that was compiled.
    again.save(tmp_path / "again.fxmax")
    loaded = fxmax.load(tmp_path / "again.fxmax")
    assert_same(torch.from_numpy(loaded(x.numpy(), y.numpy())), again(x, y))
    with pytest.raises(AssertionError, match="it compiles"):
        lower(Alone(bias=False))
    monkeypatch.setenv("FXMAX_CACHE", "0")
    with pytest.raises(AssertionError, match="it compiles"):
        lower(module)
