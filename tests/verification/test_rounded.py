"""Rounding, sampled along a graph: it moves numbers, and none of what they decide. No MAX."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fxmax.verification.eager import Decisions, Rounded, run_eager
from fxmax.verification.reference import Walks, placeholders
from tests.support.parity import Case

U = torch.finfo(torch.float32).eps / 2
X = torch.linspace(-1, 1, 7).repeat(5, 1)
DECIDED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "an index at the end": lambda x: x.quantile(x.new_ones(1), dim=1),
    "ties": lambda x: x[0].gather(0, (x / 3 * 3).argmax(1)),
    "a comparison": lambda x: torch.where(x / 3 * 3 >= x, 100.0, -100.0) + x,
    "a whole number": lambda x: (x / 3 * 300 / 10).floor() * 10,
    "an order": lambda x: torch.arange(7.0)[(x[0] * 0 + 1 / 3).sort().indices] * 100,
}


@pytest.mark.parametrize("name", DECIDED)
def test_what_floats_decide_stays(name: str) -> None:
    program = Case(name, DECIDED[name], [X]).captured.program
    plain = Decisions(program)
    [expected] = run_eager(program, program.constants, [X], plain).outputs
    rounded = Rounded(program, lambda dtype: 2**10 * U, plain.found)  # so much that all of it would turn over
    [moved] = run_eager(program, program.constants, [X], rounded).outputs
    assert plain.found
    assert float((moved - expected).abs().max()) < 1


@pytest.mark.parametrize("name", DECIDED)
def test_verify_walks_over_it(name: str) -> None:
    program = Case(name, DECIDED[name], [X]).captured.program
    inputs = placeholders(program, program.constants, [X])
    walks = Walks(program, inputs, {}, torch.float32, 2**10 * U)
    assert list(walks.steps()) == []  # where MAX's values are not known, and the rounded ones go on
