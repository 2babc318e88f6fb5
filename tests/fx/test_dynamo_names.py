"""Each weight of a Dynamo graph has a name of its own, however its module is reached. No MAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fxmax.dynamo import _as_module
from fxmax.fx.dynamo_names import weight_names

ONE, TWO = nn.Linear(4, 4), nn.Linear(4, 4)
LISTED = [nn.Linear(4, 4), nn.Linear(4, 4)]
NAMED = {"a": nn.Linear(4, 4), "b.c": nn.Linear(4, 4), "weight": nn.Linear(4, 4)}
SCALE = nn.Parameter(torch.randn(4))


class Held:
    """No module, and holds some; its own tensors have names that modules have themselves."""

    def __init__(self) -> None:
        self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)
        self.meta, self.training = nn.Linear(4, 4), nn.Parameter(torch.randn(4))
        self.code, self.half = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4))])
        self.weight = nn.Parameter(torch.randn(4))
        self.plain = [nn.Linear(4, 4)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plain[0](self.blocks[1](self.blocks[0](x))) * self.weight


def closures() -> Callable[[torch.Tensor], torch.Tensor]:
    def of(layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: layer(x)

    first, second = of(nn.Linear(4, 4)), of(nn.Linear(4, 4))
    return lambda x: second(first(x))


MODEL, HELD = Model(), Held()
REACHED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "globals": lambda x: TWO(ONE(x)),
    "global and its parent's name": lambda x: ONE(x) * SCALE,
    "closures": closures(),
    "a list": lambda x: LISTED[1](LISTED[0](x)),
    "a dict": lambda x: NAMED["weight"](NAMED["b.c"](NAMED["a"](x))),
    "an object": lambda x: HELD.right(HELD.meta(HELD.left(x))) * HELD.code + HELD.half * HELD.training,
    "a module": MODEL,
    "a module and a global": lambda x: ONE(MODEL(x)) * MODEL.weight,
    "a method": Held().left.forward,
}


def rebuilt_of(fn: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> tuple[Any, set[str]]:
    """Dynamo's graph of it with the weights inside, and the names of all inputs."""
    found: list[Any] = []

    def keep(graph: torch.fx.GraphModule, examples: list[Any]) -> Callable[..., Any]:
        names = weight_names([n for n in graph.graph.nodes if n.op == "placeholder"])
        found.append((_as_module(graph, examples), set(names.values())))
        return graph.forward  # type: ignore[no-any-return]

    torch._dynamo.reset()
    torch.compile(fn, backend=keep)(x)
    return found[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("how", REACHED)
@torch.no_grad()
def test_the_graph_with_its_weights_inside_is_the_function(how: str) -> None:
    x = torch.randn(3, 4)
    rebuilt, _ = rebuilt_of(REACHED[how], x)
    assert len(rebuilt.weights) >= 2
    [result] = rebuilt.module(*rebuilt.examples)
    torch.testing.assert_close(result, REACHED[how](x), rtol=0, atol=0)


def test_names_are_the_modules_own_where_that_is_enough() -> None:
    _, names = rebuilt_of(MODEL, torch.randn(3, 4))
    assert {"blocks.0.weight", "blocks.1.0.bias", "weight", "plain.0.weight"} < names


def test_two_modules_are_told_apart_by_their_roots() -> None:
    _, names = rebuilt_of(REACHED["globals"], torch.randn(3, 4))
    assert {"ONE.weight", "ONE.bias", "TWO.weight", "TWO.bias"} < names
