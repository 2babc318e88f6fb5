"""1-d convolutions as one product over overlapping windows: which are, and why others aren't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.rewritable import Stem
from tests.support.rewritten import reasons, rewritten

torch.manual_seed(0)
X = torch.randn(2, 4, 11)


def test_convolutions_and_gelu_become_one_op_each() -> None:
    seen = rewritten(Stem(), torch.randn(2, 5, 11))
    assert seen.ops == ["aten.permute.default", "fxmax.conv1d.default", "fxmax.conv1d.default"]
    assert seen.changes("conv_layout") == 2


@pytest.mark.parametrize(
    ("module", "inputs", "why"),
    [
        (nn.Conv1d(4, 4, 3, groups=2), [X], "it is grouped"),
        (nn.Conv1d(4, 4, 3, dilation=2), [X], "it is dilated"),
        (nn.Conv1d(4, 4, 3), [X[0]], "it has no batch axis"),
        (F.conv1d, [X, torch.randn(2, 4, 3)], "its filter is computed in the graph, not a weight"),
    ],
    ids=["groups", "dilation", "no batch", "computed"],
)
def test_others_say_why_they_stay(module: Any, inputs: list[torch.Tensor], why: str) -> None:
    if module is F.conv1d:
        module = lambda x, w: F.conv1d(x, w)
    assert rewritten(module, *inputs).ops == ["aten.conv1d.default"]
    assert reasons(module, *inputs, by="conv_layout") == {why}
