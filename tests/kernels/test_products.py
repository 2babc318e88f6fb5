"""Products of two tensors of the graph against torch: sizes around tile edges, batches that broadcast."""

from __future__ import annotations

import math

import pytest
import torch
from torch.export import Dim
from torch.nn import functional as F

from tests.support.parity import Batch, Case

pytestmark = pytest.mark.slow  # CI runs them: minutes of compiling

torch.manual_seed(0)


def x(*shape: int) -> torch.Tensor:
    return torch.randn(shape)


def special(rows: int, columns: int) -> torch.Tensor:
    """NaN, infinities and zeros, in rows and columns of their own."""
    made = x(rows, columns)
    made[0, 1], made[1, 2], made[2, 3], made[3] = math.nan, math.inf, -math.inf, 0
    return made


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


CASES = [
    *(
        Case(f"{m}x{k}x{n}", product, [x(m, k), x(k, n)])
        for m, k, n in (
            *(
                (1, 20, 70),
                (2, 130, 31),
                (3, 1, 33),
                (4, 300, 65),
                (5, 17, 32),
            ),  # rows of b as they lie up to 4
            *((12, 16, 64), (13, 15, 8), (25, 1100, 40), (70, 33, 129), (300, 64, 64)),
        )
    ),
    Case("column", product, [x(3, 9, 20), x(3, 20, 1)]),
    Case("column_of_one", product, [x(3, 9, 1), x(1, 1)]),
    Case("batches", product, [x(2, 3, 14, 18), x(2, 3, 18, 35)]),
    Case("batches_few_rows", product, [x(2, 3, 1, 18), x(2, 3, 18, 70)]),
    Case("one_b", product, [x(2, 3, 7, 18), x(1, 1, 18, 35)]),
    Case("one_a", product, [x(7, 18), x(2, 3, 18, 35)]),
    Case("broadcasts", product, [x(2, 1, 7, 18), x(3, 18, 35)]),
    Case("special", product, [special(6, 20), x(20, 40)]),
    Case("special_b", product, [x(3, 6), special(6, 40)]),
    Case("computed_weight", lambda a, w: F.linear(a, w * 2), [x(2, 5, 18), x(35, 18)]),
    Case(
        "any_size",
        product,
        [x(2, 5, 6), x(2, 6, 7)],
        dynamic_shapes=(
            {0: Dim("batch"), 1: Dim("rows"), 2: Dim("inner")},
            {0: Dim("batch"), 1: Dim("inner")},
        ),
    ),
    Case(
        "sizes_that_are_sums",
        lambda a, b: (a[1:, 1:] @ b[1:], a[:, None, 1:] @ b[:, None], F.linear(a[1:, :-1], b[0].mT * 2)),
        [x(4, 5, 6), x(4, 6, 7)],
        dynamic_shapes=({0: Dim("batch", min=3), 1: Dim("rows", min=3)}, {0: Dim("batch", min=3)}),
    ),
]
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", [c.id for c in CASES])
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


def test_one_compile_serves_other_sizes(parity: Batch) -> None:
    for batch, rows, inner in ((0, 3, 3), (1, 3, 40), (3, 40, 3)):
        parity.check("any_size", x(batch, rows, inner), x(batch, inner, 7))
    parity.check("sizes_that_are_sums", x(6, 3, 6), x(6, 6, 7))
