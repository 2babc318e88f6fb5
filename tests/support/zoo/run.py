"""Whole forwards of the zoo's models on MAX and in torch, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

import fxmax
from tests.support.zoo.families import ZOO

TOLERANCE = 1e-4
MOVES = 10 * TOLERANCE  # what other inputs must at least do to every output, or its error says nothing
AT_ONCE = 12  # models to one compile: much faster than apart, and memory stays small


@dataclass
class Result:
    """`error` is the largest error of any output, over that output's largest value."""

    name: str
    nodes: int
    ops: int
    error: float
    max_ms: float
    torch_ms: float
    problem: str = ""


def run(names: Sequence[str] | None = None, quiet: bool = True) -> Iterator[Result]:
    """Compile the named models (None: all) a dozen at a time, and compare each with torch."""
    chosen = list(ZOO if names is None else names)
    for i in range(0, len(chosen), AT_ONCE):
        yield from _together(chosen[i : i + AT_ONCE], quiet)


def _together(names: Sequence[str], quiet: bool) -> Iterator[Result]:
    built = {name: ZOO[name].build() for name in names}
    jobs = {f"model{j}": fxmax.Job(module, (), kwargs) for j, (module, kwargs) in enumerate(built.values())}
    try:
        compiled = fxmax.lower_many(jobs, device="cpu", strict=False, quiet=quiet)
    except fxmax.FxmaxError as error:
        if len(names) == 1:  # it is this one
            yield Result(names[0], 0, 0, float("inf"), 0, 0, str(error))
            return
        yield from _together(names[: len(names) // 2], quiet)
        yield from _together(names[len(names) // 2 :], quiet)
        return
    for name, ours in zip(built, compiled.values(), strict=True):
        yield _measured(name, ours, *built[name])


def _measured(name: str, ours: fxmax.Compiled, module: torch.nn.Module, kwargs: dict[str, Any]) -> Result:
    nodes = ours.report.nodes
    size = len(nodes), len({n.op for n in nodes})
    with torch.no_grad():
        try:
            expected = module(**kwargs)
            error = compare(ours(**kwargs), expected)
            moved = movement(expected, module(**{k: other(v) for k, v in kwargs.items()}))
            assert moved >= MOVES, f"an output moves by {moved:.1g} with the inputs: nothing is compared"
        except (AssertionError, ValueError) as problem:
            return Result(name, *size, float("inf"), 0, 0, str(problem))
        return Result(name, *size, error, *(_milliseconds(f, kwargs) for f in (ours, module)))


def compare(actual: object, expected: object) -> float:
    """The largest relative error of the tensors in two outputs of one structure."""
    a, e = (
        [x for x in pytree.tree_leaves(tree) if isinstance(x, torch.Tensor)] for tree in (actual, expected)
    )
    assert type(actual) is type(expected), f"{type(actual)}, torch has {type(expected)}"
    assert e, "torch's output holds no tensor"
    assert len(a) == len(e), f"{len(a)} outputs, torch has {len(e)}"
    errors = [0.0]
    for x, y in zip(a, e, strict=True):
        assert x.shape == y.shape, f"{x.shape}, torch has {y.shape}"
        assert x.dtype == y.dtype, f"{x.dtype}, torch has {y.dtype}"
        assert torch.isfinite(y).all(), "torch's output is not finite: nothing is compared"
        assert torch.isfinite(x).all(), "not finite, where torch's output is"
        if y.numel():
            errors.append(
                float((x.double() - y.double()).abs().max() / y.double().abs().max().clamp(min=1e-6))
            )
    return max(errors)


def other(value: Any) -> Any:
    """Other data of the same kind: noise on floats, other places for ids; a mask stays."""
    if not isinstance(value, torch.Tensor) or value.unique().numel() <= 2:
        return value
    if value.is_floating_point():
        noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
        return value + 0.5 * value.std() * noise
    return value.flip(-1)


def movement(before: object, after: object) -> float:
    """The least relative change of a float tensor between two outputs of one structure."""
    pairs = zip(pytree.tree_leaves(before), pytree.tree_leaves(after), strict=True)
    floats = [(x, y) for x, y in pairs if isinstance(x, torch.Tensor) and x.is_floating_point()]
    return min(float((x - y).abs().max() / x.abs().max().clamp(min=1e-6)) for x, y in floats if x.numel())


def _milliseconds(call: Callable[..., Any], kwargs: dict[str, Any], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call(**kwargs)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)
