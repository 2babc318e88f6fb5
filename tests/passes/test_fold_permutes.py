"""Permutes that cancel or compose, and those that move behind a pointwise op."""

from __future__ import annotations

import torch
from torch.nn import functional as F

import fxmax
from tests.support.parity import Fn
from tests.support.rewritten import reasons, rewritten

X = torch.randn(2, 3, 4)


def test_permutes_that_undo_each_other_go() -> None:
    seen = rewritten(lambda x: F.gelu(x.permute(2, 0, 1)).permute(1, 2, 0) + 1, X)
    assert seen.ops == ["aten.gelu.default", "aten.add.Tensor"]
    assert seen.changes("fold_permutes") > 0


def test_two_permutes_become_one() -> None:
    assert rewritten(lambda x: x.permute(2, 0, 1).transpose(0, 1), X).ops == ["aten.permute.default"]


def test_a_permuted_tensor_that_others_read_stays_before_its_activation() -> None:
    def both(x: torch.Tensor) -> torch.Tensor:
        y = x.permute(2, 0, 1)
        return F.gelu(y).permute(1, 2, 0) + y.sum()

    assert rewritten(both, X).ops.count("aten.permute.default") == 2
    why = "the permuted tensor before it is read by others too"
    assert reasons(both, X, by="fold_permutes") == {why}


def test_a_scalar_may_be_transposed() -> None:
    scalar = Fn(lambda s: (s.transpose(0, -1) + 1, s.permute(())))
    assert fxmax.lower(scalar, (torch.tensor(2.0),), device="cpu", compile=False, quiet=True).report.ok
