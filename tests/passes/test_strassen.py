"""Which linears are computed by Strassen's algorithm, and why others aren't."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.support.rewritten import reasons, rewritten

FEW = "it has fewer than 256 rows, features in or features out: too few to gain"


def test_a_large_linear_is_computed_so() -> None:
    seen = rewritten(nn.Linear(256, 512), torch.randn(2, 128, 256))
    assert seen.changes("strassen") == 1
    assert seen.reasons == set()


@pytest.mark.parametrize(
    ("module", "x", "why"),
    [
        (nn.Linear(256, 512), torch.randn(255, 256), FEW),
        (nn.Linear(128, 512), torch.randn(256, 128), FEW),
        (nn.Linear(256, 128), torch.randn(256, 256), FEW),
        (
            nn.Linear(256, 256).double(),
            torch.randn(256, 256).double(),
            "it is not in float32, which the kernel is for",
        ),
        (
            nn.Linear(256, 257),
            torch.randn(256, 256),
            "its features don't split into halves of whole blocks (32 out, 16 in)",
        ),
    ],
    ids=["rows", "in", "out", "float64", "odd"],
)
def test_others_say_why_they_are_not(module: nn.Module, x: torch.Tensor, why: str) -> None:
    assert rewritten(module, x).changes("strassen") == 0
    assert reasons(module, x, by="strassen") == {why}


def test_rows_that_vary_must_be_known_to_suffice() -> None:
    few, enough = (torch.export.Dim("rows", min=least, max=512) for least in (2, 256))
    module, x = nn.Linear(256, 512), torch.randn(300, 256)
    assert reasons(module, x, by="strassen", dynamic_shapes=({0: few},)) == {FEW}
    assert rewritten(module, x, dynamic_shapes=({0: enough},)).changes("strassen") == 1
