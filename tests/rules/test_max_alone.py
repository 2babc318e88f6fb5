"""What MAX 26.7 alone gets wrong, silently.

Axes of size 1 between a product and what it is broadcast with; and x · 0 and x - x, which it folds to 0
where x is NaN or infinite too.
"""

from __future__ import annotations

import math
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
QUICK = ("conv2d", "clamp")


def zeros(x: Tensor) -> list[Tensor]:
    return [x * 0.0, 1 / (x * -0.0), 0 * x, x - x, torch.add(x, x, alpha=0), torch.sub(x, x + 1, alpha=0)]


def masked(y: Tensor, s: Tensor) -> Tensor:
    """A write by a mask over the batch, which broadcasts to the axes behind it."""
    y[s[:2] > 0] = 1.5
    return y


def case(name: str, fn: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Case:
    return Case(name, fn, [PIXEL, FILTER, SCALE], slow=name not in QUICK)


CASES = [
    case("conv2d", lambda x, w, s: F.conv2d(x, w) * s[:, None, None]),
    case("conv1d", lambda x, w, s: F.conv1d(x[..., 0], w[..., 0]) + s[:, None]),
    case("batch_norm", lambda x, w, s: F.silu(F.batch_norm(F.conv2d(x, w), s, VARIANCE, SHIFT, s))),
    case("linear", lambda x, w, s: F.linear(x[..., 0, 0], w[..., 0, 0])[:, :, None, None] - s[:, None, None]),
    case("where", lambda x, w, s: torch.where(s[:, None, None] > 0, F.conv2d(x, w), x)),
    case("clamp", lambda x, w, s: F.conv2d(x, w).clamp(s[:, None, None], s.abs()[:, None, None])),
    case("expanded", lambda x, w, s: F.conv2d(x, w) * s[:, None, None].expand(2, 32, 1, 1)),
    case("over_the_batch", lambda x, w, s: F.conv2d(x, w) + torch.sigmoid(x[:1])),
    case("prelu", lambda x, w, s: F.prelu(F.conv2d(x, w), s)),
    case("masked", lambda x, w, s: masked(F.linear(x[..., 0, 0], w[..., 0, 0])[:, :, None], s)),
    case("one_column", lambda x, w, s: torch.baddbmm(s[:, None], w[..., 0, 0].expand(2, 32, 32), x[..., 0])),
    Case("zeros", zeros, [torch.tensor([math.nan, math.inf, -math.inf, -2.0, 0.0, 3.0])]),
    Case(
        "addr", lambda x: torch.addr(x, x[0], x[0], beta=0, alpha=0), [torch.tensor([[math.nan, 1], [2, 3]])]
    ),
]
parity = parity_fixture(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
