"""Axes of size 1 between a product and what it is broadcast with: MAX 26.7 alone gets these wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import Batch, Case, ids, parity_fixture
from torch import Tensor
from torch.nn import functional as F

torch.manual_seed(0)
SCALE, SHIFT, VARIANCE = torch.randn(32), torch.randn(32), torch.rand(32) + 0.5
FILTER = torch.randn(32, 32, 1, 1)
PIXEL = torch.randn(2, 32, 1, 1)


def case(name: str, fn: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor = PIXEL) -> Case:
    return Case(name, fn, [x, FILTER, SCALE])


CASES = [
    case("conv2d", lambda x, w, s: F.conv2d(x, w) * s[:, None, None]),
    case("conv1d", lambda x, w, s: F.conv1d(x[..., 0], w[..., 0]) + s[:, None]),
    case("batch_norm", lambda x, w, s: F.silu(F.batch_norm(F.conv2d(x, w), s, VARIANCE, SHIFT, s))),
    case("linear", lambda x, w, s: F.linear(x, w[..., 0, 0]).reshape(2, 32, 1, 1) - s[:, None, None], PIXEL[..., 0, 0]),
    case("over_the_batch", lambda x, w, s: F.conv2d(x, w) + torch.sigmoid(x[:1])),
]  # fmt: skip
parity = parity_fixture(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
