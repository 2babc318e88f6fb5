"""Conformance with torch's own op samples: each op's first.

FXMAX_OPINFO=all has them take every sample, seconds each: half a day on two cores.
"""

from __future__ import annotations

import os

import pytest
import torch

from tests.support.opinfo import harness

# In parts, since many samples to a compile take much memory.
PARTS = [
    (dtype, part, parts)
    for dtype, parts in ((torch.float32, 4), (torch.int64, 2), (torch.bool, 1))
    for part in range(parts)
]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "part", "parts"), PARTS)
def test_every_op_in_scope(dtype: torch.dtype, part: int, parts: int) -> None:
    limit = None if os.environ.get("FXMAX_OPINFO") == "all" else 1
    outcomes = harness.run(harness.chosen(dtype, limit)[part::parts])
    assert not harness.unexpected(outcomes), "\n".join(harness.unexpected(outcomes))
    assert harness.totals(outcomes)["passed"] >= 0.95 * len(outcomes)
