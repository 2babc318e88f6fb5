"""Views of broadcasts whose sizes vary, in both orders: MAX alone reads them wrong (broadcast_workaround)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from tests.support.parity import Batch, Case, ids

B, N, K = Dim("b", min=4, max=16), Dim("n", min=4, max=16), Dim("k", min=4, max=16)
SIZES = ({0: B, 1: N, 2: K}, {0: N, 1: K}, {0: N}, {0: K}, {0: N}, {0: K})
Producer = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
View = Callable[[Tensor], Tensor]


def inputs(b: int, n: int, k: int) -> tuple[Tensor, ...]:
    """x (b, n, k), m (n, k), r (n,), c (k,), s (n, 4), t (k, 4)."""
    g = torch.Generator().manual_seed(b * 100 + n * 10 + k)
    return tuple(torch.randn(s, generator=g) for s in ((b, n, k), (n, k), (n,), (k,), (n, 4), (k, 4)))


def positions(x: Tensor, axis: int = 0) -> Tensor:
    return torch.arange(x.shape[axis])


FOUR = torch.tensor([1.0, 2.0, 3.0, 4.0])
# (·, ·): what is broadcast, along which axis, to a fixed size or to one that varies
RANK_2: dict[str, Producer] = {
    "rows": lambda x, m, r, c, s, t: r[None].expand(4, -1),
    "columns": lambda x, m, r, c, s, t: r[:, None].expand(-1, 4),
    "rows_n": lambda x, m, r, c, s, t: c[None].expand(r.shape[0], -1),
    "columns_k": lambda x, m, r, c, s, t: r[:, None].expand(-1, c.shape[0]),
    "outer": lambda x, m, r, c, s, t: r[:, None] * c[None],
    "causal": lambda x, m, r, c, s, t: positions(r)[:, None] <= positions(c)[None],
    "bias": lambda x, m, r, c, s, t: m + c,
    "scaled": lambda x, m, r, c, s, t: (m * r[:, None]).exp(),
    "fixed_axis": lambda x, m, r, c, s, t: s * r[:, None],
    "fixed_bias": lambda x, m, r, c, s, t: s + FOUR,
    "fixed_outer": lambda x, m, r, c, s, t: r[:, None] + FOUR,
    "shifted": lambda x, m, r, c, s, t: m[:, 1:] + r[:, None],
    "of_a_slice": lambda x, m, r, c, s, t: r[1:][None].expand(4, -1),
    "joined": lambda x, m, r, c, s, t: torch.cat([c[None].expand(2, -1), c[None] * r[:, None]]),
}
RANK_3: dict[str, Producer] = {
    "heads": lambda x, m, r, c, s, t: m[None].expand(4, -1, -1),
    "middle": lambda x, m, r, c, s, t: m[:, None].expand(-1, 4, -1),
    "batch": lambda x, m, r, c, s, t: m[None].expand(x.shape[0], -1, -1),
    "masked": lambda x, m, r, c, s, t: x.masked_fill(positions(x, 1)[:, None] < positions(x, 2), -1.0),
    "plane": lambda x, m, r, c, s, t: x * (r[:, None] - c),
    "fixed_last": lambda x, m, r, c, s, t: x[..., None, 0] * FOUR,
}  # fmt: skip
VIEWS_2: dict[str, View] = {
    "slice_0": lambda y: y[1:],
    "slice_1": lambda y: y[:, 1:],
    "both": lambda y: y[1:-1, 1:-1],
    "apart": lambda y: y[:, 1::2],
    "row": lambda y: y[-1],
    "column": lambda y: y[:, -1],
    "narrow": lambda y: y.narrow(1, 1, 2),
    "transposed": lambda y: y.T[1:],
    "flat": lambda y: y[:, 1:].reshape(-1),
    "roll": lambda y: y.roll(1, 1).roll(1, 0),
    "pad": lambda y: torch.nn.functional.pad(y.float(), (-1, 0, -1, 2)),
    "of_flat": lambda y: y.reshape(-1)[2:],
    "flip": lambda y: y.flip(1),
    "again": lambda y: y[:, 1:][None].expand(2, -1, -1) * 2,
    "added": lambda y: y[1:] * 1 + y[:-1] * 1,
}
VIEWS_3: dict[str, View] = {
    "slice_0": lambda y: y[1:],
    "slice_1": lambda y: y[:, 1:],
    "slice_2": lambda y: y[..., -2:],
    "select": lambda y: y[1, :, 2],
    "last": lambda y: y[:, -1],
    "swapped": lambda y: y.transpose(0, 2)[1:].reshape(-1),
    "new_axis": lambda y: y[:, None, 1:, 1:],
    "split": lambda y: torch.cat(y.split([1, y.shape[2] - 1], 2)[::-1], 2),
}
# views of axes that are of a fixed size in what these name, and writes
OTHERS: dict[str, Producer] = {
    "unbind": lambda x, m, r, c, s, t: torch.stack((s * r[:, None]).unbind(1)[1:]),
    "unbind_rows": lambda x, m, r, c, s, t: sum((m[None] * FOUR[:, None, None]).unbind(0)[1:]),
    "chunk": lambda x, m, r, c, s, t: (r[:, None] * FOUR).chunk(2, 1)[1],
    "diagonal": lambda x, m, r, c, s, t: (r[:, None] * r[None]).diagonal(),
    "every_other": lambda x, m, r, c, s, t: (r[:, None] * c)[::2, ::3],
    "eye": lambda x, m, r, c, s, t: torch.eye(r.shape[0])[-1],
    "tril": lambda x, m, r, c, s, t: (r[:, None] * c).tril(-1)[1:],
    "unfold": lambda x, m, r, c, s, t: (r[:, None] * c).unfold(1, 2, 1)[1:, 1:],
    "index": lambda x, m, r, c, s, t: (r[:, None] * c)[torch.tensor([2, 0]), torch.tensor([1, 2])],
    "index_select": lambda x, m, r, c, s, t: (r[:, None] * c).index_select(1, torch.tensor([2, 0]))[1:],
    "gather": lambda x, m, r, c, s, t: (r[:, None] * c).gather(1, torch.ones(2, 1, dtype=torch.long)),
    "sum": lambda x, m, r, c, s, t: (r[:, None] * c)[1:].sum(0),
    "product": lambda x, m, r, c, s, t: (r[:, None] * c)[1:] @ (c[:, None] * FOUR),
    "slice_scatter": lambda x, m, r, c, s, t: m.slice_scatter((r[:, None] * c)[:, 1:], 1, 1),
    "into_a_slice": lambda x, m, r, c, s, t: (r[:, None] * c).slice_scatter(m[:, 1:], 1, 0, -1),
    "cached": lambda x, m, r, c, s, t: t.mul_(2)[1:] * (c[:, None] * FOUR)[1:],
    "stored": lambda x, m, r, c, s, t: t[1:].copy_((c[:, None] * FOUR)[1:]),
    "broadcast_of_slices": lambda x, m, r, c, s, t: r[1:, None] * c[1:] + m[1:, 1:],
    "interleaved": lambda x, m, r, c, s, t: (x * c)[:, 1:] + (m + c)[1:] * r[1:, None],
    "rotated": lambda x, m, r, c, s, t: torch.cat([-(s * r[:, None])[:, 2:], (s * r[:, None])[:, :2]], -1),
    "positions": lambda x, m, r, c, s, t: (positions(r)[:, None] + positions(c))[1:, 1:].float() * m[1:, 1:],
}  # fmt: skip
QUICK = {"outer-slice_1", "masked-last"}


class Of(nn.Module):
    """A view of what a producer makes."""

    def __init__(self, producer: Producer, view: View | None = None) -> None:
        super().__init__()
        self.producer, self.view = producer, view

    def forward(self, x, m, r, c, s, t):
        made = self.producer(x, m, r, c, s, t)
        return made if self.view is None else self.view(made)


def cases() -> Iterator[Case]:
    for producers, views in ((RANK_2, VIEWS_2), (RANK_3, VIEWS_3)):
        for i, (of, producer) in enumerate(producers.items()):
            for j, (name, view) in enumerate(views.items()):
                id = f"{of}-{name}"
                if (i + j) % 2 == 0 or id in QUICK:  # half of the board, every row with every other column
                    yield case(id, Of(producer, view))
    yield from (case(name, Of(whole)) for name, whole in OTHERS.items())


def case(id: str, module: nn.Module) -> Case:
    return Case(id, module, inputs(4, 5, 6), dynamic_shapes=SIZES, slow=id not in QUICK)


CASES = list(cases())
PARITY = Batch(CASES)


@pytest.mark.parametrize("id", ids(CASES))
def test_it_equals_torch_at_any_size(parity: Batch, id: str) -> None:
    for sizes in ((4, 5, 6), (5, 4, 7), (7, 6, 4)):
        parity.check(id, *inputs(*sizes))
