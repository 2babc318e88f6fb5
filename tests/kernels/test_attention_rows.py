"""The kernels of attention, heads first, and of scores against torch: tile edges, masks, shared heads.

Sizes differ along every axis, so that a kernel reading another layout can't pass.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling

torch.manual_seed(0)


def scores(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.transpose(-1, -2)


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **options: bool) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, mask, **options)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return sdpa(q, k, v, is_causal=True)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return sdpa(q, k, v, enable_gqa=True)


def qkv(b: int, h: int, s: int, t: int, d: int, e: int, held: int | None = None) -> list[Tensor]:
    g = h if held is None else held
    return [torch.randn(b, h, s, d), torch.randn(b, g, t, d), torch.randn(b, g, t, e)]


def hidden(*shape: int) -> Tensor:
    """-inf at random places, and in the whole of a row."""
    mask = torch.zeros(shape).masked_fill(torch.rand(shape) < 0.4, -math.inf)
    mask[..., 0, :] = -math.inf
    return mask


ROWS = torch.export.Dim("rows", min=2, max=40)
CASES = [
    Case("scores", scores, [torch.randn(2, 3, 14, 20), torch.randn(2, 3, 70, 20)]),
    Case("scores_one_matrix", scores, [torch.randn(25, 17), torch.randn(97, 17)]),
    Case("scores_one_row", scores, [torch.randn(1, 1, 64), torch.randn(1, 150, 64)]),
    Case("scores_one_column", scores, [torch.randn(5, 31, 12), torch.randn(5, 1, 12)]),
    # More than a chunk of panels: 1 MB is 16 panels of 512 rows.
    Case("scores_chunks", scores, [torch.randn(26, 512), torch.randn(1100, 512)], tolerance=2e-5),
    Case(
        "scores_any_rows",
        scores,
        [torch.randn(2, 5, 9), torch.randn(2, 11, 9)],
        dynamic_shapes=({1: ROWS}, {}),
    ),
    Case("attention", sdpa, qkv(2, 3, 26, 37, 16, 16)),
    Case("attention_widths", sdpa, qkv(2, 3, 14, 18, 20, 40)),
    Case("attention_few_rows", sdpa, qkv(2, 3, 5, 37, 32, 32)),
    Case("attention_few_rows_width", sdpa, qkv(2, 3, 1, 37, 20, 20)),
    Case("attention_causal", causal, qkv(2, 3, 29, 29, 16, 16)),
    Case("attention_causal_long", causal, qkv(1, 2, 40, 19, 8, 8)),
    Case("attention_causal_short", causal, qkv(1, 2, 5, 50, 16, 16)),
    Case("attention_mask", sdpa, [*qkv(2, 3, 15, 37, 16, 16), torch.randn(2, 3, 15, 37)]),
    Case("attention_mask_of_rows", sdpa, [*qkv(2, 3, 15, 37, 16, 16), torch.randn(15, 37)]),
    Case("attention_mask_of_keys", sdpa, [*qkv(2, 3, 15, 37, 16, 16), torch.randn(2, 1, 1, 37)]),
    Case("attention_mask_of_heads", sdpa, [*qkv(2, 3, 15, 37, 16, 16), torch.randn(3, 15, 1)]),
    Case("attention_mask_hidden", sdpa, [*qkv(2, 3, 15, 37, 16, 16), hidden(2, 1, 15, 37)]),
    Case("attention_mask_bool", sdpa, [*qkv(2, 3, 15, 37, 16, 16), hidden(2, 1, 15, 37) == 0]),
    Case("attention_shared", grouped, qkv(2, 6, 14, 18, 16, 16, held=2)),
    Case("attention_shared_few_rows", grouped, qkv(2, 6, 3, 18, 16, 16, held=3)),
    Case("attention_nan", sdpa, [*qkv(1, 2, 15, 18, 16, 16)[:2], torch.full((1, 2, 18, 16), math.nan)]),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check_kernel(id)


@pytest.mark.parametrize("rows", [2, 12, 13, 40])
def test_any_number_of_rows(parity: Batch, rows: int) -> None:
    parity.check("scores_any_rows", torch.randn(2, rows, 9), torch.randn(2, 11, 9))
