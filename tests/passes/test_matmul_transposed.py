"""Scores read their right side as it lies; other products stay, and the report says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.support.rewritten import reasons, rewritten

torch.manual_seed(0)


def test_scores_read_their_right_side_as_it_lies() -> None:
    def scores(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return torch.matmul(q, k.transpose(-1, -2)).softmax(-1) @ k

    seen = rewritten(scores, torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4))
    assert seen.ops == ["fxmax.row_products.default", "aten.softmax.int", "aten.matmul.default"]
    assert seen.changes("matmul_transposed") == 1


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda a: a @ a[0, 0].mT, "one of its sides is broadcast"),
        (lambda a: a @ a[:1].mT, "one of its sides is broadcast"),
        (lambda a: a.int() @ a.int().mT, "it is not in float32, which the kernel is for"),
        (lambda a: a[0, 0, 0] @ a.mT, "its left side is a vector"),
    ],
    ids=["two axes", "batch of one", "integers", "vector"],
)
def test_others_say_why_they_stay(fn: Callable[..., torch.Tensor], why: str) -> None:
    a = torch.randn(2, 3, 4, 4)
    assert "fxmax.row_products.default" not in rewritten(fn, a).ops
    assert reasons(fn, a, by="matmul_transposed") == {why}


def test_a_product_that_transposes_nothing_is_none_of_its_business() -> None:
    seen = rewritten(lambda a: a @ a, torch.randn(2, 4, 4))
    assert seen.ops == ["aten.matmul.default"]
    assert seen.reasons == set()
