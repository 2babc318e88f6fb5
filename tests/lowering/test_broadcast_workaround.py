"""Elementwise ops of sizes that vary, broadcast twice: MAX alone gets them wrong (broadcast_workaround)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling

B, N, K = Dim("b", min=2, max=16), Dim("n", min=2, max=16), Dim("k", min=2, max=16)


class Of(nn.Module):
    """f(x (b, n, k), m (n, k), r (n,), c (k,), w (b, k))."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x, m, r, c, w):
        return self.f(x, m, r, c, w)


def causal(x: Tensor, w: Tensor) -> Tensor:
    """A causal mask and a padding mask, as Hugging Face's models make them."""
    place = torch.arange(w.shape[1])
    batch = torch.arange(w.shape[0])
    seen = (place[None, None, None, :] <= place[None, None, :, None]) & torch.full([], True)
    return seen & (w > 0)[batch[:, None, None, None], place[None, None, None, :]]


CASES = {
    "bias": lambda x, m, r, c, w: x * (m + c),
    "outer": lambda x, m, r, c, w: x + (r[:, None] - c[None]),
    "compared": lambda x, m, r, c, w: torch.where(r[:, None] >= c[None], x, 0.0),
    "expanded": lambda x, m, r, c, w: (m - r[:, None]).expand(x.shape[0], -1, -1) + 0,
    "operands_expanded": lambda x, m, r, c, w: m.expand_as(x) - r[:, None].expand_as(x),
    "one_expanded": lambda x, m, r, c, w: m.expand_as(x) * c,
    "filled": lambda x, m, r, c, w: torch.full_like(x, 2.0) - r[:, None] * torch.ones_like(x),
    "chain": lambda x, m, r, c, w: x + torch.exp(-(m * r[:, None]).abs()) * 3,
    "two_axes": lambda x, m, r, c, w: (w[:, None] * c) + x,
    "behind": lambda x, m, r, c, w: (m + c)[:, None, :, None] * torch.ones(2, 1, 3),
    "mask": lambda x, m, r, c, w: causal(x, w),
    "attention": lambda x, m, r, c, w: F.scaled_dot_product_attention(
        w[:, None, :, None].expand(-1, 3, -1, 8) * 0.1,
        w[:, None, :, None].expand(-1, 3, -1, 8) + torch.arange(8.0),
        w[:, None, :, None].expand(-1, 3, -1, 8) * torch.arange(8.0),
        attn_mask=causal(x, w),
    ),
    # in float64 no kernel of ours takes it: the rule makes the causal mask
    "causal": lambda x, m, r, c, w: F.scaled_dot_product_attention(
        *[(w[:, None, :, None].double() * f).expand(-1, 3, -1, 8) for f in (0.3, 1.0, 2.0)], is_causal=True
    ),
    "indexed": lambda x, m, r, c, w: x[
        torch.arange(x.shape[0])[:, None, None],
        (torch.arange(2)[:, None] + torch.arange(x.shape[2])) % 2,
    ],
}  # fmt: skip


def inputs(b: int, n: int, k: int) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(b * 100 + n * 10 + k)
    shapes = ((b, n, k), (n, k), (n,), (k,), (b, k))
    return tuple(torch.randn(shape, generator=g) for shape in shapes)


SIZES = ({0: B, 1: N, 2: K}, {0: N, 1: K}, {0: N}, {0: K}, {0: B, 1: K})
PARITY = Batch([Case(name, Of(f), inputs(3, 4, 5), dynamic_shapes=SIZES) for name, f in CASES.items()])


@pytest.mark.parametrize("id", CASES)
def test_it_equals_torch_at_any_size(parity: Batch, id: str) -> None:
    for sizes in ((2, 3, 4), (3, 4, 5), (5, 7, 2)):
        parity.check(id, *inputs(*sizes))
