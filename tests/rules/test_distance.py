"""Distances between rows, and where values belong in a sorted row, against torch."""

from __future__ import annotations

import pytest
import torch

from tests.support.parity import Batch, Case, ids

torch.manual_seed(0)
A, B = torch.randn(4, 3), torch.randn(5, 3)
EDGES = torch.tensor([-1.0, 0.0, 0.0, 2.0])
VALUES = torch.tensor([[-2.0, 0.0, 2.0], [torch.nan, torch.inf, 0.5]])

CASES = [
    Case("bucketize", lambda x, e: torch.bucketize(x, e), [VALUES, EDGES]),
    Case(
        "searchsorted",
        lambda x, e: (
            torch.searchsorted(e, x, right=True),
            torch.searchsorted(e.expand(2, -1).contiguous(), x),
        ),
        [VALUES, EDGES],
        slow=True,
    ),
    Case("cdist", lambda a, b: (torch.cdist(a, b), torch.cdist(a, b, p=1.0)), [A, B], slow=True),
    Case("pdist", lambda a: torch.nn.functional.pdist(a), [A], slow=True),
    Case("dist", lambda a: torch.dist(a, a.flip(0)), [A]),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
