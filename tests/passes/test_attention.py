"""The three passes for attention, each in its turn: which takes what, and why it leaves the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from tests.support.rewritable import Attention, Cache
from tests.support.rewritten import reasons, rewritten

torch.manual_seed(0)
sdpa = F.scaled_dot_product_attention
Q = torch.randn(2, 2, 5, 4)
K, V = (torch.randint(-9, 9, (2, 2, 7, 4), dtype=torch.int8) for _ in "kv")
S = torch.rand(2, 2, 7, 1)
FLOAT32 = "it is not in float32, which the kernel is for"
HEADS_FIRST = "its queries, keys or values lie heads first, where a copy alone would move them"


# -- attention_layout -----------------------------------------------------------------------------------


def test_attention_layout_loses_the_transposes() -> None:
    seen = rewritten(Attention(), torch.randn(2, 7, 12))
    assert "fxmax.attention.default" in seen.ops
    assert not [op for op in seen.ops if "permute" in op or "transpose" in op]
    assert seen.changes("attention_layout") == 1


def test_attention_layout_does_not_move_keys_and_values_that_lie_heads_first() -> None:
    def cross(x: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q = x.unflatten(-1, (3, 4)).transpose(1, 2)
        return sdpa(q, k, v).transpose(1, 2).flatten(2)

    seen = rewritten(cross, torch.randn(2, 7, 12), torch.randn(2, 3, 9, 4), torch.randn(2, 3, 9, 4))
    assert "fxmax.heads_attention.default" in seen.ops
    assert seen.ops.count("aten.transpose.int") == 2
    assert seen.reasons == {("attention_layout", HEADS_FIRST)}
    assert set(seen.left.values()) == {"fxmax.heads_attention.default"}  # which took its place since


def swapped(**options: object) -> Callable[..., torch.Tensor]:
    return lambda x: sdpa(x.mT.mT.transpose(1, 2), x.transpose(1, 2), x.transpose(1, 2), **options)


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (swapped(is_causal=True), "it is masked"),
        (swapped(enable_gqa=True), "its heads share keys and values"),
        (lambda x: sdpa(x.transpose(1, 2), *[x[:1].transpose(1, 2)] * 2), "its batch or heads broadcast"),
    ],
    ids=["masked", "shared", "broadcast"],
)
def test_attention_layout_says_why_it_leaves_others(fn: Callable[..., torch.Tensor], why: str) -> None:
    assert why in reasons(fn, torch.randn(2, 5, 3, 4), by="attention_layout")


# -- attention_heads_first ----------------------------------------------------------------------------------


def test_attention_heads_first_takes_masked_attention() -> None:
    seen = rewritten(lambda q: sdpa(q, q, q, is_causal=True), Q)
    assert seen.ops == ["fxmax.heads_attention.default"]
    assert seen.changes("attention_heads_first") == 1


@pytest.mark.parametrize(
    ("fn", "q", "why"),
    [
        (lambda q: sdpa(q, q[:1], q[:1]), Q, "its batch broadcasts, or keys and values do"),
        (lambda q: sdpa(q, q[:, :1], q[:, :1]), Q, "its heads broadcast"),
        (lambda q: sdpa(q, q, q), Q.double(), FLOAT32),
        (lambda q: sdpa(q, q, q), Q[0], "its inputs do not have the four axes batch, heads, seq and dim"),
    ],
    ids=["batch", "heads", "float64", "three axes"],
)
def test_attention_heads_first_says_why_it_leaves_others(
    fn: Callable[..., torch.Tensor], q: torch.Tensor, why: str
) -> None:
    seen = rewritten(fn, q)
    assert "aten.scaled_dot_product_attention.default" in seen.ops
    assert ("attention_heads_first", why) in seen.reasons


# -- cached_attention -------------------------------------------------------------------------------------


def test_cached_attention_reads_and_writes_a_cache_where_it_lies() -> None:
    seen = rewritten(Cache(), torch.randn(1, 2, 3, 4))
    assert seen.ops == ["fxmax.write_places.default", "fxmax.cached_attention.default"]
    assert seen.changes("cached_attention") == 2


def test_cached_attention_reads_int8_as_it_is() -> None:
    seen = rewritten(lambda q, k, v, s: sdpa(q, k.float() * s, s * v.float()), Q, K, V, S)
    assert seen.ops == ["fxmax.cached_attention.default"]


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda q, k, v, s: sdpa(q, k.float() * s, v.float() * s, is_causal=True), "it is masked"),
        (
            lambda q, k, v, s: sdpa(q, k.float() * s, v.float()),
            "a cache holds its keys in one way and its values in another",
        ),
        (
            lambda q, k, v, s: sdpa(q, k.float()[:, :, :3], v.float()[:, :, :3][..., :2] * 1),
            "a cache holds its keys in one way and its values in another",
        ),
        (
            lambda q, k, v, s: sdpa(q, (k[:1].float() * s[:1]), (v[:1].float() * s[:1])),
            "its batch or heads broadcast, or its values are of another width than its keys",
        ),
    ],
    ids=["masked", "one of two", "a slice and a product", "broadcast"],
)
def test_cached_attention_says_why_it_leaves_others(fn: Callable[..., torch.Tensor], why: str) -> None:
    assert reasons(fn, Q, K, V, S, by="cached_attention") == {why}


def test_cached_attention_says_nothing_where_there_is_no_cache() -> None:
    assert reasons(lambda q: sdpa(q, q, q), Q, by="cached_attention") == set()
