"""Ops that read and write by index."""

from __future__ import annotations

from tests.support.fuzz.drawing import Builder, Draw, Op
from tests.support.fuzz.ops.table import table


def embedded(draw: Draw) -> Op | None:
    """Rows of a table of weights."""
    i = draw.value("index", lambda n: draw.worlds.rank(n) < 4)
    if i is None:
        return None
    return Op(f"F.embedding({i} % 7, {draw.weight((7, draw.rng.choice([1, 3, 4])))})", exact=True)


def bagged(draw: Draw) -> Op | None:
    """Sums or means of rows, by bag."""
    i = draw.value("index", lambda n: draw.worlds.rank(n) == 2)
    if i is None:
        return None
    mode = draw.rng.choice(["sum", "mean", "max"])
    return Op(f'F.embedding_bag({i} % 5, {draw.weight((5, 3))}, mode="{mode}")')


def along(draw: Draw) -> Op | None:
    """A gather or scatter along an axis, by an index made of positions in it."""
    a = draw.value("float", lambda n: draw.worlds.rank(n) > 0)
    if a is None:
        return None
    rank = draw.worlds.rank(a)
    d = draw.rng.randrange(rank)
    shape = ", ".join("-1" if i == d else "1" for i in range(rank))
    index = f"((torch.arange({a}.shape[{d}]) * 2 + 1) % {a}.shape[{d}]).view({shape}).expand({a}.shape)"
    kind = draw.rng.choice(["sum", "prod", "amax", "amin", "mean"])
    forms = {
        f"{a}.gather({d}, {index})": True,
        f"{a}.scatter({d}, {index}.narrow({d}, 0, 1), {draw.scalar(draw.worlds.dtype(a))})": True,
        f"{a}.scatter({d}, {index}.narrow({d}, 0, 1), {a}.flip({d}))": True,
        f"{a}.scatter_add({d}, {index}, {a}.flip({d}))": False,
        f'{a}.scatter({d}, {index}, {a}, reduce="multiply")': False,
        f'{a}.scatter({d}, {index}, 0.5, reduce="add")': False,
        f'{a}.scatter_reduce({d}, {index}, {a}.flip({d}), "{kind}")': False,
        f'{a}.scatter_reduce({d}, {index}, {a}.flip({d}), "{kind}", include_self=False)': False,
        f"torch.take_along_dim({a}, {index}, {d})": True,
    }
    code = draw.rng.choice(list(forms))
    return Op(code, exact=forms[code])


INDEXED: list[Builder] = [
    embedded, embedded, along, along, along, along,
    *table("any", """
        {a}.index_select({d}, torch.tensor([0, 0]))
        {a}.index_select({d}, torch.arange({a}.shape[{d}]).flip(0))
        {a}[torch.arange({a}.shape[0]).flip(0)]
        {a}[torch.tensor([0, -1])]
        {a}[..., torch.tensor([-1, 0])]
        {a}[:, None, torch.tensor([[0], [-1]])]
        torch.ops.aten._unsafe_index({a}, [torch.tensor([0, 0])])
        torch.take({a}, torch.tensor([0, -1, 0]))
        torch.masked_scatter({a}, {m}.expand_as({a}), {a}.flip(0).contiguous())
        {a}.index_fill({d}, torch.tensor([0]), {s})
        {a}.index_copy({d}, torch.tensor([0]), {a}.narrow({d}, {a}.shape[{d}] - 1, 1))
        torch.index_put({a}, (torch.tensor([0, -1]),), torch.tensor({k}, dtype={a}.dtype))
        torch.ops.aten._unsafe_index_put({a}, [torch.tensor([0])], torch.tensor({k}, dtype={a}.dtype))
        torch.slice_scatter({a}, {a}.narrow({d}, 0, 1), {d}, {a}.shape[{d}] - 1)
        torch.slice_scatter({a}, torch.ops.aten.slice({a}, {d}, 1).flip({d}), {d}, 0, -1)
        torch.select_scatter({a}, {a}.select({d}, -1), {d}, 0)
        torch.diagonal_scatter({a}, {a}.diagonal(0, 0, 1).flip(-1), 0, 0, 1)
    """, exact=True),
    *table("number", """
        torch.index_put({a}, (torch.tensor([0, 0]),), torch.tensor({k}, dtype={a}.dtype), accumulate=True)
        {a}.index_add({d}, torch.tensor([0]), {a}.narrow({d}, 0, 1))
    """),
    *table("float", """
        torch.bucketize({a}, torch.tensor([-1.0, 0.0, 0.7], dtype={a}.dtype))
        torch.bucketize({a}, torch.tensor([-1.0, 0.0, 0.7], dtype={a}.dtype), right=True)
        torch.searchsorted({a}.sort(-1).values.contiguous(), {a}.contiguous())
        torch.searchsorted(torch.tensor([-1.0, 0.25, 1.0]), {p})
    """, exact=True, decides=True),
]  # fmt: skip
SIZED_BY_DATA: list[Builder] = [
    *table("any", "torch.nonzero({a}).sum(0)", exact=True, decides=True),
    *table("float", "torch.masked_select({a}, {m}).sum()"),
    bagged,
    *table("float", "torch.histc({a}, 5, -2.0, 2.0)", exact=True, decides=True),
]  # fmt: skip
