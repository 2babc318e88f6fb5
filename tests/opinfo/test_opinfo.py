"""Conformance with torch's own op samples: a slice of them. test_every_op.py has each op."""

from __future__ import annotations

import pytest
import torch

from tests.support.opinfo import harness
from tests.support.parity import Batch, ids

# One sample each, of an op of several rule families: all of them take minutes to compile.
QUICK = {
    torch.float32: "nn.functional.gelu sort",
    torch.int64: "bitwise_and",
    torch.bool: "any",
}
CASES = [c for dtype, names in QUICK.items() for c in harness.chosen(dtype, 1, names.split())]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_a_sample_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
