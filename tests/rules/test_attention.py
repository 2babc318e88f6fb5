"""SDPA against torch: masks, causality, scale, grouped queries, and unequal lengths."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa

from tests.support.parity import Batch, Case, ids

torch.manual_seed(0)
# Heads, lengths and width all differ, so that a kernel reading another layout can't pass.
Q, K, V = (torch.randn(2, h, n, 8) for h, n in ((6, 5), (6, 7), (6, 7)))
GROUPED = [torch.randn(2, 6, 5, 8), torch.randn(2, 2, 7, 8), torch.randn(2, 2, 7, 8)]
BOOL = torch.rand(2, 1, 5, 7) > 0.4
BOOL[0, 0, 2] = False  # a row that attends to nothing
INFINITE = torch.zeros(5, 7).masked_fill(~BOOL[0, 0], -torch.inf)
LOWEST = torch.zeros(5, 7).masked_fill(~BOOL[0, 0], torch.finfo(torch.float32).min)

CASES = [
    Case("plain", lambda q, k, v: sdpa(q, k, v), [Q, K, V], slow=True),
    Case("scale", lambda q, k, v: sdpa(q, k, v, scale=0.3), [Q, K, V], slow=True),
    Case("causal", lambda q, k, v: sdpa(q, k, v, is_causal=True), [Q, K, V], slow=True),
    Case("float_mask", lambda q, k, v, m: sdpa(q, k, v, m), [Q, K, V, torch.randn(5, 7)], slow=True),
    Case("infinite_mask", lambda q, k, v, m: sdpa(q, k, v, m), [Q, K, V, INFINITE], slow=True),
    Case("lowest_mask", lambda q, k, v, m: sdpa(q, k, v, m), [Q, K, V, LOWEST], slow=True),
    Case("bool_mask", lambda q, k, v, m: sdpa(q, k, v, m), [Q, K, V, BOOL], slow=True),
    Case("grouped", lambda q, k, v: sdpa(q, k, v, enable_gqa=True), GROUPED, slow=True),
    Case(
        "grouped_causal", lambda q, k, v: sdpa(q, k, v, is_causal=True, enable_gqa=True), GROUPED, slow=True
    ),
    Case("causal_longer", lambda q, k, v: sdpa(k, q, q, is_causal=True), [Q, K, V], slow=True),
    Case("rank3", lambda q, k, v: sdpa(q, k, v), [Q[0], K[0], V[0]]),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
