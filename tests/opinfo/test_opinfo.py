"""Conformance with torch's own op samples: a slice of them here, each op's first under `-m slow`.

FXMAX_OPINFO=all has the slow tests take every sample, seconds each: half a day on two cores.
"""

from __future__ import annotations

import os

import pytest
import torch

from tests.support.opinfo import harness

# One sample each, of an op of many rule families: all of them take minutes to compile.
QUICK = {
    torch.float32: "add atan2 nn.functional.gelu argmax var sort",
    torch.int64: "remainder bitwise_and",
    torch.bool: "any",
}


def test_quick() -> None:
    cases = [c for dtype, names in QUICK.items() for c in harness.chosen(dtype, 1, names.split())]
    assert len(cases) == 9
    outcomes = harness.run(cases)
    assert not harness.unexpected(outcomes), "\n".join(harness.unexpected(outcomes))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_every_op_in_scope(dtype: torch.dtype) -> None:
    limit = None if os.environ.get("FXMAX_OPINFO") == "all" else 1
    outcomes = harness.run(harness.chosen(dtype, limit))
    assert not harness.unexpected(outcomes), "\n".join(harness.unexpected(outcomes))
    assert harness.totals(outcomes)["passed"] >= 0.95 * len(outcomes)
