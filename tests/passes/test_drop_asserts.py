"""Assertions of export: they go, with what only they read."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.support.rewritten import rewritten


def checked(x: Tensor, n: Tensor) -> Tensor:
    torch._check(n.item() > 1)
    return x.to(torch.float32) + 1


def test_assertions_go_and_so_do_their_comparisons() -> None:
    inputs = torch.ones(3, dtype=torch.float64), torch.tensor(2)
    without = rewritten(checked, *inputs, passes=())
    assert any("assert" in op for op in without.ops)
    seen = rewritten(checked, *inputs)
    assert not [op for op in seen.ops if "assert" in op or "gt" in op]
    assert seen.changes("drop_asserts") > 0


def test_a_graph_without_assertions_is_not_changed() -> None:
    assert rewritten(lambda x: x + 1, torch.ones(3)).changes("drop_asserts") == 0
