"""A program that ends its process is found, and the run goes on."""

from __future__ import annotations

import pytest
import torch

from tests.support.fuzz.isolated import run_isolated
from tests.support.fuzz.program import Program, Step
from tests.support.fuzz.values import Input


def ending(number: int, code: str) -> Program:
    steps = (Step("v0", f"({code}, x0)[1]"),)
    return Program(0, number, "by hand", {}, (Input("x0", torch.float32, (2,)),), (), steps, ("v0",))


@pytest.mark.slow
def test_a_program_that_ends_the_process_is_found() -> None:
    results = run_isolated([ending(0, '__import__("os").abort()')])
    assert [(r.status, r.error) for r in results] == [("found", "death by SIGABRT")]
