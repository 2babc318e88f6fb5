"""What MAX 26.7 alone gets wrong, silently.

Axes of size 1 between a product and what it is broadcast with; and x · 0, x - x and x == x, which it folds
as if there were no NaN and no infinity, also where x stands for two expressions that compute the same.
And reductions of what was expanded along an axis before the reduced one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling

torch.manual_seed(0)
SCALE, SHIFT, VARIANCE = torch.randn(32), torch.randn(32), torch.rand(32) + 0.5
FILTER = torch.randn(32, 32, 1, 1)
PIXEL = torch.randn(2, 32, 1, 1)
SPECIAL = torch.tensor([math.nan, math.inf, -math.inf, -2.0, 0.0, 3.0])


def zeros(x: Tensor) -> list[Tensor]:
    return [
        x * 0.0,
        1 / (x * -0.0),
        0 * x,
        x - x,
        torch.add(x, x, alpha=0),
        torch.sub(x, x + 1, alpha=0),
        torch.rsub(x, x),
    ]


def zeros_as_tensors(x: Tensor) -> list[Tensor]:
    y = z = x  # so deep that comparing both operands of each sum anew would never end
    for _ in range(50):
        y, z = y + y, z + z
    return [
        x * torch.zeros(6),
        torch.zeros_like(x) * x,
        x * torch.full((2, 1), 0.0),
        x * torch.full((6,), -0.0),
        (x + 1) - (x + 1),
        x + -x,
        y - z,
    ]


def itself(x: Tensor) -> list[Tensor]:
    """Of x, of an alias of it, of two sums."""
    pairs = [(x, x), (x.detach(), x.detach()), (x + 1, x + 1)]
    return [f(a, b) for a, b in pairs for f in (torch.eq, torch.ne, torch.le, torch.ge, torch.lt, torch.gt)]


def reductions(y: Tensor, x: Tensor) -> list[Tensor]:
    """Of (2, 1, 3) expanded to (2, 4, 3), and of (1, 3) to (4, 3)."""
    wide, rows = y.expand(2, 4, 3), x.expand(4, 3)
    return [
        wide + wide.sum(-1, keepdim=True),
        wide - wide.mean(-1, keepdim=True),
        wide * wide.amax((1, 2), keepdim=True),
        (wide.exp() * 2).prod(-1),
        (wide > 0).any(-1),
        torch.atan2(wide, wide + 1).sum(-1),
        wide.argmax(-1),
        torch.linalg.vector_norm(rows, dim=-1),
        rows / rows.sum(-1, keepdim=True),
        torch.var(wide, -1),
        torch.logsumexp(rows, -1),
        torch.cosine_similarity(y, x[0].expand(2, 3), dim=-1),
        F.layer_norm(wide, (3,)),
        F.normalize(rows),
        F.rms_norm(rows, (3,)),
        wide.softmax(-1),
    ]


def masked(y: Tensor, s: Tensor) -> Tensor:
    """A write by a mask over the batch, which broadcasts to the axes behind it."""
    y[s[:2] > 0] = 1.5
    return y


def case(name: str, fn: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Case:
    return Case(name, fn, [PIXEL, FILTER, SCALE])


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
    Case("zeros", zeros, [SPECIAL]),
    Case("zeros_as_tensors", zeros_as_tensors, [SPECIAL]),
    Case("itself", itself, [SPECIAL]),
    Case("reductions", reductions, [torch.randn(2, 1, 3), torch.randn(1, 3)]),
    Case("nanmean", lambda x: torch.nanmean(x[:1], 0), [SPECIAL]),
    Case(
        "addr", lambda x: torch.addr(x, x[0], x[0], beta=0, alpha=0), [torch.tensor([[math.nan, 1], [2, 3]])]
    ),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
