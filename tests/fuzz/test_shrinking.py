"""A planted miscompile is found, shrunk to what shows it, and printed to be pasted. No MAX here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.fuzz.kinds import program
from tests.support.fuzz.program import WORLD, Program, Step
from tests.support.fuzz.reporting import Tally, repro
from tests.support.fuzz.running import Result, Runner
from tests.support.fuzz.shrinking import cost, shrink
from tests.support.fuzz.values import Input, Size


class Planted:
    """torch, but for some functions."""

    def __init__(self, **wrong: Callable[..., Any]) -> None:
        vars(self).update(wrong)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def wrong_at_one(x: Tensor) -> Tensor:
    """tanh that is right but for a last axis of 1."""
    return torch.tanh(x) * (2 if x.dim() and x.shape[-1] == 1 else 1)


def wrong_at_infinity(a: Tensor, b: Tensor) -> Tensor:
    """maximum that takes an infinity for NaN."""
    right = torch.maximum(a, b)
    return right.masked_fill(torch.isinf(a), torch.nan) if right.is_floating_point() else right


def planted(**wrong: Callable[..., Any]) -> Runner:
    """Runs programs in torch with those functions in place of MAX, at all their sizes."""
    world = {**WORLD, "torch": Planted(**wrong)}

    def run(programs: Sequence[Program]) -> list[Result]:
        return [_result(one, world) for one in programs]

    return run


def _result(one: Program, world: dict[str, Any]) -> Result:
    for sizes in [one.example(), *one.other_examples()]:
        given = one.data(sizes)
        try:
            right, actual = one.module()(*given), one.module(world=world)(*given)
        except (RuntimeError, IndexError, TypeError) as error:
            return Result(one, "refused", type(error).__name__)
        pairs = zip(_flat(right), _flat(actual), strict=True)
        if not all(torch.allclose(a, b, equal_nan=True) for a, b in pairs):
            return Result(one, "found", "MismatchError", "other numbers", inputs=given)
    return Result(one, "compared")


def _flat(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def found_by(run: Runner, kind: str) -> Result:
    """The first find of more than three steps among the programs of a kind."""
    results: Iterator[Result] = (run([program(2, number, kind)])[0] for number in count())
    return next(result for result in results if result.status == "found" and len(result.program.steps) > 3)


@pytest.mark.parametrize(
    ("plant", "kind", "named"),
    [
        ({"tanh": wrong_at_one}, "sizes", "torch.tanh"),
        ({"maximum": wrong_at_infinity}, "special", "torch.maximum"),
    ],
)
def test_a_planted_fault_is_found_and_shrunk(plant: dict[str, Any], kind: str, named: str) -> None:
    run = planted(**plant)
    whole = found_by(run, kind)
    small = shrink(whole, run)
    assert run([small.program])[0].same_fault(whole)
    assert cost(small.program) < cost(whole.program)
    assert len(small.program.steps) <= 2
    assert any(named in step.code for step in small.program.steps)


def test_a_repro_runs_as_it_is_pasted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planted(tanh=wrong_at_one)
    small = shrink(found_by(run, "sizes"), run)
    text = repro(small)
    assert f"sizes 2/{small.program.number}: MismatchError" in text
    monkeypatch.setattr("fxmax.lower", lambda module, *a, **k: module)  # MAX is not what is tested here
    exec(compile(text, "repro", "exec"), {"__name__": "repro"})
    ours, torchs = capsys.readouterr().out.split("torch:")
    assert ours.removeprefix("MAX:").split() == torchs.split() != []


def test_what_a_step_led_to_is_left_out() -> None:
    x = Input("x0", torch.float32, ("n", 1))
    lines = ("torch.exp(x0)", "v0.sum(0)", "torch.tanh(v0)", "v2 + v1", "v3.cos()")
    steps = tuple(Step(f"v{i}", code) for i, code in enumerate(lines))
    run = planted(tanh=wrong_at_one)
    [found] = run([Program(0, 0, "by hand", {"n": Size(1, 3, 5)}, (x,), (), steps, ("v4", "v1"))])
    assert str(shrink(found, run).program) == "by hand 0/0: x1 float32[3, 1]; v2 = torch.tanh(x1)"


def test_a_right_program_is_not_found() -> None:
    run = planted()
    assert {run([program(4, n)])[0].status for n in range(12)} == {"compared"}


def test_the_summary_counts_by_kind() -> None:
    one, tally = program(0, 0, "sizes"), Tally()
    tally.add(
        [Result(one, "compared", ops=frozenset({"aten.add.Tensor"})), Result(one, "refused", "Error: x")]
    )
    tally.add([Result(replace(one, kind="special"), "found", "MismatchError")])
    assert tally.json()["kinds"] == {
        "sizes": {"run": 2, "compared": 1, "refused": 1},
        "special": {"run": 1, "found": 1},
    }
    assert "refused    1 × Error: x" in tally.text()
    assert "aten.add.Tensor" not in tally.never_drawn()
