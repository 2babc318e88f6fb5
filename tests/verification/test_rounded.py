"""Rounding, sampled along a graph: it moves numbers, and decisions where they are close to a step. No MAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch.export import ExportedProgram

from fxmax.verification.eager import Outcome, run_eager
from fxmax.verification.proof import judged
from fxmax.verification.reference import Walks, placeholders
from fxmax.verification.rounded import Decisions, Rounded, Sampled
from tests.support.parity import Case
from tests.support.torch_versions import needs_quantile

U = torch.finfo(torch.float32).eps / 2
X = torch.linspace(-1, 1, 7).repeat(5, 1)
DECIDED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "an index at the end": lambda x: x.quantile(x.new_ones(1), dim=1),
    "ties": lambda x: x[0].gather(0, (x / 3 * 3).argmax(1)),
    "a comparison": lambda x: torch.where(x / 3 * 3 >= x, 100.0, -100.0) + x,
    "a whole number": lambda x: (x / 3 * 300 / 10).floor() * 10,
    "an order": lambda x: torch.arange(7.0)[(x[0] * 0 + 1 / 3).sort().indices] * 100,
}
NAMES = [pytest.param(n, marks=needs_quantile) if n == "an index at the end" else n for n in DECIDED]


@pytest.mark.parametrize("name", NAMES)
def test_what_floats_decide_stays(name: str) -> None:
    program = Case(name, DECIDED[name], [X]).captured.program
    plain = Decisions(program)
    [expected] = run_eager(program, program.constants, [X], plain).outputs
    rounded = Rounded(program, lambda dtype: 2**10 * U, plain)  # so much that all of it would turn over
    [moved] = run_eager(program, program.constants, [X], rounded).outputs
    assert plain.found
    assert float((moved - expected).abs().max()) < 1


@pytest.mark.parametrize("name", NAMES)
def test_verify_walks_over_it(name: str) -> None:
    program = Case(name, DECIDED[name], [X]).captured.program
    inputs = placeholders(program, program.constants, [X])
    walks = Walks(program, inputs, {}, torch.float32, 2**10 * U)
    assert list(walks.steps()) == []  # where MAX's values are not known, and the rounded ones go on


# -- what rounding may turn over, and what stands beside it ------------------------------------------------

CLOSE = torch.arange(1.0, 8.0)  # each a rounding away from a step of those below
FAR = torch.linspace(0.3, 20.8, 42)
Y = torch.cat([CLOSE, FAR])
STEPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "floor": lambda x: x.floor(),
    "ceil": lambda x: x.ceil(),
    "trunc": lambda x: x.trunc(),
    "round": lambda x: (x + 0.5).round(),
    "sign": lambda x: (x - x.round()).sign(),
    "sgn": lambda x: (x - x.round()).sgn(),
    "heaviside": lambda x: torch.heaviside(x - x.round(), x.new_full((), 0.5)),
    "div floor": lambda x: torch.div(x * 3, 3, rounding_mode="floor"),
    "div trunc": lambda x: torch.div(x * x, x, rounding_mode="trunc"),
    "floor_divide": lambda x: torch.floor_divide(x * 7, 7),
    "fmod": lambda x: torch.fmod(x, 1),
    "remainder": lambda x: torch.remainder(x, torch.ones(())),
    "frac": lambda x: x.frac(),
    "angle": lambda x: (x - x.round()).angle(),
    "atan2": lambda x: torch.atan2(x - x.round(), -x),
    "copysign": lambda x: torch.copysign(x, x - x.round()),
    "count": lambda x: torch.linalg.vector_norm(torch.stack([x - x.round(), x]), 0, 0),
    "comparison": lambda x: torch.where(x > x.round(), 1.0, 2.0),
    "index": lambda x: torch.stack([x, x.round()]).argmax(0).float(),
    "order": lambda x: torch.stack([x, x.round()]).sort(0).indices[0].float(),
    "integers": lambda x: x.to(torch.int32),
    "a sum of several": lambda x: torch.stack([x.floor(), x.ceil(), (x > x.round()).float()]).sum(0),
    "several in a row": lambda x: ((x.floor() + 0.5) / 3 * 3 - 0.5).floor(),
}


@cache
def program_of(name: str) -> ExportedProgram:
    """A step, and a bias added behind it and beside it."""

    def net(x: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = x / 3 * 3
        return STEPS[name](y) * 10 + bias, y + bias

    return Case(name, net, [Y, torch.zeros(())]).captured.program


def results(program: ExportedProgram, bias: float, machine: int | None = None) -> Outcome:
    """Torch's, or those of a machine that rounds otherwise."""
    decisions = Decisions(program)  # not run: it keeps none
    walk = None if machine is None else Rounded(program, lambda dtype: U, decisions, seed=100 + machine)
    return run_eager(program, program.constants, [Y, torch.tensor(bias)], walk)


def faults(program: ExportedProgram, bias: float, actual: Outcome) -> list[str]:
    sampled = Sampled(program, program.constants, [Y, torch.tensor(bias)], lambda dtype: U)
    actual = Outcome(actual.outputs, {}, {})
    return [one.fault for one in judged(actual, results(program, bias), sampled) if one.fault]


@pytest.mark.parametrize("name", STEPS)
def test_what_rounding_turns_over_is_no_fault(name: str) -> None:
    program = program_of(name)
    machines = [results(program, 0.01, i) for i in range(2)]
    wanted = results(program, 0.01)
    assert any(not torch.allclose(m.outputs[0], wanted.outputs[0]) for m in machines)
    assert [faults(program, 0.01, machine) for machine in machines] == [[], []]


@pytest.mark.parametrize("name", STEPS)
def test_a_bias_that_is_missing_beside_a_step_is_a_fault(name: str) -> None:
    program = program_of(name)
    behind, beside = faults(program, 0.01, results(program, 0.0, 0))
    assert "off by" in behind
    assert "off by 0.01" in beside


def test_elements_that_no_step_reaches_may_not_differ() -> None:
    program = program_of("floor")
    for i, steps in [(0, 1), (0, -2), (8, -1), (20, 1)]:
        wrong = results(program, 0.0)
        wrong.outputs[0][i] += 10 * steps
        assert faults(program, 0.0, wrong), (i, steps)
    right = results(program, 0.0)
    right.outputs[0][0] -= 10
    assert not faults(program, 0.0, right)


def test_a_size_that_is_decided_may_be_another() -> None:
    def net(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        y = x / 3 * 3
        return y[y >= y.round()] + bias

    program = Case("size", net, [Y, torch.zeros(())]).captured.program
    machines = [results(program, 0.01, i) for i in range(3)]
    assert any(m.outputs[0].shape != results(program, 0.01).outputs[0].shape for m in machines)
    assert all(faults(program, 0.01, results(program, 0.0, i)) for i in range(3))
