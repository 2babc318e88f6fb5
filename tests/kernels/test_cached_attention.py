"""Attention over int8 keys and values, or a cache's first places, at sizes around the kernel's edges."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fxmax
from tests.support.parity import Batch, Case, Fn, assert_same, ids

BATCH, ROWS = torch.export.Dim("batch", min=1, max=8), torch.export.Dim("rows", min=1, max=64)


def attention(
    q: torch.Tensor, k: torch.Tensor, s: torch.Tensor, v: torch.Tensor, t: torch.Tensor
) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k.float() * s, t * v.float())


def scaled(q: torch.Tensor, k: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    x = s * k.to(torch.float32)
    return F.scaled_dot_product_attention(q, x, x, scale=0.3)


def inputs(b: int, h: int, s: int, t: int, d: int) -> list[torch.Tensor]:
    values = [torch.randint(-127, 128, (b, h, t, d), dtype=torch.int8) for _ in "kv"]
    k, v = ([x, torch.rand(b, h, t, 1) / 50] for x in values)
    return [torch.randn(b, h, s, d), *k, *v]


def first(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k[:, :, :11], v[:, :, :11])


def used(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, past: torch.Tensor) -> torch.Tensor:
    end = past.shape[0] + 1
    return F.scaled_dot_product_attention(q, k[..., :end, :], v[..., :end, :])


def floats(b: int, h: int, s: int, t: int, d: int) -> list[torch.Tensor]:
    return [torch.randn(b, h, s, d), torch.randn(b, h, t, d), torch.randn(b, h, t, d)]


torch.manual_seed(0)
PAST = torch.export.Dim("past", max=30)
CASES = [
    Case("one_query", attention, inputs(2, 3, 1, 37, 64), slow=True),
    Case("five_queries", attention, inputs(1, 2, 5, 16, 16), slow=True),
    Case("one_key", attention, inputs(1, 2, 3, 1, 32)),
    Case("odd_width", attention, inputs(1, 2, 3, 7, 20), slow=True),
    Case(
        "large_scores",
        attention,
        [30 * x if x.is_floating_point() else x for x in inputs(1, 2, 4, 33, 48)],
        slow=True,
    ),
    Case("a_scale", scaled, inputs(2, 2, 4, 50, 16)[:3], slow=True),
    Case("first_places", first, floats(2, 3, 5, 20, 48), slow=True),
    Case("first_odd_width", first, floats(1, 2, 3, 20, 12), slow=True),
    Case(
        "places_used",
        used,
        [*floats(2, 3, 1, 31, 64), torch.zeros(7)],
        dynamic_shapes=({0: BATCH}, {0: BATCH}, {0: BATCH}, {0: PAST}),
        slow=True,
    ),
    Case(
        "any_size",
        attention,
        inputs(2, 3, 5, 18, 16),
        dynamic_shapes=({0: BATCH, 2: ROWS}, *[{0: BATCH}] * 4),
        slow=True,
    ),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
    ops = parity.compiled(id).report.ops()
    assert "fxmax.cached_attention.default" in ops
    assert not {"aten.mul.Tensor", "aten.slice.Tensor"} & set(ops), "a copy of the cache is written out"


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "rows"), [(1, 1), (3, 4), (1, 9)])
def test_any_size(parity: Batch, batch: int, rows: int) -> None:
    parity.check("any_size", *inputs(batch, 3, rows, 18, 16))


@pytest.mark.slow
@pytest.mark.parametrize("past", [0, 1, 15, 30])
def test_any_number_of_places_used(parity: Batch, past: int) -> None:
    parity.check("places_used", *floats(3, 3, 1, 31, 64), torch.zeros(past))


@pytest.mark.parametrize(
    "change",
    [
        lambda q, k, s, v, t: F.scaled_dot_product_attention(q, k.float() * s, v.float() * t, is_causal=True),
        lambda q, k, s, v, t: F.scaled_dot_product_attention(q, k.float() * s[..., :1, :], v.float() * t),
        lambda q, k, s, v, t: F.scaled_dot_product_attention(q, k.float() * s, v.float()),
        lambda q, k, s, v, t: F.scaled_dot_product_attention(q, q[:, :, :2], q[:, :, :3][:, :, 1:]),
    ],
    ids=["causal", "another scale", "no scale", "other places"],
)
def test_what_is_something_else_is_left(change: Callable[..., torch.Tensor]) -> None:
    report = fxmax.explain(Fn(change), tuple(inputs(1, 2, 3, 3, 16)), device="cpu", quiet=True)
    assert "fxmax.cached_attention.default" not in report.ops()


class Cache(nn.Module):
    """Keys are written, in an input and in a buffer, and read again, in heads first or second."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("values", torch.zeros(2, 3, 4, 9, 16).transpose(3, axis).contiguous())

    def forward(self, x: torch.Tensor, past: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        start, count = past.shape[0], x.shape[3]
        for held, new in ((keys, x), (self.values, 2 * x)):
            held.narrow(self.axis, start, count).copy_(new.transpose(3, self.axis))
        k, v = (y.transpose(3, self.axis).flatten(0, 1)[..., : start + count, :] for y in (keys, self.values))
        return F.scaled_dot_product_attention(x.flatten(0, 1), k, v).view(x.shape)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [3, 2])
def test_a_cache_is_written_in_place_and_read_there(caches: dict[int, fxmax.Compiled], axis: int) -> None:
    ours, theirs = caches[axis], Cache(axis).eval()
    shape = (2, 3, 4, 9, 16)
    keys = torch.zeros(shape).transpose(3, axis).contiguous()
    mine = keys.clone()
    for past in (0, 1, 5, 6):
        x = torch.randn(2, 3, 4, 1, 16)
        expected = theirs(x, torch.zeros(past), keys)
        assert_same(ours(x, torch.zeros(past), mine), expected)
        assert_same(mine, keys)
    text = str(ours.lowered.graph)
    assert text.count("fxmax.store_places") == 2
    assert text.count("fxmax.buffer_attention") == (1 if axis == 3 else 0)


@pytest.fixture(scope="module")
def caches() -> dict[int, fxmax.Compiled]:
    x, past = torch.randn(2, 3, 4, 1, 16), torch.zeros(2)
    jobs = {
        str(axis): fxmax.Job(
            Cache(axis).eval(),
            (x, past, torch.zeros(2, 3, 4, 9, 16).transpose(3, axis).contiguous()),
            dynamic_shapes=({}, {0: torch.export.Dim("past", max=8)}, {}),
        )
        for axis in (3, 2)
    }
    made = fxmax.lower_many(jobs, device="cpu", quiet=True)
    return {int(name): compiled for name, compiled in made.items()}
