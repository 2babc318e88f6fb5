"""Matrix products and softmax against torch."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim
from torch.nn import functional as F

from tests.support.parity import Batch, Case, ids

torch.manual_seed(0)
A, B = torch.randn(3, 4), torch.randn(4, 5)
V, W = torch.randn(4), torch.randn(4)
BATCH_A, BATCH_B = torch.randn(2, 3, 4), torch.randn(2, 4, 5)
X = torch.randn(2, 6, 4)
INF = torch.tensor(
    [
        [0.0, -torch.inf, 1.0],
        [-torch.inf] * 3,
        [1000.0, 0.0, 999.0],
        [0.0, torch.inf, 1.0],
        [torch.nan, 0.0, -torch.inf],
    ]
)
NAN = torch.full((3, 5), torch.nan)

CASES = [
    Case("linear", lambda x, w, b: F.linear(x, w, b), [X, torch.randn(7, 4), torch.randn(7)]),
    Case(
        "linear_1d", lambda x, w: (F.linear(x[0, 0], w), F.linear(x, w[0])), [X, torch.randn(7, 4)], slow=True
    ),
    Case(
        "matmul_ranks", lambda a, b, v, w: (a @ b, v @ w, a @ v, v @ b, v @ b.t().mT), [A, B, V, W], slow=True
    ),
    Case("matmul_batches", lambda x, y, b: (x @ y, x @ b, b.t() @ x.mT), [BATCH_A, BATCH_B, B], slow=True),
    Case(
        "matmul_broadcasts", lambda x, y: x @ y, [torch.randn(2, 1, 3, 4), torch.randn(1, 5, 4, 2)], slow=True
    ),
    Case("matmul_row", lambda x, v: (x @ v, v @ x.mT), [BATCH_A, V], slow=True),
    Case("matmul_rank_differs", lambda x, y: x @ y, [torch.randn(3, 4), torch.randn(2, 2, 4, 5)], slow=True),
    Case("bmm", lambda x, y: torch.bmm(x, y), [BATCH_A, BATCH_B], slow=True),
    Case("mm", lambda a, b: torch.mm(a, b), [A, B], slow=True),
    Case("mv_dot", lambda a, v, w: (torch.mv(a, v), torch.dot(v, w), torch.vdot(v, w)), [A, V, W], slow=True),
    Case("addmm", lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2), [torch.randn(5), A, B], slow=True),
    Case("addmm_beta_0", lambda c, a, b: torch.addmm(c, a, b, beta=0), [NAN, A, B], slow=True),
    Case("addmv", lambda c, a, v: torch.addmv(c, a, v), [torch.randn(3), A, V], slow=True),
    Case(
        "baddbmm",
        lambda c, x, y: torch.baddbmm(c, x, y, alpha=3),
        [torch.randn(1, 1, 5), BATCH_A, BATCH_B],
        slow=True,
    ),
    Case("matmul_empty", lambda a, b: (a[:, :0] @ b[:0], a[:0] @ b, a @ b[:, :0]), [A, B], slow=True),
    Case(
        "matmul_int", lambda a, b: a @ b, [torch.arange(6).view(2, 3), torch.arange(12).view(3, 4)], slow=True
    ),
    Case("matmul_double", lambda a, b: a @ b, [A.double(), B.double()], slow=True),
    Case("einsum", lambda x, y: torch.einsum("bij,bjk->bki", x, y), [BATCH_A, BATCH_B], slow=True),
    Case("softmax", lambda x: (x.softmax(-1), x.softmax(1)), [X]),
    Case("softmax_first", lambda x: x.softmax(0), [X], slow=True),
    Case("softmax_dtype", lambda i: i.softmax(0, dtype=torch.float32), [torch.arange(4)], slow=True),
    Case("softmax_scalar", lambda s: (s.softmax(0), s.log_softmax(-1)), [torch.tensor(3.0)], slow=True),
    Case("softmax_infinite", lambda x: x.softmax(-1), [INF], slow=True),
    Case("log_softmax", lambda x: (x.log_softmax(-1), x.log_softmax(0)), [X], slow=True),
    Case("log_softmax_infinite", lambda x: x.log_softmax(-1), [INF], slow=True),
    Case("softmax_empty", lambda x: x.softmax(1), [torch.randn(0, 3)], slow=True),
]
DYNAMIC = [
    Case(
        "dynamic",
        lambda x, w, y: (F.linear(x, w), x @ y.mT, (x @ y.mT).softmax(-1), x.softmax(1)),
        [X, torch.randn(7, 4), torch.randn(2, 3, 4)],
        dynamic_shapes=({0: Dim("b"), 1: Dim("n")}, None, {0: Dim("b"), 1: Dim("m")}),
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
    parity.check(id, torch.randn(3, 2, 4), torch.randn(7, 4), torch.randn(3, 9, 4))
