"""Every family of ops on unsigned integers, at their ends: MAX has no negation and no abs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.parity import Batch, Case, ids

Binary = Callable[[Tensor, Tensor], Any]
X = [[0, 1, 2, 250], [3, 4, 5, 7], [9, 200, 1, -1]]  # -1 is the greatest
Y = [[1, 2, 3, 1], [2, 3, 1, 2], [3, 1, 2, 3]]
OPS: dict[str, Binary] = {
    "neg": lambda x, y: -x,
    "abs": lambda x, y: x.abs(),
    "sign": lambda x, y: x.sign(),
    "sums": lambda x, y: (x + y, x - y, 7 - x, 0 - x, torch.zeros_like(x) - x, x + 200, x + (-1)),
    "products": lambda x, y: (x * y, x * (-2), x * (-1), x * 0.5),
    "quotients": lambda x, y: (
        x / y,
        x // y,
        x % y,
        torch.div(x, y, rounding_mode="trunc"),
        torch.fmod(x, y),
    ),
    "powers": lambda x, y: (x**2, x**y, 2**x),
    "bits": lambda x, y: (x & y, x | y, x ^ y, ~x),
    "shifts": lambda x, y: (x << 1, x >> 1, x << y, x >> y),
    "compared": lambda x, y: (x < y, x <= y, x > y, x >= y, x == y, x != y, x > 3),
    "extrema": lambda x, y: (torch.maximum(x, y), torch.minimum(x, y), x.clamp(2, 5), x.clamp(min=3)),
    "relu": lambda x, y: F.relu(x),
    "chosen": lambda x, y: (torch.where(x > y, x, y), x.masked_fill(x > 3, 9)),
    "reduced": lambda x, y: (x.sum(), x.sum(0), x.prod(), x.any(), x.all(1), x.count_nonzero()),
    "greatest": lambda x, y: (x.amax(1), x.amin(1), x.max(1), x.min(0), x.argmax(1), x.argmin()),
    "running": lambda x, y: (x.cumsum(0), x.cumprod(0), x.cummax(0)),
    "sorted": lambda x, y: (x.sort(), x.topk(2)),
    "cast": lambda x, y: (x.float(), x.double(), x.bool(), x.to(torch.int8), x.long(), x.int()),
    "cast to it": lambda x, y: ((x.float() * 0.5).to(x.dtype), (y.long() - 4).to(x.dtype)),
    "filled": lambda x, y: (torch.full_like(x, 3), x.new_full((2,), 250), torch.arange(5, dtype=x.dtype)),
    "indexed": lambda x, y: (x[y.long() % 3], x.gather(1, y.long() % 4), x.take(y.long()), x[x > 3]),
    "scattered": lambda x, y: (
        x.scatter(1, y.long() % 4, x),
        x.scatter_add(1, y.long() % 4, x),
        x.scatter_reduce(1, y.long() % 4, x, "amax"),
    ),
    "arranged": lambda x, y: (torch.cat([x, y]), x[1:, ::2], x.flip(0), F.pad(x, (1, 2), value=3), x.tril()),
    "promoted": lambda x, y: (x + y.int(), x + y.float()),
}
WIDE: dict[str, Binary] = {  # torch has less of uint16, uint32 and uint64
    "products-uint32": OPS["products"],
    "bits-uint32": lambda x, y: (x & y, x | y, x ^ y),
    "compared-uint64": lambda x, y: (x == y, x != y),
}
QUICK = {"neg-uint8", "abs-uint8"}


def cases() -> Iterator[Case]:
    for id, fn in ({f"{name}-uint8": fn for name, fn in OPS.items()} | WIDE).items():
        dtype = getattr(torch, id.rpartition("-")[2])
        yield Case(id, fn, [torch.tensor(rows).to(dtype) for rows in (X, Y)], slow=id not in QUICK)


CASES = list(cases())
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)
