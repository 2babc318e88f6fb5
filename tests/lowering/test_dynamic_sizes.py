"""Sizes that vary: derived ones, refusals in the user's names, and state that a module writes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

import fxmax
from tests.support.parity import Batch, Case, assert_same

pytestmark = pytest.mark.slow  # one and a half minutes of compiling

HALF = Dim("half", min=2, max=9)
N = Dim("n", min=2, max=16)


class Fold(nn.Module):
    def forward(self, x, y):
        return x[:, 1:] * y.reshape(1, -1, 4)


class Odd(nn.Module):
    """Only a derived size tells what `half` is."""

    def forward(self, x):
        return x[1:].view(2, -1).sum(0), x + torch.arange(x.shape[0])


class Masked(nn.Module):
    """Attention over a symbolic length, with a mask made of it."""

    def forward(self, q, k):
        n, m = q.shape[-2], k.shape[-2]
        window = (torch.arange(m) - torch.arange(n)[:, None]).abs() <= 2
        return F.scaled_dot_product_attention(q, k, k, attn_mask=window)


class Cache(nn.Module):
    """Writes at a place that a size gives, and reads what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.arange(24.0).reshape(2, 12))

    def forward(self, x, past):
        before = self.cache + 0
        self.cache[:, past.shape[0] : past.shape[0] + x.shape[1]] = x
        return before.sum(1), self.cache * 2


class Rolled(nn.Module):
    """By more than the size may be."""

    def forward(self, x):
        return x.roll(-1), x.roll((3, -2), (0, 1)), x.roll(1, 1)


class Places(nn.Module):
    """A cache written by index, as Hugging Face's static cache is, one place or several."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(2, 5, 3))
        self.register_buffer("values", torch.zeros(2, 5, 3))

    def forward(self, x, place, places):
        self.keys.index_copy_(1, place, x)
        self.values[:, places] = x.expand(-1, 2, -1)
        return self.keys + self.values


class Hands(nn.Module):
    """Returns an input as it is, and one that it has written to."""

    def forward(self, x, y):
        y.add_(1)
        return x, y, x + y


Q, K = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
MASKED_SIZES = ({0: Dim("b"), 2: N}, {0: Dim("b"), 2: Dim("m", min=2)})
PAST_SIZES = ({1: Dim("new", max=3)}, {0: Dim("past", max=8)})
PARITY = Batch(
    [
        Case(
            "fold",
            Fold(),
            [torch.randn(2, 7, 4), torch.randn(3, 8)],
            dynamic_shapes=({1: 2 * HALF + 1}, {0: HALF}),
        ),
        Case("odd", Odd(), [torch.randn(7)], dynamic_shapes=({0: 2 * HALF + 1},)),
        Case("auto", Odd(), [torch.randn(7)], dynamic_shapes=({0: Dim.AUTO},)),
        Case("masked", Masked(), [Q, K], dynamic_shapes=MASKED_SIZES),
        Case("cache", Cache(), [torch.randn(2, 2), torch.zeros(3)], dynamic_shapes=PAST_SIZES),
        Case("rolled", Rolled(), [torch.randn(4, 3)], dynamic_shapes=({0: Dim("n", min=0, max=9)},)),
        Case("hands", Hands(), [torch.zeros(3), torch.zeros(3)]),
        Case("places", Places(), [torch.randn(2, 1, 3), torch.tensor([2]), torch.tensor([0, 4])]),
    ]
)


def test_derived_sizes(parity: Batch) -> None:
    for half in (2, 3, 9):
        x, y, v = torch.randn(2, 2 * half + 1, 4), torch.randn(half, 8), torch.randn(2 * half + 1)
        assert_same(parity["fold"](x, y), Fold()(x, y))
        assert_same(parity["odd"](v), Odd()(v))
        assert_same(parity["auto"](v), Odd()(v))


@pytest.mark.parametrize(
    ("name", "shapes", "message"),
    [
        ("fold", [(2, 8, 4), (3, 8)], r"x has size 8 on axis 1; 2\*half \+ 1 was lowered, and half is 3"),
        ("fold", [(2, 25, 4), (12, 8)], r"y has size 12 on axis 0; half was lowered for 2\.\.9"),
        ("odd", [(8,)], r"x has size 8 on axis 0; 2\*half \+ 1 was lowered"),
        ("odd", [(33,)], r"x has size 33 on axis 0, which makes half 16; half was lowered for 2\.\.9"),
        ("masked", [(2, 3, 17, 8), (2, 3, 7, 8)], r"q has size 17 on axis 2; n was lowered for 2\.\.16"),
        ("masked", [(2, 3, 5, 8), (3, 3, 7, 8)], r"k has size 3 on axis 0; b is 2 elsewhere"),
    ],
)
def test_refusals_name_the_size(parity: Batch, name: str, shapes, message: str) -> None:
    with pytest.raises(fxmax.InputError, match=message):
        parity[name](*(torch.randn(s) for s in shapes))


@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_a_roll_goes_around_a_small_size_several_times(parity: Batch, size: int) -> None:
    parity.check("rolled", torch.randn(size, 3))


def test_masks_of_symbolic_sizes(parity: Batch) -> None:
    for b, n, m in ((2, 5, 7), (1, 16, 3), (4, 2, 30)):
        q, k = torch.randn(b, 3, n, 8), torch.randn(b, 3, m, 8)
        assert_same(parity["masked"](q, k), Masked()(q, k))


def test_a_cache_is_written_in_place_at_a_place_that_varies(parity: Batch) -> None:
    module = Cache()
    for past, new in ((0, 2), (5, 3), (8, 1), (2, 2)):
        x, before = torch.randn(2, new), torch.zeros(past)
        assert_same(parity["cache"](x, before), module(x, before))


def test_a_cache_is_written_by_index(parity: Batch) -> None:
    module = Places()
    for place, places in (([4], [0, 1]), ([0], [3, 2]), ([4], [1, 4])):
        given = torch.randn(2, 1, 3), torch.tensor(place), torch.tensor(places)
        assert_same(parity["places"](*given), module(*given))


def test_outputs_alias_the_inputs_that_torch_returns(parity: Batch) -> None:
    x, y = torch.randn(3), torch.zeros(3)
    same, written, total = parity["hands"](x, y)
    assert same is x
    assert written is y
    assert_same(y, torch.ones(3))
    assert_same(total, x + 1)
