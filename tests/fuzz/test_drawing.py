"""Random programs are drawn again from their numbers, in every kind, and reach every rule."""

from __future__ import annotations

import pytest
import torch

import fxmax
from tests.support.fuzz.coverage import NOT_DRAWN, every_op, reached
from tests.support.fuzz.kinds import KINDS, ORDER, program
from tests.support.fuzz.ops import FAMILIES

READING = [family for family in FAMILIES if family != "writes"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_and_a_number_give_one_program(kind: str) -> None:
    drawn = [program(7, number, kind) for number in range(4)]
    assert drawn == [program(7, number, kind) for number in range(4)]
    assert (
        len({str(one) for one in drawn}) == len({str(program(8, number, kind)) for number in range(4)}) == 4
    )


def test_without_a_kind_the_number_says_which() -> None:
    assert [program(3, number).kind for number in range(len(ORDER))] == list(ORDER)
    assert set(ORDER) | {"dear"} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_programs_run_in_torch_at_all_their_sizes(kind: str) -> None:
    for number in range(4):
        drawn = program(11, number, kind)
        for sizes in [drawn.example(), *drawn.other_examples()]:
            drawn.module()(*drawn.data(sizes))


def test_tied_weights_are_one_tensor() -> None:
    drawn = [program(5, number, "tied") for number in range(12)]
    tied = [(one, state) for one in drawn for state in one.states if state.tied]
    assert tied
    for one, state in tied:
        module = one.module()
        assert getattr(module, state.name) is getattr(module, state.tied)


def test_each_op_can_be_drawn() -> None:
    for family in READING:
        assert every_op(family, forms=2).steps


@pytest.mark.slow
def test_each_rule_is_reached_or_says_why_not() -> None:
    seen = set[str]().union(*map(reached, READING))
    assert {str(op) for op in fxmax.default_table()} - seen == set(NOT_DRAWN)


def test_special_numbers_are_among_the_data() -> None:
    values = torch.cat([x.float().flatten() for n in range(20) for x in program(1, n, "special").data()])
    assert values.isnan().any()
    assert values.isinf().any()
    assert values[values == 0].signbit().any()
