"""Sizes that vary: derived ones, refusals in the user's names, and state that a module writes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

import fxmax
from tests.support.parity import assert_same

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


def jobs() -> dict[str, fxmax.Job]:
    q, k = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
    return {
        "fold": fxmax.Job(
            Fold(), (torch.randn(2, 7, 4), torch.randn(3, 8)), None, ({1: 2 * HALF + 1}, {0: HALF})
        ),
        "odd": fxmax.Job(Odd(), (torch.randn(7),), None, ({0: 2 * HALF + 1},)),
        "auto": fxmax.Job(Odd(), (torch.randn(7),), None, ({0: Dim.AUTO},)),
        "masked": fxmax.Job(Masked(), (q, k), None, ({0: Dim("b"), 2: N}, {0: Dim("b"), 2: Dim("m", min=2)})),
        "cache": fxmax.Job(
            Cache(),
            (torch.randn(2, 2), torch.zeros(3)),
            None,
            ({1: Dim("new", max=3)}, {0: Dim("past", max=8)}),
        ),
        "hands": fxmax.Job(Hands(), (torch.zeros(3), torch.zeros(3))),
        "places": fxmax.Job(Places(), (torch.randn(2, 1, 3), torch.tensor([2]), torch.tensor([0, 4]))),
    }


@pytest.fixture(scope="module")
def compiled() -> dict[str, fxmax.Compiled]:
    return fxmax.lower_many(jobs(), device="cpu", quiet=True)


def test_derived_sizes(compiled: dict[str, fxmax.Compiled]) -> None:
    for half in (2, 3, 9):
        x, y, v = torch.randn(2, 2 * half + 1, 4), torch.randn(half, 8), torch.randn(2 * half + 1)
        assert_same(compiled["fold"](x, y), Fold()(x, y))
        assert_same(compiled["odd"](v), Odd()(v))
        assert_same(compiled["auto"](v), Odd()(v))


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
def test_refusals_name_the_size(compiled: dict[str, fxmax.Compiled], name: str, shapes, message: str) -> None:
    with pytest.raises(fxmax.InputError, match=message):
        compiled[name](*(torch.randn(s) for s in shapes))


def test_masks_of_symbolic_sizes(compiled: dict[str, fxmax.Compiled]) -> None:
    for b, n, m in ((2, 5, 7), (1, 16, 3), (4, 2, 30)):
        q, k = torch.randn(b, 3, n, 8), torch.randn(b, 3, m, 8)
        assert_same(compiled["masked"](q, k), Masked()(q, k))


def test_a_cache_is_written_in_place_at_a_place_that_varies(compiled: dict[str, fxmax.Compiled]) -> None:
    module = Cache()
    for past, new in ((0, 2), (5, 3), (8, 1), (2, 2)):
        x, before = torch.randn(2, new), torch.zeros(past)
        assert_same(compiled["cache"](x, before), module(x, before))


def test_a_cache_is_written_by_index(compiled: dict[str, fxmax.Compiled]) -> None:
    module = Places()
    for place, places in (([4], [0, 1]), ([0], [3, 2]), ([4], [1, 4])):
        given = torch.randn(2, 1, 3), torch.tensor(place), torch.tensor(places)
        assert_same(compiled["places"](*given), module(*given))


def test_outputs_alias_the_inputs_that_torch_returns(compiled: dict[str, fxmax.Compiled]) -> None:
    x, y = torch.randn(3), torch.zeros(3)
    same, written, total = compiled["hands"](x, y)
    assert same is x
    assert written is y
    assert_same(y, torch.ones(3))
    assert_same(total, x + 1)
