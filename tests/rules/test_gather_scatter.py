"""Reading and writing by index, and rearranging, against torch."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim
from torch.nn import functional as F

from tests.support.parity import Batch, Case, ids

torch.manual_seed(0)
X = torch.randn(3, 5, 4)
M = torch.randn(5, 4)
IDS = torch.tensor([[0, 3, 3], [4, 1, 0]])
BACK = torch.tensor([-1, 0, 2, -3])
ROWS = torch.tensor([2, -1, 0])
S = torch.tensor(1.5)
AT = torch.randint(0, 5, (3, 2, 4))
SRC = torch.randn(3, 5, 4)
MASK = torch.rand(5, 4) > 0.5

CASES = [
    Case("embedding", lambda w, i: F.embedding(i, w), [M, IDS]),
    Case("embedding_of_one", lambda w, i: F.embedding(i[0, 0], w), [M, IDS], slow=True),
    Case("embedding_bag", lambda w, i: F.embedding_bag(i, w), [M, IDS]),
    Case(
        "embedding_bag_sum",
        lambda w, i, p: F.embedding_bag(i, w, mode="sum", per_sample_weights=p),
        [M, IDS, torch.rand(2, 3)],
        slow=True,
    ),
    Case(
        "embedding_bag_offsets",
        lambda w, i, o: (
            F.embedding_bag(i.flatten(), w, o, mode="sum", padding_idx=3),
            F.embedding_bag(i.flatten(), w, o, mode="max"),
        ),
        [M, IDS, torch.tensor([0, 2, 2, 5])],
        slow=True,
    ),
    Case("by_number", lambda x, i: (x[:, i[0]], x[..., i[1]] * i[3].item()), [X, BACK], slow=True),
    Case("histc", lambda m: m.histc(5, -1, 1), [M]),
    Case("histc_of_its_own_range", lambda m: m.histc(4), [M], slow=True),
    Case(
        "index_select", lambda x, i: (x.index_select(1, i), x.index_select(-2, i[0])), [X, IDS[1]], slow=True
    ),
    Case(
        "index_select_scalar",
        lambda s, i: s.index_select(0, i),
        [S, torch.zeros(1, dtype=torch.int64)],
        slow=True,
    ),
    Case("gather", lambda x, i: x.gather(1, i), [X, AT]),
    Case("gather_first", lambda x, i: x.transpose(0, 1).gather(0, i.transpose(0, 1)), [X, AT], slow=True),
    Case("gather_last", lambda m, i: m.gather(-1, i), [M, torch.randint(0, 4, (5, 7))], slow=True),
    Case("gather_scalar", lambda s, i: s.gather(0, i), [S, torch.tensor(0)], slow=True),
    Case("take_along", lambda m: m.take_along_dim(m.abs().argmax(1, keepdim=True), 1), [M], slow=True),
    Case("index_one", lambda x, i: (x[i], x[:, i], x[..., i]), [X, torch.tensor([0, -1, 2])], slow=True),
    Case("index_2d", lambda m, i: (m[i], m.T[:, i]), [M, IDS], slow=True),
    Case("index_two", lambda x, i, j: (x[i, j], x[:, i + 1, j], x[i, :, j]), [X, ROWS, BACK[:3]], slow=True),
    Case("index_broadcasts", lambda x, i, j: x[i[:, None], j], [X, ROWS, BACK], slow=True),
    Case("index_scalars", lambda x, i: (x[i, 0], x[:, i, 1]), [X, ROWS], slow=True),
    Case("index_empty", lambda m, i: m[i[:0]], [M, ROWS], slow=True),
    Case("index_int", lambda i, j: i[:, j], [IDS, ROWS], slow=True),
    Case("masked_scatter", lambda m, k, s: m.masked_scatter(k, s), [M, MASK, torch.randn(20)], slow=True),
    Case("masked_put", lambda m, k: (m := m.clone(), m.__setitem__(k, 3.0), m)[-1], [M, MASK], slow=True),
    Case(
        "index_put",
        lambda x, i, j, v: (
            x.index_put((i,), v[:3, None]),
            x.index_put((i, j), v[:3]),
            x.index_put((torch.tensor([0, 0]), torch.tensor([1, 1])), v[:2], accumulate=True),
            torch.ops.aten.index_put(x, [None, i], v[:3]),
            torch.ops.aten.index_put(x, [i, None, j], v[:3, :1]),
        ),
        [X, ROWS, BACK[:3], M],
        slow=True,
    ),
    Case(
        "index_ops",
        lambda x, i, s: (x.index_copy(1, i, s), x.index_add(1, i, s, alpha=2), x.index_fill(1, i, 7)),
        [X, torch.tensor([3, 0]), torch.randn(3, 2, 4)],
        slow=True,
    ),
    Case(
        "scatter",
        lambda m, i, s: (
            m.scatter(0, i[:1], s),
            m.scatter(1, i[:, :1], 9.0),
            m.scatter_add(0, i, s),
            m.scatter(0, i, s, reduce="multiply"),
            m.scatter(0, i, 2.0, reduce="add"),
        ),
        [M, torch.randint(0, 4, (5, 4)), torch.randn(5, 4)],
        slow=True,
    ),
    Case("scatter_scalar", lambda s, i: s.scatter(0, i, 3.0), [S, torch.tensor(0)], slow=True),
    *(
        Case(
            f"scatter_reduce_{how}",
            lambda m, i, s, how=how: (
                m.scatter_reduce(0, i, s, how),
                m.scatter_reduce(0, i, s, how, include_self=False),
            ),
            [M, torch.randint(0, 5, (5, 4)), torch.randn(5, 4)],
            slow=how != "amax",
        )
        for how in ("sum", "prod", "mean", "amax", "amin")
    ),
    Case("flip", lambda x: (x.flip(0), x.flip((-1, 1)), x.fliplr(), x.rot90()), [X], slow=True),
    Case("roll", lambda x: (x.roll(2, 1), x.roll((-1, 7), (0, -1)), x.roll(3)), [X], slow=True),
    Case(
        "repeat", lambda m, s: (m.repeat(2, 1), m.repeat(2, 1, 3), s.repeat(3), m.tile(2)), [M, S], slow=True
    ),
    Case("repeat_interleave", lambda m: m.repeat_interleave(3, 1), [M], slow=True),
    Case("unfold", lambda x: (x.unfold(1, 3, 2), x.unfold(-1, 2, 1), x.unfold(0, 3, 1)), [X], slow=True),
    Case("diagonal", lambda x: (x.diagonal(), x.diagonal(-2, 1, 2), x.diagonal(1, -1, 0)), [X], slow=True),
    Case("diag", lambda m: (m.diag(), torch.diag_embed(m), m.tril(-1), m.triu(1)), [M], slow=True),
    Case("as_strided", lambda x: x.as_strided((3, 2), (4, 7), 5), [X], slow=True),
    Case("outer_meshgrid", lambda m: torch.meshgrid(m[0], m[1], indexing="ij"), [M], slow=True),
]
DYNAMIC = [
    Case(
        "dynamic",
        lambda x, i: (
            F.embedding(i, x[0]),
            x.flip(1),
            x.roll(1, 1),
            x.repeat(1, 2, 1),
            x.index_select(1, i[0]),
            x.gather(1, i[:, :, None].expand(-1, -1, 4)),
            x[torch.arange(x.shape[0]), i[:, 0]],
        ),
        [X, torch.randint(0, 5, (3, 2))],
        dynamic_shapes=({0: Dim("batch"), 1: Dim("rows", min=4)}, {0: Dim("batch"), 1: Dim("n")}),
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
    parity.check(id, torch.randn(2, 7, 4), torch.randint(0, 7, (2, 6)))
