"""Views, slices, joins and splits against torch, with negative dims, steps, empty and 0-d tensors."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim

from tests.support.parity import Batch, Case, ids

torch.manual_seed(0)
aten = torch.ops.aten
X = torch.randn(2, 6, 4)
M = torch.randn(6, 4)
V = torch.randn(5)
S = torch.tensor(2.5)
E = torch.randn(0, 3)
INTS = torch.arange(24).reshape(2, 3, 4)
B = torch.rand(3, 4) > 0.5

CASES = [
    Case("view", lambda x: x.view(2, -1), [X]),
    Case("view_scalar", lambda x: x.view(1, 1), [S], slow=True),
    Case("reshape_after_transpose", lambda x: x.transpose(0, -1).reshape(4, 12), [X]),
    Case("permute_negative", lambda x: x.permute(-1, 0, 1), [X], slow=True),
    Case("t", lambda m, v: (m.t(), v.t(), m.mT, m.T), [M, V], slow=True),
    Case("transpose_scalar", lambda s: s.transpose(0, -1), [S], slow=True),
    Case("unsqueeze", lambda x, s: (x.unsqueeze(-1), x.unsqueeze(0), s.unsqueeze(0)), [X, S], slow=True),
    Case(
        "squeeze",
        lambda x: (x.squeeze(), x.squeeze(1), x.squeeze((0, -1))),
        [torch.randn(1, 3, 1)],
        slow=True,
    ),
    Case("expand", lambda v, s: (v.expand(3, -1), s.expand(2, 2)), [V, S], slow=True),
    Case("flatten", lambda x, s: (x.flatten(1), s.flatten(), x.unflatten(1, (2, 3))), [X, S], slow=True),
    Case("movedim", lambda x: x.movedim(0, -1), [X], slow=True),
    Case("bool_views", lambda b: b.t().reshape(-1).view(2, 6), [B], slow=True),
    Case("empty_views", lambda e: (e.view(3, 0), e.t(), e.unsqueeze(0), e.expand(2, 0, 3)), [E], slow=True),
    Case("slice", lambda x: (x[:, 1:4], x[..., -2:], x[:, :-1], x[1:, 2:5:2], x[:, ::3]), [X]),
    Case("slice_beyond", lambda x: (x[:, 2:100], x[:, -100:2], x[:, 5:1], x[:, 9:]), [X], slow=True),
    Case("select", lambda x, v: (x[0], x[:, -1], x[1, 2, 3], v[-5]), [X, V], slow=True),
    Case("narrow", lambda x: x.narrow(1, 2, 3), [X], slow=True),
    Case("cat", lambda x, y: torch.cat([x, y, x], -2), [X, torch.randn(2, 1, 4)]),
    Case("cat_promotes", lambda x, i: torch.cat([x, i]), [torch.randn(1, 3, 4), INTS], slow=True),
    Case("cat_skips_empty", lambda e, m: torch.cat([e, m, m]), [torch.randn(0), M], slow=True),
    Case("empty_constant", lambda m: (torch.tensor([]).clone(), torch.cat([torch.tensor([]), m])), [M]),
    Case("cat_one", lambda m: torch.cat([m]), [M], slow=True),
    Case("cat_all_empty", lambda e: torch.cat([e, e]), [E], slow=True),
    Case("cat_bool_int", lambda b, i: torch.cat([b, i[0]]), [B, INTS], slow=True),
    Case("stack", lambda m, n: (torch.stack([m, n], -1), torch.stack([m, n])), [M, M + 1], slow=True),
    Case("stack_scalars", lambda s, t: torch.stack([s, t]), [S, S + 1], slow=True),
    Case("split", lambda x: x.split(4, 1), [X], slow=True),
    Case("split_sizes", lambda x: x.split([1, 0, 3], -1), [X], slow=True),
    Case("chunk", lambda x: x.chunk(4, 1), [X], slow=True),
    Case("tensor_split", lambda x: x.tensor_split(4, 1), [X], slow=True),
    Case("unbind", lambda x: x.unbind(-2), [X], slow=True),
    Case(
        "hstack", lambda m: (torch.hstack([m, m]), torch.vstack([m, m]), torch.dstack([m, m])), [M], slow=True
    ),
    Case(
        "slice_scatter",
        lambda x, y: (
            torch.slice_scatter(x, y, 1, 1, 4),
            torch.slice_scatter(x, y, 1, -3),
            torch.slice_scatter(x, y, 1, 0, 6, 2),
            torch.slice_scatter(x, y, 1, 1, 99, 2),
        ),
        [X, torch.randn(2, 3, 4)],
        slow=True,
    ),
    Case("slice_scatter_all", lambda x: torch.slice_scatter(x, x * 2, 0), [X], slow=True),
    Case(
        "select_scatter", lambda x, y: torch.select_scatter(x, y, -1, -2), [X, torch.randn(2, 6)], slow=True
    ),
    Case("copy", lambda x, v: x.clone().copy_(v), [X, torch.arange(4)], slow=True),
    Case(
        "in_place_views",
        lambda x, m: (y := x.clone(), y[:, 1:3].mul_(2), y[0].add_(m), y[..., 0].copy_(m[0, 0]), y)[-1],
        [X, M],
        slow=True,
    ),
]

LENGTH, BATCH = Dim("length", min=3, max=64), Dim("batch", max=9)
DYNAMIC = [
    Case(
        "views",
        lambda x: (x.view(x.shape[0], -1, 2, 2), x.flatten(0, 1), x.transpose(1, 2).reshape(x.shape[0], -1)),
        [X],
        dynamic_shapes=({0: BATCH, 1: LENGTH},),
        slow=True,
    ),
    Case(
        "slices",
        lambda x: (x[:, 1:], x[:, :-2], x[:, -1], x[:, ::2], x[:, 1:3], x[:, -3:]),
        [X],
        dynamic_shapes=({0: BATCH, 1: LENGTH},),
        slow=True,
    ),
    Case(
        "joins",
        lambda x, y: (torch.cat([x, y], 1), torch.cat([x, x[:, :1]], 1), torch.stack([x, x + 1], 1)),
        [X, torch.randn(2, 3, 4)],
        dynamic_shapes=({0: BATCH, 1: LENGTH}, {0: BATCH, 1: Dim("more")}),
        slow=True,
    ),
    Case(
        "by_another_size",
        lambda x, y: (x[:, : y.shape[0]], x[:, y.shape[0] :], x[:, y.shape[0]], x[:, -y.shape[0] - 1]),
        [torch.randn(2, 10, 4), V],
        dynamic_shapes=(None, {0: Dim("at", min=1, max=8)}),
        slow=True,
    ),
    Case(
        "scatters",
        lambda x, y: (
            torch.slice_scatter(x, y, 1, y.shape[1], 2 * y.shape[1]),
            torch.slice_scatter(x, y, 1, 0, y.shape[1]),
        ),
        [torch.randn(2, 20, 4), torch.randn(2, 3, 4)],
        dynamic_shapes=(None, {1: Dim("n", min=1, max=9)}),
        slow=True,
    ),
]
OTHER_SIZES = {
    "views": [torch.randn(5, 9, 4)],
    "slices": [torch.randn(1, 13, 4)],
    "joins": [torch.randn(1, 3, 4), torch.randn(1, 11, 4)],
    "by_another_size": [torch.randn(2, 10, 4), torch.randn(1)],
    "scatters": [torch.randn(2, 20, 4), torch.randn(2, 8, 4)],
}
PARITY = Batch([*CASES, *DYNAMIC])


@pytest.mark.parametrize("id", ids(CASES))
def test_equals_torch(parity: Batch, id: str) -> None:
    parity.check(id)


@pytest.mark.parametrize("id", ids(DYNAMIC))
def test_one_compile_serves_other_sizes(parity: Batch, id: str) -> None:
    parity.check(id)
    parity.check(id, *OTHER_SIZES[id])
