"""Reductions where MAX's own differ from torch's: of nothing, as is known at run time only, and of NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # a kernel for each op

NAN, INF = float("nan"), float("inf")
SOME, NONE = torch.tensor([6.0, 1, 7, 8, 2]), torch.tensor([1.0, 2, 3, 4, 0])


def rows(v: Tensor) -> Tensor:
    return v[:, None].expand(-1, 3)


def columns(v: Tensor) -> Tensor:
    return v[None].expand(3, -1)


OF_CHOSEN: dict[str, Callable[[Tensor], Any]] = {
    "any": lambda v: (v > 0).any(),
    "any_of_integers": lambda v: v.int().any(),
    "any_along": lambda v: (rows(v) > 0).any(0),
    "any_of_columns": lambda v: (columns(v) > 0).any(1),
    "all": lambda v: (v > 0).all(),
    "all_along": lambda v: (rows(v) > 0).all(0),
    "sum": lambda v: v.sum(),
    "sum_along": lambda v: columns(v).sum(1),
    "prod": lambda v: rows(v).prod(0),
    "mean": lambda v: (v.mean(), columns(v).mean(1)),
    "var": lambda v: (v.var(), columns(v).std(1), v.var(correction=0)),
    "count": lambda v: torch.count_nonzero(v),
    "norms": lambda v: [torch.linalg.vector_norm(v, p) for p in (0, 1, 2, 3)],
    "running": lambda v: (v.cumsum(0), v.cumprod(0)),
    "softmax": lambda v: (v.softmax(0), columns(v).softmax(1)),
    "products": lambda v: (v[None] @ v[:, None], rows(v).T @ rows(v), v[:, None] * v[None]),
    "sorted": lambda v: (v.sort()[0], v.flip(0)),
    "written": lambda v: torch.zeros(5).index_add(0, v.long() % 5, v),
}
CHOSEN = [
    Case(f"{name}_of_what_is_chosen", lambda x, f=f: f(x[x > 5]), [SOME]) for name, f in OF_CHOSEN.items()
]
WITH_NAN = torch.tensor([[1.0, NAN, 3.0], [2.0, -1.0, INF], [0.0, 4.0, -2.0]])
ROW = torch.tensor([[0, 1, 0], [2, 0, 1], [0, 0, 0]])
OF_NAN = [
    Case(
        "norms_of_nan",
        lambda x: [torch.linalg.vector_norm(x, p, 1) for p in (1.5, 3, 2, INF, -INF)],
        [WITH_NAN],
    ),
    Case("distances_of_nan", lambda x: (torch.cdist(x, x, p=3.0), torch.dist(x[0], x[2], 3)), [WITH_NAN]),
    Case(
        "scattered_nan",
        lambda x: [
            torch.zeros(3, 3).scatter_reduce(
                0, torch.tensor([[0, 1, 0], [2, 0, 1], [0, 0, 0]]), x, r, include_self=s
            )
            for r in ("amax", "amin")
            for s in (True, False)
        ],
        [WITH_NAN],
    ),
    Case(
        "bag_of_nan",
        lambda x: F.embedding_bag(torch.tensor([0, 1, 2, 2]), x, torch.tensor([0, 2]), mode="max"),
        [WITH_NAN],
    ),
]
CASES = [*CHOSEN, *OF_NAN]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_reduction_equals_torch(id: str, parity: Batch) -> None:
    parity.check(id)


@pytest.mark.parametrize("id", [c.id for c in CHOSEN])
def test_reduction_of_nothing_equals_torch(id: str, parity: Batch) -> None:
    parity.check(id, NONE)
