"""Pooling and padding against torch: order, ties, NaN, infinities, windows over the edge."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim
from torch.nn import functional as F

from tests.support.parity import Batch, Case, ids

torch.manual_seed(0)
L = torch.randn(2, 4, 11)
X = torch.randn(2, 4, 9, 7)
V = torch.randn(1, 2, 5, 6, 4)
NAN = torch.randn(1, 2, 7, 8)
NAN[0, 0, 2, 3], NAN[0, 1, 4:, 4:] = torch.nan, -torch.inf
TIES = torch.randint(0, 3, (1, 2, 7, 8))

CASES = [
    Case(
        "max_pool",
        lambda x: (
            F.max_pool2d(x, 3, 2, 1),
            F.max_pool2d(x, 2, 3, 1, ceil_mode=True, return_indices=True),
        ),
        [NAN],
    ),
    Case(
        "max_pool_more",
        lambda x: (
            F.max_pool2d(x, 2),
            F.max_pool2d(x, (2, 3), (1, 2), 1, dilation=2),
            F.max_pool2d(x, 3, 2, ceil_mode=True),
            F.max_pool2d(x, 3, 2, 1, return_indices=True),
            F.adaptive_max_pool2d(x, (3, 2)),
        ),
        [NAN],
        slow=True,
    ),
    Case("max_pool_ties", lambda x: F.max_pool2d(x.float(), 3, 1, 1, return_indices=True), [TIES], slow=True),
    Case(
        "max_pool_1d_3d",
        lambda x, v: (F.max_pool1d(x, 3, 2, 1), F.max_pool3d(v, 2, padding=1)),
        [L, V],
        slow=True,
    ),
    Case("max_pool_int", lambda x: F.max_pool2d(x, 2, 1, 1), [TIES], slow=True),
    Case(
        "avg_pool",
        lambda x: (
            F.avg_pool2d(x, 3, 2, 1),
            F.avg_pool2d(x, 2, 3, 1, ceil_mode=True, count_include_pad=False),
        ),
        [X],
    ),
    Case(
        "avg_pool_more",
        lambda x: (
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, (2, 3), divisor_override=5),
        ),
        [X],
        slow=True,
    ),
    Case(
        "avg_pool_1d_3d", lambda x, v: (F.avg_pool1d(x, 3, 2, 1), F.avg_pool3d(v, 2, 1, 1)), [L, V], slow=True
    ),
    Case(
        "adaptive_avg_pool",
        lambda x, y: (
            F.adaptive_avg_pool2d(x, 1),
            F.adaptive_avg_pool2d(x, (3, 2)),
            F.adaptive_avg_pool2d(x, (12, 7)),
            F.adaptive_avg_pool1d(y, 4),
        ),
        [X, L],
        slow=True,
    ),
    Case(
        "pad",
        lambda x, i: (
            F.pad(x, (1, 2)),
            F.pad(x, (1, -2, -1, 3), value=1.5),
            F.pad(i > 1, (0, 2), value=True),
        ),
        [X, TIES],
    ),
    Case(
        "pad_modes",
        lambda x, i: (
            F.pad(x, (2, 1, 0, 3), mode="reflect"),
            F.pad(x, (1, 2, 3, 0), mode="replicate"),
            F.pad(x, (1, 2, 3, 0), mode="circular"),
            F.pad(i, (1, 1), value=7),
        ),
        [X, TIES],
        slow=True,
    ),
    Case("pad_empty", lambda x: F.pad(x, (1, 1, 2, 0), value=3), [torch.randn(0, 2)], slow=True),
    Case(
        "adaptive_max_pool_3d",
        lambda v: F.adaptive_max_pool3d(v, (2, 3, 3), return_indices=True),
        [V],
        slow=True,
    ),
    Case(
        "unbatched",
        lambda x: (F.max_pool2d(x, 2), F.avg_pool2d(x, 3), F.adaptive_avg_pool2d(x, 4)),
        [X[0]],
        slow=True,
    ),
    Case(
        "pool_empty", lambda x: (F.max_pool2d(x, 2), F.avg_pool2d(x, 2)), [torch.randn(0, 4, 5, 5)], slow=True
    ),
]
DYNAMIC = [
    Case(
        "dynamic",
        lambda x: (
            F.max_pool2d(x, 3, 2, 1),
            F.avg_pool2d(x, 2),
            F.adaptive_avg_pool2d(x, 1),
            F.adaptive_avg_pool2d(x, (3, 2)),
            F.pad(x, (0, 1, 2, 0)),
        ),
        [X],
        dynamic_shapes=({0: Dim("batch"), 2: Dim("height", min=4, max=64), 3: Dim("width", min=4, max=64)},),
        slow=True,
    ),
]
PARITY = Batch([*CASES, *DYNAMIC])


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.parametrize("id", ids(DYNAMIC))
def test_one_compile_serves_other_sizes(parity: Batch, id: str) -> None:
    parity.check(id)
    for shape in ((1, 4, 4, 5), (3, 4, 16, 8)):
        parity.check(id, torch.randn(shape))
